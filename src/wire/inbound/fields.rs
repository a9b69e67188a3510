//! The fields of a body that the gateway reads, found in one pass over its keys. Knows names, no meanings.

use super::super::json::Value;
use super::Malformed;

macro_rules! fields {
    ($($name:ident = $text:literal,)*) => {
        /// A field at the top of a body.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(in crate::wire) enum Field {
            $($name,)*
        }

        impl Field {
            const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name in the body.
            pub(in crate::wire) const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            fn named(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

fields! {
    Audio = "audio",
    Background = "background",
    BestOf = "best_of",
    Cache = "cache",
    Container = "container",
    ContextManagement = "context_management",
    Conversation = "conversation",
    FrequencyPenalty = "frequency_penalty",
    FunctionCall = "function_call",
    Functions = "functions",
    InferenceGeo = "inference_geo",
    Input = "input",
    Instructions = "instructions",
    LogitBias = "logit_bias",
    Logprobs = "logprobs",
    MaxCompletionTokens = "max_completion_tokens",
    MaxOutputTokens = "max_output_tokens",
    MaxTokens = "max_tokens",
    McpServers = "mcp_servers",
    Messages = "messages",
    Metadata = "metadata",
    Modalities = "modalities",
    Model = "model",
    N = "n",
    OutputConfig = "output_config",
    OutputFormat = "output_format",
    ParallelToolCalls = "parallel_tool_calls",
    Prediction = "prediction",
    PresencePenalty = "presence_penalty",
    PreviousResponseId = "previous_response_id",
    Prompt = "prompt",
    Reasoning = "reasoning",
    ReasoningEffort = "reasoning_effort",
    ResponseFormat = "response_format",
    SafetyIdentifier = "safety_identifier",
    ServiceTier = "service_tier",
    Speed = "speed",
    Stream = "stream",
    StreamOptions = "stream_options",
    Suffix = "suffix",
    System = "system",
    Tags = "tags",
    Text = "text",
    Thinking = "thinking",
    ToolChoice = "tool_choice",
    Tools = "tools",
    TopK = "top_k",
    TopLogprobs = "top_logprobs",
    User = "user",
    WebSearchOptions = "web_search_options",
}

/// The values of the fields that a body has; those that are `null` count as absent.
#[derive(Debug)]
pub(in crate::wire) struct Fields<'a> {
    values: [Option<Value<'a>>; Field::ALL.len()],
}

impl<'a> Fields<'a> {
    /// Finds them in an object.
    ///
    /// # Errors
    /// If one of them stands there twice: the gateway could read the one and the provider the other.
    pub(super) fn read(root: Value<'a>) -> Result<Self, Malformed> {
        let mut values = [None; Field::ALL.len()];
        for (key, value) in root.entries() {
            let field = if key.is_escaped() { key.string().and_then(|key| Field::named(&key)) } else { key.string_raw().and_then(Field::named) };
            let Some(field) = field else { continue };
            if values[field as usize].replace(value).is_some() {
                return Err(Malformed::field(field.name(), "stands there twice"));
            }
        }
        Ok(Self { values })
    }

    /// The value of a field, if it has one.
    pub(in crate::wire) fn get(&self, field: Field) -> Option<Value<'a>> {
        self.values[field as usize].filter(|value| !value.is_null())
    }

    /// Whether it has a value.
    pub(in crate::wire) fn has(&self, field: Field) -> bool {
        self.get(field).is_some()
    }
}
