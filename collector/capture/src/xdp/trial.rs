//! Runs of the program over a frame of one's own (`BPF_PROG_TEST_RUN`), for tests and benches.
#![expect(unsafe_code, reason = "the thread's own clock has no safe wrapper")]

use std::time::Duration;

use aya::programs::{ProgramError, TestRun as _, TestRunOptions};

use super::{AttachMode, XdpError, XdpProgram, error::one_line};

/// Which program is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// The one that is attached in this mode.
    Mode(AttachMode),
    /// One that does nothing: what a program costs at the least.
    Empty,
}

impl Trial {
    const fn name(self) -> &'static str {
        match self {
            Self::Mode(mode) => mode.program(),
            Self::Empty => "noctule_empty",
        }
    }
}

/// What a trial came to.
#[derive(Clone, Copy, Debug)]
pub struct Tried {
    /// What the program answered the last time, such as `XDP_PASS`.
    pub action: u32,
    /// Processor time that all repetitions together took on this thread, the system call
    /// included. On a busy machine, time on the wall would be that of others, too.
    pub time: Duration,
}

impl XdpProgram {
    /// Runs a program `repeat` times over the same frame, as if it had come in on RX queue 0.
    /// It counts as ever, but nothing is delivered, whatever it answers.
    ///
    /// # Errors
    /// [`XdpError::Load`] or [`XdpError::Map`] where the kernel refuses, such as a frame shorter
    /// than an Ethernet header.
    pub fn try_frame(
        &mut self,
        trial: Trial,
        frame: &[u8],
        repeat: u32,
    ) -> Result<Tried, XdpError> {
        self.load_program(trial.name())?;
        let options = TestRunOptions {
            data_in: Some(frame),
            repeat,
            ..TestRunOptions::new()
        };
        let began = thread_time();
        let run = (self.xdp(trial.name())).and_then(|xdp| xdp.test_run(options));
        let time = thread_time().saturating_sub(began);
        match run {
            Ok(run) => Ok(Tried {
                action: run.return_value,
                time,
            }),
            Err(error) => Err(self.trial_error(&error)),
        }
    }

    fn trial_error(&self, error: &ProgramError) -> XdpError {
        XdpError::Load {
            interface: self.interface().name().to_owned(),
            reason: one_line(error),
            hint: "BPF_PROG_TEST_RUN takes frames from an Ethernet header to a page".to_owned(),
        }
    }
}

/// Processor time of this thread.
fn thread_time() -> Duration {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the structure lives through the call; this clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut now) };
    let nanoseconds = u32::try_from(now.tv_nsec).unwrap_or_default();
    Duration::new(u64::try_from(now.tv_sec).unwrap_or_default(), nanoseconds)
}
