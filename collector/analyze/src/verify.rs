//! `noctule store verify`: checks the checksum of every file, and that it belongs to the table whose
//! folder it is in.

use std::sync::Arc;

use anyhow::Result;
use noctule_store::checksum::{Check, Checked};

use crate::args::CommonArgs;
use crate::open::{self, AnyTable, Limits, OpenStore};
use crate::outcome::Outcome;

/// Checks every file of every table and prints a line for each table.
///
/// # Errors
/// If the store cannot be listed or read.
pub fn run(args: &CommonArgs) -> Result<Outcome> {
    let store = OpenStore::open(&args.store)?;
    let limits = Limits::of(args)?;
    let context = store.session(&limits, &Arc::default())?;
    let runtime = open::runtime(limits.threads)?;
    let mut whole = 0;
    for table in AnyTable::all() {
        let files = store.files.list(table.name())?;
        let (mut sound, mut without) = (0, 0);
        for entry in &files {
            let mut check = Check::default();
            store
                .files
                .pieces(&entry.path, |piece| check.update(piece))?;
            match check.finish() {
                Checked::Sound => sound += 1,
                Checked::Without => without += 1,
                Checked::Damaged => {
                    let reason = "its checksum is wrong: restore it, or move it away";
                    store.skipped.add(&entry.path, reason);
                }
            }
        }
        let provider = store.register(&context, table, &files)?;
        runtime.block_on(provider.check(&context.state()))?;
        whole += sound;
        if !files.is_empty() {
            println!(
                "{}: {} files, {sound} sound{}",
                table.name(),
                files.len(),
                match without {
                    0 => String::new(),
                    count => format!(", {count} without a checksum"),
                }
            );
        }
    }
    let skipped = store.skipped.all();
    println!("{whole} files are sound, {} are not", skipped.len());
    store.outcome(args.strict);
    Ok(if skipped.is_empty() {
        Outcome::Whole
    } else {
        Outcome::Incomplete
    })
}
