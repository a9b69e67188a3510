//! The figures of the presets. Facts only: what they mean is in the module above.

use super::super::world::{CacheWrite, PromptCache, Visible};
use super::Setting::*;
use super::Strength::{Measured, Provider, Secondary, Unverified};
use super::{Figure, Preset, Setting, Strength};
use crate::gateway::time::Span;

/// All presets, in the order in which they are listed.
pub const PRESETS: &[Preset] = &[
    Preset { name: "openai", about: "OpenAI without limits", figures: &[OPENAI] },
    Preset { name: "openai-tier-1", about: "OpenAI, usage tier 1", figures: &[OPENAI, OPENAI_LIMITS, OPENAI_TIER_1] },
    Preset { name: "openai-tier-2", about: "OpenAI, usage tier 2, without a limit a day", figures: &[OPENAI, OPENAI_LIMITS, OPENAI_TIER_2] },
    Preset { name: "openai-tier-3", about: "OpenAI, usage tier 3, without a limit a day", figures: &[OPENAI, OPENAI_LIMITS, OPENAI_TIER_3] },
    Preset { name: "openai-tier-4", about: "OpenAI, usage tier 4, without a limit a day", figures: &[OPENAI, OPENAI_LIMITS, OPENAI_TIER_4] },
    Preset { name: "openai-tier-5", about: "OpenAI, usage tier 5, without a limit a day", figures: &[OPENAI, OPENAI_LIMITS, OPENAI_TIER_5] },
    Preset { name: "azure", about: "OpenAI's models on Azure; quotas are configuration", figures: &[AZURE] },
    Preset { name: "anthropic", about: "Anthropic without limits", figures: &[ANTHROPIC] },
    Preset { name: "anthropic-tier-1", about: "Anthropic, usage tier 1", figures: &[ANTHROPIC, ANTHROPIC_LIMITS, ANTHROPIC_TIER_1] },
    Preset { name: "anthropic-tier-2", about: "Anthropic, usage tier 2", figures: &[ANTHROPIC, ANTHROPIC_LIMITS, ANTHROPIC_TIER_2] },
    Preset { name: "anthropic-tier-3", about: "Anthropic, usage tier 3", figures: &[ANTHROPIC, ANTHROPIC_LIMITS, ANTHROPIC_TIER_3] },
    Preset { name: "anthropic-tier-4", about: "Anthropic, usage tier 4", figures: &[ANTHROPIC, ANTHROPIC_LIMITS, ANTHROPIC_TIER_4] },
    Preset { name: "bedrock", about: "AWS Bedrock; quotas are configuration", figures: &[RUNS_ON] },
    Preset { name: "gemini", about: "Google's Gemini; its amounts are configuration", figures: &[GEMINI, RUNS_ON] },
    Preset { name: "fireworks", about: "Fireworks", figures: &[STOPS] },
    Preset { name: "deepseek", about: "DeepSeek", figures: &[DEEPSEEK, STOPS] },
    Preset { name: "xai", about: "xAI; its amounts are configuration", figures: &[XAI, STOPS] },
    Preset { name: "cerebras", about: "Cerebras; its amounts are configuration", figures: &[CEREBRAS] },
    Preset { name: "together", about: "Together", figures: &[STOPS] },
    Preset { name: "deepinfra", about: "DeepInfra", figures: &[STOPS] },
    Preset { name: "cohere", about: "Cohere", figures: &[STOPS] },
    Preset { name: "groq", about: "Groq", figures: &[RUNS_ON] },
    Preset { name: "mistral", about: "Mistral", figures: &[RUNS_ON] },
    Preset { name: "perplexity", about: "Perplexity", figures: &[RUNS_ON] },
];

const fn all(setting: Setting, strength: Strength, source: &'static str) -> Figure {
    Figure { model: "", setting, strength, source }
}

const fn of(model: &'static str, setting: Setting, strength: Strength, source: &'static str) -> Figure {
    Figure { model, setting, strength, source }
}

const STREAMING_PAGE: &str = "OpenRouter's page on streaming";
const LAG: Figure = all(CancelLag(16), Unverified, "a guess: 0.2 s at 80 tokens a second");
const STOPS: &[Figure] = &[all(CancelStopsBilling(true), Provider, STREAMING_PAGE), LAG];
const RUNS_ON: &[Figure] = &[all(CancelStopsBilling(false), Provider, STREAMING_PAGE)];

const FIVE_MINUTES: Span = Span::from_secs(300);

/// The lower end of 5 to 10 minutes.
const OPENAI_CACHE: PromptCache = PromptCache::openai(FIVE_MINUTES).visible_at_first_token();
const SPREAD: &str = "artificialanalysis for the median; the spread is that of 250 and 700 ms (U)";

const OPENAI: &[Figure] = &[
    of("gpt-4o", FirstToken(390, 1092), Unverified, SPREAD),
    of("gpt-4o", Speed(81), Secondary, "artificialanalysis"),
    of("gpt-4o-mini", FirstToken(150, 400), Unverified, "no source found"),
    all(Cache(OPENAI_CACHE), Provider, "prompt caching guide; readable from the first token on (U)"),
    all(CancelStopsBilling(true), Provider, STREAMING_PAGE),
    LAG,
    // 0.42 % of the time is a quarter of the calls for 135 min in the mean, every 5.5 days.
    all(Incidents(7_920, 75, 301, 250_000), Measured, "status page; the share of calls is what leaves 99.58 % available"),
];

const OPENAI_LIMITS: &[Figure] = &[
    all(CountsMaxTokens(16), Secondary, "input and max_tokens count; 16 without one is a guess (U)"),
    all(RejectsCount(true), Provider, "help article 5955604, of a minute; of a day alike (U)"),
];

const OPENAI_TIER_1: &[Figure] = &[
    of("gpt-4o", Requests(500), Secondary, "tier 1"),
    of("gpt-4o", Tokens(30_000), Secondary, "tier 1"),
    of("gpt-4o-mini", Requests(500), Secondary, "tier 1"),
    of("gpt-4o-mini", Tokens(200_000), Secondary, "tier 1"),
    of("gpt-4o-mini", RequestsPerDay(10_000), Secondary, "tier 1"),
];

/// One page for all; where gwsim's own collection has the figure as well, it counts as secondary.
const TIERS: &str = "ai-buzz.com's guide to the tiers; limits a day, if any, are configuration";

/// Requests and tokens a minute: of gpt-4o, by the strength of its figures, and of gpt-4o-mini.
const fn openai_tier((requests, tokens, strength): (u64, u64, Strength), mini: (u64, u64)) -> [Figure; 4] {
    [
        of("gpt-4o", Requests(requests), strength, TIERS),
        of("gpt-4o", Tokens(tokens), strength, TIERS),
        of("gpt-4o-mini", Requests(mini.0), Unverified, TIERS),
        of("gpt-4o-mini", Tokens(mini.1), Unverified, TIERS),
    ]
}

const OPENAI_TIER_2: &[Figure] = &openai_tier((5_000, 450_000, Secondary), (5_000, 2_000_000));
const OPENAI_TIER_3: &[Figure] = &openai_tier((5_000, 800_000, Secondary), (5_000, 4_000_000));
const OPENAI_TIER_4: &[Figure] = &openai_tier((10_000, 2_000_000, Unverified), (10_000, 10_000_000));
const OPENAI_TIER_5: &[Figure] = &openai_tier((10_000, 30_000_000, Unverified), (30_000, 150_000_000));

const AZURE: &[Figure] = &[
    all(FirstToken(770, 2156), Unverified, SPREAD),
    all(Speed(115), Secondary, "artificialanalysis"),
    all(CancelStopsBilling(true), Provider, STREAMING_PAGE),
    LAG,
];

const fn anthropic_cache(tokens_min: u32) -> PromptCache {
    PromptCache { tokens_min, ..PromptCache::anthropic(FIVE_MINUTES).visible_at_first_token() }
}

const ANTHROPIC: &[Figure] = &[
    of("claude-3-5-sonnet", FirstToken(200, 500), Unverified, "no source found"),
    of("claude-3-haiku", FirstToken(150, 350), Unverified, "no source found"),
    of("claude-3-5-haiku", FirstToken(150, 350), Unverified, "no source found"),
    all(Cache(anthropic_cache(1024)), Secondary, "every request marks its whole prompt; readable from the first token on (U)"),
    of("claude-3-haiku", Cache(anthropic_cache(2048)), Secondary, "every request marks its whole prompt; readable from the first token on (U)"),
    of("claude-3-5-haiku", Cache(anthropic_cache(2048)), Secondary, "every request marks its whole prompt; readable from the first token on (U)"),
    all(CancelStopsBilling(true), Provider, STREAMING_PAGE),
    LAG,
    // 0.28 % of the time is a quarter of the calls for 83 min in the mean, every 5.2 days.
    all(Incidents(7_488, 46, 185, 250_000), Measured, "status page; p90 by OpenAI's spread (U); the share of calls is what leaves 99.72 % available"),
];

const ANTHROPIC_LIMITS: &[Figure] = &[
    all(CountsMaxTokens(0), Provider, "rate limits page; a request must state max_tokens"),
    all(Corrected, Provider, "rate limits page"),
    all(RejectsCount(false), Unverified, "nothing says that they do"),
    all(RetryAfter, Provider, "rate limits page"),
];

const ERA: &str = "the Sonnet 3.5 era";

/// Requests, input tokens and output tokens a minute.
const fn anthropic_tier(requests: u64, input: u64, output: u64) -> [Figure; 3] {
    [
        of("claude-3-5-sonnet", Requests(requests), Secondary, ERA),
        of("claude-3-5-sonnet", InputTokens(input), Secondary, ERA),
        of("claude-3-5-sonnet", OutputTokens(output), Secondary, ERA),
    ]
}

const ANTHROPIC_TIER_1: &[Figure] = &anthropic_tier(50, 40_000, 8_000);
const ANTHROPIC_TIER_2: &[Figure] = &anthropic_tier(1_000, 80_000, 16_000);
const ANTHROPIC_TIER_3: &[Figure] = &anthropic_tier(2_000, 160_000, 32_000);
const ANTHROPIC_TIER_4: &[Figure] = &anthropic_tier(4_000, 400_000, 80_000);

/// A cache without steps whose writes cost what input does.
const fn plain_cache(tokens_min: u32, step: u32, ttl: Span) -> PromptCache {
    PromptCache { ttl, tokens_min, step, write: CacheWrite::Plain, visible: Visible::FirstToken }
}

const GEMINI: &[Figure] = &[
    all(DayStarts("America/Los_Angeles"), Provider, "midnight Pacific"),
    of("gemini-2.5-flash", Cache(plain_cache(1024, 1, FIVE_MINUTES)), Unverified, "the minimum is Google's (P); the lifetime is not stated"),
    of("gemini-2.5-pro", Cache(plain_cache(4096, 1, FIVE_MINUTES)), Unverified, "the minimum is Google's (P); the lifetime is not stated"),
];

const DEEPSEEK: &[Figure] =
    &[all(Cache(plain_cache(64, 64, Span::from_secs(3600))), Unverified, "automatic, in whole units (P); their size and lifetime are guesses")];

const XAI: &[Figure] = &[all(WithinSecond, Provider, "a sixtieth of the requests a minute, each second")];

const CEREBRAS: &[Figure] = &[all(CountsMaxTokens(0), Provider, "estimated input and max_completion_tokens")];
