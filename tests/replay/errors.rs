//! Every mistake and every fault ends with one line that names the culprit and says what to do.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use noctule_testkit::collector::Collector;
use noctule_testkit::frames::{DARK, DARK_PREFIX, syn, write_syns};
use noctule_testkit::netns;
use noctule_testkit::program::{Ended, LIMIT, Running, binary, noctule, replay};
use noctule_testkit::store::{Account, account};
use noctule_testkit::wire::{DARK_END, SENDER_END, Wire, run};
use noctule_testkit::{data, skipped, wait_until};
use tempfile::TempDir;

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// A folder with a good capture in it.
fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let capture = folder.path().join("good.pcap");
    write_syns(&capture, &[1_700_000_000, 1_700_000_001]);
    (folder, capture)
}

/// Asserts that a run failed with one line that holds all of these.
fn says(ended: &Ended, parts: &[&str]) {
    let error = ended.error();
    for part in parts {
        assert!(error.contains(part), "\"{part}\" is missing in: {error}");
    }
}

/// The same for a replay of a good capture with these arguments.
fn refused(arguments: &[&str], parts: &[&str]) {
    let (_folder, capture) = place();
    let ended = replay([arguments, &[text(&capture)]].concat());
    says(&ended, parts);
    assert_eq!(ended.code(), 1);
    assert!(ended.stdout.is_empty(), "{}", ended.stdout);
}

#[test]
fn the_good_capture_is_good() {
    let (_folder, capture) = place();
    let ended = replay(["--prefix", DARK_PREFIX, text(&capture)]).success();
    assert_eq!(ended.summary().dark_packets, 2);
}

#[test]
fn an_unknown_configuration_key() {
    let (folder, _) = place();
    let config = folder.path().join("noctule.toml");
    fs::write(&config, "prefixes = [\"198.18.0.0/15\"]\nintervall = 60\n").expect("room");
    let name = text(&config);
    refused(
        &["--config", name],
        &[name, "line 2", "`intervall`", "correct it"],
    );
}

#[test]
fn a_configuration_that_is_missing() {
    let (folder, _) = place();
    let config = folder.path().join("nowhere.toml");
    refused(
        &["--config", text(&config)],
        &[text(&config), "No such file"],
    );
}

#[test]
fn prefixes_that_make_no_sense() {
    refused(
        &["--prefix", "198.18.0/15"],
        &["\"198.18.0/15\"", "write ADDRESS/LENGTH"],
    );
    refused(
        &["--prefix", "198.18.1.0/15"],
        &["198.18.1.0/15", "did you mean 198.18.0.0/15"],
    );
    refused(
        &["--prefix", DARK_PREFIX, "--prefix", DARK_PREFIX],
        &[DARK_PREFIX, "more than once", "remove"],
    );
    refused(
        &["--prefix", DARK_PREFIX, "--exclude", "192.0.2.0/24"],
        &["192.0.2.0/24", "outside every included prefix", "remove it"],
    );
    refused(&[], &["no darknet prefix", "--prefix CIDR"]);
}

#[test]
fn settings_out_of_range() {
    let with = |more: &[&str], parts: &[&str]| {
        refused(&[&["--prefix", DARK_PREFIX], more].concat(), parts);
    };
    with(&["--interval", "7"], &["interval is 7 s", "divide 3600"]);
    with(&["--max-flows", "1"], &["max_flows is 1", "between 16 and"]);
    with(&["--workers", "0"], &["workers", "between 1 and 1024"]);
}

#[test]
fn a_command_line_that_is_wrong_shows_how_it_should_be() {
    let mut command = noctule(["replay", "--prefixes", DARK_PREFIX, "x.pcap"]);
    let ended = Running::start(&mut command).wait(LIMIT);
    assert_eq!(ended.code(), 2);
    for part in ["'--prefixes'", "'--prefix'", "Usage: "] {
        assert!(ended.stderr.contains(part), "{}", ended.stderr);
    }
}

#[test]
fn an_interface_that_does_not_exist() {
    let run = ["run", "--prefix", DARK_PREFIX, "--interface", "nosuch0"];
    let ended = Running::start(&mut noctule(run)).wait(LIMIT);
    says(&ended, &["interface nosuch0 does not exist", "`ip link`"]);
    let ended = Running::start(&mut noctule(&run[..3])).wait(LIMIT);
    says(&ended, &["no interface is given", "--interface IF"]);
}

#[test]
fn a_user_without_privileges() {
    let run = ["run", "--prefix", DARK_PREFIX, "--interface", "lo"];
    let mut command = if netns::available() {
        let works = Command::new("setpriv").arg("--version").output();
        if works.is_err() {
            skipped("a_user_without_privileges", "needs setpriv");
            return;
        }
        Command::new("setpriv")
    } else {
        noctule(run)
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    if netns::available() {
        // That user may not look into the folder that the program was built in.
        let copy = folder.path().join("noctule");
        fs::copy(binary(), &copy).expect("room for a copy");
        for path in [folder.path(), &copy] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("own files");
        }
        command
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .args(["--inh-caps=-all", "--"])
            .arg(&copy)
            .args(run);
    }
    let ended = Running::start(&mut command).wait(LIMIT);
    let capabilities = ["cap_net_admin", "cap_net_raw", "cap_bpf", "cap_perfmon"];
    says(&ended, &capabilities);
    says(&ended, &["run it as root", "setcap"]);
}

#[test]
fn a_store_that_cannot_be_written_to() {
    let (folder, capture) = place();
    let file = folder.path().join("file");
    fs::write(&file, "not a folder").expect("room for a file");
    let store = file.join("store");
    let arguments = ["--prefix", DARK_PREFIX, "--store", text(&store)];
    let ended = replay([&arguments[..], &[text(&capture)]].concat());
    says(
        &ended,
        &[text(&store), "Not a directory", "choose a folder"],
    );
    let ended = replay([
        "--prefix",
        DARK_PREFIX,
        "--sensor",
        "Tokyo 1",
        "--store",
        text(folder.path()),
        text(&capture),
    ]);
    says(&ended, &["\"Tokyo 1\"", "small letter"]);
}

#[test]
fn a_country_file_that_is_damaged() {
    let Some(shared) = data::folder("a_country_file_that_is_damaged") else {
        return;
    };
    let (folder, _) = place();
    let whole = fs::read(data::countries(&shared)).expect("the country file");
    let cut = folder.path().join("cut.mmdb");
    fs::write(&cut, &whole[..whole.len() / 2]).expect("room for a file");
    let prefix = ["--prefix", DARK_PREFIX];
    let country = ["--country-db", text(&cut)];
    refused(&[prefix, country].concat(), &[text(&cut)]);
    let missing = folder.path().join("nowhere.mmdb");
    let country = ["--country-db", text(&missing)];
    refused(&[prefix, country].concat(), &[text(&missing)]);
}

#[test]
fn captures_that_are_none() {
    let (folder, capture) = place();
    let bad = folder.path().join("bad.pcap");
    let replay_bad = |content: Option<&[u8]>, parts: &[&str]| {
        match content {
            Some(content) => fs::write(&bad, content).expect("room for a file"),
            None => fs::remove_file(&bad).expect("own file"),
        }
        // Alone, and behind a good one: nothing of either is counted.
        for files in [vec![&bad], vec![&capture, &bad]] {
            let mut arguments = vec!["--prefix", DARK_PREFIX];
            arguments.extend(files.into_iter().map(|file| text(file)));
            let ended = replay(arguments);
            says(&ended, &[text(&bad)]);
            says(&ended, parts);
            assert!(ended.stdout.is_empty(), "{}", ended.stdout);
        }
    };
    replay_bad(Some(b""), &["is empty", "leave it out"]);
    let prose = b"This is a text and not a capture.\n";
    replay_bad(Some(prose), &["is not a capture", "54 68 69 73", "pcapng"]);
    replay_bad(None, &["cannot open capture", "check its name"]);
}

#[test]
fn a_capture_that_is_damaged_counts_up_to_there() {
    let (_folder, capture) = place();
    let name = text(&capture);
    let good = fs::read(&capture).expect("own file");
    // Behind the file's header and one record of 54 octets.
    let second = 24 + 16 + 54;
    let mut damaged = good.clone();
    damaged[second + 8..second + 12].fill(0xff);
    fs::write(&capture, damaged).expect("room for a file");
    let ended = replay(["--prefix", DARK_PREFIX, name]);
    let place = format!("damaged at offset {second}");
    says(
        &ended,
        &[name, &place, "(1 records)", "fetch the file again"],
    );
    assert_eq!(ended.summary().dark_packets, 1);

    fs::write(&capture, &good[..30]).expect("room for a file");
    let ended = replay(["--prefix", DARK_PREFIX, name]);
    says(&ended, &[name, "cut at offset 24", "(0 records)"]);
}

#[test]
fn the_same_capture_given_twice() {
    let (_folder, capture) = place();
    let name = text(&capture);
    let ended = replay(["--prefix", DARK_PREFIX, name, name]);
    says(&ended, &[name, "given twice", "count twice"]);
}

#[test]
fn the_same_capture_given_twice_by_two_names() {
    let (folder, capture) = place();
    let other = folder.path().join("other.pcap");
    symlink(&capture, &other).expect("a link");
    let ended = replay(["--prefix", DARK_PREFIX, text(&capture), text(&other)]);
    says(&ended, &[text(&other), "given twice", "count twice"]);
}

#[test]
fn an_interface_that_has_an_xdp_program() {
    let Some(wire) = Wire::new("an_interface_that_has_an_xdp_program", 1) else {
        return;
    };
    let first = Collector::start(&wire, 1, ["--prefix", DARK_PREFIX]);
    let mut second = wire.at_sensor(text(&binary()));
    second.args(["run", "--prefix", DARK_PREFIX, "--interface", DARK_END]);
    let ended = Running::start(&mut second).wait(LIMIT);
    says(&ended, &[DARK_END, "already has an XDP program"]);
    says(&ended, &["stop the program", "xdp off"]);
    // The first one has not noticed.
    let sent = wire.send((0..100).map(|number| syn(number, DARK, 23)), 10_000);
    wait_until("the frames have arrived", LIMIT, || wire.arrived() >= sent);
    let (ended, _store) = first.stop();
    assert_eq!(ended.success().summary().dark_packets, sent);
}

#[test]
fn an_interface_that_is_down() {
    let Some(wire) = Wire::new("an_interface_that_is_down", 1) else {
        return;
    };
    run(
        &wire.sensor,
        "ip",
        &["link", "set", "dev", DARK_END, "down"],
    );
    let mut command = wire.at_sensor(text(&binary()));
    command.args(["run", "--prefix", DARK_PREFIX, "--interface", DARK_END]);
    let ended = Running::start(&mut command).wait(LIMIT);
    says(&ended, &[DARK_END, "is down", "ip link set dev dark0 up"]);
}

#[test]
fn an_interface_that_goes_away() {
    let Some(wire) = Wire::new("an_interface_that_goes_away", 1) else {
        return;
    };
    let arguments = ["--prefix", DARK_PREFIX, "--interval", "1"];
    let mut collector = Collector::start(&wire, 1, arguments);
    let mut sent = wire.send((0..500).map(|number| syn(number, DARK, 23)), 10_000);
    collector.wait_for(sent);
    sent += wire.send((0..700).map(|number| syn(number, DARK, 80)), 10_000);
    wait_until("the frames have arrived", LIMIT, || wire.arrived() >= sent);
    // One end of a cable cannot be without the other.
    run(&wire.sender, "ip", &["link", "del", "dev", SENDER_END]);
    let (ended, store) = collector.end();
    says(&ended, &["interface dark0 went away", "start again"]);
    assert_eq!(ended.code(), 1);
    let summary = ended.summary();
    assert_eq!(summary.dark_packets, sent);
    let expected = Account {
        matched: sent as i64,
        counted: sent as i64,
        lost: 0,
        passed: 0,
    };
    assert_eq!(account(&store.ledger()), expected);
}
