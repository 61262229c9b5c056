//! The program that `noctule query`, `rollup`, `report`, `export` and `store` execute.

use std::process::ExitCode;

fn main() -> ExitCode {
    noctule_analyze::main()
}
