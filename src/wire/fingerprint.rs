//! The identity of a request's content: equal for equal content, however it is spaced and its keys are ordered. Knows what does not change an
//! answer; nothing else about fields.

use sha2::{Digest, Sha256};

use super::Endpoint;
use super::json::{Kind, Value};
use crate::gateway::request::Fingerprint;

/// What is asked beside the content: how the answer is delivered, who asks, and what the gateway is told. The model is in the core's key.
const NO_CONTENT: [&str; 10] =
    ["cache", "metadata", "model", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "stream", "stream_options", "tags", "user"];

/// Pieces are gathered up to so many bytes before they are hashed.
const GATHERED: usize = 16 << 10;

/// The first 128 bits of SHA-256 over the endpoint and the content in one fixed form.
pub(super) fn of(endpoint: Endpoint, root: Value<'_>) -> Fingerprint {
    let mut form = Form { hasher: Sha256::new(), gathered: Vec::with_capacity(GATHERED.min(root.raw().len() * 2 + 64)) };
    form.put(endpoint.path().as_bytes());
    form.object(root, |key| !NO_CONTENT.iter().any(|name| key.is(name)));
    form.finish()
}

/// The identity of a content that was asked for with words beside it that may change the answer. Without any it stays the same.
pub(super) fn with<'a>(content: Fingerprint, words: impl Iterator<Item = &'a [u8]>) -> Fingerprint {
    let mut words = words.peekable();
    if words.peek().is_none() {
        return content;
    }
    let mut form = Form { hasher: Sha256::new(), gathered: Vec::new() };
    form.put(&content.0.to_be_bytes());
    form.put(&content.1.to_be_bytes());
    words.for_each(|word| form.put(word));
    form.finish()
}

/// A value in the form that is hashed: each piece with its kind and length, keys in order.
struct Form {
    hasher: Sha256,
    gathered: Vec<u8>,
}

impl Form {
    fn finish(mut self) -> Fingerprint {
        self.hasher.update(&self.gathered);
        let digest = self.hasher.finalize();
        let word = |at: usize| u64::from_be_bytes(digest[at..at + 8].try_into().expect("eight bytes"));
        Fingerprint(word(0), word(8))
    }

    fn value(&mut self, value: Value<'_>) {
        match value.kind() {
            Kind::Object => self.object(value, |_| true),
            Kind::Array => {
                self.gathered.push(b'[');
                value.items().for_each(|item| self.value(item));
                self.gathered.push(b']');
            }
            Kind::String => self.string(value),
            Kind::Number | Kind::Boolean | Kind::Null => {
                self.gathered.push(b'w');
                self.put(value.raw());
            }
        }
    }

    fn object(&mut self, object: Value<'_>, keep: impl Fn(Value<'_>) -> bool) {
        let mut entries: Vec<(Value<'_>, Value<'_>)> = object.entries().filter(|(key, _)| keep(*key)).collect();
        // The text of a key, not how it is escaped; most have no escapes. Equal keys stay in their order.
        entries.sort_by(|(a, _), (b, _)| a.string().cmp(&b.string()));
        self.gathered.push(b'{');
        for (key, value) in entries {
            self.string(key);
            self.value(value);
        }
        self.gathered.push(b'}');
    }

    fn string(&mut self, value: Value<'_>) {
        self.gathered.push(b's');
        let text = value.string().expect("it is a string");
        self.put(text.as_bytes());
    }

    fn put(&mut self, piece: &[u8]) {
        self.gathered.extend_from_slice(&(piece.len() as u64).to_le_bytes());
        if self.gathered.len() + piece.len() > GATHERED {
            self.hasher.update(&self.gathered);
            self.gathered.clear();
        }
        if piece.len() > GATHERED { self.hasher.update(piece) } else { self.gathered.extend_from_slice(piece) }
    }
}
