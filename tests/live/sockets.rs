//! Frames over a veth pair between two namespaces, through the attached program and the sockets.

use std::{
    collections::HashSet,
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use noctule_abi::Verdicts;
use noctule_packet::darknet::Darknet;

use noctule_capture::xdp::{
    AttachMode, BindMode, Interface, Ready, Unserved, VerdictReader, XdpError, XdpProgram,
    XskConfig, XskQueue, XskStatistics, privilege,
};
use noctule_testkit::netns::{self, Entered, Namespace, PacketSocket, veth_pair};
use noctule_testkit::skipped;
use noctule_testkit::wire::SMALL;

/// A sending and a sensing end, two queues each. The thread is in the sensor's namespace.
struct Wire {
    _inside: Entered,
    sensor: Namespace,
    sender: Namespace,
}

impl Wire {
    fn new(test: &str) -> Option<Self> {
        if let (true, Ok(())) = (netns::available(), privilege::check()) {
            let sensor = Namespace::new("noctule-sensor").unwrap();
            let sender = Namespace::new("noctule-sender").unwrap();
            veth_pair((&sensor, "dark0"), (&sender, "gen0"), 2).unwrap();
            return Some(Self {
                _inside: sensor.enter().unwrap(),
                sensor,
                sender,
            });
        }
        skipped(test, "needs root, for namespaces and AF_XDP");
        None
    }

    fn send(&self, frames: &[Vec<u8>]) {
        let _inside = self.sender.enter().unwrap();
        let socket = PacketSocket::open("gen0").unwrap();
        for frame in frames {
            socket.send(frame).unwrap();
        }
    }
}

fn darknet() -> Darknet {
    Darknet::parse(&["198.51.100.0/24"], &["198.51.100.128/25"]).unwrap()
}

/// A UDP frame whose last four octets are `number`; its flow, and so its queue, depends on it.
fn frame(destination: Ipv4Addr, number: u32) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00];
    frame.extend([0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0]);
    frame.extend([192, 0, 2, 1]);
    frame.extend(destination.octets());
    frame.extend((number as u16).to_be_bytes());
    frame.extend([0, 53, 0, 12, 0, 0]);
    frame.extend(number.to_be_bytes());
    frame
}

fn dark_frames(count: u32) -> Vec<Vec<u8>> {
    (0..count)
        .map(|number| frame(Ipv4Addr::new(198, 51, 100, number as u8 & 127), number))
        .collect()
}

fn number_of(frame: &[u8]) -> u32 {
    u32::from_be_bytes(frame[frame.len() - 4..].try_into().unwrap())
}

/// Receives from the queue until nothing comes any more.
fn drain(queue: &mut XskQueue, seen: &mut Vec<u32>) {
    loop {
        let frames = queue.receive();
        assert!(frames <= queue.config().batch as usize);
        seen.extend((0..frames).map(|place| number_of(queue.frame(place))));
        assert!(queue.frame(frames).is_empty(), "no frame after the batch");
        assert!(queue.release());
        if frames == 0 && queue.wait(50).unwrap() != Ready::Frames {
            return;
        }
    }
}

fn opened(program: &mut XdpProgram, interface: &Interface, queues: u32) -> Vec<XskQueue> {
    (0..queues)
        .map(|number| {
            let queue = XskQueue::open_auto(interface, number, &SMALL).unwrap();
            assert_eq!(queue.mode(), BindMode::Copy, "veth has no zero copy");
            program.serve(number, queue.fd()).unwrap();
            queue
        })
        .collect()
}

#[test]
fn every_dark_frame_arrives_and_others_pass() {
    let Some(wire) = Wire::new("every_dark_frame_arrives_and_others_pass") else {
        return;
    };
    let interface = Interface::find("dark0").unwrap();
    assert!(interface.is_up().unwrap());
    assert_eq!(interface.rx_queues().unwrap(), 2);
    let mut program = XdpProgram::load(&interface, 2, &darknet(), Unserved::Pass).unwrap();
    let mut queues = opened(&mut program, &interface, 2);
    let stack = PacketSocket::open("dark0").unwrap();
    program.attach(AttachMode::Native).unwrap();
    assert!(program.is_attached());

    // More than packet memory holds, in bursts that fit: every frame goes round the rings.
    let sent = dark_frames(2_000);
    let mut seen: Vec<Vec<u32>> = vec![Vec::new(), Vec::new()];
    for burst in sent.chunks(200) {
        wire.send(burst);
        for (queue, seen) in queues.iter_mut().zip(&mut seen) {
            drain(queue, seen);
        }
    }
    let outside: Vec<_> = (0..20)
        .map(|number| frame(Ipv4Addr::new(198, 51, 100, 200), 10_000 + number))
        .collect();
    wire.send(&outside);

    assert!(
        seen.iter().all(|one| one.len() > 100),
        "both queues are served"
    );
    let all: HashSet<u32> = seen.concat().into_iter().collect();
    assert_eq!(seen.concat().len(), sent.len(), "no frame comes twice");
    assert_eq!(all, (0..2_000).collect());

    let mut passed = HashSet::new();
    while let Some(octets) = stack.receive(Duration::from_millis(300)).unwrap() {
        passed.insert(number_of(&octets));
    }
    assert_eq!(
        passed,
        (10_000..10_020).collect(),
        "the stack sees these alone"
    );

    program.detach().unwrap();
    let reader = program.verdict_reader();
    for (number, seen) in (0..).zip(&seen) {
        let verdicts: Verdicts = reader.read(number).unwrap();
        assert_eq!(verdicts.redirected.packets, seen.len() as u64);
        assert_eq!(verdicts.redirected.bytes, 46 * seen.len() as u64);
        assert_eq!(verdicts.matched(), verdicts.redirected.packets);
    }
    let passed: u64 = (0..2).map(|q| reader.read(q).unwrap().passed.packets).sum();
    assert_eq!(passed, 20);
    for queue in &queues {
        assert_eq!(queue.statistics().unwrap(), XskStatistics::default());
    }
}

#[test]
fn what_the_kernel_loses_is_in_its_statistics() {
    let Some(wire) = Wire::new("what_the_kernel_loses_is_in_its_statistics") else {
        return;
    };
    let interface = Interface::find("dark0").unwrap();
    let mut program = XdpProgram::load(&interface, 2, &darknet(), Unserved::Drop).unwrap();
    let mut queues = opened(&mut program, &interface, 1);
    program.attach(AttachMode::Native).unwrap();
    // Without a receiver, packet memory holds 256 frames; all others are counted as lost.
    let sent = dark_frames(2_000);
    wire.send(&sent);
    let mut seen = Vec::new();
    drain(&mut queues[0], &mut seen);
    let served = program.verdicts(0).unwrap();
    let lost = queues[0].statistics().unwrap();
    assert_eq!(seen.len(), 256);
    assert_eq!(served.matched(), 256 + lost.rx_dropped + lost.rx_ring_full);
    // The other queue has no socket, and the policy is to drop.
    let unserved = program.verdicts(1).unwrap();
    assert!(unserved.unserved_dropped.packets > 0);
    assert_eq!(unserved.matched(), unserved.unserved_dropped.packets);
    assert_eq!(served.matched() + unserved.matched(), 2_000);
    // The frames that were held all the time go round again.
    seen.clear();
    wire.send(&sent[..100]);
    drain(&mut queues[0], &mut seen);
    assert_eq!(
        seen.len() as u64,
        program.verdicts(0).unwrap().matched() - served.matched()
    );
}

#[test]
fn workers_may_own_queues_and_readers() {
    fn movable<T: Send>() {}
    fn shareable<T: Send + Sync + Clone>() {}
    movable::<XskQueue>();
    movable::<XdpProgram>();
    shareable::<VerdictReader>();
    shareable::<Interface>();
}

#[test]
fn frames_that_are_not_released_come_back_by_themselves() {
    let Some(wire) = Wire::new("frames_that_are_not_released_come_back_by_themselves") else {
        return;
    };
    let interface = Interface::find("dark0").unwrap();
    let mut program = XdpProgram::load(&interface, 2, &darknet(), Unserved::Pass).unwrap();
    let mut queues = opened(&mut program, &interface, 2);
    program.attach(AttachMode::Generic).unwrap();
    let mut received = 0;
    for burst in dark_frames(1_000).chunks(100) {
        wire.send(burst);
        for queue in &mut queues {
            // `receive` alone, never `release`.
            while queue.wait(20).unwrap() == Ready::Frames {
                received += queue.receive();
            }
        }
    }
    assert_eq!(received, 1_000);
}

#[test]
fn a_removed_interface_ends_the_wait() {
    let Some(wire) = Wire::new("a_removed_interface_ends_the_wait") else {
        return;
    };
    let interface = Interface::find("dark0").unwrap();
    let mut program = XdpProgram::load(&interface, 2, &darknet(), Unserved::Pass).unwrap();
    let mut queues = opened(&mut program, &interface, 1);
    program.attach(AttachMode::Native).unwrap();
    assert_eq!(queues[0].wait(1).unwrap(), Ready::TimedOut);
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(100));
            wire.sender.command("ip", &["link", "del", "gen0"]).unwrap();
        });
        let start = Instant::now();
        while queues[0].wait(200).unwrap() != Ready::Gone {
            assert!(start.elapsed() < Duration::from_secs(10), "never noticed");
        }
    });
    assert_eq!(queues[0].wait(1000).unwrap(), Ready::Gone, "and stays so");
    assert_eq!(queues[0].receive(), 0);
    assert!(!interface.still_exists());
    program.detach().unwrap();
    let error = interface.is_up().unwrap_err().to_string();
    assert!(error.contains("dark0"), "{error}");
}

#[test]
fn another_program_or_socket_is_never_pushed_aside() {
    let Some(wire) = Wire::new("another_program_or_socket_is_never_pushed_aside") else {
        return;
    };
    let interface = Interface::find("dark0").unwrap();
    let load = || XdpProgram::load(&interface, 2, &darknet(), Unserved::Pass).unwrap();
    let (mut first, mut second) = (load(), load());
    first.attach(AttachMode::Native).unwrap();
    for mode in [AttachMode::Native, AttachMode::Generic] {
        let error = second.attach(mode).unwrap_err();
        assert!(
            matches!(&error, XdpError::AlreadyAttached { interface, program } if interface == "dark0" && *program > 0),
            "{error}"
        );
        assert!(error.to_string().contains("ip link set dev dark0 xdp off"));
    }
    drop(first);
    // The kernel lets go of a link some time after its descriptor is closed.
    let until = Instant::now() + Duration::from_secs(5);
    while let Err(error) = second.attach(AttachMode::Native) {
        assert!(
            matches!(&error, XdpError::AlreadyAttached { .. }) && Instant::now() < until,
            "{error}"
        );
        thread::sleep(Duration::from_millis(10));
    }

    let queue = XskQueue::open(&interface, 0, &SMALL, BindMode::Copy).unwrap();
    let error = XskQueue::open(&interface, 0, &SMALL, BindMode::Copy).unwrap_err();
    assert!(
        matches!(&error, XdpError::Bind { source, .. } if source.raw_os_error() == Some(libc::EBUSY)),
        "{error}"
    );
    assert!(
        error.to_string().contains("queue 0 of dark0 in copy mode"),
        "{error}"
    );
    // A queue can be opened again as soon as its holder has gone.
    drop(queue);
    XskQueue::open(&interface, 0, &SMALL, BindMode::Copy).unwrap();
    // There is no third queue.
    let error = XskQueue::open(&interface, 2, &SMALL, BindMode::Copy).unwrap_err();
    assert!(error.to_string().contains("ethtool -l dark0"), "{error}");
    wire.sensor
        .command("ip", &["link", "set", "dev", "dark0", "down"])
        .unwrap();
    assert!(!interface.is_up().unwrap());
}

#[test]
fn a_worker_that_drives_its_queue_gets_every_frame() {
    let Some(wire) = Wire::new("a_worker_that_drives_its_queue_gets_every_frame") else {
        return;
    };
    let interface = Interface::find("dark0").unwrap();
    let mut program = XdpProgram::load(&interface, 2, &darknet(), Unserved::Drop).unwrap();
    let polled = XskConfig {
        busy_poll: true,
        ..SMALL
    };
    let mut queues: Vec<_> = (0..2)
        .map(|number| {
            let queue = XskQueue::open(&interface, number, &polled, BindMode::Copy).unwrap();
            assert!(queue.is_busy_polling());
            program.serve(number, queue.fd()).unwrap();
            queue
        })
        .collect();
    program.attach(AttachMode::Native).unwrap();
    let mut seen = Vec::new();
    for burst in dark_frames(1_000).chunks(200) {
        wire.send(burst);
        for queue in &mut queues {
            drain(queue, &mut seen);
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..1_000).collect::<Vec<_>>());
}
