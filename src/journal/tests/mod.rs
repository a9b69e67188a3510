//! Journals of random runs, written, cut, broken and read again: what is recovered is what a full run of the same prefix has.

mod damage;
mod folds;
mod recovery;
mod script;
mod start_up;
mod writing;
