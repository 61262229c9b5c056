//! The query program: `noctule query`, `rollup`, `report`, `export` and `store` execute it, so that a
//! sensor links no query engine.
//!
//! - [`open`]: the store's tables and functions in a DataFusion session;
//! - [`table`]: one table; damaged and foreign files are left out and named;
//! - [`functions`], [`hll`]: functions of SQL;
//! - [`rollup`]: daily tables;
//! - [`report`]: figures of a period as observatories publish them;
//! - `verify`: the checksum of every file.

use std::process::ExitCode;

use clap::Parser as _;
use noctule_store::diagnostics::{error_line, init_log};

mod args;
mod daily;
mod expire;
mod export;
pub mod functions;
pub mod hll;
pub mod open;
mod outcome;
mod print;
mod query;
mod questions;
mod reading;
pub mod report;
pub mod rollup;
mod rule_data;
mod selectors;
mod settings;
mod spark;
pub mod table;
mod verify;
mod work;

use outcome::Outcome;

/// Exit status if files were left out and `--strict` was given.
const INCOMPLETE: u8 = 2;

/// Runs the command of the command line. An error is one line on standard error.
pub fn main() -> ExitCode {
    let cli = args::Cli::parse();
    init_log();
    let outcome = match cli.command {
        args::Command::Query(args) => query::run(&args),
        args::Command::Rollup(args) => rollup::run(&args),
        args::Command::Report(args) => report::run(&args),
        args::Command::Export(args) => export::run(&args),
        args::Command::Store(args) => match args.command {
            args::StoreCommand::Verify(args) => verify::run(&args),
            args::StoreCommand::Expire(args) => expire::run(&args),
            args::StoreCommand::SparkJob => {
                spark::print();
                Ok(Outcome::Whole)
            }
        },
    };
    match outcome {
        Ok(Outcome::Whole) => ExitCode::SUCCESS,
        Ok(Outcome::Incomplete) => ExitCode::from(INCOMPLETE),
        Err(error) => {
            log::error!("{}", error_line(&*error));
            ExitCode::FAILURE
        }
    }
}
