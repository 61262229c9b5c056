//! Folders for what does not fit into memory.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::open::Limits;

/// How their names begin.
const PREFIX: &str = "noctule-analyze-";
/// A folder of this age belongs to no program that is still at work.
const ABANDONED: Duration = Duration::from_secs(2 * 24 * 3600);

/// A folder that goes with what is returned, to which everything spills from now on; those that killed
/// programs left are removed first.
///
/// # Errors
/// A folder that does not take others.
pub fn folder(limits: &mut Limits) -> Result<TempDir> {
    sweep(&limits.spill);
    let work = tempfile::Builder::new()
        .prefix(PREFIX)
        .tempdir_in(&limits.spill)
        .with_context(|| format!("cannot work in {}", limits.spill.display()))?;
    limits.spill = work.path().to_owned();
    Ok(work)
}

/// Removes what killed programs left. What cannot be removed is somebody else's, or the next one's.
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
    fn only_what_was_abandoned_is_removed() {
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
