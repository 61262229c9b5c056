//! Surveys of captures that may still grow: how many whole records there are, and whether they are those
//! of an earlier survey.

use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::{CaptureError, CaptureReader, TimeResolution};

/// What a capture holds up to its last whole record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Whole records.
    pub records: u64,
    /// Octets of the decompressed capture up to their end.
    pub end: u64,
    /// Digest of the first record, 16 hexadecimal digits; empty without records.
    pub first: String,
    /// Digest of the last one.
    pub last: String,
    /// Time of the first one, microseconds since 1970.
    pub first_time_us: i64,
}

/// The part of a capture that a run counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portion {
    /// Records before it.
    pub skip: u64,
    /// Octets of the decompressed capture up to its end.
    pub end: u64,
}

/// Surveys a capture, up to an offset in the decompressed capture if one is given.
///
/// # Errors
/// As [`CaptureReader::open`]. A capture that is cut or damaged is surveyed up to there.
pub fn survey(
    path: &Path,
    resolution: Option<TimeResolution>,
    end: Option<u64>,
) -> Result<Survey, CaptureError> {
    let mut reader = CaptureReader::open_part(path, resolution, end)?;
    let mut survey = Survey {
        records: 0,
        end: 0,
        first: String::new(),
        last: String::new(),
        first_time_us: 0,
    };
    let mut last = Vec::new();
    while let Ok(true) = reader.advance() {
        let Some(record) = reader.current() else {
            break;
        };
        last.clear();
        last.extend(record.time_us.to_be_bytes());
        last.extend(record.link_number.to_be_bytes());
        last.extend(record.wire_bytes.to_be_bytes());
        last.extend(record.bytes);
        if survey.records == 0 {
            survey.first = digest(&last);
            survey.first_time_us = record.time_us;
        }
        survey.records += 1;
        survey.end = reader.offset();
    }
    if survey.records > 0 {
        survey.last = digest(&last);
    }
    Ok(survey)
}

fn digest(octets: &[u8]) -> String {
    format!("{:.16x}", Sha256::digest(octets))
}
