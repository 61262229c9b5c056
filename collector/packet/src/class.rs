//! TCP flags, and which of them make a probe. Classes are data: see [`crate::rules`].

/// TCP flag bits, as in the header's octet 13.
pub mod tcp_flags {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// The acknowledgement field is valid.
    pub const ACK: u8 = 0x10;
}

use tcp_flags::{ACK, FIN, RST, SYN};

/// True for the packets that fingerprints examine: SYN without ACK, RST, FIN.
#[inline]
pub const fn is_probe(flags: u8) -> bool {
    flags & (SYN | ACK | RST | FIN) == SYN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_a_syn_and_nothing_more() {
        for flags in 0..=255u8 {
            let has = |bit: u8| flags & bit != 0;
            let expected = has(SYN) && !has(ACK) && !has(RST) && !has(FIN);
            assert_eq!(is_probe(flags), expected, "{flags:#x}");
        }
    }
}
