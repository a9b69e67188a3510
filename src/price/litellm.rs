//! Reads LiteLLM's `model_prices_and_context_window.json`. Knows its keys; what a missing rate means is for `entry` to say.
//!
//! Read: input, output, cache read, cache write (5 min and `_above_1hr`) and reasoning rates, each with `_above_<N>k_tokens` and with
//! `_batches`, `_flex`, `_priority`; `tiered_pricing`; `input_cost_per_request`. Not read, as no token count of ours can be priced with them:
//! characters, seconds, images, audio, searches, off-peak windows, regional uplifts, the `_balanced`, `_ultrafast` and `_decisions` tiers, and the
//! 12-hour cache lifetime.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::PriceError;
use super::decimal::{self, DecimalError};
use super::entry::{Entry, Quantity, ServiceTier};
use super::names;

/// What a price map's text holds.
#[derive(Debug, Default)]
pub(super) struct PriceMap {
    pub(super) entries: Vec<Entry>,
    pub(super) rounded: usize,
    pub(super) skipped: usize,
    pub(super) cache_writes_left_out: usize,
}

pub(super) fn read(text: &str, file: &str) -> Result<PriceMap, PriceError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let models: Members<'_> = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line() as u64, error.column() as u64);
        PriceError { file: file.to_owned(), line, column, message: format!("not a price map: {error}") }
    })?;
    let page = Page { text, file };
    let mut map = PriceMap::default();
    let mut offsets = Vec::new();
    for (model, fields) in &models.0 {
        if model == "sample_spec" {
            continue;
        }
        let mut entry = entry(&page, model, fields, &mut map.rounded)?;
        map.cache_writes_left_out += entry.forget_low_cache_writes();
        if entry.is_priced() {
            map.entries.push(entry);
            offsets.push(*fields);
        } else {
            map.skipped += 1;
        }
    }
    if let Some((_, again)) = super::duplicate(&map.entries) {
        return Err(page.error(offsets[again], format!("`{}` is there twice; keep one", map.entries[again].model)));
    }
    Ok(map)
}

fn entry(page: &Page<'_>, model: &str, fields: &RawValue, rounded: &mut usize) -> Result<Entry, PriceError> {
    let Ok(Members(fields)) = serde_json::from_str::<Members<'_>>(fields.get()) else {
        return Err(page.error(fields, format!("`{model}` must be an object of prices")));
    };
    let mut entry = Entry::new(model, "", page.file);
    let mut tiers = None;
    let mut cache_hit = None;
    for (key, value) in &fields {
        match key.as_str() {
            _ if value.get() == "null" => {}
            "litellm_provider" => names::provider_of_litellm(&page.text_of(value)?).clone_into(&mut entry.provider),
            "mode" => entry.mode = page.text_of(value)?,
            "deprecation_date" => entry.deprecation_date = Some(page.text_of(value)?),
            "max_input_tokens" => entry.max_input = Some(page.number(key, value, decimal::whole)?),
            "max_output_tokens" => entry.max_output = Some(page.number(key, value, decimal::whole)?),
            "tiered_pricing" => tiers = Some(*value),
            "input_cost_per_token_cache_hit" => cache_hit = Some(page.rate(key, value, rounded)?),
            "input_cost_per_request" => {
                let (fee, inexact) = page.number(key, value, decimal::money)?;
                entry.charge_per_request(fee);
                *rounded += usize::from(inexact);
            }
            _ => {
                if let Some((quantity, service, above)) = rate_key(key) {
                    entry.state(quantity, service, above, page.rate(key, value, rounded)?);
                }
            }
        }
    }
    if let Some(rate) = cache_hit {
        entry.state_if_absent(Quantity::CacheRead, ServiceTier::Standard, 0, rate);
    }
    if let Some(tiers) = tiers {
        tiered(page, tiers, &mut entry, rounded)?;
    }
    Ok(entry)
}

/// `tiered_pricing`: a list of `{range: [from, to], rates}`, where a request with more than `from` input tokens pays that tier's rates. A list
/// of other steps (search results) is no token price and is passed over.
fn tiered(page: &Page<'_>, tiers: &RawValue, entry: &mut Entry, rounded: &mut usize) -> Result<(), PriceError> {
    let Ok(tiers) = serde_json::from_str::<Vec<Members<'_>>>(tiers.get()) else {
        return Err(page.error(tiers, "`tiered_pricing` must be a list of objects".to_owned()));
    };
    for Members(fields) in &tiers {
        let Some((_, range)) = fields.iter().find(|(key, _)| key == "range") else { continue };
        let bounds = serde_json::from_str::<Vec<&RawValue>>(range.get()).unwrap_or_default();
        let [from, _] = bounds.as_slice() else {
            return Err(page.error(range, "a tier's `range` must be two numbers of tokens, as in `[0, 32000]`".to_owned()));
        };
        let above = page.number("range", from, decimal::whole)?;
        for (key, value) in fields {
            if let Some((quantity, service, 0)) = rate_key(key) {
                entry.state_if_absent(quantity, service, above, page.rate(key, value, rounded)?);
            }
        }
    }
    Ok(())
}

/// The rate that a key states: `cache_read_input_token_cost_above_200k_tokens_priority`. `None` for every other key.
fn rate_key(key: &str) -> Option<(Quantity, ServiceTier, u32)> {
    const KEYS: [(&str, Quantity); 6] = [
        ("cache_creation_input_token_cost_above_1hr", Quantity::CacheWrite1h),
        ("cache_creation_input_token_cost", Quantity::CacheWrite),
        ("cache_read_input_token_cost", Quantity::CacheRead),
        ("output_cost_per_reasoning_token", Quantity::Reasoning),
        ("input_cost_per_token", Quantity::Input),
        ("output_cost_per_token", Quantity::Output),
    ];
    let (mut rest, quantity) = KEYS.iter().find_map(|(name, quantity)| Some((key.strip_prefix(name)?, *quantity)))?;
    let mut service = ServiceTier::Standard;
    for (suffix, tier) in [("_batches", ServiceTier::Batch), ("_flex", ServiceTier::Flex), ("_priority", ServiceTier::Priority)] {
        if let Some(shorter) = rest.strip_suffix(suffix) {
            (rest, service) = (shorter, tier);
        }
    }
    if rest.is_empty() {
        return Some((quantity, service, 0));
    }
    let thousands: u32 = rest.strip_prefix("_above_")?.strip_suffix("k_tokens")?.parse().ok().filter(|thousands| *thousands > 0)?;
    Some((quantity, service, thousands.checked_mul(1000)?))
}

/// The text being read, to say where in it something is wrong.
struct Page<'a> {
    text: &'a str,
    file: &'a str,
}

impl Page<'_> {
    /// An error at a value, which is a slice of the text.
    fn error(&self, value: &RawValue, message: String) -> PriceError {
        let offset = value.get().as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        PriceError::at_offset(self.text, self.file, offset, message)
    }

    fn text_of(&self, value: &RawValue) -> Result<String, PriceError> {
        serde_json::from_str(value.get()).map_err(|_| self.error(value, format!("`{}` must be a text", value.get())))
    }

    /// A number from its own digits, never through a float. LiteLLM also accepts one in quotes.
    fn number<T>(&self, key: &str, value: &RawValue, parse: fn(&str) -> Result<T, DecimalError>) -> Result<T, PriceError> {
        let digits = value.get().trim_matches('"');
        parse(digits).map_err(|reason| self.error(value, format!("{key}: {reason}")))
    }

    fn rate(&self, key: &str, value: &RawValue, rounded: &mut usize) -> Result<crate::gateway::money::Rate, PriceError> {
        let (rate, inexact) = self.number(key, value, decimal::rate_per_token)?;
        *rounded += usize::from(inexact);
        Ok(rate)
    }
}

/// The members of a JSON object in the order of the text, with values left as they are written; a repeated key stays twice.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
