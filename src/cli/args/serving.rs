//! The arguments of the commands that serve. Decides nothing.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::ReadingArguments;
use crate::serve::logs::Format;

/// `gwsim serve`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Speaks OpenAI's and Anthropic's dialects: clients set their base URL to http://ADDRESS/v1 (Anthropic's
to http://ADDRESS) and send a virtual key of [keys]. Prints one line once it can be called. Ctrl-C or
SIGTERM lets no one in any more and waits for requests in flight, for [server] drain at most.
A changed FILE is taken up while it serves, and so it is at SIGHUP; a wrong one is kept out.

  GET /metrics        what Prometheus scrapes (docs/metrics.md)
  GET /health/live    200: the process answers
  GET /health/ready   200: it takes requests; 503 while it goes down or can't write its journal

The log is on stderr, a line a request: RUST_LOG=gwsim::request=off leaves those out.

Example:
  OPENAI_API_KEY=sk-... gwsim serve --config gateway.toml --journal journal/")]
pub struct ServeArguments {
    /// The configuration
    #[arg(short, long, value_name = "FILE", default_value = "gateway.toml")]
    pub config: PathBuf,
    /// How it is read.
    #[command(flatten)]
    pub reading: ReadingArguments,
    /// Where to listen, in place of the configuration's address; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// The folder of the journal, in place of the configuration's: what is kept there can be replayed with `gwsim run`
    #[arg(long, visible_alias = "record", value_name = "DIR")]
    pub journal: Option<PathBuf>,
    /// How fast its time goes: 10 makes a minute of limits, budgets and back-offs six seconds
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = speed)]
    pub speed: u64,
    /// How the log on stderr looks; the environment variable RUST_LOG filters it
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = log_format)]
    pub log_format: Format,
    /// Keys its draws: picks, jitter [default: another with every start]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

fn log_format(text: &str) -> Result<Format, String> {
    match text {
        "text" => Ok(Format::Text),
        "json" => Ok(Format::Json),
        _ => Err("text or json".into()),
    }
}

/// A speed in thousandths.
pub(crate) fn speed(text: &str) -> Result<u64, String> {
    let wrong = || "a number from 0.001 to 100000".to_owned();
    let factor: f64 = text.parse().map_err(|_| wrong())?;
    if !(0.001..=100_000.0).contains(&factor) {
        return Err(wrong());
    }
    // In range, so neither negative nor too large.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 10^8")]
    Ok((factor * 1000.0).round() as u64)
}
