//! Country and AS number of sources, from the files that the configuration names.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use noctule_packet::{Rules, Source};
use noctule_store::Country;
use noctule_store::geo::{AsnDb, CountryDb};

/// The open country and AS files.
#[derive(Clone, Default)]
pub struct Geo {
    /// Country by address, when configured.
    pub countries: Option<Arc<CountryDb>>,
    /// AS number by address, when configured.
    pub asns: Option<Arc<AsnDb>>,
}

/// Country and AS number of one source, and whether its address is a bogon.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attribution {
    /// `??` if the country file does not list the source; none without a country file.
    pub country: Option<Country>,
    /// None if the AS file does not list the source, or without an AS file.
    pub asn: Option<u32>,
    /// The address is in no usable address space.
    pub bogon: bool,
}

impl Geo {
    /// Opens the files that are given.
    ///
    /// # Errors
    /// A file cannot be read or is damaged.
    pub fn open(country_db: Option<&Path>, asn_db: Option<&Path>) -> Result<Self> {
        Ok(Self {
            countries: country_db.map(CountryDb::open).transpose()?.map(Arc::new),
            asns: asn_db.map(AsnDb::open).transpose()?.map(Arc::new),
        })
    }

    /// Attributes a source.
    pub fn attribute(&self, source: Source, rules: &Rules) -> Attribution {
        Attribution {
            bogon: rules.is_bogon(source),
            asn: self.asn(source),
            country: self.country(source),
        }
    }

    /// AS number of a source; none if the AS file does not list it, or without an AS file.
    pub fn asn(&self, source: Source) -> Option<u32> {
        self.asns.as_ref().and_then(|db| db.lookup(source.into()))
    }

    /// Country of a source; `??` if the country file does not list it, none without a country file.
    pub fn country(&self, source: Source) -> Option<Country> {
        (self.countries.as_ref()).map(|db| db.lookup(source.into()).unwrap_or(Country::UNKNOWN))
    }
}
