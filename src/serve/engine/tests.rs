//! Requests that end in somebody else's step, seen by those whose they are.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::{Engine, Parts, Ticket, Turn};
use crate::clock::{self, Clock};
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
use crate::journal::{self, Buffer, Durability, Log, Opened, Settings};

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

#[test]
fn a_tick_follows_a_wall_that_has_gone_ahead() {
    let folder = tempfile::tempdir().unwrap();
    let day = Span::from_secs(86_400);
    let engine = kept_with(folder.path(), Durability::Process, |_| Clock::behind(day));
    let now = || engine.read(|_, _, now| now);
    assert!(now() < clock::wall() - day + Span::from_secs(3600));
    let wall = clock::wall();
    engine.tick();
    assert!(now() >= wall && now() < wall + Span::from_secs(3600));
}

/// An engine with a journal.
fn kept_in(folder: &Path, durability: Durability) -> Arc<Engine> {
    kept_with(folder, durability, |at| Clock::start(at, clock::LIFE))
}

fn kept_with(folder: &Path, durability: Durability, clock: impl FnOnce(Time) -> Clock) -> Arc<Engine> {
    let plan = Arc::new(tests::plain_plan());
    let settings = Settings { durability, ..Settings::default() };
    let first = || (Gateway::new(&plan, 1), Arc::clone(&plan));
    let opened = journal::take(folder, &mut ()).unwrap().open(settings, Time(0), &mut (), first).unwrap();
    let Opened { log, buffer, gateway, plan, next, at, .. } = opened;
    let (clock, broken) = (clock(at), Box::new(|| panic!("the core is whole")));
    Arc::new(Engine::new(Parts { gateway, plan, clock, log, buffer, next, cached_body_max: 0, observers: Vec::new(), broken }))
}

/// With two threads, four commits that wait for a disk leave none to serve anybody, unless the runtime is told that they wait.
#[test]
fn a_stream_is_relayed_while_commits_wait_for_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let engine = kept_in(folder.path(), Durability::Strict);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let disk = engine.log.disk.lock().unwrap();
    let begun = Arc::new(AtomicUsize::new(0));
    let commits: Vec<_> = (0..4)
        .map(|_| {
            let (engine, begun) = (Arc::clone(&engine), Arc::clone(&begun));
            runtime.spawn(async move {
                engine.tick();
                begun.fetch_add(1, Ordering::Relaxed);
                engine.check_journal().map_err(|error| error.to_string())
            })
        })
        .collect();
    let long = Duration::from_secs(60);
    let waits = Instant::now();
    while begun.load(Ordering::Relaxed) < commits.len() && waits.elapsed() < long {
        std::thread::sleep(Duration::from_millis(5));
    }
    let (upstream, mut relayed) = tokio::sync::mpsc::channel::<u32>(1);
    let (client, chunks) = std::sync::mpsc::channel();
    runtime.spawn(async move {
        for chunk in 0..100 {
            upstream.send(chunk).await.unwrap();
        }
    });
    runtime.spawn(async move {
        while let Some(chunk) = relayed.recv().await {
            client.send(chunk).unwrap();
        }
    });
    let seen: Vec<u32> = (0..100).map_while(|_| chunks.recv_timeout(long).ok()).collect();
    let is_waiting = commits.iter().all(|commit| !commit.is_finished());
    drop(disk);
    assert_eq!((seen.len(), is_waiting), (100, true));
    for commit in commits {
        runtime.block_on(commit).unwrap().unwrap();
    }
}

/// The runtime starts a thread for each that waits: there were five hundred of them once.
#[test]
fn a_segment_that_is_closed_costs_no_threads() {
    let folder = tempfile::tempdir().unwrap();
    let engine = kept_in(folder.path(), Durability::Process);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("closing").enable_all().build().unwrap();
    engine.log.while_closing(|| {
        let commit = || {
            let engine = engine.clone();
            runtime.spawn(async move {
                engine.tick();
                engine.check_journal()
            })
        };
        for commit in (0..400).map(|_| commit()).collect::<Vec<_>>() {
            runtime.block_on(commit).unwrap().unwrap();
        }
    });
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let of_runtime = |name: String| name.trim() == "closing";
    let threads = tasks.filter(|task| std::fs::read_to_string(task.path().join("comm")).is_ok_and(of_runtime)).count();
    // A commit may have met another that had the file for a moment.
    assert!((2..16).contains(&threads), "{threads}");
}

#[test]
fn a_journal_that_a_disk_has_lost_stays_lost() {
    let folder = tempfile::tempdir().unwrap();
    let engine = kept_in(folder.path(), Durability::Power);
    engine.tick();
    engine.check_journal().unwrap();
    let file = engine.log.exchange_file(File::options().write(true).open("/dev/null").unwrap());
    engine.tick();
    engine.check_journal().unwrap();
    assert!(engine.keep_journal().is_err());
    engine.log.exchange_file(file);
    engine.tick();
    let told = engine.check_journal().unwrap_err().to_string();
    assert!(told.contains("the disk has failed to keep") && engine.journal_fails() && engine.journal_lost() == Some(told.as_str()), "{told}");
}

#[test]
fn while_the_journal_can_not_be_written_nobody_may_arrive() {
    let folder = tempfile::tempdir().unwrap();
    let engine = kept_in(folder.path(), Durability::Process);
    let file = engine.log.exchange_file(File::options().write(true).open("/dev/full").unwrap());
    engine.check_arrival().unwrap();
    engine.tick();
    assert!(engine.check_journal().is_err() && engine.check_arrival().is_err());
    engine.log.exchange_file(file);
    engine.check_arrival().unwrap();
    assert!(!engine.journal_fails(), "what was pending is written");
}
