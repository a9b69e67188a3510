//! Clients that send again, lose patience or wait for each other's answers, through the whole loop.

use std::sync::Arc;

use proptest::prelude::*;

use super::run::{faulty, groups, rows, traffic, variant};
use super::*;
use crate::gateway::command::{Command, KeySpec};
use crate::gateway::journal::Outcome;
use crate::gateway::plan::{Anchor, BudgetMode, BudgetSpec, BudgetWindow, Enforce, LimitKind, LimitSpec, OnShort, RetryBudget, TokenCount};
use crate::sim::client::{Clients, OnFailure};
use crate::sim::driver::{Driver, Variant};
use crate::sim::observe::{Context, Observer, Totals, UserEnd};
use crate::sim::world::Pace;
use crate::traffic::distribution::Distribution;
use crate::traffic::sdk::Sdk;
use crate::traffic::trace::{FirstSeen, NameId};

/// The requests that arrive, and how users end: (milliseconds, row, ..).
#[derive(Default, Debug, PartialEq)]
struct Seen {
    arrivals: Vec<(u64, u64)>,
    users: Vec<(u64, u64, &'static str, u32)>,
}

impl Observer for Seen {
    fn arrived(&mut self, now: Time, context: &Context) {
        self.arrivals.push((now.0 / 1_000_000, row(context)));
    }

    fn user(&mut self, now: Time, context: &Context, end: &UserEnd) {
        let outcome = match end.outcome {
            Outcome::Served { .. } | Outcome::Cached | Outcome::Shared => "answered",
            Outcome::Refused(_) => "refused",
            Outcome::Failed(_) => "failed",
            Outcome::Abandoned => "left",
        };
        self.users.push((now.0 / 1_000_000, row(context), outcome, end.retries));
    }
}

fn row(context: &Context) -> u64 {
    context.id.0 & 0xFFFF_FFFF_FFFF
}

/// The OpenAI library without jitter: retries after 0.5 s, 1 s, 2 s, ..
const EXACT: Sdk = Sdk { jitter_per_mille: 0, ..Sdk::OPENAI };

const ONE_ROW: &str = "at_s,input_tokens,output_tokens\n0,10,7\n";

fn with(mut variant: Variant, change: impl FnOnce(&mut Clients)) -> Variant {
    let mut clients = Clients::clone(&variant.clients);
    change(&mut clients);
    variant.clients = Arc::new(clients);
    variant
}

fn one(world: DeploymentWorld) -> Variant {
    variant(groups(&[("a", mini())]), vec![world])
}

/// Answers with these statuses, at once, and then well.
fn scripted(statuses: &[u16]) -> Variant {
    let step = |status: &u16| if *status == 200 { Step::OK } else { Step::status(*status) };
    one(DeploymentWorld { steps: statuses.iter().map(step).collect(), ..DeploymentWorld::ledger("a") })
}

/// Takes so long to the first token, and fails or not.
fn slow(first: Span, then: Step) -> Variant {
    one(DeploymentWorld { pace: Pace { first, ..Pace::INSTANT }, then, ..DeploymentWorld::ledger("a") })
}

fn run(variant: &Variant, batch: Batch) -> (Seen, Totals) {
    let mut driver = Driver::new(variant, 1, Seen::default()).unwrap();
    driver.feed(&Arc::new(batch)).unwrap();
    driver.finish()
}

#[track_caller]
fn check(variant: &Variant, text: &str, arrivals: &[(u64, u64)], users: &[(u64, u64, &'static str, u32)]) {
    let (seen, totals) = run(variant, rows(text));
    assert_eq!((seen.arrivals.as_slice(), seen.users.as_slice()), (arrivals, users), "{totals:?}");
    assert_eq!(totals.retried, users.iter().map(|user| u64::from(user.3)).sum::<u64>());
}

#[test]
fn a_client_library_asks_again_until_it_has_an_answer_or_no_retry_left() {
    let check = |statuses: &[u16], arrivals: &[(u64, u64)], users| {
        check(&with(scripted(statuses), |clients| clients.habits.sdk = Some(EXACT)), ONE_ROW, arrivals, users);
    };
    check(&[], &[(0, 0)], &[(0, 0, "answered", 0)]);
    check(&[500, 429], &[(0, 0), (500, 0), (1_500, 0)], &[(1_500, 0, "answered", 2)]);
    check(&[500, 429, 503, 200], &[(0, 0), (500, 0), (1_500, 0)], &[(1_500, 0, "failed", 2)]);
    check(&[400], &[(0, 0)], &[(0, 0, "failed", 0)]);
}

/// A uniform quarter is left out: the mean of n waits is 7/8 of the longest, with a standard error of 1/4 / sqrt(12 n) of it.
#[test]
fn waits_are_spread_over_the_last_quarter_of_their_step() {
    const USERS: usize = 1_000;
    let variant = with(slow(Span::ZERO, Step::status(503)), |clients| clients.habits.sdk = Some(Sdk { retries: 6, ..Sdk::OPENAI }));
    let (seen, _) = run(&variant, steady(USERS, 100_000));
    for (nth, longest) in (0..).zip([500.0, 1_000.0, 2_000.0, 4_000.0, 8_000.0, 8_000.0]) {
        // Rows are so far apart that each has all its tries before the next.
        let waits: Vec<f64> = seen.arrivals.chunks(7).map(|tries| (tries[nth + 1].0 - tries[nth].0) as f64 / longest).collect();
        // Arrivals are written down in whole milliseconds.
        assert!(waits.iter().all(|wait| (0.75 - 1.0 / longest..=1.0 + 1.0 / longest).contains(wait)), "{nth}");
        let mean = waits.iter().sum::<f64>() / USERS as f64;
        assert!((mean - 0.875).abs() < 4.0 * 0.25 / (12.0 * USERS as f64).sqrt(), "{nth}: {mean}");
    }
}

#[test]
fn a_stream_that_has_begun_is_not_asked_for_again() {
    let world = DeploymentWorld { then: Step::of(Answer::Cut { chunks: 2 }), ..DeploymentWorld::ledger("a") };
    let variant = |stream| with(one(world.clone()), |clients| (clients.habits.sdk, clients.stream) = (Some(EXACT), stream));
    check(&variant(true), ONE_ROW, &[(0, 0)], &[(0, 0, "failed", 0)]);
    // A plain answer that breaks was never begun, for its client.
    check(&variant(false), ONE_ROW, &[(0, 0), (500, 0), (1_500, 0)], &[(1_500, 0, "failed", 2)]);
}

#[test]
fn a_refusal_by_a_limit_says_when_to_come_back() {
    let mut plan = groups(&[("a", mini())]);
    let (kind, refill, count) = (LimitKind::Requests, Refill::Window(Anchor::Clock), TokenCount::Reserve);
    plan.models[0].limits = vec![LimitSpec { kind, amount: 1, refill, period: Span::MINUTE, count, queue: None }];
    let variant = with(variant(plan, vec![DeploymentWorld::ledger("a")]), |clients| clients.habits.sdk = Some(EXACT));
    // The window is over 49.75 s later; the header says 50.
    let text = "at_s,input_tokens,output_tokens\n0,10,7\n10.25,10,7\n";
    check(&variant, text, &[(0, 0), (10_250, 1), (60_250, 1)], &[(0, 0, "answered", 0), (60_250, 1, "answered", 1)]);
}

#[test]
fn a_refusal_for_want_of_budget_is_asked_again_only_if_it_looks_like_a_429() {
    let (window, enforce, mode, on_short) = (BudgetWindow::Total, Enforce::Hard, BudgetMode::Reserve, OnShort::Refuse);
    let nothing = BudgetSpec { limit: Money::ZERO, window, enforce, mode, on_short, alert_at_per_mille: vec![] };
    for (status, end) in [(422, (0, 0, "refused", 0)), (429, (1_500, 0, "refused", 2))] {
        let mut variant = with(scripted(&[]), |clients| (clients.habits.sdk, clients.habits.budget_status) = (Some(EXACT), status));
        let spec = KeySpec { budgets: vec![nothing.clone()], ..KeySpec::default() };
        variant.setup = Arc::new([Command::PutKey { name: "key".into(), spec }]);
        assert_eq!(run(&variant, rows(ONE_ROW)).0.users, [end]);
    }
}

#[test]
fn deadline_and_patience_run_over_all_tries_together() {
    let four = Span::from_secs(4);
    let sdk = Sdk { retries: 9, ..EXACT };
    let failing = |change: &dyn Fn(&mut Clients)| {
        with(slow(Span::ZERO, Step::status(500)), |clients| {
            clients.habits.sdk = Some(sdk);
            change(clients);
        })
    };
    // Tries at 0, 0.5, 1.5 and 3.5 s; the next would be at 7.5.
    let (tries, end) = ([(0, 0), (500, 0), (1_500, 0), (3_500, 0)], [(3_500, 0, "failed", 3)]);
    check(&failing(&|clients| clients.deadline = Some(four)), ONE_ROW, &tries, &end);
    check(&failing(&|clients| clients.habits.patience = Some(Distribution::Constant(4e9))), ONE_ROW, &tries, &end);
    check(&failing(&|_| {}), "at_s,input_tokens,output_tokens,left_after_ms\n0,10,7,4000\n", &tries, &end);
    // Who leaves while a try is in flight has left for good: the second, from 3.5 s on, has half a second.
    let leaves = with(slow(Span::from_secs(3), Step::status(500)), |clients| {
        (clients.habits.sdk, clients.habits.patience) = (Some(sdk), Some(Distribution::Constant(4e9)));
    });
    check(&leaves, ONE_ROW, &[(0, 0), (3_500, 0)], &[(4_000, 0, "left", 1)]);
}

#[test]
fn a_try_without_a_byte_is_given_up_and_sent_again() {
    let sdk = Sdk { timeout: Span::from_secs(10), ..EXACT };
    let text = "at_s,input_tokens,output_tokens,stream\n0,10,50,false\n";
    let hang = with(slow(Span::from_secs(60), Step::OK), |clients| clients.habits.sdk = Some(sdk));
    check(&hang, text, &[(0, 0), (10_500, 0), (21_500, 0)], &[(31_500, 0, "failed", 2)]);
    // A stream has its first byte in time, and a second between tokens; the same answer in one piece comes too late.
    let pace = Pace { first: Span::SECOND, gap: Span::SECOND, chunk_tokens: 1 };
    let trickle = with(one(DeploymentWorld { pace, ..DeploymentWorld::ledger("a") }), |clients| clients.habits.sdk = Some(sdk));
    check(&trickle, &text.replace("false", "true"), &[(0, 0)], &[(50_000, 0, "answered", 0)]);
    check(&trickle, text, &[(0, 0), (10_500, 0), (21_500, 0)], &[(31_500, 0, "failed", 2)]);
}

#[test]
fn a_retry_has_the_prompt_of_its_row_long_after_the_batch() {
    let world = DeploymentWorld { prompt_cache: Some(PromptCache::openai(Span::from_secs(3_600))), ..DeploymentWorld::ledger("a") };
    let line = |at| format!("{{\"timestamp\": {at}, \"input_length\": 1024, \"output_length\": 5, \"hash_ids\": [1, 2]}}\n");
    let batch = |at: u32| {
        let mut trace = Trace::of_bytes(Path::new("t.jsonl"), line(at).as_bytes(), Options::default()).unwrap();
        Arc::new(trace.next_batch().unwrap().unwrap())
    };
    let billed = |steps: Vec<Step>| {
        let variant = with(one(DeploymentWorld { steps, ..world.clone() }), |clients| clients.habits.sdk = Some(EXACT));
        let mut driver = Driver::new(&variant, 1, ()).unwrap();
        for at in [0, 400, 60_000] {
            driver.feed(&batch(at)).unwrap();
        }
        driver.finish().1.billed
    };
    // Only the first call writes; the two after it read, whichever row they are of.
    assert_eq!(billed(vec![Step::status(500)]), billed(vec![]));
}

/// Mean and variance of the calls for one request of which each fails with probability `f`, when there are at most `most`.
fn calls(f: f64, most: u32) -> (f64, f64) {
    let at_least = |k: u32| f.powi(k as i32 - 1);
    let mean: f64 = (1..=most).map(at_least).sum();
    let square: f64 = (1..=most).map(|k| f64::from(2 * k - 1) * at_least(k)).sum();
    (mean, square - mean * mean)
}

fn unlucky(f: f64) -> DeploymentWorld {
    let chances = vec![Chance { per_million: (f * 1e6) as u32, step: Step::status(500) }];
    DeploymentWorld { chances, ..DeploymentWorld::ledger("a") }
}

/// Rows `gap` milliseconds apart.
fn steady(count: usize, gap: u64) -> Batch {
    traffic(&vec![(gap, 10, 7, false, None); count])
}

#[test]
fn retries_of_client_and_gateway_multiply() {
    const USERS: usize = 5_000;
    for (f, gateway, client) in [(0.5, 1, 2), (0.3, 2, 2), (0.9, 3, 2), (0.5, 0, 4)] {
        let mut plan = groups(&[("a", mini())]);
        plan.models[0].attempts.per_group = gateway + 1;
        let sdk = Sdk { retries: client, ..Sdk::OPENAI };
        let variant = with(variant(plan, vec![unlucky(f)]), |clients| clients.habits.sdk = Some(sdk));
        let (_, totals) = run(&variant, steady(USERS, 10));
        let most = (gateway + 1) * (client + 1);
        let ((mean, variance), users) = (calls(f, most), USERS as f64);
        assert!((mean - (1.0 - f.powi(most as i32)) / (1.0 - f)).abs() < 1e-9, "the sum is the closed form");
        let (found, error) = (totals.calls as f64 / users, (variance / users).sqrt());
        assert!((found - mean).abs() < 4.0 * error, "f = {f}, R = {gateway}, S = {client}: {found} calls, {mean} +- {error}");
        let (failed, given_up) = (f.powi(most as i32), 1.0 - totals.served as f64 / users);
        assert!((given_up - failed).abs() < 4.0 * (failed * (1.0 - failed) / users).sqrt() + 1.0 / users, "{given_up} {failed}");
    }
}

/// Marc Brooker, "Fixing retries with token buckets and circuit breakers" (2022): each first try puts `ratio` into a bucket, each retry takes 1.
/// The load is the smaller of what the failures ask for and 1 + ratio. Exactly: retries never exceed ratio n + burst. Otherwise the bucket is a
/// random walk that loses variance / (2 drift) retries at its nearer wall, full or empty: 6 at most here, and `burst` is 20; and 4 standard errors
/// for luck.
#[test]
fn a_retry_budget_bends_the_load_of_retries_to_its_ratio() {
    const USERS: usize = 5_000;
    const BURST: u32 = 20;
    let users = USERS as f64;
    for per_mille in [100, 300] {
        for tenth in 0..=10_u32 {
            let (f, ratio) = (f64::from(tenth) / 10.0, f64::from(per_mille) / 1000.0);
            let mut plan = groups(&[("a", mini())]);
            plan.models[0].attempts.per_group = 4;
            let load = |budget| {
                let plan = Plan { retry_budget: budget, ..plan.clone() };
                run(&variant(plan, vec![unlucky(f)]), steady(USERS, 10)).1.calls as f64 / users
            };
            let (mean, variance) = calls(f, 4);
            let (luck, burst) = (4.0 * (variance / users).sqrt(), f64::from(BURST) / users);
            let open = load(None);
            assert!((open - mean).abs() <= luck, "f = {f}: {open}, {mean}");
            let bent = load(Some(RetryBudget { ratio_per_mille: per_mille, burst: BURST }));
            let expected = mean.min(1.0 + ratio);
            assert!(bent <= 1.0 + ratio + burst && bent <= open, "f = {f}: {bent} of {open}");
            assert!((bent - expected).abs() <= luck + burst, "f = {f}, ratio = {ratio}: {bent}, {expected}");
        }
    }
}

#[test]
fn the_first_try_has_the_same_luck_with_and_without_retries_and_a_retry_its_own_whatever_else_arrives() {
    let answered = |sdk| {
        let (seen, _) = run(
            &with(one(unlucky(0.5)), |clients| (clients.habits.sdk, clients.habits.closed_loop) = (sdk, Some(OnFailure::Continue))),
            steady(500, 100),
        );
        let first = seen.users.into_iter().filter(|user| user.2 == "answered" && user.3 == 0).map(|user| user.1);
        let mut first: Vec<u64> = first.collect();
        first.sort_unstable();
        first
    };
    assert!(answered(None).len() > 200);
    assert_eq!(answered(None), answered(Some(Sdk::OPENAI)));

    let of_rows_before = |count: usize| {
        let (mut seen, _) = run(&with(one(unlucky(0.9)), |clients| clients.habits.sdk = Some(Sdk::OPENAI)), steady(count, 100));
        seen.arrivals.retain(|(_, row)| *row < 50);
        seen.arrivals
    };
    assert_eq!(of_rows_before(50), of_rows_before(90));
}

#[test]
fn a_step_of_a_session_waits_for_the_answer_before_it() {
    // One every second, from second 0 on, of a session and of nobody, and one more of the session at second 10.
    let lines = |took: &str| {
        format!(
            "at_s,session,input_tokens,output_tokens,duration_ms\n0,s,10,7,{took}\n0,,10,7,\n1,s,10,7,{took}\n1,,10,7,\n2,s,10,7,{took}\n10,s,10,7,{took}\n"
        )
    };
    let closed = |first| with(slow(first, Step::OK), |clients| clients.habits.closed_loop = Some(OnFailure::Stop));
    let session = |first, took: &str| {
        let (seen, totals) = run(&closed(first), rows(&lines(took)));
        let nobody: Vec<_> = seen.arrivals.iter().filter(|(_, row)| [1, 3].contains(row)).map(|(at, _)| *at).collect();
        assert_eq!((nobody.as_slice(), totals.not_sent, totals.users), (&[0, 1_000][..], 0, 6));
        seen.arrivals.into_iter().filter(|(_, row)| ![1, 3].contains(row)).map(|(at, _)| at).collect::<Vec<_>>()
    };
    // Where no duration is known, answers in time leave the traffic as it is.
    assert_eq!(session(Span::from_millis(400), ""), [0, 1_000, 2_000, 10_000]);
    // Where it is, a tenth of a second less for each answer brings the next forward.
    assert_eq!(session(Span::from_millis(400), "500"), [0, 900, 1_800, 9_700]);
    // After 2 s: the next at once where no duration is known, but the gap of 8 s stays.
    assert_eq!(session(Span::from_secs(2), ""), [0, 2_000, 4_000, 12_000]);
    // Of gaps of 1, 1 and 8 s, half a second was the answer: 0.5, 0.5 and 7.5 s of thought follow 2 s each.
    assert_eq!(session(Span::from_secs(2), "500"), [0, 2_500, 5_000, 14_500]);
}

#[test]
fn a_step_is_not_sent_before_its_batch_is_read() {
    let line = |at: &str, session: &str| format!("{at},{session},10,7,500\n");
    let batch = |lines: &[String]| Arc::new(rows(&format!("at_s,session,input_tokens,output_tokens,duration_ms\n{}", lines.concat())));
    let variant = with(slow(Span::ZERO, Step::OK), |clients| clients.habits.closed_loop = Some(OnFailure::Stop));
    let mut driver = Driver::new(&variant, 1, Seen::default()).unwrap();
    driver.feed(&batch(&[line("0", "s"), line("1", "s"), line("5", "t")])).unwrap();
    driver.feed(&batch(&[line("6", "s"), line("9", "s")])).unwrap();
    // Half a second of thought, then the batch ends at second 5, then 2.5 s of thought.
    assert_eq!(driver.finish().0.arrivals, [(0, 0), (500, 1), (5_000, 2), (5_000, 3), (7_500, 4)]);
}

#[test]
fn a_recorded_outcome_is_met_by_the_first_try_only() {
    let recorded = DeploymentWorld { recorded_outcomes: true, ..DeploymentWorld::ledger("a") };
    let variant = with(one(recorded), |clients| clients.habits.sdk = Some(EXACT));
    // What the log has of the row holds its batch until the retry is over.
    let text = "at_s,input_tokens,output_tokens,status,duration_ms,deployment\n0,10,7,503,250,a\n";
    check(&variant, text, &[(0, 0), (750, 0)], &[(750, 0, "answered", 1)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// n steps, recorded `gap` apart with `took` for each answer, in a world whose answers take `takes`: step k is sent at k (takes + thought).
    #[test]
    fn a_session_in_a_constant_world_is_in_closed_form(gap in 1..5_000u64, took in 0..5_000u64, takes in 0..9_000u64, count in 1..20u64) {
        let mut text = String::from("at_ms,session,input_tokens,output_tokens,duration_ms\n");
        (0..count).for_each(|k| text.push_str(&format!("{},s,10,7,{took}\n", k * gap)));
        let variant = with(slow(Span::from_millis(takes), Step::OK), |clients| clients.habits.closed_loop = Some(OnFailure::Continue));
        let step = takes + gap.saturating_sub(took);
        let expected: Vec<_> = (0..count).map(|k| (k * step, k)).collect();
        prop_assert_eq!(run(&variant, rows(&text)).0.arrivals, expected);
    }
}

#[test]
fn a_session_goes_on_after_the_last_try_or_stops_there() {
    let text = "at_s,session,input_tokens,output_tokens\n0,s,10,7\n1,s,10,7\n1,t,10,7\n9,s,10,7\n";
    let failing = [500, 500, 200, 500].map(|status| if status == 200 { Step::OK } else { Step::status(status) });
    let variant = |on_failure| {
        let world = DeploymentWorld { steps: failing.to_vec(), ..DeploymentWorld::ledger("a") };
        with(one(world), |clients| (clients.habits.sdk, clients.habits.closed_loop) = (Some(Sdk { retries: 1, ..EXACT }), Some(on_failure)))
    };
    // The first step fails twice, and with it the second may be gone; row 2 is another session's.
    let (seen, totals) = run(&variant(OnFailure::Stop), rows(text));
    assert_eq!(seen.arrivals, [(0, 0), (500, 0), (1_000, 2)]);
    assert_eq!((totals.rows, totals.not_sent, totals.users), (4, 2, 2));
    let (seen, totals) = run(&variant(OnFailure::Continue), rows(text));
    assert_eq!(seen.arrivals, [(0, 0), (500, 0), (1_000, 1), (1_000, 2), (1_500, 2), (9_000, 3)]);
    assert_eq!((totals.not_sent, totals.users), (0, 4));
}

#[test]
fn a_share_of_streams_is_left_in_the_middle_and_the_rest_waits_as_long_as_its_patience() {
    const ROWS: usize = 4_000;
    let pace = Pace { first: Span::SECOND, gap: Span::from_millis(100), chunk_tokens: 1 };
    let world = || one(DeploymentWorld { pace, ..DeploymentWorld::ledger("a") });
    let batch = |stream| traffic(&vec![(1, 10, 101, stream, None); ROWS]);
    let share = |count: u64| count as f64 / ROWS as f64;
    let error = |p: f64| 4.0 * (p * (1.0 - p) / ROWS as f64).sqrt();

    let quarter = with(world(), |clients| clients.habits.abandons_per_million = 250_000);
    let totals = run(&quarter, batch(true)).1;
    assert!((share(totals.abandoned) - 0.25).abs() < error(0.25), "{totals:?}");
    // A uniform part of 101 tokens is lost with each: 50 of them on average, with a standard deviation of 100 / sqrt(12).
    let whole = mini().cost(crate::gateway::rate_card::Usage::plain(10, 101)).0 as f64;
    let lost = (whole * ROWS as f64 - totals.billed.0 as f64) / 600_000.0 / totals.abandoned as f64;
    assert!((lost - 50.5).abs() < 4.0 * 100.0 / (12.0 * totals.abandoned as f64).sqrt(), "{lost} tokens");
    assert_eq!(run(&quarter, batch(false)).1.abandoned, 0, "only streams have a middle");

    // Exponential patience with a mean of 11 s, for answers that take 11 s: 1/e stay.
    let patient = with(world(), |clients| clients.habits.patience = Some(Distribution::Exponential { mean: 11e9 }));
    let stay = (-1.0_f64).exp();
    for stream in [true, false] {
        let totals = run(&patient, batch(stream)).1;
        assert!((share(totals.served) - stay).abs() < error(stay), "{totals:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever clients do, the run's own assertions hold: every request is answered and closed once, every row sent once or never, every user
    /// ends once.
    #[test]
    fn nothing_is_lost_between_clients_and_gateway(
        seed in 0..1_000u64,
        stops in any::<bool>(),
        closed in any::<bool>(),
        timeout in 1..20u64,
        deadline in prop::option::of(1..30u64),
        rows_of in prop::collection::vec((0..2_000u64, 1..500u32, 1..300u32, any::<bool>(), prop::option::weighted(0.1, 0..400u32)), 1..100),
    ) {
        let variant = with(faulty(seed), |clients| {
            clients.habits.sdk = Some(Sdk { timeout: Span::from_secs(timeout), ..Sdk::ANTHROPIC });
            clients.habits.closed_loop = closed.then_some(if stops { OnFailure::Stop } else { OnFailure::Continue });
            clients.habits.patience = Some(Distribution::Exponential { mean: 2e10 });
            clients.habits.abandons_per_million = 50_000;
            clients.deadline = deadline.map(Span::from_secs);
        });
        let mut batch = traffic(&rows_of);
        for (index, row) in (0..).zip(&mut batch.rows) {
            row.session = (index % 3 > 0).then_some(NameId::new(index % 7));
        }
        // What a session waits for may be in an earlier batch.
        let second = Batch::of(batch.rows.split_off(batch.rows.len() / 2), FirstSeen::default());
        let mut driver = Driver::new(&variant, 1, Seen::default()).unwrap();
        driver.feed(&Arc::new(batch)).unwrap();
        driver.feed(&Arc::new(second)).unwrap();
        let (seen, totals) = driver.finish();
        prop_assert!(totals.billed <= totals.ledger, "{totals:?}");
        prop_assert_eq!(totals.users, totals.rows - totals.not_sent);
        prop_assert_eq!(totals.arrived, seen.arrivals.len() as u64);
        prop_assert!(closed || totals.not_sent == 0);
    }
}
