//! Which of a capture's times are believed (counting rule 9).
//!
//! A record's time is compared with its neighbours in the same capture. The *level* is the newest time
//! believed since the clock was last set back. A time departs from it if it is more than an hour ahead
//! or more than two minutes back. A departing record is examined together with up to [`LOOK_AHEAD`] records after
//! it:
//!
//! 1. If the times return to the level, the departure was nonsense.
//! 2. Otherwise, and at the start of a capture, the explanation of least weight decides which records
//!    are believed: [`NONSENSE`] for each that is not, [`GAP`] for a gap ahead, [`STEP`] for any other
//!    departure from one believed record to the next.

/// Records after a departing one that decide about it.
pub(super) const LOOK_AHEAD: usize = 32;

const SECOND_US: i64 = 1_000_000;
/// Farthest that a time goes ahead without departing, and farthest back that it is late.
const HOUR_US: i64 = 3600 * SECOND_US;
/// Farthest that a time goes back without departing.
const BACK_US: i64 = 120 * SECOND_US;
/// Longest gap in which a capture may just have had no records.
const GAP_US: i64 = 7 * 24 * HOUR_US;
/// The last microsecond of the year 9999.
const LAST_US: i64 = 253_402_300_800 * SECOND_US - 1;

/// Weight of a record that is not believed.
const NONSENSE: u32 = 2;
/// Weight of a gap: more than an hour and at most a week ahead.
const GAP: u32 = 1;
/// Weight of a clock that was set: four records must agree about it.
const STEP: u32 = 7;

/// Whether a record counts at its own time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeKind {
    /// It does.
    Own,
    /// It does, and the capture's clock was set back before it.
    SetBack,
    /// Its time is nonsense: it counts at the time of the believed record before it, or at the
    /// start of a capture at that of the first believed record.
    Displaced,
}

/// The time at which a record counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Microseconds since 1970, from 1970 to 9999.
    pub time_us: i64,
    /// Whether it is the record's own.
    pub kind: TimeKind,
}

impl Placed {
    const fn own(time_us: i64) -> Self {
        Self {
            time_us,
            kind: TimeKind::Own,
        }
    }
}

/// A time that the store has a place for: from 1970 to 9999.
pub(super) fn storable(time_us: i64) -> Option<i64> {
    (0..=LAST_US).contains(&time_us).then_some(time_us)
}

/// The times of one capture that were believed so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeline {
    /// The newest believed time since the clock was set back, and the last one.
    believed: Option<(i64, i64)>,
    /// Times from here to `high` do not depart; none before a time is believed.
    low: i64,
    high: i64,
}

impl Default for Timeline {
    fn default() -> Self {
        Self {
            believed: None,
            low: 1,
            high: 0,
        }
    }
}

impl Timeline {
    /// Places a record by its own time alone; `None` if that time departs.
    #[inline]
    pub fn near(&mut self, time_us: i64) -> Option<Placed> {
        if time_us < self.low || time_us > self.high {
            return None;
        }
        let level = self.believed.map_or(time_us, |(level, _)| level);
        self.believe(level.max(time_us), time_us);
        Some(Placed::own(time_us))
    }

    #[inline]
    fn believe(&mut self, level: i64, last: i64) {
        self.believed = Some((level, last));
        self.low = (level - BACK_US).max(0);
        self.high = (level + HOUR_US).min(LAST_US);
    }

    /// Places a record whose time departs. `times` are its own time and those of the records after it,
    /// none where a time cannot be stored; up to twice [`LOOK_AHEAD`] records are used at the start of a
    /// capture. `None` if no record of a start has a time.
    pub fn place(&mut self, times: &[Option<i64>]) -> Option<Placed> {
        let own = times.first().copied().flatten();
        let Some((level, last)) = self.believed else {
            return self.start(own, times);
        };
        if let Some(time_us) = own {
            let window = &times[..times.len().min(LOOK_AHEAD + 1)];
            if !returns(level, time_us, window) && believes(Some(level), window) {
                self.believe(time_us, time_us);
                let kind = if time_us < level {
                    TimeKind::SetBack
                } else {
                    TimeKind::Own
                };
                return Some(Placed { time_us, kind });
            }
            if (level - HOUR_US..level).contains(&time_us) {
                return Some(Placed::own(time_us));
            }
        }
        Some(displaced(last))
    }

    /// Places a record before which none was believed.
    fn start(&mut self, own: Option<i64>, times: &[Option<i64>]) -> Option<Placed> {
        let believed = |at: usize| {
            let end = times.len().min(at + LOOK_AHEAD + 1);
            times[at].filter(|_| believes(None, &times[at..end]))
        };
        if let Some(time_us) = own.and_then(|_| believed(0)) {
            self.believe(time_us, time_us);
            return Some(Placed::own(time_us));
        }
        let ahead = 1..times.len().min(LOOK_AHEAD + 1);
        ahead.into_iter().find_map(believed).map(displaced)
    }
}

const fn displaced(time_us: i64) -> Placed {
    Placed {
        time_us,
        kind: TimeKind::Displaced,
    }
}

/// Whether the times of `window`, the first of which departs from the level, return to it: by at least
/// half of the departure, or half an hour, in one go. A clock that was set back reaches the level, too,
/// but gradually.
fn returns(level: i64, departing: i64, window: &[Option<i64>]) -> bool {
    let leap = (departing.abs_diff(level) / 2).min(HOUR_US as u64 / 2);
    window.windows(2).any(|pair| match *pair {
        [before, Some(time_us)] => {
            weight(level, time_us) == 0
                && before.is_none_or(|before| before.abs_diff(time_us) > leap)
        }
        _ => false,
    })
}

/// Weight of going from one believed time to the next.
const fn weight(from: i64, to: i64) -> u32 {
    let ahead = to.saturating_sub(from);
    if -BACK_US <= ahead && ahead <= HOUR_US {
        0
    } else if 0 < ahead && ahead <= GAP_US {
        GAP
    } else {
        STEP
    }
}

/// Whether the lightest explanation of these times believes the first one. Of two that weigh the same,
/// the one that does is taken.
fn believes(level: Option<i64>, times: &[Option<i64>]) -> bool {
    let mut after = [0; LOOK_AHEAD + 1];
    let times = &times[..times.len().min(after.len())];
    let from = |level: Option<i64>, to| level.map_or(0, |level| weight(level, to));
    // `after[at]`: least weight of what follows if the record at `at` is believed.
    let lightest = |after: &[u32], level: Option<i64>, first: usize| {
        let mut least = (times.len() - first) as u32 * NONSENSE;
        for next in first..times.len() {
            if let Some(time) = times[next] {
                let skipped = (next - first) as u32 * NONSENSE;
                least = least.min(skipped + from(level, time) + after[next]);
            }
        }
        least
    };
    for at in (0..times.len()).rev() {
        if let Some(time) = times[at] {
            after[at] = lightest(&after, Some(time), at + 1);
        }
    }
    let Some(&Some(first)) = times.first() else {
        return false;
    };
    from(level, first) + after[0] <= NONSENSE + lightest(&after, level, 1)
}

#[cfg(test)]
mod tests;
