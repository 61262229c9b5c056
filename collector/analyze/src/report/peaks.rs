//! Distinct sources by country on peak days.

use anyhow::Result;
use jiff::civil::Date;
use noctule_page::model::Population;

use super::cells::{BOTH, of};
use super::chosen::{Chosen, Values, port_columns};
use super::database::Database;
use super::period::Span;
use super::questions;
use crate::selectors::{Peak, Port};

/// A peak with its sources by country, most first.
pub struct PeakCountries {
    /// Day and ports.
    pub peak: Peak,
    countries: [Vec<(String, i64)>; 2],
}

impl PeakCountries {
    /// Reads the sources of peaks.
    ///
    /// # Errors
    /// As [`Database::execute`].
    pub fn read(database: &Database<'_>, peaks: &[Peak]) -> Result<Vec<Self>> {
        let chosen = [chosen_peaks(peaks)];
        let mut all = Vec::new();
        for (number, peak) in (1..).zip(peaks) {
            let day = Span::new(peak.date, peak.date);
            let rows = database.execute(&questions::PEAK_COUNTRIES, day, &chosen)?;
            let mut countries = [Vec::new(), Vec::new()];
            for row in rows.iter() {
                // Two peaks may be of the same day.
                if row.int("peak")? != number {
                    continue;
                }
                for population in BOTH {
                    let sources = row.int(&of(population, "sources"))?;
                    if sources > 0 {
                        let country = row.text("country")?.to_owned();
                        countries[population as usize].push((country, sources));
                    }
                }
            }
            for countries in &mut countries {
                countries.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
            }
            all.push(Self {
                peak: peak.clone(),
                countries,
            });
        }
        Ok(all)
    }

    /// Countries with their sources, most first; `??` is unknown.
    pub fn countries(&self, population: Population) -> &[(String, i64)] {
        &self.countries[population as usize]
    }

    /// The country of most sources, except unknown.
    pub fn first_country(&self, population: Population) -> Option<&str> {
        let mut countries = self.countries(population).iter();
        let (country, _) = countries.find(|(country, _)| country != "??")?;
        Some(country)
    }
}

fn chosen_peaks(peaks: &[Peak]) -> Chosen {
    let rows: Vec<(i64, Date, &Port)> = (1..)
        .zip(peaks)
        .flat_map(|(number, peak)| peak.ports.iter().map(move |port| (number, peak.date, port)))
        .collect();
    let mut columns = port_columns(rows.iter().map(|row| row.2));
    let numbers = rows.iter().map(|row| row.0).collect();
    let dates = rows.iter().map(|row| row.1).collect();
    columns.push(("peak", Values::Ints(numbers)));
    columns.push(("date", Values::Dates(dates)));
    Chosen::new("chosen_peaks", columns)
}
