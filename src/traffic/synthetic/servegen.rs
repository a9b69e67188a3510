//! The figures that are taken from a measurement of production traffic, each with its name. Draws nothing.
//!
//! All are of ServeGen's published workloads (M: measured on real production clients). No daily or weekly shape of other services is implied.

use super::Distribution;

/// Hourly factors, hour 0 first, of the workload m-small (M). Their mean is 1.
pub const HOURLY: [f64; 24] =
    [0.84, 0.71, 0.73, 0.68, 0.71, 0.66, 0.68, 0.86, 1.02, 1.05, 1.13, 1.09, 1.06, 1.07, 1.06, 1.05, 1.09, 1.08, 1.01, 1.23, 1.46, 1.40, 1.27, 1.06];

/// Clients of the preset for tenants. The top 1, 5 and 10 clients of ServeGen send 16-52 %, 43-77 % and 63-93 % of the requests (M).
///
/// Zipf's law gives these shares to the top 1, 5, 10 for so many clients (computed):
///
/// | clients | exponent 1.1 | 1.2 | 1.3 | 1.4 |
/// |---|---|---|---|---|
/// | 40 | 27, 59, 73 | 31, 64, 77 | 35, 68, 81 | 39, 73, 84 |
/// | 100 | 23, 50, **63** | 28, 56, 68 | 32, 62, 74 | 37, 68, 79 |
/// | 1,000 | 18, **39**, **48** | 23, 47, **57** | 28, 55, 65 | 34, 62, 72 |
///
/// Bold is outside the published range, or at its very end. 100 clients and 1.3 lie well inside all three.
pub const CLIENTS: usize = 100;

/// Zipf's exponent of the preset for tenants; see [`CLIENTS`].
pub const CLIENT_SKEW: f64 = 1.3;

/// The coefficient of variation of a client's arrivals: a median of 1.2 and a 90th percentile of 4.75, the middle of 1.0-1.4 and 4-5.5 (M), taken
/// as lognormal (U). Gamma fits 60-88 % of the volume (M), so gaps are gamma.
pub const CV: Distribution = Distribution::LogNormal { mu: 0.182_321_556_793_954_6, sigma: 1.073_560_4 };

/// A workload's lengths: (mu, sigma) of lognormal input and output tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preset {
    /// What scenarios call it.
    pub name: &'static str,
    /// Input tokens.
    pub input: (f64, f64),
    /// Output tokens.
    pub output: (f64, f64),
}

/// The lengths of three workloads (M).
pub const LENGTHS: [Preset; 3] = [
    Preset { name: "servegen-large", input: (6.243, 1.176), output: (3.641, 2.051) },
    Preset { name: "servegen-mid", input: (5.345, 0.726), output: (3.404, 1.076) },
    Preset { name: "servegen-reasoning", input: (5.231, 1.837), output: (6.774, 0.970) },
];
