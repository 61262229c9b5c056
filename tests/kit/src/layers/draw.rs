//! Proptest strategies for [`Layers`]: mostly frames that could be met, with every field wrong
//! now and then.

use std::fmt::Debug;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::{
    Captured, Carries, Cut, Extension, Ipv4, Ipv6, Layers, Length, Link, Network, Transport,
};

/// What is dark for these frames: a prefix with a hole, and an island in the hole; likewise
/// for IPv6.
pub const INCLUDE: [&str; 4] = [
    "198.18.0.0/15",
    "198.18.7.128/25",
    "2001:db8::/32",
    "2001:db8:1:8000::/49",
];

/// What is not.
pub const EXCLUDE: [&str; 2] = ["198.18.7.0/24", "2001:db8:1::/48"];

/// Any frame, whole or cut, right or wrong.
pub fn layers() -> impl Strategy<Value = Layers> {
    let wrong = prop_oneof![
        3 => Just(Vec::new()),
        1 => vec((0usize..120, any::<u8>()), 1..4),
    ];
    let trailer = prop_oneof![4 => Just(0usize), 1 => 0usize..30];
    (link(), network(), transport(), trailer, cut(), wrong).prop_map(
        |(link, network, transport, trailer, cut, wrong)| Layers {
            link,
            network,
            transport,
            trailer,
            cut,
            wrong,
        },
    )
}

/// Many frames, the same in every run.
///
/// # Panics
/// Never: no strategy here refuses a value.
pub fn drawn(count: usize) -> Vec<Captured> {
    let mut runner = TestRunner::deterministic();
    let strategy = layers();
    let draw = |_| {
        let tree = strategy.new_tree(&mut runner).expect("nothing is refused");
        tree.current().frame()
    };
    (0..count).map(draw).collect()
}

fn of<T: Clone + Debug + 'static>(choices: &[T]) -> impl Strategy<Value = T> + use<T> {
    select(choices.to_vec())
}

/// None in most cases: the right value.
fn rarely<T: Debug>(strategy: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    option::weighted(0.08, strategy)
}

fn link() -> impl Strategy<Value = Link> {
    let tags = prop_oneof![
        3 => Just(Vec::new()),
        2 => vec(of(&[0x8100, 0x88a8, 0x9100, 0x9200]), 1..=5),
        1 => vec(of(&[0x8100, 0x8926, 0x893f, 0x8988, 0x9200]), 1..=5),
    ];
    let ethertype = || {
        rarely(prop_oneof![
            of(&[
                0x0806, 0x0800, 0x86dd, 0x8863, 0x8864, 0x8847, 0x0026, 0x8100
            ]),
            any::<u16>()
        ])
    };
    let carries = prop_oneof![
        6 => ethertype().prop_map(Carries::Ip),
        2 => (
            prop_oneof![8 => Just(0x1100), 1 => of(&[0x1109, 0x2100, 0x11a7])],
            rarely(of(&[0x0021, 0x0057, 0xc021, 0x0281])),
        )
            .prop_map(|(first, ppp)| Carries::Pppoe(first, ppp)),
        2 => (of(&[0x8847, 0x8848]), 0usize..=9)
            .prop_map(|(ethertype, labels)| Carries::Mpls(ethertype, labels)),
        1 => (of(&[0u16, 28, 1500, 1501]), of(&[0u8, 0, 0xf8, 0x0c]), ethertype())
            .prop_map(|(length, organisation, ethertype)| {
                Carries::Snap(length, organisation, ethertype)
            }),
    ];
    let ppp = || rarely(of(&[0x0021, 0x0057, 0xc021, 0x0281, 0x0f00]));
    let family = rarely(prop_oneof![
        of(&[2, 10, 24, 28, 30, 0x0200_0000]),
        any::<u32>()
    ]);
    prop_oneof![
        6 => (tags, carries).prop_map(|(tags, carries)| Link::Ethernet { tags, carries }),
        2 => of(&[101, 12, 14, 228, 229]).prop_map(Link::Raw),
        1 => ethertype().prop_map(Link::Sll),
        1 => ethertype().prop_map(Link::Sll2),
        1 => (of(&[0, 108]), family, any::<bool>()).prop_map(|(number, family, big_endian)| {
            Link::Loopback { number, family, big_endian }
        }),
        1 => ethertype().prop_map(Link::CiscoHdlc),
        1 => (of(&[9, 50]), any::<bool>(), any::<bool>(), ppp()).prop_map(
            |(number, framed, compressed, protocol)| Link::Ppp {
                number,
                framed,
                compressed,
                protocol,
            },
        ),
        1 => ppp().prop_map(|protocol| Link::PppoeSession(0x1100, protocol)),
        1 => (any::<bool>(), option::of(0u16..20), rarely(any::<u8>())).prop_map(
            |(big_endian, before, family)| Link::Nflog { big_endian, before, family },
        ),
    ]
}

fn length() -> impl Strategy<Value = Length> {
    prop_oneof![
        8 => Just(Length::Right),
        2 => (-60i16..60).prop_map(Length::More),
        1 => of(&[0, 1, 7, 8, 9, 10, 11, 19, 20, 21, 40, 65535]).prop_map(Length::Exactly),
    ]
}

fn network() -> impl Strategy<Value = Network> {
    prop_oneof![
        3 => ipv4().prop_map(Network::V4),
        2 => ipv6().prop_map(Network::V6),
    ]
}

fn ipv4() -> impl Strategy<Value = Ipv4> {
    let destination = prop_oneof![
        8 => (18u8..20, any::<u16>()).prop_map(|(b, rest)| {
            let [c, d] = rest.to_be_bytes();
            [198, b, c, d]
        }),
        2 => any::<u8>().prop_map(|d| [198, 18, 7, d]),
        1 => any::<[u8; 4]>(),
    ];
    let fragment = prop_oneof![
        6 => of(&[0, 0x4000]),
        2 => of(&[0x2000, 0x8000, 1, 0x2001, 0x1fff, 0x0100, 0x1000]),
    ];
    let options = prop_oneof![3 => Just(Vec::new()), 1 => vec(any::<[u8; 4]>(), 1..=10)];
    let first_octet = rarely(prop_oneof![3 => 0x40u8..0x50, 1 => any::<u8>()]);
    (
        any::<[u8; 4]>(),
        destination,
        any::<u16>(),
        fragment,
        options,
        first_octet,
        length(),
        rarely(any::<u8>()),
    )
        .prop_map(
            |(source, destination, id, fragment, options, first_octet, total_length, protocol)| {
                Ipv4 {
                    source,
                    destination,
                    id,
                    fragment,
                    options,
                    first_octet,
                    total_length,
                    protocol,
                }
            },
        )
}

fn ipv6() -> impl Strategy<Value = Ipv6> {
    let begins = |start: &'static [u8]| {
        any::<[u8; 16]>().prop_map(move |mut address| {
            address[..start.len()].copy_from_slice(start);
            address
        })
    };
    let destination = prop_oneof![
        8 => begins(&[0x20, 1, 0x0d, 0xb8]),
        2 => begins(&[0x20, 1, 0x0d, 0xb8, 0, 1]),
        1 => any::<[u8; 16]>(),
    ];
    let last = rarely(prop_oneof![
        of(&[0, 43, 44, 51, 59, 60, 1, 6, 17, 58]),
        any::<u8>()
    ]);
    let plain = (chain(), length());
    // Length 0 with a jumbo option, as a jumbogram has it, or in a later header, where none has.
    let place = prop_oneof![3 => Just(0usize), 1 => 1usize..4];
    let jumbo = (jumbo(), chain(), place).prop_map(|(jumbo, mut chain, place)| {
        chain.insert(place.min(chain.len()), jumbo);
        (chain, Length::Exactly(0))
    });
    let first_octet = rarely(prop_oneof![3 => 0x60u8..0x70, 1 => any::<u8>()]);
    (
        any::<[u8; 16]>(),
        destination,
        prop_oneof![8 => plain, 1 => jumbo],
        first_octet,
        last,
    )
        .prop_map(
            |(source, destination, (chain, payload_length), first_octet, last)| Ipv6 {
                source,
                destination,
                chain,
                first_octet,
                payload_length,
                last,
            },
        )
}

fn chain() -> impl Strategy<Value = Vec<Extension>> {
    prop_oneof![2 => Just(Vec::new()), 2 => vec(extension(), 1..5), 1 => vec(extension(), 5..14)]
}

fn extension() -> impl Strategy<Value = Extension> {
    let fragment = (of(&[0u16, 1, 0, 8, 9, 6, 0xfff8]), any::<[u8; 4]>()).prop_map(|(word, id)| {
        let body = [&[0u8; 0][..], &word.to_be_bytes(), &id].concat();
        (44, body)
    });
    let other = (of(&[0u8, 43, 51, 60]), vec(any::<u8>(), 6..24));
    (
        prop_oneof![1 => fragment, 3 => other],
        rarely(prop_oneof![0u8..8, any::<u8>()]),
    )
        .prop_map(|((kind, body), units)| Extension { kind, body, units })
}

/// A hop-by-hop header with a jumbo option, behind padding of either kind.
fn jumbo() -> impl Strategy<Value = Extension> {
    let padding = of(&[
        vec![],
        vec![0],
        vec![0, 0, 0],
        vec![1, 0],
        vec![1, 2, 0, 0],
        vec![5, 2, 0, 0],
        vec![1, 200],
    ]);
    let length = prop_oneof![
        0u32..200,
        of(&[65535, 65536, 100_000, u32::MAX]),
        any::<u32>()
    ];
    let says = prop_oneof![6 => Just(4u8), 1 => 0u8..8];
    (padding, says, length).prop_map(|(mut body, says, length)| {
        body.extend([0xc2, says]);
        body.extend(length.to_be_bytes());
        Extension {
            kind: 0,
            body,
            units: None,
        }
    })
}

fn transport() -> impl Strategy<Value = Transport> {
    let port = || prop_oneof![of(&[53u16, 53, 23, 80, 123, 1900, 0, 65535]), any::<u16>()];
    let ports = move || [port(), port()];
    let payload = || vec(any::<u8>(), 0..24);
    let tcp = (
        ports(),
        any::<u32>(),
        prop_oneof![
            of(&[0x02u8, 0x12, 0x04, 0x14, 0x10, 0x18, 0x11]),
            any::<u8>()
        ],
        vec(any::<u8>(), 0..=40),
        rarely(any::<u8>()),
        payload(),
    )
        .prop_map(
            |(ports, sequence, flags, options, offset, payload)| Transport::Tcp {
                ports,
                sequence,
                flags,
                options,
                offset,
                payload,
            },
        );
    let udp = (ports(), length(), payload()).prop_map(|(ports, length, payload)| Transport::Udp {
        ports,
        length,
        payload,
    });
    let icmp = (
        of(&[1u8, 1, 58]),
        prop_oneof![0u8..20, of(&[128u8, 129, 133]), any::<u8>()],
        any::<u8>(),
        payload(),
    )
        .prop_map(|(number, kind, code, rest)| Transport::Icmp {
            number,
            kind,
            code,
            rest,
        });
    let other = (
        prop_oneof![of(&[2u8, 4, 41, 47, 50, 51, 59, 89, 132]), any::<u8>()],
        payload(),
    )
        .prop_map(|(number, payload)| Transport::Other { number, payload });
    prop_oneof![4 => tcp, 4 => udp, 2 => icmp, 1 => other]
}

fn cut() -> impl Strategy<Value = Cut> {
    prop_oneof![
        4 => Just(Cut::Whole),
        2 => (0usize..3, 0usize..45).prop_map(|(layer, past)| Cut::Snap(layer, past)),
        1 => (0usize..3, 0usize..45).prop_map(|(layer, past)| Cut::Short(layer, past)),
        // The first octets of layer 4, where class and port are decided.
        1 => (0usize..16).prop_map(|past| Cut::Snap(2, past)),
        1 => (0usize..1000).prop_map(Cut::SnapAt),
        1 => prop_oneof![0usize..2000, Just(70_000), Just(1 << 20)].prop_map(Cut::Longer),
    ]
}
