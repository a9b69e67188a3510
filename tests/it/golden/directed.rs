//! The most telling behaviours of LiteLLM 1.109.1 as small cases of their own, so that they hold where the recordings are not at hand. The jitter
//! of waits is switched off, so that each wait shows as it is.

use std::sync::Arc;

use gwsim::gateway::time::{Span, Time};

use super::litellm::{self, Wishes};
use super::mock;
use super::record::{Script, Step};
use super::replay::{Ask, Seen, When, replay};

/// What requests meet, one after the other.
struct Scene {
    config: String,
    script: Vec<(&'static str, Script)>,
    asks: Vec<Ask>,
    wishes: Wishes,
}

/// Model groups with so many deployments each (`A` has `a1`, `a2`), the settings as YAML, and one request for the first of them.
fn scene(groups: &[(&str, u32)], settings: &str) -> Scene {
    let mut config = String::from("model_list:\n");
    for (group, count) in groups {
        for number in 1..=*count {
            let base = format!("${{MOCK}}/{}{number}/v1", group.to_lowercase());
            config += &format!("- model_name: {group}\n  litellm_params: {{ model: openai/gpt-4o-mini, api_base: \"{base}\" }}\n");
        }
    }
    config += settings;
    let ask = Ask { model: groups[0].0.into(), when: When::After(Span::ZERO), stream: false };
    Scene { config, script: Vec::new(), asks: vec![ask], wishes: Wishes::default() }
}

fn status(status: u16) -> Step {
    Step { status: Some(status), latency_ms: 5, ..Step::default() }
}

fn retry_after(code: u16, seconds: &str) -> Step {
    Step { retry_after: Some(seconds.into()), ..status(code) }
}

impl Scene {
    /// Every call to the deployment meets this; `*` is any other deployment.
    fn always(mut self, deployment: &'static str, step: Step) -> Self {
        self.script.push((deployment, Script { steps: Vec::new(), then: Some(step) }));
        self
    }

    /// The deployment's calls meet these, and the last of them for ever.
    fn steps(mut self, deployment: &'static str, steps: &[Step]) -> Self {
        self.script.push((deployment, Script { steps: steps.to_vec(), then: None }));
        self
    }

    /// So many requests, one after the other.
    fn times(mut self, count: usize) -> Self {
        self.asks = vec![self.asks[0].clone(); count];
        self
    }

    fn replace(mut self, from: &str, to: &str) -> Self {
        self.config = self.config.replace(from, to);
        self
    }

    fn seen(&self) -> Vec<Seen> {
        let config = serde_saphyr::from_str(&self.config).unwrap();
        let mut plan = litellm::plan(&config, &self.wishes).unwrap();
        for model in &mut plan.models {
            (model.backoff.jitter, model.transport.backoff.jitter) = (Span::ZERO, Span::ZERO);
        }
        let script = self.script.iter().map(|(name, script)| ((*name).to_owned(), script.clone())).collect();
        let world = mock::world(&script, plan.deployments.iter().map(|deployment| deployment.name.as_str()));
        replay(&Arc::new(plan), litellm::key(&self.wishes), world, &self.asks, 1).unwrap()
    }

    /// Each request as its attempts, with the waits between them, and the status that the client saw.
    #[track_caller]
    fn check(&self, expected: &[&str]) {
        let seen: Vec<String> = self.seen().iter().map(shown).collect();
        assert_eq!(seen, expected);
    }

    fn calls(&self) -> Vec<usize> {
        self.seen().iter().map(|seen| seen.calls.len()).collect()
    }
}

/// `A:500 1s A:200 -> 200`
fn shown(seen: &Seen) -> String {
    let wait = |from: Time, to: Time| match to.since(from) {
        Span::ZERO => String::new(),
        wait => format!("{wait} "),
    };
    let ends = seen.calls.iter().skip(1).map(|call| call.at).chain(seen.answered_at);
    let call = |(call, next): (&super::replay::SeenCall, Time)| format!("{}:{} {}", call.group, call.status, wait(call.closed_at, next));
    let path: String = seen.calls.iter().zip(ends).map(call).collect();
    format!("{path}-> {}", seen.status.unwrap())
}

const NO_RETRIES: &str = "router_settings: { num_retries: 0 }";

#[test]
fn without_settings_there_are_two_retries_and_a_last_sleep_for_nothing() {
    scene(&[("A", 1)], "").always("a1", status(500)).check(&["A:500 500ms A:500 1s A:500 2s -> 500"]);
    scene(&[("A", 1)], NO_RETRIES).always("a1", status(500)).check(&["A:500 -> 500"]);
}

#[test]
fn the_back_off_doubles_up_to_eight_seconds() {
    let waits = "A:500 500ms A:500 1s A:500 2s A:500 4s A:500 8s A:500 8s A:500 8s -> 500";
    scene(&[("A", 1)], "router_settings: { num_retries: 6 }").always("a1", status(500)).check(&[waits]);
    let waits = "A:500 2s A:500 2s A:500 2s -> 500";
    scene(&[("A", 1)], "router_settings: { retry_after: 2 }").always("a1", status(500)).check(&[waits]);
    let waits = "A:500 500ms A:500 1s A:500 2s -> 500";
    scene(&[("A", 1)], "litellm_settings: { retry_after: 5 }").always("a1", status(500)).check(&[waits]);
}

#[test]
fn five_groups_and_three_retries_are_twenty_calls() {
    let groups = [("A", 1), ("B", 1), ("C", 1), ("D", 1), ("E", 1)];
    let settings = "litellm_settings: { num_retries: 3 }\nrouter_settings: { fallbacks: [{ A: [B, C, D, E] }] }";
    let scene = scene(&groups, settings).always("*", status(500));
    assert_eq!(scene.calls(), [20]);
    let seen = &scene.seen()[0];
    let took = seen.answered_at.unwrap().since(seen.calls[0].at);
    assert_eq!(took, Span::from_millis(5 * 7500 + 20 * 5), "0.5 + 1 + 2 + 4 s in each group");
}

#[test]
fn with_another_deployment_there_is_no_wait_and_retry_after_means_nothing() {
    scene(&[("A", 2)], "").always("*", status(500)).check(&["A:500 A:500 A:500 -> 500"]);
    scene(&[("A", 2)], "").always("*", retry_after(500, "3")).check(&["A:500 A:500 A:500 -> 500"]);
}

#[test]
fn retry_after_replaces_the_back_off_up_to_a_minute() {
    let settings = "router_settings: { num_retries: 1, fallbacks: [{ A: [B] }] }";
    let two = [("A", 1), ("B", 1)];
    scene(&two, settings).always("a1", retry_after(429, "3")).check(&["A:429 3s A:429 3s B:200 -> 200"]);
    scene(&two, settings).always("a1", retry_after(503, "30")).check(&["A:503 30s A:503 30s B:200 -> 200"]);
    for ignored in ["120", "0", "soon"] {
        scene(&two, settings).always("a1", retry_after(429, ignored)).check(&["A:429 500ms A:429 1s B:200 -> 200"]);
    }
}

#[test]
fn what_is_not_retried_still_falls_back() {
    let settings = "router_settings: { fallbacks: [{ A: [B] }] }";
    for code in [400, 401, 404, 422] {
        scene(&[("A", 1), ("B", 1)], settings).always("a1", status(code)).check(&[&format!("A:{code} B:200 -> 200")]);
    }
    scene(&[("A", 1)], "").steps("a1", &[status(429), status(400)]).check(&["A:429 500ms A:400 -> 400"]);
    scene(&[("A", 1)], "").always("a1", status(403)).check(&["A:403 500ms A:403 1s A:403 2s -> 403"]);
    scene(&[("A", 2)], "").always("*", status(401)).check(&["A:401 A:401 A:401 -> 401"]);
}

#[test]
fn one_bad_key_closes_even_an_only_deployment_for_five_seconds() {
    let mut scene = scene(&[("A", 1)], NO_RETRIES).steps("a1", &[status(401), status(200)]).times(4);
    scene.asks[2].when = When::After(Span::from_millis(4_990));
    scene.asks[3].when = When::After(Span::from_millis(10));
    scene.check(&["A:401 -> 401", "-> 429", "-> 429", "A:200 -> 200"]);
}

#[test]
fn an_only_deployment_is_never_cooled_by_429s_and_a_second_one_changes_that() {
    assert_eq!(scene(&[("A", 1)], NO_RETRIES).always("a1", status(429)).times(6).calls(), [1; 6]);
    scene(&[("A", 2)], NO_RETRIES).always("*", status(429)).times(4).check(&["A:429 -> 429", "A:429 -> 429", "-> 429", "-> 429"]);
    let mini = "router_settings: { num_retries: 3, fallbacks: [{ A: [B] }] }";
    let each = "A:429 500ms A:429 1s A:429 2s A:429 4s B:200 -> 200";
    scene(&[("A", 1), ("B", 1)], mini).always("a1", status(429)).times(3).check(&[each; 3]);
}

#[test]
fn only_the_first_failure_of_a_request_cools() {
    let slow = Step { latency_ms: 400, ..status(429) };
    let scene = scene(&[("A", 2)], "router_settings: { num_retries: 3 }").always("*", slow).times(3);
    scene.check(&["A:429 A:429 A:429 A:429 -> 429", "A:429 -> 429", "-> 429"]);
    let first: Vec<String> = scene.seen()[0].calls.iter().map(|call| call.deployment.clone()).collect();
    assert!(first[1] != first[0] && first[1..].iter().all(|name| *name == first[1]), "the second deployment is hit three times: {first:?}");
}

#[test]
fn five_failures_of_more_than_half_the_calls_cool_and_one_allowed_fail_is_two() {
    assert_eq!(scene(&[("A", 2)], NO_RETRIES).always("*", status(500)).times(12).calls().iter().sum::<usize>(), 10);
    let allowed = "router_settings: { num_retries: 0, allowed_fails: 1, cooldown_time: 60, fallbacks: [{ A: [B] }] }";
    let pair = scene(&[("A", 1), ("B", 1)], allowed).always("a1", status(500)).times(4);
    pair.check(&["A:500 B:200 -> 200", "A:500 B:200 -> 200", "B:200 -> 200", "B:200 -> 200"]);
    let alone = "router_settings: { num_retries: 0, allowed_fails: 0, cooldown_time: 60 }";
    assert_eq!(scene(&[("A", 1)], alone).always("a1", status(500)).times(5).calls(), [1; 5], "no circuit breaker at all");
    let general = "router_settings: { num_retries: 0 }\nlitellm_settings: { allowed_fails: 3 }";
    assert_eq!(scene(&[("A", 2)], general).always("*", status(500)).times(12).calls().iter().sum::<usize>(), 10, "means nothing there");
}

#[test]
fn max_fallbacks_bounds_chains_and_not_lists() {
    let groups = [("A", 1), ("B", 1), ("C", 1), ("D", 1), ("E", 1), ("F", 1), ("G", 1), ("H", 1)];
    let settings = |more: &str| format!("router_settings: {{ num_retries: 0, {more} }}");
    let path = |more: &str| {
        let seen = scene(&groups, &settings(more)).always("*", status(500)).seen();
        seen[0].calls.iter().map(|call| call.group.clone()).collect::<String>()
    };
    assert_eq!(path("max_fallbacks: 1, fallbacks: [{ A: [B, C, D] }]"), "ABCD");
    assert_eq!(path("max_fallbacks: 0, fallbacks: [{ A: [B, C, D] }]"), "A");
    assert_eq!(path("max_fallbacks: 1, fallbacks: [{ A: [B] }, { B: [C] }]"), "AB");
    assert_eq!(path("fallbacks: [{ A: [B, C] }, { B: [D, E] }, { C: [D, F] }]"), "ABDCFE");
    assert_eq!(path("max_fallbacks: 2, fallbacks: [{ A: [B, C] }, { B: [D, E] }, { C: [D, F] }]"), "ABDEC");
    assert_eq!(path("fallbacks: [{ A: [B, C] }, { B: [D, E] }, { C: [F, G] }, { D: [H] }]"), "ABDHCFGE");
    assert_eq!(path("fallbacks: [{ A: [B] }, { B: [A] }]"), "AB");
    assert_eq!(path("fallbacks: [{ A: [B] }, { B: [C] }, { C: [D] }, { D: [E] }, { E: [F] }, { F: [G] }, { G: [H] }]"), "ABCDEF");
}

#[test]
fn failures_of_a_fallback_count_only_if_nothing_answers_in_the_end() {
    let groups = [("A", 1), ("B", 2), ("C", 1)];
    let served = "router_settings: { num_retries: 0, fallbacks: [{ A: [B, C] }] }";
    let scene = |settings| scene(&groups, settings).always("a1", status(500)).always("c1", status(200)).always("*", status(429)).times(4);
    scene(served).check(&["A:500 B:429 C:200 -> 200"; 4]);
    let failed = "router_settings: { num_retries: 0, fallbacks: [{ A: [B] }] }";
    scene(failed).check(&["A:500 B:429 -> 500", "A:500 B:429 -> 500", "A:500 -> 429", "A:500 -> 429"]);
}

#[test]
fn embeddings_are_tried_three_times_below_every_attempt() {
    let settings = "router_settings: { num_retries: 1 }";
    let embed = scene(&[("A", 1)], settings).replace("gpt-4o-mini", "text-embedding-3-small").always("a1", status(500));
    embed.check(&["A:500 375ms A:500 750ms A:500 500ms A:500 375ms A:500 750ms A:500 1s -> 500"]);
    let moderate = scene(&[("A", 1)], settings).replace("gpt-4o-mini", "omni-moderation-latest").always("a1", status(500));
    assert_eq!(moderate.calls(), [3]);
    // Not recorded: the OpenAI client sends again what it timed out itself, too.
    let settings = "router_settings: { num_retries: 1, timeout: 1 }";
    let hang = Step { hang: true, ..Step::default() };
    assert_eq!(scene(&[("A", 1)], settings).replace("gpt-4o-mini", "text-embedding-3-small").always("a1", hang).calls(), [6]);
}

#[test]
fn a_stream_that_has_begun_is_not_tried_again() {
    let mut scene = scene(&[("A", 1), ("B", 1)], "router_settings: { fallbacks: [{ A: [B] }] }");
    scene.asks[0].stream = true;
    let scene = scene.always("a1", Step { die_after: Some(3), chunks: Some(8), ..Step::default() });
    scene.check(&["A:cut -> 200"]);
    let seen = &scene.seen()[0];
    assert!(seen.broke_off && seen.calls[0].delivered == 3);
}

#[test]
fn requests_at_one_time_share_no_back_pressure() {
    let mut scene = scene(&[("A", 1)], "router_settings: { num_retries: 1 }").times(8);
    for ask in &mut scene.asks {
        ask.when = When::At(Span::ZERO);
    }
    let mut steps = vec![retry_after(429, "1"); 8];
    steps.push(status(200));
    scene.steps("a1", &steps).check(&["A:429 1s A:200 -> 200"; 8]);
}

#[test]
fn too_long_an_input_goes_to_its_own_fallback_without_a_retry() {
    let settings = "router_settings: { fallbacks: [{ A: [B] }], context_window_fallbacks: [{ A: [C] }] }";
    let long = Step { code: Some("context_length_exceeded".into()), ..status(400) };
    scene(&[("A", 1), ("B", 1), ("C", 1)], settings).always("a1", long).check(&["A:400 C:200 -> 200"]);
}
