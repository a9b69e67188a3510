//! The gateway as its clients meet it: over HTTP, in front of a provider that does what a test says.

mod broken;
mod desk;
mod dialects;
mod leaving;
mod plain;
mod program;
mod sharing;
mod streams;
mod upstream;
