//! What is paid for a deployment by the hour, called or not, as a report keeps it: enough to say what any stretch of time costs. Knows no calls.

use crate::gateway::id::DeploymentId;
use crate::gateway::money::Money;
use crate::gateway::plan::Plan;
use crate::gateway::time::Time;
use crate::price::Reserved;

/// The capacity that is reserved for one deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReservedCapacity {
    /// The deployment.
    pub deployment: String,
    /// Who sells it.
    pub provider: String,
    /// The provider's name of the model.
    pub model: String,
    /// What an hour costs, from each instant on; in the order of time, the first from the beginning.
    pub per_hour: Vec<(Time, Money)>,
}

impl ReservedCapacity {
    /// The same with the names of a plan.
    pub fn of(reserved: &Reserved, plan: &Plan) -> Self {
        let deployment = plan.deployment(reserved.deployment);
        let [name, provider, model] = [&deployment.name, &deployment.provider, &deployment.model].map(String::clone);
        Self { deployment: name, provider, model, per_hour: reserved.prices().to_vec() }
    }

    /// What it costs in each stretch of time between the instants of `bounds`. The sum is what it costs from the first of them to the last.
    pub fn between(&self, bounds: &[Time]) -> Vec<Money> {
        // Of which deployment makes no difference to the sum.
        let prices = Reserved::new(DeploymentId(0), self.per_hour.iter().copied());
        let Some(first) = bounds.first() else { return Vec::new() };
        // From the beginning each time: what each stretch is rounded by does not add up.
        let until: Vec<Money> = bounds.iter().map(|bound| prices.over(*first, *bound)).collect();
        until.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_of_time_add_up_to_the_whole_at_changing_prices() {
        let second = |second: u64| Time(1_800_000_000_000_000_000 + second * 1_000_000_000);
        let per_hour = vec![(Time(0), Money(10)), (second(5_000), Money(1_000_000_000_007))];
        let capacity = ReservedCapacity { deployment: "own".into(), provider: "azure".into(), model: "gpt-4o".into(), per_hour: per_hour.clone() };
        let bounds = [0, 7, 4_999, 5_001, 9_000, 12_345].map(second);
        let whole = Reserved::new(DeploymentId(3), per_hour).over(bounds[0], bounds[5]);
        assert_eq!(capacity.between(&bounds).into_iter().sum::<Money>(), whole);
        // 3,999 s at the second price: 1,000,000,000,007 x 3,999 / 3,600.
        assert_eq!(capacity.between(&[second(5_001), second(9_000)]), [Money(1_110_833_333_341)]);
        assert_eq!(capacity.between(&[]), []);
    }
}
