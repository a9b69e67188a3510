//! A driver at a desk: a few words in, the rendered decisions out. For tests that read as sentences of the domain.
//!
//! Words, separated by `;`: `ask [MODEL] [key=K] [stream] [max=N] [in=N] [choices=N] [same] [wait=SECS] [user=U] [tag=T] [no_cache] [no_store]
//! [needs=N]` (a feature by its number), `N fail CLASS [after=SECS] [got=N] [accepted]`, `N ok [OUTPUT]` (usage is the input and so much output),
//! `N ok CALL OUTPUT` for late usage, `N ends OUTPUT` (well, at most so much output, and without usage), `N opens`, `N drops`,
//! `N wakes` (at its deadline), `N late SECS` (that much after it), `N leaves [RECEIVED DELIVERED]`, `N misses`, `N looked`, `+SECS`, `tick`.
//! Every request has its own fingerprint, unless it is the `same`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::gateway::Gateway;
use crate::gateway::command::{Command, KeySpec, TeamSpec};
use crate::gateway::failure::{Failure, FailureClass};
use crate::gateway::features::Features;
use crate::gateway::id::{DeploymentId, ModelId, RequestId, Slot};
use crate::gateway::in_flight::{Action, Event, Hit, InFlight};
use crate::gateway::journal::{Alert, BreakerState, Fact, Outcome, Record};
use crate::gateway::plan::Plan;
use crate::gateway::rate_card::Usage;
use crate::gateway::request::{Fingerprint, Request};
use crate::gateway::time::{Span, Time};

/// A gateway, its requests by number from 1, and what they have decided.
pub(super) struct Desk {
    pub(super) plan: Plan,
    pub(super) gateway: Gateway,
    pub(super) now: Time,
    pub(super) journal: Vec<Record>,
    flights: Vec<(InFlight, Plan)>,
    told: usize,
}

impl Desk {
    /// A gateway with the key `key`, at the second 1000.
    pub(super) fn new(plan: Plan) -> Self {
        let gateway = Gateway::new(&plan, 7);
        let mut desk = Self { plan, gateway, now: Time(1_000_000_000_000), journal: Vec::new(), flights: Vec::new(), told: 0 };
        desk.put_key("key", KeySpec::default());
        desk
    }

    pub(super) fn apply(&mut self, command: Command) {
        self.gateway.apply(&self.plan, self.now, command, &mut self.journal).expect("the command names what there is");
        self.drain_ready();
    }

    pub(super) fn put_key(&mut self, name: &str, spec: KeySpec) {
        self.apply(Command::PutKey { name: name.to_string(), spec });
    }

    pub(super) fn put_team(&mut self, name: &str, spec: TeamSpec) {
        self.apply(Command::PutTeam { name: name.to_string(), spec });
    }

    pub(super) fn adopt(&mut self, change: impl FnOnce(&mut Plan)) {
        change(&mut self.plan);
        self.gateway.adopt(&self.plan, self.now, &mut self.journal);
        self.drain_ready();
    }

    /// Says the words, and compares what is decided on them.
    #[track_caller]
    pub(super) fn check(&mut self, words: &str, expected: &str) {
        self.run(words);
        let told = self.told;
        self.told = self.journal.len();
        let decided = self.decided_since(told);
        let expected: Vec<&str> = expected.split(';').map(str::trim).filter(|line| !line.is_empty()).collect();
        assert_eq!(decided, expected, "\n{}", decided.join("; "));
    }

    /// Says the words.
    pub(super) fn run(&mut self, words: &str) {
        for word in words.split(';') {
            let word: Vec<&str> = word.split_whitespace().collect();
            self.say(&word);
        }
    }

    /// What was decided since the record numbered `from`.
    pub(super) fn decided_since(&self, from: usize) -> Vec<String> {
        self.journal[from..].iter().filter_map(|record| self.render(record)).collect()
    }

    /// Tells a request an event by the words of the state table, which name the call.
    pub(super) fn tell(&mut self, who: &str, event: &str) {
        let slot = who.parse::<usize>().expect("a number") - 1;
        let word: Vec<&str> = event.split_whitespace().collect();
        let call = |text: &str| text.parse().expect("a number");
        let failure = Failure::new(FailureClass::Internal);
        let event = match word[..] {
            ["opens", number] => Event::Opened { call: call(number) },
            ["fail", number] => Event::Failed { call: call(number), failure, accepted: false, received: 0, usage: None },
            ["billed", number] => Event::Failed { call: call(number), failure, accepted: false, received: 0, usage: Some(Usage::plain(100, 0)) },
            ["ends", number] => Event::Finished { call: call(number), received: 9, usage: None },
            ["early"] => Event::Woke,
            _ => {
                let mut word = word.clone();
                word.insert(0, who);
                return self.say(&word);
            }
        };
        self.step(slot, event);
        self.drain_ready();
    }

    /// Answers every open call until all requests are over.
    pub(super) fn end_all(&mut self) {
        for _ in 0..20 {
            for slot in 0..self.flights.len() {
                let flight = &self.flights[slot].0;
                if !flight.is_closed() {
                    let event = Event::Finished { call: flight.calls(), received: 1, usage: Some(Usage::plain(100, 1)) };
                    self.step(slot, event);
                    self.drain_ready();
                }
                if let Some((at, _)) = self.flights[slot].0.deadline() {
                    self.now = self.now.max(at);
                    self.step(slot, Event::Woke);
                    self.drain_ready();
                }
            }
        }
        assert!(self.flights.iter().all(|(flight, _)| flight.is_closed()), "all come to an end");
    }

    pub(super) fn arrive_again(&mut self) {
        let request = *self.flights[0].0.request();
        self.step(0, Event::Arrived(request));
    }

    /// Nothing is left over.
    #[track_caller]
    pub(super) fn check_empty(&self) {
        assert_eq!(self.gateway.outstanding(), crate::gateway::Outstanding::default());
    }

    fn say(&mut self, word: &[&str]) {
        let number = |text: &str| -> u32 { text.parse().expect("a number") };
        match word {
            ["ask", rest @ ..] => self.ask(rest),
            [] => {}
            ["tick"] => self.gateway.tick(self.now, &mut self.journal),
            [seconds] if seconds.starts_with('+') => self.now = self.now + span(&seconds[1..]),
            [who, what, rest @ ..] => {
                let slot = number(who) as usize - 1;
                let flight = &self.flights[slot].0;
                let call = flight.calls();
                let usage = |output: u32| Usage::plain(flight.request().input_tokens, output);
                let ok = |call, output| Event::Finished { call, received: output, usage: Some(usage(output)) };
                let event = match (*what, rest) {
                    ("opens", []) => Event::Opened { call },
                    ("ok", []) => ok(call, 10),
                    ("ok", [output]) => ok(call, number(output)),
                    ("ok", [call, output]) => ok(number(call), number(output)),
                    ("ends", [output]) => Event::Finished { call, received: number(output), usage: None },
                    ("drops", []) => Event::Dropped,
                    ("fail", [class, rest @ ..]) => {
                        let value = |name: &str| rest.iter().find_map(|word| word.strip_prefix(name));
                        let class = FailureClass::named(class).expect("a class");
                        let failure = Failure { retry_after: value("after=").map(span), ..Failure::new(class) };
                        let accepted = rest.contains(&"accepted");
                        Event::Failed { call, failure, accepted, received: value("got=").map_or(0, number), usage: None }
                    }
                    ("wakes", []) => {
                        self.now = flight.deadline().expect("it has one").0;
                        Event::Woke
                    }
                    ("late", [seconds]) => {
                        self.now = flight.deadline().expect("it has one").0 + span(seconds);
                        Event::Woke
                    }
                    ("leaves", []) => Event::ClientLeft { received: 0, delivered: 0 },
                    ("leaves", [received, delivered]) => Event::ClientLeft { received: number(received), delivered: number(delivered) },
                    ("misses", []) => Event::Looked(None),
                    ("looked", []) => Event::Looked(Some(Hit { usage: usage(5), deployment: DeploymentId(0) })),
                    _ => panic!("no such word: {word:?}"),
                };
                self.step(slot, event);
            }
            _ => panic!("no such word: {word:?}"),
        }
        self.drain_ready();
    }

    fn ask(&mut self, words: &[&str]) {
        let value = |name: &str| words.iter().find_map(|word| word.strip_prefix(name));
        let model = self.plan.models.iter().position(|model| words.contains(&model.name.as_str())).unwrap_or(0);
        let slot = self.flights.len();
        let input_tokens = value("in=").map_or(100, |text| text.parse().expect("a number"));
        let request = Request {
            id: RequestId(slot as u64 + 1),
            slot: Slot(slot as u32),
            key: self.gateway.key(value("key=").unwrap_or("key")).expect("a key"),
            model: ModelId(model as u32),
            end_user: value("user=").map(|name| self.gateway.end_user(self.now, name, &mut self.journal)),
            tag: value("tag=").map(|name| self.gateway.tag(self.now, name, &mut self.journal)),
            input_tokens,
            input_tokens_max: input_tokens,
            max_tokens: value("max=").and_then(|text| text.parse().ok()),
            choices: value("choices=").map_or(1, |text| text.parse().expect("a number")),
            stream: words.contains(&"stream"),
            no_cache: words.contains(&"no_cache"),
            no_store: words.contains(&"no_store"),
            fingerprint: Fingerprint(if words.contains(&"same") { 0 } else { slot as u64 + 1 }, 0),
            requires: value("needs=").map_or(Features::NONE, |feature| Features::of(feature.parse().expect("a number"))),
            deadline: value("wait=").map(|seconds| self.now + span(seconds)),
        };
        self.flights.push((InFlight::new(), self.plan.clone()));
        self.step(slot, Event::Arrived(request));
    }

    fn step(&mut self, slot: usize, event: Event) {
        let (flight, plan) = &mut self.flights[slot];
        flight.step(plan, &mut self.gateway, self.now, event, &mut self.journal);
    }

    fn drain_ready(&mut self) {
        while let Some((Slot(slot), wake)) = self.gateway.ready.pop_front() {
            self.step(slot as usize, Event::Released(wake));
        }
    }

    /// A decision in words; nothing for facts that are told by another.
    fn render(&self, record: &Record) -> Option<String> {
        let who = record.request.map_or(0, |id| id.0);
        let name = |id: DeploymentId| &self.plan.deployment(id).name;
        let model = |id: ModelId| &self.plan.model(id).name;
        Some(match &record.fact {
            Fact::Decided(Action::Call(call)) => {
                let clamped = call.max_tokens != self.plan.deployment(call.deployment).output_tokens_max;
                let most = if clamped { format!(" for {}", call.max_tokens) } else { String::new() };
                format!("{who} calls {}{most}", name(call.deployment))
            }
            Fact::Decided(Action::Sleep { until }) => format!("{who} sleeps {}", until.since(record.at)),
            Fact::Decided(Action::Relay) => format!("{who} relays"),
            Fact::Decided(Action::Drain { until, tokens_max }) => format!("{who} drains {} {tokens_max}", until.since(record.at)),
            Fact::Decided(Action::LookUp(_)) => format!("{who} looks up"),
            Fact::Decided(Action::Wait) => return None,
            Fact::Decided(Action::Finish(finish)) => match finish.outcome {
                Outcome::Served { model: by } => format!("{who} served by {}", model(by)),
                Outcome::Cached => format!("{who} cached"),
                Outcome::Shared => format!("{who} shared"),
                Outcome::Refused(denial) => format!("{who} refused: {denial:?}"),
                Outcome::Failed(Failure { class, retry_after: Some(after), .. }) => format!("{who} failed: {class}, back in {after}"),
                Outcome::Failed(failure) => format!("{who} failed: {}", failure.class),
                Outcome::Abandoned => format!("{who} abandoned"),
            },
            Fact::Refused { denial, observed: true } => format!("{who} would be refused: {denial:?}"),
            Fact::Followed { leader } => format!("{who} follows {}", leader.0),
            Fact::Queued { limit } => format!("{who} queues at {}", limit.0),
            Fact::Skipped { model: group, deployment, reason } => {
                format!("{who} skips {}: {reason:?}", deployment.map_or(model(*group), name))
            }
            Fact::Corrected { presumed, confirmed, .. } => format!("{who} corrected {presumed} to {confirmed}"),
            Fact::Cooled { deployment, until, class } => format!("{} cools {} for {class}", name(*deployment), until.since(record.at)),
            Fact::BreakerTurned { deployment, to } => {
                let to = match to {
                    BreakerState::Closed => "closed",
                    BreakerState::Open => "open",
                    BreakerState::HalfOpen => "half-open",
                };
                format!("{} {to}", name(*deployment))
            }
            Fact::Alerted(Alert::BudgetLevel { account, per_mille }) => format!("account {} at {per_mille}", account.0),
            Fact::Alerted(Alert::FallbackShare { per_mille, .. }) => format!("fallbacks at {per_mille}"),
            Fact::Alerted(Alert::Loop { key }) => format!("key {} loops", key.0),
            Fact::Alerted(Alert::Recovered { deployment }) => format!("{} is back", name(*deployment)),
            Fact::Breached { account, over, .. } => format!("account {} over by {over}", account.0),
            Fact::Recovered { calls, .. } => format!("recovered {}", calls.len()),
            _ => return None,
        })
    }
}

fn span(seconds: &str) -> Span {
    let seconds: f64 = seconds.parse().expect("seconds");
    Span::from_millis((seconds * 1000.0).round() as u64)
}
