//! A cable: two namespaces joined by a veth pair, and what is sent over it.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use noctule_capture::xdp::XskConfig;

use crate::netns::{self, Namespace, NetnsError, PacketSocket, veth_pair};

use crate::skipped;

/// The interface of the sensor's end.
pub const DARK_END: &str = "dark0";
/// The interface of the sender's end.
pub const SENDER_END: &str = "gen0";

/// A socket with little packet memory.
pub const SMALL: XskConfig = XskConfig {
    frames: 256,
    frame_bytes: 2048,
    batch: 64,
    need_wakeup: true,
    busy_poll: false,
    fragments: true,
};

/// Longest a flood may last, whatever becomes of the test.
const FLOOD_LIMIT: Duration = Duration::from_secs(60);
/// Frames between two looks at the clock.
const BURST: usize = 32;

/// Only one test at a time loads the machine.
pub fn one_at_a_time() -> MutexGuard<'static, ()> {
    static HEAVY: Mutex<()> = Mutex::new(());
    // A test that failed leaves nothing behind that would harm the next.
    HEAVY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Two namespaces and the cable; both go with it.
#[derive(Debug)]
pub struct Wire {
    /// Where the collector runs.
    pub sensor: Namespace,
    /// Where traffic comes from.
    pub sender: Namespace,
}

impl Wire {
    /// A cable with this many queues; without root says that `test` is skipped.
    ///
    /// # Panics
    /// It cannot be made although this is root.
    pub fn new(test: &str, queues: u32) -> Option<Self> {
        if !netns::available() {
            skipped(test, "needs root, for namespaces and AF_XDP");
            return None;
        }
        let namespace = |role: &str| {
            let namespace = Namespace::new(role).unwrap_or_else(|error| panic!("{error}"));
            // Neighbour discovery and the like would be traffic that no test has sent.
            let off =
                "for f in all default; do echo 1 > /proc/sys/net/ipv6/conf/$f/disable_ipv6; done";
            run(&namespace, "sh", &["-c", off]);
            namespace
        };
        let wire = Self {
            sensor: namespace("noctule-dark"),
            sender: namespace("noctule-gen"),
        };
        let ends = [(&wire.sensor, DARK_END), (&wire.sender, SENDER_END)];
        veth_pair(ends[0], ends[1], queues).unwrap_or_else(|error| panic!("{error}"));
        for (namespace, interface) in ends {
            // As much as native XDP on veth takes in one page.
            run(
                namespace,
                "ip",
                &["link", "set", "dev", interface, "mtu", "3400"],
            );
        }
        Some(wire)
    }

    /// Gives both ends an address and lets them ask for each other's.
    pub fn with_addresses(&self, sensor: &str, sender: &str) {
        for (namespace, interface, address) in [
            (&self.sensor, DARK_END, sensor),
            (&self.sender, SENDER_END, sender),
        ] {
            run(
                namespace,
                "ip",
                &["address", "add", address, "dev", interface],
            );
            run(
                namespace,
                "ip",
                &["link", "set", "dev", interface, "arp", "on"],
            );
        }
    }

    /// A program to be started at the sensor's end.
    pub fn at_sensor(&self, program: &str) -> Command {
        self.sensor.prepare(program)
    }

    /// Frames that the sensor's end has taken from the cable.
    ///
    /// # Panics
    /// The interface is gone.
    pub fn arrived(&self) -> u64 {
        let path = format!("/sys/class/net/{DARK_END}/statistics/rx_packets");
        let output = run(&self.sensor, "cat", &[&path]);
        let text = String::from_utf8_lossy(&output.stdout);
        text.trim().parse().expect("a number of packets")
    }

    /// Sends these frames, no faster than `packets_per_second`, and returns how many there were.
    ///
    /// None gets lost on the cable: where it is full the kernel says so, and the frame is sent
    /// again.
    ///
    /// # Panics
    /// A frame cannot be sent.
    pub fn send<F: AsRef<[u8]>>(
        &self,
        frames: impl IntoIterator<Item = F>,
        packets_per_second: u32,
    ) -> u64 {
        self.send_over(SENDER_END, frames, packets_per_second)
    }

    /// The same over another interface of the sender's; what lies behind it may lose frames.
    ///
    /// # Panics
    /// As [`Wire::send`].
    pub fn send_over<F: AsRef<[u8]>>(
        &self,
        interface: &str,
        frames: impl IntoIterator<Item = F>,
        packets_per_second: u32,
    ) -> u64 {
        let _inside = self
            .sender
            .enter()
            .unwrap_or_else(|error| panic!("{error}"));
        let socket = PacketSocket::open(interface).unwrap_or_else(|error| panic!("{error}"));
        let step = Duration::from_secs(1) / packets_per_second;
        let mut due = Instant::now();
        let mut sent = 0;
        for frame in frames {
            if (sent as usize).is_multiple_of(BURST) {
                let now = Instant::now();
                // What was missed is not made up for in one burst.
                due = due.max(now - Duration::from_millis(2));
                thread::sleep(due - now.min(due));
                due += step * BURST as u32;
            }
            send_whole(&socket, frame.as_ref()).unwrap_or_else(|error| panic!("{error}"));
            sent += 1;
        }
        sent
    }

    /// Sends these frames round and round, as fast as it can, until the flood is dropped.
    ///
    /// # Panics
    /// There is no frame, or no thread.
    pub fn flood(&self, frames: Vec<Vec<u8>>) -> Flood {
        assert!(!frames.is_empty(), "a flood of nothing");
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&sent));
        let path = self
            .sender
            .enter()
            .unwrap_or_else(|error| panic!("{error}"));
        // A thread starts in the namespace of the one that starts it.
        let thread = thread::spawn(move || {
            let until = Instant::now() + FLOOD_LIMIT;
            let socket = PacketSocket::open(SENDER_END)?;
            for burst in frames.chunks(BURST).cycle() {
                if stopped.load(Ordering::Relaxed) || Instant::now() > until {
                    break;
                }
                for frame in burst {
                    send_whole(&socket, frame)?;
                }
                count.fetch_add(burst.len() as u64, Ordering::Relaxed);
            }
            Ok(())
        });
        drop(path);
        Flood {
            stop,
            sent,
            thread: Some(thread),
        }
    }
}

/// Sends a frame; again when the kernel says that it has thrown it away for want of room.
fn send_whole(socket: &PacketSocket, frame: &[u8]) -> Result<(), NetnsError> {
    loop {
        match socket.send(frame) {
            Err(NetnsError::System { source, .. })
                if source.raw_os_error() == Some(libc::ENOBUFS) =>
            {
                thread::yield_now();
            }
            other => return other,
        }
    }
}

/// Runs a program in a namespace.
///
/// # Panics
/// It fails.
pub fn run(namespace: &Namespace, program: &str, arguments: &[&str]) -> Output {
    (namespace.command(program, arguments)).unwrap_or_else(|error| panic!("{error}"))
}

/// Frames sent without end by a thread, until this is dropped.
#[derive(Debug)]
pub struct Flood {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<(), NetnsError>>>,
}

impl Flood {
    /// Frames sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Is it still sending?
    pub fn is_running(&self) -> bool {
        (self.thread.as_ref()).is_some_and(|thread| !thread.is_finished())
    }

    /// Ends it and returns the frames sent.
    ///
    /// # Panics
    /// A frame could not be sent.
    pub fn end(mut self) -> u64 {
        if let Some(Err(error)) = self.join() {
            panic!("{error}");
        }
        self.sent()
    }

    fn join(&mut self) -> Option<Result<(), NetnsError>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().and_then(|thread| thread.join().ok())
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.join();
    }
}
