//! Opening an AF_XDP queue: packet memory, rings, binding, and what to do when one is refused.
#![expect(unsafe_code, reason = "packet memory is handed to the kernel")]

use std::{error::Error, io, num::NonZeroU32, thread::sleep, time::Duration};

use xsk_rs::{
    FrameDesc, Socket, Umem,
    config::{
        BindFlags, FrameSize, Interface as XskInterface, LibxdpFlags, QueueSize, SocketConfig,
        UmemConfig,
    },
};

use super::{BindMode, Interface, XdpError, XskConfig, XskQueue, error::os_code, privilege};

/// Size of the rings for sending, which is never done; the kernel wants them all the same.
const SEND_RING: u32 = 64;
/// A queue whose last socket has just been closed is busy until the kernel has cleaned up.
const BUSY_ATTEMPTS: u32 = 40;
const BUSY_PAUSE: Duration = Duration::from_millis(50);

impl XskQueue {
    /// Opens the socket of one RX queue in the given mode.
    ///
    /// Packet memory is allocated and touched here, on the calling thread: pin it first. A
    /// queue that is still busy with a socket that was closed is tried again for two seconds.
    ///
    /// # Errors
    /// [`XdpError::Setting`], [`XdpError::Umem`] or [`XdpError::Bind`].
    pub fn open(
        interface: &Interface,
        queue: u32,
        config: &XskConfig,
        mode: BindMode,
    ) -> Result<Self, XdpError> {
        config.validate()?;
        let mut attempt = 1;
        loop {
            match Self::open_once(interface, queue, config, mode) {
                Err(XdpError::Bind { source, .. })
                    if source.raw_os_error() == Some(libc::EBUSY) && attempt < BUSY_ATTEMPTS =>
                {
                    attempt += 1;
                    sleep(BUSY_PAUSE);
                }
                result => return result,
            }
        }
    }

    /// Opens it in zero-copy mode, or in copy mode where the driver has no zero copy.
    ///
    /// # Errors
    /// As [`XskQueue::open`], of the copy attempt.
    pub fn open_auto(
        interface: &Interface,
        queue: u32,
        config: &XskConfig,
    ) -> Result<Self, XdpError> {
        match Self::open(interface, queue, config, BindMode::ZeroCopy) {
            Err(XdpError::Bind { source, .. })
                if matches!(source.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EINVAL)) =>
            {
                log::debug!(
                    "{}: queue {queue} has no zero copy ({source}); copy mode is used",
                    interface.name()
                );
                Self::open(interface, queue, config, BindMode::Copy)
            }
            result => result,
        }
    }

    fn open_once(
        interface: &Interface,
        queue: u32,
        config: &XskConfig,
        mode: BindMode,
    ) -> Result<Self, XdpError> {
        let umem_error = |source: io::Error| XdpError::Umem {
            interface: interface.name().to_owned(),
            queue,
            frames: config.frames,
            frame_bytes: config.frame_bytes,
            mebibytes: f64::from(config.frames) * f64::from(config.frame_bytes)
                / f64::from(1 << 20),
            hint: umem_hint(&source),
            source,
        };
        let bind_error = |source: io::Error| XdpError::Bind {
            interface: interface.name().to_owned(),
            queue,
            mode: mode.name(),
            hint: bind_hint(&source, interface, mode),
            source,
        };

        let ring = |size: u32| QueueSize::new(size).map_err(io::Error::other);
        let umem_config = || -> io::Result<UmemConfig> {
            UmemConfig::builder()
                .frame_size(FrameSize::new(config.frame_bytes).map_err(io::Error::other)?)
                .fill_queue_size(ring(config.frames)?)
                .comp_queue_size(ring(SEND_RING)?)
                .build()
                .map_err(io::Error::other)
        };
        let frames = NonZeroU32::new(config.frames).unwrap_or(NonZeroU32::MIN);
        let (umem, all_frames) = umem_config()
            .and_then(|umem| Umem::new(umem, frames, false).map_err(|e| os_error(&e)))
            .map_err(umem_error)?;

        let mut flags = match mode {
            BindMode::ZeroCopy => BindFlags::XDP_ZEROCOPY,
            BindMode::Copy => BindFlags::XDP_COPY,
        };
        if config.need_wakeup {
            flags |= BindFlags::XDP_USE_NEED_WAKEUP;
        }
        let socket_config = || -> io::Result<SocketConfig> {
            Ok(SocketConfig::builder()
                .rx_queue_size(ring(config.frames)?)
                .tx_queue_size(ring(SEND_RING)?)
                // The program and its map are aya's.
                .libxdp_flags(LibxdpFlags::XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD)
                .bind_flags(flags)
                .build())
        };
        let (tx, rx, shared) = (interface.name().parse::<XskInterface>())
            .map_err(io::Error::other)
            .and_then(|name| {
                let socket_config = socket_config()?;
                // SAFETY: this packet memory is new and shared with no other socket, and
                // libxdp loads no program.
                unsafe { Socket::new(socket_config, &umem, &name, queue) }.map_err(|e| os_error(&e))
            })
            .map_err(bind_error)?;
        let Some((mut fill, completion)) = shared else {
            return Err(bind_error(io::Error::other("libxdp gave no fill ring")));
        };

        // SAFETY: these are all the frames of this socket's own memory, and nothing else
        // holds one of them.
        let given = unsafe { fill.produce(&all_frames) };
        if given != all_frames.len() {
            return Err(bind_error(io::Error::other("the fill ring took no frames")));
        }
        let mut opened = Self {
            batch: vec![FrameDesc::default(); config.batch as usize].into_boxed_slice(),
            held: 0,
            memory_bytes: config.frames as usize * config.frame_bytes as usize,
            interface: interface.clone(),
            queue,
            config: *config,
            mode,
            gone: false,
            rx,
            fill,
            _completion: completion,
            _tx: tx,
            umem,
        };
        opened.mode = opened.mode_in_effect()?;
        opened.wake();
        Ok(opened)
    }
}

/// The operating system's error under one of xsk-rs, whose own text carries no cause.
fn os_error(error: &(dyn Error + 'static)) -> io::Error {
    os_code(error).map_or_else(
        || io::Error::other(error.to_string()),
        io::Error::from_raw_os_error,
    )
}

fn umem_hint(source: &io::Error) -> String {
    match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => privilege::closed_gate(),
        Some(libc::ENOBUFS) => "the locked-memory limit is in the way: raise it (`ulimit -l \
                                unlimited`, systemd LimitMEMLOCK=infinity) or add cap_ipc_lock"
            .into(),
        Some(libc::ENOMEM) => {
            "there is not enough memory: use fewer frames or raise the cgroup's limit".into()
        }
        Some(libc::EAFNOSUPPORT) => "this kernel was built without AF_XDP".into(),
        _ => "`dmesg` may say more".into(),
    }
}

fn bind_hint(source: &io::Error, interface: &Interface, mode: BindMode) -> String {
    match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => privilege::closed_gate(),
        Some(libc::EBUSY) => "another AF_XDP socket holds this queue: stop the program that \
                              opened it (`ss --xdp` lists them)"
            .into(),
        Some(libc::ENETDOWN) => format!(
            "bring the interface up: `ip link set dev {} up`",
            interface.name()
        ),
        Some(libc::ENODEV) => "the interface has gone: look at `ip link`".into(),
        Some(libc::EOPNOTSUPP | libc::EINVAL) => match mode {
            BindMode::ZeroCopy => "the driver has no zero copy for this queue: use copy".into(),
            BindMode::Copy => format!(
                "is there such a queue? `ethtool -l {}` lists them",
                interface.name()
            ),
        },
        Some(libc::ENOBUFS | libc::ENOMEM) => {
            "there is not enough memory for the rings: use fewer frames".into()
        }
        _ => "`dmesg` may say more".into(),
    }
}
