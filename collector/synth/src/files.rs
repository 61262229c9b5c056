//! Synthetic traffic as files: the capture, its truth, and where its sources are.

use std::fs;
use std::path::{Path, PathBuf};

use noctule_packet::link::LinkType;

use super::address::AddressRange;
use super::config::SynthConfig;
use super::error::SynthError;
use super::generate::Generator;
use super::pcap::{PcapWriter, WriteError};
use super::truth::Truth;

/// What was written, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SynthFiles {
    /// The capture: Ethernet, microseconds.
    pub capture: PathBuf,
    /// A [`TrueSummary`](super::TrueSummary) as JSON.
    pub truth: PathBuf,
    /// Countries: `start,end,code` lines without a heading.
    pub countries: PathBuf,
    /// AS numbers: `start,end,number` lines without a heading.
    pub systems: PathBuf,
    /// The same in memory.
    pub content: Truth,
}

/// Writes `out` and, beside it, `out.truth.json`, `out.country.csv` and `out.asn.csv`. Files
/// that are there are overwritten; the same configuration gives the same octets.
///
/// # Errors
/// As [`generate`](super::generate()), and files that cannot be written.
pub fn write_files(config: &SynthConfig, out: &Path) -> Result<SynthFiles, SynthError> {
    // Before a file is touched, so that a mistake costs nothing.
    let generator = Generator::new(config)?;
    let mut writer = PcapWriter::create(out, LinkType::Ethernet)?;
    let content = generator
        .run(&mut |time_us, frame| writer.write(time_us, frame))
        .map_err(plain)?;
    writer.finish()?;
    let truth = beside(out, "truth.json");
    let json = serde_json::to_string_pretty(&content.summary);
    save(&truth, &format!("{}\n", json.map_err(SynthError::Json)?))?;
    let countries = beside(out, "country.csv");
    save(&countries, &csv(&content.countries))?;
    let systems = beside(out, "asn.csv");
    save(&systems, &csv(&content.systems))?;
    Ok(SynthFiles {
        capture: out.to_owned(),
        truth,
        countries,
        systems,
        content,
    })
}

/// The writer's error says all that there is to say.
fn plain(error: SynthError) -> SynthError {
    match error {
        SynthError::Sink { packet, source } => match source.downcast::<WriteError>() {
            Ok(error) => SynthError::Capture(*error),
            Err(source) => SynthError::Sink { packet, source },
        },
        other => other,
    }
}

fn beside(out: &Path, ending: &str) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

pub(super) fn save(path: &Path, text: &str) -> Result<(), SynthError> {
    fs::write(path, text).map_err(|source| SynthError::Beside {
        file: path.display().to_string(),
        source,
    })
}

pub(super) fn csv(ranges: &[AddressRange]) -> String {
    ranges
        .iter()
        .map(|range| format!("{},{},{}\n", range.start, range.end, range.value))
        .collect()
}
