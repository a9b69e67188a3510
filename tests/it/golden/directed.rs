//! The key findings as small cases of their own.
