//! Splits the bill of one call into the causes of its dollars, exactly. Knows no request, no window and no report.
//!
//! Every billed call splits, in this order, into integer parts that add up to the bill:
//!
//! 1. It did not deliver the answer: all of it is *wasted*, tagged by how it ended and by its position.
//! 2. It did: *undelivered* is the bill less the delivered usage at the price of the called deployment.
//! 3. *Base* is the delivered usage at the reference price of the model asked for, as if no prompt cache existed.
//! 4. *Premium of place* is the same usage at the called deployment, less the base. Negative where that one is cheaper.
//! 5. *Prompt cache* is what the provider's prompt cache changed. Negative where it saved, positive where its writes cost more.
//!
//! *Reserved* is beside them: what is paid by the hour belongs to no call, and is added for the run as a whole.

use std::ops::AddAssign;

use crate::gateway::journal::{CallClosed, Ended, Position};
use crate::gateway::money::Money;
use crate::gateway::rate_card::{RateCard, Usage};

/// How a call ended that was paid for in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Waste {
    /// One of the gateway's time-outs ended it, and the provider billed it all the same.
    TimedOut,
    /// It failed after the provider had processed the input.
    Failed,
    /// The client had left, and the gateway closed it.
    Cancelled,
    /// It ended well, but nobody was there any more.
    Discarded,
}

impl Waste {
    /// Every way, in the order of reports.
    pub const ALL: [Self; 4] = [Self::TimedOut, Self::Failed, Self::Cancelled, Self::Discarded];

    /// The name used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TimedOut => "timed out",
            Self::Failed => "failed after prefill",
            Self::Cancelled => "cancelled",
            Self::Discarded => "discarded",
        }
    }

    /// How `ended` wastes money; `None` if it delivered the answer.
    #[inline]
    pub const fn of(ended: Ended) -> Option<Self> {
        match ended {
            Ended::Delivered => None,
            Ended::Failed(_) => Some(Self::Failed),
            Ended::TimedOut => Some(Self::TimedOut),
            Ended::Cancelled => Some(Self::Cancelled),
            Ended::Discarded => Some(Self::Discarded),
        }
    }
}

/// Every position of a call, in the order of reports.
pub const POSITIONS: [Position; 4] = [Position::First, Position::RetrySame, Position::RetryOther, Position::Fallback];

/// The name of a position in reports.
pub const fn position_name(position: Position) -> &'static str {
    match position {
        Position::First => "first",
        Position::RetrySame => "retry same deployment",
        Position::RetryOther => "retry other deployment",
        Position::Fallback => "fallback",
    }
}

/// The parts of one call's bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// The call did not deliver the answer.
    Wasted(Waste, Position, Money),
    /// The call delivered the answer, whole or up to where the client left.
    Delivered {
        /// Billed beyond what reached the client.
        undelivered: Money,
        /// What the delivered usage costs at the model asked for.
        base: Money,
        /// What the called deployment costs more (or less) than that.
        premium: Money,
        /// What the prompt cache cost or (negative) saved.
        prompt_cache: Money,
    },
}

/// What of a billed usage reached the client: the input whole with its prompt-cache parts as billed, and the output tokens that were
/// delivered, at most those billed. Reasoning is generated before the text, so what was delivered is taken to hold it first.
#[inline]
pub fn delivered_usage(billed: Usage, delivered: u32) -> Usage {
    let output = delivered.min(billed.output);
    Usage { output, reasoning: billed.reasoning.min(output), ..billed }
}

/// Splits `bill`, the world's bill for the usage `billed` of the call that `closed` tells of. `called` prices the deployment called and
/// `reference` the model that the request asked for; `at_reference` counts the tokens of an answer as that model does. A bill of zero has no parts.
#[inline]
pub fn split(
    closed: &CallClosed,
    billed: Usage,
    bill: Money,
    (called, reference): (&RateCard, &RateCard),
    at_reference: impl FnOnce(Usage) -> Usage,
) -> Parts {
    if let Some(waste) = Waste::of(closed.ended) {
        return Parts::Wasted(waste, closed.position, bill);
    }
    if bill == Money::ZERO {
        let none = Money::ZERO;
        return Parts::Delivered { undelivered: none, base: none, premium: none, prompt_cache: none };
    }
    let usage = delivered_usage(billed, closed.delivered);
    let plain = usage.without_prompt_cache();
    let base = reference.cost(at_reference(plain));
    let here = called.cost(plain);
    let here_cached = if usage == plain { here } else { called.cost(usage) };
    Parts::Delivered { undelivered: bill - here_cached, base, premium: here - base, prompt_cache: here_cached - here }
}

/// Dollars by cause, summed over calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Causes {
    /// By how the call ended ([`Waste`]) and by its position ([`POSITIONS`]).
    pub wasted: [[Money; 4]; 4],
    /// Billed beyond what reached the client.
    pub undelivered: Money,
    /// What was delivered, at the model asked for.
    pub base: Money,
    /// What answers from elsewhere cost more (or less).
    pub premium: Money,
    /// What the prompt cache cost or (negative) saved.
    pub prompt_cache: Money,
    /// Capacity that was paid for by the hour, called or not. No part of any call.
    pub reserved: Money,
}

impl Causes {
    /// Adds the parts of one call.
    #[inline]
    pub fn add(&mut self, parts: Parts) {
        match parts {
            Parts::Wasted(waste, position, amount) => self.wasted[waste as usize][position as usize] += amount,
            Parts::Delivered { undelivered, base, premium, prompt_cache } => {
                self.undelivered += undelivered;
                self.base += base;
                self.premium += premium;
                self.prompt_cache += prompt_cache;
            }
        }
    }

    /// All that was wasted.
    pub fn wasted_total(&self) -> Money {
        self.wasted.iter().flatten().copied().sum()
    }

    /// All that was wasted by calls that ended so.
    pub fn wasted_by(&self, waste: Waste) -> Money {
        self.wasted[waste as usize].iter().copied().sum()
    }

    /// The sum of all parts: the bill.
    pub fn total(&self) -> Money {
        self.wasted_total() + self.undelivered + self.base + self.premium + self.prompt_cache + self.reserved
    }
}

impl AddAssign<&Self> for Causes {
    fn add_assign(&mut self, other: &Self) {
        for (mine, theirs) in self.wasted.iter_mut().flatten().zip(other.wasted.iter().flatten()) {
            *mine += *theirs;
        }
        self.undelivered += other.undelivered;
        self.base += other.base;
        self.premium += other.premium;
        self.prompt_cache += other.prompt_cache;
        self.reserved += other.reserved;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gateway::failure::FailureClass;
    use crate::gateway::id::{DeploymentId, ModelId};
    use crate::gateway::journal::Certainty;
    use crate::gateway::money::Rate;
    use crate::gateway::rate_card::Rates;
    use crate::gateway::time::Time;

    fn closed(ended: Ended, position: Position, usage: Usage, delivered: u32) -> CallClosed {
        let (model, deployment) = (ModelId(0), DeploymentId(0));
        CallClosed {
            call: 1,
            model,
            deployment,
            position,
            since: Time(0),
            ended,
            usage,
            delivered,
            amount: Money::ZERO,
            certainty: Certainty::Confirmed,
        }
    }

    /// All models count alike.
    fn same(usage: Usage) -> Usage {
        usage
    }

    fn mini() -> RateCard {
        let rates = Rates { cache_read: Rate(75_000), ..Rates::plain(Rate(150_000), Rate(600_000)) };
        RateCard::new(rates, vec![], Money::ZERO)
    }

    fn sonnet() -> RateCard {
        let rates = Rates { cache_read: Rate(300_000), cache_write: Rate(3_750_000), ..Rates::plain(Rate(3_000_000), Rate(15_000_000)) };
        RateCard::new(rates, vec![], Money::ZERO)
    }

    fn micro_usd(parts: Parts) -> [i128; 4] {
        let Parts::Delivered { undelivered, base, premium, prompt_cache } = parts else { panic!("{parts:?}") };
        [undelivered, base, premium, prompt_cache].map(|money| {
            assert_eq!(money.0 % 1_000_000, 0, "these examples are whole micro-dollars");
            money.0 / 1_000_000
        })
    }

    #[test]
    fn a_plain_answer_at_home_is_all_base() {
        let usage = Usage::plain(1_000, 100);
        let parts = split(&closed(Ended::Delivered, Position::First, usage, 100), usage, mini().cost(usage), (&mini(), &mini()), same);
        assert_eq!(micro_usd(parts), [0, 150 + 60, 0, 0]);
    }

    #[test]
    fn a_fallback_to_a_dearer_model_is_premium_of_place() {
        let usage = Usage::plain(1_000, 100);
        let parts = split(&closed(Ended::Delivered, Position::Fallback, usage, 100), usage, sonnet().cost(usage), (&sonnet(), &mini()), same);
        assert_eq!(micro_usd(parts), [0, 210, 4_500 - 210, 0]);
    }

    #[test]
    fn tokens_that_only_the_other_model_counts_are_premium_of_place() {
        let usage = Usage::plain(1_200, 100);
        let bill = sonnet().cost(usage);
        let at_home = |_| Usage::plain(1_000, 100);
        let parts = split(&closed(Ended::Delivered, Position::Fallback, usage, 100), usage, bill, (&sonnet(), &mini()), at_home);
        assert_eq!(micro_usd(parts), [0, 210, 5_100 - 210, 0]);
    }

    #[test]
    fn what_a_client_that_left_did_not_get_is_undelivered() {
        let usage = Usage::plain(1_000, 500);
        let parts = split(&closed(Ended::Delivered, Position::First, usage, 100), usage, mini().cost(usage), (&mini(), &mini()), same);
        assert_eq!(micro_usd(parts), [400 * 600_000 / 1_000_000, 210, 0, 0]);
    }

    #[test]
    fn the_prompt_cache_saves_on_reads_and_costs_on_writes() {
        let read = Usage { cache_read: 1_000, ..Usage::plain(1_000, 0) };
        let parts = split(&closed(Ended::Delivered, Position::First, read, 0), read, sonnet().cost(read), (&sonnet(), &sonnet()), same);
        assert_eq!(micro_usd(parts), [0, 3_000, 0, -2_700]);
        let write = Usage { cache_write: 1_000, ..Usage::plain(1_000, 0) };
        let parts = split(&closed(Ended::Delivered, Position::First, write, 0), write, sonnet().cost(write), (&sonnet(), &sonnet()), same);
        assert_eq!(micro_usd(parts), [0, 3_000, 0, 750]);
    }

    #[test]
    fn a_call_that_answered_nobody_is_wasted_under_its_end_and_position() {
        let usage = Usage::plain(10, 0);
        let bill = mini().cost(usage);
        for (ended, waste) in [
            (Ended::TimedOut, Waste::TimedOut),
            (Ended::Failed(FailureClass::Internal), Waste::Failed),
            (Ended::Cancelled, Waste::Cancelled),
            (Ended::Discarded, Waste::Discarded),
        ] {
            for position in POSITIONS {
                let mut causes = Causes::default();
                causes.add(split(&closed(ended, position, usage, 0), usage, bill, (&mini(), &mini()), same));
                assert_eq!(causes.wasted[waste as usize][position as usize], bill);
                assert_eq!(causes.total(), bill);
            }
        }
    }

    #[test]
    fn an_answer_that_was_not_billed_has_no_parts_even_with_a_price_per_request() {
        let card = RateCard::new(Rates::plain(Rate(1), Rate(1)), vec![], Money(5));
        let call = closed(Ended::Delivered, Position::First, Usage::default(), 7);
        assert_eq!(micro_usd(split(&call, Usage::default(), Money::ZERO, (&card, &card), same)), [0; 4]);
    }

    fn any_card() -> impl Strategy<Value = RateCard> {
        let rates = || {
            prop::array::uniform6(0_u64..80_000_000).prop_map(|rate| {
                let [input, cache_read, cache_write, cache_write_1h, output, reasoning] = rate.map(Rate);
                Rates { input, cache_read, cache_write, cache_write_1h, output, reasoning }
            })
        };
        (rates(), prop::option::of((1_u32..300_000, rates())), 0_i128..1_000_000_000)
            .prop_map(|(base, tier, per_request)| RateCard::new(base, tier.into_iter().collect(), Money(per_request)))
    }

    fn any_usage() -> impl Strategy<Value = Usage> {
        (0_u32..400_000, 0_u32..50_000, any::<[u32; 4]>()).prop_map(|(input, output, [read, write, hour, reasoning])| {
            let cache_read = read % (input + 1);
            let cache_write = write % (input - cache_read + 1);
            let cache_write_1h = hour % (input - cache_read - cache_write + 1);
            Usage { input, cache_read, cache_write, cache_write_1h, output, reasoning: reasoning % (output + 1) }
        })
    }

    fn any_end() -> impl Strategy<Value = Ended> {
        prop_oneof![
            3 => Just(Ended::Delivered),
            1 => prop::sample::select(FailureClass::ALL).prop_map(Ended::Failed),
            1 => Just(Ended::TimedOut),
            1 => Just(Ended::Cancelled),
            1 => Just(Ended::Discarded),
        ]
    }

    proptest! {
        #[test]
        fn the_parts_of_every_call_are_its_bill(
            calls in prop::collection::vec(
                (any_usage(), any_end(), prop::sample::select(POSITIONS.as_slice()), 0_u32..60_000, any_card(), any_card()), 1..20),
        ) {
            let (mut causes, mut bills, mut by_position) = (Causes::default(), Money::ZERO, [Money::ZERO; 4]);
            for (usage, ended, position, delivered, called, reference) in calls {
                let bill = called.cost(usage);
                let parts = split(&closed(ended, position, usage, delivered), usage, bill, (&called, &reference), same);
                let mut alone = Causes::default();
                alone.add(parts);
                prop_assert_eq!(alone.total(), bill);
                if let Parts::Delivered { undelivered, base, .. } = parts {
                    prop_assert!(undelivered >= Money::ZERO && base >= Money::ZERO);
                    prop_assert!(delivered < usage.output || undelivered == Money::ZERO);
                }
                causes += &alone;
                bills += bill;
                by_position[position as usize] += bill;
            }
            prop_assert_eq!(causes.total(), bills);
            prop_assert_eq!(by_position.into_iter().sum::<Money>(), bills);
        }
    }
}
