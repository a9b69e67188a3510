//! What a call costs: one deployment's rates, when they change, and the exact bill of a usage. Knows no model names and no price lists
//! (`crate::price` does).

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::money::{Money, Rate};
use super::time::Time;

/// Tokens as a provider counts them for a bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Usage {
    /// All input tokens, cached ones included.
    pub input: u32,
    /// The part of `input` read from the provider's prompt cache.
    pub cache_read: u32,
    /// The part of `input` written to the provider's prompt cache with the short lifetime (5 minutes at Anthropic).
    pub cache_write: u32,
    /// The part of `input` written with the one-hour lifetime.
    pub cache_write_1h: u32,
    /// All output tokens, reasoning included.
    pub output: u32,
    /// The part of `output` that was reasoning.
    pub reasoning: u32,
}

impl Usage {
    /// Input and output without any provider cache.
    pub const fn plain(input: u32, output: u32) -> Self {
        Self { input, cache_read: 0, cache_write: 0, cache_write_1h: 0, output, reasoning: 0 }
    }

    /// The same tokens billed as if no prompt cache existed.
    pub const fn without_prompt_cache(self) -> Self {
        Self { cache_read: 0, cache_write: 0, cache_write_1h: 0, ..self }
    }

    /// Input and output together, as token limits count them.
    pub const fn total(self) -> u64 {
        self.input as u64 + self.output as u64
    }
}

/// The rates of one price tier. A rate that the provider does not publish holds the rate that is charged instead
/// (cache rates and reasoning fall back to the plain input and output rate), never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rates {
    /// Plain input.
    pub input: Rate,
    /// Input read from the prompt cache.
    pub cache_read: Rate,
    /// Input written to the prompt cache, short lifetime.
    pub cache_write: Rate,
    /// Input written to the prompt cache, one hour.
    pub cache_write_1h: Rate,
    /// Output.
    pub output: Rate,
    /// Reasoning output.
    pub reasoning: Rate,
}

impl Rates {
    /// Rates of a model without cache or reasoning prices: everything falls back to the two plain ones.
    pub const fn plain(input: Rate, output: Rate) -> Self {
        Self { input, cache_read: input, cache_write: input, cache_write_1h: input, output, reasoning: output }
    }

    fn cost(&self, usage: Usage) -> Money {
        let cached = usage.cache_read + usage.cache_write + usage.cache_write_1h;
        debug_assert!(cached <= usage.input && usage.reasoning <= usage.output, "parts within their whole: {usage:?}");
        let mut cost = self.input.times(u64::from(usage.input - cached)) + self.output.times(u64::from(usage.output - usage.reasoning));
        if cached > 0 {
            cost += self.cache_read.times(u64::from(usage.cache_read))
                + self.cache_write.times(u64::from(usage.cache_write))
                + self.cache_write_1h.times(u64::from(usage.cache_write_1h));
        }
        if usage.reasoning > 0 {
            cost += self.reasoning.times(u64::from(usage.reasoning));
        }
        cost
    }

    fn dearest_input(&self) -> Rate {
        self.input.max(self.cache_read).max(self.cache_write).max(self.cache_write_1h)
    }

    fn dearest_output(&self) -> Rate {
        self.output.max(self.reasoning)
    }
}

/// Everything that prices a call on one deployment.
///
/// Crossing the threshold of a tier reprices the *whole* request at that tier (`input > above`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateCard {
    base: Rates,
    tiers: Vec<(u32, Rates)>,
    per_request: Money,
    dearest: Vec<(u32, Rate, Rate)>,
}

impl RateCard {
    /// A card from its base rates, its tiers `(above this many input tokens, rates)` and a fixed price per request.
    ///
    /// # Panics
    /// If the thresholds do not strictly increase: `crate::price` sorts and checks what users write.
    pub fn new(base: Rates, tiers: Vec<(u32, Rates)>, per_request: Money) -> Self {
        assert!(tiers.is_sorted_by(|a, b| a.0 < b.0), "tier thresholds strictly increase");
        let mut dearest = Vec::with_capacity(tiers.len() + 1);
        let (mut input, mut output) = (base.dearest_input(), base.dearest_output());
        dearest.push((0, input, output));
        for (above, rates) in &tiers {
            input = input.max(rates.dearest_input());
            output = output.max(rates.dearest_output());
            dearest.push((*above, input, output));
        }
        Self { base, tiers, per_request, dearest }
    }

    /// The rates of the tier that a request with `input` tokens falls in.
    #[inline]
    pub fn rates(&self, input: u32) -> &Rates {
        self.tiers.iter().rev().find(|(above, _)| input > *above).map_or(&self.base, |(_, rates)| rates)
    }

    /// The exact bill of a completed call.
    #[inline]
    pub fn cost(&self, usage: Usage) -> Money {
        self.rates(usage.input).cost(usage) + self.per_request
    }

    /// The most that a call can be billed: at most `input` input tokens at the dearest input rate that may apply
    /// (a cache write, a lower or higher tier), and `output` tokens at the dearest output rate.
    #[inline]
    pub fn worst_case(&self, input: u32, output: u64) -> Money {
        let reachable = self.dearest.iter().rev().find(|(above, ..)| *above == 0 || input > *above);
        let (_, input_rate, output_rate) = reachable.expect("the base tier is always reachable");
        input_rate.times(u64::from(input)) + output_rate.times(output) + self.per_request
    }

    /// The rates of every tier, each with the input tokens that it is above; the base first, above 0.
    pub fn tiers(&self) -> impl Iterator<Item = (u32, &Rates)> {
        core::iter::once((0, &self.base)).chain(self.tiers.iter().map(|(above, rates)| (*above, rates)))
    }

    /// The fixed price of every billed request.
    pub fn per_request(&self) -> Money {
        self.per_request
    }
}

/// What calls on one deployment cost over time. A call is priced by the card in force when it is made, however long it takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateSchedule {
    first: RateCard,
    later: Vec<(Time, RateCard)>,
}

impl RateSchedule {
    /// `first`, and then each card of `later` from its instant on, the instant included.
    ///
    /// # Panics
    /// If the instants do not strictly increase: `config` checks what users write.
    pub fn new(first: RateCard, later: Vec<(Time, RateCard)>) -> Self {
        assert!(later.is_sorted_by(|a, b| a.0 < b.0), "price changes follow each other");
        Self { first, later }
    }

    /// The card in force at `now`.
    #[inline]
    pub fn at(&self, now: Time) -> &RateCard {
        if self.later.is_empty() {
            return &self.first;
        }
        let changes = self.later.partition_point(|(from, _)| *from <= now);
        changes.checked_sub(1).map_or(&self.first, |last| &self.later[last].1)
    }

    /// Every card with the instant that it is in force from; the first from the beginning of time.
    pub fn cards(&self) -> impl Iterator<Item = (Time, &RateCard)> {
        core::iter::once((Time(0), &self.first)).chain(self.later.iter().map(|(from, card)| (*from, card)))
    }
}

impl From<RateCard> for RateSchedule {
    /// Rates that never change.
    fn from(card: RateCard) -> Self {
        Self::new(card, Vec::new())
    }
}
