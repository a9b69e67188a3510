//! How sure a difference between two bills is, as arithmetic on plain numbers. Decides what varies, by how much and when it is known well enough;
//! knows no report and no words.
//!
//! [`luck`] is what seeds tell, [`stopping`] when there are enough of them; [`blocks`] is what the time tells that was seen;
//! [`several`] looks at more than one difference.

pub mod blocks;
pub mod luck;
pub mod several;
pub mod stopping;

use statrs::distribution::{ContinuousCDF, StudentsT};

/// What 95 % leaves out.
pub const ALPHA: f64 = 0.05;

/// A fraction of a bill that is none: below a billionth, which is the rounding of arithmetic.
pub const NEGLIGIBLE: f64 = 1e-9;

/// How many standard errors to either side leave out `alpha` of Student's t with so many degrees of freedom.
///
/// # Panics
/// If `degrees` is not above 0, or `alpha` not between 0 and 1.
pub fn t_quantile(alpha: f64, degrees: f64) -> f64 {
    StudentsT::new(0.0, 1.0, degrees).expect("a positive number of degrees of freedom").inverse_cdf(1.0 - alpha / 2.0)
}
