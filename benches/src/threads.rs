//! CPU time of a thread.

use std::fs;

use anyhow::{Context as _, Result};

/// CPU time of the calling thread so far, in seconds.
pub fn cpu_seconds() -> Result<f64> {
    let path = "/proc/thread-self/schedstat";
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let nanoseconds: f64 = (text.split(' ').next())
        .and_then(|first| first.parse().ok())
        .with_context(|| format!("{path} says {text:?}"))?;
    Ok(nanoseconds / 1e9)
}
