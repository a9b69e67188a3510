//! gwsim.
extern crate alloc;

/// The response cache and what else is large is read all over: on small pages, the processor would look up where most of it is each time.
#[global_allocator]
static ALLOCATOR: large_pages::LargePages = large_pages::LargePages;

pub mod advise;
pub mod cli;
pub mod clock;
pub mod config;
pub mod gateway;
pub mod journal;
pub mod price;
pub mod report;
pub mod serve;
pub mod sim;
pub mod traffic;
pub mod twin;
pub mod wire;
