//! Counts by day, in columns of their own.

use std::collections::BTreeMap;

use jiff::civil::Date;
use noctule_page::model::{Cell, Population};

use super::cells::{BOTH, date, int, of};
use super::chosen::{Chosen, port_of};
use super::database::Database;
use super::period::Span;
use super::questions::Question;
use crate::selectors::Port;

/// Counts by day and column.
#[derive(Debug, Default)]
pub struct ByDay {
    counts: BTreeMap<(Date, String), i64>,
}

impl ByDay {
    /// Reads columns of a question whose rows are days, in both populations.
    ///
    /// # Errors
    /// As [`Database::execute`].
    pub fn read(
        database: &Database<'_>,
        question: &Question,
        span: Span,
        columns: &[&str],
    ) -> anyhow::Result<Self> {
        let mut counts = Self::default();
        for row in database.execute_by_days(question, span, &[])?.iter() {
            for population in BOTH {
                for column in columns {
                    let column = of(population, column);
                    counts.add(row.date("date")?, &column, row.int(&column)?);
                }
            }
        }
        Ok(counts)
    }

    /// Reads a figure of chosen ports: a column for each port and population.
    ///
    /// # Errors
    /// As [`Database::execute`].
    pub fn read_ports(
        database: &Database<'_>,
        question: &Question,
        span: Span,
        figure: &str,
        ports: &[Port],
    ) -> anyhow::Result<Self> {
        let mut counts = Self::default();
        let chosen = [Chosen::ports(ports)];
        for row in database.execute_by_days(question, span, &chosen)?.iter() {
            let port = port_of(row)?.to_string();
            for population in BOTH {
                let count = row.int(&of(population, figure))?;
                counts.add(row.date("date")?, &of(population, &port), count);
            }
        }
        Ok(counts)
    }

    /// Adds to a count.
    pub fn add(&mut self, day: Date, column: &str, count: i64) {
        *self.counts.entry((day, column.to_owned())).or_default() += count;
    }

    /// A count; 0 if none was added.
    pub fn get(&self, day: Date, column: &str) -> i64 {
        let key = (day, column.to_owned());
        self.counts.get(&key).copied().unwrap_or(0)
    }

    /// The sum of a column over days.
    pub fn sum(&self, days: &[Date], column: &str) -> i64 {
        days.iter().map(|day| self.get(*day, column)).sum()
    }

    /// Rows of a table: every day with its counts of these columns, which are a population's.
    pub fn rows(
        &self,
        days: &[Date],
        population: Population,
        columns: &[impl AsRef<str>],
    ) -> Vec<Vec<Cell>> {
        let columns: Vec<String> = (columns.iter())
            .map(|column| of(population, column.as_ref()))
            .collect();
        let row = |day: &Date| {
            let counts = columns.iter().map(|column| int(self.get(*day, column)));
            std::iter::once(date(*day)).chain(counts).collect()
        };
        days.iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::cells::text;
    use super::*;

    #[test]
    fn days_without_a_count_have_zero() {
        let mut counts = ByDay::default();
        let day = |text: &str| text.parse::<Date>().unwrap();
        counts.add(day("2016-09-20"), "23/tcp", 3);
        counts.add(day("2016-09-20"), "23/tcp", 4);
        let days = [day("2016-09-19"), day("2016-09-20")];
        let rows = counts.rows(&days, Population::All, &["23/tcp", "22/tcp"]);
        assert_eq!(rows[0], [text("2016-09-19"), int(0), int(0)]);
        assert_eq!(rows[1], [text("2016-09-20"), int(7), int(0)]);
        assert_eq!(counts.sum(&days, "23/tcp"), 7);
    }
}
