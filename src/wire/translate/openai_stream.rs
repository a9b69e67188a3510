//! A stream of the Messages API as chunks of chat completions, event by event. Keeps no text; errors are the relay's.

use std::ops::Range;

use bytes::{BufMut, BytesMut};

use super::super::json::{Document, Value};
use super::super::relay::Rewrite;
use super::super::sse::{self, Event};
use super::super::usage::Tally;
use super::super::{Dialect, Inbound};
use super::answers;
use super::write::Writer;

/// Where the stream is.
pub(super) struct OpenAiStream {
    model: String,
    created: u64,
    include_usage: bool,
    document: Document,
    /// What every chunk begins with, once the answer has an identity: up to `"choices":[`.
    head: Option<Vec<u8>>,
    tally: Tally,
    /// Calls that are open: the number of their block, and their own.
    calls: Vec<Call>,
    calls_begun: u64,
    finish_reason: Option<&'static str>,
    is_over: bool,
}

struct Call {
    block: u64,
    index: u64,
    /// Its input as it stood at its beginning, for those who send no pieces of it.
    input: String,
    has_arguments: bool,
}

impl OpenAiStream {
    /// For the answer to a request of chat completions. `created` is in seconds since 1970.
    pub(super) fn new(inbound: &Inbound, created: u64) -> Self {
        Self {
            model: inbound.model.clone(),
            created,
            include_usage: inbound.include_usage,
            document: Document::default(),
            head: None,
            tally: Tally::default(),
            calls: Vec::new(),
            calls_begun: 0,
            finish_reason: None,
            is_over: false,
        }
    }

    fn read(&mut self, value: Value<'_>, out: &mut BytesMut) -> Option<Range<usize>> {
        let kind = value.get("type").and_then(Value::string)?;
        match &*kind {
            "message_start" => {
                let message = value.some("message");
                if let Some(usage) = message.and_then(|message| message.some("usage")) {
                    self.tally.take(Dialect::Anthropic, usage);
                }
                self.begin(message.and_then(|message| message.some("id")), out);
            }
            "content_block_start" => self.open(value, out),
            "content_block_delta" => self.go_on(value, out),
            "content_block_stop" => self.close(value.get("index").and_then(Value::whole), out),
            "message_delta" => {
                if let Some(usage) = value.some("usage") {
                    self.tally.take(Dialect::Anthropic, usage);
                }
                if let Some(reason) = value.some("delta").and_then(|delta| delta.some("stop_reason")) {
                    self.finish_reason = Some(answers::finish_reason(Some(reason)));
                }
            }
            "message_stop" => return self.end(out),
            _ => {}
        }
        None
    }

    fn begin(&mut self, id: Option<Value<'_>>, out: &mut BytesMut) {
        if self.head.is_some() {
            return;
        }
        let mut head = Writer::new();
        head.object();
        head.key("id");
        head.raw(id.map_or(b"\"\"", Value::raw));
        head.text("object", "chat.completion.chunk");
        head.count("created", self.created);
        head.text("model", &self.model);
        head.key("choices");
        head.list();
        self.head = Some(head.into_bytes());
        self.delta(out, |delta| {
            delta.text("role", "assistant");
            delta.text("content", "");
        });
    }

    fn open(&mut self, value: Value<'_>, out: &mut BytesMut) {
        let (Some(block), Some(content)) = (value.get("index").and_then(Value::whole), value.some("content_block")) else { return };
        self.begin(None, out);
        let kind = content.get("type").and_then(Value::string);
        match kind.as_deref() {
            Some("text") => self.say("content", content.some("text"), out),
            Some("thinking") => self.say("reasoning_content", content.some("thinking"), out),
            Some("tool_use") => {
                let input = content.some("input").filter(|input| input.entries().next().is_some());
                let input = input.map_or_else(|| "{}".to_owned(), |input| String::from_utf8_lossy(input.raw()).into_owned());
                let index = self.calls_begun;
                self.calls_begun += 1;
                self.calls.push(Call { block, index, input, has_arguments: false });
                self.delta(out, |delta| {
                    open_call(index, delta);
                    delta.key("id");
                    delta.raw(content.get("id").map_or(b"\"\"", Value::raw));
                    delta.text("type", "function");
                    delta.key("function");
                    delta.object();
                    delta.key("name");
                    delta.raw(content.get("name").map_or(b"\"\"", Value::raw));
                    delta.text("arguments", "");
                    delta.end_object();
                    close_call(delta);
                });
            }
            _ => {}
        }
    }

    fn go_on(&mut self, value: Value<'_>, out: &mut BytesMut) {
        let Some(delta) = value.some("delta") else { return };
        self.begin(None, out);
        let kind = delta.get("type").and_then(Value::string);
        match kind.as_deref() {
            Some("text_delta") => self.say("content", delta.some("text"), out),
            Some("thinking_delta") => self.say("reasoning_content", delta.some("thinking"), out),
            Some("input_json_delta") => {
                let block = value.get("index").and_then(Value::whole);
                let piece = delta.some("partial_json").filter(|piece| piece.string_bytes() > 0);
                let call = self.calls.iter_mut().find(|call| Some(call.block) == block);
                if let (Some(piece), Some(call)) = (piece, call) {
                    call.has_arguments = true;
                    let index = call.index;
                    self.delta(out, |delta| arguments(index, delta, |delta| delta.raw(piece.raw())));
                }
            }
            _ => {}
        }
    }

    /// A call whose arguments never came has none, and says so: clients read them as JSON.
    fn close(&mut self, block: Option<u64>, out: &mut BytesMut) {
        let Some(at) = self.calls.iter().position(|call| Some(call.block) == block) else { return };
        let call = self.calls.remove(at);
        if !call.has_arguments {
            self.delta(out, |delta| arguments(call.index, delta, |delta| delta.string(&call.input)));
        }
    }

    fn say(&self, key: &'static str, text: Option<Value<'_>>, out: &mut BytesMut) {
        let Some(text) = text.filter(|text| text.string_bytes() > 0) else { return };
        self.delta(out, |delta| delta.field(key, text.raw()));
    }

    fn delta(&self, out: &mut BytesMut, write: impl FnOnce(&mut Writer)) {
        let mut delta = Writer::new();
        delta.object();
        write(&mut delta);
        delta.end_object();
        self.choice(&delta.into_bytes(), "null", out);
    }

    fn choice(&self, delta: &[u8], finish_reason: &str, out: &mut BytesMut) {
        let usage = if self.include_usage { ",\"usage\":null" } else { "" };
        let tail = format!(",\"logprobs\":null,\"finish_reason\":{finish_reason}}}]{usage}}}");
        self.chunk(&[b"{\"index\":0,\"delta\":", delta, tail.as_bytes()], out);
    }

    fn chunk(&self, pieces: &[&[u8]], out: &mut BytesMut) {
        let head = self.head.as_deref().unwrap_or_default();
        sse::write(out, "", &[&[head], pieces].concat().concat());
    }

    /// The last chunks. Says where the usage stands alone.
    fn end(&mut self, out: &mut BytesMut) -> Option<Range<usize>> {
        if std::mem::replace(&mut self.is_over, true) {
            return None;
        }
        self.begin(None, out);
        while let Some(call) = self.calls.first() {
            self.close(Some(call.block), out);
        }
        let reason = self.finish_reason.unwrap_or("stop");
        self.choice(b"{}", &format!("\"{reason}\""), out);
        let from = out.len();
        if let Ok(Some(usage)) = self.tally.usage() {
            let mut writer = Writer::new();
            answers::openai_usage(usage, &mut writer);
            self.chunk(&[b"],\"usage\":", &writer.into_bytes(), b"}"], out);
        }
        let to = out.len();
        out.put_slice(sse::DONE);
        Some(from..to)
    }
}

fn open_call(index: u64, delta: &mut Writer) {
    delta.key("tool_calls");
    delta.list();
    delta.object();
    delta.count("index", index);
}

fn close_call(delta: &mut Writer) {
    delta.end_object();
    delta.end_list();
}

fn arguments(index: u64, delta: &mut Writer, write: impl FnOnce(&mut Writer)) {
    open_call(index, delta);
    delta.key("function");
    delta.object();
    delta.key("arguments");
    write(delta);
    delta.end_object();
    close_call(delta);
}

impl Rewrite for OpenAiStream {
    fn event(&mut self, event: &Event<'_>, out: &mut BytesMut) -> Option<Range<usize>> {
        let data = event.data.as_deref()?;
        let mut document = std::mem::take(&mut self.document);
        let usage = if document.read(data).is_ok() { self.read(document.root(data), out) } else { None };
        self.document = document;
        usage
    }

    fn finish(&mut self, out: &mut BytesMut) -> Option<Range<usize>> {
        self.end(out)
    }
}
