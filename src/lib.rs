//! gwsim.
extern crate alloc;
pub mod advise;
pub mod cli;
pub mod config;
pub mod gateway;
pub mod price;
pub mod report;
pub mod sim;
pub mod traffic;
