//! What requests in trouble look like from outside, counted by kind, by quiet and busy minutes and moment by moment. Decides what counts as
//! trouble and what as quiet; knows neither failures nor limits.

use super::log::Attempt;
use super::measure::{Facts, ModelFacts};

/// Nanoseconds in a moment: a limit is hit in bursts, failures come one by one.
const MOMENT: u64 = 2_000_000_000;
/// Moments in a minute.
const MOMENTS: usize = 30;
const MINUTE: u64 = MOMENT * MOMENTS as u64;

/// The ways in which trouble shows: answered 429, failed otherwise, answered by another model, answered after more than one call.
/// A failure that comes by itself is mended by the next call, a limit is still there: what is what tells one from the other.
const KINDS: usize = 4;

/// The counts that a log and a simulation are compared by.
pub const COUNTS: usize = 2 * KINDS;

/// Requests of a model and those in trouble.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trouble {
    /// In quiet minutes.
    pub quiet: Requests,
    /// In busy ones.
    pub busy: Requests,
}

/// Requests, and how many were in which kind of trouble.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requests {
    /// All, in trouble or not.
    pub all: u64,
    by_kind: [u64; KINDS],
}

/// Trouble of a model, with when it was.
#[derive(Debug, Clone, Default)]
pub struct Counted {
    /// All of it.
    pub trouble: Trouble,
    by_moment: Vec<[u32; KINDS]>,
}

/// Which minutes of each model are quiet.
#[derive(Debug)]
pub struct Calendar(Vec<Vec<bool>>);

impl Requests {
    /// Those in trouble.
    pub fn troubled(&self) -> u64 {
        self.by_kind.iter().sum()
    }
}

impl Trouble {
    /// The share of requests in trouble in quiet minutes.
    pub fn rate_when_quiet(&self) -> f64 {
        self.quiet.troubled() as f64 / f64::max(self.quiet.all as f64, 1.0)
    }

    /// What a log and a simulation are compared by: requests in trouble, by kind, in quiet minutes and in busy ones.
    pub fn counts(&self) -> [f64; COUNTS] {
        std::array::from_fn(|index| if index < KINDS { self.quiet.by_kind[index] } else { self.busy.by_kind[index - KINDS] } as f64)
    }
}

impl Calendar {
    /// The quiet minutes of a log's models.
    pub fn of(facts: &Facts) -> Self {
        Self(facts.models.iter().map(quiet_minutes).collect())
    }

    /// Counts the trouble in some attempts, by model.
    pub fn count(&self, facts: &Facts, attempts: &[Attempt]) -> Vec<Counted> {
        let nothing = |minutes: &Vec<bool>| Counted { by_moment: vec![[0; KINDS]; minutes.len() * MOMENTS], ..Counted::default() };
        let mut counted: Vec<Counted> = self.0.iter().map(nothing).collect();
        for attempt in attempts {
            let Some((counted, quiet)) = counted.get_mut(attempt.model as usize).zip(self.0.get(attempt.model as usize)) else { continue };
            let since = attempt.at.since(facts.first).0;
            let is_quiet = quiet.get((since / MINUTE) as usize).copied().unwrap_or(false);
            let requests = if is_quiet { &mut counted.trouble.quiet } else { &mut counted.trouble.busy };
            requests.all += 1;
            let Some(kind) = kind(attempt) else { continue };
            requests.by_kind[kind] += 1;
            if let Some(counts) = counted.by_moment.get_mut((since / MOMENT) as usize) {
                counts[kind] += 1;
            }
        }
        counted
    }
}

impl Counted {
    /// How unlike another this is, moment by moment: the squared difference of the counts over their variance, 1 for independent ones.
    pub fn distance(&self, other: &Self) -> f64 {
        let all = |counts: &[u32; KINDS]| counts.iter().sum();
        distance(self.by_moment.iter().map(all).zip(other.by_moment.iter().map(all)))
    }

    /// The same for each of the counts that are compared. A limit refuses much the same requests whatever the luck, so that counts of these vary much
    /// less than independent ones.
    pub fn distances(&self, other: &Self) -> [f64; COUNTS] {
        std::array::from_fn(|index| {
            let kind = index % KINDS;
            distance(self.by_moment.iter().map(|counts| counts[kind]).zip(other.by_moment.iter().map(|counts| counts[kind])))
        })
    }
}

fn distance(pairs: impl Iterator<Item = (u32, u32)>) -> f64 {
    let (mut squares, mut variance) = (0.0, 0.0);
    for (here, there) in pairs {
        squares += (f64::from(here) - f64::from(there)).powi(2);
        variance += f64::from(here) + f64::from(there);
    }
    if variance > 0.0 { squares / variance } else { 1.0 }
}

/// The number of the kind of an attempt's trouble.
fn kind(attempt: &Attempt) -> Option<usize> {
    match attempt.status {
        Some(429) => Some(0),
        _ if !attempt.is_troubled() => None,
        Some(400..) => Some(1),
        _ if attempt.is_elsewhere => Some(2),
        _ => Some(3),
    }
}

/// The minutes of a model that had, with the minute before, no more requests than a third of its requests met.
fn quiet_minutes(model: &ModelFacts) -> Vec<bool> {
    let counts = &model.by_minute;
    let load = |minute: usize| counts[minute].max(minute.checked_sub(1).map_or(0, |before| counts[before]));
    let mut met: Vec<u32> = (0..counts.len()).flat_map(|minute| std::iter::repeat_n(load(minute), counts[minute] as usize)).collect();
    met.sort_unstable();
    let usual = met.get(met.len() / 3).copied().unwrap_or(0);
    (0..counts.len()).map(|minute| load(minute) <= usual).collect()
}
