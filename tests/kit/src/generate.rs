//! A load generator inside the kernel, for tests and benches: TCP SYNs, each from another source,
//! at millions of packets/s from one core. It needs Linux 5.18.
//!
//! `BPF_PROG_TEST_RUN` runs its XDP program (`ebpf/src/bin/noctule-generator.rs`) with live frames,
//! and the program redirects them out of an interface. A veth end takes such frames only while its
//! peer has an XDP program (or GRO on). The frames arrive on the peer's queue whose number is that
//! of the sending CPU, modulo the number of queues, and the sending CPU also receives them.

use std::{
    error::Error,
    fs, io,
    thread::sleep,
    time::{Duration, Instant},
};

use aya::{
    Ebpf, EbpfLoader, TestRun as _,
    maps::{Array, MapData, MapError},
    programs::{ProgramError, TestRunAttrs, TestRunOptions, Xdp, XdpMode},
};
use ipnet::Ipv4Net;
use noctule_capture::xdp::Interface;

/// The committed object; `cargo xtask build-ebpf` makes it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../ebpf/noctule-generator.bpf.o"
));

/// Octets of every frame: what Ethernet sends at least, without its checksum.
pub const FRAME_BYTES: usize = 60;
/// Octets of every frame's IP datagram: a SYN with one option, the segment size.
pub const IP_BYTES: usize = 44;
/// Frames that the kernel makes before it lets the receiving side run, as many as a veth's ring
/// takes without losing one.
const BATCH: u32 = 64;
/// How long a burst may be at a given rate: long enough that a burst's set-up costs little, short
/// enough that rings need not hold much.
const BURST: Duration = Duration::from_millis(1);
/// Most frames of one run of the program, so that a long sending can be stopped.
const MOST: u64 = 1 << 16;

/// Why the load generator cannot work.
#[derive(Debug, thiserror::Error)]
pub enum GeneratorError {
    /// The kernel refuses the program or does not attach it.
    #[error(
        "cannot load the load generator at interface {interface}: it needs Linux 5.18 or newer, \
         root, and an interface with native XDP"
    )]
    Load {
        /// Name of the interface.
        interface: String,
        /// What aya or the kernel said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The kernel does not run the program.
    #[error("cannot run the load generator on interface {interface}: is the interface up?")]
    Send {
        /// Name of the interface.
        interface: String,
        /// What the kernel said.
        source: ProgramError,
    },
    /// The number of frames made cannot be read from the program's map.
    #[error("cannot read how many frames the load generator made")]
    Made(#[source] MapError),
    /// The interface's counters cannot be read.
    #[error("cannot read the counters of interface {interface}")]
    Counters {
        /// Name of the interface.
        interface: String,
        /// What the system said.
        source: io::Error,
    },
}

/// A load generator that is loaded.
pub struct Generator {
    ebpf: Ebpf,
    made: Array<MapData, u64>,
    interface: Interface,
    frame: [u8; FRAME_BYTES],
}

impl Generator {
    /// Loads a generator that sends out of `interface` to addresses drawn from `prefix`.
    ///
    /// The program is also attached there, although that end receives nothing: running an attached
    /// program needs no change of the kernel's table of programs; otherwise every run would
    /// wait for all CPUs before and after such a change.
    ///
    /// The thread must be in the interface's network namespace, now and when it sends.
    ///
    /// # Errors
    /// [`GeneratorError::Load`] if the kernel refuses the program.
    pub fn load(interface: &Interface, prefix: Ipv4Net) -> Result<Self, GeneratorError> {
        let mut generator = Self::load_object(OBJECT, interface, prefix)?;
        program(&mut generator.ebpf)
            .and_then(|xdp| xdp.attach_to_if_index(interface.index(), XdpMode::Driver))
            .map_err(|error| refused(interface, error))?;
        Ok(generator)
    }

    fn load_object(
        object: &[u8],
        interface: &Interface,
        prefix: Ipv4Net,
    ) -> Result<Self, GeneratorError> {
        let frame = template();
        let first = u32::from(prefix.network());
        let others = u32::from(prefix.hostmask());
        let mut ebpf = EbpfLoader::new()
            .override_global("INTERFACE", &interface.index(), true)
            .override_global("FIRST", &first, true)
            .override_global("OTHERS", &others, true)
            .override_global("SUMS", &sums(&frame), true)
            .load(object)
            .map_err(|error| refused(interface, error))?;
        program(&mut ebpf)
            .and_then(Xdp::load)
            .map_err(|error| refused(interface, error))?;
        let made = ebpf
            .take_map("MADE")
            .ok_or_else(|| refused(interface, "the object has no map MADE"))?;
        let made = Array::try_from(made).map_err(|error| refused(interface, error))?;
        Ok(Self {
            ebpf,
            made,
            interface: interface.clone(),
            frame,
        })
    }

    /// Frames made since the generator was loaded; each was sent or dropped at the sending end.
    ///
    /// # Errors
    /// [`GeneratorError::Made`] if the kernel does not read the map.
    pub fn made(&self) -> Result<u64, GeneratorError> {
        self.made.get(&0, 0).map_err(GeneratorError::Made)
    }

    /// Frames that the sending end of the wire has dropped because its peer's ring was full, since
    /// the interface was made. A peer that takes no redirected frames at all leaves no trace here.
    ///
    /// # Errors
    /// [`GeneratorError::Counters`] if `/proc` cannot be read or does not list the interface.
    pub fn dropped(&self) -> Result<u64, GeneratorError> {
        let unreadable = |source| GeneratorError::Counters {
            interface: self.interface.name().to_owned(),
            source,
        };
        let table = fs::read_to_string("/proc/thread-self/net/dev").map_err(unreadable)?;
        // After the name follow eight counters of receiving, then octets, packets, errors and drops
        // of sending.
        (table.lines())
            .filter_map(|line| line.trim_start().split_once(':'))
            .find(|(name, _)| *name == self.interface.name())
            .and_then(|(_, numbers)| numbers.split_whitespace().nth(11)?.parse().ok())
            .ok_or_else(|| unreadable(io::Error::other("the interface is not listed")))
    }

    /// Makes about `packets` frames, as fast as it can or in bursts at `per_second`, and returns
    /// how many it made: the kernel rounds up to whole batches.
    ///
    /// Between bursts `go_on` is called; if it returns false, the sending ends early.
    ///
    /// # Errors
    /// [`GeneratorError::Send`] if the kernel does not run the program, [`GeneratorError::Made`] if
    /// it does not say how many frames were made.
    pub fn send(
        &mut self,
        packets: u64,
        per_second: Option<f64>,
        go_on: impl Fn() -> bool,
    ) -> Result<u64, GeneratorError> {
        let before = self.made()?;
        let burst = per_second.map_or(MOST, |rate| {
            (rate * BURST.as_secs_f64()).clamp(1.0, MOST as f64) as u64
        });
        let began = Instant::now();
        let mut made = 0;
        while made < packets && go_on() {
            if let Some(rate) = per_second {
                // By the clock from the start: a burst that came late is made up for.
                let due = began + Duration::from_secs_f64(made as f64 / rate);
                let early = due.saturating_duration_since(Instant::now());
                if !early.is_zero() {
                    sleep(early);
                }
            }
            self.burst(burst.min(packets - made) as u32)?;
            made = self.made()? - before;
        }
        Ok(made)
    }

    fn burst(&mut self, frames: u32) -> Result<(), GeneratorError> {
        let options = TestRunOptions {
            data_in: Some(&self.frame),
            repeat: frames,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH.min(frames)),
            ..TestRunOptions::new()
        };
        program(&mut self.ebpf)
            .and_then(|xdp| xdp.test_run(options))
            .map(drop)
            .map_err(|source| GeneratorError::Send {
                interface: self.interface.name().to_owned(),
                source,
            })
    }
}

/// An XDP program that drops every frame that arrives at an interface, attached until the value is
/// dropped. With it a bench measures what the generator alone costs.
pub struct Sink {
    _ebpf: Ebpf,
}

impl Sink {
    /// Attaches the program to `interface`.
    ///
    /// # Errors
    /// [`GeneratorError::Load`] if the kernel refuses the program.
    pub fn attach(interface: &Interface) -> Result<Self, GeneratorError> {
        let mut ebpf = Ebpf::load(OBJECT).map_err(|error| refused(interface, error))?;
        named(&mut ebpf, "sink")
            .and_then(|xdp| {
                xdp.load()?;
                xdp.attach_to_if_index(interface.index(), XdpMode::Driver)
            })
            .map_err(|error| refused(interface, error))?;
        Ok(Self { _ebpf: ebpf })
    }
}

fn refused(
    interface: &Interface,
    source: impl Into<Box<dyn Error + Send + Sync>>,
) -> GeneratorError {
    GeneratorError::Load {
        interface: interface.name().to_owned(),
        source: source.into(),
    }
}

fn program(ebpf: &mut Ebpf) -> Result<&mut Xdp, ProgramError> {
    named(ebpf, "generate")
}

fn named<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp, ProgramError> {
    ebpf.program_mut(name)
        .ok_or(ProgramError::UnexpectedProgramType)?
        .try_into()
}

/// What all frames have in common; zero where the program writes.
fn template() -> [u8; FRAME_BYTES] {
    let mut frame = [0; FRAME_BYTES];
    let mut put = |at: usize, octets: &[u8]| frame[at..at + octets.len()].copy_from_slice(octets);
    put(0, &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00]);
    put(14, &[0x45, 0, 0, IP_BYTES as u8]);
    // Time to live, TCP.
    put(22, &[64, 6]);
    // Data offset, SYN, window; maximum segment size 1460.
    put(46, &[0x60, 0x02, 0x04, 0x00]);
    put(54, &[2, 4, 0x05, 0xb4]);
    frame
}

/// Sums of the 16-bit words that do not change: of the IP header, and of the TCP segment with its
/// pseudo-header; for the checksums.
fn sums(frame: &[u8; FRAME_BYTES]) -> u64 {
    let sum = |octets: &[u8]| -> u64 {
        (octets.chunks(2))
            .map(|pair| u64::from(u16::from_be_bytes([pair[0], pair[1]])))
            .sum()
    };
    let segment = (IP_BYTES - 20) as u64;
    let pseudo = u64::from(frame[23]) + segment;
    sum(&frame[14..34]) << 32 | (sum(&frame[34..14 + IP_BYTES]) + pseudo)
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, env};

    use etherparse::{NetSlice, SlicedPacket, TransportSlice};
    use noctule_capture::xdp::{AttachMode, Unserved, XdpProgram, privilege};
    use noctule_packet::darknet::Darknet;

    use super::*;
    use crate::netns::{self, Namespace, veth_pair};

    const XDP_REDIRECT: u32 = 4;

    fn prefix() -> Ipv4Net {
        "198.18.0.0/15".parse().unwrap()
    }

    /// The frames that an object makes first, which are sent nowhere.
    fn frames_made_by(object: &[u8], count: usize) -> Vec<[u8; FRAME_BYTES]> {
        let interface = Interface::find("lo").unwrap();
        let mut generator = Generator::load_object(object, &interface, prefix()).unwrap();
        let mut frames = vec![[0; FRAME_BYTES]; count];
        for frame in &mut frames {
            let options = TestRunOptions {
                data_in: Some(&generator.frame),
                data_out: Some(frame),
                ..TestRunOptions::new()
            };
            let result = (program(&mut generator.ebpf).unwrap().test_run(options)).unwrap();
            assert_eq!(result.return_value, XDP_REDIRECT);
        }
        assert_eq!(generator.made().unwrap(), count as u64);
        frames
    }

    #[test]
    fn every_frame_is_a_sound_syn_of_a_new_source() {
        if let Err(missing) = privilege::check() {
            let test = "every_frame_is_a_sound_syn_of_a_new_source";
            crate::skipped(test, &missing.to_string());
            return;
        }
        let mut sources = HashSet::new();
        let mut destinations = HashSet::new();
        for frame in frames_made_by(OBJECT, 5_000) {
            let sliced = SlicedPacket::from_ethernet(&frame).unwrap();
            let Some(NetSlice::Ipv4(ip)) = &sliced.net else {
                panic!("not IPv4: {frame:02x?}");
            };
            let header = ip.header().to_header();
            assert_eq!(header.header_checksum, header.calc_header_checksum());
            assert_eq!(usize::from(header.total_len), IP_BYTES);
            let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else {
                panic!("not TCP: {frame:02x?}");
            };
            assert!(tcp.syn() && !tcp.ack() && !tcp.rst() && !tcp.fin());
            let sum = tcp.calc_checksum_ipv4(header.source, header.destination);
            assert_eq!(tcp.checksum(), sum.unwrap());
            assert!(prefix().contains(&std::net::Ipv4Addr::from(header.destination)));
            sources.insert(header.source);
            destinations.insert(header.destination);
        }
        assert_eq!(sources.len(), 5_000, "every source is new");
        assert!(destinations.len() > 4_000, "they go to all of the prefix");
    }

    #[test]
    fn what_is_made_arrives_or_was_dropped() {
        let test = "what_is_made_arrives_or_was_dropped";
        if !netns::available() || privilege::check().is_err() {
            crate::skipped(test, "needs root, for namespaces and XDP");
            return;
        }
        let [sensor, sender] =
            ["noctule-sensor", "noctule-sender"].map(|name| Namespace::new(name).unwrap());
        veth_pair((&sensor, "dark0"), (&sender, "gen0"), 1).unwrap();
        let mut program = {
            let _inside = sensor.enter().unwrap();
            let interface = Interface::find("dark0").unwrap();
            let darknet = Darknet::parse(&["198.18.0.0/15"], &[]).unwrap();
            XdpProgram::load(&interface, 1, &darknet, Unserved::Drop).unwrap()
        };
        let _inside = sender.enter().unwrap();
        let interface = Interface::find("gen0").unwrap();
        let mut generator = Generator::load(&interface, prefix()).unwrap();
        {
            let _inside = sensor.enter().unwrap();
            program.attach(AttachMode::Native).unwrap();
        }
        let began = Instant::now();
        let paced = generator.send(64_000, Some(400_000.0), || true).unwrap();
        assert!(paced >= 64_000 && began.elapsed() > Duration::from_millis(150));
        let fast = generator.send(200_000, None, || true).unwrap();
        let none = generator.send(64_000, None, || false).unwrap();
        assert_eq!(none, 0, "it can be stopped");
        let dropped = generator.dropped().unwrap();
        let settled = Instant::now() + Duration::from_secs(2);
        while program.verdicts(0).unwrap().matched() + dropped < paced + fast
            && Instant::now() < settled
        {
            sleep(Duration::from_millis(1));
        }
        let matched = program.verdicts(0).unwrap().matched();
        assert_eq!(matched + dropped, paced + fast);
        assert_eq!(generator.made().unwrap(), paced + fast);
    }

    /// For `cargo xtask build-ebpf`, where the committed object is from other tools.
    #[test]
    fn two_objects_agree() {
        let [Some(one), Some(other)] =
            ["NOCTULE_XDP_OBJECT", "NOCTULE_XDP_OTHER_OBJECT"].map(env::var_os)
        else {
            println!(
                "two_objects_agree: skipped (no NOCTULE_XDP_OBJECT, NOCTULE_XDP_OTHER_OBJECT)"
            );
            return;
        };
        let [one, other] = [one, other].map(|path| fs::read(path).unwrap());
        assert_eq!(frames_made_by(&one, 20_000), frames_made_by(&other, 20_000));
    }
}
