//! tshark: what another program's dissectors read in the headers of a capture.

use std::path::Path;
use std::process::Command;

use crate::program::{LIMIT, Running};

/// The fields asked for.
const FIELDS: [&str; 41] = [
    "frame.number",
    "frame.protocols",
    "mpls.label",
    "ip.hdr_len",
    "ip.len",
    "ip.frag_offset",
    "ip.proto",
    "ip.src",
    "ip.dst",
    "ipv6.nxt",
    "ipv6.src",
    "ipv6.dst",
    "ipv6.hopopts.nxt",
    "ipv6.routing.nxt",
    "ipv6.fraghdr.nxt",
    "ipv6.fraghdr.offset",
    "ipv6.dstopts.nxt",
    "ah.next_header",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.hdr_len",
    "tcp.flags.syn",
    "tcp.flags.ack",
    "tcp.flags.reset",
    "tcp.flags.fin",
    "udp.srcport",
    "udp.dstport",
    "udp.length",
    "udp.payload",
    "dns.flags.response",
    "icmp.type",
    "icmp.code",
    "icmpv6.type",
    "icmpv6.code",
    "frame.time_epoch",
    "ip.ttl",
    "ip.id",
    "ip.flags.rb",
    "tcp.flags",
    "tcp.seq",
    "tcp.window_size_value",
];

/// Each packet by itself, as it was captured: nothing put together, followed or verified.
const PREFERENCES: [&str; 10] = [
    "ip.defragment:FALSE",
    "ip.check_checksum:FALSE",
    "ip.try_heuristic_first:FALSE",
    "ipv6.defragment:FALSE",
    "tcp.check_checksum:FALSE",
    "tcp.desegment_tcp_streams:FALSE",
    "tcp.analyze_sequence_numbers:FALSE",
    "tcp.try_heuristic_first:FALSE",
    "udp.check_checksum:FALSE",
    "udp.try_heuristic_first:FALSE",
];

/// One frame of a capture as tshark reads it.
#[derive(Clone, Debug)]
pub struct Frame(Vec<String>);

impl Frame {
    /// A field's values, outermost header first.
    ///
    /// # Panics
    /// The field is not among those asked for.
    pub fn all(&self, field: &str) -> Vec<&str> {
        let place = FIELDS.iter().position(|&name| name == field);
        let place = place.unwrap_or_else(|| panic!("{field} is not asked for"));
        let values = self.0.get(place).map_or("", String::as_str);
        values
            .split(',')
            .filter(|value| !value.is_empty())
            .collect()
    }

    /// A field's value in the outermost header that has it.
    pub fn first(&self, field: &str) -> Option<&str> {
        self.all(field).first().copied()
    }

    /// The same as a number; flags are 0 and 1.
    ///
    /// # Panics
    /// The value is not a number.
    pub fn number(&self, field: &str) -> Option<u64> {
        self.first(field).map(|text| number(field, text))
    }

    /// The number in the header of this kind that comes as number `place`, from 0.
    ///
    /// # Panics
    /// The value is not a number.
    pub fn nth(&self, field: &str, place: usize) -> Option<u64> {
        self.all(field).get(place).map(|text| number(field, text))
    }
}

fn number(field: &str, text: &str) -> u64 {
    // Newer releases write flags as words.
    match text {
        "True" => return 1,
        "False" => return 0,
        _ => {}
    }
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.unwrap_or_else(|error| panic!("{field} is {text:?}: {error}"))
}

/// Which tshark there is; without one says that `test` is skipped.
pub fn version(test: &str) -> Option<String> {
    let Ok(output) = Command::new("tshark").arg("--version").output() else {
        crate::skipped(test, "needs tshark");
        return None;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines().next().map(str::to_owned)
}

/// Every frame of a capture, and whether the capture is cut.
///
/// # Panics
/// tshark refuses the capture as a whole, a field, or a preference.
pub fn read(capture: &Path) -> (Vec<Frame>, bool) {
    let mut command = Command::new("tshark");
    command.arg("-n").arg("-r").arg(capture);
    command.args(["-T", "fields", "-E", "occurrence=a"]);
    command.args(["-E", "separator=/t", "-E", "aggregator=,"]);
    command.args(PREFERENCES.iter().flat_map(|&one| ["-o", one]));
    command.args(FIELDS.iter().flat_map(|&one| ["-e", one]));
    let ended = Running::start(&mut command).wait(LIMIT);
    let complaints = ended.lines("tshark: ");
    let cut = (complaints.iter()).any(|said| said.contains("cut short in the middle of a packet"));
    assert!(ended.status.success() || cut, "{ended:?}");
    let lines = ended.stdout.lines();
    let frames = lines.map(|line| Frame(line.split('\t').map(str::to_owned).collect()));
    (frames.collect(), cut)
}
