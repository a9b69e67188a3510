//! What a bound can be about: how it is measured, in which unit, and what it is called. Compares exactly, in integers; decides no verdict.

use std::cmp::Ordering;

use super::Side;
use crate::gateway::money::Money;
use crate::gateway::time::Span;
use crate::report::totals::Totals;
use crate::report::{Variant, numbers};

/// What is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// The bill, at every end of token ratios.
    Cost,
    /// Of the bill, calls that did not deliver the answer.
    Wasted,
    /// Of the bill, what was billed beyond what reached the client.
    Undelivered,
    /// What went beyond budgets: the sum over all of them, so a call above two budgets counts twice.
    Overspend,
    /// The bill against that of the variant that all are compared with, under the same seed and at the same end of token ratios.
    Change,
    /// Requests that were answered, as their users see it.
    Answered,
    /// Answers by another model than the one asked for.
    OtherModel,
    /// Calls to providers that ended with a 429.
    RateLimited,
    /// Calls to providers for each request that the gateway got; a client's own retry is a request.
    CallsPerRequest,
    /// Calls to providers for the request that had most.
    CallsOfOneRequest,
    /// Retries that the gateway made, on the same deployment or another.
    Retries,
    /// The time that 95 % of answered users did not wait longer than, within 0.8 %.
    P95,
}

/// What a bound's value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Picodollars.
    Dollars,
    /// Millionths of a whole that the quantity is a part of: from 0 to 1,000,000.
    Share,
    /// Millionths that may be negative, and more than a whole.
    Change,
    /// Millionths of one.
    Mean,
    /// Ones.
    Count,
    /// Nanoseconds.
    Time,
}

/// What was measured under one seed: `part` of `whole`, in the quantity's unit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figure {
    part: i128,
    /// Above zero.
    whole: i128,
}

/// Parts in a whole.
const MILLION: i128 = 1_000_000;

impl Quantity {
    /// Every quantity, with the key that configurations call it by.
    pub const ALL: [(&'static str, Self); 12] = [
        ("cost_usd", Self::Cost),
        ("wasted_usd", Self::Wasted),
        ("undelivered_usd", Self::Undelivered),
        ("overspend_usd", Self::Overspend),
        ("change", Self::Change),
        ("answered", Self::Answered),
        ("other_model", Self::OtherModel),
        ("rate_limited", Self::RateLimited),
        ("calls_per_request", Self::CallsPerRequest),
        ("calls_of_one_request", Self::CallsOfOneRequest),
        ("retries", Self::Retries),
        ("p95", Self::P95),
    ];

    /// What it is counted in.
    pub const fn unit(self) -> Unit {
        match self {
            Self::Cost | Self::Wasted | Self::Undelivered | Self::Overspend => Unit::Dollars,
            Self::Change => Unit::Change,
            Self::Answered | Self::OtherModel | Self::RateLimited => Unit::Share,
            Self::CallsPerRequest => Unit::Mean,
            Self::CallsOfOneRequest | Self::Retries => Unit::Count,
            Self::P95 => Unit::Time,
        }
    }

    /// What was measured, seed by seed; nothing for a seed that has none, such as a p95 where nobody was answered.
    pub(super) fn of(self, variant: &Variant, reference: &Variant) -> Vec<Figure> {
        match self {
            Self::Cost => bills(variant, true).into_iter().map(Figure::money).collect(),
            Self::Change => {
                let ends = variant.token_ends.is_some() || reference.token_ends.is_some();
                bills(reference, ends).into_iter().zip(bills(variant, ends)).filter_map(|(before, now)| Figure::change(before, now)).collect()
            }
            _ => variant.runs.iter().filter_map(|run| self.within(&run.totals)).collect(),
        }
    }

    /// What one run came to.
    fn within(self, totals: &Totals) -> Option<Figure> {
        let share = |(part, whole): (u64, u64)| Figure::ratio(i128::from(part) * MILLION, whole);
        match self {
            // Known for a variant only.
            Self::Cost | Self::Change => None,
            Self::Wasted => Some(Figure::money(totals.causes.wasted.iter().flatten().copied().sum())),
            Self::Undelivered => Some(Figure::money(totals.causes.undelivered)),
            Self::Overspend => Some(Figure::money(totals.incidents.breached)),
            Self::Answered => share(totals.answered_of()),
            Self::OtherModel => share((totals.other_model, totals.outcomes.answered())),
            Self::RateLimited => share((totals.rate_limited(), totals.calls_sent())),
            Self::CallsPerRequest => share((totals.calls_sent(), totals.requests)),
            Self::CallsOfOneRequest => Some(Figure::whole(totals.calls_of_one_request_max.into())),
            Self::Retries => Some(Figure::whole(totals.retries().into())),
            Self::P95 => totals.waited().quantile(950).map(|span| Figure::whole(span.0.into())),
        }
    }

    /// What is said where nothing was measured.
    pub(super) const fn absent(self) -> &'static str {
        match self {
            Self::Change => "nothing to compare with: the variant it is compared with costs nothing",
            Self::OtherModel | Self::P95 => "no answers",
            Self::RateLimited => "no calls",
            _ => "no requests",
        }
    }

    /// A measured figure in words.
    pub(super) fn shown(self, Figure { part, whole }: Figure) -> String {
        match self.unit() {
            Unit::Dollars => Money(part).to_string(),
            Unit::Share => {
                let (part, whole) = ((part / MILLION) as u64, whole as u64);
                format!("{} ({} of {})", numbers::share(part, whole), numbers::count(part), numbers::count(whole))
            }
            Unit::Change => percent(part / whole, "+"),
            Unit::Mean => format!("{} ({} for {})", decimal(part / whole), numbers::count((part / MILLION) as u64), numbers::count(whole as u64)),
            Unit::Count => numbers::count(part as u64),
            Unit::Time => numbers::latency(Span(part as u64)),
        }
    }

    /// A bound in words.
    pub(super) fn words(self, side: Side, value: i128) -> String {
        let side = match side {
            Side::AtLeast => "at least",
            Side::AtMost => "at most",
        };
        let amount = match self.unit() {
            Unit::Dollars => Money(value).to_string(),
            Unit::Share => percent(value, ""),
            Unit::Change => percent(value, "+"),
            Unit::Mean => decimal(value),
            Unit::Count => numbers::count(value as u64),
            Unit::Time => numbers::latency(Span(value as u64)),
        };
        match self {
            Self::Cost => format!("a cost of {side} {amount}"),
            Self::Wasted => format!("{side} {amount} wasted"),
            Self::Undelivered => format!("{side} {amount} undelivered"),
            Self::Overspend => format!("{side} {amount} above budgets"),
            Self::Change => format!("a change of {side} {amount}"),
            Self::Answered => format!("{side} {amount} answered"),
            Self::OtherModel => format!("{side} {amount} of answers by another model"),
            Self::RateLimited => format!("{side} {amount} of calls rate limited"),
            Self::CallsPerRequest => format!("{side} {amount} calls a request"),
            Self::CallsOfOneRequest => format!("{side} {amount} calls for one request"),
            Self::Retries => format!("{side} {amount} retries"),
            Self::P95 => format!("a p95 of {side} {amount}"),
        }
    }
}

impl Figure {
    fn money(amount: Money) -> Self {
        Self::whole(amount.0)
    }

    fn whole(part: i128) -> Self {
        Self { part, whole: 1 }
    }

    fn ratio(part: i128, whole: u64) -> Option<Self> {
        (whole > 0).then_some(Self { part, whole: whole.into() })
    }

    fn change(before: Money, now: Money) -> Option<Self> {
        (before > Money::ZERO).then_some(Self { part: (now - before).0 * MILLION, whole: before.0 })
    }

    /// To the unit, down: to tell which seed is furthest off, not whether it is too far.
    pub(super) fn rounded(&self) -> i128 {
        self.part.div_euclid(self.whole)
    }

    pub(super) fn compared_with(&self, value: i128) -> Ordering {
        self.part.cmp(&(value * self.whole))
    }
}

/// The bills of a variant by seed; with `ends`, also those at both ends of token ratios, which are the same where it has none.
fn bills(variant: &Variant, ends: bool) -> Vec<Money> {
    let own: Vec<Money> = variant.runs.iter().map(|run| run.totals.bill).collect();
    let at_ends = match &variant.token_ends {
        _ if !ends => Vec::new(),
        Some(ends) => [ends.low.as_slice(), &ends.high].concat(),
        None => [own.as_slice(), &own].concat(),
    };
    [own, at_ends].concat()
}

/// Millionths as a percentage, all digits that they have; `plus` stands before what is above zero.
fn percent(millionths: i128, plus: &str) -> String {
    let plus = if millionths > 0 { plus } else { "" };
    format!("{plus}{} %", decimal(millionths * 100))
}

/// Millionths as a decimal number, all digits that they have.
fn decimal(millionths: i128) -> String {
    let (sign, millionths) = (if millionths < 0 { "-" } else { "" }, millionths.unsigned_abs());
    let (whole, rest) = (millionths / 1_000_000, format!("{:06}", millionths % 1_000_000));
    match rest.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        rest => format!("{sign}{whole}.{rest}"),
    }
}
