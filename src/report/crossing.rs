//! What hangs on how different models count tokens: the calls that another model answered, and the bills at the ends of uncertain ratios. Knows no
//! tokenizer and no run.

use super::{Spread, Variant};
use crate::gateway::money::Money;
use crate::price::tokens::ModelPair;

/// What went from the model that requests were counted by to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crossing {
    /// The two models, and the ratio between them if somebody stated one.
    pub pair: ModelPair,
    /// Calls closed, over all seeds.
    pub calls: u64,
    /// What they were billed: the mean over the seeds.
    pub bill: Money,
}

/// The bills of a variant where token ratios are only known to lie in ranges: all at their lower ends, and all at their upper ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenEnds {
    /// By seed, at the lower ends.
    pub low: Vec<Money>,
    /// By seed, at the upper ends.
    pub high: Vec<Money>,
}

impl TokenEnds {
    /// Over the seeds, at the lower ends.
    pub fn low(&self) -> Spread {
        Spread::of(self.low.iter().copied())
    }

    /// Over the seeds, at the upper ends.
    pub fn high(&self) -> Spread {
        Spread::of(self.high.iter().copied())
    }
}

impl Variant {
    /// The mean bill at the lower ends of token ratios, in their middle, and at the upper ends; thrice the same where none is uncertain.
    pub fn bill_at_ends(&self) -> [Money; 3] {
        let middle = self.bill().mean;
        self.token_ends.as_ref().map_or([middle; 3], |ends| [ends.low().mean, middle, ends.high().mean])
    }

    /// The bill over the seeds and over the ends of token ratios: what any of these runs had at least and at most.
    pub fn bill_anywhere(&self) -> Spread {
        let headline = self.bill();
        let ends = self.token_ends.iter().flat_map(|ends| [ends.low(), ends.high()]);
        ends.fold(headline, |all, end| Spread { mean: all.mean, min: all.min.min(end.min), max: all.max.max(end.max) })
    }

    /// What was billed by models whose counts were taken to be those of the model asked for, for want of a ratio.
    pub fn billed_uncompared(&self) -> Money {
        self.crossings.iter().filter(|crossing| crossing.pair.rule.is_none()).map(|crossing| crossing.bill).sum()
    }
}
