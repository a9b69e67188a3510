//! The time series of all variants and seeds as one table of columns, in CSV and Parquet. Knows no report beside it.
//!
//! Money stands in two columns: `..._usd` is exact, a decimal string with 12 decimals; `..._microusd` is the nearest integer, for plotting.
//! The cumulative columns are rounded from exact sums, so they never drift.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;

use polars::prelude::{
    Column, CsvWriter, DataFrame, NamedFrom, ParquetReader, ParquetWriter, PolarsResult, SerReader, SerWriter, Series as Values, polars_err,
};

use super::Variant;
use super::json::amount;
use super::numbers::rounded;
use super::series::{Bucket, Series};
use crate::gateway::money::Money;
use crate::gateway::time::{Span, Time};

const INTEGERS: [&str; 3] = ["seed", "start_s", "width_s"];

/// The rows of every variant's every seed, in order of time.
pub(super) fn build(variants: &[Variant]) -> PolarsResult<DataFrame> {
    let mut rows = Rows::default();
    for variant in variants {
        for run in &variant.runs {
            let mut cumulative = Money::ZERO;
            for (start, bucket) in run.series.buckets() {
                cumulative += bucket.cost;
                rows.variant.push(variant.name.clone());
                rows.integers.push([run.seed, start.0 / 1_000_000_000, run.series.width().0 / 1_000_000_000]);
                rows.counts.push(counts(bucket).map(|(_, count)| count));
                rows.money.push(money(bucket, cumulative).map(|(_, amount)| amount));
            }
        }
    }
    rows.into_frame()
}

/// Writes the table as CSV.
pub(super) fn write_csv(frame: &mut DataFrame, to: impl Write) -> PolarsResult<()> {
    CsvWriter::new(to).finish(frame)
}

/// Writes the table as Parquet, compressed with Zstandard.
pub(super) fn write_parquet(frame: &mut DataFrame, to: impl Write) -> PolarsResult<()> {
    ParquetWriter::new(to).finish(frame).map(drop)
}

/// Reads a table that was written as Parquet: the series by variant and seed.
///
/// # Errors
/// If it is another table.
pub(super) fn read(from: File) -> PolarsResult<BTreeMap<(String, u64), Series>> {
    let frame = ParquetReader::new(from).finish()?;
    let variants = frame.column("variant")?.str()?;
    let [seeds, starts, widths] = INTEGERS.map(|name| frame.column(name)?.u64());
    let (seeds, starts, widths) = (seeds?, starts?, widths?);
    let empty = Bucket::default();
    let counts = counts(&empty).map(|(name, _)| frame.column(name)?.u64());
    let counts = counts.into_iter().collect::<PolarsResult<Vec<_>>>()?;
    let money = money(&empty, Money::ZERO).map(|(name, _)| frame.column(&format!("{name}_usd"))?.str());
    let money = money.into_iter().collect::<PolarsResult<Vec<_>>>()?;
    let wrong = |row: usize| polars_err!(ComputeError: "row {} is not a bucket of a series", row + 1);
    let mut found: BTreeMap<(String, u64), (Span, Time, Vec<Bucket>)> = BTreeMap::new();
    for row in 0..frame.height() {
        let bucket = || {
            let [requests, served, cached, refused, failed, abandoned, calls, retries, fallbacks, rate_limited, turned_away, waits_ms] =
                std::array::from_fn(|column| counts[column].get(row));
            let [cost, _, base, premium, prompt_cache, wasted, undelivered] = std::array::from_fn(|column| money[column].get(row).and_then(amount));
            Some(Bucket {
                requests: requests?,
                served: served?,
                cached: cached?,
                refused: refused?,
                failed: failed?,
                abandoned: abandoned?,
                calls: calls?,
                retries: retries?,
                fallbacks: fallbacks?,
                rate_limited: rate_limited?,
                turned_away: turned_away?,
                waits_ms: waits_ms?,
                cost: cost?,
                wasted: wasted?,
                undelivered: undelivered?,
                base: base?,
                premium: premium?,
                prompt_cache: prompt_cache?,
            })
        };
        let key = || Some((variants.get(row)?.to_owned(), seeds.get(row)?));
        let place = || Some((Span::from_secs(widths.get(row).filter(|width| *width > 0)?), Time(starts.get(row)?.checked_mul(Span::SECOND.0)?)));
        let (Some(bucket), Some(key), Some((width, start))) = (bucket(), key(), place()) else { return Err(wrong(row)) };
        found.entry(key).or_insert_with(|| (width, start, Vec::new())).2.push(bucket);
    }
    Ok(found.into_iter().map(|(key, (width, start, buckets))| (key, Series::of(width, start, buckets))).collect())
}

fn counts(bucket: &Bucket) -> [(&'static str, u64); 12] {
    [
        ("requests", bucket.requests),
        ("served", bucket.served),
        ("cached", bucket.cached),
        ("refused", bucket.refused),
        ("failed", bucket.failed),
        ("abandoned", bucket.abandoned),
        ("calls", bucket.calls),
        ("retries", bucket.retries),
        ("fallbacks", bucket.fallbacks),
        ("rate_limited", bucket.rate_limited),
        ("turned_away", bucket.turned_away),
        ("waits_ms", bucket.waits_ms),
    ]
}

fn money(bucket: &Bucket, cumulative: Money) -> [(&'static str, Money); 7] {
    let [wasted, undelivered, base, premium, prompt_cache] = bucket.causes();
    [("cost", bucket.cost), ("cumulative_cost", cumulative), base, premium, prompt_cache, wasted, undelivered]
}

#[derive(Default)]
struct Rows {
    variant: Vec<String>,
    integers: Vec<[u64; 3]>,
    counts: Vec<[u64; 12]>,
    money: Vec<[Money; 7]>,
}

impl Rows {
    fn into_frame(self) -> PolarsResult<DataFrame> {
        let mut columns = vec![column("variant", self.variant)];
        for (i, name) in INTEGERS.into_iter().enumerate() {
            columns.push(column(name, self.integers.iter().map(|row| row[i]).collect::<Vec<u64>>()));
        }
        let empty = Bucket::default();
        for (i, (name, _)) in counts(&empty).into_iter().enumerate() {
            columns.push(column(name, self.counts.iter().map(|row| row[i]).collect::<Vec<u64>>()));
        }
        for (i, (name, _)) in money(&empty, Money::ZERO).into_iter().enumerate() {
            let exact: Vec<String> = self.money.iter().map(|row| row[i].decimal().to_string()).collect();
            let near: Vec<i64> = self.money.iter().map(|row| i64::try_from(rounded(row[i], 6)).unwrap_or(i64::MAX)).collect();
            columns.extend([column(&format!("{name}_usd"), exact), column(&format!("{name}_microusd"), near)]);
        }
        DataFrame::new(self.counts.len(), columns)
    }
}

fn column<T>(name: &str, values: Vec<T>) -> Column
where
    Values: NamedFrom<Vec<T>, [T]>,
{
    Values::new(name.into(), values).into()
}
