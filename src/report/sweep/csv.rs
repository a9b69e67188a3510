//! A sweep as CSV: one row for each cell and variant. Money is exact, dollars with 12 decimals.

use std::io::Write;

use super::{CellResult, Sweep};
use crate::report::Spread;
use crate::report::change::Part;
use crate::report::statistics::{ALPHA, luck};

/// The columns after those of the axes.
const COLUMNS: [&str; 16] = [
    "variant",
    "seeds",
    "bill_mean_usd",
    "bill_min_usd",
    "bill_max_usd",
    "change_usd",
    "change",
    "change_luck",
    "requests",
    "answered",
    "answered_share",
    "other_model",
    "p95_s",
    "attempts",
    "attempts_per_request",
    "rate_limited",
];

/// Writes the sweep. `variants` are the names of the report's variants, `reference` is the one that the others are held against in each cell.
/// Values of an axis stand in the column of its path, strings without quotes; one that a cell does not change is empty. What is not known is empty.
///
/// # Errors
/// If `to` can't be written to.
pub(in crate::report) fn write_csv(sweep: &Sweep, variants: &[&str], reference: usize, to: impl Write) -> csv::Result<()> {
    let mut writer = csv::Writer::from_writer(to);
    writer.write_record(sweep.axes.iter().map(|axis| axis.path.as_str()).chain(COLUMNS))?;
    for cell in &sweep.cells {
        for (index, (name, result)) in variants.iter().zip(&cell.variants).enumerate() {
            let values = (0..sweep.axes.len()).map(|axis| sweep.value(cell, axis).unwrap_or_default().to_owned());
            let against = (index != reference).then(|| &cell.variants[reference]);
            writer.write_record(values.chain(row(name, result, against)))?;
        }
    }
    writer.flush()?;
    Ok(())
}

fn row(name: &str, result: &CellResult, reference: Option<&CellResult>) -> [String; COLUMNS.len()] {
    let bill = result.bill();
    let change = reference.map(|reference| {
        let paired = luck::Paired::of(&reference.bills, &result.bills);
        let luck = match paired.part(ALPHA) {
            Part::Nothing => Some(0.0),
            Part::HalfWidth(half_width) => Some(half_width),
            Part::Unknown(_) => None,
        };
        [Some((bill.mean - reference.bill().mean).decimal().to_string()), paired.relative().map(fraction), luck.map(fraction)]
            .map(Option::unwrap_or_default)
    });
    let [change_usd, change, change_luck] = change.unwrap_or_default();
    let ratio = |part: u64, whole: u64| if whole == 0 { String::new() } else { fraction(part as f64 / whole as f64) };
    let (answered, asked) = result.answered;
    [
        name.to_owned(),
        result.bills.len().to_string(),
        bill.mean.decimal().to_string(),
        bill.min.decimal().to_string(),
        bill.max.decimal().to_string(),
        change_usd,
        change,
        change_luck,
        result.requests.to_string(),
        answered.to_string(),
        ratio(answered, asked),
        result.other_model.to_string(),
        result.p95.map(|span| format!("{:.3}", span.0 as f64 / 1e9)).unwrap_or_default(),
        result.attempts.to_string(),
        ratio(result.attempts, result.requests),
        result.rate_limited.to_string(),
    ]
}

fn fraction(fraction: f64) -> String {
    format!("{fraction:.6}")
}

impl CellResult {
    /// The bill over the seeds.
    pub fn bill(&self) -> Spread {
        Spread::of(self.bills.iter().copied())
    }
}
