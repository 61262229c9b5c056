//! Tunnels: packets wrapped for a capture, and the two ends of a live tunnel for kernels that have
//! no device of its kind.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::netns::tun::{Layer, RawSocket, Tun};
use crate::netns::{Namespace, NetnsError};
use noctule_packet::link::{LinkType, Network, network};
use noctule_packet::tunnel::TunnelKind;

use crate::frames::checksum;
use crate::wire::run;

/// Name of a tunnel's device, in both namespaces.
pub const DEVICE: &str = "tun0";

/// IP protocol number of GRE.
pub const GRE: u8 = 47;

/// How long a thread waits for a packet before it looks whether it should end.
const LOOK: Duration = Duration::from_millis(50);

/// What a tunnel of this kind carries of an Ethernet frame, with the tunnel's headers before it,
/// and the IP protocol that it is carried in. `number` varies what may vary. None: the kind
/// carries IP only, and this is not IP.
pub fn wrap(kind: TunnelKind, number: u32, frame: &[u8]) -> Option<(u8, Vec<u8>)> {
    let ip = match network(LinkType::Ethernet, frame) {
        Some(Network::Ipv4 { offset }) => Some((4, 0x0800, &frame[offset..])),
        Some(Network::Ipv6 { offset }) => Some((41, 0x86dd, &frame[offset..])),
        None => None,
    };
    let sequence = number.to_be_bytes();
    Some(match (kind, number % 4) {
        (TunnelKind::Ipip, _) => (ip?.0, ip?.2.to_vec()),
        (TunnelKind::Gre, 0) => (GRE, gre(0, ip?.1, &[], ip?.2)),
        (TunnelKind::Gre, 1) => (GRE, gre(0x20, ip?.1, &[0, 0, 0, 9], ip?.2)),
        (TunnelKind::Gre, 2) => (GRE, gre(0xb0, ip?.1, &[7; 12], ip?.2)),
        (TunnelKind::Gre, _) => (GRE, gre(0, 0x6558, &[], frame)),
        (TunnelKind::Vxlan, _) => udp(number, 4789, &[8, 0, 0, 0, 0, 0, 7, 0], frame),
        (TunnelKind::Geneve, 0) => {
            let ethertype = ip?.1.to_be_bytes();
            let head = [0, 0, ethertype[0], ethertype[1], 0, 0, 7, 0];
            udp(number, 6081, &head, ip?.2)
        }
        (TunnelKind::Geneve, 1) => {
            let head = [2, 0x40, 0x65, 0x58, 0, 0, 7, 0, 1, 1, 0x81, 1, 0, 0, 0, 9];
            udp(number, 6081, &head, frame)
        }
        (TunnelKind::Geneve, _) => udp(number, 6081, &[0, 0, 0x65, 0x58, 0, 0, 7, 0], frame),
        (TunnelKind::Gtp, 0) => udp(number, 2152, &[0x30, 255, 0, 0, 0, 0, 0, 9], ip?.2),
        (TunnelKind::Gtp, 1) => {
            let head = [0x32, 255, 0, 0, 0, 0, 0, 9, 0, 1, 0, 0];
            udp(number, 2152, &head, ip?.2)
        }
        (TunnelKind::Gtp, _) => {
            let head = [0x34, 255, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0x85, 1, 0x10, 9, 0];
            udp(number, 2152, &head, ip?.2)
        }
        (TunnelKind::Erspan, 0) => (GRE, gre(0, 0x88be, &[], frame)),
        (TunnelKind::Erspan, 1) => {
            let head = [&sequence[..], &[0x20, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
            (GRE, gre(0x10, 0x22eb, &head, frame))
        }
        (TunnelKind::Erspan, 2) => {
            let head = [
                &sequence[..],
                &[0x20, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1],
                &[5; 8],
            ]
            .concat();
            (GRE, gre(0x10, 0x22eb, &head, frame))
        }
        (TunnelKind::Erspan, _) => {
            let head = [&sequence[..], &[0x10, 1, 0, 1, 0, 0, 0, 9]].concat();
            (GRE, gre(0x10, 0x88be, &head, frame))
        }
    })
}

/// UDP to this port, with a tunnel's header and what it carries.
fn udp(number: u32, port: u16, head: &[u8], carried: &[u8]) -> (u8, Vec<u8>) {
    let length = u16::try_from(8 + head.len() + carried.len()).unwrap_or_default();
    let ports = [[0xc0, number as u8], port.to_be_bytes()].concat();
    (
        17,
        [&ports[..], &length.to_be_bytes(), &[0, 0], head, carried].concat(),
    )
}

/// A GRE header with these flags and fields, and what it carries.
pub fn gre(flags: u8, carried: u16, fields: &[u8], payload: &[u8]) -> Vec<u8> {
    [&[flags, 0], &carried.to_be_bytes()[..], fields, payload].concat()
}

/// An IPv4 datagram.
pub fn ipv4(protocol: u8, from: Ipv4Addr, to: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).unwrap_or_default();
    let mut datagram = vec![0x45, 0];
    datagram.extend(length.to_be_bytes());
    datagram.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    datagram.extend(from.octets());
    datagram.extend(to.octets());
    let sum = checksum(&datagram);
    datagram[10..12].copy_from_slice(&sum.to_be_bytes());
    datagram.extend(payload);
    datagram
}

/// An IPv6 datagram.
pub fn ipv6(protocol: u8, from: Ipv6Addr, to: Ipv6Addr, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap_or_default();
    let head = [&[0x60, 0, 0, 0][..], &length.to_be_bytes(), &[protocol, 64]].concat();
    [&head[..], &from.octets(), &to.octets(), payload].concat()
}

/// One end of a live tunnel: a device, and threads between it and a raw socket. Both go with it.
#[derive(Debug)]
pub struct End {
    addresses: [Ipv4Addr; 2],
    socket: Arc<RawSocket>,
    stop: Arc<AtomicBool>,
    keep_alives: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Result<(), NetnsError>>>,
}

impl End {
    /// Makes [`DEVICE`] in `namespace`, with the address `inner` (CIDR): the end of a tunnel of
    /// this kind from the namespace's address `local` to `remote`.
    ///
    /// # Panics
    /// It cannot be made, or the kind has a device of its own in every kernel here (VXLAN).
    pub fn start(
        namespace: &Namespace,
        kind: TunnelKind,
        inner: &str,
        [local, remote]: [Ipv4Addr; 2],
    ) -> Self {
        let (protocol, layer) = match kind {
            TunnelKind::Gre => (GRE, Layer::Ip),
            TunnelKind::Ipip => (4, Layer::Ip),
            TunnelKind::Erspan => (GRE, Layer::Ethernet),
            TunnelKind::Vxlan | TunnelKind::Geneve | TunnelKind::Gtp => {
                panic!("{kind} has a device of its own")
            }
        };
        let device = {
            let _inside = namespace.enter().unwrap_or_else(|error| panic!("{error}"));
            let socket = RawSocket::open(protocol).unwrap_or_else(|error| panic!("{error}"));
            let tun = Tun::open(DEVICE, layer).unwrap_or_else(|error| panic!("{error}"));
            (Arc::new(socket), Arc::new(tun))
        };
        let (socket, tun) = device;
        bring_up(namespace, inner);
        let stop = Arc::new(AtomicBool::new(false));
        let keep_alives = Arc::new(AtomicU64::new(0));
        let number = AtomicU32::new(0);
        let out = {
            let (socket, tun, stop) = (Arc::clone(&socket), Arc::clone(&tun), Arc::clone(&stop));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    if let Some(packet) = tun.receive(LOOK)? {
                        // The second kind of GRE has a key; the last of ERSPAN is type II.
                        let number = number.fetch_add(1, Ordering::Relaxed) * 4;
                        let wrapped = match kind {
                            TunnelKind::Gre => gre(0x20, 0x0800, &[0, 0, 0, 9], &packet),
                            TunnelKind::Erspan => {
                                wrap(kind, number + 3, &packet).unwrap_or_default().1
                            }
                            _ => packet,
                        };
                        socket.send(remote, &wrapped)?;
                    }
                }
                Ok(())
            }
        };
        let back = {
            let (socket, stop) = (Arc::clone(&socket), Arc::clone(&stop));
            let keep_alives = Arc::clone(&keep_alives);
            move || {
                while !stop.load(Ordering::Relaxed) {
                    let Some(datagram) = socket.receive(LOOK)? else {
                        continue;
                    };
                    // The header that the kernel has built, without options.
                    let payload = datagram.get(20..).unwrap_or_default();
                    let header = match (kind, payload) {
                        (TunnelKind::Ipip, _) => 0,
                        (_, [_, _, 0, 0, ..]) => {
                            keep_alives.fetch_add(1, Ordering::Relaxed);
                            continue;
                        }
                        (TunnelKind::Gre, [0x20, ..]) => 8,
                        (TunnelKind::Erspan, _) => 16,
                        _ => 4,
                    };
                    tun.send(payload.get(header..).unwrap_or_default())?;
                }
                Ok(())
            }
        };
        Self {
            addresses: [local, remote],
            socket,
            stop,
            keep_alives,
            threads: vec![thread::spawn(out), thread::spawn(back)],
        }
    }

    /// Sends a keep-alive as GRE routers do: a GRE packet whose inside is the answer, a GRE packet
    /// without anything that the other end needs only to forward.
    ///
    /// # Panics
    /// It cannot be sent.
    pub fn send_keep_alive(&self) {
        let [local, remote] = self.addresses;
        let answer = ipv4(GRE, remote, local, &gre(0, 0, &[], &[]));
        let sent = self.socket.send(remote, &gre(0, 0x0800, &[], &answer));
        sent.unwrap_or_else(|error| panic!("{error}"));
    }

    /// GRE packets without anything that came in: answers to keep-alives.
    pub fn keep_alives(&self) -> u64 {
        self.keep_alives.load(Ordering::Relaxed)
    }

    /// Ends it.
    ///
    /// # Panics
    /// A packet could not be carried.
    pub fn end(mut self) {
        for outcome in self.join() {
            outcome.unwrap_or_else(|error| panic!("{error}"));
        }
    }

    fn join(&mut self) -> Vec<Result<(), NetnsError>> {
        self.stop.store(true, Ordering::Relaxed);
        let joined = self.threads.drain(..).map(JoinHandle::join);
        joined.filter_map(Result::ok).collect()
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.join();
    }
}

/// Gives a namespace's [`DEVICE`] its address, a queue that holds a whole test, and lets the
/// namespace forward what comes out of it: even packets from its own address, as the answer to a
/// keep-alive does.
pub fn bring_up(namespace: &Namespace, inner: &str) {
    let set = "echo 1 > /proc/sys/net/ipv4/ip_forward
        for f in /proc/sys/net/ipv4/conf/*; do
            echo 0 > $f/rp_filter; echo 1 > $f/accept_local; echo 0 > $f/send_redirects
        done";
    run(namespace, "ip", &["address", "add", inner, "dev", DEVICE]);
    let up = ["link", "set", "dev", DEVICE, "txqueuelen", "10000", "up"];
    run(namespace, "ip", &up);
    run(namespace, "sh", &["-c", set]);
}
