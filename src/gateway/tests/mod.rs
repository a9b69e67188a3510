//! Tests of the core as a whole: the laws under a random driver, and each policy in the words of the domain.

mod dice;
mod driver;
mod laws;
mod ledger;
mod orders;
mod plans;
mod world;
