//! `gwsim prices`: what each deployment of a configuration pays, and what one price list says otherwise than another.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};

use super::args::{PricesDiffArguments, PricesListArguments};
use super::check::loaded;
use super::{Exit, Failure, Printer};
use crate::config::gateway::GatewayConfig;
use crate::config::{self, Checked};
use crate::gateway::money::{Money, Rate};
use crate::gateway::rate_card::Rates;
use crate::gateway::time::Time;
use crate::price::{Discount, Entry, PriceList, ServiceTier};
use crate::report::numbers::{count, counted};

/// The word for the list that gwsim ships.
const BUILT_IN: &str = "built-in";

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

/// Prints what the second price list says otherwise than the first.
///
/// # Errors
/// If one of them can't be read.
pub fn diff(arguments: &PricesDiffArguments, printer: &mut Printer) -> Result<Exit, Failure> {
    let (old, new) = (open(&arguments.old)?, open(&arguments.new)?);
    let (old, new) = (sold(old.as_ref()), sold(new.as_ref()));
    let mut text = String::new();
    let (mut changed, mut added, mut gone) = (0_u64, 0_u64, 0_u64);
    let names: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
    for name in names {
        let (model, service, above) = name;
        let mut title = model.clone();
        if !service.is_empty() {
            let _ = write!(title, ", {service}");
        }
        if *above > 0 {
            let _ = write!(title, ", over {}", count((*above).into()));
        }
        match (old.get(name), new.get(name)) {
            (Some(before), Some(after)) if before == after => {}
            (Some(before), Some(after)) => {
                changed += 1;
                let rates = before.iter().zip(after).zip(RATES).filter(|((before, after), _)| before != after);
                let rates: Vec<String> = rates.map(|((before, after), what)| format!("{what} {} -> {}", usd(*before), usd(*after))).collect();
                let _ = writeln!(text, "{title}: {}", rates.join(", "));
            }
            (before, after) => {
                let (word, rates) = if after.is_some() { ("new", after) } else { ("gone", before) };
                *(if after.is_some() { &mut added } else { &mut gone }) += 1;
                let [input, output, ..] = rates.copied().unwrap_or_default();
                let _ = writeln!(text, "{title}: {word}, input {}, output {}", usd(input), usd(output));
            }
        }
    }
    let all = counted(new.len() as u64, "price");
    let _ = writeln!(text, "{} changed, {} new, {} gone; {all} now", count(changed), count(added), count(gone));
    printer.result(&text)?;
    Ok(Exit::Pass)
}

enum List {
    BuiltIn,
    File(Box<PriceList>),
}

impl AsRef<PriceList> for List {
    fn as_ref(&self) -> &PriceList {
        match self {
            Self::BuiltIn => PriceList::built_in(),
            Self::File(list) => list,
        }
    }
}

fn open(path: &Path) -> Result<List, Failure> {
    if path == Path::new(BUILT_IN) {
        return Ok(List::BuiltIn);
    }
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("{name}: can't read it: {error}\nhint: a .csv or .json file, or {BUILT_IN} for gwsim's own list")))?;
    let list = if name.ends_with(".csv") { PriceList::from_csv(&text, &name) } else { PriceList::from_litellm_json(&text, &name) };
    list.map(|list| List::File(Box::new(list))).map_err(Failure::usage)
}

/// Every price of a list as charged, by model with its provider, service tier (nothing for the standard one) and threshold.
fn sold(list: &PriceList) -> BTreeMap<(String, &'static str, u32), [Rate; 6]> {
    let mut prices = BTreeMap::new();
    let tiers = |entry: &Entry| ServiceTier::ALL.map(|service| entry.card(Discount::NONE, service).ok().map(|card| (service, card)));
    for entry in list.entries() {
        for (service, card) in tiers(entry).into_iter().flatten() {
            let word = if service == ServiceTier::Standard { "" } else { service.name() };
            prices.extend(card.tiers().map(|(above, rates)| ((format!("{} ({})", entry.model, entry.provider), word, above), columns(rates))));
        }
    }
    prices
}
