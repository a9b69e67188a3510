//! The core.
pub mod draw;
pub mod id;
pub mod money;
pub mod rate_card;
pub mod time;
