//! The core against the recorded behaviour of the LiteLLM proxy 1.109.1: the same calls, in the same order, with the same waits and the same answer,
//! replayed in virtual time from policies that [`litellm`] derives from each recorded config.
//!
//! The recordings are not part of the repository: without them (`../shared/golden`, or under `GWSIM_SHARED`) the replay is skipped with a notice.
//! The most telling cases are stated once more in [`directed`], which needs nothing.

mod compare;
mod directed;
mod litellm;
mod mock;
mod record;
mod replay;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gwsim::gateway::time::Span;
use litellm::{Config, Wishes};
use record::{Case, Sending};
use replay::{Ask, When};

/// The groups of cases about retries, waits, fallbacks and cooldowns.
const GROUPS: [&str; 4] = ["a_retries", "b_retry_after", "c_fallbacks", "d_cooldown"];

/// Every case is replayed with so many different draws, and must come out as recorded with each.
const SEEDS: u64 = 16;

/// Cases that come out otherwise than recorded, and why. Neither a new one nor one that is cured goes unnoticed.
const DIFFERING: [(&str, &str); 0] = [];

enum Verdict {
    Passed,
    Failed(Vec<String>),
    Excluded(String),
}

#[test]
fn recorded_cases_come_out_the_same() {
    let Some(cases) = cases() else { return };
    let (mut passed, mut excluded, mut failed) = (0, 0, BTreeSet::new());
    for case in &cases {
        match judge(case) {
            Verdict::Passed => passed += 1,
            Verdict::Failed(differences) => {
                println!("FAIL {}: {}", case.id, differences.join("; "));
                failed.insert(case.id.as_str());
            }
            Verdict::Excluded(reason) => {
                println!("excluded {}: {reason}", case.id);
                excluded += 1;
            }
        }
    }
    println!("{passed} passed, {} failed, {excluded} excluded", failed.len());
    assert!(cases.len() >= 150, "the recordings have their cases");
    assert!(passed * 10 >= cases.len() * 9, "{passed} of {} come out the same", cases.len());
    let expected: BTreeSet<&str> = DIFFERING.iter().map(|(id, _)| *id).collect();
    assert_eq!(failed, expected, "the cases that differ are those that are known to");
}

/// The cases of [`GROUPS`] that nothing random decides, or `None` with a notice where the recordings are not at hand.
fn cases() -> Option<Vec<Case>> {
    let root = std::env::var_os("GWSIM_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let path = root.join("golden/cases.jsonl");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: {} is not here; set GWSIM_SHARED", path.display());
        return None;
    };
    let parse = |line: &str| serde_json::from_str::<Case>(line).unwrap_or_else(|error| panic!("{error} in {line}"));
    let wanted = |case: &Case| GROUPS.contains(&case.group.as_str()) && case.summary.random.is_none();
    let lines = text.lines().filter(|line| GROUPS.iter().any(|group| line.contains(group)));
    Some(lines.map(parse).filter(wanted).collect())
}

fn judge(case: &Case) -> Verdict {
    if case.client != "raw_http" {
        return Verdict::Excluded(format!("its client is {}", case.client));
    }
    if case.setup.is_some() || case.env.is_some() {
        return Verdict::Excluded("it needs a key with limits or an environment".into());
    }
    if let Some(startup) = &case.observed.startup {
        return Verdict::Excluded(format!("LiteLLM's start-up: {startup}"));
    }
    let config: Config = match serde_saphyr::from_str(&case.litellm_config) {
        Ok(config) => config,
        Err(error) => return Verdict::Excluded(format!("a setting that has no policy: {error}")),
    };
    let sendings = case.sendings();
    if let Some(unknown) = sendings.iter().find(|sending| config.model_list.iter().all(|entry| entry.model_name != sending.model)) {
        return Verdict::Excluded(format!("the simulator refuses traffic for the unknown model {}", unknown.model));
    }
    let prepared = wishes(&sendings).and_then(|wishes| Ok((litellm::plan(&config, &wishes)?, wishes, asks(&sendings)?)));
    let (plan, wishes, asks) = match prepared {
        Ok(prepared) => prepared,
        Err(reason) => return Verdict::Excluded(reason),
    };
    let plan = Arc::new(plan);
    let world = mock::world(&case.upstream_script, plan.deployments.iter().map(|deployment| deployment.name.as_str()));
    let run = |seed| replay::replay(&plan, litellm::key(&wishes), world.clone(), &asks, seed).expect("its models are known");
    let replays: Vec<_> = (0..SEEDS).map(run).collect();
    let mut differences = replays.iter().map(|seen| compare::differences(case, seen)).find(|found| !found.is_empty()).unwrap_or_default();
    differences.extend(compare::splits(case, &replays));
    if differences.is_empty() { Verdict::Passed } else { Verdict::Failed(differences) }
}

/// What the requests of a case say for themselves.
fn wishes(sendings: &[Sending]) -> Result<Wishes, String> {
    let mut all = sendings.iter().map(wishes_of);
    let first = all.next().unwrap_or_else(|| Ok(Wishes::default()))?;
    for each in all {
        if each? != first {
            return Err("its requests differ in num_retries, fallbacks or stream".into());
        }
    }
    Ok(first)
}

fn wishes_of(sending: &Sending) -> Result<Wishes, String> {
    let mut wishes = Wishes { stream: sending.stream, ..Wishes::default() };
    for (name, value) in &sending.body {
        match name.as_str() {
            "num_retries" => wishes.num_retries = value.as_u64().and_then(|retries| u32::try_from(retries).ok()),
            "disable_fallbacks" => wishes.disable_fallbacks = value.as_bool() == Some(true),
            "fallbacks" => {
                // "@B" stands for the group B in the recordings.
                let names = value.as_array().into_iter().flatten().filter_map(|name| name.as_str());
                wishes.fallbacks = Some(names.map(|name| name.trim_start_matches('@').to_owned()).collect());
            }
            "input" | "prompt" | "messages" | "max_tokens" => {}
            other => return Err(format!("the body's `{other}` has no policy")),
        }
    }
    for (name, value) in &sending.headers {
        match name.as_str() {
            "x-litellm-num-retries" => wishes.num_retries = value.parse().ok(),
            other => return Err(format!("the header `{other}` has no policy")),
        }
    }
    Ok(wishes)
}

/// The endpoints in the recordings; how each is called follows from the kind of model behind it.
const PATHS: [&str; 6] =
    ["/v1/chat/completions", "/v1/embeddings", "/v1/responses", "/v1/moderations", "/v1/images/generations", "/v1/messages"];

fn asks(sendings: &[Sending]) -> Result<Vec<Ask>, String> {
    let ask = |sending: &Sending| {
        if sending.stop_after.is_some() || sending.key.is_some() {
            return Err("its client leaves, or has a key of its own".to_owned());
        }
        if let Some(path) = sending.path.as_deref().filter(|path| !PATHS.contains(path)) {
            return Err(format!("{path} is not an endpoint that makes calls"));
        }
        let when = match sending.at_ms {
            Some(at) => When::At(Span::from_millis(at)),
            None => When::After(Span::from_millis(sending.sleep_ms.unwrap_or(0))),
        };
        Ok(Ask { model: sending.model.clone(), when, stream: sending.stream })
    };
    sendings.iter().map(ask).collect()
}
