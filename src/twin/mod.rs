//! The twin: a world over real HTTP (`mock`), and traffic against a live gateway (`load`).
