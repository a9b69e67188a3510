//! The fields of an administrator's request: read with their types, exactly, and none that matters left unread. Knows no key and no team.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::gateway::money::Money;
use crate::price::money_from_usd;
use crate::serve::answers::Problem;
use crate::wire::ErrorKind;

/// The longest name, in bytes: of a key, a team, a model, a tag. They are kept for ever.
const NAME_MAX: usize = 256;
/// The most names in a list.
const NAMES_MAX: usize = 1000;
/// The longest object that is kept with a key, in bytes.
const OBJECT_MAX: usize = 16 << 10;
/// No provider and no gateway sees more in a period.
const COUNT_MAX: u64 = 1_000_000_000_000;
/// More money than there is, and small enough that sums and thousandfolds of amounts are exact.
const DOLLARS_MAX: Money = Money(1_000_000_000_000_000 * Money::PER_USD);

/// Fields that LiteLLM has and that change nothing here: taken, and given back.
const HARMLESS: [&str; 12] = [
    "admins",
    "created_by",
    "key_name",
    "members",
    "members_with_roles",
    "organization_alias",
    "prompts",
    "rotation_interval",
    "rpm_limit_type",
    "send_invite_email",
    "team_member_permissions",
    "tpm_limit_type",
];
/// Parts of the names of fields that would change money or access if they were understood.
const MATTERS: [&str; 29] = [
    "access",
    "agent",
    "alias",
    "allow",
    "block",
    "budget",
    "cache",
    "caching",
    "config",
    "cost",
    "duration",
    "enforced",
    "expir",
    "fallback",
    "grace",
    "guardrail",
    "limit",
    "max",
    "model",
    "organization",
    "parallel",
    "permission",
    "project",
    "role",
    "rotate",
    "route",
    "rpm",
    "spend",
    "tpm",
];

/// A field: left out, taken away, or given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given<T> {
    /// It is not there: nothing changes.
    Absent,
    /// It is `null`: there is to be none.
    Nothing,
    /// There is to be this.
    Some(T),
}

impl<T> Given<T> {
    /// Carries it out on what there was.
    pub fn put(self, target: &mut Option<T>) {
        match self {
            Self::Absent => {}
            Self::Nothing => *target = None,
            Self::Some(value) => *target = Some(value),
        }
    }

    /// What is given, if anything is.
    pub fn some(self) -> Option<T> {
        if let Self::Some(value) = self { Some(value) } else { None }
    }

    fn map<U>(self, read: impl FnOnce(T) -> Result<U, Problem>) -> Result<Given<U>, Problem> {
        Ok(match self {
            Self::Absent => Given::Absent,
            Self::Nothing => Given::Nothing,
            Self::Some(value) => Given::Some(read(value)?),
        })
    }
}

/// The fields of one request that are not read yet. Numbers are kept as they were written: none becomes a float on its way to an amount.
#[derive(Debug)]
pub struct Fields {
    left: BTreeMap<String, Box<RawValue>>,
}

impl Fields {
    /// The fields of a body. An empty body has none.
    ///
    /// # Errors
    /// If it is not a JSON object.
    pub fn read(body: &[u8]) -> Result<Self, Problem> {
        if body.trim_ascii().is_empty() {
            return Ok(Self { left: BTreeMap::new() });
        }
        // What serde has to say quotes no more than the kind of what it met.
        let left = serde_json::from_slice(body).map_err(|error| wrong(format!("the body is not a JSON object: {error}"), None))?;
        Ok(Self { left })
    }

    /// A name, or another short text.
    ///
    /// # Errors
    /// If it is none.
    pub fn name(&mut self, field: &str) -> Result<Given<String>, Problem> {
        self.take(field).map(|value| name(field, &value))
    }

    /// Puts a name where the address had it.
    pub fn put_name(&mut self, field: &str, name: &str) {
        if let Ok(value) = serde_json::value::to_raw_value(name) {
            self.left.insert(field.to_owned(), value);
        }
    }

    /// A list of names.
    ///
    /// # Errors
    /// If it is none.
    pub fn names(&mut self, field: &str) -> Result<Given<Vec<String>>, Problem> {
        self.take(field).map(|value| {
            let list: Vec<Box<RawValue>> = typed(field, &value, "a list of texts")?;
            if list.len() > NAMES_MAX {
                return Err(wrong(format!("`{field}` has {} entries, {NAMES_MAX} at most", list.len()), Some(field)));
            }
            list.iter().map(|value| name(field, value)).collect()
        })
    }

    /// A number from 1.
    ///
    /// # Errors
    /// If it is none.
    pub fn count(&mut self, field: &str) -> Result<Given<u64>, Problem> {
        self.take(field).map(|value| {
            let unfit = || wrong(format!("`{field}` must be a whole number from 1 to {COUNT_MAX}, or null for none"), Some(field));
            // Python's clients write whole numbers with a fraction of zero when they have been floats.
            let text = value.get().strip_suffix(".0").unwrap_or(value.get());
            text.parse().ok().filter(|count| (1..=COUNT_MAX).contains(count)).ok_or_else(unfit)
        })
    }

    /// An amount in US dollars, above zero.
    ///
    /// # Errors
    /// If it is none.
    pub fn dollars(&mut self, field: &str) -> Result<Given<Money>, Problem> {
        self.take(field).map(|value| {
            let text = value.get();
            if !text.starts_with(|start: char| start.is_ascii_digit() || start == '-') {
                return Err(wrong(format!("`{field}` must be a number of US dollars, or null for none"), Some(field)));
            }
            let amount = money_from_usd(text).map_err(|error| wrong(format!("`{field}`: {error}"), Some(field)))?;
            if amount == Money::ZERO {
                let message = format!("`{field}` of 0 would refuse every request: block the key for that, or leave the field out for no limit");
                return Err(wrong(message, Some(field)));
            }
            if amount > DOLLARS_MAX {
                return Err(wrong(format!("`{field}` is more than {DOLLARS_MAX}"), Some(field)));
            }
            Ok(amount)
        })
    }

    /// Yes or no.
    ///
    /// # Errors
    /// If it is neither.
    pub fn flag(&mut self, field: &str) -> Result<Given<bool>, Problem> {
        self.take(field).map(|value| typed(field, &value, "true or false"))
    }

    /// An object, kept as it is.
    ///
    /// # Errors
    /// If it is none, or too large.
    pub fn object(&mut self, field: &str) -> Result<Given<Map<String, Value>>, Problem> {
        self.take(field).map(|value| {
            if value.get().len() > OBJECT_MAX {
                return Err(wrong(format!("`{field}` is larger than {OBJECT_MAX} bytes"), Some(field)));
            }
            typed(field, &value, "an object")
        })
    }

    /// A field that has to be there.
    ///
    /// # Errors
    /// If it is not.
    pub fn required<T>(field: &str, given: Given<T>) -> Result<T, Problem> {
        given.some().ok_or_else(|| wrong(format!("`{field}` is missing"), Some(field)))
    }

    /// Of a key or team that there is, nobody sets what it has spent, not to nothing either.
    ///
    /// # Errors
    /// If that is asked for.
    pub fn leave_spend(&mut self) -> Result<(), Problem> {
        if let Given::Some(_) = self.take("spend") {
            let message = "`spend` can't be set: it is what the journal says. Another `budget_duration` begins a window with nothing spent in it";
            return Err(wrong(message, Some("spend")).code("unsupported_field"));
        }
        Ok(())
    }

    /// What is left when everything is read that this gateway understands: to be given back, if nothing follows from it.
    ///
    /// # Errors
    /// If a field would change money or access: what was asked for would not be what is done.
    pub fn finish(self) -> Result<Map<String, Value>, Problem> {
        let mut rest = Map::new();
        for (field, value) in self.left {
            let value: Value = typed(&field, &value, "JSON")?;
            let known = HARMLESS.contains(&field.as_str());
            let lower = field.to_ascii_lowercase();
            if !known && !is_nothing(&value) && MATTERS.iter().any(|part| lower.contains(part)) {
                let meant = ["rpm", "tpm", "tpd"].contains(&lower.as_str()).then(|| format!("write `{lower}_limit`"));
                let instead = meant.as_deref().unwrap_or("leave it out");
                let message = format!("`{field}` is not supported, and it might change what may be spent or by whom: {instead}");
                return Err(wrong(message, Some(&field)).code("unsupported_field"));
            }
            rest.insert(field, value);
        }
        Ok(rest)
    }

    fn take(&mut self, field: &str) -> Given<Box<RawValue>> {
        match self.left.remove(field) {
            None => Given::Absent,
            Some(value) if value.get() == "null" => Given::Nothing,
            Some(value) => Given::Some(value),
        }
    }
}

/// A request that can't be understood. `field` is what is wrong with it.
pub fn wrong(message: impl Into<String>, field: Option<&str>) -> Problem {
    Problem::new(400, ErrorKind::BadRequest, message).param(field.map(str::to_owned))
}

fn typed<'a, T: Deserialize<'a>>(field: &str, value: &'a RawValue, what: &str) -> Result<T, Problem> {
    serde_json::from_str(value.get()).map_err(|_| wrong(format!("`{field}` must be {what}"), Some(field)))
}

fn name(field: &str, value: &RawValue) -> Result<String, Problem> {
    let text: String = typed(field, value, "a text")?;
    if text.trim().is_empty() || text.len() > NAME_MAX || text.chars().any(char::is_control) {
        let message = format!("`{field}` must have from 1 to {NAME_MAX} bytes, and no control characters");
        return Err(wrong(message, Some(field)));
    }
    Ok(text)
}

/// Clients send what they do not use as nothing.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(body: &str) -> Fields {
        Fields::read(body.as_bytes()).unwrap()
    }

    #[test]
    fn amounts_are_exact_however_they_are_written() {
        for (text, picodollars) in [("50", 50_000_000_000_000), ("50.0", 50_000_000_000_000), ("0.1", 100_000_000_000), ("1e-05", 10_000_000)] {
            assert_eq!(fields(&format!("{{\"max_budget\": {text}}}")).dollars("max_budget").unwrap(), Given::Some(Money(picodollars)), "{text}");
        }
        for text in ["0", "-1", "\"50\"", "1e400", "1e30", "true", "[1]", "0.0000000000001"] {
            assert!(fields(&format!("{{\"max_budget\": {text}}}")).dollars("max_budget").is_err(), "{text}");
        }
    }

    #[test]
    fn what_would_change_money_or_access_is_never_passed_over() {
        for field in ["model_max_budget", "rpm", "tpm", "budget_id", "allowed_routes", "permissions", "aliases", "organization_id", "maxBudget"] {
            let error = fields(&format!("{{\"{field}\": \"x\"}}")).finish().unwrap_err();
            assert!(String::from_utf8_lossy(&error.body(crate::wire::Dialect::OpenAi)).contains(field), "{field}");
        }
        let rest = fields(r#"{"key_name": "x", "note": [1], "aliases": {}, "permissions": {}, "model_max_budget": null}"#).finish().unwrap();
        assert_eq!(rest.len(), 5);
    }

    #[test]
    fn types_are_kept() {
        for (text, count) in [("100", Some(100)), ("100.0", Some(100)), ("0", None), ("-5", None), ("1.5", None), ("\"9\"", None)] {
            assert_eq!(fields(&format!("{{\"rpm_limit\": {text}}}")).count("rpm_limit").ok().and_then(Given::some), count, "{text}");
        }
        assert_eq!(fields(r#"{"key_alias": null}"#).name("key_alias").unwrap(), Given::Nothing);
        assert_eq!(fields("{}").name("key_alias").unwrap(), Given::Absent);
        assert!(fields(r#"{"key_alias": "a\nb"}"#).name("key_alias").is_err());
        assert!(fields(r#"{"models": "gpt-4o"}"#).names("models").is_err());
        assert!(Fields::read(b"[1]").is_err() && Fields::read(b"{").is_err() && Fields::read(b"").is_ok());
    }
}
