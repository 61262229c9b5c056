//! Tests of which sources get rows, and of which are known.

use noctule_packet::{CellId, Class};

use crate::admission::Admission;
use crate::budget::{AdmissionClass, Budget};
use crate::epoch::{Capacity, Epoch, Timing};
use crate::epoch_tests::packet;

use super::*;

fn known_sources(sources: usize) -> Arc<KnownSources> {
    KnownSources::unseeded(sources * 4)
}

impl KnownSources {
    fn add(&self, source: u32, generation: u16) {
        self.record(source, self.hasher.hash_one(source), generation, true);
        self.renew_hints(generation);
    }

    fn holds(&self, source: u32, generation: u16) -> bool {
        self.contains(source, self.hasher.hash_one(source), generation)
    }
}

#[test]
fn a_source_is_known_for_as_long_as_it_was_seen_often() {
    for (times, lasts) in [(1, 2), (2, 4), (3, 8), (4, 16), (9, 16)] {
        let known = known_sources(64);
        for generation in 0..times {
            known.add(7, generation);
            known.add(7, generation);
        }
        let last = times - 1;
        assert!(known.holds(7, last) && known.holds(7, last + lasts));
        assert!(!known.holds(7, last + lasts + 1), "{times}");
        assert!(!known.holds(8, last));
    }
}

#[test]
fn a_flood_replaces_no_fresh_source() {
    let known = known_sources(4096);
    let note = |source: u32, generation| {
        known.record(source, known.hasher.hash_one(source), generation, true);
    };
    (0..1000).for_each(|source| note(source, 1));
    (0..200_000).for_each(|forged| note(1 << 20 | forged, 2));
    known.renew_hints(2);
    let kept = (0..1000).filter(|&source| known.holds(source, 3)).count();
    // A bucket of 8 hardly gets more than 8 of 1000 sources that go to 512 buckets.
    assert!(kept >= 999, "{kept}");
    let forged = (0..200_000).filter(|forged| known.holds(1 << 20 | forged, 3));
    assert!(forged.count() <= 4096 - 1000 + 1);
}

#[test]
fn a_source_that_is_refused_twice_returns() {
    let known = known_sources(64);
    known.add(9, 0);
    let mut admission = Admission::new(4096, known);
    for source in [Source::V4(5), Source::V6(5 << 64)] {
        assert_eq!(admission.classify(source), AdmissionClass::Unknown);
        assert_eq!(admission.classify(source), AdmissionClass::Returning);
    }
    assert_eq!(admission.classify(Source::V4(9)), AdmissionClass::Known);
    admission.clear();
    assert_eq!(admission.classify(Source::V4(5)), AdmissionClass::Unknown);
}

#[test]
fn known_sources_have_rows_all_over_the_table() {
    let hasher = RandomState::with_seeds(1, 2, 3, 4);
    let capacity = Capacity::share(64_000, 1);
    let known_sources = KnownSources::new(64_000, &hasher);
    let mut epoch = Epoch::with_known_sources(Arc::clone(&known_sources), &capacity, 1, &hasher);
    let cell = CellId::new(6, Class::Scan, Some(23));
    for source in 0..40_000 {
        epoch.count(&packet(Source::V4(source), cell), 0, Timing::OnTime, 0);
    }
    assert_eq!(epoch.flows4.len(), 40_000);
    epoch.learn_sources(&known_sources);
    // In the table's order, which is that of the next interval's rows too.
    let known: Vec<_> = (epoch.flows4.iter())
        .map(|row| brief(row.flow().source, &hasher))
        .map(|source| known_sources.contains(source, hasher.hash_one(source), 1))
        .collect();
    let quarters = known.chunks(10_000);
    let quarters: Vec<_> = quarters
        .map(|quarter| quarter.iter().filter(|known| **known).count())
        .collect();
    let total: usize = quarters.iter().sum();
    assert!(total > 15_000, "{total}");
    let even = total / 5..total / 3;
    assert!(
        quarters.iter().all(|known| even.contains(known)),
        "{quarters:?}"
    );
}

#[test]
fn budgets_leave_room_for_every_class_and_for_the_known() {
    for rows in [16, 1000, 2_000_000] {
        let budget = Budget::divided(rows);
        assert!(budget.by_class.iter().all(|&share| share < budget.open));
        assert!(budget.open < budget.returning || rows < 32);
        assert!(budget.returning < budget.all);
    }
}
