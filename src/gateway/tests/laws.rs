//! The laws, asked of random plans, traffic and faults. What can be seen while a run goes on is asserted by `driver` and `ledger`.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::driver::{Run, START, Setup, through_postcard};
use super::plans;
use crate::gateway::failure::FailureSet;
use crate::gateway::id::{DeploymentId, RequestId};
use crate::gateway::in_flight::{Action, Event, InFlight};
use crate::gateway::journal::NameKind;
use crate::gateway::journal::{Bodies, CallClosed, Fact, Record};
use crate::gateway::money::Money;
use crate::gateway::plan::{Anchor, BudgetSpec, BudgetWindow, Plan, Single, Strategy as Picks};
use crate::gateway::rate_card::Usage;
use crate::gateway::time::Span;
use crate::gateway::{Gateway, Outstanding};

fn setup(seed: u64, arrivals: u32) -> Setup {
    Setup { seed, arrivals, snapshot_at: None, honest: true, change: |_| {} }
}

/// A failure prints its seed; there is no file of old ones to keep.
fn config(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    // The environment variable PROPTEST_CASES asks for another number.
    let cases = if default.cases == 256 { cases } else { default.cases };
    ProptestConfig { cases, failure_persistence: None, ..default }
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn every_request_is_answered_and_closed_once_and_nothing_is_left(seed: u64, arrivals in 1..60_u32) {
        let run = Run::of(setup(seed, arrivals));
        prop_assert_eq!(run.gateway.outstanding(), Outstanding::default());
        check_lives(&run);
        check_worst_case(&run);
    }

    #[test]
    fn the_books_balance_when_providers_do_not_keep_to_max_tokens(seed: u64, arrivals in 1..60_u32) {
        let run = Run::of(Setup { honest: false, ..setup(seed, arrivals) });
        prop_assert_eq!(run.gateway.outstanding(), Outstanding::default());
        check_lives(&run);
    }
}

proptest! {
    #![proptest_config(config(100))]

    #[test]
    fn the_same_seed_makes_the_same_bytes(seed: u64, arrivals in 1..40_u32) {
        prop_assert!(Run::of(setup(seed, arrivals)).bytes() == Run::of(setup(seed, arrivals)).bytes());
    }

    #[test]
    fn what_is_restored_goes_on_with_its_requests_in_flight_as_it_would_have(seed: u64, arrivals in 1..40_u32, at in 0..200_u32) {
        let whole = Run::of(setup(seed, arrivals));
        let halved = Run::of(Setup { snapshot_at: Some(at), ..setup(seed, arrivals) });
        check_equal(&whole.journal, &halved.journal);
        prop_assert!(whole.bytes() == halved.bytes());
    }

    #[test]
    fn what_is_not_used_changes_no_byte(seed: u64, arrivals in 1..40_u32) {
        let without = Run::of(Setup { change: tame, ..setup(seed, arrivals) });
        let group = Run::of(Setup { change: |plan| { tame(plan); add_group(plan); }, ..setup(seed, arrivals) });
        check_equal(&without.journal, &group.journal);
        let sibling = Run::of(Setup { change: |plan| { tame(plan); add_sibling(plan); }, ..setup(seed, arrivals) });
        // Where all others are retired later, the weights of those that are left are all zero.
        let alone = |plan: &Plan| plan.models[0].deployments.iter().all(|id| plan.deployment(*id).retired || plan.deployment(*id).weight == 0);
        if !sibling.plans.iter().any(alone) {
            check_equal(&without.journal, &sibling.journal);
        }
    }

    #[test]
    fn a_journal_replayed_takes_the_same_decisions(seed: u64, arrivals in 1..40_u32) {
        let mut run = Run::of(setup(seed, arrivals));
        let plan = &run.plans[run.plans.len() - 1];
        run.gateway.recover(plan, run.now, if seed % 2 == 0 { Bodies::Lost } else { Bodies::Kept }, &mut run.journal);
        let (gateway, journal) = replay(&run.plans, seed, &run.journal);
        check_equal(&journal, &run.journal);
        prop_assert_eq!(serde_json::to_vec(&gateway.snapshot()).unwrap(), serde_json::to_vec(&run.gateway.snapshot()).unwrap());
        prop_assert!(seed % 2 == 1 || gateway.cache().is_empty());
    }
}

proptest! {
    #![proptest_config(config(25))]

    #[test]
    fn what_is_written_survives_a_format_that_does_not_describe_itself(seed: u64, arrivals in 1..40_u32) {
        let run = Run::of(setup(seed, arrivals));
        check_equal(&run.journal, &through_postcard(&run.journal));
        prop_assert!(run.plans == through_postcard(&run.plans));
        let snapshot = run.gateway.snapshot();
        prop_assert_eq!(serde_json::to_vec(&snapshot).unwrap(), serde_json::to_vec(&through_postcard(&snapshot)).unwrap());
    }
}

/// Equal record by record; shows the first that are not.
fn check_equal(one: &[Record], other: &[Record]) {
    for (one, other) in one.iter().zip(other) {
        assert_eq!(one, other);
    }
    assert_eq!(one.len(), other.len());
}

/// Answered once, closed once, in this order, and nothing afterwards but corrections.
fn check_lives(run: &Run) {
    #[derive(Default)]
    struct Life {
        answered: u32,
        closed: u32,
        open: Option<u32>,
    }
    let mut lives: BTreeMap<RequestId, Life> = BTreeMap::new();
    for Record { request, fact, .. } in &run.journal {
        let Some(request) = request else { continue };
        let life = lives.entry(*request).or_default();
        let after_the_end = matches!(fact, Fact::Told(_) | Fact::Decided(Action::Wait | Action::Finish(_)) | Fact::Corrected { .. });
        assert!(life.closed == 0 || after_the_end, "{request:?} was closed, then came {fact:?}");
        match fact {
            Fact::Answered { .. } => life.answered += 1,
            Fact::Closed => {
                assert_eq!(life.answered, 1, "{request:?} is answered before it is closed");
                life.closed += 1;
            }
            Fact::Called(called) => assert_eq!(life.open.replace(called.call), None, "one call at a time"),
            Fact::CallClosed(closed) => assert_eq!(life.open.take(), Some(closed.call), "the open call is closed"),
            _ => {}
        }
    }
    assert_eq!(lives.len(), run.flights.len());
    for (request, life) in lives {
        assert_eq!((life.answered, life.closed, life.open), (1, 1, None), "{request:?}");
    }
}

/// No request makes more calls or dollars than its plan says it can.
fn check_worst_case(run: &Run) {
    for flight in &run.flights {
        let (plan, request) = (&run.plans[flight.plan], flight.in_flight.request());
        // The worst case is of one choice: with more, a price ceiling lets other deployments through.
        if request.model.index() >= plan.models.len() || request.choices > 1 {
            continue;
        }
        let stated = request.max_tokens.map_or(0, core::num::NonZeroU32::get);
        let worst = plan.worst_case(request.model, Usage::plain(request.input_tokens_max, stated));
        assert!(flight.calls <= worst.calls, "{} calls of {request:?}, at most {worst:?}", flight.calls);
        let bills = run.bills.range((request.id, 0)..(request.id, u32::MAX));
        let billed: Money = bills.map(|(_, bill)| *bill).sum();
        assert!(billed <= worst.cost, "{billed} for {request:?}, at most {worst:?}");
    }
}

/// The policies that look at how many deployments there are, rather than at which are called.
fn tame(plan: &mut Plan) {
    for model in &mut plan.models {
        model.strategy = Picks::WeightedShuffle;
        model.attempts.only_if_healthy = false;
        model.attempts.retry_on_other = FailureSet::NONE;
        model.attempts.avoid_after = FailureSet::NONE;
        model.backoff.only_without_healthy = false;
        model.cooldown.single = Single::Cooled;
    }
    for deployment in &mut plan.deployments {
        (deployment.weight, deployment.order) = (deployment.weight + 1, 0);
    }
}

fn add_group(plan: &mut Plan) {
    let mut model = plans::model("unused");
    model.deployments.push(DeploymentId(plan.deployments.len() as u32));
    plan.deployments.push(plans::deployment("unused"));
    plan.models.push(model);
}

fn add_sibling(plan: &mut Plan) {
    let mut deployment = plan.deployments[plan.models[0].deployments[0].index()].clone();
    (deployment.weight, deployment.limits, deployment.budgets) = (0, Vec::new(), Vec::new());
    plan.models[0].deployments.push(DeploymentId(plan.deployments.len() as u32));
    plan.deployments.push(deployment);
}

/// Feeds the inputs of a journal to a fresh gateway, and returns it with the journal that it writes.
fn replay(plans: &[Plan], seed: u64, journal: &[Record]) -> (Gateway, Vec<Record>) {
    let mut gateway = Gateway::new(&plans[0], seed);
    gateway.advance(START);
    let (mut again, mut plan) = (Vec::new(), 0);
    let mut flights: BTreeMap<RequestId, (InFlight, usize)> = BTreeMap::new();
    for Record { at, request, fact } in journal {
        match fact {
            Fact::Told(event) => {
                if let Event::Released(wake) = event {
                    assert_eq!(gateway.ready.pop_front().map(|(_, wake)| wake), Some(*wake));
                }
                let id = request.expect("events are told to requests");
                let (flight, plan) = flights.entry(id).or_insert_with(|| (InFlight::new(), plan));
                flight.step(&plans[*plan], &mut gateway, *at, *event, &mut again);
            }
            Fact::Commanded(command) => gateway.apply(&plans[plan], *at, command.clone(), &mut again).expect("it was carried out before"),
            Fact::PlanAdopted(number) => {
                plan = *number as usize;
                gateway.adopt(&plans[plan], *at, &mut again);
            }
            Fact::Named { kind: NameKind::EndUser, name } => {
                gateway.end_user(*at, name, &mut again);
            }
            Fact::Named { kind: NameKind::Tag, name } => {
                gateway.tag(*at, name, &mut again);
            }
            Fact::Ticked => gateway.tick(*at, &mut again),
            Fact::Forgotten { key } => assert!(gateway.forget_answer(*at, *key, &mut again)),
            Fact::Recovered { bodies, .. } => {
                gateway.recover(&plans[plan], *at, *bodies, &mut again);
            }
            _ => {}
        }
    }
    (gateway, again)
}

#[test]
fn the_random_driver_counts_what_is_admitted_then_and_what_is_not() {
    // A budget that the longest inputs do not fit by their bounds.
    let change: fn(&mut Plan) = |plan| {
        let window = BudgetWindow::Fixed(Span::SECOND, Anchor::Clock);
        plan.budgets = Vec::from([BudgetSpec { window, ..plans::budget(20_000) }]);
        plan.deployments.iter_mut().for_each(|deployment| deployment.countable = true);
    };
    let runs = (0..10).map(|seed| Run::of(Setup { change, ..setup(seed, 60) }));
    let (mut admitted, mut refused) = (0, 0);
    for run in runs {
        let mut counted = false;
        for Record { fact, .. } in &run.journal {
            match fact {
                Fact::Told(event) => counted = matches!(event, Event::Counted { .. }),
                Fact::Called(_) if counted => admitted += 1,
                Fact::Refused { observed: false, .. } if counted => refused += 1,
                _ => {}
            }
        }
    }
    assert!(admitted > 0 && refused > 0, "{admitted} admitted, {refused} refused");
}

#[test]
fn a_call_that_is_closed_says_all_that_a_bill_needs() {
    // The report folds these; a field that goes missing is a wrong bill.
    fn complete(closed: CallClosed) -> (Usage, Money) {
        let CallClosed { call: _, model: _, deployment: _, position: _, since: _, ended: _, usage, delivered: _, amount, certainty: _ } = closed;
        (usage, amount)
    }
    let run = Run::of(setup(1, 50));
    let closed = run.journal.iter().filter_map(|record| if let Fact::CallClosed(closed) = record.fact { Some(complete(closed)) } else { None });
    let settled: Money = closed.map(|(_, amount)| amount).sum();
    let corrected = run.journal.iter().map(|record| match record.fact {
        Fact::Corrected { presumed, confirmed, .. } => confirmed - presumed,
        _ => Money::ZERO,
    });
    let total = run.gateway.budget().settled();
    assert_eq!(settled + corrected.sum(), total.confirmed + total.presumed);
    assert!(settled > Money::ZERO);
}
