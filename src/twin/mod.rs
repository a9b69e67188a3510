//! The twin: a world over real HTTP (`mock`), and traffic against a live gateway (`load`). Holds no policy of a gateway, and reads no configuration.

pub mod load;
pub mod mock;
pub mod words;
