//! One RX queue of a live worker: its socket, its packet count and its account.

use std::collections::BTreeMap;

use anyhow::Result;
use noctule_abi::Tally;
use noctule_capture::xdp::{BindMode, Layer, Ready, VerdictReader, XskQueue};
use noctule_counters::batch::{Batch, DarkFrame};
use noctule_counters::epoch::{Epoch, Timing};
use noctule_counters::repeats::RepeatSampler;
use noctule_packet::Unparsed;
use noctule_packet::darknet::Darknet;
use noctule_packet::link::LinkType;
use noctule_store::tables::Mode;

use crate::account::{Account, Snapshot};
use crate::ledger::{QueueId, QueueLedger};

/// Attempts to read the verdicts and the losses of one moment.
const SNAPSHOT_ATTEMPTS: usize = 8;

/// An RX queue that a worker serves.
pub struct RxQueue {
    /// Index of its interface in the run's settings.
    interface: u16,
    socket: XskQueue,
    /// XDP's counters of its interface.
    verdicts: VerdictReader,
    /// When its interface was found to be gone, in microseconds since 1970.
    gone_us: Option<i64>,
    mode: Mode,
    link: LinkType,
    /// True if frames have no Ethernet header, or may continue in further descriptors.
    odd: bool,
    account: Account,
    repeats: RepeatSampler,
    counted: u64,
    /// Frames that were not parsed, in all earlier intervals.
    not_parsed: u64,
    unparsed: BTreeMap<Unparsed, Tally>,
}

impl RxQueue {
    /// Wraps an open socket of the interface with this index, whose counters `verdicts` reads;
    /// `generic` says that XDP runs in generic mode.
    pub fn new(interface: u16, socket: XskQueue, verdicts: VerdictReader, generic: bool) -> Self {
        let mode = match (generic, socket.mode()) {
            (true, _) => Mode::Generic,
            (false, BindMode::ZeroCopy) => Mode::ZeroCopy,
            (false, BindMode::Copy) => Mode::Copy,
        };
        let link = match socket.interface().layer() {
            Layer::Ethernet => LinkType::Ethernet,
            Layer::Ip => LinkType::RawIp,
        };
        Self {
            odd: link != LinkType::Ethernet || socket.has_fragments(),
            link,
            interface,
            socket,
            verdicts,
            gone_us: None,
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
        let mut dark = |link, octets, wire_bytes| {
            let network = darknet.locate(link, octets)?;
            repeats.packet(network, octets, offset_us.into());
            Some(DarkFrame {
                network,
                octets,
                wire_bytes,
                offset_us,
                timing,
                queue: number,
            })
        };
        // One loop for each kind, so that the commonest has no branch per frame.
        self.counted += if !self.odd {
            let frames = (0..frames).map(|place| socket.frame(place));
            let dark = frames.filter_map(|octets| dark(LinkType::Ethernet, octets, octets.len()));
            batch.count(epoch, dark)
        } else {
            let frames = (0..frames).filter_map(|place| socket.start(place));
            let dark = frames.filter_map(|(octets, whole)| dark(self.link, octets, whole));
            batch.count(epoch, dark)
        };
        self.socket.release();
        frames
    }

    /// Packets counted since the socket was opened.
    pub const fn counted(&self) -> u64 {
        self.counted
    }

    /// The AF_XDP socket.
    pub const fn socket(&self) -> &XskQueue {
        &self.socket
    }

    /// The AF_XDP socket, to receive without counting.
    pub const fn socket_mut(&mut self) -> &mut XskQueue {
        &mut self.socket
    }

    /// When its interface was found to be gone, in microseconds since 1970.
    pub const fn gone_us(&self) -> Option<i64> {
        self.gone_us
    }

    /// Waits for a frame, at most `timeout_ms` milliseconds. If the interface is gone, remembers
    /// `now_us` as the time.
    ///
    /// `Gone` only for a socket that was closed although its interface is still there: a removed
    /// interface sends no more frames, and that is all.
    ///
    /// # Errors
    /// The socket cannot be polled.
    pub fn wait(&mut self, timeout_ms: u16, now_us: impl FnOnce() -> i64) -> Result<Ready> {
        let ready = self.socket.wait(timeout_ms)?;
        if ready != Ready::Gone {
            return Ok(ready);
        }
        if self.gone_us.is_none() {
            self.gone_us = Some(now_us());
        }
        if self.socket.interface().still_exists() {
            Ok(Ready::Gone)
        } else {
            Ok(Ready::TimedOut)
        }
    }

    /// Closes the queue's account of an interval; `settled` says that the rings were drained. The
    /// rings of an interface that is gone are.
    ///
    /// # Errors
    /// The kernel refuses to read the verdict map or the socket's statistics.
    pub fn close_account(&mut self, settled: bool) -> Result<QueueLedger> {
        let now = self.snapshot()?;
        let (queue, capacity) = (self.socket.queue(), self.socket.capacity());
        let settled = settled || self.gone_us.is_some();
        let mut row = (self.account).close(queue, self.mode, &now, capacity, settled);
        let interface = self.interface;
        row.queue = QueueId { interface, queue };
        // Reading what frames are takes some 100 microseconds, so it is done if there are any.
        let not_parsed = now.verdicts.not_parsed.packets;
        if not_parsed != std::mem::replace(&mut self.not_parsed, not_parsed) || settled {
            self.add_unparsed(&mut row);
        }
        row.repeats = self.repeats.take();
        Ok(row)
    }

    /// Adds the frames that were not parsed since the last interval, by what they are. A frame that
    /// arrives meanwhile is in this interval or in the next one.
    fn add_unparsed(&mut self, row: &mut QueueLedger) {
        for (what, now) in self.verdicts.unparsed(self.socket.queue()) {
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
    pub fn in_flight(&self) -> Result<i64> {
        Ok(Account::missing(&self.snapshot()?).max(0))
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
    fn snapshot(&self) -> Result<Snapshot> {
        let mut statistics = self.socket.statistics()?;
        for _ in 0..SNAPSHOT_ATTEMPTS {
            let snapshot = Snapshot {
                verdicts: self.verdicts.read(self.socket.queue())?,
                statistics,
                counted: self.counted,
            };
            statistics = self.socket.statistics()?;
            if statistics == snapshot.statistics {
                return Ok(snapshot);
            }
        }
        Ok(Snapshot {
            verdicts: self.verdicts.read(self.socket.queue())?,
            statistics,
            counted: self.counted,
        })
    }
}
