//! Table `ledger`: the account of where every packet went.
//!
//! Per row: `in_flight_before + matched_packets = counted_packets + every lost_ column +
//! in_flight_after`, for the packets of one queue in one interval.

use std::collections::HashSet;

use crate::encode::{Column, Read, encode};
use crate::{StoreError, Table};

/// How frames came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// AF_XDP, the NIC writes into the UMEM.
    ZeroCopy,
    /// AF_XDP, the driver's frames are copied into the UMEM.
    Copy,
    /// AF_XDP behind generic XDP.
    Generic,
    /// A capture file.
    Replay,
}

impl Mode {
    /// `zero-copy`, `copy`, `generic` or `replay`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ZeroCopy => "zero-copy",
            Self::Copy => "copy",
            Self::Generic => "generic",
            Self::Replay => "replay",
        }
    }
}

/// The account of one queue in one interval. Counts are packets unless the name says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    /// Start of the interval, microseconds since 1970.
    pub interval_start_us: i64,
    /// Length of the interval, seconds.
    pub interval_seconds: u32,
    /// Milliseconds of the interval during which the sensor was watching.
    pub observed_ms: u64,
    /// First and last moment of the interval that the sensor was watching, microseconds since 1970.
    pub observed_us: (i64, i64),
    /// Receive queue; 0 for a replay.
    pub queue: u32,
    /// How frames came.
    pub mode: Mode,
    /// Frames read: dark and passed.
    pub records: u64,
    /// Frames whose destination is dark.
    pub matched_packets: u64,
    /// Their octets, link layer included.
    pub matched_bytes: u64,
    /// Frames that are IP and not dark.
    pub passed_packets: u64,
    /// Their octets, link layer included.
    pub passed_bytes: u64,
    /// Frames passed because no destination address could be read.
    pub not_parsed_packets: u64,
    /// Matched earlier and not yet counted when the interval began.
    pub in_flight_before: u64,
    /// Counted in tables.
    pub counted_packets: u64,
    /// Octets of their IP datagrams.
    pub counted_bytes: u64,
    /// Lost: the queue had no socket.
    pub lost_unserved: u64,
    /// Lost: too long, or the fill ring was empty.
    pub lost_rx_dropped: u64,
    /// Lost: the worker was too slow.
    pub lost_rx_ring_full: u64,
    /// What the account lacks; negative if more was counted than matched.
    pub lost_unexplained: i64,
    /// Matched and not yet counted when the interval ended.
    pub in_flight_after: u64,
    /// Counted here although their own interval was closed.
    pub late_packets: u64,
    /// Counted here although their time was more than an hour ahead and nothing confirmed it.
    pub time_jump_packets: u64,
    /// Their flow found no row in a full flow table.
    pub overflow_packets: u64,
    /// Fingerprint hits that found no row in a full fingerprint table.
    pub fingerprint_overflow_hits: u64,
    /// Dark packets that are ICMP errors: the next four are what became of their quotes.
    pub icmp_errors: u64,
    /// Counted for a victim.
    pub quotes_counted: u64,
    /// The quoted source is not the address that the error was sent to.
    pub quotes_foreign: u64,
    /// The quote is cut before its destination address, or is not IP.
    pub quotes_unreadable: u64,
    /// No room was left in the table of victims.
    pub quotes_overflow: u64,
    /// Packets with each kind of decode error, in the order of the names given to
    /// [`encode_ledger`].
    pub decode_errors: Vec<u64>,
    /// Version of the prefix list.
    pub prefixes_version: String,
    /// Microseconds from the interval's start to the moment from which this list decided what is
    /// dark; none where it decided throughout.
    pub prefixes_changed_us: Option<i64>,
    /// Observed IPv4 addresses.
    pub observed_addresses: u64,
    /// Observed IPv6 space, in /64s.
    pub observed_slash64s: u64,
    /// Version of the collector.
    pub software_version: String,
    /// Version of the fingerprint and class rules.
    pub rules_version: String,
    /// Fingerprints whose expressions are columns `constant1` and on of `flows`, in this order:
    /// name/version, with commas between them.
    pub constants: String,
    /// Every packet of the interval is in the account.
    pub complete: bool,
    /// A table was full: distinct counts are estimates or missing, or fingerprint hits or quoted
    /// victims lack rows.
    pub degraded: bool,
    /// The collector ran for a part of the interval only.
    pub partial: bool,
}

/// Encodes ledger rows as one Parquet file, in the order given.
///
/// `error_kinds` names decode errors as (layer, reason); each makes a column
/// `error_<layer>_<reason>`, with underscores for hyphens and blanks.
///
/// # Errors
/// [`StoreError::ErrorColumn`] for a name that is no column name or stands twice,
/// [`StoreError::ErrorCounts`] for a row without exactly one count per name.
pub fn encode_ledger(
    rows: &[LedgerRow],
    error_kinds: &[(&str, &str)],
) -> Result<Vec<u8>, StoreError> {
    let mut seen = HashSet::new();
    for &(layer, reason) in error_kinds {
        let name = error_column(layer, reason);
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if layer.is_empty() || reason.is_empty() || !name.chars().all(plain) {
            return Err(StoreError::ErrorColumn(name));
        }
        if !seen.insert(name.clone()) {
            return Err(StoreError::ErrorColumn(name));
        }
    }
    let expected = error_kinds.len();
    for (row, found) in rows.iter().map(|r| r.decode_errors.len()).enumerate() {
        if found != expected {
            return Err(StoreError::ErrorCounts {
                row,
                found,
                expected,
            });
        }
    }
    encode(Table::Ledger, columns(error_kinds), &[], rows)
}

/// The column that counts a decode error.
pub fn error_column(layer: &str, reason: &str) -> String {
    format!("error_{layer}_{reason}").replace(['-', ' '], "_")
}

type Col = Column<LedgerRow>;

pub(super) fn columns(error_kinds: &[(&str, &str)]) -> Vec<Column<LedgerRow>> {
    use Read::{Count, Flag, Int32, Int64, MaybeInt64, Text, Time};
    fn packets(name: &str, read: fn(&LedgerRow) -> u64) -> Column<LedgerRow> {
        Col::new(name, "packets", Count(read))
    }
    let mut columns = vec![
        Col::new("interval_start", "UTC", Time(|r| r.interval_start_us)),
        Col::new(
            "interval_seconds",
            "seconds",
            Int32(|r| int32(r.interval_seconds)),
        ),
        Col::new("observed_ms", "milliseconds", Count(|r| r.observed_ms)),
        Col::new("observed_from", "UTC", Time(|r| r.observed_us.0)),
        Col::new("observed_to", "UTC", Time(|r| r.observed_us.1)),
        Col::new("queue", "queue index", Int32(|r| int32(r.queue))),
        Col::new("mode", "name", Text(|r| r.mode.name())),
        packets("records", |r| r.records),
        packets("matched_packets", |r| r.matched_packets),
        Col::new(
            "matched_bytes",
            "octets of frames",
            Count(|r| r.matched_bytes),
        ),
        packets("passed_packets", |r| r.passed_packets),
        Col::new(
            "passed_bytes",
            "octets of frames",
            Count(|r| r.passed_bytes),
        ),
        packets("not_parsed_packets", |r| r.not_parsed_packets),
        packets("in_flight_before", |r| r.in_flight_before),
        packets("counted_packets", |r| r.counted_packets),
        Col::new(
            "counted_bytes",
            "octets of IP datagrams",
            Count(|r| r.counted_bytes),
        ),
        packets("lost_unserved", |r| r.lost_unserved),
        packets("lost_rx_dropped", |r| r.lost_rx_dropped),
        packets("lost_rx_ring_full", |r| r.lost_rx_ring_full),
        Col::new("lost_unexplained", "packets", Int64(|r| r.lost_unexplained)),
        packets("in_flight_after", |r| r.in_flight_after),
        packets("late_packets", |r| r.late_packets),
        packets("time_jump_packets", |r| r.time_jump_packets),
        packets("overflow_packets", |r| r.overflow_packets),
        Col::new(
            "fingerprint_overflow_hits",
            "hits",
            Count(|r| r.fingerprint_overflow_hits),
        ),
        packets("icmp_error_packets", |r| r.icmp_errors),
        packets("quotes_counted_packets", |r| r.quotes_counted),
        packets("quotes_foreign_packets", |r| r.quotes_foreign),
        packets("quotes_unreadable_packets", |r| r.quotes_unreadable),
        packets("quotes_overflow_packets", |r| r.quotes_overflow),
    ];
    columns.extend(error_kinds.iter().enumerate().map(|(at, (layer, reason))| {
        let read = Read::CountAt(
            |r: &LedgerRow, at| r.decode_errors.get(at).copied().unwrap_or(0),
            at,
        );
        Col::new(error_column(layer, reason), "packets", read)
    }));
    columns.extend([
        Col::new("prefixes_version", "version", Text(|r| &r.prefixes_version)),
        Col::new(
            "prefixes_changed_us",
            "microseconds",
            MaybeInt64(|r| r.prefixes_changed_us),
        ),
        Col::new(
            "observed_addresses",
            "IPv4 addresses",
            Count(|r| r.observed_addresses),
        ),
        Col::new(
            "observed_slash64s",
            "IPv6 /64s",
            Count(|r| r.observed_slash64s),
        ),
        Col::new("software_version", "version", Text(|r| &r.software_version)),
        Col::new("rules_version", "version", Text(|r| &r.rules_version)),
        Col::new("constants", "name/version", Text(|r| &r.constants)),
        Col::new("complete", "flag", Flag(|r| r.complete)),
        Col::new("degraded", "flag", Flag(|r| r.degraded)),
        Col::new("partial", "flag", Flag(|r| r.partial)),
    ]);
    columns
}

fn int32(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}
