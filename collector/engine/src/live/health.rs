//! Says in the log what an operator must know of an interface: that it is gone, that it has no link,
//! that nothing arrives, or that nothing dark arrives.

use std::time::{Duration, Instant};

use noctule_capture::xdp::Interface;

use super::ports::Seen;

/// How often the link is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The interfaces of a run.
pub struct Health {
    ports: Vec<PortHealth>,
    look_at: Instant,
    /// Time without frames after which a hint is given; none: no hints.
    hint_after: Option<Duration>,
    promiscuous: bool,
}

struct PortHealth {
    interface: Interface,
    gone: bool,
    carrier: bool,
    hints: Hints,
}

impl Health {
    /// Interfaces that have just been attached to.
    pub fn new(interfaces: &[Interface], hint_after: Option<Duration>, promiscuous: bool) -> Self {
        let now = Instant::now();
        let ports = (interfaces.iter())
            .map(|interface| PortHealth {
                interface: interface.clone(),
                gone: false,
                carrier: true,
                hints: Hints::new(now),
            })
            .collect();
        Self {
            ports,
            look_at: now + LOOK_EVERY,
            hint_after,
            promiscuous,
        }
    }

    /// Looks at every interface; `seen` are its frames so far. Returns whether all are
    /// gone.
    pub fn look(&mut self, seen: impl Iterator<Item = Seen>) -> bool {
        let all = self.ports.len();
        for port in self.ports.iter_mut().filter(|port| !port.gone) {
            port.gone = !port.interface.still_exists();
            if port.gone && all > 1 {
                log::error!(
                    "interface {} went away while collecting: its frames until now are counted, and the other interfaces go on; bring it back and restart the collector",
                    port.interface.name()
                );
            }
        }
        let now = Instant::now();
        if now >= self.look_at {
            self.look_at = now + LOOK_EVERY;
            for (port, seen) in self.ports.iter_mut().zip(seen) {
                if !port.gone {
                    port.look(now, seen, self.hint_after, self.promiscuous);
                }
            }
        }
        self.ports.iter().all(|port| port.gone)
    }
}

impl PortHealth {
    fn look(&mut self, now: Instant, seen: Seen, after: Option<Duration>, promiscuous: bool) {
        let name = self.interface.name();
        if let Ok(carrier) = self.interface.has_carrier()
            && carrier != self.carrier
        {
            self.carrier = carrier;
            if carrier {
                log::info!("{name} has a link again");
            } else {
                log::warn!(
                    "{name} has no link, so that no frames arrive: check that it is up (`ip link show {name}`), the cable, and the port at the other end"
                );
            }
        }
        let Some(after) = after else {
            return;
        };
        match self.hints.next(now, after, seen) {
            Some(Hint::Silent) => log::warn!("{}", silent(name, after, self.carrier, promiscuous)),
            Some(Hint::NoneDark) => log::warn!("{}", none_dark(name, after, seen)),
            None => {}
        }
    }
}

/// A hint to the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hint {
    /// No frame has arrived at all.
    Silent,
    /// Frames have arrived, and none is dark.
    NoneDark,
}

/// Which hints were given; each is given once at most.
#[derive(Debug)]
struct Hints {
    since: Instant,
    first_frame: Option<Instant>,
    silent: bool,
    done: bool,
}

impl Hints {
    const fn new(now: Instant) -> Self {
        Self {
            since: now,
            first_frame: None,
            silent: false,
            done: false,
        }
    }

    fn next(&mut self, now: Instant, after: Duration, seen: Seen) -> Option<Hint> {
        if self.done {
            return None;
        }
        if seen.dark > 0 {
            self.done = true;
            return None;
        }
        if seen.all() == 0 {
            let due = !self.silent && now - self.since >= after;
            self.silent |= due;
            return due.then_some(Hint::Silent);
        }
        let first = *self.first_frame.get_or_insert(now);
        self.done = now - first.min(now) >= after;
        self.done.then_some(Hint::NoneDark)
    }
}

fn silent(name: &str, after: Duration, carrier: bool, promiscuous: bool) -> String {
    let link = if carrier {
        "it has a link"
    } else {
        "it has no link: cable, port, `ip link show`"
    };
    let mirror = if promiscuous {
        "the mirror (SPAN) or tap is switched on"
    } else {
        "the mirror (SPAN) or tap is switched on, with `promiscuous = true` since its frames go to other MAC addresses"
    };
    format!(
        "{name}: no frame at all in {} s ({link}): check that the darknet is routed to this machine, or that {mirror}, and that the NIC drops nothing (`ethtool -S {name}`)",
        after.as_secs()
    )
}

fn none_dark(name: &str, after: Duration, seen: Seen) -> String {
    format!(
        "{name}: {} frames arrived and none is dark after {} s: {} go to other addresses (check `prefixes` and `exclude`, and that the darknet is routed or mirrored here), {} are not IP or in an encapsulation that is not read (check `decapsulate`); `tcpdump -ni {name} -c 20` shows them",
        seen.all(),
        after.as_secs(),
        seen.passed,
        seen.not_parsed
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(30);

    fn hints(steps: &[(u64, Seen)]) -> Vec<(u64, Hint)> {
        let start = Instant::now();
        let mut hints = Hints::new(start);
        (steps.iter())
            .filter_map(|&(second, seen)| {
                let hint = hints.next(start + Duration::from_secs(second), AFTER, seen)?;
                Some((second, hint))
            })
            .collect()
    }

    #[test]
    fn each_hint_comes_once_and_not_before_its_time() {
        let none = Seen::default();
        let passed = Seen { passed: 9, ..none };
        let dark = Seen { dark: 1, ..passed };
        let unread = Seen {
            not_parsed: 1,
            ..none
        };
        let every = |seen: Seen, from: u64, to: u64| (from..to).map(move |at| (at, seen));
        let silent: Vec<_> = every(none, 1, 100).collect();
        assert_eq!(hints(&silent), [(30, Hint::Silent)]);
        let strange: Vec<_> = every(passed, 1, 100).collect();
        assert_eq!(hints(&strange), [(31, Hint::NoneDark)]);
        let unread: Vec<_> = every(unread, 1, 100).collect();
        assert_eq!(hints(&unread), [(31, Hint::NoneDark)]);
        let late: Vec<_> = every(none, 1, 40).chain(every(passed, 40, 100)).collect();
        assert_eq!(hints(&late), [(30, Hint::Silent), (70, Hint::NoneDark)]);
        let good: Vec<_> = every(none, 1, 9)
            .chain(every(passed, 9, 20))
            .chain(every(dark, 20, 100))
            .collect();
        assert_eq!(hints(&good), []);
    }

    #[test]
    fn a_hint_is_one_line_that_says_what_to_check() {
        let seen = Seen {
            passed: 900,
            not_parsed: 12,
            ..Seen::default()
        };
        for (text, parts) in [
            (
                silent("eth1", AFTER, true, false),
                ["eth1", "30 s", "promiscuous = true", "ethtool -S eth1"],
            ),
            (
                silent("eth1", AFTER, false, true),
                ["eth1", "no link", "SPAN", "ip link show"],
            ),
            (
                none_dark("eth1", AFTER, seen),
                ["912 frames", "900 go to", "12 are not IP", "prefixes"],
            ),
        ] {
            assert_eq!(text.lines().count(), 1);
            for part in parts {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
        assert!(!silent("eth1", AFTER, true, true).contains("promiscuous"));
    }
}
