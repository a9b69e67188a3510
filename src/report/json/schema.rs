//! The published schema of `report.json`, made from the twins that write it, and held to what is written.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::Value;

use super::{ReportJson, Usd};
use crate::report::{sample, write};

const PUBLISHED: &str = include_str!("../../../docs/report.schema.json");

impl JsonSchema for Usd {
    fn schema_name() -> Cow<'static, str> {
        "Usd".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "Dollars with 12 decimals, exact.", "type": "string", "pattern": "^-?[0-9]+\\.[0-9]{12}$" })
    }
}

fn generated() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<ReportJson<'_>>().to_value();
    schema["title"] = format!("report.json of gwsim, version {}", write::VERSION).into();
    schema["properties"]["version"]["const"] = write::VERSION.into();
    schema
}

#[test]
fn the_published_schema_is_that_of_what_is_written() {
    let generated = serde_json::to_string_pretty(&generated()).unwrap() + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/report.schema.json"), &generated).unwrap();
        return;
    }
    assert!(generated == PUBLISHED, "docs/report.schema.json is out of date: UPDATE_SCHEMA=1 cargo test --lib schema");
}

#[test]
fn a_report_is_valid_and_one_with_a_float_for_money_is_not() {
    let validator = jsonschema::validator_for(&serde_json::from_str(PUBLISHED).unwrap()).unwrap();
    let mut bytes = Vec::new();
    write::write_json(&sample::report(), &mut bytes).unwrap();
    let mut report: Value = serde_json::from_slice(&bytes).unwrap();
    let faults: Vec<String> = validator.iter_errors(&report).map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "{faults:?}");
    report["variants"][0]["runs"][0]["bill"] = 0.1.into();
    assert!(!validator.is_valid(&report));
}
