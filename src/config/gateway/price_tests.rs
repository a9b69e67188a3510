//! Prices as paid: which discount, rate, tier and date counts for a deployment, and what users see when `[prices]` is wrong.

use super::GatewayConfig;
use super::tests::{check, loaded};
use crate::gateway::money::Money;
use crate::gateway::plan::ServiceClass;
use crate::gateway::rate_card::Usage;
use crate::gateway::time::Time;

const TWO: &str = r#"[models."gpt-4o"]
deployments = [
  { id = "large", provider = "openai", model = "gpt-4o" },
  { id = "cloud", provider = "azure", model = "gpt-4o" },
]
"#;

/// A million tokens in and none out, so that amounts read as the rate in dollars.
const MILLION: Usage = Usage::plain(1_000_000, 0);

/// What each deployment's million tokens cost at `at`, in cents.
#[track_caller]
fn cents(config: &GatewayConfig, at: Time, usage: Usage) -> Vec<i128> {
    let cost = |deployment: &crate::gateway::plan::Deployment| deployment.rates.at(at).cost(usage).0 / (Money::PER_USD / 100);
    config.plan.deployments.iter().map(cost).collect()
}

fn at(text: &str) -> Time {
    Time(u64::try_from(text.parse::<jiff::Timestamp>().expect("an instant").as_nanosecond()).expect("after 1970"))
}

#[test]
fn the_nearest_discount_counts_alone() {
    let list = loaded(TWO);
    assert_eq!(cents(&list, Time(0), MILLION), [250, 250]);
    let of_provider = loaded(&format!("{TWO}[prices]\ndiscount = {{ openai = 0.2 }}\n"));
    assert_eq!(cents(&of_provider, Time(0), MILLION), [200, 250]);
    let of_model = loaded(&format!("{TWO}[prices]\ndiscount = {{ openai = 0.2 }}\nmodels.\"gpt-4o\" = {{ discount = 0.5 }}\n"));
    assert_eq!(cents(&of_model, Time(0), MILLION), [125, 125]);
    let of_deployment = loaded(&format!(
        "{TWO}[prices]\ndiscount = {{ openai = 0.2 }}\nmodels.\"gpt-4o\" = {{ discount = 0.5 }}\ndeployments.cloud = {{ discount = 0.1 }}\n"
    ));
    assert_eq!(cents(&of_deployment, Time(0), MILLION), [125, 225]);
}

#[test]
fn the_fixed_price_of_a_deployment_is_what_is_paid() {
    let fixed = loaded(&format!(
        "{TWO}[prices]\ndiscount = {{ azure = 0.2 }}\ndeployments.cloud = {{ input = 2.00, output = 7.00, per_request = \"0.01 USD\" }}\n"
    ));
    assert_eq!(cents(&fixed, Time(0), MILLION), [250, 201]);
    // Without a base, nothing comes from a list: cached input costs what input costs.
    let read = Usage { cache_read: 1_000_000, ..MILLION };
    assert_eq!(cents(&fixed, Time(0), read), [125, 201]);
    let based = loaded(&format!("{TWO}[prices]\ndeployments.cloud = {{ base = \"azure/gpt-4o\", output = 7.00 }}\n"));
    assert_eq!(cents(&based, Time(0), read), [125, 125]);
    assert_eq!(fixed.plan.deployments[1].output_tokens_max, 16_384, "what the model can do is still the list's");
}

#[test]
fn a_model_is_bought_in_one_tier_unless_its_deployment_says_another() {
    let text = r#"[models."gpt-4o"]
deployments = [
  { id = "night", provider = "openai", model = "gpt-4o" },
  { id = "hurry", provider = "openai", model = "gpt-4o", service_tier = "priority" },
]
[prices]
models."gpt-4o" = { service_tier = "batch" }
"#;
    let config = loaded(text);
    assert_eq!(cents(&config, Time(0), MILLION), [125, 425]);
    let classes = |config: &GatewayConfig| config.plan.deployments.iter().map(|deployment| deployment.service).collect::<Vec<_>>();
    assert_eq!(classes(&config), [ServiceClass::Economy, ServiceClass::Premium]);
    let later = "[[prices.changes]]\nfrom = 2026-12-01\nmodels.\"gpt-4o\" = { service_tier = \"standard\" }\n";
    let dearer = text.replace("service_tier = \"batch\"", "service_tier = \"priority\"");
    assert_eq!(classes(&loaded(&format!("{dearer}{later}"))), [ServiceClass::Standard, ServiceClass::Premium], "the cheapest that it ever is");
}

#[test]
fn a_price_holds_from_its_date_on() {
    let config = loaded(&format!(
        r#"{TWO}[prices]
discount = {{ openai = 0.2 }}
[[prices.changes]]
from = 2026-12-01
models."gpt-4o" = {{ input = 2.00 }}
[[prices.changes]]
from = 2026-12-10T09:00:00+01:00
discount = {{ openai = 0.5 }}
deployments.cloud = {{ input = 3.00, output = 3.00 }}
"#
    ));
    for (instant, expected) in [
        ("2026-11-30T23:59:59.999999999Z", [200, 250]),
        ("2026-12-01T00:00:00Z", [160, 200]),
        ("2026-12-10T07:59:59Z", [160, 200]),
        ("2026-12-10T08:00:00Z", [100, 300]),
        ("2030-01-01T00:00:00Z", [100, 300]),
    ] {
        assert_eq!(cents(&config, at(instant), MILLION), expected, "{instant}");
    }
    let output = Usage::plain(0, 1_000_000);
    assert_eq!(cents(&config, at("2026-12-05T00:00:00Z"), output), [800, 1000], "what a change does not state stays");
    assert_eq!(config.plan.models[0].reference, config.plan.deployments[0].rates);
}

#[test]
fn a_change_may_bring_a_list_of_its_own() {
    let directory = tempfile::tempdir().expect("a directory");
    let list = "# date: 2026-12-01\nmodel,provider,input_usd_per_mtok,output_usd_per_mtok\ngpt-4o,openai,2,8\n";
    std::fs::write(directory.path().join("december.csv"), list).expect("a file");
    let path = directory.path().join("gateway.toml");
    let text = format!("{TWO}[prices]\ndiscount = {{ azure = 0.5 }}\n[[prices.changes]]\nfrom = 2026-12-01\nlist = \"december.csv\"\n");
    std::fs::write(&path, text).expect("a file");
    let loaded = super::super::load_gateway(&path, &super::super::Options::default());
    let config = loaded.unwrap_or_else(|diagnostics| panic!("{diagnostics}")).value;
    assert_eq!(cents(&config, at("2026-11-30T23:59:59Z"), MILLION), [250, 125]);
    assert_eq!(cents(&config, at("2026-12-01T00:00:00Z"), MILLION), [200, 100]);
    assert!(config.price_list.starts_with("the built-in price list of 2026-11-22, then ") && config.price_list.ends_with("of 2026-12-01"));
}

#[test]
fn a_change_of_somebody_elses_price_makes_no_schedule() {
    let plain = loaded(TWO);
    let other = loaded(&format!("{TWO}[[prices.changes]]\nfrom = 2026-12-01\nmodels.\"gpt-4.1\" = {{ input = 1, output = 1 }}\n"));
    assert_eq!(plain.plan.deployments, other.plan.deployments);
}

#[test]
fn reserved_capacity_is_a_price_by_the_hour() {
    let config = loaded(&format!(
        r#"{TWO}[prices]
deployments.cloud = {{ input = 0, output = 0, reserved = {{ per_hour = "12.50 USD" }} }}
[[prices.changes]]
from = 2026-12-01
deployments.cloud = {{ reserved = {{ per_hour = "10 USD" }} }}
"#
    ));
    assert_eq!(cents(&config, Time(0), MILLION), [250, 0]);
    let [reserved] = config.reserved.as_slice() else { panic!("one: {:?}", config.reserved) };
    assert_eq!(reserved.deployment.0, 1);
    let day = reserved.over(at("2026-11-30T12:00:00Z"), at("2026-12-01T12:00:00Z"));
    assert_eq!(day, Money::usd(150 + 120));
    assert!(loaded(TWO).reserved.is_empty());
}

#[test]
fn prices_of_what_is_not_there_are_errors() {
    check(
        &[],
        &format!(
            r#"{TWO}[prices]
deployments.clout = {{ discount = 0.1 }}
deployments.cloud = {{ input = 2.00, reserved = {{}} }}
deployments.large = {{ inptu = 1, service_tier = "flex" }}
models."gpt-4o" = {{ service_tier = "flex" }}
"#
        ),
        r#"error: `gpt-4o` has no flex price; it is sold as standard, batch, priority
 --> gateway.toml:3:48
  |
3 |   { id = "large", provider = "openai", model = "gpt-4o" },
  |                                                ^^^^^^^^ it would have no price

error: `azure/gpt-4o` has no flex price; it is sold as standard, batch
 --> gateway.toml:4:47
  |
4 |   { id = "cloud", provider = "azure", model = "gpt-4o" },
  |                                               ^^^^^^^^ it would have no price

error: unknown deployment `clout`
 --> gateway.toml:7:13
  |
7 | deployments.clout = { discount = 0.1 }
  |             ^^^^^
  |
  = help: did you mean `cloud`?

error: the fixed price of `cloud` needs `output`
 --> gateway.toml:8:13
  |
8 | deployments.cloud = { input = 2.00, reserved = {} }
  |             ^^^^^ a fixed price takes nothing from a list, unless it names a `base`
  |
  = help: for example: output = 2.50

error: `prices.deployments.cloud.reserved` needs `per_hour`
 --> gateway.toml:8:37
  |
8 | deployments.cloud = { input = 2.00, reserved = {} }
  |                                     ^^^^^^^^
  |
  = help: for example: per_hour = "12.50 USD"

error: unknown key `inptu` in `prices.deployments.large`
 --> gateway.toml:9:23
  |
9 | deployments.large = { inptu = 1, service_tier = "flex" }
  |                       ^^^^^ it would have no effect
  |
  = help: did you mean `input`?

error: unknown key `service_tier` in `prices.deployments.large`
 --> gateway.toml:9:34
  |
9 | deployments.large = { inptu = 1, service_tier = "flex" }
  |                                  ^^^^^^^^^^^^ it would have no effect
  |
  = help: known here: base, cache_read, cache_write, cache_write_1h, discount, input, output,
          per_request, reasoning, reserved, tiers

7 errors
"#,
    );
}

#[test]
fn changes_come_in_order_and_change_something() {
    check(
        &[],
        &format!(
            r#"{TWO}[[prices.changes]]
from = 2026-12-01
discount = {{ openai = 0.1 }}
[[prices.changes]]
from = 2026-12-01T00:00:00Z
discount = {{ openai = 0.2 }}
[[prices.changes]]
from = "tomorrow"
[[prices.changes]]
discount = {{ openai = 1 }}
"#
        ),
        r#"error: a price change must come after the one before it
  --> gateway.toml:10:8
   |
 7 | from = 2026-12-01
   |        ---------- the one before
...
10 | from = 2026-12-01T00:00:00Z
   |        ^^^^^^^^^^^^^^^^^^^^ not later
   |
   = help: put them in the order of their dates, each date once

error: a price change must change something
  --> gateway.toml:12:1
   |
12 | [[prices.changes]]
   | ^^^^^^^^^^^^^^^^^^ it states no price
   |
   = help: models, deployments, discount or list, for example: models = { "gpt-4o" = { input =
           2.00, output = 8.00 } }

error: `from` must be a date and time with its offset
  --> gateway.toml:13:8
   |
13 | from = "tomorrow"
   |        ^^^^^^^^^^ it is none after 1970
   |
   = help: for example: from = 2027-01-31T00:00:00Z

error: `prices.changes` needs `from`
  --> gateway.toml:14:1
   |
14 | [[prices.changes]]
   | ^^^^^^^^^^^^^^^^^^
   |
   = help: for example: from = 2026-12-01

error: `openai` must be a discount from 0 to below 1
  --> gateway.toml:15:23
   |
15 | discount = { openai = 1 }
   |                       ^ a discount of `1` leaves nothing to pay; write a share below 1, such as `0.12` for 12 %
   |
   = help: for example: openai = 0.12

5 errors
"#,
    );
}
