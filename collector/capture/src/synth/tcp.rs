//! TCP and UDP parts, and SYNs that match one fingerprint rule and no other.

use super::draw::Dice;
use super::plan::Fingerprint;

pub(super) mod flags {
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const PSH: u8 = 0x08;
    pub const ACK: u8 = 0x10;
    pub const URG: u8 = 0x20;
    pub const ECE: u8 = 0x40;
}

/// Octets of a TCP header without options.
pub(super) const TCP_HEADER_BYTES: usize = 20;
/// Where the checksum lies in it.
pub(super) const TCP_CHECKSUM_AT: usize = 16;
/// Where the checksum lies in a UDP header.
pub(super) const UDP_CHECKSUM_AT: usize = 6;
/// Octets of a UDP header.
pub(super) const UDP_HEADER_BYTES: usize = 8;

/// ZMap's IP ID before version 4.1.
const ZMAP_ID: u16 = 54_321;

/// What a TCP header says; its checksum is sealed later.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tcp {
    pub source_port: u16,
    pub destination_port: u16,
    pub sequence: u32,
    pub acknowledgement: u32,
    pub flags: u8,
    pub window: u16,
    /// Header length in words; none: the right one.
    pub offset_words: Option<u8>,
}

/// Writes a TCP header and its options (a multiple of four octets).
pub(super) fn write_tcp(part: &mut Vec<u8>, tcp: &Tcp, options: &[u8]) {
    let words = tcp
        .offset_words
        .unwrap_or(((TCP_HEADER_BYTES + options.len()) / 4) as u8);
    part.clear();
    part.extend(tcp.source_port.to_be_bytes());
    part.extend(tcp.destination_port.to_be_bytes());
    part.extend(tcp.sequence.to_be_bytes());
    part.extend(tcp.acknowledgement.to_be_bytes());
    part.extend([words << 4, tcp.flags]);
    part.extend(tcp.window.to_be_bytes());
    part.extend([0; 4]);
    part.extend(options);
}

/// Writes a UDP header; the length field is the right one unless another is given.
pub(super) fn write_udp(
    part: &mut Vec<u8>,
    ports: (u16, u16),
    payload: &[u8],
    length: Option<u16>,
) {
    let right = (UDP_HEADER_BYTES + payload.len()) as u16;
    part.clear();
    part.extend(ports.0.to_be_bytes());
    part.extend(ports.1.to_be_bytes());
    part.extend(length.unwrap_or(right).to_be_bytes());
    part.extend([0; 2]);
    part.extend(payload);
}

/// How a SYN chooses its IP ID and its sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// At random.
    Plain,
    /// At random, with this IP ID.
    ConstantId(u16),
    /// By a rule.
    Rule(Fingerprint),
}

/// An IP ID that belongs to a source for good, and is not ZMap's.
pub(super) fn constant_id(habit: u64) -> u16 {
    match (habit >> 32) as u16 {
        ZMAP_ID => ZMAP_ID + 1,
        id => id,
    }
}

/// IP ID and sequence number that match the style's rule, and no other rule by accident.
#[inline]
pub(super) fn id_and_sequence(
    dice: &mut Dice,
    style: Style,
    destination: u32,
    port: u16,
) -> (u16, u32) {
    loop {
        let word = dice.word();
        let sequence = match style {
            Style::Rule(Fingerprint::Mirai) => destination,
            _ => word as u32,
        };
        let masscan_id = (destination ^ u32::from(port) ^ sequence) as u16;
        let id = match style {
            Style::ConstantId(id) => id,
            Style::Rule(Fingerprint::Zmap) => ZMAP_ID,
            Style::Rule(Fingerprint::Masscan) => masscan_id,
            Style::Plain | Style::Rule(Fingerprint::Mirai) => (word >> 32) as u16,
        };
        let wanted = |rule| style == Style::Rule(rule);
        if (sequence == destination) == wanted(Fingerprint::Mirai)
            && (id == ZMAP_ID) == wanted(Fingerprint::Zmap)
            && (id == masscan_id) == wanted(Fingerprint::Masscan)
        {
            return (id, sequence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_syn_matches_its_own_rule_only() {
        let mut dice = Dice::new(1);
        for style in [
            Style::Plain,
            Style::ConstantId(0),
            Style::Rule(Fingerprint::Mirai),
            Style::Rule(Fingerprint::Zmap),
            Style::Rule(Fingerprint::Masscan),
        ] {
            // Enough to meet one chance in 65,536 several times.
            for round in 0..400_000u32 {
                let (destination, port) = (0xc633_6400 | (round & 0xff), 23);
                let (id, sequence) = id_and_sequence(&mut dice, style, destination, port);
                let met = [
                    (Fingerprint::Mirai, sequence == destination),
                    (Fingerprint::Zmap, id == 54_321),
                    (
                        Fingerprint::Masscan,
                        u32::from(id) == (destination ^ u32::from(port) ^ sequence) & 0xffff,
                    ),
                ];
                for (rule, met) in met {
                    assert_eq!(met, style == Style::Rule(rule), "{style:?} and {rule:?}");
                }
            }
        }
    }
}
