//! What the field report claims beside what the scenarios come to: the table of `scenarios/README.md`, held to the runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use serde_json::Value;

/// One variant of one scenario.
struct Found<'a>(&'a Value);

impl Found<'_> {
    fn run(&self) -> &Value {
        &self.0["runs"][0]
    }

    fn bill(&self) -> f64 {
        dollars(&self.run()["bill"])
    }

    /// A part of the bill.
    fn cause(&self, cause: &str) -> f64 {
        dollars(&self.run()["cause"][cause])
    }

    fn calls_of_one_request(&self) -> u64 {
        self.run()["largest"]["calls_of_one_request"].as_u64().unwrap()
    }

    fn answered(&self) -> f64 {
        let requests = &self.run()["requests"];
        let count = |key: &str| requests[key].as_f64().unwrap();
        (count("served") + count("cached") + count("shared")) / count("arrived")
    }
}

fn dollars(value: &Value) -> f64 {
    value.as_str().unwrap_or_else(|| panic!("dollars: {value}")).parse().unwrap()
}

/// How much more one is than the other, in per cent.
fn change(now: &Found, before: &Found) -> String {
    format!("{:+.1} %", (now.bill() / before.bill() - 1.0) * 100.0)
}

/// The table, a line a claim: the scenario, the claim, the result, the reason.
fn table(reports: &BTreeMap<String, Value>) -> String {
    let variants = |scenario: &str| reports[scenario]["variants"].as_array().unwrap().iter().map(Found).collect::<Vec<_>>();
    let mut table = "| scenario | the field report claims | the scenario comes to | why |\n|---|---|---|---|\n".to_owned();
    let mut row =
        |scenario: &str, claim: &str, found: String, why: &str| writeln!(table, "| `{scenario}.toml` | {claim} | {found} | {why} |").unwrap();

    let [five, three, cap, budget, last, fits] = &variants("retry_multiplication")[..] else { panic!("six variants") };
    row(
        "retry_multiplication",
        "three retries with five models: up to 15 calls; with three, 12",
        format!(
            "{} calls, and {}; ${:.2} an hour, ${:.2} with one cap of {}, ${:.2} with a retry budget, ${:.2} without retries of time-outs, and the same \
             with a time-out that fits, which is {:.1} times less",
            five.calls_of_one_request(),
            three.calls_of_one_request(),
            five.bill(),
            cap.bill(),
            cap.calls_of_one_request(),
            budget.bill(),
            last.bill(),
            five.bill() / fits.bill()
        ),
        "each model is called once and then three times more: (1 + 3) x 5. Only what is billed and not delivered costs: time-outs here; a 429 is free",
    );
    let [climb, hop, ceiling, _] = &variants("fallback_escalation")[..] else { panic!("four variants") };
    row(
        "fallback_escalation",
        "six hours of 429s, fallbacks from `gpt-4o-mini` up to `claude-3-opus`: $2,300 in a weekend, ten times the bill",
        format!(
            "${:.2} for the day, {:.1} times what `gpt-4o-mini` would have cost; ${:.2} under a price ceiling, with all answered; with `gpt-4o` alone ${:.2} \
             and {:.1} % answered",
            climb.bill(),
            climb.bill() / climb.cause("base"),
            ceiling.bill(),
            hop.bill(),
            hop.answered() * 100.0
        ),
        "at one request a second. The factor is 16.7 at `gpt-4o` and 111 at `claude-3-opus`, for the six hours only; how many of them get that far depends \
         on the limits between. $2,300 takes 340,000 such requests in six hours at `gpt-4o`, or 51,000 at `claude-3-opus`",
    );
    let [off, short, hour] = &variants("cache_off")[..] else { panic!("three variants") };
    row(
        "cache_off",
        "34 % of requests repeat within the hour: $400 a day become $180, 55 % less",
        format!("${:.2} become ${:.2}: {}; with a lifetime of 5 min {}", off.bill(), hour.bill(), change(hour, off), change(short, off)),
        "duplicates that cost what others cost save their share. 55 % takes duplicates that cost 1.6 times the average, or a prompt cache for the rest",
    );
    let [plain, minutes, kept] = &variants("prompt_cache")[..] else { panic!("three variants") };
    row(
        "prompt_cache",
        "",
        format!("{} where it is kept for an hour, {} where for five minutes", change(kept, plain), change(minutes, plain)),
        "the next turn comes after ten minutes: what was written for five, at 1.25 times the price, nobody reads",
    );
    let [none, after, estimate, reserve, rpm, detector, cached] = &variants("runaway_loop")[..] else { panic!("seven variants") };
    row(
        "runaway_loop",
        "4,000 calls a minute for 12 minutes: $847; with $50 a day and 100 requests a minute about $0.80",
        format!(
            "${:.2}; with $50 a day ${:.2} if spend is counted after the answer, ${:.2} if estimated, ${:.2} if reserved; ${:.2} with 100 requests a minute, \
             ${:.2} with a loop detector, ${:.2} with a response cache",
            none.bill(),
            after.bill(),
            estimate.bill(),
            reserve.bill(),
            rpm.bill(),
            detector.bill(),
            cached.bill()
        ),
        "about $5 of each is other traffic. $847 needs 765 tokens of output a call. 100 requests a minute for 12 minutes are 1,300 calls, $22.95; $0.80 does \
         not follow. Counted after the answer, 670 calls are under way when the budget ends",
    );
    let [ignore, _, cancel, bedrock, _, bedrock_cancel] = &variants("abandoned_streams")[..] else { panic!("six variants") };
    let unseen = |found: &Found| format!("{:.1} %", found.cause("undelivered") / found.bill() * 100.0);
    row(
        "abandoned_streams",
        "23 % of spend is never seen by anybody; under 2 % if streams are cancelled",
        format!(
            "{} at Anthropic, {} if cancelled; {} at Bedrock, {} if cancelled",
            unseen(ignore),
            unseen(cancel),
            unseen(bedrock),
            unseen(bedrock_cancel)
        ),
        "if one stream in four is left after 50 of 2,000 tokens, for which there is no source. Bedrock goes on generating, and billing, whatever the gateway does",
    );
    let [as_configured, one, two, cache, key, streams, all] = &variants("five_traps")[..] else { panic!("seven variants") };
    let alone = [one, two, cache, key, streams];
    let sum: f64 = alone.iter().map(|cure| as_configured.bill() - cure.bill()).sum();
    row(
        "five_traps",
        "",
        format!(
            "${:.2} a month; two attempts {}, price ceiling {}, response cache {}, budget {}, cancelled streams {}; all five {}",
            as_configured.bill(),
            change(one, as_configured),
            change(two, as_configured),
            change(cache, as_configured),
            change(key, as_configured),
            change(streams, as_configured),
            change(all, as_configured)
        ),
        &format!(
            "alone they save ${sum:.2}, together ${:.2}: a fallback that is never made needs no ceiling, and the cache stops the loop that the budget would",
            as_configured.bill() - all.bill()
        ),
    );
    let [retries, fallback, breaker, _] = &variants("outage_day")[..] else { panic!("four variants") };
    row(
        "outage_day",
        "",
        format!(
            "{:.1} % answered with retries only, {:.1} % with a fallback to another provider, for {}; a breaker saves the calls to who is down, not dollars ({})",
            retries.answered() * 100.0,
            fallback.answered() * 100.0,
            change(fallback, retries),
            change(breaker, retries)
        ),
        "for an outage another provider is right; for 429s it moves the cost",
    );
    let [storm, budgeted] = &variants("retry_storm")[..] else { panic!("two variants") };
    row(
        "retry_storm",
        "",
        format!(
            "{:.1} % answered and ${:.2} wasted in the hour; with a retry budget {:.1} % and ${:.2}",
            storm.answered() * 100.0,
            storm.cause("wasted"),
            budgeted.answered() * 100.0,
            budgeted.cause("wasted")
        ),
        "three attempts keep the provider busy with calls that nobody waits for any more, long after what slowed it down is over",
    );
    table
}

/// Fails if the README has another table.
#[track_caller]
pub(super) fn check(reports: &BTreeMap<String, Value>) {
    let table = table(reports);
    let readme = fs::read_to_string(super::scenarios().join("README.md")).unwrap();
    assert!(readme.contains(&table), "scenarios/README.md has another table than the runs give; paste this one:\n{table}");
}
