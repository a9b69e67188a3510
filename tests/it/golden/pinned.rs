//! Which recorded cases hold each policy value in place: every value is changed in turn, and some case must notice. A mapping that no case holds
//! is a guess, and is listed as one.

use std::collections::BTreeSet;

use gwsim::gateway::failure::{FailureClass, FailureSet};
use gwsim::gateway::plan::*;
use gwsim::gateway::time::Span;

use super::{Prepared, cases, differences, prepare};

/// Draws per case: enough for a change in the draws to be seen.
const SEEDS: u64 = 6;

/// Cases shown for each value.
const SHOWN: usize = 3;

/// A change of one policy value in every model.
type Change = (&'static str, fn(&mut Model));

const fn only(class: FailureClass) -> FailureSet {
    FailureSet::of(&[class])
}

fn walk(model: &mut Model) -> (&mut u32, &mut DepthBy, &mut bool) {
    match &mut model.fallbacks.walk {
        Walk::DepthFirst { depth_max, depth_by, resume_origin } => (depth_max, depth_by, resume_origin),
        Walk::Flat => panic!("LiteLLM walks depth first"),
    }
}

const CHANGES: &[Change] = &[
    ("strategy", |model| model.strategy = Strategy::Ordered),
    ("attempts.per_group", |model| model.attempts.per_group += 1),
    ("attempts.retry_on 403", |model| model.attempts.retry_on = model.attempts.retry_on.without(only(FailureClass::Forbidden))),
    ("attempts.retry_on connect", |model| model.attempts.retry_on = model.attempts.retry_on.without(only(FailureClass::Connect))),
    ("attempts.retry_on 408", |model| model.attempts.retry_on = model.attempts.retry_on.without(only(FailureClass::Timeout))),
    ("attempts.retry_on 400", |model| model.attempts.retry_on = model.attempts.retry_on.and(only(FailureClass::BadRequest))),
    ("attempts.retry_on 404", |model| model.attempts.retry_on = model.attempts.retry_on.and(only(FailureClass::NotFound))),
    ("attempts.retry_on_other", |model| model.attempts.retry_on_other = FailureSet::NONE),
    ("attempts.only_if_healthy", |model| model.attempts.only_if_healthy = false),
    ("attempts.retries_by_class", |model| model.attempts.retries_by_class = [None; gwsim::gateway::failure::CLASSES]),
    ("backoff.base", |model| model.backoff.base = Span::from_millis(400)),
    ("backoff.max", |model| model.backoff.max = Span::from_secs(4)),
    ("backoff.jitter", |model| model.backoff.jitter = Span::from_secs(2)),
    ("backoff.floor", |model| model.backoff.floor = Span::ZERO),
    ("backoff.retry_after_max none", |model| model.backoff.retry_after_max = Span::ZERO),
    ("backoff.retry_after_max above", |model| model.backoff.retry_after_max = Span::from_secs(120)),
    ("backoff.only_without_healthy", |model| model.backoff.only_without_healthy = false),
    ("backoff.after_last", |model| model.backoff.after_last = false),
    ("transport.retries", |model| model.transport.retries = 0),
    ("transport.backoff.retry_after_max", |model| model.transport.backoff.retry_after_max = Span::ZERO),
    ("fallbacks.context_window", |model| model.fallbacks.context_window = None),
    ("fallbacks.fallback_on 401", |model| model.fallbacks.fallback_on = FailureSet::ALL.without(only(FailureClass::Unauthorized))),
    ("fallbacks.fallback_on none left", |model| model.fallbacks.fallback_on = FailureSet::ALL.without(only(FailureClass::NoDeployment))),
    ("fallbacks.walk", |model| model.fallbacks.walk = Walk::Flat),
    ("fallbacks.walk.depth_max", |model| *walk(model).0 -= 1),
    ("fallbacks.walk.depth_by", |model| *walk(model).1 = DepthBy::Level),
    ("fallbacks.shown", |model| model.fallbacks.shown = Shown::Last),
    ("cooldown.time", |model| model.cooldown.time = Span::SECOND),
    ("cooldown.retry_after", |model| model.cooldown.retry_after = false),
    ("cooldown.at_once 429", |model| model.cooldown.at_once = model.cooldown.at_once.without(only(FailureClass::RateLimited))),
    ("cooldown.at_once 401", |model| model.cooldown.at_once = model.cooldown.at_once.without(only(FailureClass::Unauthorized))),
    ("cooldown.at_once 404", |model| model.cooldown.at_once = model.cooldown.at_once.without(only(FailureClass::NotFound))),
    ("cooldown.at_once 500", |model| model.cooldown.at_once = model.cooldown.at_once.and(only(FailureClass::Internal))),
    ("cooldown.counted 500", |model| model.cooldown.counted = model.cooldown.counted.without(only(FailureClass::Internal))),
    ("cooldown.counted 429", |model| model.cooldown.counted = model.cooldown.counted.without(only(FailureClass::RateLimited))),
    ("cooldown.allowed_fails", |model| model.cooldown.allowed_fails = model.cooldown.allowed_fails.map(|allowed| allowed + 1)),
    ("cooldown.allowed_by_class", |model| model.cooldown.allowed_by_class = [None; gwsim::gateway::failure::CLASSES]),
    ("cooldown.window", |model| model.cooldown.window = Span::from_millis(1)),
    ("cooldown.share", |model| model.cooldown.share = None),
    ("cooldown.share.calls_min", |model| {
        if let Some(share) = &mut model.cooldown.share {
            share.calls_min = 4;
        }
    }),
    ("cooldown.share.per_mille above", |model| {
        if let Some(share) = &mut model.cooldown.share {
            share.per_mille = 700;
        }
    }),
    ("cooldown.counts", |model| model.cooldown.counts = Counts::Every),
    ("cooldown.hops count", |model| model.cooldown.hops = Hops::Count),
    ("cooldown.hops ignore", |model| model.cooldown.hops = Hops::Ignore),
    ("cooldown.hops with retries", |model| model.cooldown.hops = Hops::IfRequestFails),
    ("cooldown.single cooled", |model| model.cooldown.single = Single::Cooled),
    ("cooldown.single exempt", |model| model.cooldown.single = Single::Exempt),
    ("cooldown.single_exempt", |model| model.cooldown.single_exempt = FailureSet::ALL),
    ("timeouts.call", |model| model.timeouts.call = Span::from_secs(60)),
    ("timeouts.first_byte", |model| model.timeouts.first_byte = Span::from_secs(60)),
    ("timeouts.idle", |model| model.timeouts.idle = Span::MAX),
];

/// Values that only the notes on the source vouch for. A 401 may as well be retried: it cools the only deployment, which ends the retries.
const UNPINNED: &[Change] = &[
    ("attempts.retry_on 401", |model| model.attempts.retry_on = model.attempts.retry_on.and(only(FailureClass::Unauthorized))),
    ("attempts.avoid_after", |model| model.attempts.avoid_after = FailureSet::NONE),
    ("attempts.retry_on 409", |model| model.attempts.retry_on = model.attempts.retry_on.without(only(FailureClass::Conflict))),
    ("cooldown.counted connect", |model| model.cooldown.counted = model.cooldown.counted.and(only(FailureClass::Connect))),
    ("cooldown.window longer", |model| model.cooldown.window = Span::from_secs(30)),
    ("cooldown.share.per_mille below", |model| {
        if let Some(share) = &mut model.cooldown.share {
            share.per_mille = 0;
        }
    }),
    ("cooldown.share.window", |model| {
        if let Some(share) = &mut model.cooldown.share {
            share.window = Span::from_secs(30);
        }
    }),
    ("fallbacks.walk.resume_origin", |model| *walk(model).2 = false),
    ("pick", |model| model.pick = Pick::Admissible),
];

#[test]
fn every_policy_value_is_held_by_a_recorded_case() {
    let Some(cases) = cases() else { return };
    let prepared = cases.iter().filter_map(|case| Some((case, prepare(case).ok()?)));
    let prepared: Vec<_> = prepared.filter(|(case, prepared)| differences(case, prepared, SEEDS).is_empty()).collect();
    let noticed_by = |change: fn(&mut Model)| {
        let mut noticed = Vec::new();
        for (case, prepared) in &prepared {
            if noticed.len() == SHOWN {
                break;
            }
            let mut plan = prepared.plan.clone();
            plan.models.iter_mut().for_each(change);
            if plan == prepared.plan {
                continue;
            }
            let changed = Prepared { plan, key: prepared.key.clone(), world: prepared.world.clone(), asks: prepared.asks.clone() };
            if !differences(case, &changed, SEEDS).is_empty() {
                noticed.push(case.id.as_str());
            }
        }
        noticed
    };
    let mut free = BTreeSet::new();
    for (name, change) in CHANGES.iter().chain(UNPINNED) {
        let noticed = noticed_by(*change);
        println!("{name}: {}", noticed.join(", "));
        if noticed.is_empty() {
            free.insert(*name);
        }
    }
    assert_eq!(free, UNPINNED.iter().map(|(name, _)| *name).collect(), "the values that no case holds are those that are known");
}
