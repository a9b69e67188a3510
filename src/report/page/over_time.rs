//! What happened when: the money spent so far, 429s, the share of fallbacks, attempts for each request. Decides how finely time is cut: every step is
//! an exact sum of the buckets of a run's series.

use super::axis::{Tick, Unit};
use super::html::{Figure, Table};
use super::lines::{Across, Chart, Limit, Line, key};
use super::{Entry, Page};
use crate::gateway::money::Money;
use crate::gateway::time::{Span, Time};
use crate::report::budget_line::BudgetLine;
use crate::report::numbers::{count, decimals, dollars, length, rounded};
use crate::report::series::{Bucket, Series};

/// The most steps in the chart of the money spent.
const SPEND_STEPS_MAX: u64 = 400;
/// The most steps in a chart of shares: shorter ones would mostly show chance.
const SHARE_STEPS_MAX: u64 = 90;
/// The most rows of a table; all buckets are in series.csv.
const TABLE_ROWS_MAX: u64 = 24;
/// A limit so many times above the highest line is told, not drawn: it would press the lines together.
const LIMIT_DRAWN_MAX: i128 = 2;

/// Equal steps of time, the first of which begins at `from`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Steps {
    width: Span,
    from: Time,
    count: usize,
}

impl Steps {
    /// Steps that hold all buckets of all series, at most `most` of them; `None` if there is no bucket.
    fn over<'a>(all: impl Iterator<Item = &'a Series> + Clone, most: u64) -> Option<Self> {
        let widest = all.clone().map(Series::width).max()?;
        let first = all.clone().filter_map(|series| series.buckets().next()).map(|(start, _)| start).min()?;
        let last = all.filter_map(|series| series.buckets().last().map(|(start, _)| start)).max()?;
        // Widths of series divide each other, so a bucket lies in one step whole.
        let spanned = (last.0 - first.0) / widest.0 + 1;
        let mut width = widest.0 * spanned.div_ceil(most).max(1);
        while (last.0 / width) - (first.0 / width) + 1 > most {
            width += widest.0;
        }
        let from = first.0 / width * width;
        let count = usize::try_from((last.0 - from) / width + 1).expect("at most as many as asked for");
        Some(Self { width: Span(width), from: Time(from), count })
    }

    fn sums(self, series: &Series) -> Vec<Bucket> {
        let mut sums = vec![Bucket::default(); self.count];
        for (start, bucket) in series.buckets() {
            let index = usize::try_from((start.0 - self.from.0) / self.width.0).expect("a step of these");
            sums[index] += *bucket;
        }
        sums
    }

    fn start(self, index: usize) -> Time {
        Time(self.from.0 + index as u64 * self.width.0)
    }
}

/// What one variant had spent at the end of each step.
struct Spend {
    mean: Vec<Money>,
    least: Vec<Money>,
    most: Vec<Money>,
}

impl Spend {
    fn of(entry: &Entry, steps: Steps) -> Self {
        let by_seed: Vec<Vec<Money>> = entry
            .variant
            .runs
            .iter()
            .map(|run| {
                let mut spent = Money::ZERO;
                let ends = (0..steps.count).map(|index| steps.start(index) + steps.width);
                let totals = &run.totals;
                ends.zip(steps.sums(&run.series))
                    .map(|(end, step)| {
                        spent += step.cost;
                        spent + reserved_until(end, totals.causes.reserved, (totals.first, totals.last_arrival))
                    })
                    .collect()
            })
            .collect();
        let at = |index: usize| by_seed.iter().map(move |spent| spent[index]);
        Self {
            mean: (0..steps.count).map(|index| entry.mean(at(index).sum())).collect(),
            least: (0..steps.count).map(|index| at(index).min().unwrap_or_default()).collect(),
            most: (0..steps.count).map(|index| at(index).max().unwrap_or_default()).collect(),
        }
    }
}

/// What of an amount that is paid by the hour, from the first arrival to the last, is paid at an instant.
fn reserved_until(at: Time, amount: Money, (first, last): (Time, Time)) -> Money {
    if amount == Money::ZERO || at >= last {
        return amount;
    }
    let (passed, whole) = (i128::from(at.since(first).0 / 1_000_000), i128::from(last.since(first).0 / 1_000_000).max(1));
    Money(amount.0 / whole * passed + amount.0 % whole * passed / whole)
}

/// The charts over time.
pub(super) fn figures(page: &Page) -> String {
    let series = || page.entries.iter().flat_map(|entry| entry.variant.runs.iter().map(|run| &run.series));
    let Some(steps) = Steps::over(series(), SPEND_STEPS_MAX) else { return String::new() };
    let mut html = spend(page, steps, Steps::over(series(), TABLE_ROWS_MAX).unwrap_or(steps)).render();
    let coarse = (Steps::over(series(), SHARE_STEPS_MAX).unwrap_or(steps), Steps::over(series(), TABLE_ROWS_MAX).unwrap_or(steps));
    html.push_str(&rates(page, coarse));
    html
}

fn spend(page: &Page, steps: Steps, rows: Steps) -> Figure {
    let clock = page.clock();
    let spends: Vec<Spend> = page.entries.iter().map(|entry| Spend::of(entry, steps)).collect();
    let begin = seconds(steps.from.max(page.report.traffic.first));
    let lines = page.entries.iter().zip(&spends).map(|(entry, spend)| {
        let ends = || (0..steps.count).map(|index| seconds(steps.start(index) + steps.width));
        let points = std::iter::once((begin, Some(0.0))).chain(ends().zip(&spend.mean).map(|(at, spent)| (at, Some(usd(*spent)))));
        let varies = spend.least != spend.most;
        let band = ends().zip(spend.least.iter().zip(&spend.most)).map(|(at, (least, most))| (at, usd(*least), usd(*most)));
        let band = if varies { std::iter::once((begin, 0.0, 0.0)).chain(band).collect() } else { Vec::new() };
        Line { name: entry.variant.name.clone(), index: entry.index, points: points.collect(), band }
    });
    let lines: Vec<Line> = lines.collect();
    let has_band = lines.iter().any(|line| !line.band.is_empty());
    let highest = spends.iter().flat_map(|spend| &spend.most).copied().max().unwrap_or_default();
    let (limits, mut note) = limits(page, steps, highest);
    let end = seconds(steps.start(steps.count));
    let ticks = |most: usize| clock.ticks(begin, end, most);
    let mut reading = "A call counts when it is closed.".to_owned();
    if has_band {
        reading.push_str(&format!(" The line is the mean of {} seeds, the band their least and most.", page.seeds()));
    }
    if let [first, others @ ..] = &limits[..] {
        // On a narrow screen there is no room for their names in the drawing.
        let names = others.iter().fold(first.name.clone(), |names, limit| format!("{names}; {}", limit.name));
        reading.push_str(&format!(" Dotted: what the {names} has allowed so far."));
    }
    if page.entries.iter().any(|entry| entry.totals.causes.reserved != Money::ZERO) {
        note.push_str(" Capacity paid by the hour is spread evenly from the first request to the last.");
    }
    let title = "Money spent so far".to_owned();
    let across = Across { ends: (begin, end), title: clock.title(), ticks: &ticks };
    let drawings = Chart { title: title.clone(), unit: Unit::Dollars, of: "dollars since the start", across, lines, limits }.render();
    let spends: Vec<Spend> = page.entries.iter().map(|entry| Spend::of(entry, rows)).collect();
    let decimals = decimals(highest);
    let mut table = Table::new("Dollars spent by the end of each step", page.columns("until"));
    for index in 0..rows.count {
        let until = clock.instant(rows.start(index) + rows.width);
        table.row(&until, spends.iter().map(|spend| dollars(rounded(spend.mean[index], decimals), decimals)));
    }
    note.push_str(&format!(" Steps of {}; series.csv beside this page has every bucket.", length(rows.width)));
    Figure { id: "spend".to_owned(), title, reading, drawings, key: key(page.names()), table, note: note.trim().to_owned() }
}

/// The budgets over everything, as far as they are near what is spent, and in words those that are not.
fn limits(page: &Page, steps: Steps, highest: Money) -> (Vec<Limit>, String) {
    let mut budgets: Vec<(&BudgetLine, Vec<&str>)> = Vec::new();
    for entry in &page.entries {
        for budget in &entry.variant.budgets {
            match budgets.iter_mut().find(|(known, _)| *known == budget) {
                Some((_, names)) => names.push(&entry.variant.name),
                None => budgets.push((budget, vec![&entry.variant.name])),
            }
        }
    }
    let (mut limits, mut told) = (Vec::new(), Vec::new());
    for (budget, names) in budgets {
        let of = if names.len() == page.entries.len() { String::new() } else { format!(" of {}", names.join(", ")) };
        let name = format!("{}{of}", budget.words());
        let first = page.report.traffic.first;
        let points = budget.allowed(first, steps.start(steps.count));
        match points {
            Some(points) if points.last().is_some_and(|(_, allowed)| allowed.0 <= highest.0 * LIMIT_DRAWN_MAX) => {
                limits.push(Limit { name, points: points.into_iter().map(|(at, allowed)| (seconds(at), usd(allowed))).collect() });
            }
            Some(_) => told.push(format!("The {name} is far above what is spent, and not drawn.")),
            None => told.push(format!("The {name} moves with what was spent, and is not drawn.")),
        }
    }
    (limits, told.join(" "))
}

/// What a chart of rates shows.
struct Rate {
    id: &'static str,
    title: &'static str,
    reading: &'static str,
    of: &'static str,
    unit: Unit,
    /// What is counted, and by what it is divided; `None` divides by time.
    share: fn(&Bucket) -> (u64, Option<u64>),
}

const RATES: [Rate; 3] = [
    Rate {
        id: "rate-limited",
        title: "429s",
        reading: "Calls that a provider or a limit answered 429, for each minute.",
        of: "429s a minute",
        unit: Unit::Plain,
        share: |step| (step.rate_limited, None),
    },
    Rate {
        id: "fallbacks",
        title: "Share of fallbacks",
        reading: "Of all calls, those to another model group than the request asked for.",
        of: "% of calls",
        unit: Unit::Percent,
        share: |step| (step.fallbacks, Some(step.calls)),
    },
    Rate {
        id: "attempts",
        title: "Attempts for each request",
        reading: "Calls sent by requests that arrived, step by step. Below 1 where requests are answered or refused without a call; a retry \
            counts when it is sent, so the step after a rush can show many.",
        of: "calls for each request",
        unit: Unit::Plain,
        share: |step| (step.calls, Some(step.requests)),
    },
];

impl Rate {
    fn value(&self, step: &Bucket, width: Span) -> Option<f64> {
        let (part, whole) = (self.share)(step);
        let factor = if self.unit == Unit::Percent { 100.0 } else { 1.0 };
        match whole {
            Some(0) => None,
            Some(whole) => Some(factor * part as f64 / whole as f64),
            None => Some(part as f64 * 60e9 / width.0 as f64),
        }
    }
}

fn rates(page: &Page, (steps, rows): (Steps, Steps)) -> String {
    let clock = page.clock();
    let summed = |entry: &Entry, steps: Steps| {
        let mut all = vec![Bucket::default(); steps.count];
        for run in &entry.variant.runs {
            all.iter_mut().zip(steps.sums(&run.series)).for_each(|(sum, step)| *sum += step);
        }
        all
    };
    let fine: Vec<Vec<Bucket>> = page.entries.iter().map(|entry| summed(entry, steps)).collect();
    let coarse: Vec<Vec<Bucket>> = page.entries.iter().map(|entry| summed(entry, rows)).collect();
    let ends = (seconds(steps.from), seconds(steps.start(steps.count)));
    let ticks = |most: usize| -> Vec<Tick> { clock.ticks(ends.0, ends.1, most) };
    let mut html = String::new();
    for rate in RATES {
        if fine.iter().flatten().all(|step| (rate.share)(step).0 == 0) {
            html.push_str(&super::html::paragraph(&format!("{}: none in any variant.", rate.title)));
            continue;
        }
        let middle = steps.width.0 as f64 / 2e9;
        let lines = page.entries.iter().zip(&fine).map(|(entry, all)| {
            // Several seeds have as many times the counts, in as much time.
            let seeds = entry.variant.runs.len() as f64;
            let of_seeds = |value: f64| if (rate.share)(&Bucket::default()).1.is_none() { value / seeds } else { value };
            let point = |(index, step): (usize, &Bucket)| (seconds(steps.start(index)) + middle, rate.value(step, steps.width).map(of_seeds));
            Line { name: entry.variant.name.clone(), index: entry.index, points: all.iter().enumerate().map(point).collect(), band: Vec::new() }
        });
        let across = Across { ends, title: clock.title(), ticks: &ticks };
        let chart = Chart { title: rate.title.to_owned(), unit: rate.unit, of: rate.of, across, lines: lines.collect(), limits: Vec::new() };
        let mut table = Table::new(&format!("{}: {}", rate.title, rate.of), page.columns("from"));
        for index in 0..rows.count {
            let cells = page.entries.iter().zip(&coarse).map(|(entry, all)| cell(&rate, &all[index], rows.width, entry.variant.runs.len() as u64));
            table.row(&clock.instant(rows.start(index)), cells.collect::<Vec<_>>());
        }
        let note = format!("Steps of {}; in the chart, of {}.", length(rows.width), length(steps.width));
        let (id, title, reading) = (rate.id.to_owned(), rate.title.to_owned(), rate.reading.to_owned());
        html.push_str(&Figure { id, title, reading, drawings: chart.render(), key: key(page.names()), table, note }.render());
    }
    html
}

fn cell(rate: &Rate, step: &Bucket, width: Span, seeds: u64) -> String {
    let (part, whole) = (rate.share)(step);
    match whole {
        Some(0) => "-".to_owned(),
        Some(whole) if rate.unit == Unit::Percent => crate::report::numbers::share(part, whole),
        Some(whole) => dollars(i128::from(part) * 100 / i128::from(whole.max(1)), 2),
        None => {
            let tenths = part * 600_000_000_000 / (width.0 * seeds).max(1);
            if tenths < 1_000 { dollars(tenths.into(), 1) } else { count(tenths / 10) }
        }
    }
}

fn seconds(at: Time) -> f64 {
    at.0 as f64 / 1e9
}

fn usd(amount: Money) -> f64 {
    super::picture_of(amount)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn thinning_keeps_every_dollar_and_every_request(
            runs in prop::collection::vec(prop::collection::vec((0_u64..400_000, 0_i128..1_000_000_000), 1..60), 1..4),
            start in 0_u64..2_000_000_000, most in 1_u64..500,
        ) {
            let series: Vec<Series> = runs.iter().map(|run| {
                let (mut series, mut now) = (Series::default(), start);
                for (gap, cost) in run {
                    now += gap;
                    let bucket = series.at(Time(now * 1_000_000_000));
                    bucket.requests += 1;
                    bucket.cost += Money(*cost);
                }
                series
            }).collect();
            let steps = Steps::over(series.iter(), most).unwrap();
            prop_assert!(steps.count as u64 <= most);
            for series in &series {
                let sums = steps.sums(series);
                prop_assert_eq!(sums.iter().map(|step| step.cost).sum::<Money>(), series.sum().cost);
                prop_assert_eq!(sums.iter().map(|step| step.requests).sum::<u64>(), series.sum().requests);
            }
        }

        #[test]
        fn reserved_capacity_is_paid_evenly_and_whole(amount in 0_i128..10_i128.pow(18), hours in 1_u64..1_000, at in 0_u64..2_000) {
            let hour = |hours: u64| Time(hours * 3_600_000_000_000);
            let paid = |at: Time| reserved_until(at, Money(amount), (hour(0), hour(hours)));
            prop_assert_eq!(paid(hour(hours)), Money(amount));
            prop_assert!(paid(hour(at)) <= paid(hour(at + 1)));
            prop_assert_eq!(paid(hour(0)), if hours == 0 { Money(amount) } else { Money::ZERO });
        }
    }

    #[test]
    fn minutes_without_a_request_have_no_attempts_for_each() {
        let [limited, fallbacks, attempts] = &RATES;
        let nothing = Bucket::default();
        let minute = Span::MINUTE;
        assert_eq!((limited.value(&nothing, minute), fallbacks.value(&nothing, minute), attempts.value(&nothing, minute)), (Some(0.0), None, None));
        let some = Bucket { requests: 4, calls: 5, fallbacks: 1, rate_limited: 3, ..nothing };
        assert_eq!((limited.value(&some, Span::from_secs(30)), fallbacks.value(&some, minute)), (Some(6.0), Some(20.0)));
        assert_eq!(attempts.value(&some, minute), Some(1.25));
    }
}
