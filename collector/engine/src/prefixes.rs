//! The prefix lists of a run, and when each was in force, for the ledger's rows.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use noctule_packet::darknet::Darknet;

use crate::clock::{Era, RunClock};

/// Lists that are kept: more than intervals can be open.
const REMEMBERED: usize = 16;

/// What a ledger row says of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListFacts {
    /// Version of prefixes and tunnels.
    pub version: String,
    /// Observed IPv4 addresses.
    pub addresses: u64,
    /// Observed IPv6 space, in /64s.
    pub slash64s: u64,
}

impl ListFacts {
    /// The facts of a darknet.
    pub fn new(darknet: &Darknet) -> Self {
        Self {
            version: darknet.version().to_owned(),
            addresses: darknet.observed4(),
            slash64s: darknet.observed6_slash64s(),
        }
    }
}

/// Prefix lists by the time from which each was in force: the era, and microseconds since 1970.
#[derive(Debug)]
pub struct PrefixLists {
    /// Ascending; the first list is in force from the beginning.
    lists: Mutex<Vec<((u32, i64), ListFacts)>>,
}

impl PrefixLists {
    /// A run that begins with the list of `darknet`.
    pub fn new(darknet: &Darknet) -> Arc<Self> {
        Arc::new(Self {
            lists: Mutex::new(vec![((0, i64::MIN), ListFacts::new(darknet))]),
        })
    }

    /// Puts another list in force by `flip`; returns the time of the change.
    ///
    /// Calls of [`Self::at`] wait until then, so that an interval's row never misses a change.
    ///
    /// # Errors
    /// The error of `flip`; the list in force stays.
    pub fn change(
        &self,
        to: ListFacts,
        (clock, era): (&RunClock, &Era),
        flip: impl FnOnce() -> Result<()>,
    ) -> Result<i64> {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        flip()?;
        let since = clock.now_us(era);
        lists.push(((era.number, since), to));
        if lists.len() > REMEMBERED {
            lists.remove(0);
        }
        Ok(since)
    }

    /// The list in force at the end of the interval between these times of an era, and the time of its change,
    /// in microseconds from the interval's start, if that lies within the interval.
    pub fn at(&self, era: u32, start_us: i64, end_us: i64) -> (ListFacts, Option<i64>) {
        let lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        let after = lists.partition_point(|&(since, _)| since < (era, end_us));
        let ((since_era, since), facts) = &lists[after.saturating_sub(1)];
        let within = (*since_era == era && *since >= start_us).then(|| since - start_us);
        (facts.clone(), within)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn an_interval_has_the_list_of_its_end() {
        let [one, other] =
            ["198.51.100.0/24", "198.51.0.0/16"].map(|text| Darknet::parse(&[text], &[]).unwrap());
        let lists = PrefixLists::new(&one);
        let clock = RunClock::system();
        let now = (&*clock, &*clock.era());
        assert_eq!(lists.at(0, 0, 60), (ListFacts::new(&one), None));
        let facts = ListFacts::new(&other);
        assert!(lists.change(facts.clone(), now, || bail!("no")).is_err());
        let end_of_time = i64::MAX;
        assert_eq!(lists.at(0, 0, end_of_time), (ListFacts::new(&one), None));
        let since = lists.change(facts.clone(), now, || Ok(())).unwrap();
        assert_eq!(lists.at(0, since - 60, since), (ListFacts::new(&one), None));
        assert_eq!(lists.at(0, since - 7, since + 53), (facts.clone(), Some(7)));
        assert_eq!(lists.at(0, since + 1, since + 61), (facts.clone(), None));
        // After a step back, the list stays in force.
        assert_eq!(lists.at(1, since - 60, since), (facts, None));
    }
}
