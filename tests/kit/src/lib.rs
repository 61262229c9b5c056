//! Support for the whole-program tests: the program as a child process, the shared data, and
//! what a run is compared with.
//!
//! - [`program`]: runs `noctule` and never leaves it running;
//! - [`data`]: the captures that others made, and what is expected of them;
//! - [`compare`]: summaries held against each other, field by field;
//! - [`store`]: reads a store back;
//! - [`python`]: a Python with libraries that are not ours;
//! - [`flowtuple`]: FlowTuples as such a library reads them, and as tshark would have them;
//! - [`tshark`]: what another program reads in a capture;
//! - [`frames`]: small frames and captures made here;
//! - [`layers`]: frames built layer by layer, right or wrong;
//! - [`mod@mmdb`]: a small MaxMind DB made here;
//! - [`mod@reference`]: a second implementation of the counting rules;
//! - [`scenario`]: months of a darknet, made up as planned;
//! - [`seeds`]: what the fuzz targets start from;
//! - [`generate`]: millions of packets/s from inside the kernel;
//! - [`tpacket`]: a receiver that AF_XDP is measured against;
//! - [`wire`]: two namespaces with a cable between them, and senders;
//! - [`browser`]: looks at reports;
//! - [`bucket`]: an object store behind a faulty network;
//! - [`collector`]: `noctule run` at one end of that cable;
//! - [`tunnel`]: tunnels over that cable, and packets wrapped as they wrap them.
//!
//! The program is taken from `NOCTULE_BIN`, else from beside the tests (`cargo build -p noctule`);
//! the data from `NOCTULE_DATA`, else from `../shared/data`. A test that lacks something is skipped:
//! [`skipped`] writes one line `SKIPPED TEST: WHY` to standard error, which `cargo xtask test`
//! counts, and the test returns.

pub mod browser;
pub mod bucket;
pub mod collector;
pub mod compare;
pub mod data;
pub mod flowtuple;
pub mod frames;
pub mod generate;
pub mod layers;
pub mod mmdb;
pub mod program;
pub mod python;
pub mod reference;
pub mod scenario;
pub mod seeds;
pub mod store;
pub mod tpacket;
pub mod tshark;
pub mod tunnel;
pub mod wire;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub use noctule_netns as netns;

/// Writes the one line that says that a test is skipped, and why. Further calls for the same test
/// write nothing.
pub fn skipped(test: &str, why: &str) {
    static SKIPPED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut skipped = SKIPPED.lock().unwrap_or_else(PoisonError::into_inner);
    if skipped.insert(test.to_owned()) {
        // The harness keeps what `eprintln!` prints in a passing test, but not this. A closed
        // standard error is no reason to fail.
        let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
    }
}

/// Waits until something holds.
///
/// # Panics
/// It does not hold in time; `what` says what was waited for.
pub fn wait_until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + limit;
    while !holds() {
        assert!(
            Instant::now() < until,
            "waited {limit:?} in vain until {what}"
        );
        thread::sleep(Duration::from_millis(10));
    }
}
