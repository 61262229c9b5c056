//! Reports of a divided scenario and of sensors with gaps: every figure worked out a second time from
//! the captures, by other code in another language, and every page looked at in a browser.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use noctule_testkit::browser::Browser;
use noctule_testkit::program::{Ended, Running, noctule};
use noctule_testkit::python;
use noctule_testkit::scenario::Scenario;

/// A first report rolls up all its days, on a machine that may be busy.
const LIMIT: Duration = Duration::from_secs(1200);

/// Runs a program of these words to its good end.
fn run<W: AsRef<str>>(words: &[W]) -> Ended {
    let mut command = noctule(words.iter().map(AsRef::as_ref));
    Running::start(&mut command).wait(LIMIT).success()
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// Pairs of an option and its value as words.
fn words(pairs: &[(&str, &str)]) -> Vec<String> {
    let flat = pairs.iter().flat_map(|&(option, value)| [option, value]);
    flat.map(str::to_owned).collect()
}

/// A scenario, and those of its captures that were replayed into a store.
struct Replayed {
    scenario: Scenario,
    captures: Vec<PathBuf>,
}

impl Replayed {
    /// Writes the scenario with its numbers divided, and replays those captures that are `wanted`.
    fn new(name: &str, divisor: u32, wanted: &[&str]) -> Self {
        let scenario = Scenario::synthesise(name, divisor, LIMIT);
        let mut captures = scenario.captures();
        captures.retain(|file| wanted.iter().any(|part| text(file).contains(part)));
        assert!(!captures.is_empty(), "{}", scenario.truth);
        let store = scenario.store();
        fs::create_dir(&store).expect("a new folder");
        for file in ["noctule.toml", "research.txt"] {
            fs::copy(scenario.path(file), store.join(file)).expect("a copy");
        }
        scenario.replay(&captures, Some(&store));
        Self { scenario, captures }
    }

    /// Makes a report, for which `asked` was asked.
    fn report(&self, name: &str, asked: &[String], more: &[(&str, &str)]) -> PathBuf {
        report(
            &self.scenario.store(),
            &self.scenario.path(name),
            asked,
            more,
        )
    }

    /// Works a report's figures out again.
    fn recount(&self, python: &str, report: &Path, asked: &[String]) {
        let mut more = words(&[("--interval", "3600")]);
        for (kind, file) in [
            ("--country", "country.csv"),
            ("--asn", "asn.csv"),
            ("--research-list", "research.txt"),
        ] {
            more.extend([kind.to_owned(), text(&self.scenario.path(file))]);
        }
        for prefix in self.scenario.prefixes() {
            more.extend(["--prefix".to_owned(), format!("one={prefix}")]);
        }
        for capture in &self.captures {
            more.extend(["--capture".to_owned(), format!("one={}", text(capture))]);
        }
        recount(python, report, asked, &more);
    }
}

fn report(store: &Path, out: &Path, asked: &[String], more: &[(&str, &str)]) -> PathBuf {
    let mut command = words(&[("report", "--store")]);
    command.extend([text(store), "--out".to_owned(), text(out)]);
    command.extend_from_slice(asked);
    command.extend(words(more));
    run(&command);
    out.to_owned()
}

/// Holds a report against the Python script's figures.
fn recount(python: &str, report: &Path, asked: &[String], more: &[String]) {
    let mut command = Command::new(python);
    command.arg(python::script("reference/recount_report.py"));
    command.arg("--report").arg(report.join("report.json"));
    command.args(asked).args(more);
    let ended = Running::start(&mut command).wait(LIMIT).success();
    assert!(ended.stdout.contains(" 0 differences"), "{ended:?}");
}

/// The scenario of 2016 from spring to autumn, with a hundredth of its sources.
static YEAR: LazyLock<Replayed> = LazyLock::new(|| {
    let months = ["04", "05", "06", "07", "08", "09", "10"];
    let months = months.map(|month| format!("2016-{month}"));
    Replayed::new("2016", 100, &months.each_ref().map(String::as_str))
});

#[test]
fn the_recount_knows_the_rules() {
    let Some(python) = python::with("the_recount_knows_the_rules", "numpy") else {
        return;
    };
    let mut command = Command::new(python);
    command.arg(python::script("reference/recount_selftest.py"));
    Running::start(&mut command).wait(LIMIT).success();
}

#[test]
fn a_quarter_is_what_a_second_implementation_works_out() {
    let test = "a_quarter_is_what_a_second_implementation_works_out";
    let Some(python) = python::with(test, "numpy") else {
        return;
    };
    let asked = words(&[
        ("--port", "23/tcp"),
        ("--port", "2323/tcp"),
        ("--peak", "2016-09-20=23,2323/tcp"),
        ("--peak", "2016-07-24=53413/udp"),
        ("--country-port", "CN:23/tcp"),
        ("--region-port", "53413/udp"),
        ("--notify", "mirai"),
        ("--notify", "2323/tcp"),
    ]);
    let key = YEAR.scenario.path("key");
    fs::write(&key, *b"thirty-two octets that are a key").expect("a key");
    let out = YEAR.report("quarter", &asked, &[("--period", "2016-Q3")]);
    YEAR.recount(&python, &out, &asked);

    let secret = ("--pseudonymise", text(&key));
    let secret = (secret.0, &secret.1[..]);
    let out = YEAR.report("secret", &asked, &[("--period", "2016-09"), secret]);
    let asked = [asked, words(&[secret])].concat();
    YEAR.recount(&python, &out, &asked);
}

#[test]
fn a_year_is_what_a_second_implementation_works_out() {
    let test = "a_year_is_what_a_second_implementation_works_out";
    let Some(python) = python::with(test, "numpy") else {
        return;
    };
    let out = YEAR.report("year", &[], &[("--period", "2016"), ("--lang", "ja")]);
    YEAR.recount(&python, &out, &[]);
}

#[test]
fn a_table_of_countries_is_of_the_union_of_ports() {
    let test = "a_table_of_countries_is_of_the_union_of_ports";
    let Some(python) = python::with(test, "numpy") else {
        return;
    };
    let table = Replayed::new("nicter-table2", 100, &[""]);
    let asked = words(&[
        ("--peak", "2016-09-20=23,2323/tcp"),
        ("--peak", "2016-11-27=7547,5555/tcp"),
    ]);
    let out = table.report("report", &asked, &[("--period", "2016")]);
    table.recount(&python, &out, &asked);
}

/// Two sensors, one of them replayed in two runs under two lists of prefixes, with hours between.
#[test]
fn several_runs_and_prefix_lists_are_what_a_second_implementation_works_out() {
    let test = "several_runs_and_prefix_lists_are_what_a_second_implementation_works_out";
    let Some(python) = python::with(test, "numpy") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = folder.path().join("store");
    let mut more = words(&[("--interval", "1800")]);
    // One place for what is known of addresses: that of the capture that is made first.
    let beside = |what: &str| format!("{}.{what}.csv", text(&folder.path().join("south.pcap")));
    let one: &[&str] = &["198.18.0.0/24", "2001:db8::/48"];
    let two: &[&str] = &["198.18.0.0/24", "198.18.1.0/25", "2001:db8::/48"];
    for (run_name, start, seconds, prefixes) in [
        (
            "south",
            "2016-09-18T20:00:00Z",
            "150000",
            &["198.18.2.0/24"][..],
        ),
        ("north/1", "2016-09-18T15:20:00Z", "100000", one),
        ("north/2", "2016-09-20T13:05:00Z", "60000", two),
    ] {
        let capture = folder
            .path()
            .join(format!("{}.pcap", run_name.replace('/', "-")));
        let seed = run_name.len().to_string();
        let mut synth = words(&[
            ("synth", "--sources"),
            ("800", "--seed"),
            (&seed, "--start"),
            (start, "--duration"),
            (seconds, "--packets"),
            ("20000", "--interval"),
            ("1800", "--out"),
        ]);
        synth.push(text(&capture));
        let sensor = run_name.split('/').next().expect("a name");
        let mut replay = words(&[
            ("replay", "--interval"),
            ("1800", "--sensor"),
            (sensor, "--store"),
        ]);
        replay.push(text(&store));
        for (kind, file) in [("--country-db", "country"), ("--asn-db", "asn")] {
            replay.extend([kind.to_owned(), beside(file)]);
        }
        for prefix in prefixes {
            let prefix = ["--prefix".to_owned(), (*prefix).to_owned()];
            synth.extend(prefix.clone());
            replay.extend(prefix.clone());
            more.extend(["--prefix".to_owned(), format!("{run_name}={}", prefix[1])]);
        }
        run(&synth);
        replay.push(text(&capture));
        run(&replay);
        more.extend([
            "--capture".to_owned(),
            format!("{run_name}={}", text(&capture)),
        ]);
    }
    more.extend(words(&[
        ("--country", &beside("country")),
        ("--asn", &beside("asn")),
    ]));
    for (name, asked) in [
        (
            "both",
            words(&[("--port", "23/tcp"), ("--notify", "23/tcp")]),
        ),
        ("north", words(&[("--sensor", "north")])),
    ] {
        let zone = [("--period", "2016-09"), ("--timezone", "Asia/Tokyo")];
        let out = report(&store, &folder.path().join(name), &asked, &zone);
        recount(&python, &out, &asked, &more);
    }
}

#[test]
fn pages_are_as_their_readers_need_them() {
    let Some(browser) = Browser::find("pages_are_as_their_readers_need_them") else {
        return;
    };
    let reports = [
        YEAR.report("page", &[], &[("--period", "2016-Q3")]),
        YEAR.report("page-ja", &[], &[("--period", "2016-Q3"), ("--lang", "ja")]),
        YEAR.report("day", &[], &[("--period", "2016-09-20")]),
        YEAR.report("empty", &[], &[("--period", "2011"), ("--lang", "ja")]),
    ];
    let mut look = browser.look(reports.iter().map(PathBuf::as_path));
    let ended = Running::start(&mut look).wait(LIMIT).success();
    assert!(ended.stdout.ends_with("nothing is wrong\n"), "{ended:?}");
}
