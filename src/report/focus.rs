//! A variant's bill in the columns of FOCUS 1.2, the FinOps Open Cost and Usage Specification. Decides what is a row and what stands in each column.
//!
//! A row is a class of tokens of one deployment's model in one charge period, by key, cause and position. Capacity that is paid by the hour is usage
//! of hours, as of a machine that runs: it covers no later charges, as a purchase would. What FOCUS wants and a simulation does not have: the list
//! price beside the price paid (both are what is paid), an invoice, and an account, which is gwsim's. Null is an empty cell.

use std::collections::BTreeMap;
use std::io::Write;

use jiff::Zoned;
use jiff::tz::TimeZone;

use super::requests::CallRow;
use super::{Report, Variant};
use crate::gateway::money::Money;
use crate::gateway::time::{Span, Time};

/// The columns that FOCUS 1.2 makes mandatory, in its order, then those of its others that are known, then gwsim's own.
const COLUMNS: [&str; 43] = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
    "ChargeFrequency",
    "ConsumedQuantity",
    "ConsumedUnit",
    "PricingCategory",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceSubcategory",
    "SkuId",
    "SkuMeter",
    "SubAccountId",
    "SubAccountName",
    "Tags",
    "x_Cause",
    "x_Deployment",
    "x_Key",
    "x_ModelAsked",
    "x_Position",
    "x_Scenario",
    "x_Tag",
    "x_Team",
    "x_Variant",
];

/// What tells one row from another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
struct What {
    period: u64,
    provider: String,
    model: String,
    deployment: String,
    class: &'static str,
    cause: &'static str,
    position: String,
    model_asked: String,
    key: String,
    team: String,
    tags: String,
}

/// The rows of a bill in the making.
#[derive(Debug)]
pub struct Bill {
    period: Span,
    /// How many tokens, requests or, of capacity, nanoseconds, and what they cost.
    rows: BTreeMap<What, (u64, Money)>,
}

impl Bill {
    /// An empty bill with charge periods of this length, a whole number of which is a day.
    pub fn new(period: Span) -> Self {
        Self { period, rows: BTreeMap::new() }
    }

    /// Adds a call.
    pub fn add(&mut self, call: &CallRow) {
        let delivered = if call.model == call.model_asked { "delivered" } else { "delivered elsewhere" };
        let whole = if call.ended == "delivered" { delivered } else { "wasted" };
        for (class, tokens, cost) in call.classes() {
            let (lost, lost_cost) = undelivered(call, class, tokens, cost);
            for (cause, tokens, cost) in [(whole, tokens - lost, cost - lost_cost), ("undelivered", lost, lost_cost)] {
                // A request without a price of its own is no line of a bill, nor is what nobody used.
                if cost == Money::ZERO && (tokens == 0 || class == "request") {
                    continue;
                }
                let row = self.rows.entry(what(call, self.period, class, cause)).or_default();
                row.0 += tokens;
                row.1 += cost;
            }
        }
    }

    /// Writes the bill as CSV, with what the variant's deployments cost beside their calls; returns its sum.
    ///
    /// # Errors
    /// If `to` can't be written to.
    pub fn write(mut self, report: &Report, variant: &Variant, to: impl Write) -> csv::Result<Money> {
        self.reserve(report, variant);
        let mut writer = csv::Writer::from_writer(to);
        writer.write_record(COLUMNS)?;
        let mut sum = Money::ZERO;
        for (what, (quantity, cost)) in &self.rows {
            sum += *cost;
            writer.write_record(self.record(report, variant, what, *quantity, *cost))?;
        }
        writer.flush()?;
        Ok(sum)
    }

    /// Capacity that is paid by the hour, called or not, from the first arrival to the last.
    fn reserve(&mut self, report: &Report, variant: &Variant) {
        let (first, last) = (report.traffic.first, report.traffic.first + report.traffic.span);
        let later = (1..).map(|number| Time(floor(first.0, self.period) + number * self.period.0)).take_while(|start| *start < last);
        let bounds: Vec<Time> = std::iter::once(first).chain(later).chain([last]).collect();
        for capacity in &variant.reserved {
            for (stretch, cost) in bounds.windows(2).zip(capacity.between(&bounds)).filter(|(_, cost)| *cost != Money::ZERO) {
                let what = What {
                    period: floor(stretch[0].0, self.period),
                    provider: capacity.provider.clone(),
                    model: capacity.model.clone(),
                    deployment: capacity.deployment.clone(),
                    class: RESERVED,
                    cause: "reserved",
                    ..What::default()
                };
                self.rows.insert(what, (stretch[1].since(stretch[0]).0, cost));
            }
        }
    }

    fn record(&self, report: &Report, variant: &Variant, what: &What, quantity: u64, cost: Money) -> Vec<String> {
        let (month_start, month_end) = month(what.period);
        let cost = cost.decimal().to_string();
        let quantity = if what.class == RESERVED { hours(Span(quantity)) } else { quantity.to_string() };
        let (unit, description) = match what.class {
            RESERVED => ("Hours", format!("reserved capacity of {}", what.deployment)),
            "request" => ("Requests", format!("requests to {}", what.model)),
            class => ("Tokens", format!("{class} tokens of {}", what.model)),
        };
        let text = |text: &str| text.to_owned();
        let provider = &what.provider;
        vec![
            cost.clone(),
            text("gwsim"),
            report.name.clone(),
            text("USD"),
            month_end,
            month_start,
            text("Usage"),
            // Nothing here corrects an earlier invoice.
            String::new(),
            description,
            iso(what.period + self.period.0),
            iso(what.period),
            cost.clone(),
            cost.clone(),
            provider.clone(),
            cost,
            quantity.clone(),
            text(unit),
            provider.clone(),
            provider.clone(),
            text("AI and Machine Learning"),
            format!("{provider} models"),
            text("Usage-Based"),
            quantity,
            text(unit),
            // As agreed for the account, whatever tier or discount that is; nothing is committed to, and no rate moves by itself.
            text("Standard"),
            what.deployment.clone(),
            // A deployment has no other name than its id.
            String::new(),
            text("Model Deployment"),
            text("Generative AI"),
            format!("{}/{}/{}", provider, what.model, what.class.replace(' ', "-")),
            text(what.class),
            what.team.clone(),
            what.team.clone(),
            tags(what),
            text(what.cause),
            what.deployment.clone(),
            what.key.clone(),
            what.model_asked.clone(),
            what.position.clone(),
            report.name.clone(),
            what.tags.clone(),
            what.team.clone(),
            variant.name.clone(),
        ]
    }
}

/// What a row is tagged with, as a JSON object: `a=b` is the value `b` of `a`, and a tag without a value is `true`. Of two values of one key that
/// nearer to the request counts: its own, then its key's, then the team's. gwsim's own have a prefix. Nothing if there is none.
fn tags(what: &What) -> String {
    let mut object = serde_json::Map::new();
    for tag in what.tags.split(';').filter(|tag| !tag.is_empty()) {
        let (name, value) = tag.split_once('=').map_or((tag, true.into()), |(name, value)| (name, value.into()));
        object.insert(name.to_owned(), value);
    }
    for (name, value) in [("gwsim/key", &what.key), ("gwsim/team", &what.team)] {
        if !value.is_empty() {
            object.insert(name.to_owned(), value.as_str().into());
        }
    }
    if object.is_empty() { String::new() } else { serde_json::Value::Object(object).to_string() }
}

/// Hours with nine decimals, without zeros at the end; rounded down.
fn hours(span: Span) -> String {
    let billionths = u128::from(span.0) * 1_000_000_000 / 3_600_000_000_000;
    let text = format!("{}.{:09}", billionths / 1_000_000_000, billionths % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

const RESERVED: &str = "reserved capacity";

fn what(call: &CallRow, period: Span, class: &'static str, cause: &'static str) -> What {
    What {
        period: floor(call.start_ns, period),
        provider: call.provider.clone(),
        model: call.provider_model.clone(),
        deployment: call.deployment.clone(),
        class,
        cause,
        position: call.position.clone(),
        model_asked: call.model_asked.clone(),
        key: call.key.clone(),
        team: call.team.clone(),
        tags: call.tags.clone(),
    }
}

/// Of a class of a delivered call, the tokens that did not reach the client, and what they cost: reasoning is delivered first, as in the split by
/// cause.
fn undelivered(call: &CallRow, class: &str, tokens: u64, cost: Money) -> (u64, Money) {
    if call.ended != "delivered" || call.undelivered_picousd == Money::ZERO || tokens == 0 {
        return (0, Money::ZERO);
    }
    let delivered = call.delivered_tokens.min(call.output_tokens);
    let reasoning_delivered = call.reasoning_tokens.min(delivered);
    let lost = match class {
        "reasoning" => call.reasoning_tokens - reasoning_delivered,
        "output" => tokens - (delivered - reasoning_delivered).min(tokens),
        _ => 0,
    };
    // A class has one rate.
    (lost, Money(cost.0 / i128::from(tokens) * i128::from(lost)))
}

fn floor(ns: u64, period: Span) -> u64 {
    ns - ns % period.0.max(1)
}

fn iso(ns: u64) -> String {
    utc(ns).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn utc(ns: u64) -> Zoned {
    jiff::Timestamp::from_nanosecond(ns.into()).unwrap_or(jiff::Timestamp::MAX).to_zoned(TimeZone::UTC)
}

/// The first instant of the month, and of the next one.
fn month(ns: u64) -> (String, String) {
    let begins = |day: jiff::civil::Date| format!("{}T00:00:00Z", day.strftime("%Y-%m-%d"));
    let first = utc(ns).date().first_of_month();
    (begins(first), begins(first.last_of_month().tomorrow().unwrap_or(jiff::civil::Date::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_billing_period_is_a_month_of_the_calendar() {
        let december = 1_796_083_200_000_000_000;
        assert_eq!(iso(december), "2026-12-01T00:00:00Z");
        assert_eq!(month(december), ("2026-12-01T00:00:00Z".to_owned(), "2027-01-01T00:00:00Z".to_owned()));
        assert_eq!(month(december - 1).0, "2026-11-01T00:00:00Z");
    }

    #[test]
    fn tags_are_keys_with_one_value_each() {
        let what = What { tags: "beta;centre=1;web;centre=2=b".into(), team: "frontend".into(), ..What::default() };
        assert_eq!(tags(&what), r#"{"beta":true,"centre":"2=b","gwsim/team":"frontend","web":true}"#);
        assert_eq!(tags(&What::default()), "");
    }

    #[test]
    fn hours_are_decimals() {
        let told = [0, 1_800, 3_600, 3_600_001, 1].map(|seconds| hours(Span::from_secs(seconds)));
        assert_eq!(told, ["0", "0.5", "1", "1000.000277777", "0.000277777"]);
    }

    #[test]
    fn what_a_client_did_not_get_is_a_row_of_its_own() {
        // 500 tokens out at 2 each, 100 of them reasoning at 3; 300 reached the client, reasoning first.
        let call = CallRow {
            ended: "delivered".to_owned(),
            output_tokens: 500,
            reasoning_tokens: 100,
            delivered_tokens: 300,
            model_asked: "another".to_owned(),
            output_cost_picousd: Money(800),
            reasoning_cost_picousd: Money(300),
            undelivered_picousd: Money(400),
            cost_picousd: Money(1_100),
            ..CallRow::default()
        };
        let mut bill = Bill::new(Span::from_secs(3_600));
        bill.add(&call);
        let rows: Vec<(&str, &str, u64, Money)> = bill.rows.iter().map(|(what, (tokens, cost))| (what.class, what.cause, *tokens, *cost)).collect();
        assert_eq!(
            rows,
            [
                ("output", "delivered elsewhere", 200, Money(400)),
                ("output", "undelivered", 200, Money(400)),
                ("reasoning", "delivered elsewhere", 100, Money(300))
            ]
        );
    }
}
