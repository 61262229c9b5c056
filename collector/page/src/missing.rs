//! Which messages a report asks for that a language does not have.

use std::collections::BTreeSet;

use crate::Language;
use crate::model::{Cell, Column, Kind, Note, Report, Value};
use crate::printer::Printer;

/// Identifiers of messages that the page of this report would show instead of a text, and messages
/// that have an argument which the report does not give, as `ID: text`.
///
/// None, if the data side and the message files agree.
pub fn missing(report: &Report, language: Language) -> Vec<String> {
    let mut seen = Seen {
        printer: Printer::new(language),
        missing: BTreeSet::new(),
    };
    for section in &report.sections {
        seen.id(&format!("section-{}", section.id));
        seen.id(&format!("section-{}-text", section.id));
        section.notes.iter().for_each(|note| seen.note(note));
        for table in &section.tables {
            let id = format!("table-{}", table.kind);
            let title = seen.printer.title(table);
            seen.sentence(&id, &title);
            table.args.values().for_each(|value| seen.value(value));
            table.notes.iter().for_each(|note| seen.note(note));
            for (at, column) in table.columns.iter().enumerate() {
                seen.column(column);
                for cell in table.rows.iter().filter_map(|row| row.get(at)) {
                    seen.cell(cell, column.kind);
                }
            }
        }
    }
    seen.missing.into_iter().collect()
}

struct Seen {
    printer: Printer,
    missing: BTreeSet<String>,
}

impl Seen {
    fn id(&mut self, id: &str) {
        if !self.printer.messages.has(id) {
            self.missing.insert(id.to_owned());
        }
    }

    fn sentence(&mut self, id: &str, text: &str) {
        self.id(id);
        if text.contains("{$") {
            self.missing.insert(format!("{id}: {text}"));
        }
    }

    fn note(&mut self, note: &Note) {
        let text = self.printer.note(note);
        self.sentence(&format!("note-{}", note.id), &text);
        note.args.values().for_each(|value| self.value(value));
    }

    fn column(&mut self, column: &Column) {
        match &column.name {
            Some(name) => self.value(name),
            None => self.id(&format!("column-{}", column.id)),
        }
    }

    fn value(&mut self, value: &Value) {
        self.cell(&value.value, value.kind);
    }

    fn cell(&mut self, cell: &Cell, kind: Kind) {
        if let (Kind::Word, Cell::Text(word)) = (kind, cell) {
            self.id(&format!("word-{word}"));
        }
    }
}
