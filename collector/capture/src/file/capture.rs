//! One capture of a merge: opened when its time comes, its records' times placed.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

use noctule_packet::link::LinkType;

use super::timeline::{LOOK_AHEAD, Placed, Timeline, storable};
use super::{Block, CaptureError, CaptureReader, CaptureRecord, Portion, TimeResolution};

/// Records that are read ahead at most: at a capture's start, each of the first [`LOOK_AHEAD`] is
/// placed with as many after it.
const MOST_AHEAD: usize = 2 * LOOK_AHEAD + 1;
/// Octets of records that are read ahead at most, and one record more.
const MOST_AHEAD_BYTES: usize = 8 << 20;

/// What was found wrong with the times of captures. Numbers of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeFaults {
    /// Times before 1970 or after 9999. The records count with their neighbours.
    pub unstorable: u64,
    /// Such records without a neighbour that has a time: they are left out.
    pub untimed: u64,
    /// Fractions of a second or more in a capture that is marked as microseconds.
    pub long_fractions: u64,
}

impl TimeFaults {
    pub(super) fn add(&mut self, other: Self) {
        self.unstorable += other.unstorable;
        self.untimed += other.untimed;
        self.long_fractions += other.long_fractions;
    }
}

/// A record that was read ahead.
struct Queued {
    link: Option<LinkType>,
    link_number: u32,
    time_us: i64,
    wire_bytes: u32,
    block: Block,
    start: usize,
    length: usize,
}

enum Source {
    /// A file that was looked at and closed.
    Closed(PathBuf),
    Open(Box<CaptureReader>),
    Ended,
}

/// A capture of a [`Merged`](super::Merged).
pub struct Capture {
    source: Source,
    resolution: Option<TimeResolution>,
    /// The part that is read; none: all.
    portion: Option<Portion>,
    name: String,
    digest: String,
    total: Option<u64>,
    /// Octets that a reader which has ended had read.
    consumed: u64,
    first: Option<i64>,
    timeline: Timeline,
    /// Records that were read ahead, in order.
    ahead: VecDeque<Queued>,
    /// The current record, if it was read ahead; otherwise it is the reader's.
    current: Option<Queued>,
    placed: Placed,
    faults: TimeFaults,
    problems: Vec<CaptureError>,
}

impl std::fmt::Debug for Capture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Capture")
            .field("digest", &self.digest)
            .field("placed", &self.placed)
            .finish_non_exhaustive()
    }
}

impl From<CaptureReader> for Capture {
    fn from(reader: CaptureReader) -> Self {
        let (name, digest) = (reader.file().to_owned(), reader.digest().to_owned());
        Self {
            total: reader.total_bytes(),
            ..Self::new(name, digest, Source::Open(Box::new(reader)))
        }
    }
}

impl Capture {
    /// A capture of which nothing was read.
    fn new(name: String, digest: String, source: Source) -> Self {
        Self {
            name,
            digest,
            source,
            resolution: None,
            portion: None,
            total: None,
            consumed: 0,
            first: None,
            timeline: Timeline::default(),
            ahead: VecDeque::new(),
            current: None,
            placed: Placed {
                time_us: 0,
                kind: super::TimeKind::Own,
            },
            faults: TimeFaults::default(),
            problems: Vec::new(),
        }
    }

    /// Looks at a capture: its digest and its first time. A file is closed again until its time comes;
    /// a pipe, and standard input (`-`), stay open.
    ///
    /// # Errors
    /// As [`CaptureReader::open`].
    pub fn look(path: &Path, resolution: Option<TimeResolution>) -> Result<Self, CaptureError> {
        let is_file = path != Path::new("-") && fs::metadata(path).is_ok_and(|of| of.is_file());
        if !is_file {
            let mut capture = Self::from(CaptureReader::open_as(path, resolution)?);
            capture.resolution = resolution;
            return Ok(capture);
        }
        let mut looking = Self::from(CaptureReader::glance(path, resolution)?);
        let first = looking.advance().map(|placed| placed.time_us);
        Ok(Self {
            resolution,
            total: looking.total,
            // A capture without a time is read before the others.
            first: Some(first.unwrap_or(i64::MIN)),
            placed: looking.placed,
            ..Self::new(
                looking.name,
                looking.digest,
                Source::Closed(path.to_owned()),
            )
        })
    }

    /// A part of a capture file.
    ///
    /// # Errors
    /// As [`CaptureReader::open`].
    pub fn portion(
        path: &Path,
        resolution: Option<TimeResolution>,
        portion: Portion,
    ) -> Result<Self, CaptureError> {
        let mut capture = Self::look(path, resolution)?;
        capture.portion = Some(portion);
        Ok(capture)
    }

    /// The file's name in messages.
    pub(super) fn name(&self) -> String {
        self.name.clone()
    }

    /// A name for the content: see [`CaptureReader::digest`].
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Octets of the underlying file; `None` for a pipe.
    pub fn total_bytes(&self) -> Option<u64> {
        self.total
    }

    /// Octets of the underlying file that were read so far.
    pub fn consumed_bytes(&self) -> u64 {
        match &self.source {
            Source::Open(reader) => reader.consumed_bytes(),
            Source::Closed(_) | Source::Ended => self.consumed,
        }
    }

    /// What was wrong with the times of the records that were read so far.
    pub(super) fn faults(&self) -> TimeFaults {
        let long_fractions = match &self.source {
            Source::Open(reader) => reader.long_fractions(),
            Source::Closed(_) | Source::Ended => 0,
        };
        TimeFaults {
            long_fractions: self.faults.long_fractions + long_fractions,
            ..self.faults
        }
    }

    /// What was found wrong since the last call.
    pub(super) fn take_problems(&mut self) -> Vec<CaptureError> {
        std::mem::take(&mut self.problems)
    }

    pub(super) fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }

    /// The time of the first record, if the capture was looked at and is not open.
    pub(super) fn first_time(&self) -> Option<i64> {
        self.first
    }

    /// Opens a file that was closed.
    #[cold]
    fn open(&mut self, path: &Path) {
        self.first = None;
        let end = self.portion.map(|portion| portion.end);
        let mut reader = match CaptureReader::open_part(path, self.resolution, end) {
            Ok(reader) => reader,
            Err(problem) => return self.problems.push(problem),
        };
        for _ in 0..self.portion.map_or(0, |portion| portion.skip) {
            if let Err(problem) = reader.advance() {
                self.problems.push(problem);
            }
        }
        self.source = Source::Open(Box::new(reader));
    }

    /// Makes the next record the current one, and places its time; `None` at the end.
    #[inline]
    pub(super) fn advance(&mut self) -> Option<Placed> {
        if self.ahead.is_empty() {
            self.current = None;
            if !self.read() {
                self.ahead = VecDeque::new();
                return None;
            }
            if let Source::Open(reader) = &self.source
                && let Some(placed) = self.timeline.near(reader.time_us())
            {
                self.placed = placed;
                return Some(placed);
            }
            self.queue();
        }
        self.place()
    }

    /// Makes the reader's next record its current one; false at the end.
    #[inline]
    fn read(&mut self) -> bool {
        if let Source::Open(reader) = &mut self.source {
            match reader.advance() {
                Ok(true) => return true,
                Ok(false) => {}
                Err(problem) => self.problems.push(problem),
            }
        }
        self.open_or_end()
    }

    #[cold]
    fn open_or_end(&mut self) -> bool {
        match std::mem::replace(&mut self.source, Source::Ended) {
            Source::Closed(path) => {
                self.open(&path);
                self.read()
            }
            Source::Open(reader) => {
                self.consumed = reader.consumed_bytes();
                self.faults.long_fractions += reader.long_fractions();
                false
            }
            Source::Ended => false,
        }
    }

    /// Puts the reader's current record into the queue.
    fn queue(&mut self) {
        if let Source::Open(reader) = &self.source
            && let Some(record) = reader.current()
        {
            let (block, start) = reader.place();
            self.ahead.push_back(Queued {
                link: record.link,
                link_number: record.link_number,
                time_us: record.time_us,
                wire_bytes: record.wire_bytes,
                block: block.clone(),
                start,
                length: record.bytes.len(),
            });
        }
    }

    /// Reads ahead, until this many records are in the queue.
    fn read_ahead(&mut self, count: usize) {
        let mut bytes: usize = self.ahead.iter().map(|queued| queued.length).sum();
        while self.ahead.len() < count && bytes < MOST_AHEAD_BYTES && self.read() {
            self.queue();
            bytes += self.ahead.back().map_or(0, |queued| queued.length);
        }
    }

    /// Takes the next record from the queue and places it.
    #[cold]
    fn place(&mut self) -> Option<Placed> {
        loop {
            self.read_ahead(1);
            let time_us = self.ahead.front()?.time_us;
            let near = self.timeline.near(time_us);
            let placed = near.or_else(|| {
                self.read_ahead(MOST_AHEAD);
                let times: Vec<_> = (self.ahead.iter().take(MOST_AHEAD))
                    .map(|queued| storable(queued.time_us))
                    .collect();
                self.timeline.place(&times)
            });
            self.faults.unstorable += u64::from(storable(time_us).is_none());
            self.current = self.ahead.pop_front();
            if let Some(placed) = placed {
                self.placed = placed;
                return Some(placed);
            }
            self.faults.untimed += 1;
        }
    }

    /// How the current record's time was placed.
    #[inline]
    pub(super) fn placed(&self) -> Placed {
        self.placed
    }

    /// The current record, its block, and where its octets begin in it.
    #[inline]
    pub(super) fn current(&self) -> Option<(CaptureRecord<'_>, &Block, usize)> {
        if let Some(queued) = &self.current {
            let record = CaptureRecord {
                link: queued.link,
                link_number: queued.link_number,
                time_us: queued.time_us,
                bytes: &queued.block.octets()[queued.start..queued.start + queued.length],
                wire_bytes: queued.wire_bytes,
            };
            return Some((record, &queued.block, queued.start));
        }
        let Source::Open(reader) = &self.source else {
            return None;
        };
        let (block, start) = reader.place();
        Some((reader.current()?, block, start))
    }
}
