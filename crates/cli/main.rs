//! The `irsa` binary: parse, run, report, exit.

use std::process::ExitCode;

fn main() -> ExitCode {
    irsa_cli::main(std::env::args_os())
}
