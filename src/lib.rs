//! gwsim.
extern crate alloc;
pub mod gateway;
pub mod price;
pub mod report;
pub mod sim;
pub mod traffic;
