//! The policies of a model: read once for the whole gateway, then again for each model on top. Knows no deployments and no prices.

use crate::gateway::failure::{CLASSES, FailureClass};
use crate::gateway::plan::{
    Attempts, Backoff, Breaker, CachePolicy, CacheScope, Cooldown, Counts, DepthBy, Fallbacks, Hops, Leave, MaxTokens, OnDisconnect, Pick, Shown,
    Single, Strategy, Timeouts, Transport, Walk,
};
use crate::gateway::time::Span;

use super::super::problem;
use super::super::read::{Item, Section};
use super::defaults;

/// Everything that the gateway states for all models and a model may state for itself.
#[derive(Debug, Clone)]
pub struct Policies {
    /// How a deployment is picked.
    pub strategy: Strategy,
    /// What the pick looks at.
    pub pick: Pick,
    /// Caps and retries.
    pub attempts: Attempts,
    /// The wait between attempts.
    pub backoff: Backoff,
    /// Retries below an attempt.
    pub transport: Transport,
    /// Fallback rules, without the groups.
    pub fallbacks: Fallbacks,
    /// Cooldowns.
    pub cooldown: Cooldown,
    /// The breaker.
    pub breaker: Option<Breaker>,
    /// Time-outs.
    pub timeouts: Timeouts,
    /// The response cache.
    pub cache: Option<CachePolicy>,
    /// Output lengths.
    pub max_tokens: MaxTokens,
    /// What happens when the client leaves.
    pub on_disconnect: OnDisconnect,
}

/// Words for [`CacheScope`].
pub const SCOPES: [(&str, CacheScope); 3] = [("shared", CacheScope::Shared), ("team", CacheScope::Team), ("key", CacheScope::Key)];
const LEAVES: [(&str, Leave); 4] = [("auto", Leave::Auto), ("cancel", Leave::Cancel), ("drain", Leave::Drain), ("ignore", Leave::Ignore)];
const STRATEGIES: [(&str, Strategy); 6] = [
    ("weighted-shuffle", Strategy::WeightedShuffle),
    ("ordered", Strategy::Ordered),
    ("least-busy", Strategy::LeastBusy),
    ("lowest-latency", Strategy::LowestLatency { buffer_per_mille: 0 }),
    ("lowest-cost", Strategy::LowestCost),
    ("lowest-usage", Strategy::LowestUsage),
];

/// Any cap on attempts is at most this: everything has a bound.
const ATTEMPTS_MAX: u32 = 1000;

/// Whose policies are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The gateway's, which hold for every model.
    Gateway,
    /// One model's.
    Model,
}

/// Reads the sections that gateway and models share, on top of what `policies` has.
pub fn read(parent: &Section<'_>, level: Level, policies: &mut Policies) {
    parent.put("strategy", strategy, &mut policies.strategy);
    parent.put("pick", |item| item.choice(&[("admissible", Pick::Admissible), ("blind", Pick::Blind)]), &mut policies.pick);
    if let Some(section) = parent.section("attempts") {
        if level == Level::Gateway {
            // One for the whole gateway and no policy of a model: `super` reads it.
            section.item("retry_budget");
        }
        read_attempts(&section, policies);
    }
    if let Some(section) = parent.section("fallback") {
        read_fallback(&section, &mut policies.fallbacks);
    }
    if let Some(section) = parent.section("cooldown") {
        read_cooldown(&section, &mut policies.cooldown);
    }
    if let Some(section) = parent.read("breaker", Item::section_or_off) {
        policies.breaker = section.map(|section| breaker(&section, policies.breaker.unwrap_or_else(defaults::breaker)));
    }
    if let Some(section) = parent.section("timeouts") {
        section.put("call", Item::span_or_never, &mut policies.timeouts.call);
        section.put("first_byte", Item::span_or_never, &mut policies.timeouts.first_byte);
        section.put("stream", Item::span_or_never, &mut policies.timeouts.stream);
        section.put("idle", Item::span_or_never, &mut policies.timeouts.idle);
        section.put("request", Item::span_or_never, &mut policies.timeouts.request);
    }
    if let Some(lengths) = parent.read("max_tokens", |item| max_tokens(item, policies.max_tokens)) {
        policies.max_tokens = lengths;
    }
    if let Some(section) = parent.section("stream") {
        read_stream(&section, &mut policies.on_disconnect);
    }
}

fn strategy(item: Item<'_>) -> Option<Strategy> {
    if !item.is_table() {
        return item.choice(&STRATEGIES);
    }
    let section = item.section()?;
    let named = section.require("name", "\"lowest-latency\"", |item| item.choice(&STRATEGIES));
    let buffer = section.item("buffer");
    match (named?, buffer) {
        (Strategy::LowestLatency { .. }, Some(buffer)) => Some(Strategy::LowestLatency { buffer_per_mille: buffer.per_mille()? }),
        (_, Some(buffer)) => {
            buffer.report(problem::unknown_key(buffer.key_place, "buffer", "a strategy other than lowest-latency", &["name"]));
            None
        }
        (strategy, None) => Some(strategy),
    }
}

fn read_attempts(section: &Section<'_>, policies: &mut Policies) {
    let attempts = &mut policies.attempts;
    section.put("per_request", attempts_cap, &mut attempts.per_request);
    section.put("per_group", attempts_cap, &mut attempts.per_group);
    section.put("per_deployment", attempts_cap, &mut attempts.per_deployment);
    section.put("retry_on", Item::failures, &mut attempts.retry_on);
    section.put("retry_on_other", Item::failures, &mut attempts.retry_on_other);
    if let Some(by_class) = section.read("retries_by_class", |item| by_class(item, attempts.retries_by_class)) {
        attempts.retries_by_class = by_class;
    }
    section.put("avoid_after", Item::failures, &mut attempts.avoid_after);
    section.put("only_if_healthy", Item::boolean, &mut attempts.only_if_healthy);
    for (inner, value) in [("per_group", attempts.per_group), ("per_deployment", attempts.per_deployment)] {
        if value > attempts.per_request
            && let Some(place) = section.place_of(inner)
        {
            section.report(problem::cap_without_effect(place, inner, "per_request"));
        }
    }
    if let Some(inner) = section.section("backoff") {
        read_backoff(&inner, &mut policies.backoff);
    }
    if let Some(inner) = section.section("transport") {
        inner.put("retries", |item| item.count_within(0, ATTEMPTS_MAX), &mut policies.transport.retries);
        inner.put("retry_on", Item::failures, &mut policies.transport.retry_on);
        if let Some(backoff) = inner.section("backoff") {
            read_backoff(&backoff, &mut policies.transport.backoff);
        }
    }
}

/// A cap on attempts.
pub fn attempts_cap(item: Item<'_>) -> Option<u32> {
    item.count_within(1, ATTEMPTS_MAX)
}

fn read_backoff(section: &Section<'_>, backoff: &mut Backoff) {
    section.put("base", Item::span, &mut backoff.base);
    section.put("floor", Item::span, &mut backoff.floor);
    section.put("max", Item::span, &mut backoff.max);
    section.put("jitter", Item::span, &mut backoff.jitter);
    section.put("retry_after_max", Item::span, &mut backoff.retry_after_max);
    section.put("when", |item| item.choice(&[("always", false), ("no_healthy_deployment", true)]), &mut backoff.only_without_healthy);
    section.put("after_last", Item::boolean, &mut backoff.after_last);
}

fn by_class(item: Item<'_>, mut counts: [Option<u32>; CLASSES]) -> Option<[Option<u32>; CLASSES]> {
    let section = item.section()?;
    for class in FailureClass::ALL {
        section.put_some(class.name(), |item| item.count_within(0, ATTEMPTS_MAX), &mut counts[*class as usize]);
    }
    Some(counts)
}

fn read_fallback(section: &Section<'_>, fallbacks: &mut Fallbacks) {
    section.put("on", Item::failures, &mut fallbacks.fallback_on);
    let walks = [("flat", false), ("depth-first", true)];
    let (mut nested, mut depth_max, mut depth_by, mut resume_origin) = match fallbacks.walk {
        Walk::Flat => (false, 2, DepthBy::Level, false),
        Walk::DepthFirst { depth_max, depth_by, resume_origin } => (true, depth_max, depth_by, resume_origin),
    };
    section.put("walk", |item| item.choice(&walks), &mut nested);
    section.put("shown", |item| item.choice(&[("last", Shown::Last), ("asked", Shown::Asked)]), &mut fallbacks.shown);
    section.put("depth_max", |item| item.count_within(0, ATTEMPTS_MAX), &mut depth_max);
    section.put("depth_by", |item| item.choice(&[("level", DepthBy::Level), ("sibling", DepthBy::Sibling)]), &mut depth_by);
    section.put("resume_origin", Item::boolean, &mut resume_origin);
    fallbacks.walk = if nested { Walk::DepthFirst { depth_max, depth_by, resume_origin } } else { Walk::Flat };
    if !nested {
        for key in ["depth_max", "depth_by", "resume_origin"] {
            if let Some(place) = section.place_of(key) {
                section.report(problem::needs_other(place, key, "walk = \"depth-first\""));
            }
        }
    }
    section.put("max_price_ratio", or_false(Item::per_mille), &mut fallbacks.price_ratio_max_per_mille);
    section.put("same_tier", Item::boolean, &mut fallbacks.same_tier);
    section.put("alert_share", Item::share, &mut fallbacks.alert_share_per_mille);
}

fn read_cooldown(section: &Section<'_>, cooldown: &mut Cooldown) {
    section.put("time", Item::span, &mut cooldown.time);
    section.put("retry_after", Item::boolean, &mut cooldown.retry_after);
    section.put("at_once", Item::failures, &mut cooldown.at_once);
    section.put("counted", Item::failures, &mut cooldown.counted);
    section.put("allowed_fails", or_false(Item::count), &mut cooldown.allowed_fails);
    if let Some(by_class) = section.read("allowed_by_class", |item| by_class(item, cooldown.allowed_by_class)) {
        cooldown.allowed_by_class = by_class;
    }
    section.put("window", Item::span_above_zero, &mut cooldown.window);
    if let Some(inner) = section.read("share", Item::section_or_off) {
        let start = cooldown.share.unwrap_or_else(defaults::share);
        cooldown.share = inner.map(|inner| {
            let mut share = start;
            inner.put("share", Item::share, &mut share.per_mille);
            inner.put("calls_min", Item::count_from_one, &mut share.calls_min);
            inner.put("window", Item::span_above_zero, &mut share.window);
            share
        });
    }
    section.put("counts", |item| item.choice(&[("every", Counts::Every), ("first_of_request", Counts::FirstOfRequest)]), &mut cooldown.counts);
    let hops = [("count", Hops::Count), ("ignore", Hops::Ignore), ("if_request_fails", Hops::IfRequestFails)];
    section.put("hops", |item| item.choice(&hops), &mut cooldown.hops);
    let single = [("cooled", Single::Cooled), ("exempt", Single::Exempt), ("exempt_without_fallback", Single::ExemptWithoutFallback)];
    section.put("single", |item| item.choice(&single), &mut cooldown.single);
    section.put("single_exempt", Item::failures, &mut cooldown.single_exempt);
}

fn breaker(section: &Section<'_>, mut breaker: Breaker) -> Breaker {
    section.put("failures", Item::count_from_one, &mut breaker.failures);
    section.put("counted", Item::failures, &mut breaker.counted);
    section.put("open_for", Item::span_above_zero, &mut breaker.open_for);
    section.put("probes", Item::count_from_one, &mut breaker.probes);
    section.put("successes", Item::count_from_one, &mut breaker.successes);
    breaker
}

/// Reads the keys of a cache policy. A `ttl` of zero switches it off.
pub fn cache(section: &Section<'_>, start: Option<CachePolicy>) -> Option<CachePolicy> {
    let mut cache = start.unwrap_or_else(defaults::cache);
    section.put("ttl", Item::span, &mut cache.ttl);
    section.put("sliding", Item::boolean, &mut cache.sliding);
    section.put("scope", |item| item.choice(&SCOPES), &mut cache.scope);
    section.put("namespace", |item| item.text().map(namespace), &mut cache.namespace);
    section.put("single_flight", Item::boolean, &mut cache.single_flight);
    section.put("separate_streams", Item::boolean, &mut cache.separate_streams);
    section.put("hits_count", Item::boolean, &mut cache.hits_count);
    section.put("remote", Item::boolean, &mut cache.remote);
    (cache.ttl > Span::ZERO).then_some(cache)
}

/// A namespace as the number that goes into keys: FNV-1a, so that the same word means the same store everywhere; the empty word is 0.
fn namespace(word: &str) -> u64 {
    const PRIME: u64 = 0x0100_0000_01b3;
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    if word.is_empty() { 0 } else { word.bytes().fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME)) }
}

/// Reads `max_tokens = { default = 800, cap = 1000 }`.
fn max_tokens(item: Item<'_>, mut lengths: MaxTokens) -> Option<MaxTokens> {
    let section = item.section()?;
    section.put_some("default", Item::count_from_one, &mut lengths.default);
    section.put_some("cap", Item::count_from_one, &mut lengths.cap);
    if let (Some(default), Some(cap), Some(place)) = (lengths.default, lengths.cap, section.place_of("default"))
        && default > cap
    {
        section.report(problem::cap_without_effect(place, "default", "cap"));
    }
    Some(lengths)
}

/// Reads the section `[stream]` on top of what there is.
pub fn read_stream(section: &Section<'_>, leaving: &mut OnDisconnect) {
    if let Some(changed) = section.read("on_disconnect", |item| on_disconnect(item, *leaving)) {
        *leaving = changed;
    }
    section.put("drain_time_max", Item::span, &mut leaving.drain_time_max);
    section.put("drain_tokens_max", Item::count, &mut leaving.drain_tokens_max);
}

fn on_disconnect(item: Item<'_>, mut leaving: OnDisconnect) -> Option<OnDisconnect> {
    if !item.is_table() {
        let reaction = item.choice(&LEAVES)?;
        leaving.non_stream = reaction;
        leaving.before_first_byte = reaction;
        leaving.streaming = reaction;
        // Between attempts nothing is paid for: only an explicit `ignore` goes on for a client that has left.
        leaving.between_attempts = if reaction == Leave::Ignore { Leave::Ignore } else { Leave::Cancel };
        return Some(leaving);
    }
    let section = item.section()?;
    section.put("between_attempts", |item| item.choice(&LEAVES), &mut leaving.between_attempts);
    section.put("non_stream", |item| item.choice(&LEAVES), &mut leaving.non_stream);
    section.put("before_first_byte", |item| item.choice(&LEAVES), &mut leaving.before_first_byte);
    section.put("streaming", |item| item.choice(&LEAVES), &mut leaving.streaming);
    Some(leaving)
}

/// A reader that takes `false` for "none".
fn or_false<'a, T>(reader: impl Fn(Item<'a>) -> Option<T>) -> impl Fn(Item<'a>) -> Option<Option<T>> {
    move |item| if item.is_false() { Some(None) } else { reader(item).map(Some) }
}
