//! The scripted upstream of the recordings as a world of the simulator. Decides what each scripted step is in virtual time; a step that the world
//! cannot express is an error, never left out.

use std::collections::BTreeMap;

use gwsim::sim::world::{Answer, DeploymentWorld, Pace, Reason, Step, World};

use super::record;
use gwsim::gateway::time::Span;

/// Chunks of a stream and tokens of a plain answer where a step says nothing.
const CHUNKS: u32 = 10;
/// How long a step without `hang_ms` hangs.
const HANG_MS: u64 = 120_000;

/// The world of a script, for the deployments named.
pub fn world<'a>(script: &BTreeMap<String, record::Script>, deployments: impl Iterator<Item = &'a str>) -> World {
    let of = |name: &str| {
        let plan = script.get(name).or_else(|| script.get("*")).cloned().unwrap_or_default();
        let then = plan.then.or_else(|| plan.steps.last().cloned()).unwrap_or_default();
        let steps = plan.steps.iter().map(step).collect();
        DeploymentWorld { steps, then: step(&then), ..DeploymentWorld::ledger(name) }
    };
    World { deployments: deployments.map(of).collect() }
}

fn step(step: &record::Step) -> Step {
    let pace = Pace { first: Span::from_millis(step.latency_ms), gap: Span::from_millis(step.chunk_ms), chunk_tokens: 1 };
    let retry_after = step.retry_after.as_ref().and_then(|text| text.parse().ok()).map(Span::from_secs);
    let reason = match step.code.as_deref() {
        Some("context_length_exceeded") => Reason::ContextWindow,
        _ => Reason::Plain,
    };
    let answer = match (step.status, step.die_after.or(step.err_after)) {
        _ if step.hang => Answer::Hang(Span::from_millis(step.hang_ms.unwrap_or(HANG_MS))),
        _ if step.reset || step.close => Answer::Broken,
        (None | Some(200), None) => Answer::Whole,
        (None | Some(200), Some(chunks)) => Answer::Cut { chunks },
        (Some(status), _) => Answer::Status { status, retry_after, reason },
    };
    // A plain answer takes no time for its tokens: they are chunks in a stream only.
    let output_tokens = Some(step.chunks.unwrap_or(CHUNKS));
    Step { answer, pace: Some(pace), input_tokens: step.prompt_tokens, output_tokens }
}
