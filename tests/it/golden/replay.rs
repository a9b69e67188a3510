//! Replays requests through the simulator in virtual time and keeps what was seen of each. Contains no policy and no expectation.

use std::path::Path;
use std::sync::Arc;

use gwsim::gateway::command::{Command, KeySpec};
use gwsim::gateway::failure::{Failure, FailureClass};
use gwsim::gateway::in_flight::Event;
use gwsim::gateway::journal::{Ended, Fact, Outcome};
use gwsim::gateway::plan::Plan;
use gwsim::gateway::time::{Span, Time};
use gwsim::sim::client::{ClientError, Clients};
use gwsim::sim::driver::{Driver, Variant};
use gwsim::sim::observe::{Context, Observer};
use gwsim::sim::world::World;
use gwsim::traffic::trace::{Batch, Options, Trace};

/// One request of a client.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The model group.
    pub model: String,
    /// When.
    pub when: When,
    /// Whether it wants a stream.
    pub stream: bool,
}

/// When a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// This long after the start, whatever happens to the others.
    At(Span),
    /// This long after the one before was answered.
    After(Span),
}

/// What was seen of one request.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Its calls, in order.
    pub calls: Vec<SeenCall>,
    /// The status that its client saw.
    pub status: Option<u16>,
    /// When it was answered.
    pub answered_at: Option<Time>,
    /// A stream that had begun broke off.
    pub broke_off: bool,
}

/// What was seen of one call.
#[derive(Debug, Clone)]
pub struct SeenCall {
    /// The model group.
    pub group: String,
    /// The deployment.
    pub deployment: String,
    /// The status, or `client_gone` (a time-out), `broken` (no answer), `cut` (a stream that broke off).
    pub status: String,
    /// When it left.
    pub at: Time,
    /// When it was closed.
    pub closed_at: Time,
    /// Output tokens passed on: chunks, for streams.
    pub delivered: u32,
    opened: bool,
    failure: Option<Failure>,
}

/// The instant at which every replay starts: in the middle of a clock minute.
const START: Time = Time(1_790_000_020_000_000_000);

/// Sends `asks` through a gateway with `plan` in `world`, with the luck of `seed`.
///
/// # Errors
/// If the simulator refuses the traffic, for instance for an unknown model.
pub fn replay(plan: &Arc<Plan>, key: KeySpec, world: World, asks: &[Ask], seed: u64) -> Result<Vec<Seen>, ClientError> {
    let variant = Variant {
        name: "golden".into(),
        plan: Arc::clone(plan),
        setup: Arc::from([Command::PutKey { name: "client".into(), spec: key }]),
        world: Arc::new(world),
        clients: Arc::new(Clients { default_key: Some("client".into()), ..Clients::default() }),
    };
    let watcher = Watcher { plan: Arc::clone(plan), seen: vec![Seen::default(); asks.len()] };
    let mut driver = Driver::new(&variant, seed, watcher).expect("the world has every deployment");
    let all = traffic(asks);
    let mut now = START;
    for (index, ask) in asks.iter().enumerate() {
        let at = match ask.when {
            When::At(since_start) => START + since_start,
            When::After(pause) => driver.run_to_rest().max(now) + pause,
        };
        now = at;
        let mut batch = all.clone();
        batch.rows = vec![all.rows[index].clone()];
        batch.rows[0].at = at;
        if index > 0 {
            batch.first_seen = <_>::default();
        }
        driver.feed(&Arc::new(batch))?;
    }
    Ok(driver.finish().0.seen)
}

/// The requests as rows of one batch; their times are set when they are sent.
fn traffic(asks: &[Ask]) -> Batch {
    let mut text = String::from("at_s,model,input_tokens,output_tokens,stream\n");
    for ask in asks {
        text += &format!("0,{},10,20,{}\n", ask.model, ask.stream);
    }
    let mut trace = Trace::of_bytes(Path::new("golden.csv"), text.as_bytes(), Options::default()).expect("the columns are known");
    trace.next_batch().expect("the rows are good").unwrap_or_default()
}

struct Watcher {
    plan: Arc<Plan>,
    seen: Vec<Seen>,
}

impl Observer for Watcher {
    fn fact(&mut self, now: Time, context: Option<&Context>, fact: &Fact) {
        let Some(context) = context else { return };
        let seen = &mut self.seen[usize::try_from(context.id.0).expect("a small number")];
        match *fact {
            Fact::Called(called) => seen.calls.push(SeenCall {
                group: self.plan.model(called.model).name.clone(),
                deployment: self.plan.deployment(called.deployment).name.clone(),
                status: String::new(),
                at: now,
                closed_at: now,
                delivered: 0,
                opened: false,
                failure: None,
            }),
            Fact::Opened { .. } => seen.calls.last_mut().expect("a call opens").opened = true,
            Fact::Told(Event::Failed { failure, .. }) => seen.calls.last_mut().expect("a call fails").failure = Some(failure),
            Fact::CallClosed(closed) => {
                let call = seen.calls.last_mut().expect("a call is closed");
                (call.closed_at, call.delivered) = (now, closed.delivered);
                call.status = call.label(closed.ended);
            }
            Fact::Answered { outcome } => {
                let opened = seen.calls.last().is_some_and(|call| call.opened);
                seen.answered_at = Some(now);
                seen.broke_off = opened && matches!(outcome, Outcome::Failed(_));
                seen.status = match outcome {
                    Outcome::Served { .. } | Outcome::Cached | Outcome::Shared => Some(200),
                    // The status line has gone out with the first chunk.
                    Outcome::Failed(_) if opened => Some(200),
                    Outcome::Failed(failure) => Some(failure.status),
                    Outcome::Refused(denial) => panic!("nothing is refused here: {denial:?}"),
                    Outcome::Abandoned => None,
                };
            }
            _ => {}
        }
    }
}

impl SeenCall {
    fn label(&self, ended: Ended) -> String {
        match (ended, self.failure) {
            (Ended::TimedOut | Ended::Cancelled, _) => "client_gone".into(),
            (Ended::Failed(_), Some(failure)) if failure.class == FailureClass::Connect => "broken".into(),
            (Ended::Failed(_), Some(failure)) if failure.class == FailureClass::Cut => "cut".into(),
            // The upstream had answered 200 before the gateway lost patience.
            (Ended::Failed(_), Some(_)) if self.opened => "200".into(),
            (Ended::Failed(_), Some(failure)) => failure.status.to_string(),
            (Ended::Failed(class), None) => class.to_string(),
            (Ended::Delivered | Ended::Discarded, _) => "200".into(),
        }
    }
}
