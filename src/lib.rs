//! gwsim.
extern crate alloc;
pub mod config;
pub mod gateway;
pub mod price;
pub mod sim;
pub mod traffic;
