//! The arguments of the commands that serve. Decides nothing.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::ReadingArguments;

/// `gwsim serve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Speaks OpenAI's and Anthropic's dialects: clients set their base URL to http://ADDRESS/v1 (Anthropic's
to http://ADDRESS) and send a virtual key of [keys]. Prints one line once it can be called. Ctrl-C or
SIGTERM lets no one in any more and waits for requests in flight, for [server] drain at most.

Example:
  OPENAI_API_KEY=sk-... gwsim serve --config gateway.toml --journal journal/")]
pub struct ServeArguments {
    /// The configuration
    #[arg(short, long, value_name = "FILE", default_value = "gateway.toml")]
    pub config: PathBuf,
    /// How it is read.
    #[command(flatten)]
    pub reading: ReadingArguments,
    /// Where to listen, in place of [server] listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// The folder of the journal, in place of [server] journal
    #[arg(long, value_name = "DIR")]
    pub journal: Option<PathBuf>,
    /// Another name for --journal: what is kept can be replayed with `gwsim run`
    #[arg(long, value_name = "DIR", conflicts_with = "journal")]
    pub record: Option<PathBuf>,
    /// How fast its time goes: 10 makes a minute of limits, budgets and back-offs six seconds
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = speed)]
    pub speed: u64,
    /// Keys its draws: picks, jitter [default: another with every start]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
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
