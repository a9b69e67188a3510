//! Which incidents a deployment is in the middle of, at instants that never decrease. Knows nothing of calls.

use super::world::{ALL_CALLS, Incident, Step, When};
use crate::gateway::time::{Span, Time};

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
    from: Time,
    until: Time,
}

impl Weather {
    /// The weather over a run that begins at `start`.
    pub(super) fn new(incidents: &[Incident], start: Time) -> Self {
        Self { spells: incidents.iter().map(|incident| Spells::new(incident.clone(), start)).collect() }
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
            conditions.slower_per_mille = slower(Span(u64::from(conditions.slower_per_mille)), slower_per_mille).0.try_into().unwrap_or(u32::MAX);
        }
        conditions
    }
}

impl Spells {
    fn new(incident: Incident, start: Time) -> Self {
        let When::Once { from, lasts } = incident.when;
        Self { from: start + from, until: start + from + lasts, incident }
    }

    fn is_on(&mut self, now: Time) -> bool {
        self.from <= now && now < self.until
    }
}

/// A time stretched to so many thousandths of itself, rounded down.
pub(super) fn slower(span: Span, per_mille: u32) -> Span {
    Span(u64::try_from(u128::from(span.0) * u128::from(per_mille) / 1000).unwrap_or(u64::MAX))
}
