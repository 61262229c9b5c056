//! Promiscuous mode: the NIC delivers frames to every MAC address.
#![expect(unsafe_code, reason = "packet sockets have no safe wrapper in std")]

use std::{
    io,
    mem::size_of,
    os::fd::{AsRawFd as _, OwnedFd},
    ptr,
};

use super::{Interface, XdpError, system::socket};

/// `PACKET_ADD_MEMBERSHIP` and `PACKET_MR_PROMISC` of `linux/if_packet.h`.
const PACKET_ADD_MEMBERSHIP: i32 = 1;
const PACKET_MR_PROMISC: u16 = 1;

/// An interface in promiscuous mode until this is dropped.
///
/// A packet socket requests the mode, so that the kernel ends it when the process ends, however it
/// ends; other programs' requests stay. The socket receives nothing.
#[derive(Debug)]
pub struct Promiscuous {
    _socket: OwnedFd,
}

/// `struct packet_mreq` of `linux/if_packet.h`.
#[repr(C)]
struct Membership {
    mr_ifindex: i32,
    mr_type: u16,
    mr_alen: u16,
    mr_address: [u8; 8],
}

impl Promiscuous {
    /// Puts the interface into promiscuous mode.
    ///
    /// # Errors
    /// [`XdpError::Promiscuous`] if the kernel refuses the packet socket or the mode.
    pub fn start(interface: &Interface) -> Result<Self, XdpError> {
        Self::request(interface.index()).map_err(|source| XdpError::Promiscuous {
            interface: interface.name().to_owned(),
            source,
        })
    }

    fn request(index: u32) -> io::Result<Self> {
        // Without a protocol, a packet socket receives no frames.
        let socket = socket(libc::AF_PACKET, libc::SOCK_RAW)?;
        let membership = Membership {
            mr_ifindex: index.cast_signed(),
            mr_type: PACKET_MR_PROMISC,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        // SAFETY: the kernel reads the structure, whose size is given.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_PACKET,
                PACKET_ADD_MEMBERSHIP,
                ptr::from_ref(&membership).cast(),
                size_of::<Membership>() as libc::socklen_t,
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { _socket: socket })
    }
}
