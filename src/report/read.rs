//! Takes in a report that was kept: `report.json` with its series. Decides what is a report that this version can read; the shape is in `json`.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::json::{Envelope, ReportJson};
use super::series::Series;
use super::{Report, frame, write};

/// Why there is no report.
#[derive(Debug)]
pub enum ReadError {
    /// The file can't be read.
    Unreadable(PathBuf, io::Error),
    /// It holds something else.
    NotAReport(PathBuf, String),
    /// It is of another version of the format.
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version of gwsim that wrote it; may be empty.
        gwsim: String,
    },
}

/// The file of a report: `path` itself, or `report.json` in the directory `path`.
pub fn file(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("report.json") } else { path.to_owned() }
}

/// Whether `path` looks like a report that was kept, or like a directory for one.
pub fn is_report(path: &Path) -> bool {
    path.is_dir() || path.extension().is_some_and(|extension| extension == "json")
}

/// Reads a report: its directory, or `report.json` with the series beside it.
///
/// # Errors
/// If it can't be read, is no report, or of another version.
pub fn read(path: &Path) -> Result<Report, ReadError> {
    let path = file(path);
    let unreadable = |error| ReadError::Unreadable(path.clone(), error);
    let not_a_report = |why: String| ReadError::NotAReport(path.clone(), why);
    let text = fs::read_to_string(&path).map_err(unreadable)?;
    let envelope: Envelope = serde_json::from_str(&text).map_err(|error| not_a_report(error.to_string()))?;
    if envelope.version != write::VERSION {
        return Err(ReadError::Version { path, found: envelope.version, gwsim: envelope.gwsim });
    }
    let json: ReportJson<'_> = serde_json::from_str(&text).map_err(|error| not_a_report(error.to_string()))?;
    let mut series = read_series(&path.with_file_name("series.parquet"))?;
    let missing = |variant: &str, seed| format!("series.parquet beside it lacks variant `{variant}` under seed {seed}");
    let mut of_run = |variant: &str, seed: u64| series.remove(&(variant.to_owned(), seed)).ok_or_else(|| missing(variant, seed));
    json.read(&mut of_run).map_err(not_a_report)
}

fn read_series(path: &Path) -> Result<BTreeMap<(String, u64), Series>, ReadError> {
    let file = File::open(path).map_err(|error| ReadError::Unreadable(path.to_owned(), error))?;
    frame::read(file).map_err(|error| ReadError::NotAReport(path.to_owned(), error.to_string()))
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) if error.kind() == io::ErrorKind::NotFound => write!(f, "can't read {}: no such file", path.display()),
            Self::Unreadable(path, error) => write!(f, "can't read {}: {error}", path.display()),
            Self::NotAReport(path, why) => write!(f, "{} is not a report of gwsim: {why}", path.display()),
            Self::Version { path, found, gwsim } => {
                let by = if gwsim.is_empty() { String::new() } else { format!(" by gwsim {gwsim}") };
                let reads = write::VERSION;
                write!(f, "{} was written{by} in version {found} of the report's format, this is version {reads}", path.display())
            }
        }
    }
}

impl std::error::Error for ReadError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::calendar::Calendar;
    use crate::gateway::money::Money;
    use crate::gateway::policy::{Anchor, BudgetWindow};
    use crate::gateway::time::{Span, Time};
    use crate::report::budget_line::BudgetLine;
    use crate::report::sample;
    use crate::report::totals::Demand;
    use crate::report::unserved::Unserved;

    /// The sample beside a variant that answers less, with every kind of budget, and with tags.
    fn report() -> Report {
        let mut report = sample::report();
        let days = |days: u64| Time(report.traffic.first.0 - 5 * 86_400_000_000_000 + days * 86_400_000_000_000);
        let windows = [
            BudgetWindow::Total,
            BudgetWindow::Fixed(Span::from_secs(3_600), Anchor::FirstUse),
            BudgetWindow::Calendar(Calendar::new((0..40).map(days).collect())),
            BudgetWindow::Rolling { length: Span::from_secs(300), slices: 5 },
        ];
        let variant = &mut report.variants[0];
        variant.budgets = windows.into_iter().map(|window| BudgetLine { limit: Money(3), window, is_enforced: false }).collect();
        variant.names.tags = vec!["cost_centre=4711".into(), "never".into(), "beta".into()];
        let totals = &mut variant.runs[0].totals;
        totals.tags = vec![totals.asked[0], Demand::default(), totals.asked[0]];
        totals.tagged = totals.bill;
        let mut less = variant.clone();
        less.name = "less".into();
        less.unserved = Some(Unserved::of(2, [Money(1_000), Money(-30), Money(7)], [Money(2), Money(3), Money(5), Money(11)], Money(13)));
        report.variants.push(less);
        report
    }

    #[test]
    fn a_report_that_is_read_and_written_again_has_the_same_bytes() {
        let home = tempfile::tempdir().unwrap();
        let (first, second) = (home.path().join("first"), home.path().join("second"));
        let report = report();
        let kept = write::write(&report, &first).unwrap();
        let read_again = read(&kept).unwrap();
        let again = write::write(&read_again, &second).unwrap();
        for name in ["report.json", "index.html", "report.md", "series.csv", "series.parquet"] {
            assert!(fs::read(kept.join(name)).unwrap() == fs::read(again.join(name)).unwrap(), "{name}");
        }
        assert_eq!(read(&kept.join("report.json")).unwrap().variants[0].bill(), report.variants[0].bill());
        assert_eq!(read_again.variants[1].unserved, report.variants[1].unserved);
        assert_eq!(read_again.variants[0].budgets[0], report.variants[0].budgets[0]);
        let page = fs::read_to_string(again.join("index.html")).unwrap();
        assert!(page.contains("Dollars by tag") && page.contains("cost_centre=4711") && !page.contains("never"));
    }

    #[test]
    fn what_is_no_longer_answered_has_to_add_up() {
        let home = tempfile::tempdir().unwrap();
        let kept = write::write(&report(), home.path()).unwrap().join("report.json");
        let mut json: serde_json::Value = serde_json::from_str(&fs::read_to_string(&kept).unwrap()).unwrap();
        let unserved = &mut json["variants"][1]["unserved"];
        // 1,000 - 30 + 7 + 2 + 3 + 5 + 11 + 13 picodollars.
        assert_eq!((&unserved["bill"], &unserved["rows"]), (&"0.000000001011".into(), &2.into()));
        unserved["base"] = "0.000000001001".into();
        fs::write(&kept, json.to_string()).unwrap();
        assert!(read(&kept).unwrap_err().to_string().ends_with("what is not answered does not add up"));
    }

    #[test]
    fn what_is_no_report_says_so() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("report.json");
        let error = |text: &str| {
            fs::write(&path, text).unwrap();
            read(home.path()).unwrap_err().to_string().replace(&home.path().display().to_string(), "DIR")
        };
        assert_eq!(
            error(r#"{ "version": 1, "gwsim": "0.1.0" }"#),
            "DIR/report.json was written by gwsim 0.1.0 in version 1 of the report's format, this is version 2"
        );
        assert!(error("[]").starts_with("DIR/report.json is not a report of gwsim: "));
        assert!(error(r#"{ "version": 2 }"#).contains("missing field"));
        fs::remove_file(&path).unwrap();
        assert!(matches!(read(home.path()), Err(ReadError::Unreadable(..))));
    }
}
