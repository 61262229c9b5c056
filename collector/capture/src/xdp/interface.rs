//! A network interface: whether it exists, whether it is up, and its number of RX queues.
#![expect(unsafe_code, reason = "ioctl has no safe wrapper in std")]

use std::{
    ffi::{CStr, CString},
    fs, io,
    mem::{size_of, zeroed},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use super::XdpError;

/// `ETHTOOL_GCHANNELS` of `linux/ethtool.h`.
const ETHTOOL_GCHANNELS: u32 = 0x3c;

/// `struct ethtool_channels` of `linux/ethtool.h`.
#[repr(C)]
#[derive(Default)]
struct Channels {
    command: u32,
    max_rx: u32,
    max_tx: u32,
    max_other: u32,
    max_combined: u32,
    rx: u32,
    tx: u32,
    other: u32,
    combined: u32,
}

/// A network interface of the network namespace that the thread was in when it was found.
///
/// Call its methods from a thread in that namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    name: String,
    index: u32,
}

impl Interface {
    /// Finds an interface by its name.
    ///
    /// # Errors
    /// [`XdpError::NoSuchInterface`] if there is no such interface; it lists the names that exist.
    pub fn find(name: &str) -> Result<Self, XdpError> {
        match index_of(name) {
            Some(index) => Ok(Self {
                name: name.to_owned(),
                index,
            }),
            None => Err(XdpError::NoSuchInterface {
                name: name.to_owned(),
                existing: names().join(", "),
            }),
        }
    }

    /// The interface's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The interface's index, which a new interface of the same name does not get.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// True if this interface still exists, under this or another name.
    pub fn still_exists(&self) -> bool {
        let mut name = [0; libc::IF_NAMESIZE];
        // SAFETY: the buffer has the size that the call is defined for.
        let found = unsafe { libc::if_indextoname(self.index, name.as_mut_ptr()) };
        !found.is_null()
    }

    /// True if the interface is administratively up (`IFF_UP`).
    ///
    /// # Errors
    /// [`XdpError::Interface`] if the kernel does not answer, for example after its removal.
    pub fn is_up(&self) -> Result<bool, XdpError> {
        let mut request = self.request();
        // SAFETY: SIOCGIFFLAGS reads `ifr_name` and writes `ifr_flags` of the request.
        unsafe { self.ioctl(libc::SIOCGIFFLAGS, &mut request) }
            .map_err(|source| self.unreadable("flags", source))?;
        // SAFETY: the kernel has just written this member of the union.
        let flags = unsafe { request.ifr_ifru.ifru_flags };
        Ok(i32::from(flags) & libc::IFF_UP != 0)
    }

    /// The number of RX queues in use: the queues that XDP can see packets on.
    ///
    /// The number comes from the driver (ethtool channels: receive plus combined), and from sysfs
    /// for drivers without channels: sysfs shows the network namespace that it was mounted in,
    /// which may be another.
    ///
    /// # Errors
    /// [`XdpError::Interface`] if neither has it.
    pub fn rx_queues(&self) -> Result<u32, XdpError> {
        if let Some(channels) = self.channels() {
            return Ok(channels);
        }
        let folder = format!("/sys/class/net/{}/queues", self.name);
        let entries = fs::read_dir(folder).map_err(|e| self.unreadable("RX queues", e))?;
        let queues = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("rx-"))
            .count();
        match u32::try_from(queues) {
            Ok(queues) if queues > 0 => Ok(queues),
            _ => Err(self.unreadable("RX queues", io::Error::other("it has none"))),
        }
    }

    fn channels(&self) -> Option<u32> {
        let mut channels = Channels {
            command: ETHTOOL_GCHANNELS,
            ..Channels::default()
        };
        let mut request = self.request();
        request.ifr_ifru.ifru_data = (&raw mut channels).cast();
        // SAFETY: ETHTOOL_GCHANNELS fills the `ethtool_channels` that `ifru_data` points to; it
        // outlives the call.
        unsafe { self.ioctl(libc::SIOCETHTOOL, &mut request) }.ok()?;
        Some(channels.rx.saturating_add(channels.combined)).filter(|&queues| queues > 0)
    }

    fn request(&self) -> libc::ifreq {
        // SAFETY: `ifreq` is plain data; all zero is a valid value.
        let mut request: libc::ifreq = unsafe { zeroed() };
        // `find` accepts only names that the kernel knows, so the name fits with its NUL.
        for (to, from) in request.ifr_name.iter_mut().zip(self.name.bytes()) {
            *to = from.cast_signed();
        }
        request
    }

    /// # Safety
    /// `number` must be an ioctl that takes an `ifreq` and accesses only the `ifreq` and the memory
    /// that its pointers point to.
    unsafe fn ioctl(&self, number: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
        let socket = socket(libc::AF_INET, libc::SOCK_DGRAM)?;
        // SAFETY: the caller guarantees what the ioctl accesses; the request lives through the
        // call.
        let result = unsafe { libc::ioctl(socket.as_raw_fd(), number, request) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    fn unreadable(&self, what: &'static str, source: io::Error) -> XdpError {
        XdpError::Interface {
            name: self.name.clone(),
            what,
            source,
        }
    }
}

/// Opens a socket.
pub(super) fn socket(family: i32, kind: i32) -> io::Result<OwnedFd> {
    // SAFETY: `socket` takes no pointers.
    let fd = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `socket` has just returned this descriptor, so nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn index_of(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: the name ends with NUL.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (index != 0).then_some(index)
}

/// Names of all interfaces of this network namespace.
fn names() -> Vec<String> {
    let mut names = Vec::new();
    // SAFETY: the call takes no arguments; its list ends with an entry of index 0.
    let list = unsafe { libc::if_nameindex() };
    if list.is_null() {
        return names;
    }
    for place in 0.. {
        // SAFETY: entries up to the first of index 0 exist, where the loop stops.
        let entry = unsafe { &*list.wrapping_add(place) };
        if entry.if_index == 0 || entry.if_name.is_null() {
            break;
        }
        // SAFETY: `if_name` of a listed entry is a NUL-terminated text.
        let name = unsafe { CStr::from_ptr(entry.if_name) };
        names.push(name.to_string_lossy().into_owned());
    }
    // SAFETY: the list came from `if_nameindex` and is freed once.
    unsafe { libc::if_freenameindex(list) };
    names
}

const _: () = assert!(size_of::<Channels>() == 36);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_interface_is_named_with_those_that_exist() {
        let error = Interface::find("no-such-if0").unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("no-such-if0") && text.contains("lo"),
            "{text}"
        );
        assert!(Interface::find("with\0nul").is_err());
    }

    #[test]
    fn loopback_exists_and_has_a_queue() {
        let lo = Interface::find("lo").unwrap();
        assert!(lo.still_exists());
        assert_eq!(lo.rx_queues().unwrap(), 1);
        lo.is_up().unwrap();
    }
}
