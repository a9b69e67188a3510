//! What a client asks for, as far as the gateway's decisions need it: sizes, identities and wishes, never text.

use core::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::features::Features;
use super::id::{EndUserId, KeyId, ModelId, RequestId, Slot, TagId};
use super::plan::Deployment;
use super::time::Time;

/// The identity of a request's content: equal fingerprints are exact duplicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fingerprint(pub u64, pub u64);

/// One request of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Its identity, for ever.
    pub id: RequestId,
    /// The driver's index for it.
    pub slot: Slot,
    /// The virtual key that it came with.
    pub key: KeyId,
    /// The model group asked for.
    pub model: ModelId,
    /// The end user it names.
    pub end_user: Option<EndUserId>,
    /// A tag it carries beyond those of its key.
    pub tag: Option<TagId>,
    /// Input tokens, as well as they are known.
    pub input_tokens: u32,
    /// An upper bound on the input tokens that can be billed, at least `input_tokens`.
    pub input_tokens_max: u32,
    /// The same where a deployment is [`countable`](Deployment::countable): as high as `input_tokens_max`, until the driver has counted. May be
    /// below `input_tokens` then.
    pub input_tokens_counted: u32,
    /// The client's max_tokens.
    pub max_tokens: Option<NonZeroU32>,
    /// How many answers it wants; at least 1.
    pub choices: u16,
    /// It wants a stream.
    pub stream: bool,
    /// It does not want a cached answer.
    pub no_cache: bool,
    /// It does not want its answer cached.
    pub no_store: bool,
    /// Its driver is able to count its input, if [`Action::Count`](super::in_flight::Action::Count) asks for it; no more once it has.
    pub countable: bool,
    /// The identity of its content.
    pub fingerprint: Fingerprint,
    /// What a deployment has to offer that it may be sent to.
    pub requires: Features,
    /// When the client gives up, if it has said so.
    pub deadline: Option<Time>,
}

impl Request {
    /// The most input tokens that a call to this deployment can be billed for.
    #[inline]
    pub fn input_tokens_max_on(&self, deployment: &Deployment) -> u32 {
        if deployment.countable { self.input_tokens_counted.min(self.input_tokens_max) } else { self.input_tokens_max }
    }

    /// Stands in before a request has arrived; never looked at.
    pub(crate) const NONE: Self = Self {
        id: RequestId(0),
        slot: Slot(0),
        key: KeyId(0),
        model: ModelId(0),
        end_user: None,
        tag: None,
        input_tokens: 0,
        input_tokens_max: 0,
        input_tokens_counted: 0,
        max_tokens: None,
        choices: 1,
        stream: false,
        no_cache: false,
        no_store: false,
        countable: false,
        fingerprint: Fingerprint(0, 0),
        requires: Features::NONE,
        deadline: None,
    };
}
