//! What a run is reported as. Folds over what a driver observes, and writes the result; knows neither the drivers nor the configuration's text.
//!
//! Reading order: [`cause`] splits one call's bill; [`fold`] counts calls and requests into [`totals`] and a [`series`];
//! [`Report`] gathers the runs of all variants; `table` shows it, `write` keeps it.

pub mod cause;
pub mod fold;
pub mod histogram;
pub mod series;
pub mod totals;

#[cfg(test)]
pub(crate) mod sample;
