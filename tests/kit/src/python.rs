//! A Python that has libraries which are not ours.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The Python that `NOCTULE_PYTHON` names, if it has this module; without it says that `test` is
/// skipped.
pub fn with(test: &str, module: &str) -> Option<String> {
    let Ok(python) = env::var("NOCTULE_PYTHON") else {
        let why = format!("NOCTULE_PYTHON names no python3 that has {module}");
        crate::skipped(test, &why);
        return None;
    };
    let import = format!("import {module}");
    match Command::new(&python).args(["-c", &import]).output() {
        Ok(output) if output.status.success() => Some(python),
        _ => {
            crate::skipped(test, &format!("{python} cannot import {module}"));
            None
        }
    }
}

/// Path of a script in the folder of the tests, `tests/`; `name` is relative to it.
pub fn script(name: &str) -> PathBuf {
    let kit = Path::new(env!("CARGO_MANIFEST_DIR"));
    kit.with_file_name(name)
}
