//! The generator's loop: draw a component, draw one of its sources, build, hand over, count.

use std::error::Error;

use super::address::Addresses;
use super::config::{Distribution, SynthConfig};
use super::error::SynthError;
use super::maker::Maker;
use super::mix::{Component, Mix};
use super::random::{Random, Zipf};
use super::target::Targets;
use super::truth::{Truth, TruthBuilder};

/// The last second that a capture can hold.
const LAST_SECOND: i64 = u32::MAX as i64;

/// A component with its part of the sources.
struct ComponentSources {
    component: Component,
    /// Weights of the parts so far, this one included.
    sum: u64,
    first: u64,
    sources: u64,
    /// Its sources are those of another part as well.
    shared: bool,
    /// None: every source is as likely as any other.
    zipf: Option<Zipf>,
}

/// Generates the packets in the order of their times and hands each to `sink`: its time in
/// microseconds since 1970 UTC, and the Ethernet frame.
///
/// Each component has its own slice of the sources, in proportion to its weight, so that a bot
/// stays a bot; where there are fewer sources than components, some share. Sources lie outside
/// the darknet, except where it leaves too little room.
///
/// Memory: eight to sixteen octets for each pair of source and cell that occurs, and some 100 for
/// each source of TCP probes.
///
/// # Errors
/// A configuration that makes no sense, and [`SynthError::Sink`] with what `sink` returned.
pub fn generate<E>(
    config: &SynthConfig,
    mut sink: impl FnMut(i64, &[u8]) -> Result<(), E>,
) -> Result<Truth, SynthError>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    Generator::new(config)?.run(&mut sink)
}

/// A configuration that was found good, and all that follows from it.
pub(super) struct Generator<'a> {
    config: &'a SynthConfig,
    targets: Targets,
    parts: Vec<ComponentSources>,
    addresses: Addresses,
    random: Random,
}

impl<'a> Generator<'a> {
    pub fn new(config: &'a SynthConfig) -> Result<Self, SynthError> {
        check(config)?;
        let targets = Targets::new(&config.prefixes);
        let mix = mix(config, &targets)?;
        let mut random = Random::new(config.seed);
        let addresses = Addresses::new(config.sources, &config.prefixes, &mut random)?;
        Ok(Self {
            config,
            targets,
            parts: parts(config, &mix),
            addresses,
            random,
        })
    }

    pub fn run<E>(
        self,
        sink: &mut impl FnMut(i64, &[u8]) -> Result<(), E>,
    ) -> Result<Truth, SynthError>
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let packets = self.config.packets;
        let total = self.parts.last().map_or(0, |part| part.sum);
        let mut maker = Maker::new(self.random, &self.addresses, &self.targets);
        let mut tally = TruthBuilder::new(
            microseconds(self.config.interval_seconds),
            self.config.zone.clone(),
        );
        let duration_us = microseconds(self.config.duration_seconds).unsigned_abs();
        for packet in 0..packets {
            let at = maker.random.below(total);
            let part = &self.parts[self.parts.partition_point(|part| part.sum <= at)];
            let rank = match &part.zipf {
                Some(zipf) => zipf.draw(&mut maker.random),
                None => maker.random.below(part.sources),
            };
            // Packet i falls anywhere into the i-th of as many equal pieces of the duration.
            let jitter = maker.random.below(duration_us);
            let elapsed = (u128::from(packet) * u128::from(duration_us) + u128::from(jitter))
                / u128::from(packets);
            // Less than the duration, which fits.
            let time_us = self.config.start_us + elapsed as i64;
            let source = self.addresses.source(part.first + rank);
            maker.shared = part.shared;
            let plan = maker.make(part.component, source);
            sink(time_us, maker.frame.bytes()).map_err(|error| SynthError::Sink {
                packet,
                source: error.into(),
            })?;
            tally.add(part.component, time_us, plan);
        }
        Ok(tally.finish(&self.addresses, self.targets.has6()))
    }
}

/// Seconds as microseconds; [`check`] has seen to it that they fit.
fn microseconds(seconds: u64) -> i64 {
    i64::try_from(seconds)
        .unwrap_or(i64::MAX)
        .saturating_mul(1_000_000)
}

fn check(config: &SynthConfig) -> Result<(), SynthError> {
    if config.prefixes.is_empty() {
        return Err(SynthError::NoPrefix);
    }
    if config.sources == 0 {
        return Err(SynthError::NoSources);
    }
    if config.interval_seconds == 0 {
        return Err(SynthError::NoInterval);
    }
    let last_second = i64::try_from(config.duration_seconds)
        .ok()
        .and_then(|seconds| seconds.checked_add(config.start_us / 1_000_000));
    if config.start_us < 0 || last_second.is_none_or(|second| second >= LAST_SECOND) {
        return Err(SynthError::Times {
            start_us: config.start_us,
            duration_seconds: config.duration_seconds,
        });
    }
    Ok(())
}

/// The mix that was asked for, or as much of the default as the address families allow.
fn mix(config: &SynthConfig, targets: &Targets) -> Result<Mix, SynthError> {
    let mut mix = config.mix.clone().unwrap_or_default();
    for component in Component::ALL {
        let missing = component.family().filter(|&family| match family {
            "IPv6" => !targets.has6(),
            _ => !targets.has4(),
        });
        let Some(family) = missing else { continue };
        if config.mix.is_none() {
            mix.remove(component);
        } else if mix.weight(component) > 0 {
            return Err(SynthError::Family {
                name: component.name(),
                family,
            });
        }
    }
    Ok(mix)
}

/// Gives each component of the mix its slice of the sources.
fn parts(config: &SynthConfig, mix: &Mix) -> Vec<ComponentSources> {
    let total: u64 = Component::ALL.iter().map(|&c| mix.weight(c)).sum();
    let share = |sum: u64| {
        let exact = u128::from(config.sources) * u128::from(sum) / u128::from(total.max(1));
        u64::try_from(exact).unwrap_or(config.sources)
    };
    let mut parts: Vec<ComponentSources> = Vec::new();
    let mut sum = 0;
    for component in Component::ALL {
        let weight = mix.weight(component);
        if weight == 0 {
            continue;
        }
        let first = share(sum).min(config.sources - 1);
        sum += weight;
        let sources = share(sum).saturating_sub(first).max(1);
        let zipf = (config.distribution == Distribution::Zipf).then(|| Zipf::new(sources));
        parts.push(ComponentSources {
            component,
            sum,
            first,
            sources,
            shared: false,
            zipf,
        });
    }
    // The slices ascend, so one that overlaps with any overlaps with a neighbour.
    for next in 1..parts.len() {
        if parts[next].first < parts[next - 1].first + parts[next - 1].sources {
            parts[next - 1].shared = true;
            parts[next].shared = true;
        }
    }
    parts
}
