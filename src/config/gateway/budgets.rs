//! Budgets: one table or several, each a limit in a window. Knows no accounts.

use crate::gateway::money::Money;
use crate::gateway::plan::{Anchor, BudgetMode, BudgetSpec, BudgetWindow, Enforce, OnShort};
use crate::gateway::time::Span;

use super::super::diagnostic::Place;
use super::super::read::{Item, Section};
use super::super::tree::Value;
use super::super::{problem, quantity};
use super::calendar::{self, PERIODS, Period};
use super::defaults::SLICES;

/// What budgets have that do not say otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetDefaults {
    /// Refuse or observe.
    pub enforce: Enforce,
    /// What is held.
    pub mode: BudgetMode,
    /// When it does not fit.
    pub on_short: OnShort,
    /// Alert levels.
    pub alert_at_per_mille: Vec<u32>,
    /// The zone of calendar windows.
    pub timezone: String,
    /// Where the zone is written, if it is.
    pub timezone_place: Option<Place>,
}

/// Words for [`Enforce`].
pub const ENFORCE: [(&str, Enforce); 2] = [("observe", Enforce::Observe), ("hard", Enforce::Hard)];

/// Steps of a rolling window: more would be memory without a use.
const SLICES_MAX: u32 = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reset {
    Calendar,
    Fixed,
    FirstUse,
    Start,
    Rolling,
}

#[derive(Debug, Clone, Copy)]
enum Every {
    Total,
    Period(Period),
    Length(Span),
}

/// Reads the keys of `[budget]` that are the defaults of every budget.
pub fn read_defaults(section: &Section<'_>, defaults: &mut BudgetDefaults) {
    section.put("enforce", |item| item.choice(&ENFORCE), &mut defaults.enforce);
    section.put("mode", mode, &mut defaults.mode);
    section.put("on_short", on_short, &mut defaults.on_short);
    section.put("alert_at", levels, &mut defaults.alert_at_per_mille);
    if let Some((name, place)) = section.read("timezone", |item| Some((item.name()?, item.place()))) {
        defaults.timezone = name;
        defaults.timezone_place = Some(place);
    }
}

/// Reads one budget or a list of them.
pub fn read(item: Item<'_>, defaults: &BudgetDefaults) -> Option<Vec<BudgetSpec>> {
    Some(item.one_or_more()?.into_iter().filter_map(|item| one(item, defaults)).collect())
}

/// Reads at most one budget, in one of the places where a hold has room for no more.
pub fn at_most_one(item: Item<'_>, defaults: &BudgetDefaults) -> Option<Vec<BudgetSpec>> {
    let budgets = read(item, defaults)?;
    if budgets.len() > 1 {
        item.report(problem::too_many_budgets_of(item.place(), "one tag or end user", budgets.len(), 1));
    }
    Some(budgets)
}

/// Reads one budget.
pub fn one(item: Item<'_>, defaults: &BudgetDefaults) -> Option<BudgetSpec> {
    let section = item.section()?;
    let mut own = defaults.clone();
    read_defaults(&section, &mut own);
    let limit = section.require("limit", "\"50 USD\"", |item| {
        let limit = item.money()?;
        if limit == Money::ZERO {
            item.report(problem::zero_limit(item.place(), item.key));
            return None;
        }
        Some(limit)
    });
    let soft = section.item("soft");
    let window = window(&section, &own);
    let (limit, window) = (limit?, window?);
    if let Some(soft) = soft {
        own.alert_at_per_mille.extend(soft_level(soft, limit));
        own.alert_at_per_mille.sort_unstable();
        own.alert_at_per_mille.dedup();
    }
    Some(BudgetSpec { limit, window, enforce: own.enforce, mode: own.mode, on_short: own.on_short, alert_at_per_mille: own.alert_at_per_mille })
}

/// `soft = "40 USD"` as a level of the limit, rounded up to the next thousandth: an alert never comes early.
fn soft_level(item: Item<'_>, limit: Money) -> Option<u32> {
    let soft = item.money()?;
    if soft > limit {
        item.report(problem::malformed(item.place(), item.key, "at most the limit", "nothing is admitted past the limit", "\"40 USD\""));
        return None;
    }
    // Amounts are bounded where they are read: a thousandfold fits. At most the limit, so at most 1000.
    u32::try_from((soft.0 * 1000 + limit.0 - 1) / limit.0).ok()
}

fn window(section: &Section<'_>, defaults: &BudgetDefaults) -> Option<BudgetWindow> {
    let resets = [
        ("calendar", Reset::Calendar),
        ("fixed", Reset::Fixed),
        ("first_use", Reset::FirstUse),
        ("start", Reset::Start),
        ("rolling", Reset::Rolling),
    ];
    let every = section.require("every", "\"day\"", every);
    let reset_item = section.item("reset");
    let reset = reset_item.and_then(|item| item.choice(&resets));
    let slices = section.item("slices");
    let every = every?;
    let chosen = match (every, reset) {
        (Every::Total, _) => {
            if let Some(item) = reset_item {
                item.report(problem::needs_other(item.key_place, "reset", "a window that ends, not every = \"total\""));
            }
            return Some(BudgetWindow::Total);
        }
        (_, Some(reset)) => reset,
        (Every::Period(_), None) => Reset::Calendar,
        (Every::Length(_), None) => Reset::Fixed,
    };
    if let Some(item) = slices.filter(|_| chosen != Reset::Rolling) {
        item.report(problem::needs_other(item.key_place, "slices", "reset = \"rolling\""));
    }
    let place = reset_item.map_or(section.place(), |item| item.place());
    if chosen == Reset::Calendar {
        return calendar_window(section, place, every, defaults);
    }
    let length = match every {
        Every::Length(length) => length,
        Every::Period(Period::Hour) => Span::from_secs(3600),
        Every::Period(Period::Day) => Span::from_secs(86_400),
        Every::Period(Period::Week) => Span::from_secs(604_800),
        Every::Period(Period::Month) | Every::Total => {
            section.report(problem::malformed(
                place,
                "reset",
                "\"calendar\" for a month",
                "months differ in length",
                "\"calendar\", or every = \"30d\"",
            ));
            return None;
        }
    };
    Some(match chosen {
        Reset::FirstUse => BudgetWindow::Fixed(length, Anchor::FirstUse),
        Reset::Start => BudgetWindow::Fixed(length, Anchor::Start),
        Reset::Rolling => {
            let slices = slices.map_or(Some(SLICES), |item| item.count_within(1, SLICES_MAX))?;
            if length.0 < u64::from(slices) {
                section.report(problem::malformed(place, "every", "at least a nanosecond for each slice", "it is shorter", "\"1h\""));
                return None;
            }
            BudgetWindow::Rolling { length, slices }
        }
        Reset::Fixed | Reset::Calendar => BudgetWindow::Fixed(length, Anchor::Clock),
    })
}

fn calendar_window(section: &Section<'_>, place: Place, every: Every, defaults: &BudgetDefaults) -> Option<BudgetWindow> {
    let Every::Period(period) = every else {
        section.report(problem::malformed(
            place,
            "reset",
            "\"fixed\", \"first_use\" or \"rolling\" for a duration",
            "it is no calendar period",
            "\"fixed\"",
        ));
        return None;
    };
    let windows = calendar::windows(period, &defaults.timezone);
    if windows.is_none() {
        section.report(problem::unknown_timezone(defaults.timezone_place.unwrap_or(section.place()), "timezone", &defaults.timezone));
    }
    windows
}

fn every(item: Item<'_>) -> Option<Every> {
    let text = item.text()?;
    if text == "total" {
        return Some(Every::Total);
    }
    if let Some((_, period)) = PERIODS.iter().find(|(name, _)| *name == text) {
        return Some(Every::Period(*period));
    }
    match quantity::span(text) {
        Ok(length) if length > Span::ZERO => Some(Every::Length(length)),
        _ => {
            let why = format!("`{text}` is none of these");
            item.report(problem::malformed(item.place(), item.key, "hour, day, week, month, total or a duration", &why, "\"day\""));
            None
        }
    }
}

fn mode(item: Item<'_>) -> Option<BudgetMode> {
    /// The estimate that `mode = "estimate"` means: the 95th percentile, until a tenth of the limit is left.
    const ESTIMATE: BudgetMode = BudgetMode::Estimate { quantile_per_mille: 950, headroom_per_mille: 100 };
    let words = [("reserve", BudgetMode::Reserve), ("estimate", ESTIMATE), ("after", BudgetMode::After)];
    if !item.is_table() {
        return item.choice(&words);
    }
    let section = item.section()?;
    let estimate = section.section("estimate");
    let Some(estimate) = estimate else {
        section.report(problem::missing_key(section.place(), "estimate", "a `mode` table", "{ quantile = 0.95, headroom = 0.1 }"));
        return None;
    };
    let (mut quantile_per_mille, mut headroom_per_mille) = (950, 100);
    estimate.put("quantile", Item::share, &mut quantile_per_mille);
    estimate.put("headroom", Item::share, &mut headroom_per_mille);
    Some(BudgetMode::Estimate { quantile_per_mille, headroom_per_mille })
}

fn on_short(item: Item<'_>) -> Option<OnShort> {
    if item.node().value == Value::Text("clamp".into()) {
        item.report(problem::malformed(item.place(), item.key, "a table to clamp", "how few tokens are worth a call?", "{ clamp = 16 }"));
        return None;
    }
    if !item.is_table() {
        return item.choice(&[("refuse", OnShort::Refuse), ("shrink", OnShort::Shrink)]);
    }
    let section = item.section()?;
    section.require("clamp", "16", Item::count_from_one).map(|min| OnShort::Clamp { min })
}

/// Alert levels: ascending, from above 0 to 1.
fn levels(item: Item<'_>) -> Option<Vec<u32>> {
    let items = item.list()?;
    let mut levels: Vec<u32> = Vec::new();
    for item in &items {
        let level = item.per_mille()?;
        if level > 1000 {
            item.report(problem::malformed(item.place(), item.key, "levels up to 1", "nothing is admitted past the limit", "[0.8, 1.0]"));
            return None;
        }
        if level == 0 || levels.last().is_some_and(|last| *last >= level) {
            let why = if level == 0 { "it would alert at once" } else { "it is not above the one before" };
            item.report(problem::malformed(item.place(), item.key, "levels above 0 in ascending order", why, "[0.8, 1.0]"));
            return None;
        }
        levels.push(level);
    }
    Some(levels)
}
