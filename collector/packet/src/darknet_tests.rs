//! Tests of the darknet: longest prefix, ranges, errors, versions.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::darknet::{Darknet, DarknetError, Destination};
use crate::link::{LinkType, Network};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::prelude::*;

fn darknet(includes: &[&str], excludes: &[&str]) -> Result<Darknet, DarknetError> {
    Darknet::parse(includes, excludes)
}

#[test]
fn longest_prefix_wins_both_ways() {
    let d = darknet(&["10.0.0.0/8", "10.1.2.0/24"], &["10.1.0.0/16"]).unwrap();
    assert!(d.contains("10.0.0.1".parse().unwrap()));
    assert!(!d.contains("10.1.0.1".parse().unwrap()));
    assert!(d.contains("10.1.2.3".parse().unwrap()));
    assert!(d.contains("10.255.255.255".parse().unwrap()));
    assert!(!d.contains("11.0.0.0".parse().unwrap()));
    assert_eq!(d.observed4(), (1 << 24) - (1 << 16) + 256);
}

#[test]
fn the_whole_space_is_a_prefix_too() {
    let d = darknet(&["0.0.0.0/0", "::/0"], &[]).unwrap();
    assert!(d.contains4(0) && d.contains4(u32::MAX) && d.contains6(u128::MAX));
    assert_eq!(d.observed4(), 1 << 32);
}

#[test]
fn observed_ipv6_is_counted_in_slash_64s() {
    let d = darknet(&["2001:db8::/48"], &["2001:db8:0:5::/64"]).unwrap();
    assert_eq!(d.observed6_slash64s(), 65_535);
    let d = darknet(&["2001:db8::/128", "2001:db8::2/128"], &[]).unwrap();
    assert_eq!(d.observed6_slash64s(), 1);
}

#[test]
fn mistakes_are_named() {
    assert_eq!(darknet(&[], &[]).unwrap_err(), DarknetError::Empty);
    assert_eq!(
        darknet(&["10.0.0.0/33"], &[]).unwrap_err(),
        DarknetError::Unparsable("10.0.0.0/33".into())
    );
    assert!(matches!(
        darknet(&["10.0.0.1/8"], &[]).unwrap_err(),
        DarknetError::HostBits(..)
    ));
    assert!(matches!(
        darknet(&["10.0.0.0/8", "10.0.0.0/8"], &[]).unwrap_err(),
        DarknetError::Repeated(_)
    ));
    assert!(matches!(
        darknet(&["10.0.0.0/8"], &["10.0.0.0/8"]).unwrap_err(),
        DarknetError::Repeated(_)
    ));
    assert!(matches!(
        darknet(&["10.0.0.0/8"], &["11.0.0.0/24"]).unwrap_err(),
        DarknetError::ExcludeOutside(_)
    ));
}

#[test]
fn the_version_depends_on_the_set_and_not_on_its_order() {
    let a = darknet(&["10.0.0.0/8", "11.0.0.0/8"], &[]).unwrap();
    let b = darknet(&["11.0.0.0/8", "10.0.0.0/8"], &[]).unwrap();
    let c = darknet(&["11.0.0.0/8", "10.0.0.0/9"], &[]).unwrap();
    assert_eq!(a.version(), b.version());
    assert_ne!(a.version(), c.version());
}

fn any_prefix() -> impl Strategy<Value = IpNet> {
    // Few distinct bits, so that prefixes nest and touch often.
    (any::<u8>(), 0u8..=8).prop_map(|(bits, length)| {
        IpNet::V4(
            Ipv4Net::new(Ipv4Addr::from_bits(u32::from(bits) << 24), length)
                .unwrap()
                .trunc(),
        )
    })
}

proptest! {
    /// The ranges agree with the definition: the longest prefix that contains the address decides.
    #[test]
    fn ranges_equal_the_longest_prefix(
        includes in proptest::collection::btree_set(any_prefix(), 1..12),
        excludes in proptest::collection::btree_set(any_prefix(), 0..12),
    ) {
        let includes: Vec<_> = includes.into_iter().collect();
        let excludes: Vec<_> = excludes
            .into_iter()
            .filter(|e| !includes.contains(e) && includes.iter().any(|i| i.contains(e)))
            .collect();
        let darknet = Darknet::new(&includes, &excludes).unwrap();
        let mut dark_blocks = 0u64;
        for block in 0..=255u32 {
            let address = IpAddr::V4(Ipv4Addr::from_bits(block << 24 | 77));
            let longest = darknet
                .rules()
                .iter()
                .filter(|rule| rule.prefix.contains(&address))
                .max_by_key(|rule| rule.prefix.prefix_len());
            let dark = longest.is_some_and(|rule| rule.dark);
            prop_assert_eq!(darknet.contains(address), dark);
            dark_blocks += u64::from(dark);
        }
        prop_assert_eq!(darknet.observed4(), dark_blocks << 24);
    }
}

#[test]
fn a_frame_cut_before_its_destination_is_not_parsed() {
    let d = darknet(&["0.0.0.0/0", "::/0"], &[]).unwrap();
    let four = [0x45u8; 20];
    let six = [0x60u8; 40];
    assert_eq!(
        d.destination(LinkType::RawIp, &four[..19]),
        Destination::NotParsed
    );
    assert_eq!(
        d.destination(LinkType::RawIp, &four),
        Destination::Dark(Network::Ipv4 { offset: 0 })
    );
    assert_eq!(
        d.destination(LinkType::RawIp, &six[..39]),
        Destination::NotParsed
    );
    assert_eq!(
        d.destination(LinkType::RawIp, &six),
        Destination::Dark(Network::Ipv6 { offset: 0 })
    );
}

#[test]
fn a_bare_address_is_a_full_length_prefix() {
    let d = darknet(&["192.0.2.1", "2001:db8::1"], &[]).unwrap();
    assert_eq!(
        d.rules()[0].prefix,
        IpNet::V4(Ipv4Net::new(Ipv4Addr::new(192, 0, 2, 1), 32).unwrap())
    );
    assert_eq!(
        d.rules()[1].prefix,
        IpNet::V6(Ipv6Net::new(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 128).unwrap())
    );
}
