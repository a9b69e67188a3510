//! Known worlds: a scenario run in its own world, and the log of it as LiteLLM would write it.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use gwsim::config::{self, Options};
use gwsim::gateway::draw::{Purpose, below, bits};
use gwsim::gateway::id::RequestId;
use gwsim::gateway::journal::{CallClosed, Called, Ended, Fact, Outcome, Position};
use gwsim::gateway::money::Money;
use gwsim::gateway::plan::Plan;
use gwsim::gateway::rate_card::Usage;
use gwsim::gateway::time::Time;
use gwsim::sim::driver::{Driver, Variant};
use gwsim::sim::observe::{Bill, Context, Observer, Totals};
use gwsim::traffic::stream;

/// People who send the requests. A row of the traffic is always the same one's.
const USERS: u64 = 500;

/// One request as its gateway's log will have it.
#[derive(Default)]
pub(crate) struct Line {
    arrived: Time,
    answered: Time,
    first_token: Option<Time>,
    row: u64,
    asked: String,
    answered_by: Option<String>,
    deployment: Option<String>,
    pub(crate) status: u16,
    retries: u32,
    fell_back: bool,
    has_left: bool,
    usage: Usage,
    spend: Money,
}

/// Writes down what LiteLLM's SpendLogs would: one row a request with its last attempt only, failures without tokens and dollars.
pub(crate) struct SpendLogs {
    plan: Arc<Plan>,
    open: HashMap<RequestId, Line>,
    pub(crate) lines: Vec<Line>,
}

impl Observer for SpendLogs {
    fn wants(fact: &Fact) -> bool {
        matches!(fact, Fact::Called(_) | Fact::Answered { .. } | Fact::Closed)
    }

    fn arrived(&mut self, now: Time, context: &Context) {
        let asked = self.plan.model(context.model).name.clone();
        self.open.insert(context.id, Line { arrived: now, row: context.id.0 & 0xFFFF_FFFF, asked, ..Line::default() });
    }

    fn fact(&mut self, now: Time, context: Option<&Context>, fact: &Fact) {
        let Some(context) = context else { return };
        let line = self.open.get_mut(&context.id).unwrap();
        match fact {
            Fact::Called(Called { deployment, position, .. }) => {
                line.retries += u32::from(matches!(position, Position::RetrySame | Position::RetryOther));
                line.deployment = Some(self.plan.deployment(*deployment).name.clone());
            }
            Fact::Answered { outcome } => {
                line.answered = now;
                line.first_token = context.first_token_at;
                match outcome {
                    Outcome::Served { model } => {
                        line.status = 200;
                        line.fell_back = *model != context.model;
                        line.answered_by = Some(self.plan.model(*model).name.clone());
                    }
                    Outcome::Abandoned => (line.status, line.has_left) = (200, true),
                    Outcome::Failed(failure) => line.status = failure.status,
                    other => panic!("these worlds have no {other:?}"),
                }
            }
            Fact::Closed => {
                let line = self.open.remove(&context.id).unwrap();
                self.lines.push(line);
            }
            _ => {}
        }
    }

    fn call(&mut self, _: Time, context: &Context, closed: &CallClosed, bill: &Bill) {
        let line = self.open.get_mut(&context.id).unwrap();
        if matches!(closed.ended, Ended::Delivered | Ended::Cancelled) {
            (line.usage, line.spend) = (bill.usage, bill.cost);
            line.usage.output = closed.delivered;
        }
    }
}

impl SpendLogs {
    pub(crate) fn csv(mut self) -> String {
        self.lines.sort_by_key(|line| line.arrived);
        let mut text = String::from(
            "startTime,endTime,completionStartTime,model,model_id,model_group,api_key,end_user,prompt_tokens,completion_tokens,spend,cache_key,status,metadata\n",
        );
        let time = |time: Time| jiff::Timestamp::from_nanosecond(i128::from(time.0)).unwrap().strftime("%Y-%m-%d %H:%M:%S%.9f").to_string();
        for line in self.lines {
            let (model, id) = line.deployment.as_deref().and_then(|name| name.split_once('#')).unwrap_or((&line.asked, ""));
            let group = line.answered_by.as_ref().unwrap_or(&line.asked);
            let has_failed = line.status >= 400;
            let mut metadata = serde_json::json!({ "attempted_retries": line.retries, "attempted_fallbacks": u32::from(line.fell_back) });
            if line.fell_back {
                metadata["original_model_group"] = line.asked.clone().into();
            }
            if has_failed {
                metadata["error_information"] = serde_json::json!({ "error_code": line.status.to_string() });
            }
            if line.has_left {
                metadata["client_disconnected"] = true.into();
            }
            let (input, output, spend) = if has_failed { (0, 0, Money::ZERO) } else { (line.usage.input, line.usage.output, line.spend) };
            let (start, end) = (time(line.arrived), time(line.answered));
            let first = line.first_token.map_or_else(|| end.clone(), time);
            let user = below(bits(0, line.row, Purpose::Traffic, 0), USERS);
            let status = if has_failed { "failure" } else { "success" };
            let spend = spend.to_string().replace('$', "");
            let metadata = metadata.to_string().replace('"', "\"\"");
            let _ =
                writeln!(text, "{start},{end},{first},{model},{id},{group},team,u{user},{input},{output},{spend},Cache OFF,{status},\"{metadata}\"");
        }
        text
    }
}

/// Runs a scenario's variant in its own world.
pub(crate) fn truth(path: &Path, variant: usize) -> (SpendLogs, Totals) {
    let scenario = config::load_scenario(path, &Options::default()).unwrap_or_else(|problems| panic!("{}", problems.render(false))).value;
    let seed = scenario.seeds[0];
    let traffic = scenario.traffic;
    let chosen = scenario.variants.into_iter().nth(variant).unwrap();
    let variant = Variant {
        name: chosen.name,
        plan: Arc::new(chosen.gateway.plan),
        setup: chosen.gateway.commands.into(),
        world: Arc::new(chosen.world),
        clients: Arc::new(chosen.clients),
    };
    let mut driver = Driver::new(&variant, seed, SpendLogs { plan: Arc::clone(&variant.plan), open: HashMap::new(), lines: Vec::new() }).unwrap();
    let mut requests = stream::open(&traffic.base(), &traffic.changes).unwrap();
    while let Some(batch) = requests.next_batch().unwrap() {
        driver.feed(&Arc::new(batch)).unwrap();
    }
    driver.finish()
}
