//! What a LiteLLM 1.109.1 config means in gwsim's policies: a precise statement, setting by setting. What it does not know is an error, never
//! left out. Sections are those of the recordings' README (R) and of the notes on the source (S).
//!
//! | LiteLLM | gwsim |
//! |---|---|
//! | every chat group | `strategy: WeightedShuffle`, `pick: Blind` (R 4, R 7) |
//! | num_retries N: request, else `litellm_params`, `router_settings`, `litellm_settings`, 2 | `attempts.per_group: N + 1` (R 1) |
//! | no other cap on calls | `attempts.per_request` without a cap, `per_deployment` as large as the group's (R 1) |
//! | errors that are retried | `attempts.retry_on`: 403, 408, 409, 429, 5xx, no answer; `retry_on_other`: 401; `only_if_healthy` (R 1, S 1) |
//! | 401 and 403 leave the deployment out of the next pick | `attempts.avoid_after` (S 1) |
//! | `retry_policy` | `attempts.retries_by_class`; not if the request says num_retries 0 (R 1, S 1) |
//! | `litellm_params.max_retries` | nothing at all (R 1) |
//! | waits | `backoff`: 0.5 s doubling up to 8 s + U(0, 0.75 s), `retry_after_max: 60 s`, `only_without_healthy`, `after_last` (R 2) |
//! | `router_settings.retry_after` | `backoff.floor`; `litellm_settings.retry_after` means nothing (R 2) |
//! | embeddings, moderations: the provider client's own | `transport.retries: 2`, 0.5 s doubling less up to a quarter, Retry-After (R 1) |
//! | moderations: no others | `attempts.per_group: 1` (R 1) |
//! | `fallbacks`, else `default_fallbacks` | `fallbacks.groups`, without those that are not configured (R 3) |
//! | `context_window_fallbacks` | `fallbacks.context_window`; a group without an entry has none for such errors, once any has one (R 3, S 2) |
//! | max_fallbacks N: router, else `litellm_settings`, 5 | `walk: DepthFirst { depth_max: N, depth_by: Sibling, resume_origin: true }` (R 1, S 2) |
//! | any error leads to a fallback | `fallback_on`: all but a stream that broke off (R 1, S 2) |
//! | the status when all fail: A's, or 429 if the last group had nothing to call | `fallbacks.shown: Asked` (d-fbhop-*, d-hop-last-*) |
//! | `disable_fallbacks` of a request | the key's `overrides.fallbacks: false` |
//! | cooldown by default | `at_once`: 401, 404 and, where there are others, 429; else more than 50 % of at least 5 calls in 60 s (R 4) |
//! | `router_settings.allowed_fails`, `allowed_fails_policy` | `allowed_fails`, `allowed_by_class`, `window` = `cooldown_time` (R 4) |
//! | the same | nothing `at_once`, no share (R 4) |
//! | `litellm_settings.allowed_fails` | nothing (R 4) |
//! | only deployments | exempt from all but 401 and 404; with allowed_fails only those without a fallback (R 4) |
//! | the first failed attempt of a request counts | `counts: FirstOfRequest` (R 4) |
//! | failures on fallback hops | `hops: IfRequestFails` with R = 0, else `Ignore` (R 4) |
//! | `cooldown_time` (5 s), `Retry-After`, `litellm_params.cooldown_time` | `time`, `retry_after: true`, the deployment's `cooldown_time` (R 4) |
//! | `disable_cooldowns`; embeddings | `time: 0` (R 4) |
//! | `order` | `Deployment::order` (R 4) |
//! | `timeout`: `litellm_params`, else `router_settings`, `litellm_settings.request_timeout`, 6000 s | `timeouts.call` (R 2) |
//! | `stream_timeout`, else the same | `timeouts.first_byte`, `timeouts.idle` (R 2) |
//! | the client leaves | `on_disconnect`: streams cancelled, everything else goes on (R 6) |
//!
//! Not in a plan, because gwsim has them for groups and keys and not for single requests: `num_retries` and `fallbacks` of a request. The plan
//! made here holds for requests that all carry the same [`Wishes`]. Not expressible either: cooling an only deployment after 1,000 failures in a
//! minute (S 3); num_retries and time-outs that differ within a group; a stream whose client has left is cut only when it opens (R 6).

use std::collections::BTreeMap;

use gwsim::gateway::command::{KeySpec, Overrides};
use gwsim::gateway::failure::{CLASSES, FailureClass, FailureSet};
use gwsim::gateway::features::Features;
use gwsim::gateway::id::{DeploymentId, ModelId};
use gwsim::gateway::money::{Money, Rate};
use gwsim::gateway::plan::*;
use gwsim::gateway::rate_card::{RateCard, Rates};
use gwsim::gateway::time::Span;
use serde::Deserialize;

/// The part of a LiteLLM config that has a meaning here.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub model_list: Vec<Entry>,
    #[serde(default)]
    pub router_settings: RouterSettings,
    #[serde(default)]
    pub litellm_settings: LitellmSettings,
}

/// One deployment.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub model_name: String,
    pub litellm_params: Params,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    pub model: String,
    pub api_base: String,
    #[serde(rename = "api_key")]
    pub _api_key: Option<String>,
    pub num_retries: Option<u32>,
    #[serde(rename = "max_retries")]
    pub _max_retries: Option<u32>,
    pub timeout: Option<f64>,
    pub stream_timeout: Option<f64>,
    pub cooldown_time: Option<f64>,
    pub order: Option<u32>,
    pub weight: Option<u32>,
}

type Lists = Vec<BTreeMap<String, Vec<String>>>;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RouterSettings {
    pub num_retries: Option<u32>,
    pub retry_after: Option<u64>,
    pub retry_policy: Option<RetryPolicy>,
    pub timeout: Option<f64>,
    pub fallbacks: Lists,
    pub default_fallbacks: Vec<String>,
    pub context_window_fallbacks: Lists,
    pub max_fallbacks: Option<u32>,
    pub allowed_fails: Option<u32>,
    pub allowed_fails_policy: Option<AllowedFails>,
    pub cooldown_time: Option<f64>,
    pub disable_cooldowns: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LitellmSettings {
    pub num_retries: Option<u32>,
    pub fallbacks: Lists,
    pub default_fallbacks: Vec<String>,
    pub context_window_fallbacks: Lists,
    pub max_fallbacks: Option<u32>,
    pub request_timeout: Option<f64>,
    #[serde(rename = "retry_after")]
    pub _retry_after: Option<u64>,
    #[serde(rename = "allowed_fails")]
    pub _allowed_fails: Option<u32>,
}

macro_rules! by_error {
    ($(#[$doc:meta])* $name:ident: $($field:ident $key:literal $class:ident,)*) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $(#[serde(rename = $key)] pub $field: Option<u32>,)*
        }

        impl $name {
            fn by_class(&self) -> [Option<u32>; CLASSES] {
                let mut by_class = [None; CLASSES];
                $(by_class[FailureClass::$class as usize] = self.$field;)*
                by_class
            }
        }
    };
}

by_error! {
    /// Retries by error class.
    RetryPolicy:
    bad_request "BadRequestErrorRetries" BadRequest,
    authentication "AuthenticationErrorRetries" Unauthorized,
    timeout "TimeoutErrorRetries" Timeout,
    rate_limit "RateLimitErrorRetries" RateLimited,
    content_policy "ContentPolicyViolationErrorRetries" ContentPolicy,
    internal "InternalServerErrorRetries" Internal,
}

by_error! {
    /// Failures that are let pass, by error class.
    AllowedFails:
    bad_request "BadRequestErrorAllowedFails" BadRequest,
    authentication "AuthenticationErrorAllowedFails" Unauthorized,
    timeout "TimeoutErrorAllowedFails" Timeout,
    rate_limit "RateLimitErrorAllowedFails" RateLimited,
    content_policy "ContentPolicyViolationErrorAllowedFails" ContentPolicy,
    internal "InternalServerErrorAllowedFails" Internal,
}

/// What the requests say for themselves, all alike.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wishes {
    /// `num_retries` in the body or `x-litellm-num-retries`.
    pub num_retries: Option<u32>,
    /// `fallbacks` in the body.
    pub fallbacks: Option<Vec<String>>,
    /// `disable_fallbacks` in the body.
    pub disable_fallbacks: bool,
}

/// Retries where nothing says how many: the OpenAI client's own default (R 1).
const NUM_RETRIES: u32 = 2;
/// R 1.
const MAX_FALLBACKS: u32 = 5;
/// R 4.
const COOLDOWN_TIME: f64 = 5.0;
/// S 12, `request_timeout`.
const REQUEST_TIMEOUT: f64 = 6000.0;
/// Allowed failures of classes that an `allowed_fails_policy` does not name (R 4).
const ALLOWED_FAILS: u32 = 3;

/// Errors that are tried again (S 1): LiteLLM's 408, 409, 429 and 5xx; no answer is its 500; and the 403 that comes as a plain API error.
const RETRIED: FailureSet = FailureSet::of(&[
    FailureClass::RateLimited,
    FailureClass::Timeout,
    FailureClass::Conflict,
    FailureClass::Connect,
    FailureClass::Internal,
    FailureClass::BadGateway,
    FailureClass::Unavailable,
    FailureClass::Forbidden,
    FailureClass::Saturated,
]);

/// Errors that are looked at for a cooldown (S 3); connections that break never are.
const COUNTED: FailureSet = FailureSet::of(&[
    FailureClass::RateLimited,
    FailureClass::Timeout,
    FailureClass::Unauthorized,
    FailureClass::NotFound,
    FailureClass::Internal,
    FailureClass::BadGateway,
    FailureClass::Unavailable,
]);

/// Errors that cool at once even an only deployment (R 4).
const HOPELESS: FailureSet = FailureSet::of(&[FailureClass::Unauthorized, FailureClass::NotFound]);

/// How LiteLLM calls a model, by the kind of model that its price map says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Chat,
    Embedding,
    Moderation,
}

/// The plan that behaves like LiteLLM with this config, for requests with these wishes.
///
/// # Errors
/// If the config asks for something that a plan can't say.
pub fn plan(config: &Config, wishes: &Wishes) -> Result<Plan, String> {
    let mut names: Vec<&str> = Vec::new();
    for entry in &config.model_list {
        if !names.contains(&entry.model_name.as_str()) {
            names.push(&entry.model_name);
        }
    }
    let deployments = config.model_list.iter().map(|entry| deployment(config, entry)).collect::<Result<Vec<_>, _>>()?;
    let models = names.iter().map(|name| model(config, wishes, &names, name)).collect::<Result<Vec<_>, _>>()?;
    Ok(Plan {
        models,
        deployments,
        budgets: Vec::new(),
        limits: Vec::new(),
        end_user_budget: None,
        cache_bytes_max: 0,
        loop_detector: None,
        retry_budget: None,
        late_usage_window: Span::ZERO,
    })
}

/// The key that sends requests with these wishes.
pub fn key(wishes: &Wishes) -> KeySpec {
    let fallbacks = if wishes.disable_fallbacks { Some(false) } else { None };
    KeySpec { overrides: Overrides { fallbacks, ..Overrides::default() }, ..KeySpec::default() }
}

/// The deployment's name in script and plan: `a1` of `${MOCK}/a1/v1`.
fn deployment_name(entry: &Entry) -> Result<&str, String> {
    let base = &entry.litellm_params.api_base;
    let name = base.strip_prefix("${MOCK}/").and_then(|rest| rest.strip_suffix("/v1"));
    name.ok_or_else(|| format!("api_base {base} is not the scripted upstream"))
}

fn deployment(config: &Config, entry: &Entry) -> Result<Deployment, String> {
    let params = &entry.litellm_params;
    let rates = Rates::plain(Rate::micro_usd_per_mtok(150_000), Rate::micro_usd_per_mtok(600_000));
    Ok(Deployment {
        name: deployment_name(entry)?.into(),
        provider: "openai".into(),
        model: params.model.clone(),
        rates: RateCard::new(rates, Vec::new(), Money::ZERO).into(),
        weight: params.weight.unwrap_or(1),
        order: params.order.unwrap_or(0),
        limits: Vec::new(),
        budgets: Vec::new(),
        output_tokens_max: 16_384,
        input_tokens_max: u32::MAX,
        service: ServiceClass::Standard,
        offers: Features::ALL,
        countable: false,
        // R 6: attempts that timed out are charged their input, other failures nothing.
        billing: BillingRule { cancel_stops_billing: true, cancel_lag_tokens_max: 0, timed_out: Presume::Input, failed: Presume::Nothing },
        cooldown_time: params.cooldown_time.filter(|_| !config.router_settings.disable_cooldowns).map(seconds),
        retired: false,
    })
}

fn model(config: &Config, wishes: &Wishes, names: &[&str], name: &str) -> Result<Model, String> {
    let entries = || config.model_list.iter().zip(0..).filter(|(entry, _)| entry.model_name == name);
    let params: Vec<&Params> = entries().map(|(entry, _)| &entry.litellm_params).collect();
    if params.iter().any(|each| each.order.is_some()) && params.iter().any(|each| each.order.is_none()) {
        return Err(format!("some deployments of {name} have an order and some don't"));
    }
    let mode = same(name, "kind of model", params.iter().map(|each| mode_of(&each.model)))?;
    let retries = retries(config, wishes, same(name, "num_retries", params.iter().map(|each| each.num_retries))?);
    let fallbacks = fallbacks(config, wishes, names, name)?;
    let rates = Rates::plain(Rate::micro_usd_per_mtok(150_000), Rate::micro_usd_per_mtok(600_000));
    Ok(Model {
        name: name.into(),
        deployments: entries().map(|(_, index)| DeploymentId(index)).collect(),
        strategy: Strategy::WeightedShuffle,
        pick: Pick::Blind,
        attempts: attempts(config, wishes, mode, retries),
        backoff: Backoff {
            base: Span::from_millis(500),
            floor: Span::from_secs(config.router_settings.retry_after.unwrap_or(0)),
            max: Span::from_secs(8),
            jitter: Span::from_millis(750),
            retry_after_max: Span::from_secs(60),
            only_without_healthy: true,
            after_last: true,
        },
        transport: transport(mode),
        cooldown: cooldown(config, mode, retries),
        fallbacks,
        breaker: None,
        timeouts: timeouts(config, name, &params)?,
        cache: None,
        max_tokens: MaxTokens { default: None, cap: None },
        on_disconnect: OnDisconnect {
            between_attempts: Leave::Ignore,
            non_stream: Leave::Ignore,
            before_first_byte: Leave::Ignore,
            streaming: Leave::Cancel,
            drain_time_max: Span::MAX,
            drain_tokens_max: u32::MAX,
        },
        tier: None,
        reference: RateCard::new(rates, Vec::new(), Money::ZERO).into(),
        output_tokens_max: 16_384,
        budgets: Vec::new(),
        limits: Vec::new(),
        retired: false,
    })
}

fn mode_of(model: &str) -> Mode {
    match model.strip_prefix("openai/").unwrap_or(model) {
        name if name.starts_with("text-embedding-") => Mode::Embedding,
        name if name.starts_with("omni-moderation-") => Mode::Moderation,
        _ => Mode::Chat,
    }
}

/// R 1, "Which setting gives R".
fn retries(config: &Config, wishes: &Wishes, deployment: Option<u32>) -> u32 {
    let settings = config.router_settings.num_retries.or(config.litellm_settings.num_retries);
    wishes.num_retries.or(deployment).or(settings).unwrap_or(NUM_RETRIES)
}

fn attempts(config: &Config, wishes: &Wishes, mode: Mode, retries: u32) -> Attempts {
    let policy = config.router_settings.retry_policy.as_ref().filter(|_| wishes.num_retries != Some(0));
    // R 1: moderations go to the provider's client past the router's retries.
    let retries = if mode == Mode::Moderation { 0 } else { retries };
    let attempts = Attempts {
        per_request: u32::MAX,
        per_group: retries + 1,
        per_deployment: u32::MAX,
        retry_on: RETRIED,
        retry_on_other: FailureSet::of(&[FailureClass::Unauthorized]),
        retries_by_class: policy.map_or([None; CLASSES], RetryPolicy::by_class),
        avoid_after: FailureSet::of(&[FailureClass::Unauthorized, FailureClass::Forbidden]),
        only_if_healthy: true,
    };
    Attempts { per_deployment: attempts.most(), ..attempts }
}

/// R 1, embeddings: the OpenAI client waits `min(0.5 * 2^i, 8) s` less up to a quarter; here the quarter is that of the first wait.
fn transport(mode: Mode) -> Transport {
    let retries = if mode == Mode::Chat { 0 } else { 2 };
    let backoff = Backoff {
        base: Span::from_millis(375),
        floor: Span::ZERO,
        max: Span::from_secs(6),
        jitter: Span::from_millis(125),
        retry_after_max: Span::from_secs(60),
        only_without_healthy: false,
        after_last: false,
    };
    Transport { retries, retry_on: RETRIED.without(FailureSet::of(&[FailureClass::Forbidden, FailureClass::Saturated])), backoff }
}

fn fallbacks(config: &Config, wishes: &Wishes, names: &[&str], name: &str) -> Result<Fallbacks, String> {
    let (router, general) = (&config.router_settings, &config.litellm_settings);
    let id = |name: &String| (0..).zip(names).find(|(_, known)| *known == name).map(|(index, _)| ModelId(index));
    // R 3: a group that is not configured is skipped.
    let ids = |names: &[String]| names.iter().filter_map(id).collect::<Vec<_>>();
    let one = |what: &str, a: &Lists, b: &Lists| match (a.is_empty(), b.is_empty()) {
        (false, false) => Err(format!("{what} in both router_settings and litellm_settings")),
        (true, _) => Ok(b.clone()),
        (_, true) => Ok(a.clone()),
    };
    let entry = |lists: &Lists| lists.iter().find_map(|list| list.get(name)).map(|groups| ids(groups));
    let lists = one("fallbacks", &router.fallbacks, &general.fallbacks)?;
    let default = if router.default_fallbacks.is_empty() { &general.default_fallbacks } else { &router.default_fallbacks };
    let groups = match &wishes.fallbacks {
        Some(groups) => ids(groups),
        None => entry(&lists).unwrap_or_else(|| ids(default)),
    };
    let context = one("context_window_fallbacks", &router.context_window_fallbacks, &general.context_window_fallbacks)?;
    Ok(Fallbacks {
        groups,
        context_window: if context.is_empty() { None } else { Some(entry(&context).unwrap_or_default()) },
        content_policy: None,
        fallback_on: FailureSet::ALL.without(FailureSet::of(&[FailureClass::Cut])),
        walk: Walk::DepthFirst {
            depth_max: router.max_fallbacks.or(general.max_fallbacks).unwrap_or(MAX_FALLBACKS),
            depth_by: DepthBy::Sibling,
            resume_origin: true,
        },
        shown: Shown::Asked,
        price_ratio_max_per_mille: None,
        same_tier: false,
        alert_share_per_mille: 1000,
    })
}

/// R 4 throughout.
fn cooldown(config: &Config, mode: Mode, retries: u32) -> Cooldown {
    let router = &config.router_settings;
    let time = seconds(router.cooldown_time.unwrap_or(COOLDOWN_TIME));
    let off = router.disable_cooldowns || mode != Mode::Chat;
    let common = Cooldown {
        time: if off { Span::ZERO } else { time },
        retry_after: !off,
        at_once: FailureSet::NONE,
        counted: COUNTED,
        allowed_fails: None,
        allowed_by_class: [None; CLASSES],
        window: time,
        share: None,
        counts: Counts::FirstOfRequest,
        hops: if retries == 0 { Hops::IfRequestFails } else { Hops::Ignore },
        single: Single::Exempt,
        single_exempt: FailureSet::ALL,
    };
    if router.allowed_fails.is_none() && router.allowed_fails_policy.is_none() {
        return Cooldown {
            at_once: HOPELESS.and(FailureSet::of(&[FailureClass::RateLimited])),
            share: Some(FailureShare { per_mille: 500, calls_min: 5, window: Span::MINUTE }),
            single_exempt: FailureSet::ALL.without(HOPELESS),
            ..common
        };
    }
    let allowed_by_class = router.allowed_fails_policy.as_ref().map_or([None; CLASSES], AllowedFails::by_class);
    let named = FailureClass::ALL.iter().filter(|class| allowed_by_class[**class as usize].is_some());
    Cooldown {
        allowed_fails: Some(router.allowed_fails.unwrap_or(ALLOWED_FAILS)),
        single: Single::ExemptWithoutFallback,
        // S 3: a class that the policy names cools even an only deployment.
        single_exempt: named.fold(FailureSet::ALL, |exempt, class| exempt.without(FailureSet::of(&[*class]))),
        allowed_by_class,
        ..common
    }
}

/// R 2: `timeout` bounds an attempt; in a stream its first byte and every gap after it, unless `stream_timeout` does, but not the whole stream.
fn timeouts(config: &Config, name: &str, params: &[&Params]) -> Result<Timeouts, String> {
    let own = same(name, "timeout", params.iter().map(|each| each.timeout))?;
    let stream = same(name, "stream_timeout", params.iter().map(|each| each.stream_timeout))?;
    let call = own.or(config.router_settings.timeout).or(config.litellm_settings.request_timeout).unwrap_or(REQUEST_TIMEOUT);
    let chunk = seconds(stream.unwrap_or(call));
    Ok(Timeouts { call: seconds(call), first_byte: chunk, stream: Span::MAX, idle: chunk, request: Span::MAX })
}

/// The value that all deployments of a group share: gwsim has it for the group.
fn same<T: PartialEq>(group: &str, what: &str, mut values: impl Iterator<Item = T>) -> Result<T, String> {
    let first = values.next().ok_or_else(|| format!("{group} has no deployment"))?;
    if values.all(|each| each == first) { Ok(first) } else { Err(format!("the deployments of {group} differ in {what}")) }
}

fn seconds(seconds: f64) -> Span {
    Span((seconds * 1e9).round() as u64)
}
