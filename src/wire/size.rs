//! How many input tokens a request has: an upper bound that needs no tokenizer, a lower one by what its texts are in one, and an estimate. Knows
//! shapes of content, no models.
//!
//! The bound rests on one fact: a tokenizer over bytes never makes more tokens of a text than it has bytes in UTF-8. Text is counted as it
//! stands in the body, where it has at least as many. What a provider adds around it is bounded by the constants below, on the high side.
//! Texts are counted one by one, and a model may be given two of them as one: what that adds at their seam is within the bound on what is around
//! them. Where nothing in the body bounds what is billed (`unseen`), this module says so.

use super::images::{self, Images};
use super::inbound::Malformed;
use super::inbound::{Field, Fields};
use super::json::{Kind, Value};
use super::tokens::Encoding;
use super::{Dialect, Endpoint, features};
use crate::gateway::features::Features;

/// Tokens that a request has whatever is in it: the opening of the answer is 3 at `OpenAI` (S, its cookbook on counting), and there may be a
/// default system line.
const REQUEST_TOKENS_MAX: u64 = 16;
/// Tokens around a message or a part of one: 3 or 4 for a message and 1 for a name at `OpenAI` (S, its cookbook); nothing known for Anthropic (U).
const PART_TOKENS_MAX: u64 = 8;
/// Tokens around a message, in the estimate.
const PART_TOKENS: u64 = 4;
/// Tokens around a tool and its parameters beyond the bytes of its definition: 7 to 10 and 3 for each of some of its words, whose quotes and braces
/// are more in the definition (S, `OpenAI`'s cookbook).
const TOOL_TOKENS_MAX: u64 = 32;
/// Tokens of the system prompt that comes with the first tool: 159 to 530 for Anthropic's models up to 4.5 (S, its page on tool use); later ones
/// more (U). `OpenAI` has 12.
const TOOLS_TOKENS_MAX: u64 = 1024;
/// The same in the estimate.
const TOOLS_TOKENS: u64 = 300;
/// Bytes of text in a token, in the estimate: four characters of English (P, `OpenAI`'s help on tokens).
const BYTES_PER_TOKEN: u64 = 4;
/// Bytes of base64 in a token of sound, at least: 32 tokens a second (S, Gemini; `OpenAI` has 10) of the thinnest codec, 6 kbit/s (U).
const SOUND_BYTES_PER_TOKEN: u64 = 16;

/// What was weighed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weight {
    text_bytes: u64,
    sound_bytes: u64,
    /// Numbers in a prompt that is given as tokens, and the tokens of texts that were counted.
    tokens: u64,
    parts: u64,
    tools: u64,
    images: Images,
    /// It draws on input that is not in the body.
    pub(super) unseen_input: bool,
    /// The words that the content uses.
    pub(super) used: Features,
}

impl Weight {
    const NOTHING: Self = Self {
        text_bytes: 0,
        sound_bytes: 0,
        tokens: 0,
        parts: 0,
        tools: 0,
        images: Images { count: 0, tokens: 0, tokens_max: 0, tokens_max_dear: 0 },
        unseen_input: false,
        used: Features::NONE,
    };

    /// The upper bound; with images as the dearest models count them, or as all others do.
    pub(super) fn bound(&self, dear_images: bool) -> u32 {
        let tools = if self.tools > 0 { TOOLS_TOKENS_MAX + self.tools * TOOL_TOKENS_MAX } else { 0 };
        let images = if dear_images { self.images.tokens_max_dear } else { self.images.tokens_max };
        let text = self.text_bytes + self.tokens + self.sound_bytes.div_ceil(SOUND_BYTES_PER_TOKEN);
        short(text + REQUEST_TOKENS_MAX + self.parts * PART_TOKENS_MAX + tools + images)
    }

    /// Whether there is any text.
    pub(super) fn has_text(&self) -> bool {
        self.text_bytes > 0
    }

    /// The estimate.
    pub(super) fn estimate(&self) -> u32 {
        let tools = if self.tools > 0 { TOOLS_TOKENS } else { 0 };
        let text = self.text_bytes.div_ceil(BYTES_PER_TOKEN) + self.tokens + self.sound_bytes / (4 * SOUND_BYTES_PER_TOKEN);
        short(text + self.parts * PART_TOKENS + tools + self.images.tokens)
    }

    fn uses(&mut self, features: Features) {
        self.used = self.used.and(features);
    }
}

/// Weighs the content of a request.
pub(super) fn weigh(endpoint: Endpoint, fields: &Fields<'_>) -> Result<Weight, Malformed> {
    weigh_by(endpoint, fields, &|text, weight| weight.text_bytes += text.string_bytes() as u64)
}

/// Weighs it anew, by what its texts are in `encoding`. All that is not known to be given to the model as it is (definitions of tools, their
/// arguments, schemas) goes by its bytes as before, so the bound is never above the one that needs no tokenizer.
pub(super) fn count(endpoint: Endpoint, fields: &Fields<'_>, encoding: Encoding) -> Result<Weight, Malformed> {
    weigh_by(endpoint, fields, &|text, weight| match text.string() {
        Some(text) => weight.tokens += encoding.count(&text),
        None => weight.text_bytes += text.string_bytes() as u64,
    })
}

/// Adds a text to what is weighed.
trait Text: Fn(Value<'_>, &mut Weight) {}
impl<F: Fn(Value<'_>, &mut Weight)> Text for F {}

fn weigh_by(endpoint: Endpoint, fields: &Fields<'_>, text: &impl Text) -> Result<Weight, Malformed> {
    let mut weight = Weight::NOTHING;
    match endpoint {
        Endpoint::ChatCompletions | Endpoint::Messages | Endpoint::CountTokens => weigh_messages(endpoint, fields, &mut weight, text)?,
        Endpoint::Responses => weigh_input(fields, &mut weight, text)?,
        Endpoint::Completions => weigh_texts(Field::Prompt, fields, &mut weight, text)?,
        Endpoint::Embeddings => weigh_texts(Field::Input, fields, &mut weight, text)?,
    }
    for field in [Field::System, Field::Instructions, Field::Suffix] {
        if let Some(value) = fields.get(field) {
            weight.parts += 1;
            weigh_content(value, &mut weight, text);
        }
    }
    // What the model sees of these is made from their text, as it stands.
    let described = [
        Field::Tools,
        Field::Functions,
        Field::ResponseFormat,
        Field::Text,
        Field::OutputConfig,
        Field::OutputFormat,
        Field::Prediction,
        Field::ToolChoice,
        Field::FunctionCall,
    ];
    weight.text_bytes += described.into_iter().filter_map(|field| fields.get(field)).map(|value| value.raw().len() as u64).sum::<u64>();
    weight.tools = [Field::Tools, Field::Functions].into_iter().filter_map(|field| fields.get(field)).map(|list| list.items().count() as u64).sum();
    Ok(weight)
}

fn weigh_messages(endpoint: Endpoint, fields: &Fields<'_>, weight: &mut Weight, text: &impl Text) -> Result<(), Malformed> {
    let list = fields.get(Field::Messages).ok_or_else(|| Malformed::field("messages", "is missing"))?;
    if list.kind() != Kind::Array {
        return Err(Malformed::kind("messages", list, "a list"));
    }
    let mut last_role = None;
    for (at, message) in list.items().enumerate() {
        if message.kind() != Kind::Object {
            return Err(Malformed::kind(format!("messages[{at}]"), message, "an object"));
        }
        last_role = message.get("role");
        if last_role.is_none_or(|role| role.kind() != Kind::String) {
            return Err(Malformed::field(format!("messages[{at}].role"), "is missing, or no string"));
        }
        weight.parts += 1;
        for (key, value) in message.entries() {
            if key.is("tool_calls") && value.items().nth(1).is_some() {
                weight.uses(features::PARALLEL_TOOLS);
            }
            if key.is("tool_calls") && value.items().next().is_some() {
                weight.uses(features::TOOLS);
            }
            weigh_content(value, weight, text);
        }
    }
    if last_role.is_none() {
        return Err(Malformed::field("messages", "is empty"));
    }
    if endpoint.dialect() == Dialect::Anthropic && last_role.is_some_and(|role| role.is("assistant")) {
        weight.uses(features::PREFILL);
    }
    Ok(())
}

/// The input of a response: a text, or a list of items.
fn weigh_input(fields: &Fields<'_>, weight: &mut Weight, text: &impl Text) -> Result<(), Malformed> {
    // A stored prompt or an earlier response may stand for it.
    let Some(input) = fields.get(Field::Input) else { return Ok(()) };
    match input.kind() {
        Kind::String | Kind::Array => weigh_content(input, weight, text),
        _ => return Err(Malformed::kind("input", input, "a string or a list")),
    }
    weight.parts += 1;
    Ok(())
}

/// One text, several, or the same as tokens.
fn weigh_texts(field: Field, fields: &Fields<'_>, weight: &mut Weight, text: &impl Text) -> Result<(), Malformed> {
    let Some(value) = fields.get(field) else {
        // Completions go without a prompt.
        return if field == Field::Input { Err(Malformed::field("input", "is missing")) } else { Ok(()) };
    };
    if !matches!(value.kind(), Kind::String | Kind::Array) {
        return Err(Malformed::kind(field.name(), value, "a string or a list"));
    }
    for value in value.all() {
        match value.kind() {
            Kind::String => {
                text(value, weight);
                weight.parts += 1;
            }
            Kind::Number => weight.tokens += 1,
            _ => {}
        }
    }
    Ok(())
}

/// Text, a list of parts, or a part: whatever it is, all of it counts.
fn weigh_content(value: Value<'_>, weight: &mut Weight, text: &impl Text) {
    match value.kind() {
        Kind::String => text(value, weight),
        Kind::Number | Kind::Boolean | Kind::Null => weight.text_bytes += value.raw().len() as u64,
        Kind::Array => {
            for item in value.items() {
                weight.parts += 1;
                weigh_content(item, weight, text);
            }
        }
        Kind::Object => weigh_part(value, weight, text),
    }
}

fn weigh_part(part: Value<'_>, weight: &mut Weight, text: &impl Text) {
    let kind = part.some("type").and_then(Value::string);
    match kind.as_deref() {
        Some("image_url" | "input_image" | "image") => {
            weight.uses(features::IMAGES);
            if part.some("file_id").is_some() {
                weight.uses(features::STORED);
            }
            weight.images.add(images::read(part));
            return;
        }
        Some("input_audio") => {
            weight.uses(features::AUDIO);
            weight.sound_bytes += part.raw().len() as u64;
            return;
        }
        // A page of a PDF is billed as its text and its picture; how many pages it has is not known here.
        Some("file" | "input_file" | "document" | "container_upload") => {
            weight.uses(features::DOCUMENTS);
            weight.unseen_input = true;
        }
        Some("item_reference") => {
            weight.uses(features::STORED);
            weight.unseen_input = true;
        }
        Some("thinking" | "redacted_thinking") => weight.uses(features::SIGNED_THINKING),
        Some("tool_use" | "tool_result" | "function_call" | "function_call_output") => weight.uses(features::TOOLS),
        Some(other) if is_hosted(other) => weight.uses(features::HOSTED_TOOLS),
        // Arguments, schemas and whatever else has no type is seen as it stands.
        None => {
            weight.text_bytes += part.raw().len() as u64;
            return;
        }
        Some(_) => {}
    }
    for (key, value) in part.entries() {
        if key.is("input") && value.kind() == Kind::Object {
            weight.text_bytes += value.raw().len() as u64;
        } else {
            weigh_content(value, weight, text);
        }
    }
}

/// Whether a part tells of a tool that the provider ran.
fn is_hosted(kind: &str) -> bool {
    kind == "server_tool_use" || kind.starts_with("mcp_") || (kind.ends_with("_tool_result") && kind != "tool_result")
}

fn short(tokens: u64) -> u32 {
    u32::try_from(tokens).unwrap_or(u32::MAX)
}
