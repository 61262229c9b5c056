//! Packets by FlowTuple, over all open intervals, with a limit on their number.
//!
//! FlowTuples are taken out in order, so that neither the hash nor the order of packets has an
//! influence on the result. If the limit is reached, the caller takes out the interval that holds
//! most FlowTuples ([`Tuples::largest`]) before its end, and it starts again empty.

use std::collections::{BTreeMap, HashMap};

use noctule_packet::flowtuple::FlowTuple;

use crate::RandomState;

/// FlowTuples of one interval, ascending, each with its packets.
pub type Sorted = Vec<(FlowTuple, u64)>;

/// Packets by FlowTuple and interval.
pub struct Tuples {
    open: BTreeMap<i64, HashMap<FlowTuple, u64, RandomState>>,
    /// FlowTuples in all open intervals.
    held: usize,
    limit: usize,
}

impl Tuples {
    /// Most memory for one FlowTuple in octets: tables double when they grow, and the list that is
    /// taken out is a copy.
    pub const MOST_BYTES: usize = 4 * size_of::<(FlowTuple, u64)>();

    /// Without FlowTuples; holds at most `limit` at once.
    pub const fn new(limit: usize) -> Self {
        Self {
            open: BTreeMap::new(),
            held: 0,
            limit,
        }
    }

    /// Counts a packet. False if the packet was not counted, because its FlowTuple is new and the
    /// limit is reached.
    #[inline]
    pub fn add(&mut self, interval: i64, tuple: FlowTuple) -> bool {
        let table = self.open.entry(interval).or_default();
        if let Some(packets) = table.get_mut(&tuple) {
            *packets += 1;
            return true;
        }
        if self.held >= self.limit {
            return false;
        }
        table.insert(tuple, 1);
        self.held += 1;
        true
    }

    /// The interval that holds most FlowTuples; the oldest if several hold as many.
    pub fn largest(&self) -> Option<i64> {
        let held = self
            .open
            .iter()
            .rev()
            .map(|(&interval, table)| (table.len(), interval));
        held.max_by_key(|&(tuples, _)| tuples)
            .filter(|&(tuples, _)| tuples > 0)
            .map(|(_, interval)| interval)
    }

    /// The oldest open interval.
    pub fn oldest(&self) -> Option<i64> {
        self.open.keys().next().copied()
    }

    /// Takes an interval's FlowTuples out, and closes it.
    pub fn take(&mut self, interval: i64) -> Sorted {
        let table = self.open.remove(&interval).unwrap_or_default();
        let mut sorted: Sorted = table.into_iter().collect();
        self.held -= sorted.len();
        sorted.sort_unstable();
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(source: u32) -> FlowTuple {
        FlowTuple {
            source,
            ..FlowTuple::default()
        }
    }

    #[test]
    fn packets_are_counted_by_interval_and_given_in_order() {
        let mut tuples = Tuples::new(10);
        for (interval, source) in [(60, 3), (0, 2), (60, 1), (60, 3), (0, 2), (0, 2)] {
            assert!(tuples.add(interval, tuple(source)));
        }
        assert_eq!((tuples.oldest(), tuples.largest()), (Some(0), Some(60)));
        assert_eq!(tuples.take(60), [(tuple(1), 1), (tuple(3), 2)]);
        assert_eq!(tuples.take(0), [(tuple(2), 3)]);
        assert_eq!((tuples.oldest(), tuples.largest()), (None, None));
        assert_eq!(tuples.take(0), []);
    }

    #[test]
    fn no_field_is_forgotten_in_the_key() {
        let zero = FlowTuple::default();
        let others = [
            FlowTuple { source: 1, ..zero },
            FlowTuple {
                destination: 1,
                ..zero
            },
            FlowTuple {
                protocol: 1,
                ..zero
            },
            FlowTuple {
                source_port: 1,
                ..zero
            },
            FlowTuple {
                destination_port: 1,
                ..zero
            },
            FlowTuple { ttl: 1, ..zero },
            FlowTuple {
                tcp_flags: 1,
                ..zero
            },
            FlowTuple {
                ip_length: 1,
                ..zero
            },
            FlowTuple {
                syn_header_bytes: 4,
                ..zero
            },
            FlowTuple {
                syn_window: 1,
                ..zero
            },
            FlowTuple {
                is_spoofed: true,
                ..zero
            },
            FlowTuple {
                is_masscan: true,
                ..zero
            },
        ];
        let mut tuples = Tuples::new(100);
        let hasher = RandomState::with_seeds(1, 2, 3, 4);
        for other in others {
            assert!(tuples.add(0, other));
            assert_ne!(hasher.hash_one(other), hasher.hash_one(zero), "{other:?}");
        }
        assert!(tuples.add(0, zero));
        let taken = tuples.take(0);
        assert_eq!(taken.len(), others.len() + 1);
        assert!(taken.iter().all(|&(_, packets)| packets == 1));
    }

    #[test]
    fn the_limit_holds_for_all_intervals_together() {
        let mut tuples = Tuples::new(3);
        assert!(tuples.add(60, tuple(1)) && tuples.add(60, tuple(2)) && tuples.add(0, tuple(1)));
        assert!(!tuples.add(0, tuple(9)) && !tuples.add(120, tuple(9)));
        assert!(tuples.add(60, tuple(2)), "it is counted already");
        assert_eq!(tuples.largest(), Some(60));
        assert_eq!(tuples.take(60), [(tuple(1), 1), (tuple(2), 2)]);
        assert!(tuples.add(60, tuple(2)) && tuples.add(0, tuple(9)));
        assert!(!tuples.add(60, tuple(3)));
    }
}
