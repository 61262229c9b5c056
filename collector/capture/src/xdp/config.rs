//! Settings of an AF_XDP queue: sizes, and how frames get into packet memory.

use super::XdpError;

/// Room at each frame's start that the kernel keeps for XDP programs (`XDP_PACKET_HEADROOM`).
const HEADROOM_BYTES: u32 = 256;
/// An Ethernet header and two VLAN tags, which an MTU does not include.
const LINK_BYTES: u32 = 22;

/// Sizes of one queue's rings and packet memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XskConfig {
    /// Frames of packet memory, and size of the RX and fill rings; a power of two.
    pub frames: u32,
    /// Bytes of one frame, 2048 or 4096; 256 of them are the kernel's headroom.
    pub frame_bytes: u32,
    /// Most frames that one [`XskQueue::receive`](super::XskQueue::receive) takes; at most half of
    /// `frames`.
    pub batch: u32,
    /// Let the driver sleep and request a wake-up (`XDP_USE_NEED_WAKEUP`, Linux 5.4).
    pub need_wakeup: bool,
    /// Let the worker drive the NIC's queue (`SO_PREFER_BUSY_POLL`, Linux 5.11) if the driver can;
    /// otherwise interrupts drive it.
    pub busy_poll: bool,
    /// If the MTU allows frames that are longer than one frame of packet memory, let them continue
    /// in further ones (`XDP_USE_SG`, Linux 6.6); otherwise they are lost.
    pub fragments: bool,
}

impl Default for XskConfig {
    /// 16 MiB a queue: about half a millisecond at 14.88 Mpps.
    fn default() -> Self {
        Self {
            frames: 8192,
            frame_bytes: 2048,
            batch: 64,
            need_wakeup: true,
            busy_poll: false,
            fragments: true,
        }
    }
}

impl XskConfig {
    /// Checks the sizes against each other.
    ///
    /// # Errors
    /// [`XdpError::Setting`] for the first setting that breaks its rule, with the rule.
    pub fn validate(&self) -> Result<(), XdpError> {
        let refuse = |setting, value: u32, rule: &str| {
            Err(XdpError::Setting {
                setting,
                value: value.into(),
                rule: rule.into(),
            })
        };
        if !self.frames.is_power_of_two() || !(64..=1 << 22).contains(&self.frames) {
            return refuse(
                "frames",
                self.frames,
                "use a power of two from 64 to 4194304",
            );
        }
        if ![2048, 4096].contains(&self.frame_bytes) {
            return refuse("frame_bytes", self.frame_bytes, "use 2048 or 4096");
        }
        if self.batch == 0 || self.batch > self.frames / 2 {
            let rule = format!("use 1 to {}, half of the frames", self.frames / 2);
            return refuse("batch", self.batch, &rule);
        }
        Ok(())
    }

    /// The longest frame, link layer included, that fits one frame of packet memory: `frame_bytes`
    /// without the headroom.
    pub const fn longest_frame(&self) -> u32 {
        self.frame_bytes.saturating_sub(HEADROOM_BYTES)
    }

    /// True if frames of an interface with this MTU may be longer than
    /// [`longest_frame`](Self::longest_frame).
    pub const fn is_exceeded_by(&self, mtu: u32) -> bool {
        mtu.saturating_add(LINK_BYTES) > self.longest_frame()
    }
}

/// How frames get from the NIC into packet memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindMode {
    /// The NIC writes into packet memory.
    ZeroCopy,
    /// The kernel copies from its own buffers.
    Copy,
}

impl BindMode {
    /// `zero-copy` or `copy`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ZeroCopy => "zero-copy",
            Self::Copy => "copy",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        let good = XskConfig::default();
        good.validate().unwrap();
        assert_eq!(good.longest_frame(), 1792);
        assert!(!good.is_exceeded_by(1500) && !good.is_exceeded_by(1770));
        assert!(good.is_exceeded_by(1771) && good.is_exceeded_by(u32::MAX));
        for bad in [
            XskConfig { frames: 0, ..good },
            XskConfig {
                frames: 1000,
                ..good
            },
            XskConfig {
                frame_bytes: 1024,
                ..good
            },
            XskConfig {
                frame_bytes: 3000,
                ..good
            },
            XskConfig { batch: 0, ..good },
            XskConfig {
                batch: 4097,
                ..good
            },
        ] {
            assert!(bad.validate().is_err(), "{bad:?}");
        }
    }
}
