//! `[[tokens]]` as users write it: what rules become, and what users see when one is wrong.

use super::Scenario;
use super::tests::{check, loaded};
use crate::price::tokens::{End, TokenTable};

const GATEWAY: &str = r#"[models.mini]
deployments = [{ id = "mini-1", provider = "openai", model = "gpt-4o-mini" }]
fallbacks = ["haiku", "large"]
[models.haiku]
deployments = [{ id = "haiku-1", provider = "anthropic", model = "claude-3-haiku" }]
[models.large]
deployments = [{ id = "large-1", provider = "openai", model = "gpt-4o" }]
"#;

const TRAFFIC: &str = "gateway = \"gateway.toml\"\n[traffic]\ntrace = \"trace.csv\"\nmodel = \"mini\"\n";

/// Every pair of models of a variant that calls may cross, with the input ratio at each end in thousandths.
fn pairs(scenario: &Scenario, variant: usize) -> Vec<(String, [u32; 3])> {
    let variant = &scenario.variants[variant];
    let tables = [End::Low, End::Middle, End::High].map(|end| {
        let counts = crate::price::tokens::TokenCounts { end, ..variant.clients.tokens.clone() };
        TokenTable::new(&variant.gateway.plan, &counts)
    });
    let [_, middle, _] = &tables;
    let mut pairs = Vec::new();
    for (model, deployment) in (0..3).flat_map(|model| (0..3).map(move |deployment| (model, deployment))) {
        let ids = (crate::gateway::id::ModelId(model), crate::gateway::id::DeploymentId(deployment));
        let Some(pair) = middle.pair(ids.0, ids.1).map(|pair| &middle.pairs()[pair]) else { continue };
        let ratios = [0, 1, 2].map(|end: usize| tables[end].ratio(ids.0, ids.1).input.millionths() / 1000);
        pairs.push((format!("{} -> {}", pair.asked, pair.answered), ratios));
    }
    pairs
}

#[test]
fn the_first_rule_about_two_models_counts_and_without_one_they_count_alike() {
    let scenario = loaded(
        &[],
        GATEWAY,
        &format!(
            "{TRAFFIC}[[tokens]]\nfrom = \"gpt-4o-mini\"\nto = \"claude-*\"\ninput = [1.10, 1.42]\noutput = 1.05\n\
             [[tokens]]\nfrom = \"*\"\nto = \"*haiku\"\ninput = 3\n[[tokens]]\nfrom = \"claude*\"\nto = \"gpt*\"\noutput = 0.8\n"
        ),
    );
    // haiku and large have no fallback: their requests go nowhere else.
    let expected = [("gpt-4o-mini -> claude-3-haiku", [1100, 1260, 1420]), ("gpt-4o-mini -> gpt-4o", [1000, 1000, 1000])];
    assert_eq!(pairs(&scenario, 0), expected.map(|(pair, ratios)| (pair.to_owned(), ratios)));
}

#[test]
fn what_was_recorded_is_counted_by_the_model_of_the_first_variant() {
    let scenario = loaded(
        &[],
        GATEWAY,
        &format!(
            "{TRAFFIC}[[tokens]]\nfrom = \"gpt-4o-mini\"\nto = \"claude-3-haiku\"\ninput = 1.2\n[[variant]]\nname = \"as configured\"\n\
             [[variant]]\nname = \"haiku for mini\"\nset = {{ 'models.mini.deployments' = [{{ id = \"haiku-2\", provider = \"anthropic\", model = \"claude-3-haiku\" }}], \
             'models.mini.fallbacks' = [] }}\n"
        ),
    );
    assert_eq!(pairs(&scenario, 1), [("gpt-4o-mini -> claude-3-haiku".to_owned(), [1200; 3])]);
    // A log may name deployments that only one of the variants has.
    let known = &scenario.variants[0].clients.tokens.deployments;
    assert_eq!(["large-1", "haiku-1", "haiku-2"].map(|name| known[name].as_str()), ["gpt-4o", "claude-3-haiku", "claude-3-haiku"]);
}

#[test]
fn a_rule_about_nothing_is_an_error_and_so_is_a_wrong_ratio() {
    check(
        &[],
        GATEWAY,
        &format!(
            r#"{TRAFFIC}[[tokens]]
from = "gpt-5*"
to = "claude-3-haiku"
input = [1.42, 1.10]
[[tokens]]
from = "gpt-4o*"
to = "claude-*"
input = [1.1]
output = 120
[[tokens]]
from = "gpt-4o-mini"
to = "claude-*"
input = "a lot"
[[tokens]]
from = "gpt-4o-mini"
to = "gpt-4o-mini"
inputs = 1.2
"#
        ),
        r#"error: unknown model `gpt-5*`
 --> scenario.toml:6:8
  |
6 | from = "gpt-5*"
  |        ^^^^^^^^
  |
  = help: did you mean `gpt-4o`?

error: `input` must be a range from low to high
 --> scenario.toml:8:9
  |
8 | input = [1.42, 1.10]
  |         ^^^^^^^^^^^^ it goes from high to low
  |
  = help: for example: input = [1.10, 1.42]

error: `input` must be a ratio, or a list of two
  --> scenario.toml:12:9
   |
12 | input = [1.1]
   |         ^^^^^ the list has another length
   |
   = help: for example: input = [1.10, 1.42]

error: `output` must be a ratio from 0.01 to 100
  --> scenario.toml:13:10
   |
13 | output = 120
   |          ^^^ it is outside
   |
   = help: for example: output = 1.2

error: the ratio would have no effect
  --> scenario.toml:14:1
   |
14 | [[tokens]]
   | ^^^^^^^^^^ one before it is about the same models, and the first counts
   |
   = help: remove it

error: `input` must be a number
  --> scenario.toml:17:9
   |
17 | input = "a lot"
   |         ^^^^^^^ this is a string
   |
   = help: for example: input = 0.5

error: a ratio of token counts needs `input`
  --> scenario.toml:18:1
   |
18 | [[tokens]]
   | ^^^^^^^^^^
   |
   = help: for example: input = 1.2

error: the ratio would have no effect
  --> scenario.toml:18:1
   |
18 | [[tokens]]
   | ^^^^^^^^^^ no request goes from the one to the other
   |
   = help: remove it

error: unknown key `inputs` in `tokens`
  --> scenario.toml:21:1
   |
21 | inputs = 1.2
   | ^^^^^^ it would have no effect
   |
   = help: did you mean `input`?

9 errors
"#,
    );
}
