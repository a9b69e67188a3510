//! How a gateway goes over to a configuration: what is taken away makes room first, so that no order of its tables decides whether it can be had.
//! Knows no files and no lock.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::gateway::Gateway;
use crate::gateway::command::{Command, CommandError};
use crate::gateway::id::{EndUserId, KeyId, TagId};
use crate::gateway::plan::Plan;
use crate::gateway::time::Time;

/// A gateway that is told one thing after the other, each a turn of its own.
pub trait Turns {
    /// The gateway as it is.
    fn gateway(&self) -> &Gateway;

    /// Goes over to a plan, which follows the one before.
    fn adopt(&mut self, plan: &Arc<Plan>);

    /// Carries out a command.
    ///
    /// # Errors
    /// If the core refuses it; nothing has changed then.
    fn command(&mut self, command: Command) -> Result<(), CommandError>;
}

/// A configuration that the core refuses: the first command that could not be carried out, whatever came before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    whose: String,
    error: CommandError,
}

/// Goes over to a plan, if there is another one, and to what its commands say.
///
/// # Errors
/// If a command can't be carried out. The rest is by then: where that must not be, it is tried on a copy first.
pub fn carry_out(turns: &mut impl Turns, plan: Option<&Arc<Plan>>, commands: &[Command]) -> Result<(), Refused> {
    for command in commands {
        if let Some(lessened) = turns.gateway().lessened(command) {
            // If there is no room even for that, its own turn tells.
            let _ = turns.command(lessened);
        }
    }
    if let Some(plan) = plan {
        turns.adopt(plan);
    }
    let mut left: Vec<&Command> = commands.iter().collect();
    while !left.is_empty() {
        let (before, mut first) = (left.len(), None);
        left.retain(|command| {
            if turns.gateway().is_so(command) {
                return false;
            }
            let Err(error) = turns.command((*command).clone()) else { return false };
            first.get_or_insert_with(|| Refused { whose: whose(command), error });
            true
        });
        // Another one may have made room for it: as long as there are some of those, they are asked again.
        if let Some(refused) = first.filter(|_| left.len() == before) {
            return Err(refused);
        }
    }
    Ok(())
}

/// Carries it out on a copy of a gateway.
///
/// # Errors
/// What is wrong with it, in words: a command that is refused, or a key that has worked so far and would have more budgets than one request can be
/// charged to.
pub fn rehearse(gateway: Gateway, before: Arc<Plan>, now: Time, plan: &Arc<Plan>, commands: &[Command]) -> Result<(), String> {
    let crowded = |gateway: &Gateway| gateway.directory().crowded().collect::<Vec<_>>();
    let known: Vec<KeyId> = crowded(&gateway).into_iter().map(|(key, ..)| key).collect();
    let mut copy = Copy { gateway, plan: before, now };
    let done = carry_out(&mut copy, Some(plan), commands);
    if let Some((key, budgets, most)) = crowded(&copy.gateway).into_iter().find(|(key, ..)| !known.contains(key)) {
        let name = &copy.gateway.directory().key_names()[key.index()];
        return Err(format!("key `{name}`: {}", in_words(&CommandError::TooManyBudgets { budgets, most })));
    }
    done.map_err(|refused| refused.to_string())
}

struct Copy {
    gateway: Gateway,
    plan: Arc<Plan>,
    now: Time,
}

impl Turns for Copy {
    fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    fn adopt(&mut self, plan: &Arc<Plan>) {
        self.plan = Arc::clone(plan);
        self.gateway.adopt(plan, self.now, &mut ());
    }

    fn command(&mut self, command: Command) -> Result<(), CommandError> {
        self.gateway.apply(&self.plan, self.now, command, &mut ())
    }
}

/// What takes away the budgets of tags and end users that only the gateway has: nobody but a configuration gives them any.
pub fn forgotten_budgets(gateway: &Gateway, commands: &[Command]) -> Vec<Command> {
    let (mut tags, mut end_users) = (BTreeSet::new(), BTreeSet::new());
    for command in commands {
        match command {
            Command::PutTag { name, .. } => tags.insert(name),
            Command::PutEndUser { name, .. } => end_users.insert(name),
            _ => false,
        };
    }
    let directory = gateway.directory();
    let of_tags = directory.tag_names().iter().zip(0..).filter(|(name, id)| !directory.tag_accounts(TagId(*id)).is_empty() && !tags.contains(name));
    let of_tags = of_tags.map(|(name, _)| Command::PutTag { name: name.clone(), budgets: Vec::new() });
    let of_end_users = directory.end_user_names().iter().zip(0..);
    let of_end_users = of_end_users.filter(|(name, id)| directory.has_own_budget(EndUserId(*id)) && !end_users.contains(name));
    of_tags.chain(of_end_users.map(|(name, _)| Command::PutEndUser { name: name.clone(), budgets: Vec::new() })).collect()
}

/// Why a command was not carried out.
pub fn in_words(error: &CommandError) -> String {
    match error {
        CommandError::UnknownTeam(team) => format!("there is no team `{team}`"),
        CommandError::UnknownKey(key) => format!("there is no key `{key}`"),
        CommandError::UnknownAccount(_) => "there is no such account".into(),
        CommandError::TooManyBudgets { budgets, most } => {
            format!("{budgets} budgets would apply to one request, {most} at most: those of the gateway, the team, the key and their tags")
        }
    }
}

/// Who a command is about.
fn whose(command: &Command) -> String {
    match command {
        Command::PutTeam { name, .. } | Command::BlockTeam { name, .. } | Command::DeleteTeam { name } => format!("team `{name}`"),
        Command::PutKey { name, .. } | Command::BlockKey { name, .. } | Command::DeleteKey { name } => format!("key `{name}`"),
        Command::PutEndUser { name, .. } => format!("end user `{name}`"),
        Command::PutTag { name, .. } => format!("tag `{name}`"),
        Command::Grant { account, .. } => format!("account {}", account.0),
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.whose, in_words(&self.error))
    }
}

#[cfg(test)]
mod tests;
