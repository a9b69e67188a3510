//! What was made up about the traffic, in words: synthetic requests, overlays, scale. Decides wording only.

use crate::config::scenario::TrafficSpec;
use crate::gateway::time::Span;
use crate::report::Assumption;
use crate::report::numbers::{count, counted};
use crate::traffic::distribution::Distribution;
use crate::traffic::overlay::{Duplicates, Overlay, Patience, Repeated, Shares};
use crate::traffic::scale::{Scale, WHOLE};
use crate::traffic::stream::Changes;
use crate::traffic::synthetic::{Arrivals, CV, HOURLY, LENGTHS, Synthetic};

/// Where ServeGen's figures come from.
const SERVEGEN: &str = "ServeGen, M";

/// The assumptions behind the traffic; none about a trace that is replayed as it is.
pub fn of_traffic(traffic: &TrafficSpec) -> Vec<Assumption> {
    let Changes { window, overlays, repeat, speed_per_mille, scale, .. } = &traffic.changes;
    let mut found = Vec::new();
    if let Some(made) = &traffic.made {
        synthetic(made, &mut found);
    }
    for overlay in overlays {
        laid_over(overlay, &mut found);
    }
    if let Some(window) = window {
        found.push(assume("window", format!("{} of the traffic from {} on", span(window.lasts), span(window.from)), "scenario"));
    }
    if *repeat > 1 {
        let value = format!("{} times, one after the other, with other prompts and sessions each time", count((*repeat).into()));
        found.push(assume("repeat", value, "assumed"));
    }
    if *speed_per_mille != 1_000 {
        found.push(assume("speed", format!("gaps between requests divided by {}", ratio(u64::from(*speed_per_mille), 1_000)), "assumed"));
    }
    if scale.per_million != WHOLE {
        found.push(assume("scale", scaled(*scale), "assumed, U"));
    }
    found
}

fn assume(what: &str, value: String, source: &str) -> Assumption {
    Assumption { what: what.to_owned(), value, source: source.to_owned() }
}

fn synthetic(made: &Synthetic, found: &mut Vec<Assumption>) {
    let law = match made.arrivals {
        Arrivals::Poisson => "Poisson".to_owned(),
        Arrivals::Gamma => format!("gamma, CV {} by key", plain(&made.cv)),
        Arrivals::Weibull => format!("Weibull, CV {} by key", plain(&made.cv)),
    };
    let is_published = made.arrivals != Arrivals::Poisson && made.cv == CV;
    found.push(assume("arrivals", law, if is_published { SERVEGEN } else { "scenario" }));
    let is_published = made.profile.hourly == HOURLY;
    let is_flat = made.profile.hourly == [1.0; 24] && made.profile.weekly == [1.0; 7] && made.profile.bursts.is_empty();
    if !is_flat {
        let bursts = counted(made.profile.bursts.len() as u64, "burst");
        found.push(assume("daily shape", format!("by hour (UTC) and day, {bursts}"), if is_published { SERVEGEN } else { "scenario" }));
    }
    senders(made.keys.as_ref(), &made.teams, found);
    for (what, lengths, most, of_preset) in [
        ("input tokens", &made.input, made.input_max, LENGTHS.map(|preset| preset.input)),
        ("output tokens", &made.output, made.output_max, LENGTHS.map(|preset| preset.output)),
    ] {
        let is_published = of_preset.iter().any(|(mu, sigma)| *lengths == Distribution::LogNormal { mu: *mu, sigma: *sigma });
        let value = format!("{}, at most {}", plain(lengths), count(most.into()));
        found.push(assume(what, value, if is_published { SERVEGEN } else { "scenario" }));
    }
    if let Some(sessions) = &made.sessions {
        let value = format!(
            "{} of requests, turns {}, {} apart",
            share((sessions.share * 1e6).round() as u32),
            plain(&sessions.turns),
            time(&sessions.think)
        );
        found.push(assume("sessions", value, "scenario"));
    }
    if !made.loops.is_empty() {
        found.push(assume("loops", counted(made.loops.len() as u64, "key"), "scenario"));
    }
}

fn laid_over(overlay: &Overlay, found: &mut Vec<Assumption>) {
    senders(overlay.keys.as_ref(), &overlay.teams, found);
    if let Some(models) = &overlay.models {
        let shares = models.names().iter().enumerate().map(|(index, name)| format!("{name} {}", share((models.share(index) * 1e6).round() as u32)));
        found.push(assume("models asked for", shares.collect::<Vec<_>>().join(", "), "scenario"));
    }
    if let Some(per_million) = overlay.stream_per_million {
        found.push(assume("streams", share(per_million), "scenario"));
    }
    if let Some((per_million, patience)) = &overlay.abandon {
        let after = match patience {
            Patience::Waited(distribution) => time(distribution),
            Patience::Tokens(distribution) => format!("{} tokens", plain(distribution)),
        };
        found.push(assume(
            "clients that leave",
            format!("{}, after {after}", share(*per_million)),
            if *patience == Patience::default() { "assumed, U" } else { "scenario" },
        ));
    }
    if let Some(limit) = &overlay.max_tokens {
        found.push(assume("max_tokens", format!("{}, never below the recorded output", plain(limit)), "scenario"));
    }
    if let Some(Duplicates { per_million, of, .. }) = &overlay.duplicates {
        let of = match of {
            Repeated::Within(window) => format!("one of the same key within {}", span(*window)),
            Repeated::Standing(prompts) => format!("one of {}", counted((*prompts).into(), "standing prompt")),
        };
        found.push(assume("duplicates", format!("{} of requests repeat {of}", share(*per_million)), "scenario"));
    }
    if overlay.replace {
        found.push(assume("overlay", "replaces what the trace records".to_owned(), "scenario"));
    }
}

fn senders(keys: Option<&Shares>, teams: &[String], found: &mut Vec<Assumption>) {
    let mut who = Vec::new();
    if let Some(keys) = keys {
        who.push(format!("{}, the first {} of requests", counted(keys.names().len() as u64, "key"), share((keys.share(0) * 1e6).round() as u32)));
    }
    if !teams.is_empty() {
        who.push(counted(teams.len() as u64, "team"));
    }
    if !who.is_empty() {
        found.push(assume("senders", who.join(", "), "scenario"));
    }
}

fn scaled(scale: Scale) -> String {
    let times = ratio(scale.per_million, WHOLE);
    if scale.per_million < WHOLE {
        return format!("{times} of the traffic, whole sessions and all duplicates of a request together");
    }
    let keys = if scale.same_keys { "" } else { ", keys" };
    format!("{times} times the traffic: copies with other prompts, sessions{keys}, up to {} later", span(scale.jitter))
}

/// A whole or decimal number without trailing zeros.
fn ratio(part: u64, whole: u64) -> String {
    figure(part as f64 / whole as f64)
}

fn share(per_million: u32) -> String {
    format!("{} %", figure(f64::from(per_million) / 10_000.0))
}

fn plain(distribution: &Distribution) -> String {
    described(distribution, figure)
}

fn time(distribution: &Distribution) -> String {
    described(distribution, |nanos| span(Span(nanos as u64)))
}

fn described(distribution: &Distribution, shown: impl Fn(f64) -> String) -> String {
    match distribution {
        Distribution::Constant(value) => shown(*value),
        other => format!("{} (p50) to {} (p95)", shown(other.quantile(0.5)), shown(other.quantile(0.95))),
    }
}

fn span(span: Span) -> String {
    let seconds = span.0 as f64 / 1e9;
    match seconds {
        0.0..60.0 => format!("{} s", figure(seconds)),
        60.0..3_600.0 => format!("{} min", figure(seconds / 60.0)),
        _ => format!("{} h", figure(seconds / 3_600.0)),
    }
}

/// Three digits, or all before the point.
fn figure(number: f64) -> String {
    if number >= 1_000.0 {
        return count(number.round() as u64);
    }
    let digits = if number == 0.0 { 0 } else { (2 - number.abs().log10().floor() as i32).clamp(0, 6) };
    let text = format!("{number:.*}", digits as usize);
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    text.to_owned()
}
