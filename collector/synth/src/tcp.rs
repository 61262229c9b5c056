//! TCP and UDP parts: headers and what they carry.

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
