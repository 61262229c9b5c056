//! Writes a specimen of every section with made-up figures, to look at: `FOLDER/en`, `FOLDER/ja` and
//! the edge cases `FOLDER/year`, `FOLDER/day`, `FOLDER/empty`.

mod parts;
mod regions;
mod report;
mod trust;

use std::path::PathBuf;
use std::process::ExitCode;

use noctule_page::{Language, missing, write};

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("name the folder that the specimens are written to");
        return ExitCode::from(2);
    };
    let quarter = ("2016-Q3", "2016-07-01", 92);
    let specimens = [
        ("en", Language::English, report::specimen(quarter)),
        ("ja", Language::Japanese, report::specimen(quarter)),
        (
            "year",
            Language::English,
            report::specimen(("2016", "2016-01-01", 366)),
        ),
        (
            "day",
            Language::Japanese,
            report::specimen(("2016-09-20", "2016-09-20", 1)),
        ),
        ("empty", Language::English, report::empty()),
    ];
    for (name, language, report) in specimens {
        match write(&report, language, &folder.join(name)) {
            Ok(written) => {
                println!("{}: {} octets", written.index.display(), written.octets);
                for message in missing(&report, language) {
                    println!("  no message: {message}");
                }
            }
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
