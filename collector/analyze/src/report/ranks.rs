//! Rankings of ports and countries by packets, in both populations.

use anyhow::Result;
use noctule_page::model::Population;

use super::cells::{BOTH, of};
use super::chosen::port_of;
use super::database::Database;
use super::period::Period;
use super::questions;
use super::rows::Row;
use crate::selectors::Port;

/// Ports and countries in a table beside their places in another period.
pub const FIRST: i64 = 5;
/// Places of the other period that are shown.
pub const RANKED_BEFORE: i64 = 10;

/// A port or country with its packets and its place, in each population.
#[derive(Clone, Debug)]
pub struct Ranked<T> {
    /// The port or country.
    pub item: T,
    packets: [i64; 2],
    places: [i64; 2],
}

impl<T> Ranked<T> {
    /// A row of a ranking.
    ///
    /// # Errors
    /// If the answer lacks these columns.
    pub fn of(row: Row<'_>, item: T) -> Result<Self> {
        let [all, without] = BOTH;
        Ok(Self {
            item,
            packets: [row.int("packets")?, row.int(&of(without, "packets"))?],
            places: [row.int(&of(all, "place"))?, row.int(&of(without, "place"))?],
        })
    }

    /// Its packets.
    pub const fn packets(&self, population: Population) -> i64 {
        self.packets[population as usize]
    }

    /// Its place, from 1 on; 0 if it has no packets.
    pub const fn place(&self, population: Population) -> i64 {
        let population = population as usize;
        if self.packets[population] == 0 {
            0
        } else {
            self.places[population]
        }
    }
}

/// The first `count` of a ranking.
pub fn first<T>(all: &[Ranked<T>], population: Population, count: i64) -> Vec<&Ranked<T>> {
    let mut first: Vec<&Ranked<T>> = all
        .iter()
        .filter(|ranked| (1..=count).contains(&ranked.place(population)))
        .collect();
    first.sort_by_key(|ranked| ranked.place(population));
    first
}

/// The place of a thing, if it is among the first so many.
pub fn place<T: PartialEq>(
    all: &[Ranked<T>],
    item: &T,
    population: Population,
    count: i64,
) -> Option<i64> {
    let found = all.iter().find(|ranked| ranked.item == *item)?;
    let place = found.place(population);
    (1..=count).contains(&place).then_some(place)
}

/// The first destination ports of a period: 30 in each population.
///
/// # Errors
/// As [`Database::execute`].
fn ports(database: &Database<'_>, period: &Period) -> Result<Vec<Ranked<Port>>> {
    let rows = database.execute(&questions::PORTS_RANKED, period.span(), &[])?;
    rows.iter()
        .map(|row| Ranked::of(row, port_of(row)?))
        .collect()
}

/// All countries of a period.
///
/// # Errors
/// As [`Database::execute`].
fn countries(database: &Database<'_>, period: &Period) -> Result<Vec<Ranked<String>>> {
    let rows = database.execute(&questions::COUNTRIES, period.span(), &[])?;
    rows.iter()
        .map(|row| Ranked::of(row, row.text("country")?.to_owned()))
        .collect()
}

/// Rankings of the period and of the one that it is compared with.
pub struct Ranks {
    /// Ports of the period.
    pub ports: Vec<Ranked<Port>>,
    /// Countries of the period.
    pub countries: Vec<Ranked<String>>,
    /// The period's packets.
    pub parts: Parts,
    /// Ports of the period that it is compared with.
    pub ports_before: Vec<Ranked<Port>>,
    /// Countries of the period that it is compared with.
    pub countries_before: Vec<Ranked<String>>,
}

impl Ranks {
    /// Reads the rankings of both periods.
    ///
    /// # Errors
    /// As [`Database::execute`].
    pub fn read(database: &Database<'_>, period: &Period, compare: &Period) -> Result<Self> {
        Ok(Self {
            ports: ports(database, period)?,
            countries: countries(database, period)?,
            parts: Parts::read(database, period)?,
            ports_before: ports(database, compare)?,
            countries_before: countries(database, compare)?,
        })
    }
}

/// A period's packets by part.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts {
    ports: [i64; 2],
    backscatter: [i64; 2],
    no_port: [i64; 2],
}

impl Parts {
    /// Adds up a period.
    ///
    /// # Errors
    /// As [`Database::execute`].
    pub fn read(database: &Database<'_>, period: &Period) -> Result<Self> {
        let mut parts = Self::default();
        for row in (database.execute(&questions::PARTS, period.span(), &[])?).iter() {
            let place = match row.text("part")? {
                "backscatter" => &mut parts.backscatter,
                "no-port" => &mut parts.no_port,
                _ => &mut parts.ports,
            };
            for population in BOTH {
                place[population as usize] = row.int(&of(population, "packets"))?;
            }
        }
        Ok(parts)
    }

    /// Packets to destination ports.
    pub const fn ports(&self, population: Population) -> i64 {
        self.ports[population as usize]
    }

    /// Packets of backscatter.
    pub const fn backscatter(&self, population: Population) -> i64 {
        self.backscatter[population as usize]
    }

    /// Other packets without a port.
    pub const fn no_port(&self, population: Population) -> i64 {
        self.no_port[population as usize]
    }

    /// All dark packets.
    pub const fn whole(&self, population: Population) -> i64 {
        self.ports(population) + self.backscatter(population) + self.no_port(population)
    }
}
