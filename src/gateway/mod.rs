//! The core.
pub mod budget;
pub mod cache;
pub mod command;
pub mod directory;
pub mod draw;
pub mod failure;
pub mod health;
pub mod id;
pub mod in_flight;
pub mod journal;
pub mod limits;
pub mod money;
pub mod pick;
pub mod plan;
pub mod rate_card;
pub mod request;
pub mod router;
pub mod time;

/// All requests' shared state.
#[derive(Debug)]
pub struct Gateway {
    /// Requests that a step has set free: to be stepped with `Event::Released` at the same instant. FIFO.
    pub ready: alloc::collections::VecDeque<(id::Slot, in_flight::Wake)>,
}

impl Gateway {
    /// A gateway without keys. `seed` keys its draws.
    pub fn new(_plan: &plan::Plan, _seed: u64) -> Self {
        Self { ready: alloc::collections::VecDeque::new() }
    }

    /// Carries out a command (add, change, block, delete a key or team, ...).
    pub fn apply<J: journal::Journal>(
        &mut self,
        _plan: &plan::Plan,
        _now: time::Time,
        _command: command::Command,
        _journal: &mut J,
    ) -> Result<(), command::CommandError> {
        todo!("being written")
    }

    /// Once a second: edge-triggered things that need time without traffic.
    pub fn tick<J: journal::Journal>(&mut self, _plan: &plan::Plan, _now: time::Time, _journal: &mut J) {}

    /// The id of a key, for requests. `end_user` and `tag` intern their name.
    pub fn key(&self, _name: &str) -> Option<id::KeyId> {
        None
    }

    /// The id of an end user, known or not yet.
    pub fn end_user(&mut self, _name: &str) -> id::EndUserId {
        id::EndUserId(0)
    }

    /// The id of a tag, known or not yet.
    pub fn tag(&mut self, _name: &str) -> id::TagId {
        id::TagId(0)
    }
}
