//! The XDP program: loaded with a darknet, attached to an interface, sockets put into its map.
#![expect(
    unsafe_code,
    reason = "libbpf's query for attached programs is a C function"
)]

use std::{
    fmt,
    mem::offset_of,
    net::IpAddr,
    os::fd::{AsRawFd, BorrowedFd},
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{
        HashMap, Map, MapData, MapError, PerCpuArray, XskMap, lpm_trie::Key, lpm_trie::LpmTrie,
    },
    programs::{ProgramError, Xdp, XdpMode, xdp::XdpLinkId},
};
use ipnet::IpNet;
use libxdp_sys::bpf_xdp_query_opts;
use noctule_abi::{
    PREFIX_EXCLUDE, PREFIX_INCLUDE, UNSERVED_DROP, UNSERVED_PASS, Verdicts,
    tunnel::MAX_TUNNEL_ENDPOINTS,
};
use noctule_packet::{darknet::Darknet, tunnel::Tunnels};

use super::{
    Interface, VerdictReader, XdpError,
    error::{one_line, os_code},
    privilege,
};

/// The committed object; `cargo xtask build-ebpf` makes it.
pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../ebpf/noctule-xdp.bpf.o"
));

/// What becomes of a dark frame whose RX queue has no socket.
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
    /// In the kernel's stack: every driver, much slower.
    Generic,
}

impl AttachMode {
    const fn flags(self) -> XdpMode {
        match self {
            Self::Native => XdpMode::Driver,
            Self::Generic => XdpMode::Skb,
        }
    }

    const fn action(self) -> &'static str {
        match self {
            Self::Native => "attach (native)",
            Self::Generic => "attach (generic)",
        }
    }
}

/// A loaded XDP program.
///
/// Dropping it detaches it. Detach before the sockets are dropped, so that no frame is matched
/// for a socket that has gone.
pub struct XdpProgram {
    link: Option<XdpLinkId>,
    sockets: XskMap<MapData>,
    verdicts: VerdictReader,
    ebpf: Ebpf,
    interface: Interface,
}

impl XdpProgram {
    /// Loads the program for `queues` RX queues of an interface, with the darknet's prefixes
    /// and tunnels.
    ///
    /// Nothing is attached yet, and no queue is served.
    ///
    /// # Errors
    /// [`XdpError::Load`] or [`XdpError::Map`], naming the gate that closed where the kernel
    /// refused.
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
        let [rules4, rules6] = [false, true].map(|six| {
            let of_family = |rule: &&_| is_ipv6(rule) == six;
            let count = darknet.rules().iter().filter(of_family).count();
            u32::try_from(count).unwrap_or(u32::MAX).max(1)
        });
        let tunnels = darknet.tunnels();
        let unserved = match unserved {
            Unserved::Pass => UNSERVED_PASS,
            Unserved::Drop => UNSERVED_DROP,
        };
        let mut ebpf = EbpfLoader::new()
            .map_max_entries("XSKS", queues)
            .map_max_entries("VERDICTS", queues.saturating_add(1))
            .map_max_entries("PREFIXES4", rules4)
            .map_max_entries("PREFIXES6", rules6)
            .override_global("UNSERVED", &unserved, true)
            .override_global("LATER_QUEUES", &queues, true)
            .map_max_entries("ENDPOINTS4", MAX_TUNNEL_ENDPOINTS as u32)
            .map_max_entries("ENDPOINTS6", MAX_TUNNEL_ENDPOINTS as u32)
            .override_global("TUNNELS", &tunnels.kind_bits(), true)
            .override_global("TUNNEL_VXLAN_PORT", &u32::from(tunnels.vxlan_port()), true)
            .load(object)
            .map_err(|error| load_error(interface, &error))?;
        fill_tries(&mut ebpf, interface, darknet)?;
        fill_endpoints(&mut ebpf, interface, tunnels)?;
        xdp(&mut ebpf)
            .and_then(Xdp::load)
            .map_err(|error| load_error(interface, &error))?;
        let sockets = XskMap::try_from(take(&mut ebpf, interface, "XSKS")?)
            .map_err(|error| wrong_map("XSKS", &error))?;
        let verdicts = PerCpuArray::try_from(take(&mut ebpf, interface, "VERDICTS")?)
            .map_err(|error| wrong_map("VERDICTS", &error))?;
        Ok(Self {
            link: None,
            sockets,
            verdicts: VerdictReader::new(verdicts),
            ebpf,
            interface: interface.clone(),
        })
    }

    /// Gives `queue` its socket: dark frames of that queue go there from now on.
    ///
    /// # Errors
    /// [`XdpError::Map`]: no such queue, or the descriptor is no bound AF_XDP socket.
    pub fn serve(&mut self, queue: u32, socket: BorrowedFd<'_>) -> Result<(), XdpError> {
        self.sockets
            .set(queue, socket.as_raw_fd(), 0)
            .map_err(|error| XdpError::Map {
                action: format!("put the socket of queue {queue} into"),
                map: "XSKS",
                reason: one_line(&error),
            })
    }

    /// Is the interface free of XDP programs? Ask before sockets are opened: beside another
    /// collector their queues are busy, which says less.
    ///
    /// # Errors
    /// [`XdpError::AlreadyAttached`] when any XDP program is there, in either mode.
    pub fn check_free(&self) -> Result<(), XdpError> {
        match attached_program(&self.interface) {
            Some(program) => Err(XdpError::AlreadyAttached {
                interface: self.interface.name().to_owned(),
                program,
            }),
            None => Ok(()),
        }
    }

    /// Attaches the program to its interface.
    ///
    /// # Errors
    /// [`XdpError::AlreadyAttached`] when any XDP program is there, in either mode: it is never
    /// replaced. [`XdpError::Attach`] otherwise.
    pub fn attach(&mut self, mode: AttachMode) -> Result<(), XdpError> {
        self.check_free()?;
        let index = self.interface.index();
        let attached = self
            .xdp()
            .and_then(|xdp| xdp.attach_to_if_index(index, mode.flags()));
        match attached {
            Ok(link) => {
                self.link = Some(link);
                Ok(())
            }
            Err(error) => Err(self.attach_error(mode.action(), &error)),
        }
    }

    /// Detaches the program; frames pass untouched from now on. Counters stay readable.
    ///
    /// # Errors
    /// [`XdpError::Attach`]; an interface that is gone is no error.
    pub fn detach(&mut self) -> Result<(), XdpError> {
        let Some(link) = self.link.take() else {
            return Ok(());
        };
        match self.xdp().and_then(|xdp| xdp.detach(link)) {
            Err(error) if self.interface.still_exists() => Err(self.attach_error("detach", &error)),
            _ => Ok(()),
        }
    }

    /// Is it attached by this value?
    pub fn is_attached(&self) -> bool {
        self.link.is_some()
    }

    /// The interface it was loaded for.
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// What was decided on one queue; see [`VerdictReader::read`].
    ///
    /// # Errors
    /// As [`VerdictReader::read`].
    pub fn verdicts(&self, queue: u32) -> Result<Verdicts, XdpError> {
        self.verdicts.read(queue)
    }

    /// A handle on the verdict counters that another thread can own.
    pub fn verdict_reader(&self) -> VerdictReader {
        self.verdicts.clone()
    }

    pub(super) fn xdp(&mut self) -> Result<&mut Xdp, ProgramError> {
        xdp(&mut self.ebpf)
    }

    fn attach_error(&self, action: &'static str, error: &ProgramError) -> XdpError {
        let interface = self.interface.name().to_owned();
        let hint = match os_code(error) {
            // Somebody attached between the question and the attempt.
            Some(libc::EBUSY | libc::EEXIST) => {
                return XdpError::AlreadyAttached {
                    interface,
                    program: attached_program(&self.interface).unwrap_or(0),
                };
            }
            Some(libc::EPERM | libc::EACCES) => privilege::closed_gate(),
            Some(libc::EOPNOTSUPP) => "this driver has no native XDP: use generic mode".to_owned(),
            Some(libc::ENODEV) => "the interface has gone: look at `ip link`".to_owned(),
            Some(libc::EINVAL | libc::ENOMEM | libc::ENOSPC | libc::E2BIG) => {
                "the driver refused: try a smaller MTU (`ip link set dev IF mtu 1500`), fewer \
                 queues (`ethtool -L`), LRO off (`ethtool -K IF lro off`), or generic mode"
                    .to_owned()
            }
            _ => "`dmesg` may say more".to_owned(),
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

fn xdp(ebpf: &mut Ebpf) -> Result<&mut Xdp, ProgramError> {
    ebpf.program_mut("noctule")
        .ok_or(ProgramError::UnexpectedProgramType)?
        .try_into()
}

fn is_ipv6(rule: &noctule_packet::darknet::Rule) -> bool {
    rule.prefix.addr().is_ipv6()
}

fn fill_tries(ebpf: &mut Ebpf, interface: &Interface, darknet: &Darknet) -> Result<(), XdpError> {
    for rule in darknet.rules() {
        let map = match rule.prefix {
            IpNet::V4(_) => "PREFIXES4",
            IpNet::V6(_) => "PREFIXES6",
        };
        // The tries stay with `ebpf`: the kernel wants their descriptors until the program is
        // loaded.
        let trie = ebpf.map_mut(map).ok_or_else(|| no_map(interface, map))?;
        let length = u32::from(rule.prefix.prefix_len());
        let value = if rule.dark {
            PREFIX_INCLUDE
        } else {
            PREFIX_EXCLUDE
        };
        let inserted = match rule.prefix {
            IpNet::V4(prefix) => LpmTrie::<_, [u8; 4], u32>::try_from(trie).and_then(|mut trie| {
                trie.insert(&Key::new(length, prefix.network().octets()), value, 0)
            }),
            IpNet::V6(prefix) => {
                LpmTrie::<_, [u8; 16], u32>::try_from(trie).and_then(|mut trie| {
                    trie.insert(&Key::new(length, prefix.network().octets()), value, 0)
                })
            }
        };
        inserted.map_err(|error| XdpError::Map {
            action: format!("add {} to", rule.prefix),
            map,
            reason: one_line(&error),
        })?;
    }
    Ok(())
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
        let map = ebpf.map_mut(name).ok_or_else(|| no_map(interface, name))?;
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

fn take(ebpf: &mut Ebpf, interface: &Interface, name: &'static str) -> Result<Map, XdpError> {
    ebpf.take_map(name).ok_or_else(|| no_map(interface, name))
}

fn no_map(interface: &Interface, name: &'static str) -> XdpError {
    XdpError::Load {
        interface: interface.name().to_owned(),
        reason: format!("the object has no map {name}"),
        hint: "build it again with `cargo xtask build-ebpf`".into(),
    }
}

fn wrong_map(map: &'static str, error: &MapError) -> XdpError {
    XdpError::Map {
        action: "use".into(),
        map,
        reason: one_line(error),
    }
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

/// The id of the XDP program that is attached to the interface, in whatever mode.
fn attached_program(interface: &Interface) -> Option<u32> {
    let mut answer = bpf_xdp_query_opts {
        // Up to here: the fields after it cost another query and say nothing that is needed.
        sz: offset_of!(bpf_xdp_query_opts, feature_flags),
        prog_id: 0,
        drv_prog_id: 0,
        hw_prog_id: 0,
        skb_prog_id: 0,
        attach_mode: 0,
        feature_flags: 0,
        xdp_zc_max_segs: 0,
    };
    let index = i32::try_from(interface.index()).ok()?;
    // SAFETY: `answer` says its own size and lives through the call.
    let result = unsafe { libxdp_sys::bpf_xdp_query(index, 0, &raw mut answer) };
    if result != 0 {
        return None;
    }
    [
        answer.prog_id,
        answer.drv_prog_id,
        answer.skb_prog_id,
        answer.hw_prog_id,
    ]
    .into_iter()
    .find(|&id| id != 0)
}
