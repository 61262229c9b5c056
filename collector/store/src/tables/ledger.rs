//! Table `ledger`: how many packets of each queue were counted, and how many were lost by which cause.
//!
//! Per row: `in_flight_before + matched_packets = counted_packets + every lost_ column +
//! in_flight_after`, for the packets of one queue in one interval.

use crate::encode::{Column, Read, encode};
use crate::error::StoreError;
use crate::table::Table;

/// The kinds of decode errors that have a column each, as (layer, reason), in the order of
/// [`LedgerRow::decode_errors`].
pub const DECODE_ERRORS: [(&str, &str); 17] = [
    ("ipv4", "ihl_below_5"),
    ("ipv4", "header_cut"),
    ("ipv4", "length_below_header"),
    ("ipv4", "length_beyond_frame"),
    ("ipv6", "length_beyond_frame"),
    ("ipv6_extension", "cut"),
    ("tcp", "cut_before_ports"),
    ("tcp", "cut_before_flags"),
    ("tcp", "header_cut"),
    ("tcp", "data_offset_below_5"),
    ("tcp", "data_offset_beyond_end"),
    ("udp", "cut_before_ports"),
    ("udp", "header_cut"),
    ("udp", "length_below_8"),
    ("udp", "length_beyond_end"),
    ("icmp", "cut"),
    ("icmpv6", "cut"),
];

/// The columns of [`DECODE_ERRORS`]: `error_<layer>_<reason>`.
pub fn error_columns() -> [String; DECODE_ERRORS.len()] {
    DECODE_ERRORS.map(|(layer, reason)| format!("error_{layer}_{reason}"))
}

/// How frames were received.
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

/// The ledger of one queue in one interval. Counts are packets unless the name says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    /// Start of the interval, microseconds since 1970.
    pub interval_start_us: i64,
    /// Length of the interval, seconds.
    pub interval_seconds: u32,
    /// Milliseconds of the interval that the sensor observed.
    pub observed_ms: u64,
    /// Begin and end of the observed time, microseconds since 1970.
    pub observed_us: (i64, i64),
    /// Name of the interface; none for a replay.
    pub interface: Option<String>,
    /// Receive queue; 0 for a replay.
    pub queue: u32,
    /// How frames were received.
    pub mode: Mode,
    /// The step of the wall clock that ended the interval, milliseconds, negative if it was set back; 0
    /// if none did. A step makes the interval partial.
    pub clock_step_ms: i64,
    /// Frames read: dark and passed.
    pub records: u64,
    /// Frames whose destination is dark.
    pub matched_packets: u64,
    /// Octets of these frames, link layer included.
    pub matched_bytes: u64,
    /// Frames that are IP and not dark.
    pub passed_packets: u64,
    /// Octets of these frames, link layer included.
    pub passed_bytes: u64,
    /// Frames passed because their destination address could not be read.
    pub not_parsed_packets: u64,
    /// Matched earlier and not yet counted when the interval began.
    pub in_flight_before: u64,
    /// Counted in tables.
    pub counted_packets: u64,
    /// Octets of the IP datagrams of counted packets.
    pub counted_bytes: u64,
    /// Lost: the queue had no socket.
    pub lost_unserved: u64,
    /// Lost: too long, or the fill ring was empty.
    pub lost_rx_dropped: u64,
    /// Lost: the worker was too slow.
    pub lost_rx_ring_full: u64,
    /// Packets whose loss has no known cause; negative if more packets were counted than matched.
    pub lost_unexplained: i64,
    /// Matched and not yet counted when the interval ended.
    pub in_flight_after: u64,
    /// Counted in this interval because their own was closed.
    pub late_packets: u64,
    /// Counted in this interval with their neighbours because their time is nonsense.
    pub time_jump_packets: u64,
    /// Dark packets, about one in 64, that were compared with those of the millisecond before.
    pub repeats_sampled: u64,
    /// Of these, exact repeats of an earlier packet.
    pub repeats: u64,
    /// Packets of flows without a row because the flow table was full.
    pub overflow_packets: u64,
    /// Fingerprint hits without a row because the fingerprint table was full.
    pub fingerprint_overflow_hits: u64,
    /// Dark packets that are ICMP errors. The next four fields sum to it: each quote is in one of them.
    pub icmp_errors: u64,
    /// Quotes that were counted for a victim.
    pub quotes_counted: u64,
    /// Quotes whose source is not the destination of the ICMP error.
    pub quotes_foreign: u64,
    /// Quotes that are cut before their destination address, or are not IP.
    pub quotes_unreadable: u64,
    /// Quotes without a row because the table of victims was full.
    pub quotes_overflow: u64,
    /// Packets with each kind of decode error, in the order of [`DECODE_ERRORS`].
    pub decode_errors: [u64; DECODE_ERRORS.len()],
    /// Version of the prefix list.
    pub prefixes_version: String,
    /// Microseconds from the interval's start to the moment from which this list applied; none if it
    /// applied to the whole interval.
    pub prefixes_changed_us: Option<i64>,
    /// Observed IPv4 addresses.
    pub observed_addresses: u64,
    /// Observed IPv6 space, in /64s.
    pub observed_slash64s: u64,
    /// Version of the collector.
    pub software_version: String,
    /// Version of the fingerprint and class rules.
    pub rules_version: String,
    /// Fingerprints whose expressions are columns `constant1`, `constant2`, ... of `flows`, in this
    /// order: name/version, separated by commas.
    pub constants: String,
    /// Every packet of the interval was counted.
    pub complete: bool,
    /// A table was full: distinct counts are estimates or missing, or rows of fingerprint hits or
    /// quoted victims are missing.
    pub degraded: bool,
    /// The collector ran for a part of the interval only.
    pub partial: bool,
}

/// Encodes ledger rows as one Parquet file, in the order given.
///
/// # Errors
/// [`StoreError::Encode`] if the Parquet writer fails.
pub fn encode_ledger(rows: &[LedgerRow]) -> Result<Vec<u8>, StoreError> {
    encode(Table::Ledger, columns(), rows)
}

type Col = Column<LedgerRow>;

pub(super) fn columns() -> Vec<Column<LedgerRow>> {
    use Read::{Count, Flag, Int32, Int64, MaybeInt64, MaybeText, Text, Time};
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
        Col::new("interface", "name", MaybeText(|r| r.interface.as_deref())),
        Col::new("queue", "queue index", Int32(|r| int32(r.queue))),
        Col::new("mode", "name", Text(|r| r.mode.name())),
        Col::new("clock_step_ms", "milliseconds", Int64(|r| r.clock_step_ms)),
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
        packets("repeats_sampled_packets", |r| r.repeats_sampled),
        packets("repeats_packets", |r| r.repeats),
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
    columns.extend(error_columns().into_iter().enumerate().map(|(at, name)| {
        let read = Read::CountAt(|r: &LedgerRow, at| r.decode_errors[at], at);
        Col::new(name, "packets", read)
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
