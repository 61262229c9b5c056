//! What is read between Ethernet and IP only because the configuration says so.

use std::str::FromStr;

use noctule_abi::link::{
    ETHERTYPE_ETAG, ETHERTYPE_PBB, ETHERTYPE_TIME_TAG, ETHERTYPE_VNTAG, INNER_EOMPLS, INNER_PBB,
    MAX_OUTER_TAGS,
};
use noctule_abi::{
    ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_MPLS, ETHERTYPE_MPLS_UPSTREAM,
    ETHERTYPE_PPPOE_SESSION,
};

/// Least number that is an EtherType (IEEE 802.3).
const FIRST_ETHERTYPE: u32 = 0x600;

/// Ethernet frames inside those of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InnerEthernet {
    /// Provider backbone bridging (IEEE 802.1ah).
    Pbb,
    /// Ethernet behind MPLS labels (RFC 4448), with or without a control word.
    Eompls,
}

impl InnerEthernet {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Pbb, Self::Eompls];

    /// `pbb` or `eompls`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pbb => "pbb",
            Self::Eompls => "eompls",
        }
    }

    const fn bit(self) -> u32 {
        match self {
            Self::Pbb => INNER_PBB,
            Self::Eompls => INNER_EOMPLS,
        }
    }
}

impl FromStr for InnerEthernet {
    type Err = LinkOptionsError;

    fn from_str(text: &str) -> Result<Self, LinkOptionsError> {
        let named = |kind: &Self| kind.name() == text.trim();
        let found = Self::ALL.into_iter().find(named);
        found.ok_or_else(|| LinkOptionsError::UnknownInner(text.to_owned()))
    }
}

/// Why options were refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LinkOptionsError {
    /// No such kind.
    #[error("\"{0}\" is no inner Ethernet that can be read: `inner_ethernet` takes pbb, eompls")]
    UnknownInner(String),
    /// A kind is given twice.
    #[error("{0} is given more than once in `inner_ethernet`: remove one of them")]
    RepeatedInner(&'static str),
    /// The text is not a number.
    #[error("outer tag \"{0}\" cannot be read: write an EtherType, for example 0x8200")]
    Unparsable(String),
    /// The number is not an EtherType.
    #[error("outer tag {0:#06x} is no EtherType: these lie between 0x0600 and 0xffff")]
    NoEtherType(u32),
    /// The EtherType announces something that is no VLAN tag.
    #[error("outer tag {0:#06x} is the EtherType of something else: remove it from `outer_tags`")]
    Taken(u16),
    /// An EtherType is given twice.
    #[error("outer tag {0:#06x} is given more than once: remove one of them")]
    RepeatedTag(u16),
    /// More than [`MAX_OUTER_TAGS`] EtherTypes.
    #[error("{0} outer tags are given, at most {MAX_OUTER_TAGS} can be: remove some")]
    TooManyTags(usize),
}

/// What is read between Ethernet and IP beside what is always read; by default nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkOptions {
    /// Configured EtherTypes of tags, in ascending order from the lowest 16 bits on; 0 for a free place.
    tags: u64,
    /// A set of `INNER_` bits.
    inner: u32,
}

impl LinkOptions {
    /// No options.
    pub const DEFAULT: Self = Self { tags: 0, inner: 0 };

    /// Reads EtherTypes and kinds from their text; EtherTypes are decimal, or hexadecimal after `0x`.
    ///
    /// # Errors
    /// - [`LinkOptionsError::Unparsable`] if a text is not a number;
    /// - [`LinkOptionsError::UnknownInner`] if a text is not the name of a kind;
    /// - the errors of [`LinkOptions::new`].
    pub fn parse<S: AsRef<str>>(outer_tags: &[S], inner: &[S]) -> Result<Self, LinkOptionsError> {
        let number = |text: &str| {
            let trimmed = text.trim();
            let hexadecimal = (trimmed.strip_prefix("0x")).or_else(|| trimmed.strip_prefix("0X"));
            let read = match hexadecimal {
                Some(digits) => u32::from_str_radix(digits, 16),
                None => trimmed.parse(),
            };
            read.map_err(|_| LinkOptionsError::Unparsable(text.to_owned()))
        };
        let tags = outer_tags.iter().map(|text| number(text.as_ref()));
        let inner = inner.iter().map(|text| text.as_ref().parse());
        Self::new(
            &tags.collect::<Result<Vec<_>, _>>()?,
            &inner.collect::<Result<Vec<_>, _>>()?,
        )
    }

    /// These EtherTypes announce tags as 0x8100 does, and these frames inside frames are read.
    ///
    /// # Errors
    /// - [`LinkOptionsError::NoEtherType`] if a number is not an EtherType;
    /// - [`LinkOptionsError::Taken`] if it announces something else that is read;
    /// - [`LinkOptionsError::RepeatedTag`] or [`LinkOptionsError::RepeatedInner`] if an entry is given
    ///   twice;
    /// - [`LinkOptionsError::TooManyTags`] if there are more than [`MAX_OUTER_TAGS`] EtherTypes.
    pub fn new(outer_tags: &[u32], inner: &[InnerEthernet]) -> Result<Self, LinkOptionsError> {
        if outer_tags.len() > MAX_OUTER_TAGS {
            return Err(LinkOptionsError::TooManyTags(outer_tags.len()));
        }
        let mut sorted = outer_tags.to_vec();
        sorted.sort_unstable();
        let mut options = Self::DEFAULT;
        for (place, &number) in sorted.iter().enumerate() {
            let tag = u16::try_from(number).ok();
            let tag = tag.filter(|_| number >= FIRST_ETHERTYPE);
            let tag = tag.ok_or(LinkOptionsError::NoEtherType(number))?;
            match tag {
                ETHERTYPE_IPV4
                | ETHERTYPE_IPV6
                | ETHERTYPE_PPPOE_SESSION
                | ETHERTYPE_MPLS
                | ETHERTYPE_MPLS_UPSTREAM
                | ETHERTYPE_VNTAG
                | ETHERTYPE_ETAG
                | ETHERTYPE_TIME_TAG
                | ETHERTYPE_PBB => return Err(LinkOptionsError::Taken(tag)),
                _ if place > 0 && sorted[place - 1] == number => {
                    return Err(LinkOptionsError::RepeatedTag(tag));
                }
                _ => options.tags |= u64::from(tag) << (16 * place),
            }
        }
        for kind in inner {
            if options.inner & kind.bit() != 0 {
                return Err(LinkOptionsError::RepeatedInner(kind.name()));
            }
            options.inner |= kind.bit();
        }
        Ok(options)
    }

    /// The configured EtherTypes, 16 bits each, 0 for none: what `noctule_abi::link` reads.
    #[inline]
    pub const fn tag_bits(&self) -> u64 {
        self.tags
    }

    /// The kinds of frames inside frames, as a set of `noctule_abi::link`'s `INNER_` bits.
    pub const fn inner_bits(&self) -> u32 {
        self.inner
    }

    /// The configured EtherTypes, in ascending order.
    pub fn outer_tags(&self) -> impl Iterator<Item = u16> {
        let tags = self.tags;
        let all = (0..MAX_OUTER_TAGS).map(move |place| (tags >> (16 * place)) as u16);
        all.filter(|&tag| tag != 0)
    }

    /// The kinds of frames inside frames, in the order of [`InnerEthernet::ALL`].
    pub fn inner_ethernet(&self) -> impl Iterator<Item = InnerEthernet> {
        let inner = self.inner;
        (InnerEthernet::ALL.into_iter()).filter(move |kind| inner & kind.bit() != 0)
    }

    pub(super) const fn reads_pbb(&self) -> bool {
        self.inner & INNER_PBB != 0
    }

    pub(super) const fn reads_eompls(&self) -> bool {
        self.inner & INNER_EOMPLS != 0
    }
}
