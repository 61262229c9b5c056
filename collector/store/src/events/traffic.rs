//! Kinds of traffic, as Merit numbers them.

use crate::cell::{Cell, Class};
use crate::protocol;

/// TCP flags, as in the header's octet 13.
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// Kinds of traffic, with Merit's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Traffic {
    /// ICMP echo request.
    IcmpEchoRequest = 0,
    /// ICMP echo reply.
    IcmpEchoReply = 1,
    /// ICMP destination unreachable, whatever the code.
    IcmpDestinationUnreachable = 2,
    /// ICMP source quench.
    IcmpSourceQuench = 3,
    /// ICMP redirect.
    IcmpRedirect = 4,
    /// ICMP time exceeded.
    IcmpTimeExceeded = 5,
    /// ICMP parameter problem.
    IcmpParameterProblem = 6,
    /// ICMP timestamp reply.
    IcmpTimestampReply = 7,
    /// ICMP information reply.
    IcmpInfoReply = 8,
    /// ICMP address mask reply.
    IcmpAddressMaskReply = 9,
    /// Other ICMP.
    IcmpOther = 10,
    /// TCP SYN: probes.
    TcpSyn = 11,
    /// TCP SYN with ACK: answers of victims.
    TcpSynAck = 12,
    /// TCP ACK alone.
    TcpAck = 13,
    /// TCP RST: refusals of victims.
    TcpRst = 14,
    /// Other TCP.
    TcpOther = 15,
    /// UDP.
    Udp = 16,
    /// Other protocols.
    Unknown = 17,
}

impl Traffic {
    /// The kind of a flow row's traffic, by its cell and the OR of its packets' TCP flags, and the port
    /// of its event: 0 for ICMP and traffic without ports.
    pub fn of(cell: Cell, flags: u8) -> (Self, u16) {
        let port = cell.port.unwrap_or(0);
        match (cell.protocol, cell.class) {
            (protocol::ICMP, _) => (Self::icmp(cell.port), 0),
            (protocol::ICMPV6, _) => (Self::icmpv6(cell.port), 0),
            (protocol::TCP, Class::Scan) => (Self::TcpSyn, port),
            (protocol::TCP, Class::Backscatter) => {
                let kind = match (flags & SYN != 0, flags & RST != 0) {
                    (true, false) => Self::TcpSynAck,
                    (false, true) => Self::TcpRst,
                    // The row has both kinds of answers.
                    _ => Self::TcpOther,
                };
                (kind, port)
            }
            (protocol::TCP, Class::Other) if flags == ACK => (Self::TcpAck, port),
            (protocol::TCP, Class::Other) => (Self::TcpOther, port),
            (protocol::UDP, _) => (Self::Udp, port),
            _ => (Self::Unknown, 0),
        }
    }

    /// The kind of this number.
    pub fn from_number(number: u8) -> Option<Self> {
        const ALL: [Traffic; 18] = [
            Traffic::IcmpEchoRequest,
            Traffic::IcmpEchoReply,
            Traffic::IcmpDestinationUnreachable,
            Traffic::IcmpSourceQuench,
            Traffic::IcmpRedirect,
            Traffic::IcmpTimeExceeded,
            Traffic::IcmpParameterProblem,
            Traffic::IcmpTimestampReply,
            Traffic::IcmpInfoReply,
            Traffic::IcmpAddressMaskReply,
            Traffic::IcmpOther,
            Traffic::TcpSyn,
            Traffic::TcpSynAck,
            Traffic::TcpAck,
            Traffic::TcpRst,
            Traffic::TcpOther,
            Traffic::Udp,
            Traffic::Unknown,
        ];
        ALL.get(usize::from(number)).copied()
    }

    fn icmp(port: Option<u16>) -> Self {
        match port.map(|port| port >> 8) {
            Some(8) => Self::IcmpEchoRequest,
            Some(0) => Self::IcmpEchoReply,
            Some(3) => Self::IcmpDestinationUnreachable,
            Some(4) => Self::IcmpSourceQuench,
            Some(5) => Self::IcmpRedirect,
            Some(11) => Self::IcmpTimeExceeded,
            Some(12) => Self::IcmpParameterProblem,
            Some(14) => Self::IcmpTimestampReply,
            Some(16) => Self::IcmpInfoReply,
            Some(18) => Self::IcmpAddressMaskReply,
            _ => Self::IcmpOther,
        }
    }

    fn icmpv6(port: Option<u16>) -> Self {
        match port.map(|port| port >> 8) {
            Some(128) => Self::IcmpEchoRequest,
            Some(129) => Self::IcmpEchoReply,
            Some(1) => Self::IcmpDestinationUnreachable,
            Some(137) => Self::IcmpRedirect,
            Some(3) => Self::IcmpTimeExceeded,
            Some(4) => Self::IcmpParameterProblem,
            _ => Self::IcmpOther,
        }
    }
}
