//! Driver 1: a discrete-event simulator that drives the pure core in virtual time. Contains no policy of the gateway.
//!
//! [`world`] says what providers are like and [`upstream`] lets calls meet it: a call's whole [`fate`] is computed when it is made, in closed
//! form, and no event is spent on a token. [`client`] turns rows of traffic into requests, and knows when clients leave and what they send again.
//! [`driver`] is the loop of one variant; [`experiment`] runs many over traffic that is decoded once. [`observe`] is how reports listen.
//! [`replay`] fills in what a log leaves open, before any variant sees it.
//!
//! At equal times completions come first, then wakes, then clients that leave, then what clients send again or had held back, then arrivals in
//! file order.
pub mod presets;
pub mod world;

pub mod fate;
mod limiter;
pub mod places;
pub mod prompt_cache;
pub mod upstream;
mod weather;

mod batches;
pub mod client;
pub mod driver;
pub mod observe;
pub mod queue;

pub mod experiment;
pub mod replay;
#[cfg(test)]
mod tests;
