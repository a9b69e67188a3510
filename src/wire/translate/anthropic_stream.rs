//! A stream of chat completions as events of the Messages API, chunk by chunk. Keeps no text but the arguments of calls that came ahead of their
//! turn; errors are the relay's.

use std::ops::Range;

use bytes::BytesMut;

use super::super::json::{Document, Value};
use super::super::relay::Rewrite;
use super::super::sse::{self, Event};
use super::super::usage::Tally;
use super::super::{Dialect, Inbound};
use super::answers;
use super::calls::{Call, Calls};
use super::write::Writer;
use crate::gateway::rate_card::Usage;

/// Where the stream is.
pub(super) struct AnthropicStream {
    model: String,
    document: Document,
    has_begun: bool,
    is_over: bool,
    tally: Tally,
    /// The block that is open, and of which kind.
    open: Option<Open>,
    blocks: u64,
    calls: Calls,
    refuses: bool,
    /// `finish_reason` as it stands in its chunk.
    finish_reason: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Text,
    /// The call of this place in `calls`.
    Call(usize),
}

impl AnthropicStream {
    /// For the answer to a request of the Messages API.
    pub(super) fn new(inbound: &Inbound) -> Self {
        Self {
            model: inbound.model.clone(),
            document: Document::default(),
            has_begun: false,
            is_over: false,
            tally: Tally::default(),
            open: None,
            blocks: 0,
            calls: Calls::default(),
            refuses: false,
            finish_reason: None,
        }
    }

    fn read(&mut self, value: Value<'_>, out: &mut BytesMut) {
        if let Some(usage) = value.some("usage") {
            self.tally.take(Dialect::OpenAi, usage);
        }
        let choices = value.some("choices").into_iter().flat_map(Value::items);
        for choice in choices.filter(|choice| choice.get("index").and_then(Value::whole).unwrap_or(0) == 0) {
            self.begin(value.some("id"), out);
            if let Some(delta) = choice.some("delta") {
                self.go_on(delta, out);
            }
            if let Some(reason) = choice.some("finish_reason") {
                self.finish_reason = Some(answers::stop_reason(Some(reason), !self.calls.is_empty(), self.refuses));
            }
        }
    }

    fn begin(&mut self, id: Option<Value<'_>>, out: &mut BytesMut) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        let mut event = event("message_start");
        event.key("message");
        event.object();
        event.key("id");
        event.raw(id.map_or(b"\"\"", Value::raw));
        event.text("type", "message");
        event.text("role", "assistant");
        event.text("model", &self.model);
        event.field("content", b"[]");
        event.field("stop_reason", b"null");
        event.field("stop_sequence", b"null");
        event.key("usage");
        // What is billed is known at the end.
        answers::anthropic_usage(Usage::default(), &mut event);
        event.end_object();
        send("message_start", event, out);
    }

    fn go_on(&mut self, delta: Value<'_>, out: &mut BytesMut) {
        for text in delta.some("content").map(answers::texts).unwrap_or_default() {
            self.say(text, out);
        }
        if let Some(refusal) = delta.some("refusal").and_then(Value::string_raw).filter(|text| !text.is_empty()) {
            self.refuses = true;
            self.say(refusal, out);
        }
        for piece in delta.some("tool_calls").into_iter().flat_map(Value::items) {
            let at = self.calls.take(piece);
            let arguments = piece.some("function").and_then(|function| function.some("arguments")).and_then(Value::string).unwrap_or_default();
            if self.open == Some(Open::Call(at)) {
                self.calls.get(at).scan(&arguments);
                self.arguments(&arguments, out);
            } else {
                self.calls.hold(at, &arguments);
            }
            self.open_next(false, out);
        }
    }

    fn say(&mut self, text: &str, out: &mut BytesMut) {
        if self.open != Some(Open::Text) {
            self.open_next(true, out);
            self.close(out);
            self.open_block(out, |block| {
                block.text("type", "text");
                block.text("text", "");
            });
            self.open = Some(Open::Text);
        }
        self.delta("text_delta", "text", out, |delta| delta.pieces([text]));
    }

    fn arguments(&self, arguments: &str, out: &mut BytesMut) {
        if !arguments.is_empty() {
            self.delta("input_json_delta", "partial_json", out, |delta| delta.string(arguments));
        }
    }

    /// Opens the blocks of calls that wait, one after another: as long as the one before is complete, or `all` of them.
    fn open_next(&mut self, all: bool, out: &mut BytesMut) {
        loop {
            let must_wait = match self.open {
                Some(Open::Call(at)) => !all && !self.calls.get(at).is_complete() && !self.calls.is_overfull(),
                _ => false,
            };
            if must_wait {
                return;
            }
            let Some((at, Call { id, name, .. }, held)) = self.calls.next_held() else { return };
            let (id, name) = (std::mem::take(id), std::mem::take(name));
            self.close(out);
            self.open_block(out, |block| {
                block.text("type", "tool_use");
                block.text("id", &id);
                block.text("name", &name);
                block.field("input", b"{}");
            });
            self.open = Some(Open::Call(at));
            self.arguments(&held, out);
        }
    }

    fn open_block(&mut self, out: &mut BytesMut, write: impl FnOnce(&mut Writer)) {
        let mut event = event("content_block_start");
        event.count("index", self.blocks);
        self.blocks += 1;
        event.key("content_block");
        event.object();
        write(&mut event);
        event.end_object();
        send("content_block_start", event, out);
    }

    fn delta(&self, kind: &'static str, key: &'static str, out: &mut BytesMut, write: impl FnOnce(&mut Writer)) {
        let mut event = event("content_block_delta");
        event.count("index", self.blocks - 1);
        event.key("delta");
        event.object();
        event.text("type", kind);
        event.key(key);
        write(&mut event);
        event.end_object();
        send("content_block_delta", event, out);
    }

    fn close(&mut self, out: &mut BytesMut) {
        if self.open.take().is_some() {
            let mut event = event("content_block_stop");
            event.count("index", self.blocks - 1);
            send("content_block_stop", event, out);
        }
    }

    fn end(&mut self, out: &mut BytesMut) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        self.begin(None, out);
        self.open_next(true, out);
        self.close(out);
        let mut last = event("message_delta");
        last.key("delta");
        last.object();
        last.text("stop_reason", self.finish_reason.unwrap_or("end_turn"));
        last.field("stop_sequence", b"null");
        last.end_object();
        last.key("usage");
        answers::anthropic_usage(self.tally.usage().ok().flatten().unwrap_or_default(), &mut last);
        send("message_delta", last, out);
        send("message_stop", event("message_stop"), out);
    }
}

fn event(name: &str) -> Writer {
    let mut event = Writer::new();
    event.object();
    event.text("type", name);
    event
}

fn send(name: &str, mut event: Writer, out: &mut BytesMut) {
    event.end_object();
    sse::write(out, name, &event.into_bytes());
}

impl Rewrite for AnthropicStream {
    fn event(&mut self, event: &Event<'_>, out: &mut BytesMut) -> Option<Range<usize>> {
        let data = event.data.as_deref()?;
        if data == b"[DONE]" {
            self.end(out);
            return None;
        }
        let mut document = std::mem::take(&mut self.document);
        if document.read(data).is_ok() {
            self.read(document.root(data), out);
        }
        self.document = document;
        None
    }

    fn finish(&mut self, out: &mut BytesMut) -> Option<Range<usize>> {
        self.end(out);
        None
    }
}
