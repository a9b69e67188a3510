//! What of a log is fed to the variants, and what is kept of it to hold them against. Brings traces, the imputation and the report's fold together.

use std::sync::Arc;

use crate::config::scenario::TrafficSpec;
use crate::gateway::id::{DeploymentId, ModelId};
use crate::gateway::money::Money;
use crate::gateway::plan::Plan;
use crate::gateway::rate_card::Usage;
use crate::report::baseline::Baseline;
use crate::report::coverage::{self, Field};
use crate::report::fold::Directory;
use crate::report::recorded::{Entry, Log};
use crate::report::{self, Imputed};
use crate::sim::client::{Clients, Habits};
use crate::sim::driver::Variant;
use crate::sim::replay::impute::{Drawn, Learner, Length, Lengths, lacks_input};
use crate::traffic::replay::coverage::Coverage;
use crate::traffic::stream;
use crate::traffic::trace::{Batch, ClientAttempt, Recorded, Row, TraceError};

/// A trace on its way to the variants. Rows without recorded outcomes and with an output length cost one look.
pub struct Replay<'a> {
    traffic: &'a TrafficSpec,
    /// The configuration that the log is priced under.
    plan: Arc<Plan>,
    default_model: Option<ModelId>,
    seed: u64,
    /// Learnt when the first row needs it.
    lengths: Option<Lengths>,
    /// Whether any row so far says how its request ended.
    is_log: bool,
    models: Vec<Option<ModelId>>,
    deployments: Vec<Option<DeploymentId>>,
    keys: Vec<String>,
    /// Those of the configuration that the log is priced under.
    clients: Arc<Clients>,
    log: Log,
    coverage: Coverage,
    imputed: Imputed,
    imputed_inputs: Imputed,
}

/// What the log covers, as the report has it, for a run with clients of these `habits`. `laid_over` is what it covers with its overlays.
fn covered(coverage: &Coverage, laid_over: &Coverage, habits: &Habits) -> coverage::Coverage {
    let leave = habits.patience.is_some() || habits.abandons_per_million > 0;
    let instead = |field: &str, usual: &'static str| match field {
        "input_tokens" => "drawn from other requests",
        "output_tokens" => "drawn from whole answers",
        "left_after" if leave => "the clients' habits",
        _ => usual,
    };
    let fields = coverage.fields.iter().zip(&laid_over.fields).map(|(covered, laid_over)| Field {
        name: covered.field.into(),
        instead: if laid_over.rows > covered.rows { "the scenario's overlay" } else { instead(covered.field, covered.instead) }.to_owned(),
        rows: covered.rows,
        hanging: covered.dollars_without,
    });
    coverage::Coverage { rows: coverage.rows, fields: fields.collect() }
}

/// What was learnt of a log while it was fed to the variants.
pub struct Replayed {
    /// What it says.
    pub log: Log,
    /// What it covers; `None` if the traffic is no log.
    pub covered: Option<coverage::Coverage>,
    /// Output lengths that were drawn, if any.
    pub drawn: Option<Imputed>,
    /// Inputs of failed requests that were drawn, if any.
    pub drawn_inputs: Option<Imputed>,
    /// Its keys, by number.
    keys: Vec<String>,
    default_key: Option<String>,
}

impl<'a> Replay<'a> {
    /// A replay of `traffic` that is held against `variant`. Lengths are drawn from `seed`.
    pub fn new(traffic: &'a TrafficSpec, variant: &Variant, seed: u64) -> Self {
        Self::under(traffic, Arc::clone(&variant.plan), Arc::clone(&variant.clients), seed)
    }

    fn under(traffic: &'a TrafficSpec, plan: Arc<Plan>, clients: Arc<Clients>, seed: u64) -> Self {
        let default_model = clients.default_model.as_ref().and_then(|name| plan.find_model(name));
        Self {
            traffic,
            log: Log::new(Arc::clone(&plan)),
            plan,
            default_model,
            seed,
            lengths: None,
            is_log: false,
            models: Vec::new(),
            deployments: Vec::new(),
            keys: Vec::new(),
            clients,
            coverage: Coverage::default(),
            imputed: Imputed::default(),
            imputed_inputs: Imputed::default(),
        }
    }

    /// Takes note of what the log says in a batch, and fills in the output lengths that it lacks.
    ///
    /// # Errors
    /// If the trace can't be read a second time, which is when the first length is missing.
    pub fn see(&mut self, batch: &mut Batch) -> Result<(), TraceError> {
        self.learn_names(batch);
        self.is_log = self.is_log || batch.rows.iter().any(|row| batch.recorded(row).is_some());
        if !self.is_log {
            self.log.add_silent(batch.rows.len() as u64);
        }
        for index in 0..batch.rows.len() {
            if lacks_input(&batch.rows[index], batch.recorded(&batch.rows[index])) {
                batch.rows[index].input_tokens = self.draw_input(&batch.rows[index])?;
            }
            let row = &batch.rows[index];
            let recorded = batch.recorded(row).copied();
            let length = Length::of(row, recorded.as_ref());
            let drawn = match length {
                Length::Whole(_) => None,
                Length::AtLeast(seen) => self.draw(row, seen)?,
            };
            if self.is_log {
                self.note(batch, row, &recorded.unwrap_or_default(), length, drawn);
            }
            if let Length::AtLeast(seen) = length {
                // Where no answer of that length was ever seen whole, what is known of it counts; if that is nothing, the scenario's stand-in.
                let known = Some(seen).filter(|seen| *seen > 0);
                batch.rows[index].output_tokens = drawn.map(|drawn| drawn.tokens).or(known);
            }
            self.imputed_inputs.of_tokens += u64::from(batch.rows[index].input_tokens);
            self.imputed.of_tokens += u64::from(batch.rows[index].output_tokens.unwrap_or(0));
        }
        Ok(())
    }

    /// What was learnt of the log.
    ///
    /// # Errors
    /// If the trace can't be read a second time: for what it covers under its overlays.
    pub fn finish(self) -> Result<Replayed, TraceError> {
        let bare = if self.is_log && !self.traffic.changes.overlays.is_empty() { Some(self.bare_coverage()?) } else { None };
        let coverage = bare.as_ref().unwrap_or(&self.coverage);
        Ok(Replayed {
            covered: self.is_log.then(|| covered(coverage, &self.coverage, &self.clients.habits)),
            log: self.log,
            keys: self.keys,
            default_key: self.clients.default_key.clone(),
            drawn: Some(self.imputed).filter(|imputed| imputed.requests > 0),
            drawn_inputs: Some(self.imputed_inputs).filter(|imputed| imputed.requests > 0),
        })
    }

    /// What the log covers by itself.
    fn bare_coverage(&self) -> Result<Coverage, TraceError> {
        let mut traffic = self.traffic.clone();
        traffic.changes.overlays.clear();
        let mut requests = stream::open(&traffic.base(), &traffic.changes)?;
        let (plan, clients) = (Arc::clone(&self.plan), Arc::clone(&self.clients));
        let mut bare = Replay::under(&traffic, plan, clients, self.seed);
        while let Some(mut batch) = requests.next_batch()? {
            bare.see(&mut batch)?;
        }
        Ok(bare.coverage)
    }

    fn learn_names(&mut self, batch: &Batch) {
        let plan = &self.plan;
        let here = |name| self.traffic.models.iter().find(|(there, _)| there == name).map_or(name, |(_, here)| here);
        self.models.extend(batch.first_seen.models.iter().map(|name| plan.find_model(here(name))));
        self.deployments.extend(batch.first_seen.deployments.iter().map(|name| plan.find_deployment(name)));
        self.keys.extend(batch.first_seen.keys.iter().cloned());
    }

    /// An input for a failed request whose row has none: what it would have cost elsewhere hangs on it.
    fn draw_input(&mut self, row: &Row) -> Result<u32, TraceError> {
        if self.lengths.is_none() {
            self.lengths = Some(lengths(self.traffic)?);
        }
        let drawn = self.lengths.as_ref().and_then(|lengths| lengths.draw_input(self.seed, row.subject(), row.model));
        let Some(Drawn { tokens, low, high }) = drawn else { return Ok(0) };
        let price = self.plan.model(self.model(row)).reference.at(row.at);
        let cost = |tokens: u32| price.cost(Usage::plain(tokens, 0));
        self.imputed_inputs.add(tokens, [tokens, low, high].map(cost));
        Ok(tokens)
    }

    fn draw(&mut self, row: &Row, seen: u32) -> Result<Option<Drawn>, TraceError> {
        if self.lengths.is_none() {
            self.lengths = Some(lengths(self.traffic)?);
        }
        let lengths = self.lengths.as_ref().expect("learnt above");
        let drawn = lengths.draw(self.seed, row.subject(), row.model, row.input_tokens, seen);
        if let Some(Drawn { tokens, low, high }) = drawn {
            let price = self.plan.model(self.model(row)).reference.at(row.at);
            let most = self.most(row);
            let output = |tokens: u32| tokens.min(most).max(seen);
            let cost = |tokens: u32| price.cost(Usage::plain(row.input_tokens, output(tokens))) - price.cost(Usage::plain(row.input_tokens, seen));
            self.imputed.add(output(tokens) - seen, [tokens, low, high].map(cost));
        }
        Ok(drawn)
    }

    /// The model that a row asks for in the priced configuration. One that it does not have is refused when the rows are sent.
    fn model(&self, row: &Row) -> ModelId {
        let named = row.model.and_then(|name| self.models[name.index()]);
        named.or(self.default_model).unwrap_or(ModelId(0))
    }

    fn deployment(&self, recorded: &Recorded) -> Option<DeploymentId> {
        recorded.deployment.and_then(|name| self.deployments[name.index()])
    }

    /// What the log lets a client's attempt cost that was not its last: nothing, unless some output had come.
    fn earlier(&self, row: &Row, attempt: &ClientAttempt) -> Money {
        let Some(output) = attempt.output_tokens.filter(|output| *output > 0) else { return Money::ZERO };
        let price = self.deployment(&attempt.recorded).map_or(&self.plan.model(self.model(row)).reference, |id| &self.plan.deployment(id).rates);
        price.at(attempt.at).cost(counted(attempt.input_tokens, output, &attempt.recorded))
    }

    /// The most output tokens that a row's client asks for.
    fn most(&self, row: &Row) -> u32 {
        row.max_tokens.or(self.traffic.max_tokens).unwrap_or(u32::MAX)
    }

    fn note(&mut self, batch: &Batch, row: &Row, recorded: &Recorded, length: Length, drawn: Option<Drawn>) {
        let is_cached = recorded.cache_hit == Some(true);
        let has_failed = recorded.status.is_some_and(|status| status >= 400);
        let deployment = self.deployment(recorded);
        let attempts = batch.client_attempts(row);
        let (last, earlier) = attempts.split_last().map_or((None, attempts), |(last, earlier)| (Some(last), earlier));
        let limited = |recorded: &Recorded| u64::from(recorded.status == Some(429));
        let entry = Entry {
            made_at: last.map_or(row.at, |last| last.at),
            ended_at: row.at + recorded.duration.unwrap_or_default(),
            model: self.model(row),
            deployment,
            earlier: earlier.iter().map(|attempt| self.earlier(row, attempt)).sum(),
            is_elsewhere: recorded.deployment.is_some() && deployment.is_none(),
            key: row.key.map(|key| key.number()),
            usage: if is_cached { None } else { usage(row, recorded, length, drawn, self.most(row)) },
            has_usage: row.output_tokens.is_some() || has_failed || is_cached,
            status: recorded.status,
            cost: recorded.cost,
            // How long the last of a client's attempts took; the client had waited for all of them.
            duration: last.map_or(recorded.duration, |last| last.recorded.duration),
            calls: if is_cached { 0 } else { recorded.attempts.unwrap_or(1).max(attempts.len() as u32) },
            rate_limited: limited(recorded) + earlier.iter().map(|attempt| limited(&attempt.recorded)).sum::<u64>(),
        };
        let repriced = self.log.add(&entry);
        self.coverage.see(batch, row, Some(recorded.cost.unwrap_or(repriced)));
    }
}

impl Replayed {
    /// Holds the simulated `variant` against the log; `who` are the keys and teams of its gateway. A key that it does not know is its default key.
    pub fn held_against(&self, variant: &report::Variant, who: &Directory) -> Baseline {
        let team_of = |key: Option<u32>| {
            let name = key.map(|number| self.keys[number as usize].as_str());
            let known = name.filter(|name| who.keys.find(name).is_some()).or(self.default_key.as_deref());
            known.and_then(|name| who.team_of(name)).map(str::to_owned)
        };
        Baseline::of(&self.log, variant, team_of)
    }
}

/// What the log says, or lets guess, that a request was billed for. A failed one is taken as free unless the log saw output of it; an answer
/// without a length has the one that was drawn.
fn usage(row: &Row, recorded: &Recorded, length: Length, drawn: Option<Drawn>, most: u32) -> Option<Usage> {
    let has_failed = recorded.status.is_some_and(|status| status >= 400);
    let output = match (row.output_tokens, length) {
        (Some(0) | None, _) if has_failed => return None,
        (Some(tokens), _) => tokens,
        (None, Length::AtLeast(seen)) if row.left_after.is_some() => seen,
        (None, _) => drawn.map_or(0, |drawn| drawn.tokens).min(most),
    };
    Some(counted(row.input_tokens, output, recorded))
}

fn counted(input: u32, output: u32, recorded: &Recorded) -> Usage {
    Usage {
        input,
        cache_read: recorded.cached_tokens.unwrap_or(0),
        cache_write: recorded.cache_write_tokens.unwrap_or(0),
        cache_write_1h: 0,
        output,
        reasoning: recorded.reasoning_tokens.unwrap_or(0).min(output),
    }
}

/// The output lengths of the whole traffic, which is read once for them: under the same names as in the run.
fn lengths(traffic: &TrafficSpec) -> Result<Lengths, TraceError> {
    let mut learner = Learner::default();
    let mut requests = stream::open(&traffic.base(), &traffic.changes)?;
    while let Some(batch) = requests.next_batch()? {
        learner.see(&batch);
    }
    Ok(learner.finish())
}
