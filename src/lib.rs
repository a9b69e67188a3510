//! An LLM gateway with two drivers: what [`sim`] prices on recorded traffic, in virtual time, is what [`serve`] does, live.
//!
//! 1. Every decision is made in [`gateway`], the core: a request is an [`InFlight`](gateway::in_flight::InFlight) that is told what happened and
//!    answers with the one thing to do next.
//! 2. All requests share one [`Gateway`](gateway::Gateway): keys, budgets, limits, deployments, the index of the response cache.
//! 3. A step is a plain function of plan, state, time and event: no clock, random source, float, I/O or lock is in it.
//! 4. `sim` steps requests from a queue of events; `serve` does under one lock, and knows tokio, HTTP and files.
//! 5. Inputs and decisions are one sequence of facts, the [`journal`], that can be told to the core again.
//! 6. Whatever a user sees, in [`report`] or from a live gateway, is a fold over those facts and the providers' own bills.
//!
//! ARCHITECTURE.md has the map of the modules, in reading order.
#![forbid(unsafe_code)]

extern crate alloc;

pub mod advise;
pub mod cli;
pub mod clock;
pub mod config;
pub mod gateway;
pub mod journal;
pub mod price;
pub mod report;
pub mod serve;
pub mod sim;
pub mod traffic;
pub mod twin;
pub mod wire;
