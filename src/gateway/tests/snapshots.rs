//! What a snapshot costs while everybody waits: what grows with keys is shared with the gateway, and what is read again is shared, too.

use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::ptr;

use super::desk::Desk;
use super::driver::through_postcard;
use super::plans::{budget, limit, plan};
use crate::gateway::Gateway;
use crate::gateway::calendar::Calendar;
use crate::gateway::command::{Command, KeySpec, TeamSpec};
use crate::gateway::id::{AccountId, KeyId};
use crate::gateway::plan::{BudgetSpec, BudgetWindow, LimitKind};
use crate::gateway::time::Time;

/// A budget by windows of a table of its own.
fn by_calendar() -> BudgetSpec {
    BudgetSpec { window: BudgetWindow::Calendar(Calendar::new((0..400).map(|day| Time(day * 500_000_000_000)).collect())), ..budget(1 << 40) }
}

/// A desk with some of everything that commands add.
fn desk() -> Desk {
    let mut desk = Desk::new(plan(&[("A", &["a"])]));
    desk.put_team("team", TeamSpec { budgets: vec![by_calendar()], ..TeamSpec::default() });
    for number in 0..40 {
        let spec = KeySpec {
            team: Some("team".to_string()),
            budgets: vec![by_calendar()],
            limits: vec![limit(LimitKind::Requests, 3, 10)],
            tags: vec!["tag".to_string()],
            ..KeySpec::default()
        };
        desk.put_key(&format!("key {number}"), spec);
        desk.apply(Command::PutEndUser { name: format!("user {number}"), budgets: vec![by_calendar()] });
    }
    desk.apply(Command::PutTag { name: "tag".to_string(), budgets: vec![by_calendar()] });
    desk
}

#[test]
fn a_snapshot_shares_what_only_commands_change() {
    let gateway = desk().gateway;
    let copy = gateway.snapshot().0;
    let path = |gateway: &Gateway| ptr::from_ref(gateway.directory().path(gateway.directory().path_of(KeyId(7))));
    let list = |gateway: &Gateway| gateway.limits().ids(gateway.directory().path(gateway.directory().path_of(KeyId(7))).list).as_ptr();
    assert_eq!((path(&copy), list(&copy)), (path(&gateway), list(&gateway)));
    let names = |gateway: &Gateway| {
        let directory = gateway.directory();
        [directory.key_names(), directory.team_names(), directory.end_user_names(), directory.tag_names()].map(<[_]>::as_ptr)
    };
    assert_eq!(names(&copy), names(&gateway));
    for account in gateway.budget().accounts() {
        assert!(ptr::eq(copy.budget().spec(account), gateway.budget().spec(account)), "{account:?}");
    }
}

#[test]
fn a_snapshot_stays_as_it_was_whatever_is_commanded() {
    let mut desk = desk();
    let snapshot = desk.gateway.snapshot();
    let before = serde_json::to_vec(&snapshot).unwrap();
    desk.put_team("team", TeamSpec { budgets: vec![budget(7)], limits: vec![limit(LimitKind::Requests, 1, 1)], ..TeamSpec::default() });
    desk.put_key("key 3", KeySpec { budgets: vec![budget(7)], ..KeySpec::default() });
    desk.put_key("another", KeySpec::default());
    desk.apply(Command::PutEndUser { name: "user 3".to_string(), budgets: vec![budget(7)] });
    desk.apply(Command::PutTag { name: "tag".to_string(), budgets: vec![budget(7)] });
    desk.apply(Command::BlockKey { name: "key 4".to_string(), blocked: true });
    desk.apply(Command::DeleteTeam { name: "team".to_string() });
    desk.gateway.end_user(desk.now, "somebody", &mut Vec::new());
    desk.gateway.tag(desk.now, "something", &mut Vec::new());
    assert!(serde_json::to_vec(&snapshot).unwrap() == before);
    assert!(serde_json::to_vec(&desk.gateway.snapshot()).unwrap() != before);
}

#[test]
fn accounts_that_are_read_share_one_table() {
    let gateway = desk().gateway;
    let calendar = |gateway: &Gateway, account: AccountId| match &gateway.budget().spec(account).window {
        BudgetWindow::Calendar(calendar) => calendar.clone(),
        other => panic!("no table: {other:?}"),
    };
    let accounts: Vec<AccountId> = gateway.budget().accounts().collect();
    assert_eq!(accounts.len(), 82);
    assert!(!calendar(&gateway, accounts[0]).is_shared_with(&calendar(&gateway, accounts[1])), "each was made by itself");
    let read = Gateway::restore(through_postcard(&gateway.snapshot()));
    let first = calendar(&read, accounts[0]);
    assert!(accounts.iter().all(|account| calendar(&read, *account).is_shared_with(&first)));
}
