//! What to do when a driver refuses the XDP program, by error, driver and MTU.
//!
//! The kernel's own explanation goes to a trace point; the process gets the error number only.

/// Drivers with native XDP as of Linux 6.12, as `ethtool -i` names them.
const NATIVE: [&str; 33] = [
    "ena",
    "atlantic",
    "bnxt_en",
    "thunder_xcv",
    "nicvf",
    "tsnep",
    "dpaa2_eth",
    "fsl_dpaa",
    "enetc",
    "fec",
    "fun",
    "gve",
    "i40e",
    "ice",
    "idpf",
    "igb",
    "igc",
    "ixgbe",
    "ixgbevf",
    "mana",
    "mlx4_en",
    "mlx5_core",
    "mvneta",
    "mvpp2",
    "nfp",
    "qede",
    "sfc",
    "stmmac",
    "ti_cpsw",
    "hv_netvsc",
    "veth",
    "virtio_net",
    "vmxnet3",
];

/// What a driver refused.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused<'a> {
    /// The error number.
    pub code: i32,
    /// Name of the interface.
    pub interface: &'a str,
    /// Name of its driver; empty if it is unknown.
    pub driver: &'a str,
    /// Its MTU.
    pub mtu: u32,
}

impl Refused<'_> {
    /// True if the driver may take the program for frames in fragments instead.
    pub fn may_be_the_mtu(&self) -> bool {
        self.mtu > 1500
            && matches!(
                self.code,
                libc::ERANGE | libc::EINVAL | libc::EOPNOTSUPP | libc::E2BIG | libc::EMSGSIZE
            )
    }

    /// What to do, on one line.
    pub fn advice(&self) -> String {
        let Self {
            interface, driver, ..
        } = self;
        let mut steps = Vec::new();
        if self.may_be_the_mtu() {
            steps.push(format!(
                "its MTU is {}: an MTU of 1500 works with every driver (`ip link set dev {interface} \
                 mtu 1500`)",
                self.mtu
            ));
        }
        let native = NATIVE.contains(driver);
        match (*driver, self.code) {
            ("virtio_net", libc::EOPNOTSUPP) => steps.push(format!(
                "the host has switched on receive offloads: switch them off (`ethtool -K {interface} \
                 lro off gro off rx-gro-hw off rx off`), or where they are fixed, on the host (QEMU: \
                 `guest_csum=off,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off`; libvirt: \
                 `<guest csum='off' tso4='off' tso6='off' ecn='off' ufo='off'/>`)"
            )),
            ("virtio_net", libc::ENOMEM) => steps.push(format!(
                "it has no queue left for XDP: use fewer (`ethtool -L {interface} combined 1`), or \
                 give it more on the host (QEMU: `mq=on,vectors=...`)"
            )),
            (_, libc::EOPNOTSUPP) if !driver.is_empty() && !native => {
                steps.insert(0, format!("driver {driver} has no native XDP as far as is known"));
            }
            (_, libc::EOPNOTSUPP) if driver.is_empty() => {
                steps.insert(0, "its driver has no native XDP".to_owned());
            }
            (_, libc::EOPNOTSUPP | libc::EINVAL) => steps.push(format!(
                "receive offloads may be in the way (`ethtool -K {interface} lro off rx-gro-hw off`)"
            )),
            (_, libc::ENOMEM | libc::ENOSPC | libc::EBUSY) => steps.push(format!(
                "it has no queues or memory left for XDP: use fewer queues or smaller rings (`ethtool \
                 -L {interface} combined 4`, `ethtool -G {interface} rx 1024`)"
            )),
            _ => {}
        }
        match self.code {
            libc::EOPNOTSUPP
            | libc::EINVAL
            | libc::ERANGE
            | libc::ENOMEM
            | libc::ENOSPC
            | libc::E2BIG
            | libc::EMSGSIZE => {
                steps.push("generic mode works with every driver, slowly (--mode generic)".into());
            }
            _ => steps.push("`dmesg` may have the reason".into()),
        }
        steps.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(code: i32, driver: &str, mtu: u32) -> String {
        let refused = Refused {
            code,
            interface: "eth7",
            driver,
            mtu,
        };
        let text = refused.advice();
        assert_eq!(text.lines().count(), 1, "{text}");
        text
    }

    #[test]
    fn virtio_names_the_offloads_to_switch_off() {
        let text = advice(libc::EOPNOTSUPP, "virtio_net", 1500);
        for part in [
            "ethtool -K eth7 lro off gro off",
            "guest_tso4=off",
            "guest_csum=off",
            "tso6='off'",
            "--mode generic",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(
            !text.contains("no native XDP") && !text.contains("MTU"),
            "{text}"
        );
        let text = advice(libc::ENOMEM, "virtio_net", 1500);
        assert!(text.contains("ethtool -L eth7 combined 1"), "{text}");
    }

    #[test]
    fn an_mtu_is_named_only_if_it_may_be_the_reason() {
        for (code, driver) in [
            (libc::ERANGE, "veth"),
            (libc::EINVAL, "ixgbe"),
            (libc::EOPNOTSUPP, "ice"),
            (libc::EOPNOTSUPP, "virtio_net"),
        ] {
            let text = advice(code, driver, 9000);
            assert!(
                text.starts_with("its MTU is 9000")
                    && text.contains("ip link set dev eth7 mtu 1500"),
                "{text}"
            );
            assert!(!advice(code, driver, 1500).contains("MTU"));
        }
        assert!(!advice(libc::ENOMEM, "ice", 9000).contains("MTU"));
        assert!(!advice(libc::EBUSY, "ice", 9000).contains("MTU"));
    }

    #[test]
    fn a_driver_without_native_xdp_is_not_sent_after_offloads() {
        for driver in ["e1000e", "tun", "bridge", ""] {
            let text = advice(libc::EOPNOTSUPP, driver, 1500);
            assert!(text.contains("no native XDP"), "{text}");
            assert!(text.contains("generic mode"), "{text}");
            assert!(!text.contains("ethtool"), "{text}");
        }
        for driver in NATIVE {
            let text = advice(libc::EOPNOTSUPP, driver, 1500);
            assert!(
                !text.contains("no native XDP") && text.contains("ethtool -K"),
                "{text}"
            );
        }
    }

    #[test]
    fn other_errors_have_their_own_cure_or_the_log() {
        assert!(advice(libc::ENOSPC, "mlx5_core", 1500).contains("ethtool -G eth7"));
        assert!(advice(libc::EIO, "ice", 1500).contains("dmesg"));
    }
}
