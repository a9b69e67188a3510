//! A number that may vary, as people write it: a plain value, two percentiles, a mean and its spread, or a list. Draws nothing.

use crate::gateway::time::Span;
use crate::traffic::distribution::Distribution;

use super::problem;
use super::read::Item;

/// What the values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Durations with their unit: `"300ms"`. The distribution is in nanoseconds.
    Duration,
    /// Plain numbers: tokens, tokens per second.
    Number,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Uniform,
    Exponential,
    LogNormal,
    Gamma,
    Weibull,
    Empirical,
}

/// Every key of a distribution but its kind.
const KEYS: [&str; 11] = ["p50", "p90", "p95", "mean", "cv", "mu", "sigma", "low", "high", "quantiles", "values"];

/// Numbers beyond this are typing errors, and would leave what integers hold.
const VALUE_MAX: f64 = 1e15;

/// Coefficients of variation that a fit reproduces: see [`Distribution::weibull_of_mean`].
const CV: (f64, f64) = (0.01, 10.0);

/// Reads a distribution. A plain value is constant; a table without `distribution` is lognormal, unless its keys say otherwise:
/// `{ p50 = .., p95 = .. }` (lognormal also by p90), `{ mean = .., cv = .. }`, `{ mu = .., sigma = .. }` (numbers only), `{ low = .., high = .. }`,
/// `{ quantiles = [[0.5, ..], [1.0, ..]] }`, `{ values = [..] }`.
pub fn read(item: Item<'_>, unit: Unit) -> Option<Distribution> {
    if !item.is_table() {
        return value(item, unit).map(Distribution::Constant);
    }
    let section = item.section()?;
    let kinds = [
        ("uniform", Kind::Uniform),
        ("exponential", Kind::Exponential),
        ("lognormal", Kind::LogNormal),
        ("gamma", Kind::Gamma),
        ("weibull", Kind::Weibull),
        ("empirical", Kind::Empirical),
    ];
    let items: Vec<Item<'_>> = KEYS.into_iter().filter_map(|key| section.item(key)).collect();
    let stated: Vec<&str> = items.iter().map(|item| item.key).collect();
    let kind = match section.item("distribution") {
        Some(item) => item.choice(&kinds)?,
        None if stated.contains(&"quantiles") || stated.contains(&"values") => Kind::Empirical,
        None if stated.contains(&"low") || stated.contains(&"high") => Kind::Uniform,
        None => Kind::LogNormal,
    };
    let forms = forms(kind, unit);
    if !forms.contains(&stated.as_slice()) {
        let expected: Vec<String> = forms.iter().map(|form| form.join(" and ")).collect();
        let found = if stated.is_empty() { "it states nothing".to_owned() } else { format!("it states {}", stated.join(", ")) };
        let name = kinds.iter().find(|(_, other)| *other == kind).map_or("", |(name, _)| name);
        let problem = problem::malformed(item.place(), item.key, &format!("{name}, by {}", expected.join(", or ")), &found, example(unit));
        item.report(problem);
        return None;
    }
    match items.as_slice() {
        [list] if list.key == "quantiles" => quantiles(*list, unit),
        [list] if list.key == "values" => values(*list, unit),
        [only] => one_figure(*only, unit),
        [first, second] => two_figures(kind, *first, *second, unit),
        _ => None,
    }
}

/// Which keys a distribution may be stated by.
fn forms(kind: Kind, unit: Unit) -> &'static [&'static [&'static str]] {
    match (kind, unit) {
        (Kind::Uniform, _) => &[&["low", "high"]],
        (Kind::Exponential, _) => &[&["p50"], &["mean"]],
        (Kind::LogNormal, Unit::Number) => &[&["p50", "p95"], &["p50", "p90"], &["mean", "cv"], &["mu", "sigma"]],
        (Kind::LogNormal, Unit::Duration) => &[&["p50", "p95"], &["p50", "p90"], &["mean", "cv"]],
        (Kind::Gamma | Kind::Weibull, _) => &[&["p50", "p95"], &["mean", "cv"]],
        (Kind::Empirical, _) => &[&["quantiles"], &["values"]],
    }
}

fn example(unit: Unit) -> &'static str {
    match unit {
        Unit::Duration => "{ p50 = \"150ms\", p95 = \"400ms\" }",
        Unit::Number => "{ p50 = 500, p95 = 3000 }",
    }
}

fn one(unit: Unit) -> &'static str {
    match unit {
        Unit::Duration => "\"1s\"",
        Unit::Number => "1000",
    }
}

fn one_figure(item: Item<'_>, unit: Unit) -> Option<Distribution> {
    let figure = above_zero(item, unit)?;
    Some(if item.key == "p50" { Distribution::exponential(figure) } else { Distribution::Exponential { mean: figure } })
}

fn two_figures(kind: Kind, first: Item<'_>, second: Item<'_>, unit: Unit) -> Option<Distribution> {
    match first.key {
        "p50" => {
            let (p50, above) = (above_zero(first, unit), above_zero(second, unit));
            let (p50, above) = (p50?, above?);
            if above <= p50 {
                second.report(problem::malformed(
                    second.place(),
                    second.key,
                    "above `p50`",
                    "it is not; a value that never varies is written alone",
                    one(unit),
                ));
                return None;
            }
            Some(match kind {
                Kind::Gamma => Distribution::gamma(p50, above),
                Kind::Weibull => Distribution::weibull(p50, above),
                _ if second.key == "p90" => Distribution::lognormal_p90(p50, above),
                _ => Distribution::lognormal(p50, above),
            })
        }
        "mean" => {
            let (mean, cv) = (above_zero(first, unit), within(second, CV));
            let (mean, cv) = (mean?, cv?);
            Some(match kind {
                Kind::Gamma => Distribution::gamma_of_mean(mean, cv),
                Kind::Weibull => Distribution::weibull_of_mean(mean, cv),
                _ => Distribution::lognormal_of_mean(mean, cv),
            })
        }
        "mu" => {
            let (mu, sigma) = (within(first, (-20.0, 30.0)), within(second, (0.0, 10.0)));
            Some(Distribution::LogNormal { mu: mu?, sigma: sigma? })
        }
        _ => {
            let (low, high) = (value(first, unit), value(second, unit));
            let (low, high) = (low?, high?);
            if high < low {
                second.report(problem::malformed(second.place(), "high", "at least `low`", "it is below", one(unit)));
                return None;
            }
            Some(Distribution::Uniform { low, high })
        }
    }
}

fn quantiles(item: Item<'_>, unit: Unit) -> Option<Distribution> {
    const EXPECTED: &str = "a list of [share, value], both ascending, up to the share 1";
    let wrong = |place, why: &str| {
        item.report(problem::malformed(place, "quantiles", EXPECTED, why, "[[0.5, 200], [0.95, 700], [1.0, 2000]]"));
        None
    };
    let mut points: Vec<(f64, f64)> = Vec::new();
    for pair in item.list()? {
        let elements = pair.list()?;
        let [share, stated] = elements.as_slice() else { return wrong(pair.place(), "this is no pair") };
        let (share, stated) = (within(*share, (0.0, 1.0)), value(*stated, unit));
        let (share, stated) = (share?, stated?);
        if points.last().is_some_and(|(before, least)| share <= *before || stated < *least) {
            return wrong(pair.place(), "it is not above the one before");
        }
        points.push((share, stated));
    }
    if points.last().is_none_or(|(share, _)| *share != 1.0) {
        return wrong(item.place(), "the last share is not 1, so the greatest value is unknown");
    }
    Some(Distribution::Empirical(points.into()))
}

fn values(item: Item<'_>, unit: Unit) -> Option<Distribution> {
    let items = item.list()?;
    let values: Vec<f64> = items.iter().filter_map(|item| value(*item, unit)).collect();
    if items.is_empty() {
        item.report(problem::malformed(item.place(), "values", "a list of values", "it is empty", "[200, 300]"));
    }
    (values.len() == items.len() && !values.is_empty()).then(|| Distribution::of_values(values))
}

/// A value from 0.
fn value(item: Item<'_>, unit: Unit) -> Option<f64> {
    match unit {
        Unit::Duration => item.span().map(|Span(nanos)| nanos as f64),
        Unit::Number => within(item, (0.0, VALUE_MAX)),
    }
}

fn above_zero(item: Item<'_>, unit: Unit) -> Option<f64> {
    match unit {
        Unit::Duration => item.span_above_zero().map(|Span(nanos)| nanos as f64),
        Unit::Number => {
            let number = value(item, unit)?;
            if number == 0.0 {
                item.report(problem::malformed(item.place(), item.key, "above 0", "it is 0", "500"));
                return None;
            }
            Some(number)
        }
    }
}

/// A plain number within a range, both ends included.
pub fn within(item: Item<'_>, (least, most): (f64, f64)) -> Option<f64> {
    let text = item.number()?;
    let number = text.replace('_', "").parse::<f64>().ok().filter(|number| (least..=most).contains(number));
    if number.is_none() {
        let expected = format!("a number from {least} to {most}");
        item.report(problem::malformed(item.place(), item.key, &expected, &format!("this is {text}"), &least.max(0.5).min(most).to_string()));
    }
    number
}

#[cfg(test)]
mod tests {
    use super::super::diagnostic::Diagnostics;
    use super::super::read::Section;
    use super::super::tree::{self, Value};
    use super::*;

    fn read_as(text: &str, unit: Unit) -> Result<Distribution, String> {
        let mut diagnostics = Diagnostics::new();
        let source = diagnostics.add_source("scenario.toml", format!("ttft = {text}\n"));
        let mut root = tree::parse(&diagnostics, source).expect("it is TOML");
        tree::name_tables(&mut root, "");
        let Value::Table(table) = &root.value else { panic!("it is a table") };
        let read = {
            let section = Section::new(table, "a world", root.place, &diagnostics);
            section.read("ttft", |item| read(item, unit))
        };
        read.filter(|_| !diagnostics.has_errors()).ok_or_else(|| diagnostics.render(false))
    }

    #[track_caller]
    fn check_refused(text: &str, unit: Unit, rendered: &str) {
        assert_eq!(read_as(text, unit).expect_err("it is refused"), rendered);
    }

    #[test]
    fn every_form_is_read() {
        let durations = [
            ("\"300ms\"", Distribution::Constant(3e8)),
            ("{ p50 = \"150ms\", p95 = \"400ms\" }", Distribution::lognormal(1.5e8, 4e8)),
            ("{ p50 = \"150ms\", p90 = \"400ms\" }", Distribution::lognormal_p90(1.5e8, 4e8)),
            ("{ distribution = \"gamma\", p50 = \"150ms\", p95 = \"400ms\" }", Distribution::gamma(1.5e8, 4e8)),
            ("{ distribution = \"weibull\", mean = \"1s\", cv = 2 }", Distribution::weibull_of_mean(1e9, 2.0)),
            ("{ distribution = \"exponential\", p50 = \"1s\" }", Distribution::exponential(1e9)),
            ("{ distribution = \"exponential\", mean = \"1s\" }", Distribution::Exponential { mean: 1e9 }),
            ("{ low = \"1s\", high = \"2s\" }", Distribution::Uniform { low: 1e9, high: 2e9 }),
            ("{ quantiles = [[0.5, \"200ms\"], [1.0, \"2s\"]] }", Distribution::Empirical([(0.5, 2e8), (1.0, 2e9)].into())),
            ("{ values = [\"2s\", \"1s\"] }", Distribution::of_values(vec![1e9, 2e9])),
        ];
        for (text, expected) in durations {
            assert_eq!(read_as(text, Unit::Duration), Ok(expected), "{text}");
        }
        let numbers = [
            ("80", Distribution::Constant(80.0)),
            ("80.5", Distribution::Constant(80.5)),
            ("{ mu = 6.243, sigma = 1.176 }", Distribution::LogNormal { mu: 6.243, sigma: 1.176 }),
            ("{ mean = 500, cv = 1.5 }", Distribution::lognormal_of_mean(500.0, 1.5)),
        ];
        for (text, expected) in numbers {
            assert_eq!(read_as(text, Unit::Number), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_missing_or_too_much_is_named() {
        check_refused(
            "{ p50 = \"150ms\" }",
            Unit::Duration,
            r#"error: `ttft` must be lognormal, by p50 and p95, or p50 and p90, or mean and cv
 --> scenario.toml:1:8
  |
1 | ttft = { p50 = "150ms" }
  |        ^^^^^^^^^^^^^^^^^ it states p50
  |
  = help: for example: ttft = { p50 = "150ms", p95 = "400ms" }

1 error
"#,
        );
        check_refused(
            "{ distribution = \"gamma\", mu = 1, sigma = 2, p51 = 3 }",
            Unit::Number,
            r#"error: `ttft` must be gamma, by p50 and p95, or mean and cv
 --> scenario.toml:1:8
  |
1 | ttft = { distribution = "gamma", mu = 1, sigma = 2, p51 = 3 }
  |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ it states mu, sigma
  |
  = help: for example: ttft = { p50 = 500, p95 = 3000 }

error: unknown key `p51` in `ttft`
 --> scenario.toml:1:53
  |
1 | ttft = { distribution = "gamma", mu = 1, sigma = 2, p51 = 3 }
  |                                                     ^^^ it would have no effect
  |
  = help: did you mean `p50`?

2 errors
"#,
        );
    }

    #[test]
    fn figures_that_cannot_be_are_shown() {
        check_refused(
            "{ p50 = \"400ms\", p95 = \"150ms\" }",
            Unit::Duration,
            r#"error: `p95` must be above `p50`
 --> scenario.toml:1:31
  |
1 | ttft = { p50 = "400ms", p95 = "150ms" }
  |                               ^^^^^^^ it is not; a value that never varies is written alone
  |
  = help: for example: p95 = "1s"

1 error
"#,
        );
        for (text, unit, reason) in [
            ("{ p50 = 0, p95 = 5 }", Unit::Number, "`p50` must be above 0"),
            ("{ mean = 5, cv = 100 }", Unit::Number, "`cv` must be a number from 0.01 to 10"),
            ("{ mean = 5, cv = \"1\" }", Unit::Number, "`cv` must be a number"),
            ("{ p50 = 100, p95 = \"1s\" }", Unit::Duration, "`p50` must be a duration with its unit"),
            ("-1", Unit::Number, "`ttft` must be a number from 0 to 1000000000000000"),
            ("{ low = 3, high = 2 }", Unit::Number, "`high` must be at least `low`"),
            ("{ values = [] }", Unit::Number, "`values` must be a list of values"),
            ("{ quantiles = [[0.5, 3], [0.9, 5]] }", Unit::Number, "the last share is not 1, so the greatest value is unknown"),
            ("{ quantiles = [[0.5, 3], [0.4, 5], [1, 6]] }", Unit::Number, "it is not above the one before"),
            ("{ quantiles = [[0.5, 3, 4], [1, 6]] }", Unit::Number, "this is no pair"),
            ("{ distribution = \"normal\", p50 = 3 }", Unit::Number, "unknown value `normal` for `distribution`"),
            ("{ mu = 1, sigma = 2 }", Unit::Duration, "`ttft` must be lognormal, by p50 and p95, or p50 and p90, or mean and cv"),
        ] {
            let refusal = read_as(text, unit).expect_err(text);
            assert!(refusal.contains(reason) && refusal.contains("1 error\n"), "{text}: {refusal}");
        }
    }
}
