//! Chance for synthetic experiments: a pure function of who asks, so that no experiment changes another.

use std::f64::consts::TAU;

use crate::gateway::draw::philox;

/// Independent draws under one key.
pub(super) struct Noise {
    key: u64,
    next: u32,
    spare: Option<f64>,
}

impl Noise {
    /// The draws of one experiment for one purpose.
    pub(super) fn new(purpose: u32, experiment: u32) -> Self {
        Self { key: u64::from(purpose) << 32 | u64::from(experiment), next: 0, spare: None }
    }

    /// A normal draw with mean 0 and variance 1 (Box and Muller).
    pub(super) fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let [a, b, ..] = philox(self.key, [self.next, 0, 0, 0]);
        self.next += 1;
        let uniform = |bits: u32| (f64::from(bits) + 0.5) / f64::from(u32::MAX);
        let (radius, angle) = ((-2.0 * uniform(a).ln()).sqrt(), TAU * uniform(b));
        self.spare = Some(radius * angle.sin());
        radius * angle.cos()
    }

    /// Normal draws, each like the one before: correlation falls by e in `memory` steps.
    pub(super) fn alike(&mut self, memory: f64, steps: usize) -> Vec<f64> {
        let kept = (-1.0 / memory).exp();
        let mut now = self.normal();
        let step = |_| {
            now = kept * now + (1.0 - kept * kept).sqrt() * self.normal();
            now
        };
        (0..steps).map(step).collect()
    }
}
