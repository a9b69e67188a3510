//! The sentence that a decision can rest on (which variant, how much, how sure, why), and what could be wrong with it. Decides wording; what is sure
//! is decided by [`super::change`].
//!
//! A saving is only called one at equal success: as many requests answered, and as many by the model asked for. Where that is not so, both numbers
//! are said and nothing is recommended.

use super::cause::Causes;
use super::change::{Change, Part, Unknown};
use super::numbers::{self, about, length, share, usd};
use super::period::periods;
use super::totals::Totals;
use super::trust::{self, Trust};
use super::{Report, Variant};
use crate::gateway::money::Money;

/// What a report comes down to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headline {
    /// The variant that is recommended; `None` if none is.
    pub variant: Option<usize>,
    /// One or two sentences.
    pub sentence: String,
    /// What it hangs on, the most dollars first.
    pub could_be_wrong: Vec<String>,
}

/// So many in a thousand fewer answers, or more answers by another model, are still equal success: one.
const EQUAL_PER_MILLE: u64 = 1;

/// Reasons that are named.
const REASONS_MAX: usize = 4;

/// The headline of a report; `changes` are those of its variants ([`super::change::changes`]).
pub fn headline(report: &Report, changes: &[Option<Change>]) -> Headline {
    let Some(reference) = report.variants.get(report.reference) else { return plain("No variant was run.".to_owned()) };
    if let Some(missed) = report.baseline.as_ref().and_then(trust::missed) {
        return plain(format!("{missed}."));
    }
    let others: Vec<Other> = changes
        .iter()
        .enumerate()
        .filter_map(|(index, change)| Some(Other { index, change: change.as_ref()?, variant: report.variants.get(index)? }))
        .collect();
    if others.is_empty() {
        return plain(format!("{} costs {} on this traffic; one variant, nothing to compare it with.", reference.name, usd(reference.bill().mean)));
    }
    if others.iter().all(|other| other.change.is_identical) {
        return plain(format!(
            "No difference: {} on this traffic.",
            if others.len() == 1 { "both variants do the same" } else { "all variants do the same" }
        ));
    }
    let asked = reference.merged();
    let cheaper = others.iter().filter(|other| other.change.difference < Money::ZERO);
    let (equal, unequal): (Vec<&Other>, Vec<&Other>) = cheaper.partition(|other| succeeds_as(&other.variant.merged(), &asked));
    // The first of the cheapest, so that a tie has one answer.
    let cheapest = |of: &[&Other<'_>]| of.iter().min_by_key(|other| other.change.difference).map(|other| other.index);
    let find = |index: usize| others.iter().find(|other| other.index == index).expect("an index of one of them");
    if let Some(best) = cheapest(&equal).map(find) {
        let mut sentence = saving(report, best, (&asked, reference));
        if let Some(more) = cheapest(&unequal).map(find).filter(|other| other.change.difference < best.change.difference) {
            sentence.push(' ');
            sentence.push_str(&trade(more, reference, &asked));
        }
        return Headline { variant: best.is_sure().then_some(best.index), sentence, could_be_wrong: doubts(report, best, reference) };
    }
    if let Some(other) = cheapest(&unequal).map(find) {
        let sentence = format!("No variant saves at equal success. {}", trade(other, reference, &asked));
        return Headline { variant: None, sentence, could_be_wrong: doubts(report, other, reference) };
    }
    plain(format!("Nothing saves: {} is the cheapest of {} variants.", reference.name, report.variants.len()))
}

/// The parts of a change's interval, or why there is none, in words: `luck 0.3, day to day 1.5, assumptions 1.0 points`.
pub fn parts(change: &Change) -> String {
    let points = |part: f64| {
        let points = part * 100.0;
        if points > 0.0 && points < 0.05 { "<0.1".to_owned() } else { format!("{points:.1}") }
    };
    let told = |name: &str, part: &Part| match part {
        Part::Nothing => format!("{name} none"),
        Part::HalfWidth(half) => format!("{name} {}", points(*half)),
        Part::Unknown(why) => format!("{name} unknown ({})", unknown(why)),
    };
    let mut text = format!("{}, {}", told("luck", &change.luck), told("day to day", &change.traffic));
    if let Some((below, above)) = change.assumptions.filter(|(below, above)| *below > 0.0 || *above > 0.0) {
        text.push_str(&format!(", assumptions {}", points(below.max(above))));
    }
    text
}

/// Why a part of the interval is not known.
pub fn unknown(why: &Unknown) -> String {
    match why {
        Unknown::OneSeed => "one seed".to_owned(),
        Unknown::TraceTooShort { blocks, needed, block } => {
            format!("trace too short: {blocks} blocks of {}, {needed} needed", length(*block))
        }
        Unknown::FewBlocksDiffer => "what differs is in too few stretches of time".to_owned(),
        Unknown::NothingToCompareWith => "the reference costs nothing".to_owned(),
    }
}

/// The relative change by itself: `-10.2 %`.
pub fn mean(change: &Change, reference: Money, variant: Money) -> String {
    if change.is_identical { "identical".to_owned() } else { numbers::change(reference, variant) }
}

/// The relative change with its interval: `-10.2 % (-8 to -12)`.
pub fn relative(change: &Change, reference: Money, variant: Money) -> String {
    let mean = mean(change, reference, variant);
    interval(change).filter(|_| !change.is_identical).map_or_else(|| mean.clone(), |(near, far)| format!("{mean} ({near} to {far})"))
}

/// The ends of the interval in per cent with their signs, the one nearer to no change first; `None` if nothing of it is known.
pub fn interval(change: &Change) -> Option<(String, String)> {
    let is_known = matches!(change.luck, Part::HalfWidth(_)) || matches!(change.traffic, Part::HalfWidth(_)) || change.assumptions.is_some();
    if !is_known || change.relative.is_none() {
        return None;
    }
    let (low, high) = (change.low * 100.0, change.high * 100.0);
    let decimals = match (high - low) / 2.0 {
        half if half >= 0.95 => 0,
        half if half >= 0.095 => 1,
        _ => 2,
    };
    let shown = |end: f64| {
        let text = format!("{end:+.decimals$}");
        // No sign where nothing is left of the number.
        if text.trim_start_matches(['+', '-']).chars().all(|character| matches!(character, '0' | '.')) { "0".to_owned() } else { text }
    };
    let (near, far) = if low < 0.0 && high <= 0.0 { (high, low) } else { (low, high) };
    Some((shown(near), shown(far)))
}

/// A variant beside the reference.
struct Other<'a> {
    index: usize,
    variant: &'a Variant,
    change: &'a Change,
}

impl Other<'_> {
    /// Whether what is known of the interval excludes that there is no difference. Of nothing known, the runs are all there is.
    fn is_sure(&self) -> bool {
        self.change.is_decided || interval(self.change).is_none()
    }
}

fn plain(sentence: String) -> Headline {
    Headline { variant: None, sentence, could_be_wrong: Vec::new() }
}

/// Whether a variant answers as many as the reference, and as many of them by the model asked for.
pub fn succeeds_as(variant: &Totals, reference: &Totals) -> bool {
    let (answered, asked) = variant.answered_of();
    let (answered_before, asked_before) = reference.answered_of();
    let (by_model, by_model_before) = (by_model_asked(variant), by_model_asked(reference));
    at_least(answered, asked, answered_before, asked_before) && at_least(by_model, asked, by_model_before, asked_before)
}

/// Answers by the model asked for.
fn by_model_asked(totals: &Totals) -> u64 {
    totals.answered_of().0.saturating_sub(totals.other_model)
}

/// Whether `a` of `b` is at least as much as `c` of `d`, but for [`EQUAL_PER_MILLE`].
fn at_least(a: u64, b: u64, c: u64, d: u64) -> bool {
    let [a, b, c, d] = [a, b.max(1), c, d.max(1)].map(u128::from);
    a * d * 1_000 + u128::from(EQUAL_PER_MILLE) * b * d >= c * b * 1_000
}

fn saving(report: &Report, best: &Other<'_>, (asked, reference): (&Totals, &Variant)) -> String {
    let (change, name) = (best.change, &best.variant.name);
    let before = reference.bill().mean;
    if !best.is_sure() {
        let shown = relative(change, before, best.variant.bill().mean);
        return format!("No variant is surely cheaper at equal success: {name} {shown}.");
    }
    let why = reason(&mean_causes(reference), &mean_causes(best.variant), &best.variant.merged(), asked);
    let span = report.traffic.span;
    let period = periods(span).last();
    let each = |amount: Money| period.map_or(amount, |period| period.of(amount, span));
    let saved = each(-change.difference);
    let ends = interval(change).map(|_| [-change.high, -change.low].map(|end| each(scaled(before, end))));
    let half = ends.map_or(saved, |[least, most]| Money((most.0 - least.0).abs() / 2));
    let digits = if ends.is_some() { 2 } else { 3 };
    let amount = about(saved, half, digits);
    let success = success(&best.variant.merged(), asked);
    let per = period.map_or("on this traffic", |period| period.each);
    if trust::of(report) == Trust::Reproduced {
        let likely = ends.map_or_else(String::new, |[least, most]| format!(" (likely {} to {})", about(least, half, 2), about(most, half, 2)));
        return format!("Save about {amount} {per}{likely} with {name}, {success}: {why}.");
    }
    let less = numbers::change(before, best.variant.bill().mean);
    let less = less.trim_start_matches('-');
    let likely = interval(change)
        .map_or_else(String::new, |(near, far)| format!(" (likely {} to {} %)", near.trim_start_matches('-'), far.trim_start_matches('-')));
    let such = if period.is_some() { " of such traffic" } else { "" };
    format!("{name} costs {less} less{likely}, about {amount} {per}{such}, {success}: {why}.")
}

/// How a variant that answers at least as many does beside the reference.
fn success(variant: &Totals, reference: &Totals) -> String {
    let ((answered, asked), (answered_before, asked_before)) = (variant.answered_of(), reference.answered_of());
    if at_least(answered_before, asked_before, answered, asked) {
        return "at equal success".to_owned();
    }
    format!("and answers more ({}, not {})", share(answered, asked), share(answered_before, asked_before))
}

/// Both numbers of a variant that is cheaper and answers less, or answers by other models.
fn trade(other: &Other<'_>, reference: &Variant, asked: &Totals) -> String {
    let totals = other.variant.merged();
    let ((answered, of), (answered_before, of_before)) = (totals.answered_of(), asked.answered_of());
    let less = numbers::change(reference.bill().mean, other.variant.bill().mean);
    let (name, less) = (&other.variant.name, less.trim_start_matches('-'));
    if at_least(answered, of, answered_before, of_before) {
        let (now, before) = (share(by_model_asked(&totals), of), share(by_model_asked(asked), of_before));
        return format!("{name} costs {less} less, but the model asked for answers {now}, not {before}.");
    }
    let (now, before) = (share(answered, of), share(answered_before, of_before));
    format!("{name} costs {less} less, but answers {now}, not {before}: refusing traffic is not saving.")
}

fn mean_causes(variant: &Variant) -> [Money; 6] {
    let Causes { undelivered, base, premium, prompt_cache, reserved, .. } = variant.merged().causes;
    let wasted = variant.merged().causes.wasted_total();
    let runs = i128::try_from(variant.runs.len()).expect("few seeds");
    [base, premium, prompt_cache, wasted, undelivered, reserved].map(|part| Money(part.0 / runs))
}

/// Which part of the bill fell most, in plain words.
fn reason(before: &[Money; 6], now: &[Money; 6], totals: &Totals, asked: &Totals) -> String {
    let from_cache = |totals: &Totals| totals.outcomes.cached + totals.outcomes.shared;
    let bought = |totals: &Totals| u128::from(totals.tokens.input + totals.tokens.output);
    let base = match () {
        () if from_cache(totals) > from_cache(asked) => "answers that exist already are not bought again",
        // By a hundredth at least.
        () if bought(totals) * 100 <= bought(asked) * 99 => "fewer tokens are bought",
        () => "the models asked for are cheaper here",
    };
    let words = [
        base,
        "less is paid for answers from dearer places",
        "the prompt cache saves more",
        "less is paid for calls that delivered nothing",
        "less is billed that never reached a client",
        "less capacity is reserved",
    ];
    let falls = before.iter().zip(now).map(|(before, now)| *now - *before);
    let (part, fall) = words.into_iter().zip(falls).min_by_key(|(_, fall)| *fall).expect("there are six");
    if fall < Money::ZERO { format!("{part} ({})", usd(-fall)) } else { part.to_owned() }
}

/// What the difference hangs on.
fn doubts(report: &Report, best: &Other<'_>, reference: &Variant) -> Vec<String> {
    let mut doubts: Vec<(Money, String)> = Vec::new();
    let variant = best.variant;
    if variant.token_ends.is_some() || reference.token_ends.is_some() {
        let (there, here) = (reference.bill_at_ends(), variant.bill_at_ends());
        let differences = [0, 1, 2].map(|end| here[end] - there[end]);
        let (least, most) = (differences.into_iter().min().unwrap_or_default(), differences.into_iter().max().unwrap_or_default());
        doubts.push((most - least, format!("token counts between models put the difference between {} and {}", usd(least), usd(most))));
    }
    let uncompared = [variant, reference].map(Variant::billed_uncompared).into_iter().max().unwrap_or_default();
    if uncompared != Money::ZERO {
        doubts.push((uncompared, format!("token counts are taken to be the same in every model ({} hangs on it)", usd(uncompared))));
    }
    if let Some(imputed) = report.imputed.filter(|imputed| imputed.high != imputed.low) {
        let told = format!(
            "output lengths of {} of requests are drawn, {} to {}",
            share(imputed.requests, report.traffic.requests),
            usd(imputed.low),
            usd(imputed.high)
        );
        doubts.push((imputed.high - imputed.low, told));
    }
    doubts.sort_by_key(|(hangs, _)| std::cmp::Reverse(*hangs));
    let mut told: Vec<String> = doubts.into_iter().map(|(_, doubt)| doubt).collect();
    for (name, part) in [("luck", &best.change.luck), ("day to day", &best.change.traffic)] {
        if let Part::Unknown(why) = part {
            let way_out = if *why == Unknown::OneSeed { "; --seeds 10 tells" } else { "" };
            told.push(format!("{name} is not known ({}{way_out})", unknown(why)));
        }
    }
    let totals = variant.merged();
    if totals.other_model > 0 {
        let (answered, _) = totals.answered_of();
        told.push(format!("answer quality is not measured, and other models give {} of the answers", share(totals.other_model, answered)));
    }
    told.truncate(REASONS_MAX);
    told
}

/// `fraction` of an amount, to a picodollar or so: for a sentence, never for a sum.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "an interval's end is an estimate")]
fn scaled(amount: Money, fraction: f64) -> Money {
    Money((amount.0 as f64 * fraction) as i128)
}

#[cfg(test)]
mod tests;
