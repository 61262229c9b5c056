//! `noctule`: a high-rate darknet collector.

use std::process::ExitCode;

fn main() -> ExitCode {
    noctule::main()
}
