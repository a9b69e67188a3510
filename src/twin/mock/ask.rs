//! What a call asks of a provider, in either dialect: the tokens of its prompt, how much it wants, and how. Read without the gateway's own reader, so
//! that the two can be held against each other. Knows no world.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use serde_json::Value;

use crate::price::tokens::{Ratio, TokenRatio};
use crate::twin::words::{self, Marker, TOKEN_BYTES};

/// Tokens in a block of the prompt unless the marker says otherwise: the step in which OpenAI counts cached tokens (P).
const BLOCK_TOKENS: u32 = 128;
/// An image, whatever its size: what OpenAI counts for one at low detail (P).
const IMAGE_TOKENS: u32 = 85;

/// The most answers to one prompt (OpenAI, P).
const CHOICES_MAX: u16 = 128;

/// What a provider can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// OpenAI's chat completions.
    Chat,
    /// OpenAI's completions of a text.
    Completions,
    /// OpenAI's embeddings.
    Embeddings,
    /// OpenAI's responses.
    Responses,
    /// Anthropic's messages.
    Messages,
    /// How many tokens a message of Anthropic's would have.
    CountTokens,
}

/// A call, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// What for.
    pub endpoint: Endpoint,
    /// The model named in it; answers repeat it.
    pub model: String,
    /// Whether the answer is wanted as a stream.
    pub stream: bool,
    /// Whether a stream is to end with what it used.
    pub include_usage: bool,
    /// The limit on output, if stated.
    pub max_tokens: Option<u32>,
    /// Answers wanted; at least 1.
    pub choices: u16,
    /// Tokens of the prompt.
    pub input_tokens: u32,
    /// What the prompt is, for texts that depend on it.
    pub subject: u64,
    /// Chained hashes of the prompt's blocks.
    pub blocks: Vec<u64>,
    /// Tokens in one of them, as the prompt has them.
    pub block_size: u32,
    /// What these are to the model that is called.
    pub block_ratio: Ratio,
    /// What the traffic says about the answer.
    pub marker: Marker,
    /// The tool that the answer is to call.
    pub tool: Option<Tool>,
    /// What is to be embedded: a hash of each text.
    pub inputs: Vec<u64>,
    /// Numbers in an embedding.
    pub dimensions: u32,
    /// Whether they are wanted as base64.
    pub base64: bool,
}

/// A tool, and what it is called with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// A JSON object that fits its schema.
    pub arguments: String,
}

/// Why a call can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// In words.
    pub message: String,
    /// The field at fault, if it is one.
    pub param: Option<&'static str>,
}

impl Endpoint {
    /// What a path leads to.
    pub fn of_path(path: &str) -> Option<Self> {
        // The longer paths first: they end in what others are called.
        let known = [
            ("/chat/completions", Self::Chat),
            ("/completions", Self::Completions),
            ("/embeddings", Self::Embeddings),
            ("/responses", Self::Responses),
            ("/messages/count_tokens", Self::CountTokens),
            ("/messages", Self::Messages),
        ];
        known.into_iter().find(|(end, _)| path.ends_with(end)).map(|(_, endpoint)| endpoint)
    }

    /// Whether it is Anthropic's.
    pub const fn is_anthropic(self) -> bool {
        matches!(self, Self::Messages | Self::CountTokens)
    }
}

impl Ask {
    /// Reads a call.
    ///
    /// # Errors
    /// If it is not JSON, or lacks what the endpoint needs.
    pub fn read(endpoint: Endpoint, body: &[u8]) -> Result<Self, Malformed> {
        let root: Value =
            serde_json::from_slice(body).map_err(|error| Malformed { message: format!("The body is not JSON: {error}"), param: None })?;
        let model = root["model"].as_str().ok_or_else(|| malformed("model", "must be a string"))?.to_owned();
        let mut prompt = Prompt::default();
        prompt.read(endpoint, &root)?;
        let marker = prompt.marker.unwrap_or_default();
        let block_size = marker.block.unwrap_or(BLOCK_TOKENS);
        let hasher = FixedState::with_seed(0);
        Ok(Self {
            endpoint,
            model,
            stream: flag(&root["stream"], "stream")?,
            include_usage: root["stream_options"]["include_usage"] == true,
            max_tokens: max_tokens(&root)?,
            choices: choices(endpoint, &root)?,
            input_tokens: words::tokens(&prompt.text).saturating_add(prompt.extra_tokens),
            subject: hasher.hash_one(&prompt.text),
            blocks: blocks(&prompt.text, block_size as usize * TOKEN_BYTES, &hasher),
            block_size,
            block_ratio: Ratio::ONE,
            tool: tool(&root, &marker),
            marker,
            inputs: prompt.inputs.iter().map(|text| hasher.hash_one(text)).collect(),
            dimensions: count(&root["dimensions"], "dimensions")?.unwrap_or(16),
            base64: root["encoding_format"] == "base64",
        })
    }

    /// The same for a model that counts tokens otherwise.
    #[must_use]
    pub fn counted(self, ratio: TokenRatio) -> Self {
        let output = self.marker.output.map(|tokens| ratio.output.of(tokens));
        Self { input_tokens: ratio.input.of(self.input_tokens), marker: Marker { output, ..self.marker }, block_ratio: ratio.input, ..self }
    }
}

/// A prompt as one text.
#[derive(Debug, Default)]
struct Prompt {
    text: String,
    extra_tokens: u32,
    /// The last message's.
    marker: Option<Marker>,
    inputs: Vec<String>,
}

impl Prompt {
    fn read(&mut self, endpoint: Endpoint, root: &Value) -> Result<(), Malformed> {
        if !root["tools"].is_null() {
            self.text.push_str(&root["tools"].to_string());
        }
        match endpoint {
            Endpoint::Chat | Endpoint::Messages | Endpoint::CountTokens => {
                self.content(&root["system"]);
                let messages = root["messages"].as_array().filter(|messages| !messages.is_empty());
                messages.ok_or_else(|| malformed("messages", "must be a list of at least one message"))?.iter().for_each(|each| self.message(each));
            }
            Endpoint::Completions => self.texts("prompt", &root["prompt"])?,
            Endpoint::Embeddings => self.texts("input", &root["input"])?,
            Endpoint::Responses => {
                self.content(&root["instructions"]);
                match &root["input"] {
                    Value::Array(items) => items.iter().for_each(|item| self.message(item)),
                    Value::String(_) => self.content(&root["input"]),
                    _ => return Err(malformed("input", "must be a string or a list")),
                }
            }
        }
        Ok(())
    }

    fn message(&mut self, message: &Value) {
        self.marker = None;
        self.content(&message["content"]);
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            self.part(call["function"]["name"].as_str().unwrap_or_default());
            self.part(call["function"]["arguments"].as_str().unwrap_or_default());
        }
        // Items of the responses endpoint.
        self.part(message["arguments"].as_str().unwrap_or_default());
        self.part(message["output"].as_str().unwrap_or_default());
    }

    fn content(&mut self, content: &Value) {
        match content {
            Value::String(text) => self.part(text),
            Value::Array(parts) => parts.iter().for_each(|part| self.content_part(part)),
            _ => {}
        }
    }

    fn content_part(&mut self, part: &Value) {
        match part["type"].as_str() {
            Some("image_url" | "image" | "input_image") => self.extra_tokens = self.extra_tokens.saturating_add(IMAGE_TOKENS),
            Some("tool_result") => self.content(&part["content"]),
            Some("tool_use") => self.part(&part["input"].to_string()),
            _ => self.part(part["text"].as_str().unwrap_or_default()),
        }
    }

    fn part(&mut self, text: &str) {
        self.marker = Marker::find(text).or(self.marker.take());
        words::append(text, &mut self.text);
    }

    /// A text, several, or tokens as numbers.
    fn texts(&mut self, param: &'static str, value: &Value) -> Result<(), Malformed> {
        let mut one = |text: &str| {
            self.part(text);
            self.inputs.push(text.to_owned());
        };
        match value {
            Value::String(text) => one(text),
            Value::Array(items) if items.iter().all(Value::is_string) => items.iter().filter_map(Value::as_str).for_each(one),
            Value::Array(items) if items.iter().all(Value::is_number) => one(&numbers(items)),
            Value::Array(items) if items.iter().all(Value::is_array) => items.iter().filter_map(Value::as_array).for_each(|item| one(&numbers(item))),
            _ => return Err(malformed(param, "must be a string, a list of strings, or tokens")),
        }
        Ok(())
    }
}

/// Tokens that were sent as numbers, as a text of as many tokens.
fn numbers(items: &[Value]) -> String {
    items.iter().map(|item| format!("{:04}", item.as_u64().unwrap_or_default() % 10_000)).collect()
}

/// Each block with all before it; the last one may be short.
fn blocks(text: &str, block_bytes: usize, hasher: &FixedState) -> Vec<u64> {
    let mut chained = 0;
    let chain = |block: &[u8]| {
        chained = hasher.hash_one((chained, block));
        chained
    };
    if block_bytes == 0 { Vec::new() } else { text.as_bytes().chunks(block_bytes).map(chain).collect() }
}

fn max_tokens(root: &Value) -> Result<Option<u32>, Malformed> {
    for key in ["max_tokens", "max_completion_tokens", "max_output_tokens"] {
        if let Some(tokens) = count(&root[key], key)? {
            return Ok(Some(tokens));
        }
    }
    Ok(None)
}

/// Only two endpoints give several answers.
fn choices(endpoint: Endpoint, root: &Value) -> Result<u16, Malformed> {
    let has_choices = matches!(endpoint, Endpoint::Chat | Endpoint::Completions);
    let wanted = count(&root["n"], "n")?.filter(|_| has_choices).unwrap_or(1);
    u16::try_from(wanted).ok().filter(|n| *n <= CHOICES_MAX).ok_or_else(|| malformed("n", "must be at most 128"))
}

fn count(value: &Value, param: &'static str) -> Result<Option<u32>, Malformed> {
    if value.is_null() {
        return Ok(None);
    }
    let number = value.as_u64().filter(|number| *number > 0).ok_or_else(|| malformed(param, "must be a whole number above 0"))?;
    Ok(Some(u32::try_from(number).unwrap_or(u32::MAX)))
}

fn flag(value: &Value, param: &'static str) -> Result<bool, Malformed> {
    if value.is_null() { Ok(false) } else { value.as_bool().ok_or_else(|| malformed(param, "must be true or false")) }
}

fn malformed(param: &'static str, what: &str) -> Malformed {
    Malformed { message: format!("'{param}' {what}"), param: Some(param) }
}

/// The tool that the answer calls: the one that `tool_choice` names, or the first where that or the marker wants any.
fn tool(root: &Value, marker: &Marker) -> Option<Tool> {
    let choice = &root["tool_choice"];
    let named = choice["function"]["name"].as_str().or(choice["name"].as_str());
    let any = choice == "required" || choice["type"] == "any" || marker.tool;
    let of = |tool: &Value| {
        let function = if tool["function"].is_object() { &tool["function"] } else { tool };
        let name = function["name"].as_str()?.to_owned();
        let schema = if function["input_schema"].is_object() { &function["input_schema"] } else { &function["parameters"] };
        Some(Tool { name, arguments: fitting(schema, 8).to_string() })
    };
    let mut tools = root["tools"].as_array().into_iter().flatten().filter_map(of);
    match named {
        Some(name) => tools.find(|tool| tool.name == name),
        None => tools.next().filter(|_| any),
    }
}

/// A value that fits a JSON schema as tools have them, so deep.
fn fitting(schema: &Value, depth: u32) -> Value {
    if let Some(first) = schema["enum"].as_array().and_then(|values| values.first()) {
        return first.clone();
    }
    let properties = || {
        let is_required = |name: &String| schema["required"].as_array().is_none_or(|required| required.iter().any(|each| each == name.as_str()));
        schema["properties"].as_object().into_iter().flatten().filter(move |(name, _)| is_required(name))
    };
    match schema["type"].as_str() {
        Some("string") => "cat".into(),
        Some("integer") => 1.into(),
        Some("number") => 1.5.into(),
        Some("boolean") => true.into(),
        Some("array") if depth > 0 => vec![fitting(&schema["items"], depth - 1)].into(),
        Some("array") => Value::Array(Vec::new()),
        Some("object") | None if depth > 0 => Value::Object(properties().map(|(name, inner)| (name.clone(), fitting(inner, depth - 1))).collect()),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(endpoint: Endpoint, body: &Value) -> Ask {
        Ask::read(endpoint, body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn both_dialects_count_the_same_text_alike_and_no_marker() {
        let openai = json!({"model": "m", "messages": [
            {"role": "system", "content": "cat dog "}, {"role": "user", "content": [{"type": "text", "text": "sun [[gwsim output=9]]sky"}]}]});
        let anthropic = json!({"model": "m", "system": "cat dog ", "max_tokens": 5,
            "messages": [{"role": "user", "content": "sun [[gwsim output=9]]sky"}]});
        let (chat, messages) = (read(Endpoint::Chat, &openai), read(Endpoint::Messages, &anthropic));
        assert_eq!((chat.input_tokens, messages.input_tokens), (4, 4), "15 bytes");
        assert_eq!((chat.subject, &chat.blocks), (messages.subject, &messages.blocks));
        assert_eq!((chat.marker.output, chat.max_tokens, messages.max_tokens), (Some(9), None, Some(5)));
    }

    #[test]
    fn only_the_last_message_says_what_the_answer_is() {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "[[gwsim output=9]]"}, {"role": "user", "content": "again"}]});
        assert_eq!(read(Endpoint::Chat, &body).marker, Marker::default());
    }

    #[test]
    fn prompts_that_begin_alike_share_blocks_as_long_as_they_do() {
        let ask = |text: String| read(Endpoint::Completions, &json!({"model": "m", "prompt": format!("[[gwsim block=2]]{text}")})).blocks;
        let (short, long, other) = (ask("cat dog sun ".into()), ask("cat dog sun sky air ".into()), ask("cow dog sun ".into()));
        assert_eq!((short.len(), long.len()), (2, 3));
        assert_eq!(short[0], long[0]);
        assert!(short[1] != long[1] && short[0] != other[0] && short[1] != other[1]);
    }

    #[test]
    fn a_tool_is_called_when_it_is_asked_for_and_with_what_fits_its_schema() {
        let parameters = json!({"type": "object", "required": ["city", "days"], "properties": {
            "city": {"type": "string"}, "days": {"type": "integer"}, "unit": {"type": "string", "enum": ["c", "f"]}}});
        let tools = json!([{"type": "function", "function": {"name": "weather", "parameters": parameters}}]);
        let ask = |choice: Value, text: &str| {
            read(Endpoint::Chat, &json!({"model": "m", "tools": tools, "tool_choice": choice, "messages": [{"role": "user", "content": text}]})).tool
        };
        let called = Some(Tool { name: "weather".into(), arguments: r#"{"city":"cat","days":1}"#.into() });
        assert_eq!((ask(Value::Null, "hi"), ask("auto".into(), "hi")), (None, None));
        assert_eq!((ask("required".into(), "hi"), ask(Value::Null, "[[gwsim tool]]")), (called.clone(), called.clone()));
        assert_eq!(ask(json!({"type": "function", "function": {"name": "weather"}}), "hi"), called);
        assert_eq!(ask(json!({"type": "function", "function": {"name": "other"}}), "hi"), None);
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_the_field_at_fault() {
        let fault = |body: Value| Ask::read(Endpoint::Chat, body.to_string().as_bytes()).unwrap_err().param;
        let messages = json!([{"role": "user", "content": "hi"}]);
        assert_eq!(fault(json!({"messages": messages})), Some("model"));
        assert_eq!(fault(json!({"model": "m", "messages": []})), Some("messages"));
        assert_eq!(fault(json!({"model": "m", "messages": messages, "max_tokens": -1})), Some("max_tokens"));
        assert_eq!(fault(json!({"model": "m", "messages": messages, "stream": "yes"})), Some("stream"));
        assert!(Ask::read(Endpoint::Chat, b"{").is_err());
    }

    #[test]
    fn paths_are_told_by_their_ends() {
        let of = |path| Endpoint::of_path(path);
        assert_eq!(of("/v1/chat/completions"), Some(Endpoint::Chat));
        assert_eq!(of("/openai/deployments/x/completions"), Some(Endpoint::Completions));
        assert_eq!((of("/v1/messages"), of("/v1/messages/count_tokens")), (Some(Endpoint::Messages), Some(Endpoint::CountTokens)));
        assert_eq!(of("/v1/files"), None);
    }
}
