//! Which privileges AF_XDP needs, and which check failed when the kernel refuses.

use std::fs;

/// Capability numbers of `linux/capability.h`.
const CAP_NET_ADMIN: (u32, &str) = (12, "cap_net_admin");
const CAP_NET_RAW: (u32, &str) = (13, "cap_net_raw");
const CAP_SYS_ADMIN: (u32, &str) = (21, "cap_sys_admin");
const CAP_PERFMON: (u32, &str) = (38, "cap_perfmon");
const CAP_BPF: (u32, &str) = (39, "cap_bpf");

/// The capabilities that every start needs: for attaching XDP, opening AF_XDP sockets, loading
/// programs and maps, and arithmetic on packet pointers, for which the verifier requires
/// CAP_PERFMON.
const NEEDED: [(u32, &str); 4] = [CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, CAP_PERFMON];

/// The capabilities that CAP_SYS_ADMIN includes, since they were part of it before Linux 5.8.
const IN_SYS_ADMIN: [u32; 2] = [CAP_BPF.0, CAP_PERFMON.0];

/// Why the process may not use AF_XDP.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MissingPrivilege {
    /// Capabilities are missing.
    #[error(
        "AF_XDP capture needs {missing}, which this process does not have: run it as root, or \
         `setcap cap_net_admin,cap_net_raw,cap_bpf,cap_perfmon,cap_ipc_lock+ep` on the binary"
    )]
    Capabilities {
        /// The names, separated by commas.
        missing: String,
    },
    /// The process has its capabilities in a user namespace only.
    #[error(
        "AF_XDP capture cannot load its XDP program from inside a user namespace (rootless \
         container): start it from the host's own user namespace"
    )]
    UserNamespace,
}

/// Checks that this thread may load and attach programs and bind sockets. It passes if `/proc`
/// cannot be read; then the kernel's own error comes later.
///
/// # Errors
/// [`MissingPrivilege::Capabilities`] with the name of every capability that is missing,
/// [`MissingPrivilege::UserNamespace`] in a user namespace.
pub fn check() -> Result<(), MissingPrivilege> {
    let Some(effective) = effective_capabilities() else {
        return Ok(());
    };
    missing_in(effective)?;
    if in_user_namespace() {
        return Err(MissingPrivilege::UserNamespace);
    }
    Ok(())
}

/// A hint on which check failed, for a system call that returned EPERM or EACCES: a privilege that
/// [`check`] finds missing, otherwise what else may refuse.
pub fn closed_gate() -> String {
    if let Err(missing) = check() {
        return missing.to_string();
    }
    let mut suspects = vec!["a seccomp filter (container runtimes block bpf(2))".to_owned()];
    if let Ok(modules) = fs::read_to_string("/sys/kernel/security/lsm") {
        suspects.push(format!("a security module ({})", modules.trim()));
    }
    if fs::read_to_string("/sys/kernel/security/lockdown")
        .is_ok_and(|state| !state.contains("[none]"))
    {
        suspects.push("kernel lockdown".to_owned());
    }
    format!(
        "every capability is present, so something else refused: look at {}",
        suspects.join(", ")
    )
}

fn missing_in(effective: u64) -> Result<(), MissingPrivilege> {
    let has = |capability: u32| effective & (1 << capability) != 0;
    let missing: Vec<&str> = NEEDED
        .iter()
        .filter(|(number, _)| !has(*number))
        .filter(|(number, _)| !(IN_SYS_ADMIN.contains(number) && has(CAP_SYS_ADMIN.0)))
        .map(|(_, name)| *name)
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(MissingPrivilege::Capabilities {
            missing: missing.join(", "),
        })
    }
}

fn effective_capabilities() -> Option<u64> {
    let status = fs::read_to_string("/proc/thread-self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// True unless all user ids map onto themselves, as in the first user namespace.
fn in_user_namespace() -> bool {
    fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| {
        let fields: Vec<&str> = map.split_whitespace().collect();
        fields != ["0", "0", "4294967295"]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_capability_is_named() {
        assert_eq!(missing_in(u64::MAX), Ok(()));
        let only_admin = 1 << CAP_NET_ADMIN.0;
        assert_eq!(
            missing_in(only_admin),
            Err(MissingPrivilege::Capabilities {
                missing: "cap_net_raw, cap_bpf, cap_perfmon".into()
            })
        );
        let old_style = 1 << CAP_NET_ADMIN.0 | 1 << CAP_NET_RAW.0 | 1 << CAP_SYS_ADMIN.0;
        assert_eq!(missing_in(old_style), Ok(()));
    }

    #[test]
    fn this_threads_capabilities_can_be_read() {
        assert!(effective_capabilities().is_some());
    }
}
