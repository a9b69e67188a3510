//! Requests as a stream in time order. Knows where requests come from and nothing of what happens to them.
pub mod trace;

pub mod replay;

pub mod digest;
pub mod distribution;
pub mod local_clock;
pub mod overlay;
pub mod scale;
pub mod sdk;
pub mod stream;
pub mod synthetic;

mod weave;
