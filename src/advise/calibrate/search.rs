//! What a log does not show of its providers: how many calls fail by themselves, and what limits they ran into. Found by simulating the recorded
//! configuration until as many requests are in trouble as in the log: in quiet minutes by failures alone, in busy ones by limits too.

use super::log::{Attempt, Part};
use super::measure::{Facts, ModelFacts};
use super::render::Draft;
use super::simulate::simulate;
use super::{Error, Question};
use crate::gateway::plan::Plan;

/// Steps of halving a range of limits.
const COARSE_STEPS: u32 = 6;
/// The limits around the result of these that are held against the log moment by moment.
const FINE: [f64; 7] = [0.88, 0.92, 0.96, 1.0, 1.04, 1.08, 1.12];
/// How often they are tried around the best of the last time, while that is the lowest or the highest of them.
const SCANS_MAX: u32 = 3;
/// Nanoseconds in a moment: a limit is hit in bursts, failures come one by one.
const MOMENT: u64 = 2_000_000_000;
/// Corrections of failures once a limit is chosen.
const LAST_CORRECTIONS: u32 = 4;
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

impl Trouble {
    /// The share of requests in trouble in quiet minutes.
    fn rate_when_quiet(&self) -> f64 {
        self.quiet.1 as f64 / f64::max(self.quiet.0 as f64, 1.0)
    }

    /// The share of all requests in trouble.
    fn rate(&self) -> f64 {
        (self.quiet.1 + self.busy.1) as f64 / f64::max((self.quiet.0 + self.busy.0) as f64, 1.0)
    }
}

/// Trouble of a model, with when it was.
#[derive(Debug, Clone, Default)]
struct Counted {
    trouble: Trouble,
    by_moment: Vec<u32>,
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
        model.failures_per_million = per_million(counted.trouble.rate_when_quiet());
    }
    for _ in 0..3 {
        let simulated = search.run()?;
        search.correct_failures(&simulated, Trouble::rate_when_quiet);
    }
    let simulated = search.run()?;
    let limited: Vec<usize> = (0..facts.models.len()).filter(|model| search.exceeds(&simulated, *model)).collect();
    if !limited.is_empty() {
        search.find_limits(&limited)?;
    }
    Ok(search.hidden)
}

impl Search<'_> {
    /// Finds the limits of some models: of requests, and if these don't explain the log to within the noise of counts, of tokens, whatever comes
    /// nearer moment by moment.
    fn find_limits(&mut self, limited: &[usize]) -> Result<(), Error> {
        let before = self.hidden.models.clone();
        self.of_one_kind(limited, false)?;
        let distances = self.scan(limited)?;
        let doubtful: Vec<usize> = limited.iter().zip(&distances).filter(|(_, distance)| **distance > NOISE_MAX).map(|(model, _)| *model).collect();
        if !doubtful.is_empty() {
            let of_requests = self.hidden.models.clone();
            for model in &doubtful {
                self.hidden.models[*model] = before[*model];
            }
            self.of_one_kind(&doubtful, true)?;
            let others = self.scan(&doubtful)?;
            for (model, other) in doubtful.iter().zip(others) {
                let distance = limited.iter().position(|limited| limited == model).map_or(f64::MAX, |place| distances[place]);
                if distance <= other {
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
        self.halve(limited)
    }

    /// Takes the limits near those found so far whose moments of trouble are most like the log's, and gives how unlike they still are. At each limit
    /// failures make up for the rest of all trouble.
    fn scan(&mut self, limited: &[usize]) -> Result<Vec<f64>, Error> {
        for _ in 0..SCANS_MAX {
            if self.scan_once(limited)? {
                break;
            }
        }
        let mut simulated = self.run()?;
        for _ in 0..LAST_CORRECTIONS {
            self.correct_failures(&simulated, Trouble::rate);
            simulated = self.run()?;
        }
        Ok(limited.iter().map(|model| self.distance(&simulated, *model)).collect())
    }

    /// Tries the limits around those found so far, and says whether the best of each lies between others.
    fn scan_once(&mut self, limited: &[usize]) -> Result<bool, Error> {
        let centre = self.hidden.models.clone();
        let mut is_inside = true;
        let mut tried: Vec<Vec<(f64, f64)>> = vec![Vec::new(); limited.len()];
        for factor in FINE {
            for model in limited {
                if let (Some(limit), Some(near)) = (&mut self.hidden.models[*model].limit, centre[*model].limit) {
                    limit.amount = (near.amount * factor).round().max(1.0);
                }
            }
            let simulated = self.corrected(Trouble::rate)?;
            let again = self.run_with(self.question.seed.wrapping_add(1))?;
            for (tried, model) in tried.iter_mut().zip(limited) {
                let amount = self.hidden.models[*model].limit.map_or(0.0, |limit| limit.amount);
                tried.push((amount, self.distance(&simulated, *model) + self.distance(&again, *model)));
            }
        }
        for (tried, model) in tried.iter().zip(limited) {
            let Some(limit) = &mut self.hidden.models[*model].limit else { continue };
            limit.amount = lowest(tried);
            is_inside &= tried.first().is_some_and(|first| first.0 < limit.amount) && tried.last().is_some_and(|last| limit.amount < last.0);
            limit.bracket = (limit.amount * FINE[2], limit.amount * FINE[4]);
        }
        Ok(is_inside)
    }

    /// Simulates, corrects failures so that there is as much trouble as in the log, and simulates again.
    fn corrected(&mut self, rate: impl Fn(&Trouble) -> f64 + Copy) -> Result<Vec<Counted>, Error> {
        let simulated = self.run()?;
        self.correct_failures(&simulated, rate);
        self.run()
    }

    /// Halves the brackets of some models' limits. At each limit, failures are what then explains the quiet minutes:
    /// the lower the limit, the fewer they are, and the more of the trouble is in busy minutes.
    fn halve(&mut self, limited: &[usize]) -> Result<(), Error> {
        for _ in 0..COARSE_STEPS {
            self.go_to_the_middle(limited);
            let simulated = self.corrected(Trouble::rate_when_quiet)?;
            for model in limited {
                let is_too_low = simulated[*model].trouble.busy.1 > self.recorded[*model].trouble.busy.1;
                let Some(limit) = &mut self.hidden.models[*model].limit else { continue };
                *(if is_too_low { &mut limit.bracket.0 } else { &mut limit.bracket.1 }) = limit.amount;
            }
        }
        self.go_to_the_middle(limited);
        Ok(())
    }

    fn go_to_the_middle(&mut self, limited: &[usize]) {
        for model in limited {
            if let Some(limit) = &mut self.hidden.models[*model].limit {
                limit.amount = (limit.bracket.0 * limit.bracket.1).sqrt();
            }
        }
    }

    fn run(&mut self) -> Result<Vec<Counted>, Error> {
        self.run_with(self.question.seed)
    }

    fn run_with(&mut self, seed: u64) -> Result<Vec<Counted>, Error> {
        let draft = Draft { question: self.question, facts: self.facts, hidden: &self.hidden, plan: Some(self.plan), with_outages: true };
        let simulated = simulate(self.question, &draft.text(), self.part, seed)?;
        let counted = self.counted(&simulated.attempts);
        self.hidden.runs += 1;
        for (model, counted) in self.hidden.models.iter_mut().zip(&counted) {
            model.simulated = counted.trouble;
        }
        Ok(counted)
    }

    /// Takes more or fewer failures, as there is more or less trouble in the log than in a simulation.
    fn correct_failures(&mut self, simulated: &[Counted], rate: impl Fn(&Trouble) -> f64) {
        for ((model, simulated), recorded) in self.hidden.models.iter_mut().zip(simulated).zip(&self.recorded) {
            let (here, there) = (rate(&simulated.trouble), rate(&recorded.trouble));
            let failures = f64::from(model.failures_per_million) / 1e6;
            if failures > 0.0 && here > 0.0 {
                // A failure makes trouble for its own request, and by a cooldown for those after it: from one to four in all, so this ends at the
                // right share.
                let next = failures + (there - here) / 2.0;
                model.failures_per_million = per_million(next.clamp(failures / 4.0, failures * 4.0).max(1e-5));
            }
        }
    }

    /// Whether busy minutes have clearly more trouble than failures explain.
    fn exceeds(&self, simulated: &[Counted], model: usize) -> bool {
        let (here, there) = (simulated[model].trouble.busy.1 as f64, self.recorded[model].trouble.busy.1 as f64);
        there - here > EXCESS_MIN * (here + there).sqrt()
    }

    /// How unlike a simulation is to the log, moment by moment: the squared difference of the counts over their variance, 1 for independent ones.
    fn distance(&self, simulated: &[Counted], model: usize) -> f64 {
        let pairs = simulated[model].by_moment.iter().zip(&self.recorded[model].by_moment);
        let (mut squares, mut variance) = (0.0, 0.0);
        for (here, there) in pairs {
            squares += (f64::from(*here) - f64::from(*there)).powi(2);
            variance += f64::from(*here) + f64::from(*there);
        }
        squares / f64::max(variance, 1.0)
    }

    fn counted(&self, attempts: &[Attempt]) -> Vec<Counted> {
        let minutes = |model: &ModelFacts| Counted { by_moment: vec![0; model.by_minute.len() * 30], ..Counted::default() };
        let mut counted: Vec<Counted> = self.facts.models.iter().map(minutes).collect();
        for attempt in attempts {
            let Some((counted, quiet)) = counted.get_mut(attempt.model as usize).zip(self.quiet.get(attempt.model as usize)) else { continue };
            let minute = attempt.at.since(self.facts.first).0 as usize / 60_000_000_000;
            let troubled = attempt.is_troubled();
            let is_quiet = quiet.get(minute).copied().unwrap_or(false);
            let requests = if is_quiet { &mut counted.trouble.quiet } else { &mut counted.trouble.busy };
            requests.0 += 1;
            requests.1 += u64::from(troubled);
            if let Some(count) = counted.by_moment.get_mut((attempt.at.since(self.facts.first).0 / MOMENT) as usize) {
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

fn per_million(share: f64) -> u32 {
    (share * 1e6).round().clamp(0.0, 900_000.0) as u32
}

/// Where the parabola of least squares through the points is lowest; the lowest point, where it opens downwards or is lowest beyond them.
fn lowest(points: &[(f64, f64)]) -> f64 {
    let best = points.iter().min_by(|left, right| left.1.total_cmp(&right.1)).map_or(1.0, |point| point.0);
    let count = points.len() as f64;
    let (middle, height) = (points.iter().map(|point| point.0).sum::<f64>() / count, points.iter().map(|point| point.1).sum::<f64>() / count);
    let sum = |of: &dyn Fn(f64, f64) -> f64| points.iter().map(|(x, y)| of(x - middle, y - height)).sum::<f64>();
    let (second, third, fourth) = (sum(&|x, _| x * x), sum(&|x, _| x * x * x), sum(&|x, _| x.powi(4)));
    let (first, square) = (sum(&|x, y| x * y), sum(&|x, y| x * x * y));
    let spread = fourth - second * second / count;
    let determinant = second * spread - third * third;
    if determinant <= 0.0 {
        return best;
    }
    let (slope, curve) = ((first * spread - square * third) / determinant, (square * second - first * third) / determinant);
    let vertex = middle - slope / (2.0 * curve);
    let is_within = points.iter().any(|point| point.0 <= vertex) && points.iter().any(|point| point.0 >= vertex);
    if curve > 0.0 && is_within { vertex.round().max(1.0) } else { best }
}

#[cfg(test)]
mod tests {
    use super::lowest;

    #[test]
    fn a_parabola_is_lowest_at_its_vertex_and_a_slope_at_its_end() {
        let points = |of: fn(f64) -> f64| [7.0, 8.0, 9.0, 10.0, 12.0].map(|x| (x, of(x)));
        assert_eq!(lowest(&points(|x| 3.0 * (x - 10.0) * (x - 10.0) + 5.0)), 10.0);
        assert_eq!(lowest(&points(|x| 4.0 - x)), 12.0);
        assert_eq!(lowest(&points(|x| -(x - 9.0) * (x - 9.0))), 12.0, "the lower of two ends");
    }
}
