//! What clients and providers write to each other: dialects as data, requests, answers, streams and errors. Knows bytes; decides nothing.
//!
//! A body is parsed once into a [`json::Document`], a flat list of places in the received bytes. What is sent on is those bytes with a few
//! places spliced ([`Inbound::outbound`]), so whatever this module does not know passes untouched. [`translate`] is the only part that writes a
//! body anew, for a target of the other dialect.

pub mod answer;
pub mod errors;
pub mod features;
pub mod images;
pub mod inbound;
pub mod json;
pub mod marks;
pub mod outbound;
pub mod relay;
pub mod replay;
pub mod sse;
pub mod tokens;
pub mod translate;
pub mod usage;

mod fingerprint;
mod size;

pub use errors::ErrorKind;
pub use inbound::{Inbound, Malformed};
pub use outbound::Target;
pub use relay::Relay;

/// How the words of a request and its answer are put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// As `OpenAI` does, and all who copy it.
    OpenAi,
    /// As Anthropic does.
    Anthropic,
}

/// What a request is sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `POST /v1/chat/completions`.
    ChatCompletions,
    /// `POST /v1/completions`.
    Completions,
    /// `POST /v1/embeddings`.
    Embeddings,
    /// `POST /v1/responses`.
    Responses,
    /// `POST /v1/messages`.
    Messages,
    /// `POST /v1/messages/count_tokens`.
    CountTokens,
}

impl Endpoint {
    /// Every endpoint.
    pub const ALL: [Self; 6] = [Self::ChatCompletions, Self::Completions, Self::Embeddings, Self::Responses, Self::Messages, Self::CountTokens];

    /// The dialect that it is an endpoint of.
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::ChatCompletions | Self::Completions | Self::Embeddings | Self::Responses => Dialect::OpenAi,
            Self::Messages | Self::CountTokens => Dialect::Anthropic,
        }
    }

    /// Its path below the version: `/chat/completions`.
    pub const fn path(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/chat/completions",
            Self::Completions => "/completions",
            Self::Embeddings => "/embeddings",
            Self::Responses => "/responses",
            Self::Messages => "/messages",
            Self::CountTokens => "/messages/count_tokens",
        }
    }

    /// Whether its answers can be streams.
    pub const fn can_stream(self) -> bool {
        !matches!(self, Self::Embeddings | Self::CountTokens)
    }
}
