//! How long a worker looks at empty rings before it sleeps.

/// Longest spinning, in microseconds: some times what falling asleep and being woken cost.
const LONGEST_US: i64 = 50;
/// Shortest.
const SHORTEST_US: i64 = 1;
/// Frames that come together where traffic is dense.
const DENSE: usize = 8;

/// Spinning pays where many frames come at once, and soon again. Where they did, the next spinning
/// is twice as long, otherwise half: at some thousand packets/s a worker sleeps between any two, at
/// millions hardly ever. Asleep it loses nothing: rings hold what comes until it wakes.
#[derive(Debug)]
pub struct Patience {
    limit_us: i64,
    /// When the rings were first found empty.
    since_us: Option<i64>,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            limit_us: LONGEST_US,
            since_us: None,
        }
    }
}

impl Patience {
    /// So many frames have come.
    #[inline]
    pub fn rewarded(&mut self, now_us: i64, frames: usize) {
        if let Some(since) = self.since_us.take() {
            let soon = now_us - since <= LONGEST_US;
            self.limit_us = if soon && frames >= DENSE {
                (self.limit_us * 2).min(LONGEST_US)
            } else {
                (self.limit_us / 2).max(SHORTEST_US)
            };
        }
    }

    /// Nothing has come. Should the worker sleep?
    #[inline]
    pub fn is_over(&mut self, now_us: i64) -> bool {
        now_us - *self.since_us.get_or_insert(now_us) >= self.limit_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Microseconds of spinning in a gap of this length.
    fn spun(patience: &mut Patience, gap_us: i64) -> i64 {
        let spun = (0..gap_us).find(|&now| patience.is_over(now));
        spun.unwrap_or(gap_us)
    }

    #[test]
    fn it_is_long_where_traffic_is_dense_and_short_where_it_is_not() {
        let mut patience = Patience::default();
        for (gap_us, frames, expected) in [
            (200, 1, SHORTEST_US),
            (30, 64, 30),
            (5, 1, SHORTEST_US),
            (5, 64, 5),
            (750, 64, SHORTEST_US),
        ] {
            for _ in 0..20 {
                spun(&mut patience, gap_us);
                patience.rewarded(gap_us, frames);
            }
            assert_eq!(
                spun(&mut patience, gap_us),
                expected,
                "{frames} frames every {gap_us} us"
            );
            patience.rewarded(gap_us, frames);
        }
    }
}
