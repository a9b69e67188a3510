//! The gateway core without std: that this crate builds is the proof that no clock, file, socket, thread or random hasher is in it.
//! It has no code of its own. Build it with `cargo build --manifest-path tests/purity/Cargo.toml`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

#[path = "../../../src/gateway/mod.rs"]
pub mod gateway;
