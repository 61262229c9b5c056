//! Unpacking ahead of the reader, on a thread of its own.
//!
//! Memory is bounded: at most [`MOST_WAITING`] pieces wait, one is being written and one read.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

/// Octets of a piece, at most.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces that may wait for the reader.
const MOST_WAITING: usize = 2;

/// Reads the octets that a thread has unpacked.
pub(super) struct Unpacked {
    /// Pieces in order; the last is empty or an error.
    pieces: Receiver<io::Result<Vec<u8>>>,
    emptied: Sender<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
    ended: bool,
}

impl Unpacked {
    /// Starts a thread that reads ahead from `source`. The thread ends at the source's end, or with
    /// its next piece after this value was dropped.
    ///
    /// # Errors
    /// The system's error if it starts no thread.
    pub fn start(mut source: Box<dyn Read + Send>) -> io::Result<Self> {
        let (filled, pieces) = sync_channel(MOST_WAITING);
        let (emptied, empty) = channel();
        thread::Builder::new()
            .name("unpack".to_owned())
            .spawn(move || unpack(&mut source, &filled, &empty))?;
        Ok(Self {
            pieces,
            emptied,
            piece: Vec::new(),
            at: 0,
            ended: false,
        })
    }

    fn next_piece(&mut self) -> io::Result<()> {
        let next = self.pieces.recv().unwrap_or_else(|_| {
            Err(io::Error::other(
                "the unpacking thread has ended before its time",
            ))
        });
        self.ended = !matches!(&next, Ok(piece) if !piece.is_empty());
        let done = std::mem::replace(&mut self.piece, next?);
        self.at = 0;
        // A thread that has ended takes no piece back.
        let _ = self.emptied.send(done);
        Ok(())
    }
}

impl Read for Unpacked {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() && !self.ended {
            self.next_piece()?;
        }
        let left = &self.piece[self.at..];
        let count = left.len().min(into.len());
        into[..count].copy_from_slice(&left[..count]);
        self.at += count;
        Ok(count)
    }
}

fn unpack(
    source: &mut impl Read,
    filled: &SyncSender<io::Result<Vec<u8>>>,
    empty: &Receiver<Vec<u8>>,
) {
    loop {
        let mut piece = empty.try_recv().unwrap_or_default();
        piece.resize(PIECE_BYTES, 0);
        let outcome = loop {
            match source.read(&mut piece) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => break outcome,
            }
        };
        let last = !matches!(outcome, Ok(1..));
        let piece = outcome.map(|count| {
            piece.truncate(count);
            piece
        });
        if filled.send(piece).is_err() || last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its octets, a few at a time, and then fails.
    struct Failing(Vec<u8>);

    impl Read for Failing {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = into.len().min(self.0.len()).min(3);
            if count == 0 {
                return Err(io::Error::from_raw_os_error(5));
            }
            for (slot, octet) in into.iter_mut().zip(self.0.drain(..count)) {
                *slot = octet;
            }
            Ok(count)
        }
    }

    #[test]
    fn everything_before_an_error_is_read_and_then_the_error() {
        let octets: Vec<u8> = (0..200).collect();
        let mut unpacked = Unpacked::start(Box::new(Failing(octets.clone()))).unwrap();
        let mut read = Vec::new();
        let error = unpacked.read_to_end(&mut read).unwrap_err();
        assert_eq!((read, error.raw_os_error()), (octets, Some(5)));
        assert_eq!(
            unpacked.read(&mut [0; 4]).unwrap(),
            0,
            "the error comes once"
        );
    }

    #[test]
    fn a_reader_may_stop_before_the_end() {
        let mut unpacked = Unpacked::start(Box::new(io::repeat(7))).unwrap();
        let mut some = [0; 1000];
        unpacked.read_exact(&mut some).unwrap();
        assert_eq!(some, [7; 1000]);
    }
}
