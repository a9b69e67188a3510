//! How long answers are, from lengths that were recorded whole and lengths of which only a lower end is known. Knows neither rows nor models.
//!
//! The estimate is the product-limit one (Kaplan and Meier, "Nonparametric estimation from incomplete observations", JASA 53, 1958): at each
//! length, the share of answers that end there among all that are known to have got so far, broken-off ones included. To leave those out would
//! make answers too short: the longer one is, the likelier it meets its limit. The estimate is right where what broke an answer off did not
//! know how long it was going to be: limits and clients, not time-outs, whose lengths come out a little short.

/// Lengths below 2 to the power of this plus one are counted one by one, longer ones in steps of at most one part in 2^this.
const BITS: u32 = 8;

/// How often each length was seen. Memory is bounded by the number of steps: 100 KiB, whatever the number of rows.
#[derive(Debug, Clone, Default)]
pub(super) struct Observed {
    /// Whole and broken-off answers of each step.
    steps: Vec<(u64, u64)>,
}

impl Observed {
    /// Counts an answer of exactly this many tokens.
    pub(super) fn whole(&mut self, tokens: u32) {
        self.step(tokens).0 += 1;
    }

    /// Counts an answer of at least this many tokens.
    pub(super) fn at_least(&mut self, tokens: u32) {
        // That it has at least no tokens is known of every answer.
        if tokens > 0 {
            self.step(tokens).1 += 1;
        }
    }

    /// Adds what was counted elsewhere.
    pub(super) fn add(&mut self, other: &Self) {
        if self.steps.len() < other.steps.len() {
            self.steps.resize(other.steps.len(), (0, 0));
        }
        for (mine, theirs) in self.steps.iter_mut().zip(&other.steps) {
            mine.0 += theirs.0;
            mine.1 += theirs.1;
        }
    }

    fn step(&mut self, tokens: u32) -> &mut (u64, u64) {
        let index = step(tokens);
        if index >= self.steps.len() {
            self.steps.resize(index + 1, (0, 0));
        }
        &mut self.steps[index]
    }
}

/// The law of a length.
#[derive(Debug, Clone)]
pub(super) struct Law {
    /// The share of answers that reach each step; one more entry than there are steps, the last one 0.
    reach: Vec<f64>,
    /// Whole answers in each step and all above it.
    whole: Vec<u64>,
}

impl Law {
    /// The law of what was observed. What is left beyond the longest whole answer is put where the longest one was seen (Efron, 1967).
    pub(super) fn of(observed: &Observed) -> Self {
        let steps = &observed.steps;
        let mut whole = vec![0; steps.len() + 1];
        let mut broken = vec![0; steps.len() + 1];
        for (index, step) in steps.iter().enumerate().rev() {
            whole[index] = whole[index + 1] + step.0;
            broken[index] = broken[index + 1] + step.1;
        }
        let mut reach = Vec::with_capacity(steps.len() + 1);
        let mut left = 1.0;
        for (index, (ended, broken_here)) in steps.iter().enumerate() {
            reach.push(left);
            // An answer that is known to have reached `c` was at risk of ending at every length below `c`: within its own step at half of them.
            let width = f64::from(last(index) - first(index)) + 1.0;
            let at_risk = (whole[index] + broken[index + 1]) as f64 + *broken_here as f64 * (width - 1.0) / (2.0 * width);
            if *ended > 0 {
                left *= (1.0 - *ended as f64 / at_risk).max(0.0);
            }
        }
        reach.push(0.0);
        Self { reach, whole }
    }

    /// Whole answers of about `tokens` or more.
    pub(super) fn whole_from(&self, tokens: u32) -> u64 {
        self.whole.get(step(tokens)).copied().unwrap_or(0)
    }

    /// The length that a share of `share` (0 to below 1) of those answers stay below that have at least `seen` tokens; `None` if none has.
    pub(super) fn quantile(&self, seen: u32, share: f64) -> Option<u32> {
        let steps = self.reach.len() - 1;
        let from = step(seen);
        if from >= steps {
            return None;
        }
        let width = |index: usize| f64::from(last(index) - first(index)) + 1.0;
        let within = f64::from(seen - first(from)) / width(from);
        let reached = self.reach[from] - (self.reach[from] - self.reach[from + 1]) * within;
        if reached <= 0.0 {
            return None;
        }
        let target = reached * (1.0 - share);
        let index = (self.reach.partition_point(|reach| *reach > target).max(1) - 1).min(steps - 1);
        let (above, below) = (self.reach[index], self.reach[index + 1]);
        let part = if above > below { ((above - target) / (above - below)).clamp(0.0, 1.0) } else { 0.0 };
        let offset = (part * width(index)) as u32;
        Some(first(index).saturating_add(offset).min(last(index)).max(seen))
    }
}

/// The step that a length falls in.
const fn step(tokens: u32) -> usize {
    let shift = (u32::BITS - tokens.leading_zeros()).saturating_sub(BITS + 1);
    ((shift << BITS) + (tokens >> shift)) as usize
}

/// The least length in a step.
const fn first(step: usize) -> u32 {
    let (shift, mantissa) = parts(step);
    mantissa << shift
}

/// The greatest length in a step.
const fn last(step: usize) -> u32 {
    let (shift, mantissa) = parts(step);
    (mantissa << shift) | ((1 << shift) - 1)
}

const fn parts(step: usize) -> (u32, u32) {
    let step = step as u32;
    let shift = (step >> BITS).saturating_sub(1);
    (shift, step - (shift << BITS))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn steps_cover_every_length_once() {
        for index in 0..step(u32::MAX) {
            assert_eq!(last(index) + 1, first(index + 1), "step {index}");
        }
        assert_eq!((first(0), last(step(u32::MAX))), (0, u32::MAX));
        assert_eq!((first(step(511)), last(step(511))), (511, 511), "one by one up to there");
    }

    /// Kaplan and Meier's own example, scaled: deaths at 0.8, 3.1, 5.4 and 9.2, losses at 1.0, 2.7, 7.0 and 12.1.
    #[test]
    fn the_published_example_comes_out() {
        let mut observed = Observed::default();
        [8, 31, 54, 92].into_iter().for_each(|tokens| observed.whole(tokens));
        [10, 27, 70, 121].into_iter().for_each(|tokens| observed.at_least(tokens));
        let law = Law::of(&observed);
        let beyond = [8, 31, 54, 92].map(|tokens| law.reach[tokens + 1]);
        for (found, published) in beyond.into_iter().zip([7.0 / 8.0, 7.0 / 10.0, 21.0 / 40.0, 21.0 / 80.0]) {
            assert!((found - published).abs() < 1e-12, "{beyond:?}");
        }
        assert_eq!(law.quantile(93, 0.5), Some(121), "what is left is put where the longest was seen");
        assert_eq!(law.quantile(122, 0.5), None);
    }

    proptest! {
        /// Without broken-off answers the law is the sample itself.
        #[test]
        fn whole_answers_come_back_in_their_shares(mut lengths in prop::collection::vec(0_u32..500, 1..50), seen in 0_u32..500) {
            let mut observed = Observed::default();
            lengths.iter().for_each(|tokens| observed.whole(*tokens));
            let law = Law::of(&observed);
            lengths.retain(|tokens| *tokens >= seen);
            lengths.sort_unstable();
            prop_assert_eq!(law.whole_from(seen), lengths.len() as u64);
            for (rank, tokens) in lengths.iter().enumerate() {
                // The middle of the rank's share: no rounding can move it to a neighbour.
                let share = (rank as f64 + 0.5) / lengths.len() as f64;
                prop_assert_eq!(law.quantile(seen, share), Some(*tokens));
            }
            prop_assert_eq!(law.quantile(seen, 0.5).is_none(), lengths.is_empty());
        }

        #[test]
        fn a_length_is_never_below_what_was_seen_nor_beyond_the_longest(
            whole in prop::collection::vec(any::<u16>(), 1..20), broken in prop::collection::vec(any::<u32>(), 0..20), seen in any::<u32>(), share in 0.0..1.0,
        ) {
            let mut observed = Observed::default();
            whole.iter().for_each(|tokens| observed.whole(u32::from(*tokens)));
            broken.iter().for_each(|tokens| observed.at_least(*tokens));
            let longest = whole.iter().map(|tokens| u32::from(*tokens)).chain(broken).max().unwrap();
            if let Some(tokens) = Law::of(&observed).quantile(seen, share) {
                prop_assert!(tokens >= seen && tokens <= last(step(longest)).max(seen), "{tokens}");
            }
        }
    }
}
