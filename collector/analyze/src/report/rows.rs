//! The answer to a question as rows of a few plain types.
//!
//! A plan may choose among several Arrow types for one kind of value; rows have one for each.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result, bail};
use datafusion::arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};

/// Day 0 of a column of dates.
const EPOCH: Date = jiff::civil::date(1970, 1, 1);

/// The date of a number in a column of dates.
///
/// # Errors
/// If the date lies outside the calendar.
pub fn date_of(number: i32) -> Result<Date> {
    Ok(EPOCH.checked_add(number.days())?)
}

/// The number of a date in a column of dates.
pub fn number_of(date: Date) -> i32 {
    // Dates of the calendar are less than 2^23 days apart.
    date.since(EPOCH).map_or(0, |span| span.get_days())
}

/// A column.
#[derive(Debug)]
enum Column {
    Ints(Vec<Option<i64>>),
    Floats(Vec<Option<f64>>),
    Texts(Vec<Option<String>>),
    Dates(Vec<Option<i32>>),
    Times(Vec<Option<i64>>),
    Octets(Vec<Option<Vec<u8>>>),
}

impl Column {
    fn empty_like(&self) -> Self {
        match self {
            Self::Ints(_) => Self::Ints(Vec::new()),
            Self::Floats(_) => Self::Floats(Vec::new()),
            Self::Texts(_) => Self::Texts(Vec::new()),
            Self::Dates(_) => Self::Dates(Vec::new()),
            Self::Times(_) => Self::Times(Vec::new()),
            Self::Octets(_) => Self::Octets(Vec::new()),
        }
    }

    fn of(array: &ArrayRef) -> Result<Self> {
        Ok(match array.data_type() {
            DataType::Date32 => {
                let values = array.as_primitive::<Date32Type>();
                Self::Dates(values.iter().collect())
            }
            DataType::Timestamp(_, _) => {
                let wanted = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
                let values = cast(array, &wanted)?;
                Self::Times(
                    values
                        .as_primitive::<TimestampMicrosecondType>()
                        .iter()
                        .collect(),
                )
            }
            DataType::Float32 | DataType::Float64 => {
                let values = cast(array, &DataType::Float64)?;
                Self::Floats(values.as_primitive::<Float64Type>().iter().collect())
            }
            DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => {
                let values = cast(array, &DataType::Utf8View)?;
                let values = values.as_string_view().iter();
                Self::Texts(values.map(|text| text.map(str::to_owned)).collect())
            }
            DataType::Binary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                let values = cast(array, &DataType::BinaryView)?;
                let values = values.as_binary_view().iter();
                Self::Octets(values.map(|octets| octets.map(<[u8]>::to_vec)).collect())
            }
            _ => {
                let values = cast(array, &DataType::Int64)?;
                Self::Ints(values.as_primitive::<Int64Type>().iter().collect())
            }
        })
    }

    fn append(&mut self, more: Self) -> Result<()> {
        match (self, more) {
            (Self::Ints(mine), Self::Ints(mut more)) => mine.append(&mut more),
            (Self::Floats(mine), Self::Floats(mut more)) => mine.append(&mut more),
            (Self::Texts(mine), Self::Texts(mut more)) => mine.append(&mut more),
            (Self::Dates(mine), Self::Dates(mut more)) => mine.append(&mut more),
            (Self::Times(mine), Self::Times(mut more)) => mine.append(&mut more),
            (Self::Octets(mine), Self::Octets(mut more)) => mine.append(&mut more),
            (mine, more) => bail!("a column changes its kind from {mine:?} to {more:?}"),
        }
        Ok(())
    }
}

/// Rows, column by column.
#[derive(Debug, Default)]
pub struct Rows {
    columns: BTreeMap<String, Column>,
    count: usize,
}

impl Rows {
    /// Adds a batch whose columns are those of the batches before it.
    ///
    /// # Errors
    /// If a column has a type without a counterpart here, or another one than in the batch before.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
            let column = Column::of(array).with_context(|| format!("column {}", field.name()))?;
            match self.columns.get_mut(field.name()) {
                Some(mine) => mine.append(column)?,
                None => {
                    let mut mine = column.empty_like();
                    mine.append(column)?;
                    self.columns.insert(field.name().clone(), mine);
                }
            }
        }
        self.count += batch.num_rows();
        Ok(())
    }

    /// True if the answer has no rows.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The rows in order.
    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        (0..self.count).map(|at| Row { rows: self, at })
    }
}

/// A row.
#[derive(Clone, Copy, Debug)]
pub struct Row<'r> {
    rows: &'r Rows,
    at: usize,
}

impl<'r> Row<'r> {
    fn column(self, name: &str) -> Result<&'r Column> {
        let column = self.rows.columns.get(name);
        column.with_context(|| format!("the answer has no column {name}"))
    }

    /// A whole number; `None` for NULL.
    ///
    /// # Errors
    /// If the answer has no such column, or the column holds something else.
    pub fn maybe_int(self, name: &str) -> Result<Option<i64>> {
        match self.column(name)? {
            Column::Ints(values) => Ok(values[self.at]),
            _ => bail!("column {name} has no whole numbers"),
        }
    }

    /// A count; 0 for NULL.
    ///
    /// # Errors
    /// As [`Row::maybe_int`].
    pub fn int(self, name: &str) -> Result<i64> {
        Ok(self.maybe_int(name)?.unwrap_or(0))
    }

    /// A number with a fraction; `None` for NULL and if it is not finite.
    ///
    /// # Errors
    /// As [`Row::maybe_int`].
    pub fn float(self, name: &str) -> Result<Option<f64>> {
        match self.column(name)? {
            Column::Floats(values) => Ok(values[self.at].filter(|value| value.is_finite())),
            _ => bail!("column {name} has no numbers"),
        }
    }

    /// A text; `None` for NULL.
    ///
    /// # Errors
    /// As [`Row::maybe_int`].
    pub fn maybe_text(self, name: &str) -> Result<Option<&'r str>> {
        match self.column(name)? {
            Column::Texts(values) => Ok(values[self.at].as_deref()),
            // A column of NULLs only has no type of its own.
            Column::Ints(values) if values[self.at].is_none() => Ok(None),
            _ => bail!("column {name} has no texts"),
        }
    }

    /// A text; an empty one for NULL.
    ///
    /// # Errors
    /// As [`Row::maybe_int`].
    pub fn text(self, name: &str) -> Result<&'r str> {
        Ok(self.maybe_text(name)?.unwrap_or_default())
    }

    /// A date.
    ///
    /// # Errors
    /// As [`Row::maybe_int`]; if the value is NULL.
    pub fn date(self, name: &str) -> Result<Date> {
        match self.column(name)? {
            Column::Dates(values) => date_of(values[self.at].context("a date")?),
            _ => bail!("column {name} has no dates"),
        }
    }

    /// A time; `None` for NULL.
    ///
    /// # Errors
    /// As [`Row::maybe_int`].
    pub fn time(self, name: &str) -> Result<Option<Timestamp>> {
        match self.column(name)? {
            Column::Times(values) => {
                let time = values[self.at].map(Timestamp::from_microsecond);
                Ok(time.transpose()?)
            }
            _ => bail!("column {name} has no times"),
        }
    }

    /// The address in `source4` or `source6`; `None` if both are NULL.
    ///
    /// # Errors
    /// As [`Row::maybe_int`]; if a value is not an address.
    pub fn source(self) -> Result<Option<IpAddr>> {
        if let Some(source) = self.maybe_int("source4")? {
            let source = u32::try_from(source).context("an IPv4 address")?;
            return Ok(Some(Ipv4Addr::from(source).into()));
        }
        let octets = self.octets("source6")?.map(<[u8; 16]>::try_from);
        let octets = octets.transpose();
        let octets = octets.context("an IPv6 address has 16 octets")?;
        Ok(octets.map(|octets| Ipv6Addr::from(octets).into()))
    }

    /// Octets; `None` for NULL.
    ///
    /// # Errors
    /// As [`Row::maybe_int`].
    pub fn octets(self, name: &str) -> Result<Option<&'r [u8]>> {
        match self.column(name)? {
            Column::Octets(values) => Ok(values[self.at].as_deref()),
            _ => bail!("column {name} has no octets"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{Date32Array, Int32Array, StringArray, UInt32Array};

    use super::*;

    #[test]
    fn dates_and_their_numbers_go_together() {
        for (number, text) in [
            (0, "1970-01-01"),
            (17_064, "2016-09-20"),
            (-1, "1969-12-31"),
        ] {
            let date: Date = text.parse().unwrap();
            assert_eq!(number_of(date), number);
            assert_eq!(date_of(number).unwrap(), date);
        }
    }

    #[test]
    fn rows_of_several_batches_follow_each_other() {
        let mut rows = Rows::default();
        let batch = |port: i32, name: Option<&str>| {
            let columns: Vec<(&str, ArrayRef)> = vec![
                ("port", Arc::new(Int32Array::from(vec![port]))),
                ("name", Arc::new(StringArray::from(vec![name]))),
                ("date", Arc::new(Date32Array::from(vec![17_064]))),
                ("source4", Arc::new(UInt32Array::from(vec![u32::MAX]))),
            ];
            RecordBatch::try_from_iter(columns).unwrap()
        };
        assert!(rows.is_empty());
        rows.add(&batch(23, Some("telnet"))).unwrap();
        rows.add(&batch(2323, None)).unwrap();
        assert_eq!(rows.iter().count(), 2);
        let all: Vec<_> = (rows.iter())
            .map(|row| (row.int("port").unwrap(), row.maybe_text("name").unwrap()))
            .collect();
        assert_eq!(all, [(23, Some("telnet")), (2323, None)]);
        let first = rows.iter().next().unwrap();
        assert_eq!(first.date("date").unwrap().to_string(), "2016-09-20");
        assert_eq!(first.int("source4").unwrap(), i64::from(u32::MAX));
        assert!(first.int("nothing").is_err() && first.int("name").is_err());
    }
}
