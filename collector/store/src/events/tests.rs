//! Tests of events: kinds of traffic, silence, estimates, lines, and a model over packets.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::cell::{Cell, Class};

const START: i64 = 1_700_000_040_000_000;
const MINUTE_US: i64 = 60_000_000;
/// Twelve destinations or so.
const MANY: u64 = 0x7ff;

fn row(interval: i64, first_ms: u32, duration_ms: u32) -> EventRow {
    EventRow {
        source: Ipv4Addr::from_bits(0x0102_0304).into(),
        port: 23,
        traffic: Traffic::TcpSyn,
        interval_start_us: START + interval * MINUTE_US,
        first_ms,
        duration_ms,
        packets: 20,
        bytes: 800,
        destinations: MANY,
        country: Country::from_code("JP"),
        asn: Some(64_500),
        hits: [0; 3],
    }
}

/// Events of these rows; what was observed ends two hours after the start.
fn events(rows: &[EventRow]) -> (Vec<Event>, Ignored) {
    let mut events = Events::new(Settings::default(), START + 120 * MINUTE_US);
    let mut found = Vec::new();
    for row in rows {
        found.extend(events.push(row).unwrap());
    }
    let (last, ignored) = events.finish().unwrap();
    found.extend(last);
    (found, ignored)
}

#[test]
fn an_event_lasts_until_a_silence() {
    // From the first row's last packet, at 59 s, 624 s pass until 683 s = 11 min 23 s.
    let joined = [row(0, 1_000, 58_000), row(11, 23_000, 2_000)];
    let (found, ignored) = events(&joined);
    assert_eq!((found.len(), ignored), (1, Ignored::default()));
    let event = &found[0];
    let text = |time: &Timestamp| time.to_string();
    assert_eq!(text(&event.first), "2023-11-14T22:14:01Z");
    assert_eq!(text(&event.last), "2023-11-14T22:25:25Z");
    assert_eq!((event.packets, event.bytes), (40, 1600));

    let apart = [row(0, 1_000, 58_000), row(11, 23_001, 2_000)];
    let (found, _) = events(&apart);
    let spans: Vec<_> = (found.iter())
        .map(|event| (text(&event.first), text(&event.last), event.packets))
        .collect();
    let expected = [
        ("2023-11-14T22:14:01Z", "2023-11-14T22:14:59Z", 20),
        ("2023-11-14T22:25:23.001Z", "2023-11-14T22:25:25.001Z", 20),
    ];
    assert_eq!(
        spans,
        expected.map(|(a, b, n)| (a.to_owned(), b.to_owned(), n))
    );
}

#[test]
fn source_port_and_traffic_tell_events_apart() {
    let base = row(0, 0, 0);
    let rows = [
        base,
        EventRow {
            traffic: Traffic::TcpOther,
            ..base
        },
        EventRow { port: 80, ..base },
        EventRow {
            source: Ipv4Addr::from_bits(0x0102_0305).into(),
            ..base
        },
        EventRow {
            source: Ipv6Addr::from_bits(1).into(),
            ..base
        },
    ];
    let (found, _) = events(&rows);
    assert_eq!(found.len(), 5);
    assert_eq!(found[4].source.to_string(), "::1");
    // A row twice, or several of one interval, belong to one event.
    let later = EventRow {
        first_ms: 5_000,
        ..base
    };
    let (found, _) = events(&[later, base, base]);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].packets, found[0].first.to_string().as_str()),
        (60, "2023-11-14T22:14:00Z")
    );
}

#[test]
fn rows_out_of_order_are_refused() {
    let base = row(1, 0, 0);
    for earlier in [
        row(0, 0, 0),
        EventRow { port: 22, ..base },
        EventRow {
            source: Ipv4Addr::from_bits(1).into(),
            ..base
        },
        EventRow {
            traffic: Traffic::IcmpOther,
            ..base
        },
    ] {
        let mut events = Events::new(Settings::default(), START);
        events.push(&base).unwrap();
        let error = events.push(&earlier).unwrap_err();
        assert!(error.to_string().contains("out of order"), "{error}");
    }
}

#[test]
fn few_destinations_make_no_event_but_are_counted() {
    // Nine bits are ten destinations, rounded; eight are nine.
    let of = |bits: u32| EventRow {
        destinations: (1 << bits) - 1,
        ..row(0, 0, 0)
    };
    let (found, ignored) = events(&[of(9)]);
    assert_eq!((found.len(), found[0].unique_dests), (1, 10));
    assert_eq!(ignored, Ignored::default());
    let (found, ignored) = events(&[of(8)]);
    assert!(found.is_empty());
    assert_eq!(
        ignored,
        Ignored {
            events: 1,
            packets: 20
        }
    );
    // What several intervals have seen is joined.
    let next = EventRow {
        destinations: 0xff00,
        ..row(1, 0, 0)
    };
    let (found, _) = events(&[of(8), next]);
    assert_eq!((found.len(), found[0].unique_dests), (1, 18));
}

#[test]
fn a_full_bitmap_says_so() {
    let of = |bitmap, packets| {
        let Destinations {
            estimate,
            saturated,
        } = Destinations::of(bitmap, packets);
        (estimate, saturated)
    };
    assert_eq!(of(0, 0), (0, false));
    assert_eq!(of(1 << 63, 1), (1, false));
    assert_eq!(of(u64::MAX >> 1, 10_000), (266, false));
    assert_eq!(of(u64::MAX, 10_000), (266, true));
    assert_eq!(of(u64::MAX, 100), (100, false), "never more than packets");
    let full = EventRow {
        destinations: u64::MAX,
        packets: 1_000,
        ..row(0, 0, 0)
    };
    let (found, _) = events(&[full]);
    assert_eq!(
        (found[0].unique_dests, found[0].unique_dests_saturated),
        (266, true)
    );
}

#[test]
fn estimates_are_near_the_truth_until_the_bitmap_is_full() {
    // 64 bits, 200 bitmaps: their mean is near, whatever a single one says.
    for truth in [5u64, 20, 60, 120] {
        let mut state = truth;
        let mut random = || {
            // SplitMix64: public domain, by Sebastiano Vigna.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        let mut sum = 0;
        for _ in 0..200 {
            let bitmap = (0..truth).fold(0, |bitmap, _| bitmap | 1u64 << (random() & 63));
            sum += Destinations::of(bitmap, u64::MAX).estimate;
        }
        let mean = sum as f64 / 200.0;
        assert!((mean / truth as f64 - 1.0).abs() < 0.08, "{truth}: {mean}");
    }
}

#[test]
fn a_tool_is_named_where_nearly_all_packets_bear_its_mark() {
    let of = |hits, traffic| {
        let (found, _) = events(&[EventRow {
            hits,
            traffic,
            ..row(0, 0, 0)
        }]);
        [found[0].zmap, found[0].masscan, found[0].mirai]
    };
    assert_eq!(of([20, 16, 15], Traffic::TcpSyn), [true, true, false]);
    assert_eq!(of([0, 0, 20], Traffic::TcpSyn), [false, false, true]);
    assert_eq!(of([20, 20, 20], Traffic::TcpOther), [false; 3]);
}

#[test]
fn what_may_go_on_is_told() {
    let ongoing = |end_us: i64| {
        let mut events = Events::new(Settings::default(), end_us);
        events.push(&row(0, 0, 10_000)).unwrap();
        events.finish().unwrap().0.unwrap().ongoing
    };
    assert!(ongoing(START + 10_000_000 + 624_000_000));
    assert!(!ongoing(START + 10_000_000 + 624_001_000));
}

#[test]
fn a_line_is_one_object() {
    let (found, _) = events(&[EventRow {
        hits: [0, 0, 20],
        first_ms: 7,
        ..row(0, 0, 0)
    }]);
    let mut out = Vec::new();
    found[0].write_line(&mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "{\"SourceIP\":\"1.2.3.4\",\"Port\":23,\"Traffic\":11,\
         \"First\":\"2023-11-14T22:14:00.007Z\",\"Last\":\"2023-11-14T22:14:00.007Z\",\
         \"Packets\":20,\"Bytes\":800,\"UniqueDests\":12,\"UniqueDestsSaturated\":false,\
         \"Country\":\"JP\",\"ASN\":64500,\"Zmap\":false,\"Masscan\":false,\"Mirai\":true}\n"
    );
    let nowhere = EventRow {
        country: Some(Country::UNKNOWN),
        asn: None,
        ..row(0, 0, 0)
    };
    let (found, _) = events(&[nowhere]);
    assert_eq!((found[0].country.as_str(), found[0].asn), ("", 0));
}

#[test]
fn kinds_of_traffic_have_merits_numbers() {
    use Class::{Backscatter, Other, Scan};
    let of = |protocol, class, port, flags| {
        let (traffic, port) = Traffic::of(Cell::new(protocol, class, port), flags);
        (traffic as u8, port)
    };
    let icmp = |kind: u16| of(1, Other, Some(kind << 8 | 1), 0);
    let kinds = [8, 0, 3, 4, 5, 11, 12, 14, 16, 18, 13];
    for (number, kind) in (0..).zip(kinds) {
        assert_eq!(icmp(kind), (number, 0), "ICMP type {kind}");
    }
    assert_eq!(of(1, Other, None, 0), (10, 0));
    for (kind, number) in [
        (128, 0),
        (129, 1),
        (1, 2),
        (137, 4),
        (3, 5),
        (4, 6),
        (2, 10),
    ] {
        assert_eq!(
            of(58, Other, Some(kind << 8), 0),
            (number, 0),
            "ICMPv6 type {kind}"
        );
    }
    assert_eq!(of(6, Scan, Some(23), 0x02), (11, 23));
    assert_eq!(of(6, Backscatter, Some(80), 0x12), (12, 80));
    assert_eq!(of(6, Other, Some(23), 0x10), (13, 23));
    assert_eq!(of(6, Backscatter, Some(80), 0x14), (14, 80));
    assert_eq!(of(6, Backscatter, Some(80), 0x16), (15, 80));
    assert_eq!(of(6, Other, Some(23), 0x18), (15, 23));
    assert_eq!(of(17, Scan, Some(53), 0), (16, 53));
    assert_eq!(of(17, Backscatter, Some(123), 0), (16, 123));
    assert_eq!(of(47, Other, None, 0), (17, 0));
}

proptest! {
    /// Packets of one source by their milliseconds: events of rows are those of the packets.
    #[test]
    fn rows_give_the_events_of_their_packets(
        mut gaps in prop::collection::vec(
            prop_oneof![0i64..5_000, 600_000i64..660_000, 0i64..2_000_000], 1..60
        ),
        begin in 0i64..60_000,
    ) {
        gaps[0] = begin;
        let times: Vec<i64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
        let mut expected: Vec<(i64, i64, u64)> = Vec::new();
        for &time in &times {
            match expected.last_mut() {
                Some((_, last, packets)) if time - *last <= 624_000 => {
                    *last = time;
                    *packets += 1;
                }
                _ => expected.push((time, time, 1)),
            }
        }
        let mut rows: BTreeMap<i64, EventRow> = BTreeMap::new();
        for &time in &times {
            let interval = time / 60_000;
            let offset = (time % 60_000) as u32;
            let new = EventRow { packets: 0, ..row(interval, offset, 0) };
            let row = rows.entry(interval).or_insert(new);
            row.packets += 1;
            row.duration_ms = offset - row.first_ms;
        }
        let settings = Settings { least_destinations: 0, ..Settings::default() };
        let mut events = Events::new(settings, i64::MAX);
        let mut found = Vec::new();
        for row in rows.values() {
            found.extend(events.push(row).unwrap());
        }
        found.extend(events.finish().unwrap().0);
        let at = |time: Timestamp| time.as_millisecond() - START / 1000;
        let found: Vec<_> = (found.iter())
            .map(|event| (at(event.first), at(event.last), event.packets))
            .collect();
        prop_assert_eq!(found, expected);
    }
}
