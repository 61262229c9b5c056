//! Fingerprint hits per source, port and rule, in a table of fixed capacity.
//!
//! Most packets of a darknet bear no fingerprint, so hits do not take room in every flow row.

use noctule_packet::decode::Source;

use crate::table::Row;

/// Key of a hit count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FingerprintKey {
    /// Who sent the probes.
    pub source: Source,
    /// IP protocol number.
    pub protocol: u8,
    /// Destination port.
    pub port: u16,
    /// The rule's place in the rule table.
    pub rule: u8,
}

/// One row: 32 octets.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct FingerprintRow {
    source: u128,
    hits: u64,
    port: u16,
    protocol: u8,
    rule: u8,
    six: u8,
}

impl Row for FingerprintRow {
    type Key = FingerprintKey;
    const VACANT: Self = Self {
        source: 0,
        hits: 0,
        port: 0,
        protocol: 0,
        rule: 0,
        six: 0,
    };

    #[inline]
    fn key(&self) -> FingerprintKey {
        FingerprintKey {
            source: if self.six == 1 {
                Source::V6(self.source)
            } else {
                Source::V4(self.source as u32)
            },
            protocol: self.protocol,
            port: self.port,
            rule: self.rule,
        }
    }

    #[inline]
    fn is_vacant(&self) -> bool {
        self.hits == 0
    }
}

impl FingerprintRow {
    #[inline]
    pub(crate) fn first(key: FingerprintKey) -> Self {
        let (source, six) = match key.source {
            Source::V4(address) => (u128::from(address), 0),
            Source::V6(address) => (address, 1),
        };
        Self {
            source,
            hits: 1,
            port: key.port,
            protocol: key.protocol,
            rule: key.rule,
            six,
        }
    }

    #[inline]
    pub(crate) fn hit(&mut self) {
        self.hits += 1;
    }

    /// The row's key and its hits.
    pub fn entry(&self) -> (FingerprintKey, u64) {
        (self.key(), self.hits)
    }
}
