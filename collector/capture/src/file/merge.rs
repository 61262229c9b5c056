//! Several captures read as one, in the order of their records' times.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Block, CaptureError, CaptureReader, CaptureRecord};

/// A record of a merge.
#[derive(Clone, Copy, Debug)]
pub struct MergedRecord<'a> {
    /// The record.
    pub record: CaptureRecord<'a>,
    /// The block that the record's octets lie in: a clone of it keeps them.
    pub block: &'a Block,
    /// Where they begin in the block.
    pub start: usize,
    /// The file it came from, as an index into the readers that were given.
    pub file: usize,
    /// The time of the record that will come next, whichever file it is in; none at the end.
    pub next_time_us: Option<i64>,
}

/// Merges captures by time: whichever file's next record is the oldest comes first, and of
/// equals the file that was given first. Within a file nothing changes its place, so a capture
/// that steps back in time still does.
///
/// No octet is copied and nothing is allocated per record: every reader keeps its current
/// record in place while it looks one ahead.
#[derive(Debug)]
pub struct Merged {
    readers: Vec<CaptureReader>,
    /// The time of each file's next record; files at their end are not in it.
    heads: BinaryHeap<Reverse<(i64, usize)>>,
    started: bool,
    next_time_us: Option<i64>,
    problems: Vec<CaptureError>,
}

impl Merged {
    /// Merges these captures. Nothing is read until the first record is asked for.
    pub fn new(readers: Vec<CaptureReader>) -> Self {
        Self {
            heads: BinaryHeap::with_capacity(readers.len()),
            readers,
            started: false,
            next_time_us: None,
            problems: Vec::new(),
        }
    }

    /// The next record; `None` when every file is at its end. A file that is cut or damaged
    /// ends there, the others go on, and [`Merged::problems`] says so.
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

    /// Makes a file's next record its current one; none if there is no such record.
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

    /// The time of the record after the one that [`Merged::next`] gave last.
    pub fn peek_time(&self) -> Option<i64> {
        self.next_time_us
    }

    /// What was wrong with the files so far, in the order it was met.
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
