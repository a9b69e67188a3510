//! What holds where gateway.toml says nothing. Safe for production: bounded attempts, no cross-tenant answers, nothing dearer than asked for.
//!
//! | setting | default | why |
//! |---|---|---|
//! | `attempts.per_request` | 4 | one cap over retries and fallbacks: the product of the two is the first cost trap |
//! | `attempts.per_group` | 3 | the first call and two retries, as client libraries make |
//! | `attempts.per_deployment` | 2 | a second failure in a row is rarely luck |
//! | `attempts.retry_on` | `rate_limited timeout connect internal bad_gateway unavailable` | passing failures |
//! | `attempts.retry_on_other` | `unauthorized forbidden` | a bad credential is one deployment's, not its siblings' |
//! | `attempts.retries_by_class` | none | |
//! | `attempts.avoid_after` | `retry_on` and `retry_on_other` | another deployment is likelier to answer |
//! | `attempts.only_if_healthy` | `true` | waiting for a group of which nothing is healthy delays its fallback |
//! | `attempts.backoff` | `base = "500ms"`, `floor = "0s"`, `max = "8s"`, `jitter = "750ms"`, `retry_after_max = "60s"` | openai-python's |
//! | `attempts.backoff.when` | `"no_healthy_deployment"` | a healthy sibling can be called at once |
//! | `attempts.backoff.after_last` | `false` | nothing is called after it |
//! | `attempts.transport.retries` | 0 | retries below the caps are the ones nobody counts |
//! | `attempts.transport.retry_on` | `connect timeout internal bad_gateway unavailable rate_limited` | if switched on: the OpenAI client library's |
//! | `attempts.retry_budget` | off | `per_request` bounds each request; if switched on: `ratio = 0.2`, `burst = 100` (Finagle's ratio) |
//! | `fallback.on` | `retry_on`, `unauthorized forbidden not_found no_deployment saturated context_window` | another group may answer |
//! | `fallback.walk` | `"flat"` | the list written at the model is the list walked |
//! | `fallback.depth_max`, `depth_by`, `resume_origin` | 2, `"level"`, `false` | only for `walk = "depth-first"` |
//! | `fallback.shown` | `"last"` | the client sees the failure of the last group tried; `"asked"` shows that of the model asked for |
//! | `fallback.max_price_ratio` | none | which fallbacks are worth their price is the user's to say |
//! | `fallback.same_tier` | `false` | |
//! | `fallback.alert_share` | 0.05 | a twentieth of the answers from elsewhere is no accident |
//! | `cooldown.time` | `"5s"` | long enough for a token bucket to refill, short enough to notice a recovery |
//! | `cooldown.retry_after` | `true` | the provider knows better |
//! | `cooldown.at_once` | `rate_limited unauthorized forbidden not_found` | the next call would fail the same way |
//! | `cooldown.counted` | `timeout connect internal bad_gateway unavailable` | one of these says little |
//! | `cooldown.allowed_fails` | none | an absolute count cools every busy deployment; the share does not |
//! | `cooldown.window` | `"60s"` | |
//! | `cooldown.share` | `{ share = 0.5, calls_min = 10, window = "60s" }` | |
//! | `cooldown.counts`, `cooldown.hops` | `"every"`, `"count"` | a failure is a failure |
//! | `cooldown.single`, `single_exempt` | `"exempt_without_fallback"`, `"all"` | cooling all there is turns a spike into an outage |
//! | `breaker` | off | if switched on: `failures = 5`, `counted` as the cooldown's, `open_for = "30s"`, `probes = 1`, `successes = 2` |
//! | `timeouts.call`, `first_byte` | `"120s"` | to the end of a plain answer; to a stream's first byte |
//! | `timeouts.stream`, `idle`, `request` | `"600s"`, `"60s"`, `"600s"` | the OpenAI client library gives up after 600 s |
//! | `cache` | off | |
//! | `cache.*`, if on | `ttl = "1h"`, `scope = "team"`, `single_flight`, `separate_streams` = true | `sliding`, `hits_count`, `remote` = false |
//! | `cache.size_max` | `"256 MiB"` | |
//! | `stream.on_disconnect` | `"auto"` | cancel where that stops the bill, else drain; between attempts `"cancel"` |
//! | `stream.drain_time_max`, `drain_tokens_max` | `"60s"`, 4096 | |
//! | `models.X.strategy`, `pick` | `"weighted-shuffle"`, `"admissible"` | |
//! | `models.X.max_tokens` | none | |
//! | `deployments.X.weight`, `order` | 1, 0 | |
//! | `deployments.X.max_input_tokens`, `max_output_tokens` | the price list's, else 128,000 and 4,096 | a worst case needs a bound |
//! | `providers.X` billing | by `api`: see [`mod@super::providers`] | |
//! | `providers.X.billed_tools` | `false` | what they cost is in no worst case |
//! | `providers.X.stream_options` | `true` | a stream tells its usage only where it is asked to |
//! | `budget.every` | none: must be said | |
//! | `budget.reset` | `"calendar"` for hour, day, week, month; `"fixed"` for a duration | |
//! | `budget.timezone` | `"UTC"` | |
//! | `budget.mode`, `on_short`, `enforce` | `"reserve"`, `"refuse"`, `"hard"` | a limit that can be overspent is a wish |
//! | `budget.alert_at` | `[0.8, 1.0]` | |
//! | `budget.slices` | 24 | only for `reset = "rolling"` |
//! | `budget.late_usage_window` | `"10m"` | the longest stream's time-out |
//! | limits: `window`, `count` | `"bucket"`, `"reserve"` | as providers refill and admit |
//! | `loop_detector` | off | if switched on: `repeats = 20`, `window = "60s"`, `enforce = "observe"` |

use crate::gateway::failure::{CLASSES, FailureClass, FailureSet};
use crate::gateway::plan::{
    Attempts, Backoff, Breaker, BudgetMode, CachePolicy, CacheScope, Cooldown, Counts, Enforce, FailureShare, Fallbacks, Hops, Leave, LoopDetector,
    MaxTokens, OnDisconnect, OnShort, Pick, RetryBudget, Shown, Single, Strategy, Timeouts, Transport, Walk,
};
use crate::gateway::time::Span;

use super::budgets::BudgetDefaults;
use super::policies::Policies;

/// Bytes that the response cache may hold.
pub const CACHE_BYTES_MAX: u64 = 256 << 20;
/// How long usage may come late.
pub const LATE_USAGE_WINDOW: Span = Span::from_secs(600);
/// The input that a model takes if nobody says.
pub const INPUT_TOKENS_MAX: u32 = 128_000;
/// The output that a model gives if nobody says.
pub const OUTPUT_TOKENS_MAX: u32 = 4_096;
/// Steps of a rolling window.
pub const SLICES: u32 = 24;

const PASSING: FailureSet = FailureSet::of(&[
    FailureClass::RateLimited,
    FailureClass::Timeout,
    FailureClass::Connect,
    FailureClass::Internal,
    FailureClass::BadGateway,
    FailureClass::Unavailable,
]);
const CREDENTIALS: FailureSet = FailureSet::of(&[FailureClass::Unauthorized, FailureClass::Forbidden]);
const ELSEWHERE: FailureSet =
    FailureSet::of(&[FailureClass::NotFound, FailureClass::NoDeployment, FailureClass::Saturated, FailureClass::ContextWindow]);

/// Every policy of a model.
pub fn policies() -> Policies {
    Policies {
        strategy: Strategy::WeightedShuffle,
        pick: Pick::Admissible,
        attempts: attempts(),
        backoff: backoff(),
        transport: Transport { retries: 0, retry_on: PASSING, backoff: backoff() },
        fallbacks: fallbacks(),
        cooldown: cooldown(),
        breaker: None,
        timeouts: Timeouts {
            call: Span::from_secs(120),
            first_byte: Span::from_secs(120),
            stream: Span::from_secs(600),
            idle: Span::from_secs(60),
            request: Span::from_secs(600),
        },
        cache: None,
        max_tokens: MaxTokens { default: None, cap: None },
        on_disconnect: on_disconnect(),
    }
}

fn attempts() -> Attempts {
    Attempts {
        per_request: 4,
        per_group: 3,
        per_deployment: 2,
        retry_on: PASSING,
        retry_on_other: CREDENTIALS,
        retries_by_class: [None; CLASSES],
        avoid_after: PASSING.and(CREDENTIALS),
        only_if_healthy: true,
    }
}

fn backoff() -> Backoff {
    Backoff {
        base: Span::from_millis(500),
        floor: Span::ZERO,
        max: Span::from_secs(8),
        jitter: Span::from_millis(750),
        retry_after_max: Span::from_secs(60),
        only_without_healthy: true,
        after_last: false,
    }
}

fn fallbacks() -> Fallbacks {
    Fallbacks {
        groups: Vec::new(),
        context_window: None,
        content_policy: None,
        fallback_on: PASSING.and(CREDENTIALS).and(ELSEWHERE),
        walk: Walk::Flat,
        shown: Shown::Last,
        price_ratio_max_per_mille: None,
        same_tier: false,
        alert_share_per_mille: 50,
    }
}

fn cooldown() -> Cooldown {
    Cooldown {
        time: Span::from_secs(5),
        retry_after: true,
        at_once: FailureSet::of(&[FailureClass::RateLimited, FailureClass::NotFound]).and(CREDENTIALS),
        counted: PASSING.without(FailureSet::of(&[FailureClass::RateLimited])),
        allowed_fails: None,
        allowed_by_class: [None; CLASSES],
        window: Span::MINUTE,
        share: Some(share()),
        counts: Counts::Every,
        hops: Hops::Count,
        single: Single::ExemptWithoutFallback,
        single_exempt: FailureSet::ALL,
    }
}

/// The rule on the share of failures.
pub fn share() -> FailureShare {
    FailureShare { per_mille: 500, calls_min: 10, window: Span::MINUTE }
}

/// The breaker, where it is switched on.
pub fn breaker() -> Breaker {
    Breaker { failures: 5, counted: cooldown().counted, open_for: Span::from_secs(30), probes: 1, successes: 2 }
}

/// The cache, where it is switched on.
pub fn cache() -> CachePolicy {
    CachePolicy {
        ttl: Span::from_secs(3600),
        sliding: false,
        scope: CacheScope::Team,
        namespace: 0,
        single_flight: true,
        separate_streams: true,
        hits_count: false,
        remote: false,
    }
}

/// What happens when the client leaves.
pub fn on_disconnect() -> OnDisconnect {
    OnDisconnect {
        between_attempts: Leave::Cancel,
        non_stream: Leave::Auto,
        before_first_byte: Leave::Auto,
        streaming: Leave::Auto,
        drain_time_max: Span::from_secs(60),
        drain_tokens_max: 4096,
    }
}

/// The retry budget, where it is switched on.
pub fn retry_budget() -> RetryBudget {
    RetryBudget { ratio_per_mille: 200, burst: 100 }
}

/// The loop detector, where it is switched on.
pub fn loop_detector() -> LoopDetector {
    LoopDetector { repeats: 20, window: Span::MINUTE, enforce: Enforce::Observe }
}

/// What every budget has that says nothing else.
pub fn budget() -> BudgetDefaults {
    BudgetDefaults {
        enforce: Enforce::Hard,
        mode: BudgetMode::Reserve,
        on_short: OnShort::Refuse,
        alert_at_per_mille: vec![800, 1000],
        timezone: "UTC".into(),
        timezone_place: None,
    }
}
