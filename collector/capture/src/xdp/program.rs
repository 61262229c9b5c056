//! The XDP program: loads it with a darknet, attaches it, and puts sockets into its map.

use std::{
    fmt,
    net::IpAddr,
    os::fd::{AsRawFd, BorrowedFd},
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{HashMap, MapData, XskMap},
    programs::{ProgramError, Xdp, XdpMode, xdp::XdpLinkId},
};
use noctule_abi::{UNSERVED_DROP, UNSERVED_PASS, Verdicts, tunnel::MAX_TUNNEL_ENDPOINTS};
use noctule_packet::{darknet::Darknet, tunnel::Tunnels};

use super::{
    Interface, Layer, LedgerReader, VerdictReader, XdpError,
    advice::Refused,
    error::{no_map, one_line, os_code},
    links::attached_program,
    mapped::Mapped,
    prefixes::{MOST_PREFIXES, PrefixMaps},
    privilege,
};

/// How long to wait for a link that is being removed, and how long to sleep between looks.
const LINK_WAIT: Duration = Duration::from_secs(1);
const LINK_PAUSE: Duration = Duration::from_millis(10);

/// The committed object; `cargo xtask build-ebpf` makes it.
pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../ebpf/noctule-xdp.bpf.o"
));

/// The program for frames that begin with an IP header.
const IP_PROGRAM: &str = "noctule_ip";

/// The verdict on a dark frame whose RX queue has no socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unserved {
    /// The host's stack gets it.
    #[default]
    Pass,
    /// It is dropped.
    Drop,
}

/// Where the XDP program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachMode {
    /// In the driver, before a socket buffer exists.
    Native,
    /// In the driver, for frames that may be longer than one buffer (Linux 5.18).
    NativeFragments,
    /// In the kernel's stack: every driver, much slower.
    Generic,
}

impl AttachMode {
    const fn flags(self) -> XdpMode {
        match self {
            Self::Native | Self::NativeFragments => XdpMode::Driver,
            Self::Generic => XdpMode::Skb,
        }
    }

    /// The program for this mode: in generic mode several CPUs may work on one queue.
    pub(super) const fn program(self) -> &'static str {
        match self {
            Self::Native => "noctule",
            Self::NativeFragments => "noctule_fragments",
            Self::Generic => "noctule_generic",
        }
    }

    const fn action(self) -> &'static str {
        match self {
            Self::Native => "attach (native)",
            Self::NativeFragments => "attach (native, frames in fragments)",
            Self::Generic => "attach (generic)",
        }
    }
}

/// A loaded XDP program.
///
/// Dropping it detaches the program. Detach before the sockets are dropped, so that no frame is
/// matched for a socket that no longer exists.
pub struct XdpProgram {
    link: Option<(AttachMode, XdpLinkId)>,
    verdicts: VerdictReader,
    ledger: LedgerReader,
    prefixes: PrefixMaps,
    ebpf: Ebpf,
    interface: Interface,
}

impl XdpProgram {
    /// Loads the program for `queues` RX queues of an interface, with the darknet's prefixes,
    /// tunnels and link options.
    ///
    /// Nothing is attached yet, and no queue is served.
    ///
    /// # Errors
    /// [`XdpError::Setting`] if `queues` is 0, [`XdpError::Load`] if the kernel refuses the program
    /// or its maps, [`XdpError::Map`] if it refuses a prefix or a tunnel address.
    pub fn load(
        interface: &Interface,
        queues: u32,
        darknet: &Darknet,
        unserved: Unserved,
    ) -> Result<Self, XdpError> {
        Self::load_object(OBJECT, interface, queues, darknet, unserved)
    }

    /// [`XdpProgram::load`] of another object file than the one built in.
    ///
    /// # Errors
    /// As [`XdpProgram::load`].
    pub fn load_object(
        object: &[u8],
        interface: &Interface,
        queues: u32,
        darknet: &Darknet,
        unserved: Unserved,
    ) -> Result<Self, XdpError> {
        if queues == 0 {
            return Err(XdpError::Setting {
                setting: "queues",
                value: 0,
                rule: "at least one RX queue is needed".into(),
            });
        }
        let elements = queues.saturating_add(1);
        let tunnels = darknet.tunnels();
        let link = darknet.link_options();
        let unserved = match unserved {
            Unserved::Pass => UNSERVED_PASS,
            Unserved::Drop => UNSERVED_DROP,
        };
        let mut ebpf = EbpfLoader::new()
            .map_max_entries("XSKS", queues)
            .map_max_entries("COUNTERS", elements)
            .map_max_entries("PREFIXES4_0", MOST_PREFIXES)
            .map_max_entries("PREFIXES4_1", MOST_PREFIXES)
            .map_max_entries("PREFIXES6_0", MOST_PREFIXES)
            .map_max_entries("PREFIXES6_1", MOST_PREFIXES)
            .override_global("UNSERVED", &unserved, true)
            .override_global("LATER_QUEUES", &queues, true)
            .map_max_entries("ENDPOINTS4", MAX_TUNNEL_ENDPOINTS as u32)
            .map_max_entries("ENDPOINTS6", MAX_TUNNEL_ENDPOINTS as u32)
            .override_global("TUNNELS", &tunnels.kind_bits(), true)
            .override_global("TUNNEL_VXLAN_PORT", &u32::from(tunnels.vxlan_port()), true)
            .override_global("OUTER_TAGS", &link.tag_bits(), true)
            .override_global("INNER_ETHERNET", &link.inner_bits(), true)
            .load(object)
            .map_err(|error| load_error(interface, &error))?;
        fill_endpoints(&mut ebpf, interface, tunnels)?;
        let mut prefixes = PrefixMaps::new(&ebpf, interface)?;
        prefixes.prepare(&mut ebpf, interface, darknet)?;
        prefixes.flip(&mut ebpf, interface)?;
        let counters = Arc::new(Mapped::new(&ebpf, interface, "COUNTERS")?);
        let mut program = Self {
            link: None,
            verdicts: VerdictReader::new(Arc::clone(&counters)),
            ledger: LedgerReader::new(counters),
            prefixes,
            ebpf,
            interface: interface.clone(),
        };
        program.load_program(program.program(AttachMode::Native))?;
        Ok(program)
    }

    /// The program that this mode attaches to the interface.
    pub(super) fn program(&self, mode: AttachMode) -> &'static str {
        match self.interface.layer() {
            Layer::Ethernet => mode.program(),
            Layer::Ip => IP_PROGRAM,
        }
    }

    /// Loads one of the object's programs into the kernel, unless it is loaded.
    pub(super) fn load_program(&mut self, name: &'static str) -> Result<(), XdpError> {
        let loaded = self.xdp(name).and_then(|xdp| match xdp.fd() {
            Ok(_) => Ok(()),
            Err(_) => xdp.load(),
        });
        loaded.map_err(|error| load_error(&self.interface, &error))
    }

    /// Writes another darknet into the idle generation of maps; [`flip`](Self::flip) puts it in
    /// force. Tunnels and link options stay those of the load.
    ///
    /// It takes some milliseconds, most of them to wait until no run of the program reads the maps
    /// that are overwritten.
    ///
    /// # Errors
    /// [`XdpError::Map`] if the kernel refuses a change; the darknet in force is unchanged then,
    /// and the call may be repeated.
    pub fn prepare(&mut self, darknet: &Darknet) -> Result<(), XdpError> {
        self.prefixes
            .prepare(&mut self.ebpf, &self.interface, darknet)
    }

    /// Puts the darknet in force that was prepared last, from the next frame on. Without a new
    /// [`prepare`](Self::prepare), it puts the darknet before it back in force.
    ///
    /// # Errors
    /// [`XdpError::Map`] if the kernel refuses the change; then the darknet in force is unchanged.
    pub fn flip(&mut self) -> Result<(), XdpError> {
        self.prefixes.flip(&mut self.ebpf, &self.interface)
    }

    /// Gives `queue` its socket: from now on dark frames of that queue go there.
    ///
    /// # Errors
    /// [`XdpError::Map`] if there is no such queue, or `socket` is not a bound AF_XDP socket.
    pub fn serve(&mut self, queue: u32, socket: BorrowedFd<'_>) -> Result<(), XdpError> {
        let name = "XSKS";
        let map = (self.ebpf.map_mut(name)).ok_or_else(|| no_map(self.interface.name(), name))?;
        XskMap::try_from(map)
            .and_then(|mut sockets: XskMap<&mut MapData>| sockets.set(queue, socket.as_raw_fd(), 0))
            .map_err(|error| XdpError::Map {
                action: format!("put the socket of queue {queue} into"),
                map: name,
                reason: one_line(&error),
            })
    }

    /// Checks that no XDP program is attached to the interface. Call it before sockets are opened:
    /// with another collector running, opening them would fail with the less clear error that the
    /// queue is busy.
    ///
    /// The kernel removes a link some milliseconds after its owner has ended, so this waits up to a
    /// second for an attached program to be removed.
    ///
    /// # Errors
    /// [`XdpError::AlreadyAttached`] if an XDP program stays attached, in either mode.
    pub fn check_free(&self) -> Result<(), XdpError> {
        let until = Instant::now() + LINK_WAIT;
        while let Some(program) = attached_program(self.interface.index()) {
            if Instant::now() > until {
                return Err(XdpError::AlreadyAttached {
                    interface: self.interface.name().to_owned(),
                    program,
                });
            }
            sleep(LINK_PAUSE);
        }
        Ok(())
    }

    /// Attaches the program to its interface.
    ///
    /// If the driver refuses [`AttachMode::Native`] and its MTU may be the reason,
    /// [`AttachMode::NativeFragments`] is tried, too. Returns the mode in effect.
    ///
    /// # Errors
    /// [`XdpError::AlreadyAttached`] if an XDP program is attached, in either mode: it is never
    /// replaced. [`XdpError::Load`] or [`XdpError::Attach`] if the kernel or the driver refuses.
    pub fn attach(&mut self, mode: AttachMode) -> Result<AttachMode, XdpError> {
        self.check_free()?;
        let Err((error, may_be_the_mtu)) = self.attach_once(mode) else {
            return Ok(mode);
        };
        let fragments = AttachMode::NativeFragments;
        if mode == AttachMode::Native && may_be_the_mtu && self.attach_once(fragments).is_ok() {
            log::info!(
                "{}: frames may be longer than one buffer of the driver and arrive in fragments",
                self.interface.name()
            );
            return Ok(fragments);
        }
        Err(error)
    }

    /// Attaches in this mode only. The error comes with whether the MTU may be the reason.
    fn attach_once(&mut self, mode: AttachMode) -> Result<(), (XdpError, bool)> {
        (self.load_program(self.program(mode))).map_err(|error| (error, false))?;
        let index = self.interface.index();
        let attached = self
            .xdp(self.program(mode))
            .and_then(|xdp| xdp.attach_to_if_index(index, mode.flags()));
        match attached {
            Ok(link) => {
                self.link = Some((mode, link));
                Ok(())
            }
            Err(error) => {
                let may_be_the_mtu =
                    os_code(&error).is_some_and(|code| self.refused(code, "").may_be_the_mtu());
                Err((self.attach_error(mode.action(), &error), may_be_the_mtu))
            }
        }
    }

    fn refused<'a>(&'a self, code: i32, driver: &'a str) -> Refused<'a> {
        Refused {
            code,
            interface: self.interface.name(),
            driver,
            mtu: self.interface.mtu().unwrap_or_default(),
        }
    }

    /// Detaches the program; from now on frames pass untouched. Counters stay readable.
    ///
    /// # Errors
    /// [`XdpError::Attach`] if the kernel refuses; it is no error if the interface no longer
    /// exists.
    pub fn detach(&mut self) -> Result<(), XdpError> {
        let Some((mode, link)) = self.link.take() else {
            return Ok(());
        };
        match self
            .xdp(self.program(mode))
            .and_then(|xdp| xdp.detach(link))
        {
            Err(error) if self.interface.still_exists() => Err(self.attach_error("detach", &error)),
            _ => Ok(()),
        }
    }

    /// True if this value has attached the program.
    pub fn is_attached(&self) -> bool {
        self.link.is_some()
    }

    /// The interface that the program was loaded for.
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// The verdicts on frames of one queue; see [`VerdictReader::read`].
    ///
    /// # Errors
    /// As [`VerdictReader::read`].
    pub fn verdicts(&self, queue: u32) -> Result<Verdicts, XdpError> {
        self.verdicts.read(queue)
    }

    /// A reader of the verdict counters, which another thread may own.
    pub fn verdict_reader(&self) -> VerdictReader {
        self.verdicts.clone()
    }

    /// A reader of the kernel's ledger of dark packets by protocol and port.
    pub fn ledger_reader(&self) -> LedgerReader {
        self.ledger.clone()
    }

    pub(super) fn xdp(&mut self, name: &str) -> Result<&mut Xdp, ProgramError> {
        self.ebpf
            .program_mut(name)
            .ok_or(ProgramError::UnexpectedProgramType)?
            .try_into()
    }

    fn attach_error(&self, action: &'static str, error: &ProgramError) -> XdpError {
        let interface = self.interface.name().to_owned();
        let hint = match os_code(error) {
            // Another program was attached after the check.
            Some(libc::EBUSY | libc::EEXIST) => {
                return XdpError::AlreadyAttached {
                    interface,
                    program: attached_program(self.interface.index()).unwrap_or(0),
                };
            }
            Some(libc::EPERM | libc::EACCES) => privilege::closed_gate(),
            Some(libc::ENODEV) => "the interface has gone: look at `ip link`".to_owned(),
            Some(code) => self.refused(code, &self.interface.driver()).advice(),
            None => "`dmesg` may have the reason".to_owned(),
        };
        XdpError::Attach {
            action,
            interface,
            reason: one_line(error),
            hint,
        }
    }
}

impl fmt::Debug for XdpProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XdpProgram")
            .field("interface", &self.interface)
            .field("verdicts", &self.verdicts)
            .field("attached", &self.is_attached())
            .finish_non_exhaustive()
    }
}

fn fill_endpoints(
    ebpf: &mut Ebpf,
    interface: &Interface,
    tunnels: &Tunnels,
) -> Result<(), XdpError> {
    for endpoint in tunnels.endpoints() {
        let name = match endpoint {
            IpAddr::V4(_) => "ENDPOINTS4",
            IpAddr::V6(_) => "ENDPOINTS6",
        };
        let map = ebpf
            .map_mut(name)
            .ok_or_else(|| no_map(interface.name(), name))?;
        let inserted = match endpoint {
            IpAddr::V4(address) => HashMap::<_, [u8; 4], u8>::try_from(map)
                .and_then(|mut map| map.insert(address.octets(), 1, 0)),
            IpAddr::V6(address) => HashMap::<_, [u8; 16], u8>::try_from(map)
                .and_then(|mut map| map.insert(address.octets(), 1, 0)),
        };
        inserted.map_err(|error| XdpError::Map {
            action: format!("add {endpoint} to"),
            map: name,
            reason: one_line(&error),
        })?;
    }
    Ok(())
}

fn load_error(interface: &Interface, error: &(dyn std::error::Error + 'static)) -> XdpError {
    let hint = match os_code(error) {
        Some(libc::EPERM | libc::EACCES) => privilege::closed_gate(),
        Some(libc::ENOMEM | libc::E2BIG | libc::ENOSPC) => {
            "the kernel had no memory for the maps: give the process more (cgroup memory limit; \
             before kernel 5.11 also `ulimit -l`) or use fewer prefixes"
                .to_owned()
        }
        _ => "Linux 5.9 or newer with BPF is needed; the committed object is rebuilt with \
              `cargo xtask build-ebpf`"
            .to_owned(),
    };
    XdpError::Load {
        interface: interface.name().to_owned(),
        reason: one_line(error),
        hint,
    }
}
