//! The account of one RX queue: packets that XDP matched, against packets counted and lost.

use noctule_abi::Verdicts;
use noctule_capture::xdp::XskStatistics;
use noctule_store::tables::Mode;

use crate::ledger::{Lost, QueueLedger};

/// Counters of a queue at one moment, all since the program was loaded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Snapshot {
    /// Frames by XDP's decision.
    pub verdicts: Verdicts,
    /// Frames that the kernel lost on the way to the socket.
    pub statistics: XskStatistics,
    /// Packets that the worker counted.
    pub counted: u64,
}

/// Counters at the end of the previous interval.
#[derive(Clone, Debug, Default)]
pub struct Account {
    before: Snapshot,
    in_flight: u64,
}

impl Account {
    /// Closes an interval.
    ///
    /// Packets that were matched and are neither counted nor lost by a known cause are in flight,
    /// up to the `capacity` of rings and packet memory. The rest is an unexplained loss; so are all
    /// of them once the rings were drained (`settled`). If more packets were counted than matched,
    /// the unexplained loss is negative. Frames that were not parsed are added by the caller, who
    /// knows what they are.
    pub fn close(
        &mut self,
        queue: u32,
        mode: Mode,
        now: &Snapshot,
        capacity: u64,
        settled: bool,
    ) -> QueueLedger {
        let (old, new) = (&self.before.verdicts, &now.verdicts);
        let (lost_old, lost_new) = (&self.before.statistics, &now.statistics);
        let unserved = |v: &Verdicts| v.unserved_passed.packets + v.unserved_dropped.packets;
        let matched_bytes =
            |v: &Verdicts| v.redirected.bytes + v.unserved_passed.bytes + v.unserved_dropped.bytes;
        let mut lost = Lost {
            unserved: unserved(new) - unserved(old),
            rx_dropped: lost_new.rx_dropped - lost_old.rx_dropped,
            rx_ring_full: lost_new.rx_ring_full - lost_old.rx_ring_full,
            unexplained: 0,
        };
        let matched = new.matched() - old.matched();
        let counted = now.counted - self.before.counted;
        let missing = (self.in_flight + matched) as i64 - counted as i64 - lost.total();
        let most_in_flight = if settled { 0 } else { capacity as i64 };
        let in_flight_after = missing.clamp(0, most_in_flight);
        lost.unexplained = missing - in_flight_after;
        let passed = new.passed.packets - old.passed.packets;
        let row = QueueLedger {
            records: matched + passed,
            matched,
            matched_bytes: matched_bytes(new) - matched_bytes(old),
            passed,
            passed_bytes: new.passed.bytes - old.passed.bytes,
            in_flight_before: self.in_flight,
            in_flight_after: in_flight_after as u64,
            lost,
            ..QueueLedger::new(queue, mode)
        };
        self.in_flight = row.in_flight_after;
        self.before = *now;
        row
    }

    /// Packets matched and neither counted nor lost by a known cause, since the program was loaded.
    pub fn missing(now: &Snapshot) -> i64 {
        let v = &now.verdicts;
        v.redirected.packets as i64
            - (now.counted + now.statistics.rx_dropped + now.statistics.rx_ring_full) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use noctule_abi::Tally;
    use proptest::prelude::*;

    fn packets(packets: u64) -> Tally {
        Tally {
            packets,
            bytes: packets * 60,
        }
    }

    fn snapshot(redirected: u64, counted: u64, dropped: u64, full: u64) -> Snapshot {
        let mut now = Snapshot {
            counted,
            ..Snapshot::default()
        };
        now.verdicts.redirected = packets(redirected);
        now.statistics.rx_dropped = dropped;
        now.statistics.rx_ring_full = full;
        now
    }

    #[test]
    fn missing_packets_are_in_flight_until_the_rings_are_drained() {
        let mut account = Account::default();
        let row = account.close(0, Mode::Copy, &snapshot(100, 90, 3, 2), 64, false);
        assert_eq!((row.in_flight_before, row.in_flight_after), (0, 5));
        assert_eq!(row.lost.unexplained, 0);
        let row = account.close(0, Mode::Copy, &snapshot(100, 92, 3, 2), 64, true);
        assert_eq!((row.in_flight_before, row.in_flight_after), (5, 0));
        assert_eq!(row.lost.unexplained, 3);
    }

    #[test]
    fn more_than_the_rings_hold_is_lost() {
        let mut account = Account::default();
        let row = account.close(0, Mode::Copy, &snapshot(100, 0, 0, 0), 64, false);
        assert_eq!((row.in_flight_after, row.lost.unexplained), (64, 36));
    }

    #[test]
    fn more_counted_than_matched_is_a_negative_loss() {
        let mut account = Account::default();
        let row = account.close(0, Mode::Copy, &snapshot(10, 12, 0, 0), 64, false);
        assert_eq!((row.in_flight_after, row.lost.unexplained), (0, -2));
    }

    proptest! {
        /// Every interval balances, and the intervals together balance as the whole does.
        #[test]
        fn every_interval_balances(steps in proptest::collection::vec((0u64..500, 0u64..500, 0u64..9, 0u64..9, 0u64..9, any::<bool>()), 1..20)) {
            let mut account = Account::default();
            let mut now = Snapshot::default();
            let (mut matched, mut gone) = (0i64, 0i64);
            for (redirected, counted, dropped, full, unserved, settled) in steps {
                let counted_before = now.counted;
                now.verdicts.redirected.packets += redirected;
                now.verdicts.unserved_dropped.packets += unserved;
                now.counted += counted;
                now.statistics.rx_dropped += dropped;
                now.statistics.rx_ring_full += full;
                let row = account.close(0, Mode::Copy, &now, 64, settled);
                let into = (row.in_flight_before + row.matched) as i64;
                let out = (now.counted - counted_before) as i64 + row.lost.total() + row.in_flight_after as i64;
                prop_assert_eq!(into, out);
                let most = if settled { 0 } else { 64 };
                prop_assert!(row.in_flight_after <= most);
                matched += row.matched as i64;
                gone += row.lost.total();
                prop_assert_eq!(matched, now.counted as i64 + gone + row.in_flight_after as i64);
            }
        }
    }
}
