//! A fit held against the part of the log that it was not made from: dollars an hour by model, the share of 429s, the tail of TTFT.

use super::log::{Attempt, Part};
use super::measure::Facts;
use super::pace::quantile;
use super::render::Draft;
use super::search::Hidden;
use super::simulate::simulate;
use super::{Error, Question};
use crate::gateway::money::Money;
use crate::gateway::plan::Plan;
use crate::gateway::time::Span;

/// Recorded and forecast figures of the last part of a log.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// Arrivals that were forecast.
    pub requests: u64,
    /// How long they took to arrive.
    pub span: Span,
    /// By model asked for: dollars an hour. `None` where the log has no costs.
    pub dollars_per_hour: Vec<(String, Measured<Option<Money>>)>,
    /// Requests and those answered 429.
    pub rate_limited: Measured<(u64, u64)>,
    /// The 95th percentile of the time to the first token, of streams where the log has only those.
    pub ttft_p95: Measured<Option<Span>>,
    /// Simulations that the fit took.
    pub runs: u32,
}

/// One figure, recorded and forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured<T> {
    /// By the log.
    pub recorded: T,
    /// By the fit.
    pub forecast: T,
}

/// Forecasts a part of a log. Outages of the fitted part don't come again.
///
/// # Errors
/// If the gateway can't take the traffic.
pub fn judge(question: &Question, facts: &Facts, hidden: &Hidden, plan: &Plan, part: &Part) -> Result<Judgement, Error> {
    let draft = Draft { question, facts, hidden, plan: Some(plan), with_outages: false };
    let simulated = simulate(question, &draft.text(), part, question.seed)?;
    let span = part.span();
    let hourly = |amount: Money| Money(amount.0 * 3_600_000_000_000 / i128::from(span.0.max(1)));
    let of_model = |(number, name): (usize, &String)| {
        let costs = part.attempts.iter().filter(|attempt| attempt.model as usize == number).filter_map(|attempt| attempt.cost);
        let recorded = costs.reduce(|sum, cost| sum + cost).map(hourly);
        (name.clone(), Measured { recorded, forecast: Some(hourly(simulated.bills[number])) })
    };
    let limited = |attempts: &[Attempt]| (attempts.len() as u64, attempts.iter().filter(|attempt| attempt.status == Some(429)).count() as u64);
    // A plain answer's first token is its last, and a log has none of it.
    let has_streams = part.attempts.iter().any(|attempt| attempt.ttft.is_some());
    let first_tokens = |attempt: &Attempt| attempt.ttft.filter(|ttft| attempt.duration.is_none_or(|duration| *ttft < duration));
    let tail = |attempts: &[Attempt]| {
        let mut times: Vec<f64> = attempts.iter().filter_map(first_tokens).map(|span| span.0 as f64).collect();
        times.sort_by(f64::total_cmp);
        quantile(&times, 0.95).filter(|_| has_streams).map(|value| Span(value as u64))
    };
    Ok(Judgement {
        requests: part.chains.len() as u64,
        span,
        dollars_per_hour: part.models.iter().enumerate().map(of_model).collect(),
        rate_limited: Measured { recorded: limited(&part.attempts), forecast: limited(&simulated.attempts) },
        ttft_p95: Measured { recorded: tail(&part.attempts), forecast: tail(&simulated.attempts) },
        runs: hidden.runs,
    })
}
