//! Reads several captures as one, in the order of their records' times.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Block, CaptureError, CaptureReader, CaptureRecord};

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
    /// The time of the next record of all captures; `None` at the end.
    pub next_time_us: Option<i64>,
}

/// Merges captures by time: the capture whose next record is the oldest comes first; of equals, the
/// capture that was given first. Records of one capture keep their order, so that a capture that
/// steps back in time still does.
///
/// No octet is copied and nothing is allocated per record: every reader keeps its current record in
/// place while it reads one record ahead.
#[derive(Debug)]
pub struct Merged {
    readers: Vec<CaptureReader>,
    /// The time of each capture's next record, without captures at their end.
    heads: BinaryHeap<Reverse<(i64, usize)>>,
    started: bool,
    next_time_us: Option<i64>,
    problems: Vec<CaptureError>,
}

impl Merged {
    /// Merges these captures. Nothing is read before the first call of [`Merged::next`].
    pub fn new(readers: Vec<CaptureReader>) -> Self {
        Self {
            heads: BinaryHeap::with_capacity(readers.len()),
            readers,
            started: false,
            next_time_us: None,
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
        if !self.started {
            self.started = true;
            for file in 0..self.readers.len() {
                self.look_ahead(file);
            }
        }
        // One capture alone needs no heap.
        let file = if self.readers.len() == 1 {
            self.take(0)?;
            self.next_time_us = self.peek(0);
            0
        } else {
            let Reverse((_, file)) = self.heads.pop()?;
            self.take(file)?;
            self.look_ahead(file);
            self.next_time_us = self.heads.peek().map(|Reverse((time, _))| *time);
            file
        };
        let reader = &self.readers[file];
        let (block, start) = reader.place();
        Some(MergedRecord {
            record: reader.current()?,
            block,
            start,
            file,
            next_time_us: self.next_time_us,
        })
    }

    /// Makes a capture's next record its current one; `None` at its end.
    #[inline]
    fn take(&mut self, file: usize) -> Option<()> {
        match self.readers[file].advance() {
            Ok(there) => there.then_some(()),
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        }
    }

    /// The time of a file's next record.
    #[inline]
    fn peek(&mut self, file: usize) -> Option<i64> {
        let time = self.readers[file].peek_time();
        if time.is_none() {
            self.problems.extend(self.readers[file].take_problem());
        }
        time
    }

    fn look_ahead(&mut self, file: usize) {
        if let Some(time) = self.peek(file) {
            self.heads.push(Reverse((time, file)));
        }
    }

    /// The time of the record after the one that [`Merged::next`] returned last.
    pub fn peek_time(&self) -> Option<i64> {
        self.next_time_us
    }

    /// What was wrong with the captures so far, in the order in which it was found.
    pub fn problems(&self) -> &[CaptureError] {
        &self.problems
    }

    /// The captures, in the order they were given.
    pub fn readers(&self) -> &[CaptureReader] {
        &self.readers
    }

    /// Octets of the underlying files that were read so far.
    pub fn consumed_bytes(&self) -> u64 {
        self.readers.iter().map(CaptureReader::consumed_bytes).sum()
    }

    /// Octets of all underlying files; `None` when one of them is a pipe.
    pub fn total_bytes(&self) -> Option<u64> {
        self.readers.iter().map(CaptureReader::total_bytes).sum()
    }
}
