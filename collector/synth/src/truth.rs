//! Adding the plans up: the counts that any right reading of the frames arrives at.

use std::collections::{BTreeMap, HashMap};

use ahash::RandomState;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use noctule_packet::cell::{CellId, protocol};

use super::address::{AddressRange, Addresses};
use super::confirm::Confirming;
use super::mix::Component;
use super::plan::{Class, HeaderError, PlannedFrame, Quote, Sender, Victim};
use super::summary::{HeaderErrorCount, QuoteCounts, TrueCell, TrueSummary, TrueVictim};

/// What was generated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// The counts.
    pub summary: TrueSummary,
    /// Frames by component, dark or not.
    pub packets_by_component: BTreeMap<&'static str, u64>,
    /// Countries of all addresses that sources can have, sorted.
    pub countries: Vec<AddressRange>,
    /// AS numbers of the same addresses, sorted.
    pub systems: Vec<AddressRange>,
}

/// Keys that are gathered before they are first sorted and thinned out.
const FIRST_KEYS: usize = 1 << 22;

/// Country code of an address that the country file does not list.
const UNKNOWN_COUNTRY: &str = "??";

/// Bits of a packed [`CellId`].
const CELL_BITS: u32 = 27;

/// The running counts.
pub(super) struct TruthBuilder {
    summary: TrueSummary,
    components: [u64; Component::ALL.len()],
    classes: [u64; Class::ALL.len()],
    /// By packed [`CellId`]: packets and octets.
    cells: HashMap<u32, (u64, u64), RandomState>,
    confirming: Confirming,
    bogon_packets: u64,
    quotes: QuoteCounts,
    /// Packets by victim and who sent the error. ICMP errors are few, their pairs fewer.
    victims: HashMap<(Victim, Sender), u64, RandomState>,
    errors: BTreeMap<HeaderError, u64>,
    /// Source and cell of every dark packet, once each after [`thin_out`]. Memory: eight octets
    /// for each pair that occurs, twice that at most.
    keys: Vec<u64>,
    keys_limit: usize,
    interval_us: i64,
    /// The zone whose days sources are confirmed by.
    zone: TimeZone,
    /// The day that the last interval begins on, in days since 1970.
    day: i32,
    last_interval: Option<i64>,
}

impl TruthBuilder {
    pub fn new(interval_us: i64, zone: TimeZone) -> Self {
        Self {
            summary: TrueSummary::default(),
            components: [0; Component::ALL.len()],
            classes: [0; Class::ALL.len()],
            cells: HashMap::with_hasher(hasher()),
            confirming: Confirming::new(),
            bogon_packets: 0,
            quotes: QuoteCounts::default(),
            victims: HashMap::with_hasher(hasher()),
            errors: BTreeMap::new(),
            keys: Vec::new(),
            keys_limit: FIRST_KEYS,
            interval_us,
            zone,
            day: 0,
            last_interval: None,
        }
    }

    /// Adds a frame; times never step back.
    pub fn add(&mut self, component: Component, time_us: i64, plan: PlannedFrame) {
        self.summary.records += 1;
        self.components[component as usize] += 1;
        let PlannedFrame::Dark(dark) = plan else {
            self.summary.passed_packets += 1;
            return;
        };
        self.summary.dark_packets += 1;
        self.summary.dark_bytes += dark.bytes;
        self.classes[dark.class as usize] += 1;
        self.bogon_packets += u64::from(dark.sender.is_bogon());
        let interval = time_us.div_euclid(self.interval_us);
        if self.last_interval != Some(interval) {
            self.last_interval = Some(interval);
            self.summary.intervals += 1;
            self.day = day_of(&self.zone, interval * self.interval_us);
        }
        if let Some(probe) = &dark.probe {
            self.confirming.add(dark.sender, self.day, probe);
        }
        if let Some(quote) = dark.quote {
            self.quote(quote, dark.sender);
        }
        if let Some(error) = dark.error {
            *self.errors.entry(error).or_default() += 1;
        }
        let cell = CellId::new(dark.protocol, dark.class, dark.port).to_bits();
        let (packets, bytes) = self.cells.entry(cell).or_default();
        *packets += 1;
        *bytes += dark.bytes;
        if self.keys.len() == self.keys_limit {
            thin_out(&mut self.keys);
            self.keys_limit = FIRST_KEYS.max(2 * self.keys.len());
        }
        self.keys
            .push(u64::from(dark.sender.key()) << CELL_BITS | u64::from(cell));
    }

    fn quote(&mut self, quote: Quote, sender: Sender) {
        self.quotes.errors += 1;
        match quote {
            Quote::Victim(victim) => {
                self.quotes.counted += 1;
                *self.victims.entry((victim, sender)).or_default() += 1;
            }
            Quote::Foreign => self.quotes.foreign += 1,
            Quote::Unreadable => self.quotes.unreadable += 1,
        }
    }

    /// The truth about everything that was added.
    pub fn finish(mut self, addresses: &Addresses, six: bool) -> Truth {
        let mut cell_sources: HashMap<u32, u64, RandomState> = HashMap::with_hasher(hasher());
        let mut countries: HashMap<&str, u64, RandomState> = HashMap::with_hasher(hasher());
        let (mut sources, mut bogons) = (0, 0);
        let mut last = None;
        thin_out(&mut self.keys);
        for key in &self.keys {
            let (source, cell) = ((key >> CELL_BITS) as u32, key & ((1 << CELL_BITS) - 1));
            *cell_sources.entry(cell as u32).or_default() += 1;
            if last != Some(source) {
                last = Some(source);
                sources += 1;
                let sender = Sender::from_key(source);
                bogons += u64::from(sender.is_bogon());
                let country = if sender.is_bogon() {
                    UNKNOWN_COUNTRY
                } else {
                    addresses.country(sender.index())
                };
                *countries.entry(country).or_default() += 1;
            }
        }
        let mut summary = self.summary;
        summary.sources = sources;
        let owned = |(country, sources): (&str, u64)| (country.to_owned(), sources);
        summary.sources_by_country = countries.into_iter().map(owned).collect();
        for class in Class::ALL {
            let packets = self.classes[class as usize];
            summary.by_class.insert(class.name().to_owned(), packets);
        }
        summary.bogon_packets = self.bogon_packets;
        summary.bogon_sources = bogons;
        summary.timezone = self.zone.iana_name().unwrap_or("UTC").to_owned();
        (summary.fingerprints, summary.confirmed_sources) = self.confirming.finish();
        summary.quotes = self.quotes;
        summary.victims = victims(&self.victims);
        summary.decode_errors = self
            .errors
            .into_iter()
            .map(|((layer, reason), packets)| HeaderErrorCount {
                layer: layer.to_owned(),
                reason: reason.to_owned(),
                packets,
            })
            .collect();
        for (key, (packets, bytes)) in self.cells {
            let id = CellId::from_bits(key);
            let protocol = id.protocol_name().into_owned();
            *summary.by_protocol.entry(protocol.clone()).or_default() += packets;
            summary.cells.push(TrueCell {
                protocol,
                class: id.class().name().to_owned(),
                port: id.port(),
                packets,
                bytes,
                sources: cell_sources.get(&key).copied().unwrap_or(0),
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

/// The day of a zone, in days since 1970, that a time in microseconds since 1970 is on.
fn day_of(zone: &TimeZone, time_us: i64) -> i32 {
    let offset = Timestamp::from_microsecond(time_us)
        .map_or(0, |time| i64::from(zone.to_offset(time).seconds()));
    // Captures end in 2106.
    (time_us.div_euclid(1_000_000) + offset).div_euclid(86_400) as i32
}

/// Quick, and the same in every run.
fn hasher() -> RandomState {
    RandomState::with_seeds(1, 2, 3, 4)
}

/// One row for each victim, from packets by victim and sender.
fn victims(pairs: &HashMap<(Victim, Sender), u64, RandomState>) -> Vec<TrueVictim> {
    let mut by_victim: BTreeMap<Victim, (u64, u64)> = BTreeMap::new();
    for (&(victim, _), packets) in pairs {
        let (sum, senders) = by_victim.entry(victim).or_default();
        *sum += packets;
        *senders += 1;
    }
    let row = |(victim, (packets, senders)): (Victim, (u64, u64))| TrueVictim {
        address: victim.address.to_string(),
        protocol: protocol::name(victim.protocol).into_owned(),
        port: victim.port,
        packets,
        senders,
    };
    by_victim.into_iter().map(row).collect()
}

fn thin_out(keys: &mut Vec<u64>) {
    keys.sort_unstable();
    keys.dedup();
}
