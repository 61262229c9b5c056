//! Dark packets from the NIC: an XDP program and one AF_XDP socket per RX queue (Linux 5.9).
//!
//! The order in which a collector uses it:
//!
//! 1. [`privilege::check`], [`Interface::find`], [`Interface::rx_queues`].
//! 2. [`XdpProgram::load`] with the darknet.
//! 3. Each worker, on its own (pinned) thread: [`XskQueue::open_auto`], so that the packet
//!    memory lies on the worker's NUMA node; then [`XdpProgram::serve`] with its descriptor.
//! 4. [`XdpProgram::attach`]. From here on every dark frame is accounted for:
//!    [`VerdictReader::read`] returns how many frames were matched ([`LedgerReader`]: by port),
//!    [`XskQueue::statistics`] how many the kernel lost on the way. A frame that is neither counted
//!    nor lost is in flight; at most [`XskQueue::capacity`] frames of a queue are.
//! 5. [`XdpProgram::prepare`] and [`XdpProgram::flip`] put another darknet in force while frames
//!    arrive.
//! 6. At the end [`XdpProgram::detach`] first, then drain the queues, then drop them.

mod advice;
mod config;
mod device;
mod error;
mod handle;
mod interface;
mod ledger;
mod links;
mod mapped;
mod mapping;
mod open;
mod prefixes;
pub mod privilege;
mod program;
mod promiscuous;
mod ring;
mod socket;
mod system;
mod trial;
mod umem;
mod verdicts;
mod waiter;

#[cfg(test)]
mod bare_ip_tests;
#[cfg(test)]
mod flip_tests;
#[cfg(test)]
mod layer_tests;
#[cfg(test)]
mod tunnel_tests;
#[cfg(test)]
mod verdict_tests;

use noctule_abi::{GENERATIONS, TILES, Tile, ledger::Counters};

pub use config::{BindMode, XskConfig};
pub use device::Layer;
pub use error::XdpError;
pub use interface::Interface;
pub use ledger::LedgerReader;
pub use program::{AttachMode, Unserved, XdpProgram};
pub use promiscuous::Promiscuous;
pub use socket::{Ready, XskQueue, XskStatistics};
pub use trial::{Trial, Tried};
pub use verdicts::VerdictReader;
pub use waiter::Waiter;

/// Octets of kernel memory that the program's maps occupy for `queues` RX queues: counters of each
/// queue and one more, and tiles. The tries' memory depends on the prefixes and is not included.
pub const fn kernel_bytes(queues: u32) -> usize {
    (queues as usize + 1) * size_of::<Counters>()
        + (GENERATIONS * TILES) as usize * size_of::<Tile>()
}
