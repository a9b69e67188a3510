//! What a provider says it bills, in the core's terms; what contradicts itself is refused. Knows the fields of both dialects, no prices.

use std::fmt;

use super::Dialect;
use super::json::Value;
use crate::gateway::rate_card::Usage;

/// Why a usage is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageFault {
    /// This field is no count of tokens.
    NoCount(&'static str),
    /// This field is missing.
    Missing(&'static str),
    /// The first is more than the second, of which it is a part.
    PartOverWhole(&'static str, &'static str),
}

impl fmt::Display for UsageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCount(field) => write!(f, "the provider's `usage.{field}` is no count of tokens"),
            Self::Missing(field) => write!(f, "the provider's usage has no `{field}`"),
            Self::PartOverWhole(part, whole) => write!(f, "the provider's usage contradicts itself: more `{part}` than `{whole}`"),
        }
    }
}

impl std::error::Error for UsageFault {}

/// What is known of a usage so far. A stream tells it in pieces: in Anthropic's dialect the input comes first and the output last.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    openai: Option<Result<Usage, UsageFault>>,
    anthropic: Parts,
    fault: Option<UsageFault>,
}

/// The fields of Anthropic's usage. Its `input_tokens` are those that no cache had to do with.
#[derive(Debug, Clone, Copy, Default)]
struct Parts {
    input: Option<u32>,
    cache_creation: u32,
    one_hour: u32,
    cache_read: u32,
    output: Option<u32>,
    /// What the model read and wrote to sum up the conversation, which the other fields leave out.
    summing_up: (u32, u32),
}

impl Tally {
    /// Takes a `usage` object. What it says replaces what was said before.
    pub fn take(&mut self, dialect: Dialect, usage: Value<'_>) {
        match dialect {
            Dialect::OpenAi => self.openai = Some(openai(usage)),
            Dialect::Anthropic => self.fault = self.anthropic.take(usage).err().or(self.fault),
        }
    }

    /// The usage as said so far, if it is one; or why it is none.
    ///
    /// # Errors
    /// If it contradicts itself, or a part is no count.
    pub fn usage(&self) -> Result<Option<Usage>, UsageFault> {
        match (self.openai, self.fault) {
            (Some(usage), _) => usage.map(Some),
            (None, Some(fault)) => Err(fault),
            (None, None) => self.anthropic.usage(),
        }
    }
}

/// The usage of an answer in a dialect.
///
/// # Errors
/// If it lacks what it must have, or contradicts itself.
pub fn read(dialect: Dialect, usage: Value<'_>) -> Result<Usage, UsageFault> {
    let mut tally = Tally::default();
    tally.take(dialect, usage);
    tally.usage()?.ok_or(UsageFault::Missing("output_tokens"))
}

/// Usage in `OpenAI`'s dialect: of chat and completions (`prompt_tokens`), and of responses (`input_tokens`). Embeddings have no output.
fn openai(usage: Value<'_>) -> Result<Usage, UsageFault> {
    let either = |older: &'static str, newer: &'static str| Ok((count(usage, older)?.or(count(usage, newer)?), older));
    let (input, input_name) = either("prompt_tokens", "input_tokens")?;
    let input = input.ok_or(UsageFault::Missing(input_name))?;
    let (stated, _) = either("completion_tokens", "output_tokens")?;
    let mut output = stated.unwrap_or(0);
    if let Some(total) = count(usage, "total_tokens")? {
        // Gemini's compatible endpoint and xAI leave thinking out of the output, but bill it and have it in the total (S).
        let rest = total.checked_sub(input).filter(|rest| *rest >= output).ok_or(UsageFault::PartOverWhole("completion_tokens", "total_tokens"))?;
        output = rest;
    }
    let detail = |older: &str, newer: &str| usage.some(older).or_else(|| usage.some(newer));
    let input_details = detail("prompt_tokens_details", "input_tokens_details");
    let output_details = detail("completion_tokens_details", "output_tokens_details");
    let within = |details: Option<Value<'_>>, field| details.map_or(Ok(None), |details| count(details, field));
    let cached = within(input_details, "cached_tokens")?;
    // DeepSeek's name for the same.
    let cache_read = cached.or(count(usage, "prompt_cache_hit_tokens")?).unwrap_or(0);
    let cache_write = within(input_details, "cache_write_tokens")?.unwrap_or(0);
    if u64::from(cache_read) + u64::from(cache_write) > u64::from(input) {
        return Err(UsageFault::PartOverWhole("cached_tokens", input_name));
    }
    let mut reasoning = within(output_details, "reasoning_tokens")?.unwrap_or(0);
    // Whatever the total has beyond input and stated output was thinking.
    reasoning = reasoning.max(output - stated.unwrap_or(0));
    if reasoning > output {
        return Err(UsageFault::PartOverWhole("reasoning_tokens", "completion_tokens"));
    }
    Ok(Usage { input, cache_read, cache_write, cache_write_1h: 0, output, reasoning })
}

impl Parts {
    fn take(&mut self, usage: Value<'_>) -> Result<(), UsageFault> {
        self.input = count(usage, "input_tokens")?.or(self.input);
        self.output = count(usage, "output_tokens")?.or(self.output);
        self.cache_creation = count(usage, "cache_creation_input_tokens")?.unwrap_or(self.cache_creation);
        self.cache_read = count(usage, "cache_read_input_tokens")?.unwrap_or(self.cache_read);
        if let Some(created) = usage.some("cache_creation") {
            self.one_hour = count(created, "ephemeral_1h_input_tokens")?.unwrap_or(self.one_hour);
        }
        if let Some(iterations) = usage.some("iterations") {
            self.summing_up = (0, 0);
            for summing_up in iterations.items().filter(|pass| pass.get("type").is_some_and(|kind| kind.is("compaction"))) {
                let sum = |field| Ok(count(summing_up, field)?.unwrap_or(0));
                let (input, output) = (sum("input_tokens")?, sum("output_tokens")?);
                self.summing_up = (self.summing_up.0.saturating_add(input), self.summing_up.1.saturating_add(output));
            }
        }
        Ok(())
    }

    fn usage(&self) -> Result<Option<Usage>, UsageFault> {
        let (Some(plain), Some(output)) = (self.input, self.output) else { return Ok(None) };
        let short_lived = self.cache_creation.checked_sub(self.one_hour);
        let cache_write = short_lived.ok_or(UsageFault::PartOverWhole("ephemeral_1h_input_tokens", "cache_creation_input_tokens"))?;
        let input = plain.checked_add(self.cache_creation).and_then(|sum| sum.checked_add(self.cache_read));
        let input = input.and_then(|input| input.checked_add(self.summing_up.0)).ok_or(UsageFault::NoCount("input_tokens"))?;
        let output = output.checked_add(self.summing_up.1).ok_or(UsageFault::NoCount("output_tokens"))?;
        Ok(Some(Usage { input, cache_read: self.cache_read, cache_write, cache_write_1h: self.one_hour, output, reasoning: 0 }))
    }
}

/// A count of tokens; `None` if the field is missing or `null`.
fn count(object: Value<'_>, field: &'static str) -> Result<Option<u32>, UsageFault> {
    let Some(value) = object.some(field) else { return Ok(None) };
    let count = value.whole().and_then(|count| u32::try_from(count).ok());
    count.map(Some).ok_or(UsageFault::NoCount(field))
}

#[cfg(test)]
mod tests;
