//! The packets of one row on one day, in the order of their times.

use jiff::civil::Date;

use super::plan::{CountryShare, Row, ScenarioPlan};
use super::proportion::{SpreadOrder, below, split};
use super::world::{Turnover, World};
use crate::address::Source;
use crate::random::scramble;

/// A country's part, and where in its pool the sources of the day begin.
struct CountryPart {
    share: CountryShare,
    first: u64,
    /// Packets of the parts so far, this one included.
    end: u64,
}

/// What is left of a day of a row.
pub(super) struct RowDay<'p> {
    pub row: &'p Row,
    parts: Vec<CountryPart>,
    /// Ports with the packets so far.
    ports: Vec<(u16, u64)>,
    /// The parts of the day with observation, in microseconds since 1970 UTC.
    watched: Vec<(i64, i64)>,
    open_us: u64,
    packets: u64,
    sent: u64,
    sources: SpreadOrder,
    port_order: SpreadOrder,
    seed: u64,
    next_us: i64,
}

impl<'p> RowDay<'p> {
    /// The day's packets of a row, if it has any.
    pub fn new(
        plan: &'p ScenarioPlan,
        number: usize,
        day: Date,
        turnover: &mut Turnover,
    ) -> Option<Self> {
        let row = &plan.rows[number];
        let packets = plan.packets(number, day);
        let mut end = 0;
        let mut parts = Vec::new();
        for share in plan.shares(number, day) {
            end += share.packets;
            let first = turnover.first(plan, number, &share);
            parts.push(CountryPart { share, first, end });
        }
        if packets == 0 {
            return None;
        }
        let watched = plan.watched(day);
        let open: i64 = watched.iter().map(|(from, to)| to - from).sum();
        let weights: Vec<u64> = row.ports.iter().map(|&(_, weight)| weight).collect();
        let mut sum = 0;
        let mut ports = Vec::new();
        for (&(port, _), packets) in row.ports.iter().zip(split(packets, &weights)) {
            sum += packets;
            ports.push((port, sum));
        }
        let place = (number as u64) << 48 | plan.start_us(day).unsigned_abs();
        let seed = scramble(scramble(plan.seed()) ^ place);
        let mut flow = Self {
            row,
            parts,
            ports,
            watched,
            open_us: open.unsigned_abs(),
            packets,
            sent: 0,
            sources: SpreadOrder::new(packets, seed),
            port_order: SpreadOrder::new(packets, !seed),
            seed,
            next_us: 0,
        };
        flow.set_time();
        Some(flow)
    }

    /// When the next packet comes; never before the last one.
    #[inline]
    pub fn next_us(&self) -> i64 {
        self.next_us
    }

    /// There is no next packet.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.sent == self.packets
    }

    /// Packet i falls anywhere into the i-th of as many equal pieces of the time watched.
    fn set_time(&mut self) {
        let jitter = below(self.word(self.sent), self.open_us);
        let pieces = u128::from(self.sent) * u128::from(self.open_us) + u128::from(jitter);
        // Less than a day.
        let mut elapsed = (pieces / u128::from(self.packets)) as i64;
        for &(from, to) in &self.watched {
            self.next_us = from + elapsed;
            if self.next_us < to {
                return;
            }
            elapsed -= to - from;
        }
    }

    fn word(&self, number: u64) -> u64 {
        scramble(self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// The next packet's source and port (0 where the kind has none).
    #[inline]
    pub fn take(&mut self, world: &World) -> (Source, u16) {
        let number = self.sources.step();
        let source = self.source(world, number);
        let port = self.port();
        self.sent += 1;
        if !self.is_over() {
            self.set_time();
        }
        (source, port)
    }

    fn source(&self, world: &World, number: u64) -> Source {
        let at = self.parts.partition_point(|part| part.end <= number);
        let Some(part) = self.parts.get(at) else {
            return world.forged(number);
        };
        let (share, number) = (part.share, number + part.share.packets - part.end);
        // Each source sends once; of the rest, the first of them send most.
        let place = if number < share.sources {
            number
        } else {
            let word = self.word(!(number << 16 | at as u64));
            below(word, share.sources).min(below(scramble(word), share.sources))
        };
        world.source(self.row.pool, share.country, part.first + place)
    }

    fn port(&mut self) -> u16 {
        let number = self.port_order.step();
        if let Some((first, last)) = self.row.any {
            return first + below(self.word(!number), u64::from(last - first) + 1) as u16;
        }
        let at = self.ports.partition_point(|&(_, end)| end <= number);
        self.ports.get(at).map_or(0, |&(port, _)| port)
    }
}
