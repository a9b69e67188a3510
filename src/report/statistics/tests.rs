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

/// An interval that claims 95 % and holds no fewer than 93 and no more than 97.
#[track_caller]
fn holds_what_it_claims(what: &str, holds: impl Fn(u32) -> bool) {
    let share = per_cent(what, holds);
    assert!((93.0..=97.0).contains(&share), "{what}: {share} %");
}
