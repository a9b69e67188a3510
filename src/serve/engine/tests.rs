//! Requests that end in somebody else's step, seen by those whose they are.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::{Engine, Parts, Ticket, Turn};
use crate::clock::Clock;
use crate::gateway::command::{Command, KeySpec};
use crate::gateway::id::{KeyId, ModelId, RequestId};
use crate::gateway::in_flight::{Action, Event};
use crate::gateway::journal::Outcome;
use crate::gateway::plan::{CachePolicy, CacheScope};
use crate::gateway::rate_card::Usage;
use crate::gateway::request::{Fingerprint, Request};
use crate::gateway::time::{Span, Time};
use crate::gateway::{Gateway, tests};
use crate::journal::{Buffer, Log};

/// An engine whose model has a cache with single flight, and one key.
fn engine() -> Arc<Engine> {
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

    leader.step(Event::Finished { call: 1, usage: Usage::plain(10, 5) });
    let turn = follower.woke();
    assert!(matches!(turn.action, Action::Finish(finish) if finish.outcome == Outcome::Shared), "{turn:?}");
    assert!(turn.is_closed);
    assert_eq!(engine.read(|gateway, _, _| gateway.outstanding()), crate::gateway::Outstanding::default());
    // Its place is free now, and whoever gets it has a turn of their own. (No body came with the answer, so there is none to give again.)
    let (next, called) = arrive(&engine);
    assert!(matches!(called.action, Action::Call(_)), "{called:?}");
    assert_eq!(next.request.id, RequestId(3));
}
