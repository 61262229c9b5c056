//! FlowTuple files: CAIDA's FlowTuple, version 3, as Avro.
//!
//! The record is that of corsaro3 (repository `CAIDA/corsaro3`,
//! `libcorsaro/libcorsaro_flowtuple.h`), full name `org.caida.corsaro.flowtuple`, so that programs
//! that read the UCSD telescope's files, such as `pyavro-stardust`, read these. The header fields are
//! described at [`FlowTupleRow`]. The other fields:
//!
//! - `time`: start of the interval, seconds since 1970;
//! - `maxmind_country`: by the country file, from whatever provider, and `maxmind_continent` by the
//!   country; `??` if it is not known, as corsaro3 writes without a database;
//! - `netacq_continent`, `netacq_country`: always `??`, since they come from a commercial database;
//! - `prefix2asn`: by the AS file; 0 if it is not known.
//!
//! A file is an Avro object container with the codec `deflate`, which corsaro3 writes where it was
//! built without snappy, in blocks of 16 KiB as there. Equal rows give equal octets: the schema's
//! text, the order of the header's entries and the sync marker never change.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use apache_avro::{Codec, DeflateSettings, Schema, Writer};
use serde::Serialize;

use crate::country::Country;
use crate::disk::atomic::{Failure, Published};
use crate::disk::whole::{WholeFile, open_folder};
use crate::error::StoreError;
use crate::observed::ERA_MARK;
use crate::time;

/// The record's schema, its fields in corsaro3's order.
pub const SCHEMA: &str = concat!(
    r#"{"type":"record","namespace":"org.caida.corsaro","name":"flowtuple","#,
    r#""doc":"Packets of one interval that agree in these header fields, by noctule","fields":["#,
    r#"{"name":"time","type":"long"},"#,
    r#"{"name":"src_ip","type":"long"},"#,
    r#"{"name":"dst_ip","type":"long"},"#,
    r#"{"name":"src_port","type":"int"},"#,
    r#"{"name":"dst_port","type":"int"},"#,
    r#"{"name":"protocol","type":"int"},"#,
    r#"{"name":"ttl","type":"int"},"#,
    r#"{"name":"tcp_flags","type":"int"},"#,
    r#"{"name":"ip_len","type":"int"},"#,
    r#"{"name":"tcp_synlen","type":"int"},"#,
    r#"{"name":"tcp_synwinlen","type":"int"},"#,
    r#"{"name":"packet_cnt","type":"long"},"#,
    r#"{"name":"is_spoofed","type":"int"},"#,
    r#"{"name":"is_masscan","type":"int"},"#,
    r#"{"name":"maxmind_continent","type":"string"},"#,
    r#"{"name":"maxmind_country","type":"string"},"#,
    r#"{"name":"netacq_continent","type":"string"},"#,
    r#"{"name":"netacq_country","type":"string"},"#,
    r#"{"name":"prefix2asn","type":"long"}]}"#,
);

/// Separates blocks; the format wants 16 octets that a block is unlikely to hold.
const SYNC_MARKER: [u8; 16] = *b"noctule-flowtup3";
/// Octets of rows after which a block is written.
const BLOCK_BYTES: usize = 16 << 10;

/// Why FlowTuples could not be written.
#[derive(Debug, thiserror::Error)]
pub enum FlowTupleError {
    /// The folder does not take files.
    #[error(
        "cannot write FlowTuples to {folder} ({attempt}): {source}; choose a folder on a local disk that this user may write to"
    )]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The step that failed.
        attempt: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// A file could not be written, and does not appear.
    #[error("cannot write {path} ({attempt}): {source}; check free space and permissions")]
    Write {
        /// The file.
        path: PathBuf,
        /// The step that failed.
        attempt: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// Another file of that name exists, with other content.
    #[error(
        "cannot write {path}: a file of that name with other content is already there, and written files never change; move it away, or give another folder"
    )]
    Conflict {
        /// The file that exists.
        path: PathBuf,
    },
    /// The Avro writer failed.
    #[error("cannot encode FlowTuples for {path}: {source}; check free space, else report this")]
    Encode {
        /// The file.
        path: PathBuf,
        /// The Avro library's error.
        source: Box<apache_avro::Error>,
    },
    /// The interval's start cannot be part of a file name.
    #[error(transparent)]
    Name(#[from] StoreError),
}

/// The packets of one interval that agree in these header fields. corsaro3 defines the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowTupleRow {
    /// Source address, in host order.
    pub source: u32,
    /// Destination address, in host order.
    pub destination: u32,
    /// IP protocol number.
    pub protocol: u8,
    /// Source port of TCP and UDP, ICMP's type, else 0.
    pub source_port: u16,
    /// Destination port of TCP and UDP, ICMP's code, else 0.
    pub destination_port: u16,
    /// Time to live, hops.
    pub ttl: u8,
    /// TCP flags, without NS; 0 for other protocols.
    pub tcp_flags: u8,
    /// The IP header's total length field, octets.
    pub ip_length: u16,
    /// Octets of the TCP header of a packet with SYN and no other flag; 0 for others.
    pub syn_header_bytes: u8,
    /// Window of such a packet; 0 for others.
    pub syn_window: u16,
    /// The headers look forged, by corsaro3's filter `spoofed`.
    pub is_spoofed: bool,
    /// The fingerprint `masscan` matches.
    pub is_masscan: bool,
    /// Packets.
    pub packets: u64,
    /// The source's country; none without a country file.
    pub country: Option<Country>,
    /// The source's AS number.
    pub asn: Option<u32>,
}

/// A row as the schema has it.
#[derive(Serialize)]
struct AvroRow<'r> {
    time: i64,
    src_ip: i64,
    dst_ip: i64,
    src_port: i32,
    dst_port: i32,
    protocol: i32,
    ttl: i32,
    tcp_flags: i32,
    ip_len: i32,
    tcp_synlen: i32,
    tcp_synwinlen: i32,
    packet_cnt: i64,
    is_spoofed: i32,
    is_masscan: i32,
    maxmind_continent: &'r str,
    maxmind_country: &'r str,
    netacq_continent: &'r str,
    netacq_country: &'r str,
    prefix2asn: i64,
}

impl<'r> AvroRow<'r> {
    fn new(start: i64, row: &'r FlowTupleRow, country: &'r Country) -> Self {
        let unknown = "??";
        Self {
            time: start,
            src_ip: row.source.into(),
            dst_ip: row.destination.into(),
            src_port: row.source_port.into(),
            dst_port: row.destination_port.into(),
            protocol: row.protocol.into(),
            ttl: row.ttl.into(),
            tcp_flags: row.tcp_flags.into(),
            ip_len: row.ip_length.into(),
            tcp_synlen: row.syn_header_bytes.into(),
            tcp_synwinlen: row.syn_window.into(),
            packet_cnt: i64::try_from(row.packets).unwrap_or(i64::MAX),
            is_spoofed: row.is_spoofed.into(),
            is_masscan: row.is_masscan.into(),
            maxmind_continent: country.continent(),
            maxmind_country: country.as_str(),
            netacq_continent: unknown,
            netacq_country: unknown,
            prefix2asn: row.asn.unwrap_or(0).into(),
        }
    }
}

/// A folder that takes FlowTuple files of one run.
pub struct FlowTupleFolder {
    folder: PathBuf,
    run: String,
    schema: Schema,
}

impl FlowTupleFolder {
    /// Opens a folder, creating it if need be. `run`, a digest of what is replayed, becomes a part of
    /// the files' names.
    ///
    /// Removes temporary files of an hour and more that crashed runs left there.
    ///
    /// # Errors
    /// [`FlowTupleError::Folder`] if the folder cannot be created, written to, or linked in.
    pub fn open(folder: impl Into<PathBuf>, run: &str) -> Result<Self, FlowTupleError> {
        let folder = folder.into();
        open_folder(&folder, ".avro").map_err(|(attempt, source)| FlowTupleError::Folder {
            folder: folder.clone(),
            attempt,
            source,
        })?;
        let schema = Schema::parse_str(SCHEMA).map_err(|source| FlowTupleError::Encode {
            path: folder.clone(),
            source: Box::new(source),
        })?;
        Ok(Self {
            folder,
            run: run.to_owned(),
            schema,
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Begins the file of the interval that starts at `start`, seconds since 1970:
    /// `<folder>/<interval start>-<run>.avro`.
    ///
    /// # Errors
    /// [`FlowTupleError::Name`] if the start is not a second from 1970 to 9999;
    /// [`FlowTupleError::Write`] if the folder does not take the file.
    pub fn begin(&self, start: i64) -> Result<FlowTupleFile<'_>, FlowTupleError> {
        self.begin_as(start, &self.run)
    }

    /// As [`FlowTupleFolder::begin`], in an era of the run after the first.
    ///
    /// # Errors
    /// As [`FlowTupleFolder::begin`].
    pub fn begin_in_era(&self, start: i64, era: u32) -> Result<FlowTupleFile<'_>, FlowTupleError> {
        self.begin_as(start, &format!("{}{ERA_MARK}{era}", self.run))
    }

    fn begin_as(&self, start: i64, run: &str) -> Result<FlowTupleFile<'_>, FlowTupleError> {
        let stamp = time::stamp(start.saturating_mul(1_000_000))?;
        let path = (self.folder).join(format!("{stamp}-{run}.avro"));
        let begun = WholeFile::create(&path)
            .and_then(|mut file| file.write_all(&header()).map(|()| file).map_err(writing));
        let file = begun.map_err(|failure| failed(&path, failure))?;
        let writer = Writer::builder()
            .schema(&self.schema)
            .writer(All(file))
            .codec(Codec::Deflate(DeflateSettings::default()))
            .block_size(BLOCK_BYTES)
            .marker(SYNC_MARKER)
            .has_header(true)
            .build();
        let writer = writer.map_err(|source| FlowTupleError::Encode {
            path: path.clone(),
            source: Box::new(source),
        })?;
        Ok(FlowTupleFile {
            path,
            start,
            writer,
        })
    }
}

const fn writing(error: io::Error) -> Failure {
    ("writing the file", error)
}

fn failed(path: &Path, (attempt, source): Failure) -> FlowTupleError {
    FlowTupleError::Write {
        path: path.to_owned(),
        attempt,
        source,
    }
}

/// A FlowTuple file that is being written. If it is dropped before it is published, it leaves nothing.
pub struct FlowTupleFile<'f> {
    path: PathBuf,
    start: i64,
    writer: Writer<'f, All>,
}

impl FlowTupleFile<'_> {
    /// Adds rows.
    ///
    /// # Errors
    /// [`FlowTupleError::Encode`] if a row cannot be written, as on a full disk.
    pub fn append(
        &mut self,
        rows: impl IntoIterator<Item = FlowTupleRow>,
    ) -> Result<(), FlowTupleError> {
        for row in rows {
            let country = row.country.unwrap_or(Country::UNKNOWN);
            let record = AvroRow::new(self.start, &row, &country);
            if let Err(source) = self.writer.append_ser(record) {
                return Err(FlowTupleError::Encode {
                    path: self.path.clone(),
                    source: Box::new(source),
                });
            }
        }
        Ok(())
    }

    /// Gives the file its name; returns its length in octets. A file of that name with the same content
    /// is no error.
    ///
    /// # Errors
    /// [`FlowTupleError::Conflict`] if a file of that name has other content;
    /// [`FlowTupleError::Encode`] and [`FlowTupleError::Write`] if the file cannot be written to its
    /// end, and then it does not appear.
    pub fn publish(self) -> Result<u64, FlowTupleError> {
        let path = self.path;
        let All(file) = (self.writer.into_inner()).map_err(|source| FlowTupleError::Encode {
            path: path.clone(),
            source: Box::new(source),
        })?;
        match file.publish().map_err(|failure| failed(&path, failure))? {
            (Published::Other, _) => Err(FlowTupleError::Conflict { path }),
            (Published::Written | Published::Same, bytes) => Ok(bytes),
        }
    }
}

/// Writes all octets of a call: the Avro writer does not check how many of a block were written. A
/// flush after each block does nothing, since the file is flushed when it is published.
struct All(WholeFile);

impl Write for All {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.write_all(octets)?;
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The container's header, by the Avro specification: magic number, a map of two entries, marker.
/// The library's own is in the order of a hash map that is seeded anew in every process.
fn header() -> Vec<u8> {
    let mut header = b"Obj\x01".to_vec();
    let entries = [("avro.schema", SCHEMA), ("avro.codec", "deflate")];
    put_long(&mut header, entries.len());
    for (key, value) in entries {
        for text in [key, value] {
            put_long(&mut header, text.len());
            header.extend(text.as_bytes());
        }
    }
    put_long(&mut header, 0);
    header.extend(SYNC_MARKER);
    header
}

/// Writes a number, which is not negative, as Avro's variable-length zigzag code.
fn put_long(octets: &mut Vec<u8>, number: usize) {
    let mut rest = (number as u64) << 1;
    while rest > 0x7f {
        octets.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    octets.push(rest as u8);
}

#[cfg(test)]
mod tests;
