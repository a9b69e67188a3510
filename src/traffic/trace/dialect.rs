//! What the formats call their columns. Each dialect is a table; how its lines are split is not decided here.

use super::column::{Clock, Column};
use super::error::quoted;
use super::litellm::Field;

/// The formats that gwsim reads. `gwsim` is its own, see `traces/README.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// gwsim's own columns, in CSV, JSONL or Parquet.
    Gwsim,
    /// Azure LLM inference traces, 2023 and 2024: `TIMESTAMP,ContextTokens,GeneratedTokens`.
    Azure,
    /// Mooncake and the traces in its shape: `timestamp`, `input_length`, `output_length`, `hash_ids`.
    Mooncake,
    /// BurstGPT, version 1 and 2: `Timestamp,Model,Request tokens,...`.
    BurstGpt,
    /// Alibaba Bailian (Qwen) usage traces: Mooncake's shape with `chat_id` and `parent_chat_id`.
    Bailian,
    /// LiteLLM's `LiteLLM_SpendLogs`, and its `StandardLoggingPayload` as JSON Lines.
    LiteLlm,
    /// The journal of gwsim's own gateway: a folder.
    Journal,
}

impl Format {
    /// All formats that a file may have.
    pub const ALL: [Self; 6] = [Self::Gwsim, Self::Azure, Self::Mooncake, Self::BurstGpt, Self::Bailian, Self::LiteLlm];

    /// The name that options and reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gwsim => "gwsim",
            Self::Azure => "azure",
            Self::Mooncake => "mooncake",
            Self::BurstGpt => "burstgpt",
            Self::Bailian => "bailian",
            Self::LiteLlm => "litellm",
            Self::Journal => "journal",
        }
    }

    /// The format with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// A format's columns and its few rules.
#[derive(Debug)]
pub(super) struct Dialect {
    pub format: Format,
    pub columns: &'static [(&'static str, Column)],
    /// Times count from the epoch that the caller chose.
    pub relative: bool,
    /// Two prompts with the same blocks and length are the same request.
    pub same_blocks_same_request: bool,
    /// The tokens in a block are not in the file.
    pub infers_block_size: bool,
    /// An answer of 0 tokens is a failed request, whose output is not known.
    pub no_output_is_failure: bool,
}

impl Dialect {
    /// What a column of this name means here.
    pub(super) fn column(&self, name: &str) -> Option<(&'static str, Column)> {
        if name.starts_with("x_") {
            return Some(("x_", Column::Ignored));
        }
        self.columns.iter().find(|(known, _)| *known == name).copied()
    }

    /// What to say about a column that is not known here.
    pub(super) fn unknown(&self, name: &str) -> (String, String) {
        let hint = match self.nearest(name) {
            Some(known) => format!("did you mean `{known}`? A column that gwsim should skip starts with `x_`"),
            None => format!("the {} format knows {}; a column that gwsim should skip starts with `x_`", self.format.name(), self.listed()),
        };
        (format!("unknown column {}", quoted(name)), hint)
    }

    fn listed(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(known, _)| *known).collect();
        names.join(", ")
    }

    /// The known column that `name` most likely stands for.
    fn nearest(&self, name: &str) -> Option<&'static str> {
        let name = name.to_lowercase();
        let candidates = self.columns.iter().map(|(known, _)| (distance(&name, &known.to_lowercase()), *known));
        candidates.min_by_key(|(distance, _)| *distance).filter(|(distance, known)| distance * 2 <= known.len()).map(|(_, known)| known)
    }

    /// The dialect of a file from the names in its header or on its first line.
    pub(super) fn detect<'n>(names: impl Iterator<Item = &'n str> + Clone) -> Option<&'static Self> {
        let has = |name: &str| names.clone().any(|known| known == name);
        if has("ContextTokens") || has("GeneratedTokens") {
            return Some(&AZURE);
        }
        if has("prompt_tokens") && LITELLM.columns.iter().any(|(name, column)| matches!(column, Column::At(_)) && has(name)) {
            return Some(&LITELLM);
        }
        if has("chat_id") || has("parent_chat_id") {
            return Some(&BAILIAN);
        }
        if has("hash_ids") || has("input_length") {
            return Some(if has("timestamp_us") { &MOONCAKE_MICROS } else { &MOONCAKE });
        }
        if has("Request tokens") || has("Response tokens") {
            return Some(&BURST_GPT);
        }
        let clocks = GWSIM.columns.iter().filter(|(_, column)| matches!(column, Column::At(_)));
        (has("input_tokens") || clocks.clone().any(|(name, _)| has(name))).then_some(&GWSIM)
    }

    /// The dialect of a format, for a file with these names.
    pub(super) fn of<'n>(format: Format, mut names: impl Iterator<Item = &'n str>) -> &'static Self {
        match format {
            Format::Gwsim => &GWSIM,
            Format::Azure => &AZURE,
            Format::Mooncake if names.any(|name| name == "timestamp_us") => &MOONCAKE_MICROS,
            Format::Mooncake => &MOONCAKE,
            Format::BurstGpt => &BURST_GPT,
            Format::Bailian => &BAILIAN,
            Format::LiteLlm => &LITELLM,
            Format::Journal => &JOURNAL,
        }
    }
}

/// gwsim's own columns, in the order in which they are written.
pub(super) static GWSIM: Dialect = Dialect {
    format: Format::Gwsim,
    columns: &[
        ("at", Column::At(Clock::Date)),
        ("at_s", Column::At(Clock::Seconds)),
        ("at_ms", Column::At(Clock::Millis)),
        ("at_us", Column::At(Clock::Micros)),
        ("at_ns", Column::At(Clock::Nanos)),
        ("model", Column::Model),
        ("key", Column::Key),
        ("team", Column::Team),
        ("end_user", Column::EndUser),
        ("session", Column::Session),
        ("tags", Column::Tags),
        ("input_tokens", Column::InputTokens),
        ("output_tokens", Column::OutputTokens),
        ("max_tokens", Column::MaxTokens),
        ("stream", Column::Stream),
        ("fingerprint", Column::Fingerprint),
        ("block_size", Column::BlockSize),
        ("prefix_blocks", Column::PrefixBlocks),
        ("left_after_tokens", Column::LeftAfterTokens),
        ("left_after_ms", Column::LeftAfterMs),
        ("status", Column::Status),
        ("ttft_ms", Column::TtftMs),
        ("duration_ms", Column::DurationMs),
        ("cost_usd", Column::CostUsd),
        ("cached_tokens", Column::CachedTokens),
        ("cache_write_tokens", Column::CacheWriteTokens),
        ("reasoning_tokens", Column::ReasoningTokens),
        ("deployment", Column::Deployment),
        ("cache_hit", Column::CacheHit),
        ("retry", Column::Retry),
        ("attempts", Column::Attempts),
        ("fallbacks", Column::Fallbacks),
        ("request", Column::Request),
    ],
    relative: false,
    same_blocks_same_request: false,
    infers_block_size: false,
    no_output_is_failure: false,
};

/// Source: Azure/AzurePublicDataset. Ticks of 100 ns without a zone (2023) or microseconds with one (2024); both UTC.
static AZURE: Dialect = Dialect {
    format: Format::Azure,
    columns: &[("TIMESTAMP", Column::At(Clock::Date)), ("ContextTokens", Column::InputTokens), ("GeneratedTokens", Column::OutputTokens)],
    relative: false,
    same_blocks_same_request: false,
    infers_block_size: false,
    no_output_is_failure: false,
};

/// Source: kvcache-ai/Mooncake, `FAST25-release/traces`. Milliseconds from the start of the trace.
static MOONCAKE: Dialect = Dialect {
    format: Format::Mooncake,
    columns: &[
        ("timestamp", Column::At(Clock::Millis)),
        ("input_length", Column::InputTokens),
        ("output_length", Column::OutputTokens),
        ("hash_ids", Column::PrefixBlocks),
        ("session_id", Column::Session),
    ],
    relative: true,
    same_blocks_same_request: true,
    infers_block_size: true,
    no_output_is_failure: false,
};

/// The same with absolute microseconds beside the rounded milliseconds: the finer clock counts.
static MOONCAKE_MICROS: Dialect = Dialect {
    columns: &[
        ("timestamp_us", Column::At(Clock::Micros)),
        ("timestamp", Column::Ignored),
        ("input_length", Column::InputTokens),
        ("output_length", Column::OutputTokens),
        ("hash_ids", Column::PrefixBlocks),
        ("session_id", Column::Session),
    ],
    relative: false,
    ..MOONCAKE
};

/// A journal has no columns; its rows are those of gwsim's own format.
static JOURNAL: Dialect = Dialect { format: Format::Journal, ..GWSIM };

/// Source: HPMLL/BurstGPT. Seconds from the start of the trace, with a fraction.
static BURST_GPT: Dialect = Dialect {
    format: Format::BurstGpt,
    columns: &[
        ("Timestamp", Column::At(Clock::Seconds)),
        ("Session ID", Column::Session),
        ("Elapsed time", Column::DurationSeconds),
        ("Model", Column::Model),
        ("Request tokens", Column::InputTokens),
        ("Response tokens", Column::OutputTokens),
        ("Total tokens", Column::Ignored),
        ("Log Type", Column::Tags),
    ],
    relative: true,
    same_blocks_same_request: false,
    infers_block_size: false,
    no_output_is_failure: true,
};

/// Source: alibaba-edu/qwen-bailian-usagetraces-anon. Seconds from the start of the trace, with a fraction; blocks of 16 tokens.
static BAILIAN: Dialect = Dialect {
    format: Format::Bailian,
    columns: &[
        ("timestamp", Column::At(Clock::Seconds)),
        ("chat_id", Column::Chat),
        ("parent_chat_id", Column::ParentChat),
        ("input_length", Column::InputTokens),
        ("output_length", Column::OutputTokens),
        ("hash_ids", Column::PrefixBlocks),
        ("type", Column::Tags),
        ("turn", Column::Ignored),
    ],
    ..MOONCAKE
};

/// Source: litellm 1.109.1, `LiteLLM_SpendLogs` in `proxy/schema.prisma` and `StandardLoggingPayload` in `types/utils.py` (P). Postgres
/// keeps the case of the names, tools around it often don't.
static LITELLM: Dialect = Dialect {
    format: Format::LiteLlm,
    columns: &[
        ("startTime", Column::At(Clock::DateOrSeconds)),
        ("starttime", Column::At(Clock::DateOrSeconds)),
        ("start_time", Column::At(Clock::DateOrSeconds)),
        ("endTime", Column::Log(Field::EndedAt)),
        ("endtime", Column::Log(Field::EndedAt)),
        ("end_time", Column::Log(Field::EndedAt)),
        ("completionStartTime", Column::Log(Field::FirstTokenAt)),
        ("completionstarttime", Column::Log(Field::FirstTokenAt)),
        ("completion_start_time", Column::Log(Field::FirstTokenAt)),
        ("request_duration_ms", Column::DurationMs),
        ("model", Column::Log(Field::Model)),
        ("model_group", Column::Log(Field::ModelGroup)),
        ("model_id", Column::Log(Field::ModelId)),
        ("api_base", Column::Log(Field::ApiBase)),
        ("api_key", Column::Log(Field::ApiKey)),
        ("team_id", Column::Log(Field::TeamId)),
        ("end_user", Column::EndUser),
        ("session_id", Column::Session),
        ("request_tags", Column::Log(Field::Tags)),
        ("prompt_tokens", Column::InputTokens),
        ("completion_tokens", Column::Log(Field::OutputTokens)),
        ("spend", Column::CostUsd),
        ("response_cost", Column::CostUsd),
        ("status", Column::Log(Field::Status)),
        ("cache_hit", Column::CacheHitOrNone),
        ("cache_key", Column::Log(Field::CacheKey)),
        ("metadata", Column::Log(Field::Metadata)),
        ("stream", Column::Stream),
        ("trace_id", Column::Request),
        ("error_information", Column::Log(Field::ErrorInformation)),
        ("model_parameters", Column::Log(Field::ModelParameters)),
        ("request_id", Column::Ignored),
        ("id", Column::Ignored),
        ("call_type", Column::Ignored),
        ("total_tokens", Column::Ignored),
        ("custom_llm_provider", Column::Ignored),
        ("user", Column::Ignored),
        ("organization_id", Column::Ignored),
        ("requester_ip_address", Column::Ignored),
        ("messages", Column::Ignored),
        ("response", Column::Ignored),
        ("mcp_namespaced_tool_name", Column::Ignored),
        ("billing_agent_id", Column::Ignored),
        ("agent_id", Column::Ignored),
        ("proxy_server_request", Column::Ignored),
        ("litellm_call_id", Column::Ignored),
        ("created_at", Column::Ignored),
        ("updated_at", Column::Ignored),
        ("cost_breakdown", Column::Ignored),
        ("response_time", Column::Ignored),
        ("response_cost_failure_debug_info", Column::Ignored),
        ("model_map_information", Column::Ignored),
        ("saved_cache_cost", Column::Ignored),
        ("user_agent", Column::Ignored),
        ("error_str", Column::Ignored),
        ("hidden_params", Column::Ignored),
        ("guardrail_information", Column::Ignored),
        ("standard_built_in_tools_params", Column::Ignored),
    ],
    relative: false,
    same_blocks_same_request: false,
    infers_block_size: false,
    no_output_is_failure: false,
};

/// The number of characters to insert, remove or replace to turn one name into the other.
fn distance(a: &str, b: &str) -> usize {
    let mut previous: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate().take(64) {
        let mut row = vec![i + 1];
        for (j, to) in b.chars().enumerate() {
            let replaced = previous[j] + usize::from(from != to);
            row.push(replaced.min(previous[j + 1] + 1).min(row[j] + 1));
        }
        previous = row;
    }
    previous[b.chars().count()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_column_finds_its_name() {
        for (written, meant) in
            [("input_token", "input_tokens"), ("Model", "model"), ("outputtokens", "output_tokens"), ("prefix_block", "prefix_blocks")]
        {
            assert_eq!(GWSIM.nearest(written), Some(meant));
        }
        assert_eq!(GWSIM.nearest("a completely different thing altogether"), None);
    }

    #[test]
    fn formats_are_told_apart_by_their_columns() {
        let detect = |names: &[&str]| Dialect::detect(names.iter().copied()).map(|dialect| dialect.format);
        assert_eq!(detect(&["TIMESTAMP", "ContextTokens", "GeneratedTokens"]), Some(Format::Azure));
        assert_eq!(detect(&["timestamp", "input_length", "hash_ids"]), Some(Format::Mooncake));
        assert_eq!(detect(&["Timestamp", "Model", "Request tokens"]), Some(Format::BurstGpt));
        assert_eq!(detect(&["chat_id", "parent_chat_id", "timestamp", "input_length", "hash_ids"]), Some(Format::Bailian));
        assert_eq!(detect(&["at_ms", "input_tokens"]), Some(Format::Gwsim));
        assert_eq!(detect(&["a", "b"]), None);
    }
}
