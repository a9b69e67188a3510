//! The gateway as those meet it who run it: what they scrape, probe, read and are woken by, and how they change it while it serves.

mod alerts;
mod logs;
mod metrics;
mod reload;

use tempfile::TempDir;

use crate::serve::desk::{Answer, Desk};

/// A secret in a file, as a configuration names it.
fn secret(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    format!("\"file:{}\"", path.display())
}

/// What a scrape says.
async fn scrape(desk: &Desk) -> Scrape {
    let answer: Answer = desk.get("/metrics").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/openmetrics-text; version=1.0.0; charset=utf-8"));
    Scrape(answer.body)
}

struct Scrape(String);

impl Scrape {
    /// The value of a series, by its name and labels as they are written; none if it is not there.
    fn get(&self, series: &str) -> Option<f64> {
        self.series().find_map(|(own, value)| (own == series).then_some(value))
    }

    fn series(&self) -> impl Iterator<Item = (&str, f64)> {
        let lines = self.0.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series, value.parse().unwrap_or_else(|_| panic!("{line}")))
        })
    }

    #[track_caller]
    fn has(&self, expected: &[(&str, f64)]) {
        for (series, value) in expected {
            assert_eq!(self.get(series), Some(*value), "{series}\n{}", self.0);
        }
    }
}
