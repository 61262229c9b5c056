//! Tests of the reader with captures from other sources: real traffic, and files that break
//! readers.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::CaptureReader;
use super::tests::drain;

/// The folder of captures that others made; without it writes that `test` is skipped.
fn data(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("NOCTULE_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    if folder.is_dir() {
        return Some(folder);
    }
    let line = format!("SKIPPED {test}: no folder {}\n", folder.display());
    let _ = std::io::stderr().write_all(line.as_bytes());
    None
}

/// What tshark 4.0 finds in each file: records, octets captured, octets on the wire, time of the
/// last record in microseconds; and whether the file is cut inside a record. Custom blocks,
/// which tshark lists as records too, are left out, and a simple packet block has the time of the
/// packet before it. Of one file, tshark lists the zeros at its end as 14 more records.
const REAL: &str = "
hard/pcap-header-only.pcap 0 0 0 0 whole
hard/pcap-modified-kuznetzov.pcap 1 98 98 1712763541734807 whole
hard/pcap-nano-big-endian.pcap 10 2198 2198 1766361926168451 whole
hard/pcap-trailing-partial-record.pcap 1 200 282 1598792366561863 cut
hard/pcapng-be-test102.pcapng 5 798 1480 1340954905301858 whole
hard/pcapng-mixed-endian-test202.pcapng 8 1040 2304 1340954905301858 whole
hard/pcapng-tsresol-test902.pcapng 1 314 314 1519128000195312 whole
hard/tcpdump-802.1ad_QinQ.pcap 2 128 128 1575842394599680 whole
hard/tcpdump-bgp_vpn_rt-oobr.pcap 24 255 524288 254000000 tail
hard/tcpdump-heap-overflow-1.pcap 1 1 262144 808464432999999 whole
hard/tcpdump-ipv4_invalid_hdr_length.pcap 1 98 98 1692953864621711 whole
hard/tcpdump-ipv4_invalid_length.pcap 1 33 33 1692975445640485 whole
hard/tcpdump-ipv4_invalid_total_length_2.pcap 1 98 98 1692953864621711 whole
hard/tcpdump-ipv6_39_byte_header.pcap 1 39 118 1692948659044880 whole
hard/tcpdump-ipv6_jumbogram_1.pcap 1 65590 65590 1659344995627421 whole
hard/tcpdump-pptp.pcap 23 2072 2072 954147396347775 whole
hard/tcpdump-tcp-handshake-nano.pcap 3 220 220 1418145370052115 whole
hard/tcpdump-tcp_header_heapoverflow.pcap 1 46 262144 808464432999999 whole
hard/tcpdump-udp-length-heapoverflow.pcap 1 38 262144 808464432999999 whole
hard/zeek-gre-within-gre.pcap 628 101664 101664 1341436466584264 whole
hard/zeek-ip-bogus-header-len.pcap 1 60 60 1622130530134967 whole
hard/zeek-ip-discarder-truncated-tcp-oob.pcapng 1 34 54 1 whole
hard/zeek-ipv4-truncated-broken-header.pcap 1 34 34 1508360735834163 whole
hard/zeek-ipv6-reassembly-state-leak.pcap 92 137496 137496 92000000 whole
hard/zeek-mixed-vlan-mpls.pcap 47 16403 16403 1278600802074822 whole
hard/zeek-pppoe-over-qinq.pcap 86 40864 40864 1523351676615704 whole
hard/zeek-trunc-hdr.pcap 1 8 78 1404148886981015 whole
hard/zeek-vlan-qinqinq.pcap 14 6255 6255 1362692527080972 whole
telescope/backscatter-2009-slash23.pcap 4771 287044 287044 1237193070370936 whole
telescope/mirai-two-syns-2020.pcap 2 120 120 1604842672903303 whole
telescope/sensor-spoofed-storm-2024-rawip.pcap 5170 280156 280156 1724074929979082 whole
telescope/synack-reflection-2021.pcap 8000 515475 515475 1622865525697945 whole
telescope/synflood-spoofed-2021.pcap 37841 2270460 2270460 1619605844783363 whole
";

#[test]
fn real_captures_give_every_record() {
    let Some(data) = data("real_captures_give_every_record") else {
        return;
    };
    for line in REAL.trim().lines() {
        let (name, expected) = line.split_once(' ').unwrap();
        let mut reader = CaptureReader::open(&data.join("pcaps").join(name)).unwrap();
        let (samples, problem) = drain(&mut reader, true);
        let found = format!(
            "{} {} {} {} {}",
            samples.len(),
            samples.iter().map(|s| s.bytes.len()).sum::<usize>(),
            samples.iter().map(|s| u64::from(s.wire_bytes)).sum::<u64>(),
            samples.last().map_or(0, |s| s.time_us),
            match problem {
                None => "whole".to_owned(),
                Some(problem) if problem.is_cut() => "cut".to_owned(),
                Some(problem) if problem.is_tail() => "tail".to_owned(),
                Some(problem) => problem.to_string(),
            }
        );
        assert_eq!(found, expected, "{name}");
    }
}
