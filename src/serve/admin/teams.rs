//! `/team/*`: makes, shows, changes and ends teams. Knows their fields; carries nothing out itself.

use serde_json::{Map, Value, json};

use super::fields::{Fields, Given, wrong};
use super::{Caller, Desk, Parameters, administrators_only, configured, durations, keys, terms, unknown};
use crate::gateway::scope::Owner;
use crate::serve::answers::Problem;
use crate::serve::store::{KeyRecord, TeamRecord, Terms};
use crate::wire::ErrorKind;

/// `POST /team/new`.
pub fn new(desk: &mut Desk<'_>, mut fields: Fields) -> Result<Value, Problem> {
    let name = fields.name("team_id")?.some().map_or_else(random_name, Ok)?;
    // A name is the journal's for ever: a new team does not inherit what a deleted one of its name has spent.
    let is_known = desk.app.engine.read(|gateway, _, _| gateway.directory().team(&name).is_some());
    if is_known {
        let message = format!("there is, or was, a team `{name}`: choose another `team_id`");
        return Err(wrong(message, Some("team_id")).code("team_taken"));
    }
    let mut team = TeamRecord { name, alias: None, terms: Terms::default(), blocked: false, created: desk.now, updated: desk.now };
    read(desk, &mut fields, &mut team)?;
    put(desk, fields, team)
}

/// `POST /team/update`.
pub fn update(desk: &mut Desk<'_>, mut fields: Fields) -> Result<Value, Problem> {
    let mut team = Fields::required("team_id", fields.name("team_id")?).and_then(|name| find(desk, &name))?;
    fields.leave_spend()?;
    read(desk, &mut fields, &mut team)?;
    put(desk, fields, team)
}

/// `POST /team/delete`: all of the teams, and their keys, or none.
pub fn delete(desk: &mut Desk<'_>, mut fields: Fields) -> Result<Value, Problem> {
    let names = Fields::required("team_ids", fields.names("team_ids")?)?;
    fields.finish()?;
    for name in &names {
        find(desk, name)?;
    }
    desk.register.delete_teams(&desk.app.engine, &desk.app.keys, &names)?;
    Ok(json!({ "deleted_teams": names }))
}

/// `POST /team/block`.
pub fn block(desk: &mut Desk<'_>, fields: Fields) -> Result<Value, Problem> {
    set_blocked(desk, fields, true)
}

/// `POST /team/unblock`.
pub fn unblock(desk: &mut Desk<'_>, fields: Fields) -> Result<Value, Problem> {
    set_blocked(desk, fields, false)
}

/// `GET /team/info`.
pub fn info(desk: &Desk<'_>, caller: &Caller, parameters: &Parameters) -> Result<Value, Problem> {
    let name = parameters.get("team_id").ok_or_else(|| wrong("name the team: `/team/info?team_id=...`", Some("team_id")))?;
    if let Caller::Key(key) = caller {
        let own = desk.app.engine.read(|gateway, _, _| {
            let team = gateway.directory().team_of(gateway.key(key)?)?;
            Some(gateway.directory().team_names()[team.index()] == *name)
        });
        if own != Some(true) {
            return Err(Problem::new(403, ErrorKind::Forbidden, "a key may look up its own team only").code("master_key_required"));
        }
    }
    let team = find(desk, name)?;
    let of_team = desk.register.keys().filter(|key| key.team.as_deref() == Some(name.as_str()));
    // What the other keys of its team may do is no key's business.
    let listed: Vec<Value> = match caller {
        Caller::Administrator => of_team.map(|key: &KeyRecord| Value::Object(keys::show(desk, key))).collect(),
        Caller::Key(_) => Vec::new(),
    };
    Ok(json!({ "team_id": name, "team_info": show(desk, &team), "keys": listed, "team_memberships": [] }))
}

/// `GET /team/list`.
pub fn list(desk: &Desk<'_>, caller: &Caller, _: &Parameters) -> Result<Value, Problem> {
    administrators_only(caller)?;
    Ok(desk.register.teams().map(|team| Value::Object(show(desk, team))).collect())
}

fn set_blocked(desk: &mut Desk<'_>, mut fields: Fields, blocked: bool) -> Result<Value, Problem> {
    let team = Fields::required("team_id", fields.name("team_id")?).and_then(|name| find(desk, &name))?;
    put(desk, fields, TeamRecord { blocked, ..team })
}

fn put(desk: &mut Desk<'_>, fields: Fields, team: TeamRecord) -> Result<Value, Problem> {
    let mut shown = fields.finish()?;
    let team = TeamRecord { updated: desk.now, ..team };
    desk.register.put_team(&desk.app.engine, team.clone())?;
    shown.extend(show(desk, &team));
    Ok(Value::Object(shown))
}

fn read(desk: &Desk<'_>, fields: &mut Fields, team: &mut TeamRecord) -> Result<(), Problem> {
    fields.name("team_alias")?.put(&mut team.alias);
    if let Given::Some(blocked) = fields.flag("blocked")? {
        team.blocked = blocked;
    }
    terms::read(fields, &desk.app.engine.plan(), &desk.register.defaults, &mut team.terms)
}

fn find(desk: &Desk<'_>, name: &str) -> Result<TeamRecord, Problem> {
    if desk.register.configured.teams.contains(name) {
        return Err(configured("team", name));
    }
    desk.register.team(name).cloned().ok_or_else(|| unknown("team", "team_id"))
}

fn random_name() -> Result<String, Problem> {
    let failed = |error| Problem::new(500, ErrorKind::Internal, format!("the operating system has no random bytes: {error}"));
    Ok(format!("team-{:016x}", getrandom::u64().map_err(failed)?))
}

/// A team as clients are shown it.
fn show(desk: &Desk<'_>, team: &TeamRecord) -> Map<String, Value> {
    let mut shown = terms::show(&team.terms);
    let total = desk.app.spend.of_team(&team.name).spend;
    let budget = desk.app.engine.read(|gateway, _, now| {
        let id = gateway.directory().team(&team.name)?;
        let budget = gateway.budget();
        let own = budget.accounts().find(|account| budget.owner(*account) == Some(Owner::Team(id)))?;
        // Without a budget the account of an earlier one may still be there.
        team.terms.max_budget?;
        Some((budget.used(own, now).0, durations::end(&budget.spec(own).window, now)))
    });
    let (spend, reset) = budget.unwrap_or((total, None));
    let own = json!({
        "team_id": team.name,
        "team_alias": team.alias,
        "blocked": team.blocked,
        "spend": terms::dollars(spend),
        "total_spend": terms::dollars(total),
        "budget_reset_at": reset.map(durations::instant),
        "created_at": durations::instant(team.created),
        "updated_at": durations::instant(team.updated),
    });
    if let Value::Object(own) = own {
        shown.extend(own);
    }
    shown
}
