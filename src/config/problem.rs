//! One constructor for each thing that can be wrong with a configuration. Words only: readers decide when it is wrong.

use super::diagnostic::{Place, Problem};
use super::near::nearest;

/// The parser's own words.
pub fn broken_toml(place: Place, message: &str) -> Problem {
    let first = message.lines().next().unwrap_or("not TOML");
    Problem::error(place, format!("broken TOML: {first}")).why("TOML does not allow this")
}

/// A key that nobody reads.
pub fn unknown_key(place: Place, key: &str, section: &str, known: &[&str]) -> Problem {
    let problem = Problem::error(place, format!("unknown key `{key}` in {section}")).why("it would have no effect");
    if let Some(near) = nearest(key, known.iter().copied()) {
        return problem.help(format!("did you mean `{near}`?"));
    }
    let mut names = known.to_vec();
    names.sort_unstable();
    problem.help(if names.is_empty() { "remove it".into() } else { format!("known here: {}", names.join(", ")) })
}

/// A name that refers to something that is not there.
pub fn unknown_name<'a>(place: Place, kind: &str, name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Problem {
    let problem = Problem::error(place, format!("unknown {kind} `{name}`"));
    if let Some(near) = nearest(name, known.clone()) {
        return problem.help(format!("did you mean `{near}`?"));
    }
    let names: Vec<&str> = known.into_iter().take(8).collect();
    problem.help(if names.is_empty() { format!("there is no {kind} yet: add one") } else { format!("there are: {}", names.join(", ")) })
}

/// A path of a `set` through a name that does not exist.
pub fn set_through_nothing<'a>(place: Place, section: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Problem {
    let near = nearest(name, known).map(|near| format!("did you mean `{near}`? "));
    Problem::error(place, format!("`{name}` does not exist in `{section}`"))
        .why("a path only changes what is there")
        .help(format!("{}To add it, set the whole table: '{section}.\"{name}\"' = {{ ... }}", near.unwrap_or_default()))
}

/// A path of a `set` through something that is no table.
pub fn set_through_value(place: Place, key: &str, kind: &str) -> Problem {
    Problem::error(place, format!("no such setting: `{key}` is {kind} and has nothing inside"))
}

/// A path of a `set` to an element that a list does not have.
pub fn set_beyond_list(place: Place, key: &str, length: usize) -> Problem {
    Problem::error(place, format!("no such setting: the list has no element `{key}`"))
        .help(format!("elements are named by their id or counted from 0; the list has {length}"))
}

/// A path that is not a dotted key.
pub fn broken_path(place: Place, key: &str) -> Problem {
    Problem::error(place, format!("not a path: `{key}`"))
        .why("a path is a dotted key")
        .help("quote names that have dots or spaces: 'models.\"gpt-4.1\".fallbacks'")
}

/// A value of the wrong kind.
pub fn wrong_kind(place: Place, key: &str, found: &str, expected: &str, example: &str) -> Problem {
    Problem::error(place, format!("`{key}` must be {expected}")).why(format!("this is {found}")).help(format!("for example: {key} = {example}"))
}

/// Text that does not say what it should.
pub fn malformed(place: Place, key: &str, expected: &str, why: &str, example: &str) -> Problem {
    Problem::error(place, format!("`{key}` must be {expected}")).why(why).help(format!("for example: {key} = {example}"))
}

/// A number outside its range.
pub fn out_of_range(place: Place, key: &str, least: i128, most: i128) -> Problem {
    let range = if most >= i128::from(u32::MAX) { format!("at least {least}") } else { format!("from {least} to {most}") };
    Problem::error(place, format!("`{key}` must be {range}")).help(format!("for example: {key} = {}", least.max(1)))
}

/// A word that is none of those that may stand here.
pub fn unknown_word(place: Place, key: &str, word: &str, known: &[&str]) -> Problem {
    let problem = Problem::error(place, format!("unknown value `{word}` for `{key}`"));
    let all = format!("one of: {}", known.join(", "));
    match nearest(word, known.iter().copied()) {
        Some(near) => problem.help(format!("did you mean `{near}`? It is {all}")),
        None => problem.help(format!("write {all}")),
    }
}

/// A key that must be there.
pub fn missing_key(place: Place, key: &str, section: &str, example: &str) -> Problem {
    Problem::error(place, format!("{section} needs `{key}`")).help(format!("for example: {key} = {example}"))
}

/// A file that cannot be read.
pub fn unreadable_file(place: Option<Place>, path: &str, reason: &str) -> Problem {
    let message = format!("can't read `{path}`: {reason}");
    match place {
        Some(place) => Problem::error(place, message).help("paths are relative to the file that they are written in"),
        None if reason == "no such file" => {
            Problem::without_place(message).help("check the path: it is relative to the directory that gwsim runs in")
        }
        None => Problem::without_place(message),
    }
}

/// Bytes that are not UTF-8.
pub fn not_utf8(place: Place, byte: u8) -> Problem {
    Problem::error(place, format!("the byte 0x{byte:02X} is not UTF-8 text")).why("TOML is UTF-8").help("save the file as UTF-8")
}

/// A trace where a configuration was expected.
pub fn trace_for_configuration(path: &str) -> Problem {
    Problem::without_place(format!("`{path}` is named like a trace, not like a scenario or a gateway"))
        .help(format!("a scenario names its trace: [traffic] trace = \"{path}\"; `gwsim trace info {path}` shows what is in it"))
}

/// A gateway.toml where a scenario was expected.
pub fn gateway_for_scenario(place: Place) -> Problem {
    Problem::error(place, "this is a gateway, not a scenario")
        .why("a run needs traffic too")
        .help("write a scenario that names both: gateway = \"gateway.toml\" and [traffic] trace = \"trace.csv\"")
}

/// An argument of `--set` or `--sweep` without a value.
pub fn set_without_value(place: Place, argument: &str) -> Problem {
    let example = if argument == "--set" { "cache.ttl=5m" } else { "'cache.ttl=[\"0s\", \"5m\", \"1h\"]'" };
    let needed = if argument == "--set" { "VALUE" } else { "VALUES" };
    Problem::error(place, format!("`{argument}` needs PATH={needed}")).why("the value is missing").help(format!("for example: {argument} {example}"))
}

/// A path in a sweep that changes what is asked, not what happens.
pub fn not_swept(place: Place, key: &str) -> Problem {
    Problem::error(place, format!("`{key}` can't be swept"))
        .why("it changes nothing that happens")
        .help("a sweep varies the gateway, `world`, `traffic`, `clients` or `tokens`")
}

/// A variant that sets what a sweep varies.
pub fn swept_over(place: Place, variant: &str, path: &str) -> Problem {
    Problem::warning(place, format!("the sweep varies `{path}`, which variant `{variant}` sets"))
        .why("the value of the sweep takes its place in every cell")
}

/// More axes than a grid can be drawn with.
pub fn too_many_axes(place: Place, count: usize) -> Problem {
    Problem::error(place, format!("a grid of {count} paths; at most 2"))
        .why("the third")
        .help("vary them one at a time, for a tornado: mode = \"one-at-a-time\"")
}

/// Two answers to how many seeds there are.
pub fn seeds_twice(place: Place) -> Problem {
    Problem::error(place, "`seeds` and `precision` both say how many seeds there are")
        .why("`precision` adds seeds until it is reached")
        .help("remove one; `seeds_max` is the most that `precision` may take")
}

/// Something stated twice.
pub fn duplicate(place: Place, kind: &str, name: &str, first: Place) -> Problem {
    Problem::error(place, format!("{kind} `{name}` is there twice")).why("the second").also(first, "the first")
}

/// A model that no price is known for.
pub fn no_price(place: Place, model: &str, list: &str, near: &[String]) -> Problem {
    let state = format!("[prices.models.\"{model}\"] with input and output, in USD per million tokens");
    let names: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
    let meant = if names.is_empty() { "it".to_owned() } else { format!("did you mean {}?\nIt", names.join(" or ")) };
    Problem::error(place, format!("no price for `{model}`"))
        .why("it will not be taken as free")
        .help(format!("{meant} is not in {list}; state it: {state}"))
}

/// A price that is negative or no number.
pub fn bad_rate(place: Place, key: &str, reason: &str) -> Problem {
    Problem::error(place, format!("`{key}` is not a price: {reason}")).help(format!("USD per million tokens, for example: {key} = 2.50"))
}

/// Fallbacks that lead back to where they started.
pub fn fallback_cycle(place: Place, cycle: &[&str]) -> Problem {
    let last = cycle.len().saturating_sub(2);
    let fix = format!("remove `{}` from the fallbacks of `{}`", cycle.last().unwrap_or(&""), cycle.get(last).unwrap_or(&""));
    Problem::error(place, format!("fallback cycle: {}", cycle.join(" -> "))).why("a request can't be helped by what has just failed").help(fix)
}

/// A model group that nothing can answer.
pub fn no_deployments(place: Place, model: &str) -> Problem {
    Problem::error(place, format!("model `{model}` has no deployments"))
        .why("nothing could answer its requests")
        .help("for example: deployments = [{ id = \"mini-1\", provider = \"openai\", model = \"gpt-4o-mini\" }]")
}

/// A limit that refuses everything.
pub fn zero_limit(place: Place, key: &str) -> Problem {
    Problem::error(place, format!("`{key}` must be above 0"))
        .why("0 would refuse everything")
        .help("remove it for no limit; to stop a key: blocked = true")
}

/// More accounts than one hold can carry.
pub fn too_many_budgets(place: Place, name: &str, count: usize, most: usize) -> Problem {
    Problem::error(place, format!("{count} budgets apply to every request of `{name}`; at most {most} may"))
        .why("all are held together before each call")
        .help("those over everything, of the team, of the key and of their tags are counted: remove some")
}

/// More accounts of a kind than have a place in a hold.
pub fn too_many_budgets_of(place: Place, whose: &str, count: usize, most: usize) -> Problem {
    Problem::error(place, format!("{count} budgets of {whose}; at most {most} may apply to one call"))
        .why("all are held together before each call")
        .help("remove some, or put one over everything: [budget] global = [...]")
}

/// A time zone that nobody knows.
pub fn unknown_timezone(place: Place, key: &str, name: &str) -> Problem {
    Problem::error(place, format!("unknown time zone `{name}`")).help(format!("IANA names, for example: {key} = \"Europe/Berlin\" or \"UTC\""))
}

/// A secret in clear.
pub fn secret_in_clear(place: Place, key: &str) -> Problem {
    Problem::error(place, format!("`{key}` must say where the secret is"))
        .why("secrets don't belong in this file")
        .help(format!("name an environment variable or a file: {key} = \"env:NAME\" or \"file:PATH\""))
}

/// Something that is understood but cannot be done yet.
pub fn not_supported_yet(place: Place, what: &str, instead: &str) -> Problem {
    Problem::error(place, format!("{what} is not supported yet")).help(instead)
}

/// A cap that another one makes pointless.
pub fn cap_without_effect(place: Place, inner: &str, outer: &str) -> Problem {
    Problem::warning(place, format!("`{inner}` is above `{outer}`")).why(format!("`{outer}` ends the request first"))
}

/// Something that is declared and never used.
pub fn unused(place: Place, kind: &str, name: &str) -> Problem {
    Problem::warning(place, format!("{kind} `{name}` is not used by any model"))
}

/// A log whose client retries are replayed as they are, where clients retry by themselves.
pub fn retries_twice(place: Place) -> Problem {
    let help = "leave it at `retries = \"link\"`, or take `sdk` out of [clients]";
    Problem::warning(place, "retries count twice").why("the log's are replayed, and `[clients] sdk` makes its own").help(help)
}

/// Something that is right, and changes nothing.
pub fn without_effect(place: Place, what: &str, why: &str) -> Problem {
    Problem::error(place, format!("{what} would have no effect")).why(why).help("remove it")
}

/// A setting that only has a meaning beside another.
pub fn needs_other(place: Place, key: &str, other: &str) -> Problem {
    Problem::error(place, format!("`{key}` needs {other}")).why("it would have no effect")
}

/// Something dated that does not come after what is before it.
pub fn not_after(place: Place, what: &str, before: Place) -> Problem {
    Problem::error(place, format!("{what} must come after the one before it"))
        .why("not later")
        .also(before, "the one before")
        .help("put them in the order of their dates, each date once")
}

/// A dated change of prices that states none.
pub fn no_change(place: Place) -> Problem {
    Problem::error(place, "a price change must change something")
        .why("it states no price")
        .help("models, deployments, discount or list, for example: models = { \"gpt-4o\" = { input = 2.00, output = 8.00 } }")
}

/// A format that this gwsim does not read.
pub fn unknown_version(place: Place, known: u64) -> Problem {
    Problem::error(place, "unknown version of the format").why(format!("this gwsim reads version {known}")).help(format!("version = {known}"))
}
