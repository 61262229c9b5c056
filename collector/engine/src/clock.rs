//! The clock of a live run. Intervals are named by the wall clock; how long something lasted is
//! measured by the monotonic clock, which cannot be set.
//!
//! The two differ by a constant until the wall clock is set, the machine sleeps, or a virtual machine
//! is moved: NTP's corrections of the rate change both alike. A difference of half a second
//! or more begins an era. Within an era time is monotonic.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::time::now_us;

/// Smallest step of the wall clock that begins an era, in microseconds. A smaller one is followed
/// within the era, because the interval that it would cut is worth more than its precision.
const STEP_US: i64 = 500_000;

/// Reads both clocks of the machine, in microseconds.
pub trait ClockSource: Send + Sync {
    /// The wall clock, since 1970.
    fn wall_us(&self) -> i64;
    /// The monotonic clock, since any moment.
    fn monotonic_us(&self) -> i64;
}

/// The clocks of the system.
struct SystemClocks {
    began: Instant,
}

impl ClockSource for SystemClocks {
    fn wall_us(&self) -> i64 {
        now_us()
    }

    fn monotonic_us(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

/// A time during which the wall clock did not step.
#[derive(Debug)]
pub struct Era {
    /// Number of the era; the first is 0.
    pub number: u32,
    /// Wall clock minus monotonic clock, in microseconds.
    offset_us: AtomicI64,
}

impl Era {
    /// By how much the wall clock has stepped from an earlier era to this one, in microseconds.
    pub fn step_since(&self, earlier: &Self) -> i64 {
        self.offset_us.load(Ordering::Relaxed) - earlier.offset_us.load(Ordering::Relaxed)
    }
}

/// The clock of a live run.
pub struct RunClock {
    source: Box<dyn ClockSource>,
    /// Number of the newest era.
    newest: AtomicU32,
    era: Mutex<Arc<Era>>,
}

impl RunClock {
    /// A clock of the system's time whose first era begins now.
    pub fn system() -> Arc<Self> {
        Self::new(Box::new(SystemClocks {
            began: Instant::now(),
        }))
    }

    /// A clock whose first era begins now.
    pub fn new(source: Box<dyn ClockSource>) -> Arc<Self> {
        let offset_us = source.wall_us() - source.monotonic_us();
        let first = Era {
            number: 0,
            offset_us: AtomicI64::new(offset_us),
        };
        Arc::new(Self {
            source,
            newest: AtomicU32::new(0),
            era: Mutex::new(Arc::new(first)),
        })
    }

    /// Microseconds since 1970 by the wall clock of this era. A worker reads it once per batch.
    #[inline]
    pub fn now_us(&self, era: &Era) -> i64 {
        self.source.monotonic_us() + era.offset_us.load(Ordering::Relaxed)
    }

    /// Number of the newest era.
    #[inline]
    pub fn newest(&self) -> u32 {
        self.newest.load(Ordering::Acquire)
    }

    /// The newest era.
    pub fn era(&self) -> Arc<Era> {
        Arc::clone(&self.era.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Compares the two clocks. Returns the step in microseconds if the wall clock has stepped, which
    /// begins an era; a difference below half a second is followed. Only the main thread calls it.
    pub fn check(&self) -> Option<i64> {
        let mut newest = self.era.lock().unwrap_or_else(PoisonError::into_inner);
        // Read on both sides of the wall clock, so that a pause between the readings is no step.
        let before = self.source.monotonic_us();
        let wall = self.source.wall_us();
        let after = self.source.monotonic_us();
        let offset = newest.offset_us.load(Ordering::Relaxed);
        let step_us = if wall - before < offset {
            wall - before - offset
        } else {
            (wall - after - offset).max(0)
        };
        if step_us.abs() < STEP_US {
            newest.offset_us.store(offset + step_us, Ordering::Relaxed);
            return None;
        }
        let number = newest.number + 1;
        *newest = Arc::new(Era {
            number,
            offset_us: AtomicI64::new(offset + step_us),
        });
        self.newest.store(number, Ordering::Release);
        Some(step_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clocks that a test sets: wall and monotonic, in microseconds.
    struct Set(Arc<[AtomicI64; 2]>);

    impl ClockSource for Set {
        fn wall_us(&self) -> i64 {
            self.0[0].load(Ordering::Relaxed)
        }

        fn monotonic_us(&self) -> i64 {
            self.0[1].load(Ordering::Relaxed)
        }
    }

    #[test]
    fn a_step_begins_an_era_and_time_stays_monotonic_within_one() {
        const S: i64 = 1_000_000;
        let clocks = Arc::new([AtomicI64::new(1_000 * S), AtomicI64::new(5 * S)]);
        let run = |wall: i64, monotonic: i64| {
            clocks[0].fetch_add(wall, Ordering::Relaxed);
            clocks[1].fetch_add(monotonic, Ordering::Relaxed);
        };
        let clock = RunClock::new(Box::new(Set(Arc::clone(&clocks))));
        let first = clock.era();
        run(7 * S, 7 * S);
        assert!(clock.check().is_none());
        assert_eq!(clock.now_us(&first), 1_007 * S);
        for step in [-6 * S, -3_600 * S, 3_601 * S, 86_400 * S] {
            let old = clock.era();
            let before = clock.now_us(&old);
            run(2 * S + step, 2 * S);
            assert_eq!(
                clock.now_us(&old),
                before + 2 * S,
                "durations are monotonic"
            );
            assert_eq!(clock.check(), Some(step));
            let era = clock.era();
            assert_eq!((era.step_since(&old), era.number), (step, old.number + 1));
            assert_eq!(clock.now_us(&era), before + 2 * S + step);
            assert!(clock.check().is_none(), "one step is one era");
        }
        // A small step is followed without an era.
        let era = clock.era();
        let before = clock.now_us(&era);
        run(S + 400_000, S);
        assert!(clock.check().is_none());
        assert_eq!(clock.now_us(&era), before + S + 400_000);
        assert_eq!(clock.newest(), 4);
    }
}
