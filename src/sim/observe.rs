//! How reports listen to a run, and what a run asserts about itself. Decides nothing that a request could notice.

use super::client::callers::row_of;
use super::places::Waits;
use crate::gateway::id::{DeploymentId, KeyId, ModelId, RequestId};
use crate::gateway::journal::{CallClosed, Fact, Outcome};
use crate::gateway::money::Money;
use crate::gateway::rate_card::Usage;
use crate::gateway::time::{Span, Time};
use crate::traffic::trace::NameId;

/// Listens to one variant. All of it is inlined into the loop: what it doesn't want costs nothing.
pub trait Observer {
    /// Whether [`Self::fact`] is to be called with such a fact. Must depend on the kind of fact only: then it is decided when the loop is compiled.
    #[inline]
    fn wants(_fact: &Fact) -> bool {
        true
    }

    /// Requests may come with these tags from now on: the number of their list, and the tags.
    #[inline]
    fn tagged(&mut self, _list: NameId, _tags: &[&str]) {}

    /// A request is about to arrive.
    #[inline]
    fn arrived(&mut self, _now: Time, _context: &Context) {}

    /// Something happened or was decided; about the request of `context`, if about one.
    #[inline]
    fn fact(&mut self, _now: Time, _context: Option<&Context>, _fact: &Fact) {}

    /// A call was closed: what the ledger has for it and what the world bills for it.
    #[inline]
    fn call(&mut self, _now: Time, _context: &Context, _closed: &CallClosed, _bill: &Bill) {}

    /// A call finds no capacity at its deployment: it is told to wait for so long, or it is turned away; also if it is given up before it gets a
    /// place.
    #[inline]
    fn short_of_capacity(&mut self, _now: Time, _is_turned_away: bool, _wait: Span) {}

    /// A user has an end: the answer, or the last try's. Only where clients retry or wait for each other's answers.
    #[inline]
    fn user(&mut self, _now: Time, _context: &Context, _end: &UserEnd) {}
}

/// Listens to nothing.
impl Observer for () {
    #[inline]
    fn wants(_: &Fact) -> bool {
        false
    }
}

/// One request in flight, as observers see it.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// Its identity.
    pub id: RequestId,
    /// The virtual key that it came with.
    pub key: KeyId,
    /// The model asked for.
    pub model: ModelId,
    /// When it arrived.
    pub arrived_at: Time,
    /// When the client had the first token of an upstream answer: of a plain answer, all of them.
    pub first_token_at: Option<Time>,
    /// The deployment called last.
    pub called: Option<DeploymentId>,
    /// The tags that the traffic gives it, by the number that [`Observer::tagged`] was told.
    pub tags: Option<NameId>,
    /// The session that the traffic names.
    pub session: Option<NameId>,
    /// Output tokens of the whole answer, before any max_tokens.
    pub output_tokens: u32,
    /// Whether `output_tokens` is from the traffic, not a stand-in.
    pub output_is_recorded: bool,
}

impl Context {
    /// The row of the traffic that it stands for, counted from 0; a client's retries stand for the same.
    #[inline]
    pub fn row(&self) -> u64 {
        row_of(self.id)
    }
}

/// The world's own bill of a call, beside the ledger's amount in [`CallClosed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bill {
    /// What is billed; nothing if the call was free.
    pub usage: Usage,
    /// What it costs. Zero if the call was free, even where a request has a fixed price.
    pub cost: Money,
    /// Its client had left, and it went on for those who waited for the same answer.
    pub shared: bool,
}

/// How a user's call ended, which is one row of the traffic and as many requests as its client library made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserEnd {
    /// The end of the last try; one that the library gave up on is a time-out.
    pub outcome: Outcome,
    /// Requests after the first.
    pub retries: u32,
    /// When the first was sent.
    pub sent_at: Time,
}

/// What a run counts about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Requests that arrived.
    pub arrived: u64,
    /// Requests answered, by outcome.
    pub served: u64,
    /// By the response cache.
    pub cached: u64,
    /// By the call of an identical request.
    pub shared: u64,
    /// Refused by the gateway.
    pub refused: u64,
    /// Failed after all attempts.
    pub failed: u64,
    /// The client left first.
    pub abandoned: u64,
    /// Requests whose money was closed.
    pub closed: u64,
    /// Upstream calls made.
    pub calls: u64,
    /// Upstream calls closed.
    pub calls_closed: u64,
    /// The ledger's sum.
    pub ledger: Money,
    /// The world's sum.
    pub billed: Money,
    /// Rows whose output length was not recorded.
    pub outputs_unrecorded: u64,
    /// Rows of the traffic.
    pub rows: u64,
    /// Of the requests that arrived, those that clients sent again.
    pub retried: u64,
    /// Rows that were never sent, as their session had stopped.
    pub not_sent: u64,
    /// Users who got their answer or gave up. Counted where clients retry or wait for each other's answers.
    pub users: u64,
    /// How much calls waited for a place of their provider.
    pub waits: Waits,
}

impl Totals {
    pub(super) fn answered(&mut self, outcome: &Outcome) {
        *match outcome {
            Outcome::Served { .. } => &mut self.served,
            Outcome::Cached => &mut self.cached,
            Outcome::Shared => &mut self.shared,
            Outcome::Refused(_) => &mut self.refused,
            Outcome::Failed(_) => &mut self.failed,
            Outcome::Abandoned => &mut self.abandoned,
        } += 1;
    }

    /// Asserts that nothing was lost or made up.
    ///
    /// # Panics
    /// If a request or a call has no end, or more than one.
    pub(super) fn check(&self) {
        let answered = self.served + self.cached + self.shared + self.refused + self.failed + self.abandoned;
        assert_eq!(self.arrived, answered, "every request is answered once: {self:?}");
        assert_eq!(self.arrived, self.closed, "every request is closed once: {self:?}");
        assert_eq!(self.arrived - self.retried, self.rows - self.not_sent, "every row is sent first once, or never: {self:?}");
        assert!(self.users == 0 || self.users == self.rows - self.not_sent, "every user has one end: {self:?}");
        assert_eq!(self.calls, self.calls_closed, "every call is closed once: {self:?}");
    }
}
