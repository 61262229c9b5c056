//! Builds the darknet from the prefixes in flags and configuration, and from the files that they name.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use ipnet::IpNet;
use noctule_packet::darknet::{Darknet, prefix};
use noctule_packet::prefix_list::{self, Count, Lists, Unused};

/// Where a kind of prefixes comes from.
#[derive(Clone, Copy)]
pub struct Listed<'a> {
    /// Prefixes as text.
    written: &'a [String],
    /// A file with more.
    file: Option<&'a Path>,
}

impl<'a> Listed<'a> {
    /// Prefixes as text and, in addition, those of a file.
    pub fn new(written: &'a [String], file: Option<&'a Path>) -> Self {
        Self { written, file }
    }

    fn written(self) -> Result<Vec<IpNet>> {
        Ok((self.written.iter().map(|text| prefix(text))).collect::<Result<_, _>>()?)
    }

    fn of_file(self, what: &str) -> Result<Vec<IpNet>> {
        let Some(path) = self.file else {
            return Ok(Vec::new());
        };
        let name = path.display();
        let octets =
            std::fs::read(path).with_context(|| format!("cannot read {what} file {name}"))?;
        // Comments may be in any encoding.
        let text = String::from_utf8_lossy(&octets);
        prefix_list::parse(&text).map_err(|error| {
            anyhow!(
                "{what} file {name}, {error}; a line holds one prefix or address, and `#` begins a comment"
            )
        })
    }

    /// Logs what a file has, and which of its prefixes have no effect.
    fn log(self, what: &str, prefixes: usize, unused: &Unused) {
        let Some(path) = self.file else { return };
        let mut parts = Vec::new();
        for (Count { prefixes, first }, why) in [
            (unused.repeated, "repeated"),
            (unused.outside, "outside the darknet"),
        ] {
            if let Some(first) = first {
                parts.push(format!("{prefixes} {why} (such as {first})"));
            }
        }
        let name = path.display();
        if parts.is_empty() {
            log::info!("{what} file {name}: {prefixes} prefixes");
        } else {
            log::warn!(
                "{what} file {name}: {prefixes} prefixes, of which have no effect: {}",
                parts.join(", ")
            );
        }
        if let Some(first) = unused.wider.first {
            log::warn!(
                "{what} file {name}: {} prefixes (such as {first}) are wider than a dark prefix in them, which stays dark: the longest prefix decides. Exclude the dark prefix itself",
                unused.wider.prefixes
            );
        }
        if let Some(first) = unused.both.first {
            log::warn!(
                "{what} file {name}: {} prefixes (such as {first}) are also dark prefixes: they are excluded",
                unused.both.prefixes
            );
        }
    }
}

/// The darknet of included and excluded prefixes.
///
/// # Errors
/// A file cannot be read, a prefix is not one, or the prefixes are no darknet; the message is one line.
pub fn darknet(includes: Listed<'_>, excludes: Listed<'_>) -> Result<Darknet> {
    let (written_includes, written_excludes) = (includes.written()?, excludes.written()?);
    let file_includes = includes.of_file("prefixes")?;
    let file_excludes = excludes.of_file("exclude")?;
    let written = Lists {
        includes: &written_includes,
        excludes: &written_excludes,
    };
    let files = Lists {
        includes: &file_includes,
        excludes: &file_excludes,
    };
    let (darknet, [of_includes, of_excludes]) = prefix_list::darknet(written, files)?;
    includes.log("prefixes", file_includes.len(), &of_includes);
    excludes.log("exclude", file_excludes.len(), &of_excludes);
    Ok(darknet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_add_to_what_is_written_and_mistakes_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("exclude.txt");
        let made = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let prefixes = ["198.18.0.0/16".to_owned()];
            let exclude = ["198.18.1.0/24".to_owned()];
            darknet(
                Listed::new(&prefixes, None),
                Listed::new(&exclude, Some(&path)),
            )
        };
        let whole = made("# x\n198.18.3.0/24\n198.18.3.0/24\n198.19.0.0/24\n").unwrap();
        assert_eq!(whole.observed4(), (1 << 16) - 512);
        for (text, parts) in [
            ("198.18.3.0/24\nx\n", ["line 2", "\"x\" cannot be read"]),
            ("198.18.3.1/24\n", ["line 1", "did you mean 198.18.3.0/24"]),
        ] {
            let error = format!("{:#}", made(text).unwrap_err());
            assert!(error.contains("exclude.txt"), "{error}");
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        }
        let missing = darknet(
            Listed::new(&[], Some(Path::new("no/file"))),
            Listed::new(&[], None),
        );
        let error = format!("{:#}", missing.unwrap_err());
        assert!(error.contains("prefixes file no/file"), "{error}");
    }
}
