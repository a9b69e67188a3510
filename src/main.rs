//! The binary: arguments, what they ask for, an exit code.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    gwsim::cli::main()
}
