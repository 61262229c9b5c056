//! Opens an AF_XDP queue: packet memory, rings and binding, with a hint if one is refused.

use std::{io, thread::sleep, time::Duration};

use super::{BindMode, Interface, XdpError, XskConfig, XskQueue, handle::Handle, privilege};

/// A queue whose last socket has just been closed is busy until the kernel has freed it.
const BUSY_ATTEMPTS: u32 = 40;
const BUSY_PAUSE: Duration = Duration::from_millis(50);

impl XskQueue {
    /// Opens the socket of one RX queue in the given mode.
    ///
    /// Packet memory is allocated and touched on the calling thread, so pin the thread first. If
    /// the queue is busy, for example with a socket that was just closed, opening is tried again
    /// for two seconds.
    ///
    /// # Errors
    /// [`XdpError::Setting`] for a setting that breaks its rule, [`XdpError::Umem`] if the kernel
    /// refuses packet memory or rings, [`XdpError::Bind`] if it does not bind the socket,
    /// [`XdpError::Socket`] if it does not report the mode in effect, [`XdpError::Interface`] if it
    /// does not report the MTU.
    pub fn open(
        interface: &Interface,
        queue: u32,
        config: &XskConfig,
        mode: BindMode,
    ) -> Result<Self, XdpError> {
        config.validate()?;
        let mtu = interface.mtu()?;
        let fragments = config.fragments && config.is_exceeded_by(mtu);
        match Self::open_patiently(interface, queue, config, mode, fragments) {
            // A kernel before 6.6 does not know the flag.
            Err(XdpError::Bind { source, .. })
                if fragments && source.raw_os_error() == Some(libc::EINVAL) =>
            {
                let opened = Self::open_patiently(interface, queue, config, mode, false)?;
                log::warn!(
                    "{0}: its MTU is {mtu}, and this kernel gives no frame of more than {1} bytes to a \
                     socket, so that dark ones are lost as rx_dropped: set frame_bytes = 4096, a lower \
                     MTU (`ip link set dev {0} mtu 1500`), or use Linux 6.6",
                    interface.name(),
                    config.longest_frame()
                );
                Ok(opened)
            }
            result => result,
        }
    }

    fn open_patiently(
        interface: &Interface,
        queue: u32,
        config: &XskConfig,
        mode: BindMode,
        fragments: bool,
    ) -> Result<Self, XdpError> {
        let mut attempt = 1;
        loop {
            match Self::open_once(interface, queue, config, mode, fragments) {
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

    /// Opens the socket in zero-copy mode, or in copy mode if the driver has no zero copy.
    ///
    /// # Errors
    /// As [`XskQueue::open`]; if both modes fail, the error of copy mode.
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
        fragments: bool,
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

        let (handle, rx, mut fill) = Handle::new(config).map_err(umem_error)?;
        handle
            .bind(interface, queue, mode, config.need_wakeup, fragments)
            .map_err(bind_error)?;
        let frame_bytes = u64::from(config.frame_bytes);
        if !fill.give(config.frames, |frame| u64::from(frame) * frame_bytes) {
            return Err(bind_error(io::Error::other("the fill ring took no frames")));
        }
        let mut opened = Self {
            held: 0,
            rx,
            fill,
            memory: handle.memory().start().as_ptr(),
            memory_bytes: handle.memory().bytes(),
            busy_polling: false,
            busy_polling_proved: false,
            config: *config,
            interface: interface.clone(),
            queue,
            mode,
            fragments,
            gone: false,
            handle,
        };
        opened.mode = opened.mode_in_effect()?;
        if config.busy_poll
            && let Err(error) = opened.start_busy_polling()
        {
            log::warn!(
                "queue {queue} of {} cannot be busy-polled ({error}), so interrupts drive it: \
                 Linux 5.11 and cap_net_admin are needed",
                interface.name()
            );
        }
        opened.wake();
        Ok(opened)
    }
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
