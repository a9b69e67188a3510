//! What models cost: dated price lists, contract discounts and overrides, each turned into a rate card. Knows no traffic, no policy and no clock.
//!
//! The built-in list, `list.csv`, states USD per million tokens on the day in its header. Its rows are those of LiteLLM 1.109.1's bundled price map
//! for 15 providers, plus retired models that the shipped scenarios need; the column `source` says which, and none were checked against a
//! provider's own page. How a row becomes a [`RateCard`](crate::gateway::rate_card::RateCard), here as for every other list:
//!
//! 1. Each cell is read as exact decimal text into picodollars per token, never through a float. More than 6 decimals per million tokens are float
//!    noise: rounded half-up to the microdollar and counted ([`PriceList::rounded`]). A positive price never becomes 0: the least is one microdollar.
//! 2. A rate that is not stated is inherited: above a threshold from the next lower threshold and so from the base; in a service tier from the
//!    standard tier, where above a threshold the dearer of the two counts. An inherited cache-write rate is at least the input rate that it comes
//!    with.
//! 3. What is then still missing: cache read and write at the input rate and reasoning at the output rate, as in LiteLLM; one-hour writes at the
//!    short write rate, as they are never cheaper. Input or output may be missing only beside the other, for models billed otherwise (embeddings,
//!    video): 0.
//! 4. A request with *more* input tokens than a threshold pays that tier for all its tokens.
//! 5. The contract's [`Discount`] is taken off every rate and off the fixed fee per request, each rounded half-up to the picodollar.
//!
//! A name is looked up as listed (`gpt-4o`, `azure/gpt-4o`), then as `provider/model`, with LiteLLM's prefixes and API routes understood
//! (`vertex_ai/...`, `bedrock/converse/...`), then as a bare model. A bare name that several sell goes to the first of: openai, anthropic, gemini,
//! vertex, mistral, cohere, deepseek, xai, perplexity (who make models); azure, azure_ai, bedrock (clouds); groq, together, fireworks (hosts);
//! others.

mod decimal;
mod discount;
mod entry;
mod litellm;
mod names;
mod reserved;
mod table;
pub mod tokens;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

pub use self::decimal::{DecimalError, money_from_usd, rate_from_usd_per_mtok, rate_from_usd_per_token};
pub use self::discount::{Discount, DiscountError};
pub use self::entry::{Entry, OverrideError, OverrideRates, ServiceTier, StatedRates, UnknownServiceTier};
pub use self::reserved::Reserved;

/// The word for the list that gwsim ships, wherever a file of prices is asked for.
pub const BUILT_IN: &str = "built-in";

/// What models cost on one day.
#[derive(Debug, Clone)]
pub struct PriceList {
    name: String,
    date: Option<String>,
    entries: Vec<Entry>,
    names: names::Names,
    rounded: usize,
    skipped: usize,
    cache_writes_left_out: usize,
}

/// A model that is in no row of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// The name asked for.
    pub name: String,
    /// The list that was asked.
    pub list: String,
    /// At most three names of the list that come near, nearest first.
    pub near: Vec<String>,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no price for `{}` in {}", self.name, self.list)?;
        for (position, name) in self.near.iter().enumerate() {
            write!(f, "{} `{name}`", if position == 0 { "; did you mean" } else { " or" })?;
        }
        if self.near.is_empty() { Ok(()) } else { f.write_str("?") }
    }
}

impl std::error::Error for Unknown {}

/// What is wrong with a price list, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceError {
    /// The file as the user named it.
    pub file: String,
    /// Line, from 1.
    pub line: u64,
    /// Column in characters, from 1.
    pub column: u64,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl fmt::Display for PriceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

impl std::error::Error for PriceError {}

impl PriceError {
    fn at_offset(text: &str, file: &str, offset: usize, message: String) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.matches('\n').count() as u64 + 1;
        let column = before.rsplit('\n').next().unwrap_or(before).chars().count() as u64 + 1;
        Self { file: file.to_owned(), line, column, message }
    }
}

impl PriceList {
    /// The list that gwsim ships, read once.
    pub fn built_in() -> &'static Self {
        static BUILT_IN: OnceLock<PriceList> = OnceLock::new();
        BUILT_IN.get_or_init(|| {
            let list =
                Self::from_csv(include_str!("list.csv"), "src/price/list.csv").expect("the built-in price list is well-formed: a test reads it");
            Self { name: "the built-in price list".to_owned(), ..list }
        })
    }

    /// A list from gwsim's own CSV: comment lines with `# date: YYYY-MM-DD`, then columns of which `model` and `provider` are required and rates are
    /// called `[batch_|flex_|priority_](input|output|cache_read|cache_write|cache_write_1h|reasoning)[_above_<N>k]_usd_per_mtok`. `file_name` is only
    /// for messages.
    ///
    /// # Errors
    /// At the first thing that is wrong: no date, an unknown or repeated column, a bad number, a row without a price, a model that is there twice.
    pub fn from_csv(text: &str, file_name: &str) -> Result<Self, PriceError> {
        let table = table::read(text, file_name)?;
        Ok(Self { date: Some(table.date), rounded: table.rounded, ..Self::new(file_name, table.entries) })
    }

    /// A list from LiteLLM's `model_prices_and_context_window.json`, which states no date. Entries without a price per token or request (images,
    /// audio) are left out and counted ([`PriceList::skipped`]), as are cache-write rates below the input rate
    /// ([`PriceList::cache_writes_left_out`]). `file_name` is for messages and is each entry's source.
    ///
    /// # Errors
    /// If the text is not JSON of that shape, a price is not a number or negative, or a model is there twice.
    pub fn from_litellm_json(text: &str, file_name: &str) -> Result<Self, PriceError> {
        let map = litellm::read(text, file_name)?;
        let list = Self::new(file_name, map.entries);
        Ok(Self { rounded: map.rounded, skipped: map.skipped, cache_writes_left_out: map.cache_writes_left_out, ..list })
    }

    fn new(name: &str, entries: Vec<Entry>) -> Self {
        let names = names::Names::new(&entries);
        Self { name: name.to_owned(), date: None, entries, names, rounded: 0, skipped: 0, cache_writes_left_out: 0 }
    }

    /// The entry that a name means: `model`, `provider/model`, or a name as LiteLLM writes it.
    ///
    /// # Errors
    /// If no entry has that name. A dated snapshot that is not listed is unknown too, as snapshots of one model have had different prices.
    pub fn find(&self, name: &str) -> Result<&Entry, Unknown> {
        match self.names.get(name) {
            Some(index) => Ok(&self.entries[index]),
            None => Err(Unknown { name: name.to_owned(), list: self.to_string(), near: names::near(&self.entries, name) }),
        }
    }

    /// The day of the prices as `YYYY-MM-DD`; `None` if the source states none.
    pub fn date(&self) -> Option<&str> {
        self.date.as_deref()
    }

    /// Every entry, in the order of the source.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many prices were rounded to the microdollar per million tokens, or for fees to the picodollar.
    pub fn rounded(&self) -> usize {
        self.rounded
    }

    /// How many entries of the source were left out because nothing of them is priced per token or request.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// How many cache-write rates of LiteLLM's map were left out because they are below the input rate, which no provider charges.
    pub fn cache_writes_left_out(&self) -> usize {
        self.cache_writes_left_out
    }
}

impl fmt::Display for PriceList {
    /// `the built-in price list of 2026-11-22`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.date {
            Some(date) => write!(f, "{} of {date}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// The first entry that repeats the model and provider of an earlier one: (earlier, later).
fn duplicate(entries: &[Entry]) -> Option<(usize, usize)> {
    let mut seen = BTreeMap::new();
    entries.iter().enumerate().find_map(|(index, entry)| Some((seen.insert((&entry.provider, &entry.model), index)?, index)))
}
