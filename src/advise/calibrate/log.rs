//! A part of a log, held in memory: the arrivals to be simulated, and every attempt of a client as the log has it. Measures nothing.

use std::sync::Arc;

use crate::gateway::money::Money;
use crate::gateway::time::{Span, Time};
use crate::sim::replay::impute::{Learner, Length, lacks_input};
use crate::traffic::replay::link::Links;
use crate::traffic::stream::{self, Base, Changes};
use crate::traffic::trace::{Batch, LeftAfter, Names, Recorded, Row, TraceError};

/// One request to the gateway, as a log has it: whether recorded or simulated.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// When it arrived.
    pub at: Time,
    /// The number of the model asked for, in [`Part::models`].
    pub model: u32,
    /// The number of the deployment that it ended at, in [`Part::deployments`].
    pub deployment: Option<u32>,
    /// The HTTP status of its answer, if the log has one.
    pub status: Option<u16>,
    /// To the first token.
    pub ttft: Option<Span>,
    /// To the end of the answer.
    pub duration: Option<Span>,
    /// Input tokens.
    pub input_tokens: u32,
    /// Output tokens.
    pub output_tokens: Option<u32>,
    /// Calls that were made for it, as far as the log counts them.
    pub calls: u32,
    /// Whether another model group than the one asked for answered.
    pub is_elsewhere: bool,
    /// How long its client waited before it left.
    pub left_after: Option<Span>,
    /// Whether a cache answered it.
    pub is_cached: bool,
    /// What it cost.
    pub cost: Option<Money>,
}

impl Attempt {
    /// Whether a provider failed it at least once, as far as can be seen from outside.
    pub fn is_troubled(&self) -> bool {
        self.is_elsewhere || self.calls > 1 || self.status.is_some_and(|status| matches!(status, 408 | 429 | 500..))
    }

    /// Whether it was answered by the first call that was made, so that its times are those of one call.
    pub fn is_plain(&self) -> bool {
        !self.is_troubled() && !self.is_cached && self.status.is_none_or(|status| status < 400) && self.left_after.is_none()
    }
}

/// A part of a log.
#[derive(Debug, Default)]
pub struct Part {
    /// The arrivals, output lengths filled in.
    pub batches: Vec<Arc<Batch>>,
    /// What each client attempt came to, in the order of the arrivals.
    pub attempts: Vec<Attempt>,
    /// How many attempts each arrival stands for.
    pub chains: Vec<u32>,
    /// Models asked for.
    pub models: Vec<String>,
    /// Deployments that answered.
    pub deployments: Vec<String>,
    /// What linking did.
    pub links: Links,
    /// Arrivals whose content was asked for before, and those that have an identity at all.
    pub duplicates: (u64, u64),
}

impl Part {
    /// Reads a part of a log. Lengths that it lacks are drawn from `seed`, as a run draws them.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn read(base: &Base, changes: &Changes, seed: u64) -> Result<Self, TraceError> {
        let mut source = stream::open(base, changes)?;
        let (mut part, mut names, mut learner) = (Self::default(), Names::default(), Learner::default());
        let mut batches = Vec::new();
        while let Some(batch) = source.next_batch()? {
            names.learn(&batch.first_seen);
            learner.see(&batch);
            batches.push(batch);
        }
        let lengths = learner.finish();
        let mut known = std::collections::HashSet::new();
        for mut batch in batches {
            for index in 0..batch.rows.len() {
                if lacks_input(&batch.rows[index], batch.recorded(&batch.rows[index])) {
                    let row = &batch.rows[index];
                    let drawn = lengths.draw_input(seed, row.subject(), row.model);
                    batch.rows[index].input_tokens = drawn.map_or(0, |drawn| drawn.tokens);
                }
                let row = &batch.rows[index];
                part.take(&batch, row);
                if !row.fingerprint.is_unique() {
                    part.duplicates.1 += 1;
                    part.duplicates.0 += u64::from(!known.insert((row.key, row.fingerprint)));
                }
                if let Length::AtLeast(seen) = Length::of(row, batch.recorded(row)) {
                    let drawn = lengths.draw(seed, row.subject(), row.model, row.input_tokens, seen);
                    batch.rows[index].output_tokens = drawn.map(|drawn| drawn.tokens).or(Some(seen).filter(|seen| *seen > 0));
                }
            }
            part.batches.push(Arc::new(batch));
        }
        part.models = names.models.names().to_vec();
        part.deployments = names.deployments.names().to_vec();
        part.links = source.links();
        Ok(part)
    }

    /// Whether it says of no request how it ended.
    pub fn is_silent(&self) -> bool {
        self.attempts.iter().all(|attempt| attempt.status.is_none() && attempt.duration.is_none())
    }

    /// When the first request arrived.
    pub fn first(&self) -> Time {
        self.batches.first().and_then(|batch| batch.rows.first()).map_or(Time(0), |row| row.at)
    }

    /// From the first arrival to the last.
    pub fn span(&self) -> Span {
        self.batches.last().and_then(|batch| batch.rows.last()).map_or(Span::ZERO, |row| row.at.since(self.first()))
    }

    fn take(&mut self, batch: &Batch, row: &Row) {
        let recorded = batch.recorded(row).copied().unwrap_or_default();
        let attempts = batch.client_attempts(row);
        let left_after = match row.left_after {
            Some(LeftAfter::Waited(span)) => Some(span),
            Some(LeftAfter::Tokens(_)) => recorded.duration.or(Some(Span::ZERO)),
            None => None,
        };
        self.chains.push(attempts.len().max(1) as u32);
        if attempts.is_empty() {
            self.attempts.push(attempt(row, row.at, (row.input_tokens, row.output_tokens), &recorded, left_after));
        }
        for (index, each) in attempts.iter().enumerate() {
            let left_after = left_after.filter(|_| index + 1 == attempts.len());
            self.attempts.push(attempt(row, each.at, (each.input_tokens, each.output_tokens), &each.recorded, left_after));
        }
    }
}

fn attempt(row: &Row, at: Time, (input_tokens, output_tokens): (u32, Option<u32>), recorded: &Recorded, left_after: Option<Span>) -> Attempt {
    Attempt {
        at,
        model: row.model.map_or(u32::MAX, |model| model.number()),
        deployment: recorded.deployment.map(|deployment| deployment.number()),
        status: recorded.status,
        ttft: recorded.ttft,
        duration: recorded.duration,
        input_tokens,
        output_tokens,
        calls: recorded.attempts.unwrap_or(1),
        is_elsewhere: recorded.fallbacks.is_some_and(|fallbacks| fallbacks > 0),
        left_after,
        is_cached: recorded.cache_hit == Some(true),
        cost: recorded.cost,
    }
}
