//! Budgets: windows, modes, what happens when a call does not fit, and what is booked when a call does not end well.
//! A request for 100 tokens in and 100 out costs $500 millionths at most, and 140 with the 10 that it makes.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::desk::Desk;
use super::plans::{budget, card, plan};
use crate::gateway::calendar::Calendar;
use crate::gateway::command::{Command, CommandError, KeySpec, TeamSpec};
use crate::gateway::id::{AccountId, ModelId, RequestId};
use crate::gateway::in_flight::Event;
use crate::gateway::journal::{Bodies, Fact, RecoveredCall};
use crate::gateway::money::{Money, Rate};
use crate::gateway::plan::{Anchor, BudgetMode, BudgetSpec, BudgetWindow, Enforce, OnShort, Plan, Presume, WorstCase};
use crate::gateway::rate_card::{RateCard, Rates, Usage};
use crate::gateway::time::{Span, Time};

const ONE: &[(&str, &[&str])] = &[("A", &["a"])];

/// A desk whose everyone has this budget.
fn desk(change: impl FnOnce(&mut BudgetSpec), micro_usd: i128) -> Desk {
    let mut plan = plan(ONE);
    let mut spec = budget(micro_usd);
    change(&mut spec);
    plan.budgets = vec![spec];
    Desk::new(plan)
}

const SHORT: &str = "1 skips a: Budget(AccountId(0)); 1 refused: Budget(AccountId(0))";

fn short(number: u32) -> String {
    format!("{number} skips a: Budget(AccountId(0)); {number} refused: Budget(AccountId(0))")
}

#[test]
fn a_call_needs_its_worst_case_to_the_last_picodollar() {
    desk(|_| {}, 500).check("ask; 1 ok", "1 calls a; 1 served by A");
    desk(|spec| spec.limit = Money(499_999_999), 0).check("ask", SHORT);
}

#[test]
fn reserved_money_is_not_spent_twice_and_comes_back() {
    let mut desk = desk(|_| {}, 1000);
    desk.check("ask; ask; ask; 1 ok; ask; 2 ok", &format!("1 calls a; 2 calls a; {}; 1 served by A; {}; 2 served by A", short(3), short(4)));
    desk.check("ask; 5 ok", "5 calls a; 5 served by A");
    desk.check_empty();
}

#[test]
fn money_that_is_only_looked_at_afterwards_is_overspent_by_whatever_is_in_flight() {
    let mut desk = desk(|spec| spec.mode = BudgetMode::After, 1000);
    let asks = vec!["ask"; 40].join(";");
    let calls: Vec<String> = (1..=40).map(|number| format!("{number} calls a")).collect();
    desk.check(&asks, &calls.join(";"));
    let ends: Vec<String> = (1..=40).map(|number| format!("{number} ok 100")).collect();
    desk.check(&ends[..2].join(";"), "1 served by A; 2 served by A");
    let over: Vec<String> = (3..=40).map(|number| format!("account 0 over by $0.0005; {number} served by A")).collect();
    desk.check(&ends[2..].join(";"), &over.join(";"));
    let window = desk.gateway.budget().window(AccountId(0), desk.now);
    assert_eq!((window.settled, window.breached), (Money(20_000_000_000), Money(19_000_000_000)));
    desk.check("ask", &short(41));
    // What is spent to the last picodollar has nothing left.
    let mut spent = self::desk(|spec| spec.mode = BudgetMode::After, 140);
    spent.check("ask; 1 ok; ask", &format!("1 calls a; 1 served by A; {}", short(2)));
}

#[test]
fn a_window_is_over_at_its_end() {
    let windows: [(BudgetWindow, &str, &str); 4] = [
        (BudgetWindow::Fixed(Span::from_secs(300), Anchor::Clock), "+199.999", "+0.001"),
        (BudgetWindow::Fixed(Span::from_secs(300), Anchor::FirstUse), "+299.999", "+0.001"),
        (BudgetWindow::Fixed(Span::from_secs(300), Anchor::Start), "+299.999", "+0.001"),
        (BudgetWindow::Calendar(Calendar::new(vec![Time(0), Time(1_050_000_000_000)])), "+49.999", "+0.001"),
    ];
    for (window, before, end) in windows {
        let mut desk = desk(|spec| spec.window = window, 500);
        desk.check("ask; 1 ok", "1 calls a; 1 served by A");
        desk.check(before, "");
        desk.check("ask", &short(2));
        desk.check(&format!("{end}; ask; 3 ok"), "3 calls a; 3 served by A");
    }
}

#[test]
fn a_first_use_begins_a_window_and_a_look_does_not() {
    let mut desk = desk(|spec| spec.window = BudgetWindow::Fixed(Span::from_secs(100), Anchor::FirstUse), 500);
    desk.gateway.budget().window(AccountId(0), desk.now);
    desk.check("+60; ask; 1 ok; +60; ask", &format!("1 calls a; 1 served by A; {}", short(2)));
    desk.check("+40; +30; ask; 3 ok; +99.999; ask", &format!("3 calls a; 3 served by A; {}", short(4)));
}

#[test]
fn windows_from_the_start_stay_in_step_while_those_of_first_use_do_not() {
    let with = |anchor: Anchor| desk(|spec| spec.window = BudgetWindow::Fixed(Span::from_secs(100), anchor), 500);
    let words = "ask; 1 ok; +150; ask; 2 ok; +50; ask";
    with(Anchor::Start).check(words, "1 calls a; 1 served by A; 2 calls a; 2 served by A; 3 calls a");
    with(Anchor::FirstUse).check(words, &format!("1 calls a; 1 served by A; 2 calls a; 2 served by A; {}", short(3)));
}

#[test]
fn a_rolling_window_counts_its_steps_and_the_one_before() {
    let mut desk = desk(|spec| spec.window = BudgetWindow::Rolling { length: Span::from_secs(100), slices: 4 }, 500);
    // Steps of 25 s: what was spent in the step of second 1000 counts until the step that begins at 1125.
    desk.check("+10; ask; 1 ok; +114.999; ask", &format!("1 calls a; 1 served by A; {}", short(2)));
    desk.check("+0.001; ask; 3 ok", "3 calls a; 3 served by A");
}

#[test]
fn a_rolling_window_breaches_and_alerts_as_one() {
    let change = |spec: &mut BudgetSpec| {
        spec.window = BudgetWindow::Rolling { length: Span::from_secs(100), slices: 4 };
        spec.mode = BudgetMode::After;
        spec.alert_at_per_mille = vec![500];
    };
    let mut desk = desk(change, 1000);
    desk.check("ask; 1 ok 75; +25; ask; ask; 2 ok 75", "1 calls a; 1 served by A; 2 calls a; 3 calls a; account 0 at 500; 2 served by A");
    desk.check("+25; 3 ok 75; ask", &format!("account 0 over by $0.0002; 3 served by A; {}", short(4)));
}

#[test]
fn a_call_is_settled_into_the_window_that_it_was_held_in() {
    for mode in [BudgetMode::Reserve, BudgetMode::After] {
        let change = |spec: &mut BudgetSpec| (spec.window, spec.mode) = (BudgetWindow::Fixed(Span::from_secs(50), Anchor::Clock), mode);
        let mut desk = desk(change, 500);
        desk.check(
            "ask; +50; ask; 1 ok 100; ask; 2 ok",
            &format!(
                "1 calls a; 2 calls a; 1 served by A; {}; 2 served by A",
                match mode {
                    BudgetMode::After => "3 calls a".into(),
                    _ => short(3),
                }
            ),
        );
        assert_eq!(desk.gateway.budget().used(AccountId(0), desk.now).0, Money(140_000_000));
    }
}

#[test]
fn levels_alert_once_in_a_window() {
    let change = |spec: &mut BudgetSpec| {
        spec.window = BudgetWindow::Fixed(Span::from_secs(100), Anchor::Clock);
        spec.alert_at_per_mille = vec![280, 800];
    };
    let mut desk = desk(change, 1000);
    desk.check("ask; 1 ok; ask; 2 ok; ask; 3 ok", "1 calls a; 1 served by A; 2 calls a; account 0 at 280; 2 served by A; 3 calls a; 3 served by A");
    desk.check("ask; 4 ok 70", "4 calls a; account 0 at 800; 4 served by A");
    desk.check("+100; ask; 5 ok 45", "5 calls a; account 0 at 280; 5 served by A");
}

#[test]
fn an_observing_budget_says_what_it_would_have_refused() {
    let mut desk = desk(|spec| spec.enforce = Enforce::Observe, 499);
    desk.check("ask; 1 ok 100", "1 would be refused: Budget(AccountId(0)); 1 calls a; 1 served by A");
}

#[test]
fn a_call_may_be_clamped_to_what_is_left() {
    let with = |min: u32, micro_usd: i128| desk(|spec| spec.on_short = OnShort::Clamp { min }, micro_usd);
    with(5, 120).check("ask; 1 ok 5", "1 calls a for 5; 1 served by A");
    with(5, 123).check("ask; 1 ok 5", "1 calls a for 5; 1 served by A");
    with(5, 119).check("ask", SHORT);
    with(5, 120).check("ask choices=2", SHORT);
}

#[test]
fn a_budget_that_refuses_is_not_overruled_by_one_that_clamps_or_shrinks() {
    for on_short in [OnShort::Clamp { min: 1 }, OnShort::Shrink] {
        let mut plan = plan(ONE);
        plan.budgets = vec![budget(450), BudgetSpec { on_short, ..budget(440) }];
        Desk::new(plan).check("ask", SHORT);
        let mut plan = super::plans::plan(ONE);
        // One that only looks at what is spent has room: it is not what the call is short of.
        plan.budgets = vec![BudgetSpec { mode: BudgetMode::After, ..budget(1) }, BudgetSpec { on_short, ..budget(440) }];
        let calls = if on_short == OnShort::Shrink {
            "1 calls a; account 0 over by $0.000139; 1 served by A"
        } else {
            "1 calls a for 85; account 0 over by $0.000139; 1 served by A"
        };
        Desk::new(plan).check("ask; 1 ok", calls);
    }
}

#[test]
fn a_shrinking_budget_holds_what_it_has_and_the_others_all() {
    let mut plan = plan(ONE);
    plan.budgets = vec![BudgetSpec { on_short: OnShort::Shrink, ..budget(200) }, budget(900)];
    let mut desk = Desk::new(plan);
    desk.check("ask", "1 calls a");
    assert_eq!(desk.gateway.budget().used(AccountId(0), desk.now).1, Money(200_000_000));
    assert_eq!(desk.gateway.budget().used(AccountId(1), desk.now).1, Money(500_000_000));
    desk.check("ask; 1 ok 100", "2 skips a: Budget(AccountId(0)); 2 refused: Budget(AccountId(0)); account 0 over by $0.0003; 1 served by A");
}

#[test]
fn an_estimate_holds_a_quantile_once_there_are_a_hundred_outputs() {
    let change = |spec: &mut BudgetSpec| spec.mode = BudgetMode::Estimate { quantile_per_mille: 900, headroom_per_mille: 10 };
    let mut desk = desk(change, 100_000);
    for number in 1..=99 {
        desk.check(&format!("ask; {number} ok"), &format!("{number} calls a; {number} served by A"));
    }
    let held = |desk: &Desk| desk.gateway.budget().used(AccountId(0), desk.now).1;
    desk.check("ask", "100 calls a");
    assert_eq!(held(&desk), Money(500_000_000));
    desk.check("100 ok; ask", "100 served by A; 101 calls a");
    assert_eq!(held(&desk), Money(140_000_000));
    // Where less than a hundredth is left, it is the worst case again.
    desk.adopt(|plan| plan.budgets[0].limit = Money(14_140_000_000 + 500_000_000));
    desk.check("101 ok; ask; ask", "101 served by A; 102 calls a; 103 calls a");
    desk.adopt(|plan| plan.budgets[0].limit = Money(14_140_000_000 + 280_000_000 + 140_000_000));
    desk.check("ask", "104 skips a: Budget(AccountId(0)); 104 refused: Budget(AccountId(0))");
}

#[test]
fn each_estimating_budget_of_a_call_holds_by_its_own_quantile() {
    let estimate = |per_mille: u32| BudgetMode::Estimate { quantile_per_mille: per_mille, headroom_per_mille: 0 };
    let mut plan = plan(ONE);
    plan.budgets = [500, 900].map(|per_mille| BudgetSpec { mode: estimate(per_mille), ..budget(100_000) }).into();
    plan.models[0].budgets = vec![budget(100_000)];
    let mut desk = Desk::new(plan);
    // Half of the outputs have 10 tokens, half 15.
    for number in 1..=100 {
        desk.run(&format!("ask; {number} ok {}", if number % 2 == 0 { 10 } else { 15 }));
    }
    desk.run("ask");
    let held = desk.gateway.budget().accounts().map(|id| desk.gateway.budget().used(id, desk.now).1);
    assert_eq!(held.collect::<Vec<_>>(), [140, 160, 500].map(|micro_usd| Money(micro_usd * 1_000_000)));
}

#[test]
fn a_cheaper_candidate_takes_what_does_not_fit_the_dearer() {
    let mut plan = plan(&[("A", &["a", "b"]), ("B", &["c"])]);
    plan.budgets = vec![budget(499)];
    plan.deployments[1].rates = card(1, 3).into();
    plan.models[0].fallbacks.groups = vec![crate::gateway::id::ModelId(1)];
    let mut desk = Desk::new(plan.clone());
    desk.check("ask; 1 ok", "1 skips a: Budget(AccountId(0)); 1 calls b; 1 served by A");
    plan.deployments[1].rates = card(1, 4).into();
    plan.deployments[2].rates = card(1, 2).into();
    let mut desk = Desk::new(plan);
    desk.check("ask; 1 ok", "1 skips a: Budget(AccountId(0)); 1 skips b: Budget(AccountId(0)); 1 calls c; 1 served by B");
}

#[test]
fn every_scope_of_a_call_is_charged_and_each_once() {
    let mut plan = plan(ONE);
    plan.budgets = vec![budget(10_000)];
    plan.models[0].budgets = vec![budget(10_000)];
    plan.deployments[0].budgets = vec![budget(10_000)];
    plan.end_user_budget = Some(budget(10_000));
    let mut desk = Desk::new(plan);
    let (budgets, tags) = (vec![budget(10_000)], vec![String::from("t")]);
    desk.apply(Command::PutTag { name: "t".into(), budgets: budgets.clone() });
    desk.put_team("team", TeamSpec { budgets: budgets.clone(), tags: tags.clone(), ..TeamSpec::default() });
    desk.put_key("key", KeySpec { team: Some("team".into()), budgets, ..KeySpec::default() });
    desk.check("ask user=u tag=t", "1 calls a");
    let held = |desk: &Desk| desk.gateway.budget().accounts().map(|id| desk.gateway.budget().used(id, desk.now)).collect::<Vec<_>>();
    assert_eq!(held(&desk), vec![(Money::ZERO, Money(500_000_000)); 7]);
    desk.check("1 ok", "1 served by A");
    assert_eq!(held(&desk), vec![(Money(140_000_000), Money::ZERO); 7]);
    desk.apply(Command::PutEndUser { name: "u".into(), budgets: vec![budget(600)] });
    desk.check("ask user=u; ask user=other; 3 ok", "2 skips a: Budget(AccountId(6)); 2 refused: Budget(AccountId(6)); 3 calls a; 3 served by A");
}

#[test]
fn another_default_holds_for_end_users_who_have_the_old_one_and_for_nobody_else() {
    let mut plan = plan(ONE);
    plan.end_user_budget = Some(budget(10_000));
    let mut desk = Desk::new(plan);
    desk.apply(Command::PutEndUser { name: "own".into(), budgets: vec![budget(10_000)] });
    let short = |id: u32, account: u32| format!("{id} skips a: Budget(AccountId({account})); {id} refused: Budget(AccountId({account}))");
    // 140 of it are spent, and a call holds 500.
    desk.check("ask user=u; 1 ok; ask user=own; 2 ok", "1 calls a; 1 served by A; 2 calls a; 2 served by A");
    desk.adopt(|plan| plan.end_user_budget = Some(budget(639)));
    desk.check("ask user=u; ask user=own; 4 ok", &format!("{}; 4 calls a; 4 served by A", short(3, 1)));
    desk.adopt(|plan| plan.end_user_budget = None);
    desk.check("ask user=u; 5 ok", "5 calls a; 5 served by A");
    // What was counted before it was taken away is counted still.
    desk.adopt(|plan| plan.end_user_budget = Some(budget(639)));
    desk.check("ask user=u; ask user=v; 7 ok", &format!("{}; 7 calls a; 7 served by A", short(6, 1)));
    // Without one of their own they have the default.
    desk.apply(Command::PutEndUser { name: "own".into(), budgets: Vec::new() });
    desk.check("ask user=own", &short(8, 0));
}

#[test]
fn keys_that_are_deleted_are_in_nobodys_way() {
    let mut desk = desk(|_| {}, 10_000);
    desk.put_team("team", TeamSpec::default());
    let spec = KeySpec { team: Some("team".into()), budgets: vec![budget(1); 3], tags: vec!["t".into()], ..KeySpec::default() };
    desk.put_key("old", spec.clone());
    let team = Command::PutTeam { name: "team".into(), spec: TeamSpec { budgets: vec![budget(1)], ..TeamSpec::default() } };
    let tag = Command::PutTag { name: "t".into(), budgets: vec![budget(1)] };
    let mut told = |command: Command| desk.gateway.apply(&desk.plan, desk.now, command, &mut ());
    let crowded = CommandError::TooManyBudgets { budgets: 5, most: 4 };
    assert_eq!((told(team.clone()), told(tag.clone())), (Err(crowded.clone()), Err(crowded)));
    told(Command::DeleteKey { name: "old".into() }).unwrap();
    assert_eq!((told(team), told(tag)), (Ok(()), Ok(())));
    assert_eq!(told(Command::PutKey { name: "old".into(), spec }), Err(CommandError::TooManyBudgets { budgets: 6, most: 4 }), "until they are back");
}

#[test]
fn no_command_makes_more_budgets_than_a_hold_carries() {
    let mut desk = desk(|_| {}, 10_000);
    let tags = vec![String::from("t")];
    let one = vec![budget(1)];
    desk.put_team("team", TeamSpec { budgets: one.clone(), tags, ..TeamSpec::default() });
    desk.put_key("key", KeySpec { team: Some("team".into()), budgets: one.clone(), ..KeySpec::default() });
    let mut fails = |command: Command| {
        let error = desk.gateway.apply(&desk.plan, desk.now, command, &mut ()).expect_err("too many");
        assert_eq!(error, CommandError::TooManyBudgets { budgets: 5, most: 4 });
    };
    fails(Command::PutTeam { name: "team".into(), spec: TeamSpec { budgets: vec![budget(1); 3], ..TeamSpec::default() } });
    fails(Command::PutKey { name: "key".into(), spec: KeySpec { team: Some("team".into()), budgets: vec![budget(1); 3], ..KeySpec::default() } });
    desk.apply(Command::PutTag { name: "t".into(), budgets: one.clone() });
    desk.put_key("key", KeySpec { team: Some("team".into()), budgets: one.clone(), ..KeySpec::default() });
    desk.put_team("team", TeamSpec { budgets: vec![budget(1); 2], ..TeamSpec::default() });
    let error = desk.gateway.apply(&desk.plan, desk.now, Command::Grant { account: AccountId(99), amount: Money::ZERO }, &mut ());
    assert_eq!(error, Err(CommandError::UnknownAccount(AccountId(99))));
}

#[test]
fn a_grant_is_what_this_process_may_spend_in_the_window() {
    let mut desk = desk(|spec| spec.window = BudgetWindow::Fixed(Span::from_secs(100), Anchor::Clock), 10_000);
    desk.apply(Command::Grant { account: AccountId(0), amount: Money(499_000_000) });
    desk.check("ask", SHORT);
    desk.apply(Command::Grant { account: AccountId(0), amount: Money(500_000_000) });
    desk.check("ask; 2 ok; ask; +100; ask; 4 ok", &format!("2 calls a; 2 served by A; {}; 4 calls a; 4 served by A", short(3)));
}

#[test]
fn new_rules_for_a_window_begin_a_new_one_that_old_calls_do_not_reach() {
    let mut desk = desk(|spec| spec.window = BudgetWindow::Fixed(Span::from_secs(1), Anchor::Clock), 1000);
    desk.check("ask; ask", "1 calls a; 2 calls a");
    desk.adopt(|plan| plan.budgets[0].window = BudgetWindow::Rolling { length: Span::from_secs(4), slices: 4 });
    desk.check("ask; 1 ok; 2 ok; 3 ok", "3 calls a; 1 served by A; 2 served by A; 3 served by A");
    assert_eq!(desk.gateway.budget().used(AccountId(0), desk.now), (Money(140_000_000), Money::ZERO));
    desk.adopt(|plan| plan.budgets[0].limit = Money(140_000_000));
    desk.check("ask", &short(4));
}

#[test]
fn a_calendar_that_reaches_further_is_no_new_window() {
    let days = |days: u64| BudgetWindow::Calendar(Calendar::new((0..days).map(|day| Time(day * 500_000_000_000)).collect()));
    // Second 1000 begins the third window, which the shorter table does not end.
    let mut desk = desk(|spec| spec.window = days(3), 1140);
    desk.check("ask; 1 ok; ask", "1 calls a; 1 served by A; 2 calls a");
    desk.adopt(|plan| plan.budgets[0].window = days(5));
    assert_eq!(desk.gateway.budget().used(AccountId(0), desk.now), (Money(140_000_000), Money(500_000_000)));
    desk.check("ask; ask", &format!("3 calls a; {}", short(4)));
    // It ends now, and what was held in it is settled there.
    desk.check("+499.999; ask; +0.001; ask; 2 ok; 3 ok", &format!("{}; 6 calls a; 2 served by A; 3 served by A", short(5)));
    assert_eq!(desk.gateway.budget().used(AccountId(0), desk.now), (Money::ZERO, Money(500_000_000)));
    // Other starts are another window.
    desk.adopt(|plan| plan.budgets[0].window = BudgetWindow::Calendar(Calendar::new(vec![Time(0), Time(1)])));
    assert_eq!(desk.gateway.budget().used(AccountId(0), desk.now), (Money::ZERO, Money::ZERO));
}

/// What is booked when the call ends so, in millionths of a dollar.
#[track_caller]
fn check_booked(timed_out: Presume, words: &str, micro_usd: i128) {
    let mut plan = plan(ONE);
    plan.deployments[0].billing.timed_out = timed_out;
    plan.deployments[0].billing.failed = Presume::Input;
    let mut desk = Desk::new(plan);
    desk.run(words);
    let settled = desk.gateway.budget().settled();
    assert_eq!(settled.confirmed + settled.presumed, Money(micro_usd * 1_000_000), "{words}");
    desk.check_empty();
}

#[test]
fn what_ends_badly_is_presumed_by_the_providers_rule() {
    check_booked(Presume::WorstCase, "ask; 1 wakes", 500);
    check_booked(Presume::Input, "ask; 1 wakes", 100);
    check_booked(Presume::Nothing, "ask; 1 wakes", 0);
    check_booked(Presume::Nothing, "ask; 1 fail internal", 100);
    check_booked(Presume::WorstCase, "ask; 1 fail rate_limited", 0);
    check_booked(Presume::Nothing, "ask stream; 1 opens; 1 fail cut got=20", 100 + 4 * (20 + 10));
    check_booked(Presume::Nothing, "ask stream; 1 opens; 1 fail cut got=95", 500);
    check_booked(Presume::Nothing, "ask stream; 1 opens; 1 leaves 20 15", 100 + 4 * (20 + 10));
    check_booked(Presume::Nothing, "ask stream; 1 leaves", 100 + 4 * 10);
    check_booked(Presume::Nothing, "ask; 1 leaves", 500);
    check_booked(Presume::Nothing, "ask stream; 1 opens; 1 wakes", 500);
}

#[test]
fn late_usage_corrects_what_was_presumed_once_and_within_its_window() {
    let mut desk = desk(|_| {}, 1000);
    desk.check("ask; 1 wakes; +600; 1 ok 1 10; 1 ok 1 90", "1 calls a; 1 failed: timeout; 1 corrected $0.0005 to $0.00014");
    assert_eq!(desk.gateway.budget().used(AccountId(0), desk.now).0, Money(140_000_000));
    desk.check("ask; 2 wakes; +600.001; 2 ok 1 10", "2 calls a; 2 failed: timeout");
    assert_eq!(desk.gateway.budget().used(AccountId(0), desk.now).0, Money(640_000_000));
}

#[test]
fn after_a_crash_what_was_open_is_presumed_and_nothing_is_held() {
    let mut desk = desk(|_| {}, 10_000);
    desk.put_key("key", KeySpec { limits: vec![super::plans::limit(crate::gateway::plan::LimitKind::Concurrency, 2, 1)], ..KeySpec::default() });
    desk.check("ask; ask", "1 calls a; 2 calls a");
    assert_eq!(desk.gateway.recover(&desk.plan, desk.now, Bodies::Kept, &mut desk.journal), 2);
    desk.check_empty();
    assert_eq!(desk.gateway.budget().settled().presumed, Money(1_000_000_000));
    let presumed = |request| RecoveredCall { request: RequestId(request), call: 1, amount: Money(500_000_000) };
    assert!(desk.journal.iter().any(|record| record.fact == Fact::Recovered { calls: vec![presumed(1), presumed(2)], bodies: Bodies::Kept }));
    assert!(!desk.journal.iter().any(|record| matches!(record.fact, Fact::Told(Event::Woke))));
}

#[test]
fn usage_that_comes_after_a_crash_corrects_what_was_presumed_once() {
    let mut desk = desk(|_| {}, 10_000);
    desk.check("ask; 1 wakes; ask; 2 ok; ask; +2", "1 calls a; 1 failed: timeout; 2 calls a; 2 served by A; 3 calls a");
    // What is left of the process that had the requests is its last snapshot.
    desk.gateway = crate::gateway::Gateway::restore(desk.gateway.snapshot());
    assert_eq!(desk.gateway.recover(&desk.plan, desk.now, Bodies::Kept, &mut desk.journal), 1);
    let late = |desk: &mut Desk, request: u64, output: u32| {
        let usage = Usage::plain(100, output);
        desk.gateway.late_usage(&desk.plan, desk.now, RequestId(request), 1, usage, &mut desk.journal);
    };
    late(&mut desk, 3, 10);
    late(&mut desk, 3, 90);
    late(&mut desk, 2, 90);
    desk.check("", "recovered 1; 3 corrected $0.0005 to $0.00014");
    late(&mut desk, 1, 10);
    desk.check("", "1 corrected $0.0005 to $0.00014");
    assert_eq!(desk.gateway.budget().settled().confirmed, Money(3 * 140_000_000));
    assert_eq!(desk.gateway.budget().settled().presumed, Money::ZERO);
    assert_eq!(desk.gateway.budget().used(AccountId(0), desk.now), (Money(3 * 140_000_000), Money::ZERO));
}

#[test]
fn usage_that_comes_after_a_crash_and_its_window_is_too_late() {
    for (after, presumed) in [(Span::ZERO, 0), (Span(1), 500_000_000)] {
        let mut desk = desk(|_| {}, 10_000);
        desk.check("ask", "1 calls a");
        desk.gateway.recover(&desk.plan, desk.now, Bodies::Kept, &mut desk.journal);
        let at = desk.now + desk.plan.late_usage_window + after;
        desk.gateway.late_usage(&desk.plan, at, RequestId(1), 1, Usage::plain(100, 10), &mut desk.journal);
        assert_eq!(desk.gateway.budget().settled().presumed, Money(presumed));
    }
}

#[test]
fn a_rolling_window_keeps_all_its_steps() {
    let mut desk = desk(|spec| spec.window = BudgetWindow::Rolling { length: Span::from_secs(100), slices: 4 }, 700);
    // Something is spent in every step, so that the windows roll; the first of them counts to the end of the fifth.
    desk.check(
        "ask; 1 ok; +25; ask; 2 ok 1; +75; ask in=1 max=1; 3 ok 1",
        "1 calls a; 1 served by A; 2 calls a; 2 served by A; 3 calls a for 1; 3 served by A",
    );
    assert_eq!(desk.gateway.budget().used(AccountId(0), desk.now).0, Money(140_000_000 + 104_000_000 + 5_000_000));
}

#[test]
fn the_headroom_of_an_estimate_is_exact() {
    let change = |spec: &mut BudgetSpec| spec.mode = BudgetMode::Estimate { quantile_per_mille: 900, headroom_per_mille: 500 };
    let mut desk = desk(change, 28_000);
    for number in 1..=100 {
        desk.check(&format!("ask; {number} ok"), &format!("{number} calls a; {number} served by A"));
    }
    // Half of it is spent, and half of it is left: that is not less than half.
    desk.check("ask", "101 calls a");
    assert_eq!(desk.gateway.budget().used(AccountId(0), desk.now).1, Money(140_000_000));
}

#[test]
fn a_price_tier_begins_above_its_threshold() {
    use crate::gateway::money::Rate;
    use crate::gateway::rate_card::{RateCard, Rates, Usage};
    let (low, high) = (Rates::plain(Rate(2), Rate(20)), Rates::plain(Rate(3), Rate(30)));
    let card = RateCard::new(low, vec![(200, high)], Money(7));
    assert_eq!(card.cost(Usage::plain(200, 10)), Money(2 * 200 + 20 * 10 + 7));
    assert_eq!(card.cost(Usage::plain(201, 10)), Money(3 * 201 + 30 * 10 + 7));
    assert_eq!((card.worst_case(200, 10), card.worst_case(201, 10)), (Money(607), Money(910)));
}

#[test]
fn the_worst_case_of_a_request_keeps_to_the_price_ceiling_and_the_tier() {
    let mut plan = plan(&[("A", &["a"]), ("B", &["b"])]);
    plan.models[0].fallbacks.groups = vec![ModelId(1)];
    plan.models[0].attempts.per_request = 4;
    for model in &mut plan.models {
        (model.attempts.per_group, model.attempts.per_deployment) = (2, 2);
    }
    let usage = Usage::plain(100, 10);
    let [cheap, dear] = [10, 30].map(|rate| RateCard::new(Rates::plain(Rate(rate), Rate(rate)), Vec::new(), Money::ZERO));
    plan.models[0].reference = cheap.clone().into();
    (plan.deployments[0].rates, plan.deployments[1].rates) = (cheap.into(), dear.into());
    let worst = |plan: &Plan| plan.worst_case(ModelId(0), usage);
    assert_eq!(worst(&plan), WorstCase { calls: 4, cost: Money(2 * 1100 + 2 * 3300) });
    plan.models[0].fallbacks.price_ratio_max_per_mille = Some(3000);
    assert_eq!(worst(&plan).calls, 4, "the ceiling is inclusive");
    plan.models[0].fallbacks.price_ratio_max_per_mille = Some(2999);
    assert_eq!(worst(&plan), WorstCase { calls: 2, cost: Money(2 * 1100) });
    plan.models[0].fallbacks.price_ratio_max_per_mille = None;
    (plan.models[0].fallbacks.same_tier, plan.models[1].tier) = (true, Some(7));
    assert_eq!(worst(&plan).calls, 2);
    plan.models[0].transport.retries = 1;
    assert_eq!(worst(&plan), WorstCase { calls: 4, cost: Money(4 * 1100) }, "each attempt is sent twice");
}
