//! `/spend/logs` and `/global/spend`: what was spent, in the rows that LiteLLM's clients know. Adds nothing up itself.

use serde_json::{Map, Value, json};

use super::fields::wrong;
use super::{Caller, Desk, Parameters, administrators_only, durations, terms};
use crate::gateway::Gateway;
use crate::gateway::id::KeyId;
use crate::gateway::money::Money;
use crate::gateway::plan::Plan;
use crate::gateway::time::{Span, Time};
use crate::serve::answers::Problem;
use crate::serve::spend::Spent;
use crate::serve::store::Hash;

/// How many rows there are when nobody says how many.
const ROWS: usize = 100;
/// How many there may be.
const ROWS_MAX: usize = 10_000;
/// How many are made in one turn of the engine's lock.
const ROWS_AT_ONCE: usize = 50;
const DAY: u64 = 86_400_000_000_000;

/// `GET /spend/logs`: the newest requests; with `start_date` and `end_date` day by day, unless `summarize=false`.
pub fn logs(desk: &Desk<'_>, caller: &Caller, parameters: &Parameters) -> Result<Value, Problem> {
    administrators_only(caller)?;
    let date = |name: &str| parameters.get(name).map(|text| day(name, text)).transpose();
    let (start, end) = (date("start_date")?, date("end_date")?);
    let summarize = !parameters.get("summarize").is_some_and(|text| text.eq_ignore_ascii_case("false"));
    let asks_for_some = ["api_key", "user_id", "request_id"].iter().any(|name| parameters.contains_key(*name));
    if (start.is_some() || end.is_some()) && summarize && !asks_for_some {
        return Ok(days(desk, start.unwrap_or(0), end.unwrap_or(u64::MAX)));
    }
    let most = match parameters.get("limit").or_else(|| parameters.get("page_size")) {
        None => ROWS,
        Some(text) => {
            let unfit = || wrong(format!("`limit` must be a number from 1 to {ROWS_MAX}"), Some("limit"));
            text.parse().ok().filter(|rows| (1..=ROWS_MAX).contains(rows)).ok_or_else(unfit)?
        }
    };
    // Nobody's requests are none, not everybody's.
    let key = parameters.get("api_key").or_else(|| parameters.get("key")).map(|text| {
        let name = super::keys::name_of(desk, text)?;
        desk.app.engine.read(|gateway, _, _| gateway.key(&name))
    });
    let users = parameters.get("user_id").map(|user| of_user(desk, user));
    let id = parameters.get("request_id").map(|text| text.parse::<u64>().ok());
    let rows = desk.app.spend.recent(most, |spent| {
        let day = spent.began.0 / DAY;
        key.is_none_or(|key| key == Some(spent.request.key))
            && users.as_ref().is_none_or(|keys| keys.contains(&spent.request.key))
            && id.is_none_or(|id| id == Some(spent.request.id.0))
            && start.is_none_or(|start| day >= start)
            && end.is_none_or(|end| day <= end)
    });
    let tokens = tokens(desk);
    // Every request waits while the gateway is looked into, so not for all the rows at once.
    let shown = rows
        .chunks(ROWS_AT_ONCE)
        .flat_map(|some| desk.app.engine.read(|gateway, plan, _| some.iter().map(|spent| row(gateway, plan, &tokens, spent)).collect::<Vec<_>>()));
    Ok(shown.collect())
}

/// `GET /global/spend`: in all, since the journal began.
pub fn global(desk: &Desk<'_>, caller: &Caller, _: &Parameters) -> Result<Value, Problem> {
    administrators_only(caller)?;
    let total = desk.app.spend.total();
    let limit = desk.app.engine.plan().budgets.iter().map(|budget| budget.limit).min();
    Ok(json!({
        "spend": terms::dollars(total.spend),
        "max_budget": limit.map(terms::dollars),
        "requests": total.requests,
        "failed_requests": total.failed,
        "calls": total.calls,
        "prompt_tokens": total.input_tokens,
        "completion_tokens": total.output_tokens,
    }))
}

fn days(desk: &Desk<'_>, start: u64, end: u64) -> Value {
    let (plan, names, tokens) = (desk.app.engine.plan(), desk.app.spend.key_names(), tokens(desk));
    let days = desk.app.spend.days().into_iter().filter(|(day, _)| (start..=end).contains(day));
    let shown = days.map(|(number, day)| {
        let models: Map<String, Value> =
            day.models.iter().map(|(model, amount)| (plan.model(*model).name.clone(), terms::dollars(*amount))).collect();
        let keys: Map<String, Value> = day
            .keys
            .iter()
            .filter_map(|(key, amount)| {
                let name = names.get(key.index())?;
                Some((tokens.get(name).cloned().unwrap_or_else(|| name.clone()), terms::dollars(*amount)))
            })
            .collect();
        json!({
            "startTime": durations::instant(Time(number * DAY)).get(..10),
            "spend": terms::dollars(day.sums.spend),
            "users": {},
            "models": models,
            "keys": keys,
            "api_requests": day.sums.requests,
            "failed_requests": day.sums.failed,
            "prompt_tokens": day.sums.input_tokens,
            "completion_tokens": day.sums.output_tokens,
        })
    });
    shown.collect()
}

fn row(gateway: &Gateway, plan: &Plan, tokens: &std::collections::BTreeMap<String, String>, spent: &Spent) -> Value {
    let directory = gateway.directory();
    let request = &spent.request;
    let key = directory.key_names().get(request.key.index());
    let team = key.and_then(|_| directory.team_of(request.key)).map(|team| &directory.team_names()[team.index()]);
    let model = spent.called.map(|(model, _)| &plan.model(model).name);
    let deployment = spent.called.map(|(_, deployment)| plan.deployment(deployment));
    let group = plan.models.get(request.model.index()).map(|model| &model.name);
    let ended = spent.ended.unwrap_or(spent.began);
    let tags: Vec<&String> = request.tag.and_then(|tag| directory.tag_names().get(tag.index())).into_iter().collect();
    let Span(took) = ended.since(spent.began);
    let spend = if spent.sums.spend == Money::ZERO { json!(0.0) } else { terms::dollars(spent.sums.spend) };
    json!({
        "request_id": request.id.0.to_string(),
        "api_key": key.map(|name| tokens.get(name).unwrap_or(name)),
        "spend": spend,
        "prompt_tokens": spent.sums.input_tokens,
        "completion_tokens": spent.sums.output_tokens,
        "total_tokens": spent.sums.input_tokens + spent.sums.output_tokens,
        "startTime": exact(spent.began),
        "endTime": exact(ended),
        "completionStartTime": spent.opened.map(exact),
        "request_duration_ms": took / 1_000_000,
        "model": model.or(group),
        "model_group": group,
        "model_id": deployment.map(|deployment| &deployment.name),
        "custom_llm_provider": deployment.map(|deployment| &deployment.provider),
        "end_user": request.end_user.and_then(|user| directory.end_user_names().get(user.index())),
        "team_id": team,
        "request_tags": tags,
        "cache_hit": if spent.is_cached() { "True" } else { "False" },
        "status": if spent.is_failed() { "failure" } else { "success" },
        "metadata": { "user_api_key_alias": key, "attempts": spent.sums.calls, "presumed": spent.is_presumed },
    })
}

/// The tokens of keys, by name.
fn tokens(desk: &Desk<'_>) -> std::collections::BTreeMap<String, String> {
    desk.app.keys.all().into_iter().map(|(hash, name)| (name.to_string(), Hash(hash).hex())).collect()
}

fn of_user(desk: &Desk<'_>, user: &str) -> Vec<KeyId> {
    let names: Vec<&String> = desk.register.keys().filter(|key| key.user.as_deref() == Some(user)).map(|key| &key.name).collect();
    desk.app.engine.read(|gateway, _, _| names.iter().filter_map(|name| gateway.key(name)).collect())
}

/// A day by its date: its number since 1970.
fn day(name: &str, text: &str) -> Result<u64, Problem> {
    let unfit = || wrong(format!("`{name}` must be a date such as 2026-11-22"), Some(name));
    let date: jiff::civil::Date = text.get(..10).unwrap_or(text).parse().map_err(|_| unfit())?;
    let midnight = date.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| unfit())?;
    u64::try_from(midnight.timestamp().as_second() / 86_400).map_err(|_| unfit())
}

/// An instant with its milliseconds.
fn exact(time: Time) -> String {
    let millis = i64::try_from(time.0 / 1_000_000).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| durations::instant(time), |time| time.to_string())
}
