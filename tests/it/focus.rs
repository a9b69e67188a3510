//! A bill in FOCUS 1.2, held against the rules of its specification, and where tags show up: in it, in report.json and on the page.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use crate::cli::Home;

/// A fallback, prompt caches, reserved capacity (called and never called), tags, clients that leave and clients that retry.
const RICH: &str = "\
name = \"rich\"
seeds = 2
[traffic]
trace = \"quickstart.csv.gz\"
synthetic = true
unknown_keys = \"add\"
window = { from = \"0s\", for = \"20m\" }
[traffic.overlay]
stream = 0.8
abandon = 0.2
[clients]
sdk = \"openai\"
[world]
ttft = \"300ms\"
tokens_per_second = 80
[world.providers.openai]
prompt_cache = { kind = \"openai\", ttl = \"5m\" }
[world.models.gpt-4o-mini]
limits = { rpm = 30, tpm = 100_000 }
[gateway.models.gpt-4o-mini]
deployments = [{ id = \"mini\", provider = \"openai\", model = \"gpt-4o-mini\" }]
fallbacks = [\"gpt-4o\"]
[gateway.models.gpt-4o]
deployments = [{ id = \"large\", provider = \"openai\", model = \"gpt-4o\" }]
[gateway.models.nobody-asks]
deployments = [{ id = \"idle\", provider = \"azure\", model = \"gpt-4o\" }]
[gateway.models.claude-3-haiku]
deployments = [{ id = \"haiku\", provider = \"anthropic\", model = \"claude-3-haiku\" }]
[gateway.models.claude-3-5-sonnet]
deployments = [{ id = \"sonnet\", provider = \"anthropic\", model = \"claude-3-5-sonnet\" }]
[gateway.teams.frontend]
tags = { cost_centre = \"4711\" }
[gateway.keys.mail-draft]
tags = [\"pilot\"]
[gateway.cache]
ttl = \"1h\"
[gateway.prices]
deployments.large = { reserved = { per_hour = \"3 USD\" } }
deployments.idle = { input = 0, output = 0, reserved = { per_hour = \"1 USD\" } }
[[variant]]
name = \"as configured\"
[[variant]]
name = \"patient\"
set = { 'models.gpt-4o-mini.fallbacks' = [], attempts.per_request = 6, attempts.per_deployment = 6 }
";

fn rich() -> Home {
    let home = Home::new();
    let trace = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("traces/quickstart.csv.gz");
    home.write("quickstart.csv.gz", std::fs::read(trace).unwrap());
    home.write("rich.toml", RICH);
    let text = home.gwsim(&["run", "rich.toml", "--requests"]);
    assert!(text.starts_with("exit 0\n"), "{text}");
    home
}

/// What a cell may hold.
#[derive(Clone, Copy, PartialEq)]
enum Cell {
    /// Any text without space around it.
    Text,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// Digits with at most one point and a sign only below zero: no exponent, no separators.
    Decimal,
    /// `YYYY-MM-DDTHH:mm:ssZ`.
    Instant,
    /// A JSON object of numbers, texts, booleans and nulls; each key once.
    KeyValues,
}

use Cell::{Decimal, Instant, KeyValues, OneOf, Text};

/// The rules of FOCUS 1.2, column by column: what a cell holds, and whether it may be null (an empty cell). First the 21 columns that every dataset
/// has, then those of the others that are here. A simulated bill has no taxes, credits, corrections and commitments, so what the specification says
/// of these is a rule that no row meets.
const RULES: [(&str, Cell, Null); 34] = [
    ("BilledCost", Decimal, Null::Never),
    ("BillingAccountId", Text, Null::Never),
    // Null only where accounts have no names.
    ("BillingAccountName", Text, Null::Never),
    ("BillingCurrency", OneOf(&["USD"]), Null::Never),
    ("BillingPeriodEnd", Instant, Null::Never),
    ("BillingPeriodStart", Instant, Null::Never),
    ("ChargeCategory", OneOf(&["Usage", "Purchase", "Tax", "Credit", "Adjustment"]), Null::Never),
    // Null unless the row corrects a billing period that was invoiced.
    ("ChargeClass", OneOf(&["Correction"]), Null::Always),
    ("ChargeDescription", Text, Null::Never),
    ("ChargePeriodEnd", Instant, Null::Never),
    ("ChargePeriodStart", Instant, Null::Never),
    ("ContractedCost", Decimal, Null::Never),
    ("EffectiveCost", Decimal, Null::Never),
    ("InvoiceIssuerName", Text, Null::Never),
    ("ListCost", Decimal, Null::Never),
    // Not null for usage and purchases, like the unit.
    ("PricingQuantity", Decimal, Null::Never),
    ("PricingUnit", OneOf(&["Tokens", "Requests", "Hours"]), Null::Never),
    ("ProviderName", Text, Null::Never),
    ("PublisherName", Text, Null::Never),
    ("ServiceCategory", OneOf(&["AI and Machine Learning"]), Null::Never),
    ("ServiceName", Text, Null::Never),
    ("ChargeFrequency", OneOf(&["One-Time", "Recurring", "Usage-Based"]), Null::Never),
    // Not null for usage that is not of a commitment.
    ("ConsumedQuantity", Decimal, Null::Never),
    ("ConsumedUnit", OneOf(&["Tokens", "Requests", "Hours"]), Null::Never),
    ("PricingCategory", OneOf(&["Standard", "Dynamic", "Committed", "Other"]), Null::Never),
    ("ResourceId", Text, Null::Never),
    // Null where a resource has no other name than its id.
    ("ResourceName", Text, Null::Always),
    ("ResourceType", Text, Null::Never),
    // Of the values below "AI and Machine Learning".
    ("ServiceSubcategory", OneOf(&["Generative AI"]), Null::Never),
    ("SkuId", Text, Null::Never),
    ("SkuMeter", Text, Null::Never),
    ("SubAccountId", Text, Null::Maybe),
    ("SubAccountName", Text, Null::Maybe),
    ("Tags", KeyValues, Null::Maybe),
];
const MANDATORY: usize = 21;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Null {
    Never,
    Maybe,
    Always,
}

/// What is wrong with a cell.
fn fault(value: &str, cell: Cell, null: Null) -> Option<String> {
    if value.is_empty() || null == Null::Always {
        return (value.is_empty() == (null == Null::Never)).then(|| format!("`{value}`, null {null:?}"));
    }
    let is_right = match cell {
        Text => value.trim() == value && !["unknown", "Not Applicable", "null"].contains(&value),
        OneOf(allowed) => allowed.contains(&value),
        Decimal => {
            let digits = value.strip_prefix('-').unwrap_or(value);
            let parts: Vec<&str> = digits.split('.').collect();
            parts.len() <= 2 && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
        }
        Instant => value.len() == 20 && value.ends_with('Z') && instant(value).strftime("%Y-%m-%dT%H:%M:%SZ").to_string() == value,
        KeyValues => match serde_json::from_str::<Json>(value) {
            // A key that stands there twice is lost in reading.
            Ok(Json::Object(object)) => {
                object.values().all(|value| !value.is_object() && !value.is_array()) && Json::Object(object).to_string().len() == value.len()
            }
            _ => false,
        },
    };
    (!is_right).then(|| format!("`{value}`"))
}

fn instant(text: &str) -> jiff::Timestamp {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Integers of 10^-12 dollars.
fn picodollars(text: &str) -> i128 {
    text.replace('.', "").parse().unwrap()
}

type Rows = Vec<BTreeMap<String, String>>;

fn export(home: &Home, arguments: &[&str]) -> (Vec<String>, Rows) {
    let output = home.output(&[&["export", "focus"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut reader = csv::Reader::from_reader(output.stdout.as_slice());
    let header = reader.headers().unwrap().iter().map(str::to_owned).collect();
    (header, reader.deserialize().map(Result::unwrap).collect())
}

fn report(home: &Home, name: &str) -> Json {
    serde_json::from_slice(&std::fs::read(home.path().join("reports").join(name).join("report.json")).unwrap()).unwrap()
}

#[test]
fn every_column_keeps_the_rules_of_focus_1_2() {
    let home = rich();
    for (variant, period, length) in [("as configured", "hour", 3_600), ("patient", "day", 86_400)] {
        let (header, rows) = export(&home, &["reports/rich", "--variant", variant, "--period", period]);
        let (columns, own): (Vec<&str>, Vec<&str>) = header.iter().map(String::as_str).partition(|name| !name.starts_with("x_"));
        assert_eq!(columns, RULES.map(|(name, ..)| name), "the mandatory ones are the first {MANDATORY}");
        assert!(header[columns.len()..] == own, "own columns come last: {header:?}");
        let is_pascal_case = |name: &str| name.starts_with(|c: char| c.is_ascii_uppercase()) && name.bytes().all(|c| c.is_ascii_alphanumeric());
        assert!(header.iter().all(|name| is_pascal_case(name.trim_start_matches("x_")) && name.len() <= 50), "{header:?}");
        for row in &rows {
            let faults: Vec<String> =
                RULES.iter().filter_map(|(name, cell, null)| Some(format!("{name}: {}", fault(&row[*name], *cell, *null)?))).collect();
            assert!(faults.is_empty(), "{faults:?} in {row:?}");
            let [from, until, month, next] =
                ["ChargePeriodStart", "ChargePeriodEnd", "BillingPeriodStart", "BillingPeriodEnd"].map(|name| instant(&row[name]));
            assert_eq!(until.as_second() - from.as_second(), length, "the end is exclusive");
            assert!(month <= from && until <= next, "a charge lies within its billing period: {row:?}");
            let begins_month = |text: &str| &text[8..] == "01T00:00:00Z";
            assert!(
                begins_month(&row["BillingPeriodStart"])
                    && begins_month(&row["BillingPeriodEnd"])
                    && next.as_second() - month.as_second() <= 31 * 86_400
            );
            // What is charged for use as it comes is no purchase; without purchases, discounts and commitments all costs are one.
            assert_eq!((row["ChargeCategory"].as_str(), row["ChargeFrequency"].as_str()), ("Usage", "Usage-Based"));
            for cost in ["EffectiveCost", "ContractedCost", "ListCost"] {
                assert_eq!(row[cost], row["BilledCost"], "{cost}");
            }
            assert_eq!(row["SubAccountId"], row["SubAccountName"], "both or none");
            assert_eq!(row["ConsumedUnit"], row["PricingUnit"]);
        }
    }
}

#[test]
fn the_rules_see_faults() {
    let wrong = [
        ("1e-6", Decimal, Null::Never),
        ("+1", Decimal, Null::Never),
        ("1,000", Decimal, Null::Never),
        ("", Decimal, Null::Never),
        ("Correction", OneOf(&["Correction"]), Null::Always),
        ("Use", OneOf(&["Usage"]), Null::Never),
        ("2026-11-20T09:00:00+00:00", Instant, Null::Never),
        ("2026-11-20T09:00:00.5Z", Instant, Null::Never),
        ("unknown", Text, Null::Never),
        (r#"{"a":{}}"#, KeyValues, Null::Never),
        (r#"{"a":1,"a":2}"#, KeyValues, Null::Never),
        ("[]", KeyValues, Null::Maybe),
    ];
    for (value, cell, null) in wrong {
        assert!(fault(value, cell, null).is_some(), "{value}");
    }
    let right = [
        ("-0.5", Decimal, Null::Never),
        ("", Text, Null::Maybe),
        ("2026-11-20T09:00:00Z", Instant, Null::Never),
        (r#"{"a":true}"#, KeyValues, Null::Maybe),
    ];
    for (value, cell, null) in right {
        assert_eq!(fault(value, cell, null), None);
    }
}

#[test]
fn an_export_sums_to_the_bill_of_the_variant() {
    let home = rich();
    let report = report(&home, "rich");
    for (index, (variant, period)) in [("as configured", "hour"), ("patient", "day")].into_iter().enumerate() {
        let (_, rows) = export(&home, &["reports/rich", "--variant", variant, "--period", period]);
        let sum = |wanted: &dyn Fn(&BTreeMap<String, String>) -> bool| {
            rows.iter().filter(|row| wanted(row)).map(|row| picodollars(&row["BilledCost"])).sum::<i128>()
        };
        let run = &report["variants"][index]["runs"][0];
        let amount = |json: &Json| picodollars(json.as_str().unwrap());
        assert_eq!(sum(&|_| true), amount(&run["bill"]), "{variant}");
        for (cause, part) in [("undelivered", "undelivered"), ("wasted", "wasted"), ("reserved", "reserved")] {
            let by_cause = sum(&|row| row["x_Cause"] == cause);
            assert_eq!(by_cause, amount(&run["cause"][part]), "{variant}: {cause}");
            assert!(by_cause > 0 || cause == "wasted", "{variant}: a test of something");
        }
        let idle = sum(&|row| row["ResourceId"] == "idle" && row["ProviderName"] == "azure");
        let large = sum(&|row| row["x_Cause"] == "reserved" && row["ResourceId"] == "large");
        // $1 and $3 an hour, one of them never called; each is rounded to the picodollar, half-up: 3 x 1/2 + 1/2 apart at most.
        assert!((3 * idle - large).abs() <= 2, "{idle} and {large}");
        assert_eq!(sum(&|row| row["Tags"].is_empty() || !row["Tags"].contains("4711")), amount(&run["bill"]) - tagged(run, "cost_centre=4711"));
    }
}

/// What a tag's row of a run says that it was billed.
fn tagged(run: &Json, tag: &str) -> i128 {
    let row = run["by_tag"].as_array().unwrap().iter().find(|row| row["name"] == tag).unwrap();
    picodollars(row["bill"].as_str().unwrap())
}

const TAGGED: &str = "\
name = \"tagged\"
[traffic]
trace = \"tagged.csv\"
[world]
preset = \"ledger\"
[gateway.models.gpt-4o-mini]
deployments = [{ id = \"mini\", provider = \"openai\", model = \"gpt-4o-mini\", max_input_tokens = 9_000_000 }]
[gateway.teams.web]
tags = { cost_centre = \"4711\" }
[gateway.keys.alice]
team = \"web\"
tags = [\"pilot\"]
[gateway.keys.bob]
";

#[test]
fn spend_is_told_by_tag_of_team_key_and_request() {
    let home = Home::new();
    // A million tokens in cost $0.15.
    let rows = ["0,alice,1000000,", "1,alice,2000000,beta;cost_centre=9", "2,bob,4000000,beta;pilot", "3,bob,8000000,"];
    home.write(
        "tagged.csv",
        format!("at_s,key,input_tokens,tags,output_tokens,model\n{}\n", rows.map(|row| format!("{row},0,gpt-4o-mini")).join("\n")),
    );
    home.write("tagged.toml", TAGGED);
    let told = home.gwsim(&["run", "tagged.toml", "--requests"]);
    assert!(told.starts_with("exit 0\n"), "{told}");
    let report = report(&home, "tagged");
    let run = &report["variants"][0]["runs"][0];
    let cents = |amount: i128| amount / 10_000_000_000;
    let by_tag: Vec<(&str, u64, i128)> = run["by_tag"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["name"].as_str().unwrap(), row["requests"].as_u64().unwrap(), cents(picodollars(row["bill"].as_str().unwrap()))))
        .collect();
    assert_eq!(by_tag, [("cost_centre=4711", 2, 45), ("pilot", 3, 105), ("beta", 2, 90), ("cost_centre=9", 1, 30)]);
    assert_eq!(cents(picodollars(run["bill_without_tag"].as_str().unwrap())), 120, "the last request");
    let page = std::fs::read_to_string(home.path().join("reports/tagged/index.html")).unwrap();
    let table = page.split("<caption>Dollars by tag</caption>").nth(1).unwrap().split("</table>").next().unwrap();
    let shown: Vec<&str> = table.split("scope=\"row\">").skip(1).map(|row| row.split("</tr>").next().unwrap()).collect();
    assert_eq!(
        shown,
        [
            "pilot</th><td>1.05</td>",
            "beta</th><td>0.90</td>",
            "cost_centre=4711</th><td>0.45</td>",
            "cost_centre=9</th><td>0.30</td>",
            "no tag</th><td>1.20</td>",
            "the bill</th><td>2.25</td>"
        ]
    );
    // Of two values of one key the request's own counts, as each key has one in FOCUS.
    let (_, rows) = export(&home, &["reports/tagged"]);
    let tags: BTreeSet<&str> = rows.iter().map(|row| row["Tags"].as_str()).collect();
    let expected = [
        r#"{"beta":true,"cost_centre":"9","gwsim/key":"alice","gwsim/team":"web","pilot":true}"#,
        r#"{"beta":true,"gwsim/key":"bob","pilot":true}"#,
        r#"{"cost_centre":"4711","gwsim/key":"alice","gwsim/team":"web","pilot":true}"#,
        r#"{"gwsim/key":"bob"}"#,
    ];
    assert_eq!(tags, BTreeSet::from(expected));
    assert!(rows.iter().any(|row| row["x_Tag"] == "cost_centre=4711;pilot;beta;cost_centre=9"));
}
