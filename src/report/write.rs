//! Keeps a report under `reports/NAME/`: `index.html`, `report.json`, `report.md`, and the time series as CSV and Parquet. The same report gives the
//! same bytes.
//!
//! `report.json` has a version. Money in it is a string, dollars with 12 decimals: exact, and safe from readers that take numbers for floats.
//! It holds no time of the run, no machine's name and no directory.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::{Report, frame, json, markdown, page, sweep};

/// The version of `report.json` that is written; it changes when a field changes its meaning or goes.
pub const VERSION: u32 = 2;

/// Why a report could not be written: what was being done to which file, and the reason.
#[derive(Debug)]
pub struct WriteError {
    path: PathBuf,
    reason: String,
}

impl std::fmt::Display for WriteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "can't write {}: {}", self.path.display(), self.reason)
    }
}

impl std::error::Error for WriteError {}

/// A directory for a report that is still to come: that it can't be kept is worth knowing before a long run.
#[derive(Debug)]
pub struct Place {
    directory: PathBuf,
    /// The directories that were not there before, the innermost first.
    made: Vec<PathBuf>,
}

impl Place {
    /// Makes the directory of that name's report under `reports` and tries whether files can be written there.
    ///
    /// # Errors
    /// If they can't.
    pub fn make(name: &str, reports: &Path) -> Result<Self, WriteError> {
        let directory = reports.join(slug(name));
        let absent = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let made = directory.ancestors().take_while(absent).map(Path::to_owned).collect();
        let place = Self { directory, made };
        let probe = place.directory.join("report.json.part");
        let tried = fs::create_dir_all(&place.directory).and_then(|()| File::create(&probe)).and_then(|_| fs::remove_file(&probe));
        if let Err(error) = tried {
            let error = WriteError { path: place.directory.clone(), reason: reason(&error) };
            place.leave();
            return Err(error);
        }
        Ok(place)
    }

    /// Takes back what was made, where nothing has been put into it since.
    pub fn leave(self) {
        for directory in &self.made {
            // One that holds something stays, and so do those around it.
            let _ = fs::remove_dir(directory);
        }
    }
}

/// The same words on every platform for what users meet most.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => "there is a file of that name".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem => "it is on a read-only file system".to_owned(),
        io::ErrorKind::StorageFull => "the disk is full".to_owned(),
        _ => error.to_string(),
    }
}

/// Writes the files of a report into the directory of its name under `reports`, and returns that directory.
///
/// # Errors
/// If a directory or a file can't be made or written.
pub fn write(report: &Report, reports: &Path) -> Result<PathBuf, WriteError> {
    let directory = reports.join(slug(&report.name));
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |reason: String| WriteError { path, reason }
    };
    fs::create_dir_all(&directory).map_err(|error| failed(&directory)(reason(&error)))?;
    let keep = |name: &str, write: &mut dyn FnMut(&mut BufWriter<File>) -> Result<(), String>| {
        let path = directory.join(name);
        let made = File::create(&path).map(BufWriter::new).map_err(|error| reason(&error));
        made.and_then(|mut file| write(&mut file).and_then(|()| file.flush().map_err(|error| reason(&error)))).map_err(failed(&path))
    };
    let mut series = frame::build(&report.variants).map_err(|error| failed(&directory)(error.to_string()))?;
    keep("report.json", &mut |file| write_json(report, file).map_err(|error| error.to_string()))?;
    keep("index.html", &mut |file| file.write_all(page::render(report).as_bytes()).map_err(|error| error.to_string()))?;
    keep("report.md", &mut |file| file.write_all(markdown::render(report).as_bytes()).map_err(|error| error.to_string()))?;
    keep("series.csv", &mut |file| frame::write_csv(&mut series, file).map_err(|error| error.to_string()))?;
    keep("series.parquet", &mut |file| frame::write_parquet(&mut series, file).map_err(|error| error.to_string()))?;
    if let Some(sweep) = &report.sweep {
        let names: Vec<&str> = report.variants.iter().map(|variant| variant.name.as_str()).collect();
        keep("sweep.csv", &mut |file| sweep::write_csv(sweep, &names, report.reference, file).map_err(|error| error.to_string()))?;
    }
    Ok(directory)
}

/// Writes `report.json`.
///
/// # Errors
/// If `to` can't be written to.
pub fn write_json(report: &Report, mut to: impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut to, &json::ReportJson::of(report))?;
    to.write_all(b"\n")
}

/// A scenario's name as a directory's: lower-case letters, digits and single dashes; `report` if nothing is left.
pub fn slug(name: &str) -> String {
    let mut slug = String::with_capacity(name.len());
    for character in name.chars().flat_map(char::to_lowercase) {
        match character {
            character if character.is_alphanumeric() => slug.push(character),
            _ if slug.ends_with('-') || slug.is_empty() => {}
            _ => slug.push('-'),
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "report".to_owned() } else { slug.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_name_becomes_a_directory() {
        let slugs = ["Fallback escalation!", "quickstart", "../../etc", "  ", "a -- b", "Über 9"].map(slug);
        assert_eq!(slugs, ["fallback-escalation", "quickstart", "etc", "report", "a-b", "über-9"]);
    }

    fn files(report: &Report) -> Vec<Vec<u8>> {
        let home = tempfile::tempdir().unwrap();
        let directory = write(report, home.path()).unwrap();
        assert_eq!(directory, home.path().join("fallback-escalation"));
        ["report.json", "series.csv", "series.parquet"].map(|name| fs::read(directory.join(name)).unwrap()).to_vec()
    }

    #[test]
    fn the_same_report_gives_the_same_bytes() {
        assert_eq!(files(&sample::report()), files(&sample::report()));
    }

    #[test]
    fn the_series_sums_to_the_bill_in_exact_decimals() {
        let csv = String::from_utf8(files(&sample::report())[1].clone()).unwrap();
        let mut lines = csv.lines();
        let header: Vec<&str> = lines.next().unwrap().split(',').collect();
        let place = |name: &str| header.iter().position(|column| *column == name).unwrap_or_else(|| panic!("no {name} in {header:?}"));
        let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
        assert_eq!(rows.len(), 121, "two minutes by the second, both ends");
        assert_eq!(rows.last().unwrap()[place("cumulative_cost_usd")], "0.003710000000");
        assert_eq!(rows.last().unwrap()[place("cumulative_cost_microusd")], "3710");
        let sum = |name: &str| rows.iter().map(|row| row[place(name)].parse::<u64>().unwrap()).sum::<u64>();
        assert_eq!(["requests", "served", "refused", "calls", "fallbacks", "rate_limited"].map(sum), [3, 2, 1, 3, 1, 1]);
    }

    #[test]
    fn parquet_holds_what_csv_holds() {
        use polars::prelude::{ParquetReader, SerReader};
        let mut read = ParquetReader::new(io::Cursor::new(files(&sample::report()).remove(2))).finish().unwrap();
        let mut csv = Vec::new();
        frame::write_csv(&mut read, &mut csv).unwrap();
        assert_eq!(csv, files(&sample::report())[1]);
    }

    #[test]
    fn a_directory_that_can_not_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = write(&sample::report(), file.path()).unwrap_err().to_string();
        assert!(error.starts_with("can't write ") && error.contains("fallback-escalation: "), "{error}");
    }

    #[test]
    fn the_json_is_exact() {
        let json: serde_json::Value = serde_json::from_slice(&files(&sample::report())[0]).unwrap();
        let run = &json["variants"][0]["runs"][0];
        assert_eq!(json["version"], 2);
        assert_eq!(run["bill"], "0.003710000000");
        assert_eq!(run["cause"]["premium_of_place"], "0.003290000000");
        assert_eq!(run["requests"]["refused_by"]["budget"], 1);
        assert_eq!(run["by_deployment"][1]["name"], "openai-large");
        assert_eq!(run["by_deployment"][1]["bill"], "0.003500000000");
    }
}
