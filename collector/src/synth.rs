//! `noctule synth`: captures of synthetic darknet traffic.

use anyhow::{Context as _, Result};
use ipnet::IpNet;
use jiff::Timestamp;
use noctule_packet::darknet::Darknet;
use noctule_synth::{Distribution, Mix, Scenario, SynthConfig, write_files, write_scenario};

use crate::args::{Spread, Story, SynthArgs};
use crate::print::grouped;
use crate::zone;

/// Writes the capture and what stands beside it, or a scenario.
///
/// # Errors
/// A setting, or a file that cannot be written.
pub fn run(args: &SynthArgs) -> Result<()> {
    if let Some(story) = args.scenario {
        return scenario(story, args);
    }
    // The same checks as where the prefixes will be used.
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

fn scenario(story: Story, args: &SynthArgs) -> Result<()> {
    let scenario = match story {
        Story::Year2016 => Scenario::Year2016,
        Story::NicterTable2 => Scenario::NicterTable2,
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
        "{} says what happens when, and how to replay it",
        args.out.join("README.txt").display()
    );
    Ok(())
}

/// Microseconds since 1970.
fn start(text: &str) -> Result<i64> {
    if let Ok(seconds) = text.parse::<i64>() {
        return seconds
            .checked_mul(1_000_000)
            .with_context(|| format!("start {text} lies beyond every calendar"));
    }
    let time: Timestamp = text.parse().map_err(|error| {
        anyhow::anyhow!("start \"{text}\" is neither RFC 3339 nor seconds since 1970: {error}")
    })?;
    Ok(time.as_microsecond())
}
