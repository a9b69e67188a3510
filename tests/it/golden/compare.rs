//! Compares what was replayed with what was recorded. Decides what counts as the same; knows neither policies nor the simulator.

use std::collections::BTreeMap;

use gwsim::gateway::time::Time;

use super::record::{Block, Case, Outcome};
use super::replay::Seen;

/// LiteLLM adds U(0, 750) ms to every sleep between attempts.
const JITTER_MS: i64 = 750;
/// What the recordings' machine may have added (the recordings' README, section 10).
const TOLERANCE_MS: i64 = 500;

/// What differs in one replay. The split over deployments is for [`splits`]: it may be luck.
pub fn differences(case: &Case, seen: &[Seen]) -> Vec<String> {
    let mut found = Vec::new();
    let calls: usize = seen.iter().map(|each| each.calls.len()).sum();
    let [least, most] = case.summary.calls.map(|calls| calls as usize);
    if !(least..=most).contains(&calls) {
        found.push(format!("{calls} calls, recorded {least}..{most}"));
    }
    for block in &case.observed.requests {
        let [first, last] = block.i;
        compare_block(block, &seen[first..=last], &mut found);
    }
    found
}

/// What differs between the recorded split of calls over deployments and those of replays with different luck, where the record has one split.
pub fn splits(case: &Case, replays: &[Vec<Seen>]) -> Vec<String> {
    let recorded: BTreeMap<&str, u32> =
        case.summary.calls_per_dep.iter().filter(|(_, [least, most])| least == most).map(|(name, [calls, _])| (name.as_str(), *calls)).collect();
    let split = |seen: &Vec<Seen>| {
        let mut split: BTreeMap<String, u32> = BTreeMap::new();
        for call in seen.iter().flat_map(|each| &each.calls) {
            *split.entry(call.deployment.clone()).or_default() += 1;
        }
        split
    };
    let splits: Vec<_> = replays.iter().map(split).collect();
    let fits = |split: &BTreeMap<String, u32>| recorded.iter().all(|(name, calls)| split.get(*name).copied().unwrap_or(0) == *calls);
    let known = |split: &BTreeMap<String, u32>| split.keys().all(|name| case.summary.calls_per_dep.contains_key(name));
    if splits.iter().any(|split| fits(split) && known(split)) {
        return Vec::new();
    }
    vec![format!("calls per deployment {:?}, recorded {:?}", splits.first(), case.summary.calls_per_dep)]
}

/// What differs between the recorded counts of a case that chance decides and those of replays with different luck: some luck must give them.
///
/// The draw alone leaves the recorded range as it is; what depends on timing or on races has it widened as in the recordings' README, section 10.
pub fn counts(case: &Case, replays: &[Vec<Seen>]) -> Vec<String> {
    let random = case.summary.random.as_deref().unwrap_or_default();
    let widened = |[least, most]: [u32; 2]| match random {
        "timing" => least.saturating_sub(2.max(most.div_ceil(10)))..=most + 2.max(most.div_ceil(10)),
        "race" => least.saturating_sub(most)..=2 * most,
        _ => least..=most,
    };
    let of = |seen: &Vec<Seen>| {
        let mut statuses: BTreeMap<String, u32> = BTreeMap::new();
        for each in seen {
            *statuses.entry(each.status.map_or_else(|| "left".into(), |status| status.to_string())).or_default() += 1;
        }
        (seen.iter().map(|each| each.calls.len() as u32).sum::<u32>(), statuses)
    };
    let all: Vec<_> = replays.iter().map(of).collect();
    let fits = |(calls, statuses): &(u32, BTreeMap<String, u32>)| {
        let known = statuses.keys().all(|status| case.summary.statuses.contains_key(status));
        let within = |(status, range): (&String, &[u32; 2])| widened(*range).contains(statuses.get(status).unwrap_or(&0));
        known && widened(case.summary.calls).contains(calls) && case.summary.statuses.iter().all(within)
    };
    if all.iter().any(fits) {
        return Vec::new();
    }
    vec![format!("{:?}, recorded {:?} {:?}", all.first(), case.summary.calls, case.summary.statuses)]
}

/// The outcomes of a block are a multiset: its requests were sent at one time, or are all alike.
fn compare_block(block: &Block, seen: &[Seen], found: &mut Vec<String>) {
    let [first, last] = block.i;
    let place = if first == last { format!("request {first}") } else { format!("requests {first}-{last}") };
    let mut unmatched: Vec<&Seen> = Vec::new();
    let mut counts = vec![0; block.outcomes.len()];
    for each in seen {
        match block.outcomes.iter().position(|outcome| is_alike(outcome, each)) {
            Some(index) => {
                counts[index] += 1;
                compare_times(&place, &block.outcomes[index], each, found);
                compare_stream(&place, &block.outcomes[index], each, found);
            }
            None => unmatched.push(each),
        }
    }
    if let Some(each) = unmatched.first() {
        let recorded: Vec<_> = block
            .outcomes
            .iter()
            .map(|outcome| format!("{:?} after {}", outcome.status, outcome.attempts.clone().unwrap_or_default().join(" ")))
            .collect();
        found.push(format!("{place}: {} x {:?} after {}, recorded {}", unmatched.len(), each.status, path(each).join(" "), recorded.join("; ")));
        return;
    }
    for (outcome, count) in block.outcomes.iter().zip(counts) {
        let [least, most] = outcome.n;
        if !(least..=most).contains(&count) {
            found.push(format!("{place}: {count} x {:?} after {:?}, recorded {least}..{most}", outcome.status, outcome.attempts));
        }
    }
}

fn is_alike(outcome: &Outcome, seen: &Seen) -> bool {
    let attempts = outcome.attempts.as_ref().map(|attempts| attempts.iter().map(|attempt| normal(attempt)).collect::<Vec<_>>());
    outcome.status == seen.status && attempts.is_none_or(|attempts| attempts == path(seen))
}

/// The attempts of a request: `A:500`.
pub fn path(seen: &Seen) -> Vec<String> {
    seen.calls.iter().map(|call| format!("{}:{}", call.group, call.status)).collect()
}

/// A recorded attempt in the words of a replay, where a reset is a close and an error event is a reset.
fn normal(attempt: &str) -> String {
    let (group, status) = attempt.split_once(':').expect("attempts are `group:status`");
    let status = match status {
        "reset" | "closed" => "broken",
        "reset_mid" | "err_mid" => "cut",
        other => other,
    };
    format!("{group}:{status}")
}

fn compare_times(place: &str, outcome: &Outcome, seen: &Seen, found: &mut Vec<String>) {
    let gaps = outcome.gaps_ms.iter().flatten().zip(outcome.sleep_ms.iter().flatten()).zip(seen.calls.windows(2));
    for (number, (([least, most], sleep), pair)) in gaps.enumerate() {
        let (gap, slept) = (millis(pair[0].at, pair[1].at), millis(pair[0].closed_at, pair[1].at));
        let widened = (least - JITTER_MS - TOLERANCE_MS)..=(least + JITTER_MS).max(*most) + TOLERANCE_MS;
        let allowed = match sleep {
            // Virtual time has no noise: no sleep is none.
            Some(0) => slept == 0,
            Some(sleep) => (*sleep..=sleep + JITTER_MS).contains(&slept) && widened.contains(&gap),
            None => widened.contains(&gap),
        };
        if !allowed {
            found.push(format!("{place}: gap {} is {gap} ms, {slept} of it asleep; recorded {least}..{most}, asleep {sleep:?}", number + 1));
        }
    }
    let answered = seen.answered_at.zip(seen.calls.last());
    if let (Some([least, most]), Some((at, last))) = (outcome.trailing_ms, answered) {
        let trailing = millis(last.at, at);
        // Putting together the error of several groups takes LiteLLM 0.35 s of work even without any sleep (c-default-fallbacks-ls), and up
        // to 2.8 s on the recordings' busy machine (c-flat-F1-R0-500): that is no wait of the gateway's.
        let works = seen.status != Some(200) && seen.calls.iter().any(|call| call.group != last.group);
        if (!works && trailing < least - JITTER_MS - TOLERANCE_MS) || trailing > most + JITTER_MS + TOLERANCE_MS {
            found.push(format!("{place}: answered {trailing} ms after the last attempt left, recorded {least}..{most}"));
        }
    }
}

fn compare_stream(place: &str, outcome: &Outcome, seen: &Seen, found: &mut Vec<String>) {
    let Some(stream) = outcome.stream.as_ref().filter(|_| seen.status == Some(200)) else { return };
    let chunks = seen.calls.last().map_or(0, |call| call.delivered);
    if let Some([least, most]) = stream.chunks
        && !(least..=most).contains(&chunks)
    {
        found.push(format!("{place}: the client got {chunks} chunks, recorded {least}..{most}"));
    }
    if stream.error.is_some() != seen.broke_off {
        found.push(format!(
            "{place}: the stream {}, recorded an error event: {}",
            if seen.broke_off { "broke off" } else { "ended well" },
            stream.error.is_some()
        ));
    }
}

fn millis(from: Time, to: Time) -> i64 {
    i64::try_from(to.since(from).0 / 1_000_000).expect("a replay takes no centuries")
}
