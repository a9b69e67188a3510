//! The life of one request: told an [`Event`], it answers with the one [`Action`] to take.

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::id::{DeploymentId, ModelId, RequestId};
use super::journal::Outcome;
use super::rate_card::Usage;
use super::request::{Fingerprint, Request};
use super::time::Time;

/// What a driver tells a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The client has sent it. The first event of every request, and the only `Arrived`.
    Arrived(Request),
    /// The remote cache has answered the [`Action::LookUp`].
    Looked(Option<Hit>),
    /// The instant of [`InFlight::deadline`] has come.
    Woke,
    /// What it waited for is there; from `Gateway::ready`.
    Released(Wake),
    /// The answer of call `call` has begun (what counts as the beginning, headers or first content, is the driver's setting).
    Opened {
        /// The call, from [`Call::call`].
        call: u32,
    },
    /// Call `call` has ended well. After a call that was closed before, this is late usage.
    Finished {
        /// The call.
        call: u32,
        /// What the provider says it bills.
        usage: Usage,
    },
    /// Call `call` has failed.
    Failed {
        /// The call.
        call: u32,
        /// How.
        failure: Failure,
        /// Output tokens that had arrived.
        received: u32,
        /// What the provider says it bills, if it said so.
        usage: Option<Usage>,
    },
    /// The client has gone.
    ClientLeft {
        /// Output tokens that had arrived from upstream.
        received: u32,
        /// Output tokens that had been passed on to the client; at most `received`.
        delivered: u32,
    },
}

/// What a request wants its driver to do. A call that was open and is not drained is closed by whatever comes after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Nothing: tell it the next event, or the instant of its deadline.
    Wait,
    /// Ask the remote cache, then tell `Looked`.
    LookUp(CacheKey),
    /// Call a deployment, then tell `Opened` (streams), `Finished` or `Failed`.
    Call(Call),
    /// Back-off: nothing until the instant of the deadline.
    Sleep {
        /// When it ends.
        until: Time,
    },
    /// Pass the answer on as it comes.
    Relay,
    /// The client is gone; read the answer to its end all the same, within these caps, then tell `Finished` or `Failed`.
    Drain {
        /// Give up then and tell `Failed` with class `Cut`.
        until: Time,
        /// Give up after so many output tokens.
        tokens_max: u32,
    },
    /// The request is over, and its slot free unless a drain goes on.
    Finish(Finish),
}

/// A call to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Its number within the request, from 1.
    pub call: u32,
    /// The group that it is for.
    pub model: ModelId,
    /// Where to.
    pub deployment: DeploymentId,
    /// The n-th call of this request to this deployment, from 0; luck is keyed by it.
    pub nth: u32,
    /// The max_tokens to send.
    pub max_tokens: u32,
}

/// How a request ended, and what to keep of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finish {
    /// For the client.
    pub outcome: Outcome,
    /// The key to keep the answer under, where the remote store or the driver's bodies want it.
    pub store: Option<CacheKey>,
}

/// The identity of an answer in the response cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CacheKey(pub Fingerprint);

/// An answer from the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// The usage of the call that made it.
    pub usage: Usage,
    /// The deployment that made it.
    pub deployment: DeploymentId,
}

/// Why a waiting request goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wake {
    /// It has its place before the concurrency limit.
    Admitted,
    /// The identical request that it waited for was answered.
    Served(Hit),
    /// The identical request failed or left; this one goes first now.
    Leads {
        /// The request that had led.
        after: RequestId,
    },
}

/// One request in flight.
#[derive(Debug)]
pub struct InFlight {}

impl InFlight {
    /// A request that has not arrived yet.
    pub fn new() -> Self {
        Self {}
    }

    /// Takes one event and says what to do next. Afterwards the driver drains `gateway.ready`.
    pub fn step<J: super::journal::Journal>(
        &mut self,
        _plan: &super::plan::Plan,
        _gateway: &mut super::Gateway,
        _now: Time,
        _event: Event,
        _journal: &mut J,
    ) -> Action {
        todo!("being written")
    }

    /// The next instant at which this request wants a `Woke`, and why.
    pub fn deadline(&self) -> Option<(Time, &'static str)> {
        None
    }

    /// Whether its money is closed: no further event is expected (late usage aside).
    pub fn is_closed(&self) -> bool {
        true
    }
}
