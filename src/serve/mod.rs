//! Driver 2: the gateway, live. The only room that knows tokio, axum, HTTP and stores; holds no policy.

pub mod admin;
pub mod adoption;
pub mod alerts;
pub mod answers;
pub mod app;
pub mod bodies;
pub mod engine;
pub mod exchange;
pub mod headers;
pub mod health;
pub mod keyring;
pub mod listener;
pub mod logs;
pub mod metrics;
pub mod models;
pub mod observe;
pub mod reload;
pub mod restart;
pub mod routes;
pub mod shutdown;
pub mod spend;
pub mod store;
pub mod upstream;

pub use crate::clock;
