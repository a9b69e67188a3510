//! The gateway as its clients meet it: over HTTP, in front of a provider that does what a test says.

mod desk;
mod leaving;
mod plain;
mod sharing;
mod streams;
mod upstream;
