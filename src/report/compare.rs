//! Reports side by side: which of their variants belong together, and whether they can be compared at all. Decides that; how far they differ and how
//! sure that is says [`super::change`], and what the differences may be [`super::threshold`].

mod json;

pub use json::json;

use super::change::{Change, changes};
use super::numbers::count;
use super::threshold::{Judged, Thresholds};
use super::totals::{Demand, Supply};
use super::{Report, Run, Variant, trust};
use crate::gateway::time::Time;

/// A report to be compared, or one variant of it.
#[derive(Debug, Clone)]
pub struct Side {
    /// What the user calls it.
    pub label: String,
    /// The report.
    pub report: Report,
    /// The variant that was chosen; all of them if none was.
    pub variant: Option<String>,
}

/// Variants that belong together, how they differ, and whether that is within what was asked for.
#[derive(Debug, Clone)]
pub struct Group {
    /// Their report.
    pub report: Report,
    /// One for each variant, `None` at the reference.
    pub changes: Vec<Option<Change>>,
    /// One for each variant but the reference and threshold.
    pub judged: Vec<Judged>,
}

impl Group {
    /// Holds the variants of a report against thresholds.
    pub fn of(report: Report, thresholds: &Thresholds) -> Self {
        let changes = changes(&report);
        let judged = thresholds.judge(&report, &changes);
        Self { report, changes, judged }
    }
}

/// Why reports are not compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It was not asked for well: which variants?
    Question(String),
    /// The data don't answer it.
    Data(String),
}

/// Puts reports side by side: one report for each variant that they share, or for the ones that were chosen, whose variants are the sides. The first
/// side is the reference.
///
/// # Errors
/// If they are not of the same traffic, one of them is not to be trusted, they have no seed in common, or it is not clear which variants are meant.
pub fn side_by_side(sides: &[Side]) -> Result<Vec<Report>, Refusal> {
    let Some((first, others)) = sides.split_first() else { return Err(Refusal::Question("nothing to compare".to_owned())) };
    for side in sides {
        if let Some(missed) = side.report.baseline.as_ref().and_then(trust::missed) {
            return Err(Refusal::Data(format!("{}: {missed}", side.label)));
        }
    }
    for other in others {
        same_traffic(first, other)?;
    }
    let seeds = seeds_in_common(sides)?;
    let names = names(sides)?;
    let many = names.len() > 1;
    Ok(names.into_iter().map(|names| together(sides, &names, &seeds, many)).collect())
}

/// What the sides rest on differently, a line each.
pub fn foundations(sides: &[Side]) -> Vec<String> {
    let Some((first, others)) = sides.split_first() else { return Vec::new() };
    let mut lines = Vec::new();
    for other in others {
        if first.report.prices != other.report.prices {
            lines.push(format!("prices: {} in {}, {} in {}", first.report.prices, first.label, other.report.prices, other.label));
        }
        for (here, there) in [(first, other), (other, first)] {
            let lacks = |assumption: &&super::Assumption| !there.report.assumptions.contains(assumption);
            for assumption in here.report.assumptions.iter().filter(lacks) {
                lines.push(format!("{} {} [{}]: only in {}", assumption.what, assumption.value, assumption.source, here.label));
            }
        }
    }
    lines
}

fn same_traffic(first: &Side, other: &Side) -> Result<(), Refusal> {
    let (a, b) = (&first.report.traffic, &other.report.traffic);
    if a.digest == b.digest {
        return Ok(());
    }
    let of = |side: &Side| {
        let traffic = &side.report.traffic;
        format!("{}: {} with {} requests, digest {}", side.label, traffic.name, count(traffic.requests), traffic.digest)
    };
    let why = if a.requests == b.requests {
        "the requests differ: other rows, models, sizes or times; output lengths that a trace lacks are drawn from the first seed"
    } else {
        "they have not even as many requests"
    };
    Err(Refusal::Data(format!("not the same traffic, so a difference would say nothing: {why}\n  {}\n  {}", of(first), of(other))))
}

fn seeds_in_common(sides: &[Side]) -> Result<Vec<u64>, Refusal> {
    let of = |side: &Side| side.report.variants.first().map_or_else(Vec::new, |variant| variant.runs.iter().map(|run| run.seed).collect());
    let mut seeds: Vec<u64> = sides.first().map_or_else(Vec::new, of);
    for side in sides {
        let theirs = of(side);
        seeds.retain(|seed| theirs.contains(seed));
    }
    if seeds.is_empty() { Err(Refusal::Data("no seed in common: run them with the same --seed".to_owned())) } else { Ok(seeds) }
}

/// The names of the variants that belong together, one of each side.
fn names(sides: &[Side]) -> Result<Vec<Vec<String>>, Refusal> {
    let all = |side: &Side| side.report.variants.iter().map(|variant| variant.name.clone()).collect::<Vec<_>>();
    let choice = |side: &Side| match (&side.variant, all(side).as_slice()) {
        (Some(name), _) => Some(name.clone()),
        (None, [only]) => Some(only.clone()),
        (None, _) => None,
    };
    let chosen: Vec<Option<String>> = sides.iter().map(choice).collect();
    if let Some(chosen) = chosen.iter().cloned().collect::<Option<Vec<_>>>() {
        return Ok(vec![chosen]);
    }
    // Who has chosen one, and who has only one, is compared with the variant of that name.
    let wanted = chosen.iter().flatten().next();
    let names = all(&sides[0]).into_iter().filter(|name| wanted.is_none_or(|wanted| wanted == name));
    let shared: Vec<Vec<String>> =
        names.filter(|name| sides.iter().all(|side| all(side).contains(name))).map(|name| vec![name; sides.len()]).collect();
    if shared.is_empty() || chosen.iter().flatten().any(|name| Some(name) != wanted) {
        let lists: Vec<String> = sides.iter().map(|side| format!("  {}: {}", side.label, all(side).join(", "))).collect();
        let why = "which variants? They have none of the same name: choose them as REPORT#VARIANT";
        return Err(Refusal::Question(format!("{why}\n{}", lists.join("\n"))));
    }
    Ok(shared)
}

/// One report of the sides' variants with these names.
fn together(sides: &[Side], names: &[String], seeds: &[u64], many: bool) -> Report {
    let mut common = super::Names::default();
    let variants = sides.iter().zip(names).map(|(side, name)| {
        let found = variant(side, name);
        let mut here = under(found, seeds);
        // It was told against the reference of its own report, over all seeds of that.
        let is_told_here =
            here.runs.len() == found.runs.len() && variant(&sides[0], &names[0]).is_identical(&side.report.variants[side.report.reference]);
        here.unserved = here.unserved.filter(|_| is_told_here);
        renumber(&mut here, &mut common);
        here.name = match () {
            () if sides.iter().all(|other| other.label == side.label) => name.clone(),
            () if (many || side.variant.is_some()) && *name != side.label => format!("{}#{name}", side.label),
            () => side.label.clone(),
        };
        here
    });
    let variants: Vec<Variant> = variants.collect();
    let others: Vec<&str> = variants.iter().skip(1).map(|variant| variant.name.as_str()).collect();
    let first = &sides[0].report;
    let mut scripted: Vec<(Time, Time)> = sides.iter().flat_map(|side| side.report.scripted.iter().copied()).collect();
    scripted.sort_unstable();
    scripted.dedup();
    let shared = |assumption: &&super::Assumption| sides.iter().all(|side| side.report.assumptions.contains(assumption));
    Report {
        name: format!("{} against {}", others.join(", "), variants[0].name),
        assumptions: first.assumptions.iter().filter(shared).cloned().collect(),
        variants,
        reference: 0,
        memory: sides.iter().map(|side| side.report.memory).max().unwrap_or_default(),
        scripted,
        precision: sides.iter().filter_map(|side| side.report.precision).reduce(f64::min),
        baseline: None,
        coverage: None,
        sweep: None,
        expectations: Vec::new(),
        ..first.clone()
    }
}

fn variant<'a>(side: &'a Side, name: &str) -> &'a Variant {
    side.report.variants.iter().find(|variant| variant.name == *name).expect("its name was looked up")
}

/// The variant with the runs of these seeds only.
fn under(variant: &Variant, seeds: &[u64]) -> Variant {
    let kept: Vec<usize> = (0..variant.runs.len()).filter(|run| seeds.contains(&variant.runs[*run].seed)).collect();
    let mut variant = variant.clone();
    if let Some(ends) = &mut variant.token_ends {
        for bills in [&mut ends.low, &mut ends.high] {
            *bills = kept.iter().filter_map(|run| bills.get(*run).copied()).collect();
        }
    }
    variant.runs.retain(|run| seeds.contains(&run.seed));
    variant
}

/// Gives what the variant's rows are about the numbers that it has in `common`: two reports number the same names as they met them.
fn renumber(variant: &mut Variant, common: &mut super::Names) {
    let mut moved = |names: &[String], of: fn(&mut super::Names) -> &mut Vec<String>| -> Vec<usize> {
        let known = of(common);
        let place = |name: &String| {
            known.iter().position(|known| known == name).unwrap_or_else(|| {
                known.push(name.clone());
                known.len() - 1
            })
        };
        names.iter().map(place).collect()
    };
    let models = moved(&variant.names.models, |names| &mut names.models);
    let deployments = moved(&variant.names.deployments, |names| &mut names.deployments);
    let keys = moved(&variant.names.keys, |names| &mut names.keys);
    let teams = moved(&variant.names.teams, |names| &mut names.teams);
    let tags = moved(&variant.names.tags, |names| &mut names.tags);
    for Run { totals, .. } in &mut variant.runs {
        rows::<Demand>(&mut totals.asked, &models);
        rows::<Demand>(&mut totals.keys, &keys);
        rows::<Demand>(&mut totals.teams, &teams);
        rows::<Demand>(&mut totals.tags, &tags);
        rows::<Supply>(&mut totals.called, &models);
        rows::<Supply>(&mut totals.deployments, &deployments);
    }
    variant.names = common.clone();
}

fn rows<T: Clone + Default + PartialEq>(rows: &mut Vec<T>, places: &[usize]) {
    let mut moved = vec![T::default(); places.iter().map(|place| place + 1).max().unwrap_or(0)];
    for (row, place) in rows.drain(..).zip(places) {
        moved[*place] = row;
    }
    *rows = moved;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn side(label: &str) -> Side {
        Side { label: label.to_owned(), report: sample::report(), variant: None }
    }

    #[test]
    fn the_only_variants_are_compared_whatever_their_names() {
        let (a, mut b) = (side("a"), side("b"));
        b.report.variants[0].name = "other".to_owned();
        let reports = side_by_side(&[a, b]).unwrap();
        let names: Vec<&str> = reports[0].variants.iter().map(|variant| variant.name.as_str()).collect();
        assert_eq!((reports.len(), names), (1, vec!["a", "b"]));
    }

    #[test]
    fn variants_of_the_same_name_belong_together() {
        let (mut a, mut b) = (side("a"), side("b"));
        let add = |side: &mut Side, name: &str| {
            let more = Variant { name: name.to_owned(), ..side.report.variants[0].clone() };
            side.report.variants.push(more);
        };
        add(&mut a, "only here");
        add(&mut a, "capped");
        add(&mut b, "capped");
        let reports = side_by_side(&[a.clone(), b.clone()]).unwrap();
        let names: Vec<&str> = reports.iter().flat_map(|report| &report.variants).map(|variant| variant.name.as_str()).collect();
        assert_eq!(names, ["a#as configured", "b#as configured", "a#capped", "b#capped"]);
        b.variant = Some("capped".to_owned());
        assert_eq!(side_by_side(&[a.clone(), b.clone()]).unwrap().len(), 1);
        a.variant = Some("only here".to_owned());
        assert_eq!(side_by_side(&[a, b]).unwrap()[0].variants[0].name, "a#only here");
    }

    #[test]
    fn other_traffic_other_seeds_and_unknown_variants_are_refused() {
        let refused = |change: fn(&mut Report)| {
            let mut b = side("b");
            change(&mut b.report);
            side_by_side(&[side("a"), b]).unwrap_err()
        };
        assert!(matches!(refused(|report| report.traffic.digest = "6".repeat(32)), Refusal::Data(why) if why.starts_with("not the same traffic")));
        assert!(matches!(refused(|report| report.variants[0].runs[0].seed = 2), Refusal::Data(why) if why.starts_with("no seed in common")));
        let unclear = refused(|report| {
            let mut more = report.variants[0].clone();
            more.name = "x".to_owned();
            report.variants[0].name = "y".to_owned();
            report.variants.push(more);
        });
        assert!(matches!(unclear, Refusal::Question(why) if why.contains("b: y, x")));
    }

    #[test]
    fn a_report_read_from_its_files_is_identical_to_itself_in_memory() {
        let home = tempfile::tempdir().unwrap();
        let kept = crate::report::write::write(&sample::report(), home.path()).unwrap();
        let read = Side { report: crate::report::read::read(&kept).unwrap(), ..side("read") };
        let report = &side_by_side(&[side("memory"), read]).unwrap()[0];
        assert!(report.variants[1].is_identical(&report.variants[0]));
    }
}
