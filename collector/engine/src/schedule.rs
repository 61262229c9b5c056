//! The rules of each interval.

use std::sync::{Arc, Mutex, PoisonError};

use noctule_packet::Rules;

use crate::time::IntervalId;

/// Rule sets that are kept: more than intervals can be open.
const REMEMBERED: usize = 16;

/// Rules by the interval from which they are in force. Each worker reads it once per interval, so that
/// all workers count an interval by the same rules.
#[derive(Debug)]
pub struct Schedule {
    /// Ascending; the first rules are in force from the beginning.
    rules: Mutex<Vec<(IntervalId, Arc<Rules>)>>,
}

impl Schedule {
    /// A run that begins with these rules.
    pub fn new(rules: Arc<Rules>) -> Arc<Self> {
        Arc::new(Self {
            rules: Mutex::new(vec![(IntervalId::MIN, rules)]),
        })
    }

    /// The rules of an interval.
    pub fn at(&self, interval: impl Into<IntervalId>) -> Arc<Rules> {
        let interval = interval.into();
        let all = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let after = all.partition_point(|(from, _)| *from <= interval);
        Arc::clone(&all[after.saturating_sub(1)].1)
    }

    /// Puts rules in force from this interval on, or from the next era on if the clock steps before
    /// that; later entries are removed.
    pub fn put(&self, from: impl Into<IntervalId>, rules: Arc<Rules>) {
        let from = from.into();
        let mut all = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let keep = all.partition_point(|(other, _)| *other < from).max(1);
        all.truncate(keep);
        all.push((from, rules));
        if all.len() > REMEMBERED {
            all.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_hold_from_their_interval_on() {
        let [a, b, c] = [0; 3].map(|_| Arc::new(Rules::load(None).unwrap()));
        let schedule = Schedule::new(Arc::clone(&a));
        schedule.put(120, Arc::clone(&b));
        let is = |interval: i64, rules: &Arc<Rules>| Arc::ptr_eq(&schedule.at(interval), rules);
        assert!(is(i64::MIN, &a) && is(60, &a) && is(120, &b) && is(i64::MAX, &b));
        schedule.put(120, Arc::clone(&c));
        assert!(is(60, &a) && is(120, &c));
        for interval in 0..100_i64 {
            schedule.put(180 + interval, Arc::clone(&a));
        }
        assert!(is(500, &a));
        let stepped_back = |start| schedule.at(IntervalId { era: 1, start });
        schedule.put(900, Arc::clone(&b));
        assert!(is(899, &a));
        assert!(
            Arc::ptr_eq(&stepped_back(0), &b),
            "a step takes over what is due"
        );
    }
}
