//! Darknet events as Merit Network publishes them of its telescope ORION: what one source sent to one
//! port by one kind of traffic, without a long silence in it.
//!
//! The kinds of traffic, their numbers, the names of the fields and the meaning of silence are those
//! of Merit's program (repository `Merit-Research/darknet-events`: `README.md`,
//! `internal/decode/decode.go`, `internal/annotate/annotate.go`). It looks at packets; here rows of
//! `flows` are put together, one for each interval, and so:
//!
//! - destinations are estimated from a bitmap, and a full one gives a least number only
//!   ([`Destinations`]); Merit counts them;
//! - a silence inside an interval is not seen, which matters where intervals are longer than it;
//! - backscatter over UDP has the victim's port, which is the source port; Merit gives the
//!   destination's;
//! - RST with ACK is [`Traffic::TcpRst`]; Merit calls it other;
//! - a tool is named where at least 4 of 5 packets bear its mark. Merit asks three sampled packets,
//!   which then are more likely than not to bear it, all three.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;
use noctule_packet::Source;
use serde::{Serialize, Serializer};

use crate::Country;

mod traffic;

pub use traffic::Traffic;

/// What makes an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Milliseconds without a packet after which an event is over.
    pub silence_ms: i64,
    /// Destinations below which an event is not given.
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
    pub source: Source,
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
    /// Packets that bear the mark of ZMap, of masscan, of Mirai.
    pub hits: [u64; 3],
}

impl EventRow {
    /// The order in which rows come.
    fn key(&self) -> (Source, u16, Traffic, i64) {
        (self.source, self.port, self.traffic, self.interval_start_us)
    }

    const fn first(&self) -> i64 {
        (self.interval_start_us.div_euclid(1000)).saturating_add(self.first_ms as i64)
    }
}

/// Distinct destinations, as far as a bitmap of 64 bits tells them.
///
/// The estimate is linear counting's, -64 ln(share of empty bits), and never more than the packets. A
/// bitmap without an empty bit is *saturated*: then the estimate is 266, that of one empty bit, and
/// the truth is that or anything above.
///
/// Addresses that follow one another spread over the bits more evenly than chance, so that sweeps are
/// estimated too high: 20 as 24, 64 as some 130. Where each address got one packet, the number of
/// packets corrects that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destinations {
    /// How many there are, rounded.
    pub estimate: u64,
    /// There may be many more.
    pub saturated: bool,
}

impl Destinations {
    /// Reads a bitmap of the destinations of so many packets.
    pub fn of(bitmap: u64, packets: u64) -> Self {
        let empty = bitmap.count_zeros().max(1);
        let estimate = (64.0 * (64.0 / f64::from(empty)).ln()).round() as u64;
        Self {
            estimate: estimate.min(packets),
            // As many packets as the estimate says have no more destinations than that.
            saturated: bitmap == u64::MAX && packets > estimate,
        }
    }
}

/// One event: a line of Merit's format, with one field more (`UniqueDestsSaturated`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Event {
    /// Source address.
    #[serde(rename = "SourceIP")]
    pub source: IpAddr,
    /// Port; 0 where there is none.
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
    /// There may be many more: see [`Destinations`].
    pub unique_dests_saturated: bool,
    /// Country of the source; empty where it is not known.
    pub country: String,
    /// AS number of the source; 0 where it is not known.
    #[serde(rename = "ASN")]
    pub asn: u32,
    /// ZMap probed.
    pub zmap: bool,
    /// masscan probed.
    pub masscan: bool,
    /// Mirai or its kin probed.
    pub mirai: bool,
    /// What was observed ends before the silence does: the event may go on. It stands in no line.
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
    /// Writes it as one line of JSON.
    ///
    /// # Errors
    /// What `out` answers.
    pub fn write_line(&self, out: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        out.write_all(b"\n")
    }
}

/// Why a row was not taken.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// It stands before the one before it.
    #[error(
        "cannot close events: a row of {0} comes out of order; sort rows by source, port, kind of traffic and interval"
    )]
    Order(IpAddr),
    /// Its time is none that a calendar knows.
    #[error("cannot close events: {0} milliseconds since 1970 are no time; mend the rows")]
    Time(i64),
}

/// What was not given, for having too few destinations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ignored {
    /// Events.
    pub events: u64,
    /// Their packets.
    pub packets: u64,
}

/// Puts rows together into events, one event in memory.
pub struct Events {
    settings: Settings,
    /// End of what was observed, milliseconds since 1970.
    end_ms: i64,
    open: Option<Open>,
    ignored: Ignored,
}

/// The event that rows are added to.
struct Open {
    /// All rows so far; its interval is that of the last.
    sum: EventRow,
    first_ms: i64,
    last_ms: i64,
}

impl Events {
    /// No events yet. What was observed ends at `end_us`, microseconds since 1970: an event whose
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

    /// Takes the next row, and gives the event that it shows to be over.
    ///
    /// Rows come by source (IPv4 first), port, kind of traffic, interval; several of one interval are
    /// fine.
    ///
    /// # Errors
    /// Any [`EventError`].
    pub fn push(&mut self, row: &EventRow) -> Result<Option<Event>, EventError> {
        let first = row.first();
        let last = first.saturating_add(row.duration_ms.into());
        let Some(open) = &mut self.open else {
            self.open = Some(Open::new(row, first, last));
            return Ok(None);
        };
        let sum = &open.sum;
        if row.key() < sum.key() {
            return Err(EventError::Order(address(row.source)));
        }
        let same = (row.source, row.port, row.traffic) == (sum.source, sum.port, sum.traffic);
        if same && first.saturating_sub(open.last_ms) <= self.settings.silence_ms {
            open.add(row, first, last);
            return Ok(None);
        }
        let over = std::mem::replace(open, Open::new(row, first, last));
        self.close(&over)
    }

    /// The last event, and what was not given.
    ///
    /// # Errors
    /// [`EventError::Time`].
    pub fn finish(mut self) -> Result<(Option<Event>, Ignored), EventError> {
        let last = match self.open.take() {
            Some(open) => self.close(&open)?,
            None => None,
        };
        Ok((last, self.ignored))
    }

    fn close(&mut self, open: &Open) -> Result<Option<Event>, EventError> {
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
            source: address(sum.source),
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

impl Open {
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
        // Where it moved between files of country or AS, the newer is right.
        sum.country = row.country.or(sum.country);
        sum.asn = row.asn.or(sum.asn);
        for (mine, hits) in sum.hits.iter_mut().zip(row.hits) {
            *mine = mine.saturating_add(hits);
        }
    }
}

fn address(source: Source) -> IpAddr {
    match source {
        Source::V4(bits) => Ipv4Addr::from_bits(bits).into(),
        Source::V6(bits) => Ipv6Addr::from_bits(bits).into(),
    }
}

#[cfg(test)]
mod tests;
