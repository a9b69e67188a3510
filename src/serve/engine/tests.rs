//! Requests that end in somebody else's step, seen by those whose they are.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::{Engine, Parts, Ticket, Turn};
use crate::clock::Clock;
use crate::gateway::command::{Command, KeySpec};
use crate::gateway::failure::{Failure, FailureClass, FailureSet};
use crate::gateway::id::{KeyId, ModelId, RequestId};
use crate::gateway::in_flight::{Action, Event};
use crate::gateway::journal::Outcome;
use crate::gateway::plan::{CachePolicy, CacheScope, Leave, Plan};
use crate::gateway::rate_card::Usage;
use crate::gateway::request::{Fingerprint, Request};
use crate::gateway::time::{Span, Time};
use crate::gateway::{Gateway, Outstanding, tests};
use crate::journal::{Buffer, Log};

/// An engine whose model has a cache with single flight, and one key.
fn engine() -> Arc<Engine> {
    engine_with(|_| {})
}

fn engine_with(change: impl FnOnce(&mut Plan)) -> Arc<Engine> {
    let mut plan = tests::plain_plan();
    let ttl = Span::from_secs(3600);
    let policy = CachePolicy {
        ttl,
        sliding: false,
        scope: CacheScope::Shared,
        namespace: 0,
        single_flight: true,
        separate_streams: true,
        hits_count: false,
        remote: false,
    };
    plan.models[0].cache = Some(policy);
    plan.cache_bytes_max = 1 << 20;
    change(&mut plan);
    let mut gateway = Gateway::new(&plan, 1);
    gateway.apply(&plan, Time(0), Command::PutKey { name: "k".into(), spec: KeySpec::default() }, &mut ()).unwrap();
    Arc::new(Engine::new(Parts {
        gateway,
        plan: Arc::new(plan),
        clock: Clock::start(Time(0), 1000),
        log: Log::none(),
        buffer: Buffer::none(),
        next: RequestId(1),
        cached_body_max: 1 << 20,
        observers: Vec::new(),
        broken: Box::new(|| panic!("the core is whole")),
    }))
}

fn arrive(engine: &Arc<Engine>) -> (Ticket, Turn) {
    engine.arrive(|arriving| Request {
        id: arriving.id,
        slot: arriving.slot,
        key: KeyId(0),
        model: ModelId(0),
        input_tokens: 10,
        input_tokens_max: 10,
        fingerprint: Fingerprint(1, 1),
        ..Request::NONE
    })
}

/// A timer and the step that sets a request free may go off at one time; whichever gets the lock first, the request sees its own end and nobody
/// else's, and its place is nobody's before that.
#[test]
fn who_is_set_free_while_its_timer_goes_off_sees_what_it_was_set_free_for() {
    let engine = engine();
    let (mut leader, called) = arrive(&engine);
    assert!(matches!(called.action, Action::Call(_)), "{called:?}");
    let (mut follower, waits) = arrive(&engine);
    assert!(matches!(waits.action, Action::Wait), "{waits:?}");
    assert!(matches!(follower.poll_released(&mut Context::from_waker(Waker::noop())), Poll::Pending));

    leader.step(Event::Finished { call: 1, received: 5, usage: Some(Usage::plain(10, 5)) });
    let turn = follower.woke();
    assert!(matches!(turn.action, Action::Finish(finish) if finish.outcome == Outcome::Shared), "{turn:?}");
    assert!(turn.is_closed);
    assert_eq!(engine.read(|gateway, _, _| gateway.outstanding()), crate::gateway::Outstanding::default());
    // Its place is free now, and whoever gets it has a turn of their own. (No body came with the answer, so there is none to give again.)
    let (next, called) = arrive(&engine);
    assert!(matches!(called.action, Action::Call(_)), "{called:?}");
    assert_eq!(next.request.id, RequestId(3));
}

/// Policies under which nothing ends a request but an answer.
fn cling(plan: &mut Plan) {
    let model = &mut plan.models[0];
    (model.transport.retries, model.transport.retry_on) = (9, FailureSet::ALL);
    (model.attempts.per_group, model.backoff.base) = (9, Span::from_secs(1));
    let policy = &mut model.on_disconnect;
    (policy.between_attempts, policy.non_stream) = (Leave::Ignore, Leave::Ignore);
    (policy.before_first_byte, policy.streaming) = (Leave::Ignore, Leave::Ignore);
}

/// A handler that panics drops its ticket, wherever the request is: nothing of it is left, and who waited for it goes on.
#[test]
fn a_ticket_that_is_dropped_leaves_nothing_behind() {
    let failed = |class| Event::Failed { call: 1, failure: Failure::new(class), accepted: false, received: 0, usage: None };
    let paths: [&[Event]; 6] = [
        &[],
        &[Event::ClientLeft { received: 0, delivered: 0 }],
        &[Event::Opened { call: 1 }],
        &[Event::Opened { call: 1 }, Event::ClientLeft { received: 5, delivered: 3 }],
        &[failed(FailureClass::Internal)],
        &[failed(FailureClass::Internal), Event::ClientLeft { received: 0, delivered: 0 }],
    ];
    for path in paths {
        let engine = engine_with(cling);
        let (mut leader, _) = arrive(&engine);
        let (mut follower, _) = arrive(&engine);
        let (last, _) = arrive(&engine);
        assert!(follower.poll_released(&mut Context::from_waker(Waker::noop())).is_pending());
        for event in path {
            leader.step(*event);
        }
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _leader = leader;
            std::panic::resume_unwind(Box::new("planted"));
        }));
        assert!(panicked.is_err());
        let Poll::Ready(turn) = follower.poll_released(&mut Context::from_waker(Waker::noop())) else { panic!("it goes first now: {path:?}") };
        assert!(matches!(turn.action, Action::Call(_)), "{turn:?}");
        drop(follower);
        drop(last);
        assert_eq!(engine.in_flight(), 0, "{path:?}");
        assert_eq!(engine.read(|gateway, _, _| gateway.outstanding()), Outstanding::default(), "{path:?}");
    }
}

/// A call that the core wants, and that nobody has seen, was never made: it costs nothing.
#[test]
fn a_call_that_was_never_made_costs_nothing() {
    let engine = engine_with(cling);
    let (leader, _) = arrive(&engine);
    let (follower, _) = arrive(&engine);
    let spent = |engine: &Engine| engine.read(|gateway, _, _| gateway.budget().settled());
    drop(leader);
    let first = spent(&engine);
    assert!(first.presumed > crate::gateway::money::Money::ZERO);
    drop(follower);
    assert_eq!(spent(&engine), first);
    assert_eq!(engine.in_flight(), 0);
}
