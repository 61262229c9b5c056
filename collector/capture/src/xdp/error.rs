//! Errors of AF_XDP capture, each with a hint what to do.

use std::io;

use super::privilege::MissingPrivilege;

/// Why AF_XDP capture could not be set up, or failed.
///
/// Every message is one line: what was attempted, on what, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum XdpError {
    /// No network interface of this network namespace has the name.
    #[error("interface {name} does not exist: {existing}")]
    NoSuchInterface {
        /// The name that was asked for.
        name: String,
        /// The name that may have been meant, and those that exist.
        existing: String,
    },
    /// The interface is of a kind from which AF_XDP gets no frames.
    #[error("interface {name} is {what}: {cure}")]
    Device {
        /// Name of the interface.
        name: String,
        /// What it is.
        what: String,
        /// What to use instead.
        cure: String,
    },
    /// A property of the interface could not be read.
    #[error("cannot read {what} of interface {name}: {source}")]
    Interface {
        /// Name of the interface.
        name: String,
        /// The property, such as `flags`.
        what: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The interface could not be put into promiscuous mode.
    #[error(
        "cannot put interface {interface} into promiscuous mode: {source}; leave `promiscuous` off if \
         the NIC's filters let the darknet's frames through"
    )]
    Promiscuous {
        /// Name of the interface.
        interface: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The process lacks a capability.
    #[error(transparent)]
    Privilege(#[from] MissingPrivilege),
    /// Another XDP program is attached.
    #[error(
        "interface {interface} already has an XDP program (id {program}): stop the program that \
         attached it, or remove it with `ip link set dev {interface} xdp off`"
    )]
    AlreadyAttached {
        /// Name of the interface.
        interface: String,
        /// The kernel's id of that program, as `bpftool prog` shows it; 0 if it was detached
        /// meanwhile.
        program: u32,
    },
    /// The kernel refused the program or its maps.
    #[error("cannot load the XDP program for interface {interface}: {reason}; {hint}")]
    Load {
        /// Name of the interface.
        interface: String,
        /// What aya or the kernel said, on one line.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// The program was loaded but could not be attached or detached.
    #[error("cannot {action} the XDP program on interface {interface}: {reason}; {hint}")]
    Attach {
        /// `attach` (with the mode) or `detach`.
        action: &'static str,
        /// Name of the interface.
        interface: String,
        /// What aya or the kernel said, on one line.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// A map of the loaded program could not be read or written.
    #[error("cannot {action} the XDP program's map {map}: {reason}; load the program again")]
    Map {
        /// What was attempted, such as `add 192.0.2.0/24 to`.
        action: String,
        /// Name of the map.
        map: &'static str,
        /// What aya or the kernel said, on one line.
        reason: String,
    },
    /// A setting of the rings makes no sense.
    #[error("AF_XDP setting {setting} = {value} is refused: {rule}")]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// Its value.
        value: u64,
        /// What it must be.
        rule: String,
    },
    /// The packet memory of a queue could not be made.
    #[error(
        "cannot register {mebibytes:.1} MiB of packet memory ({frames} frames of {frame_bytes} \
         bytes) for queue {queue} of {interface}: {source}; {hint}"
    )]
    Umem {
        /// Name of the interface.
        interface: String,
        /// RX queue.
        queue: u32,
        /// Frames asked for.
        frames: u32,
        /// Bytes of one frame.
        frame_bytes: u32,
        /// Both multiplied, in MiB.
        mebibytes: f64,
        /// The kernel's answer.
        source: io::Error,
        /// What to do.
        hint: String,
    },
    /// The socket could not be bound to its queue.
    #[error(
        "cannot bind an AF_XDP socket to queue {queue} of {interface} in {mode} mode: {source}; {hint}"
    )]
    Bind {
        /// Name of the interface.
        interface: String,
        /// RX queue.
        queue: u32,
        /// `zero-copy` or `copy`.
        mode: &'static str,
        /// The kernel's answer.
        source: io::Error,
        /// What to do.
        hint: String,
    },
    /// A bound socket failed.
    #[error(
        "cannot {action} the AF_XDP socket on queue {queue} of {interface}: {source}; restart the collector"
    )]
    Socket {
        /// `poll`, `wake`, `read statistics of` and the like.
        action: &'static str,
        /// Name of the interface.
        interface: String,
        /// RX queue.
        queue: u32,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// An error and its causes on one line; a cause that the text already contains is left out.
///
/// Of the verifier's log, which has many lines, the last lines are kept: they say what was refused.
pub(super) fn one_line(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = inner.source();
    }
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    match lines.as_slice() {
        [] => String::new(),
        [first, middle @ .., last] if middle.len() > 4 => {
            format!(
                "{first} ... {} | {last}",
                middle[middle.len() - 3..].join(" | ")
            )
        }
        few => few.join(" | "),
    }
}

/// The object that was loaded lacks map `name`.
pub(super) fn no_map(interface: &str, name: &'static str) -> XdpError {
    XdpError::Load {
        interface: interface.to_owned(),
        reason: format!("the object has no map {name}"),
        hint: "build it again with `cargo xtask build-ebpf`".into(),
    }
}

/// The operating-system error code at the root of an error, if there is one.
pub(super) fn os_code(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(code) = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error)
        {
            return Some(code);
        }
        at = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);

    #[test]
    fn causes_and_codes_are_found_below_the_surface() {
        let error = Outer(io::Error::from_raw_os_error(libc::EPERM));
        assert_eq!(os_code(&error), Some(libc::EPERM));
        let line = one_line(&error);
        assert!(
            line.starts_with("outer: ") && line.contains("os error 1"),
            "{line}"
        );
    }

    #[test]
    fn a_long_log_becomes_one_line_that_keeps_its_end() {
        let log: Vec<String> = (0..50).map(|n| format!("line {n}\n")).collect();
        let line = one_line(&io::Error::other(log.concat()));
        assert_eq!(line.lines().count(), 1);
        assert!(
            line.starts_with("line 0 ...") && line.ends_with("line 49"),
            "{line}"
        );
    }
}
