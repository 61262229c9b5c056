//! Text of numbers, names and tables.

/// Rows of a ranking before the rest is added up in one row.
pub const ROWS: usize = 10;

/// A count, or `not exact` if it is not known.
pub fn known(count: Option<u64>) -> String {
    count.map_or_else(|| "not exact".to_owned(), grouped)
}

/// `53/udp`, `8/0 icmp`, or the protocol alone without a port.
pub fn port_name(protocol: &str, port: Option<u16>) -> String {
    match port {
        None => protocol.to_owned(),
        Some(port) if protocol.starts_with("icmp") => {
            format!("{}/{} {protocol}", port >> 8, port & 0xff)
        }
        Some(port) => format!("{port}/{protocol}"),
    }
}

/// Cells of a row: `part`, its share of `all`, and `more` if given.
pub fn numbers(part: u64, all: u64, more: Option<String>) -> Vec<String> {
    let share = if all == 0 {
        0.0
    } else {
        part as f64 * 100.0 / all as f64
    };
    let mut cells = vec![grouped(part), format!("{share:.1} %")];
    cells.extend(more);
    cells
}

/// Adds a line.
pub fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// A column of a table: its heading, and how its cells are aligned.
#[derive(Clone, Copy)]
pub struct Column {
    heading: &'static str,
    right: bool,
}

impl Column {
    /// A left-aligned column, for names.
    pub const fn left(heading: &'static str) -> Self {
        Self {
            heading,
            right: false,
        }
    }

    /// A right-aligned column, for numbers.
    pub const fn right(heading: &'static str) -> Self {
        Self {
            heading,
            right: true,
        }
    }
}

/// Adds a table: headings, rows and an empty line. Each row has a cell for every column.
pub fn table(text: &mut String, columns: &[Column], rows: &[Vec<String>]) {
    let headings: Vec<String> = columns.iter().map(|c| c.heading.to_owned()).collect();
    let widths: Vec<usize> = (0..columns.len())
        .map(|place| {
            let cells = rows.iter().map(|row| &row[place]).chain([&headings[place]]);
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    for row in [&headings].into_iter().chain(rows) {
        let mut out = String::from(" ");
        for ((cell, width), column) in row.iter().zip(&widths).zip(columns) {
            if column.right {
                out.push_str(&format!(" {cell:>width$} "));
            } else {
                out.push_str(&format!(" {cell:<width$} "));
            }
        }
        line(text, out.trim_end());
    }
    text.push('\n');
}

/// A number with thousands separators: 1,234,567.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 thing`, `2 things`.
pub fn several(number: u64, what: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {what}{ending}", grouped(number))
}

/// As [`grouped`], with a sign if negative.
pub fn signed(number: i64) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", grouped(number.unsigned_abs()))
}

/// A rate with a unit prefix: 5.2 k, 1.31 M.
pub fn rate(per_second: f64) -> String {
    match per_second {
        r if r >= 1e6 => format!("{:.2} M", r / 1e6),
        r if r >= 1e3 => format!("{:.1} k", r / 1e3),
        r => format!("{r:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1000), "1,000");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(signed(-1000), "-1,000");
        assert_eq!(
            (rate(5200.0), rate(1.31e6), rate(12.0)),
            ("5.2 k".into(), "1.31 M".into(), "12".into())
        );
    }

    #[test]
    fn columns_line_up() {
        let mut text = String::new();
        table(
            &mut text,
            &[Column::left("class"), Column::right("packets")],
            &[
                vec!["scan".into(), "12".into()],
                vec!["backscatter".into(), "1,000".into()],
            ],
        );
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "  class        packets");
        assert_eq!(lines[1], "  scan              12");
        assert_eq!(lines[2], "  backscatter    1,000");
    }
}
