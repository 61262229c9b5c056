//! The log line about a replay's FlowTuple files.

use std::path::Path;

use noctule_engine::flowtuple::FlowTupleCounts;

use super::text::{grouped, several};

/// Logs which packets are in the FlowTuple files of `folder`, and which are not.
pub fn log_flowtuples(counts: &FlowTupleCounts, folder: &Path) {
    let text = sentence(counts, folder);
    if counts.unfinished > 0 {
        log::warn!(
            "{text}; {} packets of intervals that had not ended are in no file, because the replay was stopped",
            grouped(counts.unfinished)
        );
    } else {
        log::info!("{text}");
    }
}

fn sentence(counts: &FlowTupleCounts, folder: &Path) -> String {
    let all = if counts.unfinished > 0 {
        ""
    } else {
        ", all of them,"
    };
    let mut text = format!(
        "FlowTuples: {} dark IPv4 packets{all} in {} of {} in {}",
        grouped(counts.packets),
        several(counts.rows, "record"),
        several(counts.files, "file"),
        folder.display()
    );
    if counts.ipv6 > 0 {
        text.push_str(&format!(
            "; without {}, since the format has IPv4 only",
            several(counts.ipv6, "dark IPv6 packet")
        ));
    }
    if counts.displaced > 0 {
        text.push_str(&format!(
            "; {} in another interval than its own, late or beyond a jump in time",
            several(counts.displaced, "packet")
        ));
    }
    if counts.splits > 0 {
        text.push_str(&format!(
            "; the table was full {}, so that a FlowTuple may have several records in an interval: --max-flows enlarges the table",
            several(counts.splits, "time")
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_that_are_in_no_file_are_reported() {
        let counts = FlowTupleCounts {
            packets: 1_234_567,
            rows: 1,
            files: 2,
            ..FlowTupleCounts::default()
        };
        let text = |counts: &FlowTupleCounts| sentence(counts, Path::new("out"));
        assert_eq!(
            text(&counts),
            "FlowTuples: 1,234,567 dark IPv4 packets, all of them, in 1 record of 2 files in out"
        );
        let text = text(&FlowTupleCounts {
            ipv6: 4,
            displaced: 5,
            splits: 6,
            unfinished: 7,
            ..counts
        });
        for part in [
            "4 dark IPv6 packets",
            "5 packets in another interval",
            "full 6 times",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("all of them"), "{text}");
    }
}
