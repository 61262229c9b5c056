//! The collector: its command line and its [`engine`], which benches drive without it.

use std::process::ExitCode;

use clap::Parser as _;
use noctule_store::diagnostics::{error_line, init_log};

mod args;
mod companion;
mod config;
mod cpus;
mod daily;
mod flowtuple;
mod geo;
mod notice;
mod print;
mod reload;
mod replay;
mod rules;
mod run;
mod signals;
mod storing;
mod synth;
mod uploader;
mod zone;

/// Does what the command line says; errors go to standard error, a line each.
pub fn main() -> ExitCode {
    let cli = args::Cli::parse();
    init_log();
    let outcome = match &cli.command {
        args::Command::Run(args) => run::run(args),
        args::Command::Replay(args) => replay::run(args),
        args::Command::Synth(args) => synth::run(args),
        args::Command::Rules(args) => rules::run(args),
        args::Command::Query(given) => companion::become_it("query", &given.args),
        args::Command::Rollup(given) => companion::become_it("rollup", &given.args),
        args::Command::Report(given) => companion::become_it("report", &given.args),
        args::Command::Export(given) => companion::become_it("export", &given.args),
        args::Command::Store(given) => companion::become_it("store", &given.args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{}", error_line(&*error));
            ExitCode::FAILURE
        }
    }
}
