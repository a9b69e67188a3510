//! One binary for all tests from outside: the command line as a user meets it, golden behaviour and dollars, and the rules that the source keeps.

mod bad_input;
mod baseline;
mod ci;
mod cli;
mod clients;
mod compare;
mod dollars;
mod explain;
mod golden;
mod prices;
mod readme;
mod realistic;
mod recovery;
mod replay;
mod stability;
mod sweep;
mod tidy;
mod traffic;
