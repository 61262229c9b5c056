//! A load generator inside the kernel, for tests and benches: TCP SYNs, each from another source,
//! at millions of packets/s from one core.
//!
//! Its XDP program (`ebpf/src/bin/noctule-generator.rs`) is run by `BPF_PROG_TEST_RUN` with live
//! frames and redirects them out of an interface. A veth end takes such frames only while its peer
//! has an XDP program (or GRO on); they arrive on the peer's queue of the CPU that sends, modulo
//! the number of queues, and are received on that CPU.

use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

use aya::{
    Ebpf, EbpfLoader, TestRun as _,
    maps::{Array, MapData},
    programs::{ProgramError, TestRunAttrs, TestRunOptions, Xdp, XdpMode},
};
use ipnet::Ipv4Net;

use super::{Interface, XdpError, error::one_line};

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

/// A load generator that is loaded and has sent nothing yet.
pub struct Generator {
    ebpf: Ebpf,
    made: Array<MapData, u64>,
    interface: Interface,
    frame: [u8; FRAME_BYTES],
}

impl Generator {
    /// Loads a generator that sends out of `interface` to addresses drawn from `prefix`.
    ///
    /// It is also attached there, although nothing is received at that end: only for a program that
    /// is attached anywhere a run needs no change of the kernel's table of programs, before and
    /// after which it would wait for all CPUs.
    ///
    /// The thread must be in the interface's network namespace, now and when it sends.
    ///
    /// # Errors
    /// [`XdpError::Load`] where the kernel refuses the program.
    pub fn load(interface: &Interface, prefix: Ipv4Net) -> Result<Self, XdpError> {
        let mut generator = Self::load_object(OBJECT, interface, prefix)?;
        program(&mut generator.ebpf)
            .and_then(|xdp| xdp.attach_to_if_index(interface.index(), XdpMode::Driver))
            .map_err(|error| refused(interface, one_line(&error)))?;
        Ok(generator)
    }

    fn load_object(
        object: &[u8],
        interface: &Interface,
        prefix: Ipv4Net,
    ) -> Result<Self, XdpError> {
        let refused = |reason| refused(interface, reason);
        let frame = template();
        let first = u32::from(prefix.network());
        let others = u32::from(prefix.hostmask());
        let mut ebpf = EbpfLoader::new()
            .override_global("INTERFACE", &interface.index(), true)
            .override_global("FIRST", &first, true)
            .override_global("OTHERS", &others, true)
            .override_global("SUMS", &sums(&frame), true)
            .load(object)
            .map_err(|error| refused(one_line(&error)))?;
        program(&mut ebpf)
            .and_then(Xdp::load)
            .map_err(|error| refused(one_line(&error)))?;
        let made = ebpf
            .take_map("MADE")
            .ok_or_else(|| refused("the object has no map MADE".to_owned()))?;
        let made = Array::try_from(made).map_err(|error| refused(one_line(&error)))?;
        Ok(Self {
            ebpf,
            made,
            interface: interface.clone(),
            frame,
        })
    }

    /// Frames made since it was loaded; each was sent or dropped at the sending end.
    ///
    /// # Errors
    /// [`XdpError::Map`].
    pub fn made(&self) -> Result<u64, XdpError> {
        self.made.get(&0, 0).map_err(|error| XdpError::Map {
            action: "read".to_owned(),
            map: "MADE",
            reason: one_line(&error),
        })
    }

    /// Frames that the sending end of the wire has dropped since it exists because its peer's
    /// ring was full. A peer that takes no redirected frames at all leaves no trace here.
    ///
    /// # Errors
    /// [`XdpError::Interface`].
    pub fn dropped(&self) -> Result<u64, XdpError> {
        let unreadable = |source| XdpError::Interface {
            name: self.interface.name().to_owned(),
            what: "counters",
            source,
        };
        let table = fs::read_to_string("/proc/thread-self/net/dev").map_err(unreadable)?;
        // After the name come eight numbers of receiving, then octets, packets, errors and drops
        // of sending.
        (table.lines())
            .filter_map(|line| line.trim_start().split_once(':'))
            .find(|(name, _)| *name == self.interface.name())
            .and_then(|(_, numbers)| numbers.split_whitespace().nth(11)?.parse().ok())
            .ok_or_else(|| unreadable(std::io::Error::other("they are not listed")))
    }

    /// Makes about `packets` frames, as fast as it can or in bursts at `per_second`, and returns
    /// how many it made: the kernel rounds up to whole batches.
    ///
    /// `go_on` is asked now and then; false ends the sending early.
    ///
    /// # Errors
    /// [`XdpError::Send`].
    pub fn send(
        &mut self,
        packets: u64,
        per_second: Option<f64>,
        go_on: impl Fn() -> bool,
    ) -> Result<u64, XdpError> {
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

    fn burst(&mut self, frames: u32) -> Result<(), XdpError> {
        let options = TestRunOptions {
            data_in: Some(&self.frame),
            repeat: frames,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH.min(frames)),
            ..TestRunOptions::new()
        };
        program(&mut self.ebpf)
            .and_then(|xdp| xdp.test_run(options))
            .map(drop)
            .map_err(|error| XdpError::Send {
                interface: self.interface.name().to_owned(),
                reason: one_line(&error),
            })
    }
}

/// A program that drops all that arrives at an interface, until it is dropped itself: what a
/// generator costs alone is measured against it.
pub struct Sink {
    _ebpf: Ebpf,
}

impl Sink {
    /// Attaches it.
    ///
    /// # Errors
    /// [`XdpError::Load`] where the kernel refuses it.
    pub fn attach(interface: &Interface) -> Result<Self, XdpError> {
        let mut ebpf = Ebpf::load(OBJECT).map_err(|error| refused(interface, one_line(&error)))?;
        named(&mut ebpf, "sink")
            .and_then(|xdp| {
                xdp.load()?;
                xdp.attach_to_if_index(interface.index(), XdpMode::Driver)
            })
            .map_err(|error| refused(interface, one_line(&error)))?;
        Ok(Self { _ebpf: ebpf })
    }
}

fn refused(interface: &Interface, reason: String) -> XdpError {
    XdpError::Load {
        interface: interface.name().to_owned(),
        reason,
        hint:
            "the load generator needs Linux 5.18 or newer, root, and an interface with native XDP"
                .to_owned(),
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
    use noctule_packet::darknet::Darknet;
    use noctule_testkit::netns::{self, Namespace, veth_pair};

    use super::*;
    use crate::xdp::{AttachMode, Unserved, XdpProgram, privilege};

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
            println!("every_frame_is_a_sound_syn_of_a_new_source: SKIPPED (needs root): {missing}");
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
            println!("{test}: SKIPPED (needs root) for namespaces and XDP");
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
