//! The program `noctule`: arguments become a checked configuration, which the engine runs; another
//! program answers questions. Printing happens here.

use std::process::ExitCode;

use clap::Parser as _;
use noctule_store::diagnostics::{error_line, init_log};

use self::analyze_program::exec_subcommand;

mod analyze_program;
mod args;
mod config;
mod daily;
mod prefixes;
mod print;
mod replay;
mod rules;
mod run;
mod signals;
mod synth;
mod zone;

/// Runs the command line's subcommand. An error is one line on standard error.
pub fn main() -> ExitCode {
    let cli = args::Cli::parse();
    init_log();
    let outcome = match &cli.command {
        args::Command::Run(args) => run::run(args),
        args::Command::Replay(args) => replay::run(args),
        args::Command::Synth(args) => synth::run(args),
        args::Command::Rules(args) => rules::run(args),
        args::Command::Query(given) => exec_subcommand("query", &given.args),
        args::Command::Rollup(given) => exec_subcommand("rollup", &given.args),
        args::Command::Report(given) => exec_subcommand("report", &given.args),
        args::Command::Export(given) => exec_subcommand("export", &given.args),
        args::Command::Store(given) => exec_subcommand("store", &given.args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{}", error_line(&*error));
            ExitCode::FAILURE
        }
    }
}
