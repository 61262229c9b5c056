//! Temporary folders for spilled data.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::open::Limits;

/// Prefix of their names.
const PREFIX: &str = "noctule-analyze-";
/// A folder of this age belongs to a program that was killed.
const ABANDONED: Duration = Duration::from_secs(2 * 24 * 3600);

/// Creates a folder below `limits.spill` and makes it the new `limits.spill`. It is removed when the
/// returned value is dropped. Folders that killed programs left are removed first.
///
/// # Errors
/// If the folder cannot be created.
pub fn folder(limits: &mut Limits) -> Result<TempDir> {
    sweep(&limits.spill);
    let work = tempfile::Builder::new()
        .prefix(PREFIX)
        .tempdir_in(&limits.spill)
        .with_context(|| format!("cannot work in {}", limits.spill.display()))?;
    limits.spill = work.path().to_owned();
    Ok(work)
}

/// Removes the folders that killed programs left. Errors are ignored: a folder may belong to another
/// user, or another program may be removing it.
fn sweep(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|metadata| metadata.modified());
        let age = age
            .ok()
            .and_then(|modified| modified.elapsed().ok())
            .unwrap_or_default();
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if ours && age >= ABANDONED && std::fs::remove_dir_all(entry.path()).is_ok() {
            log::info!(
                "removed {}, left by a program that was killed",
                entry.path().display()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn only_abandoned_folders_are_removed() {
        let place = tempfile::tempdir().unwrap();
        let make = |name: &str, age: Duration| {
            let path = place.path().join(name);
            fs::create_dir(&path).unwrap();
            let folder = File::open(&path).unwrap();
            folder.set_modified(SystemTime::now() - age).unwrap();
            path
        };
        let old = make("noctule-analyze-old", ABANDONED + Duration::from_secs(60));
        let young = make("noctule-analyze-young", Duration::from_secs(60));
        let foreign = make("else", ABANDONED + Duration::from_secs(60));
        sweep(place.path());
        assert!(!old.exists() && young.exists() && foreign.exists());
    }
}
