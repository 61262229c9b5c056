//! Reads several captures as one, in the order of their records' times.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::capture::{Capture, TimeFaults};
use super::timeline::Placed;
use super::{Block, CaptureError, CaptureRecord};

/// A record of several merged captures.
#[derive(Clone, Copy, Debug)]
pub struct MergedRecord<'a> {
    /// The record.
    pub record: CaptureRecord<'a>,
    /// The block that holds the record's octets; a clone of it keeps them.
    pub block: &'a Block,
    /// Where the octets begin in the block.
    pub start: usize,
    /// Index of the capture that it came from, in the order given to [`Merged::new`].
    pub file: usize,
    /// The time at which it counts.
    pub placed: Placed,
}

/// Merges captures by time: the capture whose next record is the oldest comes first; of equals, the
/// capture that was given first. Records of one capture keep their order, so that a capture that
/// steps back in time still does. Records are ordered by the times at which they count, so that a
/// nonsense time does not disturb the order.
///
/// A file is opened when its first record comes, and closed at its end. No octet is copied, and nothing
/// is allocated per record while times are near each other.
#[derive(Debug)]
pub struct Merged {
    captures: Vec<Capture>,
    /// The time of each capture's next record, without captures at their end.
    heads: BinaryHeap<Reverse<(i64, usize)>>,
    /// The capture of the current record.
    last: Option<usize>,
    started: bool,
    problems: Vec<CaptureError>,
}

impl Merged {
    /// Merges these captures. Nothing is read before the first call of [`Merged::next`].
    pub fn new(captures: impl IntoIterator<Item = impl Into<Capture>>) -> Self {
        let captures: Vec<Capture> = captures.into_iter().map(Into::into).collect();
        Self {
            heads: BinaryHeap::with_capacity(captures.len()),
            captures,
            last: None,
            started: false,
            problems: Vec::new(),
        }
    }

    /// The next record; `None` when every capture is at its end. A capture that is cut or damaged
    /// ends there, which [`Merged::problems`] lists; the others go on.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator could not lend out its readers' buffers"
    )]
    pub fn next(&mut self) -> Option<MergedRecord<'_>> {
        // One capture alone needs no heap.
        let file = if self.captures.len() == 1 {
            if self.captures[0].advance().is_none() {
                self.problems.extend(self.captures[0].take_problems());
                return None;
            }
            0
        } else {
            self.oldest()?
        };
        let capture = &self.captures[file];
        let (record, block, start) = capture.current()?;
        Some(MergedRecord {
            record,
            block,
            start,
            file,
            placed: capture.placed(),
        })
    }

    /// The capture whose next record is the oldest; that record is its current one then.
    fn oldest(&mut self) -> Option<usize> {
        if !self.started {
            self.started = true;
            for file in 0..self.captures.len() {
                match self.captures[file].first_time() {
                    Some(time_us) => self.heads.push(Reverse((time_us, file))),
                    None => self.look_ahead(file),
                }
            }
        }
        if let Some(last) = self.last.take() {
            self.look_ahead(last);
        }
        loop {
            let Reverse((_, file)) = self.heads.pop()?;
            // A file that was closed is opened here, and has no current record yet.
            if self.captures[file].first_time().is_none() {
                self.last = Some(file);
                return Some(file);
            }
            self.look_ahead(file);
        }
    }

    fn look_ahead(&mut self, file: usize) {
        let capture = &mut self.captures[file];
        if let Some(placed) = capture.advance() {
            self.heads.push(Reverse((placed.time_us, file)));
        }
        if capture.has_problems() {
            self.problems.extend(capture.take_problems());
        }
    }

    /// The captures' names in messages.
    pub fn names(&self) -> Vec<String> {
        self.captures.iter().map(Capture::name).collect()
    }

    /// What was wrong with the captures so far, in the order in which it was found.
    pub fn problems(&self) -> &[CaptureError] {
        &self.problems
    }

    /// What was wrong with the times of the records that were read so far.
    pub fn time_faults(&self) -> TimeFaults {
        let mut all = TimeFaults::default();
        (self.captures.iter()).for_each(|capture| all.add(capture.faults()));
        all
    }

    /// Octets of the underlying files that were read so far.
    pub fn consumed_bytes(&self) -> u64 {
        self.captures.iter().map(Capture::consumed_bytes).sum()
    }

    /// Octets of all underlying files; `None` when one of them is a pipe.
    pub fn total_bytes(&self) -> Option<u64> {
        self.captures.iter().map(Capture::total_bytes).sum()
    }
}
