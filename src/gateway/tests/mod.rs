//! Tests of the core as a whole: the laws under a random driver, and each policy in the words of the domain.

mod caching;
mod desk;
mod dice;
mod driver;
mod health;
mod laws;
mod ledger;
mod life;
mod limiting;
mod money;
mod orders;
mod plans;
mod routing;
mod world;
