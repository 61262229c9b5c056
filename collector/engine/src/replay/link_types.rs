//! The link types of a replay's captures: which records cannot be read for their sake.

use std::collections::BTreeMap;

use noctule_packet::unparsed::link_type_name;

/// Records by capture, and those whose link type is not read.
#[derive(Clone, Debug, Default)]
pub struct LinkTypes {
    /// Records of each capture, by its index.
    records: Vec<u64>,
    /// Records by capture and link type that is not read.
    unread: BTreeMap<(usize, u32), u64>,
}

/// What is wrong with a capture's link types.
#[derive(Debug, PartialEq, Eq)]
pub enum Unread {
    /// No record of the capture can be read.
    All(String),
    /// Some records cannot be read.
    Some(String),
}

impl LinkTypes {
    /// Adds a record of this capture.
    #[inline]
    pub fn record(&mut self, file: usize) {
        match self.records.get_mut(file) {
            Some(records) => *records += 1,
            None => self.first_record(file),
        }
    }

    #[cold]
    fn first_record(&mut self, file: usize) {
        self.records.resize(file + 1, 0);
        self.records[file] += 1;
    }

    /// Says that a record's link type is not read.
    #[cold]
    pub fn unread(&mut self, file: usize, link_number: u32) {
        *self.unread.entry((file, link_number)).or_default() += 1;
    }

    /// One entry for each capture with records that cannot be read; `name` is a capture's name.
    pub fn problems(&self, name: impl Fn(usize) -> String) -> Vec<Unread> {
        let mut files: BTreeMap<usize, (u64, Vec<String>)> = BTreeMap::new();
        for (&(file, number), &records) in &self.unread {
            let (sum, types) = files.entry(file).or_default();
            *sum += records;
            types.push(format!("{number} ({})", link_type_name(number)));
        }
        let problem = |(file, (unread, types)): (usize, (u64, Vec<String>))| {
            let (name, types) = (name(file), types.join(", "));
            let records = self.records.get(file).copied().unwrap_or_default();
            if unread == records {
                Unread::All(format!(
                    "capture {name}: none of its {records} records can be read: they are of link type {types}; capture again as Ethernet, raw IP, Linux cooked, BSD loopback, Cisco HDLC, PPP or NFLOG"
                ))
            } else {
                Unread::Some(format!(
                    "capture {name}: {unread} of its {records} records cannot be read and count as passed: they are of link type {types}"
                ))
            }
        };
        files.into_iter().map(problem).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captures_are_named_with_what_cannot_be_read() {
        let mut types = LinkTypes::default();
        for file in [0, 2, 2, 1, 2] {
            types.record(file);
        }
        types.unread(1, 147);
        types.unread(2, 105);
        types.unread(2, 249);
        let problems = types.problems(|file| format!("{file}.pcap"));
        let [Unread::All(all), Unread::Some(some)] = &problems[..] else {
            panic!("{problems:?}");
        };
        assert!(all.contains("1.pcap: none of its 1 records"), "{all}");
        assert!(all.contains("147 (private use)"), "{all}");
        assert!(some.contains("2.pcap: 2 of its 3 records"), "{some}");
        assert!(some.contains("105 (IEEE 802.11), 249 (USB)"), "{some}");
    }
}
