//! The collector's own decoder against the truth, every component included.

use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;

use noctule_counters::summary::{Cell, DecodeErrorCount, Summary};
use noctule_packet::Rules;
use noctule_packet::cell::CellId;
use noctule_packet::darknet::{Darknet, Destination};
use noctule_packet::decode::{Source, decode};
use noctule_packet::error::DecodeError;
use noctule_packet::link::LinkType;

use super::{Component, SynthConfig, generate};

/// Packets, octets and sources of a cell.
type Counts = (u64, u64, HashSet<Source>);

/// The plainest possible collector: what the decoder says, added up.
#[derive(Default)]
struct Plain {
    summary: Summary,
    cells: BTreeMap<u32, Counts>,
    errors: BTreeMap<(&'static str, &'static str), u64>,
}

impl Plain {
    fn add(&mut self, darknet: &Darknet, frame: &[u8]) {
        self.summary.records += 1;
        let Destination::Dark(network) = darknet.destination(LinkType::Ethernet, frame) else {
            self.summary.passed_packets += 1;
            return;
        };
        let rules = Rules::shipped();
        let packet = decode(&rules, network, frame, frame.len()).unwrap();
        self.summary.dark_packets += 1;
        self.summary.dark_bytes += u64::from(packet.bytes);
        let (packets, bytes, sources) = self.cells.entry(packet.cell.to_bits()).or_default();
        *packets += 1;
        *bytes += u64::from(packet.bytes);
        sources.insert(packet.source);
        for place in packet.marks.iter().flat_map(|marks| marks.places()) {
            let name = rules.fingerprints()[place].name.clone();
            *self.summary.fingerprints.entry(name).or_default() += 1;
        }
        for number in packet.errors.numbers() {
            let error = DecodeError::ALL[number].layer_and_reason();
            *self.errors.entry(error).or_default() += 1;
        }
    }

    fn finish(self) -> Summary {
        let mut summary = self.summary;
        summary.by_class = ["scan", "backscatter", "other"]
            .map(|class| (class.to_owned(), 0))
            .into();
        let mut all: HashSet<Source> = HashSet::new();
        for (bits, (packets, bytes, sources)) in self.cells {
            let cell = CellId::from_bits(bits);
            let protocol = cell.protocol_name().into_owned();
            let class = cell.class().name().to_owned();
            *summary.by_protocol.entry(protocol.clone()).or_default() += packets;
            *summary.by_class.entry(class.clone()).or_default() += packets;
            summary.cells.push(Cell {
                protocol,
                class,
                port: cell.port(),
                packets,
                bytes,
                sources: Some(sources.len() as u64),
            });
            all.extend(sources);
        }
        summary.sources = Some(all.len() as u64);
        summary.decode_errors = self
            .errors
            .into_iter()
            .map(|((layer, reason), packets)| DecodeErrorCount {
                layer: layer.to_owned(),
                reason: reason.to_owned(),
                packets,
            })
            .collect();
        summary.sort();
        summary
    }
}

#[test]
fn the_decoder_arrives_at_the_truth() {
    let prefixes = ["198.18.0.0/15", "2001:db8::/32"].map(|p| p.parse().unwrap());
    let base = SynthConfig {
        sources: 5_000,
        ..SynthConfig::new(prefixes.to_vec())
    };
    let darknet = Darknet::new(&base.prefixes, &[]).unwrap();
    // The default mix, then each component alone, so that a difference names its component.
    let alone = Component::ALL.map(Component::name);
    for mix in [None].into_iter().chain(alone.map(Some)) {
        let config = SynthConfig {
            packets: if mix.is_none() { 200_000 } else { 5_000 },
            mix: mix.map(|name| super::Mix::parse(name).unwrap()),
            ..base.clone()
        };
        let mut plain = Plain::default();
        let truth = generate(&config, |_, frame| {
            plain.add(&darknet, frame);
            Ok::<(), Infallible>(())
        })
        .unwrap();
        let mut expected = truth.summary;
        // Time and place are not the decoder's.
        expected.intervals = 0;
        expected.sources_by_country = None;
        assert_eq!(plain.finish(), expected, "{mix:?}");
    }
}
