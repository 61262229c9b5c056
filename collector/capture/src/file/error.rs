//! Errors of capture files.

use std::io;

/// Why a capture could not be read, or not to its end.
///
/// `offset` is where the record or block at fault begins, in octets of the capture; if `compressed`
/// is set, in octets of the decompressed data. `records` is the number of whole records before it;
/// all of them were returned before the error is.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file cannot be opened.
    #[error("cannot open capture {file}: {source}; check its name and its permissions")]
    Open {
        /// The file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// The system failed to read from an open file.
    #[error(
        "cannot read capture {file} after offset {offset}{} ({records} records): {source}; \
         check the disk or the pipe it comes from",
        stream(*.compressed)
    )]
    Read {
        /// The file.
        file: String,
        /// Octets of the capture that were read.
        offset: u64,
        /// True: the offset is one of the decompressed data.
        compressed: bool,
        /// Records before it.
        records: u64,
        /// What the system said.
        source: io::Error,
    },
    /// There is nothing in the file.
    #[error("capture {file} is empty (0 bytes{}): leave it out or capture again", stream(*.compressed))]
    Empty {
        /// The file.
        file: String,
        /// True: it is a compressed file that holds nothing.
        compressed: bool,
    },
    /// The file is not a capture.
    #[error(
        "{file} is not a capture that is read here: {found}; give it as pcap or pcapng, plain or compressed with gzip or zstd"
    )]
    Foreign {
        /// The file.
        file: String,
        /// What it begins with.
        found: String,
    },
    /// The file ends in the middle of a record; what came before is whole.
    #[error(
        "capture {file} is cut at offset {offset}{}: {reason}; what comes before it is whole ({records} records), capture or fetch it again for the rest",
        stream(*.compressed)
    )]
    Cut {
        /// The file.
        file: String,
        /// Where the cut record begins.
        offset: u64,
        /// True: the offset is one of the decompressed data.
        compressed: bool,
        /// What is missing.
        reason: String,
        /// Records before it.
        records: u64,
    },
    /// Something follows the last record that is no record, and is left out.
    #[error(
        "capture {file} has {what} from offset {offset}{} on ({bytes} bytes): they are left out; what comes before them is whole ({records} records), fetch the file again if it should have more",
        tail(*.packed, *.compressed)
    )]
    Tail {
        /// The file.
        file: String,
        /// What follows.
        what: &'static str,
        /// Where it begins.
        offset: u64,
        /// Its length in octets.
        bytes: u64,
        /// True: the offset is one of the decompressed data.
        compressed: bool,
        /// True: it follows the compressed data, and the offset is one of the file.
        packed: bool,
        /// Records before it.
        records: u64,
    },
    /// The file claims something impossible, such as a length; nothing after it can be trusted.
    #[error(
        "capture {file} is damaged at offset {offset}{}: {reason}; what comes before it can be read ({records} records), fetch the file again for the rest",
        stream(*.compressed)
    )]
    Damaged {
        /// The file.
        file: String,
        /// Where the damaged record begins.
        offset: u64,
        /// True: the offset is one of the decompressed data.
        compressed: bool,
        /// What is wrong.
        reason: String,
        /// Records before it.
        records: u64,
    },
}

impl CaptureError {
    /// True for a capture that only ends early, such as one whose writer was killed.
    pub fn is_cut(&self) -> bool {
        matches!(self, Self::Cut { .. })
    }

    /// True for a capture of which every record was read.
    pub fn is_tail(&self) -> bool {
        matches!(self, Self::Tail { .. })
    }
}

fn tail(packed: bool, compressed: bool) -> &'static str {
    if packed {
        " of the compressed file"
    } else {
        stream(compressed)
    }
}

fn stream(compressed: bool) -> &'static str {
    if compressed {
        " of the decompressed data"
    } else {
        ""
    }
}

/// What a format's parser found wrong; the reader adds file, offset and number of records.
#[derive(Debug)]
pub(super) enum Fault {
    /// The data ends too early.
    Cut(String),
    /// The data is impossible.
    Damaged(String),
    /// Reading failed.
    Read(io::Error),
    /// This number of zeros follows the last record.
    Zeros(u64),
}

impl From<io::Error> for Box<Fault> {
    fn from(error: io::Error) -> Self {
        Self::new(error.into())
    }
}

impl Fault {
    /// The data ends too early.
    #[cold]
    pub fn cut(reason: String) -> Box<Self> {
        Box::new(Self::Cut(reason))
    }

    /// The data is impossible.
    #[cold]
    pub fn damaged(reason: String) -> Box<Self> {
        Box::new(Self::Damaged(reason))
    }
}

impl From<io::Error> for Fault {
    /// An error with a number is the system's; any other is the decompressor's.
    fn from(error: io::Error) -> Self {
        if error.raw_os_error().is_some() {
            Self::Read(error)
        } else if error.kind() == io::ErrorKind::UnexpectedEof {
            Self::Cut("the compressed data ends early".to_owned())
        } else {
            Self::Damaged(format!("the compressed data cannot be unpacked ({error})"))
        }
    }
}

/// The error of a fault in a file; `offset` and `records` as in [`CaptureError`].
pub(super) fn report(
    fault: Fault,
    file: &str,
    offset: u64,
    compressed: bool,
    records: u64,
) -> CaptureError {
    let file = file.to_owned();
    match fault {
        Fault::Cut(reason) => CaptureError::Cut {
            file,
            offset,
            compressed,
            reason,
            records,
        },
        Fault::Damaged(reason) => CaptureError::Damaged {
            file,
            offset,
            compressed,
            reason,
            records,
        },
        Fault::Zeros(bytes) => CaptureError::Tail {
            file,
            what: "zeros",
            offset,
            bytes,
            compressed,
            packed: false,
            records,
        },
        Fault::Read(source) => CaptureError::Read {
            file,
            offset,
            compressed,
            records,
            source,
        },
    }
}
