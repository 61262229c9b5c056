//! The program that `noctule query`, `rollup` and `store` hand over to.

use std::process::ExitCode;

fn main() -> ExitCode {
    noctule_analyze::main()
}
