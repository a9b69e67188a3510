//! gwsim.
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
