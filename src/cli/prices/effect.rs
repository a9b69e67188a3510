//! What another price list does to the bill of a scenario: every variant is run under both, and compared as `gwsim compare` does. Decides which
//! dollars moved by which model; knows no list.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use super::super::args::{PricesDiffArguments, ThresholdArguments};
use super::super::run::{self, Wanted};
use super::super::simulate::{Job, simulate};
use super::super::{Exit, Failure, Printer, compare};
use super::aligned;
use super::diff::pays;
use crate::config::{self, Options};
use crate::gateway::money::Money;
use crate::gateway::rate_card::RateSchedule;
use crate::report::compare::{self as sides, Group, Side};
use crate::report::numbers::{count, decimals, dollars, rounded, share};
use crate::report::period::{self, Period, periods};
use crate::report::{Report, Variant, headline, table};

/// What a deployment calls, and what for.
#[derive(Debug, Clone)]
struct Placed {
    seller: Seller,
    rates: RateSchedule,
}

/// A model of a provider.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Seller {
    model: String,
    provider: String,
}

/// The deployments of each variant by name.
type Deployments = Vec<BTreeMap<String, Placed>>;

/// Two runs of a scenario, under the list before and the list now.
pub(super) struct Effect {
    scenario: String,
    /// One for each variant: it under the list before, then under the list now.
    groups: Vec<Group>,
    names: Vec<String>,
    prices: [String; 2],
    deployments: [Deployments; 2],
    warn_only: bool,
}

/// Dollars and calls of one model under both lists, means over the seeds.
struct Moved {
    seller: Seller,
    bills: [Money; 2],
    calls: [u64; 2],
}

/// Rows of a table of models.
const ROWS_MAX: usize = 10;

/// That nothing is asked about a bill where there is none.
///
/// # Errors
/// If something is.
pub(super) fn no_thresholds(thresholds: &ThresholdArguments) -> Result<(), Failure> {
    if thresholds.max_increase.is_none() && thresholds.max_cost.is_none() && !thresholds.warn_only {
        return Ok(());
    }
    Err(Failure::usage("--max-increase, --max-cost and --warn-only are about a bill, and lists have none\nhint: --scenario scenario.toml says whose"))
}

impl Effect {
    /// Runs the scenario under both lists.
    ///
    /// # Errors
    /// If the scenario is wrong under one of them, or a threshold is.
    pub(super) fn of(scenario: &Path, arguments: &PricesDiffArguments, printer: &Printer) -> Result<Self, Failure> {
        let thresholds = compare::thresholds(&arguments.thresholds)?;
        let ran = |list: &Path| -> Result<(Side, Deployments), Failure> {
            let options = Options { sets: arguments.set.clone(), prices: Some(list.to_owned()), ..Options::default() };
            let loaded = config::load_scenario(scenario, &options);
            let deployments = loaded.as_ref().map_or_else(
                |_| Vec::new(),
                |loaded| loaded.value.variants.iter().map(|variant| placed(&variant.gateway.plan.deployments)).collect(),
            );
            let wanted = Wanted { first: arguments.seed, count: arguments.seeds, least: compare::SEEDS_LEAST, threads: None, is_agreed: false };
            let (job, _) = run::job(loaded, wanted, printer)?;
            let report = simulate(Job { sweep: None, ..job }, printer)?;
            Ok((Side { label: list.display().to_string(), report, variant: None }, deployments))
        };
        let ((old, old_deployments), (new, new_deployments)) = (ran(&arguments.old)?, ran(&arguments.new)?);
        let names = old.report.variants.iter().map(|variant| variant.name.clone()).collect();
        let prices = [&old, &new].map(|side| side.report.prices.clone());
        let scenario = old.report.name.clone();
        let groups = compare::groups(&[old, new], &thresholds)?;
        Ok(Self { scenario, groups, names, prices, deployments: [old_deployments, new_deployments], warn_only: arguments.thresholds.warn_only })
    }

    /// Says how the thresholds came out.
    pub(super) fn conclude(&self, printer: &Printer) -> Exit {
        compare::verdict(&self.groups, self.warn_only, printer);
        compare::exit(&self.groups, self.warn_only)
    }

    /// What it comes down to, then by model, then the prices behind it.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let Some(first) = self.groups.first().map(|group| &group.report) else { return text };
        table::note(&mut text, &self.scenario, &table::facts(first));
        let [old, new] = &self.prices;
        let told = format!("{old} against {new}; every variant is run under both, as prices also decide picks, max_price_ratio and budgets");
        table::note(&mut text, "Prices", &told);
        text.push('\n');
        text.push_str(&self.bills());
        for (name, group) in self.names.iter().zip(&self.groups) {
            let [old, new] = pair(group);
            if let Some(change) = group.changes[1].as_ref().filter(|change| !change.is_identical) {
                let relative = headline::relative(change, old.bill().mean, new.bill().mean);
                table::note(&mut text, name, &format!("{relative}: {}", headline::parts(change)));
            }
        }
        if let Some(note) = period::note(first.traffic.span) {
            table::note(&mut text, "", &note);
        }
        text.push_str(&self.models());
        text.push('\n');
        text.push_str(&self.paid());
        text
    }

    fn period(&self) -> Option<Period> {
        self.groups.first().and_then(|group| periods(group.report.traffic.span).last().copied())
    }

    /// An amount on the trace, for the period that is spoken of.
    fn per(&self, amount: Money) -> Money {
        let span = self.groups.first().map(|group| group.report.traffic.span).unwrap_or_default();
        self.period().map_or(amount, |period| period.of(amount, span))
    }

    fn title(&self) -> &'static str {
        self.period().map_or("$ trace", |period| period.title)
    }

    fn bills(&self) -> String {
        let titles = [self.title(), "old", "new", "difference", "change", "answered, old", "new"];
        let mut rows = vec![titles.map(str::to_owned).to_vec()];
        let bills = |group: &Group| pair(group).map(|variant| self.per(variant.bill().mean));
        let decimals = decimals(self.groups.iter().flat_map(bills).max().unwrap_or_default());
        for (name, group) in self.names.iter().zip(&self.groups) {
            let [old, new] = bills(group);
            let change = group.changes[1].as_ref().map_or_else(String::new, |change| headline::mean(change, old, new));
            let answered = pair(group).map(|variant| {
                let (answered, of) = variant.merged().answered_of();
                share(answered, of)
            });
            let money = shown([old, new], decimals);
            rows.push([name.clone()].into_iter().chain(money).chain([change]).chain(answered).collect());
        }
        aligned(&rows)
    }

    /// The models whose dollars or calls are others, those whose dollars moved most first.
    fn models(&self) -> String {
        let mut text = String::new();
        for (number, name) in self.names.iter().enumerate() {
            let moved = self.moved(number);
            if moved.is_empty() {
                continue;
            }
            let title = format!("{}: {name}", self.title());
            let mut rows = vec![[title.as_str(), "old", "new", "difference", "calls, old", "new"].map(str::to_owned).to_vec()];
            let decimals = decimals(moved.iter().flat_map(|model| model.bills).map(|bill| self.per(bill)).max().unwrap_or_default());
            for Moved { seller, bills: [old, new], calls } in moved.iter().take(ROWS_MAX) {
                let money = shown([*old, *new].map(|bill| self.per(bill)), decimals);
                rows.push([seller.to_string()].into_iter().chain(money).chain(calls.map(count)).collect());
            }
            text.push('\n');
            text.push_str(&aligned(&rows));
            if let Some(more @ 1..) = moved.len().checked_sub(ROWS_MAX) {
                table::note(&mut text, "", &format!("and {more} more; --format json has all"));
            }
        }
        text
    }

    fn moved(&self, number: usize) -> Vec<Moved> {
        let Some(group) = self.groups.get(number) else { return Vec::new() };
        let [old, new] = pair(group);
        let by_model =
            [(old, &self.deployments[0]), (new, &self.deployments[1])].map(|(variant, deployments)| by_model(variant, &deployments[number]));
        let sellers: BTreeSet<&Seller> = by_model.iter().flat_map(BTreeMap::keys).collect();
        let mut moved: Vec<Moved> = sellers
            .into_iter()
            .map(|seller| {
                let [old, new] = [0, 1].map(|list: usize| by_model[list].get(seller).copied().unwrap_or_default());
                Moved { seller: seller.clone(), bills: [old.0, new.0], calls: [old.1, new.1] }
            })
            .filter(|model| model.bills[0] != model.bills[1] || model.calls[0] != model.calls[1])
            .collect();
        // The names of equal ones decide, so that a tie has one order.
        moved.sort_by_key(|model| std::cmp::Reverse((model.bills[1] - model.bills[0]).0.unsigned_abs()));
        moved
    }

    /// The prices behind it, as the deployments pay them.
    fn paid(&self) -> String {
        let mut lines: BTreeSet<(Seller, String)> = BTreeSet::new();
        let [old, new] = &self.deployments;
        for (old, new) in old.iter().zip(new) {
            for (name, placed) in old {
                let Some(now) = new.get(name) else { continue };
                lines.extend(pays(&placed.rates, &now.rates).into_iter().map(|line| (placed.seller.clone(), line)));
            }
        }
        let mut text = String::new();
        if lines.is_empty() {
            table::note(&mut text, "", "No price that these deployments pay differs.");
        } else {
            table::note(&mut text, "", "USD per Mtok as these deployments pay them:");
        }
        for (seller, line) in lines {
            table::note(&mut text, &seller.to_string(), &line);
        }
        text
    }

    /// The same for programs.
    ///
    /// # Errors
    /// If a number is none that JSON has.
    pub(super) fn json(&self) -> Result<EffectJson, Failure> {
        let exit = compare::exit(&self.groups, self.warn_only).code();
        let comparison = sides::json(&self.groups, &[], exit).and_then(|text| serde_json::from_str(&text)).map_err(Failure::internal)?;
        let shown = |amount: Money| self.per(amount).decimal().to_string();
        let variant = |(number, name): (usize, &String)| {
            let [old, new] = pair(&self.groups[number]).map(|variant| variant.bill().mean);
            let model = |Moved { seller, bills: [old, new], calls: [calls_old, calls_new] }: Moved| ModelJson {
                seller,
                old: shown(old),
                new: shown(new),
                difference: (self.per(new) - self.per(old)).decimal().to_string(),
                calls_old,
                calls_new,
            };
            let models = self.moved(number).into_iter().map(model).collect();
            VariantJson {
                name: name.clone(),
                old: shown(old),
                new: shown(new),
                difference: (self.per(new) - self.per(old)).decimal().to_string(),
                models,
            }
        };
        Ok(EffectJson {
            scenario: self.scenario.clone(),
            dollars: self.period().map_or("on this traffic", |period| period.each),
            variants: self.names.iter().enumerate().map(variant).collect(),
            comparison,
        })
    }
}

impl std::fmt::Display for Seller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.model, self.provider)
    }
}

/// Two amounts and their difference as it is between what is shown.
fn shown(amounts: [Money; 2], decimals: u32) -> [String; 3] {
    let [old, new] = amounts.map(|amount| rounded(amount, decimals));
    [old, new, new - old].map(|units| dollars(units, decimals))
}

fn placed(deployments: &[crate::gateway::plan::Deployment]) -> BTreeMap<String, Placed> {
    let placed = |deployment: &crate::gateway::plan::Deployment| {
        let seller = Seller { model: deployment.model.clone(), provider: deployment.provider.clone() };
        (deployment.name.clone(), Placed { seller, rates: deployment.rates.clone() })
    };
    deployments.iter().map(placed).collect()
}

/// A variant under the list before and under the list now.
fn pair(group: &Group) -> [&Variant; 2] {
    let Report { variants, .. } = &group.report;
    [&variants[0], &variants[1]]
}

/// Dollars and calls by model, means over the seeds.
fn by_model(variant: &Variant, deployments: &BTreeMap<String, Placed>) -> BTreeMap<Seller, (Money, u64)> {
    let (merged, runs) = (variant.merged(), variant.runs.len() as u64);
    let mut sums: BTreeMap<Seller, (Money, u64)> = BTreeMap::new();
    for (name, supply) in variant.names.deployments.iter().zip(&merged.deployments) {
        let Some(placed) = deployments.get(name) else { continue };
        let sum = sums.entry(placed.seller.clone()).or_default();
        sum.0 += supply.bill;
        sum.1 += supply.calls;
    }
    sums.into_iter().map(|(seller, (bill, calls))| (seller, (Money(bill.0 / i128::from(runs)), calls / runs))).collect()
}

/// What a new list does; dollars are decimal strings, means over the seeds.
#[derive(Serialize)]
pub(super) struct EffectJson {
    scenario: String,
    /// What the amounts below are for: `a month`, `an hour`, `on this traffic`.
    dollars: &'static str,
    variants: Vec<VariantJson>,
    /// As `gwsim compare --format json` writes it.
    comparison: serde_json::Value,
}

#[derive(Serialize)]
struct VariantJson {
    name: String,
    old: String,
    new: String,
    difference: String,
    /// Those whose dollars or calls are others.
    models: Vec<ModelJson>,
}

#[derive(Serialize)]
struct ModelJson {
    #[serde(flatten)]
    seller: Seller,
    old: String,
    new: String,
    difference: String,
    calls_old: u64,
    calls_new: u64,
}
