//! The built-in list against known prices and bills; the readers against good and bad texts.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use crate::gateway::money::{Money, Rate};
use crate::gateway::rate_card::{RateCard, Usage};

use super::*;

fn card(list: &PriceList, name: &str) -> RateCard {
    list.find(name).expect("a listed model").card(Discount::NONE, ServiceTier::Standard).expect("every entry has a standard price")
}

fn built_in(name: &str) -> RateCard {
    card(PriceList::built_in(), name)
}

/// Input, output, cache read, write, write 1 h, reasoning: what a request of `input` tokens pays.
fn rates(card: &RateCard, input: u32) -> [u64; 6] {
    let rates = card.rates(input);
    [rates.input.0, rates.output.0, rates.cache_read.0, rates.cache_write.0, rates.cache_write_1h.0, rates.reasoning.0]
}

fn usd(text: &str) -> Money {
    money_from_usd(text).expect("an amount")
}

/// A file of the shared facts, or `None` with a notice where they are not at hand.
fn shared(file: &str) -> Option<String> {
    let root = std::env::var_os("GWSIM_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let text = std::fs::read_to_string(root.join(file)).ok();
    if text.is_none() {
        println!("skipped: no {file}; set GWSIM_SHARED to the folder that has it");
    }
    text
}

#[test]
fn golden_rates() {
    #[track_caller]
    fn check(name: &str, expected: [&str; 6]) {
        let expected = expected.map(|text| rate_from_usd_per_mtok(text).expect("a rate").0);
        assert_eq!(rates(&built_in(name), 1), expected, "{name}");
    }
    check("gpt-4o", ["2.50", "10", "1.25", "2.50", "2.50", "10"]);
    check("gpt-4o-mini", ["0.15", "0.60", "0.075", "0.15", "0.15", "0.60"]);
    check("claude-3-5-sonnet", ["3", "15", "0.30", "3.75", "6", "15"]);
    check("claude-3-opus", ["15", "75", "1.50", "18.75", "30", "75"]);
    check("claude-3-haiku", ["0.25", "1.25", "0.03", "0.30", "0.50", "1.25"]);
    check("gemini-1.5-flash", ["0.075", "0.30", "0.075", "0.075", "0.075", "0.30"]);
    check("gemini-1.5-pro", ["1.25", "5", "1.25", "1.25", "1.25", "5"]);
    check("text-embedding-3-small", ["0.02", "0", "0.02", "0.02", "0.02", "0"]);
}

#[test]
fn golden_bills_of_the_public_traces() {
    /// Priced in pieces of a million tokens: a bill is additive below a threshold, and the pieces fit any usage.
    #[track_caller]
    fn check(model: &str, input: u64, cached: u64, output: u64, dollars: &str) {
        let (card, mut left, mut cost) = (built_in(model), [input - cached, cached, output], Money::ZERO);
        while left != [0; 3] {
            let [fresh, read, out] = left.map(|tokens| u32::try_from(tokens.min(1_000_000)).expect("a piece fits"));
            cost += card.cost(Usage { cache_read: read, ..Usage::plain(fresh + read, out) });
            left = [left[0] - u64::from(fresh), left[1] - u64::from(read), left[2] - u64::from(out)];
        }
        assert_eq!(cost, usd(dollars), "{model}");
    }
    for (input, output, dollars) in [
        (18_059_974, 245_896, ["47.608895", "2.8565337", "57.868362"]),
        (144_793_823, 4_122_048, ["403.2050375", "24.19230225", "496.212189"]),
        (2_469_470, 43_917, ["6.612845", "0.3967707", "8.067165"]),
    ] {
        check("gpt-4o", input, 0, output, dollars[0]);
        check("gpt-4o-mini", input, 0, output, dollars[1]);
        check("claude-3-5-sonnet", input, 0, output, dollars[2]);
    }
    check("gpt-4o", 144_793_823, 50_291_328, 4_122_048, "340.3408775");
    check("gpt-4o-mini", 144_793_823, 50_291_328, 4_122_048, "20.42045265");
    check("gpt-4o", 144_793_823, 9_599_488, 4_122_048, "391.2056775");
    check("gpt-4o-mini", 2_469_470, 2_283_776, 43_917, "0.2254875");
}

#[test]
fn a_threshold_reprices_the_whole_request_from_the_next_token_on() {
    let card = built_in("gemini/gemini-2.5-pro");
    assert_eq!(card.cost(Usage::plain(200_000, 1000)), usd("0.26"));
    assert_eq!(card.cost(Usage::plain(200_001, 1000)), usd("0.5150025"));
    let card = built_in("gpt-5.4");
    assert_eq!(rates(&card, 272_000)[..3], [2_500_000, 15_000_000, 250_000]);
    assert_eq!(rates(&card, 272_001)[..3], [5_000_000, 22_500_000, 500_000]);
}

#[test]
fn every_row_of_the_built_in_list_prices_a_call_in_every_tier_that_it_offers() {
    let list = PriceList::built_in();
    let rows = include_str!("list.csv").lines().filter(|line| !line.starts_with('#')).count() - 1;
    assert_eq!((list.entries().len(), list.rounded(), list.skipped(), list.date()), (rows, 0, 0, Some("2026-11-22")));
    for entry in list.entries() {
        assert_eq!(list.find(&entry.model), Ok(entry), "a listed name means its own row");
        assert!(!entry.source.is_empty() && !entry.provider.is_empty(), "{}", entry.model);
        for tier in ServiceTier::ALL.into_iter().filter(|tier| entry.offers(*tier)) {
            let card = entry.card(Discount::NONE, tier).expect("an offered tier");
            let [input, .., write, write_1h, _] = rates(&card, 1_000_000);
            assert!(input <= write && input <= write_1h, "{} {}: writing to a cache is never cheaper than plain input", entry.model, tier.name());
            let usage = Usage { cache_write: 300, ..Usage::plain(1000, 1000) };
            assert!(card.cost(usage) <= card.worst_case(1000, 1000), "{}", entry.model);
        }
    }
}

#[test]
fn the_built_in_list_states_what_the_facts_state() {
    let Some(facts) = shared("facts/prices.csv") else { return };
    let mut reader = csv::Reader::from_reader(facts.as_bytes());
    let header = reader.headers().expect("a header").clone();
    let mut compared = 0;
    for row in reader.records() {
        let row = row.expect("a row");
        let cell = |column: &str| row.get(header.iter().position(|name| name == column).expect("a column")).expect("a cell");
        let entry = PriceList::built_in().find(cell("model")).expect("every model of the facts");
        assert_eq!(entry.provider, cell("provider"), "{}", cell("model"));
        for (column, tier, above, pick) in FACT_COLUMNS {
            let stated = pick(entry.stated(tier, above));
            let expected = Some(cell(column)).filter(|text| !text.is_empty()).map(|text| rate_from_usd_per_mtok(text).expect("a rate"));
            let left_out = column == "cache_write_usd_per_mtok" && expected < entry.stated(tier, above).input;
            assert_eq!(stated, expected.filter(|_| !left_out), "{} {column}", cell("model"));
            compared += usize::from(expected.is_some());
        }
    }
    assert!(compared > 8000, "only {compared} prices compared");
}

type Pick = fn(StatedRates) -> Option<Rate>;

const FACT_COLUMNS: [(&str, ServiceTier, u32, Pick); 22] = [
    ("input_usd_per_mtok", ServiceTier::Standard, 0, |rates| rates.input),
    ("output_usd_per_mtok", ServiceTier::Standard, 0, |rates| rates.output),
    ("cache_read_usd_per_mtok", ServiceTier::Standard, 0, |rates| rates.cache_read),
    ("cache_write_usd_per_mtok", ServiceTier::Standard, 0, |rates| rates.cache_write),
    ("cache_write_1h_usd_per_mtok", ServiceTier::Standard, 0, |rates| rates.cache_write_1h),
    ("reasoning_output", ServiceTier::Standard, 0, |rates| rates.reasoning),
    ("batch_input", ServiceTier::Batch, 0, |rates| rates.input),
    ("batch_output", ServiceTier::Batch, 0, |rates| rates.output),
    ("flex_input", ServiceTier::Flex, 0, |rates| rates.input),
    ("flex_output", ServiceTier::Flex, 0, |rates| rates.output),
    ("priority_input", ServiceTier::Priority, 0, |rates| rates.input),
    ("priority_output", ServiceTier::Priority, 0, |rates| rates.output),
    ("input_above_100k", ServiceTier::Standard, 100_000, |rates| rates.input),
    ("output_above_100k", ServiceTier::Standard, 100_000, |rates| rates.output),
    ("input_above_128k", ServiceTier::Standard, 128_000, |rates| rates.input),
    ("output_above_128k", ServiceTier::Standard, 128_000, |rates| rates.output),
    ("input_above_200k", ServiceTier::Standard, 200_000, |rates| rates.input),
    ("output_above_200k", ServiceTier::Standard, 200_000, |rates| rates.output),
    ("cache_read_above_200k", ServiceTier::Standard, 200_000, |rates| rates.cache_read),
    ("input_above_272k", ServiceTier::Standard, 272_000, |rates| rates.input),
    ("output_above_272k", ServiceTier::Standard, 272_000, |rates| rates.output),
    ("cache_read_above_272k", ServiceTier::Standard, 272_000, |rates| rates.cache_read),
];

#[test]
fn a_fee_per_request_is_charged_once_a_call() {
    let card = built_in("perplexity/pplx-70b-online");
    assert_eq!(card.per_request(), usd("0.005"));
    assert_eq!(card.cost(Usage::plain(1_000_000, 1000)), usd("0.0078"));
}

#[test]
fn service_tiers_have_their_own_prices_or_none() {
    let list = PriceList::built_in();
    let mini = list.find("gpt-4o-mini").expect("listed");
    let batch = mini.card(Discount::NONE, ServiceTier::Batch).expect("a batch price");
    assert_eq!(rates(&batch, 1)[..2], [75_000, 300_000]);
    assert_eq!(
        mini.card(Discount::NONE, ServiceTier::Flex).expect_err("no flex price").to_string(),
        "`gpt-4o-mini` has no flex price; it is sold as standard, batch, priority"
    );
    let text = "# date: 2026-01-31\n\
        model,provider,input_usd_per_mtok,output_usd_per_mtok,cache_read_usd_per_mtok,cache_write_usd_per_mtok,\
        input_above_200k_usd_per_mtok,priority_input_usd_per_mtok,batch_input_usd_per_mtok\n\
        m,p,2,8,0.5,2.5,4,5,1\n";
    let list = PriceList::from_csv(text, "mine.csv").expect("a list");
    let tier = |tier| list.find("m").expect("listed").card(Discount::NONE, tier).expect("offered");
    assert_eq!(rates(&tier(ServiceTier::Standard), 1), [2_000_000, 8_000_000, 500_000, 2_500_000, 2_500_000, 8_000_000]);
    assert_eq!(rates(&tier(ServiceTier::Standard), 200_001), [4_000_000, 8_000_000, 500_000, 4_000_000, 4_000_000, 8_000_000]);
    assert_eq!(rates(&tier(ServiceTier::Priority), 1), [5_000_000, 8_000_000, 500_000, 5_000_000, 5_000_000, 8_000_000]);
    assert_eq!(rates(&tier(ServiceTier::Priority), 200_001)[0], 5_000_000, "the dearer of standard above 200k and priority below");
    assert_eq!(rates(&tier(ServiceTier::Batch), 1)[0], 1_000_000);
    assert_eq!(rates(&tier(ServiceTier::Batch), 200_001)[0], 4_000_000);
}

#[test]
fn a_discount_comes_off_every_rate_and_the_fee() {
    let discount = Discount::parse("0.12").expect("a discount");
    let sonnet = PriceList::built_in().find("claude-3-5-sonnet").expect("listed").card(discount, ServiceTier::Standard).expect("sold");
    assert_eq!(rates(&sonnet, 1), [2_640_000, 13_200_000, 264_000, 3_300_000, 5_280_000, 13_200_000]);
    assert_eq!(sonnet.cost(Usage::plain(18_059_974, 245_896)), usd("50.92415856"), "88 % of 57.868362");
    let online = PriceList::built_in().find("perplexity/pplx-70b-online").expect("listed").card(discount, ServiceTier::Standard).expect("sold");
    assert_eq!(online.per_request(), usd("0.0044"));
    let pro = PriceList::built_in().find("gemini-2.5-pro").expect("listed").card(discount, ServiceTier::Standard).expect("sold");
    assert_eq!(rates(&pro, 200_001)[0], 2_200_000, "tiers too");
}

#[test]
fn names_are_found_as_people_and_litellm_write_them() {
    #[track_caller]
    fn check(name: &str, provider: &str, model: &str) {
        let entry = PriceList::built_in().find(name).expect("a known name");
        assert_eq!((entry.provider.as_str(), entry.model.as_str()), (provider, model), "{name}");
    }
    check("gpt-4o", "openai", "gpt-4o");
    check("openai/gpt-4o", "openai", "gpt-4o");
    check("openai/responses/gpt-5.4", "openai", "gpt-5.4");
    check("azure/gpt-4o", "azure", "azure/gpt-4o");
    check("claude-3-5-sonnet", "anthropic", "claude-3-5-sonnet");
    check("anthropic/claude-3-5-sonnet-20241022", "anthropic", "claude-3-5-sonnet-20241022");
    check("vertex_ai/claude-3-opus", "vertex", "vertex_ai/claude-3-opus");
    check("vertex/claude-3-opus", "vertex", "vertex_ai/claude-3-opus");
    check("gemini/gemini-1.5-pro", "gemini", "gemini-1.5-pro");
    check("vertex_ai/gemini-2.5-pro", "vertex", "gemini-2.5-pro");
    check("bedrock/converse/anthropic.claude-3-opus-20240229-v1:0", "bedrock", "anthropic.claude-3-opus-20240229-v1:0");
    check("mistral-large-latest", "mistral", "mistral/mistral-large-latest");
    check("codestral-latest", "mistral", "mistral/codestral-latest");
    check("deepseek-r1", "deepseek", "deepseek/deepseek-r1");
    check("groq/openai/gpt-oss-20b", "groq", "groq/openai/gpt-oss-20b");
}

#[test]
fn a_bare_name_goes_to_the_first_party() {
    let text = "# date: 2026-01-31\nmodel,provider,input_usd_per_mtok\nm,fireworks,1\nm,azure,2\nm,acme,3\nm,xai,4\n";
    let list = PriceList::from_csv(text, "mine.csv").expect("a list");
    for (name, provider) in [("m", "xai"), ("azure/m", "azure"), ("fireworks_ai/m", "fireworks"), ("acme/m", "acme")] {
        assert_eq!(list.find(name).expect("known").provider, provider, "{name}");
    }
}

#[test]
fn unknown_names_come_with_hints() {
    #[track_caller]
    fn check(name: &str, message: &str) {
        assert_eq!(PriceList::built_in().find(name).expect_err("an unknown name").to_string(), message);
    }
    check("gpt4o", "no price for `gpt4o` in the built-in price list of 2026-11-22; did you mean `gpt-4o` or `azure/gpt-4o` or `azure/eu/gpt-4o`?");
    check("no-such-model-at-all", "no price for `no-such-model-at-all` in the built-in price list of 2026-11-22");
    check("", "no price for `` in the built-in price list of 2026-11-22");
    for (name, first) in [
        ("claude-3.5-sonnet", "claude-3-5-sonnet"),
        ("claude-3-5-sonnet-latest", "claude-3-5-sonnet"),
        ("openrouter/openai/gpt-4o", "gpt-4o"),
        ("gemini-1.5-pro-002", "gemini-1.5-pro"),
        ("vertex_ai/gemini-1.5-pro", "gemini-1.5-pro"),
        ("GPT-4o-Mini", "gpt-4o-mini"),
    ] {
        let unknown = PriceList::built_in().find(name).expect_err("an unknown name");
        assert_eq!(unknown.near.first().map(String::as_str), Some(first), "{name}");
        assert!(unknown.near.len() <= 3);
    }
    assert!(PriceList::built_in().find("openai/gpt-oss-20b").is_err(), "a host's price is not the named provider's");
}

#[test]
fn overrides_replace_what_they_state_and_keep_the_rest() {
    let rate = |text| Some(rate_from_usd_per_mtok(text).expect("a rate"));
    let listed = PriceList::built_in().find("gemini-2.5-pro").expect("listed");
    let dearer = OverrideRates { rates: StatedRates { input: rate("2"), ..StatedRates::default() }, ..OverrideRates::default() };
    let entry = Entry::from_override("my-pro", Some(listed), &dearer).expect("an entry");
    let card = entry.card(Discount::NONE, ServiceTier::Standard).expect("sold");
    assert_eq!((rates(&card, 1)[..3].to_vec(), rates(&card, 200_001)[0]), (vec![2_000_000, 10_000_000, 125_000], 2_500_000));
    assert_eq!((entry.model.as_str(), entry.provider.as_str(), entry.max_input), ("my-pro", "vertex", listed.max_input));

    let flat = StatedRates { input: rate("1"), output: rate("3"), ..StatedRates::default() };
    let tiers = vec![
        (50_000, StatedRates { output: rate("9"), ..StatedRates::default() }),
        (10_000, StatedRates { input: rate("2"), ..StatedRates::default() }),
    ];
    let own = OverrideRates { rates: flat, per_request: Some(usd("0.01")), tiers };
    let card = Entry::from_override("own", None, &own).expect("an entry").card(Discount::NONE, ServiceTier::Standard).expect("sold");
    assert_eq!(rates(&card, 10_000), [1_000_000, 3_000_000, 1_000_000, 1_000_000, 1_000_000, 3_000_000]);
    assert_eq!(rates(&card, 10_001)[..3], [2_000_000, 3_000_000, 2_000_000]);
    assert_eq!(rates(&card, 50_001)[..3], [2_000_000, 9_000_000, 2_000_000]);
    assert_eq!(card.cost(Usage::plain(1000, 0)), usd("0.011"));
    let replaced = Entry::from_override("own", Some(listed), &own).expect("an entry").card(Discount::NONE, ServiceTier::Standard).expect("sold");
    assert_eq!(rates(&replaced, 200_001)[0], 2_000_000, "the list's tiers are gone");
}

#[test]
fn overrides_that_make_no_price_are_refused() {
    let rate = Some(Rate(1));
    let check = |stated: &OverrideRates, message: &str| {
        assert_eq!(Entry::from_override("m", None, stated).expect_err("refused").to_string(), message);
    };
    let mut stated = OverrideRates { rates: StatedRates { input: rate, ..StatedRates::default() }, ..OverrideRates::default() };
    check(&stated, "`m` is in no price list and its output rate is not stated; state both input and output (0 if free)");
    stated.rates.output = rate;
    stated.tiers = vec![(7, StatedRates::default()), (7, StatedRates::default())];
    check(&stated, "two price tiers above 7 tokens; keep one");
    stated.tiers = vec![(0, StatedRates::default())];
    check(&stated, "a price tier above 0 tokens is the base price; write its rates there");
}

#[test]
fn a_bad_csv_says_where_and_what() {
    #[track_caller]
    fn check(text: &str, message: &str) {
        assert_eq!(PriceList::from_csv(text, "mine.csv").expect_err("a bad list").to_string(), message);
    }
    check("model,provider\n", "mine.csv:1:1: a price list must say of which day it is; put `# date: 2026-11-22` on top");
    check("# mine\n# date: 2026-13-01\n", "mine.csv:2:1: `2026-13-01` is not a date; write it as `# date: 2026-11-22`");
    let top = "# date: 2026-11-22\n";
    check(
        &format!("{top}model,provider,input_per_mtok\n"),
        "mine.csv:2:16: unknown column `input_per_mtok`; a rate is called like `input_usd_per_mtok` or `batch_output_above_200k_usd_per_mtok`",
    );
    check(&format!("{top}model,provider,mode,mode\n"), "mine.csv:2:21: column `mode` is there twice");
    check(&format!("{top}model,input_usd_per_mtok\n"), "mine.csv:2:1: no column `provider`; every row needs one");
    let top = format!("{top}model,provider,input_usd_per_mtok,output_usd_per_mtok\r\n");
    check(&format!("{top}m,p,1,2\r\n\"é,n\",p,-1,2\r\n"), "mine.csv:4:9: input_usd_per_mtok: `-1` is negative; a price or an amount is zero or more");
    check(
        &format!("{top}# a comment\n\nm,p,1,free\n"),
        "mine.csv:5:7: output_usd_per_mtok: `free` is not a number; write plain digits such as `2.50` or `1.5e-07`",
    );
    check(&format!("{top}m,,1,2\n"), "mine.csv:3:3: the row has no provider");
    check(&format!("{top}m,p,,\n"), "mine.csv:3:1: `m` has no price; state its input or output rate (0 if free), or leave the row out");
    check(&format!("{top}m,p,1,2\nn,p,1,2\nm,p,1,3\n"), "mine.csv:5:1: `m` of p is on line 3 already; keep one");
    let short = PriceList::from_csv(&format!("{top}m,p,1\n"), "mine.csv").expect_err("a short row");
    assert_eq!((short.line, short.message.contains("fields")), (3, true), "{short}");
}

#[test]
fn a_csv_with_float_noise_is_read_and_counted() {
    let text = "# date: 2026-11-22\nmodel,provider,input_usd_per_mtok,output_usd_per_mtok\nm,p,0.15000000000000002,0.6\n";
    let list = PriceList::from_csv(text, "mine.csv").expect("a list");
    assert_eq!((rates(&card(&list, "m"), 1)[0], list.rounded(), list.to_string().as_str()), (150_000, 1, "mine.csv of 2026-11-22"));
}

const PRICE_MAP: &str = r#"{
    "sample_spec": {"input_cost_per_token": 0.0, "max_input_tokens": "max input tokens, if the provider specifies it"},
    "gpt-4o-mini": {
        "input_cost_per_token": 1.5e-07, "output_cost_per_token": 6.000000000000001e-07, "cache_read_input_token_cost": 7.5e-08,
        "input_cost_per_token_batches": 7.5e-08, "litellm_provider": "openai", "max_input_tokens": 128000, "max_output_tokens": 16384.0,
        "mode": "chat", "supports_vision": true, "search_context_cost_per_query": {"search_context_size_low": 0.03}
    },
    "vertex_ai/claude-x": {
        "input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05, "cache_creation_input_token_cost": 3.75e-06,
        "cache_creation_input_token_cost_above_1hr": 6e-06, "cache_creation_input_token_cost_above_1hr_above_200k_tokens": 1.2e-05,
        "input_cost_per_token_above_200k_tokens": "6e-06", "input_cost_per_token_above_200k_tokens_priority": 9e-06,
        "cache_creation_input_token_cost_above_200k_tokens": 7.5e-06, "cache_read_input_token_cost": null,
        "litellm_provider": "vertex_ai-anthropic_models"
    },
    "dashscope/qwen": {
        "litellm_provider": "dashscope",
        "tiered_pricing": [
            {"input_cost_per_token": 4.0000000000000003e-07, "output_cost_per_token": 1.2e-06, "range": [0, 256000.0]},
            {"input_cost_per_token": 1.2e-06, "output_cost_per_reasoning_token": 4.8e-06, "range": [256000.0, 1000000.0]}
        ]
    },
    "deepseek/v": {"input_cost_per_token": 2.8e-07, "output_cost_per_token": 4.2e-07, "input_cost_per_token_cache_hit": 2.8e-08,
        "cache_creation_input_token_cost": 0.0, "input_cost_per_request": 0.005, "litellm_provider": "deepseek"},
    "dall-e-2": {"input_cost_per_pixel": 1.9e-08, "litellm_provider": "openai", "mode": "image_generation"}
}"#;

#[test]
fn a_litellm_price_map_is_read_exactly() {
    let list = PriceList::from_litellm_json(PRICE_MAP, "prices.json").expect("a price map");
    assert_eq!((list.entries().len(), list.skipped(), list.rounded(), list.cache_writes_left_out(), list.date()), (4, 1, 2, 1, None));
    let mini = list.find("openai/gpt-4o-mini").expect("listed");
    assert_eq!((mini.max_input, mini.max_output, mini.mode.as_str(), mini.source.as_str()), (Some(128_000), Some(16_384), "chat", "prices.json"));
    assert_eq!(rates(&card(&list, "gpt-4o-mini"), 1), [150_000, 600_000, 75_000, 150_000, 150_000, 600_000]);
    assert_eq!(rates(&mini.card(Discount::NONE, ServiceTier::Batch).expect("sold"), 1)[..3], [75_000, 600_000, 75_000]);
    let claude = card(&list, "vertex/claude-x");
    assert_eq!(rates(&claude, 200_000), [3_000_000, 15_000_000, 3_000_000, 3_750_000, 6_000_000, 15_000_000]);
    assert_eq!(rates(&claude, 200_001), [6_000_000, 15_000_000, 6_000_000, 7_500_000, 12_000_000, 15_000_000]);
    let priority = list.find("vertex_ai/claude-x").expect("listed").card(Discount::NONE, ServiceTier::Priority).expect("sold");
    assert_eq!((rates(&priority, 1)[0], rates(&priority, 200_001)[0]), (3_000_000, 9_000_000));
    let qwen = card(&list, "dashscope/qwen");
    assert_eq!((rates(&qwen, 256_000)[0], rates(&qwen, 256_000)[5]), (400_000, 1_200_000));
    assert_eq!((rates(&qwen, 256_001)[0], rates(&qwen, 256_001)[1], rates(&qwen, 256_001)[5]), (1_200_000, 1_200_000, 4_800_000));
    assert_eq!(rates(&card(&list, "deepseek/v"), 1)[..5], [280_000, 420_000, 28_000, 280_000, 280_000], "a write price of 0 is the input rate");
    assert_eq!(card(&list, "deepseek/v").per_request(), usd("0.005"));
}

#[test]
fn a_bad_price_map_says_where_and_what() {
    #[track_caller]
    fn check(text: &str, message: &str) {
        assert_eq!(PriceList::from_litellm_json(text, "p.json").expect_err("a bad map").to_string(), message);
    }
    check(
        "{\n  \"m\": {\"input_cost_per_token\": -1e-07}\n}",
        "p.json:2:33: input_cost_per_token: `-1e-07` is negative; a price or an amount is zero or more",
    );
    check(
        "{\"é\": {\n\"output_cost_per_token_flex\": [1]}}",
        "p.json:2:31: output_cost_per_token_flex: `[1]` is not a number; write plain digits such as `2.50` or `1.5e-07`",
    );
    check("{\"m\": 3}", "p.json:1:7: `m` must be an object of prices");
    check("{\"m\": {\"input_cost_per_token\": 1},\n \"m\": {\"input_cost_per_token\": 2}}", "p.json:2:7: `m` is there twice; keep one");
    check("{\"m\": {\"tiered_pricing\": [{\"range\": [0]}]}}", "p.json:1:37: a tier's `range` must be two numbers of tokens, as in `[0, 32000]`");
    let broken = PriceList::from_litellm_json("{\n \"m\": {", "p.json").expect_err("broken JSON");
    assert_eq!((broken.line, broken.message.starts_with("not a price map: EOF")), (2, true), "{broken}");
}

/// A text with one character replaced by some characters.
fn with_typo(text: &str, place: usize, typo: &str) -> String {
    let place = place % text.chars().count();
    text.chars()
        .enumerate()
        .flat_map(|(index, letter)| if index == place { typo.to_owned() } else { letter.to_string() }.chars().collect::<Vec<_>>())
        .collect()
}

const TABLE: &str = "\u{feff}# date: 2026-11-22\r\nmodel,provider,input_usd_per_mtok,output_above_200k_usd_per_mtok,per_request_usd\r\n\
    # note\r\n\"m,1\",p,0.5,1e1,0.01\r\n\r\nn,é,1,,\r\n";

proptest! {
    #[test]
    fn a_typo_never_panics_and_an_error_points_into_the_text(place in any::<usize>(), typo in "[-#\"',{}:0-9e.a\\né]{0,3}") {
        let bad = with_typo(TABLE, place, &typo);
        if let Err(error) = PriceList::from_csv(&bad, "mine.csv") {
            prop_assert!(error.line >= 1 && error.line <= bad.split('\n').count() as u64, "{}", error);
        }
        let bad = with_typo(PRICE_MAP, place, &typo);
        if let Err(error) = PriceList::from_litellm_json(&bad, "p.json") {
            prop_assert!(error.line >= 1 && error.line <= bad.split('\n').count() as u64, "{}", error);
        }
    }

    #[test]
    fn any_name_is_found_or_refused(name in "\\PC{0,20}") {
        let list = PriceList::from_litellm_json(PRICE_MAP, "p.json").expect("a price map");
        match list.find(&name) {
            Ok(entry) => prop_assert_eq!(name.rsplit('/').next(), entry.model.rsplit('/').next()),
            Err(unknown) => prop_assert!(unknown.name == name && unknown.near.len() <= 3),
        }
    }

    #[test]
    fn a_discounted_bill_is_the_discounted_list_bill(percent in 0_u32..100, input in 0_u32..2_000_000, output in 0_u32..100_000) {
        // Whole percents of these rates are whole picodollars, so the discount on rates and on the bill must agree exactly.
        let discount = Discount::parse(&format!("0.{percent:02}")).expect("a discount");
        let entry = PriceList::built_in().find("gemini-2.5-pro").expect("listed");
        let usage = Usage::plain(input, output);
        let [list, paid] = [Discount::NONE, discount].map(|discount| entry.card(discount, ServiceTier::Standard).expect("sold").cost(usage).0);
        prop_assert_eq!(paid * 100, list * i128::from(100 - percent));
    }
}
