//! Small tables of what a question is about: chosen ports, countries, days, periods and rules.
//!
//! The SQL of a question never changes; it joins with tables named `chosen_...`.

use std::sync::Arc;

use anyhow::Result;
use datafusion::arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringViewArray};
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::datasource::MemTable;
use jiff::civil::Date;

use super::rows::{Row, number_of};
use crate::selectors::Port;

/// A column of a table of what is chosen.
#[derive(Clone, Debug)]
pub enum Values {
    /// Texts.
    Texts(Vec<String>),
    /// Whole numbers.
    Ints(Vec<i64>),
    /// Dates.
    Dates(Vec<Date>),
}

/// A table of what is chosen.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// Its name in SQL.
    pub name: &'static str,
    /// Its columns with their names.
    pub columns: Vec<(&'static str, Values)>,
}

impl Chosen {
    /// A table with these columns, which are equally long.
    pub const fn new(name: &'static str, columns: Vec<(&'static str, Values)>) -> Self {
        Self { name, columns }
    }

    /// The table `chosen_ports`.
    pub fn ports(ports: &[Port]) -> Self {
        Self::new("chosen_ports", port_columns(ports.iter()))
    }

    /// The table for a session.
    ///
    /// # Errors
    /// If its columns have different lengths.
    pub fn table(&self) -> Result<MemTable> {
        let (mut fields, mut arrays) = (Vec::new(), Vec::new());
        for (column, values) in &self.columns {
            let array: ArrayRef = match values {
                Values::Texts(texts) => Arc::new(StringViewArray::from_iter_values(texts)),
                Values::Ints(numbers) => {
                    Arc::new(Int64Array::from_iter_values(numbers.iter().copied()))
                }
                Values::Dates(dates) => Arc::new(Date32Array::from_iter_values(
                    dates.iter().map(|date| number_of(*date)),
                )),
            };
            fields.push(Field::new(*column, array.data_type().clone(), false));
            arrays.push(array);
        }
        let schema = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)?;
        Ok(MemTable::try_new(schema, vec![vec![batch]])?)
    }
}

/// The columns `protocol` and `port` of ports.
pub fn port_columns<'p>(
    ports: impl Iterator<Item = &'p Port> + Clone,
) -> Vec<(&'static str, Values)> {
    let protocols = ports.clone().map(|port| port.protocol.clone()).collect();
    let numbers = ports.map(|port| port.number).collect();
    vec![
        ("protocol", Values::Texts(protocols)),
        ("port", Values::Ints(numbers)),
    ]
}

/// The port in the columns `protocol` and `port` of a row.
///
/// # Errors
/// If the answer has no such columns.
pub fn port_of(row: Row<'_>) -> Result<Port> {
    Ok(Port::new(row.text("protocol")?, row.int("port")?))
}
