//! Digests of captures, which name a replay by its input.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::CaptureError;

/// Octets from either end of a file that its digest covers.
const END_BYTES: u64 = 1 << 20;

/// Octets of a pipe that its digest covers.
pub(super) const BLOCK_BYTES: usize = 4096;

/// A name for a file's content: the first 16 hexadecimal digits of the SHA-256 over its length
/// (8 octets, big-endian), its first MiB and its last MiB.
///
/// Captures are too large to be read twice, so two captures of equal length that differ only in the
/// middle get the same digest. For a pipe see
/// [`CaptureReader::digest`](super::CaptureReader::digest).
///
/// # Errors
/// [`CaptureError::Open`] if the file cannot be read or is not a regular file.
pub fn digest(path: &Path) -> Result<String, CaptureError> {
    let compute = || {
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        digest_of_file(&mut file, metadata.len())
    };
    compute().map_err(|source| CaptureError::Open {
        file: path.display().to_string(),
        source,
    })
}

/// The digest of an open file; afterwards the file's position is its start.
pub(super) fn digest_of_file(file: &mut File, length: u64) -> io::Result<String> {
    let mut hash = Sha256::new();
    hash.update(length.to_be_bytes());
    for start in [0, length.saturating_sub(END_BYTES)] {
        file.seek(SeekFrom::Start(start))?;
        io::copy(&mut Read::by_ref(file).take(END_BYTES), &mut hash)?;
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(hex(hash))
}

/// The digest of the first octets of a pipe.
pub(super) fn digest_of_block(block: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(block);
    hex(hash)
}

fn hex(hash: Sha256) -> String {
    format!("{:.16x}", hash.finalize())
}
