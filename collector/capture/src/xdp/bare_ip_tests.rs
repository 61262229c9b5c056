//! The XDP program and `Darknet::destination` decide alike on frames without a link layer, and the
//! program for frames in fragments on frames of any length.

use noctule_abi::Verdicts;
use noctule_packet::{
    darknet::{Darknet, Destination},
    link::LinkType,
    tunnel::TunnelKind,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    AttachMode, Interface, Layer, Trial, Unserved, XdpProgram, tunnel_tests,
    verdict_tests::{darknets, frame, skipped},
};

/// Frames of each darknet; each costs one system call.
const FRAMES: usize = 2_500;

/// All darknets of the other tests, the last one with tunnels.
fn all_darknets() -> Vec<Darknet> {
    let mut all = darknets();
    all.push(tunnel_tests::darknet(&TunnelKind::ALL, 4789));
    all
}

/// Runs a program over `frames` and compares what it has counted with user space's decisions.
fn compare(
    layer: Layer,
    mode: AttachMode,
    darknet: &Darknet,
    frames: impl Iterator<Item = Vec<u8>>,
) -> Verdicts {
    let interface = Interface::find("lo").unwrap().with_layer(layer);
    let mut program = XdpProgram::load(&interface, 1, darknet, Unserved::Drop).unwrap();
    let link = match layer {
        Layer::Ethernet => LinkType::Ethernet,
        Layer::Ip => LinkType::RawIp,
    };
    let mut expected = Verdicts::default();
    for frame in frames {
        let tally = match darknet.destination(link, &frame) {
            Destination::Dark(_) => &mut expected.unserved_dropped,
            Destination::Passed => &mut expected.passed,
            Destination::NotParsed => &mut expected.not_parsed,
        };
        tally.packets += 1;
        tally.bytes += frame.len() as u64;
        program.try_frame(Trial::Mode(mode), &frame, 1).unwrap();
        assert_eq!(program.verdicts(0).unwrap(), expected, "{frame:02x?}");
    }
    let slots: u64 = program.ledger_reader().packets().iter().sum();
    assert_eq!(slots, expected.matched());
    expected
}

fn assert_frequent(total: &[Verdicts]) {
    let sum = |of: fn(&Verdicts) -> u64| total.iter().map(of).sum::<u64>();
    for (outcome, packets) in [
        ("dark", sum(|all| all.unserved_dropped.packets)),
        ("passed", sum(|all| all.passed.packets)),
        ("not parsed", sum(|all| all.not_parsed.packets)),
    ] {
        assert!(packets > 200, "only {packets} were {outcome}");
    }
}

#[test]
fn frames_without_a_link_layer_are_decided_like_in_user_space() {
    if skipped("frames_without_a_link_layer_are_decided_like_in_user_space") {
        return;
    }
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let total: Vec<_> = (all_darknets().iter())
        .map(|darknet| {
            let frames = (0..FRAMES).map(|number| {
                let ethernet = if darknet.tunnels().is_empty() || number % 8 == 0 {
                    frame(&mut random)
                } else {
                    tunnel_tests::tunnel_frame(&mut random)
                };
                let mut frame = ethernet[14..].to_vec();
                // The kernel's test run takes no shorter one.
                frame.resize(frame.len().max(14), 0);
                frame
            });
            compare(Layer::Ip, AttachMode::Generic, darknet, frames)
        })
        .collect();
    assert_frequent(&total);
}

#[test]
fn frames_in_fragments_are_decided_by_their_first_one_and_counted_whole() {
    if skipped("frames_in_fragments_are_decided_by_their_first_one_and_counted_whole") {
        return;
    }
    let mut random = ChaCha8Rng::seed_from_u64(4);
    let total: Vec<_> = (all_darknets().iter())
        .map(|darknet| {
            let frames = (0..FRAMES / 2).map(|_| {
                let mut frame = frame(&mut random);
                if random.random_ratio(1, 3) {
                    frame.resize(random.random_range(3_000..9_000), 0);
                }
                frame
            });
            let mode = AttachMode::NativeFragments;
            compare(Layer::Ethernet, mode, darknet, frames)
        })
        .collect();
    assert_frequent(&total);
}
