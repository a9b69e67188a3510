//! `gwsim completions`: what a shell needs to complete commands and options.

use clap::CommandFactory;

use super::args::{Arguments, CompletionsArguments};
use super::{Exit, Failure, Printer};

/// Prints the completions for a shell.
///
/// # Errors
/// If stdout can't be written to.
pub fn completions(arguments: &CompletionsArguments, printer: &mut Printer) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "gwsim", &mut script);
    printer.result(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Pass)
}
