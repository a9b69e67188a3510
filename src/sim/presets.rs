//! What is known about real providers, as one table: each figure with its source and how strong that is. Decides no more than a scenario asks for.
//!
//! `docs/presets.md` is made of this table, and so are the assumptions that a report prints. A figure that several sources state differently is the
//! strongest source's.

use std::fmt;
use std::mem::discriminant;

use super::world::{
    ALL_CALLS, Basis, Counted, DAY, DeploymentWorld, Incident, Kind, Limiter, PromptCache, ProviderLimit, RetryAfter, Step, Varies, When,
};
use crate::gateway::plan::Refill;
use crate::gateway::time::Span;
use crate::traffic::distribution::Distribution;
use crate::traffic::local_clock::LocalClock;

mod table;

pub use self::table::PRESETS;

/// What is assumed of a provider, or of one of its tiers.
#[derive(Debug)]
pub struct Preset {
    /// Its name in scenarios.
    pub name: &'static str,
    /// What it stands for.
    pub about: &'static str,
    /// All figures, from the general to the particular: of two of a kind that hold for a model, the later one counts.
    figures: &'static [&'static [Figure]],
}

/// One assumed number or rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// The provider's model that it holds for, whatever its date; nothing: all.
    pub model: &'static str,
    /// What is assumed.
    pub setting: Setting,
    /// How strong its source is.
    pub strength: Strength,
    /// Where it is from.
    pub source: &'static str,
}

/// How strong the source of a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// P: the provider's own page.
    Provider,
    /// M: measured on public data.
    Measured,
    /// S: secondary.
    Secondary,
    /// U: unverified.
    Unverified,
}

/// What a figure is about. Amounts are per minute unless they say otherwise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Setting {
    /// Milliseconds to the first token that half, and 95 of 100 calls stay below: lognormal.
    FirstToken(u32, u32),
    /// Output tokens a second.
    Speed(u32),
    /// Requests.
    Requests(u64),
    /// Requests a day.
    RequestsPerDay(u64),
    /// Input and output tokens.
    Tokens(u64),
    /// Input tokens that are not read from the prompt cache.
    InputTokens(u64),
    /// Output tokens.
    OutputTokens(u64),
    /// Output counts by max_tokens; a call without any counts this.
    CountsMaxTokens(u32),
    /// What was counted for output is put right when a call ends.
    Corrected,
    /// Whether rejected calls use up requests.
    RejectsCount(bool),
    /// A 429 says when to come back, in whole seconds.
    RetryAfter,
    /// Requests are enforced within a second.
    WithinSecond,
    /// The zone at whose midnight a day begins.
    DayStarts(&'static str),
    /// The prompt cache.
    Cache(PromptCache),
    /// Whether closing a stream stops the bill.
    CancelStopsBilling(bool),
    /// Output tokens generated between the close and the stop.
    CancelLag(u32),
    /// Incidents: minutes from one to the next in the mean, minutes that half and 90 of 100 stay below, and failing calls in a million.
    Incidents(u64, u32, u32, u32),
}

/// A preset that a deployment was made by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// The preset's name.
    pub preset: &'static str,
    /// The provider's model that it was applied to.
    pub model: String,
}

/// The preset of a name.
pub fn find(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

impl Preset {
    /// What holds for a provider's model, in the order of the table.
    pub fn figures(&self, model: &str) -> Vec<Figure> {
        let model = model.rsplit('/').next().unwrap_or(model);
        let mut found: Vec<Figure> = Vec::new();
        for figure in self.figures.iter().copied().flatten().filter(|figure| figure.holds_for(model)) {
            found.retain(|other| discriminant(&other.setting) != discriminant(&figure.setting));
            found.push(*figure);
        }
        found
    }

    /// All of its figures, for whichever model.
    pub fn all(&self) -> impl Iterator<Item = &'static Figure> {
        self.figures.iter().copied().flatten()
    }

    /// Makes `world` what is assumed of `model`. What is drawn for the whole provider is keyed by `luck_of`.
    pub fn apply(&self, model: &str, luck_of: &str, world: &mut DeploymentWorld) {
        for figure in self.figures(model) {
            figure.setting.apply(luck_of, world);
        }
        world.presets.push(Used { preset: self.name, model: model.to_owned() });
    }
}

impl Figure {
    fn holds_for(&self, model: &str) -> bool {
        let is_date =
            |rest: &str| rest.is_empty() || rest == "-latest" || rest.strip_prefix('-').is_some_and(|date| date.starts_with(char::is_numeric));
        self.model.is_empty() || model.strip_prefix(self.model).is_some_and(is_date)
    }
}

impl Setting {
    fn apply(self, luck_of: &str, world: &mut DeploymentWorld) {
        match self {
            Self::FirstToken(p50, p95) => {
                world.pace.first = Span::from_millis(p50.into());
                let first = Some(Distribution::lognormal(millis(p50), millis(p95)));
                world.varies = Some(Box::new(Varies { first, ..world.varies.take().map_or_else(Varies::default, |varies| *varies) }));
            }
            Self::Speed(tokens_per_second) => {
                world.pace = world.pace.at_speed(f64::from(tokens_per_second));
                if let Some(varies) = &mut world.varies {
                    varies.tokens_per_second = None;
                }
            }
            Self::Requests(amount) => limit(world, Counted::Requests, amount, Span::MINUTE),
            Self::RequestsPerDay(amount) => limit(world, Counted::Requests, amount, DAY),
            Self::Tokens(amount) => limit(world, Counted::TotalTokens, amount, Span::MINUTE),
            Self::InputTokens(amount) => limit(world, Counted::InputTokens, amount, Span::MINUTE),
            Self::OutputTokens(amount) => limit(world, Counted::OutputTokens, amount, Span::MINUTE),
            Self::CountsMaxTokens(unstated) => limiter(world).basis = Basis::MaxTokens { unstated },
            Self::Corrected => limiter(world).corrected_at_end = true,
            Self::RejectsCount(count) => limiter(world).rejects_count = count,
            Self::RetryAfter => limiter(world).retry_after = RetryAfter::UntilItFits,
            Self::WithinSecond => limiter(world).requests_within = Some(Span::SECOND),
            Self::DayStarts(zone) => limiter(world).day_starts = LocalClock::of_zone(zone),
            Self::Cache(cache) => world.prompt_cache = Some(cache),
            Self::CancelStopsBilling(stops) => world.billing.cancel_stops_billing = stops,
            Self::CancelLag(tokens) => world.billing.cancel_lag_tokens = tokens,
            Self::Incidents(every, p50, p90, per_million) => {
                let every = Span::from_secs(every * 60);
                let (p50, p90) = (millis(p50) * 60_000.0, millis(p90) * 60_000.0);
                let when = When::Drawn { every, lasts: Distribution::lognormal_p90(p50, p90) };
                let step = Step::status(503);
                let incident = Incident { kind: Kind::Outage, when, per_million, step, slower_per_mille: 1000, luck_of: luck_of.into() };
                world.incidents.retain(|other| other.kind != Kind::Outage);
                world.incidents.push(incident);
            }
        }
    }
}

fn millis(count: u32) -> f64 {
    f64::from(count) * 1e6
}

fn limiter(world: &mut DeploymentWorld) -> &mut Limiter {
    world.limiter.get_or_insert_with(|| Limiter { limits: Vec::new(), ..Limiter::openai(1, 1) })
}

fn limit(world: &mut DeploymentWorld, counts: Counted, amount: u64, period: Span) {
    limiter(world).set(ProviderLimit { counts, amount, period, refill: Refill::Bucket });
}

impl Setting {
    /// What it is about, in a word or two.
    pub const fn topic(self) -> &'static str {
        match self {
            Self::FirstToken(..) => "first token",
            Self::Speed(_) => "speed",
            Self::Requests(_) | Self::RequestsPerDay(_) | Self::Tokens(_) | Self::InputTokens(_) | Self::OutputTokens(_) => "limits",
            Self::CountsMaxTokens(_) | Self::Corrected | Self::RejectsCount(_) | Self::RetryAfter | Self::WithinSecond | Self::DayStarts(_) => {
                "how limits count"
            }
            Self::Cache(_) => "prompt cache",
            Self::CancelStopsBilling(_) | Self::CancelLag(_) => "calls cut short",
            Self::Incidents(..) => "outages",
        }
    }
}

impl Strength {
    /// P, M, S or U.
    pub const fn letter(self) -> char {
        match self {
            Self::Provider => 'P',
            Self::Measured => 'M',
            Self::Secondary => 'S',
            Self::Unverified => 'U',
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FirstToken(p50, p95) => write!(f, "first token after {p50} ms (p50), {p95} ms (p95)"),
            Self::Speed(speed) => write!(f, "{speed} tokens a second"),
            Self::Requests(amount) => write!(f, "{} requests a minute", Grouped(*amount)),
            Self::RequestsPerDay(amount) => write!(f, "{} requests a day", Grouped(*amount)),
            Self::Tokens(amount) => write!(f, "{} tokens a minute", Grouped(*amount)),
            Self::InputTokens(amount) => write!(f, "{} input tokens a minute, those read from the prompt cache apart", Grouped(*amount)),
            Self::OutputTokens(amount) => write!(f, "{} output tokens a minute", Grouped(*amount)),
            Self::CountsMaxTokens(0) => write!(f, "output counts as max_tokens"),
            Self::CountsMaxTokens(unstated) => write!(f, "output counts as max_tokens, or {unstated}"),
            Self::Corrected => write!(f, "output counts are put right at the end"),
            Self::RejectsCount(true) => write!(f, "rejected calls count"),
            Self::RejectsCount(false) => write!(f, "rejected calls do not count"),
            Self::RetryAfter => write!(f, "429s say when to come back"),
            Self::WithinSecond => write!(f, "requests are enforced within a second"),
            Self::DayStarts(zone) => write!(f, "days begin at midnight in {zone}"),
            Self::Cache(PromptCache { ttl, tokens_min, step, .. }) => {
                write!(f, "prompt cache from {} tokens", Grouped(u64::from(*tokens_min)))?;
                if *step > 1 {
                    write!(f, " in steps of {step}")?;
                }
                write!(f, ", for {ttl}")
            }
            Self::CancelStopsBilling(true) => write!(f, "closing a stream stops the bill"),
            Self::CancelStopsBilling(false) => write!(f, "closing a stream does not stop the bill"),
            Self::CancelLag(tokens) => write!(f, "{tokens} tokens after a close"),
            Self::Incidents(every, p50, p90, per_million) => {
                let (days, percent) = (*every as f64 / 1440.0, per_million / (ALL_CALLS / 100));
                write!(f, "every {days:.1} d {percent} % of calls fail for {p50} min (p50), {p90} min (p90)")
            }
        }
    }
}

/// A number with commas.
struct Grouped(u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// The table as Markdown: `docs/presets.md`. What several presets have in common is shown once.
pub fn markdown() -> String {
    let mut text = String::from(INTRODUCTION);
    for (index, preset) in PRESETS.iter().enumerate() {
        text.push_str(&format!("\n## {}\n\n{}.\n", preset.name, preset.about));
        let first = |part: &&[Figure]| PRESETS[..index].iter().find(|other| other.figures.iter().any(|figures| figures == part));
        let parts: Vec<&&[Figure]> = preset.figures.iter().filter(|part| first(part).is_none()).collect();
        if let Some(other) = preset.figures.iter().filter_map(first).next_back() {
            let beside = if parts.is_empty() { "." } else { ", and beside that or in its place:" };
            text.push_str(&format!("\nAs `{}`{beside}\n", other.name));
        }
        if !parts.is_empty() {
            text.push_str("\n| models | assumed | strength | source |\n|---|---|---|---|\n");
        }
        for Figure { model, setting, strength, source } in parts.into_iter().copied().flatten() {
            let model = if model.is_empty() { "all".to_owned() } else { format!("`{model}`") };
            text.push_str(&format!("| {model} | {setting} | {} | {source} |\n", strength.letter()));
        }
    }
    text
}

const INTRODUCTION: &str = "# Presets of providers

`preset = \"NAME\"` in `[world.providers.NAME]`, `[world.models.NAME]` or `[world.deployments.NAME]` sets what is in its table; keys beside it, and in
the layers after it, come on top. A model is the provider's, whatever its date; of two figures of one kind, the later one counts.
Strength: **P** the provider's own page, **M** measured on public data, **S** secondary, **U** unverified.

This file is made from `src/sim/presets/table.rs`; a test holds them together.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_is_the_table() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/presets.md");
        let (written, expected) = (std::fs::read_to_string(&path).unwrap_or_default(), markdown());
        if written != expected {
            let beside = path.with_extension("md.new");
            std::fs::write(&beside, expected).unwrap();
            panic!("{} is not what the table says; move {} over it", path.display(), beside.display());
        }
    }

    #[test]
    fn names_and_kinds_of_figures_are_there_once() {
        for (index, preset) in PRESETS.iter().enumerate() {
            assert!(PRESETS[..index].iter().all(|other| other.name != preset.name), "{} is there twice", preset.name);
            let figures: Vec<_> = preset.all().map(|figure| (figure.model, discriminant(&figure.setting))).collect();
            for (index, figure) in figures.iter().enumerate() {
                assert!(!figures[..index].contains(figure), "{}: two figures of one kind for `{}`", preset.name, figure.0);
            }
        }
    }

    /// Every figure makes a difference to the world it is applied to.
    #[test]
    fn every_figure_does_something() {
        for preset in PRESETS {
            for figure in preset.all() {
                let mut world = DeploymentWorld::realistic("a");
                world.limiter = Some(Limiter { limits: Vec::new(), ..Limiter::ledger(1, 1, Refill::Bucket) });
                world.billing.cancel_stops_billing = figure.setting != Setting::CancelStopsBilling(true);
                world.billing.cancel_lag_tokens = 1;
                let rejects_count = figure.setting == Setting::RejectsCount(false);
                world.limiter.iter_mut().for_each(|limiter| limiter.rejects_count = rejects_count);
                let before = world.clone();
                figure.setting.apply("a", &mut world);
                assert_ne!(world, before, "{}: {}", preset.name, figure.setting);
            }
        }
    }

    #[test]
    fn a_model_gets_its_figures_whatever_its_date() {
        let limits = |preset: &str, model: &str| {
            let mut world = DeploymentWorld::realistic("a");
            find(preset).unwrap().apply(model, "openai", &mut world);
            let limits = world.limiter.map_or(Vec::new(), |limiter| limiter.limits);
            limits.iter().map(|limit| (limit.counts, limit.amount)).collect::<Vec<_>>()
        };
        let mini = [(Counted::Requests, 500), (Counted::TotalTokens, 200_000), (Counted::Requests, 10_000)];
        assert_eq!(limits("openai-tier-1", "gpt-4o-mini-2024-07-18"), mini);
        assert_eq!(limits("openai-tier-1", "openai/gpt-4o"), [(Counted::Requests, 500), (Counted::TotalTokens, 30_000)]);
        assert_eq!(limits("openai-tier-1", "gpt-4o-audio"), [], "what is not known is not made up");
        let sonnet = [(Counted::Requests, 1_000), (Counted::InputTokens, 80_000), (Counted::OutputTokens, 16_000)];
        assert_eq!(limits("anthropic-tier-2", "claude-3-5-sonnet-20241022"), sonnet);
    }

    /// Unavailable time = failing share x mean length / distance: what the status pages add up to.
    #[test]
    fn incidents_leave_the_published_availability() {
        for (name, unavailable) in [("openai", 0.0042), ("anthropic", 0.0028)] {
            let mut world = DeploymentWorld::realistic("a");
            find(name).unwrap().apply("", "luck", &mut world);
            let [Incident { when: When::Drawn { every, lasts }, per_million, .. }] = world.incidents.as_slice() else { panic!("one incident") };
            let found = f64::from(*per_million) / 1e6 * lasts.mean() / every.0 as f64;
            assert!((found - unavailable).abs() < 0.0002, "{name}: {found}");
        }
    }
}
