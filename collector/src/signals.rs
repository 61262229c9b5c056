//! SIGINT, SIGTERM and SIGHUP set flags; they interrupt nothing.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// A flag that the first SIGINT or SIGTERM sets; a second one ends the process as usual.
///
/// # Errors
/// The system refuses to install a signal handler.
pub fn stop_flag() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&flag))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&flag)))
            .with_context(|| format!("cannot install a handler for signal {signal}"))?;
    }
    Ok(flag)
}

/// A flag that every SIGHUP sets: it requests a reload.
///
/// # Errors
/// The system refuses to install a signal handler.
pub fn reload_flag() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGHUP, Arc::clone(&flag))
        .context("cannot install a handler for SIGHUP")?;
    Ok(flag)
}
