//! A sliding window over a stream of octets, from which records are returned without a copy.
//!
//! The window reads into a [`Block`]: `[.. taken .. | unread .. | room]`. Where a record does not
//! end in its block, its beginning is copied to the front of the next block; that is the only copy.
//! A block that other threads hold, or that holds the caller's current record (`held`), is never
//! written to: the window takes another. Only [`Window::need`] and [`Window::skip`] change blocks,
//! so a [`Span`] is valid until the next call of one of them, and a held span longer.

use std::io::{self, Read};

use super::block::{Block, Lent};

/// Octets of a block; a larger record gets a larger block. Several blocks fit the caches of the
/// cores that share them.
pub(super) const WINDOW_BYTES: usize = 256 << 10;

/// A piece of a block: start and length in octets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    pub start: usize,
    pub length: usize,
}

/// A window over `source`.
pub(super) struct Window {
    source: Box<dyn Read + Send>,
    block: Block,
    /// The block that holds the held span, if it is not the current block.
    before: Option<Block>,
    lent: Lent,
    /// Octets of a block.
    bytes: usize,
    held: Span,
    start: usize,
    end: usize,
    /// Octets of the stream before `start`.
    offset: u64,
    /// Octets of the stream that may be read; none: all.
    last: Option<u64>,
    ended: bool,
    /// The error that ended the source; returned once the octets before it are used up.
    failure: Option<io::Error>,
}

impl Window {
    /// A window with blocks of `bytes` octets, at least one.
    pub fn new(source: Box<dyn Read + Send>, bytes: usize) -> Self {
        let bytes = bytes.max(1);
        Self {
            source,
            block: Block::new(bytes),
            before: None,
            lent: Lent::default(),
            bytes,
            held: Span::default(),
            start: 0,
            end: 0,
            offset: 0,
            last: None,
            ended: false,
            failure: None,
        }
    }

    /// Octets of the stream that were taken.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Ends the stream after this number of octets.
    pub fn end_at(&mut self, octets: u64) {
        self.last = Some(octets);
        let read = self.offset + (self.end - self.start) as u64;
        if read > octets {
            let left = usize::try_from(octets.saturating_sub(self.offset)).unwrap_or(usize::MAX);
            self.end = self.end.min(self.start.saturating_add(left));
            self.ended = true;
        }
    }

    /// Reads until `count` octets are unread; returns how many of them there are, fewer only at the
    /// stream's end.
    #[inline]
    pub fn need(&mut self, count: usize) -> usize {
        if self.end - self.start < count {
            self.fill(count);
        }
        count.min(self.end - self.start)
    }

    /// The first `count` unread octets, or as many as [`Window::need`] returned.
    #[inline]
    pub fn unread(&self, count: usize) -> &[u8] {
        &self.block.octets()[self.start..self.end.min(self.start + count)]
    }

    /// The error that ended the stream, if one did.
    pub fn failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    /// Takes unread octets.
    #[inline]
    pub fn take(&mut self, count: usize) -> Span {
        let length = count.min(self.end - self.start);
        let span = Span {
            start: self.start,
            length,
        };
        self.start += length;
        self.offset += length as u64;
        span
    }

    /// Skips `count` octets; returns how many there were.
    pub fn skip(&mut self, count: u64) -> u64 {
        let mut left = count;
        while left > 0 {
            // No more than the block has room for, so that it never grows.
            let room = self.block.octets().len();
            let there = self.need(usize::try_from(left).map_or(room, |left| left.min(room)));
            if there == 0 {
                break;
            }
            self.take(there);
            left -= there as u64;
        }
        count - left
    }

    /// Holds a span of the current block, instead of the span that was held.
    #[inline]
    pub fn hold(&mut self, span: Span) {
        self.held = span;
        if self.before.is_some() {
            self.release();
        }
    }

    /// The octets of the held span.
    #[inline]
    pub fn held(&self) -> &[u8] {
        let Span { start, length } = self.held;
        &self.held_in().octets()[start..start + length]
    }

    /// The block of the held span, and where the span begins in it.
    #[inline]
    pub fn held_at(&self) -> (&Block, usize) {
        (self.held_in(), self.held.start)
    }

    #[inline]
    fn held_in(&self) -> &Block {
        self.before.as_ref().unwrap_or(&self.block)
    }

    #[cold]
    fn release(&mut self) {
        if let Some(before) = self.before.take() {
            self.lent.put(before);
        }
    }

    #[cold]
    fn fill(&mut self, count: usize) {
        while !self.ended && self.end - self.start < count {
            let end = self.end;
            let room = self.block.fillable().filter(|octets| end < octets.len());
            let Some(octets) = room else {
                self.change(count);
                continue;
            };
            let mut room = octets.len() - end;
            if let Some(last) = self.last {
                let read = self.offset + (end - self.start) as u64;
                room = usize::try_from(last - read).map_or(room, |left| left.min(room));
            }
            match self.source.read(&mut octets[end..end + room]) {
                Ok(0) => self.ended = true,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.ended = true;
                    self.failure = Some(error);
                }
            }
        }
    }

    /// Takes another block and moves the unread octets to its front.
    fn change(&mut self, count: usize) {
        let unread = self.end - self.start;
        // A block grows as octets arrive, never by the length that a header claims.
        let bytes = if unread < self.bytes {
            self.bytes
        } else {
            (2 * unread).min(count.max(self.bytes))
        };
        let mut next = self.lent.take(bytes);
        if let Some(octets) = next.fillable() {
            octets[..unread].copy_from_slice(&self.block.octets()[self.start..self.end]);
        }
        let done = std::mem::replace(&mut self.block, next);
        (self.start, self.end) = (0, unread);
        if self.held.length == 0 {
            // An empty span is valid in every block.
            self.held.start = 0;
        } else if self.before.is_none() {
            self.before = Some(done);
            return;
        }
        self.lent.put(done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one to seven octets at a time, as a pipe may.
    struct Trickle(Vec<u8>, usize);

    impl Read for Trickle {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let left = self.0.len() - self.1;
            let count = (1 + self.1 % 7).min(left).min(into.len());
            into[..count].copy_from_slice(&self.0[self.1..self.1 + count]);
            self.1 += count;
            Ok(count)
        }
    }

    #[test]
    fn a_held_piece_survives_looking_ahead_and_growing() {
        let data: Vec<u8> = (0..3 * WINDOW_BYTES).map(|i| (i % 251) as u8).collect();
        let mut window = Window::new(Box::new(Trickle(data.clone(), 0)), WINDOW_BYTES);
        assert_eq!(window.need(100), 100);
        window.take(10);
        let span = window.take(50);
        window.hold(span);
        assert_eq!(window.need(2 * WINDOW_BYTES), 2 * WINDOW_BYTES);
        assert_eq!(window.held(), &data[10..60]);
        assert_eq!(
            window.unread(2 * WINDOW_BYTES),
            &data[60..][..2 * WINDOW_BYTES]
        );
        assert_eq!(window.skip(u64::MAX), (data.len() - 60) as u64);
        assert_eq!(window.held(), &data[10..60]);
        assert_eq!(window.offset(), data.len() as u64);
        assert_eq!(window.need(1), 0);
    }
}
