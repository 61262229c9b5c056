//! `noctule rules`: what is loaded, whether a file is valid, and what a rule matches.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Result, anyhow, bail};
use jiff::tz::TimeZone;
use noctule_capture::file::{Capture, Merged};
use noctule_engine::rule_file;
use noctule_packet::darknet::{Darknet, Destination};
use noctule_packet::link::Network;
use noctule_packet::rules::confirm::{DayMatches, Superseding, Verdict};
use noctule_packet::rules::{Carried, Field, Fingerprint, Probe};
use noctule_packet::{Rules, decode};
use noctule_store::diagnostics::one_line;

use crate::args::{RulesArgs, RulesCommand};
use crate::print::{Column, grouped, several, table};
use crate::zone;

/// Carries out a subcommand of `noctule rules`.
///
/// # Errors
/// A file cannot be read or is invalid, or no rule has the given name.
pub fn run(args: &RulesArgs) -> Result<()> {
    match &args.command {
        RulesCommand::List { rules } => list(&rule_file::load(rules.as_deref())?),
        RulesCommand::Check { file } => check(file),
        RulesCommand::Test {
            rule,
            captures,
            rules,
            prefix,
            limit,
            timezone,
        } => {
            let rules = rule_file::load(rules.as_deref())?;
            let (place, rule) = rules.find(rule).ok_or_else(|| {
                let names: Vec<_> = rules
                    .fingerprints()
                    .iter()
                    .map(|rule| rule.name.as_str())
                    .collect();
                anyhow!(
                    "no fingerprint is called {rule:?}: they are {}",
                    names.join(", ")
                )
            })?;
            let everything = ["0.0.0.0/0".to_owned(), "::/0".to_owned()];
            let prefixes = if prefix.is_empty() {
                &everything[..]
            } else {
                prefix
            };
            let test = Test {
                rules: &rules,
                place,
                rule,
                zone: zone::named(timezone)?,
                darknet: Darknet::parse(prefixes, &[])?,
            };
            test.run(captures, *limit)
        }
    }
}

fn list(rules: &Rules) -> Result<()> {
    let mut text = format!("rules {}\n\n", rules.version());
    for rule in rules.fingerprints() {
        text.push_str(&describe(rule));
    }
    let open: Vec<_> = rules
        .without_predicate()
        .map(|rule| rule.name.as_str())
        .collect();
    if !open.is_empty() {
        text.push_str(&format!(
            "costly, since every probe needs a full look (no part of it is \"fields == number\"): {}\n\n",
            open.join(", ")
        ));
    }
    let classes: Vec<_> = (rules.classes().iter())
        .map(|rule| {
            let class = rule.class.name().to_owned();
            vec![
                rule.protocol.to_owned(),
                class,
                rule.which.clone(),
                rule.reason.clone(),
            ]
        })
        .collect();
    let columns = ["protocol", "class", "which", "reason"].map(Column::left);
    table(&mut text, &columns, &classes);
    for rule in rules.reflections() {
        text.push_str(&format!(
            "{}/udp {} ({})\n  answer    {}\n  reason    {}\n\n",
            rule.port,
            rule.name,
            rule.file,
            one_line(&rule.answer),
            rule.reason
        ));
    }
    let bogons: Vec<_> = (rules.bogons().iter())
        .map(|(prefix, reason)| vec![prefix.to_string(), reason.clone()])
        .collect();
    table(&mut text, &["bogon", "reason"].map(Column::left), &bogons);
    put(&text)
}

fn describe(rule: &Fingerprint) -> String {
    let mut text = format!("{} (version {}, {})\n", rule.name, rule.version, rule.file);
    if let Some(when) = &rule.when {
        text.push_str(&format!("  when      {}\n", one_line(when)));
    }
    if let Some(constant) = &rule.constant {
        let over = match rule.carried {
            Carried::InFlows(_) => "all of a source's probes",
            _ => "a source's matching packets",
        };
        text.push_str(&format!("  constant  {} over {over}\n", one_line(constant)));
    }
    let packets = if rule.confirmed_only {
        "those of confirmed sources"
    } else {
        "those that match"
    };
    text.push_str(&format!(
        "  packets   {packets}; by accident 1 in 2^{}\n",
        rule.chance_bits
    ));
    text.push_str(&format!("  source    {}\n", rule.source));
    if !rule.supersedes.is_empty() {
        text.push_str(&format!("  supersedes {}\n", rule.supersedes.join(", ")));
    }
    let uses = [
        rule.uses
            .event_field
            .map(|field| format!("event field {}", field.name())),
        rule.uses
            .is_masscan
            .then(|| "FlowTuple's is_masscan".to_owned()),
        rule.uses
            .telnet_mark
            .then(|| "mark of Telnet scanners".to_owned()),
    ];
    let uses: Vec<_> = uses.into_iter().flatten().collect();
    if !uses.is_empty() {
        text.push_str(&format!("  fills     {}\n", uses.join(", ")));
    }
    text.push('\n');
    text
}

fn check(file: &Path) -> Result<()> {
    let rules = rule_file::load(Some(file))?;
    let name = file.display().to_string();
    let here = rules
        .fingerprints()
        .iter()
        .filter(|rule| rule.file == name)
        .count();
    let all = rules.fingerprints().len();
    let open: Vec<_> = rules
        .without_predicate()
        .map(|rule| rule.name.as_str())
        .collect();
    let costly = if open.is_empty() {
        String::new()
    } else {
        format!(
            "; costly, since every probe needs a full look: {}",
            open.join(", ")
        )
    };
    put(&format!(
        "{name}: valid, {} here, {all} in force with the shipped ones, rules version {}{costly}\n",
        several(here as u64, "fingerprint"),
        rules.version()
    ))
}

fn put(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// One rule held against captures.
struct Test<'r> {
    rules: &'r Rules,
    place: usize,
    rule: &'r Fingerprint,
    /// The zone whose days sources are confirmed on.
    zone: TimeZone,
    darknet: Darknet,
}

impl Test<'_> {
    fn run(&self, captures: &[std::path::PathBuf], limit: u64) -> Result<()> {
        let captures = (captures.iter())
            .map(|file| Capture::look(file, None))
            .collect::<Result<Vec<_>, _>>()?;
        let mut captures = Merged::new(captures);
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", describe(self.rule).trim_end())?;
        writeln!(out)?;
        let (mut records, mut probes, mut matches) = (0u64, 0u64, 0u64);
        let mut superseding = Superseding::default();
        superseding.add(self.rules);
        // The rule, and those that supersede it, of which sources are no sources of this one.
        let name = &self.rule.name;
        let decides =
            |rule: &Fingerprint| rule.name == *name || superseding.of(&rule.name).contains(&**name);
        let all = self.rules.fingerprints();
        let deciding: Vec<usize> = (0..all.len())
            .filter(|place| decides(&all[*place]))
            .collect();
        // By day and source: matches by a rule's place.
        let mut sources: BTreeMap<(i64, u32), BTreeMap<usize, DayMatches>> = BTreeMap::new();
        while let Some(merged) = captures.next() {
            records += 1;
            let record = &merged.record;
            let Some(link) = record.link else { continue };
            let found = self.darknet.destination(link, record.bytes);
            let Destination::Dark(network @ Network::Ipv4 { offset }) = found else {
                continue;
            };
            let packet = decode(
                self.rules,
                network,
                record.bytes,
                record.wire_bytes as usize,
            );
            let Some((found, probe)) = packet
                .and_then(|packet| packet.rule_matches)
                .zip(probe_at(record.bytes, offset))
            else {
                continue;
            };
            probes += 1;
            if found.bits >> self.place & 1 != 0 {
                matches += 1;
                if matches <= limit {
                    writeln!(out, "{}", self.why(records, record.time_us, &probe))?;
                }
            }
            let day = self.day(record.time_us);
            for &place in &deciding {
                let value = match all[place].carried {
                    Carried::InFlows(slot) => Some(found.slots.get(slot)),
                    _ if found.bits >> place & 1 == 0 => continue,
                    Carried::WithHits(number) => Some(found.constants.get(number)),
                    Carried::Nowhere => None,
                };
                let one = DayMatches {
                    packets: 1,
                    span: value.map(|value| (value, value)),
                };
                let source = sources.entry((day, probe.get(Field::Source))).or_default();
                source
                    .entry(place)
                    .and_modify(|all| all.merge(one))
                    .or_insert(one);
            }
        }
        if matches > limit {
            writeln!(
                out,
                "... and {} more; --limit N shows them",
                grouped(matches - limit)
            )?;
        }
        let places = superseding.by_place(&all.iter().map(|rule| &*rule.name));
        let (mut confirmed, mut packets) = (BTreeSet::new(), 0);
        let mut verdicts = Vec::new();
        for ((_, source), matches) in sources {
            let matches: Vec<_> = matches.into_iter().collect();
            places.decide(&matches, &mut verdicts);
            for ((place, found), verdict) in matches.iter().zip(&verdicts) {
                if (*place, *verdict) == (self.place, Verdict::Confirmed) {
                    confirmed.insert(source);
                    packets += found.packets;
                }
            }
        }
        let zone = self.zone.iana_name().unwrap_or("UTC");
        let matching = if self.rule.when.is_some() {
            format!("{} match", grouped(matches))
        } else {
            "no packet matches by itself".to_owned()
        };
        writeln!(
            out,
            "\n{} records, {} TCP probes over IPv4, {matching}; {} confirmed on a day of {zone} ({} packets)",
            grouped(records),
            grouped(probes),
            several(confirmed.len() as u64, "source"),
            grouped(packets)
        )?;
        out.flush()?;
        match captures.problems().first() {
            Some(problem) if !problem.is_cut() => bail!("{problem}"),
            Some(problem) => log::warn!("{problem}"),
            None => {}
        }
        Ok(())
    }

    /// The day of the zone, in days since 1970, that a packet is on.
    fn day(&self, time_us: i64) -> i64 {
        let offset = jiff::Timestamp::from_microsecond(time_us)
            .map_or(0, |time| i64::from(self.zone.to_offset(time).seconds()));
        (time_us.div_euclid(1_000_000) + offset).div_euclid(86_400)
    }

    /// A matching packet on one line: where it came from, and what the rule's fields are.
    fn why(&self, number: u64, time_us: i64, probe: &Probe<'_>) -> String {
        let address = |field| std::net::Ipv4Addr::from_bits(probe.get(field)).to_string();
        let time = jiff::Timestamp::from_microsecond(time_us)
            .map_or_else(|_| time_us.to_string(), |time| format!("{time:.6}"));
        let mut text = format!(
            "record {number}  {time}  {}:{} > {}:{} ",
            address(Field::Source),
            probe.get(Field::SourcePort),
            address(Field::Destination),
            probe.get(Field::DestinationPort)
        );
        let asked = [&self.rule.when, &self.rule.constant];
        let asks_for = |name: &str| {
            (asked.into_iter().flatten()).any(|rule_text| {
                (rule_text.match_indices(name)).any(|(at, _)| {
                    // `tcp.source_port` is not asked for where `ip.source` is.
                    let after = rule_text[at + name.len()..].chars().next();
                    !after.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
                })
            })
        };
        for field in Field::ALL {
            if asks_for(field.name()) {
                let value = probe.get(field);
                text.push_str(&format!(
                    " {} = {}",
                    field.name(),
                    number_text(field, value)
                ));
            }
        }
        if asks_for("tcp.options") || asks_for("tcp.mss") {
            let octets = probe.options().unwrap_or_default();
            let octets: Vec<_> = octets.iter().map(|octet| format!("{octet:02x}")).collect();
            text.push_str(&format!(" tcp.options = [{}]", octets.join(" ")));
        }
        if let (Some(_), Some(value)) = (&self.rule.constant, self.rule.value(probe)) {
            text.push_str(&format!(" constant = {value:#x}"));
        }
        text
    }
}

/// Wide fields read best in hexadecimal, where a relation between them shows.
fn number_text(field: Field, value: u32) -> String {
    if field.width() == u32::MAX {
        format!("{value:#010x}")
    } else {
        value.to_string()
    }
}

/// The probe in a frame whose IPv4 header starts at `offset`.
fn probe_at(frame: &[u8], offset: usize) -> Option<Probe<'_>> {
    let datagram = frame.get(offset..)?;
    let fixed: &[u8; 20] = datagram.first_chunk()?;
    let header_bytes = usize::from(fixed[0] & 0xf) * 4;
    let total = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    let end = if total < header_bytes {
        datagram.len()
    } else {
        total.min(datagram.len())
    };
    Probe::new(fixed, datagram.get(header_bytes..end)?)
}
