//! The story of one request in plain words, and the list of the dearest ones. Decides wording; the facts are those of its rows.

use super::numbers::{count, counted, latency, usd};
use super::requests::{CallRow, RequestRow};
use super::table::{Lines, note};
use crate::gateway::money::Money;
use crate::gateway::time::Span;

/// Tells what happened to a request and why it cost what it cost; ends with a line break.
pub fn story(request: &RequestRow, calls: &[CallRow]) -> String {
    let mut text = String::new();
    note(&mut text, "", &format!("Request {} in `{}`: {}", request.name(), request.variant, asks(request)));
    let since = |at: u64| format!("  {:>8}", plus(at.saturating_sub(request.arrived_ns)));
    note(&mut text, "", &format!("{}  arrives, {}", since(request.arrived_ns), instant(request.arrived_ns)));
    for event in request.notes.lines() {
        note(&mut text, "", &format!("            {event}"));
    }
    for call in calls {
        note(&mut text, "", &format!("{}  {}", since(call.start_ns), tells(call)));
        note(&mut text, "", &format!("            {}", bills(call)));
    }
    note(&mut text, "", &format!("{}  {}", since(request.arrived_ns + request.latency_ns), end(request)));
    note(&mut text, "", &sum(request, calls));
    text
}

/// The dearest requests, the dearest first.
pub fn worst(requests: &[RequestRow]) -> String {
    let several = requests.iter().any(|request| request.variant != requests[0].variant);
    let variant = if several { Some("variant") } else { None };
    let titles = variant.into_iter().chain(["$", "calls", "outcome", "answered by", "asked for", "key", "latency"]);
    let mut table = Lines::new("request", titles);
    for request in requests {
        let name = request.name().to_string();
        let variant = several.then(|| request.variant.clone());
        let cells = [
            usd(request.cost_picousd),
            count(request.calls),
            request.outcome.clone(),
            if request.answered_by.is_empty() { "-".to_owned() } else { request.answered_by.clone() },
            request.model.clone(),
            request.key.clone(),
            latency(Span(request.latency_ns)),
        ];
        table.add(&name, variant.into_iter().chain(cells));
    }
    table.render()
}

fn asks(request: &RequestRow) -> String {
    let team = if request.team.is_empty() { String::new() } else { format!(" of team {}", request.team) };
    let most = request.max_tokens.map_or_else(|| "states no max_tokens".to_owned(), |most| format!("max_tokens {}", count(most)));
    let how = if request.stream { ", as a stream" } else { "" };
    format!("key {}{team} asks for {} with {}, {most}{how}", request.key, request.model, counted(request.input_tokens, "input token"))
}

fn tells(call: &CallRow) -> String {
    let on = format!("{} ({} at {})", call.deployment, call.provider_model, call.provider);
    let why = if call.why.is_empty() { String::new() } else { format!(", because {}", call.why) };
    let waited = if call.waited_ns == 0 { String::new() } else { format!(", after {} of waiting", latency(Span(call.waited_ns))) };
    let ended = match call.ended.as_str() {
        "delivered" => format!("delivered {} in {}", counted(call.delivered_tokens, "token"), call.took()),
        "failed" => format!("failed with {} after {}", call.failure, call.took()),
        other => format!("{other} after {}", call.took()),
    };
    format!("call {}, {}: {on}{why}{waited}; {ended}", call.call, call.position)
}

fn bills(call: &CallRow) -> String {
    if call.cost_picousd == Money::ZERO && call.input_tokens == 0 {
        return "free: nothing was billed".to_owned();
    }
    let cached = match (call.cache_read_tokens, call.cache_write_tokens + call.cache_write_1h_tokens) {
        (0, 0) => String::new(),
        (read, 0) => format!(" ({} from the prompt cache)", count(read)),
        (read, written) => format!(" ({} from, {} to the prompt cache)", count(read), count(written)),
    };
    let usage = format!("{} in{cached}, {} out", count(call.input_tokens), count(call.output_tokens));
    let causes: Vec<String> = call.causes().into_iter().filter(|(_, amount)| *amount != Money::ZERO).map(|(name, amount)| format!("{name} {}", usd(amount))).collect();
    let parts = if causes.len() > 1 || call.wasted_picousd != Money::ZERO { format!(" = {}", causes.join(" + ")) } else { String::new() };
    let ledger = match (call.confirmed, call.ledger_picousd == call.cost_picousd) {
        (true, true) => String::new(),
        (confirmed, _) => format!("; the gateway's ledger {} {}", if confirmed { "has" } else { "presumes" }, usd(call.ledger_picousd)),
    };
    format!("{usage}: {}{parts}{ledger}", usd(call.cost_picousd))
}

fn end(request: &RequestRow) -> String {
    match request.outcome.as_str() {
        "served" if request.answered_by == request.model => format!("served by {}, as asked", request.answered_by),
        "served" => format!("served by {}, not by {} as asked", request.answered_by, request.model),
        "cached" => format!("served from the response cache; when it was made the answer cost {}", usd(request.cache_saved_picousd)),
        "shared" => "served with the answer to an identical request".to_owned(),
        "abandoned" => "the client has left".to_owned(),
        other => format!("{other}: {}", request.why),
    }
}

fn sum(request: &RequestRow, calls: &[CallRow]) -> String {
    if calls.is_empty() {
        return "It cost nothing: no provider was called.".to_owned();
    }
    let base: Money = calls.iter().map(|call| call.base_picousd).sum();
    let cost = format!("It cost {} in {}", usd(request.cost_picousd), counted(request.calls, "call"));
    if base == request.cost_picousd {
        return format!("{cost}: what was delivered, at the price of the model asked for.");
    }
    format!("{cost}; what was delivered is worth {} at the model asked for.", usd(base))
}

/// `+0`, `+512 ms`.
fn plus(ns: u64) -> String {
    format!("+{}", latency(Span(ns)))
}

/// An instant in UTC to the millisecond.
fn instant(ns: u64) -> String {
    let instant = jiff::Timestamp::from_nanosecond(ns.into());
    instant.map_or_else(|_| format!("{ns} ns after 1970"), |instant| instant.strftime("%Y-%m-%d %H:%M:%S%.3f UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_without_a_call_costs_nothing() {
        let request = RequestRow {
            variant: "capped".to_owned(),
            request: 3,
            key: "intern".to_owned(),
            team: "red".to_owned(),
            model: "gpt-4o".to_owned(),
            input_tokens: 1_200,
            outcome: "refused".to_owned(),
            why: "the limit of key intern, 100 requests in 1 min is used up".to_owned(),
            ..RequestRow::default()
        };
        insta::assert_snapshot!(story(&request, &[]), @"");
    }
}
