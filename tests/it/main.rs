//! One binary for all tests from outside: the command line as a user meets it, golden behaviour and dollars, and the rules that the source keeps.

mod bad_input;
mod baseline;
mod calibrate;
mod ci;
mod cli;
mod clients;
mod compare;
mod dollars;
mod explain;
mod focus;
mod golden;
mod known_world;
mod library;
mod page;
mod pages;
mod prices;
mod readme;
mod realistic;
mod recovery;
mod release;
mod replay;
mod stability;
mod sweep;
mod tidy;
mod traffic;
