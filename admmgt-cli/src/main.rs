//! The program `admmgt`.

use std::process::ExitCode;

fn main() -> ExitCode {
    admmgt_cli::alone(std::env::args_os())
}
