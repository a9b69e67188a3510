//! What a log does not show of its providers: how many calls fail by themselves, and what limits they ran into. Found by simulating the recorded
//! configuration until as many requests are in trouble as in the log, of each kind, in quiet minutes as in busy ones.

use super::log::Part;
use super::measure::Facts;
use super::render::Draft;
use super::simulate::simulate;
use super::trouble::{COUNTS, Calendar, Counted, Trouble};
use super::{Error, Question};
use crate::gateway::plan::Plan;

/// Steps of halving a range of limits.
const COARSE_STEPS: u32 = 3;
/// Steps of least squares from there on.
const FINE_STEPS: u32 = 5;
/// By how much a step may change a limit: the counts are linear in it only nearby.
const LIMIT_STEP_MAX: f64 = 1.25;
/// The same for failures.
const FAILURES_STEP_MAX: f64 = 3.0;
/// What a step has to promise to be worth a simulation, in variances of the counts.
const GAIN_MIN: f64 = 0.5;
/// A shorter step teaches nothing but luck: in thousandths of calls and hundredths of limits.
const LEARNED_MIN: f64 = 2.0;
/// The least that counts vary by luck, in variances of independent ones.
const DISPERSION_MIN: f64 = 0.05;
/// How unlike the log moments of trouble may be, 1 for independent ones, without a reason to look for another kind of limit: the right one refuses
/// much the same requests.
const UNLIKE_MAX: f64 = 0.5;
/// A range of limits, highest over lowest, that is narrow enough; in wider ones, moments tell more than counts.
const RANGE_MAX: f64 = 1.15;
/// Limits within such a range that are held against the log moment by moment.
const TRIED: u32 = 5;
/// Trouble in busy minutes beyond what failures explain, in standard errors of a difference of two counts, from which on there is a limit.
const EXCESS_MIN: f64 = 4.0;

/// Standard errors around an estimate that hold the truth with 95 %.
const NORMAL_95: f64 = 1.96;

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
    /// It is between these with 95 %, as far as the number of requests in trouble tells; `None` if that does not tell limits from failures.
    pub range: Option<(f64, f64)>,
}

/// By how much counts change when failures change by one in a thousand calls, and when a limit changes by one in a hundred.
type Slopes = [[f64; COUNTS]; 2];

struct Search<'a> {
    question: &'a Question,
    facts: &'a Facts,
    part: &'a Part,
    plan: &'a Plan,
    calendar: Calendar,
    recorded: Vec<Counted>,
    /// How much the counts of each model vary by luck, in variances of independent ones, as far as simulations have shown.
    dispersion: Vec<[f64; COUNTS]>,
    hidden: Hidden,
}

/// Finds failures and limits.
///
/// # Errors
/// If the gateway can't take the traffic.
pub fn search(question: &Question, facts: &Facts, part: &Part, plan: &Plan) -> Result<Hidden, Error> {
    let calendar = Calendar::of(facts);
    let recorded = calendar.count(facts, &part.attempts);
    let models = vec![HiddenModel::default(); facts.models.len()];
    let dispersion = vec![[1.0; COUNTS]; facts.models.len()];
    let mut search = Search { question, facts, part, plan, calendar, recorded, dispersion, hidden: Hidden { models, runs: 0 } };
    for (model, counted) in search.hidden.models.iter_mut().zip(&search.recorded) {
        model.recorded = counted.trouble;
        // Trouble that a cooldown adds comes off again in the simulations.
        model.failures_per_million = per_million(counted.trouble.rate_when_quiet());
    }
    let simulated = search.run()?;
    search.correct_failures(&simulated);
    let simulated = search.run()?;
    let limited: Vec<usize> = (0..facts.models.len()).filter(|model| search.exceeds(&simulated, *model)).collect();
    if limited.is_empty() {
        search.refine(&[])?;
    } else {
        search.find_limits(&limited)?;
    }
    Ok(search.hidden)
}

impl Search<'_> {
    /// Finds the limits of some models: of requests, and if these don't explain the log to within the noise of counts, of tokens, whatever comes
    /// nearer moment by moment.
    fn find_limits(&mut self, limited: &[usize]) -> Result<(), Error> {
        let before = self.hidden.models.clone();
        let distances = self.of_one_kind(limited, false)?;
        let doubtful: Vec<usize> = limited.iter().zip(&distances).filter(|(_, distance)| **distance > UNLIKE_MAX).map(|(model, _)| *model).collect();
        if !doubtful.is_empty() {
            let of_requests = self.hidden.models.clone();
            for model in &doubtful {
                self.hidden.models[*model] = before[*model];
            }
            let others = self.of_one_kind(&doubtful, true)?;
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

    /// Finds the limits of some models, all of requests or all of tokens, and gives how unlike the log they still are.
    fn of_one_kind(&mut self, limited: &[usize], is_of_tokens: bool) -> Result<Vec<f64>, Error> {
        let mut brackets = Vec::new();
        for model in limited {
            let admitted = self.facts.models[*model].admitted;
            // A bucket lets through up to twice its rate in a minute; rejected calls and max_tokens that nobody logs count too.
            let (admitted, times) = if is_of_tokens { (admitted.tokens as f64, 4.0) } else { (admitted.requests as f64, 1.5) };
            brackets.push((admitted / 2.0, admitted * times));
            self.hidden.models[*model].limit = Some(Limit { is_of_tokens, amount: admitted, range: None });
        }
        self.halve(limited, &mut brackets)?;
        let simulated = self.refine(limited)?;
        Ok(limited.iter().map(|model| simulated[*model].distance(&self.recorded[*model])).collect())
    }

    /// Halves the brackets of some models' limits. At each limit, failures are what then explains the quiet minutes:
    /// the lower the limit, the fewer they are, and the more of the trouble is in busy minutes.
    fn halve(&mut self, limited: &[usize], brackets: &mut [(f64, f64)]) -> Result<(), Error> {
        for _ in 0..COARSE_STEPS {
            self.go_to_the_middle(limited, brackets);
            let simulated = self.run()?;
            self.correct_failures(&simulated);
            let simulated = self.run()?;
            for (model, bracket) in limited.iter().zip(brackets.iter_mut()) {
                let [here, there] = [&simulated, &self.recorded].map(|counted| counted[*model].trouble.busy.troubled());
                let Some(limit) = self.hidden.models[*model].limit else { continue };
                *(if here > there { &mut bracket.0 } else { &mut bracket.1 }) = limit.amount;
            }
        }
        self.go_to_the_middle(limited, brackets);
        Ok(())
    }

    fn go_to_the_middle(&mut self, limited: &[usize], brackets: &[(f64, f64)]) {
        for (model, bracket) in limited.iter().zip(brackets) {
            if let Some(limit) = &mut self.hidden.models[*model].limit {
                limit.amount = (bracket.0 * bracket.1).sqrt().round().max(1.0);
            }
        }
    }

    /// Goes by least squares to the failures of all models and the limits of some at which there is as much trouble of each kind as in the log, and
    /// stays where it was nearest. What changes bring about is asked at the start and learned from each step (Gauss and Newton's method with
    /// Broyden's updates). Simulations share their luck, so that what changes between them is due to what was changed.
    fn refine(&mut self, limited: &[usize]) -> Result<Vec<Counted>, Error> {
        let mut here = self.run()?;
        let mut slopes = self.slopes(&here, limited)?;
        let mut best = self.hidden.models.clone();
        let mut nearest = here.clone();
        for _ in 0..FINE_STEPS {
            let before = self.hidden.models.clone();
            let mut gain: f64 = 0.0;
            for index in 0..before.len() {
                let (there, here) = (self.recorded[index].trouble.counts(), here[index].trouble.counts());
                let (off_by, weights) = (std::array::from_fn(|count| there[count] - here[count]), self.weights(index, &here));
                let model = &mut self.hidden.models[index];
                model.go(fitted(&off_by, &weights, &slopes[index]));
                gain = gain.max(gained(&off_by, &weights, &slopes[index], model.step_from(&before[index])));
            }
            if gain < GAIN_MIN {
                break;
            }
            let steps: Vec<[f64; 2]> = before.iter().zip(&self.hidden.models).map(|(before, now)| now.step_from(before)).collect();
            let there = self.run()?;
            for (index, step) in steps.into_iter().enumerate() {
                let counts = [&there, &here].map(|counted| counted[index].trouble.counts());
                learn(&mut slopes[index], step, counts);
                if self.misfit(&there[index], index) < self.misfit(&nearest[index], index) {
                    best[index] = self.hidden.models[index];
                    nearest[index] = there[index].clone();
                }
            }
            here = there;
        }
        self.hidden.models = best;
        for index in 0..nearest.len() {
            let weights = self.weights(index, &nearest[index].trouble.counts());
            let Some(limit) = &mut self.hidden.models[index].limit else { continue };
            let far = error_of_limit(&weights, &slopes[index]).map(|error| (NORMAL_95 * error / 100.0).exp());
            limit.range = far.map(|far| (limit.amount / far, limit.amount * far));
        }
        self.choose_by_moments(&slopes, &mut nearest)?;
        Ok(nearest)
    }

    /// Where the counts leave a wide range of limits, each with the failures that make up for the rest, takes the one whose moments of trouble are
    /// most like the log's.
    fn choose_by_moments(&mut self, slopes: &[Slopes], nearest: &mut [Counted]) -> Result<(), Error> {
        let centre = self.hidden.models.clone();
        let wide = |model: &HiddenModel| model.limit.and_then(|limit| limit.range).filter(|(low, high)| *high > low * RANGE_MAX);
        let ranges: Vec<Option<(f64, f64)>> = centre.iter().map(wide).collect();
        if ranges.iter().all(Option::is_none) {
            return Ok(());
        }
        let mut best = centre.clone();
        for tried in 0..TRIED {
            self.hidden.models.clone_from(&centre);
            for (index, range) in ranges.iter().enumerate() {
                let Some((low, high)) = range else { continue };
                let amount = low * (high / low).powf(f64::from(tried) / f64::from(TRIED - 1));
                let curvature = Curvature::of(&self.weights(index, &nearest[index].trouble.counts()), &slopes[index]);
                let model = &mut self.hidden.models[index];
                let higher = 100.0 * (amount / model.limit.map_or(amount, |limit| limit.amount)).ln();
                model.go([-higher * curvature.both / curvature.squares[0], higher]);
            }
            let there = self.run()?;
            for (index, _) in ranges.iter().enumerate().filter(|(_, range)| range.is_some()) {
                if there[index].distance(&self.recorded[index]) < nearest[index].distance(&self.recorded[index]) {
                    best[index] = self.hidden.models[index];
                    nearest[index] = there[index].clone();
                }
            }
        }
        self.hidden.models = best;
        Ok(())
    }

    /// How the counts of each model change with its failures, by a thousandth of all calls, and its limit, by a hundredth.
    fn slopes(&mut self, here: &[Counted], limited: &[usize]) -> Result<Vec<Slopes>, Error> {
        let centre = self.hidden.models.clone();
        let mut slopes = vec![[[0.0; COUNTS]; 2]; centre.len()];
        for model in &mut self.hidden.models {
            model.failures_per_million += model.failures_per_million / 4 + 5_000;
        }
        self.ask(&mut slopes, here, &centre)?;
        self.hidden.models.clone_from(&centre);
        if limited.is_empty() {
            return Ok(slopes);
        }
        for limit in self.hidden.models.iter_mut().filter_map(|model| model.limit.as_mut()) {
            limit.amount = (limit.amount * 1.08).max(limit.amount + 1.0).round();
        }
        self.ask(&mut slopes, here, &centre)?;
        self.hidden.models = centre;
        Ok(slopes)
    }

    /// Learns from a simulation what the changes since `before` bring about.
    fn ask(&mut self, slopes: &mut [Slopes], here: &[Counted], before: &[HiddenModel]) -> Result<(), Error> {
        let there = self.run()?;
        for (index, slopes) in slopes.iter_mut().enumerate() {
            let step = self.hidden.models[index].step_from(&before[index]);
            learn(slopes, step, [&there, here].map(|counted| counted[index].trouble.counts()));
        }
        Ok(())
    }

    /// The sum of the squared differences between the counts of a simulation and the log, each over its variance.
    fn misfit(&self, simulated: &Counted, model: usize) -> f64 {
        let (there, here) = (self.recorded[model].trouble.counts(), simulated.trouble.counts());
        let weights = self.weights(model, &here);
        (0..COUNTS).map(|index| (there[index] - here[index]).powi(2) * weights[index]).sum()
    }

    /// One over the variance of the difference of each count from the log's: by luck, and a hundredth for what no simulation has.
    fn weights(&self, model: usize, here: &[f64; COUNTS]) -> [f64; COUNTS] {
        let (there, dispersion) = (self.recorded[model].trouble.counts(), &self.dispersion[model]);
        std::array::from_fn(|index| 1.0 / (dispersion[index] * (there[index] + here[index]) + (there[index] * 0.01).powi(2) + 1.0))
    }

    fn run(&mut self) -> Result<Vec<Counted>, Error> {
        let draft = Draft { question: self.question, facts: self.facts, hidden: &self.hidden, plan: Some(self.plan), with_outages: true };
        let simulated = simulate(self.question, &draft.text(), self.part, self.question.seed)?;
        let counted = self.calendar.count(self.facts, &simulated.attempts);
        self.hidden.runs += 1;
        for (index, counted) in counted.iter().enumerate() {
            self.hidden.models[index].simulated = counted.trouble;
            let seen = counted.distances(&self.recorded[index]);
            self.dispersion[index].iter_mut().zip(seen).for_each(|(least, seen)| *least = least.min(seen).max(DISPERSION_MIN));
        }
        Ok(counted)
    }

    /// Takes more or fewer failures, as there is more or less trouble in quiet minutes in the log than in a simulation.
    fn correct_failures(&mut self, simulated: &[Counted]) {
        for ((model, simulated), recorded) in self.hidden.models.iter_mut().zip(simulated).zip(&self.recorded) {
            let (here, there) = (simulated.trouble.rate_when_quiet(), recorded.trouble.rate_when_quiet());
            if here > 0.0 {
                // A failure makes trouble for its own request, and by a cooldown for those after it.
                let factor = (there / here).clamp(0.25, 4.0);
                model.failures_per_million = per_million(f64::from(model.failures_per_million) / 1e6 * factor);
            }
        }
    }

    /// Whether busy minutes have clearly more trouble than failures explain.
    fn exceeds(&self, simulated: &[Counted], model: usize) -> bool {
        let troubled = |counted: &[Counted]| counted[model].trouble.busy.troubled() as f64;
        let (here, there) = (troubled(simulated), troubled(&self.recorded));
        there - here > EXCESS_MIN * (here + there).sqrt()
    }
}

impl HiddenModel {
    /// Takes so many thousandths of all calls more as failures, and a limit so many hundredths higher.
    fn go(&mut self, [failures, limit]: [f64; 2]) {
        let before = f64::from(self.failures_per_million) / 1e6;
        self.failures_per_million =
            per_million((before + failures / 1e3).clamp(before / FAILURES_STEP_MAX, before * FAILURES_STEP_MAX + 1e-3).max(1e-5));
        if let Some(own) = &mut self.limit {
            own.amount = (own.amount * (limit / 100.0).exp().clamp(1.0 / LIMIT_STEP_MAX, LIMIT_STEP_MAX)).round().max(1.0);
        }
    }

    /// As [`Self::go`] would have to be told to get here from there.
    fn step_from(&self, before: &Self) -> [f64; 2] {
        let failures = f64::from(self.failures_per_million) - f64::from(before.failures_per_million);
        let limit = self.limit.zip(before.limit).map_or(0.0, |(now, before)| 100.0 * (now.amount / before.amount).ln());
        [failures / 1e3, limit]
    }
}

/// Corrects `slopes` for what a step has brought about: as little as explains it (Broyden's update).
fn learn(slopes: &mut Slopes, step: [f64; 2], [there, here]: [[f64; COUNTS]; 2]) {
    let length = step[0] * step[0] + step[1] * step[1];
    if length < LEARNED_MIN * LEARNED_MIN {
        return;
    }
    for index in 0..COUNTS {
        let surprise = there[index] - here[index] - slopes[0][index] * step[0] - slopes[1][index] * step[1];
        for direction in 0..2 {
            slopes[direction][index] += surprise * step[direction] / length;
        }
    }
}

/// How far to go in two directions, in which the counts change by `slopes`, to where they are no longer `off_by` so much: weighted least squares.
fn fitted(off_by: &[f64; COUNTS], weights: &[f64; COUNTS], slopes: &Slopes) -> [f64; 2] {
    let along = |direction: usize| (0..COUNTS).map(|index| weights[index] * slopes[direction][index] * off_by[index]).sum::<f64>();
    let off = [along(0), along(1)];
    let Curvature { squares, both, determinant } = Curvature::of(weights, slopes);
    match determinant {
        Some(determinant) => [(off[0] * squares[1] - off[1] * both) / determinant, (off[1] * squares[0] - off[0] * both) / determinant],
        None if squares[0] > 0.0 => [off[0] / squares[0], 0.0],
        None => [0.0, 0.0],
    }
}

/// The standard error of a limit in hundredths of it; `None` if the counts don't tell limits from failures.
fn error_of_limit(weights: &[f64; COUNTS], slopes: &Slopes) -> Option<f64> {
    let curvature = Curvature::of(weights, slopes);
    Some((curvature.squares[0] / curvature.determinant?).sqrt())
}

/// How fast the misfit grows around its least, in failures, in limits and in both.
struct Curvature {
    squares: [f64; 2],
    both: f64,
    /// `None` where both directions do the same to the counts.
    determinant: Option<f64>,
}

impl Curvature {
    fn of(weights: &[f64; COUNTS], slopes: &Slopes) -> Self {
        let sum = |one: usize, other: usize| (0..COUNTS).map(|index| weights[index] * slopes[one][index] * slopes[other][index]).sum::<f64>();
        let (squares, both) = ([sum(0, 0), sum(1, 1)], sum(0, 1));
        let determinant = squares[0] * squares[1] - both * both;
        Self { squares, both, determinant: Some(determinant).filter(|determinant| *determinant > 1e-6 * squares[0] * squares[1]) }
    }
}

/// By how much a step makes the misfit smaller, if the counts change by `slopes`.
fn gained(off_by: &[f64; COUNTS], weights: &[f64; COUNTS], slopes: &Slopes, step: [f64; 2]) -> f64 {
    let left = |index: usize| off_by[index] - slopes[0][index] * step[0] - slopes[1][index] * step[1];
    (0..COUNTS).map(|index| weights[index] * (off_by[index].powi(2) - left(index).powi(2))).sum()
}

fn per_million(share: f64) -> u32 {
    (share * 1e6).round().clamp(0.0, 900_000.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts that change by so much in failures and in limits.
    const SLOPES: Slopes = [[1.0, 20.0, 3.0, 10.0, 0.0, 5.0, 1.0, 2.0], [-30.0, 1.0, -2.0, 0.0, -50.0, 1.0, 0.0, 0.0]];

    fn moved(step: [f64; 2]) -> [f64; COUNTS] {
        std::array::from_fn(|index| SLOPES[0][index] * step[0] + SLOPES[1][index] * step[1])
    }

    #[test]
    fn what_two_changes_have_brought_about_is_told_apart() {
        let weights = std::array::from_fn(|index| 1.0 / (index + 1) as f64);
        let step = fitted(&moved([3.0, -4.0]), &weights, &SLOPES);
        assert!((step[0] - 3.0).abs() < 1e-9 && (step[1] + 4.0).abs() < 1e-9, "{step:?}");
        let all = moved([3.0, -4.0]).iter().zip(weights).map(|(off, weight)| off * off * weight).sum::<f64>();
        assert!((gained(&moved([3.0, -4.0]), &weights, &SLOPES, step) - all).abs() < 1e-9 * all, "nothing is left of the misfit");
        let alike = [SLOPES[0], SLOPES[0].map(|slope| 2.0 * slope)];
        assert_eq!(fitted(&SLOPES[0], &weights, &alike), [1.0, 0.0], "what can't be told apart is all failures");
        assert_eq!(fitted(&SLOPES[0], &weights, &Slopes::default()), [0.0, 0.0]);
        assert!(error_of_limit(&weights, &alike).is_none());
    }

    /// One count alone that a limit changes by 50 a hundredth and whose variance is 100 gives a standard error of 10 / 50 of a hundredth.
    #[test]
    fn a_limit_is_as_sure_as_the_counts_that_it_changes() {
        let mut slopes = Slopes::default();
        (slopes[0][1], slopes[1][4]) = (20.0, -50.0);
        assert!((error_of_limit(&[0.01; COUNTS], &slopes).unwrap() - 0.2).abs() < 1e-12);
    }

    #[test]
    fn a_step_teaches_what_it_brought_about_and_nothing_of_what_it_left() {
        let mut slopes = Slopes::default();
        learn(&mut slopes, [0.0, 8.0], [moved([0.0, 8.0]), [0.0; COUNTS]]);
        assert_eq!((slopes[0], slopes[1]), ([0.0; COUNTS], SLOPES[1]));
        learn(&mut slopes, [4.0, 0.0], [moved([4.0, 0.0]), [0.0; COUNTS]]);
        assert_eq!(slopes, SLOPES);
        learn(&mut slopes, [0.1, 0.0], [[9.0; COUNTS], [0.0; COUNTS]]);
        assert_eq!(slopes, SLOPES, "luck");
    }
}
