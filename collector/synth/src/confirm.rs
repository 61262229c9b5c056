//! Which sources a rule is confirmed for, from the plans: source by source and day by day.

use std::collections::{BTreeMap, HashMap};

use ahash::RandomState;
use noctule_packet::Rules;
use noctule_packet::rules::CONFIRMING_PACKETS;
use noctule_packet::rules::confirm::{DayMatches, Superseding};

use super::plan::Sender;
use super::probe::{Probe, Rule};

/// Matching packets of a day that confirm a source.
const ENOUGH: u8 = CONFIRMING_PACKETS as u8;

/// Rules whose packets are those of confirmed sources.
const OF_SOURCES: [Rule; 3] = [
    Rule::MiraiPrecursor,
    Rule::Unicornscan,
    Rule::UnicornscanSwapped,
];

/// What must stay the same over a source's packets of a day.
#[derive(Clone, Copy, Debug)]
enum Constancy {
    /// Nothing was seen yet.
    Unseen,
    Same(u16),
    Varies,
}

impl Constancy {
    fn see(&mut self, value: u16) {
        *self = match *self {
            Self::Unseen => Self::Same(value),
            Self::Same(old) if old == value => return,
            Self::Same(_) | Self::Varies => Self::Varies,
        };
    }

    /// Least and greatest value, as far as it matters: whether they differ.
    const fn span(self) -> Option<(u16, u16)> {
        match self {
            Self::Unseen => None,
            Self::Same(value) => Some((value, value)),
            Self::Varies => Some((0, 1)),
        }
    }
}

/// One source's probes on its last day: 48 octets, and the only memory that grows.
#[derive(Clone, Copy, Debug)]
struct SourceDay {
    day: i32,
    /// A bit per rule that was confirmed on an earlier day.
    confirmed: u16,
    /// Matches by rule, of which three are as good as any more.
    matches: [u8; Rule::COUNT],
    id: Constancy,
    halves: Constancy,
    keys: [Constancy; 2],
    probes: u64,
    /// Packets that Mirai and its precursor may have sent.
    telnet: u64,
}

const _: () = assert!(size_of::<SourceDay>() == 48);

impl SourceDay {
    const fn new(day: i32, confirmed: u16) -> Self {
        Self {
            day,
            confirmed,
            matches: [0; Rule::COUNT],
            id: Constancy::Unseen,
            halves: Constancy::Unseen,
            keys: [Constancy::Unseen; 2],
            probes: 0,
            telnet: 0,
        }
    }

    fn add(&mut self, probe: &Probe) {
        self.probes += 1;
        for (kept, key) in self.keys.iter_mut().zip(probe.keys) {
            kept.see(key);
        }
        for rule in probe.rules() {
            let matches = &mut self.matches[rule as usize];
            *matches = ENOUGH.min(*matches + 1);
            match rule {
                Rule::MiraiPrecursor => {
                    self.telnet += 1;
                    self.id.see(probe.id);
                }
                Rule::NmapSyn => self.halves.see(probe.halves),
                _ => {}
            }
        }
    }

    /// What its probes of the day are for a rule.
    fn matches(&self, rule: Rule) -> DayMatches {
        let few = self.matches[rule as usize].into();
        let (packets, span) = match rule {
            Rule::Mirai => (self.telnet, None),
            Rule::MiraiPrecursor => (self.telnet, self.id.span()),
            Rule::NmapSyn => (few, self.halves.span()),
            Rule::Unicornscan => (self.probes, self.keys[0].span()),
            Rule::UnicornscanSwapped => (self.probes, self.keys[1].span()),
            _ => (few, None),
        };
        DayMatches { packets, span }
    }
}

/// Probes that are gathered before their sources are looked up: one after the other, so that the
/// processor waits for the memory of several at once.
const GATHERED: usize = 512;

/// The running account of all sources.
pub(super) struct Confirming {
    sources: HashMap<u32, SourceDay, RandomState>,
    /// Source, day and what was sent.
    gathered: Vec<(u32, i32, Probe)>,
    ended: EndedDays,
    /// Packets that matched, by rule.
    matches: [u64; Rule::COUNT],
}

/// What the days that have ended add up to.
struct EndedDays {
    /// The rules that each rule supersedes, a bit each.
    superseded: [u16; Rule::COUNT],
    /// Packets of confirmed sources, by rule of [`OF_SOURCES`].
    packets: [u64; OF_SOURCES.len()],
    /// Packets that matched, and whose source was confirmed for a rule that supersedes theirs.
    superseded_packets: [u64; Rule::COUNT],
}

impl Confirming {
    pub fn new() -> Self {
        Self {
            sources: HashMap::with_hasher(RandomState::with_seeds(1, 2, 3, 4)),
            gathered: Vec::with_capacity(GATHERED),
            ended: EndedDays::new(),
            matches: [0; Rule::COUNT],
        }
    }

    /// Adds a probe of a day; days never step back.
    #[inline]
    pub fn add(&mut self, sender: Sender, day: i32, probe: &Probe) {
        self.gathered.push((sender.key(), day, *probe));
        if self.gathered.len() == GATHERED {
            self.look_up();
        }
    }

    fn look_up(&mut self) {
        for (source, day, probe) in self.gathered.drain(..) {
            for rule in probe.rules() {
                self.matches[rule as usize] += 1;
            }
            let seen = (self.sources.entry(source)).or_insert(SourceDay::new(day, 0));
            if seen.day != day {
                let confirmed = self.ended.settle(seen);
                *seen = SourceDay::new(day, confirmed);
            }
            seen.add(&probe);
        }
    }

    /// Packets by fingerprint, and confirmed sources by fingerprint.
    pub fn finish(mut self) -> (BTreeMap<String, u64>, BTreeMap<String, u64>) {
        self.look_up();
        let mut sources = [0; Rule::COUNT];
        for seen in self.sources.values() {
            let confirmed = self.ended.settle(seen);
            for (place, count) in sources.iter_mut().enumerate() {
                *count += u64::from(confirmed >> place & 1);
            }
        }
        for (matches, superseded) in self.matches.iter_mut().zip(self.ended.superseded_packets) {
            *matches -= superseded;
        }
        for (rule, packets) in OF_SOURCES.into_iter().zip(self.ended.packets) {
            self.matches[rule as usize] = packets;
        }
        let named = |counts: [u64; Rule::COUNT]| {
            (Rule::ALL.into_iter().zip(counts))
                .filter(|&(_, count)| count > 0)
                .map(|(rule, count)| (rule.name().to_owned(), count))
        };
        (named(self.matches).collect(), named(sources).collect())
    }
}

impl EndedDays {
    fn new() -> Self {
        let mut superseding = Superseding::default();
        superseding.add(&Rules::shipped());
        let bits = |rule: Rule| {
            let names = superseding.of(rule.name());
            let superseded = Rule::ALL
                .into_iter()
                .filter(|rule| names.contains(rule.name()));
            superseded.fold(0, |bits, rule| bits | rule.bit())
        };
        Self {
            superseded: Rule::ALL.map(bits),
            packets: [0; OF_SOURCES.len()],
            superseded_packets: [0; Rule::COUNT],
        }
    }

    /// Ends a source's day: counts its packets where they count now that it is confirmed, and gives
    /// the rules that it was confirmed for on any day.
    fn settle(&mut self, seen: &SourceDay) -> u16 {
        let confirms = |rule: &Rule| seen.matches(*rule).confirm();
        let (mut confirmed, mut superseded) = (0, 0);
        for rule in Rule::ALL.into_iter().filter(confirms) {
            confirmed |= rule.bit();
            superseded |= self.superseded[rule as usize];
        }
        confirmed &= !superseded;
        for rule in Rule::ALL {
            if superseded & rule.bit() != 0 {
                self.superseded_packets[rule as usize] += seen.matches(rule).packets;
            }
        }
        for (rule, sum) in OF_SOURCES.into_iter().zip(&mut self.packets) {
            if confirmed & rule.bit() != 0 {
                *sum += seen.matches(rule).packets;
            }
        }
        seen.confirmed | confirmed
    }
}
