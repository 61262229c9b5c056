//! The command line as it is typed. [`crate::config`] builds the checked configuration from it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use noctule_capture::file::TimeResolution;
use noctule_engine::config::ReceiveMode;

const LONG_ABOUT: &str = "\
Noctule counts what arrives in a darknet: address space that is routed but unused, where every \
packet is a scan, malware or the echo of an attack somewhere else.

`noctule run` takes the darknet's packets from a network interface by XDP and AF_XDP; everything \
else passes to the host untouched. `noctule replay` counts capture files with the same engine. \
Both count every packet exactly once by protocol, class and port, keep one row per source, \
recognise scanning tools, and write each interval as Parquet files. Lost packets are counted, too, \
with their cause. `noctule query` runs SQL over these files, `noctule rollup` makes daily tables from \
them, `noctule report` makes reports from the daily tables, and `noctule store` verifies and expires \
files. `noctule rules` lists the rules that recognise scanners, and tests rules on captures. \
`noctule synth` makes synthetic captures.";

const AFTER_HELP: &str = "\
Examples:
  noctule replay --prefix 192.150.186.0/23 capture.pcap
  noctule replay --prefix 198.18.0.0/15 --summary json --store store day1.pcap.gz day2.pcap.zst
  noctule run --interface eth1 --prefix 198.51.100.0/24 --sensor tokyo-1 --store /var/lib/noctule
  noctule run --config /etc/noctule.toml
  noctule rules test mirai capture.pcap
  noctule synth --packets 1000000 --sources 50000 --prefix 198.18.0.0/16 --out darknet.pcap

Exit status: 0 on success, 1 on an error (one line on standard error names the cause and a remedy), 2 \
if the command line is invalid.";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "noctule", version, about = "A high-rate darknet collector", long_about = LONG_ABOUT, after_long_help = AFTER_HELP, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Collect from network interfaces until SIGINT or SIGTERM
    Run(RunArgs),
    /// Count capture files: pcap or pcapng, plain, gzip or zstd; `-` is standard input
    Replay(ReplayArgs),
    /// Make a capture of synthetic darknet traffic and a file of its true counts
    Synth(SynthArgs),
    /// List the rules, check a rule file, or show which packets a rule matches
    Rules(RulesArgs),
    /// Run SQL or a named question over the store's tables (see `noctule query --help`)
    #[command(disable_help_flag = true)]
    Query(ForwardedArgs),
    /// Make the daily tables of a store (see `noctule rollup --help`)
    #[command(disable_help_flag = true)]
    Rollup(ForwardedArgs),
    /// Make a report of a period (see `noctule report --help`)
    #[command(disable_help_flag = true)]
    Report(ForwardedArgs),
    /// Write darknet events in Merit's format (see `noctule export --help`)
    #[command(disable_help_flag = true)]
    Export(ForwardedArgs),
    /// Verify or expire the files of a store (see `noctule store --help`)
    #[command(disable_help_flag = true)]
    Store(ForwardedArgs),
}

/// Arguments of a subcommand that `noctule-analyze` carries out.
#[derive(Debug, Args)]
pub struct ForwardedArgs {
    /// Passed on unchanged.
    #[arg(
        value_name = "ARGS",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub args: Vec<OsString>,
}

/// Settings that `run` and `replay` share; a flag overrides the configuration file.
#[derive(Debug, Default, Args)]
pub struct CommonArgs {
    /// Read settings from this TOML file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A prefix of the darknet; may be given several times
    #[arg(long, value_name = "CIDR")]
    pub prefix: Vec<String>,
    /// A prefix that is not dark; the longest matching prefix decides
    #[arg(long, value_name = "CIDR")]
    pub exclude: Vec<String>,
    /// More prefixes of the darknet, one a line; read again on SIGHUP
    #[arg(long, value_name = "FILE")]
    pub prefixes_file: Option<PathBuf>,
    /// More prefixes that are not dark, one a line; read again on SIGHUP
    #[arg(long, value_name = "FILE")]
    pub exclude_file: Option<PathBuf>,
    /// Kinds of tunnel that end at this sensor and are decapsulated: gre, ipip, vxlan, erspan, geneve, gtp
    #[arg(long, value_name = "KIND,...", value_delimiter = ',')]
    pub decapsulate: Vec<String>,
    /// An address of this sensor at which tunnels end; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    pub tunnel_endpoint: Vec<String>,
    /// UDP port of VXLAN [default: 4789]
    #[arg(long, value_name = "PORT")]
    pub vxlan_port: Option<u16>,
    /// A further EtherType that announces a VLAN tag, such as 0x8200; may be given several times
    #[arg(long, value_name = "ETHERTYPE")]
    pub outer_tag: Vec<String>,
    /// Ethernet frames inside those of a provider that are read: pbb, eompls
    #[arg(long, value_name = "KIND,...", value_delimiter = ',')]
    pub inner_ethernet: Vec<String>,
    /// Name of this sensor in the store: small letters, digits, hyphens [default: sensor]
    #[arg(long, value_name = "NAME")]
    pub sensor: Option<String>,
    /// Store of the Parquet files: a folder, s3://, gs:// or az://; without it nothing is written
    #[arg(long, value_name = "PLACE")]
    pub store: Option<PathBuf>,
    /// Folder in which files wait until an object store has them [default: /var/lib/noctule/spool]
    #[arg(long, value_name = "DIR")]
    pub spool: Option<PathBuf>,
    /// Length of an interval: a divisor of 3600 [default: 60]
    #[arg(long, value_name = "SECONDS")]
    pub interval: Option<u32>,
    /// Country by address: a MaxMind DB, or lines of ranges or prefixes
    #[arg(long, value_name = "FILE")]
    pub country_db: Option<PathBuf>,
    /// AS number by address: a MaxMind DB, or lines of ranges or prefixes
    #[arg(long, value_name = "FILE")]
    pub asn_db: Option<PathBuf>,
    /// A file of rules that adds to the shipped ones; `noctule rules check FILE` validates it
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// Rows of the flow table, all workers together [default: 2000000]
    #[arg(long, value_name = "N")]
    pub max_flows: Option<usize>,
    /// Worker threads [default: run, one per RX queue; replay, 1]
    #[arg(long, value_name = "N")]
    pub workers: Option<usize>,
    /// How to print the totals at the end
    #[arg(long, value_name = "FORM", value_enum, default_value_t = SummaryForm::Table)]
    pub summary: SummaryForm,
}

/// How totals are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SummaryForm {
    /// Tables for people
    #[default]
    Table,
    /// One JSON object
    Json,
    /// Nothing
    None,
}

/// `noctule run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Settings shared with `replay`.
    #[command(flatten)]
    pub common: CommonArgs,
    /// A network interface that the darknet is routed to; may be given several times
    #[arg(long, value_name = "IF")]
    pub interface: Vec<String>,
    /// Put the interfaces into promiscuous mode while running: frames of a mirror go to other MACs
    #[arg(long)]
    pub promiscuous: bool,
    /// Seconds without any frame, or without a dark one, after which a hint is logged; 0 for never
    /// [default: 30]
    #[arg(long, value_name = "SECONDS")]
    pub hint_after: Option<u32>,
    /// How frames are received: zero-copy if the driver supports it, otherwise copy (auto); generic
    /// XDP is used only if it is given [default: auto]
    #[arg(long, value_enum)]
    pub mode: Option<Mode>,
    /// CPUs that the workers are pinned to, in turn [default: all, from the first on]
    #[arg(long, value_name = "CPU,...", value_delimiter = ',')]
    pub cpus: Vec<usize>,
    /// Let the workers poll the NIC's queues instead of waiting for interrupts, if the driver can
    #[arg(long)]
    pub busy_poll: bool,
}

/// How frames are received from the interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Zero copy if the driver supports it, otherwise native copy
    #[default]
    Auto,
    /// Zero copy only
    ZeroCopy,
    /// Native XDP; the kernel copies frames
    Copy,
    /// Generic XDP: any driver, slow
    Generic,
}

impl From<Mode> for ReceiveMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Auto => Self::Auto,
            Mode::ZeroCopy => Self::ZeroCopy,
            Mode::Copy => Self::Copy,
            Mode::Generic => Self::Generic,
        }
    }
}

/// `noctule replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Settings shared with `run`.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Write the dark IPv4 packets as CAIDA's FlowTuples (version 3, Avro) to this folder, too
    #[arg(long, value_name = "DIR")]
    pub flowtuple: Option<PathBuf>,
    /// Length of a FlowTuple file's interval: a divisor of 3600
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 60,
        requires = "flowtuple"
    )]
    pub flowtuple_interval: u32,
    /// Replace the sensor's stored intervals between the first and the last one of the captures
    #[arg(long)]
    pub replace: bool,
    /// Read times as microseconds (us) or nanoseconds (ns): of pcap whatever the file says, of pcapng
    /// where it says nothing [default: what the file says, else us]
    #[arg(long, value_name = "UNIT", value_enum)]
    pub time_resolution: Option<TimeUnit>,
    /// Count the captures of this folder as they appear, each record once, until SIGINT or SIGTERM
    #[arg(long, value_name = "DIR", conflicts_with_all = ["files", "replace", "flowtuple"])]
    pub follow: Option<PathBuf>,
    /// Seconds without a change after which a file of the folder is counted
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 10,
        requires = "follow"
    )]
    pub settle: u64,
    /// Capture files; several are merged by time
    #[arg(value_name = "FILE", required_unless_present = "follow")]
    pub files: Vec<PathBuf>,
}

/// What a capture's times count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TimeUnit {
    /// Microseconds
    Us,
    /// Nanoseconds
    Ns,
}

impl From<TimeUnit> for TimeResolution {
    fn from(unit: TimeUnit) -> Self {
        match unit {
            TimeUnit::Us => Self::Microseconds,
            TimeUnit::Ns => Self::Nanoseconds,
        }
    }
}

/// `noctule synth`.
#[derive(Debug, Args)]
pub struct SynthArgs {
    /// Frames to make
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub packets: u64,
    /// Number of distinct sources to draw from
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub sources: u64,
    /// A prefix of the darknet; may be given several times, IPv6 too
    #[arg(long, value_name = "CIDR", required_unless_present = "scenario")]
    pub prefix: Vec<String>,
    /// Seed of the generator; equal seeds make equal files
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Time of the first frame, RFC 3339 or seconds since 1970
    #[arg(long, value_name = "T", default_value = "2024-01-01T00:00:00Z")]
    pub start: String,
    /// Seconds over which the frames are spread
    #[arg(long, value_name = "S", default_value_t = 60)]
    pub duration: u64,
    /// Weights of the components, such as mirai=3,zmap=1 [default: a mix like today's]
    #[arg(long, value_name = "NAME=WEIGHT,...")]
    pub mix: Option<String>,
    /// Distribution of packets over sources
    #[arg(long, value_enum, default_value_t = Spread::Zipf)]
    pub spread: Spread,
    /// Length of the intervals that the truth counts as `intervals`
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub interval: u64,
    /// Zone by whose days the truth confirms sources
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub timezone: String,
    /// The capture; FILE.truth.json, FILE.country.csv and FILE.asn.csv are written beside it. With
    /// --scenario, the folder of its files
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Write a whole scenario, with its own darknet, dates and sources
    #[arg(long, value_enum, conflicts_with_all = ["packets", "sources", "prefix", "start", "duration", "mix", "spread", "interval"])]
    pub scenario: Option<ScenarioName>,
    /// Divide a scenario's packets and sources by this
    #[arg(long, value_name = "N", default_value_t = 1, hide = true, requires = "scenario", value_parser = clap::value_parser!(u64).range(1..))]
    pub divisor: u64,
}

/// A scenario of `noctule synth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScenarioName {
    /// A small darknet from April to December 2016, 20 million packets, as published reports describe
    #[value(name = "2016")]
    Year2016,
    /// Two days with the numbers of sources in table 2 of NICTER's report of 2016
    NicterTable2,
}

/// `noctule rules`.
#[derive(Debug, Args)]
pub struct RulesArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: RulesCommand,
}

/// What to do with rules.
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Print the rules in force: fingerprints, classes, reflection ports, bogons
    List {
        /// A file of rules that adds to the shipped ones
        #[arg(long, value_name = "FILE")]
        rules: Option<PathBuf>,
    },
    /// Validate a rule file; the first mistake is reported with its line
    Check {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Show which packets of captures match a fingerprint, with the fields that it tests
    Test {
        /// Name of the fingerprint
        #[arg(value_name = "RULE")]
        rule: String,
        /// Capture files; several are merged by time
        #[arg(value_name = "CAPTURE", required = true)]
        captures: Vec<PathBuf>,
        /// A file of rules that adds to the shipped ones
        #[arg(long, value_name = "FILE")]
        rules: Option<PathBuf>,
        /// Test only packets to this prefix; may be given several times
        #[arg(long, value_name = "CIDR")]
        prefix: Vec<String>,
        /// Show at most this many packets
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u64,
        /// Zone on whose days sources are confirmed
        #[arg(long, value_name = "ZONE", default_value = "UTC")]
        timezone: String,
    },
}

/// Distribution of packets over sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Spread {
    /// A few sources send most packets
    Zipf,
    /// Every source sends equally many packets
    Uniform,
}
