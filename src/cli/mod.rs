//! The command line: arguments as they are written, what they ask for, and what the process ends with. One file a command.
//!
//! Results go to stdout, everything else to stderr. Nothing below this module prints.

pub mod args;
pub mod calibrate;
pub mod check;
pub mod compare;
pub mod completions;
pub mod explain;
pub mod export;
pub mod load;
pub mod mock;
pub mod prices;
pub mod run;
pub mod serve;
pub mod simulate;
pub mod trace;
pub mod verify;

mod assumptions;
mod capacity;
mod digest;
mod feed;
mod lanes;
mod memory;
mod progress;
mod replay;
mod reports;
mod requests;
mod sweep;
mod tokens;

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use args::{Arguments, Command, ExportCommand, PricesCommand, TraceCommand};

/// What the process ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All went well.
    Pass,
    /// A bug in gwsim.
    Internal,
    /// The command line, a configuration or a trace is wrong.
    Usage,
    /// An expectation or a threshold failed.
    Failed,
    /// The data do not decide the question.
    Inconclusive,
    /// The data are incomplete or not to be trusted.
    Incomplete,
}

impl Exit {
    /// The number that scripts see.
    pub const fn code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Failed => 3,
            Self::Inconclusive => 4,
            Self::Incomplete => 5,
        }
    }
}

/// Why a command could not do what it was asked for, in words for stderr.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    /// Empty if all was said already.
    message: String,
}

impl Failure {
    /// The user's input is wrong.
    pub fn usage(message: impl Display) -> Self {
        Self { exit: Exit::Usage, message: message.to_string() }
    }

    /// The data are incomplete, not to be trusted, or not about the same thing.
    pub fn incomplete(message: impl Display) -> Self {
        Self { exit: Exit::Incomplete, message: message.to_string() }
    }

    /// Whatever it was, it has been printed.
    pub fn told(exit: Exit) -> Self {
        Self { exit, message: String::new() }
    }

    /// The machine refused: a file that can't be written.
    pub fn internal(message: impl Display) -> Self {
        Self { exit: Exit::Internal, message: message.to_string() }
    }
}

/// Where a command's output goes.
pub struct Printer {
    out: io::Stdout,
    /// Whether stderr is a terminal that may show colours.
    pub errors_in_color: bool,
    /// Whether stderr is a terminal that a progress bar can live on.
    pub shows_progress: bool,
}

impl Printer {
    fn new() -> Self {
        let terminal = io::stderr().is_terminal();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { out: io::stdout(), errors_in_color: terminal && !plain, shows_progress: terminal }
    }

    /// Prints a result. A reader that has gone away (`| head`) has what it wanted.
    ///
    /// # Errors
    /// If stdout can't be written to for another reason.
    pub fn result(&mut self, text: &str) -> Result<(), Failure> {
        match self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::internal(format!("can't write to stdout: {error}"))),
            _ => Ok(()),
        }
    }

    /// Says something that is not a result. Who does not read stderr misses nothing that the exit code does not say.
    pub fn note(&self, text: impl Display) {
        let _ = writeln!(io::stderr(), "{text}");
    }
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let mut printer = Printer::new();
    let exit = match Arguments::try_parse() {
        Ok(arguments) => dispatch(arguments.command, &mut printer).unwrap_or_else(|failure| {
            if !failure.message.is_empty() {
                printer.note(format!("error: {}", failure.message.trim_end()));
            }
            failure.exit
        }),
        Err(error) => {
            let asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // clap prints help to stdout and errors to stderr; a reader that has gone away is no fault.
            let _ = error.print();
            if asked_for { Exit::Pass } else { Exit::Usage }
        }
    };
    ExitCode::from(exit.code())
}

fn dispatch(command: Command, printer: &mut Printer) -> Result<Exit, Failure> {
    match command {
        Command::Run(arguments) => run::run(&arguments, printer),
        Command::Calibrate(arguments) => calibrate::calibrate(&arguments, printer),
        Command::Serve(arguments) => serve::serve(&arguments, printer),
        Command::Compare(arguments) => compare::compare(&arguments, printer),
        Command::Explain(arguments) => explain::explain(&arguments, printer),
        Command::Export(ExportCommand::Focus(arguments)) => export::focus(&arguments, printer),
        Command::Check(arguments) => check::check(&arguments, printer),
        Command::Prices(PricesCommand::List(arguments)) => prices::list(&arguments, printer),
        Command::Prices(PricesCommand::Diff(arguments)) => prices::diff(&arguments, printer),
        Command::Trace(TraceCommand::Info(arguments)) => trace::info(&arguments, printer),
        Command::Trace(TraceCommand::Convert(arguments)) => trace::convert(&arguments, printer),
        Command::Trace(TraceCommand::Synth(arguments)) => trace::synth(&arguments, printer),
        Command::Verify(arguments) => verify::verify(&arguments, printer),
        Command::Load(arguments) => load::load(&arguments, printer),
        Command::Mock(arguments) => mock::mock(&arguments, printer),
        Command::Completions(arguments) => completions::completions(&arguments, printer),
    }
}
