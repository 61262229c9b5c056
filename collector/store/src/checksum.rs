//! Checksums of stored files.
//!
//! A file's footer has, under the key `noctule.sha256`, the SHA-256 of the whole file in hexadecimal,
//! computed with zeros (`0`) in the digest's own 64 places. So every octet of a file is covered, and
//! any program can check it.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use parquet::file::metadata::KeyValue;
use sha2::{Digest as _, Sha256};

/// The key in the footer.
pub const KEY: &str = "noctule.sha256";
/// Hexadecimal digits of a digest.
const DIGITS: usize = 64;
/// The octets between key and value: Thrift's mark of a second text, and its length.
const BETWEEN: [u8; 2] = [0x18, 64];
/// Octets at the end of a file in which the digest is looked for.
const TAIL: usize = 4 << 20;

/// The footer's entry before the digest is known.
pub fn entry() -> KeyValue {
    KeyValue::new(KEY.to_owned(), "0".repeat(DIGITS))
}

/// Result of checking a file against its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// The file has the octets that it was written with.
    Sound,
    /// The file has no checksum: its version is 1, or another program wrote it.
    Without,
    /// The file has other octets.
    Damaged,
}

/// Checks a file piece by piece.
#[derive(Default)]
pub struct Check {
    hash: Sha256,
    tail: Vec<u8>,
}

impl Check {
    /// Takes the file's next octets.
    pub fn update(&mut self, octets: &[u8]) {
        self.tail.extend_from_slice(octets);
        if self.tail.len() > 2 * TAIL {
            let done = self.tail.len() - TAIL;
            self.hash.update(&self.tail[..done]);
            self.tail.drain(..done);
        }
    }

    /// Compares the digest of all octets with the checksum.
    pub fn finish(mut self) -> Checked {
        let Some(at) = place(&self.tail) else {
            return Checked::Without;
        };
        let found = self.tail[at..at + DIGITS].to_vec();
        self.tail[at..at + DIGITS].fill(b'0');
        self.hash.update(&self.tail);
        if found == hexadecimal(self.hash) {
            Checked::Sound
        } else {
            Checked::Damaged
        }
    }
}

/// Checks a whole file.
pub fn check(octets: &[u8]) -> Checked {
    let mut check = Check::default();
    check.update(octets);
    check.finish()
}

/// Writes the digest into a finished file that has the [`entry`] for it; any other file stays as it
/// is.
pub fn seal(file: &mut [u8]) {
    if let Some(at) = place(file) {
        let digest = hexadecimal(Sha256::new_with_prefix(&*file));
        file[at..at + DIGITS].copy_from_slice(&digest);
    }
}

/// The same for a file of this machine, which is not flushed to the disk.
///
/// # Errors
/// The file cannot be read or written.
pub(crate) fn seal_file(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let length = file.seek(SeekFrom::End(0))?;
    let tail = length.min(TAIL as u64);
    file.seek(SeekFrom::Start(length - tail))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    let Some(at) = place(&end) else {
        return Ok(());
    };
    file.rewind()?;
    let mut hash = Sha256::new();
    io::copy(&mut file, &mut hash)?;
    file.seek(SeekFrom::Start(length - tail + at as u64))?;
    file.write_all(&hexadecimal(hash))
}

/// The position of the digest in a file's last octets; none without a checksum.
fn place(tail: &[u8]) -> Option<usize> {
    let pattern = [KEY.as_bytes(), &BETWEEN].concat();
    let starts = (0..tail.len().saturating_sub(pattern.len() + DIGITS)).rev();
    let at = starts
        .into_iter()
        .find(|&at| tail[at..].starts_with(&pattern))?
        + pattern.len();
    let digits = &tail[at..at + DIGITS];
    digits.iter().all(u8::is_ascii_hexdigit).then_some(at)
}

/// The checksum in a file.
#[cfg(test)]
pub(crate) fn written(file: &[u8]) -> String {
    let at = place(file).expect("a checksum");
    String::from_utf8_lossy(&file[at..at + DIGITS]).into_owned()
}

fn hexadecimal(hash: Sha256) -> Vec<u8> {
    format!("{:x}", hash.finalize()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<u8> {
        let mut file = b"PAR1 some columns ".to_vec();
        file.extend([KEY.as_bytes(), &BETWEEN, &[b'0'; DIGITS], b" footer PAR1"].concat());
        file
    }

    #[test]
    fn any_changed_octet_is_found() {
        let mut sealed = file();
        seal(&mut sealed);
        assert_eq!(check(&sealed), Checked::Sound);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_ne!(check(&changed), Checked::Sound, "octet {at}");
        }
        assert_eq!(check(&sealed[..sealed.len() - 1]), Checked::Damaged);
        assert_eq!(check(b"PAR1 PAR1"), Checked::Without);
        assert_eq!(check(b""), Checked::Without);
    }

    #[test]
    fn a_file_is_sealed_as_its_octets_are() {
        // Longer than what is kept of the end, and given in pieces that fit nothing.
        let mut long = vec![7; 3 * TAIL + 12_345];
        long.extend(file());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, &long).unwrap();
        seal_file(&path).unwrap();
        seal(&mut long);
        assert!(std::fs::read(&path).unwrap() == long);
        let mut check = Check::default();
        for piece in long.chunks(999_983) {
            check.update(piece);
        }
        assert_eq!(check.finish(), Checked::Sound);
    }
}
