//! The arguments as close as possible to what is typed, and the help that teaches them. Decides nothing: commands resolve what stands here.

mod live;
mod reports;
mod serving;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::Options;

pub use self::live::{LoadArguments, MockArguments};
pub use self::reports::{
    CompareArguments, CompareFormat, CompletionsArguments, ExplainArguments, ExportCommand, FocusArguments, FocusPeriod, Per, ThresholdArguments,
    VerifyArguments,
};
pub use self::serving::ServeArguments;

/// Price an LLM gateway configuration on your own traffic before it runs
#[derive(Debug, Parser)]
#[command(name = "gwsim", version, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = "\
Examples:
  gwsim run scenarios/quickstart.toml
  gwsim run scenarios/quickstart.toml --set 'cache.ttl=10m' --seeds 10
  gwsim compare old.toml new.toml --traffic scenario.toml --max-increase 5%
  gwsim check gateway.toml
  gwsim trace info traces/quickstart.csv.gz

Exit codes: 0 pass, 1 internal, 2 usage or config, 3 an expectation or threshold failed,
4 inconclusive, 5 incomplete data or data that can't be compared. Results go to stdout, everything
else to stderr.")]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Price the variants of a scenario on its traffic
    Run(RunArguments),
    /// Serve a gateway.toml: the gateway itself, for real requests
    Serve(ServeArguments),
    /// Compare reports, scenarios or gateway configs, and hold them to thresholds
    Compare(CompareArguments),
    /// Tell why one request cost what it cost, call by call
    Explain(ExplainArguments),
    /// Write a report in a format of others
    #[command(subcommand)]
    Export(ExportCommand),
    /// Check a scenario or a gateway.toml: all errors at once
    Check(CheckArguments),
    /// Make a scenario of a log, and judge it on the log's last quarter
    Calibrate(CalibrateArguments),
    /// Look at prices: what a configuration pays, what two lists say otherwise
    #[command(subcommand)]
    Prices(PricesCommand),
    /// Look at and convert recorded traffic
    #[command(subcommand)]
    Trace(TraceCommand),
    /// Tell the core again what a journal says that it was told, and compare every decision
    Verify(VerifyArguments),
    /// Be the providers of a scenario, over real HTTP: try a gateway without an account
    Mock(MockArguments),
    /// Send a scenario's traffic, or a trace, to a live gateway
    Load(LoadArguments),
    /// Print what a shell needs to complete commands and options
    Completions(CompletionsArguments),
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// `gwsim run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Replays the scenario's traffic through every variant, prints what each costs and why, and writes
index.html, report.json, report.md, series.csv and series.parquet to DIR/NAME/, NAME being the
scenario's name; with a sweep, sweep.csv too. Cells of a sweep run side by side over traffic that is
read once for as many as half of the free memory holds: 0.3 MB a run, and 192 bytes for each answer
its cache can hold.

Examples:
  gwsim run scenarios/quickstart.toml
  gwsim run scenarios/quickstart.toml --sweep 'attempts.per_request = [1, 2, 4]' --seeds 10
  gwsim run s.toml --set 'attempts.per_request=2' --set 'models.\"gpt-4o-mini\".fallbacks=[]'
  gwsim run s.toml --seeds 10 --format json | jq '.variants[].bill.mean'

Exit codes: 0 pass, 2 something in the scenario, its files or the trace is wrong,
3 an [[expect]] of the scenario failed, 5 the log's own configuration was not reproduced.")]
pub struct RunArguments {
    /// The scenario: traffic, world, variants
    pub scenario: PathBuf,
    /// How it is read.
    #[command(flatten)]
    pub reading: ReadingArguments,
    /// Run every variant under so many seeds, counting from the first [default: the scenario's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub seeds: Option<u32>,
    /// The first seed: the same seed draws the same luck [default: 1]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Vary a setting in place of the scenario's sweep: a TOML list or range; once or twice
    #[arg(long, value_name = "PATH=VALUES")]
    pub sweep: Vec<String>,
    /// Run a sweep of more than 10,000 runs or ten minutes without being asked to agree
    #[arg(long)]
    pub yes: bool,
    /// Threads to run on; results don't depend on it [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
    /// Where reports are kept
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub out: PathBuf,
    /// Keep every request and every call of the first seed too, for `gwsim explain` and `export`
    #[arg(long)]
    pub requests: bool,
    /// How the result is printed
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// How a configuration is read, by whichever command.
#[derive(Debug, Clone, Args)]
pub struct ReadingArguments {
    /// Change a setting first; PATH is a dotted TOML key, VALUE is TOML or a plain word
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// A price list in place of the built-in one: gwsim's CSV or LiteLLM's JSON
    #[arg(long, value_name = "FILE")]
    pub prices: Option<PathBuf>,
}

impl ReadingArguments {
    /// The same for the reader.
    pub fn options(&self) -> Options {
        Options { sets: self.set.clone(), prices: self.prices.clone(), ..Options::default() }
    }
}

/// `gwsim check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Prints nothing but one line if all is well. A file with [traffic] is a scenario, any other a
gateway.toml. Errors show the line with a caret, why it matters and what to write instead. Deployments
that `gwsim run` can price but `gwsim serve` has no way to call are named, with what is missing.

Example:
  gwsim check gateway.toml && gwsim run scenario.toml")]
pub struct CheckArguments {
    /// A scenario or a gateway.toml
    pub file: PathBuf,
    /// How it is read.
    #[command(flatten)]
    pub reading: ReadingArguments,
}

/// `gwsim calibrate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Fits speeds, failures, limits and client retries to the first 75 % of a log's time, writes them as a
scenario with where each figure is from, and forecasts the last 25 %. Failures that a gateway hid and
limits are found by simulating it, so the configuration that the log was recorded under is needed;
its deployments have the names that `gwsim trace info` shows.

Example:
  gwsim calibrate spend.csv --gateway gateway.toml -o scenario.toml")]
pub struct CalibrateArguments {
    /// The log: a trace that says how its requests ended
    pub trace: PathBuf,
    /// The configuration that it was recorded under; without it, only what the log shows is written
    #[arg(long, value_name = "FILE")]
    pub gateway: Option<PathBuf>,
    /// Where the scenario is written [default: stdout, and the forecast to stderr]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// What is made of client retries in the log: one arrival, or each an arrival of its own
    #[arg(long, value_enum, default_value = "link")]
    pub retries: RetriesArgument,
    /// For all draws of the simulations
    #[arg(long, value_name = "N", default_value = "1")]
    pub seed: u64,
    /// How the forecast is printed
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// What is made of client retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RetriesArgument {
    /// One arrival of a request and its retries.
    Link,
    /// Every row is an arrival.
    Keep,
}

/// `gwsim prices`.
#[derive(Debug, Subcommand)]
pub enum PricesCommand {
    /// What every deployment pays, from when on, and where that is from
    List(PricesListArguments),
    /// What the second price list says otherwise than the first, and what that does to a bill
    Diff(PricesDiffArguments),
}

/// `gwsim prices list`.
#[derive(Debug, Args)]
#[command(after_help = "\
Rates are in USD per million tokens as paid: discounts taken off, tiers chosen, what a list leaves
out filled in. Of a scenario, variants whose rates are those of one before are left out.

Example:
  gwsim prices list gateway.toml --set 'prices.discount={ openai = 0.1 }'")]
pub struct PricesListArguments {
    /// A scenario or a gateway.toml
    pub file: PathBuf,
    /// How it is read.
    #[command(flatten)]
    pub reading: ReadingArguments,
}

/// `gwsim prices diff`.
#[derive(Debug, Args)]
#[command(after_help = "\
A list is gwsim's CSV or LiteLLM's JSON; `built-in` is the one that gwsim ships. Rates are compared
as they are charged, in USD per million tokens. With --scenario its traffic is run under both lists,
in place of the one that its gateway names, and only what that pays is listed: the prices also
decide cheapest picks, max_price_ratio and budgets, so nothing is merely priced anew.

Examples:
  gwsim prices diff built-in model_prices_and_context_window.json
  gwsim prices diff built-in december.csv --scenario scenario.toml --max-increase 2%

Exit codes: 0 pass, 2 a file or an argument is wrong, 3 above a threshold, 4 the threshold lies
within the interval or there is none, 5 a baseline that was not reproduced.")]
pub struct PricesDiffArguments {
    /// The list before
    pub old: PathBuf,
    /// The list now
    pub new: PathBuf,
    /// Say what the new list does to this scenario's bill
    #[arg(long, value_name = "SCENARIO")]
    pub scenario: Option<PathBuf>,
    /// Change a setting of the scenario; PATH is a dotted TOML key, VALUE is TOML or a plain word
    #[arg(long, value_name = "PATH=VALUE", requires = "scenario")]
    pub set: Vec<String>,
    /// Run each variant under so many seeds [default: the scenario's, at least 10]
    #[arg(long, value_name = "N", requires = "scenario", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub seeds: Option<u32>,
    /// The first seed [default: the scenario's]
    #[arg(long, value_name = "N", requires = "scenario")]
    pub seed: Option<u64>,
    /// What the bill may become.
    #[command(flatten)]
    pub thresholds: ThresholdArguments,
    /// How the result is printed
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// `gwsim trace`.
#[derive(Debug, Subcommand)]
pub enum TraceCommand {
    /// What is in a trace, and what it lacks
    Info(InfoArguments),
    /// Write a trace in gwsim's own format
    Convert(ConvertArguments),
    /// Write the traffic of a scenario as a trace, made up, overlaid and scaled as it says
    Synth(SynthArguments),
}

/// How a trace is read.
#[derive(Debug, Args)]
pub struct ReadArguments {
    /// The trace's format where its columns don't tell: gwsim, azure, mooncake, burstgpt or bailian
    #[arg(long, value_name = "FORMAT")]
    pub input_format: Option<String>,
    /// The instant that relative times count from, such as 2026-11-20T00:00:00Z [default: 1970-01-01T00:00:00Z]
    #[arg(long, value_name = "TIME")]
    pub epoch: Option<String>,
    /// Tokens in a block of the prefix, where the file does not say
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(1..))]
    pub block_size: Option<u32>,
}

/// `gwsim trace info`.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads CSV, JSON Lines and Parquet, plain or compressed (.gz, .zst); traces/README.md has the
columns. A row that is wrong stops with its line; rows out of order are counted and reported.

Examples:
  gwsim trace info traces/quickstart.csv.gz
  gwsim trace info conversation_trace.jsonl.gz --format json")]
pub struct InfoArguments {
    /// The trace
    pub file: PathBuf,
    /// How the result is printed
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
    #[command(flatten)]
    /// How to read it.
    pub read: ReadArguments,
}

/// `gwsim trace convert`.
#[derive(Debug, Args)]
#[command(after_help = "\
The name of OUT says what is written: .csv, .jsonl or .parquet, the first two also with .gz or
.zst. Only columns that hold a value are written.

Examples:
  gwsim trace convert AzureLLMInferenceTrace_code.csv azure.parquet
  gwsim trace convert --sort log.jsonl sorted.jsonl.zst")]
pub struct ConvertArguments {
    /// The trace to read
    pub input: PathBuf,
    /// The trace to write
    pub output: PathBuf,
    /// Sort the rows by time; without it, rows out of order are an error
    #[arg(long)]
    pub sort: bool,
    #[command(flatten)]
    /// How to read it.
    pub read: ReadArguments,
}

/// `gwsim trace synth`.
#[derive(Debug, Args)]
#[command(after_help = "\
Writes the requests that `gwsim run SCENARIO` would send: [traffic] synthetic, or the trace after
window, overlay, repeat, speed and scale. The name of OUT says what is written, as for convert.

Example:
  gwsim trace synth scenario.toml -o traffic.csv.gz")]
pub struct SynthArguments {
    /// The scenario
    pub scenario: PathBuf,
    /// The trace to write
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,
    /// Change a setting first; PATH is a dotted TOML key, VALUE is TOML or a plain word
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
}
