//! `test`: everything that must pass, with one line of counts at the end.

use std::fs;
use std::io::Write as _;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::tally::Tally;
use crate::{check, dependencies, ebpf, fuzz, netns, readme, setup, shell};

/// Folder of the documents beside README.md whose examples are run.
const DOCUMENTS: &str = "collector/docs";

/// Runs everything. It goes on after a failure, so that one run shows every failure.
///
/// # Errors
/// Something failed, or could not be installed.
pub fn run(yes: bool) -> Result<()> {
    let began = Instant::now();
    let packages = [setup::BUILD, setup::DEMO, setup::TEST].concat();
    setup::packages(&packages, yes)?;
    netns::sweep();
    let mut tally = Tally::default();
    check::formatting(&mut tally);
    check::lints(&mut tally);
    tally.step("documentation", || {
        let mut doc = shell::cargo();
        doc.env("RUSTDOCFLAGS", "-D warnings");
        doc.args(["doc", "--quiet", "--workspace", "--no-deps"]);
        shell::run(doc.arg("--document-private-items"))
    });
    dependencies::check(&mut tally);
    tally.step("committed XDP object", || ebpf::build(true, true));
    tally.step("build", || {
        // With every target: a part of the workspace has other features, and would be built again.
        shell::run(shell::cargo().args(["build", "--quiet", "--workspace", "--all-targets"]))
    });
    tests(&mut tally)?;
    fuzz_targets(&mut tally);
    tally.step("examples of the documents", examples);
    tally.step("output that README.md shows", || readme::run(true));
    tally.close(began)
}

/// Unit, property, documentation and whole-program tests.
fn tests(tally: &mut Tally) -> Result<()> {
    let mut command = shell::cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]);
    command.args(["--", "--show-output"]);
    command.env("NOCTULE_BIN", shell::target().join("debug/noctule"));
    match setup::readers() {
        Ok(python) => _ = command.env("NOCTULE_PYTHON", python),
        Err(error) => println!("   no Python environment: {error:#}"),
    }
    match setup::pages() {
        Ok(pages) => _ = command.env("NOCTULE_PAGES", pages),
        Err(error) => println!("   no browser: {error:#}"),
    }
    if let Some(data) = setup::data() {
        command.env("NOCTULE_DATA", data);
    }
    tally.cargo_test(&mut command)
}

/// A short run of every fuzz target, from the committed seeds.
fn fuzz_targets(tally: &mut Tally) {
    const SECONDS: u64 = 20;
    let fuzzer = match fuzz::Fuzzer::find() {
        Ok(fuzzer) => fuzzer,
        Err(why) => return tally.skip("fuzzing", &format!("{why:#}")),
    };
    tally.step("build of the fuzz targets", || fuzzer.build());
    let enough = fuzz::Enough {
        seconds: Some(SECONDS),
        runs: None,
        afresh: true,
    };
    for target in fuzz::TARGETS {
        tally.step(&format!("fuzzing {}", target.name), || {
            fuzzer.fuzz(target, enough)
        });
    }
}

/// Runs the commands of the documents' blocks that are marked `sh test`, each block in one shell
/// in the repository's folder.
fn examples() -> Result<()> {
    let mut documents = vec![shell::root().join("README.md")];
    if let Ok(folder) = fs::read_dir(shell::root().join(DOCUMENTS)) {
        documents.extend(folder.flatten().map(|entry| entry.path()));
    }
    documents.retain(|path| path.extension().is_some_and(|ending| ending == "md"));
    // README.md first: its examples make what those of the others read.
    documents[1..].sort();
    let mut count = 0;
    for document in documents {
        let text = fs::read_to_string(&document)?;
        for block in blocks(&text) {
            println!("{}", block.trim_end());
            std::io::stdout().flush()?;
            let mut shell = shell::command("bash");
            shell::run(shell.args(["-euo", "pipefail", "-c", block]))
                .with_context(|| format!("an example of {}", document.display()))?;
            count += 1;
        }
    }
    ensure!(count > 0, "the documents have no block marked `sh test`");
    Ok(())
}

fn blocks(text: &str) -> Vec<&str> {
    (text.split("```sh test\n").skip(1))
        .filter_map(|rest| rest.split_once("```").map(|(block, _)| block))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_marked_blocks_are_run() {
        let text = "a\n```sh\nno\n```\n```sh test\nyes\n```\n";
        assert_eq!(blocks(text), ["yes\n"]);
    }
}
