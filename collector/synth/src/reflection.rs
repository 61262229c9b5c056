//! Answers of UDP reflectors other than DNS, and what comes from their ports and is no answer.

use super::address::Source;
use super::frame::IPV4_HEADER_BYTES;
use super::maker::{Maker, PlannedCell};
use super::plan::{Class, PlannedFrame, protocol};
use super::tcp::UDP_HEADER_BYTES;

/// A protocol that reflectors speak.
struct Service {
    port: u16,
    weight: u32,
    /// Octets at the beginning of every message that are drawn at random.
    id_bytes: usize,
    /// How answers begin.
    answers: &'static [&'static [u8]],
    /// What is no answer, as a whole.
    requests: &'static [&'static [u8]],
}

const fn service(
    (port, weight): (u16, u32),
    id_bytes: usize,
    answers: &'static [&'static [u8]],
    requests: &'static [&'static [u8]],
) -> Service {
    Service {
        port,
        weight,
        id_bytes,
        answers,
        requests,
    }
}

/// Every shipped reflection port but that of DNS; weights favour what is abused most.
static SERVICES: [Service; 18] = [
    // Quotations, and characters.
    service((17, 1), 0, &[b"\""], &[b""]),
    service((19, 3), 0, &[b" !\"#$%&'"], &[b""]),
    // Portmap: the message type is 1, or 0.
    service(
        (111, 4),
        4,
        &[b"....\0\0\0\x01\0\0\0\0"],
        &[b"....\0\0\0\0\0\0\0\x02"],
    ),
    // NTP: a server, a broadcast, a status, a list of clients; a client and who asks for the lists.
    service(
        (123, 20),
        0,
        &[
            b"\x24\x02\x06\xec",
            b"\xe5\x01",
            b"\x16\x82\0\x01",
            b"\xd7\0\x03\x2a",
        ],
        &[
            b"\xe3\0\x04\xfa",
            b"\x16\x02\0\x01",
            b"\x17\0\x03\x2a\0\0\0\0",
        ],
    ),
    service(
        (137, 4),
        2,
        &[b"..\x85\0\0\0\0\x01"],
        &[b"..\0\x10\0\x01\0\0\0\0\0\0"],
    ),
    // SNMP, behind lengths of one to three octets; the PDU follows the community.
    service(
        (161, 8),
        0,
        &[
            b"\x30\x58\x02\x01\x01\x04\x06public\xa2",
            b"\x30\x81\x9c\x02\x01\x01\x04\x06public\xa2",
            b"\x30\x82\x01\xf0\x02\x01\x01\x04\0\xa2",
        ],
        &[
            b"\x30\x29\x02\x01\x01\x04\x06public\xa0\x1c",
            b"\x30\x82\0\x2f\x02\x01\x01\x04\x06public\xa5\x20",
        ],
    ),
    // CLDAP likewise; the operation follows the message's number.
    service(
        (389, 10),
        0,
        &[
            b"\x30\x0c\x02\x01\x07\x65",
            b"\x30\x81\xb2\x02\x02\x01\x07\x64",
            b"\x30\x82\x05\x63\x02\x01\x07\x64",
            b"\x30\x84\0\0\x05\x63\x02\x01\x07\x73",
        ],
        &[b"\x30\x25\x02\x01\x01\x63\x20\x04\0\x0a\x01\0"],
    ),
    service((520, 1), 0, &[b"\x02\x01\0\0"], &[b"\x01\x01\0\0\0\0\0\0"]),
    service(
        (1900, 8),
        0,
        &[b"HTTP/1.1 200 OK\r\n"],
        &[b"M-SEARCH * HTTP/1.1\r\n", b"HTTP"],
    ),
    service((3283, 2), 0, &[b"\0\x01\x03\xe8"], &[b"\0\x14\0\0\0"]),
    service((3702, 4), 0, &[b"<?xml version"], &[b"\r\n\r\n"]),
    service(
        (5060, 4),
        0,
        &[b"SIP/2.0 200 OK\r\n"],
        &[b"OPTIONS sip:100@", b"SIP"],
    ),
    service(
        (5353, 3),
        0,
        &[b"\0\0\x84\0\0\0\0\x01"],
        &[b"\0\0\0\0\0\x01\0\0\0\0\0\0"],
    ),
    // CoAP: a code from 2.00 on; a GET, and a version that there is not.
    service(
        (5683, 3),
        0,
        &[b"\x60\x45", b"\x52\x84"],
        &[b"\x40\x01\x7d\x70", b"\xa0\x45"],
    ),
    service(
        (10_001, 2),
        0,
        &[b"\x01\0\0\x88\x02", b"\x02\x06\0\x88\x02"],
        &[b"\x01\0\0\0", b"\x02\x08\0\0"],
    ),
    // memcached: a first answer in capitals, and one that goes on.
    service(
        (11_211, 6),
        2,
        &[b"..\0\0\0\x02\0\0STAT ", b"..\0\x01\0\x02\0\0pid"],
        &[b"..\0\0\0\x01\0\0stats\r\n", b"..\0\0\0\x01\0\0get x\r\n"],
    ),
    service(
        (27_015, 3),
        0,
        &[
            b"\xff\xff\xff\xffA",
            b"\xff\xff\xff\xffD",
            b"\xff\xff\xff\xffE",
            b"\xff\xff\xff\xffI\x11",
        ],
        &[b"\xff\xff\xff\xffTSource Engine Query\0"],
    ),
    service(
        (27_960, 2),
        0,
        &[
            b"\xff\xff\xff\xffstatusResponse\n",
            b"\xff\xff\xff\xffinfoResponse\n",
        ],
        &[b"\xff\xff\xff\xffgetstatus\n", b"\xff\xff\xff\xffstatus"],
    ),
];

/// Of a thousand packets, those from any service that a host may have.
const OTHER_SERVICE: u64 = 200;
/// Of a thousand packets, those that are no answer.
const REQUESTS: u64 = 80;
/// Of a thousand answers, those of which IP's length cuts some off.
const CUT: u64 = 15;

impl Maker<'_> {
    /// A reflector has one service that is abused most, and answers from it; now and then
    /// something else comes from its port, which is a scan.
    pub(super) fn reflection(&mut self, source: Source) -> PlannedFrame {
        let service = if self.random.permille(OTHER_SERVICE) {
            service_of(self.random.word())
        } else {
            service_of(source.habit >> 24)
        };
        if self.random.permille(REQUESTS) {
            self.message(service.id_bytes, service.requests, 0);
            let ports = (service.port, service.port);
            return self.udp_probe(source, ports);
        }
        let most = if self.random.permille(300) { 1200 } else { 100 };
        let tail = self.random.between(0, most);
        self.message(service.id_bytes, service.answers, tail);
        let destination = self.targets.dark4(&mut self.random);
        let (id, port) = (self.random.word16(), self.random.between(1024, 65_535));
        let mut header = self.header(source, destination, protocol::UDP, id);
        self.udp(&header, (service.port, port), None);
        let mut cell = PlannedCell::new(protocol::UDP, Class::Backscatter, Some(service.port));
        if self.random.permille(CUT) {
            // What is left of an answer never speaks against its being one.
            let left = self.random.below(self.payload.len() as u64) as u16;
            header.total = Some((IPV4_HEADER_BYTES + UDP_HEADER_BYTES) as u16 + left);
            cell = cell.with_error(("udp", "length_beyond_end"));
        }
        PlannedFrame::Dark(self.send(source, &header, cell))
    }

    /// One of these messages as the payload, with so many random octets behind it.
    fn message(&mut self, id_bytes: usize, list: &[&[u8]], tail: u16) {
        let opening = self.random.pick(list);
        self.random_payload(opening.len() as u16 + tail);
        self.payload[id_bytes..opening.len()].copy_from_slice(&opening[id_bytes..]);
    }
}

fn service_of(habit: u64) -> &'static Service {
    let total: u32 = SERVICES.iter().map(|service| service.weight).sum();
    let mut left = habit as u32 % total;
    for service in &SERVICES {
        if left < service.weight {
            return service;
        }
        left -= service.weight;
    }
    &SERVICES[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use noctule_packet::Rules;

    #[test]
    fn every_shipped_port_but_that_of_dns_is_served() {
        let rules = Rules::shipped();
        let shipped = rules.reflections().iter().map(|rule| rule.port);
        let mut served: Vec<u16> = SERVICES.iter().map(|service| service.port).collect();
        served.push(53);
        served.sort_unstable();
        assert_eq!(shipped.collect::<Vec<_>>(), served);
    }

    #[test]
    fn answers_and_requests_are_told_apart_as_they_stand() {
        let rules = Rules::shipped();
        for service in &SERVICES {
            let class =
                |payload: &[u8]| rules.udp_class(service.port, payload.len() as u16 + 8, payload);
            for answer in service.answers {
                assert_eq!(
                    class(answer),
                    Class::Backscatter,
                    "{} {answer:?}",
                    service.port
                );
            }
            for request in service.requests {
                assert_eq!(class(request), Class::Scan, "{} {request:?}", service.port);
            }
        }
    }
}
