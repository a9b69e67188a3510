//! What in a log is traffic: which rows are arrivals, and what the log does not say. Decides what a replay may take from a log;
//! knows no gateway and no prices.

pub mod coverage;
pub mod link;
mod renaming;
#[cfg(test)]
mod tests;
