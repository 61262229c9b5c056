//! One interval from the epochs of all workers: equal keys become one row.

use std::collections::BTreeMap;

use noctule_packet::CellId;
use noctule_packet::decode::Source;

use crate::epoch::Epoch;
use crate::fingerprints::FingerprintKey;
use crate::flow::{Flow, Row4, Row6};
use crate::ports::{PortCount, PortCounters};
use crate::registers::{Registers, coupon};
use crate::sketches::Scope;

/// Calls `visit` for every flow of the interval, in order of source (IPv4 first) and cell.
pub fn flows(epochs: &[&Epoch], mut visit: impl FnMut(Flow)) {
    let mut rows4: Vec<&Row4> = epochs
        .iter()
        .flat_map(|epoch| epoch.flows4.iter())
        .collect();
    rows4.sort_unstable_by_key(|row| row.order());
    merged(rows4.into_iter().map(Row4::flow), &mut visit);
    let mut rows6: Vec<&Row6> = epochs
        .iter()
        .flat_map(|epoch| epoch.flows6.iter())
        .collect();
    rows6.sort_unstable_by_key(|row| row.order());
    merged(rows6.into_iter().map(Row6::flow), &mut visit);
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

/// The interval's fingerprint hits, in order of source, protocol, port and rule.
pub fn fingerprints(epochs: &[&Epoch]) -> Vec<(FingerprintKey, u64)> {
    let mut rows: Vec<_> = (epochs.iter())
        .flat_map(|epoch| epoch.fingerprints.iter())
        .map(crate::fingerprints::FingerprintRow::entry)
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

/// The interval's sketches: those that overflowing packets began. Sources that did get rows must
/// be added by [`SketchSet::add`], so that each sketch speaks for all sources of its scope.
#[derive(Default)]
pub struct SketchSet {
    sketches: BTreeMap<Scope, Registers>,
}

impl SketchSet {
    /// The union of what the workers' sketches hold.
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

    /// No packet overflowed.
    pub fn is_empty(&self) -> bool {
        self.sketches.is_empty()
    }

    /// Adds the source of a flow to every sketch whose scope it falls into.
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
