//! `test`: everything that must pass, with one number at the end.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::{ebpf, fuzz, licences, netns, setup, shell};

#[derive(Default)]
struct Count {
    passed: u64,
    failed: u64,
    skipped: u64,
    failures: Vec<String>,
}

/// Runs everything; goes on after a failure, so that one run tells all.
///
/// # Errors
/// Something failed, or could not be installed.
pub fn run(yes: bool) -> Result<()> {
    let began = Instant::now();
    let packages = [setup::BUILD, setup::DEMO, setup::TEST].concat();
    setup::packages(&packages, yes)?;
    netns::sweep();
    let mut count = Count::default();
    count.step("formatting", || {
        shell::run(shell::cargo().args(["fmt", "--all", "--check"]))?;
        let fuzz = ["--manifest-path", fuzz::MANIFEST];
        shell::run(shell::cargo().args(["fmt", "--check"]).args(fuzz))
    });
    count.step("lints", || {
        shell::run(shell::cargo().args([
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]))
    });
    count.step("documentation", || {
        let mut doc = shell::cargo();
        doc.env("RUSTDOCFLAGS", "-D warnings");
        shell::run(doc.args([
            "doc",
            "--quiet",
            "--workspace",
            "--no-deps",
            "--document-private-items",
        ]))
    });
    count.step("licences", licences::check);
    count.step("committed XDP object", || ebpf::build(true, true));
    count.step("build", || {
        // With tests and all: parts of it alone have other features, and would be built once more.
        shell::run(shell::cargo().args(["build", "--quiet", "--workspace", "--all-targets"]))
    });
    count.tests()?;
    count.fuzz();
    count.step("README commands", readme);
    println!("\ntested in {} s", began.elapsed().as_secs());
    for failure in &count.failures {
        println!("FAILED: {failure}");
    }
    if count.skipped > 0 {
        println!(
            "{} tests were skipped: look for SKIPPED above",
            count.skipped
        );
    }
    println!("{} passed, {} failed", count.passed, count.failed);
    if count.failed > 0 {
        bail!("{} failed", count.failed);
    }
    Ok(())
}

impl Count {
    fn step(&mut self, name: &str, work: impl FnOnce() -> Result<()>) {
        println!("== {name}");
        let began = Instant::now();
        match work() {
            Ok(()) => {
                self.passed += 1;
                println!("   ok, {:.0} s", began.elapsed().as_secs_f64());
            }
            Err(error) => {
                self.failed += 1;
                println!("   FAILED: {error:#}");
                self.failures.push(format!("{name}: {error:#}"));
            }
        }
    }

    /// A short run of every fuzz target, from the committed seeds.
    fn fuzz(&mut self) {
        const SECONDS: u64 = 20;
        let fuzzer = match fuzz::Fuzzer::find() {
            Ok(fuzzer) => fuzzer,
            Err(why) => {
                println!("== fuzzing\n   SKIPPED ({why:#})");
                self.skipped += 1;
                return;
            }
        };
        self.step("build of the fuzz targets", || fuzzer.build());
        let enough = fuzz::Enough {
            seconds: Some(SECONDS),
            runs: None,
            afresh: true,
        };
        for target in fuzz::TARGETS {
            self.step(&format!("fuzzing {}", target.name), || {
                fuzzer.fuzz(target, enough)
            });
        }
    }

    /// Unit, property, documentation and whole-program tests, read as they run.
    fn tests(&mut self) -> Result<()> {
        println!("== tests");
        let readers = match setup::readers() {
            Ok(python) => Some(python),
            Err(error) => {
                println!("   no readers: {error:#}");
                None
            }
        };
        let mut command = shell::cargo();
        command.args([
            "test",
            "--workspace",
            "--no-fail-fast",
            "--",
            "--show-output",
        ]);
        command.env("NOCTULE_BIN", shell::target().join("debug/noctule"));
        if let Some(python) = readers {
            command.env("NOCTULE_PYTHON", python);
        }
        match setup::pages() {
            Ok(pages) => _ = command.env("NOCTULE_PAGES", pages),
            Err(error) => println!("   no browser: {error:#}"),
        }
        if let Some(data) = setup::data() {
            command.env("NOCTULE_DATA", data);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start cargo test")?;
        let output = child.stdout.take().context("cargo test has no output")?;
        let mut summaries = 0;
        for line in BufReader::new(output).lines() {
            let line = line?;
            println!("{line}");
            if line.contains("SKIPPED") {
                self.skipped += 1;
            }
            if let Some((passed, failed)) = libtest_summary(&line) {
                self.passed += passed;
                self.failed += failed;
                summaries += 1;
            }
            if line.starts_with("test ") && line.ends_with("FAILED") {
                self.failures.push(line);
            }
        }
        let status = child.wait()?;
        if summaries == 0 || (!status.success() && self.failures.is_empty()) {
            self.failed += 1;
            self.failures.push(format!("cargo test: {status}"));
        }
        Ok(())
    }
}

/// Passed and failed of a line `test result: ok. 12 passed; 0 failed; ...`.
fn libtest_summary(line: &str) -> Option<(u64, u64)> {
    let mut numbers = line
        .strip_prefix("test result: ")?
        .split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.find(|part| !part.is_empty())?.parse().ok();
    Some((next()?, next()?))
}

/// Runs the commands of the README's blocks that are marked `sh test`, each block in one shell
/// in the repository's folder.
fn readme() -> Result<()> {
    let mut text = String::new();
    std::fs::File::open(shell::root().join("README.md"))?.read_to_string(&mut text)?;
    let blocks = blocks(&text);
    if blocks.is_empty() {
        bail!("README.md has no block marked `sh test`");
    }
    for block in blocks {
        println!("{}", block.trim_end());
        std::io::stdout().flush()?;
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", block]);
        shell::run(shell.current_dir(shell::root()))?;
    }
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
    fn summaries_are_read() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(libtest_summary(line), Some((12, 3)));
        assert_eq!(libtest_summary("running 3 tests"), None);
    }

    #[test]
    fn only_marked_blocks_are_run() {
        let text = "a\n```sh\nno\n```\n```sh test\nyes\n```\n";
        assert_eq!(blocks(text), ["yes\n"]);
    }
}
