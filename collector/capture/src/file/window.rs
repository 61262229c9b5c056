//! A sliding window over a byte stream: what lets records be handed out without a copy.
//!
//! Layout of the buffer: `[.. held .. | unread .. | room]`. `held` is the record that the
//! caller is looking at; it stays in memory while the reader looks ahead. Before the buffer
//! grows, `held` and `unread` move to its front. Only [`Window::need`] and [`Window::skip`]
//! move octets, so a [`Span`] stays good until the next of them unless it is held.

use std::io::{self, Read};

/// Octets of the window to begin with; a larger record makes it grow.
pub(super) const WINDOW_BYTES: usize = 256 << 10;

/// A piece of the buffer: start and length.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    pub start: usize,
    pub length: usize,
}

/// The window.
pub(super) struct Window {
    source: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    held: Span,
    start: usize,
    end: usize,
    /// Octets of the stream before `start`.
    offset: u64,
    ended: bool,
    /// What the source said at its end; told once the octets before it are used up.
    failure: Option<io::Error>,
}

impl Window {
    /// A window of this many octets to begin with, at least one.
    pub fn new(source: Box<dyn Read + Send>, bytes: usize) -> Self {
        Self {
            source,
            buffer: vec![0; bytes.max(1)],
            held: Span::default(),
            start: 0,
            end: 0,
            offset: 0,
            ended: false,
            failure: None,
        }
    }

    /// Octets of the stream that were taken.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Tries to have `count` octets unread; returns how many of them there are, fewer only at
    /// the stream's end.
    #[inline]
    pub fn need(&mut self, count: usize) -> usize {
        if self.end - self.start < count {
            self.fill(count);
        }
        count.min(self.end - self.start)
    }

    /// The first `count` unread octets, or fewer where [`Window::need`] said so.
    #[inline]
    pub fn unread(&self, count: usize) -> &[u8] {
        &self.buffer[self.start..self.end.min(self.start + count)]
    }

    /// Why the stream ended, if it was not its natural end.
    pub fn failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    /// Takes octets that are there.
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

    /// Takes `count` octets without keeping them; returns how many there were.
    pub fn skip(&mut self, count: u64) -> u64 {
        let mut left = count;
        while left > 0 {
            // What the window has room for beside the piece that is held, so that it never grows.
            let room = (self.buffer.len() - self.held.length).max(1);
            let there = self.need(usize::try_from(left).map_or(room, |left| left.min(room)));
            if there == 0 {
                break;
            }
            self.take(there);
            left -= there as u64;
        }
        count - left
    }

    /// Keeps a piece in memory until another one is held.
    #[inline]
    pub fn hold(&mut self, span: Span) {
        self.held = span;
    }

    /// The piece that is held.
    #[inline]
    pub fn held(&self) -> &[u8] {
        &self.buffer[self.held.start..self.held.start + self.held.length]
    }

    #[cold]
    fn fill(&mut self, count: usize) {
        self.compact();
        while !self.ended && self.end - self.start < count {
            if self.end == self.buffer.len() {
                // Grown as octets arrive, never by what a header claims.
                let size = self.buffer.len() * 2;
                self.buffer.resize(size, 0);
            }
            match self.source.read(&mut self.buffer[self.end..]) {
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

    fn compact(&mut self) {
        let (held, unread) = (self.held, self.end - self.start);
        self.buffer
            .copy_within(held.start..held.start + held.length, 0);
        self.held.start = 0;
        self.buffer.copy_within(self.start..self.end, held.length);
        self.start = held.length;
        self.end = held.length + unread;
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
