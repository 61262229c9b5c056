//! Network namespaces for tests, benches and the demo: made, entered, joined by veth pairs, and
//! deleted afterwards.
//!
//! Whatever a test sends stays between namespaces that it made itself. Needs root and iproute2.
//! It is a package of its own because xtask needs it, and xtask builds without a C compiler.
#![expect(
    unsafe_code,
    reason = "setns and packet sockets have no safe wrapper in std"
)]

pub mod tun;

use std::{
    ffi::CString,
    fs::File,
    io,
    marker::PhantomData,
    mem::{size_of, zeroed},
    os::fd::{AsFd as _, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    path::Path,
    process::{Command, Output, id},
    ptr,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// Why a namespace, or something in it, could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    /// A command failed.
    #[error("`{command}` failed: {said}; network namespaces need root and iproute2")]
    Command {
        /// The command line.
        command: String,
        /// What it wrote to its error output, or why it could not be started.
        said: String,
    },
    /// A system call failed.
    #[error("cannot {action} {what}: {source}; network namespaces need root")]
    System {
        /// What was attempted.
        action: &'static str,
        /// On what.
        what: String,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// True if this process can make network namespaces: it is root, and iproute2 is installed. A test
/// that needs one is skipped otherwise.
pub fn available() -> bool {
    // SAFETY: `geteuid` takes nothing and cannot fail.
    let user = unsafe { libc::geteuid() };
    user == 0 && Command::new("ip").arg("-V").output().is_ok()
}

/// A network namespace of its own, deleted on drop with everything in it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace whose name begins with `prefix` and is unique to this process.
    ///
    /// # Errors
    /// [`NetnsError`] without root or iproute2.
    pub fn new(prefix: &str) -> Result<Self, NetnsError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{prefix}-{}-{number}", id());
        run(Command::new("ip").args(["netns", "add", &name]))?;
        let namespace = Self { name };
        namespace.command("ip", &["link", "set", "dev", "lo", "up"])?;
        Ok(namespace)
    }

    /// Its name, as `ip netns` shows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs a program inside it and waits; `/sys` shows the namespace's own interfaces there.
    ///
    /// # Errors
    /// [`NetnsError::Command`] when it cannot be started or fails.
    pub fn command(&self, program: &str, arguments: &[&str]) -> Result<Output, NetnsError> {
        run(self.prepare(program).args(arguments))
    }

    /// A program to be started inside it, for those who want its pipes.
    pub fn prepare(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Moves the calling thread into it until the returned guard drops. Threads that it starts
    /// meanwhile begin there too.
    ///
    /// # Errors
    /// [`NetnsError::System`].
    pub fn enter(&self) -> Result<Entered, NetnsError> {
        let here = open_namespace(Path::new("/proc/thread-self/ns/net"))?;
        let there = open_namespace(&Path::new("/run/netns").join(&self.name))?;
        set_namespace(&there)?;
        Ok(Entered {
            before: here,
            _thread: PhantomData,
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = run(Command::new("ip").args(["netns", "del", &self.name])) {
            log::warn!("{error}");
        }
    }
}

/// The calling thread is in a namespace; dropping it goes back to the one before.
#[derive(Debug)]
pub struct Entered {
    before: File,
    // The namespace is the thread's: dropped on another thread it would move that one.
    _thread: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Err(error) = set_namespace(&self.before) {
            log::error!("{error}");
        }
    }
}

/// Joins two namespaces by a veth pair with `queues` RX and TX queues at each end, both up.
///
/// The kernel sends nothing of its own over it (no IPv6 link-local addresses, no ARP).
///
/// # Errors
/// [`NetnsError::Command`].
pub fn veth_pair(
    a: (&Namespace, &str),
    b: (&Namespace, &str),
    queues: u32,
) -> Result<(), NetnsError> {
    let queues = queues.to_string();
    let size = ["numrxqueues", &queues, "numtxqueues", &queues];
    let mut add = Command::new("ip");
    add.args(["link", "add", a.1, "netns", a.0.name()]);
    add.args(size).args(["type", "veth", "peer", "name", b.1]);
    add.args(["netns", b.0.name()]).args(size);
    run(&mut add)?;
    for (namespace, name) in [a, b] {
        namespace.command("ip", &["link", "set", "dev", name, "addrgenmode", "none"])?;
        namespace.command("ip", &["link", "set", "dev", name, "arp", "off", "up"])?;
    }
    Ok(())
}

/// A packet socket (AF_PACKET) on one interface of the thread's namespace: sends frames as they
/// are, and sees what the stack is given.
#[derive(Debug)]
pub struct PacketSocket {
    socket: OwnedFd,
    interface: String,
}

impl PacketSocket {
    /// Opens one on `interface`.
    ///
    /// # Errors
    /// [`NetnsError::System`].
    pub fn open(interface: &str) -> Result<Self, NetnsError> {
        let failed = |action| {
            let what = format!("packet socket on {interface}");
            move |source| NetnsError::System {
                action,
                what,
                source,
            }
        };
        let protocol = (libc::ETH_P_ALL as u16).to_be();
        // SAFETY: `socket` takes no pointers.
        let fd = unsafe {
            libc::socket(
                libc::AF_PACKET,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC,
                i32::from(protocol),
            )
        };
        if fd < 0 {
            return Err(failed("open a")(io::Error::last_os_error()));
        }
        // SAFETY: the kernel has just given out this descriptor and nothing else owns it.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        let name =
            CString::new(interface).map_err(|error| failed("name a")(io::Error::other(error)))?;
        // SAFETY: the name ends with NUL.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        // SAFETY: `sockaddr_ll` is plain data; all zero is a valid value.
        let mut address: libc::sockaddr_ll = unsafe { zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = protocol;
        address.sll_ifindex = index.cast_signed();
        // SAFETY: the address has the size that is given, and lives through the call.
        let bound = unsafe {
            libc::bind(
                fd,
                (&raw const address).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        if bound < 0 {
            return Err(failed("bind a")(io::Error::last_os_error()));
        }
        Ok(Self {
            socket,
            interface: interface.to_owned(),
        })
    }

    /// Sends one frame, link layer first.
    ///
    /// # Errors
    /// [`NetnsError::System`].
    pub fn send(&self, frame: &[u8]) -> Result<(), NetnsError> {
        // SAFETY: the slice is readable for its length.
        let sent = unsafe {
            libc::send(
                self.socket.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                0,
            )
        };
        if sent < 0 {
            return Err(self.failed("send on"));
        }
        Ok(())
    }

    /// The next frame that came in over the interface, or none in time; own ones are skipped.
    ///
    /// A VLAN tag that the kernel took off the frame is not put back.
    ///
    /// # Errors
    /// [`NetnsError::System`].
    pub fn receive(&self, timeout: Duration) -> Result<Option<Vec<u8>>, NetnsError> {
        let mut octets = vec![0; 65_536];
        loop {
            match readable(self.socket.as_fd(), timeout) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(_) => return Err(self.failed("wait on")),
            }
            // SAFETY: `sockaddr_ll` is plain data; all zero is a valid value.
            let mut from: libc::sockaddr_ll = unsafe { zeroed() };
            let mut from_octets = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            // SAFETY: buffer and address are writable for the lengths that are given.
            let length = unsafe {
                libc::recvfrom(
                    self.socket.as_raw_fd(),
                    octets.as_mut_ptr().cast(),
                    octets.len(),
                    0,
                    ptr::from_mut(&mut from).cast(),
                    &raw mut from_octets,
                )
            };
            let Ok(length) = usize::try_from(length) else {
                return Err(self.failed("receive on"));
            };
            if from.sll_pkttype != libc::PACKET_OUTGOING {
                octets.truncate(length);
                return Ok(Some(octets));
            }
        }
    }

    fn failed(&self, action: &'static str) -> NetnsError {
        NetnsError::System {
            action,
            what: format!("the packet socket of {}", self.interface),
            source: io::Error::last_os_error(),
        }
    }
}

/// Waits until there is something to read; false when there is nothing in time.
fn readable(fd: BorrowedFd<'_>, timeout: Duration) -> io::Result<bool> {
    let mut poll = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let milliseconds = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: one pollfd, which lives through the call.
    match unsafe { libc::poll(&raw mut poll, 1, milliseconds) } {
        0 => Ok(false),
        events if events < 0 => Err(io::Error::last_os_error()),
        _ => Ok(true),
    }
}

fn open_namespace(path: &Path) -> Result<File, NetnsError> {
    File::open(path).map_err(|source| NetnsError::System {
        action: "open namespace",
        what: path.display().to_string(),
        source,
    })
}

fn set_namespace(namespace: &File) -> Result<(), NetnsError> {
    // SAFETY: `setns` takes no pointers; it changes the namespace of this thread alone.
    if unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) } < 0 {
        return Err(NetnsError::System {
            action: "enter a network namespace from",
            what: "this thread".into(),
            source: io::Error::last_os_error(),
        });
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<Output, NetnsError> {
    let failed = |said: String, command: &Command| NetnsError::Command {
        command: format!("{command:?}").replace('"', ""),
        said,
    };
    let output = (command.output()).map_err(|error| failed(error.to_string(), command))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(failed(said.trim().to_owned(), command))
}

/// Deletes namespaces of killed tests and demos: those named `noctule-ROLE-PROCESS-NUMBER` whose
/// process has ended. Returns their names.
pub fn sweep() -> Vec<String> {
    let Ok(output) = run(Command::new("ip").args(["netns", "list"])) else {
        return Vec::new();
    };
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    let is_left = |name: &&str| {
        let process = name.split('-').find(|part| part.parse::<u32>().is_ok());
        name.starts_with("noctule-")
            && process.is_some_and(|id| !Path::new("/proc").join(id).exists())
    };
    let names = names.lines().filter_map(|line| line.split(' ').next());
    (names.filter(is_left))
        // Another process may be deleting the same ones.
        .filter(|name| run(Command::new("ip").args(["netns", "del", name])).is_ok())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write as _;

    use super::*;

    /// Writes past the test harness, which keeps what a passing test prints.
    pub fn skipped(test: &str) {
        let line = format!("SKIPPED {test}: needs root and iproute2\n");
        let _ = io::stderr().write_all(line.as_bytes());
    }

    fn interfaces() -> String {
        let output = Command::new("ip").args(["-o", "link"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn a_namespace_is_entered_left_and_deleted() {
        if !available() {
            skipped("a_namespace_is_entered_left_and_deleted");
            return;
        }
        let outside = interfaces();
        let [a, b] = ["noctule-a", "noctule-b"].map(|prefix| Namespace::new(prefix).unwrap());
        veth_pair((&a, "left"), (&b, "right"), 1).unwrap();
        let names = [&a, &b].map(|namespace| namespace.name().to_owned());
        {
            let _inside = a.enter().unwrap();
            let inside = interfaces();
            assert!(
                inside.contains("left") && !inside.contains("right"),
                "{inside}"
            );
        }
        assert_eq!(interfaces(), outside);
        let error = a.command("ip", &["link", "show", "right"]).unwrap_err();
        assert!(error.to_string().contains("link show right"), "{error}");
        drop((a, b));
        for name in names {
            assert!(
                !Path::new("/run/netns").join(&name).exists(),
                "{name} is left"
            );
        }
    }
}
