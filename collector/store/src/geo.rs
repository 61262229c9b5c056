//! Country and AS number of a source.
//!
//! A file is a MaxMind DB, in MaxMind's own layout or with flat records, or a CSV file of ranges;
//! its content decides which. Either is checked and flattened into sorted ranges when it is opened,
//! so that a lookup is one binary search that neither allocates nor can fail, and a damaged file
//! is refused at the start and not at the flush.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::country::Country;

mod csv;
mod mmdb;
mod ranges;
mod value;

use ranges::Ranges;
use value::Value;

/// Why a country or AS file was refused.
#[derive(Debug, thiserror::Error)]
pub enum GeoError {
    /// The file could not be read.
    #[error("cannot read {what} file {path}: {source}; check that it exists and may be read")]
    Read {
        /// What the file should hold: countries or AS numbers.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file has neither format.
    #[error(
        "cannot use {what} file {path}: it is neither a MaxMind DB nor CSV text ({reason}); fetch it again"
    )]
    Format {
        /// What the file should hold: countries or AS numbers.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: &'static str,
    },
    /// A MaxMind DB that is damaged or holds other data.
    #[error("cannot use {what} file {path}: {reason}; fetch it again")]
    Database {
        /// What the file should hold: countries or AS numbers.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A line of a CSV file is not valid.
    #[error("cannot use {what} file {path}, line {line}: {reason}; correct the line")]
    Line {
        /// What the file should hold: countries or AS numbers.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u32,
        /// What is wrong.
        reason: String,
    },
    /// The file has no range with a value of the wanted kind.
    #[error(
        "cannot use {what} file {path}: no range in it has {what}; it needs {layouts}, or lines `start,end,value`"
    )]
    Empty {
        /// What the file should hold: countries or AS numbers.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The record layouts that are understood.
        layouts: &'static str,
    },
}

/// Countries by address range.
#[derive(Debug)]
pub struct CountryDb(Ranges<Country>);

impl CountryDb {
    /// Opens a country file: a MaxMind DB with `country.iso_code` or `country_code`, or CSV lines
    /// `start,end,code` with addresses as text or, for IPv4, as integers.
    ///
    /// # Errors
    /// [`GeoError::Read`] if the file cannot be read, [`GeoError::Format`] if it has neither format,
    /// [`GeoError::Database`] or [`GeoError::Line`] if its content is not valid, [`GeoError::Empty`] if
    /// it has no country. A MaxMind DB has no checksum: a flipped bit that leaves the tree whole and
    /// the records well-formed is not found.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, GeoError> {
        open(path.as_ref()).map(Self)
    }

    /// The country of a source; none if the file does not have it.
    ///
    /// IPv4-mapped (`::ffff:0:0/96`) and 6to4 (`2002::/16`) sources are found by the IPv4 address
    /// in them, unless the file has a range for them. All other ranges are used as they are, also if
    /// a file gives a country to private space, as registries' blocks do.
    #[inline]
    pub fn lookup(&self, source: IpAddr) -> Option<Country> {
        self.0.lookup(source)
    }
}

/// AS numbers by address range.
#[derive(Debug)]
pub struct AsnDb(Ranges<u32>);

impl AsnDb {
    /// Opens an AS file: a MaxMind DB with `autonomous_system_number` or `asn`, or CSV lines
    /// `start,end,number` with addresses as text or, for IPv4, as integers. Numbers may carry
    /// `AS` before them.
    ///
    /// # Errors
    /// As [`CountryDb::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, GeoError> {
        open(path.as_ref()).map(Self)
    }

    /// The AS number of a source; none if the file does not have it. 6to4 as in [`CountryDb::lookup`].
    #[inline]
    pub fn lookup(&self, source: IpAddr) -> Option<u32> {
        self.0.lookup(source)
    }
}

fn open<V: Value>(path: &Path) -> Result<Ranges<V>, GeoError> {
    let what = V::WHAT;
    let bytes = fs::read(path).map_err(|source| GeoError::Read {
        what,
        path: path.to_owned(),
        source,
    })?;
    let (entries4, entries6) = if mmdb::recognise(&bytes) {
        mmdb::read::<V>(&bytes).map_err(|reason| GeoError::Database {
            what,
            path: path.to_owned(),
            reason,
        })?
    } else {
        let text = csv::recognise(&bytes).map_err(|reason| GeoError::Format {
            what,
            path: path.to_owned(),
            reason,
        })?;
        csv::read::<V>(text).map_err(|(line, reason)| GeoError::Line {
            what,
            path: path.to_owned(),
            line,
            reason,
        })?
    };
    let ranges = Ranges::new(entries4, entries6).map_err(|overlap| GeoError::Line {
        what,
        path: path.to_owned(),
        line: overlap.line,
        reason: format!("the range overlaps that of line {}", overlap.earlier),
    })?;
    if ranges.is_empty() {
        return Err(GeoError::Empty {
            what,
            path: path.to_owned(),
            layouts: V::LAYOUTS,
        });
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests;
