//! What a reader may rely on in every source file; run as a test.

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use crate::shell;

    /// Lines after which a module is probably two.
    const LONGEST: usize = 450;

    fn sources() -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![shell::root()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                if path.is_dir() && name != "target" && !name.starts_with('.') {
                    folders.push(path);
                } else if name.ends_with(".rs") {
                    found.push(path);
                }
            }
        }
        assert!(found.len() > 50, "the walk found the sources");
        found
    }

    fn offenders(is_bad: impl Fn(&Path, &str) -> bool) -> Vec<PathBuf> {
        let mut bad = Vec::new();
        for path in sources() {
            let text = std::fs::read_to_string(&path).unwrap();
            if is_bad(&path, &text) {
                bad.push(path);
            }
        }
        bad
    }

    #[test]
    fn every_file_says_what_it_is_for() {
        let bad = offenders(|_, text| !text.starts_with("//! "));
        assert!(bad.is_empty(), "these do not open with `//! `: {bad:?}");
    }

    #[test]
    fn modules_stay_short() {
        let bad = offenders(|_, text| text.lines().count() > LONGEST);
        assert!(
            bad.is_empty(),
            "these have more than {LONGEST} lines: {bad:?}"
        );
    }

    /// `unsafe` stands in the XDP program, in capture and, where a measured hot path needs it,
    /// in counters; nowhere else.
    #[test]
    fn unsafe_stays_in_its_rooms() {
        let word = ["unsafe", "_code,"].concat();
        let rooms = [
            "ebpf",
            "collector/capture",
            "collector/counters",
            "tests/kit",
        ]
        .map(|room| shell::root().join(room));
        let bad = offenders(|path, text| {
            text.contains(&word) && !rooms.iter().any(|room| path.starts_with(room))
        });
        assert!(bad.is_empty(), "`unsafe` is expected in these: {bad:?}");
    }

    /// Packet logic is pure, and the hot path's memory reads no files.
    #[test]
    fn pure_rooms_do_no_input_or_output() {
        let pure = ["collector/packet", "collector/counters"].map(|room| shell::root().join(room));
        let calls = [
            "std::fs",
            "std::net::Tcp",
            "std::net::Udp",
            "SystemTime",
            "Instant::now",
        ];
        let bad = offenders(|path, text| {
            pure.iter().any(|room| path.starts_with(room))
                && calls.iter().any(|call| text.contains(call))
        });
        assert!(bad.is_empty(), "these should be pure: {bad:?}");
    }
}
