//! Frames that are longer than a frame of packet memory, or than a page: through the program and the
//! sockets in fragments, or lost with their cause.

use noctule_capture::xdp::{
    AttachMode, BindMode, Interface, Ready, Unserved, XdpProgram, XskConfig, XskQueue,
    XskStatistics,
};
use noctule_packet::darknet::Darknet;
use noctule_testkit::frames::{DARK, DARK_PREFIX, syn};
use noctule_testkit::wire::{DARK_END, SENDER_END, SMALL, Wire, one_at_a_time, run};

fn set_mtu(wire: &Wire, mtu: &str) {
    for (namespace, name) in [(&wire.sensor, DARK_END), (&wire.sender, SENDER_END)] {
        run(namespace, "ip", &["link", "set", "dev", name, "mtu", mtu]);
    }
}

/// The program of the sensor's end, not yet attached, and its two queues.
fn open(interface: &Interface, config: &XskConfig) -> (XdpProgram, Vec<XskQueue>) {
    let darknet = Darknet::parse(&[DARK_PREFIX], &[]).unwrap();
    let mut program = XdpProgram::load(interface, 2, &darknet, Unserved::Drop).unwrap();
    let queues = (0..2)
        .map(|number| {
            let queue = XskQueue::open_auto(interface, number, config).unwrap();
            assert_eq!(queue.mode(), BindMode::Copy, "veth has no zero copy");
            program.serve(number, queue.fd()).unwrap();
            queue
        })
        .collect();
    (program, queues)
}

/// A dark frame of so many octets.
fn frame(number: u32, octets: usize) -> Vec<u8> {
    let mut frame = syn(number, DARK, 23);
    frame.resize(octets, 7);
    frame
}

/// Lengths of the frames that have arrived; checks the first octets of each.
fn receive(queues: &mut [XskQueue], patience_ms: u16) -> Vec<usize> {
    let mut lengths = Vec::new();
    for queue in queues {
        while queue.wait(patience_ms).unwrap() == Ready::Frames {
            let taken = queue.receive();
            for (first, octets) in (0..taken).filter_map(|place| queue.start(place)) {
                assert_eq!(first.len(), octets.min(SMALL.longest_frame() as usize));
                assert_eq!(first[..4], [2, 0, 0, 0]);
                lengths.push(octets);
            }
            assert!(queue.release());
        }
    }
    lengths.sort_unstable();
    lengths
}

#[test]
fn a_frame_too_long_for_packet_memory_continues_or_is_a_loss_with_its_cause() {
    let test = "a_frame_too_long_for_packet_memory_continues_or_is_a_loss_with_its_cause";
    let Some(wire) = Wire::new(test, 2) else {
        return;
    };
    let _alone = one_at_a_time();
    let _inside = wire.sensor.enter().unwrap();
    let interface = Interface::find(DARK_END).unwrap();
    let longest = SMALL.longest_frame() as usize;
    let lengths = [60, longest, longest + 1, 2500];
    for fragments in [false, true] {
        let config = XskConfig { fragments, ..SMALL };
        let (mut program, mut queues) = open(&interface, &config);
        assert_eq!(
            program.attach(AttachMode::Native).unwrap(),
            AttachMode::Native
        );
        wire.send(lengths.map(|octets| frame(1, octets)), 1_000);
        let received = receive(&mut queues, 100);
        let dropped: u64 = (queues.iter())
            .map(|queue| queue.statistics().unwrap().rx_dropped)
            .sum();
        if fragments {
            assert_eq!((&received[..], dropped), (&lengths[..], 0));
        } else {
            assert_eq!((&received[..], dropped), (&lengths[..2], 2));
        }
    }
    // Where no frame can be too long, sockets have none of it.
    set_mtu(&wire, "1500");
    let (_, queues) = open(&interface, &SMALL);
    assert!(!queues[0].has_fragments());
}

/// Frames of every length up to a jumbo MTU, through rings that are much smaller than all of them.
#[test]
fn an_mtu_of_9000_is_received_in_fragments() {
    let Some(wire) = Wire::new("an_mtu_of_9000_is_received_in_fragments", 2) else {
        return;
    };
    let _alone = one_at_a_time();
    set_mtu(&wire, "9000");
    let _inside = wire.sensor.enter().unwrap();
    let interface = Interface::find(DARK_END).unwrap();
    assert_eq!(interface.mtu().unwrap(), 9000);
    for (mode, in_effect, batch) in [
        (AttachMode::Native, AttachMode::NativeFragments, 64),
        // A frame has more descriptors than a batch.
        (AttachMode::Native, AttachMode::NativeFragments, 2),
        (AttachMode::Generic, AttachMode::Generic, 64),
    ] {
        let config = XskConfig { batch, ..SMALL };
        let (mut program, mut queues) = open(&interface, &config);
        assert_eq!(program.attach(mode).unwrap(), in_effect);
        let sent: Vec<usize> = (60..=9014).step_by(67).collect();
        let mut received = Vec::new();
        for burst in sent.chunks(5) {
            wire.send(
                burst.iter().map(|&octets| frame(octets as u32, octets)),
                10_000,
            );
            received.extend(receive(&mut queues, 20));
        }
        received.extend(receive(&mut queues, 200));
        for queue in &queues {
            assert_eq!(queue.statistics().unwrap(), XskStatistics::default());
        }
        received.sort_unstable();
        assert_eq!(received, sent, "{mode:?}, batches of {batch}");
        let bytes: u64 = (0..2)
            .map(|queue| program.verdicts(queue).unwrap().redirected.bytes)
            .sum();
        assert_eq!(bytes, sent.iter().sum::<usize>() as u64);
    }
}
