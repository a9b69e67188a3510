//! The gateway as its clients meet it: over HTTP, in front of a provider that does what a test says.

mod broken;
mod control;
pub(crate) mod desk;
mod dialects;
mod keeping;
mod leaving;
mod plain;
pub(crate) mod program;
mod restart;
mod sharing;
mod streams;
mod translation;
pub(crate) mod upstream;
