//! Driver 2: the gateway, live. The only room that knows tokio, axum, HTTP and stores; holds no policy.

pub mod bodies;
pub mod clock;
pub mod engine;
pub mod observe;
