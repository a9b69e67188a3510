//! A variant's bill in the columns of FOCUS 1.2, the FinOps Open Cost and Usage Specification. Decides what is a row and what stands in each column.
//!
//! A row is a class of tokens of one deployment's model in one charge period, by key, cause and position. What FOCUS wants and a simulation does not
//! have: the list price beside the price paid (both are what is paid), an invoice, and an account, which is gwsim's.

use std::collections::BTreeMap;
use std::io::Write;

use jiff::Zoned;
use jiff::tz::TimeZone;

use super::numbers::counted;
use super::requests::CallRow;
use super::{Report, Variant};
use crate::gateway::money::Money;
use crate::gateway::time::Span;

/// The columns that FOCUS 1.2 makes mandatory, in its order, then those of its others that are known, then gwsim's own.
const COLUMNS: [&str; 38] = [
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
    "ResourceId",
    "ServiceSubcategory",
    "SkuId",
    "SubAccountId",
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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
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
    rows: BTreeMap<What, (u64, Money)>,
    /// What calls cost, by deployment.
    by_deployment: BTreeMap<String, (String, String, Money)>,
}

impl Bill {
    /// An empty bill with charge periods of this length, a whole number of which is a day.
    pub fn new(period: Span) -> Self {
        Self { period, rows: BTreeMap::new(), by_deployment: BTreeMap::new() }
    }

    /// Adds a call.
    pub fn add(&mut self, call: &CallRow) {
        let of =
            self.by_deployment.entry(call.deployment.clone()).or_insert_with(|| (call.provider.clone(), call.provider_model.clone(), Money::ZERO));
        of.2 += call.cost_picousd;
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

    /// Capacity that is paid by the hour: what a deployment cost beyond its calls.
    fn reserve(&mut self, report: &Report, variant: &Variant) {
        let Some(run) = variant.runs.first() else { return };
        for (name, supply) in variant.names.deployments.iter().zip(&run.totals.deployments) {
            let (provider, model, calls) = self.by_deployment.get(name).cloned().unwrap_or_default();
            if supply.bill == calls {
                continue;
            }
            let what = What {
                period: floor(report.traffic.first.0, self.period),
                provider,
                model,
                deployment: name.clone(),
                class: RESERVED,
                cause: "reserved",
                position: String::new(),
                model_asked: String::new(),
                key: String::new(),
                team: String::new(),
                tags: String::new(),
            };
            let hours = report.traffic.span.0.div_ceil(3_600_000_000_000);
            self.rows.insert(what, (hours, supply.bill - calls));
        }
    }

    fn record(&self, report: &Report, variant: &Variant, what: &What, quantity: u64, cost: Money) -> Vec<String> {
        let is_reserved = what.class == RESERVED;
        let start = what.period;
        // What is reserved is so for the whole run.
        let end = if is_reserved { floor((report.traffic.first + report.traffic.span).0, self.period) } else { start } + self.period.0;
        let (month_start, month_end) = month(start);
        let cost = cost.decimal().to_string();
        let unit = match what.class {
            RESERVED => "Hours",
            "request" => "Requests",
            _ => "Tokens",
        };
        let description = match what.class {
            RESERVED => format!("reserved capacity of {}, {}", what.deployment, counted(quantity, "hour")),
            "request" => format!("requests to {}", what.model),
            class => format!("{class} tokens of {}", what.model),
        };
        let provider = if what.provider.is_empty() { "unknown".to_owned() } else { what.provider.clone() };
        let tags = serde_json::json!({ "key": what.key, "team": what.team, "tags": what.tags }).to_string();
        vec![
            cost.clone(),
            "gwsim".to_owned(),
            report.name.clone(),
            "USD".to_owned(),
            month_end,
            month_start,
            if is_reserved { "Purchase" } else { "Usage" }.to_owned(),
            String::new(),
            description,
            iso(end),
            iso(start),
            cost.clone(),
            cost.clone(),
            provider.clone(),
            cost,
            quantity.to_string(),
            unit.to_owned(),
            provider.clone(),
            provider.clone(),
            "AI and Machine Learning".to_owned(),
            format!("{provider} models"),
            if is_reserved { "Recurring" } else { "Usage-Based" }.to_owned(),
            if is_reserved { String::new() } else { quantity.to_string() },
            if is_reserved { String::new() } else { unit.to_owned() },
            what.deployment.clone(),
            "Generative AI".to_owned(),
            format!("{}/{}/{}", provider, what.model, what.class.replace(' ', "-")),
            what.team.clone(),
            tags,
            what.cause.to_owned(),
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
