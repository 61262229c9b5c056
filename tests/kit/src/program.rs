//! `noctule` as a child process: started, waited for with a limit, and never left behind.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use noctule_counters::summary::Summary;
use tempfile::TempDir;

/// Longest time that a run which should end by itself may take, on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(120);

/// The program under test.
///
/// # Panics
/// It is not there.
pub fn binary() -> PathBuf {
    let path = env::var_os("NOCTULE_BIN").map_or_else(beside_the_tests, PathBuf::from);
    assert!(
        path.is_file(),
        "{} is missing: run `cargo build -p noctule` first, or set NOCTULE_BIN",
        path.display()
    );
    path
}

/// `.../debug/deps/replay-0123` -> `.../debug/noctule`.
fn beside_the_tests() -> PathBuf {
    let test = env::current_exe().expect("the system knows where this test is");
    let folder = test.parent().and_then(|deps| deps.parent());
    folder
        .expect("tests stand two folders deep")
        .join("noctule")
}

/// The program with these arguments.
pub fn noctule<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments);
    command
}

/// `noctule replay --summary json` with these arguments, run to its end.
pub fn replay<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Ended {
    let mut command = noctule(["replay", "--summary", "json"]);
    Running::start(command.args(arguments)).wait(LIMIT)
}

/// A child process. Dropped while it still runs, it is killed, and it alone.
#[derive(Debug)]
pub struct Running {
    child: Child,
    // Files, not pipes: a full pipe would stop the child.
    folder: TempDir,
    command: String,
}

/// How a child process ended, and what it wrote.
#[derive(Debug)]
pub struct Ended {
    /// Its status.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// The command line.
    pub command: String,
}

impl Running {
    /// Starts a command; its standard input is empty unless the command says otherwise.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn start(command: &mut Command) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = |name| File::create(folder.path().join(name)).expect("a temporary file");
        command.stdout(file("stdout")).stderr(file("stderr"));
        command.env_remove("NOCTULE_LOG");
        let line = format!("{command:?}");
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{line} cannot be started: {error}"));
        Self {
            child,
            folder,
            command: line,
        }
    }

    /// As [`Running::start`], reading this file as standard input.
    ///
    /// # Panics
    /// The file cannot be opened, or the command not be started.
    pub fn start_with_input(command: &mut Command, input: &std::path::Path) -> Self {
        let file = File::open(input).unwrap_or_else(|e| panic!("{}: {e}", input.display()));
        Self::start(command.stdin(Stdio::from(file)))
    }

    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        self.written("stderr")
    }

    /// Does it still run?
    ///
    /// # Panics
    /// The system does not say.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child's status").is_none()
    }

    /// Sends a signal to it, such as `TERM`.
    ///
    /// # Panics
    /// It cannot be sent.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args(["-s", signal, &self.child.id().to_string()])
            .status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "SIG{signal} to {}",
            self.command
        );
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// It has not ended in time; it is killed then.
    pub fn wait(mut self, limit: Duration) -> Ended {
        let until = Instant::now() + limit;
        while self.is_running() {
            assert!(
                Instant::now() < until,
                "{} has not ended within {limit:?}:\n{}",
                self.command,
                self.stderr()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        Ended {
            status: self.child.wait().expect("a child's status"),
            stdout: self.written("stdout"),
            stderr: self.stderr(),
            command: self.command.clone(),
        }
    }

    fn written(&self, name: &str) -> String {
        let octets = fs::read(self.folder.path().join(name)).expect("the child's output");
        String::from_utf8_lossy(&octets).into_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both do nothing to a child that has been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// The exit code.
    ///
    /// # Panics
    /// A signal ended it.
    pub fn code(&self) -> i32 {
        (self.status.code()).unwrap_or_else(|| panic!("{self:?} was ended by a signal"))
    }

    /// Itself, if it succeeded.
    ///
    /// # Panics
    /// It did not.
    pub fn success(self) -> Self {
        assert!(
            self.status.success(),
            "{}: {}\n{}",
            self.command,
            self.status,
            self.stderr
        );
        self
    }

    /// The summary that `--summary json` printed.
    ///
    /// # Panics
    /// Standard output is not one summary.
    pub fn summary(&self) -> Summary {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!(
                "{} printed no summary: {error}\n{}\n{}",
                self.command, self.stdout, self.stderr
            )
        })
    }

    /// The lines of standard error that begin like this.
    pub fn lines(&self, start: &str) -> Vec<&str> {
        let lines = self.stderr.lines();
        lines.filter(|line| line.starts_with(start)).collect()
    }

    /// The one error line of a run that failed with status 1, or 2 for a wrong command line.
    ///
    /// # Panics
    /// It did not fail that way, there is not exactly one such line, or there was a panic.
    pub fn error(&self) -> &str {
        let context = || format!("{}: {}\n{}", self.command, self.status, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", context());
        assert!([1, 2].contains(&self.code()), "{}", context());
        match self.lines("noctule: error: ")[..] {
            [line] => line,
            _ => panic!("not exactly one error line: {}", context()),
        }
    }
}
