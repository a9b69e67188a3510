//! The part of `report.json` that is about money beside the calls: what a variant no longer answers, its budgets over everything, what it pays by the
//! hour.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Name, Text, Usd};
use crate::gateway::money::Money;
use crate::gateway::policy::{Anchor, BudgetWindow};
use crate::gateway::time::{Span, Time};
use crate::report::Traffic;
use crate::report::budget_line::{BudgetLine, ends, with_ends};
use crate::report::cause::Waste;
use crate::report::reserved::ReservedCapacity;
use crate::report::unserved::Unserved;

/// What the reference answered and this variant did not: not paying for it is no saving.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct UnservedJson {
    /// Rows of the traffic, over all seeds. A row is one call of a user, with all its retries.
    rows: u64,
    /// What they had cost at the reference, over all seeds: the sum of the parts below.
    bill: Usd,
    base: Usd,
    premium_of_place: Usd,
    prompt_cache: Usd,
    undelivered: Usd,
    /// By how the calls ended.
    wasted_by: BTreeMap<Name, Usd>,
}

/// A budget that holds for all requests together.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct BudgetJson {
    /// The most that may be spent in a window.
    limit: Usd,
    window: WindowJson,
    /// `false`: it is only observed.
    enforced: bool,
}

/// What the limit of a budget holds for.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
enum WindowJson {
    /// One window that never ends.
    Total,
    /// Windows of one length.
    Fixed { length_ns: u64, from: AnchorJson },
    /// Days, weeks or months of a calendar: the ends of those around the traffic, in nanoseconds since the Unix epoch.
    Calendar { ends_ns: Vec<u64> },
    /// The last `length_ns` at any instant, in steps of a `slices`-th of it.
    Rolling { length_ns: u64, slices: u32 },
}

/// Where fixed windows begin.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
enum AnchorJson {
    /// At multiples of their length since the Unix epoch.
    Clock,
    /// At the first use after the last one ended.
    FirstUse,
    /// At multiples of their length since the first use ever.
    Start,
}

/// Capacity that is paid by the hour.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ReservedJson<'a> {
    deployment: Text<'a>,
    provider: Text<'a>,
    /// The provider's name of it.
    model: Text<'a>,
    /// What an hour costs, from each instant on, in nanoseconds since the Unix epoch.
    per_hour: Vec<(u64, Usd)>,
}

impl<'a> ReservedJson<'a> {
    pub(super) fn of(capacity: &'a ReservedCapacity) -> Self {
        let ReservedCapacity { deployment, provider, model, per_hour } = capacity;
        let per_hour = per_hour.iter().map(|(from, price)| (from.0, Usd(*price))).collect();
        Self { deployment: deployment.into(), provider: provider.into(), model: model.into(), per_hour }
    }

    pub(super) fn read(self) -> ReservedCapacity {
        let [deployment, provider, model] = [self.deployment, self.provider, self.model].map(Text::into_owned);
        let per_hour = self.per_hour.into_iter().map(|(from, price)| (Time(from), price.0)).collect();
        ReservedCapacity { deployment, provider, model, per_hour }
    }
}

impl UnservedJson {
    pub(super) fn of(unserved: &Unserved) -> Self {
        let [base, premium, prompt_cache, .., undelivered, _] = unserved.cost;
        Self {
            rows: unserved.rows,
            bill: Usd(unserved.cost.into_iter().sum()),
            base: Usd(base),
            premium_of_place: Usd(premium),
            prompt_cache: Usd(prompt_cache),
            undelivered: Usd(undelivered),
            wasted_by: Waste::ALL.into_iter().map(|waste| (waste.name().into(), Usd(unserved.wasted(waste)))).collect(),
        }
    }

    /// # Errors
    /// If its parts are not its bill.
    pub(super) fn read(self) -> Result<Unserved, String> {
        let wasted = Waste::ALL.map(|waste| self.wasted_by.get(waste.name()).map_or(Money::ZERO, |amount| amount.0));
        let parts = [self.base, self.premium_of_place, self.prompt_cache].map(|amount| amount.0);
        let unserved = Unserved::of(self.rows, parts, wasted, self.undelivered.0);
        let is_whole = unserved.cost.iter().copied().sum::<Money>() == self.bill.0;
        if is_whole { Ok(unserved) } else { Err("what is not answered does not add up".to_owned()) }
    }
}

impl BudgetJson {
    pub(super) fn of(budget: &BudgetLine, traffic: &Traffic) -> Self {
        let window = match &budget.window {
            BudgetWindow::Total => WindowJson::Total,
            BudgetWindow::Fixed(length, anchor) => WindowJson::Fixed {
                length_ns: length.0,
                from: match anchor {
                    Anchor::Clock => AnchorJson::Clock,
                    Anchor::FirstUse => AnchorJson::FirstUse,
                    Anchor::Start => AnchorJson::Start,
                },
            },
            BudgetWindow::Calendar(calendar) => {
                let ends = ends(calendar, traffic.first, traffic.first + traffic.span);
                WindowJson::Calendar { ends_ns: ends.into_iter().map(|end| end.0).collect() }
            }
            BudgetWindow::Rolling { length, slices } => WindowJson::Rolling { length_ns: length.0, slices: *slices },
        };
        Self { limit: Usd(budget.limit), window, enforced: budget.is_enforced }
    }

    /// # Errors
    /// If its windows do not follow each other.
    pub(super) fn read(self) -> Result<BudgetLine, String> {
        let window = match self.window {
            WindowJson::Total => BudgetWindow::Total,
            WindowJson::Fixed { length_ns, from } => {
                let anchor = match from {
                    AnchorJson::Clock => Anchor::Clock,
                    AnchorJson::FirstUse => Anchor::FirstUse,
                    AnchorJson::Start => Anchor::Start,
                };
                BudgetWindow::Fixed(Span(length_ns.max(1)), anchor)
            }
            WindowJson::Calendar { ends_ns } => {
                if ends_ns.first() == Some(&0) || !ends_ns.is_sorted_by(|a, b| a < b) {
                    return Err("the windows of a budget do not follow each other".to_owned());
                }
                BudgetWindow::Calendar(with_ends(ends_ns.into_iter().map(Time)))
            }
            WindowJson::Rolling { length_ns, slices } => BudgetWindow::Rolling { length: Span(length_ns), slices: slices.max(1) },
        };
        Ok(BudgetLine { limit: self.limit.0, window, is_enforced: self.enforced })
    }
}
