use std::path::Path;

use super::*;
use crate::report::sample;
use crate::traffic::trace::{Options, Trace};

/// 300 ms to the first token, then 100 tokens a second.
fn world() -> DeploymentWorld {
    let pace = Pace::tokens_per_second(Span::from_millis(300), 100);
    DeploymentWorld { pace, recorded_outcomes: true, ..DeploymentWorld::ledger("a") }
}

/// What the first calls of rows meet at deployment `a`, as (answer, milliseconds to the first token, microseconds between two).
fn met(text: &str, world: &DeploymentWorld) -> Vec<Option<(Answer, u64, u64)>> {
    let header = "at_ms,input_tokens,output_tokens,max_tokens,stream,status,ttft_ms,duration_ms,deployment,cache_hit,left_after_tokens\n";
    let mut trace = Trace::of_bytes(Path::new("log.csv"), format!("{header}{text}").as_bytes(), Options::default()).unwrap();
    let batch = trace.next_batch().unwrap().unwrap();
    let mut plan = sample::plan();
    (plan.deployments[0].name, plan.deployments[1].name) = ("b".into(), "a".into());
    let mut outcomes = Outcomes::default();
    outcomes.learn(&batch, &plan);
    let step = |row| outcomes.step(&batch, row, DeploymentId(1), world);
    let shown = |step: Step| {
        let pace = step.pace.unwrap();
        (step.answer, pace.first.0 / 1_000_000, pace.gap.0 / 1_000)
    };
    batch.rows.iter().map(|row| step(row).map(shown)).collect()
}

#[test]
fn an_answer_comes_when_it_came() {
    let found = met(
        "0,9,11,,true,200,500,1500,a,,\n0,9,11,,true,,,1300,a,,\n0,9,11,,false,200,,1500,a,,\n0,9,11,,true,200,500,,a,,\n0,9,1,,true,200,500,700,a,,\n\
         0,9,50,11,true,200,500,1500,a,,\n0,9,11,,true,499,500,600,a,,3\n",
        &world(),
    );
    let whole = |first, gap| Some((Answer::Whole, first, gap));
    assert_eq!(
        found,
        [
            whole(500, 100_000), // ten gaps in the second that is left
            whole(300, 100_000), // the usual first token, the recorded end
            whole(1_500, 0),     // a plain answer
            whole(500, 10_000),  // the end is not recorded: the usual speed
            whole(700, 10_000),  // one token comes at the end
            whole(500, 100_000), // max_tokens cut it there too
            whole(500, 10_000),  // how it would have gone on is not known
        ]
    );
}

#[test]
fn a_failure_comes_when_it_came_but_no_429() {
    let found = met("0,9,,,,503,,250,a,,\n0,9,,,,429,,250,a,,\n0,9,,,,500,,,a,,\n", &world());
    let down = Answer::Status { status: 503, retry_after: None, reason: Reason::Plain };
    assert_eq!(found, [Some((down, 250, 0)), None, None]);
}

#[test]
fn what_the_log_did_not_see_is_the_worlds() {
    let rows = "0,9,11,,true,200,500,1500,b,,\n0,9,11,,true,200,500,1500,c,,\n0,9,11,,true,200,500,1500,,,\n0,9,11,,true,200,5,15,a,true,\n";
    assert_eq!(met(rows, &world()), [None; 4], "another deployment, none of ours, not named, or the cache");
    assert_eq!(met("0,9,11,,true,200,500,1500,a,,\n", &DeploymentWorld { recorded_outcomes: false, ..world() }), [None]);
}
