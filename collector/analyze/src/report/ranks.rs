//! Orders of ports and countries by packets, in both populations.

use anyhow::Result;
use noctule_page::model::Population;

use super::context::Context;
use super::period::Period;
use super::questions;
use super::rows::Row;
use super::table_builder::{BOTH, of};
use crate::selectors::Port;

/// A thing with its packets and its place, in each population.
#[derive(Clone, Debug)]
pub struct Ranked<T> {
    /// What it is.
    pub item: T,
    packets: [i64; 2],
    places: [i64; 2],
}

impl<T> Ranked<T> {
    /// A row of an order.
    ///
    /// # Errors
    /// An answer without these columns.
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

    /// Its place, from 1 on; 0 for what has no packets, which has none.
    pub const fn place(&self, population: Population) -> i64 {
        let population = population as usize;
        if self.packets[population] == 0 {
            0
        } else {
            self.places[population]
        }
    }
}

/// The first so many of an order.
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

/// The port of a row.
///
/// # Errors
/// An answer without these columns.
pub fn port_of(row: Row<'_>) -> Result<Port> {
    Ok(Port::new(row.text("protocol")?, row.int("port")?))
}

/// The first destination ports of a period: 30 in each population.
///
/// # Errors
/// A store that cannot be reached.
pub fn ports(context: &mut Context<'_>, period: &Period) -> Result<Vec<Ranked<Port>>> {
    let rows = context.execute(&questions::PORTS_RANKED, period.from, period.to)?;
    rows.iter()
        .map(|row| Ranked::of(row, port_of(row)?))
        .collect()
}

/// All countries of a period.
///
/// # Errors
/// A store that cannot be reached.
pub fn countries(context: &mut Context<'_>, period: &Period) -> Result<Vec<Ranked<String>>> {
    let rows = context.execute(&questions::COUNTRIES, period.from, period.to)?;
    rows.iter()
        .map(|row| Ranked::of(row, row.text("country")?.to_owned()))
        .collect()
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
    /// A store that cannot be reached.
    pub fn read(context: &mut Context<'_>, period: &Period) -> Result<Self> {
        let mut parts = Self::default();
        for row in context
            .execute(&questions::PARTS, period.from, period.to)?
            .iter()
        {
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
