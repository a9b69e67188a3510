//! What is assumed about clients, in words. Decides wording only.

use crate::gateway::time::Span;
use crate::report::numbers::{latency, share};
use crate::sim::client::{Habits, OnFailure};
use crate::traffic::sdk::{Beyond, Sdk};

/// What clients do on their own, if anything.
pub(super) fn of(habits: &Habits) -> Vec<(&'static str, String, &'static str)> {
    let mut found = Vec::new();
    if let Some(sdk) = habits.sdk {
        let source = match sdk {
            Sdk::OPENAI => "openai-python: P, its bound on Retry-After S",
            Sdk::ANTHROPIC => "anthropic-sdk-python: P",
            _ => "scenario",
        };
        found.push(("client retries", retries(&sdk), source));
    }
    if let Some(patience) = &habits.patience {
        let at = |share| latency(Span(patience.quantile(share).round() as u64));
        found.push(("client patience", format!("up to {} for half of them, up to {} for 95 %", at(0.5), at(0.95)), "scenario"));
    }
    if habits.abandons_per_million > 0 {
        let share = share(habits.abandons_per_million.into(), 1_000_000);
        found.push(("streams left in the middle", format!("{share}, anywhere in them"), "scenario"));
    }
    if let Some(on_failure) = habits.closed_loop {
        let then = match on_failure {
            OnFailure::Continue => "and go on without one",
            OnFailure::Stop => "and stop without one",
        };
        found.push(("sessions", format!("wait for each answer before they send the next request, {then}"), "scenario"));
    }
    found
}

fn retries(sdk: &Sdk) -> String {
    let waits = format!("{} doubling to {}, less up to {}", latency(sdk.base), latency(sdk.max), share(sdk.jitter_per_mille.into(), 1000));
    let beyond = match sdk.beyond {
        Beyond::Ignored => "is ignored",
        Beyond::GivesUp => "ends them",
    };
    let retry_after = format!("a Retry-After above {} {beyond}", latency(sdk.retry_after_max));
    let timeout = if sdk.timeout == Span::MAX { "no time-out".to_owned() } else { format!("time-out {}", latency(sdk.timeout)) };
    format!("up to {}, of 408, 409, 429 and 5xx, after {waits}; {retry_after}; {timeout}", sdk.retries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::distribution::Distribution;

    #[test]
    fn clients_that_do_nothing_on_their_own_are_no_assumption() {
        assert_eq!(of(&Habits::default()), []);
    }

    #[test]
    fn habits_are_told_with_their_source() {
        let habits = Habits {
            sdk: Some(Sdk::OPENAI),
            patience: Some(Distribution::Uniform { low: 0.0, high: 60e9 }),
            abandons_per_million: 50_000,
            closed_loop: Some(OnFailure::Stop),
            ..Habits::default()
        };
        let lines: Vec<String> = of(&habits).into_iter().map(|(what, value, source)| format!("{what} {value} [{source}]")).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        client retries up to 2, of 408, 409, 429 and 5xx, after 500 ms doubling to 8.0 s, less up to 25.0 %; a Retry-After above 2 min ends them; time-out 10 min [openai-python: P, its bound on Retry-After S]
        client patience up to 30.0 s for half of them, up to 57.0 s for 95 % [scenario]
        streams left in the middle 5.0 %, anywhere in them [scenario]
        sessions wait for each answer before they send the next request, and stop without one [scenario]
        ");
        let own = Sdk { timeout: Span::MAX, ..Sdk::ANTHROPIC };
        assert_eq!(of(&Habits { sdk: Some(own), ..Habits::default() })[0].2, "scenario", "no library does this");
    }
}
