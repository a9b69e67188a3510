//! Spend is attributed to everybody that it is of, and a fold that goes on from a checkpoint is the fold of the whole.

use super::*;
use crate::gateway::command::{KeySpec, TeamSpec};
use crate::gateway::id::{DeploymentId, Slot};
use crate::gateway::in_flight::CacheKey;
use crate::gateway::journal::{Bodies, CallClosed, Certainty, Ended, Outcome, Position, Record, RecoveredCall};
use crate::gateway::rate_card::Usage;
use crate::gateway::request::Fingerprint;
use crate::journal::Fold;

const MODEL: ModelId = ModelId(0);

fn request(id: u64, key: u32) -> Request {
    Request {
        id: RequestId(id),
        slot: Slot(0),
        key: KeyId(key),
        model: MODEL,
        end_user: Some(EndUserId(0)),
        tag: Some(TagId(0)),
        input_tokens: 10,
        input_tokens_max: 10,
        input_tokens_counted: 10,
        max_tokens: None,
        choices: 1,
        stream: false,
        no_cache: false,
        no_store: false,
        countable: false,
        fingerprint: Fingerprint(0, 0),
        requires: crate::gateway::features::Features::NONE,
        deadline: None,
    }
}

fn closed(amount: i128, certainty: Certainty) -> Fact {
    Fact::CallClosed(CallClosed {
        call: 1,
        model: MODEL,
        deployment: DeploymentId(0),
        position: Position::First,
        since: Time(0),
        ended: Ended::Delivered,
        usage: Usage::plain(10, 5),
        delivered: 5,
        amount: Money(amount),
        certainty,
    })
}

/// Two keys, the first in a team; three requests: served, presumed and then corrected, and one that its process did not live to end.
fn facts() -> Vec<Record> {
    let key = |name: &str, team: Option<&str>, tag: &str| {
        let spec = KeySpec { team: team.map(Into::into), tags: vec![tag.into()], ..KeySpec::default() };
        Fact::Commanded(Command::PutKey { name: name.into(), spec })
    };
    let team = TeamSpec { tags: vec!["shared".into(), "a".into()], ..TeamSpec::default() };
    let mut facts = vec![
        (None, Fact::Commanded(Command::PutTeam { name: "ops".into(), spec: team })),
        (None, key("ci", Some("ops"), "a")),
        (None, key("web", None, "b")),
        (None, Fact::Named { kind: NameKind::Tag, name: "asked".into() }),
    ];
    let served = Fact::Answered { outcome: Outcome::Served { model: MODEL } };
    facts.extend([
        (Some(1), Fact::Told(Event::Arrived(request(1, 0)))),
        (Some(1), closed(700, Certainty::Confirmed)),
        (Some(1), served.clone()),
        (Some(1), Fact::Closed),
        (Some(2), Fact::Told(Event::Arrived(request(2, 1)))),
        (Some(2), closed(90, Certainty::Presumed)),
        (Some(2), Fact::Answered { outcome: Outcome::Abandoned }),
        (Some(2), Fact::Closed),
        (Some(2), Fact::Corrected { call: 1, presumed: Money(90), confirmed: Money(40) }),
        (Some(3), Fact::Told(Event::Arrived(request(3, 0)))),
        (None, Fact::Forgotten { key: CacheKey(Fingerprint(1, 1)) }),
        (None, Fact::Recovered { calls: vec![RecoveredCall { request: RequestId(3), call: 1, amount: Money(5) }], bodies: Bodies::Lost }),
    ]);
    let about = |(request, fact): (Option<u64>, Fact)| Record { at: Time(3 * DAY + 1), request: request.map(RequestId), fact };
    facts.into_iter().map(about).collect()
}

fn fold(mut spend: Spend, facts: &[Record]) -> Spend {
    for Record { at, request, fact } in facts {
        spend.take(*at, *request, fact);
    }
    spend
}

#[test]
fn everybody_has_what_is_theirs() {
    let book = SpendBook::following(fold(Spend::default(), &facts()));
    let total = book.total();
    assert_eq!((total.spend, total.requests, total.failed, total.calls), (Money(745), 3, 2, 2));
    assert_eq!((total.input_tokens, total.output_tokens), (20, 10));
    assert_eq!((book.of_key("ci").spend, book.of_key("web").spend), (Money(705), Money(40)));
    assert_eq!((book.of_team("ops").spend, book.of_team("nobody").spend), (Money(705), Money::ZERO));
    assert_eq!((book.of_model(MODEL).spend, book.of_end_user(EndUserId(0)).spend), (Money(745), Money(745)));
    // A tag that team and key both have counts once.
    let tags = ["a", "shared", "b", "asked"].map(|tag| book.of_tag(tag).spend.0);
    assert_eq!(tags, [705, 705, 40, 745]);
    let days = book.days();
    assert_eq!((days.len(), days[0].0, days[0].1.sums), (1, 3, total));
    assert_eq!(days[0].1.models, [(MODEL, Money(745))].into());
    let recent = book.recent(2, |_| true);
    assert_eq!(recent.iter().map(|spent| (spent.request.id.0, spent.sums.spend.0)).collect::<Vec<_>>(), [(3, 5), (2, 40)]);
}

#[test]
fn a_fold_goes_on_from_any_checkpoint() {
    let facts = facts();
    let whole = fold(Spend::default(), &facts);
    let encode = |spend: &Spend| postcard::to_stdvec(&spend.kept).unwrap();
    for at in 0..=facts.len() {
        let before = fold(Spend::default(), &facts[..at]);
        let rest = Spend::kept_with(postcard::from_bytes(&encode(&before)).unwrap(), before.names);
        assert_eq!(encode(&fold(rest, &facts[at..])), encode(&whole), "from {at}");
    }
}

#[test]
fn what_is_copied_for_a_checkpoint_is_what_was_spent_then() {
    let facts = facts();
    let mut book = SpendBook::default();
    let mut before = None;
    for Record { at, request, fact } in &facts {
        let copied = Fold::section(&book);
        before = Some(Fold::section(&book).bytes());
        book.take(*at, *request, fact);
        assert_eq!(Some(copied.bytes()), before, "whatever is spent until it is encoded");
    }
    assert_ne!(Some(Fold::section(&book).bytes()), before);
}

#[test]
fn names_are_those_that_the_gateway_has() {
    let plan = crate::gateway::tests::plain_plan();
    let mut gateway = Gateway::new(&plan, 1);
    let mut records: Vec<Record> = Vec::new();
    let team = |tags: &[&str]| TeamSpec { tags: tags.iter().map(|tag| (*tag).into()).collect(), ..TeamSpec::default() };
    let key = |team: Option<&str>, tag: &str| KeySpec { team: team.map(Into::into), tags: vec![tag.into()], ..KeySpec::default() };
    let commands = [
        Command::PutTeam { name: "ops".into(), spec: team(&["a", "b"]) },
        Command::PutTeam { name: "empty".into(), spec: team(&[]) },
        Command::PutKey { name: "ci".into(), spec: key(Some("ops"), "x") },
        Command::PutKey { name: "web".into(), spec: key(None, "y") },
        Command::PutTag { name: "asked".into(), budgets: Vec::new() },
        Command::DeleteKey { name: "ci".into() },
        Command::PutTeam { name: "ops".into(), spec: team(&["c"]) },
        Command::PutKey { name: "web".into(), spec: key(Some("empty"), "z") },
    ];
    for command in commands {
        gateway.apply(&plan, Time(0), command, &mut records).unwrap();
        gateway.tag(Time(0), &format!("of a request {}", records.len()), &mut records);
        let told = |names: Names| {
            let registries = [&names.keys, &names.teams, &names.tags].map(|registry| registry.names().to_vec());
            (registries, names.belongs, names.team_tags)
        };
        assert_eq!(told(fold(Spend::default(), &records).names), told(Names::of(gateway.directory())));
    }
}

#[test]
fn a_section_of_another_version_is_begun_anew() {
    let plan = crate::gateway::tests::plain_plan();
    let gateway = Gateway::new(&plan, 1);
    let mut book = SpendBook::following(fold(Spend::default(), &facts()));
    let section = Fold::section(&book).bytes();
    let mut goes_on = |section: Option<&[u8]>| {
        book.begin(&gateway, section);
        (book.is_anew(), book.total().spend)
    };
    assert_eq!(goes_on(Some(&section)), (false, Money(745)));
    let mut other = section.clone();
    other[0] += 1;
    let longer = [&section[..], &[0]].concat();
    for section in [None, Some(&[][..]), Some(&other), Some(&longer), Some(&section[..section.len() - 1])] {
        assert_eq!(goes_on(section), (true, Money::ZERO), "{section:?}");
    }
}

#[test]
fn what_was_presumed_of_a_lost_call_is_corrected_where_it_was_counted() {
    let mut records = facts();
    let late = Fact::Corrected { call: 1, presumed: Money(5), confirmed: Money(2) };
    records.push(Record { at: Time(3 * DAY + 2), request: Some(RequestId(3)), fact: late });
    let book = SpendBook::following(fold(Spend::default(), &records));
    assert_eq!((book.total().spend, book.of_key("ci").spend, book.of_model(MODEL).spend), (Money(742), Money(702), Money(742)));
    let recent = book.recent(1, |_| true);
    assert_eq!((recent[0].request.id.0, recent[0].sums.spend, recent[0].is_presumed), (3, Money(2), true));
}

#[test]
fn a_key_that_nobody_has_counts_for_nobody() {
    let arrived = Fact::Told(Event::Arrived(Request { model: ModelId(u32::MAX), ..request(1, u32::MAX) }));
    let records = [arrived, Fact::Closed].map(|fact| Record { at: Time(0), request: Some(RequestId(1)), fact });
    let spend = fold(Spend::default(), &records);
    assert_eq!((spend.kept.total.requests, spend.kept.keys.len(), spend.kept.models.len()), (1, 0, 0));
}
