//! Darknet events as Merit Network publishes them of its telescope ORION: the packets of one source,
//! port and kind of traffic without a long silence between them.
//!
//! The kinds of traffic, their numbers, the names of the fields and the meaning of silence are those
//! of Merit's program (repository `Merit-Research/darknet-events`: `README.md`,
//! `internal/decode/decode.go`, `internal/annotate/annotate.go`). That program reads packets; here
//! rows of `flows`, one for each interval, are joined, and so:
//!
//! - destinations are estimated from a bitmap, and a full bitmap gives a lower bound only
//!   ([`Destinations`]); Merit counts them;
//! - a silence within an interval is not seen, which matters if intervals are longer than the silence;
//! - backscatter over UDP has the victim's port, which is the source port; Merit gives the
//!   destination's;
//! - RST with ACK is [`Traffic::TcpRst`]; Merit calls it other;
//! - a tool is named if its fingerprint matches at least 4 of 5 packets. Merit tests three sampled
//!   packets, and at that share all three of them match more often than not.

use std::io::{self, Write};
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::country::Country;

mod traffic;

pub use traffic::Traffic;

/// Settings of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Milliseconds without a packet after which an event ends.
    pub silence_ms: i64,
    /// Events with fewer destinations are ignored.
    pub least_destinations: u64,
}

impl Default for Settings {
    /// Merit's: 624 s, 10 destinations.
    fn default() -> Self {
        Self {
            silence_ms: 624_000,
            least_destinations: 10,
        }
    }
}

/// Packets of one source, port and kind of traffic in one interval: a row of `flows` or a part of
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// Source address.
    pub source: IpAddr,
    /// The event's port, by [`Traffic::of`].
    pub port: u16,
    /// The kind of traffic, by [`Traffic::of`].
    pub traffic: Traffic,
    /// Start of the interval, microseconds since 1970.
    pub interval_start_us: i64,
    /// When the first packet came, milliseconds after the interval's start.
    pub first_ms: u32,
    /// From the first packet to the last, milliseconds.
    pub duration_ms: u32,
    /// Packets.
    pub packets: u64,
    /// Octets of IP datagrams.
    pub bytes: u64,
    /// Linear-counting bitmap of destinations.
    pub destinations: u64,
    /// Country of the source; none where it is not known.
    pub country: Option<Country>,
    /// AS number of the source; none where it is not known.
    pub asn: Option<u32>,
    /// Packets that the fingerprints of ZMap, masscan and Mirai match.
    pub hits: [u64; 3],
}

impl EventRow {
    /// The order of rows.
    fn key(&self) -> (IpAddr, u16, Traffic, i64) {
        (self.source, self.port, self.traffic, self.interval_start_us)
    }

    const fn first(&self) -> i64 {
        (self.interval_start_us.div_euclid(1000)).saturating_add(self.first_ms as i64)
    }
}

/// Distinct destinations, estimated from a bitmap of 64 bits.
///
/// The estimate is linear counting's, -64 ln(share of empty bits), and at most the number of packets.
/// A bitmap without an empty bit is *saturated*: then the estimate is 266, that of one empty bit, and
/// a lower bound.
///
/// Consecutive addresses spread over the bits more evenly than random ones, so that sweeps are
/// estimated too high: 20 as 24, 64 as some 130. The limit by packets corrects this if each address
/// got one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destinations {
    /// The estimate, rounded.
    pub estimate: u64,
    /// The bitmap is full: there may be many more.
    pub saturated: bool,
}

impl Destinations {
    /// Estimates from the bitmap of this many packets.
    pub fn of(bitmap: u64, packets: u64) -> Self {
        let empty = bitmap.count_zeros().max(1);
        let estimate = (64.0 * (64.0 / f64::from(empty)).ln()).round() as u64;
        Self {
            estimate: estimate.min(packets),
            // Packets are at least as many as destinations.
            saturated: bitmap == u64::MAX && packets > estimate,
        }
    }
}

/// One event: a line of Merit's format, with one more field (`UniqueDestsSaturated`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Event {
    /// Source address.
    #[serde(rename = "SourceIP")]
    pub source: IpAddr,
    /// Port; 0 for traffic without ports.
    pub port: u16,
    /// Kind of traffic, as Merit's number.
    #[serde(serialize_with = "number")]
    pub traffic: Traffic,
    /// Time of the first packet.
    #[serde(serialize_with = "text")]
    pub first: Timestamp,
    /// Time of the last packet.
    #[serde(serialize_with = "text")]
    pub last: Timestamp,
    /// Packets.
    pub packets: u64,
    /// Octets of IP datagrams.
    pub bytes: u64,
    /// Distinct destinations, estimated.
    pub unique_dests: u64,
    /// The estimate is a lower bound: see [`Destinations`].
    pub unique_dests_saturated: bool,
    /// Country of the source; empty where it is not known.
    pub country: String,
    /// AS number of the source; 0 where it is not known.
    #[serde(rename = "ASN")]
    pub asn: u32,
    /// The fingerprint of ZMap matches 4 of 5 packets.
    pub zmap: bool,
    /// The fingerprint of masscan matches 4 of 5 packets.
    pub masscan: bool,
    /// The fingerprint of Mirai matches 4 of 5 packets.
    pub mirai: bool,
    /// The observed time ends before the silence does, so the event may go on. Not part of the line.
    #[serde(skip)]
    pub ongoing: bool,
}

fn number<S: Serializer>(traffic: &Traffic, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u8(*traffic as u8)
}

fn text<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(time)
}

impl Event {
    /// Writes the event as one line of JSON.
    ///
    /// # Errors
    /// If `out` cannot be written to.
    pub fn write_line(&self, out: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        out.write_all(b"\n")
    }
}

/// Why a row was refused.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// The row belongs before the last row.
    #[error(
        "cannot close events: a row of {0} comes out of order; sort rows by source, port, kind of traffic and interval"
    )]
    Order(IpAddr),
    /// A time outside the calendar.
    #[error(
        "cannot close events: {0} milliseconds since 1970 are outside the calendar; correct the rows"
    )]
    Time(i64),
}

/// Events that were ignored because they have too few destinations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ignored {
    /// Events.
    pub events: u64,
    /// Their packets.
    pub packets: u64,
}

/// Joins rows to events. One event is in memory at a time.
pub struct Events {
    settings: Settings,
    /// End of the observed time, milliseconds since 1970.
    end_ms: i64,
    open: Option<OpenEvent>,
    ignored: Ignored,
}

/// The event that rows are added to.
struct OpenEvent {
    /// All rows so far; its interval is that of the last.
    sum: EventRow,
    first_ms: i64,
    last_ms: i64,
}

impl Events {
    /// No events yet. The observed time ends at `end_us`, microseconds since 1970: an event whose
    /// silence reaches beyond it is `ongoing`.
    pub const fn new(settings: Settings, end_us: i64) -> Self {
        Self {
            settings,
            end_ms: end_us.div_euclid(1000),
            open: None,
            ignored: Ignored {
                events: 0,
                packets: 0,
            },
        }
    }

    /// Adds a row; returns the event that this row ends, if it ends one.
    ///
    /// Rows are sorted by source (IPv4 first), port, kind of traffic and interval; an interval may
    /// have several.
    ///
    /// # Errors
    /// [`EventError::Order`] if the row belongs before the last one; [`EventError::Time`] if the event
    /// that ends has a time outside the calendar.
    pub fn push(&mut self, row: &EventRow) -> Result<Option<Event>, EventError> {
        let first = row.first();
        let last = first.saturating_add(row.duration_ms.into());
        let Some(open) = &mut self.open else {
            self.open = Some(OpenEvent::new(row, first, last));
            return Ok(None);
        };
        let sum = &open.sum;
        if row.key() < sum.key() {
            return Err(EventError::Order(row.source));
        }
        let same = (row.source, row.port, row.traffic) == (sum.source, sum.port, sum.traffic);
        if same && first.saturating_sub(open.last_ms) <= self.settings.silence_ms {
            open.add(row, first, last);
            return Ok(None);
        }
        let over = std::mem::replace(open, OpenEvent::new(row, first, last));
        self.close(&over)
    }

    /// The last event, and how many events were ignored.
    ///
    /// # Errors
    /// [`EventError::Time`] if the event has a time outside the calendar.
    pub fn finish(mut self) -> Result<(Option<Event>, Ignored), EventError> {
        let last = match self.open.take() {
            Some(open) => self.close(&open)?,
            None => None,
        };
        Ok((last, self.ignored))
    }

    fn close(&mut self, open: &OpenEvent) -> Result<Option<Event>, EventError> {
        let sum = &open.sum;
        let destinations = Destinations::of(sum.destinations, sum.packets);
        if destinations.estimate < self.settings.least_destinations {
            self.ignored.events += 1;
            self.ignored.packets += sum.packets;
            return Ok(None);
        }
        let time = |ms| Timestamp::from_millisecond(ms).map_err(|_| EventError::Time(ms));
        let known = sum.country.filter(|&country| country != Country::UNKNOWN);
        let [zmap, masscan, mirai] = sum.hits.map(|hits| {
            sum.traffic == Traffic::TcpSyn && u128::from(hits) * 5 >= u128::from(sum.packets) * 4
        });
        Ok(Some(Event {
            source: sum.source,
            port: sum.port,
            traffic: sum.traffic,
            first: time(open.first_ms)?,
            last: time(open.last_ms)?,
            packets: sum.packets,
            bytes: sum.bytes,
            unique_dests: destinations.estimate,
            unique_dests_saturated: destinations.saturated,
            country: known.map_or_else(String::new, |country| country.to_string()),
            asn: sum.asn.unwrap_or(0),
            zmap,
            masscan,
            mirai,
            ongoing: self.end_ms.saturating_sub(open.last_ms) <= self.settings.silence_ms,
        }))
    }
}

impl OpenEvent {
    const fn new(row: &EventRow, first_ms: i64, last_ms: i64) -> Self {
        Self {
            sum: *row,
            first_ms,
            last_ms,
        }
    }

    fn add(&mut self, row: &EventRow, first_ms: i64, last_ms: i64) {
        self.first_ms = self.first_ms.min(first_ms);
        self.last_ms = self.last_ms.max(last_ms);
        let sum = &mut self.sum;
        sum.interval_start_us = row.interval_start_us;
        sum.packets = sum.packets.saturating_add(row.packets);
        sum.bytes = sum.bytes.saturating_add(row.bytes);
        sum.destinations |= row.destinations;
        // If the country or AS file changed meanwhile, the newer value is right.
        sum.country = row.country.or(sum.country);
        sum.asn = row.asn.or(sum.asn);
        for (mine, hits) in sum.hits.iter_mut().zip(row.hits) {
            *mine = mine.saturating_add(hits);
        }
    }
}

#[cfg(test)]
mod tests;
