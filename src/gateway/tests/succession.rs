//! Plans that take over from others: a configuration read again, reordered, cut or grown.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::desk::Desk;
use super::dice::Dice;
use super::driver::START;
use super::plans::{self, plan};
use crate::gateway::Gateway;
use crate::gateway::command::{Command, KeySpec, TeamSpec};
use crate::gateway::id::{DeploymentId, ModelId};
use crate::gateway::plan::{Deployment, Model, Plan};

/// The same plan with its tables in another order: what a reader of a reordered file makes.
fn shuffled(dice: &mut Dice, plan: &Plan) -> Plan {
    let (models, model_at) = shuffle(dice, &plan.models);
    let (deployments, deployment_at) = shuffle(dice, &plan.deployments);
    let mut shuffled = Plan { models, deployments, ..plan.clone() };
    let move_model = |id: &mut ModelId| *id = ModelId(model_at[id.index()]);
    for model in &mut shuffled.models {
        model.deployments.iter_mut().for_each(|id| *id = DeploymentId(deployment_at[id.index()]));
        model.fallbacks.groups.iter_mut().for_each(move_model);
        model.fallbacks.context_window.iter_mut().flatten().for_each(move_model);
        model.fallbacks.content_policy.iter_mut().flatten().for_each(move_model);
    }
    shuffled
}

/// Entries in another order, and where each has gone.
fn shuffle<T: Clone>(dice: &mut Dice, entries: &[T]) -> (Vec<T>, Vec<u32>) {
    let mut order: Vec<usize> = (0..entries.len()).collect();
    for end in (1..order.len()).rev() {
        order.swap(end, dice.below(end as u64 + 1) as usize);
    }
    let mut place = vec![0; entries.len()];
    for (to, from) in (0..).zip(&order) {
        place[*from] = to;
    }
    (order.iter().map(|from| entries[*from].clone()).collect(), place)
}

/// A plan with some other names: what was there under the old ones is gone, and something new has come.
fn renamed(dice: &mut Dice, plan: &Plan) -> Plan {
    let mut renamed = plan.clone();
    for model in &mut renamed.models {
        if dice.one_in(3) {
            model.name = format!("new {}", model.name);
        }
    }
    for deployment in &mut renamed.deployments {
        if dice.one_in(3) {
            deployment.name = format!("new {}", deployment.name);
        }
    }
    renamed
}

/// A group without numbers, its deployments, and the names on its three lists of fallbacks.
type Words<'a> = (Model, Vec<Deployment>, [Vec<&'a str>; 3]);

/// A plan in words: what each group is and where it leads to, by names, whatever the numbers. Retired groups are known to nobody.
fn words(plan: &Plan) -> Vec<Words<'_>> {
    let names = |ids: Option<&Vec<ModelId>>| ids.into_iter().flatten().map(|id| plan.model(*id).name.as_str()).collect();
    let mut words: Vec<_> = plan
        .models
        .iter()
        .filter(|model| !model.retired)
        .map(|model| {
            let mut bare = model.clone();
            bare.deployments.clear();
            bare.fallbacks.groups.clear();
            (bare.fallbacks.context_window, bare.fallbacks.content_policy) = (None, None);
            let deployments = model.deployments.iter().map(|id| plan.deployment(*id).clone()).collect();
            let fallbacks = &model.fallbacks;
            let lists = [names(Some(&fallbacks.groups)), names(fallbacks.context_window.as_ref()), names(fallbacks.content_policy.as_ref())];
            (bare, deployments, lists)
        })
        .collect();
    words.sort_by(|one, other| one.0.name.cmp(&other.0.name));
    words
}

fn names(plan: &Plan) -> (Vec<&str>, Vec<&str>) {
    (plan.models.iter().map(|model| model.name.as_str()).collect(), plan.deployments.iter().map(|each| each.name.as_str()).collect())
}

fn starts_with(plan: &Plan, old: &Plan) -> bool {
    let ((models, deployments), (old_models, old_deployments)) = (names(plan), names(old));
    models.starts_with(&old_models) && deployments.starts_with(&old_deployments)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn another_order_is_the_same_plan(seed: u64) {
        let mut dice = Dice::new(seed);
        let plan = plans::random(&mut dice);
        prop_assert!(shuffled(&mut dice, &plan).following(&plan).0 == plan);
    }

    #[test]
    fn a_successor_says_the_same_as_before_and_keeps_every_name_at_its_number(seed: u64) {
        let mut dice = Dice::new(seed);
        let first = plans::random(&mut dice);
        let second = renamed(&mut dice, &first);
        let second = shuffled(&mut dice, &second);
        let (followed, renumbering) = second.clone().following(&first);
        prop_assert_eq!(words(&followed), words(&second));
        prop_assert!(starts_with(&followed, &first));
        // What the first alone had is retired, and as it was otherwise.
        for (model, old) in followed.models.iter().zip(&first.models).filter(|(model, _)| !names(&second).0.contains(&model.name.as_str())) {
            prop_assert_eq!(model, &Model { retired: true, ..old.clone() });
        }
        for (own, old) in followed.deployments.iter().zip(&first.deployments).filter(|(own, _)| !names(&second).1.contains(&own.name.as_str())) {
            prop_assert_eq!(own, &Deployment { retired: true, ..old.clone() });
        }
        // A table beside the plan stays beside it.
        let table = renumbering.arrange(second.deployments.iter().map(|deployment| deployment.name.clone()).collect());
        for (deployment, entry) in followed.deployments.iter().zip(&table) {
            prop_assert!(entry.as_ref().is_none_or(|name| *name == deployment.name));
            prop_assert_eq!(entry.is_some(), names(&second).1.contains(&deployment.name.as_str()));
        }
        prop_assert_eq!(table.len(), followed.deployments.len());
        for (id, model) in (0..).map(ModelId).zip(&second.models) {
            prop_assert_eq!(&followed.model(renumbering.model(id)).name, &model.name);
        }
    }

    #[test]
    fn following_again_changes_nothing_and_what_was_retired_comes_back_at_its_number(seed: u64) {
        let mut dice = Dice::new(seed);
        let first = plans::random(&mut dice);
        let second = renamed(&mut dice, &first).following(&first).0;
        prop_assert!(second.clone().following(&first).0 == second);
        prop_assert!(second.clone().following(&second).0 == second);
        let again = shuffled(&mut dice, &first).following(&second).0;
        prop_assert_eq!(&again.models[..first.models.len()], &first.models[..]);
        prop_assert_eq!(&again.deployments[..first.deployments.len()], &first.deployments[..]);
        prop_assert!(again.models[first.models.len()..].iter().all(|model| model.retired));
        prop_assert!(starts_with(&again, &second));
        // A gateway can go all the way.
        let mut gateway = Gateway::new(&first, seed);
        gateway.adopt(&second, START, &mut ());
        gateway.adopt(&again, START, &mut ());
    }
}

#[test]
fn a_configuration_read_again_in_another_order_counts_on() {
    let mut desk = Desk::new(plan(&[("A", &["a"]), ("B", &["b"])]));
    desk.check("ask A; ask B", "1 calls a; 2 calls b");
    desk.adopt(|old| *old = plan(&[("C", &["c"]), ("B", &["b"])]).following(old).0);
    // What is in flight ends where it began; what is gone is refused, by its old number.
    desk.check("1 ok; 2 ok; ask B; 3 ok; ask C; 4 ok", "1 served by A; 2 served by B; 3 calls b; 3 served by B; 4 calls c; 4 served by C");
    desk.check("ask A", "5 refused: UnknownModel");
    desk.adopt(|old| *old = plan(&[("C", &["c"]), ("A", &["a"])]).following(old).0);
    desk.check("ask A; 6 ok; ask B", "6 calls a; 6 served by A; 7 refused: UnknownModel");
    desk.check_empty();
}

#[test]
fn the_models_of_teams_and_keys_are_renumbered_with_their_plan() {
    let (followed, renumbering) = plan(&[("C", &["c"]), ("B", &["b"])]).following(&plan(&[("A", &["a"]), ("B", &["b"])]));
    assert_eq!(names(&followed), (vec!["A", "B", "C"], vec!["a", "b", "c"]));
    let (before, after) = (Some(vec![ModelId(0), ModelId(1)]), Some(vec![ModelId(2), ModelId(1)]));
    let team = |models| Command::PutTeam { name: "team".into(), spec: TeamSpec { models, ..TeamSpec::default() } };
    let key = |models| Command::PutKey { name: "key".into(), spec: KeySpec { models, ..KeySpec::default() } };
    assert_eq!(renumbering.command(team(before.clone())), team(after.clone()));
    assert_eq!(renumbering.command(key(before)), key(after));
    assert_eq!(renumbering.command(key(None)), key(None));
    let delete = Command::DeleteKey { name: "key".into() };
    assert_eq!(renumbering.command(delete.clone()), delete);
}
