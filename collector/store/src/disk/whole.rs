//! A file that is written piece by piece and appears whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read as _, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::atomic::{Failure, Published, Temporary, probe_folder, sync_folder};
use super::sweep;

/// Prepares a folder for files whose names have this ending: creates it, tries it with a probe file,
/// and removes old temporary files.
///
/// # Errors
/// The folder does not take files.
pub fn open_folder(folder: &Path, ending: &str) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|e| ("creating the folder", e))?;
    let probe = format!("probe{ending}");
    probe_folder(folder, &probe)?;
    sweep::sweep_folder(folder, SystemTime::now(), |name| name.ends_with(ending));
    Ok(())
}

/// A file that is written under a name with a leading dot. Dropped before it has its name, it leaves
/// nothing.
pub struct WholeFile {
    path: PathBuf,
    out: BufWriter<File>,
    temporary: Temporary,
    bytes: u64,
}

impl WholeFile {
    /// Begins the file of this path, whose folder must exist.
    ///
    /// # Errors
    /// The folder does not take files.
    pub fn create(path: &Path) -> Result<Self, Failure> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut temporary = Temporary::create(folder, &name)?;
        let Some(file) = temporary.file.take() else {
            let lost = io::Error::from(ErrorKind::NotFound);
            return Err(("creating a temporary file", lost));
        };
        Ok(Self {
            path: path.to_owned(),
            out: BufWriter::with_capacity(1 << 18, file),
            temporary,
            bytes: 0,
        })
    }

    /// The path that the file gets.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its path, in place of any file that was there. `last` sees the whole file
    /// before, under its temporary path.
    ///
    /// # Errors
    /// The file cannot be written to its end or renamed, and what `last` fails with.
    pub(crate) fn replace(self, last: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), Failure> {
        let Self {
            path,
            out,
            temporary,
            ..
        } = self;
        let file = (out.into_inner()).map_err(|e| ("writing the file", e.into_error()))?;
        last(&temporary.path).map_err(|e| ("writing the checksum", e))?;
        file.sync_all()
            .map_err(|e| ("flushing the file to the disk", e))?;
        fs::rename(&temporary.path, &path).map_err(|e| ("renaming the file", e))?;
        sync_folder(path.parent().unwrap_or(Path::new(".")))
    }

    /// Flushes the file to the disk and gives it its path, unless another file has the path. Returns
    /// the result and the file's length in octets.
    ///
    /// # Errors
    /// The file cannot be written to its end, linked, or compared with the file that has the path.
    pub fn publish(self) -> Result<(Published, u64), Failure> {
        let Self {
            path,
            out,
            temporary,
            bytes,
        } = self;
        let file = (out.into_inner()).map_err(|e| ("writing the file", e.into_error()))?;
        file.sync_all()
            .map_err(|e| ("flushing the file to the disk", e))?;
        let outcome = match fs::hard_link(&temporary.path, &path) {
            Ok(()) => Published::Written,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                match same(&temporary.path, &path) {
                    Ok(true) => Published::Same,
                    Ok(false) => Published::Other,
                    Err(error) => return Err(("reading the file that is there", error)),
                }
            }
            Err(error) => return Err(("linking the file to its name", error)),
        };
        temporary.remove()?;
        sync_folder(path.parent().unwrap_or(Path::new(".")))?;
        Ok((outcome, bytes))
    }
}

impl Write for WholeFile {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let taken = self.out.write(octets)?;
        self.bytes += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// True if both files have the same content.
fn same(one: &Path, other: &Path) -> io::Result<bool> {
    let [one, other] = [File::open(one)?, File::open(other)?];
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut one, mut other) = (BufReader::new(one).bytes(), BufReader::new(other).bytes());
    loop {
        match (one.next().transpose()?, other.next().transpose()?) {
            (None, None) => return Ok(true),
            (a, b) if a != b => return Ok(false),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    fn put(path: &Path, octets: &[u8]) -> Published {
        let mut file = WholeFile::create(path).unwrap();
        file.write_all(octets).unwrap();
        let (outcome, bytes) = file.publish().unwrap();
        assert_eq!(bytes, octets.len() as u64);
        outcome
    }

    #[test]
    fn a_file_appears_whole_and_never_changes() {
        let here = tempfile::tempdir().unwrap();
        let path = here.path().join("a.avro");
        let long = vec![7; 1 << 20];
        let mut file = WholeFile::create(&path).unwrap();
        file.write_all(&long).unwrap();
        assert!(!path.exists(), "it is not whole yet");
        assert_eq!(names(here.path()).len(), 1);
        drop(file);
        assert_eq!(names(here.path()), [""; 0], "nothing is left of it");

        assert!(matches!(put(&path, &long), Published::Written));
        assert!(matches!(put(&path, &long), Published::Same));
        assert!(matches!(put(&path, b"short"), Published::Other));
        let mut other = long.clone();
        other[1 << 19] = 8;
        assert!(matches!(put(&path, &other), Published::Other));
        assert_eq!(fs::read(&path).unwrap(), long);
        assert_eq!(names(here.path()), ["a.avro"]);
    }

    #[test]
    fn a_folder_is_tried_before_it_is_needed() {
        let here = tempfile::tempdir().unwrap();
        let folder = here.path().join("a/b");
        open_folder(&folder, ".avro").unwrap();
        assert_eq!(names(&folder), [""; 0], "the probe is gone");
        let file = here.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(open_folder(&file, ".avro").is_err());
        assert!(open_folder(&file.join("below"), ".avro").is_err());
    }
}
