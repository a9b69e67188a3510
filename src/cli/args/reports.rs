//! The arguments of the commands that look at reports and journals: compare, explain, export, verify; and of completions.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::Format;

/// How a comparison is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompareFormat {
    /// For people.
    Text,
    /// For a comment on a pull request.
    Markdown,
    /// For programs.
    Json,
}

/// What a most of dollars is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Per {
    /// The traffic as it was run.
    Trace,
    /// An hour of such traffic.
    Hour,
    /// A day of such traffic.
    Day,
    /// 30 such days.
    Month,
}

/// `gwsim compare`.
#[derive(Debug, Args)]
#[command(
    override_usage = "gwsim compare [OPTIONS] A B [C]...",
    after_help = "\
A and B are reports (a directory or its report.json), scenarios, or gateway configs; the first is
what the others are compared with. Reports and scenarios are compared variant by variant of the same
name; A#VARIANT chooses one. Gateway configs meet the same traffic and world: that of --traffic, or
--trace in a world of defaults. Results go to stdout, the verdict to stderr.

Examples:
  gwsim compare reports/before reports/after
  gwsim compare reports/quickstart#'as configured' reports/quickstart#'price ceiling'
  gwsim compare old.toml new.toml --traffic scenario.toml --max-increase 5% --format markdown
  gwsim compare old.toml new.toml --trace log.csv --max-cost 500 --per day

Exit codes: 0 pass, 2 a file or an argument is wrong, 3 above a threshold, 4 the threshold lies
within the interval or there is none, 5 other traffic, other seeds, another format of reports, or a
baseline that was not reproduced."
)]
pub struct CompareArguments {
    /// The reference, and what is compared with it
    #[arg(required = true, num_args = 2.., value_name = "A B")]
    pub sides: Vec<String>,
    /// For gateway configs: the scenario whose traffic, clients and world they meet
    #[arg(long, value_name = "SCENARIO", conflicts_with = "trace")]
    pub traffic: Option<PathBuf>,
    /// For gateway configs: a trace; the world is what gwsim takes where nothing is said
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// The model that rows of --trace ask for, if they don't say
    #[arg(long, value_name = "NAME", requires = "trace")]
    pub model: Option<String>,
    /// Change a setting of what is run; PATH is a dotted TOML key, VALUE is TOML or a plain word
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Run each under so many seeds [default: the scenario's, at least 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub seeds: Option<u32>,
    /// The first seed [default: the scenario's]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// A price list in place of the built-in one: gwsim's CSV or LiteLLM's JSON
    #[arg(long, value_name = "FILE")]
    pub prices: Option<PathBuf>,
    /// What bills may become.
    #[command(flatten)]
    pub thresholds: ThresholdArguments,
    /// How the result is printed
    #[arg(long, value_enum, default_value = "text")]
    pub format: CompareFormat,
}

/// How much dearer bills may be, or how dear.
#[derive(Debug, Args)]
pub struct ThresholdArguments {
    /// The most that a bill may be above the reference's: 5%; with -10% it must be so much lower
    #[arg(long, value_name = "PERCENT", allow_hyphen_values = true)]
    pub max_increase: Option<String>,
    /// The most that each compared variant may cost, in dollars
    #[arg(long, value_name = "USD")]
    pub max_cost: Option<String>,
    /// What --max-cost is for
    #[arg(long, value_enum, default_value = "trace", requires = "max_cost")]
    pub per: Per,
    /// Say that a threshold is not kept, or not decided, but exit with 0
    #[arg(long)]
    pub warn_only: bool,
}

/// `gwsim explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Tells what the gateway did with a request, call by call: why, after what wait, at what cost. A
request is named by its number in the traffic, from 1; 17.1 is the first retry of request 17 by its
client. The report has to be made with --requests. In the journal of gwsim serve a request has the
number that its answer's x-gwsim-request-id says.

Examples:
  gwsim run scenarios/quickstart.toml --requests
  gwsim explain reports/quickstart --worst 10
  gwsim explain reports/quickstart 4711 --variant 'price ceiling'
  gwsim explain journal 4711")]
pub struct ExplainArguments {
    /// A report, or the journal of a gateway: its directory
    pub report: PathBuf,
    /// The request
    #[arg(required_unless_present = "worst", conflicts_with = "worst")]
    pub id: Option<String>,
    /// List the dearest requests instead
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub worst: Option<u32>,
    /// In which variant [default: every one; with --worst, what the others are compared with]
    #[arg(long, value_name = "NAME")]
    pub variant: Option<String>,
    /// How the result is printed; amounts in JSON are picodollars
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// `gwsim verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Feeds every input of the journal to the core again, from its oldest checkpoint or from the one given,
and holds each decision against the recorded one. Changes nothing; a gateway may be writing it.

Examples:
  gwsim verify journal
  gwsim verify journal --from 17 --format json

Exit codes: 0 all decisions are as recorded, 2 this is no journal, or it has no such checkpoint,
3 a decision differs, 5 the journal can't be read to its end.")]
pub struct VerifyArguments {
    /// The journal: its folder
    pub journal: PathBuf,
    /// Begin at the checkpoint of this segment [default: the oldest]
    #[arg(long, value_name = "CHECKPOINT")]
    pub from: Option<u32>,
    /// How the result is printed
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// `gwsim export`.
#[derive(Debug, Subcommand)]
pub enum ExportCommand {
    /// Write a variant's bill as a FOCUS 1.2 CSV, for FinOps tools
    Focus(FocusArguments),
}

/// How long a charge period is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FocusPeriod {
    /// An hour of the clock, in UTC.
    Hour,
    /// A day, in UTC.
    Day,
}

/// `gwsim export focus`.
#[derive(Debug, Args)]
#[command(after_help = "\
Writes the 21 mandatory columns of FOCUS 1.2, some more, and x_ ones for key, team, variant, cause
and position. A SKU is a class of tokens of a model; the rows sum to the variant's bill under the
first seed, to the picodollar. The report has to be made with --requests.

Example:
  gwsim export focus reports/quickstart --variant 'as configured' -o focus.csv")]
pub struct FocusArguments {
    /// A report: its directory
    pub report: PathBuf,
    /// Which variant [default: the one that the others are compared with]
    #[arg(long, value_name = "NAME")]
    pub variant: Option<String>,
    /// How long a charge period is
    #[arg(long, value_enum, default_value = "day")]
    pub period: FocusPeriod,
    /// Where it is written [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `gwsim completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gwsim completions bash > ~/.local/share/bash-completion/completions/gwsim
  gwsim completions fish > ~/.config/fish/completions/gwsim.fish")]
pub struct CompletionsArguments {
    /// The shell
    pub shell: Shell,
}
