//! Opens the files that attribute sources.

use std::sync::Arc;

use anyhow::Result;
use noctule_store::geo::{AsnDb, CountryDb};

use crate::config::Common;
use noctule_engine::rows::Geo;

/// Opens what the configuration names.
///
/// # Errors
/// A file that cannot be read or is damaged.
pub fn open(common: &Common) -> Result<Geo> {
    Ok(Geo {
        countries: (common.country_db.as_deref())
            .map(CountryDb::open)
            .transpose()?
            .map(Arc::new),
        asns: (common.asn_db.as_deref())
            .map(AsnDb::open)
            .transpose()?
            .map(Arc::new),
    })
}
