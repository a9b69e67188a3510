use proptest::prelude::*;

use super::*;
use crate::gateway::command::{KeySpec, TeamSpec};
use crate::gateway::failure::Failure;
use crate::gateway::id::DeploymentId;
use crate::gateway::journal::{Called, Denial};
use crate::report::sample::{self, MINI, OPENAI};

const ABOUT: About = About { arrived: Time(1_000_000_000), key: KeyId(2), model: MINI, tags: None };

fn called(call: u32, position: Position, deployment: DeploymentId) -> Fact {
    let worst_case = Money(9_000 * i128::from(call));
    Fact::Called(Called { call, model: ModelId(deployment.0), deployment, position, worst_case, max_tokens: 100 })
}

fn closed(call: u32, position: Position, deployment: DeploymentId, ended: Ended, usage: Usage, amount: Money) -> CallClosed {
    let model = ModelId(deployment.0);
    CallClosed { call, model, deployment, position, since: Time(0), ended, usage, delivered: usage.output, amount, certainty: Certainty::Confirmed }
}

/// A fold with nine keys in three teams: key n is in team n modulo 3.
fn fold() -> Fold {
    let mut fold = Fold::new(Arc::new(sample::plan()));
    for team in 0..3 {
        fold.fact(Time(0), None, &Fact::Commanded(Command::PutTeam { name: format!("team {team}"), spec: TeamSpec::default() }));
    }
    for key in 0..9 {
        let spec = KeySpec { team: Some(format!("team {}", key % 3)), ..KeySpec::default() };
        fold.fact(Time(0), None, &Fact::Commanded(Command::PutKey { name: format!("key {key}"), spec }));
    }
    fold
}

/// A request that is first turned away with a 429 and then answered by the fallback, half a second after it came.
fn fall_back(fold: &mut Fold, at: Time) {
    let about = About { arrived: at, ..ABOUT };
    let usage = Usage::plain(1_000, 100);
    let bill = fold.plan.deployments[OPENAI.index() + 1].rates.at(Time(0)).cost(usage);
    fold.arrived(at, &about);
    fold.fact(at, Some(&about), &called(1, Position::First, OPENAI));
    let refused = closed(1, Position::First, OPENAI, Ended::Failed(FailureClass::RateLimited), Usage::default(), Money::ZERO);
    fold.call(at, &about, &refused, Billed { usage: Usage::default(), amount: Money::ZERO, shared: false });
    let later = Time(at.0 + 500_000_000);
    let other = DeploymentId(OPENAI.0 + 1);
    fold.fact(later, Some(&about), &called(2, Position::Fallback, other));
    fold.fact(later, Some(&about), &Fact::Answered { outcome: Outcome::Served { model: ModelId(1) } });
    let answer = closed(2, Position::Fallback, other, Ended::Delivered, usage, bill);
    fold.call(later, &about, &answer, Billed { usage, amount: bill, shared: true });
    fold.fact(later, Some(&about), &Fact::Closed);
}

#[test]
fn a_fallback_is_counted_where_a_reader_looks_for_it() {
    let mut fold = fold();
    fall_back(&mut fold, Time(1_000_000_000));
    let totals = &fold.totals;
    assert_eq!((totals.requests, totals.outcomes.served, totals.other_model), (1, 1, 1));
    assert_eq!((totals.calls, totals.rate_limited(), totals.retries(), totals.fallbacks()), ([1, 0, 0, 1], 1, 0, 1));
    assert_eq!(totals.bill, Money(3_500_000_000), "1,000 x $2.50 and 100 x $10 a million");
    assert_eq!((totals.causes.base, totals.causes.premium), (Money(210_000_000), Money(3_290_000_000)));
    assert_eq!(totals.by_position, [Money::ZERO, Money::ZERO, Money::ZERO, totals.bill]);
    assert_eq!((totals.shared, totals.causes.total()), (totals.bill, totals.bill), "shared is a tag, no part");
    assert_eq!(totals.asked[0].bill, totals.bill, "who asked pays for where it went");
    assert_eq!((totals.called[0].bill, totals.called[1].bill), (Money::ZERO, totals.bill));
    assert_eq!((totals.keys[2].other_model, totals.teams[2].calls), (1, 2));
    assert_eq!((fold.directory.keys.name(2), fold.directory.teams.name(2)), ("key 2", "team 2"));
    assert_eq!(totals.latency.quantile(950), Some(crate::gateway::time::Span::from_millis(500)));
    assert_eq!((totals.calls_of_one_request_max, totals.worst_case_of_one_call_max), (2, Money(18_000)));
}

#[test]
fn late_usage_moves_an_amount_from_presumed_to_confirmed_once() {
    let mut fold = fold();
    let usage = Usage::plain(10, 10);
    let presumed =
        CallClosed { certainty: Certainty::Presumed, amount: Money(500), ..closed(1, Position::First, OPENAI, Ended::TimedOut, usage, Money(0)) };
    fold.call(Time(5), &ABOUT, &presumed, Billed { usage, amount: Money(300), shared: false });
    assert_eq!((fold.totals.ledger.presumed, fold.totals.ledger.confirmed), (Money(500), Money(0)));
    fold.fact(Time(9), Some(&ABOUT), &Fact::Corrected { call: 1, presumed: Money(500), confirmed: Money(300) });
    assert_eq!((fold.totals.ledger.presumed, fold.totals.ledger.confirmed), (Money(0), Money(300)));
    assert_eq!((fold.totals.bill, fold.totals.causes.wasted_total()), (Money(300), Money(300)));
}

#[test]
fn a_refusal_that_is_only_observed_is_not_a_refused_request() {
    let mut fold = fold();
    fold.fact(Time(1), Some(&ABOUT), &Fact::Refused { denial: Denial::Loop, observed: true });
    fold.fact(Time(1), Some(&ABOUT), &Fact::Refused { denial: Denial::Loop, observed: false });
    fold.fact(Time(1), Some(&ABOUT), &Fact::Answered { outcome: Outcome::Refused(Denial::Loop) });
    assert_eq!((fold.totals.incidents.observed_refusals, fold.totals.outcomes.refused, fold.totals.denials[8]), (1, 1, 1));
}

#[test]
fn merging_two_seeds_is_counting_both() {
    let (mut one, mut two, mut both) = (fold(), fold(), fold());
    fall_back(&mut one, Time(1_000_000_000));
    fall_back(&mut two, Time(7_000_000_000));
    fall_back(&mut both, Time(1_000_000_000));
    fall_back(&mut both, Time(7_000_000_000));
    let answer = Outcome::Served { model: MINI };
    two.user(Time(9_000_000_000), &answer, 1, Time(7_000_000_000));
    both.user(Time(9_000_000_000), &answer, 1, Time(7_000_000_000));
    one.totals.merge(&two.totals);
    assert_eq!(one.totals, both.totals);
    assert_eq!(one.totals.answered_of(), (1, 1), "users count where there are any");
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        (0_u32..2).prop_map(|model| Outcome::Served { model: ModelId(model) }),
        Just(Outcome::Cached),
        Just(Outcome::Shared),
        Just(Outcome::Refused(Denial::Expired)),
        prop::sample::select(FailureClass::ALL).prop_map(|class| Outcome::Failed(Failure::new(class))),
        Just(Outcome::Abandoned),
    ]
}

proptest! {
    #[test]
    fn every_table_sums_to_the_same_total(
        requests in prop::collection::vec((any_outcome(), 0_u32..9, 0_u32..2, 0_u64..5_000_000_000_000,
            prop::collection::vec((0_u32..2, 0_usize..4, 0_u32..5_000, 0_u32..500, any::<bool>()), 0..4)), 1..60),
    ) {
        let mut fold = fold();
        let plan = fold.plan.clone();
        let mut now = Time(0);
        for (outcome, key, model, gap, calls) in requests {
            now = Time(now.0 + gap);
            let about = About { arrived: now, key: KeyId(key), model: ModelId(model), tags: None };
            fold.arrived(now, &about);
            for (number, (deployment, position, input, output, delivered)) in (1..).zip(calls) {
                let (position, deployment) = (cause::POSITIONS[position], DeploymentId(deployment));
                fold.fact(now, Some(&about), &called(number, position, deployment));
                let usage = Usage::plain(input, output);
                let amount = plan.deployment(deployment).rates.at(Time(0)).cost(usage);
                let ended = if delivered { Ended::Delivered } else { Ended::Discarded };
                fold.call(now, &about, &closed(number, position, deployment, ended, usage, amount), Billed { usage, amount, shared: false });
            }
            fold.fact(now, Some(&about), &Fact::Answered { outcome });
        }
        let Fold { totals, series, .. } = &fold;
        let bill = totals.bill;
        prop_assert_eq!(totals.causes.total(), bill);
        prop_assert_eq!(totals.by_position.into_iter().sum::<Money>(), bill);
        for demand in [&totals.asked, &totals.keys, &totals.teams] {
            prop_assert_eq!(demand.iter().map(|row| row.bill).sum::<Money>(), bill);
            prop_assert_eq!(demand.iter().map(|row| row.requests).sum::<u64>(), totals.requests);
            prop_assert_eq!(demand.iter().map(|row| row.answered).sum::<u64>(), totals.outcomes.answered());
        }
        for supply in [&totals.called, &totals.deployments] {
            prop_assert_eq!(supply.iter().map(|row| row.bill).sum::<Money>(), bill);
            prop_assert_eq!(supply.iter().map(|row| row.calls).sum::<u64>(), totals.calls_sent());
        }
        prop_assert_eq!(totals.outcomes.total(), totals.requests);
        let sum = series.sum();
        prop_assert_eq!((sum.requests, sum.cost, sum.calls), (totals.requests, bill, totals.calls_sent()));
        prop_assert!(sum.agrees_with(&totals.causes));
    }
}

#[test]
fn a_key_that_nobody_made_has_no_row_and_takes_no_memory() {
    let mut fold = fold();
    fold.arrived(Time(1), &About { key: KeyId(u32::MAX), ..ABOUT });
    assert_eq!((fold.totals.requests, fold.totals.asked[0].requests, fold.totals.keys.len()), (1, 1, 0));
}

#[test]
fn spend_counts_under_each_tag_of_team_key_and_request() {
    let mut fold = fold();
    let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
    fall_back(&mut fold, Time(1_000_000_000));
    assert!(fold.totals.tags.is_empty(), "nothing has a tag yet");
    let before = fold.totals.bill;
    let team = TeamSpec { tags: tags(&["cost_centre=4711"]), ..TeamSpec::default() };
    fold.fact(Time(0), None, &Fact::Commanded(Command::PutTeam { name: "team 2".into(), spec: team }));
    fold.tagged(0, &["beta", "cost_centre=4711"]);
    fall_back(&mut fold, Time(2_000_000_000));
    let of_request = About { tags: Some(0), key: KeyId(0), ..ABOUT };
    let usage = Usage::plain(10, 10);
    fold.arrived(Time(3), &of_request);
    fold.call(
        Time(5),
        &of_request,
        &closed(1, Position::First, OPENAI, Ended::Delivered, usage, Money(300)),
        Billed { usage, amount: Money(300), shared: false },
    );
    fold.fact(Time(5), Some(&of_request), &Fact::Answered { outcome: Outcome::Served { model: MINI } });
    let totals = &fold.totals;
    let rows: Vec<_> =
        fold.directory.tags.names().iter().zip(&totals.tags).map(|(name, row)| (name.as_str(), row.requests, row.answered, row.bill)).collect();
    assert_eq!(rows, [("cost_centre=4711", 2, 2, before + Money(300)), ("beta", 1, 1, Money(300))]);
    assert_eq!(totals.tagged, before + Money(300), "each call once");
    assert_eq!(totals.bill - totals.tagged, before, "what came before there were tags has none");
}
