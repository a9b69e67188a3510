//! A request of chat completions in the words of the Messages API. The request was checked by [`super::known`]; decides nothing of its own.

use std::collections::HashSet;

use super::super::json::{Document, Kind, Value};
use super::super::{Inbound, Target};
use super::known::split_data_url;
use super::models::{self, Claude, Thinking};
use super::write::Writer;

/// The body.
pub(super) fn body(inbound: &Inbound, target: &Target<'_>) -> Vec<u8> {
    let root = inbound.root();
    let claude = models::claude(target.model);
    let tools = Tools::read(root);
    let thinking = thinking(root, claude, &tools, target.max_tokens);
    let mut out = Writer::with_capacity(inbound.body.len() + 256);
    out.object();
    out.text("model", target.model);
    out.count("max_tokens", u64::from(target.max_tokens));
    system(root, &mut out);
    messages(root, &mut out);
    tools.write(root, &mut out);
    if let Some(thinking) = &thinking {
        thinking.write(&mut out);
    }
    sampling(root, claude, thinking.is_some(), &mut out);
    stop_sequences(root, &mut out);
    // The longest that Anthropic takes (S).
    if let Some(user) = inbound.end_user.as_ref().filter(|user| user.chars().count() <= 256) {
        out.key("metadata");
        out.object();
        out.text("user_id", user);
        out.end_object();
    }
    if inbound.stream {
        out.field("stream", b"true");
    }
    out.end_object();
    out.into_bytes()
}

fn role_is(message: Value<'_>, names: &[&str]) -> bool {
    message.get("role").is_some_and(|role| names.iter().any(|name| role.is(name)))
}

/// Anthropic refuses text without a character that can be seen (S).
fn is_blank(text: Value<'_>) -> bool {
    text.string().is_none_or(|text| text.trim().is_empty())
}

fn messages_of(root: Value<'_>) -> impl Iterator<Item = Value<'_>> {
    root.some("messages").into_iter().flat_map(Value::items)
}

/// Instructions, wherever they stand, in their order.
fn system(root: Value<'_>, out: &mut Writer) {
    let instructions = || messages_of(root).filter(|message| role_is(*message, &["system", "developer"]));
    let texts = || instructions().flat_map(parts).filter(|(text, _)| !is_blank(*text));
    if texts().next().is_none() {
        return;
    }
    out.key("system");
    out.list();
    for (text, holder) in texts() {
        text_block(text, holder, out);
    }
    out.end_list();
}

/// The texts of a message, each with what may hold a mark of the prompt cache for it.
fn parts(message: Value<'_>) -> Vec<(Value<'_>, Value<'_>)> {
    let Some(content) = message.some("content") else { return Vec::new() };
    if content.kind() == Kind::String {
        return vec![(content, message)];
    }
    content.items().filter_map(|part| Some((part.some("text").or_else(|| part.some("refusal"))?, part))).collect()
}

fn text_block(text: Value<'_>, holder: Value<'_>, out: &mut Writer) {
    out.object();
    out.text("type", "text");
    out.field("text", text.raw());
    cache_control(holder, out);
    out.end_object();
}

/// Some clients of gateways write Anthropic's marks into this dialect.
fn cache_control(holder: Value<'_>, out: &mut Writer) {
    if let Some(mark) = holder.some("cache_control") {
        out.field("cache_control", mark.raw());
    }
}

/// The turns of a conversation while they are written: neighbours of one role are one turn, and the first is the user's.
struct Turns<'a> {
    out: &'a mut Writer,
    role: Option<&'static str>,
}

/// Stands for the user where a conversation must begin with one and does not.
const NOTHING_SAID: &str = ".";

impl Turns<'_> {
    /// The place of the next block of this role.
    fn block(&mut self, role: &'static str) -> &mut Writer {
        if self.role.is_none() && role == "assistant" {
            self.say_nothing();
        }
        if self.role != Some(role) {
            self.close();
            self.out.object();
            self.out.text("role", role);
            self.out.key("content");
            self.out.list();
            self.role = Some(role);
        }
        self.out
    }

    fn say_nothing(&mut self) {
        let out = self.block("user");
        out.object();
        out.text("type", "text");
        out.text("text", NOTHING_SAID);
        out.end_object();
    }

    fn close(&mut self) {
        if self.role.is_some() {
            self.out.end_list();
            self.out.end_object();
        }
    }
}

fn messages(root: Value<'_>, out: &mut Writer) {
    out.key("messages");
    out.list();
    let mut turns = Turns { out, role: None };
    for message in messages_of(root) {
        if role_is(message, &["user"]) {
            blocks(message, "user", &mut turns);
        } else if role_is(message, &["assistant"]) {
            blocks(message, "assistant", &mut turns);
            if let Some(refusal) = message.some("refusal").filter(|refusal| !is_blank(*refusal)) {
                text_block(refusal, refusal, turns.block("assistant"));
            }
            message.some("tool_calls").into_iter().flat_map(Value::items).for_each(|call| tool_use(call, turns.block("assistant")));
        } else if role_is(message, &["tool"]) {
            tool_result(message, turns.block("user"));
        }
    }
    // An answer at the end, as where what followed it was blank or is the system's, would be gone on with.
    if turns.role != Some("user") {
        turns.say_nothing();
    }
    turns.close();
    out.end_list();
}

/// Text and images of a message.
fn blocks(message: Value<'_>, role: &'static str, turns: &mut Turns<'_>) {
    let Some(content) = message.some("content") else { return };
    if content.kind() == Kind::String {
        if !is_blank(content) {
            text_block(content, message, turns.block(role));
        }
        return;
    }
    for part in content.items() {
        if part.some("image_url").is_some() {
            image(part, turns.block(role));
        } else if let Some(text) = part.some("text").or_else(|| part.some("refusal")).filter(|text| !is_blank(*text)) {
            text_block(text, part, turns.block(role));
        }
    }
}

fn image(part: Value<'_>, out: &mut Writer) {
    let Some(url) = part.some("image_url").and_then(|url| url.some("url")) else { return };
    out.object();
    out.text("type", "image");
    out.key("source");
    out.object();
    if let Some((media, data)) = url.string_raw().and_then(split_data_url) {
        out.text("type", "base64");
        out.key("media_type");
        out.pieces([media]);
        out.key("data");
        out.pieces([data]);
    } else {
        out.text("type", "url");
        out.field("url", url.raw());
    }
    out.end_object();
    cache_control(part, out);
    out.end_object();
}

fn tool_use(call: Value<'_>, out: &mut Writer) {
    let (Some(id), Some(function)) = (call.some("id"), call.some("function")) else { return };
    out.object();
    out.text("type", "tool_use");
    out.text("id", &identity(id));
    out.key("name");
    out.raw(function.get("name").map_or(b"\"\"", Value::raw));
    out.key("input");
    let arguments = function.get("arguments").and_then(Value::string).unwrap_or_default();
    input(&arguments, out);
    cache_control(call, out);
    out.end_object();
}

/// The arguments of a call as an object. A model may have written what is none.
pub(super) fn input(arguments: &str, out: &mut Writer) {
    let text = arguments.trim();
    let is_object = Document::parse(text.as_bytes()).is_ok_and(|document| document.root(text.as_bytes()).kind() == Kind::Object);
    if is_object {
        out.raw(text.as_bytes());
        return;
    }
    out.object();
    if !text.is_empty() {
        out.text("arguments", text);
    }
    out.end_object();
}

/// The identity of a call with the characters that Anthropic takes: letters, digits, `_` and `-` (S). Others are written as `_` and their code, so
/// that calls and results still meet.
fn identity(id: Value<'_>) -> String {
    let id = id.string().unwrap_or_default();
    let mut out = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("_{byte:02x}"));
        }
    }
    if out.is_empty() { "_".into() } else { out }
}

fn tool_result(message: Value<'_>, out: &mut Writer) {
    let Some(id) = message.some("tool_call_id") else { return };
    out.object();
    out.text("type", "tool_result");
    out.text("tool_use_id", &identity(id));
    match message.some("content") {
        Some(content) if content.kind() == Kind::String => out.field("content", content.raw()),
        Some(content) => {
            out.key("content");
            out.list();
            for part in content.items() {
                if part.some("image_url").is_some() {
                    image(part, out);
                } else if let Some(text) = part.some("text").filter(|text| !is_blank(*text)) {
                    text_block(text, part, out);
                }
            }
            out.end_list();
        }
        None => {}
    }
    cache_control(message, out);
    out.end_object();
}

/// The tools that may be called, and how they may.
struct Tools<'a> {
    /// The functions, and the entry of `tools` that each stands in.
    defined: Vec<(Value<'a>, Value<'a>)>,
    choice: Choice<'a>,
}

#[derive(Clone, Copy)]
enum Choice<'a> {
    Unsaid,
    Auto,
    None,
    Any,
    Named(Value<'a>),
}

impl<'a> Tools<'a> {
    fn read(root: Value<'a>) -> Self {
        let tools = root.some("tools").into_iter().flat_map(Value::items);
        let mut defined: Vec<_> = tools.filter_map(|tool| Some((tool.some("function")?, tool))).collect();
        let Some(choice) = root.some("tool_choice") else { return Self { defined, choice: Choice::Unsaid } };
        let of_word = |word: Value<'_>| {
            if word.is("required") {
                Choice::Any
            } else if word.is("none") {
                Choice::None
            } else {
                Choice::Auto
            }
        };
        let choice = if let Some(allowed) = choice.some("allowed_tools") {
            let names: HashSet<_> =
                allowed.some("tools").into_iter().flat_map(Value::items).filter_map(|tool| tool.some("function")?.get("name")?.string()).collect();
            defined.retain(|(function, _)| function.get("name").and_then(Value::string).is_some_and(|name| names.contains(&name)));
            allowed.get("mode").map_or(Choice::Auto, of_word)
        } else if let Some(name) = choice.some("function").and_then(|function| function.get("name")) {
            Choice::Named(name)
        } else {
            of_word(choice)
        };
        Self { defined, choice }
    }

    /// Whether the model has no choice but to call one.
    fn are_forced(&self) -> bool {
        !self.defined.is_empty() && matches!(self.choice, Choice::Any | Choice::Named(_))
    }

    fn write(&self, root: Value<'_>, out: &mut Writer) {
        if self.defined.is_empty() {
            return tools_of_the_past(root, out);
        }
        out.key("tools");
        out.list();
        for (function, holder) in &self.defined {
            define(*function, *holder, out);
        }
        out.end_list();
        let one_at_a_time = root.some("parallel_tool_calls").and_then(Value::boolean) == Some(false);
        if one_at_a_time || !matches!(self.choice, Choice::Unsaid) {
            self.choose(one_at_a_time, out);
        }
    }

    fn choose(&self, one_at_a_time: bool, out: &mut Writer) {
        let kind = match self.choice {
            Choice::Unsaid | Choice::Auto => "auto",
            Choice::None => "none",
            Choice::Any => "any",
            Choice::Named(_) => "tool",
        };
        out.key("tool_choice");
        out.object();
        out.text("type", kind);
        if let Choice::Named(name) = self.choice {
            out.field("name", name.raw());
        }
        if one_at_a_time && kind != "none" {
            out.field("disable_parallel_tool_use", b"true");
        }
        out.end_object();
    }
}

fn define(function: Value<'_>, holder: Value<'_>, out: &mut Writer) {
    out.object();
    out.key("name");
    out.raw(function.get("name").map_or(b"\"\"", Value::raw));
    if let Some(description) = function.some("description") {
        out.field("description", description.raw());
    }
    out.key("input_schema");
    match function.some("parameters").filter(|parameters| parameters.kind() == Kind::Object) {
        Some(parameters) if parameters.some("type").is_some() => out.raw(parameters.raw()),
        parameters => {
            // Anthropic takes no schema that does not say so.
            out.object();
            out.text("type", "object");
            for (key, value) in parameters.into_iter().flat_map(Value::entries).filter(|(key, _)| !key.is("type")) {
                out.entry(key.raw(), value.raw());
            }
            out.end_object();
        }
    }
    cache_control(if holder.some("cache_control").is_some() { holder } else { function }, out);
    out.end_object();
}

/// Anthropic takes no calls in a conversation without tools (S): those that were called once, not to be called again.
fn tools_of_the_past(root: Value<'_>, out: &mut Writer) {
    let calls = messages_of(root).flat_map(|message| message.some("tool_calls").into_iter().flat_map(Value::items));
    let mut names: Vec<Value<'_>> = calls.filter_map(|call| call.some("function")?.get("name")).collect();
    names.sort_by(|a, b| a.string().cmp(&b.string()));
    names.dedup_by(|a, b| a.string() == b.string());
    if names.is_empty() {
        return;
    }
    out.key("tools");
    out.list();
    for name in names {
        out.object();
        out.field("name", name.raw());
        out.field("input_schema", br#"{"type":"object"}"#);
        out.end_object();
    }
    out.end_list();
    out.field("tool_choice", br#"{"type":"none"}"#);
}

/// What is said about thinking.
enum Thoughts<'a> {
    Budget(u32),
    Effort(&'static str),
    /// As the client says it, in Anthropic's own words.
    Own(Value<'a>),
}

impl Thoughts<'_> {
    fn write(&self, out: &mut Writer) {
        out.key("thinking");
        match self {
            Self::Own(thinking) => out.raw(thinking.raw()),
            Self::Budget(tokens) => {
                out.object();
                out.text("type", "enabled");
                out.count("budget_tokens", u64::from(*tokens));
                out.end_object();
            }
            Self::Effort(effort) => {
                out.raw(br#"{"type":"adaptive"}"#);
                out.key("output_config");
                out.object();
                out.text("effort", effort);
                out.end_object();
            }
        }
    }
}

/// The least that can be thought, in tokens (P, Anthropic's page on thinking).
const BUDGET_MIN: u32 = 1024;

fn thinking<'a>(root: Value<'a>, claude: Claude, tools: &Tools<'_>, max_tokens: u32) -> Option<Thoughts<'a>> {
    // Who thinks can't be made to call a tool (P, Anthropic's page on thinking); the call is what was asked for.
    if tools.are_forced() {
        return None;
    }
    if let Some(own) = root.some("thinking") {
        let is_off = own.get("type").is_none_or(|kind| kind.is("disabled"));
        return (!is_off).then_some(Thoughts::Own(own));
    }
    let effort = root.some("reasoning_effort").or_else(|| root.some("reasoning")?.some("effort"))?.string()?;
    if effort == "none" {
        return None;
    }
    match claude.thinking {
        Thinking::No => None,
        Thinking::Adaptive { extra_high } => Some(Thoughts::Effort(match &*effort {
            "minimal" | "low" => "low",
            "medium" => "medium",
            "xhigh" if extra_high => "xhigh",
            _ => "high",
        })),
        // A turn that calls tools must begin with its thoughts, which came with a signature that this dialect has no place for.
        Thinking::Budget if goes_on_from_tools(root) => None,
        Thinking::Budget => {
            let share = match &*effort {
                "minimal" | "low" => 2,
                "medium" => 5,
                _ => 8,
            };
            let budget = u32::try_from(u64::from(max_tokens) * share / 10).expect("a part of it").max(BUDGET_MIN);
            // Something must be left to be said.
            (u64::from(budget) * 5 <= u64::from(max_tokens) * 4).then_some(Thoughts::Budget(budget))
        }
    }
}

fn goes_on_from_tools(root: Value<'_>) -> bool {
    messages_of(root).last().is_some_and(|message| role_is(message, &["tool"]))
}

fn sampling(root: Value<'_>, claude: Claude, thinks: bool, out: &mut Writer) {
    if thinks || !claude.samples {
        return;
    }
    if let Some(temperature) = root.some("temperature") {
        if temperature.number().is_some_and(|number| number > 1.0) {
            out.field("temperature", b"1");
        } else {
            out.field("temperature", temperature.raw());
        }
    } else if let Some(top_p) = root.some("top_p") {
        out.field("top_p", top_p.raw());
    }
}

fn stop_sequences(root: Value<'_>, out: &mut Writer) {
    let Some(stop) = root.some("stop") else { return };
    out.key("stop_sequences");
    if stop.kind() == Kind::Array {
        out.raw(stop.raw());
    } else {
        out.list();
        out.raw(stop.raw());
        out.end_list();
    }
}
