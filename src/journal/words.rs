//! Facts of a journal in words, with the names that numbers stand for. Decides wording only.

use crate::gateway::Gateway;
use crate::gateway::command::Command;
use crate::gateway::id::{DeploymentId, KeyId, ModelId};
use crate::gateway::in_flight::{Action, Event};
use crate::gateway::journal::{Certainty, Ended, Fact, Outcome, Position, Record};
use crate::gateway::plan::Plan;
use crate::gateway::request::Request;

/// Who tells of facts.
#[derive(Debug, Clone, Copy)]
pub struct Words<'a> {
    /// The names of models and deployments.
    pub plan: &'a Plan,
    /// The names of keys.
    pub gateway: &'a Gateway,
}

impl Words<'_> {
    /// A record in words, with the request that it is about. The rare ones are told by their fields.
    pub fn of(&self, record: &Record) -> String {
        let fact = self.fact(&record.fact);
        record.request.map_or_else(|| fact.clone(), |id| format!("request {}: {fact}", id.0))
    }

    fn fact(&self, fact: &Fact) -> String {
        match fact {
            Fact::Told(event) => self.event(event),
            Fact::Commanded(command) => format!("the command {}", self.command(command)),
            Fact::Named { kind, name } => format!("the name {name:?} of {kind:?} is new"),
            Fact::PlanAdopted(number) => format!("plan {number} is adopted"),
            Fact::Ticked => "a second has passed".to_owned(),
            Fact::Recovered { calls, .. } => format!("another process goes on; {} calls were open and are presumed", calls.len()),
            Fact::Forgotten { .. } => "the body of a cached answer is not there".to_owned(),
            Fact::Decided(action) => format!("to do: {}", self.action(action)),
            Fact::Refused { denial, observed: false } => format!("refused: {denial:?}"),
            Fact::Refused { denial, observed: true } => format!("would have been refused: {denial:?}"),
            Fact::CacheHit { saved } => format!("the response cache has the answer, which had cost ${saved}"),
            Fact::Followed { leader } => format!("waits for the answer to the identical request {}", leader.0),
            Fact::Queued { limit } => format!("waits before limit {}", limit.0),
            Fact::Called(called) => {
                let (to, position) = (self.deployment(called.deployment), position(called.position));
                format!("call {} ({position}) leaves for {to}, max_tokens {}, at most ${}", called.call, called.max_tokens, called.worst_case)
            }
            Fact::Skipped { model, deployment, reason } => {
                format!("{} is passed over: {reason:?}", deployment.map_or_else(|| self.model(*model), |id| self.deployment(id)))
            }
            Fact::Opened { call } => format!("the answer of call {call} has begun"),
            Fact::CallClosed(closed) => {
                let (from, ended) = (self.deployment(closed.deployment), ended(closed.ended));
                let sure = if closed.certainty == Certainty::Confirmed { "confirmed" } else { "presumed" };
                let (input, output) = (closed.usage.input, closed.usage.output);
                format!("call {} to {from} is closed, {ended}: {input} in, {output} out, ${} {sure}", closed.call, closed.amount)
            }
            Fact::Corrected { call, presumed, confirmed } => format!("late usage corrects call {call} from ${presumed} to ${confirmed}"),
            Fact::Answered { outcome } => format!("answered: {}", self.outcome(outcome)),
            Fact::Closed => "closed".to_owned(),
            Fact::Cooled { deployment, until, class } => {
                format!("{} is left alone until {} ns for {}", self.deployment(*deployment), until.0, class.name())
            }
            Fact::BreakerTurned { deployment, to } => format!("the breaker of {} is {to:?}", self.deployment(*deployment)),
            Fact::Alerted(alert) => format!("alert: {alert:?}"),
            Fact::Breached { account, over, .. } => format!("account {} is passed by ${over}", account.0),
        }
    }

    fn event(&self, event: &Event) -> String {
        match event {
            Event::Arrived(request) => self.arrival(request),
            Event::Looked(hit) => format!("the remote cache has {}", if hit.is_some() { "the answer" } else { "no answer" }),
            Event::Woke => "its time has come".to_owned(),
            Event::Released(wake) => format!("goes on: {wake:?}"),
            Event::Opened { call } => format!("call {call} has begun to answer"),
            Event::Finished { call, usage: Some(usage), .. } => format!("call {call} has ended well: {} in, {} out", usage.input, usage.output),
            Event::Finished { call, received, usage: None } => {
                format!("call {call} has ended well, with at most {received} out, and does not say its usage")
            }
            Event::Failed { call, failure, received, .. } => {
                format!("call {call} has failed: {}, status {}, after {received} tokens", failure.class.name(), failure.status)
            }
            Event::ClientLeft { delivered, .. } => format!("the client leaves after {delivered} tokens"),
            Event::Dropped => "nobody carries it on any more".to_owned(),
        }
    }

    fn arrival(&self, request: &Request) -> String {
        let most = request.max_tokens.map_or_else(|| "none".to_owned(), |most| most.to_string());
        let (key, model, input) = (self.key(request.key), self.model(request.model), request.input_tokens);
        format!("arrives: key {key} asks for {model} with {input} input tokens, max_tokens {most}")
    }

    fn action(&self, action: &Action) -> String {
        match action {
            Action::Wait => "wait".to_owned(),
            Action::LookUp(_) => "ask the remote cache".to_owned(),
            Action::Call(call) => format!("call {} with max_tokens {}", self.deployment(call.deployment), call.max_tokens),
            Action::Sleep { until } => format!("nothing until {} ns", until.0),
            Action::Relay => "pass the answer on".to_owned(),
            Action::Drain { tokens_max, .. } => format!("read the answer on, {tokens_max} tokens at most"),
            Action::Finish(finish) => format!("end as {}", self.outcome(&finish.outcome)),
        }
    }

    fn outcome(&self, outcome: &Outcome) -> String {
        match outcome {
            Outcome::Served { model } => format!("served by {}", self.model(*model)),
            Outcome::Cached => "cached".to_owned(),
            Outcome::Shared => "shared".to_owned(),
            Outcome::Refused(denial) => format!("refused ({denial:?})"),
            Outcome::Failed(failure) => format!("failed ({}, status {})", failure.class.name(), failure.status),
            Outcome::Abandoned => "abandoned".to_owned(),
        }
    }

    fn command(&self, command: &Command) -> String {
        match command {
            Command::PutTeam { name, .. } => format!("to put team {name}"),
            Command::PutKey { name, .. } => format!("to put key {name}"),
            Command::PutEndUser { name, .. } => format!("to put end user {name}"),
            Command::PutTag { name, .. } => format!("to put tag {name}"),
            Command::BlockKey { name, blocked } => format!("to {} key {name}", if *blocked { "block" } else { "unblock" }),
            Command::BlockTeam { name, blocked } => format!("to {} team {name}", if *blocked { "block" } else { "unblock" }),
            Command::DeleteKey { name } => format!("to delete key {name}"),
            Command::DeleteTeam { name } => format!("to delete team {name}"),
            Command::Grant { account, amount } => format!("to grant account {} ${amount}", account.0),
        }
    }

    fn key(&self, id: KeyId) -> String {
        self.gateway.directory().key_names().get(id.index()).cloned().unwrap_or_else(|| format!("number {}", id.0))
    }

    fn model(&self, id: ModelId) -> String {
        self.plan.models.get(id.index()).map_or_else(|| format!("model number {}", id.0), |model| model.name.clone())
    }

    fn deployment(&self, id: DeploymentId) -> String {
        self.plan.deployments.get(id.index()).map_or_else(|| format!("deployment number {}", id.0), |deployment| deployment.name.clone())
    }
}

fn position(position: Position) -> &'static str {
    match position {
        Position::First => "first",
        Position::RetrySame => "retry, same deployment",
        Position::RetryOther => "retry, other deployment",
        Position::Fallback => "fallback",
    }
}

fn ended(ended: Ended) -> String {
    match ended {
        Ended::Delivered => "delivered".to_owned(),
        Ended::Failed(class) => format!("failed with {}", class.name()),
        Ended::TimedOut => "timed out".to_owned(),
        Ended::Cancelled => "cancelled".to_owned(),
        Ended::Discarded => "discarded".to_owned(),
    }
}
