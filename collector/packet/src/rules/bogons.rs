//! Address space that no host can use, so that packets from it have a forged source.

use ipnet::IpNet;

use crate::source::Source;

/// Prefixes with their reasons, and the ranges that they cover.
#[derive(Debug, Default)]
pub(super) struct Bogons {
    list: Vec<(IpNet, String)>,
    four: Vec<(u32, u32)>,
    six: Vec<(u128, u128)>,
}

impl Bogons {
    pub fn new(mut list: Vec<(IpNet, String)>) -> Self {
        list.sort_by_key(|(prefix, _)| *prefix);
        let (mut four, mut six) = (Vec::new(), Vec::new());
        // In this order a prefix comes after the prefixes that contain it.
        for (prefix, _) in &list {
            match prefix {
                IpNet::V4(p) => cover(&mut four, (p.network().to_bits(), p.broadcast().to_bits())),
                IpNet::V6(p) => cover(&mut six, (p.network().to_bits(), p.broadcast().to_bits())),
            }
        }
        Self { list, four, six }
    }

    pub fn list(&self) -> &[(IpNet, String)] {
        &self.list
    }

    pub fn contains(&self, source: Source) -> bool {
        match source {
            Source::V4(address) => holds(&self.four, address),
            Source::V6(address) => holds(&self.six, address),
        }
    }
}

/// Adds a range, unless the last range contains it.
fn cover<A: Ord + Copy>(ranges: &mut Vec<(A, A)>, range: (A, A)) {
    if ranges.last().is_none_or(|last| last.1 < range.0) {
        ranges.push(range);
    }
}

fn holds<A: Ord + Copy>(ranges: &[(A, A)], address: A) -> bool {
    let after = ranges.partition_point(|&(start, _)| start <= address);
    after > 0 && address <= ranges[after - 1].1
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn nested_and_touching_prefixes_cover_what_they_hold() {
        let list = [
            "10.0.0.0/8",
            "10.1.0.0/16",
            "11.0.0.0/8",
            "fc00::/7",
            "0.0.0.0/8",
        ];
        let bogons = Bogons::new(list.map(|p| (p.parse().unwrap(), String::new())).to_vec());
        let is = |text: &str| {
            bogons.contains(match text.parse().unwrap() {
                IpAddr::V4(a) => Source::V4(a.to_bits()),
                IpAddr::V6(a) => Source::V6(a.to_bits()),
            })
        };
        for inside in [
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.1",
            "10.1.0.0",
            "10.255.255.255",
            "11.9.9.9",
            "fd12::1",
        ] {
            assert!(is(inside), "{inside}");
        }
        for outside in [
            "1.0.0.0",
            "9.255.255.255",
            "12.0.0.0",
            "2001::1",
            "255.255.255.255",
        ] {
            assert!(!is(outside), "{outside}");
        }
    }
}
