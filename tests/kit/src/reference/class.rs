//! The classes of counting rule 4.

/// A traffic class (counting rule 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A probe: TCP SYN, UDP request, ICMP echo request.
    Scan,
    /// An answer to a forged packet.
    Backscatter,
    /// The rest.
    Other,
}

impl Class {
    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Backscatter => "backscatter",
            Self::Other => "other",
        }
    }
}
