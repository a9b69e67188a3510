//! One binary for all tests from outside: the command line as a user meets it, golden behaviour and dollars, and the rules that the source keeps.

mod bad_input;
mod baseline;
mod calibrate;
mod cli;
mod clients;
mod dollars;
mod golden;
mod known_world;
mod prices;
mod readme;
mod realistic;
mod recovery;
mod replay;
mod tidy;
mod traffic;
