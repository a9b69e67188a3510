//! What clients do on their own, live as in a simulation: sessions that wait for their answers, deadlines that the gateway is told; and a gateway
//! that is gone in the middle, which its providers bill all the same.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::ledger::calls;
use super::processes::{PROGRAM, Twin, World, picodollars};

/// Two sessions of five requests, a second apart in the traffic. Answers take three seconds, but one of the second session eleven.
const SESSIONS: &str = "\
at,session,input_tokens,output_tokens
2026-01-05T00:00:00Z,a,100,20
2026-01-05T00:00:00.5Z,b,100,20
2026-01-05T00:00:01Z,a,100,20
2026-01-05T00:00:01.5Z,b,100,20
2026-01-05T00:00:02Z,a,100,20
2026-01-05T00:00:02.5Z,b,100,100
2026-01-05T00:00:03Z,a,100,20
2026-01-05T00:00:03.5Z,b,100,20
2026-01-05T00:00:04Z,a,100,20
2026-01-05T00:00:04.5Z,b,100,20
";

/// Clients that wait for seven seconds.
const WAITING: &str = r#"
[traffic]
trace = "traffic.csv"
model = "small"
deadline = "7s"
[clients]
closed_loop = true
on_failure = "stop"
[world]
ttft = "1s"
tokens_per_second = 10
[gateway.models.small]
deployments = [{ id = "mini", provider = "openai", model = "gpt-4o-mini" }]
"#;

/// All is answered by another model than asked for, which counts more tokens.
const COUNTED: &str = r#"
seed = 7
[traffic]
model = "small"
unknown_keys = "add"
[traffic.synthetic]
duration = "40s"
rate = "5/s"
input_tokens = { p50 = 300, p95 = 1200 }
output_tokens = { p50 = 60, p95 = 200 }
[traffic.overlay]
stream = 0.5
[[tokens]]
from = "gpt-4o-mini"
to = "claude-3-haiku"
input = 1.31
output = 1.17
[world.models.small]
chances = [{ share = 1.0, status = 500 }]
[gateway.models.small]
deployments = [{ id = "mini", provider = "openai", model = "gpt-4o-mini" }]
fallbacks = ["haiku"]
[gateway.models.haiku]
deployments = [{ id = "haiku", provider = "anthropic", model = "claude-3-haiku" }]
"#;

/// Answers that take long, whole and streamed.
const SLOW: &str = r#"
[traffic]
model = "small"
unknown_keys = "add"
[traffic.synthetic]
duration = "60s"
rate = "10/s"
input_tokens = { p50 = 300, p95 = 1200 }
output_tokens = { p50 = 200, p95 = 400 }
[traffic.overlay]
stream = 0.5
[world]
ttft = "1s"
tokens_per_second = 50
[gateway.models.small]
deployments = [{ id = "mini", provider = "openai", model = "gpt-4o-mini" }]
"#;

fn twin<'a>(scenario: &'a str, trace: &'a str, speed: u32) -> Twin {
    Twin::start(World { program: Path::new(PROGRAM), scenario, trace, speed, seed: 7 })
}

#[test]
fn sessions_wait_for_their_answers_and_end_where_a_deadline_passes_as_in_a_simulation() {
    let mut twin = twin(WAITING, SESSIONS, 10);
    let tally = twin.load(None);
    let users = &twin.forecast()["runs"][0]["users"];
    assert_eq!((&tally["users"], &tally["served"], &tally["not_sent"]), (&8.into(), &7.into(), &2.into()), "{tally:#}");
    assert_eq!((&users["answered"], &users["failed"], &users["not_sent"]), (&7.into(), &1.into(), &2.into()), "{users:#}");
    assert_eq!(tally["failed"], serde_json::json!({"504": 1}), "the gateway has heard of the deadline");
    twin.stop();

    // The row of the traffic that a call is for is in its trace.
    let mut ended: BTreeMap<u64, u64> = BTreeMap::new();
    let mut calls = twin.calls();
    calls.sort_by_key(|call| call["at"].as_u64());
    for call in calls {
        let row = u64::from_str_radix(&call["trace"].as_str().unwrap()[16..], 16).unwrap();
        let before = ended.insert(row % 2, call["ended_at"].as_u64().unwrap());
        assert!(before.is_none_or(|before| before <= call["at"].as_u64().unwrap()), "row {row} has not waited: {call}");
    }
}

#[test]
fn a_model_that_counts_other_tokens_bills_them_as_in_a_simulation() {
    let mut twin = twin(COUNTED, "", 20);
    let tally = twin.load(None);
    let bill = twin.bill();
    assert_eq!((&tally["served"], &tally["other_model"]), (&tally["users"], &tally["users"]), "{tally:#}");
    assert_eq!(picodollars(&bill["usd"]), picodollars(&twin.forecast()["bill"]["mean"]));
    twin.stop();
}

#[test]
fn what_a_gateway_has_called_is_billed_though_it_is_killed() {
    let mut twin = twin(SLOW, "", 2);
    let loading = twin.load_meanwhile();
    // Some have ended by now, and more are under way.
    twin.wait_for_calls(10);
    twin.kill();
    drop(loading);
    twin.bill();
    let mut closed: Vec<Value> = twin.calls();
    let known = calls(&twin.journal());
    assert!(closed.iter().all(|line| known.contains(&span(line))), "no call leaves before it is in the journal");
    closed.retain(|line| line["ended"] == "closed");
    for stream in [true, false] {
        let of_kind: Vec<_> = closed.iter().filter(|line| line["stream"] == stream).collect();
        assert!(!of_kind.is_empty(), "streams: {stream}");
        // Whoever closes a plain call is billed for all of it, and a stream is billed for what was generated.
        assert!(of_kind.iter().all(|line| line["usage"]["input"].as_u64() > Some(0)), "{of_kind:#?}");
        assert!(stream || of_kind.iter().all(|line| line["usage"]["output"].as_u64() > Some(0)), "{of_kind:#?}");
    }
}

/// The number of the request that a line of the bill is about.
fn span(line: &Value) -> u64 {
    u64::from_str_radix(line["parent"].as_str().unwrap(), 16).unwrap() - 1
}
