//! `gwsim prices`: what each deployment of a configuration pays; `diff` says what one price list says otherwise than another, and `effect` what that
//! does to a scenario's traffic.

mod diff;
mod effect;

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};

pub use self::diff::diff;
use super::args::PricesListArguments;
use super::check::loaded;
use super::{Exit, Failure, Printer};
use crate::config::gateway::GatewayConfig;
use crate::config::{self, Checked};
use crate::gateway::money::{Money, Rate};
use crate::gateway::rate_card::Rates;
use crate::gateway::time::Time;
use crate::report::numbers::count;

/// Prints the rates of every deployment of a gateway, or of each variant of a scenario whose rates are others.
///
/// # Errors
/// If the configuration is wrong.
pub fn list(arguments: &PricesListArguments, printer: &mut Printer) -> Result<Exit, Failure> {
    let options = arguments.reading.options();
    let mut text = String::new();
    match loaded(config::load_either(&arguments.file, &options), printer)? {
        Checked::Gateway(gateway) => text.push_str(&of_gateway(&gateway)),
        Checked::Scenario(scenario) => {
            let mut shown: Vec<String> = Vec::new();
            for variant in &scenario.variants {
                let rates = of_gateway(&variant.gateway);
                if !shown.contains(&rates) {
                    let _ = write!(text, "{}{}:\n{rates}", if shown.is_empty() { "" } else { "\n" }, variant.name);
                    shown.push(rates);
                }
            }
        }
    }
    printer.result(&text)?;
    Ok(Exit::Pass)
}

fn of_gateway(gateway: &GatewayConfig) -> String {
    let mut rows = vec![["USD per Mtok", "from"].into_iter().chain(RATES).chain(["a request"]).map(str::to_owned).collect::<Vec<_>>()];
    for deployment in &gateway.plan.deployments {
        for (from, card) in deployment.rates.cards() {
            for (above, rates) in card.tiers() {
                let name = if above == 0 { deployment.name.clone() } else { format!("{}, over {}", deployment.name, count(above.into())) };
                let request = if card.per_request() == Money::ZERO { String::new() } else { card.per_request().to_string() };
                let mut cells = columns(rates).map(usd);
                // What is charged as something else is said to be.
                for (column, other) in [(WRITE_1H, WRITE), (REASONING, OUTPUT)] {
                    if cells[column] == cells[other] {
                        cells[column].clear();
                    }
                }
                rows.push([name, instant(from)].into_iter().chain(cells).chain([request]).collect());
            }
        }
    }
    let mut text = aligned(&rows);
    let _ = writeln!(text, "List: {}", gateway.price_list);
    for (deployment, source) in gateway.plan.deployments.iter().zip(&gateway.price_sources) {
        let _ = writeln!(text, "{}: {source}", deployment.name);
    }
    for reserved in &gateway.reserved {
        let prices = reserved.prices().iter().map(|(from, price)| match instant(*from) {
            from if from.is_empty() => price.to_string(),
            from => format!("{price} from {from}"),
        });
        let name = &gateway.plan.deployment(reserved.deployment).name;
        let _ = writeln!(text, "{name}: reserved, an hour {}", prices.collect::<Vec<_>>().join(", "));
    }
    text
}

/// A table without the columns that have nothing in them.
fn aligned(rows: &[Vec<String>]) -> String {
    let used = |column: &usize| rows.iter().skip(1).any(|row| !row[*column].is_empty());
    let columns: Vec<usize> = (0..rows[0].len()).filter(used).collect();
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let mut kept = rows.iter().map(|row| columns.iter().map(|column| row[*column].clone()).collect::<Vec<_>>());
    table.set_header(kept.next().unwrap_or_default());
    table.add_rows(kept);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding(if index == 0 { (0, 0) } else { (2, 0) });
        column.set_cell_alignment(if index == 0 { CellAlignment::Left } else { CellAlignment::Right });
    }
    table.lines().flat_map(|line| [line.trim_end().to_owned(), "\n".to_owned()]).collect()
}

/// What [`columns`] holds.
const RATES: [&str; 6] = ["input", "output", "cache read", "cache write", "write 1h", "reasoning"];
const OUTPUT: usize = 1;
const WRITE: usize = 3;
const WRITE_1H: usize = 4;
const REASONING: usize = 5;

fn columns(rates: &Rates) -> [Rate; 6] {
    [rates.input, rates.output, rates.cache_read, rates.cache_write, rates.cache_write_1h, rates.reasoning]
}

/// Dollars per million tokens, all digits that there are, without the sign.
fn usd(rate: Rate) -> String {
    Money(i128::from(rate.0) * 1_000_000).to_string().trim_start_matches('$').to_owned()
}

/// The instant that a card is in force from; nothing for the beginning of time.
fn instant(from: Time) -> String {
    let known = (from > Time(0)).then(|| jiff::Timestamp::from_nanosecond(from.0.into()).ok()).flatten();
    known.map_or_else(String::new, |instant| instant.to_string())
}
