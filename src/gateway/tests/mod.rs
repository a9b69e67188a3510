//! Tests of the core as a whole: the laws under a random driver, and each policy in the words of the domain.
//!
//! - `laws` asks the laws of random plans, traffic and faults. `driver` is a second driver, neither `sim` nor `serve`; `world` is its provider's
//!   end, `orders` its administrator, `ledger` the slow reference that the books are compared with, `plans` and `dice` its draws.
//! - `life` is the state x event table; `routing`, `health`, `caching`, `counting`, `money` and `limiting` hold one policy a test, at the `desk`.
//! - `allowance` is what is left of limits; `succession` is plans that take over from others; `snapshots` is what a copy of the state shares.
//! - Which test fails when a policy is off by one: `tests/mutations.txt` has the table (policy, change, test), and `tests/mutations.sh` makes
//!   each change on a copy and looks.

mod allowance;
mod caching;
mod counting;
mod desk;
mod dice;
mod driver;
mod ends;
mod health;
mod laws;
mod ledger;
mod life;
mod limiting;
mod money;
mod orders;
pub(crate) mod plans;
mod routing;
mod snapshots;
mod succession;
mod world;

/// A run under the random driver, for rooms that keep what the core records.
pub(crate) struct RandomRun {
    /// The plans, the first one and then each that was adopted.
    pub(crate) plans: alloc::vec::Vec<super::plan::Plan>,
    /// All that was recorded.
    pub(crate) records: alloc::vec::Vec<super::journal::Record>,
    /// The gateway at the end.
    pub(crate) gateway: super::Gateway,
}

/// A plan of one group with one deployment and a budget that is never used up, for rooms that need many requests and no surprise.
pub(crate) fn plain_plan() -> super::plan::Plan {
    super::plan::Plan { budgets: alloc::vec![plans::budget(1 << 60)], ..plans::plan(&[("gpt", &["a"])]) }
}

impl RandomRun {
    pub(crate) fn of(seed: u64, arrivals: u32) -> Self {
        let setup = driver::Setup { seed, arrivals, snapshot_at: None, honest: true, change: |_| {} };
        let driver::Run { plans, journal: records, gateway, .. } = driver::Run::of(setup);
        Self { plans, records, gateway }
    }
}
