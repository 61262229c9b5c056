//! The bench's wire: two namespaces joined by a veth pair, and the generator at its far end.

use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use core_affinity::CoreId;
use noctule_capture::xdp::{Interface, privilege};
use noctule_packet::darknet::Darknet;
use noctule_testkit::generate::Generator;
use noctule_testkit::netns::{Entered, Namespace, available, veth_pair};

use crate::frames::PREFIX;

/// The collector's end.
pub const SENSOR: &str = "dark0";
const SENDER: &str = "gen0";

/// Two namespaces, joined with each other only; dropping it removes them.
pub struct Wire {
    sensor: Namespace,
    sender: Namespace,
    /// The CPU that sends, and that therefore runs the XDP program.
    sending: CoreId,
    /// The worker's CPU.
    pub counting: CoreId,
}

/// What the generator did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// Frames that went over the wire.
    pub frames: u64,
    /// How long it took.
    pub took: Duration,
}

impl Sent {
    /// Frames a second.
    pub fn rate(&self) -> f64 {
        self.frames as f64 / self.took.as_secs_f64()
    }
}

impl Wire {
    /// Makes the namespaces and the pair.
    pub fn new() -> Result<Self> {
        ensure!(
            available(),
            "this bench makes network namespaces: run it as root, with iproute2"
        );
        privilege::check()?;
        // Read before any thread is pinned: a pinned thread sees one CPU only.
        let (sending, counting) = cpus()?;
        let sensor = Namespace::new("noctule-bench")?;
        let sender = Namespace::new("noctule-bench")?;
        veth_pair((&sensor, SENSOR), (&sender, SENDER), 1)?;
        Ok(Self {
            sensor,
            sender,
            sending,
            counting,
        })
    }

    /// Moves the calling thread to the collector's end.
    pub fn enter(&self) -> Result<Entered> {
        Ok(self.sensor.enter()?)
    }

    /// Runs a command at the collector's end.
    pub fn command(&self, program: &str, arguments: &[&str]) -> Result<()> {
        self.sensor.command(program, arguments)?;
        Ok(())
    }

    /// Sends on the first CPU until `frames` frames are made, at `per_second` if given. Frames that
    /// the wire dropped before the receiver are not among the frames sent.
    pub fn send(
        &self,
        frames: u64,
        per_second: Option<f64>,
        go_on: impl Fn() -> bool,
    ) -> Result<Sent> {
        core_affinity::set_for_current(self.sending);
        let _inside = self.sender.enter()?;
        let mut generator = Generator::load(&Interface::find(SENDER)?, PREFIX.parse()?)?;
        let before = generator.dropped()?;
        let began = Instant::now();
        let made = generator.send(frames, per_second, go_on)?;
        let took = began.elapsed();
        Ok(Sent {
            frames: made - (generator.dropped()? - before),
            took,
        })
    }
}

/// The CPU that sends, and that of the worker.
fn cpus() -> Result<(CoreId, CoreId)> {
    match core_affinity::get_core_ids().as_deref() {
        Some([first, second, ..]) => Ok((*first, *second)),
        _ => Err(anyhow!(
            "two CPUs are needed: one sends, and one counts beside it"
        )),
    }
}

/// The darknet that is sent to.
pub fn darknet() -> Result<Darknet> {
    Darknet::parse(&[PREFIX], &[]).context("the bench's prefix")
}

/// What a scoped thread returned.
pub fn join<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    (thread.join()).unwrap_or_else(|_| Err(anyhow!("a thread of the bench panicked")))
}

/// Sleeps until `is_so` returns true or `limit` is over; returns whether it did.
pub fn wait_until(limit: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + limit;
    while !is_so() {
        if Instant::now() > until {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
    true
}
