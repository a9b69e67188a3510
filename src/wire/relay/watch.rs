//! What the events of a stream say: content, its end, usage, errors. One arm for each kind of stream; changes nothing on its way.

use super::super::answer::Broken;
use super::super::errors;
use super::super::json::{Document, Kind, Value};
use super::super::usage::Tally;
use super::super::{Dialect, Endpoint};
use crate::gateway::failure::FailureClass;

/// What has been seen.
pub(super) struct Watch {
    endpoint: Endpoint,
    choices: u16,
    document: Document,
    pub(super) tally: Tally,
    /// The usage of the whole answer has come, not just of a part.
    pub(super) has_final_usage: bool,
    /// The event after which nothing comes has come.
    pub(super) is_over: bool,
    pub(super) failure: Option<Broken>,
    finished: u32,
    events: u32,
    bytes: u64,
}

impl Watch {
    pub(super) fn new(endpoint: Endpoint, choices: u16) -> Self {
        Self {
            endpoint,
            choices,
            document: Document::default(),
            tally: Tally::default(),
            has_final_usage: false,
            is_over: false,
            failure: None,
            finished: 0,
            events: 0,
            bytes: 0,
        }
    }

    /// Output tokens so far.
    pub(super) fn received(&self) -> u32 {
        u32::try_from(self.bytes.div_ceil(4)).unwrap_or(u32::MAX).max(self.events)
    }

    /// Whether all that belongs to the answer has come.
    pub(super) fn is_whole(&self) -> bool {
        self.failure.is_none() && (self.is_over || self.finished >= u32::from(self.choices))
    }

    pub(super) fn fail(&mut self, class: FailureClass, message: String) {
        self.failure.get_or_insert(Broken { class, message });
    }

    /// Whether the data of an event is whole.
    pub(super) fn can_read(&mut self, data: &[u8]) -> bool {
        data == b"[DONE]" || self.document.read(data).is_ok()
    }

    /// Takes the data of an event. Says whether it holds usage and nothing else.
    pub(super) fn see(&mut self, name: &[u8], data: &[u8]) -> bool {
        if data == b"[DONE]" {
            self.is_over = true;
            return false;
        }
        if data.is_empty() {
            return false;
        }
        let mut document = std::mem::take(&mut self.document);
        let is_usage_alone = match document.read(data) {
            Ok(()) => self.see_value(name, document.root(data)),
            Err(fault) => {
                self.fail(FailureClass::BadGateway, format!("the provider's stream has an event that is not JSON: {}", fault.what));
                false
            }
        };
        self.document = document;
        is_usage_alone
    }

    fn see_value(&mut self, name: &[u8], value: Value<'_>) -> bool {
        let kind = value.get("type");
        if name == b"error" || value.some("error").is_some_and(|error| error.kind() != Kind::Array) || kind.is_some_and(|kind| kind.is("error")) {
            let (class, message) = errors::of_value(value);
            // The whole answer of a response has an `error` of its own, which is null where all is well.
            self.fail(class, message);
            return false;
        }
        match self.endpoint {
            Endpoint::ChatCompletions | Endpoint::Completions => self.see_choices(value),
            Endpoint::Responses => {
                self.see_response(kind, value);
                false
            }
            Endpoint::Messages => {
                self.see_message(kind, value);
                false
            }
            Endpoint::Embeddings | Endpoint::CountTokens => false,
        }
    }

    fn see_choices(&mut self, value: Value<'_>) -> bool {
        let mut has_choices = false;
        for choice in value.get("choices").into_iter().flat_map(Value::items) {
            has_choices = true;
            let delta = choice.some("delta").or_else(|| choice.some("text"));
            self.content(delta.map_or(0, content_bytes));
            if choice.some("finish_reason").is_some() {
                self.finished += 1;
            }
        }
        let Some(usage) = value.some("usage") else { return false };
        self.tally.take(Dialect::OpenAi, usage);
        self.has_final_usage = true;
        !has_choices
    }

    fn see_response(&mut self, kind: Option<Value<'_>>, value: Value<'_>) {
        let Some(kind) = kind.and_then(Value::string) else { return };
        if kind.ends_with(".delta") {
            self.content(value.get("delta").map_or(0, content_bytes));
        }
        let response = value.some("response");
        match &*kind {
            "response.completed" | "response.incomplete" => {
                if let Some(usage) = response.and_then(|response| response.some("usage")) {
                    self.tally.take(Dialect::OpenAi, usage);
                    self.has_final_usage = true;
                }
                self.is_over = true;
            }
            "response.failed" => {
                let (class, message) = errors::of_value(response.unwrap_or(value));
                self.fail(class, message);
            }
            _ => {}
        }
    }

    fn see_message(&mut self, kind: Option<Value<'_>>, value: Value<'_>) {
        let Some(kind) = kind.and_then(Value::string) else { return };
        match &*kind {
            "message_start" => {
                if let Some(usage) = value.some("message").and_then(|message| message.some("usage")) {
                    self.tally.take(Dialect::Anthropic, usage);
                }
            }
            "content_block_start" => self.content(value.some("content_block").map_or(0, content_bytes)),
            "content_block_delta" => self.content(value.some("delta").map_or(0, content_bytes)),
            "message_delta" => {
                if let Some(usage) = value.some("usage") {
                    self.tally.take(Dialect::Anthropic, usage);
                    self.has_final_usage = true;
                }
                // It comes once, and nothing but `message_stop` follows.
                if value.some("delta").and_then(|delta| delta.some("stop_reason")).is_some() {
                    self.finished += 1;
                }
            }
            "message_stop" => self.is_over = true,
            _ => {}
        }
    }

    fn content(&mut self, bytes: usize) {
        if bytes > 0 {
            self.events += 1;
            self.bytes += bytes as u64;
        }
    }
}

/// The bytes of what a model has written in a piece of an answer: its strings, but for those that only say what they are.
fn content_bytes(value: Value<'_>) -> usize {
    match value.kind() {
        Kind::String => value.string_bytes(),
        Kind::Array => value.items().map(content_bytes).sum(),
        Kind::Object => {
            let says_what_it_is =
                |key: Value<'_>| ["role", "type", "id", "index", "signature", "tool_use_id", "item_id"].iter().any(|name| key.is(name));
            value.entries().filter(|(key, _)| !says_what_it_is(*key)).map(|(_, value)| content_bytes(value)).sum()
        }
        Kind::Number | Kind::Boolean | Kind::Null => 0,
    }
}
