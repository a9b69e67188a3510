//! Whether a variant stands its load: has it enough capacity, and does it come back after a trigger. Knows counts over time, not how they were made.
//!
//! What the verdicts mean to a reader is told in `docs/experiments.md`.

mod saturation;
#[cfg(test)]
mod tests;
mod trigger;

pub use self::saturation::saturated;
pub use self::trigger::metastable;

use super::numbers::{count, length, share, usd};
use super::series::{Bucket, Series};
use crate::gateway::money::Money;
use crate::gateway::time::{Span, Time};

/// The verdicts on one variant.
#[derive(Debug, Clone, PartialEq)]
pub struct Stability {
    /// When more was asked of the deployments than they can do; `None` if never for long.
    pub saturated: Option<Saturated>,
    /// Whether it comes back after what the scenario has scripted.
    pub metastable: Metastable,
}

/// More was asked of the deployments than they can do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Saturated {
    /// When it began, from the first arrival on.
    pub from: Span,
    /// For how long in all.
    pub lasts: Span,
    /// In that time: calls made.
    pub calls: u64,
    /// Of these, calls that were turned away for want of capacity.
    pub turned_away: u64,
    /// In that time: calls a second that were admitted. It stayed so much, whatever was asked for.
    pub admitted_per_second: f64,
}

/// What became of a variant after a scripted trigger: an outage, a brownout.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Metastable {
    /// The scenario scripts none.
    NoTrigger,
    /// The attempts went back to what they are without the trigger.
    Recovers(Aftermath),
    /// They did not, though the load alone is below capacity: the variant keeps itself down.
    Metastable(Aftermath),
    /// The run does not tell.
    NotDecided(Undecided),
}

/// How runs with the trigger differ from the same runs without it, after its end. Means over the seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Aftermath {
    /// When the trigger ended, from the first arrival on.
    pub trigger_ended: Span,
    /// The last window, up to the last arrival; and the one before it is as long.
    pub window: Span,
    /// Attempts for each request in the last window, relative to the runs without the trigger: 0.05 is 5 % more.
    pub more_attempts: f64,
    /// The 95 % interval of it.
    pub interval: (f64, f64),
    /// The same in the window before the last.
    pub more_attempts_before: f64,
    /// Answers in the last window, relative to the runs without the trigger: -0.2 is 20 % fewer.
    pub more_answers: f64,
    /// What the time after the trigger's end cost more than without it.
    pub tail: Money,
}

/// Why it is not decided whether a variant comes back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Undecided {
    /// After the trigger's end the run goes on for less than three times its length, or for too short to be told apart.
    TooShort {
        /// How long the run goes on.
        after: Span,
        /// How long it should.
        needed: Span,
    },
    /// There were more attempts in the last window than without the trigger, but fewer than in the one before.
    StillFalling(Aftermath),
    /// Without the trigger, too, there is more load than capacity in the last window.
    Overloaded(Aftermath),
    /// Without the trigger there is no call in the last window to compare with.
    NoCalls,
}

impl Saturated {
    /// In one line, without the variant's name.
    pub fn words(&self) -> String {
        let turned_away = match self.turned_away {
            0 => "calls waited longer and longer for a place".to_owned(),
            some => format!("{} of calls turned away for want of capacity", share(some, self.calls)),
        };
        let rate = format!("{:.1} calls a second admitted, whatever was asked for", self.admitted_per_second);
        format!("SATURATED for {}, first {} after the start: {turned_away}, {rate}", length(self.lasts), length(self.from))
    }
}

impl Metastable {
    /// In one line, without the variant's name; `None` where there was no trigger.
    pub fn words(&self) -> Option<String> {
        Some(match self {
            Self::NoTrigger => return None,
            Self::Recovers(after) => format!("recovers from the trigger: {}; {}", after.attempts(), after.tail()),
            Self::Metastable(after) => {
                let itself = "the load alone is below capacity, the variant keeps itself down";
                format!("METASTABLE: {}, and not falling, though {itself}; {}", after.attempts(), after.tail())
            }
            Self::NotDecided(why) => format!("metastable or not is not decided: {}", why.words()),
        })
    }
}

impl Undecided {
    fn words(&self) -> String {
        match self {
            Self::TooShort { after, needed } => {
                format!("the run ends {} after the trigger, {} are needed, three times its length", length(*after), length(*needed))
            }
            Self::StillFalling(after) => {
                format!("{}, but still falling, from {}; {}", after.attempts(), percent(after.more_attempts_before), after.tail())
            }
            Self::Overloaded(after) => format!("{}, but without the trigger, too, there is more load than capacity", after.attempts()),
            Self::NoCalls => "without the trigger nothing is called in the last part of the run".to_owned(),
        }
    }
}

impl Aftermath {
    fn attempts(&self) -> String {
        let (low, high) = self.interval;
        let answers = if self.more_answers.abs() < 0.01 { String::new() } else { format!(", answers {}", percent(self.more_answers)) };
        let window = length(self.window);
        format!("in the last {window} attempts a request {} ({} to {}){answers}", percent(self.more_attempts), percent(low), percent(high))
    }

    fn tail(&self) -> String {
        match self.tail {
            Money::ZERO => "the time after it costs the same as without it".to_owned(),
            more if more > Money::ZERO => format!("the time after it costs {} more than without it", usd(more)),
            less => format!("the time after it costs {} less than without it", usd(-less)),
        }
    }
}

/// A fraction as a change: `+12.0 %`.
fn percent(fraction: f64) -> String {
    // Beyond a thousandfold the figure says no more.
    if fraction >= 999.5 { format!("x{}", count(fraction.round() as u64 + 1)) } else { format!("{:+.1} %", fraction * 100.0) }
}

/// Several series in buckets of one width, aligned alike.
struct Windows {
    width: Span,
    /// Start and sum, in order of time, without gaps.
    buckets: Vec<(Time, Bucket)>,
}

impl Windows {
    /// The sum of `series` in buckets of the first multiple of all widths that is not below `least`.
    fn of<'a>(series: impl Iterator<Item = &'a Series> + Clone, least: Span) -> Self {
        // Each width divides the wider ones.
        let widest = series.clone().map(Series::width).max().unwrap_or(Span::SECOND);
        let width = Span(least.0.div_ceil(widest.0).max(1) * widest.0);
        let start = |at: Time| at.0 / width.0;
        let all = || series.clone().flat_map(Series::buckets);
        let Some((first, last)) = all().map(|(at, _)| (start(at), start(at))).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))) else {
            return Self { width, buckets: Vec::new() };
        };
        let mut buckets: Vec<(Time, Bucket)> = (first..=last).map(|number| (Time(number * width.0), Bucket::default())).collect();
        for (at, bucket) in all() {
            buckets[usize::try_from(start(at) - first).expect("no more buckets than the series have")].1 += *bucket;
        }
        Self { width, buckets }
    }

    /// The sum of the buckets that begin in `from..until`.
    fn sum(&self, from: Time, until: Time) -> Bucket {
        self.within(from, until).fold(Bucket::default(), |mut sum, bucket| {
            sum += *bucket;
            sum
        })
    }

    fn within(&self, from: Time, until: Time) -> impl Iterator<Item = &Bucket> {
        self.buckets.iter().filter(move |(at, _)| (from..until).contains(at)).map(|(_, bucket)| bucket)
    }
}
