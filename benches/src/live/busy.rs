//! What a packet costs the worker: its receive step, timed whenever it takes frames, beside a step
//! that only gives the frames back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use noctule_capture::xdp::{
    AttachMode, BindMode, Interface, Unserved, XdpProgram, XskConfig, XskQueue,
};
use noctule_counters::RandomState;
use noctule_counters::batch::Batch;
use noctule_counters::epoch::{Capacity, Epoch, Timing};
use noctule_engine::rx_queue::RxQueue;
use noctule_packet::darknet::Darknet;

use super::wire::{self, SENSOR, Sent, Wire};
use crate::figure::{Figure, Goal, Rounds};

const ROUNDS: usize = 5;
/// Frames of one measurement, each from another source.
const FRAMES: u64 = 2_000_000;
/// Rows of the flow table, enough for all frames.
const MAX_FLOWS: usize = 4_000_000;
/// Goal: nanoseconds that a packet may cost above the cost of recycling its frame.
const MOST_NS: f64 = 45.0;
/// Longer steps are not timed: another thread had the worker's CPU meanwhile.
const PUT_ASIDE: Duration = Duration::from_micros(500);
/// After this long without a frame all frames have arrived.
const SILENCE: Duration = Duration::from_millis(20);

/// The steps that took frames.
#[derive(Default)]
pub(super) struct Busy {
    /// All frames.
    pub frames: u64,
    /// Frames of the steps that no other thread interrupted.
    timed: u64,
    /// The time of these steps.
    time: Duration,
}

impl Busy {
    /// Nanoseconds a frame.
    pub fn ns(&self) -> f64 {
        self.time.as_nanos() as f64 / self.timed as f64
    }
}

/// A queue at the wire's end with the tables that count its frames.
pub(super) struct Receiver {
    program: XdpProgram,
    rx_queue: RxQueue,
    epoch: Epoch,
    /// A table without room for rows: new flows only go to sketches.
    full: Epoch,
    batch: Batch,
    darknet: Darknet,
    matched: u64,
    lost: u64,
}

/// Measures, and checks that every frame sent arrived or was lost.
pub fn run(wire: &Wire) -> Result<Vec<Figure>> {
    let mut receiver = Receiver::open(wire, &XskConfig::default())?;
    let [mut bare, mut counted, mut crowded] = [const { Vec::new() }; 3];
    let (mut lost, mut untimed) = (0, 0);
    for _ in 0..ROUNDS {
        let (busy, _) = receiver.measure(wire, Receiver::give_back)?;
        bare.push(busy.ns());
        for (figures, rows) in [(&mut counted, true), (&mut crowded, false)] {
            receiver.epoch.clear();
            let before = receiver.rx_queue.counted();
            let (busy, missing) = receiver.measure(wire, Receiver::count)?;
            let packets = receiver.rx_queue.counted() - before;
            ensure!(
                packets == busy.frames,
                "{} frames came and {packets} packets were counted",
                busy.frames
            );
            if rows {
                receiver.check_rows(packets)?;
            }
            lost += missing;
            untimed += busy.frames - busy.timed;
            figures.push(busy.ns());
            std::mem::swap(&mut receiver.epoch, &mut receiver.full);
        }
    }
    println!(
        "{ROUNDS} rounds of {FRAMES} frames, as fast as one core sends; {lost} of {} to count found no room in the ring, {untimed} were counted while something else had the CPU",
        2 * ROUNDS as u64 * FRAMES
    );
    let rounds = |figures| Rounds {
        figures,
        references: &bare,
    };
    let figure = |name, figures, goals: &[Goal]| {
        let reference = Some("recycling frames");
        Figure::new(name, "ns", &rounds(figures), reference, goals)
    };
    let goal = [Goal::AboveReferenceAtMost(MOST_NS)];
    Ok(vec![
        figure("live/packet", &counted, &goal),
        figure("live/packet-overflowing", &crowded, &[]),
    ])
}

impl Receiver {
    /// Opens a receiver whose socket has these sizes.
    pub fn open(wire: &Wire, socket: &XskConfig) -> Result<Self> {
        core_affinity::set_for_current(wire.counting);
        let _inside = wire.enter()?;
        let interface = Interface::find(SENSOR)?;
        let darknet = wire::darknet()?;
        let mut program = XdpProgram::load(&interface, 1, &darknet, Unserved::Drop)?;
        let queue = XskQueue::open(&interface, 0, socket, BindMode::Copy)?;
        program.serve(0, queue.fd())?;
        program.attach(AttachMode::Native)?;
        Ok(Self {
            rx_queue: RxQueue::new(0, queue, program.verdict_reader(), false),
            program,
            epoch: Epoch::new(&Capacity::share(MAX_FLOWS, 1), 1, &RandomState::new()),
            full: Epoch::new(&Capacity::share(16, 1), 1, &RandomState::new()),
            batch: Batch::default(),
            darknet,
            matched: 0,
            lost: 0,
        })
    }

    /// Runs a step over all frames of one sending, and returns what it cost, and how many frames
    /// were lost on the way to it.
    fn measure(&mut self, wire: &Wire, step: fn(&mut Self) -> usize) -> Result<(Busy, u64)> {
        self.measure_at(wire, None, step)
    }

    /// As [`measure`](Self::measure), at `rate` frames/s or as fast as one core sends.
    fn measure_at(
        &mut self,
        wire: &Wire,
        rate: Option<f64>,
        step: fn(&mut Self) -> usize,
    ) -> Result<(Busy, u64)> {
        let done = AtomicBool::new(false);
        let (busy, sent) = thread::scope(|scope| {
            let sender = scope.spawn(|| {
                let sent = wire.send(FRAMES, rate, || true);
                done.store(true, Ordering::Relaxed);
                sent
            });
            let busy = self.time(step, &done);
            self.batch.finish(&mut self.epoch);
            wire::join(sender).map(|sent| (busy, sent))
        })?;
        let lost = self.account(&busy, &sent)?;
        Ok((busy, lost))
    }

    fn time(&mut self, step: fn(&mut Self) -> usize, done: &AtomicBool) -> Busy {
        let mut busy = Busy::default();
        let mut last = Instant::now();
        let mut was_over = false;
        loop {
            // Read before the step: frames sent by then are in the ring or on their way.
            let over = done.load(Ordering::Relaxed);
            let began = Instant::now();
            let frames = step(self);
            if frames > 0 {
                last = Instant::now();
                busy.frames += frames as u64;
                if last - began < PUT_ASIDE {
                    busy.time += last - began;
                    busy.timed += frames as u64;
                }
            } else if over && !was_over {
                (was_over, last) = (true, began);
            } else if over && began - last > SILENCE {
                return busy;
            }
        }
    }

    /// Checks that sent = matched = taken + lost; returns lost.
    fn account(&mut self, busy: &Busy, sent: &Sent) -> Result<u64> {
        let matched = self.program.verdicts(0)?.matched();
        let statistics = self.rx_queue.socket().statistics()?;
        let lost = statistics.rx_dropped + statistics.rx_ring_full;
        let (new_matched, new_lost) = (matched - self.matched, lost - self.lost);
        (self.matched, self.lost) = (matched, lost);
        ensure!(
            sent.frames == new_matched && new_matched == busy.frames + new_lost,
            "{} frames were sent, {new_matched} matched, {} taken and {new_lost} lost",
            sent.frames,
            busy.frames
        );
        Ok(new_lost)
    }

    /// Counts all frames of one sending into tables that are empty before.
    pub fn count_all(&mut self, wire: &Wire, rate: Option<f64>) -> Result<(Busy, u64)> {
        self.epoch.clear();
        self.measure_at(wire, rate, Self::count)
    }

    fn give_back(&mut self) -> usize {
        let queue = self.rx_queue.socket_mut();
        let frames = queue.receive();
        queue.release();
        frames
    }

    fn count(&mut self) -> usize {
        let at = (0, Timing::OnTime);
        (self.rx_queue).receive(&self.darknet, &mut self.batch, &mut self.epoch, at, 0)
    }

    /// Checks that every packet has a row of its own, since every source is new.
    fn check_rows(&self, packets: u64) -> Result<()> {
        let tally = self.epoch.tallies().next().context("one lane")?;
        let rows = self.epoch.flows4.iter().count() as u64;
        ensure!(
            tally.packets == packets && tally.overflow == 0 && rows == packets,
            "{packets} packets of as many sources made {rows} rows, with {} overflowing",
            tally.overflow
        );
        Ok(())
    }
}
