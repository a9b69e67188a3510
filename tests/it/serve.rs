//! The gateway as its clients meet it: over HTTP, in front of a provider that does what a test says.

mod bad_clients;
mod bad_providers;
mod broken;
pub(crate) mod control;
mod counting;
mod cut;
pub(crate) mod desk;
mod dialects;
mod ends;
mod keeping;
mod leaving;
mod line;
mod plain;
pub(crate) mod program;
mod race;
mod restart;
mod sharing;
mod streams;
mod tls;
mod translation;
pub(crate) mod upstream;
