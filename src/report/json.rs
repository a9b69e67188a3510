//! The shape of `report.json`, in both directions: twins of the report's types that may be written and read. What a field means is told at its
//! original; what a reader of the file can't know without is said here too, and becomes `docs/report.schema.json`.

mod budgets;
pub(super) mod change;
mod counters;
mod replay;
mod run;
#[cfg(test)]
mod schema;
pub(super) mod stability;
mod sweep;

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::change::{Change, changes};
use super::series::Series;
use super::{Assumption, Input, Names, Origin, Report, RequestWorstCase, Spread, Traffic, Variant, crossing, expect, write};
use crate::gateway::money::Money;
use crate::gateway::plan::WorstCase;
use crate::gateway::time::{Span, Time};
use crate::price::tokens::{ModelPair, Ratio, RatioRange, TokenRule};

/// A text of the report: borrowed to write it, owned when it was read.
type Text<'a> = Cow<'a, str>;
/// A name that gwsim gives.
type Name = Cow<'static, str>;

/// What `gwsim run` found: every variant under every seed. Money is a string of dollars with 12 decimals, exact.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Report"))]
pub(super) struct ReportJson<'a> {
    /// Of this format. It changes when a field changes its meaning or goes; new fields may come without a new version.
    version: u32,
    /// The version of gwsim that wrote it.
    gwsim: Text<'a>,
    /// The scenario's name.
    name: Text<'a>,
    /// Whose prices, and of what date.
    prices: Text<'a>,
    inputs: Vec<InputJson<'a>>,
    traffic: TrafficJson<'a>,
    /// What the numbers rest on beside the inputs.
    assumptions: Vec<AssumptionJson<'a>>,
    /// Every single figure behind them that has a source of its own.
    figures: Vec<AssumptionJson<'a>>,
    /// The longest time that anything in a gateway or a world remembers, of what the runs made use of.
    memory_ns: u64,
    /// Times, from and until, in which the scenario itself makes something happen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    scripted_ns: Vec<(u64, u64)>,
    /// The precision at which no more seeds were run.
    #[serde(skip_serializing_if = "Option::is_none")]
    precision: Option<f64>,
    seeds: Vec<u64>,
    /// The number of the variant, from 0, that the others are compared with.
    reference: usize,
    variants: Vec<VariantJson<'a>>,
    /// The log held against the variant that it was recorded under.
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<replay::BaselineJson<'a>>,
    /// What the log covers.
    #[serde(skip_serializing_if = "Option::is_none")]
    coverage: Option<Vec<replay::CoverageJson<'a>>>,
    /// What was drawn because the traffic lacks it.
    #[serde(skip_serializing_if = "Option::is_none")]
    imputed: Option<replay::ImputedJson>,
    /// What a sweep found, beside the variants with the scenario's own values.
    #[serde(skip_serializing_if = "Option::is_none")]
    sweep: Option<sweep::SweepJson<'a>>,
    /// Inputs that were drawn for failed requests because the log has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    imputed_inputs: Option<replay::ImputedInputsJson>,
    expectations: Vec<VerdictJson<'a>>,
}

/// The part that every version has.
#[derive(Deserialize)]
pub(super) struct Envelope {
    pub version: u32,
    #[serde(default)]
    pub gwsim: String,
}

/// A file that went into the run.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct InputJson<'a> {
    role: Text<'a>,
    /// Its name, without directories.
    file: Text<'a>,
    sha256: Text<'a>,
    bytes: u64,
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct TrafficJson<'a> {
    name: Text<'a>,
    origin: OriginJson,
    /// Of the requests as the variants had them: equal digests are the same traffic.
    digest: Text<'a>,
    requests: u64,
    /// The first arrival, in nanoseconds since the Unix epoch.
    first_ns: u64,
    /// From the first arrival to the last.
    span_ns: u64,
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
enum OriginJson {
    Recorded,
    Synthetic,
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct AssumptionJson<'a> {
    what: Text<'a>,
    value: Text<'a>,
    source: Text<'a>,
}

/// How an expectation of the scenario came out.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct VerdictJson<'a> {
    variant: Text<'a>,
    expected: Text<'a>,
    found: Text<'a>,
    holds: bool,
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct VariantJson<'a> {
    name: Text<'a>,
    /// Over the seeds.
    bill: SpreadJson,
    /// Missing with one seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bill_of_one_run: Option<OneRunJson>,
    /// How the bill differs from the reference's; missing at the reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<change::ChangeJson>,
    /// The most that a request of the traffic's mean size can cause, whatever happens.
    worst_case_of_a_request: Option<WorstCaseJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bill_at_ends_of_token_counts: Option<EndsJson>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    answered_by_other_model: Vec<CrossingJson<'a>>,
    /// Missing at the reference, and where the traffic has too many rows to tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    unserved: Option<budgets::UnservedJson>,
    /// Its budgets over everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    budgets: Vec<budgets::BudgetJson>,
    /// The capacity that it pays for by the hour, called or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reserved: Vec<budgets::ReservedJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stability: Option<stability::StabilityJson>,
    /// One for each seed.
    runs: Vec<run::RunJson<'a>>,
}

/// Between these lies the bill of one run under luck that none of the seeds had, 95 times in 100: wider than what is known of the mean.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct OneRunJson {
    low: Usd,
    high: Usd,
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct WorstCaseJson<'a> {
    model: Text<'a>,
    input_tokens: u32,
    calls: u32,
    cost: Usd,
}

/// The bill with all ratios of token counts at the lower, and at the upper ends of their ranges.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct EndsJson {
    low: SpreadJson,
    high: SpreadJson,
    /// The same by seed.
    low_by_seed: Vec<Usd>,
    high_by_seed: Vec<Usd>,
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct CrossingJson<'a> {
    asked: Text<'a>,
    answered: Text<'a>,
    /// `false`: they were taken to be the same.
    token_counts_compared: bool,
    /// The rule that compares them, with the ends of its ratios in millionths.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<RuleJson<'a>>,
    calls: u64,
    bill: Usd,
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct RuleJson<'a> {
    from: Text<'a>,
    to: Text<'a>,
    input_per_million: (u32, u32),
    output_per_million: (u32, u32),
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct SpreadJson {
    mean: Usd,
    min: Usd,
    max: Usd,
}

/// Money as a string of dollars with 12 decimals.
struct Usd(Money);

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.decimal())
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        amount(&text).map(Self).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not an amount of dollars with 12 decimals")))
    }
}

/// The amount that [`Money::decimal`] wrote.
pub(super) fn amount(text: &str) -> Option<Money> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, parts) = digits.split_once('.')?;
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if parts.len() != 12 || !are_digits(whole) || !are_digits(parts) {
        return None;
    }
    let picodollars = whole.parse::<i128>().ok()?.checked_mul(Money::PER_USD)?.checked_add(parts.parse().ok()?)?;
    Some(Money(sign * picodollars))
}

impl<'a> ReportJson<'a> {
    pub(super) fn of(report: &'a Report) -> Self {
        Self {
            version: write::VERSION,
            gwsim: env!("CARGO_PKG_VERSION").into(),
            name: (&report.name).into(),
            prices: (&report.prices).into(),
            inputs: report.inputs.iter().map(InputJson::of).collect(),
            traffic: TrafficJson::of(&report.traffic),
            assumptions: report.assumptions.iter().map(AssumptionJson::of).collect(),
            figures: report.figures.iter().map(AssumptionJson::of).collect(),
            memory_ns: report.memory.0,
            scripted_ns: report.scripted.iter().map(|(from, until)| (from.0, until.0)).collect(),
            precision: report.precision,
            seeds: report.variants.first().map_or_else(Vec::new, |variant| variant.runs.iter().map(|run| run.seed).collect()),
            reference: report.reference,
            variants: report
                .variants
                .iter()
                .zip(changes(report))
                .map(|(variant, change)| VariantJson::of(variant, change.as_ref(), &report.traffic))
                .collect(),
            baseline: report.baseline.as_ref().map(replay::BaselineJson::of),
            coverage: report.coverage.as_ref().map(replay::coverage),
            imputed: report.imputed.as_ref().map(replay::ImputedJson::of),
            sweep: report.sweep.as_ref().map(sweep::SweepJson::of),
            imputed_inputs: report.imputed_inputs.as_ref().map(replay::ImputedInputsJson::of),
            expectations: report.expectations.iter().map(VerdictJson::of).collect(),
        }
    }

    /// The report again. `series` gives those of a variant and a seed.
    ///
    /// # Errors
    /// If it contradicts itself.
    pub(super) fn read(self, mut series: impl FnMut(&str, u64) -> Result<Series, String>) -> Result<Report, String> {
        let variants = self.variants.into_iter().map(|variant| variant.read(&mut series)).collect::<Result<Vec<_>, _>>()?;
        if variants.get(self.reference).is_none() || variants.iter().any(|variant| variant.runs.is_empty()) {
            return Err("a variant is missing, or has no runs".to_owned());
        }
        let sweep = self.sweep.map(|sweep| sweep.read(variants.len())).transpose()?;
        Ok(Report {
            name: self.name.into_owned(),
            inputs: self.inputs.into_iter().map(InputJson::read).collect(),
            prices: self.prices.into_owned(),
            traffic: self.traffic.read(),
            assumptions: self.assumptions.into_iter().map(AssumptionJson::read).collect(),
            figures: self.figures.into_iter().map(AssumptionJson::read).collect(),
            variants,
            reference: self.reference,
            memory: Span(self.memory_ns),
            scripted: self.scripted_ns.into_iter().map(|(from, until)| (Time(from), Time(until))).collect(),
            precision: self.precision,
            baseline: self.baseline.map(replay::BaselineJson::read).transpose()?,
            coverage: self.coverage.map(replay::read_coverage),
            imputed: self.imputed.map(replay::ImputedJson::read),
            imputed_inputs: self.imputed_inputs.map(replay::ImputedInputsJson::read),
            sweep,
            expectations: self.expectations.into_iter().map(VerdictJson::read).collect(),
        })
    }
}

impl<'a> InputJson<'a> {
    fn of(input: &'a Input) -> Self {
        let Input { role, file, sha256, bytes } = input;
        Self { role: role.as_ref().into(), file: file.into(), sha256: sha256.into(), bytes: *bytes }
    }

    fn read(self) -> Input {
        let Self { role, file, sha256, bytes } = self;
        Input { role: Cow::Owned(role.into_owned()), file: file.into_owned(), sha256: sha256.into_owned(), bytes }
    }
}

impl<'a> TrafficJson<'a> {
    fn of(traffic: &'a Traffic) -> Self {
        let Traffic { name, origin, digest, requests, first, span } = traffic;
        let origin = match origin {
            Origin::Recorded => OriginJson::Recorded,
            Origin::Synthetic => OriginJson::Synthetic,
        };
        Self { name: name.into(), origin, digest: digest.into(), requests: *requests, first_ns: first.0, span_ns: span.0 }
    }

    fn read(self) -> Traffic {
        let origin = match self.origin {
            OriginJson::Recorded => Origin::Recorded,
            OriginJson::Synthetic => Origin::Synthetic,
        };
        let (name, digest) = (self.name.into_owned(), self.digest.into_owned());
        Traffic { name, origin, digest, requests: self.requests, first: Time(self.first_ns), span: Span(self.span_ns) }
    }
}

impl<'a> AssumptionJson<'a> {
    fn of(assumption: &'a Assumption) -> Self {
        let Assumption { what, value, source } = assumption;
        Self { what: what.into(), value: value.into(), source: source.into() }
    }

    fn read(self) -> Assumption {
        Assumption { what: self.what.into_owned(), value: self.value.into_owned(), source: self.source.into_owned() }
    }
}

impl<'a> VerdictJson<'a> {
    fn of(verdict: &'a expect::Verdict) -> Self {
        let expect::Verdict { variant, expected, found, holds } = verdict;
        Self { variant: variant.into(), expected: expected.into(), found: found.into(), holds: *holds }
    }

    fn read(self) -> expect::Verdict {
        let Self { variant, expected, found, holds } = self;
        expect::Verdict { variant: variant.into_owned(), expected: expected.into_owned(), found: found.into_owned(), holds }
    }
}

impl<'a> VariantJson<'a> {
    fn of(variant: &'a Variant, change: Option<&Change>, traffic: &Traffic) -> Self {
        let worst_case_of_a_request = variant.worst_case.as_ref().map(|worst| WorstCaseJson {
            model: (&worst.model).into(),
            input_tokens: worst.input_tokens,
            calls: worst.most.calls,
            cost: Usd(worst.most.cost),
        });
        Self {
            name: (&variant.name).into(),
            bill: spread(variant.bill()),
            bill_of_one_run: variant.bill_of_one_run().map(|[low, high]| OneRunJson { low: Usd(low), high: Usd(high) }),
            change: change.map(change::ChangeJson::of),
            worst_case_of_a_request,
            bill_at_ends_of_token_counts: variant.token_ends.as_ref().map(EndsJson::of),
            answered_by_other_model: variant.crossings.iter().map(CrossingJson::of).collect(),
            unserved: variant.unserved.as_ref().map(budgets::UnservedJson::of),
            budgets: variant.budgets.iter().map(|budget| budgets::BudgetJson::of(budget, traffic)).collect(),
            reserved: variant.reserved.iter().map(budgets::ReservedJson::of).collect(),
            stability: variant.stability.as_ref().map(stability::StabilityJson::of),
            runs: variant.runs.iter().map(|run| run::RunJson::of(run, &variant.names)).collect(),
        }
    }

    fn read(self, series: &mut impl FnMut(&str, u64) -> Result<Series, String>) -> Result<Variant, String> {
        let name = self.name.into_owned();
        let mut names = Names::default();
        let runs = self.runs.into_iter().map(|run| {
            let series = series(&name, run.seed)?;
            run.read(&mut names, series)
        });
        let runs = runs.collect::<Result<_, _>>()?;
        let worst_case = self.worst_case_of_a_request.map(|worst| {
            let WorstCaseJson { model, input_tokens, calls, cost } = worst;
            RequestWorstCase { model: model.into_owned(), input_tokens, most: WorstCase { calls, cost: cost.0 } }
        });
        let crossings = self.answered_by_other_model.into_iter().map(CrossingJson::read).collect();
        let token_ends = self.bill_at_ends_of_token_counts.map(EndsJson::read);
        let stability = self.stability.map(stability::StabilityJson::read).transpose()?;
        let unserved = self.unserved.map(budgets::UnservedJson::read).transpose()?;
        let budgets = self.budgets.into_iter().map(budgets::BudgetJson::read).collect::<Result<_, _>>()?;
        let reserved = self.reserved.into_iter().map(budgets::ReservedJson::read).collect();
        Ok(Variant { name, names, worst_case, crossings, token_ends, stability, unserved, budgets, reserved, runs })
    }
}

impl EndsJson {
    fn of(ends: &crossing::TokenEnds) -> Self {
        let by_seed = |bills: &[Money]| bills.iter().copied().map(Usd).collect();
        Self { low: spread(ends.low()), high: spread(ends.high()), low_by_seed: by_seed(&ends.low), high_by_seed: by_seed(&ends.high) }
    }

    fn read(self) -> crossing::TokenEnds {
        let bills = |by_seed: Vec<Usd>| by_seed.into_iter().map(|bill| bill.0).collect();
        crossing::TokenEnds { low: bills(self.low_by_seed), high: bills(self.high_by_seed) }
    }
}

impl<'a> CrossingJson<'a> {
    fn of(crossing: &'a crossing::Crossing) -> Self {
        let ends = |range: RatioRange| (range.low.millionths(), range.high.millionths());
        let ModelPair { asked, answered, rule } = &crossing.pair;
        let rule = rule.as_ref().map(|TokenRule { from, to, input, output }| RuleJson {
            from: from.into(),
            to: to.into(),
            input_per_million: ends(*input),
            output_per_million: ends(*output),
        });
        let (asked, answered) = (asked.into(), answered.into());
        Self { asked, answered, token_counts_compared: rule.is_some(), rule, calls: crossing.calls, bill: Usd(crossing.bill) }
    }

    fn read(self) -> crossing::Crossing {
        let range = |(low, high): (u32, u32)| RatioRange { low: Ratio::per_million(low.max(1)), high: Ratio::per_million(high.max(1)) };
        let rule = self.rule.map(|RuleJson { from, to, input_per_million, output_per_million }| TokenRule {
            from: from.into_owned(),
            to: to.into_owned(),
            input: range(input_per_million),
            output: range(output_per_million),
        });
        let pair = ModelPair { asked: self.asked.into_owned(), answered: self.answered.into_owned(), rule };
        crossing::Crossing { pair, calls: self.calls, bill: self.bill.0 }
    }
}

fn spread(Spread { mean, min, max }: Spread) -> SpreadJson {
    SpreadJson { mean: Usd(mean), min: Usd(min), max: Usd(max) }
}
