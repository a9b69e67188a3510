//! What is paid for capacity by the hour, whether it is called or not. Knows no calls.

use crate::gateway::id::DeploymentId;
use crate::gateway::money::Money;
use crate::gateway::time::Time;

/// Nanoseconds in an hour.
const HOUR: i128 = 3_600_000_000_000;

/// The capacity that is reserved for one deployment: provisioned throughput, an instance of one's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserved {
    /// For whom.
    pub deployment: DeploymentId,
    /// What an hour costs, from each instant on. The first from the beginning of time.
    per_hour: Vec<(Time, Money)>,
}

impl Reserved {
    /// A price for an hour, and what it becomes from each later instant on; in the order of time, the first from the beginning.
    pub fn new(deployment: DeploymentId, per_hour: impl IntoIterator<Item = (Time, Money)>) -> Self {
        let mut prices: Vec<(Time, Money)> = per_hour.into_iter().collect();
        prices.dedup_by(|later, before| later.1 == before.1);
        Self { deployment, per_hour: prices }
    }

    /// Whether it never costs anything.
    pub fn is_nothing(&self) -> bool {
        self.per_hour.iter().all(|(_, price)| *price == Money::ZERO)
    }

    /// The prices of an hour, each with the instant that it holds from.
    pub fn prices(&self) -> &[(Time, Money)] {
        &self.per_hour
    }

    /// What the time from `first` to `last` costs, hours in parts; rounded once for each price, half-up to the picodollar.
    pub fn over(&self, first: Time, last: Time) -> Money {
        let ends = self.per_hour.iter().skip(1).map(|(from, _)| *from).chain([Time::MAX]);
        let parts = self.per_hour.iter().zip(ends).map(|((from, price), until)| {
            let nanos = i128::from(last.min(until).since(first.max(*from)).0);
            // Whole hours apart: a product of an amount and nanoseconds need not fit.
            Money(price.0 * (nanos / HOUR) + price.0 / HOUR * (nanos % HOUR) + (price.0 % HOUR * (nanos % HOUR) + HOUR / 2) / HOUR)
        });
        parts.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_800_000_000_000_000_000;

    fn hours(hours: u64) -> Time {
        Time(START + hours * 3_600_000_000_000)
    }

    #[test]
    fn hours_are_paid_in_parts_and_each_at_its_price() {
        let reserved = Reserved::new(DeploymentId(0), [(Time(0), Money::usd(12)), (hours(2), Money::usd(30))]);
        assert_eq!(reserved.over(hours(0), hours(1)), Money::usd(12));
        assert_eq!(reserved.over(hours(0), Time(hours(0).0 + 900_000_000_000)), Money::usd(3));
        assert_eq!(reserved.over(hours(1), hours(4)), Money::usd(12 + 60));
        assert_eq!(reserved.over(hours(3), hours(4)), Money::usd(30));
        assert_eq!(reserved.over(hours(1), hours(1)), Money::ZERO);
    }

    #[test]
    fn a_part_of_an_hour_is_rounded_to_the_picodollar() {
        let reserved = Reserved::new(DeploymentId(0), [(Time(0), Money(7_200_000_000_001))]);
        // 2 picodollars a nanosecond, and 1/3600000000000 more.
        assert_eq!(reserved.over(Time(0), Time(3)), Money(6));
        assert_eq!(reserved.over(Time(0), Time(1_800_000_000_000)), Money(3_600_000_000_001));
    }
}
