//! Recorded outcomes: what a call meets where a variant makes the very call that the log saw. Decides which calls these are; the world decides about
//! all others.
//!
//! Optimistic, and reports say so: the log's latency and failures belong to the load that was there then, not to the load that a variant makes.

use crate::gateway::id::DeploymentId;
use crate::gateway::plan::Plan;
use crate::gateway::time::Span;
use crate::sim::world::{Answer, DeploymentWorld, Pace, Reason, Step};
use crate::traffic::trace::{Batch, Recorded, Row};

/// The deployments that the log names, as the plan numbers them.
#[derive(Debug, Default)]
pub struct Outcomes {
    deployments: Vec<Option<DeploymentId>>,
}

impl Outcomes {
    /// Learns the names that first appear in `batch`.
    pub fn learn(&mut self, batch: &Batch, plan: &Plan) {
        self.deployments.extend(batch.first_seen.deployments.iter().map(|name| plan.find_deployment(name)));
    }

    /// What the first call of a row's request meets at a deployment of this `world`; `None` if the log saw no such call, or nothing of it that is
    /// to be reused.
    pub fn step(&self, batch: &Batch, row: &Row, deployment: DeploymentId, world: &DeploymentWorld) -> Option<Step> {
        // Of several attempts of a client, the first; of several calls of a gateway, the log has only the last.
        let recorded = batch.client_attempts(row).first().map_or_else(|| batch.recorded(row), |first| Some(&first.recorded))?;
        let same = recorded.deployment.is_some_and(|name| self.deployments[name.index()] == Some(deployment));
        if !same || !world.recorded_outcomes || recorded.cache_hit == Some(true) || recorded.attempts.is_some_and(|attempts| attempts > 1) {
            return None;
        }
        match recorded.status {
            // Whether a limiter has room depends on what a variant sends.
            Some(429) => None,
            // The client left; it will again.
            Some(499) => Some(Step { pace: pace(row, recorded, world), ..Step::OK }),
            Some(status @ 400..) => {
                let first = recorded.duration.or(recorded.ttft)?;
                let answer = Answer::Status { status, retry_after: None, reason: Reason::Plain };
                Some(Step { pace: Some(Pace { first, ..Pace::INSTANT }), ..Step::of(answer) })
            }
            Some(_) | None => Some(Step { pace: pace(row, recorded, world), ..Step::OK }),
        }
    }
}

/// The pace at which the recorded answer came: the first token after the recorded time, and the rest evenly up to the recorded end.
fn pace(row: &Row, recorded: &Recorded, world: &DeploymentWorld) -> Option<Pace> {
    let usual = world.pace;
    if row.left_after.is_some() {
        return Some(Pace { first: recorded.ttft?, ..usual });
    }
    let Some(duration) = recorded.duration else { return Some(Pace { first: recorded.ttft?, ..usual }) };
    let output = row.output_tokens?.min(row.max_tokens.unwrap_or(u32::MAX));
    let gaps = u64::from(output.div_ceil(usual.chunk_tokens.max(1)).saturating_sub(1));
    let streamed = || if row.stream == Some(true) { usual.first } else { duration };
    let first = recorded.ttft.unwrap_or_else(streamed).min(duration);
    let Some(gap) = (duration.0 - first.0).checked_div(gaps) else { return Some(Pace { first: duration, ..usual }) };
    Some(Pace { first, gap: Span(gap), ..usual })
}

#[cfg(test)]
mod tests;
