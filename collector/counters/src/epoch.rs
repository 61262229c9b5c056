//! An epoch: one filling of a worker's tables.
//!
//! Everything is allocated when the epoch is made; counting a packet allocates nothing, takes no
//! lock and makes no system call. A full epoch goes to the flusher as a whole, is read there,
//! emptied there and sent back.

use std::sync::Arc;

use ahash::RandomState;
use noctule_packet::Rules;
use noctule_packet::rules::RuleMatches;

use crate::admission::{Admission, Budget, KnownSources};
use crate::fingerprints::{self, FingerprintKey, FingerprintRow, Hits, MOST_SETS, MatchSets};
use crate::flow::{Row4, Row6};
use crate::ports::PortCounters;
use crate::sketches::Sketches;
use crate::table::Table;
pub use crate::tally::{QuoteTally, Tally, Timing};
use crate::victims::VictimRow;

/// How large a worker's tables are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Rows of the IPv4 flow table.
    pub flows4: usize,
    /// Rows of the IPv6 flow table.
    pub flows6: usize,
    /// Rows of the fingerprint table.
    pub fingerprints: usize,
    /// Rows of the table of victims and who told of them.
    pub victims: usize,
}

impl Capacity {
    /// A worker's share of the whole sensor's `max_flows` (see [`Capacity::flows`]): of every 8
    /// rows 7 are for IPv4 and 1 for IPv6; fingerprints get a 16th as many again, victims a 32nd.
    pub fn share(max_flows: usize, workers: usize) -> Self {
        let mine = (max_flows / workers.max(1)).max(16);
        let flows6 = mine / 8;
        Self {
            flows4: mine - flows6,
            flows6,
            fingerprints: (mine / 16).max(16),
            victims: (mine / 32).max(16),
        }
    }

    /// Flow rows, IPv4 and IPv6 together.
    pub const fn flows(&self) -> usize {
        self.flows4 + self.flows6
    }

    /// Most octets that one epoch of this capacity can occupy.
    pub fn bytes(&self) -> usize {
        Table::<Row4>::bytes(self.flows4)
            + Table::<Row6>::bytes(self.flows6)
            + Table::<FingerprintRow>::bytes(self.fingerprints)
            + Table::<VictimRow>::bytes(self.victims)
            + Admission::bytes(self.flows())
            + PortCounters::BYTES
            + Sketches::BYTES
    }
}

/// A worker's tables for one interval.
pub struct Epoch {
    /// What is in force while they fill; fingerprints are counted by their places in it.
    pub(crate) rules: Arc<Rules>,
    /// Numbers of the sets of fingerprints that flow rows bear.
    pub(crate) sets: MatchSets,
    /// Exact counts of every cell.
    pub ports: PortCounters,
    /// IPv4 flows.
    pub flows4: Table<Row4>,
    /// IPv6 flows.
    pub flows6: Table<Row6>,
    /// Who still gets a flow row when they run out.
    pub(crate) admission: Admission,
    /// Fingerprint hits.
    pub fingerprints: Table<FingerprintRow>,
    /// Victims that ICMP errors quote, and who sent them.
    pub victims: Table<VictimRow>,
    /// Distinct sources of packets without a flow row.
    pub sketches: Sketches,
    pub(crate) tallies: Box<[Tally]>,
    /// Packets per lane by the number of the set of fingerprints that they match: one addition a
    /// packet, however many rules it matches.
    pub(crate) by_set: Box<[[u64; MOST_SETS]]>,
    pub(crate) crowded: bool,
}

impl Epoch {
    /// Empty tables for a worker with this many lanes, under the shipped rules, that knows nobody.
    pub fn new(capacity: &Capacity, lanes: usize, hasher: &RandomState) -> Self {
        let known_sources = KnownSources::new(capacity.flows(), hasher);
        Self::with_known_sources(known_sources, capacity, lanes, hasher)
    }

    /// Empty tables for a worker with this many lanes, under the shipped rules. They favour the
    /// sources that `known_sources` holds.
    pub fn with_known_sources(
        known_sources: Arc<KnownSources>,
        capacity: &Capacity,
        lanes: usize,
        hasher: &RandomState,
    ) -> Self {
        Self {
            rules: Rules::shipped(),
            sets: MatchSets::default(),
            ports: PortCounters::default(),
            flows4: Table::new(Budget::divided(capacity.flows4), hasher.clone()),
            flows6: Table::new(Budget::divided(capacity.flows6), hasher.clone()),
            admission: Admission::new(capacity.flows(), known_sources),
            fingerprints: Table::new(Budget::undivided(capacity.fingerprints), hasher.clone()),
            victims: Table::new(Budget::undivided(capacity.victims), hasher.clone()),
            sketches: Sketches::new(hasher.clone()),
            tallies: vec![Tally::ZERO; lanes].into_boxed_slice(),
            by_set: vec![[0; MOST_SETS]; lanes].into_boxed_slice(),
            crowded: false,
        }
    }

    /// Has the kernel back all tables with memory now, so that no packet waits for it later.
    pub fn fault_in(&self) {
        self.ports.fault_in();
        self.flows4.fault_in();
        self.flows6.fault_in();
        self.admission.fault_in();
        self.fingerprints.fault_in();
        self.victims.fault_in();
    }

    /// Fingerprint hits, rule by rule; several may be of one source, port and rule.
    pub(crate) fn hits(&self) -> impl Iterator<Item = Hits> + '_ {
        let spills = self
            .fingerprints
            .iter()
            .flat_map(|row| row.hits(&self.rules));
        let in_rows = self.flows4.iter().filter_map(Row4::hits);
        spills.chain(in_rows.flat_map(|(source, port, hits)| {
            let rules = self.sets.set(hits.set).in_row;
            let key = FingerprintKey {
                source,
                port,
                rules,
            };
            fingerprints::by_rule(&self.rules, key, hits.packets.into(), hits.span)
        }))
    }

    /// The rules that are in force while this epoch fills.
    #[inline]
    pub const fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// Puts rules in force for the filling that begins, that of interval number `interval`. Only an
    /// empty epoch takes other rules: its counts would mean something else from there on.
    pub fn begin(&mut self, rules: &Arc<Rules>, interval: i64) {
        debug_assert!(self.is_empty(), "rules change between epochs only");
        self.admission.generation = interval as u16;
        if !Arc::ptr_eq(&self.rules, rules) {
            self.rules = Arc::clone(rules);
        }
    }

    /// Counts by lane.
    pub fn tallies(&self) -> impl Iterator<Item = Tally> + '_ {
        (self.tallies.iter().zip(&self.by_set)).map(|(tally, by_set)| {
            let mut tally = tally.clone();
            for (number, packets) in by_set.iter().enumerate() {
                for rule in RuleMatches::places_of(self.sets.set(number as u8).rules) {
                    tally.fingerprints[rule] += packets;
                }
            }
            tally
        })
    }

    /// The interval that is being counted, as a number that the next one's is one above.
    pub(crate) const fn generation(&self) -> u16 {
        self.admission.generation
    }

    /// Some packet found no flow row.
    pub(crate) fn overflowed(&self) -> bool {
        self.tallies.iter().any(|tally| tally.overflow > 0)
    }

    /// A row's 32-bit counter is near its end: close this epoch before the interval ends.
    #[inline]
    pub const fn is_crowded(&self) -> bool {
        self.crowded
    }

    /// No packet was counted.
    pub fn is_empty(&self) -> bool {
        self.tallies.iter().all(|tally| tally.packets == 0)
    }

    /// Empties everything for the next filling; memory stays allocated.
    pub fn clear(&mut self) {
        self.ports.clear();
        self.flows4.clear();
        self.flows6.clear();
        self.admission.clear();
        self.fingerprints.clear();
        self.victims.clear();
        self.sketches.clear();
        self.tallies.fill(Tally::ZERO);
        self.sets = MatchSets::default();
        self.by_set.fill([0; MOST_SETS]);
        self.crowded = false;
    }
}
