//! What a key or team may do: from an administrator's fields to what the core enforces, and back to what clients are shown. Carries nothing out.

use serde_json::{Map, Value, json};

use super::durations;
use super::fields::{Fields, Given, wrong};
use crate::config::gateway::BudgetDefaults;
use crate::gateway::command::{KeySpec, TeamSpec};
use crate::gateway::id::ModelId;
use crate::gateway::money::Money;
use crate::gateway::plan::{Anchor, BudgetSpec, BudgetWindow, LimitKind, LimitSpec, Plan, Refill, TokenCount};
use crate::gateway::time::Span;
use crate::serve::answers::Problem;
use crate::serve::store::{KeyRecord, TeamRecord, Terms};

/// What LiteLLM's clients call a list of all models.
const ALL_MODELS: [&str; 2] = ["all-proxy-models", "all-team-models"];

/// Reads the fields that are terms, into terms that there are.
///
/// # Errors
/// If one is of the wrong type, or can't be enforced.
pub fn read(fields: &mut Fields, plan: &Plan, defaults: &BudgetDefaults, terms: &mut Terms) -> Result<(), Problem> {
    match fields.names("models")? {
        // Models that it has and the configuration has no longer are nobody's mistake now.
        Given::Absent => {}
        Given::Nothing => terms.models.clear(),
        Given::Some(mut models) => {
            models.retain(|model| !ALL_MODELS.contains(&model.as_str()));
            if let Some(unknown) = models.iter().find(|model| plan.find_model(model).is_none()) {
                let known: Vec<_> = plan.models.iter().filter(|model| !model.retired).map(|model| format!("`{}`", model.name)).collect();
                let message = format!("there is no model `{unknown}`: there are {}", known.join(", "));
                return Err(wrong(message, Some("models")).code("model_not_found"));
            }
            terms.models = models;
        }
    }
    let mut tags = Some(std::mem::take(&mut terms.tags));
    fields.names("tags")?.put(&mut tags);
    terms.tags = tags.unwrap_or_default();
    fields.dollars("max_budget")?.put(&mut terms.max_budget);
    fields.dollars("soft_budget")?.put(&mut terms.soft_budget);
    fields.name("budget_duration")?.put(&mut terms.budget_duration);
    fields.count("rpm_limit")?.put(&mut terms.rpm_limit);
    fields.count("tpm_limit")?.put(&mut terms.tpm_limit);
    fields.count("tpd_limit")?.put(&mut terms.tpd_limit);
    fields.count("max_parallel_requests")?.put(&mut terms.max_parallel_requests);
    let mut metadata = Some(std::mem::take(&mut terms.metadata));
    fields.object("metadata")?.put(&mut metadata);
    terms.metadata = metadata.unwrap_or_default();
    check(terms, defaults)
}

fn check(terms: &Terms, defaults: &BudgetDefaults) -> Result<(), Problem> {
    if let Some(duration) = &terms.budget_duration {
        if durations::window(duration, &defaults.timezone).is_none() {
            let message = format!("`budget_duration` of `{duration}` is none: write {}", durations::EXAMPLES);
            return Err(wrong(message, Some("budget_duration")));
        }
        if terms.max_budget.is_none() {
            return Err(wrong("`budget_duration` without a `max_budget` limits nothing", Some("budget_duration")));
        }
    }
    match (terms.soft_budget, terms.max_budget) {
        (Some(_), None) => Err(wrong("`soft_budget` alerts within a `max_budget`, and there is none", Some("soft_budget"))),
        (Some(soft), Some(most)) if soft > most => {
            Err(wrong(format!("`soft_budget` is above the `max_budget` of {most}: nothing is admitted past that"), Some("soft_budget")))
        }
        _ => Ok(()),
    }
}

/// What the core enforces for a key.
pub fn key_spec(key: &KeyRecord, plan: &Plan, defaults: &BudgetDefaults) -> KeySpec {
    KeySpec {
        team: key.team.clone(),
        budgets: budgets(&key.terms, defaults),
        limits: limits(&key.terms),
        models: models(&key.terms, plan),
        tags: key.terms.tags.clone(),
        expires: key.expires,
        ..KeySpec::default()
    }
}

/// What the core enforces for a team.
pub fn team_spec(team: &TeamRecord, plan: &Plan, defaults: &BudgetDefaults) -> TeamSpec {
    TeamSpec {
        budgets: budgets(&team.terms, defaults),
        limits: limits(&team.terms),
        models: models(&team.terms, plan),
        tags: team.terms.tags.clone(),
        ..TeamSpec::default()
    }
}

/// Models that the configuration no longer has can't be asked for; a list of none but those allows nothing.
fn models(terms: &Terms, plan: &Plan) -> Option<Vec<ModelId>> {
    (!terms.models.is_empty()).then(|| terms.models.iter().filter_map(|model| plan.find_model(model)).collect())
}

fn budgets(terms: &Terms, defaults: &BudgetDefaults) -> Vec<BudgetSpec> {
    let Some(limit) = terms.max_budget else { return Vec::new() };
    let window = terms.budget_duration.as_deref().map(|duration| durations::window(duration, &defaults.timezone));
    let mut levels = defaults.alert_at_per_mille.clone();
    // Rounded up to the next thousandth: an alert never comes early.
    levels.extend(terms.soft_budget.and_then(|soft| u32::try_from((soft.0 * 1000 + limit.0 - 1) / limit.0).ok()));
    levels.sort_unstable();
    levels.dedup();
    vec![BudgetSpec {
        limit,
        // A duration is checked when it is read. One that a later version no longer understood would be a budget for good: the safe side.
        window: window.flatten().unwrap_or(BudgetWindow::Total),
        enforce: defaults.enforce,
        mode: defaults.mode,
        on_short: defaults.on_short,
        alert_at_per_mille: levels,
    }]
}

/// As LiteLLM counts them: in windows that begin with their first use.
fn limits(terms: &Terms) -> Vec<LimitSpec> {
    let rate = |kind, period, amount: Option<u64>| {
        amount.map(|amount| LimitSpec { kind, amount, refill: Refill::Window(Anchor::FirstUse), period, count: TokenCount::Reserve, queue: None })
    };
    let parallel = terms.max_parallel_requests.map(|amount| LimitSpec {
        kind: LimitKind::Concurrency,
        amount,
        refill: Refill::Bucket,
        period: Span::ZERO,
        count: TokenCount::Reserve,
        queue: None,
    });
    let rates = [
        rate(LimitKind::Requests, Span::MINUTE, terms.rpm_limit),
        rate(LimitKind::TotalTokens, Span::MINUTE, terms.tpm_limit),
        rate(LimitKind::TotalTokens, Span::from_secs(86_400), terms.tpd_limit),
        parallel,
    ];
    rates.into_iter().flatten().collect()
}

/// The terms as clients are shown them.
pub fn show(terms: &Terms) -> Map<String, Value> {
    let shown = json!({
        "models": terms.models,
        "max_budget": terms.max_budget.map(dollars),
        "budget_duration": terms.budget_duration,
        "soft_budget": terms.soft_budget.map(dollars),
        "rpm_limit": terms.rpm_limit,
        "tpm_limit": terms.tpm_limit,
        "tpd_limit": terms.tpd_limit,
        "max_parallel_requests": terms.max_parallel_requests,
        "tags": terms.tags,
        "metadata": terms.metadata,
    });
    if let Value::Object(shown) = shown { shown } else { Map::new() }
}

/// An amount as clients are shown it: a number of US dollars, the nearest that JSON's readers can hold. Nothing is reckoned with it.
pub fn dollars(amount: Money) -> Value {
    amount.decimal().to_string().parse::<f64>().map_or(Value::Null, |amount| json!(amount))
}
