//! What models take that differ from others of their provider, told by their names. Knows no request.

/// How a model of Anthropic is told how much to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thinking {
    /// It does not think.
    No,
    /// By a number of tokens.
    Budget,
    /// By `output_config.effort`; it decides by itself when to think.
    Adaptive {
        /// Whether `xhigh` is an effort.
        extra_high: bool,
    },
}

/// What a model in Anthropic's dialect takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claude {
    pub(super) thinking: Thinking,
    /// It takes `temperature` and `top_p`.
    pub(super) samples: bool,
    /// A prefix of fewer tokens is not cached.
    pub(super) cached_prefix_min: u64,
}

/// What a model in Anthropic's dialect takes, by its name: `claude-opus-4-5`, `claude-3-5-sonnet-20241022`, `anthropic.claude-sonnet-4-6-v1:0`.
///
/// Thinking came with 3.7; from 4.6 on it is adaptive, from 4.7 on nothing else is taken, nor `temperature` and `top_p` (S: cloud providers' pages
/// on these models). A name without a version is taken for the newest, one that is no Claude for a copy of the API as it was before 4.6 (U).
/// Prefixes that are cached: 1,024 tokens, Haiku 2,048 before 4.5 and 4,096 from then on, as Opus from 4.5 on (S). Later families: 4,096 (U).
pub(super) fn claude(model: &str) -> Claude {
    let Some(at) = model.find("claude") else {
        return Claude { thinking: Thinking::Budget, samples: true, cached_prefix_min: 1024 };
    };
    let name = &model[at..];
    let version = version(name);
    let thinking = if version < (3, 7) {
        Thinking::No
    } else if version < (4, 6) {
        Thinking::Budget
    } else {
        Thinking::Adaptive { extra_high: version >= (4, 7) }
    };
    let cached_prefix_min = if name.contains("haiku") && version < (4, 5) {
        2048
    } else if version < (4, 5) || (name.contains("sonnet") && version < (5, 0)) {
        1024
    } else {
        4096
    };
    Claude { thinking, samples: version < (4, 7), cached_prefix_min }
}

/// The first one or two numbers of a name that are no dates: `opus-4-5-20251101` is 4.5, `3-haiku-20240307` is 3.0.
fn version(name: &str) -> (u32, u32) {
    if name.contains("instant") {
        return (1, 0);
    }
    let parts: Vec<&str> = name.split(['-', '.', '@', ':', '/']).collect();
    let number = |part: &&str| if part.len() <= 2 { part.parse::<u32>().ok() } else { None };
    let Some(first) = parts.iter().position(|part| number(part).is_some()) else { return (u32::MAX, 0) };
    let major = number(&parts[first]).expect("it is one");
    (major, parts.get(first + 1).and_then(number).unwrap_or(0))
}

/// Whether a model takes `reasoning_effort`: `OpenAI`'s that reason, but for those made for chat (P), and Gemini from 2.5 on (S). Others refuse
/// what they do not know.
pub(super) fn takes_effort(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    let is_gemini = name
        .strip_prefix("gemini-")
        .is_some_and(|rest| rest.starts_with("2.5") || rest.as_bytes().first().is_some_and(|first| (b'3'..=b'9').contains(first)));
    is_gemini || (takes_no_sampling(model) && !name.contains("-chat"))
}

/// Whether a model refuses `temperature` and `top_p`: those of `OpenAI` that reason (P, its guide to reasoning).
pub(super) fn takes_no_sampling(model: &str) -> bool {
    super::super::outbound::reasons(model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_how_it_thinks() {
        let thinking = |model: &str| claude(model).thinking;
        for old in
            ["claude-3-haiku-20240307", "claude-3-5-sonnet-20241022", "anthropic.claude-3-5-haiku-20241022-v1:0", "claude-2.1", "claude-instant-v1"]
        {
            assert_eq!(thinking(old), Thinking::No, "{old}");
        }
        for budget in ["claude-3-7-sonnet-20250219", "claude-sonnet-4-20250514", "claude-opus-4-1-20250805", "claude-haiku-4-5", "kimi-k2"] {
            assert_eq!(thinking(budget), Thinking::Budget, "{budget}");
        }
        assert_eq!(thinking("claude-sonnet-4-6@default"), Thinking::Adaptive { extra_high: false });
        for adaptive in ["claude-opus-4-7", "claude-opus-5", "claude-mythos-preview", "us.anthropic.claude-sonnet-5-5-v1:0"] {
            assert_eq!(thinking(adaptive), Thinking::Adaptive { extra_high: true }, "{adaptive}");
        }
        assert!(claude("claude-opus-4-6").samples && !claude("claude-opus-4-7").samples && !claude("claude-fable-5").samples);
    }

    #[test]
    fn short_prefixes_are_not_cached() {
        let least = |model: &str| claude(model).cached_prefix_min;
        assert_eq!((least("claude-3-haiku-20240307"), least("claude-3-5-sonnet"), least("claude-opus-4-1")), (2048, 1024, 1024));
        assert_eq!(
            (least("claude-haiku-4-5"), least("claude-sonnet-4-5"), least("claude-opus-4-5"), least("claude-sonnet-5")),
            (4096, 1024, 4096, 4096)
        );
    }

    #[test]
    fn only_models_that_reason_are_told_how_much() {
        for model in ["o3-mini", "gpt-5", "openai/gpt-5.1", "gemini-2.5-flash", "gemini-3-pro"] {
            assert!(takes_effort(model), "{model}");
        }
        for model in ["gpt-4o", "gpt-5-chat-latest", "gemini-2.0-flash", "llama-3.3-70b", "deepseek-chat"] {
            assert!(!takes_effort(model), "{model}");
        }
    }
}
