//! All that an exchange is, and how it goes on by one step: the core's action is carried out, and what comes of it is told to the core.

use std::cmp::Ordering;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use hyper::body::Incoming;

use super::counting::Counting;
use super::reading::{self, Refusal, Whole};
use super::timer::{Due, Timer};
use crate::gateway::failure::{Failure, FailureClass};
use crate::gateway::in_flight::{Action, Call, Event};
use crate::gateway::journal::{Denial, Outcome};
use crate::gateway::plan::ServiceClass;
use crate::gateway::rate_card::Usage;
use crate::serve::alerts::{Notice, Subject};
use crate::serve::answers::{self, Problem};
use crate::serve::app::{App, Settings};
use crate::serve::bodies::Kept;
use crate::serve::engine::{Passed, Ticket, Turn};
use crate::serve::headers::{self, Facts};
use crate::serve::logs::{self, Line};
use crate::serve::shutdown::Present;
use crate::serve::upstream::{self, Pending, Said};
use crate::wire::{Dialect, Endpoint, Inbound, Relay, Target, marks};

/// What keeps a silent stream alive: a comment, which every reader of such streams skips.
const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// A request in flight.
pub struct Life {
    app: Arc<App>,
    settings: Arc<Settings>,
    /// What was asked for.
    pub inbound: Inbound,
    asked: HeaderMap,
    trace: HeaderValue,
    ticket: Ticket,
    stage: Stage,
    timer: Timer,
    /// The call that the stage is about.
    call: Option<Call>,
    /// The answer has opened: what comes is passed on, and nothing is tried again.
    opened: bool,
    /// The client is to be told that it has.
    opens: bool,
    /// The client has left; the core wanted this to go on.
    left: bool,
    /// The output tokens after which an answer that nobody reads is given up.
    drains: Option<u32>,
    /// What providers said when they refused.
    said: Vec<(Failure, Said)>,
    /// Goes to the client before the end.
    tail: Option<Bytes>,
    end: Option<End>,
    turn: Turn,
    /// What the log will say.
    pub line: Line,
}

/// What an exchange waits for.
enum Stage {
    /// Somebody else's step, or the deadline.
    Waiting,
    /// How much there is in the request.
    Counting(Counting),
    /// The head of an answer.
    Calling(Pending),
    /// The rest of a refusal.
    Refused(Refusal, Incoming),
    /// The rest of a plain answer.
    Whole(Whole, Incoming),
    /// More of a stream.
    Stream(Box<Relay>, Incoming),
    /// The client: the stream is over, and a part of it is still to be passed on.
    Passing(Box<Relay>),
    /// Nothing.
    Over,
}

/// What an exchange has for its client.
#[derive(Debug)]
pub enum Step {
    /// A streamed answer begins.
    Opened,
    /// More of it.
    Chunk(Bytes),
    /// The request is over; a streamed answer that had opened has been passed on.
    End(End),
}

/// How a request ended.
#[derive(Debug)]
pub struct End {
    /// By the core.
    pub outcome: Outcome,
    /// The whole answer, in the form that the client asked for.
    pub body: Option<Bytes>,
}

impl Life {
    /// A request that has arrived.
    pub fn new(app: Arc<App>, settings: Arc<Settings>, key: Arc<str>, asked: HeaderMap, inbound: Inbound, ticket: Ticket, turn: Turn) -> Self {
        let line = Line::new(key, app.engine.clock().now());
        let trace = reading::trace(&asked, ticket.request.id, app.trace_seed);
        let mut life = Self {
            app,
            settings,
            inbound,
            asked,
            trace,
            ticket,
            stage: Stage::Waiting,
            timer: Timer::default(),
            call: None,
            opened: false,
            opens: false,
            left: false,
            drains: None,
            said: Vec::new(),
            tail: None,
            end: None,
            turn: turn.clone(),
            line,
        };
        life.carry_out(turn);
        life
    }

    /// Goes on until there is something for the client.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        loop {
            if let Some(step) = self.output() {
                return Poll::Ready(step);
            }
            if self.advance(context).is_ready() {
                continue;
            }
            let due = ready!(self.timer.poll(context));
            self.due(due);
        }
    }

    /// The client has left. Says whether the request has to go on without it.
    pub fn leave(&mut self) -> bool {
        if self.ticket.is_closed() || self.app.engine.is_broken() {
            return false;
        }
        self.ticket.passed = self.passed();
        self.left = true;
        let turn = self.ticket.leave();
        self.carry_out(turn);
        !self.ticket.is_closed()
    }

    /// What keeps the process from ending before this is done.
    pub fn present(&self) -> Present {
        self.app.shutdown.enter()
    }

    /// The dialect of the client.
    pub fn dialect(&self) -> Dialect {
        self.inbound.endpoint.dialect()
    }

    /// What the provider said whose failure is the request's.
    pub fn said(&self, failure: Failure) -> Option<&Said> {
        self.said.iter().rev().find(|(own, _)| *own == failure).map(|(_, said)| said)
    }

    /// The refusal of the gateway, in words.
    pub fn refusal(&self, denial: Denial) -> Problem {
        let what = match denial {
            Denial::Limited(limit) | Denial::QueueFull(limit) => {
                self.app.engine.read(|gateway, plan, now| Some((gateway.describe_limit(plan, limit)?, gateway.retry_after(limit, now))))
            }
            Denial::Budget(account) => self.app.engine.read(|gateway, plan, _| Some((gateway.describe_account(plan, account)?, None))),
            _ => None,
        };
        answers::denied(denial, &self.settings.server, what, &self.inbound.model)
    }

    /// The gateway's own headers.
    pub fn write_headers(&self, headers: &mut HeaderMap, ended: Option<Outcome>) {
        let group = match (ended, &self.call) {
            (Some(Outcome::Served { model }), _) => Some(model),
            (None, Some(call)) => Some(call.model),
            _ => None,
        };
        let Ticket { plan, request, .. } = &self.ticket;
        let allowances = self.app.engine.read(|gateway, _, now| gateway.allowances(request.key, request.model, now));
        let facts = Facts {
            request: request.id,
            model: group.map_or(self.inbound.model.as_str(), |model| plan.model(model).name.as_str()),
            deployment: self.call.map(|call| plan.deployment(call.deployment).name.as_str()),
            attempts: self.ticket.call(),
            cost: ended.map(|_| self.turn.spent),
            outcome: ended,
            has_cache: self.turn.has_cache,
            allowances,
        };
        headers::write(headers, &facts);
    }

    /// What there is for the client.
    fn output(&mut self) -> Option<Step> {
        if std::mem::take(&mut self.opens) && !self.left {
            self.timer.went();
            return Some(Step::Opened);
        }
        if self.opened
            && let Stage::Stream(relay, _) | Stage::Passing(relay) = &mut self.stage
        {
            while let Some(bytes) = relay.take() {
                if !self.left {
                    self.timer.went();
                    return Some(Step::Chunk(bytes));
                }
            }
        }
        if let Some(bytes) = self.tail.take().filter(|_| !self.left) {
            return Some(Step::Chunk(bytes));
        }
        self.end.take().map(Step::End)
    }

    /// Waits for what the stage is about, and deals with it.
    fn advance(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.stage {
            Stage::Waiting => {
                let turn = ready!(self.ticket.poll_released(context));
                self.carry_out(turn);
            }
            Stage::Counting(counting) => {
                let Ticket { plan, request, .. } = &self.ticket;
                let input_tokens_max = ready!(counting.poll(context, &self.inbound, plan, request));
                self.counted(input_tokens_max);
            }
            Stage::Calling(pending) => match ready!(Pin::new(pending).poll(context)) {
                Ok(response) => self.head(response),
                Err(error) => {
                    let (failure, said) = upstream::unreachable(&error);
                    self.fail(failure, said, None);
                }
            },
            Stage::Refused(refusal, body) => {
                if ready!(reading::poll_data(body, context)).is_none_or(|data| data.is_none_or(|data| refusal.push(&data))) {
                    let (failure, said) = refusal.read();
                    self.fail(failure, said, None);
                }
            }
            Stage::Whole(whole, body) => match ready!(reading::poll_data(body, context)) {
                Some(Some(data)) => {
                    if !whole.push(data) {
                        self.fail_with(FailureClass::BadGateway, "the provider's answer is too long");
                    }
                }
                Some(None) => self.fail_with(FailureClass::Connect, "the provider broke off in the middle of its answer"),
                None => self.read_whole(),
            },
            Stage::Stream(relay, body) => match ready!(reading::poll_data(body, context)) {
                Some(Some(data)) => {
                    self.timer.came();
                    relay.push(data);
                    self.streamed();
                }
                Some(None) => self.broke_off("the provider broke off in the middle of its answer"),
                None => self.stream_ended(),
            },
            Stage::Passing(_) | Stage::Over => return Poll::Pending,
        }
        Poll::Ready(())
    }

    /// The input has been counted.
    fn counted(&mut self, input_tokens_max: u32) {
        self.stage = Stage::Waiting;
        let turn = self.ticket.step(Event::Counted { input_tokens_max });
        self.carry_out(turn);
    }

    /// The head of an answer has come.
    fn head(&mut self, response: axum::http::Response<Incoming>) {
        let (parts, body) = response.into_parts();
        let Some(call) = self.call else { return };
        if !parts.status.is_success() {
            self.stage = Stage::Refused(Refusal::new(parts.status.as_u16(), parts.headers), body);
            return;
        }
        if !self.inbound.stream || !reading::is_stream(&parts.headers) {
            self.stage = Stage::Whole(Whole::new(self.inbound.endpoint), body);
            if self.inbound.stream {
                self.fail_with(FailureClass::BadGateway, "the provider answered a stream with something else");
            }
            return;
        }
        let dialect = self.dialect_of(call);
        let mut relay = Box::new(Relay::new(&self.inbound, dialect));
        if self.turn.has_cache {
            relay.record(reading::ANSWER_MAX);
        }
        self.stage = Stage::Stream(relay, body);
    }

    /// More of a stream has come.
    fn streamed(&mut self) {
        let Stage::Stream(relay, _) = &mut self.stage else { return };
        if let Some(failure) = relay.failure() {
            let (class, said) = (failure.class, Said { message: failure.message.clone(), ..Said::default() });
            self.fail(Failure::new(class), said, None);
            return;
        }
        let (has_begun, is_over, received) = (relay.has_content() || relay.is_over(), relay.is_over(), relay.received());
        if has_begun && !self.opened {
            self.open();
        }
        if is_over {
            self.stream_ended();
        } else if self.drains.is_some_and(|most| received > most) {
            self.fail_with(FailureClass::Cut, "given up: nobody reads it");
        }
    }

    /// The answer has begun: the core is told, and from now on the client gets what comes.
    fn open(&mut self) {
        let Some(call) = self.call else { return };
        (self.opened, self.opens) = (true, true);
        let clock = self.app.engine.clock();
        let idle = clock.in_life(self.ticket.plan.model(call.model).timeouts.idle);
        self.timer.watch(idle, (!self.left).then(|| clock.in_life(self.settings.server.keep_alive)));
        let turn = self.ticket.step(Event::Opened { call: call.call });
        self.carry_out(turn);
    }

    /// The upstream has no more to say.
    fn stream_ended(&mut self) {
        let Stage::Stream(relay, _) = &mut self.stage else { return };
        if relay.finish() == crate::wire::relay::Ended::Cut {
            let message = relay.failure().map_or("the provider broke off in the middle of its answer", |failure| failure.message.as_str());
            let message = message.to_owned();
            return self.broke_off(&message);
        }
        if !self.opened {
            // An answer without a word is one, too.
            self.open();
        }
        let Stage::Stream(relay, _) = &mut self.stage else { return };
        let (usage, received) = (relay.usage(), relay.received_max());
        let service = relay.service();
        let body = relay.recorded();
        let body = body.map(|body| self.kept(body, true));
        let (usage, received) = self.priced(usage, received, service);
        self.finish(usage, received, body);
    }

    /// A stream has ended before its time. What the client has seen nothing of may be tried again, like an answer in one piece.
    fn broke_off(&mut self, message: &str) {
        self.fail_with(if self.opened { FailureClass::Cut } else { FailureClass::Connect }, message);
    }

    /// A plain answer is whole.
    fn read_whole(&mut self) {
        let (Stage::Whole(whole, _), Some(call)) = (&mut self.stage, self.call) else { return };
        let bytes = whole.take();
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        match crate::wire::answer::Answer::read(&self.inbound, self.dialect_of(call), bytes) {
            Ok(answer) => {
                let kept = self.turn.has_cache.then(|| self.kept(answer.body.clone(), false));
                let (usage, received) = self.priced(answer.usage, length, answer.service);
                self.finish(usage, received, kept);
                if let Some(end) = &mut self.end {
                    end.body = Some(answer.body);
                }
            }
            Err(broken) => self.fail_with(broken.class, &broken.message),
        }
    }

    /// A call has ended well. `received` bounds its output where the provider did not say what it bills.
    fn finish(&mut self, usage: Option<Usage>, received: u32, body: Option<Kept>) {
        let Some(call) = self.call else { return };
        self.line.add(usage.unwrap_or_default());
        let body = body.map(Arc::new);
        let turn = self.ticket.step_with(Event::Finished { call: call.call, received, usage }, body.as_ref());
        // Were it not written, the call would be presumed at its hold after a crash: no reason to keep the answer from its client.
        let _ = self.app.engine.commit(turn.number);
        self.carry_out(turn);
    }

    /// The usage of an answer, and a bound on its output, as far as they say what it costs. What was served in another class than its deployment is
    /// priced in costs something else: less, if it is a cheaper one; else nobody here knows what, and all that was held is presumed.
    fn priced(&self, usage: Option<Usage>, received: u32, service: Option<ServiceClass>) -> (Option<Usage>, u32) {
        let Some((service, call)) = service.zip(self.call) else { return (usage, received) };
        let deployment = self.ticket.plan.deployment(call.deployment);
        match service.cmp(&deployment.service) {
            Ordering::Equal => (usage, received),
            Ordering::Less => (None, usage.map_or(received, |usage| usage.output)),
            Ordering::Greater => {
                self.app.desk.put(Notice { subject: Subject::PriceMissing(call.deployment), detail: String::new() });
                (None, u32::MAX)
            }
        }
    }

    /// An answer as the response cache keeps it.
    fn kept(&self, body: Bytes, streamed: bool) -> Kept {
        let cache = self.ticket.plan.model(self.ticket.request.model).cache;
        Kept::new(self.inbound.endpoint, body, streamed, cache.is_some_and(|policy| !policy.separate_streams))
    }

    fn fail_with(&mut self, class: FailureClass, message: &str) {
        self.fail(Failure::new(class), Said { message: message.into(), ..Said::default() }, None);
    }

    /// The call has failed.
    fn fail(&mut self, failure: Failure, said: Said, usage: Option<Usage>) {
        let Some(call) = self.call else { return };
        let Passed { received, .. } = self.passed();
        let accepted = matches!(self.stage, Stage::Whole(..) | Stage::Stream(..));
        let usage = usage.or_else(|| match &self.stage {
            Stage::Stream(relay, _) => relay.usage(),
            // Counting is free, however it ends.
            _ => (self.inbound.endpoint == Endpoint::CountTokens).then(Usage::default),
        });
        self.said.push((failure, said));
        self.line.add(usage.unwrap_or_default());
        let turn = self.ticket.step(Event::Failed { call: call.call, failure, accepted, received, usage });
        self.carry_out(turn);
    }

    /// Something is due.
    fn due(&mut self, due: Due) {
        match due {
            Due::KeepAlive => {
                self.timer.went();
                self.tail = Some(Bytes::from_static(KEEP_ALIVE));
            }
            // How much had come is the driver's to say.
            Due::Deadline | Due::Idle if self.drains.is_some() => self.fail_with(FailureClass::Cut, "given up: nobody reads it"),
            Due::Deadline if self.opened => self.fail_with(FailureClass::Timeout, "the answer took too long"),
            Due::Idle => self.fail_with(FailureClass::Timeout, "the provider fell silent in the middle of its answer"),
            // By itself the core presumes what a call may have cost that took too long.
            Due::Deadline
                if self.inbound.endpoint == Endpoint::CountTokens
                    && matches!(self.stage, Stage::Calling(_) | Stage::Refused(..) | Stage::Whole(..)) =>
            {
                self.fail_with(FailureClass::Timeout, "the count took too long");
            }
            Due::Deadline => {
                let turn = self.ticket.woke();
                self.carry_out(turn);
            }
        }
    }

    /// Does what the core says.
    fn carry_out(&mut self, turn: Turn) {
        let clock = self.app.engine.clock();
        self.timer.deadline(turn.deadline.map(|at| clock.instant(at)));
        let action = turn.action;
        let number = turn.number;
        self.turn = turn;
        match action {
            Action::Wait | Action::Relay => {}
            Action::LookUp(_) => {
                // There is no remote store yet.
                let turn = self.ticket.step(Event::Looked(None));
                self.carry_out(turn);
            }
            Action::Count => self.stage = Stage::Counting(self.app.counter.counting()),
            Action::Sleep { .. } => self.stage = Stage::Waiting,
            Action::Call(call) => self.place(call, number),
            Action::Drain { tokens_max, .. } => self.drains = Some(tokens_max),
            Action::Finish(finish) => self.over(finish.outcome),
        }
    }

    /// Makes a call.
    fn place(&mut self, call: Call, number: u64) {
        self.stage = Stage::Waiting;
        self.call = Some(call);
        let unsent = Some(Usage::default());
        if let Err(error) = self.app.engine.commit(number) {
            let message = format!("the gateway can't write its journal, and makes no calls that nobody would know of: {error}");
            let failure = Failure { status: 503, ..Failure::new(FailureClass::Saturated) };
            return self.fail(failure, Said { message, ..Said::default() }, unsent);
        }
        let settings = self.settings.clone();
        let Some(Ok(destination)) = settings.destinations.get(call.deployment.index()) else {
            let said = Said { message: "the deployment can't be reached".into(), ..Said::default() };
            return self.fail(Failure::new(FailureClass::Connect), said, unsent);
        };
        let dialect = destination.service.dialect();
        let output_tokens_max = self.ticket.plan.deployment(call.deployment).output_tokens_max;
        let target =
            Target { dialect, model: &destination.model, max_tokens: call.max_tokens, output_tokens_max, stream_options: destination.stream_options };
        match self.inbound.outbound(&target) {
            Ok(body) => {
                let endpoint = upstream::endpoint_at(self.inbound.endpoint, dialect);
                let marks = endpoint == Endpoint::Messages && settings.server.prompt_cache_marks;
                let body = if marks { marks::mark(&body, &destination.model) } else { body };
                let request = destination.request(endpoint, body, self.dialect(), &self.asked, &self.trace);
                self.stage = Stage::Calling(self.app.upstream.call(request));
            }
            Err(unable) => {
                let message = format!("the deployment can't be asked for {}", unable.what);
                self.fail(Failure::new(FailureClass::BadRequest), Said { message, ..Said::default() }, unsent);
            }
        }
    }

    /// The request is over: what is open is closed, and the client gets the rest.
    fn over(&mut self, outcome: Outcome) {
        self.timer.unwatch();
        self.stage = match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Stream(relay, _) if self.opened => Stage::Passing(relay),
            _ => Stage::Over,
        };
        if let (true, Outcome::Failed(failure)) = (self.opened, outcome) {
            self.tail = Some(answers::failed(failure, self.said(failure)).event(self.inbound.endpoint));
        }
        let body = self.turn.body.take().and_then(|kept| kept.form(&self.inbound));
        self.line.outcome = Some(outcome);
        self.end = Some(End { outcome, body });
    }

    fn passed(&self) -> Passed {
        match &self.stage {
            Stage::Stream(relay, _) | Stage::Passing(relay) if self.opened => {
                Passed { received: relay.received(), delivered: if self.left { self.ticket.passed.delivered } else { relay.delivered() } }
            }
            Stage::Stream(relay, _) => Passed { received: relay.received(), delivered: 0 },
            _ => Passed::default(),
        }
    }

    fn dialect_of(&self, call: Call) -> Dialect {
        let destination = self.settings.destinations.get(call.deployment.index());
        destination.and_then(|destination| destination.as_ref().ok()).map_or(Dialect::OpenAi, |destination| destination.service.dialect())
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let Ticket { plan, request, .. } = &self.ticket;
        self.line.write(&logs::Facts {
            request: request.id.0,
            model: plan.models.get(request.model.index()).map_or("unknown", |model| &model.name),
            deployment: self.call.map(|call| plan.deployment(call.deployment).name.as_str()),
            attempts: self.ticket.call(),
            spent: self.turn.spent,
            traceparent: self.trace.to_str().unwrap_or_default(),
            now: self.app.engine.clock().now(),
        });
    }
}
