//! gwsim.
extern crate alloc;
pub mod config;
pub mod gateway;
pub mod price;
