//! Values of a report as texts in a language: cells, headings, titles and notes.

use std::collections::BTreeMap;

use fluent_bundle::{FluentArgs, FluentValue};

use crate::language::Messages;
use crate::model::{Cell, Column, Kind, Note, Population, Report, Table, Value};
use crate::numbers::MISSING;
use crate::{Language, country, dates, numbers, service};

/// Writes values in one language.
pub(crate) struct Printer {
    pub(crate) language: Language,
    pub(crate) messages: Messages,
    /// Whether ranks are compared with those of a quarter, which headings then say.
    is_after_quarter: bool,
}

impl Printer {
    pub(crate) fn new(language: Language) -> Self {
        let messages = Messages::new(language);
        Self {
            language,
            messages,
            is_after_quarter: false,
        }
    }

    /// For a report's own texts.
    pub(crate) fn of(report: &Report, language: Language) -> Self {
        Self {
            is_after_quarter: dates::quarter(&report.about.compare.name).is_some(),
            ..Self::new(language)
        }
    }

    /// A message of the page itself, without arguments.
    pub(crate) fn ui(&self, id: &str) -> String {
        self.messages.say(id, &[])
    }

    /// A cell of a table.
    pub(crate) fn cell(&self, cell: &Cell, column: &Column) -> String {
        match cell {
            // The one column of numbers that are names, and the one whose texts are periods, as they
            // are asked for on the command line.
            Cell::Int(number) if column.id == "last_source_port" => number.to_string(),
            Cell::Text(name) if column.id == "period" => dates::period_name(name, self.language),
            _ => self.print(cell, column.kind, false),
        }
    }

    /// A value in a title, a heading or a sentence.
    pub(crate) fn value(&self, value: &Value) -> String {
        self.print(&value.value, value.kind, true)
    }

    fn print(&self, cell: &Cell, kind: Kind, in_sentence: bool) -> String {
        let language = self.language;
        match (cell, kind) {
            (Cell::Missing, _) => MISSING.to_owned(),
            (Cell::Int(number), Kind::Asn) => format!("AS{number}"),
            (Cell::Int(number), Kind::Share) => numbers::share(*number as f64),
            (Cell::Int(number), Kind::Number) => numbers::number(*number as f64),
            (Cell::Int(number), _) if in_sentence => numbers::spoken(*number, language),
            (Cell::Int(number), _) => numbers::exact(*number),
            (Cell::Float(number), Kind::Share) => numbers::share(*number),
            (Cell::Float(number), _) => numbers::number(*number),
            (Cell::Text(text), Kind::Date) if in_sentence => dates::long_day(text, language),
            (Cell::Text(text), Kind::Date) => dates::day(text, language),
            (Cell::Text(text), Kind::Month) if in_sentence => dates::long_month(text, language),
            (Cell::Text(text), Kind::Month) => dates::month(text, language),
            (Cell::Text(text), Kind::Time) => dates::time(text, language),
            (Cell::Text(text), Kind::Country) => self.country(text),
            (Cell::Text(text), Kind::Port) => self.port(text),
            (Cell::Text(text), Kind::Word) => {
                let id = format!("word-{text}");
                let known = self.messages.has(&id);
                if known { self.ui(&id) } else { text.clone() }
            }
            (Cell::Text(text), _) => text.clone(),
        }
    }

    fn country(&self, code: &str) -> String {
        match code {
            "??" => self.ui("ui-unknown"),
            "rest" => self.ui("ui-others"),
            "all" => self.ui("ui-total"),
            code => country(code, self.language).unwrap_or(code).to_owned(),
        }
    }

    /// As TSUBAME prints it: `23/TCP (telnet)`.
    fn port(&self, text: &str) -> String {
        let known = match text {
            "rest" => "ui-others",
            "all" => "ui-all-ports",
            "backscatter" => "ui-backscatter",
            "no-port" => "ui-no-port",
            _ => {
                let plain = plain_port(text);
                let name =
                    (text.rsplit_once('/')).and_then(|(port, protocol)| service(protocol, port));
                return name.map_or_else(|| plain.clone(), |name| format!("{plain} ({name})"));
            }
        };
        self.ui(known)
    }

    /// The heading of a column.
    pub(crate) fn heading(&self, column: &Column) -> String {
        if let Some(name) = &column.name {
            return self.value(name);
        }
        if column.id == "previous" && self.is_after_quarter {
            return self.ui("column-previous-quarter");
        }
        let id = format!("column-{}", column.id);
        let known = self.messages.has(&id);
        if known {
            self.ui(&id)
        } else {
            column.id.clone()
        }
    }

    /// The title of a table, and whose packets it counts where that is not all.
    pub(crate) fn title(&self, table: &Table) -> String {
        let mut args = table.args.clone();
        // A list for notification is of a port or of a fingerprint; its title has one place for both.
        let subject = args.get("port").or_else(|| args.get("rule")).cloned();
        if let Some(subject) = subject {
            args.entry("subject".to_owned()).or_insert(subject);
        }
        let title = self.sentence(&format!("table-{}", table.kind), &args);
        match (table.population, self.language) {
            (Population::All, _) => title,
            (Population::WithoutResearch, Language::English) => {
                format!("{title}, {}", self.ui("ui-without-research"))
            }
            (Population::WithoutResearch, Language::Japanese) => {
                format!("{title}（{}）", self.ui("ui-without-research"))
            }
        }
    }

    /// The text of a note.
    pub(crate) fn note(&self, note: &Note) -> String {
        self.sentence(&format!("note-{}", note.id), &note.args)
    }

    /// A message with values in it. A whole number is there twice: as a text, and with `-number`
    /// after its name for the choice of a plural.
    pub(crate) fn sentence(&self, id: &str, values: &BTreeMap<String, Value>) -> String {
        let mut args = FluentArgs::with_capacity(values.len());
        for (name, value) in values {
            args.set(name.clone(), self.argument(name, value));
            if let Cell::Int(number) = value.value {
                args.set(format!("{name}-number"), FluentValue::from(number));
            }
        }
        self.messages.text(id, &args)
    }

    fn argument(&self, name: &str, value: &Value) -> String {
        match &value.value {
            // A list of ports is a text; its ports are printed like others, without their names.
            Cell::Text(list) if name == "ports" && value.kind == Kind::Text => {
                let ports: Vec<String> = list
                    .split(',')
                    .map(|port| plain_port(port.trim()))
                    .collect();
                ports.join(if self.language == Language::Japanese {
                    "、"
                } else {
                    ", "
                })
            }
            _ => self.value(value),
        }
    }
}

/// A port without its service: `23/TCP`; a protocol alone by its name; other texts as they are.
fn plain_port(text: &str) -> String {
    let (port, protocol) = (text.rsplit_once('/')).map_or(("", text), |(port, of)| (port, of));
    let protocol = match protocol {
        "tcp" => "TCP",
        "udp" => "UDP",
        "icmp" => "ICMP",
        "icmpv6" => "ICMPv6",
        _ => return text.to_owned(),
    };
    if port.is_empty() {
        protocol.to_owned()
    } else {
        format!("{port}/{protocol}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(kind: Kind, text: &str) -> [String; 2] {
        let value = Value {
            kind,
            value: Cell::Text(text.to_owned()),
        };
        Language::ALL.map(|language| Printer::new(language).value(&value))
    }

    #[test]
    fn ports_and_countries_have_names() {
        assert_eq!(both(Kind::Port, "23/tcp")[0], "23/TCP (telnet)");
        assert_eq!(both(Kind::Port, "65000/tcp")[0], "65000/TCP");
        assert_eq!(both(Kind::Port, "8/0/icmp")[0], "8/0/ICMP (echo request)");
        assert_eq!(both(Kind::Port, "icmpv6"), ["ICMPv6", "ICMPv6"]);
        assert_eq!(both(Kind::Port, "rest"), ["others", "その他"]);
        assert_eq!(both(Kind::Port, "/"), ["/", "/"]);
        assert_eq!(both(Kind::Country, "CN"), ["China", "中国"]);
        assert_eq!(both(Kind::Country, "??"), ["unknown", "不明"]);
        assert_eq!(both(Kind::Country, "QZ"), ["QZ", "QZ"]);
        assert_eq!(both(Kind::Word, "rise"), ["rise", "増加"]);
        assert_eq!(both(Kind::Word, "nobody"), ["nobody", "nobody"]);
    }

    #[test]
    fn sentences_choose_the_plural_and_count_as_speakers_do() {
        let days = |number| {
            let value = Value {
                kind: Kind::Count,
                value: Cell::Int(number),
            };
            let note = Note {
                id: "incomplete-days".to_owned(),
                warning: true,
                args: [("days".to_owned(), value)].into(),
            };
            Language::ALL.map(|language| Printer::new(language).note(&note))
        };
        assert!(days(1)[0].starts_with("One day of"), "{}", days(1)[0]);
        assert!(
            days(1_200)[0].starts_with("1,200 days of"),
            "{}",
            days(1_200)[0]
        );
        assert!(
            days(12_000)[1].contains("1万2,000日"),
            "{}",
            days(12_000)[1]
        );
    }
}
