//! gwsim.
extern crate alloc;
pub mod gateway;
pub mod sim;
pub mod traffic;
