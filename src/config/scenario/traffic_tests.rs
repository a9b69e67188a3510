//! How made-up, overlaid and scaled traffic is read, and what is said where it is wrong.

use super::TrafficSpec;
use super::tests::{GATEWAY, check, loaded};
use crate::gateway::time::{Span, Time};
use crate::traffic::distribution::Distribution;
use crate::traffic::overlay::{Duplicates, Overlay, Patience, Repeated, Shares};
use crate::traffic::scale::Scale;
use crate::traffic::stream::Window;
use crate::traffic::synthetic::{Arrivals, Burst, CLIENTS, CV, HOURLY, LENGTHS, Loop, Synthetic};

fn traffic(text: &str) -> TrafficSpec {
    loaded(&[], GATEWAY, &format!("gateway = \"gateway.toml\"\n[traffic]\n{text}")).traffic
}

fn made(text: &str) -> (Synthetic, Vec<Overlay>) {
    let spec = traffic(&format!("synthetic = {{ duration = \"1d\", rate = \"90/m\", {text} }}\n"));
    assert!(spec.synthetic && spec.trace.as_os_str() == "synthetic");
    (Synthetic::clone(&spec.made.expect("it is made")), spec.changes.overlays.iter().map(|overlay| Overlay::clone(overlay)).collect())
}

#[test]
fn made_up_traffic_needs_a_duration_and_a_rate() {
    let (synthetic, overlays) = made("");
    assert_eq!((synthetic.duration, synthetic.per_second), (Span::from_secs(86_400), 1.5));
    // Monday, 5 January 2026.
    assert_eq!(synthetic.start, Time(1_767_571_200_000_000_000));
    assert_eq!((synthetic.arrivals, synthetic.keys.is_none(), overlays.len()), (Arrivals::Poisson, true, 0));
    let (mu, sigma) = LENGTHS[1].input;
    assert_eq!((LENGTHS[1].name, synthetic.input), ("servegen-mid", Distribution::LogNormal { mu, sigma }));
}

#[test]
fn presets_are_the_published_figures_and_what_is_stated_wins() {
    let (synthetic, _) = made("tenants = \"servegen\", shape = \"servegen\", lengths = \"servegen-large\", output_tokens = 50");
    assert_eq!((synthetic.arrivals, synthetic.cv, synthetic.profile.hourly), (Arrivals::Gamma, CV, HOURLY));
    assert_eq!(synthetic.keys.map(|keys| keys.names().len()), Some(CLIENTS));
    assert_eq!((synthetic.input, synthetic.output), (Distribution::LogNormal { mu: 6.243, sigma: 1.176 }, Distribution::Constant(50.0)));
    let (synthetic, _) = made("tenants = \"servegen\", keys = [\"web\", \"app\"], key_skew = 0, arrivals = \"weibull\", cv = 2");
    let keys = synthetic.keys.expect("there are keys");
    assert_eq!((keys.names(), keys.share(0)), (&["web".to_owned(), "app".to_owned()][..], 0.5));
    assert_eq!((synthetic.arrivals, synthetic.cv), (Arrivals::Weibull, Distribution::Constant(2.0)));
}

#[test]
fn all_of_made_up_traffic_can_be_said() {
    let (synthetic, overlays) = made(
        "weekly = [1, 1, 1, 1, 1, 0.4, 0.3], bursts = [{ from = \"1h\", for = \"5m\", factor = 8 }], teams = 3, keys = 2, \
         loops = [{ key = \"agent\", from = \"90m\", for = \"6m\", every = \"500ms\" }], input_tokens_max = 8000, models = { mini = 1 }, \
         sessions = { share = 0.4, turns = 4, think = { p50 = \"30s\", p95 = \"5m\" } }, duplicates = { share = 0.05, standing = 100, zipf = 0.8 }",
    );
    assert_eq!(synthetic.profile.weekly, [1.0, 1.0, 1.0, 1.0, 1.0, 0.4, 0.3]);
    assert_eq!(synthetic.profile.bursts, [Burst { from: Span::from_secs(3_600), lasts: Span::from_secs(300), factor: 8.0 }]);
    let (from, lasts, every) = (Span::from_secs(5_400), Span::from_secs(360), Span::from_millis(500));
    assert_eq!(synthetic.loops, [Loop { key: "agent".into(), from, lasts, every }]);
    assert_eq!(
        (synthetic.teams, synthetic.input_max, synthetic.output_max),
        (vec!["team-1".into(), "team-2".into(), "team-3".into()], 8_000, 16_384)
    );
    let sessions = synthetic.sessions.expect("there are sessions");
    assert_eq!((sessions.share, sessions.turns, sessions.block_size), (0.4, Distribution::Constant(4.0), 128));
    assert_eq!(sessions.message, synthetic.input, "a message is as long as a first prompt unless it is stated");
    let [overlay] = overlays.as_slice() else { panic!("models and duplicates are laid over") };
    assert_eq!(overlay.models, Some(Shares::weighted(vec!["mini".into()], [1.0].into_iter())));
    assert_eq!(overlay.duplicates, Some(Duplicates { per_million: 50_000, zipf: 0.8, of: Repeated::Standing(100) }));
}

#[test]
fn an_overlay_and_a_scale_are_read() {
    let spec = traffic(
        r#"trace = "trace.csv"
window = { from = "10m", for = "1h" }
repeat = 3
speed = 2.5
scale = { times = 2.5, jitter = "10s", keys = "same" }
seed = 9
[traffic.overlay]
keys = 40
key_skew = 1.1
teams = ["red", "blue"]
stream = 0.8
abandon = 0.05
patience_tokens = { p50 = 100, p95 = 1000 }
max_tokens = 500
duplicates = { share = 0.34 }
replace = true
"#,
    );
    assert!(!spec.synthetic && spec.made.is_none());
    let changes = spec.changes;
    assert_eq!(changes.window, Some(Window { from: Span::from_secs(600), lasts: Span::from_secs(3_600) }));
    assert_eq!((changes.repeat, changes.speed_per_mille, changes.seed), (3, 2_500, 9));
    assert_eq!(changes.scale, Scale { per_million: 2_500_000, jitter: Span::from_secs(10), same_keys: true });
    let [overlay] = changes.overlays.as_slice() else { panic!("there is one overlay") };
    let keys = overlay.keys.as_ref().expect("there are keys");
    assert_eq!((keys.names().len(), keys.names()[39].as_str(), overlay.teams.as_slice()), (40, "key-40", &["red".to_owned(), "blue".to_owned()][..]));
    assert_eq!(overlay.abandon, Some((50_000, Patience::Tokens(Distribution::lognormal(100.0, 1_000.0)))));
    assert_eq!(overlay.duplicates, Some(Duplicates { per_million: 340_000, zipf: 1.0, of: Repeated::Within(Span::from_secs(3_600)) }));
    assert_eq!((overlay.max_tokens.clone(), overlay.stream_per_million, overlay.replace), (Some(Distribution::Constant(500.0)), Some(800_000), true));
    let share = traffic("trace = \"trace.csv\"\nstream = 0.7\n").changes.overlays[0].stream_per_million;
    assert_eq!(share, Some(700_000), "a share of streams is an overlay in one word");
    assert_eq!(traffic("trace = \"trace.csv\"\nscale = 0.1\n").changes.scale, Scale { per_million: 100_000, ..Scale::default() });
}

#[test]
fn mistakes_in_made_up_traffic_are_shown_together() {
    check(
        &[],
        GATEWAY,
        r#"gateway = "gateway.toml"
[traffic]
trace = "trace.csv"
[traffic.synthetic]
rate = "2 per second"
cv = 2
hourly = [1, 2]
key_skew = 1
models = { maxi = 1 }
sessions = { share = 1.5, turns = 3 }
patience = "10s"
lengths = "servegen-huge"
burst = []
"#,
        r#"error: `trace` needs no table `synthetic`: its traffic is made and not read
 --> scenario.toml:3:9
  |
3 | trace = "trace.csv"
  |         ^^^^^^^^^^^ it would have no effect

error: `traffic.synthetic` needs `duration`
 --> scenario.toml:4:10
  |
4 | [traffic.synthetic]
  |          ^^^^^^^^^
  |
  = help: for example: duration = "1d"

error: `rate` must be requests in a second, minute, hour or day
 --> scenario.toml:5:8
  |
5 | rate = "2 per second"
  |        ^^^^^^^^^^^^^^ it is no number above 0 with /s, /m, /h or /d
  |
  = help: for example: rate = "2/s"

error: `cv` needs arrivals = "gamma" or "weibull": Poisson arrivals have 1
 --> scenario.toml:6:6
  |
6 | cv = 2
  |      ^ it would have no effect

error: `hourly` must be 24 factors
 --> scenario.toml:7:10
  |
7 | hourly = [1, 2]
  |          ^^^^^^ there are 2
  |
  = help: for example: hourly = [1.0, 0.8, ...]

error: `key_skew` needs `keys`
 --> scenario.toml:8:12
  |
8 | key_skew = 1
  |            ^ it would have no effect

error: unknown model `maxi`
 --> scenario.toml:9:12
  |
9 | models = { maxi = 1 }
  |            ^^^^
  |
  = help: there are: mini

error: `traffic.synthetic.sessions` needs `think`
  --> scenario.toml:10:1
   |
10 | sessions = { share = 1.5, turns = 3 }
   | ^^^^^^^^
   |
   = help: for example: think = { p50 = "30s", p95 = "5m" }

error: `share` must be a number from 0 to 1
  --> scenario.toml:10:22
   |
10 | sessions = { share = 1.5, turns = 3 }
   |                      ^^^ this is 1.5
   |
   = help: for example: share = 0.5

error: `patience` needs `abandon`, the share of clients that leave
  --> scenario.toml:11:12
   |
11 | patience = "10s"
   |            ^^^^^ it would have no effect

error: unknown value `servegen-huge` for `lengths`
  --> scenario.toml:12:11
   |
12 | lengths = "servegen-huge"
   |           ^^^^^^^^^^^^^^^
   |
   = help: did you mean `servegen-large`? It is one of: servegen-large, servegen-mid,
           servegen-reasoning

error: unknown key `burst` in `traffic.synthetic`
  --> scenario.toml:13:1
   |
13 | burst = []
   | ^^^^^ it would have no effect
   |
   = help: did you mean `bursts`?

12 errors
"#,
    );
}

#[test]
fn mistakes_in_an_overlay_and_a_scale_are_shown_together() {
    check(
        &[],
        GATEWAY,
        r#"gateway = "gateway.toml"
[traffic]
trace = "trace.csv"
scale = 0
repeat = 1001
speed = 0
window = { from = "1h" }
[traffic.overlay]
keys = []
key_skew = 9
models = { mini = 0 }
abandon = 5
patience = "1s"
patience_tokens = 3
duplicates = { within = "1h", standing = 3 }
"#,
        r#"error: `scale` must be above 0 and at most 1000
 --> scenario.toml:4:9
  |
4 | scale = 0
  |         ^ this is 0
  |
  = help: for example: scale = 2.5

error: `repeat` must be from 1 to 1000
 --> scenario.toml:5:10
  |
5 | repeat = 1001
  |          ^^^^
  |
  = help: for example: repeat = 1

error: `speed` must be above 0
 --> scenario.toml:6:9
  |
6 | speed = 0
  |         ^ time would stand still
  |
  = help: for example: speed = 2

error: `traffic.window` needs `for`
 --> scenario.toml:7:1
  |
7 | window = { from = "1h" }
  | ^^^^^^
  |
  = help: for example: for = "1h"

error: `keys` must be names, or how many there are
 --> scenario.toml:9:8
  |
9 | keys = []
  |        ^^ the list is empty
  |
  = help: for example: keys = 40

error: `key_skew` must be a number from 0 to 5
  --> scenario.toml:10:12
   |
10 | key_skew = 9
   |            ^ this is 9
   |
   = help: for example: key_skew = 0.5

error: `models` must be models with weights
  --> scenario.toml:11:10
   |
11 | models = { mini = 0 }
   |          ^^^^^^^^^^^^ none has a weight above 0
   |
   = help: for example: models = { "gpt-4o-mini" = 8, "gpt-4o" = 2 }

error: `abandon` must be a share from 0 to 1
  --> scenario.toml:12:11
   |
12 | abandon = 5
   |           ^ it is above 1
   |
   = help: for example: abandon = 0.01

error: `patience_tokens` needs no `patience`: a client leaves for one of the two
  --> scenario.toml:14:19
   |
14 | patience_tokens = 3
   |                   ^ it would have no effect

error: `traffic.overlay.duplicates` needs `share`
  --> scenario.toml:15:1
   |
15 | duplicates = { within = "1h", standing = 3 }
   | ^^^^^^^^^^
   |
   = help: for example: share = 0.05

error: `standing` needs no `within`: standing prompts come again at any time
  --> scenario.toml:15:42
   |
15 | duplicates = { within = "1h", standing = 3 }
   |                                          ^ it would have no effect

11 errors
"#,
    );
}
