//! What came of a load: how its users ended, how long they waited, what they say it has cost. Adds up; decides nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::gateway::money::Money;
use crate::gateway::time::Span;

/// How a user's wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum End {
    /// With the whole answer.
    Served,
    /// The user left.
    #[default]
    Left,
    /// With this status; 500 where a connection or a stream broke, 408 where nothing came for too long.
    Failed(u16),
}

/// One user's request, over all its tries.
#[derive(Debug, Clone, Default)]
pub struct User {
    /// Its place in the traffic, from 0.
    pub number: u64,
    /// What the gateway calls the last try.
    pub request: Option<u64>,
    /// The model asked for.
    pub asked: String,
    /// The model that answered, if the gateway says so.
    pub answered_by: Option<String>,
    /// How it ended.
    pub end: End,
    /// The answer came from a cache.
    pub is_cached: bool,
    /// How often it was sent.
    pub tries: u32,
    /// From the instant that the traffic has for it to the first token of a stream, in the time of the traffic.
    pub first_token: Option<Span>,
    /// From there to the end.
    pub latency: Span,
    /// How much later it was sent than it was to be, in life: the load's own fault.
    pub late: Duration,
    /// What the gateway says that it cost.
    pub cost: Option<Money>,
    /// Input and output tokens that the answer says.
    pub usage: Option<(u64, u64)>,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Users.
    pub users: u64,
    /// Requests, their retries included.
    pub sent: u64,
    /// Users with a whole answer.
    pub served: u64,
    /// Of those, from a cache.
    pub cached: u64,
    /// Users who left before.
    pub left: u64,
    /// Users with an error, by status.
    pub failed: BTreeMap<u16, u64>,
    /// Requests that were never sent: those of sessions that have ended at a failure.
    pub not_sent: u64,
    /// Answers by another model than asked for.
    pub other_model: u64,
    /// What the gateway's headers say, in sum.
    pub cost: Money,
    /// Answers whose headers say it: those of streams can't.
    pub priced: u64,
    /// Input tokens that answers say.
    pub input: u64,
    /// Output tokens that answers say.
    pub output: u64,
    /// Waits of the served, in nanoseconds of the traffic.
    pub latencies: Waits,
    /// Waits for the first token of a stream, in nanoseconds of the traffic.
    pub first_tokens: Waits,
    /// How late requests were sent, in nanoseconds of life.
    pub lates: Waits,
}

/// Times, for their percentiles.
#[derive(Debug, Clone, Default)]
pub struct Waits(Vec<u64>);

impl User {
    /// As a line of the log. Times are in milliseconds of the traffic, lateness in milliseconds of life.
    pub fn json(&self) -> Value {
        let end = match self.end {
            End::Served => json!("served"),
            End::Left => json!("left"),
            End::Failed(status) => json!(status),
        };
        let millis = |nanos: u64| (nanos / 1000) as f64 / 1000.0;
        json!({
            "number": self.number, "request": self.request, "model": self.asked, "answered_by": self.answered_by, "end": end,
            "cached": self.is_cached, "tries": self.tries, "ttft_ms": self.first_token.map(|span| millis(span.0)),
            "latency_ms": millis(self.latency.0), "late_ms": self.late.as_secs_f64() * 1000.0,
            "cost_usd": self.cost.map(|cost| cost.decimal().to_string()),
            "input_tokens": self.usage.map(|usage| usage.0), "output_tokens": self.usage.map(|usage| usage.1),
        })
    }
}

impl Tally {
    /// Adds a user.
    pub fn add(&mut self, user: &User) {
        self.users += 1;
        self.sent += u64::from(user.tries);
        match user.end {
            End::Served => {
                self.served += 1;
                self.cached += u64::from(user.is_cached);
                self.other_model += u64::from(user.answered_by.as_ref().is_some_and(|model| *model != user.asked));
                self.latencies.0.push(user.latency.0);
            }
            End::Left => self.left += 1,
            End::Failed(status) => *self.failed.entry(status).or_default() += 1,
        }
        self.first_tokens.0.extend(user.first_token.map(|span| span.0));
        self.lates.0.push(u64::try_from(user.late.as_nanos()).unwrap_or(u64::MAX));
        self.cost += user.cost.unwrap_or_default();
        self.priced += u64::from(user.cost.is_some());
        let (input, output) = user.usage.unwrap_or_default();
        self.input += input;
        self.output += output;
    }

    /// For programs. Latencies are in milliseconds of the traffic, lateness in milliseconds of life.
    pub fn json(&self) -> Value {
        let failed: BTreeMap<String, u64> = self.failed.iter().map(|(status, users)| (status.to_string(), *users)).collect();
        json!({
            "users": self.users, "sent": self.sent, "served": self.served, "cached": self.cached, "left": self.left, "failed": failed,
            "not_sent": self.not_sent, "other_model": self.other_model, "cost_usd": self.cost.decimal().to_string(), "priced": self.priced,
            "input_tokens": self.input, "output_tokens": self.output, "latency_ms": self.latencies.json(), "ttft_ms": self.first_tokens.json(),
            "late_ms": self.lates.json(),
        })
    }
}

impl Waits {
    /// The smallest value that at least so many thousandths of all don't exceed; `None` of nothing.
    pub fn quantile(&self, per_mille: usize) -> Option<Span> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * per_mille).div_ceil(1000).max(1);
        sorted.get(rank - 1).copied().map(Span)
    }

    fn json(&self) -> Value {
        let millis = |per_mille| self.quantile(per_mille).map(|span| span.0 / 1000);
        let part = |micros: Option<u64>| micros.map(|micros| json!(micros as f64 / 1000.0)).unwrap_or_default();
        json!({"p50": part(millis(500)), "p95": part(millis(950)), "p99": part(millis(990))})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_end_once_and_percentiles_are_values_that_were_there() {
        let mut tally = Tally::default();
        for number in 1..=100_u64 {
            let end = match number % 4 {
                0 => End::Failed(429),
                1 => End::Left,
                _ => End::Served,
            };
            let cost = (end == End::Served).then_some(Money(5));
            tally.add(&User { end, tries: 2, latency: Span(number), is_cached: number % 4 == 2, cost, ..User::default() });
        }
        assert_eq!((tally.users, tally.sent, tally.served, tally.cached, tally.left), (100, 200, 50, 25, 25));
        assert_eq!((tally.failed[&429], tally.cost, tally.priced), (25, Money(250), 50));
        assert_eq!(tally.latencies.quantile(500), Some(Span(50)), "of 2, 3, 6, 7 and so on, the 25th");
        assert_eq!((tally.latencies.quantile(1000), tally.first_tokens.quantile(500)), (Some(Span(99)), None));
    }
}
