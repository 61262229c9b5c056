//! An epoch: a worker's tables for one interval.
//!
//! All memory is allocated when the epoch is made; counting a packet allocates nothing, takes no
//! lock and makes no system call. At the end of an interval the epoch goes to the flusher, which
//! reads it, clears it and sends it back.

use std::sync::Arc;

use ahash::RandomState;
use noctule_packet::Rules;
use noctule_packet::rules::RuleMatches;

use crate::admission::Admission;
use crate::budget::Budget;
use crate::fingerprints::{self, FingerprintKey, FingerprintRow, Hits, MOST_SETS, MatchSets};
use crate::flow::{Row4, Row6};
use crate::known_sources::KnownSources;
use crate::ports::PortCounters;
use crate::sketches::Sketches;
use crate::table::Table;
pub use crate::tally::{QuoteTally, Tally, Timing};
use crate::victims::VictimRow;

/// Number of rows of a worker's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Rows of the IPv4 flow table.
    pub flows4: usize,
    /// Rows of the IPv6 flow table.
    pub flows6: usize,
    /// Rows of the fingerprint table.
    pub fingerprints: usize,
    /// Rows of the table of victims and senders of ICMP errors.
    pub victims: usize,
}

impl Capacity {
    /// A worker's share of the sensor's `max_flows`: seven eighths of these flow rows are for IPv4
    /// and one eighth for IPv6. The fingerprint table has a 16th as many rows in addition, the table
    /// of victims a 32nd.
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
    /// The rules in force; fingerprints are counted by their index in these rules.
    pub(crate) rules: Arc<Rules>,
    /// Numbers of the sets of fingerprints that packets match.
    pub(crate) sets: MatchSets,
    /// Exact counts of every cell.
    pub ports: PortCounters,
    /// IPv4 flows.
    pub flows4: Table<Row4>,
    /// IPv6 flows.
    pub flows6: Table<Row6>,
    /// Decides which sources get a flow row when the open rows are used up.
    pub(crate) admission: Admission,
    /// Fingerprint hits that flow rows do not count.
    pub fingerprints: Table<FingerprintRow>,
    /// Victims that ICMP errors quote, and who sent them.
    pub victims: Table<VictimRow>,
    /// Distinct sources of packets without a flow row.
    pub sketches: Sketches,
    pub(crate) tallies: Box<[Tally]>,
    /// Packets by RX queue and by the number of the set of fingerprints that they match: one
    /// addition for each packet, however many rules it matches.
    pub(crate) by_set: Box<[[u64; MOST_SETS]]>,
    pub(crate) crowded: bool,
}

impl Epoch {
    /// Empty tables for a worker with this many RX queues, with the shipped rules and without known
    /// sources.
    pub fn new(capacity: &Capacity, queues: usize, hasher: &RandomState) -> Self {
        let known_sources = KnownSources::new(capacity.flows(), hasher);
        Self::with_known_sources(known_sources, capacity, queues, hasher)
    }

    /// Empty tables for a worker with this many RX queues, with the shipped rules. Some flow rows
    /// are reserved for `known_sources`.
    pub fn with_known_sources(
        known_sources: Arc<KnownSources>,
        capacity: &Capacity,
        queues: usize,
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
            tallies: vec![Tally::ZERO; queues].into_boxed_slice(),
            by_set: vec![[0; MOST_SETS]; queues].into_boxed_slice(),
            crowded: false,
        }
    }

    /// Makes the kernel back all tables with memory now, so that no packet waits for a page fault
    /// later.
    pub fn fault_in(&self) {
        self.ports.fault_in();
        self.flows4.fault_in();
        self.flows6.fault_in();
        self.admission.fault_in();
        self.fingerprints.fault_in();
        self.victims.fault_in();
    }

    /// Fingerprint hits by rule, in no order; several may have the same source, port and rule.
    pub(crate) fn hits(&self) -> impl Iterator<Item = Hits> + '_ {
        let spilled = self
            .fingerprints
            .iter()
            .flat_map(|row| row.hits(&self.rules));
        let in_rows = self.flows4.iter().filter_map(Row4::hits);
        spilled.chain(in_rows.flat_map(|(source, port, hits)| {
            let rules = self.sets.set(hits.set).in_row;
            let key = FingerprintKey {
                source,
                port,
                rules,
            };
            fingerprints::by_rule(&self.rules, key, hits.packets.into(), hits.span)
        }))
    }

    /// The rules in force.
    #[inline]
    pub const fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// Starts interval number `interval` with these rules. The epoch must be empty, because its
    /// counts refer to the rules in force.
    pub fn begin(&mut self, rules: &Arc<Rules>, interval: i64) {
        debug_assert!(self.is_empty(), "rules change between epochs only");
        self.admission.generation = interval as u16;
        if !Arc::ptr_eq(&self.rules, rules) {
            self.rules = Arc::clone(rules);
        }
    }

    /// Counts by RX queue.
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

    /// Records the sources of this epoch's flow rows in `known_sources`. Only one thread may do this
    /// at a time.
    ///
    /// If a packet got no row, new sources are recorded only with two packets or more: a forged
    /// source of a flood has one. If not all sources fit, the first ones are kept: they come from
    /// all parts of the tables, since the next epoch has the same hash, and known sources from one
    /// part would fill that part of its tables.
    pub fn learn_sources(&self, known_sources: &KnownSources) {
        let overflowed = self.tallies.iter().any(|tally| tally.overflow > 0);
        let least_packets = if overflowed { 2 } else { 1 };
        // IPv6 first: it has fewer rows, and IPv4 alone could take all entries.
        let flows6 = self.flows6.iter_scattered().map(Row6::flow);
        let flows = flows6.chain(self.flows4.iter_scattered().map(Row4::flow));
        known_sources.learn(flows, self.admission.generation, least_packets);
    }

    /// True if a row's 32-bit packet counter is near its limit: close this epoch before its interval
    /// ends.
    #[inline]
    pub const fn is_crowded(&self) -> bool {
        self.crowded
    }

    /// True if no packet was counted.
    pub fn is_empty(&self) -> bool {
        self.tallies.iter().all(|tally| tally.packets == 0)
    }

    /// Clears all tables for the next interval; their memory stays allocated.
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
