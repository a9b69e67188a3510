//! Makes rows of what a run observes of its requests, call by call. Decides what of it is told; knows no file and no driver.

use std::mem;
use std::sync::Arc;

use super::file::Chunk;
use super::owners::Owners;
use super::{CallRow, RequestName, RequestRow, team_of};
use crate::gateway::Gateway;
use crate::gateway::id::{KeyId, Map, RequestId};
use crate::gateway::in_flight::Event;
use crate::gateway::journal::{CallClosed, Certainty, Denial, Ended, Fact, Outcome, Position, RecoveredCall, Skip};
use crate::gateway::money::Money;
use crate::gateway::plan::Plan;
use crate::gateway::rate_card::{RateCard, Usage};
use crate::gateway::request::Request;
use crate::gateway::time::{Span, Time};
use crate::price::tokens::{TokenCounts, TokenTable};
use crate::report::cause::{self, Parts, position_name};
use crate::report::fold::{Billed, Directory};
use crate::report::numbers::{latency, usd};

/// Bits of a request's number that say which row of the traffic it is; those above count its client's retries.
const ROW_BITS: u32 = 48;

/// Whether a request is what the traffic has, and no retry of it by its client.
pub fn is_first_try(RequestId(id): RequestId) -> bool {
    id >> ROW_BITS == 0
}

/// The row of the traffic, from 1, and the retry that a request is. In a journal, its number there.
fn named(RequestId(id): RequestId, is_live: bool) -> RequestName {
    RequestName { row: (id & ((1 << ROW_BITS) - 1)) + u64::from(!is_live), retry: id >> ROW_BITS }
}

/// Takes down one variant's run.
#[derive(Debug)]
pub struct Recorder {
    variant: String,
    plan: Arc<Plan>,
    tokens: TokenTable,
    directory: Directory,
    owners: Owners,
    open: Map<u64, Open>,
    done: Chunk,
    /// It is a journal that is told of: what its ledger has is all that is known of bills.
    is_live: bool,
}

/// A request that is not closed yet.
#[derive(Debug)]
struct Open {
    row: RequestRow,
    request: Request,
    calls: Vec<CallRow>,
    notes: Vec<String>,
    /// What was passed over since the last call.
    passed_over: Vec<String>,
    /// How the last call ended, in words.
    last_end: Option<String>,
    last_at: Time,
    called: Option<(Time, u32)>,
}

impl Recorder {
    /// An empty recorder of a variant; `tokens` compares the token counts of its models.
    pub fn new(variant: &str, plan: Arc<Plan>, tokens: TokenTable) -> Self {
        let owners = Owners::new(&plan);
        let (variant, directory, done) = (variant.to_owned(), Directory::default(), Chunk::default());
        Self { variant, plan, tokens, directory, owners, open: Map::default(), done, is_live: false }
    }

    /// An empty recorder of the journal called `name`, from a state of its gateway on.
    pub fn of_journal(name: &str, plan: Arc<Plan>, gateway: Gateway) -> Self {
        let tokens = TokenTable::new(&plan, &TokenCounts::default());
        let (directory, owners) = (Directory::of(gateway.directory()), Owners::of(&plan, gateway));
        let (variant, done) = (name.to_owned(), Chunk::default());
        Self { variant, plan, tokens, directory, owners, open: Map::default(), done, is_live: true }
    }

    /// Goes over to another plan: it has the names of the one before, and other rates.
    pub fn adopt(&mut self, now: Time, plan: Arc<Plan>) {
        self.tokens = TokenTable::new(&plan, &TokenCounts::default());
        self.owners.adopt(now, &plan);
        self.plan = plan;
    }

    /// What was closed since the last time.
    pub fn take(&mut self) -> Chunk {
        mem::take(&mut self.done)
    }

    /// Whether [`Recorder::fact`] reads facts of this kind.
    #[inline]
    pub fn wants(fact: &Fact) -> bool {
        !matches!(fact, Fact::Decided(_) | Fact::CallClosed(_) | Fact::PlanAdopted(_) | Fact::Ticked)
    }

    /// Requests may come with these tags of their own from now on: the number of their list, and the tags.
    pub fn tagged(&mut self, list: u32, tags: &[&str]) {
        self.directory.tags.put_list(list, tags);
    }

    /// Takes down a fact, about a request if it is about one.
    pub fn fact(&mut self, now: Time, request: Option<RequestId>, fact: &Fact) {
        if let Fact::Commanded(command) = fact {
            self.directory.carry_out(command);
            self.owners.follow(now, command);
        }
        if let Fact::Recovered { calls, .. } = fact {
            self.recovered(now, calls);
        }
        let Some(RequestId(id)) = request else { return };
        if let Fact::Told(Event::Arrived(request)) = fact {
            self.arrived(now, request);
            return;
        }
        let Some(open) = self.open.get_mut(&id) else { return };
        match fact {
            Fact::Refused { denial, observed: true } => {
                let why = denied(&self.owners, open.request.key, denial);
                open.notes.push(format!("would have been refused, were it enforced: {why}"));
            }
            Fact::CacheHit { saved } => open.row.cache_saved_picousd = *saved,
            Fact::Followed { leader } => {
                open.notes.push(format!("waited for the answer to the identical request {}", named(*leader, self.is_live)));
            }
            Fact::Queued { limit } => open.notes.push(format!("waited in the queue of {}", self.owners.limit(open.request.key, *limit))),
            Fact::Skipped { model, deployment, reason } => {
                let name = deployment.map_or_else(|| &self.plan.model(*model).name, |deployment| &self.plan.deployment(deployment).name);
                open.passed_over.push(format!("{name} was passed over ({})", skipped(&self.owners, open.request.key, *reason)));
            }
            Fact::Called(called) => {
                open.called = Some((now, called.max_tokens));
                open.row.calls += 1;
            }
            Fact::Opened { .. } => {
                open.row.first_token_ns.get_or_insert(now.since(Time(open.row.arrived_ns)).0);
            }
            Fact::Corrected { presumed, confirmed, .. } => {
                open.notes.push(format!("late usage corrected the ledger from {presumed} to {confirmed}"));
            }
            Fact::Answered { outcome } => self.answered(now, id, outcome),
            Fact::Closed => self.closed(id),
            _ => {}
        }
    }

    /// Takes down a closed call of a request, which carries the list of tags of that number, with the world's bill for it.
    pub fn call(&mut self, now: Time, (RequestId(id), tags): (RequestId, Option<u32>), closed: &CallClosed, billed: Billed) {
        let Some(open) = self.open.get_mut(&id) else { return };
        let (plan, tokens) = (&self.plan, &self.tokens);
        let deployment = plan.deployment(closed.deployment);
        let asked = open.request.model;
        let card = deployment.rates.at(closed.since);
        let at_reference = |usage| tokens.at_reference(asked, closed.deployment, usage);
        let parts = cause::split(closed, billed.usage, billed.amount, (card, plan.model(asked).reference.at(closed.since)), at_reference);
        let (started, max_tokens) = open.called.take().unwrap_or((closed.since, 0));
        let failure = if let Ended::Failed(class) = closed.ended { class.name() } else { "" };
        let mut row = CallRow {
            variant: self.variant.clone(),
            request: open.row.request,
            retry: open.row.retry,
            call: closed.call.into(),
            position: position_name(closed.position).to_owned(),
            why: why(closed.position, open.last_end.as_deref(), &mem::take(&mut open.passed_over)),
            key: open.row.key.clone(),
            team: open.row.team.clone(),
            tags: self.directory.tags_of(open.request.key, tags),
            model_asked: open.row.model.clone(),
            model: plan.model(closed.model).name.clone(),
            deployment: deployment.name.clone(),
            provider: deployment.provider.clone(),
            provider_model: deployment.model.clone(),
            start_ns: started.0,
            end_ns: now.0,
            waited_ns: started.since(open.last_at).0,
            ended: ended(closed.ended).to_owned(),
            failure: failure.to_owned(),
            max_tokens: max_tokens.into(),
            delivered_tokens: closed.delivered.into(),
            cost_picousd: billed.amount,
            ledger_picousd: closed.amount,
            confirmed: closed.certainty == Certainty::Confirmed,
            shared: billed.shared,
            ..CallRow::default()
        };
        fill_usage(&mut row, billed.usage);
        fill_causes(&mut row, parts);
        // What a rule presumes need not be the price of any tokens.
        let is_by_tokens = !self.is_live || card.cost(billed.usage) == billed.amount;
        if billed.amount != Money::ZERO && is_by_tokens {
            fill_classes(&mut row, card, billed.usage);
        }
        open.row.cost_picousd += billed.amount;
        open.last_end = Some(if failure.is_empty() { ended(closed.ended).to_owned() } else { format!("failed with {failure}") });
        open.last_at = now;
        open.calls.push(row);
    }

    fn arrived(&mut self, now: Time, request: &Request) {
        let name = named(request.id, self.is_live);
        let key = self.directory.keys.names().get(request.key.index()).cloned().unwrap_or_default();
        let row = RequestRow {
            variant: self.variant.clone(),
            request: name.row,
            retry: name.retry,
            arrived_ns: now.0,
            team: team_of(&self.directory, &key),
            key,
            model: self.plan.models.get(request.model.index()).map_or_else(|| "an unknown model".to_owned(), |model| model.name.clone()),
            input_tokens: request.input_tokens.into(),
            max_tokens: request.max_tokens.map(|most| most.get().into()),
            stream: request.stream,
            ..RequestRow::default()
        };
        let open = Open {
            row,
            request: *request,
            calls: Vec::new(),
            notes: Vec::new(),
            passed_over: Vec::new(),
            last_end: None,
            last_at: now,
            called: None,
        };
        self.open.insert(request.id.0, open);
    }

    fn answered(&mut self, now: Time, id: u64, outcome: &Outcome) {
        let Some(open) = self.open.get_mut(&id) else { return };
        open.row.latency_ns = now.since(Time(open.row.arrived_ns)).0;
        let (name, why) = match outcome {
            Outcome::Served { model } => {
                open.row.answered_by.clone_from(&self.plan.model(*model).name);
                ("served", String::new())
            }
            Outcome::Cached => ("cached", String::new()),
            Outcome::Shared => ("shared", String::new()),
            Outcome::Refused(denial) => ("refused", denied(&self.owners, open.request.key, denial)),
            Outcome::Failed(failure) => ("failed", format!("{}, status {}", failure.class.name(), failure.status)),
            Outcome::Abandoned => ("abandoned", String::new()),
        };
        open.row.outcome = name.to_owned();
        open.row.why = why;
    }

    /// The process is gone that had requests in flight: nobody has seen their ends.
    fn recovered(&mut self, now: Time, calls: &[RecoveredCall]) {
        for call in calls {
            let Some(open) = self.open.get_mut(&call.request.0) else { continue };
            open.notes.push(format!("call {} was open when the gateway's process ended: the ledger presumes {}", call.call, usd(call.amount)));
            open.row.cost_picousd += call.amount;
        }
        let mut open: Vec<u64> = self.open.keys().copied().collect();
        open.sort_unstable();
        for id in open {
            if let Some(open) = self.open.get_mut(&id).filter(|open| open.row.outcome.is_empty()) {
                open.row.latency_ns = now.since(Time(open.row.arrived_ns)).0;
                open.row.outcome = "lost".to_owned();
                open.row.why = "the gateway's process ended".to_owned();
            }
            self.closed(id);
        }
    }

    fn closed(&mut self, id: u64) {
        let Some(mut open) = self.open.remove(&id) else { return };
        // What was passed over after the last call led to no other.
        open.notes.append(&mut open.passed_over);
        open.row.notes = open.notes.join("\n");
        self.done.requests.push(open.row);
        self.done.calls.append(&mut open.calls);
    }
}

/// Why there was a call.
fn why(position: Position, last_end: Option<&str>, passed_over: &[String]) -> String {
    let after = match (position, last_end) {
        (Position::First, _) | (_, None) => None,
        (_, Some(end)) => Some(format!("the call before {end}")),
    };
    after.into_iter().chain(passed_over.iter().cloned()).collect::<Vec<_>>().join("; ")
}

fn ended(ended: Ended) -> &'static str {
    match ended {
        Ended::Delivered => "delivered",
        Ended::Failed(_) => "failed",
        Ended::TimedOut => "timed out",
        Ended::Cancelled => "cancelled",
        Ended::Discarded => "discarded",
    }
}

fn skipped(owners: &Owners, key: KeyId, reason: Skip) -> String {
    match reason {
        Skip::Budget(account) => format!("its worst case does not fit {}", owners.budget(key, account)),
        Skip::PriceRatio => "dearer than fallback.max_price_ratio allows".to_owned(),
        Skip::Tier => "of another tier".to_owned(),
        Skip::Unhealthy => "all its deployments cool down or have open breakers".to_owned(),
        Skip::TooLong => "the input is too long for it".to_owned(),
        Skip::RetryBudget => "the retry budget is empty".to_owned(),
        Skip::ModelNotAllowed => "the key may not use it".to_owned(),
        Skip::Retired => "retired".to_owned(),
        Skip::CannotExpress => "it cannot express the request".to_owned(),
    }
}

fn denied(owners: &Owners, key: KeyId, denial: &Denial) -> String {
    match denial {
        Denial::UnknownKey => "no such key".to_owned(),
        Denial::Blocked => "the key or its team is blocked".to_owned(),
        Denial::Deleted => "the key or its team was deleted".to_owned(),
        Denial::Expired => "the key has expired".to_owned(),
        Denial::ModelNotAllowed => "the key may not ask for this model".to_owned(),
        Denial::UnknownModel => "no such model".to_owned(),
        Denial::Limited(limit) => format!("{} is used up", owners.limit(key, *limit)),
        Denial::QueueFull(limit) => format!("the queue of {} was full, or the wait in it too long", owners.limit(key, *limit)),
        Denial::Loop => "the loop detector: the same request again and again".to_owned(),
        Denial::Budget(account) => format!("its worst case does not fit {}", owners.budget(key, *account)),
        Denial::TooLong => "the input is longer than any deployment takes".to_owned(),
        Denial::DeadlinePassed => "the client's deadline had passed".to_owned(),
        Denial::CannotExpress => "no deployment can express it".to_owned(),
    }
}

fn fill_usage(row: &mut CallRow, usage: Usage) {
    let Usage { input, cache_read, cache_write, cache_write_1h, output, reasoning } = usage;
    row.input_tokens = input.into();
    row.cache_read_tokens = cache_read.into();
    row.cache_write_tokens = cache_write.into();
    row.cache_write_1h_tokens = cache_write_1h.into();
    row.output_tokens = output.into();
    row.reasoning_tokens = reasoning.into();
}

fn fill_causes(row: &mut CallRow, parts: Parts) {
    match parts {
        Parts::Wasted(_, _, amount) => row.wasted_picousd = amount,
        Parts::Delivered { undelivered, base, premium, prompt_cache } => {
            row.undelivered_picousd = undelivered;
            row.base_picousd = base;
            row.premium_of_place_picousd = premium;
            row.prompt_cache_picousd = prompt_cache;
        }
    }
}

/// What each class of token of a billed usage costs on a card.
///
/// # Panics
/// If they are not the bill together: a rate that nobody thought of here.
fn fill_classes(row: &mut CallRow, card: &RateCard, usage: Usage) {
    let rates = card.rates(usage.input);
    let cached = usage.cache_read + usage.cache_write + usage.cache_write_1h;
    row.input_cost_picousd = rates.input.times(u64::from(usage.input - cached));
    row.cache_read_cost_picousd = rates.cache_read.times(usage.cache_read.into());
    row.cache_write_cost_picousd = rates.cache_write.times(usage.cache_write.into());
    row.cache_write_1h_cost_picousd = rates.cache_write_1h.times(usage.cache_write_1h.into());
    row.output_cost_picousd = rates.output.times(u64::from(usage.output - usage.reasoning));
    row.reasoning_cost_picousd = rates.reasoning.times(usage.reasoning.into());
    row.request_cost_picousd = card.per_request();
    let sum: Money = row.classes().into_iter().map(|(_, _, amount)| amount).sum();
    assert_eq!(sum, row.cost_picousd, "a bill is the sum of its classes of tokens");
}

impl CallRow {
    /// The classes of tokens that a bill consists of: name, how many, and what they cost. The last is the price of the request as such.
    pub fn classes(&self) -> [(&'static str, u64, Money); 7] {
        let cached = self.cache_read_tokens + self.cache_write_tokens + self.cache_write_1h_tokens;
        [
            ("input", self.input_tokens.saturating_sub(cached), self.input_cost_picousd),
            ("cache read", self.cache_read_tokens, self.cache_read_cost_picousd),
            ("cache write", self.cache_write_tokens, self.cache_write_cost_picousd),
            ("cache write 1h", self.cache_write_1h_tokens, self.cache_write_1h_cost_picousd),
            ("output", self.output_tokens.saturating_sub(self.reasoning_tokens), self.output_cost_picousd),
            ("reasoning", self.reasoning_tokens, self.reasoning_cost_picousd),
            ("request", 1, self.request_cost_picousd),
        ]
    }

    /// The causes that a bill consists of, which sum to it.
    pub fn causes(&self) -> [(&'static str, Money); 5] {
        [
            ("base", self.base_picousd),
            ("premium of place", self.premium_of_place_picousd),
            ("prompt cache", self.prompt_cache_picousd),
            ("undelivered", self.undelivered_picousd),
            ("wasted", self.wasted_picousd),
        ]
    }

    /// How long it took, as shown.
    pub fn took(&self) -> String {
        latency(Span(self.end_ns.saturating_sub(self.start_ns)))
    }
}
