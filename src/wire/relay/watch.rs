//! What the events of a stream say: content, its end, usage, errors. One arm for each kind of stream; changes nothing on its way.

use std::collections::BTreeSet;

use super::super::answer::{Broken, dearer_service};
use super::super::errors;
use super::super::json::{Document, Kind, Value};
use super::super::usage::Tally;
use super::super::{Dialect, Endpoint, features};
use crate::gateway::failure::FailureClass;
use crate::gateway::plan::ServiceClass;

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
    /// The class of service that was told last.
    pub(super) service: Option<ServiceClass>,
    /// The choices that have ended, by their index.
    finished: BTreeSet<u64>,
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
            service: None,
            finished: BTreeSet::new(),
            events: 0,
            bytes: 0,
        }
    }

    /// Output tokens so far.
    pub(super) fn received(&self) -> u32 {
        u32::try_from(self.bytes.div_ceil(4)).unwrap_or(u32::MAX).max(self.events)
    }

    /// At least the output tokens so far.
    pub(super) fn received_max(&self) -> u32 {
        u32::try_from(self.bytes).unwrap_or(u32::MAX).saturating_add(self.events)
    }

    /// Whether all that belongs to the answer has come.
    pub(super) fn is_whole(&self) -> bool {
        self.failure.is_none() && (self.is_over || self.have_all_ended())
    }

    fn have_all_ended(&self) -> bool {
        self.finished.len() >= usize::from(self.choices)
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
            Ok(()) if document.root(data).kind() == Kind::Object => self.see_value(name, document.root(data)),
            Ok(()) => {
                let kind = document.root(data).kind().name();
                self.fail(FailureClass::BadGateway, format!("the provider's stream has an event that is {kind}, not an object"));
                false
            }
            Err(fault) => {
                self.fail(FailureClass::BadGateway, format!("the provider's stream has an event that is not JSON: {}", fault.what));
                false
            }
        };
        self.document = document;
        is_usage_alone
    }

    fn see_value(&mut self, name: &[u8], value: Value<'_>) -> bool {
        let fields = Fields::read(value);
        // The whole answer of a response has an `error` of its own, which is null where all is well; so has an event of it.
        if name == b"error" || fields.kind == b"error" || fields.error.is_some_and(|error| !error.is_null()) {
            let (class, message) = errors::of_value(value);
            self.fail(class, message);
            return false;
        }
        match self.endpoint {
            Endpoint::ChatCompletions | Endpoint::Completions => return self.see_choices(&fields),
            Endpoint::Responses => self.see_response(&fields),
            Endpoint::Messages => self.see_message(&fields),
            Endpoint::Embeddings | Endpoint::CountTokens => {}
        }
        false
    }

    fn see_choices(&mut self, fields: &Fields<'_>) -> bool {
        self.see_service(fields.service);
        let mut has_choices = false;
        for choice in fields.choices.into_iter().flat_map(Value::items) {
            has_choices = true;
            for (key, value) in choice.entries() {
                match key.written() {
                    b"delta" | b"text" => self.content(content_bytes(value)),
                    // Some write an empty one until there is a reason.
                    b"finish_reason" if value.string_bytes() > 0 => drop(self.finished.insert(index_of(choice))),
                    _ => {}
                }
            }
        }
        let Some(usage) = fields.usage.filter(|usage| !usage.is_null()) else { return false };
        self.tally.take(Dialect::OpenAi, usage);
        // Some tell in every chunk what there was up to then.
        self.has_final_usage = !has_choices || self.have_all_ended();
        !has_choices
    }

    fn see_response(&mut self, fields: &Fields<'_>) {
        if fields.kind.ends_with(b".delta") {
            self.content(fields.delta.map_or(0, content_bytes));
        }
        match fields.kind {
            b"response.completed" | b"response.incomplete" => {
                if let Some(usage) = fields.whole.and_then(|response| response.some("usage")) {
                    self.tally.take(Dialect::OpenAi, usage);
                    self.has_final_usage = true;
                }
                self.see_service(fields.whole.and_then(|response| response.some("service_tier")));
                self.is_over = true;
            }
            b"response.failed" => {
                let (class, message) = fields.whole.map_or((FailureClass::Internal, String::new()), errors::of_value);
                self.fail(class, message);
            }
            _ => {}
        }
    }

    fn see_message(&mut self, fields: &Fields<'_>) {
        match fields.kind {
            b"message_start" => {
                if let Some(usage) = fields.whole.and_then(|message| message.some("usage")) {
                    self.see_anthropic_usage(usage);
                }
            }
            b"content_block_start" => self.content(fields.whole.map_or(0, content_bytes)),
            b"content_block_delta" => self.content(fields.delta.map_or(0, content_bytes)),
            b"message_delta" => {
                if let Some(usage) = fields.usage.filter(|usage| !usage.is_null()) {
                    self.see_anthropic_usage(usage);
                    self.has_final_usage = true;
                }
                // It comes once, and nothing but `message_stop` follows.
                if fields.delta.is_some_and(|delta| delta.some("stop_reason").is_some()) {
                    self.finished.insert(0);
                }
            }
            b"message_stop" => self.is_over = true,
            _ => {}
        }
    }

    fn see_anthropic_usage(&mut self, usage: Value<'_>) {
        self.tally.take(Dialect::Anthropic, usage);
        self.service = dearer_service(usage).or(self.service);
    }

    fn see_service(&mut self, tier: Option<Value<'_>>) {
        if let Some(tier) = tier.and_then(Value::string) {
            self.service = Some(features::service_of(tier.as_bytes()));
        }
    }

    fn content(&mut self, bytes: usize) {
        if bytes > 0 {
            self.events += 1;
            self.bytes += bytes as u64;
        }
    }
}

fn index_of(choice: Value<'_>) -> u64 {
    choice.get("index").and_then(Value::whole).unwrap_or(0)
}

/// The fields of an event that say something to the gateway, found in one pass.
#[derive(Default)]
struct Fields<'a> {
    kind: &'a [u8],
    choices: Option<Value<'a>>,
    delta: Option<Value<'a>>,
    error: Option<Value<'a>>,
    usage: Option<Value<'a>>,
    service: Option<Value<'a>>,
    /// `response`, `message` or `content_block`.
    whole: Option<Value<'a>>,
}

impl<'a> Fields<'a> {
    fn read(value: Value<'a>) -> Self {
        let mut fields = Self::default();
        for (key, value) in value.entries() {
            match key.written() {
                b"type" => fields.kind = value.written(),
                b"choices" => fields.choices = Some(value),
                b"delta" => fields.delta = Some(value),
                b"error" => fields.error = Some(value),
                b"usage" => fields.usage = Some(value),
                b"service_tier" => fields.service = Some(value),
                b"response" | b"message" | b"content_block" => fields.whole = Some(value),
                _ => {}
            }
        }
        fields
    }
}

/// The bytes of what a model has written in a piece of an answer: its strings, but for those that only say what they are.
fn content_bytes(value: Value<'_>) -> usize {
    match value.kind() {
        Kind::String => value.string_bytes(),
        Kind::Array => value.items().map(content_bytes).sum(),
        Kind::Object => value
            .entries()
            .map(|(key, value)| match key.written() {
                b"role" | b"type" | b"id" | b"signature" | b"tool_use_id" | b"item_id" => 0,
                _ => content_bytes(value),
            })
            .sum(),
        Kind::Number | Kind::Boolean | Kind::Null => 0,
    }
}
