//! From counters to the text that Prometheus reads. The only place where an amount becomes a float, on its way out.

use std::fmt;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::tally::{Histogram, LATENCY_MS, Tally, model_name};
use crate::gateway::Gateway;
use crate::gateway::id::{AccountId, DeploymentId};
use crate::gateway::journal::BreakerState;
use crate::gateway::money::Money;
use crate::gateway::plan::Plan;
use crate::gateway::scope::Owner;
use crate::gateway::time::Time;
use crate::serve::alerts::Deliveries;
use crate::serve::reload::Counts;

/// What the text is.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Accounts shown at most: those of the configuration come first, keys made while serving after them.
const ACCOUNTS_MAX: usize = 500;

type Labels = Vec<(&'static str, String)>;

#[derive(Debug)]
enum Values {
    Counter(Vec<(Labels, f64)>),
    Gauge(Vec<(Labels, f64)>),
    Histogram(Vec<(Labels, Histogram)>),
}

/// One metric with all its series.
#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    values: Values,
}

#[derive(Debug)]
struct Families(Vec<Family>);

/// What is counted beside the facts.
pub struct Beside<'a> {
    /// Configurations loaded while serving.
    pub reloads: Counts,
    /// Lines of the log that were dropped.
    pub log_lines_dropped: u64,
    /// How notices have gone out.
    pub deliveries: &'a Deliveries,
}

/// The whole text.
///
/// # Errors
/// If it can't be formatted.
pub fn text(tally: &Tally, beside: &Beside<'_>, gateway: &Gateway, plan: &Plan, now: Time) -> Result<String, fmt::Error> {
    let mut families = counters(tally, plan);
    families.extend(times(tally, plan));
    families.extend(beside.families());
    families.extend(state(tally, gateway, plan, now));
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Families(families)));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

impl Beside<'_> {
    fn families(&self) -> [Family; 3] {
        let counted = |values: &[(&'static str, u64)]| {
            Values::Counter(values.iter().map(|(word, n)| (vec![("result", (*word).to_owned())], *n as f64)).collect())
        };
        let Deliveries { sent, failed, dropped } = self.deliveries;
        let [sent, failed, dropped] = [sent, failed, dropped].map(|count| count.load(Ordering::Relaxed));
        [
            Family {
                name: "gwsim_reloads",
                help: "Configurations loaded while serving: adopted, or refused with the one before kept",
                values: counted(&[("adopted", self.reloads.adopted), ("refused", self.reloads.refused)]),
            },
            Family {
                name: "gwsim_alert_deliveries",
                help: "Alerts on their way to webhooks: taken there, given up, or dropped as too many were waiting",
                values: counted(&[("sent", sent), ("failed", failed), ("dropped", dropped)]),
            },
            Family {
                name: "gwsim_log_lines_dropped",
                help: "Lines of the log that were dropped as stderr is not read fast enough",
                values: Values::Counter(vec![(Vec::new(), self.log_lines_dropped as f64)]),
            },
        ]
    }
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for Family { name, help, values } in &self.0 {
            match values {
                Values::Counter(series) => {
                    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
                    for (labels, value) in series {
                        if labels.is_empty() {
                            metric.encode_counter::<NoLabelSet, _, u64>(value, None)?;
                        } else {
                            metric.encode_family(labels)?.encode_counter::<NoLabelSet, _, u64>(value, None)?;
                        }
                    }
                }
                Values::Gauge(series) => {
                    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
                    for (labels, value) in series {
                        if labels.is_empty() {
                            metric.encode_gauge(value)?;
                        } else {
                            metric.encode_family(labels)?.encode_gauge(value)?;
                        }
                    }
                }
                Values::Histogram(series) => {
                    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
                    for (labels, histogram) in series {
                        let (buckets, count) = cumulative(histogram);
                        let sum = histogram.sum as f64 / 1e9;
                        metric.encode_family(labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The buckets as (upper end in seconds, how many in it); the encoder adds them up.
fn cumulative(histogram: &Histogram) -> (Vec<(f64, u64)>, u64) {
    let ends = LATENCY_MS.iter().map(|ms| *ms as f64 / 1e3).chain([f64::INFINITY]);
    (ends.zip(histogram.counts).collect(), histogram.counts.iter().sum())
}

fn counters(tally: &Tally, plan: &Plan) -> Vec<Family> {
    let model = |id| ("model", model_name(plan, id).to_owned());
    let place = |id: &DeploymentId| ("deployment", plan.deployment(*id).name.clone());
    let count = |value: &u64| *value as f64;
    let counter = |name, help, series: Vec<(Labels, f64)>| Family { name, help, values: Values::Counter(series) };
    vec![
        counter(
            "gwsim_requests",
            "Requests that had their end, by the model asked for and how they ended",
            tally.requests.iter().map(|((id, outcome), n)| (vec![model(*id), ("outcome", (*outcome).into())], count(n))).collect(),
        ),
        counter(
            "gwsim_turned_away",
            "Requests turned away before anything was decided: no key that is known, no request at all, or no journal that can be written",
            tally.turned_away.iter().map(|(status, n)| (vec![("status", status.to_string())], count(n))).collect(),
        ),
        counter(
            "gwsim_upstream_calls",
            "Calls to providers, by deployment and how they ended",
            tally.calls.iter().map(|((id, ended), n)| (vec![place(id), ("ended", (*ended).into())], count(n))).collect(),
        ),
        counter(
            "gwsim_tokens",
            "Tokens billed or presumed to be billed, by deployment and class",
            tally.tokens.iter().map(|((id, class), n)| (vec![place(id), ("class", (*class).into())], count(n))).collect(),
        ),
        counter(
            "gwsim_spend_dollars",
            "What calls cost, by deployment and whether the amount is confirmed or presumed",
            tally.spend.iter().map(|((id, sure), spent)| (vec![place(id), ("certainty", (*sure).into())], dollars(*spent))).collect(),
        ),
        counter(
            "gwsim_wasted_dollars",
            "What calls cost that delivered no answer, by deployment and how they ended",
            tally.wasted.iter().map(|((id, ended), spent)| (vec![place(id), ("ended", (*ended).into())], dollars(*spent))).collect(),
        ),
        counter(
            "gwsim_undelivered_tokens",
            "Output tokens that were billed and did not reach a client",
            tally.undelivered.iter().map(|(id, n)| (vec![place(id)], count(n))).collect(),
        ),
        counter(
            "gwsim_cache_saved_dollars",
            "What answers from the response cache had cost when they were made",
            tally.saved.iter().map(|(id, saved)| (vec![model(*id)], dollars(*saved))).collect(),
        ),
        counter(
            "gwsim_refusals",
            "Requests refused, by reason; observed ones were only counted, and let through",
            tally
                .refusals
                .iter()
                .map(|((why, observed), n)| (vec![("reason", (*why).into()), ("observed", observed.to_string())], count(n)))
                .collect(),
        ),
        counter(
            "gwsim_skips",
            "Groups and deployments passed over while a request looked for one, by reason",
            tally.skips.iter().map(|(why, n)| (vec![("reason", (*why).into())], count(n))).collect(),
        ),
        counter("gwsim_cooldowns", "Cooldowns begun", tally.cooldowns.iter().map(|(id, n)| (vec![place(id)], count(n))).collect()),
        counter("gwsim_alerts", "Alerts raised, by kind", tally.alerts.iter().map(|(kind, n)| (vec![("kind", (*kind).into())], count(n))).collect()),
        counter("gwsim_breaches", "Budget windows that closed above their limit", vec![(Vec::new(), count(&tally.breaches))]),
    ]
}

/// How long things took.
fn times(tally: &Tally, plan: &Plan) -> [Family; 2] {
    let model = |id| ("model", model_name(plan, id).to_owned());
    let histogram = |name, help, series: Vec<(Labels, Histogram)>| Family { name, help, values: Values::Histogram(series) };
    [
        histogram(
            "gwsim_request_duration_seconds",
            "From a request's arrival to its client's end",
            tally.latency.iter().map(|(id, times)| (vec![model(*id)], *times)).collect(),
        ),
        histogram(
            "gwsim_first_token_seconds",
            "From a streamed request's arrival to the first of its answer",
            tally.first_token.iter().map(|(id, times)| (vec![model(*id)], *times)).collect(),
        ),
    ]
}

/// What is so at this moment.
fn state(tally: &Tally, gateway: &Gateway, plan: &Plan, now: Time) -> Vec<Family> {
    let gauge = |name, help, series: Vec<(Labels, f64)>| Family { name, help, values: Values::Gauge(series) };
    let one = |value: u64| vec![(Vec::new(), value as f64)];
    let left = gateway.outstanding();
    let ids = || (0u32..).zip(&plan.deployments).filter(|(_, deployment)| !deployment.retired);
    let cooling = ids().map(|(id, deployment)| {
        let is_cooling = tally.cools_until.get(&DeploymentId(id)).is_some_and(|until| *until > now);
        (vec![("deployment", deployment.name.clone())], f64::from(u8::from(is_cooling)))
    });
    let breakers = ids().filter_map(|(id, deployment)| {
        let stands = match tally.breakers.get(&DeploymentId(id))? {
            BreakerState::Closed => 0.0,
            BreakerState::HalfOpen => 1.0,
            BreakerState::Open => 2.0,
        };
        Some((vec![("deployment", deployment.name.clone())], stands))
    });
    vec![
        gauge("gwsim_requests_in_flight", "Requests that have arrived and are not closed", one(tally.in_flight() as u64)),
        gauge("gwsim_upstream_calls_in_flight", "Calls to providers that are open", one(left.calls)),
        gauge("gwsim_holds", "Amounts held for calls that are open", one(left.holds)),
        gauge("gwsim_requests_queued", "Requests that wait before a concurrency limit", one(left.waiters)),
        gauge("gwsim_cached_answers", "Answers in the response cache", one(gateway.cache().len() as u64)),
        gauge("gwsim_corrected_dollars", "What late usage has changed of presumed spend", vec![(Vec::new(), dollars(tally.corrected))]),
        gauge(
            "gwsim_team_spend_dollars",
            "What teams have spent; late usage may lower it. Keys without a team have an empty name",
            by_team(tally, gateway),
        ),
        gauge("gwsim_deployment_cooling", "Whether a deployment cools", cooling.collect()),
        gauge("gwsim_breaker_state", "How a breaker stands: 0 closed, 1 half open, 2 open", breakers.collect()),
        gauge("gwsim_budget_used_ratio", "Settled and held amounts against the limit of an account's present window", budgets(gateway, plan, now)),
    ]
}

fn budgets(gateway: &Gateway, plan: &Plan, now: Time) -> Vec<(Labels, f64)> {
    let budget = gateway.budget();
    // End users' names come from clients, and there are as many of them as those like.
    let is_shown = |id: &AccountId| !matches!(budget.owner(*id), Some(Owner::EndUser(_)));
    let shown = budget.accounts().filter(is_shown).take(ACCOUNTS_MAX).filter_map(|id| {
        let (settled, held) = budget.used(id, now);
        let limit = budget.spec(id).limit;
        if limit == Money::ZERO {
            return None;
        }
        let name = gateway.describe_account(plan, id)?;
        Some((vec![("account", name)], dollars(settled + held) / dollars(limit)))
    });
    shown.collect()
}

fn by_team(tally: &Tally, gateway: &Gateway) -> Vec<(Labels, f64)> {
    let mut teams = std::collections::BTreeMap::<&str, Money>::new();
    for (key, spent) in &tally.spend_of_keys {
        let team = gateway.directory().team_of(*key).and_then(|team| gateway.directory().team_names().get(team.index()));
        *teams.entry(team.map_or("", String::as_str)).or_default() += *spent;
    }
    teams.into_iter().map(|(team, spent)| (vec![("team", team.to_owned())], dollars(spent))).collect()
}

fn dollars(amount: Money) -> f64 {
    amount.0 as f64 / 1e12
}
