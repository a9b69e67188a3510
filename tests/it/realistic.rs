//! The fallback to a larger model in a ledger world and in a realistic one, and what lies between: `scenarios/README.md` is held to the runs.
//!
//! The ledger's dollars are held to the figure that was computed without gwsim. From there each difference is switched on alone, after those before
//! it, and as the last of all; with all of them on, the ledger scenario is the realistic one to the last picodollar.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const README: &str = include_str!("../../scenarios/README.md");

/// What the two scenarios differ in, in the order of the table: what is switched on, and the settings of `fallback_ledger.toml` that do it.
const DIFFERENCES: [(&str, &[&str]); 7] = [
    ("clients state `max_tokens = 500`, answers end there", &["traffic.max_tokens=500"]),
    ("limits count max_tokens, not what is used", &["world.providers.openai.limits.basis='max_tokens'"]),
    ("rejected calls count", &["world.providers.openai.limits.rejects_count=true"]),
    (
        "answers take time",
        &[
            "world.models.'gpt-4o-mini'.ttft={p50='150ms',p95='400ms'}",
            "world.models.'gpt-4o-mini'.tokens_per_second=80",
            "world.models.'gpt-4o'.ttft={p50='390ms',p95='1092ms'}",
            "world.models.'gpt-4o'.tokens_per_second=81",
        ],
    ),
    ("the clients' library retries twice", &["clients.sdk='openai'"]),
    ("`gpt-4o` has its limits, too", &["world.models.'gpt-4o'.limits={rpm=500,tpm=30_000}"]),
    ("`gpt-4o-mini` has a limit a day", &["world.models.'gpt-4o-mini'.limits.rpd=10_000"]),
];
const MAX_TOKENS: usize = 0;
const BASIS: usize = 1;
const REJECTS_COUNT: usize = 2;
const LATENCY: usize = 3;
const RETRIES: usize = 4;
const LARGE_LIMITS: usize = 5;
const A_DAY: usize = 6;

/// What a variant came to under one seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Outcome {
    picodollars: i64,
    rejected: i64,
    /// Users, not requests: one that a library sent three times counts once.
    answered: i64,
    users: i64,
    /// Answers of the large model, and what the calls to it cost.
    elsewhere: i64,
    elsewhere_picodollars: i64,
}

impl Outcome {
    fn of(run: &Value) -> Self {
        let count = |value: &Value| value.as_i64().unwrap_or_else(|| panic!("a count: {value}"));
        let requests = &run["requests"];
        let (answered, users) = match &run["users"] {
            Value::Null => (&requests["served"], &requests["arrived"]),
            users => (&users["answered"], &users["calls"]),
        };
        let picodollars = |value: &Value| value.as_str().unwrap_or_else(|| panic!("dollars: {value}")).replace('.', "").parse().unwrap();
        Self {
            picodollars: picodollars(&run["bill"]),
            rejected: count(&run["calls"]["rate_limited"]),
            answered: count(answered),
            users: count(users),
            elsewhere: count(&requests["other_model"]),
            elsewhere_picodollars: picodollars(&run["by_position"]["fallback"]),
        }
    }

    /// Dollars, 429s and the share of users that got an answer.
    fn shown(&self) -> String {
        let per_mille = (self.answered * 1000 + self.users / 2) / self.users;
        format!("{}, {}, {}.{} %", dollars(self.picodollars), thousands(self.rejected), per_mille / 10, per_mille % 10)
    }

    /// What it has more than `before`, in dollars and 429s.
    fn more_than(&self, before: &Self) -> String {
        let sign = |more: i64| if more > 0 { "+" } else { "" };
        let (picodollars, rejected) = (self.picodollars - before.picodollars, self.rejected - before.rejected);
        if (picodollars, rejected) == (0, 0) {
            return "0, 0".to_owned();
        }
        format!("{}{}, {}{}", sign(picodollars), dollars(picodollars), sign(rejected), thousands(rejected))
    }
}

/// Dollars, rounded to cents.
fn dollars(picodollars: i64) -> String {
    let cents = (picodollars.abs() + 5_000_000_000) / 10_000_000_000;
    format!("{}{}.{:02}", if picodollars < 0 { "-" } else { "" }, cents / 100, cents % 100)
}

fn thousands(count: i64) -> String {
    let sign = if count < 0 { "-" } else { "" };
    match count.abs() {
        small @ 0..1000 => format!("{sign}{small}"),
        large => format!("{sign}{},{:03}", large / 1000, large % 1000),
    }
}

/// The variants of a scenario of `scenarios`, each under seed 1.
#[track_caller]
fn run(scenario: &str, sets: &[&str]) -> Vec<Outcome> {
    let reports = tempfile::tempdir().unwrap();
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(scenario);
    let mut command = Command::new(env!("CARGO_BIN_EXE_gwsim"));
    command.arg("run").arg(&scenario).args(["--format", "json", "--out"]).arg(reports.path());
    for set in sets {
        command.args(["--set", set]);
    }
    let output = command.output().unwrap();
    // What the file expects of itself need not hold of what is changed in it: 3.
    let exit = output.status.code();
    assert!(matches!(exit, Some(0 | 3)), "{} {sets:?}: {}", scenario.display(), String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    report["variants"].as_array().unwrap().iter().map(|variant| Outcome::of(&variant["runs"][0])).collect()
}

/// The ledger scenario with some of the differences.
#[track_caller]
fn with(is_on: impl Fn(usize) -> bool) -> Outcome {
    let sets: Vec<&str> = (0..DIFFERENCES.len()).filter(|place| is_on(*place)).flat_map(|place| DIFFERENCES[place].1).copied().collect();
    run("fallback_ledger.toml", &sets)[0]
}

/// All runs of the table. `alone`: beside the stated max_tokens, without which a limit has none to count.
struct Ladder {
    ledger: Outcome,
    alone: Vec<Outcome>,
    in_order: Vec<Outcome>,
    without: Vec<Outcome>,
    realistic: Outcome,
    as_configured: Outcome,
}

impl Ladder {
    fn climb() -> Self {
        let places = || 0..DIFFERENCES.len();
        let [realistic, as_configured] = run("fallback_realistic.toml", &["seeds=1"])[..] else { panic!("two variants") };
        Self {
            ledger: with(|_| false),
            alone: places().map(|on| with(|place| place == MAX_TOKENS || place == on)).collect(),
            in_order: places().map(|last| with(|place| place <= last)).collect(),
            without: places().map(|off| with(|place| place != off)).collect(),
            realistic,
            as_configured,
        }
    }

    /// The table of `scenarios/README.md`.
    fn table(&self) -> String {
        let mut table = "| switched on | alone | after those above | which makes | as the last of all |\n|---|---|---|---|---|\n".to_owned();
        writeln!(table, "| nothing: `fallback_ledger.toml` | | | {} | |", self.ledger.shown()).unwrap();
        for (place, (what, _)) in DIFFERENCES.iter().enumerate() {
            let (alone_before, before) = match place.checked_sub(1) {
                None => (&self.ledger, &self.ledger),
                Some(before) => (&self.alone[MAX_TOKENS], &self.in_order[before]),
            };
            let (alone, now) = (&self.alone[place], &self.in_order[place]);
            let last = self.realistic.more_than(&self.without[place]);
            writeln!(table, "| {what} | {} | {} | {} | {last} |", alone.more_than(alone_before), now.more_than(before), now.shown()).unwrap();
        }
        let own = self.as_configured.more_than(&self.realistic);
        writeln!(table, "| the gateway as configured: a cooldown of 5 s | | {own} | {} | |", self.as_configured.shown()).unwrap();
        table
    }
}

/// What the ledger's world refuses of the trace, counted without gwsim (`README.md` of the shared traces): by a bucket, and by minutes.
struct Counted {
    model: &'static str,
    /// Requests and tokens a minute.
    limits: (u32, u32),
    what: &'static str,
    rejected: [&'static str; 2],
    /// Dollars, if the large model answers what the small one refuses.
    paid: [&'static str; 2],
}

const COUNTED: [Counted; 4] = [
    Counted {
        model: "gpt-4o-mini",
        limits: (500, 200_000),
        what: "`gpt-4o-mini` at tier 1: 500 requests, 200,000 tokens a minute",
        rejected: ["3,280", "5,063"],
        paid: ["26.918402250", "29.065404550"],
    },
    Counted { model: "gpt-4o", limits: (500, 30_000), what: "`gpt-4o` at tier 1: 500, 30,000", rejected: ["6,648", "7,942"], paid: [""; 2] },
    Counted { model: "gpt-4o", limits: (5_000, 450_000), what: "`gpt-4o` at tier 2: 5,000, 450,000", rejected: ["811", "2,336"], paid: [""; 2] },
    Counted { model: "gpt-4o", limits: (5_000, 800_000), what: "`gpt-4o` at tier 3: 5,000, 800,000", rejected: ["8", "558"], paid: [""; 2] },
];

#[test]
fn what_the_ledger_refuses_is_what_was_counted_without_gwsim() {
    for Counted { model, limits: (requests, tokens), what, rejected, paid } in COUNTED {
        let found = ["bucket", "start"].map(|window| {
            let limits = format!("world.models.'{model}'.limits={{rpm={requests},tpm={tokens},window='{window}'}}");
            run("fallback_ledger.toml", &[&format!("traffic.model={model}"), &limits])[0]
        });
        assert_eq!(found.map(|outcome| thousands(outcome.rejected)), rejected, "{what}");
        for (outcome, paid) in found.iter().zip(paid).filter(|(_, paid)| !paid.is_empty()) {
            // Nine decimals have the last digit that is not 0.
            let nanodollars: i64 = paid.replace('.', "").parse().unwrap();
            assert_eq!(outcome.picodollars, nanodollars * 1_000, "{what}");
        }
        let paid = paid.map(|paid| if paid.is_empty() { String::new() } else { format!("{paid} ") });
        let row = format!("| {what} | {} | {} | {}| {}|\n", rejected[0], rejected[1], paid[0], paid[1]);
        assert!(README.contains(&row), "scenarios/README.md lacks:\n{row}");
    }
}

#[test]
fn a_fallback_by_the_ledger_and_in_a_realistic_world() {
    let ladder = Ladder::climb();
    let (alone, without, realistic) = (&ladder.alone, &ladder.without, ladder.realistic);

    // Computed without gwsim, as the golden scenario is: nothing of the text below it rests on gwsim's word alone.
    assert_eq!((ladder.ledger.picodollars, ladder.ledger.rejected), (26_918_402_250_000, 3_280));
    assert_eq!(*ladder.in_order.last().unwrap(), realistic, "the table names every difference");

    // What the text says of the table.
    let stated = alone[MAX_TOKENS];
    for place in [REJECTS_COUNT, LATENCY, RETRIES, A_DAY] {
        assert_eq!(alone[place], stated, "{}: nothing, while every 429 ends in an answer of the large model", DIFFERENCES[place].0);
    }
    let costs_alone = |place: &usize| alone[*place].picodollars > stated.picodollars;
    assert_eq!((0..DIFFERENCES.len()).filter(costs_alone).collect::<Vec<_>>(), [BASIS]);
    let many_requests = run("fallback_ledger.toml", &["world.models.'gpt-4o-mini'.limits.rpm=1_000_000"])[0];
    assert_eq!(many_requests, ladder.ledger, "it is tokens that run out");
    assert_eq!(ladder.in_order[RETRIES].answered, stated.users, "nobody goes without, so nobody retries");
    assert!(ladder.in_order[LARGE_LIMITS].answered < stated.users, "the large model can't take what the small one refuses");
    let share = |outcome: &Outcome| outcome.elsewhere as f64 / outcome.answered as f64;
    let dear = |outcome: &Outcome| outcome.elsewhere_picodollars / outcome.elsewhere;
    assert!(share(&realistic) < share(&ladder.ledger) && dear(&realistic) < dear(&ladder.ledger), "what fits the large model is short");
    assert!(realistic.rejected > 2 * without[RETRIES].rejected, "retries are most of the 429s");
    assert!(realistic.answered < without[RETRIES].answered, "and fewer users are answered than without them");
    assert!(realistic.answered < without[A_DAY].answered && realistic.answered < without[REJECTS_COUNT].answered);
    assert!(ladder.as_configured.answered > realistic.answered && ladder.as_configured.rejected < realistic.rejected);

    let table = ladder.table();
    assert!(README.contains(&table), "scenarios/README.md has another table than the runs give; paste this one:\n{table}");
}
