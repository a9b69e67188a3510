//! The story of one request in plain words, and the list of the dearest ones. Decides wording; the facts are those of its rows.

use super::numbers::{count, counted, latency, usd};
use super::requests::{CallRow, RequestRow};
use super::table::{Lines, note};
use crate::gateway::money::Money;
use crate::gateway::time::Span;

/// The widest line, and where a line of the story begins after the time.
const COLUMNS: usize = 100;
const INDENT: usize = 12;

/// Tells what happened to a request and why it cost what it cost; ends with a line break.
pub fn story(request: &RequestRow, calls: &[CallRow]) -> String {
    let mut text = String::new();
    note(&mut text, "", &format!("Request {} in `{}`: {}.", request.name(), request.variant, asks(request)));
    at(&mut text, Some(0), &format!("arrives, {}", instant(request.arrived_ns)));
    for event in request.notes.lines() {
        at(&mut text, None, event);
    }
    for call in calls {
        at(&mut text, Some(call.start_ns.saturating_sub(request.arrived_ns)), &tells(call));
        at(&mut text, None, &bills(call));
    }
    at(&mut text, Some(request.latency_ns), &end(request));
    note(&mut text, "", &sum(request, calls));
    text
}

/// The dearest requests of one variant, the dearest first.
pub fn worst(requests: &[RequestRow]) -> String {
    let mut text = String::new();
    if let Some(first) = requests.first() {
        note(&mut text, "", &format!("The dearest requests in `{}`:", first.variant));
    }
    let mut table = Lines::new("request", ["$", "calls", "outcome", "answered by", "asked for", "key", "latency"].into_iter());
    for request in requests {
        let cells = [
            usd(request.cost_picousd),
            count(request.calls),
            request.outcome.clone(),
            if request.answered_by.is_empty() { "-".to_owned() } else { request.answered_by.clone() },
            request.model.clone(),
            request.key.clone(),
            latency(Span(request.latency_ns)),
        ];
        table.add(&request.name().to_string(), cells.into_iter());
    }
    text + &table.render()
}

/// Adds what happened so long after the arrival, or at the same time as what was told before.
fn at(to: &mut String, since: Option<u64>, what: &str) {
    let when = since.map_or_else(String::new, |ns| format!("+{}", latency(Span(ns))));
    let mut line = format!("{when:>width$}  ", width = INDENT - 2);
    let mut is_empty = true;
    for word in what.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            to.push_str(&line);
            to.push('\n');
            line = " ".repeat(INDENT + 2);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    to.push_str(&line);
    to.push('\n');
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
    let waited = if call.waited_ns == 0 { String::new() } else { format!(", after waiting {}", latency(Span(call.waited_ns))) };
    let ended = match call.ended.as_str() {
        "delivered" => format!("delivered {} in {}", counted(call.delivered_tokens, "token"), call.took()),
        "failed" => format!("failed with {} after {}", call.failure, call.took()),
        other => format!("{other} after {}", call.took()),
    };
    format!("call {}, {}: {on}{why}{waited}: {ended}", call.call, call.position)
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
    let causes: Vec<String> =
        call.causes().into_iter().filter(|(_, amount)| *amount != Money::ZERO).map(|(name, amount)| format!("{name} {}", usd(amount))).collect();
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
    if request.cost_picousd == Money::ZERO {
        let which =
            if calls.len() == 1 { "its only call was not billed".to_owned() } else { format!("none of its {} calls was billed", calls.len()) };
        return format!("It cost nothing: {which}.");
    }
    let base: Money = calls.iter().map(|call| call.base_picousd).sum();
    let cost = format!("It cost {} in {}", usd(request.cost_picousd), counted(request.calls, "call"));
    if base == request.cost_picousd {
        return format!("{cost}: what was delivered, at the price of the model asked for.");
    }
    format!("{cost}; what was delivered is worth {} at the model asked for.", usd(base))
}

/// An instant in UTC to the millisecond.
/// An instant in nanoseconds since 1970, as people read it.
pub fn instant(ns: u64) -> String {
    let instant = jiff::Timestamp::from_nanosecond(ns.into());
    instant.map_or_else(|_| format!("{ns} ns after 1970"), |instant| instant.strftime("%Y-%m-%d %H:%M:%S%.3f UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> RequestRow {
        RequestRow {
            variant: "capped".to_owned(),
            request: 3,
            arrived_ns: 1_700_000_000_123_000_000,
            key: "intern".to_owned(),
            team: "red".to_owned(),
            model: "gpt-4o".to_owned(),
            input_tokens: 1_200,
            max_tokens: Some(800),
            ..RequestRow::default()
        }
    }

    #[test]
    fn a_refusal_says_whose_limit_it_was_and_costs_nothing() {
        let why = "the limit of key intern, 100 requests in 1 min is used up";
        let refused = RequestRow { outcome: "refused".to_owned(), why: why.to_owned(), max_tokens: None, ..request() };
        insta::assert_snapshot!(story(&refused, &[]), @r"
        Request 3 in `capped`: key intern of team red asks for gpt-4o with 1,200 input tokens, states no
            max_tokens.
                +0  arrives, 2023-11-14 22:13:20.123 UTC
                +0  refused: the limit of key intern, 100 requests in 1 min is used up
        It cost nothing: no provider was called.
        ");
    }

    #[test]
    fn every_call_is_told_with_its_reason_its_wait_and_its_dollars() {
        let ms = |ms: u64| ms * 1_000_000;
        let first = CallRow {
            call: 1,
            position: "first".to_owned(),
            deployment: "large".to_owned(),
            provider: "openai".to_owned(),
            provider_model: "gpt-4o".to_owned(),
            start_ns: request().arrived_ns,
            end_ns: request().arrived_ns + ms(150),
            ended: "failed".to_owned(),
            failure: "rate_limited".to_owned(),
            confirmed: true,
            ..CallRow::default()
        };
        let second = CallRow {
            call: 2,
            position: "fallback".to_owned(),
            why: "the call before failed with rate_limited".to_owned(),
            deployment: "sonnet".to_owned(),
            provider: "anthropic".to_owned(),
            provider_model: "claude-3-5-sonnet".to_owned(),
            start_ns: request().arrived_ns + ms(662),
            end_ns: request().arrived_ns + ms(2_000),
            waited_ns: ms(512),
            ended: "delivered".to_owned(),
            failure: String::new(),
            input_tokens: 1_200,
            output_tokens: 100,
            delivered_tokens: 100,
            cost_picousd: Money(5_100_000_000),
            base_picousd: Money(4_000_000_000),
            premium_of_place_picousd: Money(1_100_000_000),
            ledger_picousd: Money(5_100_000_000),
            ..first.clone()
        };
        let served = RequestRow {
            outcome: "served".to_owned(),
            answered_by: "claude-3-5-sonnet".to_owned(),
            calls: 2,
            latency_ns: ms(2_000),
            cost_picousd: Money(5_100_000_000),
            ..request()
        };
        insta::assert_snapshot!(story(&served, &[first, second]), @r"
        Request 3 in `capped`: key intern of team red asks for gpt-4o with 1,200 input tokens, max_tokens
            800.
                +0  arrives, 2023-11-14 22:13:20.123 UTC
                +0  call 1, first: large (gpt-4o at openai): failed with rate_limited after 150 ms
                    free: nothing was billed
           +662 ms  call 2, fallback: sonnet (claude-3-5-sonnet at anthropic), because the call before
                      failed with rate_limited, after waiting 512 ms: delivered 100 tokens in 1.3 s
                    1,200 in, 100 out: $0.00510 = base $0.00400 + premium of place $0.00110
            +2.0 s  served by claude-3-5-sonnet, not by gpt-4o as asked
        It cost $0.00510 in 2 calls; what was delivered is worth $0.00400 at the model asked for.
        ");
    }
}
