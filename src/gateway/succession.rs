//! How a plan takes over from another: what both have keeps its number, what is new gets the next one, what is gone is retired. Knows names and
//! numbers, and no policy.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::command::{Command, KeySpec, TeamSpec};
use super::id::{DeploymentId, ModelId};
use super::plan::{Deployment, Model, Plan};

/// From the numbers that a plan had on its own to those that it has as the successor of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renumbering {
    models: Numbers,
    deployments: Numbers,
}

/// The new number of each old one, and how many new ones there are: some stand for what is retired.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Numbers {
    new: Vec<u32>,
    count: usize,
}

impl Plan {
    /// This plan with the numbers that it needs to be adopted after `old`: models and deployments that `old` has by name, retired or not, have
    /// the numbers that they have there; what only `old` has stays there as it was, and `retired`; what only this plan has comes last, in its order.
    ///
    /// # Panics
    /// If an id in this plan is of nothing that it has.
    #[must_use]
    pub fn following(self, old: &Self) -> (Self, Renumbering) {
        let renumbering = Renumbering {
            models: numbers(&self.models, &old.models, |model| &model.name),
            deployments: numbers(&self.deployments, &old.deployments, |deployment| &deployment.name),
        };
        let retired_model = |model: &Model| Model { retired: true, ..model.clone() };
        let retired_deployment = |deployment: &Deployment| Deployment { retired: true, ..deployment.clone() };
        let models = self.models.into_iter().map(|model| renumbering.inside(model)).collect();
        let models = renumbering.models.arrange(models).into_iter().zip(0..);
        let deployments = renumbering.arrange(self.deployments).into_iter().zip(0..);
        let plan = Self {
            models: models.map(|(model, number)| model.unwrap_or_else(|| retired_model(&old.models[number]))).collect(),
            deployments: deployments.map(|(own, number)| own.unwrap_or_else(|| retired_deployment(&old.deployments[number]))).collect(),
            ..self
        };
        (plan, renumbering)
    }
}

impl Renumbering {
    /// The number that a model of the plan has now.
    ///
    /// # Panics
    /// If the plan had no such model on its own. So do the others.
    pub fn model(&self, id: ModelId) -> ModelId {
        ModelId(self.models.new[id.index()])
    }

    /// The number that a deployment of the plan has now.
    pub fn deployment(&self, id: DeploymentId) -> DeploymentId {
        DeploymentId(self.deployments.new[id.index()])
    }

    /// The same command under the numbers that models have now.
    #[must_use]
    pub fn command(&self, command: Command) -> Command {
        match command {
            Command::PutTeam { name, spec } => Command::PutTeam { name, spec: TeamSpec { models: self.optional(spec.models), ..spec } },
            Command::PutKey { name, spec } => Command::PutKey { name, spec: KeySpec { models: self.optional(spec.models), ..spec } },
            // These name no models.
            Command::PutEndUser { .. }
            | Command::PutTag { .. }
            | Command::BlockKey { .. }
            | Command::BlockTeam { .. }
            | Command::DeleteKey { .. }
            | Command::DeleteTeam { .. }
            | Command::Grant { .. } => command,
        }
    }

    /// What a table by deployment says, by the numbers that deployments have now; nothing of those that are retired with this plan.
    ///
    /// # Panics
    /// If the table has not one entry for each deployment that the plan had on its own.
    pub fn arrange<T>(&self, by_deployment: Vec<T>) -> Vec<Option<T>> {
        self.deployments.arrange(by_deployment)
    }

    /// A model of the plan, with the numbers in it renewed.
    fn inside(&self, mut model: Model) -> Model {
        for id in &mut model.deployments {
            *id = self.deployment(*id);
        }
        let fallbacks = &mut model.fallbacks;
        let special = fallbacks.context_window.iter_mut().chain(&mut fallbacks.content_policy).flatten();
        for id in fallbacks.groups.iter_mut().chain(special) {
            *id = self.model(*id);
        }
        model
    }

    fn optional(&self, models: Option<Vec<ModelId>>) -> Option<Vec<ModelId>> {
        models.map(|models| models.into_iter().map(|id| self.model(id)).collect())
    }
}

impl Numbers {
    fn arrange<T>(&self, entries: Vec<T>) -> Vec<Option<T>> {
        assert_eq!(entries.len(), self.new.len(), "one entry for each number");
        let mut arranged: Vec<Option<T>> = core::iter::repeat_with(|| None).take(self.count).collect();
        for (entry, number) in entries.into_iter().zip(&self.new) {
            arranged[*number as usize] = Some(entry);
        }
        arranged
    }
}

/// Each of `own` takes the number of the first of `old` that has its name and is not taken, or the next free one.
fn numbers<T>(own: &[T], old: &[T], name: impl Fn(&T) -> &str) -> Numbers {
    let mut by_name: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (number, entry) in old.iter().enumerate().rev() {
        by_name.entry(name(entry)).or_default().push(number_at(number));
    }
    let mut count = old.len();
    let number_of = |entry: &T| {
        by_name.get_mut(name(entry)).and_then(Vec::pop).unwrap_or_else(|| {
            count += 1;
            number_at(count - 1)
        })
    };
    let new = own.iter().map(number_of).collect();
    Numbers { new, count }
}

fn number_at(index: usize) -> u32 {
    u32::try_from(index).expect("fewer than 2^32 entries")
}
