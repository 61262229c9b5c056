//! What rule data says beside which packets match: which rule supersedes which, and which fields of
//! events and reports it fills. SQL reads it as small tables.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use noctule_packet::Rules;
use noctule_packet::rules::confirm::Superseding;
use noctule_packet::rules::{EventField, RuleFile, Uses};
use noctule_store::files::Files;

use crate::report::chosen::{Chosen, Values};
use crate::settings::Settings;

/// Rule data of a store: of the shipped rules, and of the rule file that the store's settings name.
#[derive(Clone, Debug)]
pub struct RuleData {
    superseding: Superseding,
    /// By rule. What a rule file disables still is in days of the store.
    uses: BTreeMap<String, Uses>,
}

impl RuleData {
    /// Reads the rule data of a store.
    ///
    /// # Errors
    /// If the rule file that the settings name cannot be read or is invalid.
    pub fn read(files: &Files, settings: &Settings) -> Result<Self> {
        let mut data = Self {
            superseding: Superseding::default(),
            uses: BTreeMap::new(),
        };
        data.add(&Rules::shipped());
        if let Some(path) = &settings.rules {
            let name = format!("{}/{path}", files.location());
            let Some(text) = files.read(path)? else {
                bail!("{name} does not exist: noctule.toml names it as `rules`");
            };
            let text = String::from_utf8(text).with_context(|| format!("cannot read {name}"))?;
            let (name, text) = (&*name, &*text);
            data.add(&Rules::load(Some(RuleFile { name, text }))?);
        }
        Ok(data)
    }

    fn add(&mut self, rules: &Rules) {
        self.superseding.add(rules);
        let all = rules.fingerprints().iter();
        (self.uses).extend(all.map(|rule| (rule.name.clone(), rule.uses)));
    }

    /// True if a rule supersedes another.
    pub fn supersedes(&self, rule: &str, other: &str) -> bool {
        self.superseding.of(rule).contains(other)
    }

    /// The table `chosen_supersedes` (rule, superseded). A rule that supersedes others is also paired
    /// with itself.
    pub fn supersedes_table(&self) -> Chosen {
        let mut pairs: Vec<(&str, &str)> = self.superseding.pairs().collect();
        pairs.extend(pairs.clone().iter().map(|(rule, _)| (*rule, *rule)));
        pairs.sort_unstable();
        pairs.dedup();
        let texts = |of: fn(&(&str, &str)) -> String| Values::Texts(pairs.iter().map(of).collect());
        let columns = vec![
            ("rule", texts(|pair| pair.0.to_owned())),
            ("superseded", texts(|pair| pair.1.to_owned())),
        ];
        Chosen::new("chosen_supersedes", columns)
    }

    /// The table `chosen_telnet_marks` (rule).
    pub fn telnet_marks_table(&self) -> Chosen {
        let marks = self.uses.iter().filter(|(_, uses)| uses.telnet_mark);
        let rules = marks.map(|(rule, _)| rule.clone()).collect();
        Chosen::new("chosen_telnet_marks", vec![("rule", Values::Texts(rules))])
    }

    /// The table `chosen_event_fields` (rule, field), whose fields are numbered from 1.
    pub fn event_fields_table(&self) -> Chosen {
        let number = |of: EventField| EventField::ALL.iter().position(|field| *field == of);
        let (rules, fields) = (self.uses.iter())
            .filter_map(|(rule, uses)| Some((rule.clone(), number(uses.event_field?)? as i64 + 1)))
            .unzip();
        let columns = vec![
            ("rule", Values::Texts(rules)),
            ("field", Values::Ints(fields)),
        ];
        Chosen::new("chosen_event_fields", columns)
    }
}

#[cfg(test)]
mod tests {
    use noctule_store::Location;

    use super::*;

    fn texts(table: &Chosen, column: usize) -> Vec<String> {
        match &table.columns[column].1 {
            Values::Texts(texts) => texts.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_stores_rule_file_adds_to_the_shipped_rules() {
        let folder = tempfile::tempdir().unwrap();
        let rules = "version = 1\ndisable = [\"mirai\"]\n[[fingerprint]]\nname = \"odd\"\nversion = 1\n\
            when = \"ip.id == 7\"\nchance_bits = 16\nsource = \"test\"\nsupersedes = [\"zmap\"]\ntelnet_mark = true\n";
        std::fs::write(folder.path().join("own.toml"), rules).unwrap();
        std::fs::write(folder.path().join("noctule.toml"), "rules = \"own.toml\"\n").unwrap();
        let files = Files::open(&Location::Folder(folder.path().to_owned())).unwrap();
        let settings = Settings::read(&files).unwrap();
        let data = RuleData::read(&files, &settings).unwrap();
        let table = data.supersedes_table();
        let rules = ["mirai-precursor", "mirai-precursor", "odd", "odd"];
        assert_eq!(texts(&table, 0), rules);
        let superseded = ["mirai", "mirai-precursor", "odd", "zmap"];
        assert_eq!(texts(&table, 1), superseded);
        assert_eq!(texts(&data.telnet_marks_table(), 0), ["mirai", "odd"]);
        std::fs::remove_file(folder.path().join("own.toml")).unwrap();
        let error = RuleData::read(&files, &settings).unwrap_err();
        assert!(
            error.to_string().contains("own.toml does not exist"),
            "{error}"
        );
    }

    #[test]
    fn no_sql_names_a_rule() {
        let mut open = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sql")];
        let mut files = 0;
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(
                    std::fs::read_dir(path)
                        .unwrap()
                        .map(|entry| entry.unwrap().path()),
                );
                continue;
            }
            files += 1;
            let sql = std::fs::read_to_string(&path).unwrap().to_lowercase();
            for rule in Rules::shipped().fingerprints() {
                assert!(
                    !sql.contains(&rule.name),
                    "{} names {}",
                    path.display(),
                    rule.name
                );
            }
        }
        assert!(files > 30);
    }
}
