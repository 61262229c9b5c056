//! Prefixes and excludes from files, as databases write them.

use std::fs;
use std::path::Path;

use noctule_packet::link::LinkType;
use noctule_testkit::frames::{Frame, syn, write};
use noctule_testkit::program::{Ended, replay};

/// Replays a packet each to 198.18.0.5, 198.18.3.5, 198.19.0.5 and 203.0.113.5.
fn run(folder: &Path, arguments: &[&str]) -> Ended {
    let capture = folder.join("good.pcap");
    let destinations = [
        [198, 18, 0, 5],
        [198, 18, 3, 5],
        [198, 19, 0, 5],
        [203, 0, 113, 5],
    ];
    let frames: Vec<Frame> = (destinations.into_iter().zip(0..))
        .map(|(destination, number)| Frame {
            time_us: 1_700_000_000_000_000 + i64::from(number),
            link: LinkType::Ethernet,
            octets: syn(number, destination.into(), 23),
        })
        .collect();
    write(&capture, &frames);
    let capture = capture.display().to_string();
    replay([arguments, &[&capture]].concat())
}

#[test]
fn repeats_and_strangers_are_told_and_harmless() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let list = folder.path().join("exclude.txt");
    let text = "# made by a database, twice a day\n198.18.3.0/24\n198.18.3.0/24\n198.19.0.0/24\n";
    let name = list.display().to_string();
    for text in [text.to_owned(), text.replace('\n', "\r\n")] {
        fs::write(&list, text).expect("room for a file");
        let arguments = ["--prefix", "198.18.0.0/16", "--exclude-file", &name];
        let ended = run(folder.path(), &arguments).success();
        assert_eq!(ended.summary().dark_packets, 1);
        let told = ended.lines("noctule: warning: exclude file");
        assert_eq!(told.len(), 1, "{}", ended.stderr);
        for part in [
            "3 prefixes",
            "1 repeated (such as 198.18.3.0/24)",
            "1 outside the darknet (such as 198.19.0.0/24)",
        ] {
            assert!(told[0].contains(part), "{}", told[0]);
        }
    }
}

#[test]
fn files_and_lists_in_the_configuration_add_up() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("prefixes"), "198.18.0.0/16\n203.0.113.5\n").expect("room for a file");
    fs::write(path("excludes"), "198.18.0.0/24\n").expect("room for a file");
    let text = format!(
        "prefixes = [\"198.19.0.0/16\"]\nexclude = [\"198.18.3.0/24\"]\nprefixes_file = \"{}\"\nexclude_file = \"{}\"\n",
        path("prefixes"),
        path("excludes")
    );
    fs::write(path("noctule.toml"), text).expect("room for a file");
    let config = path("noctule.toml");
    let ended = run(folder.path(), &["--config", &config]).success();
    assert_eq!(ended.summary().dark_packets, 2);
    // Flags go over the configuration file.
    fs::write(path("other"), "198.18.3.5\n").expect("room for a file");
    let other = path("other");
    let flags = ["--config", &config, "--exclude-file", &other];
    assert_eq!(
        run(folder.path(), &flags).success().summary().dark_packets,
        3
    );
}

#[test]
fn a_bad_line_is_named_with_its_file_and_a_cure() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let list = folder.path().join("list.txt");
    let name = list.display().to_string();
    for (text, parts) in [
        (
            "198.18.3.0/24\n198.18.3.0/33\n",
            ["line 2", "ADDRESS/LENGTH"],
        ),
        (
            "\n\n198.18.3.0/24,JP\n",
            ["line 3", "one prefix or address"],
        ),
        ("198.18.3.7/24\n", ["line 1", "did you mean 198.18.3.0/24?"]),
    ] {
        fs::write(&list, text).expect("room for a file");
        for flag in ["--exclude-file", "--prefixes-file"] {
            let ended = run(folder.path(), &["--prefix", "198.18.0.0/16", flag, &name]);
            let error = ended.error();
            assert!(error.contains("list.txt"), "{error}");
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        }
    }
    fs::write(&list, "# nothing yet\n").expect("room for a file");
    let ended = run(folder.path(), &["--prefixes-file", &name]);
    assert!(
        ended.error().contains("no darknet prefix"),
        "{}",
        ended.error()
    );
    let ended = run(folder.path(), &["--prefixes-file", "no/such/file"]);
    assert!(
        ended.error().contains("prefixes file no/such/file"),
        "{}",
        ended.error()
    );
}
