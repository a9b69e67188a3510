//! Token ratios in a run: which runs the ends of uncertain ones take, what crossed between models, and how that is told. Runs nothing itself.

use std::sync::Arc;

use crate::gateway::money::Money;
use crate::price::tokens::{End, ModelPair, Ratio, RatioRange, TokenCounts, TokenTable};
use crate::report::crossing::Crossing;
use crate::report::numbers::usd;
use crate::report::totals::Totals;
use crate::report::{Assumption, Variant};
use crate::sim::client::Clients;
use crate::sim::driver;

/// Pairs of models that an assumption names; the rest is counted.
const NAMED_MAX: usize = 4;

/// Which ratio counts in a variant.
pub fn table(variant: &driver::Variant) -> TokenTable {
    TokenTable::new(&variant.plan, &variant.clients.tokens)
}

/// The variants, and after them two more for each in which a call may go by an uncertain ratio: all ratios at their lower ends, all at their upper.
/// With each its place among the first ones.
pub fn with_ends(variants: Vec<driver::Variant>) -> (Vec<driver::Variant>, Vec<(usize, End)>) {
    let mut roles: Vec<(usize, End)> = (0..variants.len()).map(|index| (index, End::Middle)).collect();
    let mut all = variants;
    for index in 0..roles.len() {
        if !table(&all[index]).is_open() {
            continue;
        }
        for end in [End::Low, End::High] {
            let clients = Clients::clone(&all[index].clients);
            let clients = Clients { tokens: TokenCounts { end, ..clients.tokens.clone() }, ..clients };
            all.push(driver::Variant { clients: Arc::new(clients), ..all[index].clone() });
            roles.push((index, end));
        }
    }
    (all, roles)
}

/// What went between models in the runs of one variant.
pub fn crossings(table: &TokenTable, merged: &Totals, seeds: usize) -> Vec<Crossing> {
    let seeds = i128::try_from(seeds).expect("few seeds").max(1);
    let rows = table.pairs().iter().zip(&merged.crossed).filter(|(_, crossed)| crossed.calls > 0);
    rows.map(|(pair, crossed)| Crossing { pair: pair.clone(), calls: crossed.calls, bill: Money(crossed.bill.0 / seeds) }).collect()
}

/// What was taken for the token counts of models that answered for others, and the dollars that hang on it.
pub fn assumptions(variants: &[Variant]) -> Vec<Assumption> {
    // The most that hangs on a pair in any one variant.
    let mut pairs: Vec<(&ModelPair, Money)> = Vec::new();
    for crossing in variants.iter().flat_map(|variant| &variant.crossings).filter(|crossing| crossing.bill > Money::ZERO) {
        match pairs.iter_mut().find(|(pair, _)| *pair == &crossing.pair) {
            Some((_, most)) => *most = (*most).max(crossing.bill),
            None => pairs.push((&crossing.pair, crossing.bill)),
        }
    }
    pairs.sort_by(|(a, dollars), (b, others)| (others, &a.asked, &a.answered).cmp(&(dollars, &b.asked, &b.answered)));
    let (stated, alike): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(pair, _)| pair.rule.is_some());
    let told = |pairs: Vec<(&ModelPair, Money)>, source: &str| {
        let more = pairs.len().saturating_sub(NAMED_MAX);
        let mut named: Vec<String> =
            pairs.iter().take(NAMED_MAX).map(|(pair, most)| format!("{} (up to {} of a bill)", words(pair), usd(*most))).collect();
        named.extend((more > 0).then(|| format!("{more} more")));
        let value = if source == "assumed" { format!("the same on {}", named.join(", ")) } else { named.join(", ") };
        (!named.is_empty()).then(|| Assumption { what: "token counts".to_owned(), value, source: source.to_owned() })
    };
    told(stated, "scenario").into_iter().chain(told(alike, "assumed")).collect()
}

/// `gpt-4o -> claude-3-haiku`, with the ratios that were stated for them.
fn words(pair: &ModelPair) -> String {
    let models = format!("{} -> {}", pair.asked, pair.answered);
    match &pair.rule {
        None => models,
        Some(rule) => format!("{models} {} in, {} out", range(rule.input), range(rule.output)),
    }
}

fn range(range: RatioRange) -> String {
    if range.is_open() { format!("x{} to x{}", decimal(range.low), decimal(range.high)) } else { format!("x{}", decimal(range.low)) }
}

fn decimal(ratio: Ratio) -> String {
    let text = format!("{}.{:06}", ratio.millionths() / 1_000_000, ratio.millionths() % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
