//! Messages from workers and the reader to the flusher.

use noctule_counters::epoch::Epoch;

use crate::geo::Geo;
use crate::ledger::QueueLedger;
use crate::time::IntervalId;

/// One message to the flusher.
pub enum Message {
    /// Tables that a worker filled for an interval; an interval may have several.
    Epoch {
        /// The interval.
        interval: IntervalId,
        /// The worker that filled them and gets them back.
        worker: usize,
        /// The tables.
        epoch: Box<Epoch>,
    },
    /// The account of a queue, without the packets that its worker counted.
    Ledger {
        /// The interval.
        interval: IntervalId,
        /// The account; accounts of one queue and interval are added up.
        row: Box<QueueLedger>,
    },
    /// Country and AS files that apply from an interval on.
    Geo {
        /// The interval.
        from: IntervalId,
        /// The files.
        geo: Box<Geo>,
    },
    /// A producer will send nothing more for this interval and those before it.
    Closed {
        /// The producer.
        producer: usize,
        /// The interval.
        through: IntervalId,
    },
}
