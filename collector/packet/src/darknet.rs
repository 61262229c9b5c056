//! Which addresses are dark: include and exclude prefixes, longest prefix wins.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;
use sha2::{Digest, Sha256};

use crate::link::{LinkOptions, LinkType, Network, find};
use crate::tunnel::{TunnelKind, Tunnels};
use crate::unparsed::Unparsed;

/// Why a list of prefixes was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DarknetError {
    /// No prefix was given.
    #[error(
        "no darknet prefix is given: add one with --prefix CIDR, `prefixes = [\"CIDR\"]` or a \
         `prefixes_file`"
    )]
    Empty,
    /// The text is not a prefix.
    #[error("prefix \"{0}\" cannot be read: write ADDRESS/LENGTH, for example 198.51.100.0/24")]
    Unparsable(String),
    /// Bits are set after the prefix length.
    #[error("prefix {0} has bits set after its length: did you mean {1}?")]
    HostBits(IpNet, IpNet),
    /// The same prefix is given twice.
    #[error("prefix {0} is given more than once: remove one of them")]
    Repeated(IpNet),
    /// An exclude outside every include.
    #[error(
        "exclude {0} lies outside every included prefix: remove it, or include what it is part of"
    )]
    ExcludeOutside(IpNet),
    /// A tunnel endpoint is dark, so that tunnel packets would not reach the sensor.
    #[error(
        "tunnel endpoint {0} lies in the darknet: exclude it with --exclude {0} or `exclude = \
         [\"{0}\"]`"
    )]
    EndpointDark(IpAddr),
}

/// One prefix of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The prefix.
    pub prefix: IpNet,
    /// True if its addresses are dark.
    pub dark: bool,
}

/// The darknet: a set of addresses, as include and exclude prefixes.
///
/// Stored as sorted, disjoint ranges, so that a lookup is one binary search.
#[derive(Clone, Debug)]
pub struct Darknet {
    rules: Vec<Rule>,
    ranges4: Vec<(u32, u32)>,
    ranges6: Vec<(u128, u128)>,
    version: String,
    tunnels: Tunnels,
    link: LinkOptions,
}

/// Whether a frame is dark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Its destination is dark. The IP header is at this place; for a tunnel packet to this sensor,
    /// the inner header.
    Dark(Network),
    /// Its destination is not dark.
    Passed,
    /// It is not IP, is cut before the destination address, has more tags or labels than are read,
    /// or is a tunnel packet to this sensor that cannot be decapsulated. It counts as passed;
    /// [`Darknet::unparsed`] says what it is.
    NotParsed,
}

impl Darknet {
    /// Reads prefixes from their text.
    ///
    /// # Errors
    /// [`DarknetError::Unparsable`] if a text is not a prefix, and the errors of [`Darknet::new`].
    pub fn parse<S: AsRef<str>>(includes: &[S], excludes: &[S]) -> Result<Self, DarknetError> {
        let read = |texts: &[S]| -> Result<Vec<IpNet>, DarknetError> {
            texts.iter().map(|text| prefix(text.as_ref())).collect()
        };
        Self::new(&read(includes)?, &read(excludes)?)
    }

    /// The darknet of these prefixes.
    ///
    /// # Errors
    /// - [`DarknetError::Empty`] if `prefixes` is empty;
    /// - [`DarknetError::HostBits`] if bits are set after a prefix's length;
    /// - [`DarknetError::Repeated`] if a prefix is given twice;
    /// - [`DarknetError::ExcludeOutside`] if an exclude lies outside every include.
    pub fn new(includes: &[IpNet], excludes: &[IpNet]) -> Result<Self, DarknetError> {
        if includes.is_empty() {
            return Err(DarknetError::Empty);
        }
        let mut rules: Vec<Rule> = Vec::with_capacity(includes.len() + excludes.len());
        let included: HashSet<IpNet> = includes.iter().copied().collect();
        for (prefixes, dark) in [(includes, true), (excludes, false)] {
            for &prefix in prefixes {
                if prefix.trunc() != prefix {
                    return Err(DarknetError::HostBits(prefix, prefix.trunc()));
                }
                if !dark && !holds(&included, prefix) {
                    return Err(DarknetError::ExcludeOutside(prefix));
                }
                rules.push(Rule { prefix, dark });
            }
        }
        rules.sort_by_key(|rule| (rule.prefix, rule.dark));
        if let Some(pair) = rules.windows(2).find(|p| p[0].prefix == p[1].prefix) {
            return Err(DarknetError::Repeated(pair[0].prefix));
        }
        let version = version(&rules, &Tunnels::default(), &LinkOptions::DEFAULT);
        let spans = |six: bool| {
            rules
                .iter()
                .filter(|r| r.prefix.addr().is_ipv6() == six)
                .map(|r| (first(r.prefix), last(r.prefix), r.dark))
                .collect::<Vec<_>>()
        };
        let ranges4 = flatten(&spans(false))
            .into_iter()
            .map(|(a, b)| (a as u32, b as u32))
            .collect();
        let ranges6 = flatten(&spans(true));
        Ok(Self {
            rules,
            ranges4,
            ranges6,
            version,
            tunnels: Tunnels::default(),
            link: LinkOptions::DEFAULT,
        })
    }

    /// The same darknet, also reached through these tunnels.
    ///
    /// # Errors
    /// [`DarknetError::EndpointDark`] if a tunnel endpoint is dark.
    pub fn with_tunnels(mut self, tunnels: Tunnels) -> Result<Self, DarknetError> {
        if let Some(dark) = tunnels
            .endpoints()
            .find(|&endpoint| self.contains(endpoint))
        {
            return Err(DarknetError::EndpointDark(dark));
        }
        self.version = version(&self.rules, &tunnels, &self.link);
        self.tunnels = tunnels;
        Ok(self)
    }

    /// The same darknet, with these options of what is read between Ethernet and IP.
    #[must_use]
    pub fn with_link_options(mut self, link: LinkOptions) -> Self {
        self.version = version(&self.rules, &self.tunnels, &link);
        self.link = link;
        self
    }

    /// What is read between Ethernet and IP beside what is always read.
    pub const fn link_options(&self) -> &LinkOptions {
        &self.link
    }

    /// The tunnels that are decapsulated.
    pub fn tunnels(&self) -> &Tunnels {
        &self.tunnels
    }

    /// Every include and exclude prefix in address order, for the kernel's tries.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The dark IPv4 addresses as ascending ranges that do not touch: first and last address, in host
    /// order.
    pub fn ranges4(&self) -> &[(u32, u32)] {
        &self.ranges4
    }

    /// The dark IPv6 addresses, as [`Darknet::ranges4`] has them.
    pub fn ranges6(&self) -> &[(u128, u128)] {
        &self.ranges6
    }

    /// A name for this list with its tunnels and link options, if there are any: the first 16
    /// hexadecimal digits of a SHA-256 over the sorted list.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// True if this IPv4 address, in host order, is dark.
    #[inline]
    pub fn contains4(&self, address: u32) -> bool {
        in_ranges(&self.ranges4, address)
    }

    /// True if this IPv6 address, in host order, is dark.
    #[inline]
    pub fn contains6(&self, address: u128) -> bool {
        in_ranges(&self.ranges6, address)
    }

    /// True if this address is dark.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(a) => self.contains4(a.to_bits()),
            IpAddr::V6(a) => self.contains6(a.to_bits()),
        }
    }

    /// Observed IPv4 addresses: the number of dark addresses.
    pub fn observed4(&self) -> u64 {
        self.ranges4
            .iter()
            .map(|&(a, b)| u64::from(b - a) + 1)
            .sum()
    }

    /// Observed IPv6 address space: the number of /64s that hold a dark address.
    pub fn observed6_slash64s(&self) -> u64 {
        let mut count = 0u128;
        let mut counted_to: Option<u128> = None;
        for &(a, b) in &self.ranges6 {
            let (mut from, to) = (a >> 64, b >> 64);
            if counted_to.is_some_and(|last| last >= from) {
                from += 1;
            }
            if from <= to {
                count += to - from + 1;
            }
            counted_to = Some(to);
        }
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    /// Decides whether a frame is dark (counting rule 1).
    #[inline]
    pub fn destination(&self, link: LinkType, frame: &[u8]) -> Destination {
        match self.classify(link, frame) {
            Ok((found, true)) => Destination::Dark(found),
            Ok((_, false)) => Destination::Passed,
            Err(_) => Destination::NotParsed,
        }
    }

    /// What a frame is that was not parsed; none if it was.
    #[cold]
    pub fn unparsed(&self, link: LinkType, frame: &[u8]) -> Option<Unparsed> {
        self.classify(link, frame).err()
    }

    #[inline]
    fn classify(&self, link: LinkType, frame: &[u8]) -> Result<(Network, bool), Unparsed> {
        let found = self.find(link, frame)?;
        let dark = match found {
            Network::Ipv4 { offset } => {
                let octets = frame.get(offset + 16..).and_then(|rest| rest.first_chunk());
                self.contains4(u32::from_be_bytes(*octets.ok_or(Unparsed::Cut)?))
            }
            Network::Ipv6 { offset } => {
                let octets = frame.get(offset + 24..).and_then(|rest| rest.first_chunk());
                self.contains6(u128::from_be_bytes(*octets.ok_or(Unparsed::Cut)?))
            }
        };
        Ok((found, dark))
    }

    /// Finds the IP header whose destination decides: the inner header of a tunnel packet to this
    /// sensor, otherwise the outer one. It does not look up the prefixes: for frames that the XDP
    /// program found dark, this is enough.
    ///
    /// `None` if [`link::find`](find) or [`Tunnels::innermost`] finds no header.
    #[inline]
    pub fn locate(&self, link: LinkType, frame: &[u8]) -> Option<Network> {
        self.find(link, frame).ok()
    }

    #[inline]
    fn find(&self, link: LinkType, frame: &[u8]) -> Result<Network, Unparsed> {
        let outer = find(&self.link, link, frame)?;
        if self.tunnels.is_empty() {
            return Ok(outer);
        }
        self.tunnels.innermost(&self.link, frame, outer)
    }
}

/// Reads one prefix; a bare address is a prefix of its full length.
///
/// # Errors
/// [`DarknetError::Unparsable`].
pub fn prefix(text: &str) -> Result<IpNet, DarknetError> {
    let text = text.trim();
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| DarknetError::Unparsable(text.to_owned()))
}

/// True if one of the prefixes holds this one or is equal to it.
fn holds(prefixes: &HashSet<IpNet>, prefix: IpNet) -> bool {
    (0..=prefix.prefix_len()).any(|length| {
        IpNet::new(prefix.addr(), length).is_ok_and(|outer| prefixes.contains(&outer.trunc()))
    })
}

fn first(prefix: IpNet) -> u128 {
    match prefix {
        IpNet::V4(p) => u128::from(p.network().to_bits()),
        IpNet::V6(p) => p.network().to_bits(),
    }
}

fn last(prefix: IpNet) -> u128 {
    match prefix {
        IpNet::V4(p) => u128::from(p.broadcast().to_bits()),
        IpNet::V6(p) => p.broadcast().to_bits(),
    }
}

#[inline]
fn in_ranges<A: Ord + Copy>(ranges: &[(A, A)], address: A) -> bool {
    let after = ranges.partition_point(|&(start, _)| start <= address);
    after > 0 && address <= ranges[after - 1].1
}

/// Turns nested prefixes (sorted by start, then by length) into disjoint dark ranges.
///
/// Of two prefixes, one contains the other or they are disjoint. So on a stack of the prefixes that
/// contain an address, the longest is on top.
fn flatten(spans: &[(u128, u128, bool)]) -> Vec<(u128, u128)> {
    let mut ranges: Vec<(u128, u128)> = Vec::new();
    let mut open: Vec<(u128, bool)> = Vec::new();
    let mut at = 0u128;
    let mut emit = |from: u128, to: u128| match ranges.last_mut() {
        Some(last) if last.1.checked_add(1) == Some(from) => last.1 = to,
        _ => ranges.push((from, to)),
    };
    // `at` is the first address not yet decided; it is past the end once `done`.
    let mut done = false;
    let mut close_until = |open: &mut Vec<(u128, bool)>, at: &mut u128, limit: Option<u128>| {
        while let Some(&(end, dark)) = open.last() {
            if limit.is_some_and(|start| end >= start) {
                break;
            }
            if !done && *at <= end {
                if dark {
                    emit(*at, end);
                }
                match end.checked_add(1) {
                    Some(next) => *at = next,
                    None => done = true,
                }
            }
            open.pop();
        }
        if let (Some(start), Some(&(_, dark))) = (limit, open.last())
            && *at < start
        {
            if dark {
                emit(*at, start - 1);
            }
            *at = start;
        }
    };
    for &(start, end, dark) in spans {
        close_until(&mut open, &mut at, Some(start));
        if open.is_empty() {
            at = start;
        }
        open.push((end, dark));
    }
    close_until(&mut open, &mut at, None);
    ranges
}

fn version(rules: &[Rule], tunnels: &Tunnels, link: &LinkOptions) -> String {
    let mut hash = Sha256::new();
    for rule in rules {
        let sign = if rule.dark { '+' } else { '-' };
        hash.update(format!("{sign}{}\n", rule.prefix));
    }
    for kind in tunnels.kinds() {
        match kind {
            TunnelKind::Vxlan => hash.update(format!("vxlan {}\n", tunnels.vxlan_port())),
            other => hash.update(format!("{other}\n")),
        }
    }
    for endpoint in tunnels.endpoints() {
        hash.update(format!("endpoint {endpoint}\n"));
    }
    for tag in link.outer_tags() {
        hash.update(format!("outer tag {tag}\n"));
    }
    for kind in link.inner_ethernet() {
        hash.update(format!("inner {}\n", kind.name()));
    }
    format!("{:.16x}", hash.finalize())
}
