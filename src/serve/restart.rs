//! What happens after a panic in the core: the process becomes a new one of itself. Knows nothing of what broke.
//!
//! Nothing of a broken state lives on that way, and what follows is the recovery that a crash has, too, so it is tested as often as that one.

use std::fmt::Display;
use std::io::Write;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[cfg(debug_assertions)]
use super::observe::Context;
use super::observe::Observer;
#[cfg(debug_assertions)]
use crate::gateway::journal::Fact;

/// Says when and how often the process has begun anew.
const VARIABLE: &str = "GWSIM_RESTARTS";
/// So many restarts ...
const MOST: u32 = 5;
/// ... within this are enough: what breaks after every one will break after the next. What supervises the process may know better.
const WITHIN: Duration = Duration::from_secs(60);

/// Starts the process again, with its arguments; or ends it, if that has not helped.
pub fn restart() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let restarts = next(std::env::var(VARIABLE).ok().as_deref(), now);
    match restarts {
        Some(restarts) => {
            say("the core has panicked; starting again from the journal");
            let error = again(&restarts);
            say(format_args!("can't start again: {error}"));
        }
        None => say(format_args!("the core has panicked {} times within {} s; giving up", MOST + 1, WITHIN.as_secs())),
    }
    std::process::exit(1);
}

/// Nobody may be there to read it, and that must not keep the process from starting again.
fn say(what: impl Display) {
    let _ = writeln!(std::io::stderr(), "gwsim: {what}");
}

/// What breaks the core: nothing.
#[cfg(not(debug_assertions))]
pub fn planted() -> Vec<Box<dyn Observer>> {
    Vec::new()
}

/// What breaks the core, for tests with the program as a process: it panics, in the middle of a turn, at a fact whose text has what
/// `GWSIM_PANIC_AT` says. An optimised program has no such thing.
#[cfg(debug_assertions)]
pub fn planted() -> Vec<Box<dyn Observer>> {
    /// Panics at facts that have this.
    struct Planted(String);

    impl Observer for Planted {
        fn observe(&mut self, _: &Context<'_>, fact: &Fact) {
            assert!(!format!("{fact:?}").contains(&self.0), "planted at {fact:?}");
        }
    }

    let text = std::env::var("GWSIM_PANIC_AT").ok().filter(|text| !text.is_empty());
    text.into_iter().map(|text| Box::new(Planted(text)) as Box<dyn Observer>).collect()
}

#[cfg(unix)]
fn again(restarts: &str) -> std::io::Error {
    use std::os::unix::process::CommandExt;
    match std::env::current_exe() {
        Ok(own) => Command::new(own).args(std::env::args_os().skip(1)).env(VARIABLE, restarts).exec(),
        Err(error) => error,
    }
}

#[cfg(not(unix))]
fn again(restarts: &str) -> std::io::Error {
    let started = std::env::current_exe().and_then(|own| Command::new(own).args(std::env::args_os().skip(1)).env(VARIABLE, restarts).spawn());
    match started {
        Ok(_) => std::process::exit(0),
        Err(error) => error,
    }
}

/// The instants of the latest restarts with this one, in seconds; none if there were too many.
fn next(before: Option<&str>, now: Duration) -> Option<String> {
    let recent = |second: &u64| second + WITHIN.as_secs() > now.as_secs();
    let mut seconds: Vec<u64> = before.unwrap_or_default().split(',').filter_map(|second| second.parse().ok()).filter(recent).collect();
    if seconds.len() >= MOST as usize {
        return None;
    }
    seconds.push(now.as_secs());
    Some(seconds.iter().map(u64::to_string).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_breaks_again_and_again_is_given_up_and_what_breaks_now_and_then_is_not() {
        let mut often = None;
        for second in 1000..1005 {
            often = Some(next(often.as_deref(), Duration::from_secs(second)).unwrap());
        }
        assert_eq!(next(often.as_deref(), Duration::from_secs(1010)), None);
        assert_eq!(next(often.as_deref(), Duration::from_secs(1064)).as_deref(), Some("1064"));
    }
}
