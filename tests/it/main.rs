//! One binary for all tests from outside: the command line as a user meets it, and the rules that the source keeps.

mod cli;
mod tidy;
