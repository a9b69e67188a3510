//! What a log does not show of its providers: how many calls fail by themselves, and what limits they ran into. Found by simulating the recorded
//! configuration until as many requests are in trouble as in the log: in quiet minutes by failures alone, in busy ones by limits too.

use super::log::{Attempt, Part};
use super::measure::{Facts, ModelFacts};
use super::render::Draft;
use super::simulate::simulate;
use super::{Error, Question};
use crate::gateway::plan::Plan;

/// Steps of halving a range of limits: first coarse, for requests and for tokens; then fine, for the one that fits better.
const COARSE_STEPS: u32 = 7;
const FINE_STEPS: u32 = 5;
/// How far the fine steps look to either side of the coarse result, as a factor.
const FINE: f64 = 1.1;
/// Corrections of failures at each limit that is tried.
const CORRECTIONS: u32 = 1;
/// The square of a difference of counts, in variances of independent ones, that is no reason to look for another kind of limit.
const NOISE_MAX: f64 = 1.3;
/// Trouble in busy minutes beyond what failures explain, in standard errors of a difference of two counts, from which on there is a limit.
const EXCESS_MIN: f64 = 4.0;

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Hidden {
    /// By the number of the model in the log; empty where nothing was simulated.
    pub models: Vec<HiddenModel>,
    /// Simulations that it took.
    pub runs: u32,
}

/// What was found of the deployments of one model.
#[derive(Debug, Clone, Copy, Default)]
pub struct HiddenModel {
    /// Calls in a million that fail by themselves.
    pub failures_per_million: u32,
    /// What limits them.
    pub limit: Option<Limit>,
    /// Requests in trouble in the log.
    pub recorded: Trouble,
    /// The same in the last simulation.
    pub simulated: Trouble,
}

/// A limit of one model's deployments together, in a minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// Whether tokens are counted, not requests.
    pub is_of_tokens: bool,
    /// How many.
    pub amount: f64,
    /// Where the search ended: the limit is between these, as far as the number of requests in trouble tells.
    pub bracket: (f64, f64),
}

/// Requests in trouble: failed, answered by another model, or answered after more than one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Requests in quiet minutes, and those in trouble.
    pub quiet: (u64, u64),
    /// The same in busy minutes.
    pub busy: (u64, u64),
}

/// Trouble of a model, with when it was.
#[derive(Debug, Clone, Default)]
struct Counted {
    trouble: Trouble,
    by_minute: Vec<u32>,
}

struct Search<'a> {
    question: &'a Question,
    facts: &'a Facts,
    part: &'a Part,
    plan: &'a Plan,
    /// Of each model, whether each minute is quiet.
    quiet: Vec<Vec<bool>>,
    recorded: Vec<Counted>,
    hidden: Hidden,
}

/// Finds failures and limits.
///
/// # Errors
/// If the gateway can't take the traffic.
pub fn search(question: &Question, facts: &Facts, part: &Part, plan: &Plan) -> Result<Hidden, Error> {
    let quiet = facts.models.iter().map(quiet_minutes).collect();
    let models = vec![HiddenModel::default(); facts.models.len()];
    let mut search = Search { question, facts, part, plan, quiet, recorded: Vec::new(), hidden: Hidden { models, runs: 0 } };
    search.recorded = search.counted(&part.attempts);
    for (model, counted) in search.hidden.models.iter_mut().zip(&search.recorded) {
        model.recorded = counted.trouble;
        // Trouble that a cooldown adds comes off again in the simulations.
        model.failures_per_million = per_million(rate(counted.trouble.quiet));
    }
    for _ in 0..3 {
        let simulated = search.run()?;
        search.correct_failures(&simulated);
    }
    let simulated = search.run()?;
    let limited: Vec<usize> = (0..facts.models.len()).filter(|model| search.exceeds(&simulated, *model)).collect();
    if !limited.is_empty() {
        search.find_limits(&limited)?;
    }
    Ok(search.hidden)
}

impl Search<'_> {
    /// Finds the limits of some models: of requests, and if these don't explain the log to within the noise of counts, of tokens, whatever comes nearer
    /// minute by minute.
    fn find_limits(&mut self, limited: &[usize]) -> Result<(), Error> {
        let before = self.hidden.models.clone();
        self.of_one_kind(limited, false)?;
        let simulated = self.halve(limited, FINE_STEPS)?;
        let distances: Vec<f64> = limited.iter().map(|model| self.distance(&simulated, *model)).collect();
        let doubtful: Vec<usize> = limited.iter().zip(&distances).filter(|(_, distance)| **distance > NOISE_MAX).map(|(model, _)| *model).collect();
        if !doubtful.is_empty() {
            let of_requests = self.hidden.models.clone();
            for model in &doubtful {
                self.hidden.models[*model] = before[*model];
            }
            self.of_one_kind(&doubtful, true)?;
            let simulated = self.halve(&doubtful, FINE_STEPS)?;
            for (model, distance) in limited.iter().zip(distances) {
                if doubtful.contains(model) && distance <= self.distance(&simulated, *model) {
                    self.hidden.models[*model] = of_requests[*model];
                }
            }
            self.run()?;
        }
        Ok(())
    }

    /// Goes near the limits of some models, all of requests or all of tokens.
    fn of_one_kind(&mut self, limited: &[usize], is_of_tokens: bool) -> Result<(), Error> {
        for model in limited {
            let admitted = self.facts.models[*model].admitted;
            // A bucket lets through up to twice its rate in a minute, and rejected calls and max_tokens that nobody logs count too.
            let most = if is_of_tokens { admitted.tokens as f64 * 4.0 } else { admitted.requests as f64 * 1.5 };
            let bracket = (most / if is_of_tokens { 32.0 } else { 6.0 }, most);
            self.hidden.models[*model].limit = Some(Limit { is_of_tokens, amount: bracket.1, bracket });
        }
        self.halve(limited, COARSE_STEPS)?;
        for model in limited {
            if let Some(limit) = &mut self.hidden.models[*model].limit {
                limit.bracket = (limit.amount / FINE, limit.amount * FINE);
            }
        }
        Ok(())
    }

    /// Halves the brackets of some models' limits, and gives the last simulation. At each limit, failures are what then explains the quiet minutes:
    /// the lower the limit, the fewer they are, and the more of the trouble is in busy minutes.
    fn halve(&mut self, limited: &[usize], steps: u32) -> Result<Vec<Counted>, Error> {
        let mut simulated = Vec::new();
        for _ in 0..steps {
            self.go_to_the_middle();
            for _ in 0..CORRECTIONS {
                simulated = self.run()?;
                self.correct_failures(&simulated);
            }
            simulated = self.run()?;
            for model in limited {
                let is_too_low = simulated[*model].trouble.busy.1 > self.recorded[*model].trouble.busy.1;
                let Some(limit) = &mut self.hidden.models[*model].limit else { continue };
                *(if is_too_low { &mut limit.bracket.0 } else { &mut limit.bracket.1 }) = limit.amount;
            }
        }
        self.go_to_the_middle();
        Ok(simulated)
    }

    fn go_to_the_middle(&mut self) {
        for limit in self.hidden.models.iter_mut().filter_map(|model| model.limit.as_mut()) {
            limit.amount = (limit.bracket.0 * limit.bracket.1).sqrt();
        }
    }

    fn run(&mut self) -> Result<Vec<Counted>, Error> {
        let draft = Draft { question: self.question, facts: self.facts, hidden: &self.hidden, plan: Some(self.plan), with_outages: true };
        let simulated = simulate(self.question, &draft.text(), self.part)?;
        let counted = self.counted(&simulated.attempts);
        self.hidden.runs += 1;
        for (model, counted) in self.hidden.models.iter_mut().zip(&counted) {
            model.simulated = counted.trouble;
        }
        Ok(counted)
    }

    /// Takes as many more or fewer failures as quiet minutes have more or less trouble in the log than in a simulation.
    fn correct_failures(&mut self, simulated: &[Counted]) {
        for ((model, simulated), recorded) in self.hidden.models.iter_mut().zip(simulated).zip(&self.recorded) {
            let (here, there) = (rate(simulated.trouble.quiet), rate(recorded.trouble.quiet));
            let failures = f64::from(model.failures_per_million) / 1e6;
            if failures > 0.0 && here > 0.0 {
                // Trouble is not only of failures: what they don't cause does not go with them.
                let next = failures + (there - here) * (failures / here).max(0.2);
                model.failures_per_million = per_million(next.clamp(failures / 4.0, failures * 4.0).max(1e-5));
            }
        }
    }

    /// Whether busy minutes have clearly more trouble than failures explain.
    fn exceeds(&self, simulated: &[Counted], model: usize) -> bool {
        let (here, there) = (simulated[model].trouble.busy.1 as f64, self.recorded[model].trouble.busy.1 as f64);
        there - here > EXCESS_MIN * (here + there).sqrt()
    }

    /// How unlike a simulation is to the log, minute by minute: the squared difference of the counts over their variance, 1 for independent ones.
    fn distance(&self, simulated: &[Counted], model: usize) -> f64 {
        let pairs = simulated[model].by_minute.iter().zip(&self.recorded[model].by_minute);
        let (mut squares, mut variance) = (0.0, 0.0);
        for (here, there) in pairs {
            squares += (f64::from(*here) - f64::from(*there)).powi(2);
            variance += f64::from(*here) + f64::from(*there);
        }
        squares / f64::max(variance, 1.0)
    }

    fn counted(&self, attempts: &[Attempt]) -> Vec<Counted> {
        let minutes = |model: &ModelFacts| Counted { by_minute: vec![0; model.by_minute.len()], ..Counted::default() };
        let mut counted: Vec<Counted> = self.facts.models.iter().map(minutes).collect();
        for attempt in attempts {
            let Some((counted, quiet)) = counted.get_mut(attempt.model as usize).zip(self.quiet.get(attempt.model as usize)) else { continue };
            let minute = attempt.at.since(self.facts.first).0 as usize / 60_000_000_000;
            let troubled = attempt.is_troubled();
            let is_quiet = quiet.get(minute).copied().unwrap_or(false);
            let requests = if is_quiet { &mut counted.trouble.quiet } else { &mut counted.trouble.busy };
            requests.0 += 1;
            requests.1 += u64::from(troubled);
            if let Some(count) = counted.by_minute.get_mut(minute) {
                *count += u32::from(troubled);
            }
        }
        counted
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

fn rate((requests, troubled): (u64, u64)) -> f64 {
    if requests == 0 { 0.0 } else { troubled as f64 / requests as f64 }
}

fn per_million(share: f64) -> u32 {
    (share * 1e6).round().clamp(0.0, 900_000.0) as u32
}
