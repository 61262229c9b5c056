//! Every chore of the project: `cargo xtask` lists them.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

mod bench;
mod check;
mod demo;
mod dependencies;
mod ebpf;
mod fuzz;
mod netns;
mod published;
mod readme;
mod setup;
mod shell;
mod tally;
mod test;
#[cfg(test)]
mod tidy;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Every chore of the project, one entry point"
)]
struct Cli {
    #[command(subcommand)]
    chore: Option<Chore>,
}

#[derive(Subcommand)]
enum Chore {
    /// Install what building, the demo and the tests need (Debian packages, a Python environment)
    Setup {
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Build the XDP program's object, which is committed
    BuildEbpf {
        /// Install the toolchain for it first
        #[arg(long)]
        install: bool,
        /// Compare a fresh build with the committed object instead of replacing it
        #[arg(long)]
        check: bool,
    },
    /// Run a telescope: synthetic darknet traffic between two network namespaces
    Demo {
        /// Install what is missing without asking
        #[arg(long)]
        yes: bool,
        /// Make a synthetic 2016 and what NICTER and TSUBAME published of it instead
        #[arg(long)]
        report: bool,
    },
    /// Run formatting, lints, unit and property tests: minutes, without root, a JVM or a browser
    Check,
    /// Run everything that must pass; ends with `N passed, N failed, N skipped`
    Test {
        /// Install what is missing without asking
        #[arg(long)]
        yes: bool,
    },
    /// Make what README.md shows of the programs' output: a summary, rows of a table, a picture
    Readme {
        /// Compare with the committed ones instead of replacing them
        #[arg(long)]
        check: bool,
    },
    /// Feed random octets to the readers of frames, captures and rules, two minutes by default
    Fuzz {
        /// Minutes, shared by the targets
        #[arg(long)]
        minutes: Option<f64>,
        /// The target; without it, every one
        #[arg(long)]
        target: Option<String>,
        /// Inputs per target
        #[arg(long)]
        runs: Option<u64>,
        /// Begin with the committed seeds, as `test` does, not with the inputs that earlier runs found
        #[arg(long)]
        afresh: bool,
    },
    /// Measure; without a name, everything
    Bench {
        /// The bench
        name: Option<String>,
    },
}

fn main() -> ExitCode {
    let Some(chore) = Cli::parse().chore else {
        // Printing help fails only where nothing can be printed.
        let _ = Cli::command().print_help();
        return ExitCode::SUCCESS;
    };
    let outcome = match chore {
        Chore::Setup { yes } => setup::everything(yes),
        Chore::BuildEbpf { install, check } => ebpf::build(install, check),
        Chore::Demo { yes, report: false } => demo::run(yes),
        Chore::Demo { yes, report: true } => published::run(yes),
        Chore::Check => check::run(),
        Chore::Test { yes } => test::run(yes),
        Chore::Readme { check } => readme::run(check),
        Chore::Fuzz {
            minutes,
            target,
            runs,
            afresh,
        } => fuzz::run(minutes, target.as_deref(), runs, afresh),
        Chore::Bench { name } => bench::run(name.as_deref()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
