//! Commands and plan changes for the random driver.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::driver::Run;
use super::plans::{random_budget, random_limit};
use crate::gateway::Gateway;
use crate::gateway::command::{Command, KeySpec, Overrides, TeamSpec};
use crate::gateway::id::{AccountId, ModelId};
use crate::gateway::money::Money;
use crate::gateway::plan::CacheScope;
use crate::gateway::time::Span;

/// Adds or changes a team, a key, an end user or a tag.
pub(super) fn put_someone(run: &mut Run) {
    let dice = &mut run.dice;
    let budgets = if dice.one_in(2) { Vec::from([random_budget(dice)]) } else { Vec::new() };
    let limits = (0..dice.below(3) / 2 * 2).map(|_| random_limit(dice)).collect();
    let models = dice.one_in(6).then(|| Vec::from([ModelId(dice.below(run.sizes.0 as u64) as u32)]));
    let tags: Vec<String> = (0..dice.below(2)).map(|_| format!("tag{}", dice.below(2))).collect();
    let overrides = Overrides {
        fallbacks: dice.one_in(8).then(|| dice.one_in(2)),
        // Never looser than a plan: the worst case is of requests whose key sets no policies of its own.
        price_ratio_max_per_mille: dice.one_in(8).then_some(500),
        cache: dice.one_in(8).then(|| dice.one_in(2)),
        cache_scope: dice.one_in(8).then_some(CacheScope::Key),
        ..Overrides::default()
    };
    let team = dice.one_in(2).then(|| format!("team{}", dice.below(2)));
    let expires = dice.one_in(20).then(|| run.now + Span::from_secs(5));
    let command = match dice.below(8) {
        0 | 1 => Command::PutTeam { name: format!("team{}", dice.below(2)), spec: TeamSpec { budgets, limits, models, tags, overrides } },
        2 => Command::PutEndUser { name: format!("user{}", dice.below(2)), budgets },
        3 => Command::PutTag { name: format!("tag{}", dice.below(2)), budgets },
        _ => Command::PutKey { name: format!("key{}", dice.below(4)), spec: KeySpec { team, budgets, limits, models, tags, expires, overrides } },
    };
    apply(run, command);
}

/// Blocks, deletes or grants.
pub(super) fn order(run: &mut Run) {
    let dice = &mut run.dice;
    let (key, team) = (format!("key{}", dice.below(5)), format!("team{}", dice.below(3)));
    let blocked = dice.one_in(3);
    let command = match dice.below(8) {
        0..3 => Command::BlockKey { name: key, blocked },
        3 => Command::BlockTeam { name: team, blocked },
        4 if dice.one_in(3) => Command::DeleteKey { name: key },
        5 if dice.one_in(3) => Command::DeleteTeam { name: team },
        _ => Command::Grant { account: AccountId(dice.below(6) as u32), amount: Money(dice.of(&[0, 5_000, 1_000_000_000]) * 1_000_000) },
    };
    apply(run, command);
}

/// Goes over to another plan: a limit or a budget changed, that of end users too, something retired or back.
pub(super) fn adopt(run: &mut Run) {
    let mut plan = run.plans[run.plans.len() - 1].clone();
    let dice = &mut run.dice;
    let (model, deployment) = (dice.below(run.sizes.0 as u64) as usize, dice.below(run.sizes.1 as u64) as usize);
    match dice.below(7) {
        0 => plan.deployments[deployment].retired ^= true,
        1 => plan.models[model].retired ^= true,
        2 => plan.deployments[deployment].limits = Vec::from([random_limit(dice)]),
        3 => plan.models[model].limits = Vec::from([random_limit(dice)]),
        4 => plan.budgets = Vec::from([random_budget(dice)]),
        5 => plan.end_user_budget = dice.one_in(2).then(|| random_budget(dice)),
        _ => plan.models[model].budgets = Vec::from([random_budget(dice)]),
    }
    run.gateway.adopt(&plan, run.now, &mut run.journal);
    run.plans.push(plan);
    run.ledger.learn(&run.gateway, run.now);
}

/// Some commands name somebody that there is not, or too many budgets: they change nothing. Nor does one whose word is carried out already.
fn apply(run: &mut Run, command: Command) {
    let grant = if let Command::Grant { account, amount } = &command { Some((*account, *amount)) } else { None };
    run.gateway.advance(run.now);
    let before = fails(&run.gateway, &command).then(|| serde_json::to_vec(&run.gateway.snapshot()).ok());
    let plan = &run.plans[run.plans.len() - 1];
    if run.gateway.apply(plan, run.now, command.clone(), &mut run.journal).is_err() {
        let same = before.is_none_or(|before| before == serde_json::to_vec(&run.gateway.snapshot()).ok());
        assert!(same, "a command that fails changes nothing");
        return;
    }
    if matches!(command, Command::PutTeam { .. } | Command::PutKey { .. }) {
        assert!(run.gateway.is_so(&command), "{command:?}");
        let mut again = run.gateway.clone();
        again.apply(plan, run.now, command, &mut ()).expect("as before");
        assert_eq!(serde_json::to_vec(&again.snapshot()).ok(), serde_json::to_vec(&run.gateway.snapshot()).ok(), "it is so already");
    }
    run.ledger.learn(&run.gateway, run.now);
    if let Some((account, amount)) = grant {
        run.ledger.granted(account, amount, run.now);
    }
}

/// Whether a command can fail: only then it is worth while to look what has changed.
fn fails(gateway: &Gateway, command: &Command) -> bool {
    match command {
        Command::PutTeam { spec, .. } => !spec.budgets.is_empty() && !spec.tags.is_empty(),
        Command::PutKey { spec, .. } => spec.team.as_ref().is_some_and(|team| gateway.directory().team(team).is_none()),
        Command::PutEndUser { .. } | Command::Grant { .. } => false,
        Command::PutTag { budgets, .. } => !budgets.is_empty(),
        Command::BlockKey { name, .. } | Command::DeleteKey { name } => gateway.directory().key(name).is_none(),
        Command::BlockTeam { name, .. } | Command::DeleteTeam { name } => gateway.directory().team(name).is_none(),
    }
}
