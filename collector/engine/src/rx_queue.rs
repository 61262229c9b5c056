//! One RX queue of a live worker: its socket, its packet count and its account.

use std::collections::BTreeMap;

use anyhow::Result;
use noctule_abi::Tally;
use noctule_capture::xdp::{BindMode, VerdictReader, XskQueue};
use noctule_counters::batch::{Batch, DarkFrame};
use noctule_counters::epoch::{Epoch, Timing};
use noctule_counters::repeats::RepeatSampler;
use noctule_packet::Unparsed;
use noctule_packet::darknet::Darknet;
use noctule_packet::link::LinkType;
use noctule_store::tables::Mode;

use crate::account::{Account, Snapshot};
use crate::ledger::QueueLedger;

/// Attempts to read the verdicts and the losses of one moment.
const SNAPSHOT_ATTEMPTS: usize = 8;

/// An RX queue that a worker serves.
pub struct RxQueue {
    socket: XskQueue,
    mode: Mode,
    account: Account,
    repeats: RepeatSampler,
    counted: u64,
    /// Frames that were not parsed, in all earlier intervals.
    not_parsed: u64,
    unparsed: BTreeMap<Unparsed, Tally>,
}

impl RxQueue {
    /// Wraps an open socket; `generic` says that XDP runs in generic mode.
    pub fn new(socket: XskQueue, generic: bool) -> Self {
        let mode = match (generic, socket.mode()) {
            (true, _) => Mode::Generic,
            (false, BindMode::ZeroCopy) => Mode::ZeroCopy,
            (false, BindMode::Copy) => Mode::Copy,
        };
        Self {
            socket,
            mode,
            account: Account::default(),
            repeats: RepeatSampler::default(),
            counted: 0,
            not_parsed: 0,
            unparsed: BTreeMap::new(),
        }
    }

    /// The hot path: receives one batch of frames, counts it, and gives the frames back to the
    /// kernel. Returns the number of frames.
    ///
    /// `number` is this queue's index in the epoch. A few packets stay in `batch` until the next
    /// call or until [`Batch::finish`].
    #[inline]
    pub fn receive(
        &mut self,
        darknet: &Darknet,
        batch: &mut Batch,
        epoch: &mut Epoch,
        (offset_us, timing): (u32, Timing),
        number: usize,
    ) -> usize {
        let frames = self.socket.receive();
        let (socket, repeats) = (&self.socket, &mut self.repeats);
        let dark = (0..frames).filter_map(|place| {
            let octets = socket.frame(place);
            let network = darknet.locate(LinkType::Ethernet, octets)?;
            repeats.packet(network, octets, offset_us.into());
            Some(DarkFrame {
                network,
                octets,
                wire_bytes: octets.len(),
                offset_us,
                timing,
                queue: number,
            })
        });
        self.counted += batch.count(epoch, dark);
        self.socket.release();
        frames
    }

    /// Packets counted since the socket was opened.
    pub const fn counted(&self) -> u64 {
        self.counted
    }

    /// The AF_XDP socket.
    pub const fn socket(&mut self) -> &mut XskQueue {
        &mut self.socket
    }

    /// Closes the queue's account of an interval; `settled` says that the rings were drained.
    ///
    /// # Errors
    /// The kernel refuses to read the verdict map or the socket's statistics.
    pub fn close_account(
        &mut self,
        verdicts: &VerdictReader,
        settled: bool,
    ) -> Result<QueueLedger> {
        let now = self.snapshot(verdicts)?;
        let (queue, capacity) = (self.socket.queue(), self.socket.capacity());
        let mut row = (self.account).close(queue, self.mode, &now, capacity, settled);
        // Reading what frames are takes some 100 microseconds, so it is done if there are any.
        let not_parsed = now.verdicts.not_parsed.packets;
        if not_parsed != std::mem::replace(&mut self.not_parsed, not_parsed) || settled {
            self.add_unparsed(verdicts, &mut row);
        }
        row.repeats = self.repeats.take();
        Ok(row)
    }

    /// Adds the frames that were not parsed since the last interval, by what they are. A frame that
    /// arrives meanwhile is in this interval or in the next one.
    fn add_unparsed(&mut self, verdicts: &VerdictReader, row: &mut QueueLedger) {
        for (what, now) in verdicts.unparsed(self.socket.queue()) {
            let before = self.unparsed.insert(what, now).unwrap_or_default();
            let packets = now.packets - before.packets;
            if packets > 0 {
                row.add_unparsed(what, packets, now.bytes - before.bytes);
                row.records += packets;
            }
        }
    }

    /// Packets that XDP matched and that are neither counted nor lost by a known cause; 0 if more
    /// packets were counted than matched.
    ///
    /// # Errors
    /// As [`Self::close_account`].
    pub fn in_flight(&self, verdicts: &VerdictReader) -> Result<i64> {
        Ok(Account::missing(&self.snapshot(verdicts)?).max(0))
    }

    /// Packets that the kernel lost on the way to the socket.
    ///
    /// # Errors
    /// The kernel refuses to read the socket's statistics.
    pub fn lost(&self) -> Result<u64> {
        let statistics = self.socket.statistics()?;
        Ok(statistics.rx_dropped + statistics.rx_ring_full)
    }

    /// Reads verdicts and losses. Losses are read before and after the verdicts: if they agree, all
    /// figures belong to one moment. Under constant loss they may never agree; then the last
    /// reading is used.
    fn snapshot(&self, verdicts: &VerdictReader) -> Result<Snapshot> {
        let mut statistics = self.socket.statistics()?;
        for _ in 0..SNAPSHOT_ATTEMPTS {
            let snapshot = Snapshot {
                verdicts: verdicts.read(self.socket.queue())?,
                statistics,
                counted: self.counted,
            };
            statistics = self.socket.statistics()?;
            if statistics == snapshot.statistics {
                return Ok(snapshot);
            }
        }
        Ok(Snapshot {
            verdicts: verdicts.read(self.socket.queue())?,
            statistics,
            counted: self.counted,
        })
    }
}
