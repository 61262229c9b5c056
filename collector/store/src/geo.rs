//! Country and AS number of a source.
//!
//! A file is a MaxMind DB, in MaxMind's own layout or with flat records, or a text of ranges or
//! prefixes, either also compressed with gzip; its content decides which. It is checked and flattened
//! into sorted ranges when it is opened, so that a lookup is one binary search that neither allocates
//! nor can fail, and a damaged file is refused at the start and not at the flush.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::country::Country;

mod gzip;
mod layout;
mod mmdb;
mod node;
mod ranges;
mod span;
mod text;
mod value;

use ranges::{Odd, Ranges, Read};
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
    /// The file has no format that is read.
    #[error(
        "cannot use {what} file {path}: it is neither a MaxMind DB nor text ({reason}); fetch it again. Read are: {layouts}"
    )]
    Format {
        /// What the file should hold: countries or AS numbers.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
        /// The layouts that are read.
        layouts: &'static str,
    },
    /// A MaxMind DB that is damaged.
    #[error("cannot use {what} file {path}: {reason}; fetch it again")]
    Database {
        /// What the file should hold: countries or AS numbers.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A line of a text is not valid.
    #[error(
        "cannot use {what} file {path}, line {line}: {reason}; correct the line. Read are: {layouts}"
    )]
    Line {
        /// What the file should hold: countries or AS numbers.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u32,
        /// What is wrong.
        reason: String,
        /// The layouts that are read.
        layouts: &'static str,
    },
    /// The file has no range with a value of the wanted kind.
    #[error("cannot use {what} file {path}: no range in it has {what}{found}. Read are: {layouts}")]
    Empty {
        /// What the file should hold: countries or AS numbers.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is there in its place, with its line.
        found: String,
        /// The layouts that are read.
        layouts: &'static str,
    },
}

/// Countries by address range.
#[derive(Debug)]
pub struct CountryDb(Ranges<Country>);

impl CountryDb {
    /// Opens a country file: a MaxMind DB with `country.iso_code`, `country_code` or `country` (IPinfo),
    /// or text: `START,END,CODE` with addresses as text or as decimals (DB-IP, IP2Location), `PREFIX,CODE`,
    /// IPtoASN's `START END AS CODE NAME`, or any columns that a header names. Either may be
    /// compressed with gzip.
    ///
    /// A code that is not two letters is unknown; the number of such ranges is logged. Lines may be in
    /// any order. Of ranges that lie within each other, the narrowest decides; two that cross, or that
    /// are equal and have different values, are refused.
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
    /// Opens an AS file: a MaxMind DB with `autonomous_system_number` or `asn`, or text as in
    /// [`CountryDb::open`] or in CAIDA's `PREFIX LENGTH AS`. Numbers may have `AS` before them, or be two
    /// numbers with a dot; of several origins, and of a set, it is the first.
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
    let (what, layouts) = (V::WHAT, V::LAYOUTS);
    let format = |reason: String| GeoError::Format {
        what,
        path: path.to_owned(),
        reason,
        layouts,
    };
    let line = |line: u32, reason: String| GeoError::Line {
        what,
        path: path.to_owned(),
        line,
        reason,
        layouts,
    };
    let bytes = fs::read(path).map_err(|source| GeoError::Read {
        what,
        path: path.to_owned(),
        source,
    })?;
    let bytes = gzip::unpacked(bytes).map_err(format)?;
    let Read { entries, odd } = if mmdb::recognise(&bytes) {
        mmdb::read::<V>(&bytes).map_err(|reason| GeoError::Database {
            what,
            path: path.to_owned(),
            reason,
        })?
    } else {
        let text = text::recognise(&bytes).map_err(|reason| format(reason.to_owned()))?;
        text::read::<V>(&text).map_err(|fault| line(fault.line, fault.reason))?
    };
    let all = entries.0.len() + entries.1.len();
    let ranges = Ranges::new(entries).map_err(|overlap| {
        let earlier = overlap.earlier;
        let reason = if overlap.equal {
            format!("the range is that of line {earlier} and has another {what}")
        } else {
            format!("the range overlaps that of line {earlier}, and neither lies within the other")
        };
        line(overlap.line, reason)
    })?;
    if ranges.is_empty() {
        let found = odd.example.map(|example| format!(": there is {example}"));
        return Err(GeoError::Empty {
            what,
            path: path.to_owned(),
            found: found.unwrap_or_default(),
            layouts,
        });
    }
    tell::<V>(path, all, &odd, ranges.nested);
    Ok(ranges)
}

/// Logs what an operator should know of a file that is used.
fn tell<V: Value>(path: &Path, all: usize, odd: &Odd, nested: usize) {
    let (path, code) = (path.display(), V::CODE);
    if let Some(example) = &odd.example {
        log::warn!(
            "{path}: {} of {all} ranges have no {code}, such as {example}: their sources have an unknown {}",
            odd.ranges,
            V::WHAT
        );
    }
    if nested > 0 {
        log::info!(
            "{path}: {nested} of {all} ranges lie within others: the narrowest range of an address decides"
        );
    }
}

#[cfg(test)]
mod tests;
