//! A request as it came: what the gateway must know of it, read in one parse of the body. Refuses what no provider could understand;
//! decides nothing else, and leaves what it does not know alone.

mod fields;
mod wishes;

use std::fmt;
use std::num::NonZeroU32;

use bytes::Bytes;

pub(super) use self::fields::{Field, Fields};
use super::json::{Document, Fault, Kind, Value};
use super::size::Weight;
use super::tokens::Encoding;
use super::{Endpoint, features, fingerprint, size, translate};
use crate::gateway::features::Features;
use crate::gateway::request::Fingerprint;

/// A request of a client.
#[derive(Debug, Clone)]
pub struct Inbound {
    /// What it was sent to.
    pub endpoint: Endpoint,
    /// The body as it came.
    pub body: Bytes,
    /// The model that it asks for.
    pub model: String,
    /// It wants a stream.
    pub stream: bool,
    /// It wants usage at the end of a stream. Always so where the dialect does not ask.
    pub include_usage: bool,
    /// The most output tokens that it wants, thinking included. 1 where there is no output (embeddings, counting).
    pub max_tokens: Option<NonZeroU32>,
    /// How many answers are billed: `n` or `best_of`, for each prompt of a list of them.
    pub choices: u16,
    /// The end user that it names: `user`, `safety_identifier` or `metadata.user_id`.
    pub end_user: Option<String>,
    /// Its tags: `tags`, or `metadata.tags` where it is a list.
    pub tags: Vec<String>,
    /// It does not want a cached answer: `cache: {"no-cache": true}`.
    pub no_cache: bool,
    /// It does not want its answer cached: `cache: {"no-store": true}`.
    pub no_store: bool,
    /// An estimate of its input tokens.
    pub input_tokens: u32,
    /// An upper bound on its input tokens on any model that is known, at least the estimate. See [`Self::input_tokens_max_on`].
    pub input_tokens_max: u32,
    /// It draws on input that does not stand in it (an earlier response, a file, a search), so nothing in it bounds what is billed:
    /// `input_tokens_max` is then as large as the largest inputs that models take, and what a target takes at most is the better bound.
    pub unseen_input: bool,
    /// The identity of its content: everything but the model that may change the answer.
    pub fingerprint: Fingerprint,
    /// What a deployment has to offer for it.
    pub requires: Features,
    document: Document,
    weight: Weight,
}

/// Why a request can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong, for whoever wrote the request. Never quotes its prompt.
    pub message: String,
    /// The field that it is about, as a path: `messages[2].content`.
    pub param: Option<String>,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Malformed {}

impl Malformed {
    /// `param` is not what it must be.
    pub(crate) fn field(param: impl Into<String>, what: impl fmt::Display) -> Self {
        let param = param.into();
        Self { message: format!("`{param}` {what}"), param: Some(param) }
    }

    fn text(fault: Fault, text: &[u8]) -> Self {
        let (line, column) = fault.place(text);
        Self { message: format!("the body is not valid JSON: line {line}, column {column}: {}", fault.what), param: None }
    }

    /// `param` is of another kind than it must be.
    pub(crate) fn kind(param: impl Into<String>, value: Value<'_>, wanted: &str) -> Self {
        Self::field(param, format_args!("is {}, but must be {wanted}", value.kind().name()))
    }
}

impl Inbound {
    /// Reads a request.
    ///
    /// # Errors
    /// If the body is not JSON, or a field that the gateway must understand is missing or has a wrong type or value.
    pub fn read(endpoint: Endpoint, body: Bytes) -> Result<Self, Malformed> {
        let document = Document::parse(&body).map_err(|fault| Malformed::text(fault, &body))?;
        let root = document.root(&body);
        if root.kind() != Kind::Object {
            return Err(Malformed { message: format!("the body is {}, but must be an object", root.kind().name()), param: None });
        }
        let fields = Fields::read(root)?;
        let wishes = wishes::read(endpoint, &fields)?;
        let weight = size::weigh(endpoint, &fields)?;
        let untranslated = if translate::is_untranslated(endpoint, root) { features::UNTRANSLATED } else { Features::NONE };
        let used = wishes.used.and(weight.used).and(untranslated);
        let unseen_input = wishes.unseen_input || weight.unseen_input || used.have(features::HOSTED_TOOLS);
        Ok(Self {
            endpoint,
            model: wishes.model,
            stream: wishes.stream,
            include_usage: wishes.include_usage,
            max_tokens: wishes.max_tokens,
            choices: wishes.choices,
            end_user: wishes.end_user,
            tags: wishes.tags,
            no_cache: wishes.no_cache,
            no_store: wishes.no_store,
            input_tokens: weight.estimate(),
            input_tokens_max: bound(&weight, true, unseen_input),
            unseen_input,
            fingerprint: fingerprint::of(endpoint, root),
            requires: features::required(endpoint.dialect(), used),
            weight,
            document,
            body,
        })
    }

    /// Takes into the identity of the content what was asked for beside the body and may change the answer.
    pub fn mark<'a>(&mut self, words: impl Iterator<Item = &'a [u8]>) {
        self.fingerprint = fingerprint::with(self.fingerprint, words);
    }

    /// The body as a JSON value.
    pub fn root(&self) -> Value<'_> {
        self.document.root(&self.body)
    }

    /// The upper bound on input tokens where only models that count images as usual can be called: all but those that
    /// [`super::images::is_dear`] names. The same as `input_tokens_max` where `dear` is true, or where there are no images.
    pub fn input_tokens_max_on(&self, dear: bool) -> u32 {
        bound(&self.weight, dear, self.unseen_input)
    }

    /// Whether counting may make its upper bound on input tokens any lower.
    pub fn is_countable(&self) -> bool {
        !self.unseen_input && self.weight.has_text()
    }

    /// The upper bound by what its texts are in the tokenizers of the models that it may be sent to, in the one that makes the most of them.
    /// Images are counted as by [`Self::input_tokens_max_on`], whose bound it never passes. Takes time: see [`super::tokens`].
    pub fn count(&self, encodings: impl IntoIterator<Item = Encoding>, dear: bool) -> u32 {
        let known = self.input_tokens_max_on(dear);
        let counted = |encoding| {
            let weight = Fields::read(self.root()).and_then(|fields| size::count(self.endpoint, &fields, encoding));
            weight.map_or(known, |weight| bound(&weight, dear, self.unseen_input))
        };
        encodings.into_iter().map(counted).max().unwrap_or(known).min(known)
    }

    /// The field under which the client stated a limit on output tokens.
    pub(super) fn stated_limit(&self) -> Option<&'static str> {
        let names = [Field::MaxTokens, Field::MaxCompletionTokens, Field::MaxOutputTokens].map(Field::name);
        names.into_iter().find(|name| wishes::limit_names(self.endpoint).contains(name) && self.root().some(name).is_some())
    }
}

/// The largest input that models take, in tokens: a million at several providers, twice that at few (S, their lists of models).
const LARGEST_INPUT: u32 = 1 << 20;

fn bound(weight: &Weight, dear_images: bool, unseen_input: bool) -> u32 {
    weight.bound(dear_images).max(if unseen_input { LARGEST_INPUT } else { 0 })
}

#[cfg(test)]
pub(in crate::wire) mod tests;
