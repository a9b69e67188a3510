//! What an answer looks like on the wire, in the dialect of the endpoint: whole, or as the pieces of a stream. Knows how much of it there is, not
//! when it comes.

mod anthropic;
mod openai;
mod responses;

use serde_json::Value;

use super::ask::{Ask, Endpoint};
use crate::gateway::rate_card::Usage;
use crate::twin::words;

/// An answer to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What was asked.
    pub ask: Ask,
    /// The call's number at this provider; ids on the wire are made of it.
    pub number: u64,
    /// Seconds since the epoch.
    pub created: u64,
    /// What it uses in all.
    pub usage: Usage,
    /// Output tokens in a chunk of a stream; at least 1.
    pub chunk_tokens: u32,
    /// Whether the limit on output ended it.
    pub is_limited: bool,
}

/// A piece of a stream: output tokens `from` up to `to`, all in one chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Its place among the chunks, from 0.
    pub number: u32,
    /// Chunks of the whole answer.
    pub of: u32,
    /// Output tokens before it.
    pub from: u32,
    /// Output tokens up to its end.
    pub to: u32,
}

impl Answer {
    /// The whole answer as one body.
    pub fn whole(&self) -> Value {
        match self.ask.endpoint {
            Endpoint::Chat | Endpoint::Completions => openai::whole(self),
            Endpoint::Embeddings => openai::embeddings(self),
            Endpoint::Responses => responses::whole(self),
            Endpoint::Messages => anthropic::whole(self),
            Endpoint::CountTokens => serde_json::json!({ "input_tokens": self.usage.input }),
        }
    }

    /// What a stream begins with, before the first token.
    pub fn opening(&self, out: &mut String) {
        match self.ask.endpoint {
            Endpoint::Responses => responses::opening(self, out),
            Endpoint::Messages => anthropic::opening(self, out),
            _ => openai::opening(self, out),
        }
    }

    /// One chunk of a stream.
    pub fn chunk(&self, chunk: Chunk, out: &mut String) {
        match self.ask.endpoint {
            Endpoint::Responses => responses::chunk(self, chunk, out),
            Endpoint::Messages => anthropic::chunk(self, chunk, out),
            _ => openai::chunk(self, chunk, out),
        }
    }

    /// What a stream ends with that ends well.
    pub fn closing(&self, out: &mut String) {
        match self.ask.endpoint {
            Endpoint::Responses => responses::closing(self, out),
            Endpoint::Messages => anthropic::closing(self, out),
            _ => openai::closing(self, out),
        }
    }

    /// The chunk that begins with output token `from`.
    pub fn chunk_at(&self, from: u32) -> Chunk {
        let size = self.chunk_tokens.max(1);
        let to = from.saturating_add(size).min(self.usage.output);
        Chunk { number: from / size, of: self.usage.output.div_ceil(size), from, to }
    }

    /// Which of the answers a chunk belongs to: they take turns.
    fn choice(&self, chunk: Chunk) -> u32 {
        chunk.number % u32::from(self.ask.choices)
    }

    /// The text of a chunk, or its part of the tool's arguments. Has no letter that JSON escapes, unless it is of a tool.
    fn text(&self, chunk: Chunk) -> String {
        if let Some(tool) = &self.ask.tool {
            let cut = |number: u32| tool.arguments.floor_char_boundary(tool.arguments.len() * number as usize / chunk.of.max(1) as usize);
            return tool.arguments[cut(chunk.number)..cut(chunk.number + 1)].to_owned();
        }
        let mut text = String::new();
        let before = chunk.number / u32::from(self.ask.choices) * self.chunk_tokens;
        words::write(self.ask.subject ^ u64::from(self.choice(chunk)), before, before + chunk.to - chunk.from, &mut text);
        text
    }

    /// All of one of the answers.
    fn whole_text(&self, choice: u32) -> String {
        let choices = u32::from(self.ask.choices);
        let share = self.usage.output / choices + u32::from(choice < self.usage.output % choices);
        let mut text = String::new();
        words::write(self.ask.subject ^ u64::from(choice), 0, share, &mut text);
        text
    }

    /// An id on the wire.
    fn id(&self, prefix: &str) -> String {
        format!("{prefix}{:016x}", self.number)
    }
}

/// Appends an event without a name, as OpenAI's chat sends them.
fn data(value: &Value, out: &mut String) {
    out.push_str("data: ");
    out.push_str(&value.to_string());
    out.push_str("\n\n");
}

/// Appends an event that is named by the type of what it carries.
fn event(value: &Value, out: &mut String) {
    out.push_str("event: ");
    out.push_str(value["type"].as_str().unwrap_or_default());
    out.push('\n');
    data(value, out);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(endpoint: Endpoint, output: u32, change: impl Fn(&mut Value)) -> Answer {
        let mut body = json!({"model": "m", "stream": true, "stream_options": {"include_usage": true}, "input": "cat", "prompt": "cat",
            "messages": [{"role": "user", "content": "cat"}]});
        change(&mut body);
        let ask = Ask::read(endpoint, body.to_string().as_bytes()).unwrap();
        Answer { ask, number: 7, created: 1, usage: Usage { cache_read: 30, ..Usage::plain(100, output) }, chunk_tokens: 3, is_limited: false }
    }

    /// The events of the whole stream, each as its data.
    fn streamed(answer: &Answer) -> Vec<Value> {
        let mut text = String::new();
        answer.opening(&mut text);
        let mut from = 0;
        while from < answer.usage.output {
            let chunk = answer.chunk_at(from);
            answer.chunk(chunk, &mut text);
            from = chunk.to;
        }
        answer.closing(&mut text);
        let datas = text.split("\n\n").filter_map(|event| event.lines().find_map(|line| line.strip_prefix("data: ")));
        datas.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
    }

    fn joined(events: &[Value], path: &str) -> String {
        events.iter().filter_map(|event| event.pointer(path)?.as_str()).collect()
    }

    #[test]
    fn a_stream_says_what_the_whole_answer_says() {
        for (endpoint, streamed_at, whole_at) in [
            (Endpoint::Chat, "/choices/0/delta/content", "/choices/0/message/content"),
            (Endpoint::Completions, "/choices/0/text", "/choices/0/text"),
            (Endpoint::Responses, "/delta", "/output/0/content/0/text"),
            (Endpoint::Messages, "/delta/text", "/content/0/text"),
        ] {
            let answer = answer(endpoint, 10, |_| ());
            let (events, whole) = (streamed(&answer), answer.whole());
            let text = joined(&events, streamed_at);
            assert_eq!(text, whole.pointer(whole_at).unwrap().as_str().unwrap(), "{endpoint:?}");
            assert_eq!(words::tokens(&text), 10);
        }
    }

    #[test]
    fn usage_is_what_each_dialect_makes_of_it() {
        let usage = |endpoint, path: &str| streamed(&answer(endpoint, 10, |_| ())).iter().rev().find_map(|event| event.pointer(path)?.as_u64());
        assert_eq!(usage(Endpoint::Chat, "/usage/prompt_tokens"), Some(100));
        assert_eq!(usage(Endpoint::Chat, "/usage/prompt_tokens_details/cached_tokens"), Some(30));
        assert_eq!(usage(Endpoint::Responses, "/response/usage/input_tokens_details/cached_tokens"), Some(30));
        assert_eq!(usage(Endpoint::Messages, "/message/usage/input_tokens"), Some(70), "what is cached is no part of it there");
        assert_eq!(usage(Endpoint::Messages, "/message/usage/cache_read_input_tokens"), Some(30));
        assert_eq!(usage(Endpoint::Messages, "/usage/output_tokens"), Some(10));
        let silent = streamed(&answer(Endpoint::Chat, 10, |body| body["stream_options"] = Value::Null));
        assert!(silent.iter().all(|event| event["usage"].is_null()), "nobody has asked");
    }

    #[test]
    fn a_tool_is_called_with_the_same_arguments_in_pieces() {
        let tool = |body: &mut Value| {
            let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
            body["tools"] = json!([{"type": "function", "name": "weather", "input_schema": schema,
                "function": {"name": "weather", "parameters": schema}}]);
            body["tool_choice"] = json!({"type": "any", "name": "weather"});
        };
        for (endpoint, path) in [
            (Endpoint::Chat, "/choices/0/delta/tool_calls/0/function/arguments"),
            (Endpoint::Responses, "/delta"),
            (Endpoint::Messages, "/delta/partial_json"),
        ] {
            assert_eq!(joined(&streamed(&answer(endpoint, 10, tool)), path), r#"{"city":"cat"}"#, "{endpoint:?}");
        }
        let whole = answer(Endpoint::Messages, 10, tool).whole();
        assert_eq!((&whole["stop_reason"], &whole["content"][0]["input"]["city"]), (&json!("tool_use"), &json!("cat")));
        assert_eq!(answer(Endpoint::Chat, 10, tool).whole()["choices"][0]["finish_reason"], "tool_calls");
    }

    #[test]
    fn several_answers_share_the_output_and_differ() {
        let answer = answer(Endpoint::Chat, 11, |body| body["n"] = json!(2));
        let whole = answer.whole();
        let text = |index: usize| whole["choices"][index]["message"]["content"].as_str().unwrap().to_owned();
        assert_eq!((words::tokens(&text(0)), words::tokens(&text(1))), (6, 5));
        assert_ne!(text(0)[..20], text(1)[..20]);
        let events = streamed(&answer);
        let of = |index: u64| {
            let own = events.iter().filter(|event| event["choices"][0]["index"] == index);
            own.filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect::<String>()
        };
        assert_eq!(words::tokens(&of(0)) + words::tokens(&of(1)), 11);
    }
}
