//! `noctule synth`: captures of synthetic darknet traffic.

use anyhow::{Context as _, Result};
use ipnet::IpNet;
use jiff::Timestamp;
use noctule_packet::darknet::Darknet;
use noctule_synth::{Distribution, Mix, Scenario, SynthConfig, write_files, write_scenario};

use crate::args::{ScenarioName, Spread, SynthArgs};
use crate::print::grouped;
use crate::zone;

/// Writes a capture with its truth and geo files, or a scenario.
///
/// # Errors
/// A setting is invalid, or a file cannot be written.
pub fn run(args: &SynthArgs) -> Result<()> {
    if let Some(name) = args.scenario {
        return scenario(name, args);
    }
    // Applies the checks that `run` and `replay` apply.
    let darknet = Darknet::parse::<String>(&args.prefix, &[])?;
    let prefixes: Vec<IpNet> = darknet.rules().iter().map(|rule| rule.prefix).collect();
    let config = SynthConfig {
        packets: args.packets,
        sources: args.sources,
        distribution: match args.spread {
            Spread::Zipf => Distribution::Zipf,
            Spread::Uniform => Distribution::Uniform,
        },
        seed: args.seed,
        start_us: start(&args.start)?,
        duration_seconds: args.duration,
        interval_seconds: args.interval,
        zone: zone::named(&args.timezone)?,
        mix: args.mix.as_deref().map(Mix::parse).transpose()?,
        ..SynthConfig::new(prefixes)
    };
    let files = write_files(&config, &args.out)?;
    let summary = &files.content.summary;
    println!(
        "{}: {} frames, {} of them dark, from {} sources",
        files.capture.display(),
        grouped(summary.records),
        grouped(summary.dark_packets),
        grouped(summary.sources)
    );
    for (file, what) in [
        (&files.truth, "its true counts"),
        (&files.countries, "countries of its sources"),
        (&files.systems, "AS numbers of its sources"),
    ] {
        println!("{}: {what}", file.display());
    }
    Ok(())
}

fn scenario(name: ScenarioName, args: &SynthArgs) -> Result<()> {
    let scenario = match name {
        ScenarioName::Year2016 => Scenario::Year2016,
        ScenarioName::NicterTable2 => Scenario::NicterTable2,
    };
    let written = write_scenario(scenario, args.seed, args.divisor, &args.out)?;
    println!("{}", written.notice);
    for file in &written.files {
        match file.packets {
            Some(packets) => println!("{}: {} frames", file.path.display(), grouped(packets)),
            None => println!("{}", file.path.display()),
        }
    }
    println!(
        "{} lists the scenario's events and how to replay it",
        args.out.join("README.txt").display()
    );
    Ok(())
}

/// Parses a time; returns microseconds since 1970.
fn start(text: &str) -> Result<i64> {
    if let Ok(seconds) = text.parse::<i64>() {
        return seconds
            .checked_mul(1_000_000)
            .with_context(|| format!("start {text} is out of range"));
    }
    let time: Timestamp = text.parse().map_err(|error| {
        anyhow::anyhow!("start \"{text}\" is neither RFC 3339 nor seconds since 1970: {error}")
    })?;
    Ok(time.as_microsecond())
}
