//! Counts what passed, failed and was skipped, and prints the line that closes a run.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

/// Prints a line of a run. Unit tests print none: the run that they are part of would count it.
macro_rules! say {
    ($($text:tt)*) => {
        if !cfg!(test) {
            println!($($text)*);
        }
    };
}

/// Counts of a run. A step counts once, `cargo test` counts each of its tests.
#[derive(Default)]
pub struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
    failures: Vec<String>,
}

impl Tally {
    /// Runs one step. A failure is counted, and the run goes on, so that it shows every failure.
    pub fn step(&mut self, name: &str, work: impl FnOnce() -> Result<()>) {
        say!("== {name}");
        let began = Instant::now();
        match work() {
            Ok(()) => {
                self.passed += 1;
                say!("   ok, {:.0} s", began.elapsed().as_secs_f64());
            }
            Err(error) => {
                self.failed += 1;
                say!("   FAILED: {error:#}");
                self.failures.push(format!("{name}: {error:#}"));
            }
        }
    }

    /// Counts a step that cannot run here.
    pub fn skip(&mut self, name: &str, why: &str) {
        say!("== {name}\nSKIPPED {name}: {why}");
        self.skipped += 1;
    }

    /// Runs a `cargo test` command and counts its tests as they are reported.
    ///
    /// libtest reports a test that skips itself as passed; the test prints a line
    /// `SKIPPED <test>: <why>`, by which it is counted as skipped instead.
    ///
    /// # Errors
    /// The command cannot be started. Failing tests are counted and are no error.
    pub fn cargo_test(&mut self, command: &mut Command) -> Result<()> {
        say!("== tests");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start cargo test")?;
        let output = child.stdout.take().context("cargo test has no output")?;
        let errors = child.stderr.take().context("cargo test has no output")?;
        let (sender, lines) = mpsc::channel();
        let readers = [forward(output, sender.clone()), forward(errors, sender)];
        let mut tests = Libtest::default();
        for line in lines {
            say!("{line}");
            tests.read(&line);
        }
        for reader in readers {
            reader.join().ok();
        }
        let status = child.wait()?;
        if tests.binaries == 0 || (!status.success() && tests.failures.is_empty()) {
            tests.failed += 1;
            tests.failures.push(format!("cargo test: {status}"));
        }
        self.passed += tests.passed.saturating_sub(tests.skipped);
        self.failed += tests.failed;
        self.skipped += tests.skipped + tests.ignored;
        self.failures.append(&mut tests.failures);
        Ok(())
    }

    /// Prints the failures and the closing line.
    ///
    /// # Errors
    /// Something failed.
    pub fn close(self, began: Instant) -> Result<()> {
        say!("\ntested in {} s", began.elapsed().as_secs());
        for failure in &self.failures {
            say!("FAILED: {failure}");
        }
        say!("{}", self.line());
        if self.failed > 0 {
            bail!("{} failed", self.failed);
        }
        Ok(())
    }

    fn line(&self) -> String {
        let line = format!("{} passed, {} failed", self.passed, self.failed);
        match self.skipped {
            0 => line,
            skipped => format!("{line}, {skipped} skipped"),
        }
    }
}

/// Sends a stream's lines, octets that are not UTF-8 replaced, until the stream ends.
fn forward(stream: impl Read + Send + 'static, lines: Sender<String>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            // The receiver lives until both streams have ended.
            let _ = lines.send(String::from_utf8_lossy(&line).into_owned());
        }
    })
}

/// What libtest's output says, over all test binaries.
#[derive(Default)]
struct Libtest {
    /// Tests that returned, those that skipped themselves included.
    passed: u64,
    failed: u64,
    ignored: u64,
    /// Tests that skipped themselves.
    skipped: u64,
    /// Summaries that were read, one per test binary.
    binaries: u64,
    failures: Vec<String>,
}

impl Libtest {
    fn read(&mut self, line: &str) {
        if line.starts_with("SKIPPED ") {
            self.skipped += 1;
        } else if line.starts_with("test ") && line.ends_with("FAILED") {
            self.failures.push(line.to_owned());
        } else if let Some([passed, failed, ignored]) = summary(line) {
            self.passed += passed;
            self.failed += failed;
            self.ignored += ignored;
            self.binaries += 1;
        }
    }
}

/// Passed, failed and ignored of a line `test result: ok. 12 passed; 0 failed; 1 ignored; ...`.
fn summary(line: &str) -> Option<[u64; 3]> {
    let mut numbers = line
        .strip_prefix("test result: ")?
        .split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.find(|part| !part.is_empty())?.parse().ok();
    Some([next()?, next()?, next()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_read() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(summary(line), Some([12, 3, 1]));
        assert_eq!(summary("running 3 tests"), None);
    }

    #[test]
    fn a_skipped_test_is_not_counted_as_passed() {
        let script = "echo 'SKIPPED a: needs root' >&2; echo 'test a ... ok'; echo 'test b ... ok'; \
                      echo 'test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured'";
        let mut tally = Tally::default();
        tally
            .cargo_test(Command::new("sh").args(["-c", script]))
            .unwrap();
        tally.skip("a step", "nothing to do it with");
        assert_eq!(tally.line(), "1 passed, 0 failed, 3 skipped");
    }

    #[test]
    fn a_run_without_tests_or_with_a_crash_fails() {
        for script in [
            "true",
            "echo 'test result: ok. 2 passed; 0 failed; 0 ignored'; exit 101",
        ] {
            let mut tally = Tally::default();
            tally
                .cargo_test(Command::new("sh").args(["-c", script]))
                .unwrap();
            assert_eq!(tally.failed, 1, "{script}");
            assert!(tally.close(Instant::now()).is_err());
        }
    }

    #[test]
    fn a_failing_step_is_counted_and_the_next_one_runs() {
        let mut tally = Tally::default();
        tally.step("one", || bail!("no"));
        tally.step("two", || Ok(()));
        assert_eq!(tally.line(), "1 passed, 1 failed");
    }
}
