//! What the traffic cost that one variant answered and another did not: not paying for it is no saving. Decides what is kept of each row of the
//! traffic, and when there are too many rows to keep anything; knows no order of events.

use std::ops::Add;

use super::cause::{Causes, Parts, Waste};
use crate::gateway::journal::Outcome;
use crate::gateway::money::Money;

/// The causes of a bill with waste by how calls ended, in the order of reports.
pub const CAUSES: [&str; 9] = [
    "base: what was delivered",
    "premium of place",
    "prompt cache",
    "wasted: timed out",
    "wasted: failed after prefill",
    "wasted: cancelled",
    "wasted: discarded",
    "undelivered",
    "reserved capacity",
];

/// A bill by [`CAUSES`].
pub fn by_cause(causes: &Causes) -> [Money; 9] {
    let [timed_out, failed, cancelled, discarded] = Waste::ALL.map(|waste| causes.wasted_by(waste));
    [causes.base, causes.premium, causes.prompt_cache, timed_out, failed, cancelled, discarded, causes.undelivered, causes.reserved]
}

/// Where in [`CAUSES`] what is wasted begins, and where what is undelivered stands.
const WASTED: usize = 3;
const UNDELIVERED: usize = 7;
/// The causes that calls have: what is paid by the hour belongs to no row.
const OF_CALLS: usize = 8;

/// Rows of the traffic that a variant answered and another did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unserved {
    /// How many, over all seeds.
    pub rows: u64,
    /// What they had cost where they were answered, by [`CAUSES`]; the sum over all seeds.
    pub cost: [Money; 9],
}

impl Unserved {
    /// So many rows and what they had cost: base, premium of place and prompt cache, what was wasted in the order of [`Waste::ALL`], and what was
    /// undelivered.
    pub fn of(rows: u64, [base, premium, prompt_cache]: [Money; 3], wasted: [Money; 4], undelivered: Money) -> Self {
        let [timed_out, failed, cancelled, discarded] = wasted;
        Self { rows, cost: [base, premium, prompt_cache, timed_out, failed, cancelled, discarded, undelivered, Money::ZERO] }
    }

    /// Of the cost, what calls were wasted that ended so.
    pub fn wasted(&self, waste: Waste) -> Money {
        self.cost[WASTED + waste as usize]
    }
}

impl Add for Unserved {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self.rows += other.rows;
        self.cost.iter_mut().zip(other.cost).for_each(|(mine, theirs)| *mine += theirs);
        self
    }
}

/// Which rows of the traffic one run answered, and, where that is asked for, what each row cost. A row is one call of a user, with all its retries.
#[derive(Debug, Clone)]
pub struct Rows {
    /// A bit for each row.
    answered: Vec<u64>,
    costs: Option<Vec<[i64; OF_CALLS]>>,
    rows_max: usize,
    is_full: bool,
}

impl Rows {
    /// Bytes that a row takes whose costs are kept.
    pub const BYTES_OF_A_ROW: usize = size_of::<[i64; OF_CALLS]>();

    /// Bytes that so many rows take, of a run whose costs are kept or are not.
    pub const fn bytes(rows: u64, keeps_costs: bool) -> u64 {
        let costs = if keeps_costs { rows * Self::BYTES_OF_A_ROW as u64 } else { 0 };
        costs + rows.div_ceil(64) * size_of::<u64>() as u64
    }

    /// Keeps up to `rows_max` rows; beyond that, nothing of any row.
    pub fn new(keeps_costs: bool, rows_max: usize) -> Self {
        Self { answered: Vec::new(), costs: keeps_costs.then(Vec::new), rows_max, is_full: false }
    }

    /// A call for a row was billed so.
    #[inline]
    pub fn call(&mut self, row: u64, parts: Parts) {
        if self.costs.is_none() {
            return;
        }
        let Some(row) = self.place(row) else { return };
        let costs = self.costs.get_or_insert_default();
        if row >= costs.len() {
            costs.resize(row + 1, [0; OF_CALLS]);
        }
        let mut add = |cause: usize, amount: Money| {
            // A call for more than nine million dollars is no call: then nothing is said.
            match i64::try_from(amount.0).ok().and_then(|amount| costs[row][cause].checked_add(amount)) {
                Some(sum) => costs[row][cause] = sum,
                None => self.is_full = true,
            }
        };
        match parts {
            Parts::Wasted(waste, _, amount) => add(WASTED + waste as usize, amount),
            Parts::Delivered { undelivered, base, premium, prompt_cache } => {
                for (cause, amount) in [(0, base), (1, premium), (2, prompt_cache), (UNDELIVERED, undelivered)] {
                    add(cause, amount);
                }
            }
        }
    }

    /// A request for a row, or its user's wait, has ended. The last word counts: a user may give up what the gateway then answers.
    #[inline]
    pub fn ended(&mut self, row: u64, outcome: &Outcome) {
        self.answered(row, matches!(outcome, Outcome::Served { .. } | Outcome::Cached | Outcome::Shared));
    }

    #[inline]
    fn answered(&mut self, row: u64, is_answered: bool) {
        let Some(row) = self.place(row) else { return };
        let word = row / 64;
        if word >= self.answered.len() {
            self.answered.resize(word + 1, 0);
        }
        let bit = 1 << (row % 64);
        if is_answered { self.answered[word] |= bit } else { self.answered[word] &= !bit }
    }

    /// What these rows cost that `other` did not answer and this run did; `None` where too many rows were seen, or no costs kept.
    pub fn unserved_by(&self, other: &Self) -> Option<Unserved> {
        let costs = self.costs.as_ref().filter(|_| !self.is_full && !other.is_full)?;
        let mut unserved = Unserved::default();
        for (word, mine) in self.answered.iter().enumerate() {
            let mut left = mine & !other.answered.get(word).copied().unwrap_or_default();
            while left != 0 {
                let row = word * 64 + left.trailing_zeros() as usize;
                left &= left - 1;
                unserved.rows += 1;
                for (sum, cost) in unserved.cost.iter_mut().zip(costs.get(row).into_iter().flatten()) {
                    *sum += Money((*cost).into());
                }
            }
        }
        Some(unserved)
    }

    #[inline]
    fn place(&mut self, row: u64) -> Option<usize> {
        let place = usize::try_from(row).ok().filter(|row| *row < self.rows_max && !self.is_full);
        if place.is_none() && !self.is_full {
            self.give_up();
        }
        place
    }

    #[cold]
    fn give_up(&mut self) {
        self.is_full = true;
        self.answered = Vec::new();
        self.costs = self.costs.as_ref().map(|_| Vec::new());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gateway::journal::Position;

    #[test]
    fn what_another_does_not_answer_is_told_by_cause() {
        let (mut reference, mut other) = (Rows::new(true, 100), Rows::new(false, 100));
        let delivered = |base| Parts::Delivered { undelivered: Money(1), base: Money(base), premium: Money(7), prompt_cache: Money(-2) };
        for row in [0, 70] {
            reference.call(row, Parts::Wasted(Waste::Failed, Position::First, Money(3)));
            reference.call(row, delivered(10));
            reference.answered(row, true);
        }
        reference.call(5, delivered(1_000));
        reference.answered(5, false);
        other.answered(0, true);
        let unserved = reference.unserved_by(&other).unwrap();
        assert_eq!(unserved, Unserved { rows: 1, cost: [10, 7, -2, 0, 3, 0, 0, 1, 0].map(Money) });
        other.answered(70, true);
        assert_eq!(reference.unserved_by(&other), Some(Unserved::default()));
        other.answered(70, false);
        assert_eq!(reference.unserved_by(&other).map(|unserved| unserved.rows), Some(1), "a client that gave up has no answer");
    }

    #[test]
    fn too_many_rows_say_nothing_rather_than_a_part() {
        let (mut reference, other) = (Rows::new(true, 10), Rows::new(false, 10));
        reference.answered(9, true);
        assert!(reference.unserved_by(&other).is_some());
        reference.answered(10, true);
        assert_eq!(reference.unserved_by(&other), None);
        let mut dear = Rows::new(true, 10);
        dear.call(0, Parts::Wasted(Waste::Failed, Position::First, Money(i128::from(i64::MAX) + 1)));
        assert_eq!(dear.unserved_by(&other), None);
    }

    /// A table grows by doubling, so it has asked for up to twice of what it holds; what is not written to takes no memory.
    #[test]
    fn rows_take_as_many_bytes_as_is_said() {
        let parts = Parts::Wasted(Waste::Failed, Position::First, Money(1));
        for (rows, keeps_costs) in [(1, true), (63, true), (64, false), (65, true), (100_000, true), (100_000, false)] {
            let mut kept = Rows::new(keeps_costs, rows);
            for row in 0..rows as u64 {
                kept.call(row, parts);
                kept.answered(row, true);
            }
            let costs = kept.costs.as_ref().map_or([0, 0], |costs| [costs.len(), costs.capacity()]);
            let [held, asked_for] =
                [0, 1].map(|at| size_of::<[i64; OF_CALLS]>() * costs[at] + 8 * [kept.answered.len(), kept.answered.capacity()][at]);
            assert_eq!(Rows::bytes(rows as u64, keeps_costs), held as u64, "{rows}");
            // The least that a Vec asks for is room for four.
            assert!(asked_for <= 2 * held + 4 * (size_of::<[i64; OF_CALLS]>() + 8), "{rows}: {asked_for} of {held}");
        }
        let mut full = Rows::new(true, 10);
        (0..=10).for_each(|row| full.call(row, parts));
        assert_eq!((full.answered.capacity(), full.costs.map(|costs| costs.capacity())), (0, Some(0)), "beyond the most it keeps nothing");
    }

    proptest! {
        #[test]
        fn served_by_nobody_else_is_the_whole_bill(bills in prop::collection::vec((0_u64..300, 0_i128..1_000_000_000_000), 0..100)) {
            let mut reference = Rows::new(true, 300);
            let mut total = Money::ZERO;
            for (row, amount) in &bills {
                reference.call(*row, Parts::Delivered { undelivered: Money::ZERO, base: Money(*amount), premium: Money(-5), prompt_cache: Money(2) });
                reference.answered(*row, true);
                total += Money(amount - 3);
            }
            let unserved = reference.unserved_by(&Rows::new(false, 300)).unwrap();
            prop_assert_eq!(unserved.cost.into_iter().sum::<Money>(), total);
            prop_assert_eq!(reference.unserved_by(&reference), Some(Unserved::default()));
        }
    }
}
