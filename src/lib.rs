//! gwsim.
extern crate alloc;
pub mod gateway;
