//! Counting packets allocates nothing: whatever the packets are, however full the tables, whichever
//! rules are in force, and across intervals.
//!
//! The library `allocation-counter` is this binary's allocator and counts what the thread asks of it.
//! What goes round an allocator, by `mmap`, shows in the size of the process.

use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::sync::Arc;

use allocation_counter::measure;
use noctule_counters::RandomState;
use noctule_counters::batch::{Batch, DarkFrame};
use noctule_counters::epoch::{Capacity, Epoch, Tally, Timing};
use noctule_packet::darknet::{Darknet, Destination};
use noctule_packet::link::LinkType;
use noctule_packet::rules::{RuleFile, Rules};
use noctule_synth::{SynthConfig, generate};

const PREFIXES: [&str; 2] = ["198.18.0.0/15", "2001:db8::/32"];
/// A tenth are not dark.
const PACKETS: u64 = 1_300_000;
/// Frames that a worker takes from a ring at once.
const RING_BATCH: usize = 64;
/// How often the tables are changed while all packets are counted.
const INTERVALS: usize = 4;

/// Room for all, and hardly any.
const WIDE: Capacity = Capacity {
    flows4: 1_500_000,
    flows6: 100_000,
    fingerprints: 200_000,
    victims: 50_000,
};
const NARROW: Capacity = Capacity {
    flows4: 20_000,
    flows6: 500,
    fingerprints: 300,
    victims: 40,
};

/// Dark frames, one behind another.
struct Frames {
    octets: Vec<u8>,
    ends: Vec<usize>,
}

impl Frames {
    fn generate(darknet: &Darknet) -> Self {
        let prefixes = PREFIXES.map(|prefix| prefix.parse().unwrap());
        let config = SynthConfig {
            packets: PACKETS,
            sources: 200_000,
            ..SynthConfig::new(prefixes.to_vec())
        };
        let mut frames = Self {
            octets: Vec::new(),
            ends: Vec::new(),
        };
        let truth = generate(&config, |_, frame| {
            let destination = darknet.destination(LinkType::Ethernet, frame);
            if matches!(destination, Destination::Dark(_)) {
                frames.octets.extend_from_slice(frame);
                frames.ends.push(frames.octets.len());
            }
            Ok::<_, std::convert::Infallible>(())
        })
        .unwrap();
        for (component, &packets) in &truth.packets_by_component {
            assert!(packets > 100, "{packets} frames of {component}");
        }
        assert_eq!(frames.ends.len() as u64, truth.summary.dark_packets);
        frames
    }

    fn get(&self, number: usize) -> &[u8] {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.octets[start..self.ends[number]]
    }
}

/// Shipped rules, one that has no gate, and so many that split probes evenly that there are more
/// sets of them than have numbers.
fn many_rules() -> Arc<Rules> {
    let mut text = String::from("version = 1\n");
    let mut rule = |name: &str, condition: &str| {
        write!(
            text,
            "[[fingerprint]]\nname = \"{name}\"\nversion = 1\nwhen = \"{condition}\"\n\
             chance_bits = 1\nsource = \"this test\"\n"
        )
        .unwrap();
    };
    for bit in 0..8 {
        rule(
            &format!("bit-{bit}"),
            &format!("tcp.seq & {} == 0", 1 << bit),
        );
    }
    rule("low", "ip.ttl < 60");
    let file = RuleFile {
        name: "many.toml",
        text: &text,
    };
    Arc::new(Rules::load(Some(file)).unwrap())
}

/// Pages of the address space that the process has mapped.
fn mapped_pages() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// What a run over all frames did.
struct Outcome {
    total: Tally,
    rows6: usize,
    rows_of_fingerprints: usize,
    rows_of_victims: usize,
    sketches: usize,
}

/// Counts all frames as a worker does, in two epochs by turns, and holds the thread to no
/// allocation while it does.
fn count(frames: &Frames, darknet: &Darknet, capacity: &Capacity, rules: &Arc<Rules>) -> Outcome {
    let hasher = RandomState::new();
    let mut epochs = [(); 2].map(|()| Epoch::new(capacity, 2, &hasher));
    let mut batch = Batch::default();
    let mut outcome = Outcome {
        total: Tally::ZERO,
        rows6: 0,
        rows_of_fingerprints: 0,
        rows_of_victims: 0,
        sketches: 0,
    };
    let all = frames.ends.len();
    for interval in 0..INTERVALS {
        let epoch = &mut epochs[interval % 2];
        epoch.begin(rules, interval as i64);
        let (first, last) = (all * interval / INTERVALS, all * (interval + 1) / INTERVALS);
        let mut taken = 0;
        let pages = mapped_pages();
        let asked = measure(|| {
            for start in (first..last).step_by(RING_BATCH) {
                let ring = start..(start + RING_BATCH).min(last);
                let located = ring.filter_map(|number| {
                    let octets = frames.get(number);
                    Some(DarkFrame {
                        network: darknet.locate(LinkType::Ethernet, octets)?,
                        octets,
                        wire_bytes: octets.len(),
                        offset_us: number as u32,
                        timing: Timing::OnTime,
                        queue: number % 2,
                    })
                });
                taken += batch.count(epoch, located);
            }
            batch.finish(epoch);
        });
        assert_eq!(
            (asked.count_total, asked.bytes_total),
            (0, 0),
            "allocations and octets of {} packets under {capacity:?}",
            last - first
        );
        assert_eq!(mapped_pages(), pages, "mapped in interval {interval}");
        assert_eq!(taken, (last - first) as u64);
        let mut here = 0;
        for tally in epoch.tallies() {
            here += tally.packets;
            outcome.total.merge(&tally);
        }
        assert_eq!(here, taken);
        outcome.rows6 += epoch.flows6.len();
        outcome.rows_of_fingerprints += epoch.fingerprints.len();
        outcome.rows_of_victims += epoch.victims.len();
        outcome.sketches += epoch.sketches.iter().count();
        epoch.clear();
    }
    outcome
}

#[test]
fn packets_allocate_nothing() {
    // What is trusted below does see an allocation, and memory that is mapped.
    let control = measure(|| drop(black_box(Box::new([0u8; 40]))));
    assert_eq!((control.count_total, control.bytes_total), (1, 40));
    let pages = mapped_pages();
    let table = Epoch::new(&NARROW, 1, &RandomState::new());
    assert!(mapped_pages() > pages);
    drop(table);

    let darknet = Darknet::parse(&PREFIXES, &[]).unwrap();
    let frames = Frames::generate(&darknet);
    let packets = frames.ends.len();
    assert!(packets >= 1_000_000, "{packets}");
    for rules in [Rules::shipped(), many_rules()] {
        let is_shipped = rules.version() == Rules::shipped().version();
        let wide = count(&frames, &darknet, &WIDE, &rules);
        let narrow = count(&frames, &darknet, &NARROW, &rules);
        for outcome in [&wide, &narrow] {
            let Tally { errors, quotes, .. } = &outcome.total;
            assert!(errors.iter().sum::<u64>() > 1000 && quotes.counted() > 100);
            assert!(outcome.rows6 > 1000 && outcome.rows_of_victims > 100);
        }
        assert_eq!((wide.total.overflow, wide.sketches), (0, 0));
        // Synthetic sources have one tool each: only these rules disagree about a flow's packets.
        assert!(is_shipped || wide.rows_of_fingerprints > 100_000);
        let Tally {
            overflow,
            fingerprint_overflow,
            quotes,
            ..
        } = narrow.total;
        assert!(overflow > 100_000 && fingerprint_overflow > 10_000 && quotes.overflow > 1000);
        assert!(narrow.sketches > 100 && narrow.rows_of_fingerprints > 100);
    }
}
