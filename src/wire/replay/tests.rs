//! Comes with the merge.
