//! The command line of `noctule query`, `rollup`, `report`, `export` and `store`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::civil::Date;
use noctule_page::Language;

use crate::selectors::{CountryPort, NotifySelector, Peak, Port};

const AFTER_HELP: &str = "\
Exit status: 0 on success, 1 on an error (one line on standard error says what, where and what to \
do), 2 when the command line is wrong or, with --strict, when files were left out.";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "noctule", version, about = "Questions to a darknet's store", after_long_help = AFTER_HELP, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer a question in SQL over the store's tables
    Query(QueryArgs),
    /// Make the daily tables of days that have closed, and again of days whose files have changed
    Rollup(RollupArgs),
    /// Make a report of a period, with the figures that observatories publish
    Report(ReportArgs),
    /// Write darknet events in Merit's format, one JSON object a line
    Export(ExportArgs),
    /// Look after a store
    Store(StoreArgs),
}

/// The store, and the resources that the command may use.
#[derive(Clone, Debug, Args)]
pub struct CommonArgs {
    /// The store: a folder, s3://bucket/prefix, gs:// or az://; credentials come from the environment
    #[arg(long, value_name = "PLACE")]
    pub store: String,
    /// Exit with status 2 if files had to be left out
    #[arg(long)]
    pub strict: bool,
    /// Memory of queries; a query that needs more spills to disk
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub memory: usize,
    /// Folder that queries spill to [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    pub spill: Option<PathBuf>,
    /// Threads [default: all CPUs]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Country by address, for country(): a MaxMind DB file or CSV (start,end,value)
    #[arg(long, value_name = "FILE")]
    pub country_db: Option<PathBuf>,
    /// AS number by address, for asn(): a MaxMind DB file or CSV (start,end,value)
    #[arg(long, value_name = "FILE")]
    pub asn_db: Option<PathBuf>,
}

/// Which sensors and days a command is about.
#[derive(Clone, Debug, Default, Args)]
pub struct DayArgs {
    /// Only this sensor; may be given several times
    #[arg(long, value_name = "NAME")]
    pub sensor: Vec<String>,
    /// First day
    #[arg(long, value_name = "DATE")]
    pub from: Option<Date>,
    /// Last day
    #[arg(long, value_name = "DATE")]
    pub to: Option<Date>,
}

impl DayArgs {
    /// True if a sensor's day is one of them.
    pub fn has(&self, date: Date, sensor: &str) -> bool {
        self.from.is_none_or(|from| date >= from)
            && self.to.is_none_or(|to| date <= to)
            && (self.sensor.is_empty() || self.sensor.iter().any(|name| name == sensor))
    }
}

/// `noctule query`.
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// Settings shared with the other commands.
    #[command(flatten)]
    pub common: CommonArgs,
    /// The question; `-` reads it from standard input
    #[arg(value_name = "SQL", required_unless_present_any = ["file", "question"])]
    pub sql: Option<String>,
    /// Ask a ready question; `list` names them all
    #[arg(long, value_name = "NAME", conflicts_with_all = ["sql", "file"])]
    pub question: Option<String>,
    /// Time zone of the days of daily tables [default: the store's report_timezone]
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<String>,
    /// Read the question from a file
    #[arg(long, value_name = "FILE", conflicts_with = "sql")]
    pub file: Option<PathBuf>,
    /// How to write the answer
    #[arg(long, value_enum, default_value_t = Form::Table)]
    pub format: Form,
    /// Where to write it [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print how the answer was computed: the plan, files and octets read, time
    #[arg(long)]
    pub explain: bool,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// A table for people
    Table,
    /// Comma-separated values with a header
    Csv,
    /// One JSON array
    Json,
    /// One JSON object a line
    Ndjson,
    /// A Parquet file
    Parquet,
}

/// `noctule rollup`.
#[derive(Debug, Args)]
pub struct RollupArgs {
    /// Settings shared with the other commands.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Time zone of the days [default: the store's report_timezone]
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<String>,
    /// Sensors and days.
    #[command(flatten)]
    pub days: DayArgs,
    /// Publish the days that the Spark job wrote to this folder, s3://bucket/prefix, gs:// or az://
    /// (`noctule store spark-job` prints the job)
    #[arg(long, value_name = "PLACE", conflicts_with_all = ["sensor", "from", "to", "redo", "open_days"])]
    pub adopt: Option<String>,
    /// Make days again whose settings (geo files, thresholds, list) have changed
    #[arg(long)]
    pub redo: bool,
    /// Make days that have not closed yet, too
    #[arg(long)]
    pub open_days: bool,
    /// Least number of packets of a research scanner a day ... [default: as in noctule.toml, or 300000]
    #[arg(long, value_name = "N")]
    pub research_packets: Option<i64>,
    /// ... and least number of TCP and UDP ports that it probes [default: as in noctule.toml, or 30]
    #[arg(long, value_name = "N")]
    pub research_ports: Option<i64>,
    /// Prefixes of known research scanners, one a line, each perhaps with a name [default: the files
    /// that noctule.toml names]
    #[arg(long, value_name = "FILE")]
    pub research_list: Option<PathBuf>,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

impl RollupArgs {
    /// Makes the days that a report needs.
    pub fn for_report(report: &ReportArgs, zone: &str, until: Date) -> Self {
        Self {
            common: report.common.clone(),
            timezone: Some(zone.to_owned()),
            days: DayArgs {
                sensor: report.sensor.clone(),
                from: None,
                to: Some(until),
            },
            adopt: None,
            redo: false,
            open_days: false,
            research_packets: None,
            research_ports: None,
            research_list: None,
            dry_run: false,
        }
    }
}

/// `noctule store`.
#[derive(Debug, Args)]
pub struct StoreArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: StoreCommand,
}

/// What to do with a store.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Check every file against its own checksum, and that it is what its place claims
    Verify(CommonArgs),
    /// Remove files of days that `keep_days` in the store's noctule.toml no longer keeps
    Expire(ExpireArgs),
    /// Print the Spark job that makes the daily tables on a cluster
    SparkJob,
}

/// `noctule store expire`.
#[derive(Debug, Args)]
pub struct ExpireArgs {
    /// The store: a folder, s3://bucket/prefix, gs:// or az://
    #[arg(long, value_name = "PLACE")]
    pub store: String,
    /// Print what would be removed, and remove nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `noctule export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Settings shared with the other commands.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Sensors and UTC dates.
    #[command(flatten)]
    pub days: DayArgs,
    /// Where to write them [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `noctule report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Settings shared with the other commands.
    #[command(flatten)]
    pub common: CommonArgs,
    /// The days: a year (2016), quarter (2016-Q3), month (2016-09) or day (2016-09-20)
    #[arg(long, value_name = "PERIOD")]
    pub period: String,
    /// Period whose ranks are shown beside those of --period [default: the one before]
    #[arg(long, value_name = "PERIOD")]
    pub compare: Option<String>,
    /// Which figures to show
    #[arg(long, value_enum, default_value_t = Style::All)]
    pub style: Style,
    /// Only this sensor; may be given several times
    #[arg(long, value_name = "NAME")]
    pub sensor: Vec<String>,
    /// Language of the page
    #[arg(long, value_enum, default_value_t = Lang::En)]
    pub lang: Lang,
    /// Time zone of the days [default: the store's report_timezone]
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<String>,
    /// Show distinct sources by day on this port, such as 23/tcp; may be given several times
    /// [default: the five that rose most]
    #[arg(long, value_name = "PORT")]
    pub port: Vec<Port>,
    /// Show countries on this day over the union of these ports, such as
    /// 2016-09-20=23,2323/tcp; may be given several times [default: of the two largest events]
    #[arg(long, value_name = "DATE=PORTS")]
    pub peak: Vec<Peak>,
    /// Show sources by day from this country on this port, such as BR:7547/tcp; may be given
    /// several times [default: the first country of each peak]
    #[arg(long, value_name = "COUNTRY:PORT")]
    pub country_port: Vec<CountryPort>,
    /// Show packets by day and country on this port; may be given several times [default: the
    /// first port]
    #[arg(long, value_name = "PORT")]
    pub region_port: Vec<Port>,
    /// Show answers from this source port; may be given several times [default: 53/udp]
    #[arg(long, value_name = "PORT")]
    pub answer_port: Vec<Port>,
    /// List the sources of this port (23/tcp) or fingerprint (mirai) by AS and country; may be
    /// given several times
    #[arg(long, value_name = "PORT|RULE")]
    pub notify: Vec<NotifySelector>,
    /// Replace listed sources by pseudonyms that keep prefixes (Crypto-PAn): a file of 32 octets
    #[arg(long, value_name = "KEYFILE")]
    pub pseudonymise: Option<PathBuf>,
    /// Where to write it: index.html, report.json and data/
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Which figures a report shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Style {
    /// Figures of NICTER's observation reports
    Nicter,
    /// Figures of JPCERT/CC's reports on TSUBAME
    Tsubame,
    /// Both
    All,
}

/// A language of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Lang {
    /// English
    En,
    /// Japanese
    Ja,
}

impl From<Lang> for Language {
    fn from(lang: Lang) -> Self {
        match lang {
            Lang::En => Self::English,
            Lang::Ja => Self::Japanese,
        }
    }
}
