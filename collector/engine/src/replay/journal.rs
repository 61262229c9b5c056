//! The journal of a followed folder: which captures were counted, and up to which record.
//!
//! It is a file of lines that are only appended. A `begin` line is written before a part of a capture is
//! counted, and a `done` line after all of its files are stored. A run that was killed between the two
//! is repeated from its `begin` line: it writes the same files again, which changes nothing.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// A part of a capture that a run has counted or was to count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The run.
    pub run: String,
    /// Records of the capture before this part.
    pub skip: u64,
    /// Records of the capture up to the end of this part.
    pub records: u64,
    /// Octets of the decompressed capture up to the end of this part.
    pub end: u64,
    /// Digest of the capture's first record.
    pub first: String,
    /// Digest of the last record of this part.
    pub last: String,
    /// The file's name in the folder.
    pub name: String,
}

impl Entry {
    fn line(&self) -> String {
        let Self {
            run,
            skip,
            records,
            end,
            first,
            last,
            name,
        } = self;
        format!("begin {run} {skip} {records} {end} {first} {last} {name}\n")
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.strip_prefix("begin ")?.splitn(7, ' ');
        let mut next = || fields.next().map(ToOwned::to_owned);
        Some(Self {
            run: next()?,
            skip: next()?.parse().ok()?,
            records: next()?.parse().ok()?,
            end: next()?.parse().ok()?,
            first: next()?,
            last: next()?,
            name: next()?,
        })
    }
}

/// The journal, locked as long as it is open.
pub struct Journal {
    path: PathBuf,
    file: File,
    entries: Vec<Entry>,
    done: BTreeSet<String>,
}

impl Journal {
    /// Opens a journal, or begins one.
    ///
    /// # Errors
    /// It cannot be read or written, or another process has it open.
    pub fn open(path: &Path) -> Result<Self> {
        let attempt = || format!("cannot open the journal {}", path.display());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(attempt)?;
        }
        let mut options = OpenOptions::new();
        let mut file = (options.read(true).append(true).create(true))
            .open(path)
            .with_context(attempt)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "{} is in use: another replay follows a folder for this sensor and store; stop it, or give another --sensor",
                path.display()
            ),
            Err(TryLockError::Error(error)) => return Err(error).with_context(attempt),
        }
        let mut text = String::new();
        file.read_to_string(&mut text).with_context(attempt)?;
        if !text.is_empty() && !text.ends_with('\n') {
            // The process was killed while it wrote this line.
            file.write_all(b"\n").with_context(attempt)?;
            let whole = text.rfind('\n').map_or(0, |end| end + 1);
            text.truncate(whole);
        }
        let done = |line: &str| Some(line.strip_prefix("done ")?.to_owned());
        Ok(Self {
            path: path.to_owned(),
            file,
            entries: text.lines().filter_map(Entry::parse).collect(),
            done: text.lines().filter_map(done).collect(),
        })
    }

    /// All parts, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The part that was begun and is not done, if there is one.
    pub fn unfinished(&self) -> Option<&Entry> {
        let last = self.entries.last()?;
        (!self.done.contains(&last.run)).then_some(last)
    }

    /// Says that a part is about to be counted.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn begin(&mut self, entry: Entry) -> Result<()> {
        self.append(&entry.line())?;
        self.entries.push(entry);
        Ok(())
    }

    /// Says that a run's files are all stored.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn done(&mut self, run: &str) -> Result<()> {
        self.append(&format!("done {run}\n"))?;
        self.done.insert(run.to_owned());
        Ok(())
    }

    fn append(&mut self, line: &str) -> Result<()> {
        (self.file.write_all(line.as_bytes()))
            .and_then(|()| self.file.sync_data())
            .with_context(|| format!("cannot write the journal {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(run: &str) -> Entry {
        Entry {
            run: run.to_owned(),
            skip: 3,
            records: 10,
            end: 700,
            first: "aa".to_owned(),
            last: "bb".to_owned(),
            name: "a name.pcap".to_owned(),
        }
    }

    #[test]
    fn a_journal_survives_a_kill_at_any_octet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/journal");
        let mut journal = Journal::open(&path).unwrap();
        journal.begin(entry("one")).unwrap();
        journal.done("one").unwrap();
        journal.begin(entry("two")).unwrap();
        assert_eq!(journal.unfinished(), Some(&entry("two")));
        assert!(Journal::open(&path).is_err(), "it is locked");
        drop(journal);
        let whole = fs::read(&path).unwrap();
        for length in 0..=whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let mut journal = Journal::open(&path).unwrap();
            let lines = whole[..length]
                .iter()
                .filter(|&&octet| octet == b'\n')
                .count();
            assert_eq!(journal.entries().len(), [0, 1, 1, 2][lines]);
            assert_eq!(
                journal.unfinished().is_some(),
                [false, true, false, true][lines]
            );
            journal.begin(entry("three")).unwrap();
            drop(journal);
            let journal = Journal::open(&path).unwrap();
            assert_eq!(journal.entries().last(), Some(&entry("three")));
        }
    }
}
