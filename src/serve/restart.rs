//! What happens after a panic in the core: the process becomes a new one of itself. Knows nothing of what broke.
//!
//! Nothing of a broken state lives on that way, and what follows is the recovery that a crash has, too, so it is tested as often as that one.

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Says when and how often the process has begun anew.
const VARIABLE: &str = "GWSIM_RESTARTS";
/// So many restarts ...
const MOST: u32 = 5;
/// ... within this are enough: what breaks at every start will break at the next.
const WITHIN: Duration = Duration::from_secs(60);

/// Starts the process again, with its arguments; or ends it, if that has not helped.
pub fn restart() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let restarts = next(std::env::var(VARIABLE).ok().as_deref(), now);
    match restarts {
        Some(restarts) => {
            eprintln!("gwsim: the core has panicked; starting again from the journal");
            let error = again(&restarts);
            eprintln!("gwsim: can't start again: {error}");
        }
        None => eprintln!("gwsim: the core has panicked {MOST} times within {} s; giving up", WITHIN.as_secs()),
    }
    std::process::exit(1);
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
