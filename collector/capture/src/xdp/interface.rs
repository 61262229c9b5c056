//! A network interface: whether it exists and can be captured from, its state, and its number of RX
//! queues.
#![expect(unsafe_code, reason = "ioctl has no safe wrapper in std")]

use std::{
    fs, io,
    mem::{size_of, zeroed},
    os::fd::AsRawFd,
};

use super::{
    Layer, XdpError, device,
    links::{Link, link, links},
    system::socket,
};

/// `ETHTOOL_GDRVINFO` and `ETHTOOL_GCHANNELS` of `linux/ethtool.h`.
const ETHTOOL_GDRVINFO: u32 = 0x3;
const ETHTOOL_GCHANNELS: u32 = 0x3c;
/// Octets of `struct ethtool_drvinfo`, and of the name in it, which follows the command.
const DRIVER_BYTES: usize = 196;
const DRIVER_NAME_BYTES: usize = 32;
/// Names that the error for an unknown interface lists at most.
const NAMES_LISTED: usize = 20;
/// How alike two names must be, from 0 to 1, for one to be suggested for the other.
const ALIKE: f64 = 0.7;

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
    layer: Layer,
}

impl Interface {
    /// Finds an interface by its name or an alternative name (`ip link property add dev IF altname
    /// NAME`).
    ///
    /// # Errors
    /// [`XdpError::NoSuchInterface`] if there is no such interface; it lists the names that exist.
    /// [`XdpError::Device`] if AF_XDP gets no frames from an interface of its kind; it names those
    /// to use instead. [`XdpError::Interface`] if the kernel does not list its interfaces.
    pub fn find(name: &str) -> Result<Self, XdpError> {
        let all = links().map_err(|source| XdpError::Interface {
            name: name.to_owned(),
            what: "the entry",
            source,
        })?;
        let named = |one: &&Link| one.name == name || one.other_names.iter().any(|n| n == name);
        let Some(found) = all.iter().find(named) else {
            return Err(XdpError::NoSuchInterface {
                name: name.to_owned(),
                existing: existing(name, &all),
            });
        };
        Ok(Self {
            name: found.name.clone(),
            index: found.index,
            layer: device::layer(found, &all)?,
        })
    }

    /// What its frames begin with.
    pub fn layer(&self) -> Layer {
        self.layer
    }

    /// The same interface, taken for one whose frames begin with another layer.
    #[cfg(test)]
    pub(super) fn with_layer(self, layer: Layer) -> Self {
        Self { layer, ..self }
    }

    /// The interface's name; the kernel's if it was found by an alternative name.
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
        Ok(self.link("flags")?.flags & libc::IFF_UP as u32 != 0)
    }

    /// True if the interface is up and has a link to the other end (`IFF_RUNNING`): a carrier.
    ///
    /// # Errors
    /// As [`Interface::is_up`].
    pub fn has_carrier(&self) -> Result<bool, XdpError> {
        Ok(self.link("flags")?.flags & libc::IFF_RUNNING as u32 != 0)
    }

    /// The longest datagram in octets, without the link layer.
    ///
    /// # Errors
    /// As [`Interface::is_up`].
    pub fn mtu(&self) -> Result<u32, XdpError> {
        Ok(self.link("MTU")?.mtu)
    }

    /// Name of the driver; empty if it is unknown.
    pub(super) fn driver(&self) -> String {
        let mut info = [0; DRIVER_BYTES / size_of::<u32>()];
        info[0] = ETHTOOL_GDRVINFO;
        let mut request = self.request();
        request.ifr_ifru.ifru_data = info.as_mut_ptr().cast();
        // SAFETY: ETHTOOL_GDRVINFO fills the `ethtool_drvinfo` that `ifru_data` points to; it
        // outlives the call.
        if unsafe { self.ioctl(libc::SIOCETHTOOL, &mut request) }.is_err() {
            return String::new();
        }
        let octets: Vec<u8> = info.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let name = octets[4..4 + DRIVER_NAME_BYTES].split(|&octet| octet == 0);
        String::from_utf8_lossy(name.into_iter().next().unwrap_or_default()).into_owned()
    }

    fn link(&self, what: &'static str) -> Result<Link, XdpError> {
        link(self.index).map_err(|source| self.unreadable(what, source))
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

/// Existing names for the error about `unknown`: first what may have been meant, then all, up to a
/// limit.
fn existing(unknown: &str, all: &[Link]) -> String {
    let names = (all.iter()).flat_map(|one| [&one.name].into_iter().chain(&one.other_names));
    let mut names: Vec<_> = names
        .map(|name| (strsim::jaro_winkler(unknown, name), name.as_str()))
        .collect();
    names.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut text = String::new();
    if let Some((_, near)) = names.first().filter(|(alike, _)| *alike >= ALIKE) {
        text = format!("did you mean {near}? ");
    }
    let listed: Vec<_> = (names.iter().take(NAMES_LISTED))
        .map(|(_, name)| *name)
        .collect();
    text.push_str("`ip link` lists ");
    text.push_str(&listed.join(", "));
    if names.len() > NAMES_LISTED {
        text.push_str(&format!(" and {} more", names.len() - NAMES_LISTED));
    }
    text
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
    fn a_misspelt_name_gets_the_nearest_one() {
        let link = |name: &str| Link {
            name: name.into(),
            ..Link::default()
        };
        let mut all = vec![link("lo"), link("enp3s0f0"), link("enp3s0f1")];
        all[2].other_names.push("telescope".into());
        let text = existing("enp3s0f2", &all);
        assert!(text.starts_with("did you mean enp3s0f"), "{text}");
        assert!(text.contains("lists enp3s0f0, enp3s0f1"), "{text}");
        assert!(existing("telescop", &all).starts_with("did you mean telescope?"));
        assert!(existing("wlan9", &all).starts_with("`ip link` lists"));
        all.extend((0..500).map(|number| link(&format!("veth{number}"))));
        let text = existing("veth7x", &all);
        assert!(text.ends_with("and 484 more") && text.len() < 400, "{text}");
    }

    #[test]
    fn loopback_exists_and_has_a_queue() {
        let lo = Interface::find("lo").unwrap();
        assert!(lo.still_exists());
        assert_eq!(lo.rx_queues().unwrap(), 1);
        lo.is_up().unwrap();
        assert!(lo.mtu().unwrap() > 1000);
        assert_eq!(lo.driver(), "");
    }
}
