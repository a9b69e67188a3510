//! Which configurations a job runs beside its variants: the ends of uncertain token ratios, and twins without what the scenario scripts. Runs
//! nothing.

use std::sync::Arc;

use super::tokens;
use crate::price::tokens::End;
use crate::sim::driver::Variant;

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The variant as it is.
    AsIs,
    /// With all token ratios at their lower ends.
    TokensLow,
    /// With all token ratios at their upper ends.
    TokensHigh,
    /// In a world in which nothing scripted happens; luck is the same.
    WithoutTrigger,
}

/// Configurations that are run side by side.
#[derive(Debug, Clone)]
pub struct Lanes {
    /// What is run.
    pub configurations: Vec<Variant>,
    /// For each, which variant it belongs to, and what for.
    pub roles: Vec<(usize, Role)>,
}

impl Lanes {
    /// The variants first, then the ends of token ratios.
    pub fn of(variants: Vec<Variant>) -> Self {
        let (configurations, ends) = tokens::with_ends(variants);
        let role = |end| match end {
            End::Middle => Role::AsIs,
            End::Low => Role::TokensLow,
            End::High => Role::TokensHigh,
        };
        Self { configurations, roles: ends.into_iter().map(|(variant, end)| (variant, role(end))).collect() }
    }

    /// The same, and after them a twin for each variant whose world has something scripted.
    #[must_use]
    pub fn with_twins(mut self) -> Self {
        for index in 0..self.roles.len() {
            let (variant, role) = self.roles[index];
            if role == Role::AsIs && self.configurations[index].world.trigger().is_some() {
                let world = Arc::new(self.configurations[index].world.without_trigger());
                self.configurations.push(Variant { world, ..self.configurations[index].clone() });
                self.roles.push((variant, Role::WithoutTrigger));
            }
        }
        self
    }
}
