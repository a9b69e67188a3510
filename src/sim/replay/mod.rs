//! Replaying what was recorded: what a log leaves open about its requests and how it is filled in. Knows no variant.

pub mod counted;
pub mod impute;
pub mod outcomes;

mod lengths;
