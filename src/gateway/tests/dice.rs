//! A stream of draws for tests. The core has none: there a draw is a function of what it is for.

use crate::gateway::draw;
use crate::gateway::failure::{FailureClass, FailureSet};

/// A stream of draws from one seed.
#[derive(Debug, Clone)]
pub(super) struct Dice {
    seed: u64,
    drawn: u32,
}

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    /// Uniform in `0..bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.drawn += 1;
        let [a, b, ..] = draw::philox(self.seed, [self.drawn, 0, 0, 0]);
        draw::below(u64::from(a) | u64::from(b) << 32, bound)
    }

    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(super) fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize].clone()
    }

    /// Any set of failure classes; often all, sometimes none.
    pub(super) fn set(&mut self) -> FailureSet {
        let one = |dice: &mut Self| FailureSet::of(&[dice.class()]);
        match self.below(5) {
            0 => FailureSet::NONE,
            1 | 2 => FailureSet::ALL,
            3 => super::plans::TRANSIENT.without(one(self)),
            _ => FailureSet::ALL.without(one(self)).without(one(self)),
        }
    }

    pub(super) fn class(&mut self) -> FailureClass {
        self.of(FailureClass::ALL)
    }
}
