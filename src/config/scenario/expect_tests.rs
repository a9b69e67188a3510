//! `[[expect]]` as users write it: every bound by its key, and what they see when one is wrong.

use super::tests::{GATEWAY, check, loaded};
use crate::report::expect::{Bound, Quantity, Side};

#[test]
fn every_quantity_can_be_bounded_in_its_own_unit() {
    let text = r#"gateway = "gateway.toml"
traffic = { trace = "trace.csv" }
[[expect]]
cost_usd = { at_least = 1, at_most = 1.50 }
wasted_usd = { at_most = 0 }
undelivered_usd = { at_most = 0.000001 }
overspend_usd = { at_most = 0 }
change = { at_least = -0.5, at_most = 12.25 }
answered = { at_least = 1 }
other_model = { at_most = 0.05 }
rate_limited = { at_most = 0.000001 }
calls_per_request = { at_most = 1.25 }
calls_of_one_request = { at_most = 4 }
retries = { at_least = 1000 }
p95 = { at_most = "1.5s" }
saturated = false
metastable = true
"#;
    let scenario = loaded(&[], GATEWAY, text);
    let bounds: Vec<Bound> = scenario.expectations.iter().map(|it| it.bound).collect();
    let (least, most) = (Side::AtLeast, Side::AtMost);
    let expected = [
        (Quantity::Cost, least, 1_000_000_000_000),
        (Quantity::Cost, most, 1_500_000_000_000),
        (Quantity::Wasted, most, 0),
        (Quantity::Undelivered, most, 1_000_000),
        (Quantity::Overspend, most, 0),
        (Quantity::Change, least, -500_000),
        (Quantity::Change, most, 12_250_000),
        (Quantity::Answered, least, 1_000_000),
        (Quantity::OtherModel, most, 50_000),
        (Quantity::RateLimited, most, 1),
        (Quantity::CallsPerRequest, most, 1_250_000),
        (Quantity::CallsOfOneRequest, most, 4),
        (Quantity::Retries, least, 1000),
        (Quantity::P95, most, 1_500_000_000),
    ];
    let expected = expected.map(|(quantity, side, value)| Bound::Quantity { quantity, side, value });
    assert_eq!(bounds, [&expected[..], &[Bound::Saturated(false), Bound::Metastable(true)]].concat());
}

#[test]
fn bounds_that_cannot_be_meant_are_explained() {
    check(
        &[],
        GATEWAY,
        r#"gateway = "gateway.toml"
traffic = { trace = "trace.csv" }
[[expect]]
change = { at_most = -1.5 }
other_model = { at_most = 5 }
calls_per_request = { at_least = 2, at_most = 1.5 }
calls_of_one_request = { at_most = 1.5 }
p95 = { at_most = 2 }
retries = {}
call_per_request = { at_most = 2 }
"#,
        r#"error: `at_most` must be a change of the bill, -1 and above
 --> scenario.toml:4:22
  |
4 | change = { at_most = -1.5 }
  |                      ^^^^ nothing is cheaper than free
  |
  = help: for example: at_most = -0.25

error: `at_most` must be a share from 0 to 1
 --> scenario.toml:5:27
  |
5 | other_model = { at_most = 5 }
  |                           ^ it is above 1
  |
  = help: for example: at_most = 0.01

error: `calls_per_request` must be a range
 --> scenario.toml:6:1
  |
6 | calls_per_request = { at_least = 2, at_most = 1.5 }
  | ^^^^^^^^^^^^^^^^^ at_least is above at_most
  |
  = help: for example: calls_per_request = { at_most = 1.2 }

error: `at_most` must be a whole number
 --> scenario.toml:7:36
  |
7 | calls_of_one_request = { at_most = 1.5 }
  |                                    ^^^ this is a number with decimals
  |
  = help: for example: at_most = 1

error: `at_most` must be a duration with its unit
 --> scenario.toml:8:19
  |
8 | p95 = { at_most = 2 }
  |                   ^ this is a whole number
  |
  = help: for example: at_most = "30s"

error: a bound needs `at_most`
 --> scenario.toml:9:1
  |
9 | retries = {}
  | ^^^^^^^
  |
  = help: for example: at_most = 4

error: unknown key `call_per_request` in `expect`
  --> scenario.toml:10:1
   |
10 | call_per_request = { at_most = 2 }
   | ^^^^^^^^^^^^^^^^ it would have no effect
   |
   = help: did you mean `calls_per_request`?

7 errors
"#,
    );
}
