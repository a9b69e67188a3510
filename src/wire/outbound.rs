//! What goes to a target of the client's own dialect: the received bytes with a few places spliced. Knows no translation and no addresses.
//!
//! | place | what happens to it |
//! |---|---|
//! | `model` | the target's name for it |
//! | the limit on output tokens | the core's, under the name that the client used; else under the endpoint's own (see [`Target::max_tokens`]) |
//! | `stream_options.include_usage` | true in streams of chat completions and completions, as the bill is in the usage |
//! | `cache`, `tags`, `metadata.tags` where it is a list | taken out: they are for the gateway |
//! | all else | the client's bytes |

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use super::json::{Kind, Value};
use super::{Dialect, Endpoint, Inbound, translate};

/// Where a request is sent to.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// What it speaks.
    pub dialect: Dialect,
    /// Its name for the model.
    pub model: &'a str,
    /// The most output tokens that the call may have, from the core's `Call`. It is always stated where the client stated one, and where it is
    /// lower than the model's own maximum; what is held for the call is made from it.
    pub max_tokens: u32,
    /// The most output tokens that the model can produce. A limit that is no lower need not be stated where the client stated none.
    pub output_tokens_max: u32,
    /// Whether it knows `stream_options`; a few copies of the API refuse a request that has them.
    pub stream_options: bool,
}

/// The request has words that the target's dialect has none for. The core does not send it there if [`Inbound::requires`] was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CannotExpress {
    /// The field.
    pub what: String,
}

impl Inbound {
    /// The body that goes to a target.
    ///
    /// # Errors
    /// If the target speaks the other dialect and can't be told what this request says.
    pub fn outbound(&self, target: &Target<'_>) -> Result<Bytes, CannotExpress> {
        if target.dialect != self.endpoint.dialect() {
            return translate::request(self, target);
        }
        let mut edits = Edits { places: Vec::with_capacity(8), inserted: Vec::new() };
        let root = self.root();
        let model = root.get("model").expect("it was read");
        if !model.is(target.model) {
            edits.replace(model, json_string(target.model));
        }
        let is_renamed = self.limit_output(target, root, &mut edits);
        self.ask_for_usage(target, root, &mut edits);
        take_out(root, target, is_renamed, &mut edits);
        Ok(edits.apply(root, &self.body))
    }

    /// States the limit on output tokens. Says whether that gave the client's field the other name.
    fn limit_output(&self, target: &Target<'_>, root: Value<'_>, edits: &mut Edits) -> bool {
        let Some(own) = limit_name(self.endpoint, target.model) else { return false };
        let Some(name) = self.stated_limit() else {
            if target.max_tokens < target.output_tokens_max || self.endpoint.dialect() == Dialect::Anthropic {
                edits.set(root, own, target.max_tokens.to_string().into_bytes());
            }
            return false;
        };
        let (key, value) = root.entries().find(|(key, _)| key.is(name)).expect("it was read");
        if value.whole() != Some(u64::from(target.max_tokens)) {
            edits.replace(value, target.max_tokens.to_string().into_bytes());
        }
        let is_renamed = name != own && own == NEW_LIMIT;
        if is_renamed {
            edits.replace(key, json_string(own));
        }
        is_renamed
    }

    fn ask_for_usage(&self, target: &Target<'_>, root: Value<'_>, edits: &mut Edits) {
        let asks = matches!(self.endpoint, Endpoint::ChatCompletions | Endpoint::Completions);
        if !asks || !self.stream || self.include_usage || !target.stream_options {
            return;
        }
        let Some(options) = root.some("stream_options") else {
            edits.set(root, "stream_options", b"{\"include_usage\":true}".to_vec());
            return;
        };
        match options.get("include_usage") {
            Some(value) => edits.replace(value, b"true".to_vec()),
            None => {
                let comma: &[u8] = if options.entries().next().is_some() { b"," } else { b"" };
                edits.insert(options.span().start + 1, [b"\"include_usage\":true", comma].concat());
            }
        }
    }
}

/// The limit on output tokens that counts thinking. Reasoning models of `OpenAI` take no other in chat completions, its other models take both (P,
/// its reference of chat completions); copies of its API know the older one at least.
const NEW_LIMIT: &str = "max_completion_tokens";

/// The name under which a limit on output tokens goes to a model, where the client has used none.
pub(super) fn limit_name(endpoint: Endpoint, model: &str) -> Option<&'static str> {
    match endpoint {
        Endpoint::ChatCompletions if reasons(model) => Some(NEW_LIMIT),
        Endpoint::ChatCompletions | Endpoint::Completions | Endpoint::Messages => Some("max_tokens"),
        Endpoint::Responses => Some("max_output_tokens"),
        Endpoint::Embeddings | Endpoint::CountTokens => None,
    }
}

/// Whether the name is one of `OpenAI`'s reasoning models: `o1`, `o3-mini`, `gpt-5` and later. A path before it (`openai/o3`) does not matter.
pub(super) fn reasons(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    let number = |prefix: &str| name.strip_prefix(prefix).and_then(|rest| rest.bytes().next()).filter(u8::is_ascii_digit);
    number("o").is_some() || number("gpt-").is_some_and(|first| first >= b'5')
}

/// Takes out what only the gateway understands, what the target does not know, and a `null` that stands under the name that the limit has been given.
fn take_out(root: Value<'_>, target: &Target<'_>, is_renamed: bool, edits: &mut Edits) {
    let has_tags = |metadata: Value<'_>| metadata.some("tags").is_some_and(|tags| tags.kind() == Kind::Array);
    let only_tags = |metadata: Value<'_>| has_tags(metadata) && metadata.entries().all(|(key, _)| key.is("tags"));
    let goes = |key: Value<'_>, value: Value<'_>| key.is("cache") || key.is("tags") || (key.is("metadata") && only_tags(value));
    let is_unknown = |key: Value<'_>| !target.stream_options && key.is("stream_options");
    edits.remove(root, |key, value| goes(key, value) || is_unknown(key) || (is_renamed && key.is(NEW_LIMIT)));
    if let Some(metadata) = root.some("metadata").filter(|metadata| has_tags(*metadata) && !only_tags(*metadata)) {
        edits.remove(metadata, |key, _| key.is("tags"));
    }
}

/// What is changed in a text: places, none within another, and what stands there instead.
struct Edits {
    places: Vec<(Range<usize>, Vec<u8>)>,
    /// Entries to be put at the front of the whole object.
    inserted: Vec<u8>,
}

impl Edits {
    fn replace(&mut self, value: Value<'_>, with: Vec<u8>) {
        self.places.push((value.span(), with));
    }

    fn insert(&mut self, at: usize, text: Vec<u8>) {
        self.places.push((at..at, text));
    }

    /// Sets a field of the whole object that is absent or `null`.
    fn set(&mut self, root: Value<'_>, name: &str, value: Vec<u8>) {
        if let Some(null) = root.get(name) {
            return self.replace(null, value);
        }
        self.inserted.extend_from_slice(format!("\"{name}\":").as_bytes());
        self.inserted.extend_from_slice(&value);
        self.inserted.push(b',');
    }

    /// Takes entries out of an object, each with one comma.
    fn remove(&mut self, object: Value<'_>, goes: impl Fn(Value<'_>, Value<'_>) -> bool) {
        let kept_after = object.entries().enumerate().filter(|(_, (key, value))| !goes(*key, *value)).map(|(at, _)| at).last();
        let mut before = object.span().start + 1;
        let mut entries = object.entries().enumerate().peekable();
        while let Some((at, (key, value))) = entries.next() {
            if goes(key, value) {
                let next = entries.peek().map(|(_, (next, _))| next.span().start);
                let place = match next {
                    Some(next) if kept_after.is_some_and(|last| last > at) => key.span().start..next,
                    _ => before..value.span().end,
                };
                self.places.push((place, Vec::new()));
            }
            before = value.span().end;
        }
    }

    fn apply(mut self, root: Value<'_>, body: &Bytes) -> Bytes {
        if self.places.is_empty() && self.inserted.is_empty() {
            return body.clone();
        }
        // The model stays, so an entry follows whatever is put at the front.
        let front = root.span().start + 1;
        let inserted = std::mem::take(&mut self.inserted);
        self.places.push((front..front, inserted));
        // What is taken out at one place follows what is put in there.
        self.places.sort_by_key(|(place, _)| (place.start, place.end));
        let more: usize = self.places.iter().map(|(_, text)| text.len()).sum();
        let mut out = BytesMut::with_capacity(body.len() + more);
        let mut at = 0;
        for (place, text) in &self.places {
            out.put_slice(&body[at..place.start]);
            out.put_slice(text);
            at = place.end;
        }
        out.put_slice(&body[at..]);
        out.freeze()
    }
}

fn json_string(text: &str) -> Vec<u8> {
    serde_json::to_vec(text).expect("a string can be written")
}

#[cfg(test)]
mod tests;
