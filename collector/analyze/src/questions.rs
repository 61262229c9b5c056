//! Ready questions, as answered in the reports that observatories publish.

use anyhow::{Result, bail};

/// Name and SQL of each.
pub const ALL: &[(&str, &str)] = &[
    (
        "answers_by_source_port",
        include_str!("../sql/questions/answers_by_source_port.sql"),
    ),
    (
        "confirmed_sources",
        include_str!("../sql/questions/confirmed_sources.sql"),
    ),
    (
        "degraded_sources",
        include_str!("../sql/questions/degraded_sources.sql"),
    ),
    ("losses", include_str!("../sql/questions/losses.sql")),
    (
        "packets_by_day",
        include_str!("../sql/questions/packets_by_day.sql"),
    ),
    (
        "packets_per_address",
        include_str!("../sql/questions/packets_per_address.sql"),
    ),
    (
        "sources_by_country",
        include_str!("../sql/questions/sources_by_country.sql"),
    ),
    (
        "tcp_sources_by_day",
        include_str!("../sql/questions/tcp_sources_by_day.sql"),
    ),
    ("top_ports", include_str!("../sql/questions/top_ports.sql")),
];

/// The SQL of a ready question.
///
/// # Errors
/// If no ready question has this name.
pub fn find(name: &str) -> Result<&'static str> {
    match ALL.iter().find(|(known, _)| *known == name) {
        Some((_, sql)) => Ok(sql),
        None => bail!("there is no ready question \"{name}\": `--question list` names them"),
    }
}

/// Prints every question's name and the comment at the head of its SQL.
pub fn print() {
    for (name, sql) in ALL {
        let about = sql.lines().map_while(|line| line.strip_prefix("-- "));
        println!("{name:24} {}", about.collect::<Vec<_>>().join(" "));
    }
}
