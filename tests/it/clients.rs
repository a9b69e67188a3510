//! Clients that retry, as a reader of the report meets them: requests of the gateway apart from users.

use crate::cli::{Home, SCENARIO};

#[test]
fn users_are_counted_apart_from_the_requests_that_their_clients_make_of_them() {
    let home = Home::new();
    // The first request of mini fails three times and is given up; then one fails once. The dear model is never down.
    let world = "[world]\npreset = \"ledger\"\n[world.deployments.mini]\nscript = [{ status = 500, times = 3 }, {}, { status = 503 }]\n";
    let clients = "[clients]\nsdk = \"anthropic\"\n";
    let scenario = SCENARIO.replace("[world]\npreset = \"ledger\"\n", &format!("{clients}{world}"));
    home.write("scenario.toml", scenario.split("[[variant]]").next().unwrap());
    let output = home.output(&["run", "scenario.toml", "--set", "attempts.per_request=1"]);
    let shown = String::from_utf8(output.stdout).unwrap();
    let has = |line: &str| assert!(shown.contains(line), "{line}\n{shown}{}", String::from_utf8_lossy(&output.stderr));
    has("five requests: five.csv, 5 requests in 2 min, recorded");
    has("as configured: in 8 = served 4 + cached 0 + refused 0 + failed 4 + abandoned 0\n   failed: internal 3, unavailable 1\n");
    has("   users: 5 = answered 4 + refused 0 + failed 1 + abandoned 0 + not sent 0; 3 more requests by\n    their clients\n");
    has("80.0 %");
    has(
        "Assumed: client retries up to 2, of 408, 409, 429 and 5xx, after 500 ms doubling to 8.0 s, less up\n    to 25.0 %; a Retry-After above 60.0 s is ignored; time-out 10 min [anthropic-sdk-python: P]",
    );

    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(home.path().join("reports/five-requests/report.json")).unwrap()).unwrap();
    let users = &json["variants"][0]["runs"][0]["users"];
    let counts = ["calls", "answered", "failed", "not_sent", "retries"].map(|name| users[name].as_u64().unwrap());
    assert_eq!(counts, [5, 4, 1, 0, 3]);
    // Answers take no time here: who waited, waited for the one retry, 0.5 s less up to a quarter.
    let longest = users["latency"]["max_us"].as_u64().unwrap();
    assert!((375_000..=500_000).contains(&longest), "{longest}");
}

#[test]
fn without_clients_of_their_own_mind_there_is_nobody_to_tell_of() {
    let home = Home::new();
    let output = home.output(&["run", "scenario.toml", "--format", "json"]);
    let json = String::from_utf8(output.stdout).unwrap();
    assert!(!json.contains("users") && !json.contains("client"), "{json}");
}
