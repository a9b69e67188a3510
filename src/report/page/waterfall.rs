//! From the reference's bill to a variant's, cause by cause: integers that add up to the picodollar. Decides what the causes are called and in what
//! order.

use super::axis::{Scale, Unit};
use super::html::{Figure, Table};
use super::svg::{Canvas, Ink, Side, draw, width_of};
use super::{Entry, Page, picture_of};
use crate::gateway::money::Money;
use crate::report::cause::Causes;
use crate::report::numbers::{count, counted, decimals, dollars, rounded, rounded_parts};
use crate::report::unserved::{CAUSES, Unserved, by_cause};

/// The way from one bill to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waterfall {
    /// The reference's bill: the mean over its seeds.
    pub(super) from: Money,
    /// By how much each cause raises or lowers it. They add up to the difference.
    pub(super) steps: Vec<(&'static str, Money)>,
    /// The variant's bill.
    pub(super) to: Money,
}

/// What the step is called that is no cause: traffic that only the reference answered.
const APART: &str = "no longer answered: what that had cost";

impl Waterfall {
    /// From `reference`, the sum over so many seeds, to `variant`, likewise. What only the reference answered is a step of its own, at the
    /// reference's cost, and in none of the others.
    pub(super) fn between((reference, seeds): (&Causes, usize), (variant, variant_seeds): (&Causes, usize), unserved: Unserved) -> Self {
        let mean = |amount: Money, seeds: usize| Money(amount.0 / i128::try_from(seeds).expect("few seeds").max(1));
        let (from, to) = (mean(reference.total(), seeds), mean(variant.total(), variant_seeds));
        let apart = unserved.cost.map(|amount| mean(amount, seeds));
        let differences = by_cause(reference).into_iter().zip(by_cause(variant)).zip(apart);
        let differences = differences.map(|((before, now), apart)| mean(now, variant_seeds) - mean(before, seeds) + apart);
        let mut steps: Vec<(&'static str, Money)> =
            std::iter::once((APART, -apart.into_iter().sum::<Money>())).chain(CAUSES.into_iter().zip(differences)).collect();
        // Means are rounded: the few picodollars that this leaves over go to the largest step.
        let left = to - from - steps.iter().map(|(_, amount)| *amount).sum::<Money>();
        if let Some((_, largest)) = steps.iter_mut().max_by_key(|(_, amount)| amount.0.abs()) {
            *largest += left;
        }
        steps.retain(|(_, amount)| *amount != Money::ZERO);
        Self { from, steps, to }
    }
}

/// One waterfall for each variant that differs from the reference; the one that the headline is about is the first.
pub(super) fn figures(page: &Page) -> String {
    let Some(reference) = page.entries.get(page.report.reference) else { return String::new() };
    let mut others: Vec<&Entry> = page.entries.iter().filter(|entry| entry.index != reference.index).collect();
    others.sort_by_key(|entry| page.headline.variant != Some(entry.index));
    let mut html = String::new();
    for entry in others {
        if entry.variant.is_identical(reference.variant) {
            html.push_str(&super::html::paragraph(&format!(
                "{} did exactly what {} did: there is nothing to split.",
                entry.variant.name, reference.variant.name
            )));
            continue;
        }
        let causes = |entry: &Entry| (entry.totals.causes, entry.variant.runs.len());
        let (before, now) = (causes(reference), causes(entry));
        let waterfall = Waterfall::between((&before.0, before.1), (&now.0, now.1), entry.variant.unserved.unwrap_or_default());
        html.push_str(&figure(&waterfall, reference, entry).render());
    }
    html
}

fn figure(waterfall: &Waterfall, reference: &Entry, entry: &Entry) -> Figure {
    let (from, to) = (&reference.variant.name, &entry.variant.name);
    let title = format!("From {from} to {to}");
    let Waterfall { from: before, steps, to: now } = waterfall;
    let largest = steps.iter().map(|(_, amount)| *amount).chain([*before, *now]).max_by_key(|amount| amount.0.abs()).unwrap_or_default();
    let decimals = decimals(largest);
    let amounts: Vec<Money> = steps.iter().map(|(_, amount)| *amount).collect();
    // The bills are rounded first, and the steps so that they lead from the one to the other as shown.
    let shown_difference = rounded(*now, decimals) - rounded(*before, decimals);
    let unit = 10_i128.pow(12 - decimals);
    let shown = rounded_parts(&amounts, Money(shown_difference * unit), decimals);
    let mut table = Table::new(&format!("{title}, in dollars"), ["", "$"]);
    table.row(from, [dollars(rounded(*before, decimals), decimals)]);
    for ((name, amount), units) in steps.iter().zip(&shown) {
        table.row(name, [signed(*amount, *units, decimals)]);
    }
    table.sum(to, [dollars(rounded(*now, decimals), decimals)]);
    let mut bars = vec![Bar {
        name: from.clone(),
        ends: (0.0, picture_of(*before)),
        label: format!("${}", dollars(rounded(*before, decimals), decimals)),
        ink: Ink::Whole,
    }];
    let mut at = *before;
    for ((name, amount), units) in steps.iter().zip(&shown) {
        let ink = match *name {
            APART => Ink::Apart,
            _ if *amount > Money::ZERO => Ink::More,
            _ => Ink::Less,
        };
        let ends = (picture_of(at), picture_of(at + *amount));
        bars.push(Bar { name: (*name).to_owned(), ends, label: signed(*amount, *units, decimals), ink });
        at += *amount;
    }
    bars.push(Bar {
        name: to.clone(),
        ends: (0.0, picture_of(*now)),
        label: format!("${}", dollars(rounded(*now, decimals), decimals)),
        ink: Ink::Whole,
    });
    let drawings = [true, false].map(|is_wide| paint(&title, &bars, is_wide)).concat();
    Figure {
        id: format!("waterfall-{}", entry.index),
        reading: unserved(reference, entry),
        title,
        drawings,
        key: String::new(),
        table,
        note: "The steps add up to the difference of the bills to 10^-12 dollars; report.json has all digits.".to_owned(),
    }
}

/// How the answered requests differ: what is not answered is not paid, and that is no saving.
fn unserved(reference: &Entry, entry: &Entry) -> String {
    let mean = |answered: u64, entry: &Entry| answered / entry.variant.runs.len() as u64;
    let (before, now) = (mean(reference.totals.answered_of().0, reference), mean(entry.totals.answered_of().0, entry));
    let answered = format!("{} answered, {} before.", counted(now, "request"), count(before));
    match entry.variant.unserved {
        Some(Unserved { rows: 0, .. }) if now == before => "The same requests are answered.".to_owned(),
        Some(Unserved { rows: 0, .. }) => format!("{answered} Those that were answered before all are; what the others cost is in the steps."),
        Some(Unserved { rows, .. }) => {
            let lost = counted(mean(rows, entry), "request");
            format!("{answered} {lost} got an answer before and get none now: what they had cost is a step of its own (dashed), and no saving.")
        }
        None if now < before => format!("{answered} What the others had cost is in the steps, and not paying for it is no saving."),
        None => answered,
    }
}

fn signed(amount: Money, units: i128, decimals: u32) -> String {
    let sign = if amount < Money::ZERO { "-" } else { "+" };
    format!("{sign}{}", dollars(units.abs(), decimals))
}

struct Bar {
    name: String,
    ends: (f64, f64),
    label: String,
    ink: Ink,
}

fn paint(title: &str, bars: &[Bar], is_wide: bool) -> String {
    let (row, thick) = if is_wide { (34.0, 20.0) } else { (46.0, 16.0) };
    let (width, top) = (if is_wide { 920.0 } else { 350.0 }, 26.0);
    let height = top + row * bars.len() as f64 + 8.0;
    // Wholes are in bold, which is wider.
    let bold = |bar: &Bar| if bar.ink == Ink::Whole { 1.15 } else { 1.0 };
    let widest = bars.iter().map(|bar| bold(bar) * width_of(&bar.label)).fold(0.0, f64::max);
    let left = if is_wide { bars.iter().map(|bar| bold(bar) * width_of(&bar.name)).fold(0.0, f64::max).min(280.0) + 14.0 } else { 2.0 };
    let low = bars.iter().map(|bar| bar.ends.0.min(bar.ends.1)).fold(0.0, f64::min);
    let high = bars.iter().map(|bar| bar.ends.0.max(bar.ends.1)).fold(low, f64::max);
    let x = Scale::new((low, if high > low { high } else { low + 1.0 }), (left, width - widest - 14.0));
    draw(if is_wide { "wide" } else { "narrow" }, title, (width, height), |canvas: &Canvas| {
        for (value, label) in Unit::Dollars.ticks(low, high, if is_wide { 7 } else { 3 }) {
            let at = x.at(value);
            canvas.line(&[(at, top - 4.0), (at, height - 4.0)], if value == 0.0 { Ink::Axis } else { Ink::Grid });
            let half = width_of(&label) / 2.0;
            canvas.text((at.max(half), 10.0), Side::Middle, Ink::Tick, &label);
        }
        let mut before: Option<(f64, f64)> = None;
        for (number, bar) in bars.iter().enumerate() {
            let middle = top + row * number as f64 + if is_wide { row / 2.0 } else { row - thick / 2.0 - 6.0 };
            let (from, to) = (x.at(bar.ends.0), x.at(bar.ends.1));
            // On a narrow screen names stand where the lines between bars would be.
            if let Some((end, below)) = before.filter(|_| is_wide) {
                canvas.line(&[(end, below), (end, middle - thick / 2.0)], Ink::Axis);
            }
            canvas.bar((from, middle - thick / 2.0), (to, middle + thick / 2.0), bar.ink);
            let strength = if bar.ink == Ink::Whole { Ink::Strong } else { Ink::Text };
            if is_wide {
                canvas.text((left - 12.0, middle), Side::Left, strength, &super::svg::cut(&bar.name, 280.0 / bold(bar)));
            } else {
                canvas.text((left, middle - thick / 2.0 - 11.0), Side::Right, strength, &super::svg::cut(&bar.name, 330.0 / bold(bar)));
            }
            canvas.text((from.max(to) + 7.0, middle), Side::Right, strength, &bar.label);
            before = Some((to, middle + thick / 2.0));
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::cause::POSITIONS;

    fn any_causes() -> impl Strategy<Value = Causes> {
        let amount = || (-10_i128.pow(20)..10_i128.pow(20)).prop_map(Money);
        (prop::collection::vec(amount(), 16), prop::array::uniform5(amount())).prop_map(
            |(wasted, [undelivered, base, premium, prompt_cache, reserved])| {
                let mut causes = Causes { undelivered, base, premium, prompt_cache, reserved, ..Causes::default() };
                for (index, amount) in wasted.into_iter().enumerate() {
                    causes.wasted[index / POSITIONS.len()][index % POSITIONS.len()] = amount;
                }
                causes
            },
        )
    }

    proptest! {
        #[test]
        fn the_steps_lead_from_one_bill_to_the_other_to_the_picodollar(
            before in any_causes(), now in any_causes(), lost in prop::array::uniform9(-10_i128.pow(20)..10_i128.pow(20)), rows in any::<u64>(), seeds in 1_usize..20, variant_seeds in 1_usize..20,
        ) {
            let unserved = Unserved { rows, cost: lost.map(Money) };
            let waterfall = Waterfall::between((&before, seeds), (&now, variant_seeds), unserved);
            prop_assert_eq!(waterfall.from, Money(before.total().0 / seeds as i128));
            prop_assert_eq!(waterfall.to, Money(now.total().0 / variant_seeds as i128));
            prop_assert_eq!(waterfall.from + waterfall.steps.iter().map(|(_, amount)| *amount).sum::<Money>(), waterfall.to);
        }
    }

    #[test]
    fn a_cause_that_changed_nothing_has_no_step() {
        let before = Causes { base: Money(5), premium: Money(7), ..Causes::default() };
        let now = Causes { base: Money(5), premium: Money(2), ..Causes::default() };
        let waterfall = Waterfall::between((&before, 1), (&now, 1), Unserved::default());
        assert_eq!(waterfall, Waterfall { from: Money(12), steps: vec![("premium of place", Money(-5))], to: Money(7) });
    }

    #[test]
    fn what_is_refused_is_no_saving_of_any_cause() {
        // 100 for an answer at home and 900 for one from elsewhere, which the variant refuses.
        let before = Causes { base: Money(150), premium: Money(850), ..Causes::default() };
        let now = Causes { base: Money(100), ..Causes::default() };
        let mut unserved = Unserved { rows: 1, ..Unserved::default() };
        (unserved.cost[0], unserved.cost[1]) = (Money(50), Money(850));
        let waterfall = Waterfall::between((&before, 1), (&now, 1), unserved);
        assert_eq!(waterfall.steps, [(APART, Money(-900))]);
    }
}
