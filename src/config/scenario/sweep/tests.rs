//! What a `[sweep]` becomes, and what users see when one is wrong.

use proptest::{prop_assert, prop_assert_eq, proptest};

use super::super::tests::{GATEWAY, check, load, loaded};
use super::{Mode, SweepSpec};
use crate::gateway::time::Span;

const BEGIN: &str = "gateway = \"gateway.toml\"\ntraffic = { trace = \"trace.csv\" }\n";

fn swept(sweep: &str) -> SweepSpec {
    loaded(&[], GATEWAY, &format!("{BEGIN}{sweep}")).sweep.expect("a sweep")
}

/// A sweep whose files stay for as long as the directory.
fn kept(text: &str) -> (tempfile::TempDir, SweepSpec) {
    let directory = tempfile::tempdir().expect("a directory");
    let loaded = load(directory.path(), &[], GATEWAY, text).unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
    (directory, loaded.value.sweep.expect("a sweep"))
}

/// The values of a range, without a scenario that has the setting.
fn range(range: &str) -> Vec<String> {
    use super::super::super::diagnostic::Diagnostics;
    use super::super::super::read::Section;
    use super::super::super::tree::{self, Value};
    let mut diagnostics = Diagnostics::new();
    let source = diagnostics.add_source("range", format!("range = {range}"));
    let root = tree::parse(&diagnostics, source).expect("it is TOML");
    let Value::Table(table) = &root.value else { unreachable!("a document is a table") };
    let node = &table.entries[0].node;
    let Value::Table(table) = &node.value else { panic!("it is a table: {range}") };
    let section = Section::new(table, "a range", node.place, &diagnostics);
    let values = super::range::read(&section, ("range", node.place));
    drop(section);
    assert!(!diagnostics.has_errors(), "{diagnostics}");
    values.expect("no errors").0.into_iter().map(|(_, text)| text).collect()
}

#[test]
fn a_grid_has_every_combination_and_its_last_axis_changes_fastest() {
    let sweep = swept("[sweep]\n'cache.ttl' = [\"1m\", \"1h\"]\nattempts.per_request = [1, 2, 4]\n");
    let (a, b, c) = (Some(0), Some(1), Some(2));
    assert_eq!(sweep.cells(), [[a, a], [a, b], [a, c], [b, a], [b, b], [b, c]]);
    assert_eq!((sweep.count(), sweep.mode), (6, Mode::Grid));
    assert_eq!(sweep.axes[0].path, "cache.ttl");
    assert_eq!(sweep.axes[0].values, ["\"1m\"", "\"1h\""]);
    assert_eq!(sweep.axes[0].numbers, Some(vec![60.0, 3600.0]));
}

#[test]
fn one_at_a_time_has_the_scenarios_own_values_and_each_axis_alone() {
    let sweep = swept("[sweep]\nmode = \"one-at-a-time\"\n'cache.ttl' = [\"1m\", \"1h\"]\nattempts.per_request = [1, 2, 4]\ntraffic.scale = [0.5]\n");
    let cells = sweep.cells();
    assert_eq!(cells.len(), 1 + 2 + 3 + 1);
    assert_eq!(sweep.count(), 7);
    assert_eq!(cells[0], [None, None, None]);
    assert_eq!(cells[2], [Some(1), None, None]);
    assert_eq!(cells[6], [None, None, Some(0)]);
    assert!(cells.iter().all(|at| at.iter().flatten().count() <= 1));
}

#[test]
fn a_cell_is_the_scenario_with_that_set() {
    let text = format!(
        "{BEGIN}[world.models.mini]\nlimits = {{ rpm = 5 }}\n[[variant]]\nname = \"a\"\n[[variant]]\nname = \"b\"\nset = {{ attempts.per_request = 3 }}\n"
    );
    let (_directory, sweep) = kept(&format!("{text}[sweep]\n'cache.ttl' = [\"1m\", \"1h\"]\n'world.models.\"mini\".limits.rpm' = [50, 60]\n"));
    let cell = sweep.scenario(&[Some(1), Some(0)]).unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
    let stated = loaded(&["cache.ttl=1h", "world.models.\"mini\".limits.rpm=50"], GATEWAY, &text);
    for (cell, stated) in cell.variants.iter().zip(&stated.variants) {
        assert_eq!((&cell.name, &cell.gateway, &cell.world), (&stated.name, &stated.gateway, &stated.world));
    }
}

#[test]
fn cells_that_change_the_same_traffic_share_it() {
    let (_directory, sweep) = kept(&format!("{BEGIN}[sweep]\n'cache.ttl' = [\"1m\", \"1h\"]\n'traffic.scale' = [0.5, 2]\n"));
    let traffic: Vec<_> = sweep.cells().iter().map(|at| sweep.traffic_of(at)).collect();
    assert_eq!(traffic, [[Some(0)], [Some(1)], [Some(0)], [Some(1)]]);
    let scale = |at: &[Option<usize>]| sweep.scenario(at).expect("it is right").traffic.changes.scale.per_million;
    assert_eq!([scale(&[Some(0), Some(0)]), scale(&[Some(0), Some(1)])], [500_000, 2_000_000]);
}

#[test]
fn ranges_have_their_ends_and_round_values_between() {
    assert_eq!(range("{ from = 0, to = 1, steps = 11 }").join(" "), "0 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9 1");
    assert_eq!(range("{ from = 0.0, to = 1.0, steps = 4 }").join(" "), "0.0 0.33 0.67 1.0");
    assert_eq!(range("{ from = 10, to = 1, steps = 4 }").join(" "), "10 7 4 1");
    assert_eq!(range("{ from = 10, to = 1000, steps = 5, scale = \"log\" }").join(" "), "10 32 100 316 1000");
    assert_eq!(range("{ from = \"0s\", to = \"1h\", steps = 5 }").join(" "), "\"0s\" \"15m\" \"30m\" \"45m\" \"1h\"");
    assert_eq!(range("{ from = \"1s\", to = \"1h\", steps = 3, scale = \"log\" }").join(" "), "\"1s\" \"1m\" \"1h\"");
    assert_eq!(range("{ from = \"1 USD\", to = \"100 USD\", steps = 3, scale = \"log\" }").join(" "), "\"1 USD\" \"10.0 USD\" \"100 USD\"");
    // As few whole numbers as there are between the ends, each once.
    assert_eq!(range("{ from = 1, to = 4, steps = 4, scale = \"log\" }").join(" "), "1 2 3 4");
}

proptest! {
    /// Every value is within a fiftieth of a step of its place, and a range goes one way.
    #[test]
    fn a_range_is_even(from in 0_u32..1_000_000, step in 1_u32..1_000_000, steps in 2_u32..30) {
        let to = from + step * (steps - 1);
        let texts = range(&format!("{{ from = \"{from}ms\", to = \"{to}ms\", steps = {steps} }}"));
        prop_assert_eq!(texts.len(), steps as usize);
        for (index, text) in (0..).zip(&texts) {
            let Span(found) = super::quantity::span(text.trim_matches('"')).expect("a duration");
            let exact = u64::from(from + step * index) * 1_000_000;
            prop_assert!(found.abs_diff(exact) * 50 <= u64::from(step) * 1_000_000, "{text} is not {exact} ns");
        }
    }
}

#[test]
fn what_is_wrong_with_a_sweep_is_shown_where_it_is_written() {
    check(
        &[],
        GATEWAY,
        r#"gateway = "gateway.toml"
precision = 2
seeds = 3
[traffic]
trace = "trace.csv"
[[variant]]
name = "cached"
set = { cache.ttl = "1h" }
[sweep]
mode = "tornado"
'cache.tll' = ["0s", "1m"]
'attempts.per_request' = [0, 2, 2]
'cache.ttl' = { from = "1m", to = 5, steps = 1 }
seeds = [1, 2]
'stream.on_disconnect' = "drain"
'limits.a' = { from = "1s", to = 5, steps = 3 }
'limits.b' = { from = 0, to = 5, steps = 3, scale = "log" }
'world.models.mimi.ttft' = ["1s"]
"#,
        r#"error: `precision` must be a share above 0 and below 1
 --> scenario.toml:2:13
  |
2 | precision = 2
  |             ^ half the width of the interval
  |
  = help: for example: precision = 0.01

error: `seeds` and `precision` both say how many seeds there are
 --> scenario.toml:3:9
  |
3 | seeds = 3
  |         ^ `precision` adds seeds until it is reached
  |
  = help: remove one; `seeds_max` is the most that `precision` may take

error: unknown value `tornado` for `mode`
  --> scenario.toml:10:8
   |
10 | mode = "tornado"
   |        ^^^^^^^^^
   |
   = help: write one of: grid, one-at-a-time

error: unknown key `tll` in `cache`
  --> scenario.toml:11:8
   |
11 | 'cache.tll' = ["0s", "1m"]
   |        ^^^ it would have no effect
   |
   = help: did you mean `ttl`?

error: `per_request` must be from 1 to 1000
  --> scenario.toml:12:27
   |
12 | 'attempts.per_request' = [0, 2, 2]
   |                           ^
   |
   = help: for example: per_request = 1

error: value `2` is there twice
  --> scenario.toml:12:33
   |
12 | 'attempts.per_request' = [0, 2, 2]
   |                              -  ^ the second
   |                              |
   |                              the first

error: `steps` must be from 2 to 1000
  --> scenario.toml:13:46
   |
13 | 'cache.ttl' = { from = "1m", to = 5, steps = 1 }
   |                                              ^
   |
   = help: for example: steps = 2

error: `seeds` can't be swept
  --> scenario.toml:14:1
   |
14 | seeds = [1, 2]
   | ^^^^^ it changes nothing that happens
   |
   = help: a sweep varies the gateway, `world`, `traffic`, `clients` or `tokens`

error: `on_disconnect` must be a list of values, or a range
  --> scenario.toml:15:26
   |
15 | 'stream.on_disconnect' = "drain"
   |                          ^^^^^^^ this is a string
   |
   = help: for example: on_disconnect = [...], or { from = 0, to = 1, steps = 11 }

error: `a` must be a range
  --> scenario.toml:16:14
   |
16 | 'limits.a' = { from = "1s", to = 5, steps = 3 }
   |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ its ends are of different kinds
   |
   = help: for example: a = { from = 0, to = 1, steps = 11 }

error: `b` must be a range
  --> scenario.toml:17:14
   |
17 | 'limits.b' = { from = 0, to = 5, steps = 3, scale = "log" }
   |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ equal ratios need ends above zero
   |
   = help: for example: b = { from = 0, to = 1, steps = 11 }

error: a grid of 3 paths; at most 2
  --> scenario.toml:18:2
   |
18 | 'world.models.mimi.ttft' = ["1s"]
   |  ^^^^^ the third
   |
   = help: vary them one at a time, for a tornado: mode = "one-at-a-time"

error: `mimi` does not exist in `world.models`
  --> scenario.toml:18:15
   |
18 | 'world.models.mimi.ttft' = ["1s"]
   |               ^^^^ a path only changes what is there
   |
   = help: To add it, set the whole table: 'world.models."mimi"' = { ... }

13 errors
"#,
    );
}

#[test]
fn values_are_tried_one_by_one() {
    check(
        &[],
        GATEWAY,
        r#"gateway = "gateway.toml"
[traffic]
trace = "trace.csv"
[[variant]]
name = "cached"
set = { cache.ttl = "1h" }
[sweep]
mode = "one-at-a-time"
'cache.tll' = ["0s", "1m"]
'attempts.per_request' = [0, 2]
'cache.ttl' = { from = "1m", to = "5m", steps = 3 }
'world.models.mimi.ttft' = ["1s"]
"#,
        r#"warning: the sweep varies `cache.ttl`, which variant `cached` sets
 --> scenario.toml:6:9
  |
6 | set = { cache.ttl = "1h" }
  |         ^^^^^ the value of the sweep takes its place in every cell

error: unknown key `tll` in `cache`
 --> scenario.toml:9:8
  |
9 | 'cache.tll' = ["0s", "1m"]
  |        ^^^ it would have no effect
  |
  = help: did you mean `ttl`?

error: `per_request` must be from 1 to 1000
  --> scenario.toml:10:27
   |
10 | 'attempts.per_request' = [0, 2]
   |                           ^
   |
   = help: for example: per_request = 1

error: `mimi` does not exist in `world.models`
  --> scenario.toml:12:15
   |
12 | 'world.models.mimi.ttft' = ["1s"]
   |               ^^^^ a path only changes what is there
   |
   = help: To add it, set the whole table: 'world.models."mimi"' = { ... }

3 errors, 1 warning
"#,
    );
}

#[test]
fn a_grid_has_one_or_two_axes() {
    check(
        &[],
        GATEWAY,
        &format!("{BEGIN}seeds_max = 20\n[sweep]\n'cache.ttl' = [\"1m\"]\n'attempts.per_request' = [1]\n'traffic.scale' = [1]\n"),
        r#"error: `seeds_max` needs `precision`
 --> scenario.toml:3:13
  |
3 | seeds_max = 20
  |             ^^ it would have no effect

error: a grid of 3 paths; at most 2
 --> scenario.toml:7:2
  |
7 | 'traffic.scale' = [1]
  |  ^^^^^^^ the third
  |
  = help: vary them one at a time, for a tornado: mode = "one-at-a-time"

2 errors
"#,
    );
    check(
        &[],
        GATEWAY,
        &format!("{BEGIN}[sweep]\nmode = \"grid\"\n"),
        r#"error: a sweep needs `PATH`
 --> scenario.toml:3:2
  |
3 | [sweep]
  |  ^^^^^
  |
  = help: for example: PATH = ["0s", "1m", "1h"], with PATH the setting that is varied, as in
          `set`

1 error
"#,
    );
}
