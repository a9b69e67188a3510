//! One model at one provider: what its list states, and how that becomes a rate card. Knows no file format and no other entry.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::gateway::money::{Money, Rate};
use crate::gateway::rate_card::{RateCard, Rates};

use super::discount::Discount;

/// The speed or urgency class that a request is bought in; each has its own rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum ServiceTier {
    /// The ordinary interactive price.
    #[default]
    Standard,
    /// Answered within hours.
    Batch,
    /// Slower, and may be refused when the provider is busy.
    Flex,
    /// Faster, dearer.
    Priority,
}

impl ServiceTier {
    /// All of them, in the order of lists.
    pub const ALL: [Self; 4] = [Self::Standard, Self::Batch, Self::Flex, Self::Priority];

    /// The word that configs and price lists use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Batch => "batch",
            Self::Flex => "flex",
            Self::Priority => "priority",
        }
    }

    /// The tier of that name, or `None`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.name() == name)
    }
}

/// What a rate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantity {
    Input,
    Output,
    CacheRead,
    CacheWrite,
    CacheWrite1h,
    Reasoning,
}

/// The rates that somebody stated; `None` is "not stated", which is never the same as zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StatedRates {
    /// Plain input.
    pub input: Option<Rate>,
    /// Output.
    pub output: Option<Rate>,
    /// Input read from the provider's prompt cache.
    pub cache_read: Option<Rate>,
    /// Input written to the prompt cache, short lifetime.
    pub cache_write: Option<Rate>,
    /// Input written to the prompt cache, one hour.
    pub cache_write_1h: Option<Rate>,
    /// Reasoning output.
    pub reasoning: Option<Rate>,
}

impl StatedRates {
    pub(super) fn slot(&mut self, quantity: Quantity) -> &mut Option<Rate> {
        match quantity {
            Quantity::Input => &mut self.input,
            Quantity::Output => &mut self.output,
            Quantity::CacheRead => &mut self.cache_read,
            Quantity::CacheWrite => &mut self.cache_write,
            Quantity::CacheWrite1h => &mut self.cache_write_1h,
            Quantity::Reasoning => &mut self.reasoning,
        }
    }

    fn zip(self, other: Self, choose: fn(Option<Rate>, Option<Rate>) -> Option<Rate>) -> Self {
        Self {
            input: choose(self.input, other.input),
            output: choose(self.output, other.output),
            cache_read: choose(self.cache_read, other.cache_read),
            cache_write: choose(self.cache_write, other.cache_write),
            cache_write_1h: choose(self.cache_write_1h, other.cache_write_1h),
            reasoning: choose(self.reasoning, other.reasoning),
        }
    }

    /// `self` where it states a rate, `other` elsewhere. An inherited cache-write rate is raised to the input rate that `self` states: no provider
    /// writes below its input rate (1x at OpenAI, Gemini and DeepSeek, 1.25x or 2x at Anthropic), and a dearer tier must not make writing a saving.
    fn inherit(self, other: Self) -> Self {
        let mut all = self.zip(other, Option::or);
        if self.cache_write.is_none() {
            all.cache_write = all.cache_write.map(|write| write.max(self.input.unwrap_or_default()));
        }
        if self.cache_write_1h.is_none() {
            all.cache_write_1h = all.cache_write_1h.map(|write| write.max(self.input.unwrap_or_default()));
        }
        all
    }

    /// The rates charged, once everything that can be inherited is.
    fn complete(self, discount: Discount) -> Rates {
        let input = self.input.unwrap_or_default();
        let output = self.output.unwrap_or_default();
        let cache_write = self.cache_write.unwrap_or(input);
        Rates {
            input: discount.rate(input),
            cache_read: discount.rate(self.cache_read.unwrap_or(input)),
            cache_write: discount.rate(cache_write),
            cache_write_1h: discount.rate(self.cache_write_1h.unwrap_or(cache_write)),
            output: discount.rate(output),
            reasoning: discount.rate(self.reasoning.unwrap_or(output)),
        }
    }
}

/// A model as one provider sells it on the date of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name in the list, with LiteLLM's provider prefix where the list has one: `gpt-4o`, `azure/gpt-4o`.
    pub model: String,
    /// Who sells it: `openai`, `anthropic`, `bedrock`, ...; empty for a model that only a config prices.
    pub provider: String,
    /// `chat`, `embedding`, `completion`, `responses`, ...; empty if not stated.
    pub mode: String,
    /// The most input tokens that the model takes, if stated.
    pub max_input: Option<u32>,
    /// The most output tokens that the model gives, if stated.
    pub max_output: Option<u32>,
    /// The day from which the provider no longer serves the model, as `YYYY-MM-DD`, if stated.
    pub deprecation_date: Option<String>,
    /// Where the prices are from.
    pub source: String,
    /// By service tier and threshold in input tokens; threshold 0 is the base.
    prices: BTreeMap<(ServiceTier, u32), StatedRates>,
    per_request: Money,
}

/// A service tier that a model is not sold in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownServiceTier {
    /// The model asked for.
    pub model: String,
    /// The tier asked for.
    pub asked: ServiceTier,
    /// The tiers with a price.
    pub offered: Vec<ServiceTier>,
}

impl fmt::Display for UnknownServiceTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` has no {} price; it is sold as", self.model, self.asked.name())?;
        for (position, tier) in self.offered.iter().enumerate() {
            write!(f, "{} {}", if position == 0 { "" } else { "," }, tier.name())?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownServiceTier {}

/// Prices that a config states in place of, or on top of, the list's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OverrideRates {
    /// The standard rates; a stated one replaces the list's, the others stay.
    pub rates: StatedRates,
    /// The fixed fee of every billed request.
    pub per_request: Option<Money>,
    /// `(above this many input tokens, rates)` in any order; if there is one, they replace all standard tiers of the list.
    pub tiers: Vec<(u32, StatedRates)>,
}

/// Why overrides do not make a price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OverrideError {
    /// The model is in no list, so its input and output rates must both be stated.
    Incomplete {
        /// The model without a price.
        model: String,
        /// `input` or `output`.
        missing: &'static str,
    },
    /// A tier above 0 tokens, which is the base.
    TierAboveZero,
    /// Two tiers with one threshold, in input tokens.
    DuplicateTier(u32),
}

impl fmt::Display for OverrideError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete { model, missing } => {
                write!(f, "`{model}` is in no price list and its {missing} rate is not stated; state both input and output (0 if free)")
            }
            Self::TierAboveZero => write!(f, "a price tier above 0 tokens is the base price; write its rates there"),
            Self::DuplicateTier(above) => write!(f, "two price tiers above {above} tokens; keep one"),
        }
    }
}

impl std::error::Error for OverrideError {}

impl Entry {
    pub(super) fn new(model: &str, provider: &str, source: &str) -> Self {
        Self {
            model: model.to_owned(),
            provider: provider.to_owned(),
            mode: String::new(),
            max_input: None,
            max_output: None,
            deprecation_date: None,
            source: source.to_owned(),
            prices: BTreeMap::new(),
            per_request: Money::ZERO,
        }
    }

    /// An entry from what a config states for `model`, on top of the list's entry if there is one. Service tiers other than the standard one
    /// stay as listed.
    ///
    /// # Errors
    /// If there is no `base` and the input or output rate is missing, or if two tiers have the same threshold or one has threshold 0.
    pub fn from_override(model: &str, base: Option<&Entry>, stated: &OverrideRates) -> Result<Self, OverrideError> {
        let mut entry = match base {
            Some(base) => Self { model: model.to_owned(), source: format!("config, on top of: {}", base.source), ..base.clone() },
            None => Self::new(model, "", "config"),
        };
        for (missing, rate) in [("input", stated.rates.input), ("output", stated.rates.output)] {
            if base.is_none() && rate.is_none() {
                return Err(OverrideError::Incomplete { model: model.to_owned(), missing });
            }
        }
        let standard = entry.prices.entry((ServiceTier::Standard, 0)).or_default();
        *standard = stated.rates.zip(*standard, Option::or);
        entry.per_request = stated.per_request.unwrap_or(entry.per_request);
        if !stated.tiers.is_empty() {
            entry.prices.retain(|(service, above), _| *service != ServiceTier::Standard || *above == 0);
        }
        for (above, rates) in &stated.tiers {
            if *above == 0 {
                return Err(OverrideError::TierAboveZero);
            }
            if entry.prices.insert((ServiceTier::Standard, *above), *rates).is_some() {
                return Err(OverrideError::DuplicateTier(*above));
            }
        }
        Ok(entry)
    }

    /// What a call costs, at the contract's discount, in one service tier. The rules are those of the [module](super).
    ///
    /// # Errors
    /// If the list states no rate for that service tier of this model.
    pub fn card(&self, discount: Discount, service: ServiceTier) -> Result<RateCard, UnknownServiceTier> {
        if !self.offers(service) {
            let offered = ServiceTier::ALL.into_iter().filter(|tier| self.offers(*tier)).collect();
            return Err(UnknownServiceTier { model: self.model.clone(), asked: service, offered });
        }
        let base = self.stated(service, 0).inherit(self.stated(ServiceTier::Standard, 0));
        let thresholds: BTreeSet<u32> = self
            .prices
            .keys()
            .filter(|(tier, above)| (*tier == ServiceTier::Standard || *tier == service) && *above > 0)
            .map(|(_, above)| *above)
            .collect();
        let mut below = base;
        let mut tiers = Vec::with_capacity(thresholds.len());
        for above in thresholds {
            let standard = self.stated(ServiceTier::Standard, above);
            // `None` is less than any rate, so this also inherits.
            let inherited = if service == ServiceTier::Standard { below } else { standard.inherit(below).zip(below, Ord::max) };
            below = self.stated(service, above).inherit(inherited);
            tiers.push((above, below.complete(discount)));
        }
        Ok(RateCard::new(base.complete(discount), tiers, discount.fee(self.per_request)))
    }

    /// Whether the list states a price for that service tier. Every entry is sold as [`ServiceTier::Standard`].
    pub fn offers(&self, service: ServiceTier) -> bool {
        service == ServiceTier::Standard || self.prices.keys().any(|(tier, _)| *tier == service)
    }

    /// What the list states for a service tier above a number of input tokens (0: the base), before anything is inherited.
    pub fn stated(&self, service: ServiceTier, above: u32) -> StatedRates {
        self.prices.get(&(service, above)).copied().unwrap_or_default()
    }

    /// Whether a token rate or a fee is stated, without which an entry can't price a call.
    pub(super) fn is_priced(&self) -> bool {
        let base = self.stated(ServiceTier::Standard, 0);
        base.input.is_some() || base.output.is_some() || self.per_request > Money::ZERO
    }

    pub(super) fn state(&mut self, quantity: Quantity, service: ServiceTier, above: u32, rate: Rate) {
        *self.prices.entry((service, above)).or_default().slot(quantity) = Some(rate);
    }

    /// As [`Self::state`], but what is stated already stays.
    pub(super) fn state_if_absent(&mut self, quantity: Quantity, service: ServiceTier, above: u32, rate: Rate) {
        self.prices.entry((service, above)).or_default().slot(quantity).get_or_insert(rate);
    }

    /// Takes back cache-write rates below the input rate beside them, and says how many: LiteLLM's map has 0 for "no surcharge" (DeepSeek), half the
    /// input rate (Azure) and others, where each provider bills a write at least as plain input.
    pub(super) fn forget_low_cache_writes(&mut self) -> usize {
        let mut forgotten = 0;
        for rates in self.prices.values_mut() {
            for write in [&mut rates.cache_write, &mut rates.cache_write_1h] {
                if write.is_some_and(|write| write < rates.input.unwrap_or_default()) {
                    *write = None;
                    forgotten += 1;
                }
            }
        }
        forgotten
    }

    pub(super) fn charge_per_request(&mut self, fee: Money) {
        self.per_request = fee;
    }
}
