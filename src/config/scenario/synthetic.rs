//! `[traffic] synthetic = { .. }`: traffic that is made up, and `window`, `repeat`, `speed` and `scale` of any traffic. Makes none.

use crate::gateway::time::{Span, Time};
use crate::traffic::distribution::Distribution;
use crate::traffic::local_clock::LocalClock;
use crate::traffic::overlay::Overlay;
use crate::traffic::scale::{Scale, TIMES_MAX, WHOLE};
use crate::traffic::stream::{Changes, Window};
use crate::traffic::synthetic::{Arrivals, Burst, CLIENT_SKEW, CLIENTS, CV, HOURLY, LENGTHS, Loop, Preset, Profile, Sessions, Synthetic};

use super::super::distribution::{self, Unit, within};
use super::super::gateway::GatewayConfig;
use super::super::read::{Item, Section};
use super::super::{problem, quantity};
use super::overlay;

/// Monday, 5 January 2026: where made-up traffic starts unless the scenario says otherwise.
const START: Time = Time(1_767_571_200_000_000_000);

/// The longest that made-up traffic lasts: ten years.
const DURATION_MAX: Span = Span::from_secs(3_653 * 86_400);

/// Factors on a rate.
const FACTORS: (f64, f64) = (0.0, 1e6);

/// Input tokens that no model takes more of, and output tokens that few make more of: gpt-4o's (P).
const TOKENS_MAX: (u32, u32) = (128_000, 16_384);

/// Reads the table. The overlay is what it says about requests, to be laid over first.
pub(super) fn read(section: &Section<'_>, start: Option<Time>, gateways: &[&GatewayConfig]) -> Option<(Synthetic, Overlay)> {
    let start = start.unwrap_or(START);
    let duration = section.require("duration", "\"1d\"", Item::span_above_zero);
    if let (Some(place), Some(_)) = (section.place_of("duration"), duration.filter(|duration| *duration > DURATION_MAX)) {
        section.report(problem::malformed(place, "duration", "at most ten years", "it is longer", "\"1d\""));
    }
    let per_second = section.require("rate", "\"2/s\"", rate);
    let is_tenants = section.read("tenants", |item| item.choice(&[("servegen", true), ("none", false)])).unwrap_or(false);
    let (arrivals, cv) = arrivals(section, is_tenants);
    let (keys, teams) = overlay::senders(section, is_tenants.then_some((CLIENTS, CLIENT_SKEW)));
    let lengths = section.read("lengths", |item| item.choice(&LENGTHS.map(|preset| (preset.name, preset)))).unwrap_or(LENGTHS[1]);
    let Preset { input: (input_mu, input_sigma), output: (output_mu, output_sigma), .. } = lengths;
    let tokens = |item| distribution::read(item, Unit::Number);
    let input = section.read("input_tokens", tokens).unwrap_or(Distribution::LogNormal { mu: input_mu, sigma: input_sigma });
    let output = section.read("output_tokens", tokens).unwrap_or(Distribution::LogNormal { mu: output_mu, sigma: output_sigma });
    let sessions = section.section("sessions").and_then(|section| sessions(&section, &input));
    let synthetic = Synthetic {
        start,
        duration: duration.unwrap_or(Span::SECOND),
        per_second: per_second.unwrap_or(1.0),
        profile: profile(section, start),
        arrivals,
        cv,
        keys,
        teams,
        input,
        output,
        input_max: section.read("input_tokens_max", Item::count_from_one).unwrap_or(TOKENS_MAX.0),
        output_max: section.read("output_tokens_max", Item::count_from_one).unwrap_or(TOKENS_MAX.1),
        sessions,
        loops: section.read("loops", loops).unwrap_or_default(),
    };
    let overlay = overlay::requests(section, gateways);
    (duration.is_some() && per_second.is_some()).then_some((synthetic, overlay))
}

/// Reads what is done with any traffic as a whole.
pub(super) fn changes(section: &Section<'_>) -> Changes {
    let scale = match section.item("scale") {
        Some(item) if item.is_table() => item.section().map(|section| scale_of(&section)).unwrap_or_default(),
        Some(item) => Scale { per_million: times(item).unwrap_or(WHOLE), ..Scale::default() },
        None => Scale::default(),
    };
    Changes {
        seed: section.read("seed", |item| item.whole(0, u64::MAX / 2)).unwrap_or(1),
        window: section.section("window").and_then(|section| window(&section)),
        overlays: Vec::new(),
        repeat: section.read("repeat", |item| item.count_within(1, TIMES_MAX)).unwrap_or(1),
        speed_per_mille: section.read("speed", speed).unwrap_or(1_000),
        scale,
    }
}

fn window(section: &Section<'_>) -> Option<Window> {
    let from = section.read("from", Item::span).unwrap_or(Span::ZERO);
    let lasts = section.require("for", "\"1h\"", Item::span_above_zero)?;
    Some(Window { from, lasts })
}

fn scale_of(section: &Section<'_>) -> Scale {
    let mut scale = Scale::default();
    if let Some(per_million) = section.require("times", "2.5", times) {
        scale.per_million = per_million;
    }
    section.put("jitter", Item::span, &mut scale.jitter);
    section.put("keys", |item| item.choice(&[("other", false), ("same", true)]), &mut scale.same_keys);
    scale
}

/// A factor in millionths, above 0.
fn times(item: Item<'_>) -> Option<u64> {
    let text = item.number()?;
    let most = u64::from(TIMES_MAX) * WHOLE;
    match quantity::per_million(&text).map(u64::from) {
        Ok(per_million) if (1..=most).contains(&per_million) => Some(per_million),
        Ok(_) => {
            let expected = format!("above 0 and at most {TIMES_MAX}");
            item.report(problem::malformed(item.place(), item.key, &expected, &format!("this is {text}"), "2.5"));
            None
        }
        Err(why) => {
            item.report(problem::malformed(item.place(), item.key, "how many times the traffic", &why, "2.5"));
            None
        }
    }
}

fn speed(item: Item<'_>) -> Option<u32> {
    let per_mille = item.per_mille()?;
    if per_mille == 0 {
        item.report(problem::malformed(item.place(), item.key, "above 0", "time would stand still", "2"));
        return None;
    }
    Some(per_mille)
}

/// `"2/s"`, `"500/h"`: requests a second.
fn rate(item: Item<'_>) -> Option<f64> {
    let text = item.text()?;
    let parsed = text.split_once('/').and_then(|(number, unit)| {
        let seconds = [("s", 1.0), ("m", 60.0), ("h", 3_600.0), ("d", 86_400.0)].iter().find(|(name, _)| *name == unit.trim())?.1;
        let number = number.trim().replace('_', "");
        let is_plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        number.parse::<f64>().ok().filter(|number| is_plain && *number > 0.0).map(|number| number / seconds)
    });
    if parsed.is_none() {
        let expected = "requests in a second, minute, hour or day";
        item.report(problem::malformed(item.place(), item.key, expected, "it is no number above 0 with /s, /m, /h or /d", "\"2/s\""));
    }
    parsed
}

fn arrivals(section: &Section<'_>, is_tenants: bool) -> (Arrivals, Distribution) {
    let words = [("poisson", Arrivals::Poisson), ("gamma", Arrivals::Gamma), ("weibull", Arrivals::Weibull)];
    let stated = section.read("arrivals", |item| item.choice(&words));
    let cv = section.read("cv", |item| distribution::read(item, Unit::Number));
    let arrivals = stated.unwrap_or(if is_tenants { Arrivals::Gamma } else { Arrivals::Poisson });
    match section.place_of("cv") {
        Some(place) if arrivals == Arrivals::Poisson => {
            section.report(problem::needs_other(place, "cv", "arrivals = \"gamma\" or \"weibull\": Poisson arrivals have 1"));
        }
        None if arrivals != Arrivals::Poisson && !is_tenants => {
            section.report(problem::missing_key(section.place(), "cv", "such arrivals", "2.0"));
        }
        _ => {}
    }
    (arrivals, cv.unwrap_or(if is_tenants { CV } else { Distribution::Constant(1.0) }))
}

fn profile(section: &Section<'_>, start: Time) -> Profile {
    let mut profile = Profile::flat(start);
    if section.read("shape", |item| item.choice(&[("flat", false), ("servegen", true)])) == Some(true) {
        profile.hourly = HOURLY;
    }
    section.put("hourly", factors::<24>, &mut profile.hourly);
    section.put("weekly", factors::<7>, &mut profile.weekly);
    section.put("timezone", zone, &mut profile.clock);
    section.put("bursts", bursts, &mut profile.bursts);
    profile
}

/// The clock of a named zone.
pub(super) fn zone(item: Item<'_>) -> Option<LocalClock> {
    let name = item.name()?;
    let clock = if name == "UTC" { Some(LocalClock::UTC) } else { LocalClock::of_zone(&name) };
    if clock.is_none() {
        item.report(problem::unknown_timezone(item.place(), item.key, &name));
    }
    clock
}

/// As many factors as there are hours, or days.
fn factors<const COUNT: usize>(item: Item<'_>) -> Option<[f64; COUNT]> {
    let items = item.list()?;
    let factors: Vec<f64> = items.iter().filter_map(|item| within(*item, FACTORS)).collect();
    if items.len() != COUNT {
        let (expected, found) = (format!("{COUNT} factors"), format!("there are {}", items.len()));
        item.report(problem::malformed(item.place(), item.key, &expected, &found, "[1.0, 0.8, ...]"));
    }
    factors.try_into().ok()
}

fn bursts(item: Item<'_>) -> Option<Vec<Burst>> {
    let burst = |item: Item<'_>| {
        let section = item.section()?;
        let from = section.require("from", "\"1h\"", Item::span);
        let lasts = section.require("for", "\"5m\"", Item::span_above_zero);
        let factor = section.require("factor", "8", |item| within(item, FACTORS));
        Some(Burst { from: from?, lasts: lasts?, factor: factor? })
    };
    Some(item.list()?.into_iter().filter_map(burst).collect())
}

fn loops(item: Item<'_>) -> Option<Vec<Loop>> {
    let looping = |item: Item<'_>| {
        let section = item.section()?;
        let key = section.require("key", "\"agent-lab\"", Item::name);
        let from = section.require("from", "\"1h\"", Item::span);
        let lasts = section.require("for", "\"6m\"", Item::span_above_zero);
        let every = section.require("every", "\"500ms\"", Item::span_above_zero);
        Some(Loop { key: key?, from: from?, lasts: lasts?, every: every? })
    };
    Some(item.list()?.into_iter().filter_map(looping).collect())
}

fn sessions(section: &Section<'_>, input: &Distribution) -> Option<Sessions> {
    let share = section.require("share", "0.3", |item| within(item, (0.0, 1.0)));
    let turns = section.require("turns", "{ p50 = 3, p95 = 12 }", |item| distribution::read(item, Unit::Number));
    let think = section.require("think", "{ p50 = \"30s\", p95 = \"5m\" }", |item| distribution::read(item, Unit::Duration));
    let message = section.read("message_tokens", |item| distribution::read(item, Unit::Number)).unwrap_or_else(|| input.clone());
    let block_size = section.read("block_size", Item::count_from_one).unwrap_or(128);
    Some(Sessions { share: share?, turns: turns?, think: think?, message, block_size })
}
