//! Requests as a stream in time order. Knows where requests come from and nothing of what happens to them.
pub mod distribution;
pub mod trace;
