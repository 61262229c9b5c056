//! Adding the plans up: the counts that any right reading of the frames arrives at.

use std::collections::{BTreeMap, HashMap};

use noctule_counters::summary::{Cell, DecodeErrorCount, Summary};
use noctule_packet::cell::CellId;

use super::Component;
use super::address::{AddressRange, Addresses};
use super::plan::{Class, HeaderError, Plan};

/// What was generated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// The counts.
    pub summary: Summary,
    /// Frames by component, dark or not.
    pub packets_by_component: BTreeMap<&'static str, u64>,
    /// Countries of all addresses that sources can have, sorted.
    pub countries: Vec<AddressRange>,
    /// AS numbers of the same addresses, sorted.
    pub systems: Vec<AddressRange>,
}

/// Keys that are gathered before they are first sorted and thinned out.
const FIRST_KEYS: usize = 1 << 22;

/// Bits of a packed [`CellId`].
const CELL_BITS: u32 = 27;

/// The running counts.
pub(super) struct Tally {
    summary: Summary,
    components: [u64; Component::ALL.len()],
    classes: [u64; Class::ALL.len()],
    /// By packed [`CellId`]: packets and octets.
    cells: HashMap<u32, (u64, u64)>,
    fingerprints: BTreeMap<&'static str, u64>,
    errors: BTreeMap<HeaderError, u64>,
    /// Source and cell of every dark packet, once each after [`thin_out`]. Memory: eight octets
    /// for each pair that occurs, twice that at most.
    keys: Vec<u64>,
    keys_limit: usize,
    interval_us: i64,
    last_interval: Option<i64>,
}

impl Tally {
    pub fn new(interval_us: i64) -> Self {
        Self {
            summary: Summary::default(),
            components: [0; Component::ALL.len()],
            classes: [0; Class::ALL.len()],
            cells: HashMap::new(),
            fingerprints: BTreeMap::new(),
            errors: BTreeMap::new(),
            keys: Vec::new(),
            keys_limit: FIRST_KEYS,
            interval_us,
            last_interval: None,
        }
    }

    /// Adds a frame; times never step back.
    pub fn add(&mut self, component: Component, time_us: i64, plan: Plan) {
        self.summary.records += 1;
        self.components[component as usize] += 1;
        let Plan::Dark(dark) = plan else {
            self.summary.passed_packets += 1;
            return;
        };
        self.summary.dark_packets += 1;
        self.summary.dark_bytes += dark.bytes;
        self.classes[dark.class as usize] += 1;
        if let Some(rule) = dark.fingerprint {
            *self.fingerprints.entry(rule.name()).or_default() += 1;
        }
        if let Some(error) = dark.error {
            *self.errors.entry(error).or_default() += 1;
        }
        let cell = CellId::new(dark.protocol, dark.class, dark.port).to_bits();
        let (packets, bytes) = self.cells.entry(cell).or_default();
        *packets += 1;
        *bytes += dark.bytes;
        let interval = time_us.div_euclid(self.interval_us);
        if self.last_interval != Some(interval) {
            self.last_interval = Some(interval);
            self.summary.intervals += 1;
        }
        if self.keys.len() == self.keys_limit {
            thin_out(&mut self.keys);
            self.keys_limit = FIRST_KEYS.max(2 * self.keys.len());
        }
        let source = dark.source << 1 | u64::from(dark.six);
        self.keys.push(source << CELL_BITS | u64::from(cell));
    }

    /// The truth about everything that was added.
    pub fn finish(mut self, addresses: &Addresses, six: bool) -> Truth {
        let mut cell_sources: HashMap<u32, u64> = HashMap::new();
        let mut countries: BTreeMap<String, u64> = BTreeMap::new();
        let mut sources = 0;
        let mut last = None;
        thin_out(&mut self.keys);
        for key in &self.keys {
            let (source, cell) = (key >> CELL_BITS, key & ((1 << CELL_BITS) - 1));
            *cell_sources.entry(cell as u32).or_default() += 1;
            if last != Some(source) {
                last = Some(source);
                sources += 1;
                let country = addresses.country(source >> 1);
                match countries.get_mut(country) {
                    Some(count) => *count += 1,
                    None => {
                        countries.insert(country.to_owned(), 1);
                    }
                }
            }
        }
        let mut summary = self.summary;
        summary.sources = Some(sources);
        summary.sources_by_country = Some(countries);
        for class in Class::ALL {
            let packets = self.classes[class as usize];
            summary.by_class.insert(class.name().to_owned(), packets);
        }
        summary.fingerprints = self
            .fingerprints
            .into_iter()
            .map(|(rule, packets)| (rule.to_owned(), packets))
            .collect();
        summary.decode_errors = self
            .errors
            .into_iter()
            .map(|((layer, reason), packets)| DecodeErrorCount {
                layer: layer.to_owned(),
                reason: reason.to_owned(),
                packets,
            })
            .collect();
        for (key, (packets, bytes)) in self.cells {
            let id = CellId::from_bits(key);
            let protocol = id.protocol_name().into_owned();
            *summary.by_protocol.entry(protocol.clone()).or_default() += packets;
            summary.cells.push(Cell {
                protocol,
                class: id.class().name().to_owned(),
                port: id.port(),
                packets,
                bytes,
                sources: Some(cell_sources.get(&key).copied().unwrap_or(0)),
            });
        }
        summary.sort();
        Truth {
            summary,
            packets_by_component: Component::ALL
                .into_iter()
                .map(|component| (component.name(), self.components[component as usize]))
                .filter(|&(_, packets)| packets > 0)
                .collect(),
            countries: addresses.countries(six),
            systems: addresses.systems(six),
        }
    }
}

fn thin_out(keys: &mut Vec<u64>) {
    keys.sort_unstable();
    keys.dedup();
}
