use std::collections::BTreeSet;

use scraper::{ElementRef, Html, Selector};

use super::*;
use crate::gateway::time::{Span, Time};
use crate::report::sample;
use crate::report::sweep::{Axis, Cell, CellResult, Mode, Sweep};

/// Names that break pages which take them for markup.
const WICKED: &str = "</title><script>alert('x')</script> & \"quotes\"";

/// Three variants under two seeds: as sampled, dearer, and answering less under a wicked name.
fn report() -> Report {
    let mut report = sample::report();
    let mut second = report.variants[0].runs[0].clone();
    second.seed = 2;
    second.totals.bill += Money(2_000_000_000);
    second.totals.causes.premium += Money(2_000_000_000);
    second.series.at(Time(1_700_000_100_000_000_000)).cost += Money(2_000_000_000);
    report.variants[0].runs.push(second);
    let (mut dearer, mut wicked) = (report.variants[0].clone(), report.variants[0].clone());
    dearer.name = "dearer".into();
    for run in &mut dearer.runs {
        run.totals.bill += Money(9_000_000_000);
        run.totals.causes.wasted[0][1] += Money(9_000_000_000);
    }
    wicked.name = WICKED.into();
    for run in &mut wicked.runs {
        run.totals.outcomes.served -= 1;
        run.totals.outcomes.refused += 1;
    }
    report.variants.extend([dearer, wicked]);
    report.name = WICKED.into();
    report
}

fn sweep(mode: Mode, axes: &[(&str, &[&str])], report: &Report) -> Sweep {
    let axes: Vec<Axis> = axes
        .iter()
        .map(|(path, values)| Axis {
            path: (*path).into(),
            values: values.iter().map(|value| (*value).into()).collect(),
            numbers: None,
            is_log: false,
        })
        .collect();
    let own = vec![None; axes.len()];
    let mut at: Vec<Vec<Option<usize>>> = vec![own.clone()];
    for (number, axis) in axes.iter().enumerate() {
        let values = 0..axis.values.len();
        at = match mode {
            Mode::OneAtATime => {
                let one = |value| own.iter().enumerate().map(|(i, _)| (i == number).then_some(value)).collect();
                at.into_iter().chain(values.map(one)).collect()
            }
            Mode::Grid => at
                .iter()
                .flat_map(|cell| {
                    values.clone().map(move |value| {
                        let mut cell = cell.clone();
                        cell[number] = Some(value);
                        cell
                    })
                })
                .collect(),
        };
    }
    let result = |cell: &Vec<Option<usize>>| CellResult {
        bills: [1, 3].map(|factor| Money(factor * 1_000_000_000 * (1 + cell.iter().flatten().sum::<usize>() as i128))).to_vec(),
        answered: (2, 3),
        p95: None,
        other_model: 0,
        rate_limited: 0,
        attempts: 3,
        requests: 3,
    };
    let cells = at.into_iter().map(|at| Cell { variants: report.variants.iter().map(|_| result(&at)).collect(), at }).collect();
    Sweep { axes, mode, cells, seeds: vec![1, 2] }
}

fn all<'a>(html: &'a Html, selector: &str) -> Vec<ElementRef<'a>> {
    html.select(&Selector::parse(selector).unwrap()).collect()
}

/// Fails unless `page` is what every page has to be.
#[track_caller]
fn check(page: &str) -> Html {
    let html = Html::parse_document(page);
    assert!(html.errors.is_empty(), "{:?}", html.errors);
    let ids: Vec<&str> = all(&html, "[id]").iter().filter_map(|element| element.attr("id")).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "an id twice: {ids:?}");
    for figure in all(&html, "figure") {
        let within = |selector: &str| figure.select(&Selector::parse(selector).unwrap()).count();
        assert_eq!([within("figcaption"), within("table"), within("svg.wide"), within("svg.narrow")], [1; 4], "{:?}", figure.attr("id"));
        assert!(within("tbody tr") > 0, "{:?} has no figures", figure.attr("id"));
    }
    for svg in all(&html, "figure > svg") {
        assert_eq!(svg.attr("role"), Some("img"));
        assert!(svg.attr("aria-label").is_some_and(|label| !label.is_empty()));
    }
    let columns = |row: ElementRef| row.children().filter(|cell| cell.value().is_element()).count();
    for table in all(&html, "table") {
        let rows: BTreeSet<usize> = table.select(&Selector::parse("tr").unwrap()).map(columns).collect();
        assert_eq!(rows.len(), 1, "rows of one table have as many cells: {:?}", table.html().lines().nth(1));
    }
    assert_eq!((all(&html, "h1").len(), all(&html, "h3").len(), all(&html, "script, link, img, iframe, style ~ style").len()), (1, 0, 0));
    assert_eq!(all(&html, "[lang=en]").len(), 1);
    for reference in ["http://", "https://", "url(", "@import"] {
        assert!(!page.contains(reference), "the page asks for something: {reference}");
    }
    html
}

fn text(html: &Html, selector: &str) -> String {
    all(html, selector).iter().flat_map(ElementRef::text).collect()
}

#[test]
fn a_page_is_valid_and_asks_for_nothing_whatever_its_names_are() {
    let html = check(&render(&report()));
    assert_eq!(text(&html, "h1"), WICKED);
    let figures: Vec<&str> = all(&html, "figure").iter().filter_map(|figure| figure.attr("id")).collect();
    assert_eq!(figures, ["waterfall-1", "waterfall-2", "spend", "rate-limited", "fallbacks", "attempts", "pareto", "latency"]);
    assert!(text(&html, "#waterfall-2 figcaption").contains("1 request answered, 2 before."), "{}", text(&html, "#waterfall-2 figcaption"));
    assert!(text(&html, "#waterfall-1 svg.wide").contains("+0.0090"), "{}", text(&html, "#waterfall-1 svg.wide"));
    assert!(all(&html, "#spend svg.wide polygon.band").len() == 3, "a band for each variant whose seeds differ");
}

#[test]
fn a_page_of_one_variant_says_that_there_is_nothing_to_compare() {
    let html = check(&render(&sample::report()));
    assert!(text(&html, "#s-variants").contains("One variant: nothing to compare it with."));
    assert!(all(&html, "#s-why, #pareto").is_empty());
}

#[test]
fn a_page_without_traffic_is_a_page() {
    let mut report = sample::report();
    let run = &mut report.variants[0].runs[0];
    let plan = sample::plan();
    run.totals = Totals::new(&plan);
    run.series = crate::report::series::Series::default();
    report.traffic.requests = 0;
    report.traffic.span = Span::ZERO;
    check(&render(&report));
}

#[test]
fn a_sweep_is_a_curve_a_row_of_curves_or_a_tornado() {
    let mut report = report();
    let ttl: (&str, &[&str]) = ("cache.ttl", &["\"0s\"", "\"1m\"", "\"1h\""]);
    let attempts: (&str, &[&str]) = ("attempts.per_request", &["1", "4"]);
    let figures = |report: &Report| {
        let html = check(&render(report));
        all(&html, "#s-sweep figure").iter().filter_map(|figure| figure.attr("id").map(str::to_owned)).collect::<Vec<_>>()
    };
    for (mode, axes, expected) in [
        (Mode::Grid, &[ttl][..], &["curve"][..]),
        (Mode::Grid, &[ttl, attempts], &["curve-0", "curve-1"]),
        (Mode::OneAtATime, &[ttl, attempts], &["tornado-0", "tornado-1", "tornado-2"]),
    ] {
        report.sweep = Some(sweep(mode, axes, &report));
        assert_eq!(figures(&report), expected);
    }
}

#[test]
fn the_same_report_gives_the_same_page() {
    assert_eq!(render(&report()), render(&report()));
}

/// Ten variants over a series as long and as fine as it gets.
#[test]
fn a_page_of_ten_variants_is_small() {
    let mut report = sample::report();
    let run = &mut report.variants[0].runs[0];
    for minute in 0..crate::report::series::BUCKETS_MAX as u64 {
        let bucket = run.series.at(Time(1_700_000_000_000_000_000 + minute * 60_000_000_000));
        (bucket.requests, bucket.calls, bucket.rate_limited, bucket.fallbacks) = (7, 9 + minute % 5, minute % 11, minute % 3);
        bucket.cost += Money(i128::from(minute * minute % 977) * 1_000_000_000);
    }
    let mut second = run.clone();
    second.seed = 2;
    second.series.at(Time(1_700_000_000_000_000_000)).cost += Money(700_000_000_000);
    report.variants[0].runs.push(second);
    let first = report.variants[0].clone();
    for number in 1..10 {
        let mut variant = first.clone();
        variant.name = format!("variant {number} with a name");
        variant.runs[0].totals.bill += Money(number);
        variant.runs[0].totals.causes.base += Money(number);
        report.variants.push(variant);
    }
    let page = render(&report);
    check(&page);
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
}

#[test]
fn the_parser_that_judges_pages_sees_faults() {
    assert!(!Html::parse_document("<!DOCTYPE html><html><head><title>x</title></head><body><p>a</b></p></body></html>").errors.is_empty());
}

/// The colours of one theme, by name: the custom properties of a block of the style sheet.
fn colours(block: &str) -> Vec<(&str, [f64; 3])> {
    let properties = block.split([';', '{', '}']).filter_map(|property| property.trim().strip_prefix("--")?.split_once(": #"));
    let channel = |hex: &str, at: usize| match hex.len() {
        3 => 17 * u8::from_str_radix(&hex[at..=at], 16).unwrap(),
        _ => u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap(),
    };
    properties.map(|(name, hex)| (name, [0, 1, 2].map(|at| f64::from(channel(hex, at)) / 255.0))).collect()
}

/// The contrast of two colours as the Web Content Accessibility Guidelines 2 define it: 1 to 21.
fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
    let linear = |channel: f64| if channel <= 0.04045 { channel / 12.92 } else { ((channel + 0.055) / 1.055).powf(2.4) };
    let luminance = |[red, green, blue]: [f64; 3]| 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
    let (a, b) = (luminance(one), luminance(other));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn everything_that_is_read_stands_out_in_light_in_dark_and_on_paper() {
    assert!((contrast([0.0; 3], [1.0; 3]) - 21.0).abs() < 1e-9);
    let themes: Vec<&str> = STYLE.split(":root {").skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
    assert_eq!(themes.len(), 3, "light, dark, print");
    for theme in themes {
        let colours = colours(theme);
        let find = |wanted: &str| colours.iter().find(|(name, _)| *name == wanted).unwrap().1;
        for (name, colour) in colours.iter().filter(|(name, _)| !["paper", "soft", "rule"].contains(name)) {
            for behind in ["paper", "soft"] {
                let contrast = contrast(*colour, find(behind));
                assert!(contrast >= 4.5, "{name} on {behind}: {contrast:.2}\n{theme}");
            }
        }
    }
}
