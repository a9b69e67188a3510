//! gwsim.
extern crate alloc;
pub mod gateway;
pub mod report;
