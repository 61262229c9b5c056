//! Tests of rule files: the shipped one, what an operator can add, and what is refused.

use proptest::prelude::*;

use super::expression::fold;
use super::*;
use crate::cell::Class;

pub(super) fn probe_of(change: impl Fn(&mut [u8; 20], &mut Vec<u8>)) -> ([u8; 20], Vec<u8>) {
    let mut ip = [0; 20];
    ip[0] = 0x45;
    ip[12..16].copy_from_slice(&[9, 9, 9, 9]);
    ip[16..20].copy_from_slice(&[198, 18, 3, 4]);
    let mut tcp = vec![
        0x9c, 0x40, 0, 23, 0, 0, 0, 7, 0, 0, 0, 0, 0x50, 2, 0x72, 0x10, 0, 0, 0, 0,
    ];
    change(&mut ip, &mut tcp);
    (ip, tcp)
}

pub(super) fn names(rules: &Rules, change: impl Fn(&mut [u8; 20], &mut Vec<u8>)) -> Vec<String> {
    let (ip, tcp) = probe_of(change);
    let matches = rules.match_probe(&Probe::new(&ip, &tcp).unwrap());
    matches
        .places()
        .map(|place| rules.fingerprints[place].name.clone())
        .collect()
}

fn window(tcp: &mut [u8], window: u16) {
    tcp[14..16].copy_from_slice(&window.to_be_bytes());
}

fn options(tcp: &mut Vec<u8>, options: &[u8]) {
    tcp.truncate(20);
    tcp.extend(options);
    tcp[12] = (5 + options.len() as u8 / 4) << 4;
}

const MSS: [u8; 4] = [2, 4, 5, 0xb4];

fn masscan(ip: &mut [u8; 20], tcp: &[u8]) {
    let mixed = 0xc612_0304u32 ^ u32::from(u16::from_be_bytes([tcp[2], tcp[3]])) ^ 7;
    ip[4..6].copy_from_slice(&(mixed as u16).to_be_bytes());
}

#[test]
fn each_shipped_rule_matches_its_own_tool() {
    let rules = Rules::shipped();
    assert!(names(&rules, |_, _| {}).is_empty());
    let found = names(&rules, |_, tcp| tcp[4..8].copy_from_slice(&[198, 18, 3, 4]));
    assert_eq!(found, ["mirai", "mirai-precursor"]);
    let found = names(&rules, |ip, _| {
        ip[4..6].copy_from_slice(&54_321u16.to_be_bytes());
    });
    assert_eq!(found, ["zmap"]);
    assert_eq!(names(&rules, |ip, tcp| masscan(ip, tcp)), ["masscan"]);
    let found = names(&rules, |ip, tcp| {
        window(tcp, 1024);
        masscan(ip, tcp);
    });
    assert_eq!(found, ["masscan", "masscan-to-1.3.2"]);
    let found = names(&rules, |ip, tcp| {
        window(tcp, 1025);
        options(tcp, &MSS);
        masscan(ip, tcp);
    });
    assert_eq!(found, ["masscan", "masscan-from-2023-11"]);
    let found = names(&rules, |_, tcp| {
        window(tcp, 1024);
        options(tcp, &MSS);
    });
    assert_eq!(found, ["nmap-syn"]);
    let layouts: [&[u8]; 4] = [
        &MSS,
        &[2, 4, 5, 0xb4, 1, 3, 3, 8, 1, 1, 4, 2],
        &[
            2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 3, 7,
        ],
        &[
            2, 4, 5, 0xb4, 1, 3, 3, 6, 1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 4, 2, 0, 0,
        ],
    ];
    for layout in layouts {
        let zmap = |fragment: u8| {
            names(&rules, |ip, tcp| {
                ip[6] = fragment;
                window(tcp, 65_535);
                options(tcp, layout);
            })
        };
        assert_eq!(zmap(0), ["zmap-4.1"], "{layout:?}");
        assert!(zmap(0x40).is_empty(), "with DF it is an ordinary host");
    }
}

#[test]
fn a_wrong_data_offset_does_not_hide_mirai() {
    let rules = Rules::shipped();
    let found = names(&rules, |_, tcp| {
        tcp[4..8].copy_from_slice(&[198, 18, 3, 4]);
        tcp[12] = 0x60;
    });
    assert_eq!(found, ["mirai", "mirai-precursor"]);
}

#[test]
fn a_cut_header_matches_only_what_it_shows() {
    let rules = Rules::shipped();
    let found = names(&rules, |ip, tcp| {
        window(tcp, 1024);
        masscan(ip, tcp);
        tcp.truncate(14);
    });
    assert_eq!(found, ["masscan"], "the window was cut off");
}

#[test]
fn expressions_are_constant_over_their_tools_packets() {
    let rules = Rules::shipped();
    let value = |name: &str, seq: u32, to: u32, port: u16| {
        let (ip, tcp) = probe_of(|ip, tcp| {
            ip[16..20].copy_from_slice(&to.to_be_bytes());
            tcp[2..4].copy_from_slice(&port.to_be_bytes());
            tcp[4..8].copy_from_slice(&seq.to_be_bytes());
        });
        let (_, rule) = rules.find(name).unwrap();
        rule.value(&Probe::new(&ip, &tcp).unwrap()).unwrap()
    };
    let nmap = |n: u32| value("nmap-syn", ((n ^ 0x5a5a) << 16) | n, 5, 80);
    assert_eq!((nmap(1), nmap(77)), (0x5a5a, 0x5a5a));
    let ports = |port: u16| (u32::from(port) << 16) + 40_000;
    let unicorn =
        |to: u32, port: u16| value("unicornscan", 0x1234_5678 ^ to ^ ports(port), to, port);
    assert_eq!(
        (unicorn(1, 80), unicorn(99, 443)),
        (0x1234_5678, 0x1234_5678)
    );
    let swapped = |to: u32, port: u16| {
        value(
            "unicornscan-swapped",
            0x1234_5678 ^ to.swap_bytes() ^ ports(port),
            to,
            port,
        )
    };
    assert_eq!(
        (swapped(1, 80), swapped(99, 443)),
        (0x1234_5678, 0x1234_5678)
    );
}

#[test]
fn classes_are_those_of_counting_rule_4() {
    let rules = Rules::shipped();
    for flags in 0..=255u8 {
        let has = |bit: u8| flags & bit != 0;
        let expected = match (has(2), has(16), has(4), has(1)) {
            (true, true, _, _) | (_, _, true, _) => Class::Backscatter,
            (true, false, false, false) => Class::Scan,
            _ => Class::Other,
        };
        assert_eq!(rules.tcp_class(flags), expected, "{flags:#x}");
    }
    let of = |class, table: &dyn Fn(u8) -> Class| {
        (0..=255u8)
            .filter(|&t| table(t) == class)
            .collect::<Vec<_>>()
    };
    let icmp = |kind| rules.icmp_class(kind);
    assert_eq!(
        of(Class::Backscatter, &icmp),
        [0, 3, 4, 5, 11, 12, 14, 16, 18]
    );
    assert_eq!(of(Class::Scan, &icmp), [8, 13, 15, 17]);
    let icmpv6 = |kind| rules.icmpv6_class(kind);
    assert_eq!(of(Class::Backscatter, &icmpv6), [1, 2, 3, 4, 129]);
    assert_eq!(of(Class::Scan, &icmpv6), [128]);
}

#[test]
fn dns_answers_by_the_response_bit() {
    let rules = Rules::shipped();
    assert_eq!(rules.udp_class(53, 40, &[0, 0, 0x81]), Class::Backscatter);
    assert_eq!(rules.udp_class(53, 40, &[0, 0, 1]), Class::Scan);
    assert_eq!(
        rules.udp_class(53, 40, &[0, 0]),
        Class::Backscatter,
        "cut before the bit"
    );
    assert_eq!(rules.udp_class(53, 40, &[]), Class::Backscatter);
    assert_eq!(
        rules.udp_class(53, 10, &[0, 0, 0x80]),
        Class::Scan,
        "two octets are no answer"
    );
    assert_eq!(rules.udp_class(53, 11, &[0, 0, 0x80]), Class::Backscatter);
    assert_eq!(rules.udp_class(1234, 40, &[0, 0, 0x81]), Class::Scan);
}

/// A request and an answer for each reflection port, as the protocols' documents give them.
#[test]
fn reflection_ports_tell_answers_from_requests() {
    let rules = Rules::shipped();
    let snmp = |form: &[u8], pdu: u8| [form, &[2, 1, 1, 4, 6], b"public", &[pdu, 1, 0]].concat();
    let memcached = |text: &[u8]| [&[0, 1, 0, 0, 0, 1, 0, 0], text].concat();
    let ldap = |form: &[u8], operation: u8| [form, &[2, 1, 7, operation, 0]].concat();
    let quake = |text: &[u8]| [&[0xff; 4], text].concat();
    let cases: Vec<(u16, Vec<u8>, Option<Vec<u8>>)> = vec![
        (17, b"a quotation".to_vec(), None),
        (19, b" !\"#$%&".to_vec(), None),
        (53, vec![0, 1, 0x81, 0x80], Some(vec![0, 1, 1, 0])),
        (
            111,
            vec![0, 0, 0, 9, 0, 0, 0, 1],
            Some(vec![0, 0, 0, 9, 0, 0, 0, 0]),
        ),
        (123, vec![0x24, 1], Some(vec![0x23, 0])),
        (123, vec![0xd7, 0, 3, 42], Some(vec![0x17, 0, 3, 42])),
        (123, vec![0x16, 0x82], Some(vec![0x16, 2])),
        (137, vec![0, 1, 0x84], Some(vec![0, 1, 0])),
        (161, snmp(&[0x30, 20], 0xa2), Some(snmp(&[0x30, 20], 0xa5))),
        (
            161,
            snmp(&[0x30, 0x81, 200], 0xa2),
            Some(snmp(&[0x30, 0x81, 200], 0xa0)),
        ),
        (
            161,
            snmp(&[0x30, 0x82, 5, 1], 0xa2),
            Some(snmp(&[0x30, 0x82, 5, 1], 0xa1)),
        ),
        (389, ldap(&[0x30, 9], 0x65), Some(ldap(&[0x30, 9], 0x63))),
        (
            389,
            ldap(&[0x30, 0x84, 0, 0, 5, 1], 0x64),
            Some(ldap(&[0x30, 0x84, 0, 0, 5, 1], 0x63)),
        ),
        (520, vec![2, 2], Some(vec![1, 2])),
        (
            1900,
            b"HTTP/1.1 200 OK".to_vec(),
            Some(b"M-SEARCH * HTTP/1.1".to_vec()),
        ),
        (3283, vec![0, 1, 3, 0xea], Some(vec![0, 0x14, 0, 0])),
        (3702, b"<?xml".to_vec(), Some(b"\r\n".to_vec())),
        (
            5060,
            b"SIP/2.0 404".to_vec(),
            Some(b"OPTIONS sip:".to_vec()),
        ),
        (5353, vec![0, 0, 0x84], Some(vec![0, 0, 0])),
        (5683, vec![0x60, 0x45], Some(vec![0x40, 1])),
        (10_001, vec![1, 0, 0, 9, 2], Some(vec![1, 0, 0, 0])),
        (11_211, memcached(b"VALUE a"), Some(memcached(b"get a"))),
        (11_211, vec![0, 1, 0, 2, 0, 9, 0, 0, b'x'], None),
        (27_015, quake(b"I"), Some(quake(b"TSource"))),
        (27_960, quake(b"statusResponse"), Some(quake(b"getstatus"))),
    ];
    for (port, answer, request) in &cases {
        let class = |payload: &[u8]| rules.udp_class(*port, payload.len() as u16 + 8, payload);
        assert_eq!(class(answer), Class::Backscatter, "port {port}");
        if let Some(request) = request {
            assert_eq!(class(request), Class::Scan, "port {port}");
        }
        assert_eq!(class(&[]), Class::Scan, "port {port}: nothing is no answer");
    }
    for rule in rules.reflections() {
        assert!(
            cases.iter().any(|(port, ..)| *port == rule.port),
            "port {} is not tested",
            rule.port
        );
    }
}

/// A rule that fixes 16 bits matches one random probe in 65,536.
#[test]
fn accidental_matches_are_as_rare_as_chance_says() {
    let rules = Rules::shipped();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    const PROBES: u32 = 4_000_000;
    let mut found = vec![0u32; rules.fingerprints().len()];
    for _ in 0..PROBES {
        let mut ip = [0; 20];
        let mut tcp = [0; 20];
        for chunk in ip.chunks_mut(8).chain(tcp.chunks_mut(8)) {
            let random = random().to_be_bytes();
            chunk.copy_from_slice(&random[..chunk.len()]);
        }
        (tcp[12], tcp[13]) = (0x50, 2);
        let matches = rules.match_probe(&Probe::new(&ip, &tcp).unwrap());
        matches.places().for_each(|place| found[place] += 1);
    }
    for (rule, found) in rules.fingerprints().iter().zip(found) {
        if rule.when.is_none() {
            assert_eq!(found, 0);
            continue;
        }
        let expected = f64::from(PROBES) / 2f64.powi(rule.chance_bits as i32);
        // Six standard deviations of a Poisson count, and at least one match either way.
        let margin = 6.0 * expected.sqrt() + 1.0;
        let off = (f64::from(found) - expected).abs();
        assert!(
            off <= margin,
            "{}: {found} matches, {expected:.1} expected",
            rule.name
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Compiled and plain conditions have the same results.
    #[test]
    fn judging_is_evaluating_every_rule(
        ip: [u8; 20],
        mut tcp in proptest::collection::vec(any::<u8>(), 14..44),
        like in 0..6,
    ) {
        let rules = Rules::shipped();
        tcp[13] = 2;
        match like {
            0 => tcp[4..8].copy_from_slice(&ip[16..20]),
            1 if tcp.len() > 20 => window(&mut tcp, 1024),
            2 if tcp.len() > 20 => window(&mut tcp, 65_535),
            3 => options(&mut tcp, &MSS),
            _ => {}
        }
        let probe = Probe::new(&ip, &tcp).unwrap();
        let matches = rules.match_probe(&probe);
        for (place, rule) in rules.fingerprints().iter().enumerate() {
            let matched = matches.bits >> place & 1 == 1;
            prop_assert_eq!(matched, rule.matches(&probe), "{}", rule.name);
            if let (true, Carried::WithHits(number)) = (matched, rule.carried) {
                prop_assert_eq!(Some(matches.constants.get(number)), rule.value(&probe).map(fold));
            }
            if let Carried::InFlows(number) = rule.carried {
                prop_assert_eq!(Some(matches.slots.get(number)), rule.value(&probe).map(fold));
            }
        }
    }
}
