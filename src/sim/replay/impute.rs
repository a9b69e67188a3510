//! Output lengths that a log lacks or saw broken off, drawn from the answers that it saw whole. Decides which rows those are; prices nothing.
//!
//! A length is drawn from the rows of the same model and of an input within the same power of two, given that it is at least what was seen.
//! It is drawn once for a request, from the traffic's seed: equal in all variants and under all seeds of a run.

use super::lengths::{Law, Observed};
use crate::gateway::draw::{self, Purpose};
use crate::traffic::trace::{Batch, LeftAfter, NameId, Recorded, Row};

/// What a log says about the length of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// All of it.
    Whole(u32),
    /// It was broken off after so many tokens, or it is not recorded (0).
    AtLeast(u32),
}

/// Whole answers that a group of rows needs before a length is drawn from it: with fewer, a wider group is asked.
const ROWS_MIN: u64 = 30;

/// Powers of two that an input may lie between: none, 1, 2 to 3, 4 to 7, and so on.
const SIZES: usize = 33;

/// The lengths of a log while it is read for the first time. Memory grows with the number of models only.
#[derive(Debug, Default)]
pub struct Learner {
    /// By model (0: none), then by size of input.
    models: Vec<Vec<Observed>>,
    /// Input tokens by model (0: none).
    inputs: Vec<Observed>,
}

/// The lengths of a log.
#[derive(Debug)]
pub struct Lengths {
    models: Vec<Model>,
    all: Law,
    /// Input tokens by model (0: none).
    inputs: Vec<Law>,
}

#[derive(Debug)]
struct Model {
    sizes: Vec<Law>,
    all: Law,
}

/// A length that was drawn, and the ends of the range in which it lies with 80 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawn {
    /// The length; at least what was seen.
    pub tokens: u32,
    /// One in ten is shorter.
    pub low: u32,
    /// One in ten is longer.
    pub high: u32,
}

impl Length {
    /// What is known of a row's length. Where a log tells how requests ended, an answer counts as broken off if the request failed, the client
    /// left or the answer is as long as its max_tokens. A trace that tells no ends is taken at its word.
    #[inline]
    pub fn of(row: &Row, recorded: Option<&Recorded>) -> Self {
        let Some(output) = row.output_tokens else { return Self::AtLeast(received(row)) };
        let Some(recorded) = recorded else { return Self::Whole(output) };
        let failed = recorded.status.is_some_and(|status| status >= 400);
        let limited = row.max_tokens.is_some_and(|most| output >= most);
        if failed || limited || row.left_after.is_some() { Self::AtLeast(output.max(received(row))) } else { Self::Whole(output) }
    }
}

fn received(row: &Row) -> u32 {
    match row.left_after {
        Some(LeftAfter::Tokens(tokens)) => tokens,
        Some(LeftAfter::Waited(_)) | None => 0,
    }
}

impl Learner {
    /// Counts the rows of a batch.
    pub fn see(&mut self, batch: &Batch) {
        for row in &batch.rows {
            let model = index(row.model);
            if model >= self.models.len() {
                self.models.resize_with(model + 1, || vec![Observed::default(); SIZES]);
            }
            if self.inputs.len() <= model {
                self.inputs.resize_with(model + 1, Observed::default);
            }
            if !lacks_input(row, batch.recorded(row)) {
                self.inputs[model].whole(row.input_tokens);
            }
            let observed = &mut self.models[model][size(row.input_tokens)];
            match Length::of(row, batch.recorded(row)) {
                Length::Whole(tokens) => observed.whole(tokens),
                Length::AtLeast(tokens) => observed.at_least(tokens),
            }
        }
    }

    /// The lengths, when all rows have been seen.
    pub fn finish(self) -> Lengths {
        let mut all = Observed::default();
        let mut models = Vec::with_capacity(self.models.len());
        for sizes in self.models {
            let mut whole = Observed::default();
            sizes.iter().for_each(|observed| whole.add(observed));
            all.add(&whole);
            models.push(Model { sizes: sizes.iter().map(Law::of).collect(), all: Law::of(&whole) });
        }
        Lengths { models, all: Law::of(&all), inputs: self.inputs.iter().map(Law::of).collect() }
    }
}

impl Lengths {
    /// A length of at least `seen` tokens for the request that draws are keyed by `subject` of, which asks for `model` and has an input of this
    /// size; `None` if no answer of that length was ever seen whole.
    pub fn draw(&self, seed: u64, subject: u64, model: Option<NameId>, input_tokens: u32, seen: u32) -> Option<Drawn> {
        let law = self.law(model, input_tokens, seen)?;
        // 53 bits are what a float from 0 to 1 has.
        let uniform = (draw::bits(seed, subject, Purpose::Output, 0) >> 11) as f64 / (1_u64 << 53) as f64;
        let at = |share| law.quantile(seen, share);
        Some(Drawn { tokens: at(uniform)?, low: at(0.1)?, high: at(0.9)? })
    }

    /// The input tokens of a failed request that asks for `model`, where its row does not say: as those of another row of the model; `None` if there
    /// is none.
    pub fn draw_input(&self, seed: u64, subject: u64, model: Option<NameId>) -> Option<Drawn> {
        let uniform = (draw::bits(seed, subject, Purpose::Output, 1) >> 11) as f64 / (1_u64 << 53) as f64;
        let law = self.inputs.get(index(model))?;
        Some(Drawn { tokens: law.quantile(0, uniform)?, low: law.quantile(0, 0.1)?, high: law.quantile(0, 0.9)? })
    }

    /// The narrowest group of rows that has enough whole answers of at least `seen` tokens.
    fn law(&self, model: Option<NameId>, input_tokens: u32, seen: u32) -> Option<&Law> {
        let model = self.models.get(index(model));
        let narrow = model.map(|model| &model.sizes[size(input_tokens)]);
        let wide = model.map(|model| &model.all);
        let enough = [narrow, wide].into_iter().flatten().find(|law| law.whole_from(seen) >= ROWS_MIN);
        enough.or(Some(&self.all)).filter(|law| law.whole_from(seen) > 0)
    }
}

/// Whether a row does not know its input: LiteLLM writes failures with 0 tokens (P).
pub fn lacks_input(row: &Row, recorded: Option<&Recorded>) -> bool {
    row.input_tokens == 0 && recorded.is_some_and(|recorded| recorded.status.is_some_and(|status| status >= 400))
}

fn index(model: Option<NameId>) -> usize {
    model.map_or(0, |model| model.index() + 1)
}

const fn size(input_tokens: u32) -> usize {
    (u32::BITS - input_tokens.leading_zeros()) as usize
}

#[cfg(test)]
mod tests;
