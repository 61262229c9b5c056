//! Writing capture files: classic pcap, microseconds, little-endian.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use noctule_packet::link::LinkType;

const BUFFER_BYTES: usize = 1 << 20;

/// The snap length that the file header states: tcpdump's default. Readers cut what is longer.
const SNAP_BYTES: u32 = 1 << 18;

/// Why a capture could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The system refused.
    #[error("cannot {attempted} capture {file}: {source}; check the folder and the free space")]
    System {
        /// What was attempted: `create` or `write`.
        attempted: &'static str,
        /// The file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// The format's seconds are an unsigned 32-bit number.
    #[error(
        "cannot write a record of time {time_us} us to capture {file}: pcap holds 1970-01-01 to 2106-02-07 only"
    )]
    Time {
        /// The file.
        file: String,
        /// Microseconds since 1970 UTC.
        time_us: i64,
    },
    /// The frame is longer than the snap length that the file states.
    #[error("cannot write a record of {bytes} bytes to capture {file}: the limit is {SNAP_BYTES}")]
    Length {
        /// The file.
        file: String,
        /// The frame's octets.
        bytes: usize,
    },
}

/// Writes a pcap file.
#[derive(Debug)]
pub struct PcapWriter {
    path: PathBuf,
    output: BufWriter<File>,
}

impl PcapWriter {
    /// Creates the file, or empties it, and writes its header.
    ///
    /// # Errors
    /// [`WriteError::System`].
    pub fn create(path: &Path, link: LinkType) -> Result<Self, WriteError> {
        let failed = |source| WriteError::System {
            attempted: "create",
            file: path.display().to_string(),
            source,
        };
        let mut output =
            BufWriter::with_capacity(BUFFER_BYTES, File::create(path).map_err(failed)?);
        output.write_all(&header(link)).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            output,
        })
    }

    /// Writes one whole frame, captured at this time (microseconds since 1970 UTC).
    ///
    /// # Errors
    /// [`WriteError`].
    #[inline]
    pub fn write(&mut self, time_us: i64, frame: &[u8]) -> Result<(), WriteError> {
        let Ok(seconds) = u32::try_from(time_us.div_euclid(1_000_000)) else {
            return Err(WriteError::Time {
                file: self.path.display().to_string(),
                time_us,
            });
        };
        let length = match u32::try_from(frame.len()) {
            Ok(length) if length <= SNAP_BYTES => length,
            _ => {
                return Err(WriteError::Length {
                    file: self.path.display().to_string(),
                    bytes: frame.len(),
                });
            }
        };
        // Below a million, so it fits.
        let micros = time_us.rem_euclid(1_000_000) as u32;
        let mut head = [0; 16];
        for (slot, word) in head
            .chunks_exact_mut(4)
            .zip([seconds, micros, length, length])
        {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        self.output
            .write_all(&head)
            .and_then(|()| self.output.write_all(frame))
            .map_err(|source| self.failed(source))
    }

    /// Writes out what is buffered. Without it the end of the file may be missing.
    ///
    /// # Errors
    /// [`WriteError::System`].
    pub fn finish(mut self) -> Result<(), WriteError> {
        self.output.flush().map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> WriteError {
        WriteError::System {
            attempted: "write",
            file: self.path.display().to_string(),
            source,
        }
    }
}

fn header(link: LinkType) -> [u8; 24] {
    let link_number: u32 = match link {
        LinkType::Ethernet => 1,
        LinkType::RawIp => 101,
        // The variant whose address family does not depend on a machine's byte order.
        LinkType::BsdLoopback => 108,
        LinkType::Ppp => 9,
        LinkType::PppSerial => 50,
        LinkType::PppoeSession => 51,
        LinkType::CiscoHdlc => 104,
        LinkType::Nflog => 239,
        LinkType::LinuxSll => 113,
        LinkType::LinuxSll2 => 276,
    };
    let mut header = [0; 24];
    header[..4].copy_from_slice(&0xa1b2_c3d4u32.to_le_bytes());
    header[4..6].copy_from_slice(&2u16.to_le_bytes());
    header[6..8].copy_from_slice(&4u16.to_le_bytes());
    header[16..20].copy_from_slice(&SNAP_BYTES.to_le_bytes());
    header[20..].copy_from_slice(&link_number.to_le_bytes());
    header
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Times and frames of a capture that a [`PcapWriter`] wrote.
    pub fn records(capture: &Path) -> Vec<(i64, Vec<u8>)> {
        let octets = std::fs::read(capture).unwrap();
        let mut rest = &octets[24..];
        let mut records = Vec::new();
        while !rest.is_empty() {
            let number = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
            let time_us = i64::from(number(0)) * 1_000_000 + i64::from(number(4));
            let end = 16 + number(8) as usize;
            assert_eq!(number(8), number(12), "a frame is whole");
            records.push((time_us, rest[16..end].to_vec()));
            rest = &rest[end..];
        }
        records
    }

    #[test]
    fn times_and_lengths_that_the_format_cannot_hold_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.pcap");
        let mut writer = PcapWriter::create(&path, LinkType::Ethernet).unwrap();
        assert!(writer.write(-1, &[]).is_err());
        assert!(writer.write(i64::MAX, &[]).is_err());
        assert!(writer.write(0, &vec![0; 1 << 19]).is_err());
        let last = i64::from(u32::MAX) * 1_000_000 + 999_999;
        assert!(writer.write(last, &[1, 2]).is_ok());
        writer.finish().unwrap();
        assert_eq!(records(&path), [(last, vec![1, 2])]);
    }
}
