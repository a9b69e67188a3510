//! `/key/*`: makes, shows, changes and ends virtual keys. Knows their fields; carries nothing out itself.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::fields::{Fields, Given, wrong};
use super::{Caller, Desk, Parameters, administrators_only, configured, durations, models, terms, unknown};
use crate::gateway::id::KeyId;
use crate::gateway::scope::Owner;
use crate::gateway::time::Time;
use crate::serve::answers::Problem;
use crate::serve::keyring;
use crate::serve::store::{Hash, KeyRecord, Terms};
use crate::wire::ErrorKind;

/// The shortest secret that somebody may choose, in characters.
const CHOSEN_MIN: usize = 20;
/// The longest.
const CHOSEN_MAX: usize = 256;

/// `POST /key/generate`.
pub fn generate(desk: &mut Desk<'_>, mut fields: Fields) -> Result<Value, Problem> {
    let chosen = fields.name("key")?.some();
    let secret = chosen.map_or_else(random_secret, Ok)?;
    let hash = free_hash(desk, &secret)?;
    let mut key = KeyRecord {
        name: String::new(),
        hash,
        hint: hint(&secret),
        alias: None,
        team: None,
        user: None,
        expires: None,
        terms: Terms::default(),
        blocked: false,
        created: desk.now,
        updated: desk.now,
    };
    read(desk, &mut fields, &mut key)?;
    let ignored = fields.finish()?;
    key.name = free_name(desk, &key);
    desk.register.put_key(&desk.app.engine, &desk.app.keys, key.clone())?;
    Ok(made(desk, &key, &secret, ignored))
}

/// `POST /key/update`.
pub fn update(desk: &mut Desk<'_>, mut fields: Fields) -> Result<Value, Problem> {
    let mut key = Fields::required("key", fields.name("key")?).and_then(|text| find(desk, &text))?;
    fields.leave_spend()?;
    read(desk, &mut fields, &mut key)?;
    let ignored = fields.finish()?;
    key.updated = desk.now;
    desk.register.put_key(&desk.app.engine, &desk.app.keys, key.clone())?;
    let mut shown = show(desk, &key);
    shown.insert("key".into(), json!(key.hash.hex()));
    shown.extend(ignored);
    Ok(Value::Object(shown))
}

/// `POST /key/delete`: all of the keys, or none.
pub fn delete(desk: &mut Desk<'_>, mut fields: Fields) -> Result<Value, Problem> {
    let mut named = fields.names("keys")?.some().unwrap_or_default();
    named.extend(fields.names("key_aliases")?.some().unwrap_or_default());
    fields.finish()?;
    if named.is_empty() {
        return Err(wrong("name the keys: `{\"keys\": [...]}` or `{\"key_aliases\": [...]}`", Some("keys")));
    }
    let keys = named.iter().map(|text| find(desk, text)).collect::<Result<Vec<_>, _>>()?;
    let names: Vec<String> = keys.iter().map(|key| key.name.clone()).collect();
    desk.register.delete_keys(&desk.app.engine, &desk.app.keys, &names)?;
    Ok(json!({ "deleted_keys": keys.iter().map(|key| key.hash.hex()).collect::<Vec<_>>() }))
}

/// `POST /key/block`.
pub fn block(desk: &mut Desk<'_>, fields: Fields) -> Result<Value, Problem> {
    set_blocked(desk, fields, true)
}

/// `POST /key/unblock`.
pub fn unblock(desk: &mut Desk<'_>, fields: Fields) -> Result<Value, Problem> {
    set_blocked(desk, fields, false)
}

/// `POST /key/regenerate`: another secret for the same key, with whatever changes come along. The old one is good for nothing from then on.
pub fn regenerate(desk: &mut Desk<'_>, mut fields: Fields) -> Result<Value, Problem> {
    let mut key = Fields::required("key", fields.name("key")?).and_then(|text| find(desk, &text))?;
    fields.leave_spend()?;
    let secret = fields.name("new_key")?.some().map_or_else(random_secret, Ok)?;
    (key.hash, key.hint) = (free_hash(desk, &secret)?, hint(&secret));
    read(desk, &mut fields, &mut key)?;
    let ignored = fields.finish()?;
    key.updated = desk.now;
    desk.register.put_key(&desk.app.engine, &desk.app.keys, key.clone())?;
    Ok(made(desk, &key, &secret, ignored))
}

/// `GET /key/info`: a key may look itself up.
pub fn info(desk: &Desk<'_>, caller: &Caller, parameters: &Parameters) -> Result<Value, Problem> {
    let asked = parameters.get("key");
    let name = match (caller, asked) {
        (Caller::Key(own), asked) => {
            if asked.is_some_and(|text| name_of(desk, text).as_deref() != Some(own)) {
                return Err(Problem::new(403, ErrorKind::Forbidden, "a key may look up itself only").code("master_key_required"));
            }
            own.to_string()
        }
        (Caller::Administrator, Some(text)) => name_of(desk, text).ok_or_else(|| unknown("key", "key"))?,
        (Caller::Administrator, None) => return Err(wrong("name the key: `/key/info?key=...`", Some("key"))),
    };
    let (shown, token) = match desk.register.key(&name) {
        Some(key) => (show(desk, key), Some(key.hash)),
        None => (show_configured(desk, &name), desk.app.keys.hash_of(&name).map(Hash)),
    };
    Ok(json!({ "key": token.map(|hash| hash.hex()), "info": shown }))
}

/// `GET /key/list`: the tokens, or the keys with `return_full_object=true`.
pub fn list(desk: &Desk<'_>, caller: &Caller, parameters: &Parameters) -> Result<Value, Problem> {
    administrators_only(caller)?;
    let number = |name: &str, most: usize, default: usize| {
        let read = |text: &String| text.parse().ok().filter(|number| (1..=most).contains(number));
        let unfit = || wrong(format!("`{name}` must be a number from 1 to {most}"), Some(name));
        parameters.get(name).map_or(Ok(default), |text| read(text).ok_or_else(unfit))
    };
    let (page, size) = (number("page", 1_000_000, 1)?, number("size", 1000, 100)?);
    let matches = |field: &str, value: Option<&String>| parameters.get(field).is_none_or(|wanted| value == Some(wanted));
    let keys = desk
        .register
        .keys()
        .filter(|key| matches("team_id", key.team.as_ref()) && matches("user_id", key.user.as_ref()) && matches("key_alias", key.alias.as_ref()));
    let keys: Vec<&KeyRecord> = keys.collect();
    let full = parameters.get("return_full_object").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let of_page = keys.iter().skip((page - 1) * size).take(size);
    let shown: Vec<Value> = of_page.map(|key| if full { Value::Object(show(desk, key)) } else { json!(key.hash.hex()) }).collect();
    Ok(json!({ "keys": shown, "total_count": keys.len(), "current_page": page, "total_pages": keys.len().div_ceil(size) }))
}

fn set_blocked(desk: &mut Desk<'_>, mut fields: Fields, blocked: bool) -> Result<Value, Problem> {
    let key = Fields::required("key", fields.name("key")?).and_then(|text| find(desk, &text))?;
    fields.finish()?;
    let key = KeyRecord { blocked, updated: desk.now, ..key };
    desk.register.put_key(&desk.app.engine, &desk.app.keys, key.clone())?;
    Ok(Value::Object(show(desk, &key)))
}

/// Reads the fields of a key into one that there is.
fn read(desk: &Desk<'_>, fields: &mut Fields, key: &mut KeyRecord) -> Result<(), Problem> {
    let before = key.alias.clone();
    fields.name("key_alias")?.put(&mut key.alias);
    if let Some(alias) = key.alias.as_ref().filter(|alias| before.as_ref() != Some(*alias)) {
        let taken = desk.register.keys().any(|other| other.name != key.name && other.alias.as_ref() == Some(alias));
        if taken || is_configured(desk, alias) {
            return Err(wrong(format!("there is a key `{alias}` already"), Some("key_alias")).code("alias_taken"));
        }
    }
    let before = key.team.clone();
    fields.name("team_id")?.put(&mut key.team);
    if let Some(team) = key.team.as_ref().filter(|team| before.as_ref() != Some(*team)) {
        let is_known = desk.app.engine.read(|gateway, _, _| gateway.directory().team(team).is_some());
        let is_deleted = desk.register.team(team).is_none() && !desk.register.configured.teams.contains(team);
        if !is_known || is_deleted {
            return Err(unknown("team", "team_id"));
        }
    }
    fields.name("user_id")?.put(&mut key.user);
    match fields.name("duration")? {
        Given::Absent => {}
        Given::Nothing => key.expires = None,
        // As LiteLLM's clients say it when they change a key.
        Given::Some(duration) if duration == "-1" => key.expires = None,
        Given::Some(duration) => {
            let unfit = || wrong(format!("`duration` of `{duration}` is none: write {}", durations::EXAMPLES), Some("duration"));
            key.expires = Some(durations::after(&duration, desk.now).ok_or_else(unfit)?);
        }
    }
    if let Given::Some(blocked) = fields.flag("blocked")? {
        key.blocked = blocked;
    }
    match fields.name("key_type")? {
        Given::Some(kind) if kind != "default" && kind != "llm_api" => {
            return Err(wrong(format!("a key of type `{kind}` is not supported: a virtual key calls models"), Some("key_type")));
        }
        _ => {}
    }
    terms::read(fields, &desk.app.engine.plan(), &desk.register.defaults, &mut key.terms)
}

/// A key by its secret, its token or its name; a copy.
fn find(desk: &Desk<'_>, text: &str) -> Result<KeyRecord, Problem> {
    let name = name_of(desk, text).ok_or_else(|| unknown("key", "key"))?;
    desk.register.key(&name).cloned().ok_or_else(|| configured("key", &name))
}

/// The name of a key by its secret, its token, its alias or its name.
pub fn name_of(desk: &Desk<'_>, text: &str) -> Option<String> {
    let hashes = [Some(keyring::hash(text)), Hash::from_hex(text).map(|hash| hash.0)];
    let by_hash = hashes.into_iter().flatten().find_map(|hash| desk.app.keys.name_of_hash(&hash));
    if let Some(name) = by_hash {
        return Some(name.to_string());
    }
    // One that is deleted is on no ring, but still here if the store could not be written: its deletion has to be asked for again.
    let off_the_ring = desk.register.keys().find(|key| hashes.contains(&Some(key.hash.0)) && !is_configured(desk, &key.name));
    if let Some(key) = off_the_ring {
        return Some(key.name.clone());
    }
    let named = desk.register.keys().find(|key| key.alias.as_deref() == Some(text)).or_else(|| desk.register.key(text));
    named.map(|key| key.name.clone()).or_else(|| is_configured(desk, text).then(|| text.to_owned()))
}

fn is_configured(desk: &Desk<'_>, name: &str) -> bool {
    desk.register.configured.keys.contains(name)
}

/// A name that no key in the journal has: a key that comes after a deleted one of its alias does not inherit what that one has spent.
fn free_name(desk: &Desk<'_>, key: &KeyRecord) -> String {
    let base = key.alias.clone().unwrap_or_else(|| format!("key-{}", &key.hash.hex()[..12]));
    let is_free = |name: &str| desk.app.engine.read(|gateway, _, _| gateway.key(name).is_none());
    let numbered = (2..).map(|number: u64| format!("{base}#{number}"));
    std::iter::once(base.clone()).chain(numbered).find(|name| is_free(name)).expect("there are more numbers than keys")
}

/// The hash of a secret that nobody has.
fn free_hash(desk: &Desk<'_>, secret: &str) -> Result<Hash, Problem> {
    let unfit = !secret.starts_with("sk-") || secret.len() < CHOSEN_MIN || secret.len() > CHOSEN_MAX;
    if unfit || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message = format!("a secret starts with `sk-` and has {CHOSEN_MIN} to {CHOSEN_MAX} printable characters; leave the field out to get one");
        return Err(wrong(message, Some("key")));
    }
    let hash = Hash(keyring::hash(secret));
    let is_taken = desk.register.has_hash(hash) || desk.app.keys.name_of_hash(&hash.0).is_some() || desk.app.settings().master == Some(hash.0);
    if is_taken { Err(wrong("there is a key of this secret already", Some("key")).code("secret_taken")) } else { Ok(hash) }
}

/// `sk-` and 32 bytes from the operating system.
fn random_secret() -> Result<String, Problem> {
    let mut bytes = [0; 32];
    let failed = |error| Problem::new(500, ErrorKind::Internal, format!("the operating system has no random bytes: {error}"));
    getrandom::fill(&mut bytes).map_err(failed)?;
    Ok(bytes.iter().fold(String::from("sk-"), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

fn hint(secret: &str) -> String {
    format!("sk-...{}", &secret[secret.len() - 4..])
}

/// A key with its secret: the only time that it is shown.
fn made(desk: &Desk<'_>, key: &KeyRecord, secret: &str, ignored: Map<String, Value>) -> Value {
    let mut shown = ignored;
    shown.extend(show(desk, key));
    shown.insert("key".into(), json!(secret));
    shown.insert("token_id".into(), json!(key.hash.hex()));
    Value::Object(shown)
}

/// A key as clients are shown it.
pub fn show(desk: &Desk<'_>, key: &KeyRecord) -> Map<String, Value> {
    let mut shown = terms::show(&key.terms);
    let own = json!({
        "token": key.hash.hex(),
        "key_name": key.hint,
        "key_alias": key.alias,
        "gwsim_key": key.name,
        "team_id": key.team,
        "user_id": key.user,
        "expires": key.expires.map(durations::instant),
        "blocked": key.blocked,
        "created_at": durations::instant(key.created),
        "updated_at": durations::instant(key.updated),
    });
    if let Value::Object(own) = own {
        shown.extend(own);
    }
    shown.extend(spent(desk, &key.name));
    shown
}

/// A key of the configuration, as far as the core knows it.
fn show_configured(desk: &Desk<'_>, name: &str) -> Map<String, Value> {
    let mut shown = Map::new();
    let (models, team, blocked) = desk.app.engine.read(|gateway, plan, _| {
        let directory = gateway.directory();
        let key = gateway.key(name);
        let models: Vec<String> = key.map_or_else(Vec::new, |key| models::allowed(directory, plan, key));
        let team = key.and_then(|key| directory.team_of(key)).map(|team| directory.team_names()[team.index()].clone());
        (models, team, key.is_none_or(|key| directory.standing(key).is_err()))
    });
    shown.insert("key_alias".into(), json!(name));
    shown.insert("gwsim_key".into(), json!(name));
    shown.insert("models".into(), json!(models));
    shown.insert("team_id".into(), json!(team));
    shown.insert("blocked".into(), json!(blocked));
    shown.insert("of_the_configuration".into(), json!(true));
    shown.extend(spent(desk, name));
    shown
}

/// What a key has spent: in the window of its budget if it has one, and in all.
fn spent(desk: &Desk<'_>, name: &str) -> Map<String, Value> {
    let budget = desk.app.engine.read(|gateway, _, now| {
        let key: KeyId = gateway.key(name)?;
        let directory = gateway.directory();
        let accounts = &directory.path(directory.path_of(key)).accounts;
        let own = accounts.iter().find(|account| gateway.budget().owner(**account) == Some(Owner::Key(key)))?;
        let spec = gateway.budget().spec(*own);
        Some((gateway.budget().used(*own, now).0, spec.limit, durations::end(&spec.window, now)))
    });
    let total = desk.app.spend.of_key(name).spend;
    let (spend, limit, reset): (_, _, Option<Time>) = budget.map_or((total, None, None), |(spent, limit, end)| (spent, Some(limit), end));
    let mut shown = Map::new();
    shown.insert("spend".into(), terms::dollars(spend));
    shown.insert("total_spend".into(), terms::dollars(total));
    shown.insert("budget_reset_at".into(), json!(reset.map(durations::instant)));
    if let Some(limit) = limit {
        shown.insert("max_budget".into(), terms::dollars(limit));
    }
    shown
}
