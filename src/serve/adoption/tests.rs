//! Configurations that take over from others, whatever their order.

use super::*;
use crate::gateway::command::{KeySpec, TeamSpec};
use crate::gateway::money::Money;
use crate::gateway::plan::BudgetSpec;
use crate::gateway::tests::plain_plan;

/// Some budgets over everything, for a team, and for its key.
fn configuration([everyone, team, key]: [usize; 3]) -> (Arc<Plan>, Vec<Command>) {
    let plain = plain_plan();
    let budgets = |count: usize| vec![BudgetSpec { limit: Money::usd(1), ..plain.budgets[0].clone() }; count];
    let plan = Plan { budgets: budgets(everyone), ..plain.clone() };
    let team = TeamSpec { budgets: budgets(team), ..TeamSpec::default() };
    let key = KeySpec { team: Some("team".into()), budgets: budgets(key), ..KeySpec::default() };
    (Arc::new(plan), vec![Command::PutTeam { name: "team".into(), spec: team }, Command::PutKey { name: "key".into(), spec: key }])
}

fn started(counts: [usize; 3]) -> Copy {
    let (plan, commands) = configuration(counts);
    let mut started = Copy { gateway: Gateway::new(&plan, 1), plan, now: Time(0) };
    carry_out(&mut started, None, &commands).unwrap();
    started
}

fn on_path(gateway: &Gateway) -> usize {
    let directory = gateway.directory();
    directory.path(directory.path_of(gateway.key("key").unwrap())).accounts.len()
}

#[test]
fn a_budget_may_move_from_anybody_to_anybody_however_full_the_path_is() {
    let full: Vec<[usize; 3]> = (0..=4).flat_map(|everyone| (0..=4 - everyone).map(move |team| [everyone, team, 4 - everyone - team])).collect();
    for before in &full {
        for after in &full {
            let mut gateway = started(*before);
            let (plan, commands) = configuration(*after);
            carry_out(&mut gateway, Some(&plan), &commands).unwrap_or_else(|refused| panic!("{before:?} to {after:?}: {refused}"));
            assert_eq!((on_path(&gateway.gateway), gateway.gateway.directory().crowded().count()), (4, 0), "{before:?} to {after:?}");
        }
    }
}

#[test]
fn a_team_gets_its_budgets_once_the_key_has_left_that_they_have_no_room_beside() {
    let mut gateway = started([0, 0, 1]);
    let (_, mut commands) = configuration([0, 4, 1]);
    if let Command::PutKey { spec, .. } = &mut commands[1] {
        spec.team = None;
    }
    carry_out(&mut gateway, None, &commands).unwrap();
    assert_eq!(on_path(&gateway.gateway), 1);
    let back = configuration([0, 4, 1]).1;
    assert_eq!(carry_out(&mut gateway, None, &back).unwrap_err().error, CommandError::TooManyBudgets { budgets: 5, most: 4 });
}

#[test]
fn what_does_not_fit_is_refused_with_whose_it_is() {
    let fit = |before: [usize; 3], (plan, commands): (Arc<Plan>, Vec<Command>)| {
        let Copy { gateway, plan: old, now } = started(before);
        rehearse(gateway, old, now, &plan, &commands)
    };
    let why = "5 budgets would apply to one request, 4 at most: those of the gateway, the team, the key and their tags";
    assert_eq!(fit([1, 2, 1], configuration([1, 2, 2])), Err(format!("key `key`: {why}")));
    // A key that the configuration does not know: one that was made while serving.
    let (plan, _) = configuration([2, 0, 0]);
    assert_eq!(fit([1, 2, 1], (plan, Vec::new())), Err(format!("key `key`: {why}")));
    assert_eq!(fit([1, 1, 1], configuration([2, 1, 1])), Ok(()));
}

#[test]
fn what_is_so_already_is_not_told_again() {
    struct Told(Copy, Vec<Command>);
    impl Turns for Told {
        fn gateway(&self) -> &Gateway {
            self.0.gateway()
        }
        fn adopt(&mut self, plan: &Arc<Plan>) {
            self.0.adopt(plan);
        }
        fn command(&mut self, command: Command) -> Result<(), CommandError> {
            self.1.push(command.clone());
            self.0.command(command)
        }
    }
    let mut told = Told(started([0, 0, 0]), Vec::new());
    let block = |blocked| [Command::BlockTeam { name: "team".into(), blocked }, Command::BlockKey { name: "key".into(), blocked }];
    let (_, again) = configuration([0, 0, 0]);
    carry_out(&mut told, None, &again).unwrap();
    assert_eq!(told.1, [], "a reload that changes nothing");
    let (_, other) = configuration([0, 0, 1]);
    carry_out(&mut told, None, &other).unwrap();
    assert!(matches!(&told.1[..], [Command::PutKey { .. }]), "{:?}", told.1);
    let delete = [Command::DeleteKey { name: "key".into() }, Command::DeleteTeam { name: "team".into() }];
    for (commands, times) in [(block(false), 0), (block(true), 2), (block(true), 0), (block(false), 2), (delete.clone(), 2), (delete, 0)] {
        told.1.clear();
        carry_out(&mut told, None, &commands).unwrap();
        assert_eq!(told.1, commands[..times]);
    }
}
