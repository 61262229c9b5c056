//! Answers of a store and its daily tables agree with the packets of the captures.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use noctule_testkit::program::{Ended, LIMIT, Running, noctule, replay};
use noctule_testkit::{data, store};
use serde_json::Value;
use tempfile::TempDir;

/// Runs `noctule` with these arguments to its end.
fn run(arguments: &[&str]) -> Ended {
    Running::start(&mut noctule(arguments)).wait(LIMIT)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// The rows that answer a question.
fn ask(store: &Path, sql: &str) -> Vec<Value> {
    let ended = run(&["query", "--store", text(store), "--format", "json", sql]);
    rows(&ended.success())
}

fn rows(ended: &Ended) -> Vec<Value> {
    let out = ended.stdout.trim();
    if out.is_empty() {
        return Vec::new();
    }
    serde_json::from_str(out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

/// The answer to a question, which is one number.
fn number(store: &Path, sql: &str) -> i64 {
    let rows = ask(store, sql);
    let row = rows.first().and_then(Value::as_object).expect("a row");
    let value = row.values().next().and_then(Value::as_i64);
    value.unwrap_or_else(|| panic!("{sql}: {row:?}"))
}

/// Rows as sorted texts, for comparing answers.
fn sorted(rows: &[Value]) -> Vec<String> {
    let mut rows: Vec<String> = rows.iter().map(Value::to_string).collect();
    rows.sort();
    rows
}

/// A store of real captures, two of which belong to one sensor.
struct Captures {
    folder: TempDir,
    store: PathBuf,
}

impl Captures {
    /// Replays captures whose times do not overlap; `None` without the data folder.
    fn new(test: &str) -> Option<Self> {
        let shared = data::folder(test)?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = folder.path().join("store");
        for one in data::telescope(&shared) {
            let name = one
                .capture
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy();
            let sensor: String = name.chars().take_while(|c| *c != '-').collect();
            let sensor = format!("{sensor}-{}", name.len());
            let countries = data::countries(&shared);
            let arguments = [
                "--prefix",
                &one.prefix,
                "--sensor",
                &sensor,
                "--interval",
                "3600",
                "--store",
                text(&store),
                "--country-db",
                text(&countries),
                text(&one.capture),
            ];
            replay(arguments).success();
        }
        Some(Self { folder, store })
    }

    fn rollup(&self, more: &[&str]) -> Ended {
        let mut arguments = vec!["rollup", "--store", text(&self.store)];
        arguments.extend(more);
        run(&arguments)
    }
}

#[test]
fn distinct_sources_by_country_are_those_of_the_captures() {
    let test = "distinct_sources_by_country_are_those_of_the_captures";
    let Some(shared) = data::folder(test) else {
        return;
    };
    for one in data::telescope(&shared) {
        let here = tempfile::tempdir().expect("a temporary folder");
        let store = here.path().join("store");
        let countries = data::countries(&shared);
        let arguments = [
            "--prefix",
            &one.prefix,
            "--store",
            text(&store),
            "--country-db",
            text(&countries),
            text(&one.capture),
        ];
        replay(arguments).success();
        let sql = "SELECT country, COUNT(DISTINCT source4) + COUNT(DISTINCT source6) AS sources \
                   FROM flows GROUP BY country";
        let found: BTreeMap<String, u64> = (ask(&store, sql).iter())
            .map(|row| {
                let country = row["country"].as_str().expect("a country").to_owned();
                (country, row["sources"].as_u64().expect("a count"))
            })
            .collect();
        let expected = &one.expected["sources_by_country"];
        let expected: BTreeMap<String, u64> =
            serde_json::from_value(expected.clone()).expect("counts by country");
        assert_eq!(found, expected, "{}", one.capture.display());
    }
}

#[test]
fn days_add_up_to_their_intervals_in_every_zone() {
    let Some(captures) = Captures::new("days_add_up_to_their_intervals_in_every_zone") else {
        return;
    };
    captures.rollup(&[]).success();
    captures.rollup(&["--timezone", "Asia/Tokyo"]).success();
    for (zone, hours) in [("UTC", 0), ("Asia/Tokyo", 9)] {
        let daily = |sql: &str| {
            let store = text(&captures.store);
            let arguments = [
                "query",
                "--store",
                store,
                "--timezone",
                zone,
                "--format",
                "json",
                sql,
            ];
            sorted(&rows(&run(&arguments).success()))
        };
        // Counted again from interval tables: every row by its own time.
        let day =
            format!("CAST(CAST(interval_start + INTERVAL '{hours} hours' AS DATE) AS VARCHAR)");
        let recount = |sql: &str| sorted(&ask(&captures.store, &sql.replace("DAY", &day)));
        assert_eq!(
            daily(
                "SELECT CAST(date AS VARCHAR) AS date, sensor, protocol, class, port, \
                   SUM(packets) AS packets, SUM(bytes) AS bytes, SUM(sources) AS sources \
                   FROM ports_daily GROUP BY date, sensor, protocol, class, port"
            ),
            recount(
                "WITH p AS (SELECT DAY AS date, sensor, protocol, class, port, \
                       SUM(packets) AS packets, SUM(bytes) AS bytes FROM ports \
                       GROUP BY DAY, sensor, protocol, class, port), \
                     f AS (SELECT DAY AS date, sensor, protocol, class, port, \
                       COUNT(DISTINCT source4) + COUNT(DISTINCT source6) AS sources FROM flows \
                       GROUP BY DAY, sensor, protocol, class, port) \
                     SELECT p.date, p.sensor, p.protocol, p.class, p.port, packets, bytes, sources \
                     FROM p LEFT JOIN f ON p.date = f.date AND p.sensor = f.sensor \
                       AND p.protocol = f.protocol AND p.class = f.class \
                       AND p.port IS NOT DISTINCT FROM f.port"
            ),
            "ports_daily, {zone}"
        );
        assert_eq!(
            daily(
                "SELECT CAST(date AS VARCHAR) AS date, country, \
                   COUNT(DISTINCT source4) + COUNT(DISTINCT source6) AS sources, \
                   SUM(packets) AS packets, MIN(first_seen) AS first, MAX(last_seen) AS last \
                   FROM flows_daily GROUP BY date, country"
            ),
            recount(
                "SELECT DAY AS date, country, \
                     COUNT(DISTINCT source4) + COUNT(DISTINCT source6) AS sources, \
                     SUM(packets) AS packets, \
                     MIN(timestamp_millis(unix_millis(interval_start) + first_ms)) AS first, \
                     MAX(timestamp_millis(unix_millis(interval_start) + first_ms + duration_ms)) AS last \
                     FROM flows GROUP BY DAY, country"
            ),
            "flows_daily, {zone}"
        );
        assert_eq!(
            daily(
                "SELECT CAST(date AS VARCHAR) AS date, sensor, intervals, records, \
                   counted_packets, passed_packets FROM ledger_daily"
            ),
            recount(
                "SELECT DAY AS date, sensor, COUNT(DISTINCT interval_start) AS intervals, \
                     SUM(records) AS records, SUM(counted_packets) AS counted_packets, \
                     SUM(passed_packets) AS passed_packets FROM ledger GROUP BY DAY, sensor"
            ),
            "ledger_daily, {zone}"
        );
    }
}

#[test]
fn a_rollup_is_made_once_and_again_when_its_files_change() {
    let test = "a_rollup_is_made_once_and_again_when_its_files_change";
    let Some(captures) = Captures::new(test) else {
        return;
    };
    captures.rollup(&[]).success();
    let first = store::files(&captures.store);
    let again = captures.rollup(&[]).success();
    assert!(again.stderr.contains("0 days made"), "{}", again.stderr);
    assert!(
        store::files(&captures.store) == first,
        "an idle rollup changed files"
    );

    // Late packets of a sensor's day: another capture of the same time.
    let flows = captures.store.join("flows");
    let (name, _) = (first.iter())
        .find(|(name, _)| name.starts_with("ledger_daily"))
        .expect("a daily ledger");
    let parts: Vec<_> = name
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    let (date, sensor) = (&parts[2], &parts[3]);
    assert!(flows.join(date).join(sensor).is_dir(), "{name:?}");
    let late = fs::read_dir(captures.store.join("ports").join(date).join(sensor))
        .expect("a folder of ports")
        .flatten()
        .next()
        .expect("a file of ports")
        .path();
    let copy = late.with_file_name(
        late.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .replace(".parquet", "late.parquet"),
    );
    fs::copy(&late, &copy).expect("room for a file");
    let made = captures.rollup(&[]).success();
    assert!(made.stderr.contains("1 days made"), "{}", made.stderr);
    fs::remove_file(&copy).expect("a file to remove");
    let made = captures.rollup(&[]).success();
    assert!(made.stderr.contains("1 days made"), "{}", made.stderr);
    assert!(
        store::files(&captures.store) == first,
        "the day is not what it was"
    );

    // A damaged file: its day is left as it is; a day made without it is made again when it is mended.
    let octets = fs::read(&late).expect("a file to read");
    fs::write(&late, &octets[..octets.len() / 2]).expect("room for a file");
    let kept = captures.rollup(&[]).success();
    assert!(kept.stderr.contains("left as it is"), "{}", kept.stderr);
    for table in [
        "flows_daily",
        "research_daily",
        "ports_daily",
        "ledger_daily",
    ] {
        fs::remove_dir_all(captures.store.join(table)).expect("a table to remove");
    }
    captures.rollup(&[]).success();
    fs::write(&late, &octets).expect("room for a file");
    let made = captures.rollup(&[]).success();
    assert!(made.stderr.contains("1 days made"), "{}", made.stderr);
    assert!(
        store::files(&captures.store) == first,
        "the day is not what it was"
    );

    // Days of other settings are made again only with --redo.
    let idle = captures
        .rollup(&["--research-ports", "1", "--research-packets", "1"])
        .success();
    assert!(idle.stderr.contains("0 days made"), "{}", idle.stderr);
    let redo = ["--redo", "--research-ports", "1", "--research-packets", "1"];
    captures.rollup(&redo).success();
    let sql = "SELECT SUM(research_packets) - SUM(packets) FROM ports_daily \
               WHERE class = 'scan' AND protocol IN ('tcp', 'udp')";
    assert_eq!(number(&captures.store, sql), 0);
    drop(captures.folder);
}

#[test]
fn what_cannot_be_used_is_named_and_the_rest_is_answered() {
    let Some(captures) = Captures::new("what_cannot_be_used_is_named_and_the_rest_is_answered")
    else {
        return;
    };
    let sql = "SELECT SUM(packets) AS packets FROM ports";
    let whole = number(&captures.store, sql);
    let ports = store::files(&captures.store);
    let one = (ports.keys().find(|name| name.starts_with("ports"))).expect("a file of ports");
    let folder = captures.store.join(one.parent().unwrap_or(one));
    let octets = &ports[one];
    let flows = (ports.keys().find(|name| name.starts_with("flows"))).expect("a file of flows");
    let broken = [
        (
            "20200101T000000Z-half.parquet",
            octets[..octets.len() / 2].to_vec(),
        ),
        ("20200101T000000Z-empty.parquet", Vec::new()),
        ("20200101T000000Z-other.parquet", ports[flows].clone()),
        ("notes.txt", b"not a table".to_vec()),
    ];
    for (name, content) in &broken {
        fs::write(folder.join(name), content).expect("room for a file");
    }
    let ask = |more: &[&str]| {
        let mut arguments = vec![
            "query",
            "--store",
            text(&captures.store),
            "--format",
            "json",
        ];
        arguments.extend(more);
        arguments.push(sql);
        run(&arguments)
    };
    let ended = ask(&[]).success();
    assert_eq!(rows(&ended)[0]["packets"].as_i64(), Some(whole));
    for (name, _) in &broken {
        assert!(
            ended.stderr.contains(name),
            "{name} is not named: {}",
            ended.stderr
        );
    }
    let strict = ask(&["--strict"]);
    assert_eq!(strict.status.code(), Some(2), "{}", strict.stderr);
    assert_eq!(rows(&strict)[0]["packets"].as_i64(), Some(whole));

    // Changed octets before an intact footer are found by the checksum.
    for (name, _) in &broken {
        fs::remove_file(folder.join(name)).expect("a file to remove");
    }
    let verify = ["store", "verify", "--store", text(&captures.store)];
    let ended = run(&verify).success();
    assert!(ended.stdout.contains(" 0 are not"), "{}", ended.stdout);
    let mut changed = octets.clone();
    changed[octets.len() / 3] ^= 0x10;
    fs::write(captures.store.join(one), changed).expect("room for a file");
    let ended = run(&verify);
    assert_eq!(ended.status.code(), Some(2), "{}", ended.stdout);
    assert!(ended.stderr.contains(text(one)), "{}", ended.stderr);
}

/// Names (digests) of a store's daily files, one for each table, by zone, date and sensor.
fn daily_names(store: &Path) -> BTreeMap<String, Vec<String>> {
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in store::files(store).keys() {
        let path = path.to_string_lossy();
        if let Some((table, rest)) = path.split_once('/')
            && table.ends_with("_daily")
        {
            let (folder, name) = rest.rsplit_once('/').expect("a file in a folder");
            names
                .entry(folder.to_owned())
                .or_default()
                .push(name.to_owned());
        }
    }
    names
}

#[test]
fn a_rollup_that_is_killed_leaves_every_day_old_or_new() {
    const KILLS: u32 = 20;
    let test = "a_rollup_that_is_killed_leaves_every_day_old_or_new";
    let Some(captures) = Captures::new(test) else {
        return;
    };
    let sql = "SELECT SUM(packets) FROM ports";
    let packets = number(&captures.store, sql);
    let began = std::time::Instant::now();
    captures.rollup(&[]).success();
    let whole = began.elapsed();
    let old = daily_names(&captures.store);
    let mut seen = (0, 0);
    for kill in 0..KILLS {
        // With another threshold each time, every day is made again.
        let ports = (100 + kill).to_string();
        let spill = text(captures.folder.path());
        let arguments = [
            "rollup",
            "--spill",
            spill,
            "--redo",
            "--research-ports",
            &ports,
            "--store",
            text(&captures.store),
        ];
        let before = daily_names(&captures.store);
        let mut running = Running::start(&mut noctule(arguments));
        std::thread::sleep(whole * kill / KILLS);
        if running.is_running() {
            running.signal("KILL");
        }
        let _ = running.wait(LIMIT);
        // The next program that opens the store completes a change that was recorded.
        let daily = "SELECT SUM(packets) FROM ports_daily";
        assert_eq!(number(&captures.store, daily), packets, "kill {kill}");
        let after = daily_names(&captures.store);
        assert_eq!(
            after.keys().collect::<Vec<_>>(),
            old.keys().collect::<Vec<_>>(),
            "kill {kill}"
        );
        for (day, names) in &after {
            assert_eq!(names.len(), 4, "{day}: {names:?}");
            assert!(
                names.iter().all(|name| *name == names[0]),
                "{day}: {names:?}"
            );
            if before[day] == *names {
                seen.0 += 1;
            } else {
                seen.1 += 1;
            }
        }
        let verify = ["store", "verify", "--store", text(&captures.store)];
        assert!(run(&verify).success().stdout.contains(" 0 are not"));
    }
    assert!(
        seen.0 > 0 && seen.1 > 0,
        "old {} and new {} days",
        seen.0,
        seen.1
    );
    captures.rollup(&["--redo"]).success();
    assert_eq!(daily_names(&captures.store), old);
}
