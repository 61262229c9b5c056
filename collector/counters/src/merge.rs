//! Merges the epochs of all workers of an interval: rows of equal key become one row.

use std::collections::BTreeMap;

use noctule_packet::CellId;
use noctule_packet::Source;

use crate::epoch::Epoch;
use crate::fingerprints::Hits;
use crate::flow::{Flow, Row4, Row6};
use crate::ports::{PortCount, PortCounters};
use crate::prefetch::prefetch;
use crate::registers::{Registers, coupon};
use crate::sketches::Scope;
use crate::victims::{VictimCount, VictimKey, VictimRow};

/// How many rows ahead of the current one are prefetched.
const AHEAD: usize = 16;

/// Calls `visit` for every flow of the interval, in order of source (IPv4 first) and cell.
///
/// It allocates 16 octets for an IPv4 flow and 48 for an IPv6 flow.
pub fn flows(epochs: &[&Epoch], mut visit: impl FnMut(Flow)) {
    let rows = || epochs.iter().flat_map(|epoch| epoch.flows4.iter());
    let count = epochs.iter().map(|epoch| epoch.flows4.len()).sum();
    let rows = sorted(count, rows().map(|row| (row.order(), row)));
    merged(rows.iter().map(Row4::flow), &mut visit);
    let rows = || epochs.iter().flat_map(|epoch| epoch.flows6.iter());
    let count = epochs.iter().map(|epoch| epoch.flows6.len()).sum();
    let rows = sorted(count, rows().map(|row| (row.order(), row)));
    merged(rows.iter().map(Row6::flow), &mut visit);
}

/// Rows in order of their keys. Copies of the keys are sorted, so that each row, which misses every
/// cache, is read once for its key and once for its value.
struct Sorted<'a, K, R>(Vec<(K, &'a R)>);

fn sorted<'a, K: Ord + Copy, R>(
    count: usize,
    rows: impl Iterator<Item = (K, &'a R)>,
) -> Sorted<'a, K, R> {
    let mut all = Vec::with_capacity(count);
    all.extend(rows);
    all.sort_unstable_by_key(|&(key, _)| key);
    Sorted(all)
}

impl<'a, K, R> Sorted<'a, K, R> {
    fn iter(&self) -> impl Iterator<Item = &'a R> {
        self.0.iter().enumerate().map(|(at, &(_, row))| {
            if let Some(&(_, later)) = self.0.get(at + AHEAD) {
                prefetch(later);
            }
            row
        })
    }
}

fn merged(rows: impl Iterator<Item = Flow>, visit: &mut impl FnMut(Flow)) {
    let mut open: Option<Flow> = None;
    for row in rows {
        match &mut open {
            Some(flow) if (flow.source, flow.cell) == (row.source, row.cell) => flow.merge(&row),
            _ => {
                if let Some(done) = open.replace(row) {
                    visit(done);
                }
            }
        }
    }
    open.into_iter().for_each(visit);
}

/// The interval's port counters: every cell that is not empty.
pub fn ports(epochs: &[&Epoch]) -> BTreeMap<CellId, PortCount> {
    match epochs {
        [one] => one.ports.iter().collect(),
        several => {
            let mut sum = PortCounters::default();
            for epoch in several {
                sum.merge(&epoch.ports);
            }
            sum.iter().collect()
        }
    }
}

/// The interval's fingerprint hits, in order of source, port and rule. All epochs of an interval
/// have the same rules.
pub fn fingerprints(epochs: &[&Epoch]) -> Vec<Hits> {
    let mut rows: Vec<Hits> = epochs.iter().flat_map(|epoch| epoch.hits()).collect();
    rows.sort_unstable_by_key(Hits::order);
    rows.dedup_by(|next, first| {
        let same = next.same_row(first);
        if same {
            first.merge(next);
        }
        same
    });
    rows
}

/// The interval's ICMP errors by victim and sender, in order of both.
pub fn victim_senders(epochs: &[&Epoch]) -> Vec<(VictimKey, u64)> {
    let mut rows: Vec<_> = (epochs.iter())
        .flat_map(|epoch| epoch.victims.iter())
        .map(VictimRow::entry)
        .collect();
    rows.sort_unstable();
    rows.dedup_by(|next, first| {
        let same = next.0 == first.0;
        if same {
            first.1 += next.1;
        }
        same
    });
    rows
}

/// Victims, in order of address, protocol and port, from what [`victim_senders`] gives.
pub fn victims(senders: &[(VictimKey, u64)]) -> Vec<VictimCount> {
    let of_one = senders.chunk_by(|a, b| a.0.victim == b.0.victim);
    (of_one.filter_map(|rows| Some((rows.first()?.0.victim, rows))))
        .map(|(victim, rows)| VictimCount {
            victim,
            packets: rows.iter().map(|(_, packets)| packets).sum(),
            senders: rows.len() as u64,
        })
        .collect()
}

/// The interval's sketches, which overflowing packets created. Sources that have flow rows must be
/// added by [`SketchSet::add`], so that each sketch covers all sources of its scope.
#[derive(Default)]
pub struct SketchSet {
    sketches: BTreeMap<Scope, Registers>,
}

impl SketchSet {
    /// The union of the workers' sketches.
    pub fn of(epochs: &[&Epoch]) -> Self {
        let mut set = Self::default();
        for epoch in epochs {
            for (scope, registers) in epoch.sketches.iter() {
                (set.sketches.entry(scope))
                    .and_modify(|mine| mine.merge(registers))
                    .or_insert_with(|| registers.clone());
            }
        }
        set
    }

    /// True if no packet overflowed.
    pub fn is_empty(&self) -> bool {
        self.sketches.is_empty()
    }

    /// Adds the source of a flow to every sketch whose scope includes its cell.
    pub fn add(&mut self, source: Source, cell: CellId) {
        let coupon = coupon(source);
        for scope in [
            Scope::Protocol(cell.protocol()),
            Scope::Class(cell.protocol(), cell.class()),
            Scope::Cell(cell),
        ] {
            if let Some(registers) = self.sketches.get_mut(&scope) {
                registers.update(coupon);
            }
        }
    }

    /// Every sketch, in order of its scope.
    pub fn iter(&self) -> impl Iterator<Item = (Scope, &Registers)> {
        self.sketches
            .iter()
            .map(|(&scope, registers)| (scope, registers))
    }
}
