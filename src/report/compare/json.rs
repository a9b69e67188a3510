//! A comparison for programs. Decides the shape only.

use serde::Serialize;

use super::super::Variant;
use super::super::json::change::ChangeJson;
use super::super::threshold::{Finding, Judged};
use super::Group;

/// The version of the format; it changes when a field changes its meaning or goes.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct ComparisonJson<'a> {
    version: u32,
    gwsim: &'static str,
    traffic: TrafficJson<'a>,
    comparisons: Vec<GroupJson<'a>>,
    differs: &'a [String],
    exit_code: u8,
}

#[derive(Serialize)]
struct TrafficJson<'a> {
    name: &'a str,
    digest: &'a str,
    requests: u64,
    span_ns: u64,
}

#[derive(Serialize)]
struct GroupJson<'a> {
    reference: SideJson<'a>,
    variants: Vec<VariantJson<'a>>,
}

#[derive(Serialize)]
struct SideJson<'a> {
    name: &'a str,
    bill: String,
    seeds: usize,
    answered: u64,
    of_requests: u64,
    other_model: u64,
}

#[derive(Serialize)]
struct VariantJson<'a> {
    #[serde(flatten)]
    side: SideJson<'a>,
    change: ChangeJson,
    thresholds: Vec<ThresholdJson<'a>>,
}

#[derive(Serialize)]
struct ThresholdJson<'a> {
    asked: &'a str,
    found: &'a str,
    finding: &'static str,
}

/// A comparison as JSON; ends with a line break.
///
/// # Errors
/// If a number is none that JSON has.
pub fn json(groups: &[Group], differs: &[String], exit_code: u8) -> Result<String, serde_json::Error> {
    let traffic = groups.first().map(|group| &group.report.traffic);
    let json = ComparisonJson {
        version: VERSION,
        gwsim: env!("CARGO_PKG_VERSION"),
        traffic: TrafficJson {
            name: traffic.map_or("", |traffic| &traffic.name),
            digest: traffic.map_or("", |traffic| &traffic.digest),
            requests: traffic.map_or(0, |traffic| traffic.requests),
            span_ns: traffic.map_or(0, |traffic| traffic.span.0),
        },
        comparisons: groups.iter().map(group).collect(),
        differs,
        exit_code,
    };
    Ok(serde_json::to_string_pretty(&json)? + "\n")
}

fn group(Group { report, changes, judged }: &Group) -> GroupJson<'_> {
    let changed = report.variants.iter().zip(changes).filter_map(|(variant, change)| Some((variant, change.as_ref()?)));
    let variants = changed.map(|(variant, change)| VariantJson {
        side: side(variant),
        change: ChangeJson::of(change),
        thresholds: judged.iter().filter(|judged| judged.variant == variant.name).map(threshold).collect(),
    });
    GroupJson { variants: variants.collect(), reference: side(&report.variants[report.reference]) }
}

fn side(variant: &Variant) -> SideJson<'_> {
    let merged = variant.merged();
    let (answered, of_requests) = merged.answered_of();
    let bill = variant.bill().mean.decimal().to_string();
    SideJson { name: &variant.name, bill, seeds: variant.runs.len(), answered, of_requests, other_model: merged.other_model }
}

fn threshold(judged: &Judged) -> ThresholdJson<'_> {
    let finding = match judged.finding {
        Finding::Within => "within",
        Finding::Above => "above",
        Finding::Open(_) => "inconclusive",
    };
    ThresholdJson { asked: &judged.asked, found: &judged.found, finding }
}
