//! Ends of tunnels for tests, on kernels that have no device for the kind: a TUN or TAP device
//! whose packets a thread wraps and sends through a raw IP socket, so that the kernel builds the
//! outer header.
#![expect(
    unsafe_code,
    reason = "TUN devices and raw sockets have no safe wrapper in std"
)]

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    mem::zeroed,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd},
    time::Duration,
};

use super::{NetnsError, readable};

/// Longest packet that is taken.
const LONGEST: usize = 65_536;

/// What a device carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// IP datagrams (TUN).
    Ip,
    /// Ethernet frames (TAP).
    Ethernet,
}

/// A TUN or TAP device of the thread's namespace; it goes with this value.
#[derive(Debug)]
pub struct Tun {
    device: File,
    name: String,
}

impl Tun {
    /// Makes a device of this name; it is down and has no address.
    ///
    /// # Errors
    /// [`NetnsError::System`] without root or without `/dev/net/tun`.
    pub fn open(name: &str, layer: Layer) -> Result<Self, NetnsError> {
        let failed = |action| {
            let what = format!("TUN device {name}");
            move |source| NetnsError::System {
                action,
                what,
                source,
            }
        };
        let device = (File::options().read(true).write(true).open("/dev/net/tun"))
            .map_err(failed("open /dev/net/tun for"))?;
        // SAFETY: `ifreq` is plain data; all zero is a valid value.
        let mut request: libc::ifreq = unsafe { zeroed() };
        if name.len() >= request.ifr_name.len() {
            return Err(failed("name")(io::ErrorKind::InvalidInput.into()));
        }
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from.cast_signed();
        }
        let kind = match layer {
            Layer::Ip => libc::IFF_TUN,
            Layer::Ethernet => libc::IFF_TAP,
        };
        request.ifr_ifru.ifru_flags = (kind | libc::IFF_NO_PI) as i16;
        // SAFETY: the request has the type that TUNSETIFF wants, its name ends with NUL, and it
        // lives through the call.
        let made = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw const request) };
        if made < 0 {
            return Err(failed("make")(io::Error::last_os_error()));
        }
        Ok(Self {
            device,
            name: name.to_owned(),
        })
    }

    /// Gives the kernel one packet, as if it had come in over the device.
    ///
    /// # Errors
    /// [`NetnsError::System`]; the device is down, for example.
    pub fn send(&self, packet: &[u8]) -> Result<(), NetnsError> {
        let written = (&self.device).write_all(packet);
        written.map_err(|source| self.failed("write to", source))
    }

    /// The next packet that the kernel sends over the device, or none in time.
    ///
    /// # Errors
    /// [`NetnsError::System`].
    pub fn receive(&self, timeout: Duration) -> Result<Option<Vec<u8>>, NetnsError> {
        let ready = readable(self.device.as_fd(), timeout);
        if !ready.map_err(|source| self.failed("wait on", source))? {
            return Ok(None);
        }
        let mut octets = vec![0; LONGEST];
        let read = (&self.device).read(&mut octets);
        octets.truncate(read.map_err(|source| self.failed("read from", source))?);
        Ok(Some(octets))
    }

    fn failed(&self, action: &'static str, source: io::Error) -> NetnsError {
        NetnsError::System {
            action,
            what: format!("TUN device {}", self.name),
            source,
        }
    }
}

/// A raw IPv4 socket of the thread's namespace, for one IP protocol.
#[derive(Debug)]
pub struct RawSocket {
    /// The standard library has no other type for a socket that sends to addresses.
    socket: UdpSocket,
    protocol: u8,
}

impl RawSocket {
    /// Opens one; it gets a copy of every datagram of this protocol that comes in.
    ///
    /// # Errors
    /// [`NetnsError::System`] without root.
    pub fn open(protocol: u8) -> Result<Self, NetnsError> {
        // SAFETY: `socket` takes no pointers.
        let fd = unsafe {
            libc::socket(
                libc::AF_INET,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC,
                i32::from(protocol),
            )
        };
        if fd < 0 {
            return Err(NetnsError::System {
                action: "open a",
                what: format!("raw socket of IP protocol {protocol}"),
                source: io::Error::last_os_error(),
            });
        }
        // SAFETY: the kernel has just given out this descriptor and nothing else owns it.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self {
            socket: socket.into(),
            protocol,
        })
    }

    /// Sends a datagram; the kernel puts the IP header before it.
    ///
    /// # Errors
    /// [`NetnsError::System`].
    pub fn send(&self, to: Ipv4Addr, payload: &[u8]) -> Result<(), NetnsError> {
        let sent = self.socket.send_to(payload, SocketAddr::from((to, 0)));
        sent.map_err(|source| self.failed("send on", source))?;
        Ok(())
    }

    /// The next datagram, IP header first, or none in time.
    ///
    /// # Errors
    /// [`NetnsError::System`].
    pub fn receive(&self, timeout: Duration) -> Result<Option<Vec<u8>>, NetnsError> {
        let ready = readable(self.socket.as_fd(), timeout);
        if !ready.map_err(|source| self.failed("wait on", source))? {
            return Ok(None);
        }
        let mut octets = vec![0; LONGEST];
        let read = self.socket.recv_from(&mut octets);
        octets.truncate(read.map_err(|source| self.failed("receive on", source))?.0);
        Ok(Some(octets))
    }

    fn failed(&self, action: &'static str, source: io::Error) -> NetnsError {
        NetnsError::System {
            action,
            what: format!("the raw socket of IP protocol {}", self.protocol),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::skipped;
    use crate::{Namespace, available};

    #[test]
    fn a_packet_goes_out_of_the_device_and_into_a_socket() {
        if !available() {
            skipped("a_packet_goes_out_of_the_device_and_into_a_socket");
            return;
        }
        let namespace = Namespace::new("noctule-tun").unwrap();
        let _inside = namespace.enter().unwrap();
        let tun = Tun::open("tun0", Layer::Ip).unwrap();
        for arguments in [
            &["address", "add", "198.51.100.1/24", "dev", "tun0"][..],
            &["link", "set", "dev", "tun0", "up"],
        ] {
            namespace.command("ip", arguments).unwrap();
        }
        let socket = RawSocket::open(253).unwrap();
        socket.send(Ipv4Addr::new(198, 51, 100, 2), b"out").unwrap();
        let timeout = Duration::from_secs(5);
        let sent = loop {
            // Neighbour discovery may come first.
            let packet = tun.receive(timeout).unwrap().unwrap();
            if packet[0] >> 4 == 4 {
                break packet;
            }
        };
        assert_eq!((sent[9], &sent[20..]), (253, &b"out"[..]));
        let mut back = sent.clone();
        back[12..16].copy_from_slice(&sent[16..20]);
        back[16..20].copy_from_slice(&sent[12..16]);
        tun.send(&back).unwrap();
        assert_eq!(socket.receive(timeout).unwrap(), Some(back));
        assert_eq!(socket.receive(Duration::from_millis(1)).unwrap(), None);
        let error = Tun::open("a-name-that-is-too-long", Layer::Ethernet).unwrap_err();
        assert!(error.to_string().contains("a-name-that-is-too-long"));
    }
}
