//! The checked configuration of a run. The binary builds it from its command line and its
//! configuration file; nothing here parses text.

use std::path::PathBuf;
use std::time::Duration;

use noctule_capture::file::TimeResolution;
use noctule_capture::xdp::{Unserved, XskConfig};
use noctule_packet::darknet::Darknet;
use noctule_store::Location;

/// Settings that a live run and a replay share.
#[derive(Debug)]
pub struct Common {
    /// The darknet's prefixes, and the tunnels through which its packets arrive.
    pub darknet: Darknet,
    /// Name of the sensor.
    pub sensor: String,
    /// The store; none: nothing is written.
    pub store: Option<Location>,
    /// Folder in which files wait until an object store has them.
    pub spool: PathBuf,
    /// Length of an interval, in seconds; divides 3600.
    pub interval_seconds: u32,
    /// Country file.
    pub country_db: Option<PathBuf>,
    /// AS number file.
    pub asn_db: Option<PathBuf>,
    /// Rule file that adds to the shipped rules.
    pub rules: Option<PathBuf>,
    /// Rows of the flow table, all workers together.
    pub max_flows: usize,
    /// Worker threads, when set.
    pub workers: Option<usize>,
}

/// How frames are received from the interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReceiveMode {
    /// Zero copy where the driver supports it, otherwise native copy mode.
    #[default]
    Auto,
    /// Zero copy only.
    ZeroCopy,
    /// Native XDP; the kernel copies frames to packet memory.
    Copy,
    /// Generic XDP: any driver, slow.
    Generic,
}

/// Settings of a live run.
#[derive(Debug)]
pub struct Live {
    /// Settings shared with a replay.
    pub common: Common,
    /// Names of the interfaces, at least one.
    pub interfaces: Vec<String>,
    /// How frames are received.
    pub mode: ReceiveMode,
    /// Generic XDP may be used if the driver has no native XDP.
    pub allow_generic: bool,
    /// The interfaces are put into promiscuous mode during the run.
    pub promiscuous: bool,
    /// Seconds without any frame, or without a dark one, after which a hint is logged; 0: never.
    pub hint_after_seconds: u32,
    /// What XDP does with dark packets of a queue without a socket.
    pub unserved: Unserved,
    /// Sizes of rings and packet memory.
    pub socket: XskConfig,
    /// CPUs that workers are pinned to; empty: all that the process may use.
    pub cpus: Vec<usize>,
}

impl Live {
    /// Names of the settings that differ in `fresh` and that a reload does not apply.
    pub fn changed_until_restart(&self, fresh: &Self) -> Vec<&'static str> {
        let (old, new) = (&self.common, &fresh.common);
        [
            (
                "decapsulate, tunnel_endpoints or vxlan_port",
                old.darknet.tunnels() != new.darknet.tunnels(),
            ),
            (
                "outer_tags or inner_ethernet",
                old.darknet.link_options() != new.darknet.link_options(),
            ),
            ("sensor", old.sensor != new.sensor),
            (
                "store or spool",
                old.store != new.store || old.spool != new.spool,
            ),
            ("interval", old.interval_seconds != new.interval_seconds),
            ("max_flows", old.max_flows != new.max_flows),
            ("workers", old.workers != new.workers),
            ("interface", self.interfaces != fresh.interfaces),
            (
                "promiscuous or hint_after",
                self.promiscuous != fresh.promiscuous
                    || self.hint_after_seconds != fresh.hint_after_seconds,
            ),
            ("mode", self.mode != fresh.mode),
            ("allow_generic", self.allow_generic != fresh.allow_generic),
            ("unserved", self.unserved != fresh.unserved),
            (
                "frames, frame_bytes, batch or busy_poll",
                self.socket != fresh.socket,
            ),
            ("cpus", self.cpus != fresh.cpus),
        ]
        .into_iter()
        .filter_map(|(name, changed)| changed.then_some(name))
        .collect()
    }
}

/// Settings of a replay.
#[derive(Debug)]
pub struct Replay {
    /// Settings shared with a live run.
    pub common: Common,
    /// The capture files; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// A folder whose files are counted as they appear, in place of `files`.
    pub follow: Option<Follow>,
    /// The replay's files replace those that the store has of the sensor in the same time.
    pub replace: bool,
    /// What the captures' times count; none: what the captures say.
    pub time_resolution: Option<TimeResolution>,
    /// Write FlowTuple files, too.
    pub flowtuple: Option<FlowTuple>,
}

/// Settings of a replay that follows a folder.
#[derive(Debug)]
pub struct Follow {
    /// The folder.
    pub folder: PathBuf,
    /// A file that has not changed for this long is counted.
    pub settle: Duration,
}

/// Settings of the FlowTuple files of a replay.
#[derive(Debug)]
pub struct FlowTuple {
    /// Folder of the files.
    pub folder: PathBuf,
    /// Length of a file's interval, in seconds; divides 3600.
    pub interval_seconds: u32,
}
