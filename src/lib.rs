//! gwsim.
extern crate alloc;
pub mod gateway;
pub mod report;
pub mod sim;
pub mod traffic;
