//! Builds the checked configuration of a run from the command line and the configuration file. A
//! flag overrides the file's setting.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use noctule_capture::xdp::{Unserved, XskConfig};
use noctule_engine::config::{Common, FlowTuple, Follow, Live, Replay};
use noctule_packet::link::LinkOptions;
use noctule_packet::tunnel::Tunnels;
use noctule_store::Location;
use serde::Deserialize;

use crate::args::{CommonArgs, Mode, ReplayArgs, RunArgs};
use crate::prefixes::{self, Listed};

/// Rows of the flow table unless the configuration says otherwise.
const MAX_FLOWS: usize = 2_000_000;
/// Where files wait for an object store unless the configuration says otherwise.
const SPOOL: &str = "/var/lib/noctule/spool";
/// Seconds without a frame after which a hint is logged, unless the configuration says otherwise.
const HINT_AFTER_SECONDS: u32 = 30;
/// Largest number of rows; a larger one is taken for a typing error.
const MOST_FLOWS: usize = 1 << 30;

/// A configuration file, as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    prefixes: Option<Vec<String>>,
    exclude: Option<Vec<String>>,
    prefixes_file: Option<PathBuf>,
    exclude_file: Option<PathBuf>,
    decapsulate: Option<Vec<String>>,
    tunnel_endpoints: Option<Vec<String>>,
    vxlan_port: Option<u16>,
    outer_tags: Option<Vec<u32>>,
    inner_ethernet: Option<Vec<String>>,
    sensor: Option<String>,
    store: Option<PathBuf>,
    spool: Option<PathBuf>,
    interval: Option<u32>,
    country_db: Option<PathBuf>,
    asn_db: Option<PathBuf>,
    rules: Option<PathBuf>,
    max_flows: Option<usize>,
    workers: Option<usize>,
    interface: Option<Names>,
    promiscuous: Option<bool>,
    hint_after: Option<u32>,
    mode: Option<Mode>,
    allow_generic: Option<bool>,
    unserved: Option<UnservedSetting>,
    frames: Option<u32>,
    frame_bytes: Option<u32>,
    batch: Option<u32>,
    cpus: Option<Vec<usize>>,
    busy_poll: Option<bool>,
}

/// One name or several.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a name, or a list of names")]
enum Names {
    One(String),
    Several(Vec<String>),
}

impl From<Names> for Vec<String> {
    fn from(names: Names) -> Self {
        match names {
            Names::One(name) => vec![name],
            Names::Several(names) => names,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum UnservedSetting {
    Pass,
    Drop,
}

/// Builds the configuration of `replay`.
///
/// # Errors
/// A setting is missing or invalid, or the configuration file cannot be read; the message is one
/// line.
pub fn replay(args: &ReplayArgs) -> Result<Replay> {
    let flowtuple = (args.flowtuple.as_ref())
        .map(|folder| {
            check_interval("flowtuple-interval", args.flowtuple_interval)?;
            Ok::<_, anyhow::Error>(FlowTuple {
                folder: folder.clone(),
                interval_seconds: args.flowtuple_interval,
            })
        })
        .transpose()?;
    Ok(Replay {
        common: common(&args.common, &mut read(&args.common)?)?,
        files: args.files.clone(),
        follow: args.follow.as_ref().map(|folder| Follow {
            folder: folder.clone(),
            settle: Duration::from_secs(args.settle),
        }),
        replace: args.replace,
        time_resolution: args.time_resolution.map(Into::into),
        flowtuple,
    })
}

/// Builds the configuration of `run`.
///
/// # Errors
/// As [`replay`].
pub fn run(args: &RunArgs) -> Result<Live> {
    let mut file = read(&args.common)?;
    let common = common(&args.common, &mut file)?;
    let interfaces = if args.interface.is_empty() {
        file.interface.map(Vec::from).unwrap_or_default()
    } else {
        args.interface.clone()
    };
    if interfaces.is_empty() {
        bail!("no interface is given: add --interface IF or `interface = \"IF\"`");
    }
    let defaults = XskConfig::default();
    let socket = XskConfig {
        frames: file.frames.unwrap_or(defaults.frames),
        frame_bytes: file.frame_bytes.unwrap_or(defaults.frame_bytes),
        batch: file.batch.unwrap_or(defaults.batch),
        busy_poll: args.busy_poll || file.busy_poll.unwrap_or(defaults.busy_poll),
        ..defaults
    };
    socket.validate()?;
    let cpus = if args.cpus.is_empty() {
        file.cpus.unwrap_or_default()
    } else {
        args.cpus.clone()
    };
    Ok(Live {
        common,
        interfaces,
        promiscuous: args.promiscuous || file.promiscuous.unwrap_or(false),
        hint_after_seconds: (args.hint_after.or(file.hint_after)).unwrap_or(HINT_AFTER_SECONDS),
        mode: args.mode.or(file.mode).unwrap_or_default().into(),
        allow_generic: file.allow_generic.unwrap_or(false),
        unserved: match file.unserved {
            Some(UnservedSetting::Drop) => Unserved::Drop,
            Some(UnservedSetting::Pass) | None => Unserved::Pass,
        },
        socket,
        cpus,
    })
}

fn common(args: &CommonArgs, file: &mut File) -> Result<Common> {
    let pick = |flags: &[String], file: Option<Vec<String>>| {
        if flags.is_empty() {
            file.unwrap_or_default()
        } else {
            flags.to_vec()
        }
    };
    let prefixes = pick(&args.prefix, file.prefixes.take());
    let exclude = pick(&args.exclude, file.exclude.take());
    let decapsulate = pick(&args.decapsulate, file.decapsulate.take());
    let endpoints = pick(&args.tunnel_endpoint, file.tunnel_endpoints.take());
    let vxlan_port = args.vxlan_port.or(file.vxlan_port);
    let tunnels = Tunnels::parse(&decapsulate, vxlan_port, &endpoints)?;
    let tags = file
        .outer_tags
        .take()
        .map(|tags| tags.iter().map(u32::to_string).collect());
    let tags = pick(&args.outer_tag, tags);
    let inner = pick(&args.inner_ethernet, file.inner_ethernet.take());
    let link = LinkOptions::parse(&tags, &inner)?;
    let prefixes_file = args.prefixes_file.clone().or(file.prefixes_file.take());
    let exclude_file = args.exclude_file.clone().or(file.exclude_file.take());
    let darknet = prefixes::darknet(
        Listed::new(&prefixes, prefixes_file.as_deref()),
        Listed::new(&exclude, exclude_file.as_deref()),
    )?
    .with_tunnels(tunnels)?
    .with_link_options(link);
    let sensor = (args.sensor.clone().or(file.sensor.take())).unwrap_or_else(|| "sensor".into());
    let interval_seconds = args.interval.or(file.interval).unwrap_or(60);
    check_interval("interval", interval_seconds)?;
    let max_flows = args.max_flows.or(file.max_flows).unwrap_or(MAX_FLOWS);
    if !(16..=MOST_FLOWS).contains(&max_flows) {
        bail!("max_flows is {max_flows}: it must lie between 16 and {MOST_FLOWS}");
    }
    let workers = args.workers.or(file.workers);
    if workers.is_some_and(|workers| !(1..=1024).contains(&workers)) {
        bail!("workers must lie between 1 and 1024");
    }
    let store = args.store.clone().or(file.store.take());
    let spool = args.spool.clone().or(file.spool.take());
    Ok(Common {
        darknet,
        sensor,
        store: store.map(location).transpose()?,
        spool: spool.unwrap_or_else(|| SPOOL.into()),
        interval_seconds,
        country_db: args.country_db.clone().or(file.country_db.take()),
        asn_db: args.asn_db.clone().or(file.asn_db.take()),
        rules: args.rules.clone().or(file.rules.take()),
        max_flows,
        workers,
    })
}

/// Checks the length of an interval, the value of setting `name`.
///
/// # Errors
/// `seconds` does not divide 3600.
fn check_interval(name: &str, seconds: u32) -> Result<()> {
    if seconds == 0 || 3600 % seconds != 0 {
        bail!("{name} is {seconds} s: it must divide 3600 s, as 1, 10, 60, 300 or 3600 do");
    }
    Ok(())
}

/// The store's location. A path that is not UTF-8 is a folder.
fn location(place: PathBuf) -> Result<Location> {
    match place.to_str() {
        Some(text) => Ok(Location::parse(text)?),
        None => Ok(Location::Folder(place)),
    }
}

/// Reads the configuration file; without one, no setting is given.
fn read(args: &CommonArgs) -> Result<File> {
    let Some(path) = &args.config else {
        return Ok(File::default());
    };
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read configuration {name}"))?;
    toml::from_str(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text[..at.min(text.len())].matches('\n').count() + 1;
        let message = error.message().trim().replace('\n', " ");
        anyhow!(
            "configuration {name}, line {line}: {message}: correct it; collector/docs/configuration.md lists every key"
        )
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser as _;
    use noctule_packet::link::InnerEthernet;

    use super::*;
    use crate::args::Cli;

    fn check(args: &CommonArgs) -> Result<Common> {
        common(args, &mut read(args)?)
    }

    fn parse(text: &str) -> Result<Common> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("noctule.toml");
        std::fs::write(&path, text).unwrap();
        check(&CommonArgs {
            config: Some(path),
            ..CommonArgs::default()
        })
    }

    #[test]
    fn a_file_gives_every_setting_and_flags_override_it() {
        let text = "prefixes = [\"198.18.0.0/15\"]\nexclude = [\"198.18.1.0/24\"]\nsensor = \"tokyo-1\"\ninterval = 300\nmax_flows = 1000\n";
        let common = parse(text).unwrap();
        assert_eq!(common.sensor, "tokyo-1");
        assert_eq!((common.interval_seconds, common.max_flows), (300, 1000));
        assert_eq!(common.darknet.observed4(), (1 << 17) - 256);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("noctule.toml");
        std::fs::write(&path, text).unwrap();
        let args = CommonArgs {
            config: Some(path),
            interval: Some(60),
            prefix: vec!["198.18.0.0/16".into()],
            ..CommonArgs::default()
        };
        let common = check(&args).unwrap();
        assert_eq!((common.interval_seconds, common.max_flows), (60, 1000));
        assert_eq!(common.darknet.observed4(), (1 << 16) - 256);
    }

    #[test]
    fn tunnels_come_from_the_file_and_from_flags() {
        let text = "prefixes = [\"198.18.0.0/15\"]\ndecapsulate = [\"gre\", \"vxlan\"]\ntunnel_endpoints = [\"203.0.113.1\", \"2001:db8::1\"]\nvxlan_port = 8472\n";
        let names = |common: &Common| -> Vec<String> {
            let kinds = common.darknet.tunnels().kinds();
            kinds.map(|kind| kind.to_string()).collect()
        };
        let common = parse(text).unwrap();
        assert_eq!(names(&common), ["gre", "vxlan"]);
        assert_eq!(common.darknet.tunnels().vxlan_port(), 8472);
        assert_eq!(common.darknet.tunnels().endpoints().count(), 2);
        let args = CommonArgs {
            prefix: vec!["198.18.0.0/15".into()],
            decapsulate: vec!["ipip".into(), "vxlan".into()],
            tunnel_endpoint: vec!["192.0.2.1".into()],
            ..CommonArgs::default()
        };
        let common = check(&args).unwrap();
        assert_eq!(names(&common), ["ipip", "vxlan"]);
        assert_eq!(common.darknet.tunnels().vxlan_port(), 4789);
        let none = parse("prefixes = [\"198.18.0.0/15\"]").unwrap();
        assert!(none.darknet.tunnels().is_empty());
    }

    #[test]
    fn what_is_read_below_ip_comes_from_the_file_and_from_flags() {
        let text = "prefixes = [\"198.18.0.0/15\"]\nouter_tags = [0x8200, 37632]\ninner_ethernet = [\"pbb\"]\n";
        let said = |common: &Common| {
            let link = common.darknet.link_options();
            let inner: Vec<_> = link.inner_ethernet().map(InnerEthernet::name).collect();
            (link.outer_tags().collect::<Vec<_>>(), inner)
        };
        let common = parse(text).unwrap();
        assert_eq!(said(&common), (vec![0x8200, 0x9300], vec!["pbb"]));
        let args = CommonArgs {
            prefix: vec!["198.18.0.0/15".into()],
            outer_tag: vec!["0x9300".into()],
            inner_ethernet: vec!["eompls".into(), "pbb".into()],
            ..CommonArgs::default()
        };
        let common = check(&args).unwrap();
        assert_eq!(said(&common), (vec![0x9300], vec!["pbb", "eompls"]));
        for (setting, wanted) in [
            ("outer_tags = [5]", "no EtherType"),
            ("outer_tags = [70000]", "no EtherType"),
            ("outer_tags = [0x0800]", "something else"),
            ("outer_tags = [0x8200, 0x8200]", "more than once"),
            (
                "outer_tags = [0x8200, 0x8201, 0x8202, 0x8203, 0x8204]",
                "at most 4",
            ),
            ("inner_ethernet = [\"mpls\"]", "takes pbb, eompls"),
            ("inner_ethernet = [\"pbb\", \"pbb\"]", "more than once"),
        ] {
            let text = format!("prefixes = [\"198.18.0.0/15\"]\n{setting}\n");
            let error = format!("{:#}", parse(&text).unwrap_err());
            assert!(error.contains(wanted), "{setting}: {error}");
        }
    }

    #[test]
    fn a_store_is_a_folder_or_a_bucket_and_holds_no_secret() {
        let store = |text: &str| {
            let line = format!("prefixes = [\"198.18.0.0/15\"]\nstore = \"{text}\"\n");
            parse(&line).map(|common| (common.store, common.spool))
        };
        let (place, spool) = store("/var/lib/x").unwrap();
        assert_eq!(place, Some(Location::Folder("/var/lib/x".into())));
        assert_eq!(spool, Path::new(SPOOL));
        let (place, _) = store("s3://telescope/a").unwrap();
        assert!(matches!(place, Some(Location::Bucket(_))));
        let error = format!("{:#}", store("s3://key:hidden@telescope/a").unwrap_err());
        assert!(!error.contains("hidden"), "{error}");
    }

    #[test]
    fn interfaces_are_one_name_or_a_list() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("noctule.toml");
        let live = |text: &str, flags: &[&str]| {
            let text = format!("prefixes = [\"198.18.0.0/15\"]\n{text}\n");
            std::fs::write(&path, text).unwrap();
            let config = ["noctule", "run", "--config", path.to_str().unwrap()];
            let line = config.iter().chain(flags);
            let crate::args::Command::Run(args) = Cli::try_parse_from(line).unwrap().command else {
                unreachable!();
            };
            run(&args)
        };
        let names = |text, flags: &[&str]| live(text, flags).unwrap().interfaces;
        assert_eq!(names("interface = \"eth1\"", &[]), ["eth1"]);
        assert_eq!(names("interface = [\"a\", \"b\"]", &[]), ["a", "b"]);
        let flags = ["--interface", "c", "--interface", "d"];
        assert_eq!(names("interface = [\"a\", \"b\"]", &flags), ["c", "d"]);
        let error = |text| format!("{:#}", live(text, &[]).unwrap_err());
        assert!(error("interface = []").contains("no interface is given"));
        assert!(error("").contains("no interface is given"));
        let text = error("interface = 7");
        assert!(
            text.contains("line 2: a name, or a list of names"),
            "{text}"
        );
        let plain = live("interface = \"eth1\"", &[]).unwrap();
        assert_eq!((plain.promiscuous, plain.hint_after_seconds), (false, 30));
        let set = live("interface = \"e\"\npromiscuous = true\nhint_after = 0", &[]).unwrap();
        assert_eq!((set.promiscuous, set.hint_after_seconds), (true, 0));
        let flags = ["--promiscuous", "--hint-after", "5"];
        let set = live("interface = \"e\"", &flags).unwrap();
        assert_eq!((set.promiscuous, set.hint_after_seconds), (true, 5));
        assert_eq!(plain.changed_until_restart(&set).len(), 2);
    }

    #[test]
    fn a_mistake_is_one_line_with_its_place() {
        let error = |text: &str| format!("{:#}", parse(text).unwrap_err());
        let unknown = error("prefixes = [\"10.0.0.0/8\"]\nintervall = 60\n");
        assert!(
            unknown.contains("line 2") && unknown.contains("intervall"),
            "{unknown}"
        );
        assert!(!unknown.contains('\n'));
        assert!(error("interval = \"x\"").contains("line 1"));
        assert!(error("prefixes = [\"10.0.0.0/8\"]\ninterval = 7").contains("must divide 3600"));
        assert!(error("prefixes = [\"10.0.0.0/8\"]\nmax_flows = 1").contains("max_flows"));
        assert!(error("interval = 60").contains("no darknet prefix"));
    }
}
