//! Whether intervals hold what they claim: a thousand synthetic experiments each, whose truth is known. `--nocapture` prints what was measured, which
//! is what `docs/statistics.md` tells.

mod luck;
mod noise;
mod stopping;
mod traffic;

/// Experiments of each kind. The share of a thousand that hold is known to plus or minus 0.7 points (one standard deviation at 95 %).
const EXPERIMENTS: u32 = 1_000;

/// Which share of experiments holds, in per cent. Prints it.
fn per_cent(what: &str, holds: impl Fn(u32) -> bool) -> f64 {
    let share = (0..EXPERIMENTS).filter(|experiment| holds(*experiment)).count() as f64 * 100.0 / f64::from(EXPERIMENTS);
    println!("{share:5.1} % {what}");
    share
}

/// The same of those experiments that have an interval at all, which must be nine of ten.
fn of_those_with_an_interval(what: &str, holds: impl Fn(u32) -> Option<bool>) -> f64 {
    let held: Vec<bool> = (0..EXPERIMENTS).filter_map(holds).collect();
    let share = held.iter().filter(|holds| **holds).count() as f64 * 100.0 / held.len() as f64;
    println!("{share:5.1} % {what} ({} have an interval)", held.len());
    assert!(held.len() as u32 * 10 >= EXPERIMENTS * 9, "{what}: {} have an interval", held.len());
    share
}

/// An interval that claims 95 %, where there is one, and holds no fewer than 93 and no more than 97.
#[track_caller]
fn holds_what_it_claims(what: &str, holds: impl Fn(u32) -> Option<bool>) {
    let share = of_those_with_an_interval(what, holds);
    assert!((93.0..=97.0).contains(&share), "{what}: {share} %");
}
