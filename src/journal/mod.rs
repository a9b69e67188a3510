//! The journal outside memory: one sequence of turns, each with all that the core was told and has decided in it. Knows files; knows no policy,
//! no sockets, and neither prompts nor secrets.

mod buffer;
mod log;

pub use buffer::Buffer;
pub use log::Log;
