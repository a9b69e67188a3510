//! Which incidents a deployment is in the middle of, at instants that never decrease. Knows nothing of calls.

use super::world::{ALL_CALLS, Incident, Step, When};
use crate::gateway::draw::{self, Purpose};
use crate::gateway::time::{Span, Time};
use crate::traffic::distribution::{Distribution, Draws};

/// How much time before a run is drawn, in mean times between incidents: after so many it no longer matters that the first began after good weather.
const MEANS_BEFORE_START: u64 = 16;

/// The incidents of one deployment while it runs.
#[derive(Debug)]
pub(super) struct Weather {
    spells: Vec<Spells>,
}

/// What one call meets in bad weather.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Conditions {
    /// What all calls meet.
    pub all: Option<Step>,
    /// What this call meets if it is admitted.
    pub this: Option<Step>,
    /// What is left of the draw for what may happen to it otherwise.
    pub drawn: u64,
    /// How much slower it is, in thousandths.
    pub slower_per_mille: u32,
}

impl Conditions {
    /// Nothing out of the ordinary.
    pub(super) const FINE: Self = Self { all: None, this: None, drawn: 0, slower_per_mille: 1000 };
}

/// The current, or the next, time of an incident.
#[derive(Debug)]
struct Spells {
    incident: Incident,
    luck: u64,
    start: Time,
    /// Time before the start that was drawn too, so that a run begins in the middle of things.
    before: Span,
    /// The ordinal of the time after this.
    next: u32,
    /// Both from `before` the start on.
    from: Span,
    until: Span,
}

impl Weather {
    /// The weather over a run that begins at `start`.
    pub(super) fn new(incidents: &[Incident], seed: u64, start: Time) -> Self {
        let spells = incidents.iter().enumerate().map(|(index, incident)| {
            // Who is hit together shares a name, and lists its incidents of a kind in the same order.
            let is_alike = |other: &&Incident| (other.kind, &other.luck_of) == (incident.kind, &incident.luck_of);
            let number = incidents[..index].iter().filter(is_alike).count() as u32;
            let ordinal = (incident.kind as u32 + 1) << 16 | number;
            Spells::new(incident.clone(), draw::bits(seed, hash(&incident.luck_of), Purpose::World, ordinal), start)
        });
        Self { spells: spells.collect() }
    }

    /// What a call at `now` meets. `drawn`, below a million, is its luck.
    pub(super) fn meets(&mut self, now: Time, drawn: u64) -> Conditions {
        let mut conditions = Conditions { drawn, ..Conditions::FINE };
        for spells in &mut self.spells {
            if !spells.is_on(now) {
                continue;
            }
            let Incident { per_million, step, slower_per_mille, .. } = spells.incident;
            if per_million >= ALL_CALLS {
                conditions.all = conditions.all.or(Some(step));
            } else if conditions.this.is_none() {
                match conditions.drawn.checked_sub(u64::from(per_million)) {
                    Some(left) => conditions.drawn = left,
                    None => conditions.this = Some(step),
                }
            }
            let slower = u64::from(conditions.slower_per_mille) * u64::from(slower_per_mille) / 1000;
            conditions.slower_per_mille = u32::try_from(slower).unwrap_or(u32::MAX);
        }
        conditions
    }
}

impl Spells {
    fn new(incident: Incident, luck: u64, start: Time) -> Self {
        let (before, from, until) = match incident.when {
            When::Once { from, lasts } => (Span::ZERO, from, from + lasts),
            When::Drawn { every, .. } => (Span(every.0.saturating_mul(MEANS_BEFORE_START)), Span::ZERO, Span::ZERO),
        };
        Self { luck, start, before, next: 0, from, until, incident }
    }

    fn is_on(&mut self, now: Time) -> bool {
        let now = now.since(self.start) + self.before;
        while self.until <= now && matches!(self.incident.when, When::Drawn { .. }) {
            self.draw();
        }
        self.from <= now && now < self.until
    }

    /// The next time, after the current one.
    fn draw(&mut self) {
        let When::Drawn { every, lasts } = &self.incident.when else { return };
        let mut draws = Draws::new(self.luck, 0, Purpose::World, self.next);
        let between = Distribution::Exponential { mean: (every.0 as f64 - lasts.mean()).max(1.0) };
        self.next = self.next.wrapping_add(1);
        self.from = self.until + Span(between.draw_whole(&mut draws).max(1));
        self.until = self.from + Span(lasts.draw_whole(&mut draws));
    }
}

/// A stable hash of a name (FNV-1a, 64 bits): luck must be the same in every build.
pub(super) fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::super::world::Kind;
    use super::*;
    use crate::gateway::time::Span;

    const HOUR: Span = Span::from_secs(3600);

    fn drawn(share: u32, luck_of: &str) -> Incident {
        let when = When::Drawn { every: Span(10 * HOUR.0), lasts: Distribution::lognormal(0.5 * HOUR.0 as f64, 2.0 * HOUR.0 as f64) };
        Incident { kind: Kind::Outage, when, per_million: share, step: Step::status(503), slower_per_mille: 2000, luck_of: luck_of.into() }
    }

    /// The minutes of some days in which all calls fail.
    fn bad_minutes(incidents: &[Incident], seed: u64, minutes: u64) -> Vec<bool> {
        let start = Time(HOUR.0);
        let mut weather = Weather::new(incidents, seed, start);
        (0..minutes).map(|minute| weather.meets(start + Span(minute * Span::MINUTE.0), 0).all.is_some()).collect()
    }

    /// An alternating renewal process: the share of bad time is the mean length over the mean distance, and by the renewal reward theorem the
    /// variance of the bad time over n cycles of lengths L and distances U is n (a² var(U) + (1 - a)² var(L)) / (E[U] + E[L])² of the whole.
    #[test]
    fn incidents_come_as_often_and_last_as_long_as_stated() {
        let (mean, second) = match Distribution::lognormal(0.5, 2.0) {
            Distribution::LogNormal { mu, sigma } => ((mu + sigma * sigma / 2.0).exp(), (2.0 * mu + 2.0 * sigma * sigma).exp()),
            _ => unreachable!("it is lognormal"),
        };
        let (up, cycles) = (10.0 - mean, 20_000.0_f64);
        let expected = mean / 10.0;
        let error = ((expected * expected * up * up + (1.0 - expected) * (1.0 - expected) * (second - mean * mean)) / cycles).sqrt() / 10.0;
        let minutes = cycles as u64 * 600;
        let bad = bad_minutes(&[drawn(ALL_CALLS, "openai")], 1, minutes);
        let share = bad.iter().filter(|is_bad| **is_bad).count() as f64 / minutes as f64;
        assert!((share - expected).abs() < 4.0 * error, "{share}, expected {expected} +- {error}");
        // Fewer begin by what is too short, or too close to the next, to be seen once a minute.
        let begun = bad.windows(2).filter(|pair| !pair[0] && pair[1]).count() as f64 / cycles;
        assert!((0.96..1.02).contains(&begun), "{begun} a cycle");
    }

    #[test]
    fn a_run_may_begin_in_bad_weather() {
        let begins_badly = |seed: &u64| bad_minutes(&[drawn(ALL_CALLS, "openai")], *seed, 1)[0];
        let share = (0..4_000).filter(begins_badly).count() as f64 / 4_000.0;
        let expected = Distribution::lognormal(0.5, 2.0).mean() / 10.0;
        let error = (expected * (1.0 - expected) / 4_000.0).sqrt();
        assert!((share - expected).abs() < 4.0 * error, "{share}, expected {expected} +- {error}");
    }

    #[test]
    fn who_shares_a_name_is_hit_together_and_nobody_else() {
        let month = 30 * 1440;
        let of = |incidents: &[Incident]| bad_minutes(incidents, 7, month);
        let openai = of(&[drawn(ALL_CALLS, "openai")]);
        assert_eq!(of(&[drawn(10, "azure"), drawn(ALL_CALLS, "openai")]), openai, "others before it change nothing");
        assert_ne!(of(&[drawn(ALL_CALLS, "azure")]), openai);
        assert_ne!(of(&[drawn(10, "openai"), drawn(ALL_CALLS, "openai")]), openai, "the second of one name has luck of its own");
    }

    #[test]
    fn a_share_of_calls_fails_and_the_others_are_slower() {
        let once = When::Once { from: Span::ZERO, lasts: HOUR };
        let brownout = Incident { when: once.clone(), per_million: 300_000, ..drawn(0, "a") };
        let burst = Incident { when: once, per_million: 200_000, step: Step::status(429), slower_per_mille: 1500, ..drawn(0, "a") };
        let mut weather = Weather::new(&[brownout, burst], 1, Time(0));
        let mut this = |drawn| weather.meets(Time(0), drawn);
        let steps = [0, 299_999, 300_000, 499_999, 500_000].map(|drawn| this(drawn).this);
        let [first, second] = [Some(Step::status(503)), Some(Step::status(429))];
        assert_eq!(steps, [first, first, second, second, None]);
        assert_eq!((this(500_007).drawn, this(500_007).slower_per_mille), (7, 3000), "the rest of the luck decides about the rest");
        assert_eq!(weather.meets(Time(HOUR.0), 5), Conditions { drawn: 5, ..Conditions::FINE });
    }
}
