//! Runs the program over a given frame (`BPF_PROG_TEST_RUN`, Linux 4.12), for tests and benches.
#![expect(unsafe_code, reason = "the thread's own clock has no safe wrapper")]

use std::time::Duration;

use aya::programs::{ProgramError, TestRun as _, TestRunOptions};

use super::{AttachMode, XdpError, XdpProgram, error::one_line};

/// Which program is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// The program that is attached in this mode.
    Mode(AttachMode),
    /// A program that passes every frame: what a program costs at the least.
    Empty,
}

/// Result of [`XdpProgram::try_frame`].
#[derive(Clone, Copy, Debug)]
pub struct Tried {
    /// The program's last return value, such as `XDP_PASS`.
    pub action: u32,
    /// CPU time of this thread for all repetitions, the system call included. Wall-clock time would
    /// include the time of other threads on a busy machine.
    pub time: Duration,
}

impl XdpProgram {
    /// Runs a program `repeat` times over the same frame, as if it had arrived on RX queue 0. The
    /// program counts the frame, but the kernel delivers it nowhere, whatever the verdict.
    ///
    /// # Errors
    /// [`XdpError::Load`] if the kernel refuses the program or the frame, for example a frame
    /// shorter than an Ethernet header.
    pub fn try_frame(
        &mut self,
        trial: Trial,
        frame: &[u8],
        repeat: u32,
    ) -> Result<Tried, XdpError> {
        let name = match trial {
            Trial::Mode(mode) => self.program(mode),
            Trial::Empty => "noctule_empty",
        };
        self.load_program(name)?;
        let options = TestRunOptions {
            data_in: Some(frame),
            repeat,
            ..TestRunOptions::new()
        };
        let began = thread_time();
        let run = (self.xdp(name)).and_then(|xdp| xdp.test_run(options));
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

/// CPU time of this thread.
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
