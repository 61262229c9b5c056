//! How long a worker polls empty rings before it sleeps.

/// Longest polling, in microseconds: a small multiple of the cost of sleeping and waking.
const LONGEST_US: i64 = 50;
/// Shortest polling, in microseconds.
const SHORTEST_US: i64 = 1;
/// Frames of a batch from which traffic counts as dense.
const DENSE: usize = 8;

/// Limits the time for which a worker polls empty rings.
///
/// Polling pays if many frames arrive at once, and again soon. After such a batch the limit doubles,
/// after any other it halves: at some thousand packets/s a worker sleeps between any two packets, at
/// millions hardly ever. A sleeping worker loses nothing, since the rings hold frames until it wakes.
#[derive(Debug)]
pub struct BusyPollBackoff {
    limit_us: i64,
    /// When the rings were first found empty.
    since_us: Option<i64>,
}

impl Default for BusyPollBackoff {
    fn default() -> Self {
        Self {
            limit_us: LONGEST_US,
            since_us: None,
        }
    }
}

impl BusyPollBackoff {
    /// Frames were received: adapts the limit.
    #[inline]
    pub fn received(&mut self, now_us: i64, frames: usize) {
        if let Some(since) = self.since_us.take() {
            let soon = now_us - since <= LONGEST_US;
            self.limit_us = if soon && frames >= DENSE {
                (self.limit_us * 2).min(LONGEST_US)
            } else {
                (self.limit_us / 2).max(SHORTEST_US)
            };
        }
    }

    /// No frame was received: true if the worker should sleep.
    #[inline]
    pub fn should_sleep(&mut self, now_us: i64) -> bool {
        now_us - *self.since_us.get_or_insert(now_us) >= self.limit_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Microseconds of polling in a gap of this length.
    fn polled(backoff: &mut BusyPollBackoff, gap_us: i64) -> i64 {
        let polled = (0..gap_us).find(|&now| backoff.should_sleep(now));
        polled.unwrap_or(gap_us)
    }

    #[test]
    fn polling_is_long_in_dense_traffic_and_short_in_sparse() {
        let mut backoff = BusyPollBackoff::default();
        for (gap_us, frames, expected) in [
            (200, 1, SHORTEST_US),
            (30, 64, 30),
            (5, 1, SHORTEST_US),
            (5, 64, 5),
            (750, 64, SHORTEST_US),
        ] {
            for _ in 0..20 {
                polled(&mut backoff, gap_us);
                backoff.received(gap_us, frames);
            }
            assert_eq!(
                polled(&mut backoff, gap_us),
                expected,
                "{frames} frames every {gap_us} us"
            );
            backoff.received(gap_us, frames);
        }
    }
}
