//! A scenario's text run on a part of a log, and the log that its gateway would write. Judges nothing.

use std::path::Path;
use std::sync::Arc;

use super::log::{Attempt, Part};
use super::{Error, Question};
use crate::config::scenario::Scenario;
use crate::config::{self, Options};
use crate::gateway::id::{Map, RequestId};
use crate::gateway::journal::{CallClosed, Denial, Fact, Outcome};
use crate::gateway::money::Money;
use crate::gateway::time::Time;
use crate::sim::driver::{Driver, Variant};
use crate::sim::experiment::RunError;
use crate::sim::observe::{Bill, Context, Observer};

/// The log of a simulated gateway.
#[derive(Debug, Default)]
pub struct Simulated {
    /// What each request came to, as a recorded log would have it; models by their number in the part that was simulated.
    pub attempts: Vec<Attempt>,
    /// What each model's requests cost, by the number of the model; the last counts those of other models.
    pub bills: Vec<Money>,
    /// From the log's number of a model to the plan's, and back.
    models: Vec<u32>,
    calls: Map<RequestId, u32>,
}

/// Runs the first variant of the scenario with this text on a part of a log.
///
/// # Errors
/// If the scenario is wrong or can't take the traffic.
pub fn simulate(question: &Question, text: &str, part: &Part, seed: u64) -> Result<Simulated, Error> {
    let variant = variant(&question.scenario, text)?;
    let number = |name: &String| part.models.iter().position(|other| other == name).map_or(part.models.len() as u32, |number| number as u32);
    let models = variant.plan.models.iter().map(|model| number(&model.name)).collect();
    let simulated = Simulated { models, bills: vec![Money::ZERO; part.models.len() + 1], ..Simulated::default() };
    let world = |error| Error::Run(RunError::World { variant: variant.name.clone(), error });
    let mut driver = Driver::new(&variant, seed, simulated).map_err(world)?;
    for batch in &part.batches {
        driver.feed(batch).map_err(|error| Error::Run(RunError::Client { variant: variant.name.clone(), error }))?;
    }
    Ok(driver.finish().0)
}

fn variant(path: &Path, text: &str) -> Result<Variant, Error> {
    let loaded = config::load_scenario_text(path, text, &Options::default()).map_err(|problems| Error::Configuration(Box::new(problems)))?;
    let Scenario { mut variants, .. } = loaded.value;
    let first = variants.swap_remove(0);
    Ok(Variant {
        name: first.name,
        plan: Arc::new(first.gateway.plan),
        setup: first.gateway.commands.into(),
        world: Arc::new(first.world),
        clients: Arc::new(first.clients),
    })
}

impl Observer for Simulated {
    fn wants(fact: &Fact) -> bool {
        matches!(fact, Fact::Called(_) | Fact::Answered { .. })
    }

    fn fact(&mut self, now: Time, context: Option<&Context>, fact: &Fact) {
        let Some(context) = context else { return };
        match fact {
            Fact::Called(called) if called.call > 1 => {
                self.calls.insert(context.id, called.call);
            }
            Fact::Answered { outcome } => {
                let calls = self.calls.remove(&context.id).unwrap_or(1);
                self.attempts.push(attempt(now, context, outcome, calls, self.models[context.model.index()]));
            }
            _ => {}
        }
    }

    fn call(&mut self, _: Time, context: &Context, _: &CallClosed, bill: &Bill) {
        let model = self.models[context.model.index()] as usize;
        self.bills[model] += bill.cost;
    }
}

fn attempt(now: Time, context: &Context, outcome: &Outcome, calls: u32, model: u32) -> Attempt {
    let status = match outcome {
        Outcome::Served { .. } | Outcome::Cached | Outcome::Shared | Outcome::Abandoned => 200,
        Outcome::Refused(Denial::Limited(_) | Denial::QueueFull(_) | Denial::Loop) => 429,
        Outcome::Refused(_) => 400,
        Outcome::Failed(failure) => failure.status,
    };
    Attempt {
        at: context.arrived_at,
        model,
        deployment: None,
        status: Some(status),
        ttft: context.first_token_at.map(|at| at.since(context.arrived_at)),
        duration: Some(now.since(context.arrived_at)),
        input_tokens: 0,
        output_tokens: None,
        calls,
        is_elsewhere: matches!(outcome, Outcome::Served { model } if *model != context.model),
        left_after: (*outcome == Outcome::Abandoned).then(|| now.since(context.arrived_at)),
        is_cached: matches!(outcome, Outcome::Cached | Outcome::Shared),
        cost: None,
    }
}
