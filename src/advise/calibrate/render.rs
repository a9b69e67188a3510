//! The scenario as text: each figure with how many observations it is from and how it was made, and what the log could not tell. Measures nothing.

use std::fmt::Write;

use super::measure::{DeploymentFacts, Facts, quantiles};
use super::outages::Outage;
use super::pace::{Fitted, Law};
use super::search::{Hidden, HiddenModel};
use super::{FIT_PER_CENT, Question};
use crate::gateway::plan::Plan;
use crate::report::numbers::{count, counted, latency, length, share};
use crate::traffic::replay::link::Retries;

/// The retries of the libraries of OpenAI and Anthropic (P).
const SDK_RETRIES: u32 = 2;

/// What goes into a scenario.
pub struct Draft<'a> {
    pub question: &'a Question,
    pub facts: &'a Facts,
    pub hidden: &'a Hidden,
    pub plan: Option<&'a Plan>,
    /// Outages stand at their time in the log, which is not that of another part of it.
    pub with_outages: bool,
}

/// The scenario of a log.
pub fn scenario(question: &Question, facts: &Facts, hidden: &Hidden, plan: Option<&Plan>) -> String {
    Draft { question, facts, hidden, plan, with_outages: true }.text()
}

impl Draft<'_> {
    /// The scenario.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.head(&mut text);
        self.traffic(&mut text);
        self.clients(&mut text);
        text.push_str("\n[world]\n");
        match self.plan {
            Some(plan) => {
                for model in &plan.models {
                    for id in &model.deployments {
                        self.deployment(&mut text, &plan.deployment(*id).name, &model.name, model.deployments.len());
                    }
                }
            }
            None => {
                let _ = writeln!(text, "# Failures that the gateway hid and limits are found by simulating it: give --gateway.");
                for deployment in &self.facts.deployments {
                    self.deployment(&mut text, &deployment.name, "", 1);
                }
            }
        }
        text.push_str("\n[[variant]]\nname = \"as recorded\"\n");
        text
    }

    fn head(&self, text: &mut String) {
        let facts = self.facts;
        let _ = writeln!(
            text,
            "# Calibrated by gwsim on the first {FIT_PER_CENT} % of {}: {} in {}, {} with their clients' retries.\n\
             # n is the number of observations behind a figure. The log can't tell: token ratios, what providers bill for calls cut short,\n\
             # limits on days, Retry-After, the speed and failures of deployments that it never names, and outages that others hid: of one of\n\
             # several deployments, or under a load that may have been beyond a limit.",
            self.question.names.0,
            counted(facts.arrivals, "request"),
            length(facts.span),
            count(facts.attempts),
        );
        if !facts.counts_calls {
            text.push_str("# It counts no calls beyond the first (attempted_retries): failures that a retry mended can't be seen.\n");
        }
        let _ = writeln!(text, "gateway = {}", quoted(&self.question.names.1));
    }

    fn traffic(&self, text: &mut String) {
        let facts = self.facts;
        let _ = writeln!(text, "\n[traffic]\ntrace = {}\nunknown_keys = \"add\"", quoted(&self.question.names.0));
        if self.question.retries == Retries::Keep {
            text.push_str("retries = \"keep\"\n");
        }
        if let Some(cv) = facts.gaps_cv {
            let _ = writeln!(text, "# gaps between arrivals: coefficient of variation {cv:.2} (Poisson: 1; n = {})", count(facts.arrivals));
        }
        let _ = writeln!(text, "# by hour of the day, UTC: {}", facts.by_hour.map(|count| count.to_string()).join(" "));
        match facts.duplicates {
            (_, 0) => text.push_str("# duplicates: not known, the log has no fingerprints or cache keys\n"),
            (again, known) => {
                let _ = writeln!(text, "# duplicates: {} of what the same key asked (n = {})", share(again, known), count(known));
            }
        }
        let left = facts.left_after.len() as u64;
        if let Some([half, most, nearly]) = quantiles(&facts.left_after) {
            let (half, most, nearly) = (latency(half), latency(most), latency(nearly));
            let _ =
                writeln!(text, "# clients that left: {} (n = {left}), half within {half}, 90 % {most}, 99 % {nearly}", share(left, facts.attempts));
            text.push_str("#   their rows say when, so they leave like that in the replay\n");
        } else {
            text.push_str("# clients that left: none\n");
        }
    }

    fn clients(&self, text: &mut String) {
        let links = self.facts.links;
        if self.question.retries == Retries::Keep || links.linked == 0 || self.facts.sdk_retries == 0 {
            text.push_str("# client retries: none told apart, clients send once\n");
            return;
        }
        let (linked, ambiguous) = (count(links.linked), count(links.ambiguous));
        let _ =
            writeln!(text, "\n[clients]\n# {linked} rows linked to {} requests, {ambiguous} ambiguous ones kept as arrivals", count(links.chains));
        let retries = self.facts.sdk_retries;
        if retries == SDK_RETRIES {
            text.push_str("sdk = \"openai\"\n");
        } else {
            let _ = writeln!(text, "sdk = {{ like = \"openai\", retries = {retries} }}");
        }
    }

    fn deployment(&self, text: &mut String, name: &str, model: &str, siblings: usize) {
        let facts = self.facts.deployments.iter().find(|facts| facts.name == name);
        let number = self.facts.models.iter().position(|facts| facts.name == model);
        let hidden = number.and_then(|number| Some((number, self.hidden.models.get(number)?)));
        if facts.is_none() && hidden.is_none() {
            let _ = writeln!(text, "\n# {name}: not in the log; as gwsim assumes");
            return;
        }
        let _ = writeln!(text, "\n[world.deployments.{}]", quoted(name));
        match facts {
            Some(facts) => self.pace(text, facts),
            None => text.push_str("# answered nothing in the log: speed as gwsim assumes\n"),
        }
        if let Some((number, hidden)) = hidden {
            self.failures(text, facts.map_or(500, |facts| facts.status), hidden);
            self.limits(text, number, hidden, siblings);
        }
        if self.with_outages {
            let own = facts.map_or(&[][..], |facts| &facts.outages);
            let hidden = number.map_or(&[][..], |number| &self.facts.models[number].outages);
            outages(text, facts.map_or(500, |facts| facts.status), &[own, hidden].concat());
        }
    }

    fn pace(&self, text: &mut String, facts: &DeploymentFacts) {
        let pace = &facts.pace;
        let how = if pace.is_regressed { "least squares of durations by length: too few streams, so no spread is known" } else { "" };
        match &pace.ttft {
            Some(fit) => {
                let _ = writeln!(text, "ttft = {} # {}", law(fit, |value| format!("\"{}us\"", (value / 1e3).round())), method(fit, how));
            }
            None => text.push_str("# time to the first token: not in the log\n"),
        }
        match &pace.speed {
            Some(fit) => {
                let _ = writeln!(text, "tokens_per_second = {} # {}", law(fit, |value| speed(&fit.law, value)), method(fit, how));
            }
            None => text.push_str("# tokens per second: not in the log\n"),
        }
    }

    fn failures(&self, text: &mut String, status: u16, hidden: &HiddenModel) {
        let (requests, troubled) = (hidden.recorded.quiet.all, hidden.recorded.quiet.troubled());
        let simulated = hidden.simulated.quiet.troubled();
        let trouble = format!("{} of {} requests in quiet minutes in trouble, simulated {simulated}", count(troubled), count(requests));
        if hidden.failures_per_million == 0 {
            let _ = writeln!(text, "# failures: {trouble}");
            return;
        }
        let share = f64::from(hidden.failures_per_million) / 1e6;
        let _ = writeln!(text, "chances = [{{ share = {share:.6}, status = {status} }}] # fitted by simulation: {trouble}");
    }

    fn limits(&self, text: &mut String, number: usize, hidden: &HiddenModel, siblings: usize) {
        let facts = &self.facts.models[number];
        let seen = format!("{} were answered 429, {} requests a minute at most admitted", count(facts.rate_limited), count(facts.admitted.requests));
        let least = facts.refused.map_or(String::new(), |least| format!(", 429s from {} on", count(least.requests)));
        let Some(limit) = hidden.limit else {
            let _ = writeln!(text, "# limits: no trouble that failures don't explain; {seen}{least}");
            return;
        };
        let each = |amount: f64| (amount / siblings as f64).round().max(1.0) as u64;
        let name = if limit.is_of_tokens { "tpm" } else { "rpm" };
        let range = limit
            .range
            .map_or("not told apart from failures".to_owned(), |(low, high)| format!("{} to {} with 95 %", count(each(low)), count(each(high))));
        let [troubled, simulated] = [&hidden.recorded, &hidden.simulated].map(|trouble| count(trouble.busy.troubled()));
        let _ = writeln!(text, "# limit {range}: {troubled} requests in trouble in busy minutes, simulated {simulated};");
        let _ = writeln!(text, "#   {seen}{least}; assumed: a bucket, rejects and max_tokens count\nlimits = {{ {name} = {} }}", each(limit.amount));
    }
}

fn outages(text: &mut String, status: u16, outages: &[Outage]) {
    if outages.is_empty() {
        return;
    }
    let one = |outage: &Outage| {
        let (from, lasts) = (outage.from.0 / 1_000_000, outage.lasts.0 / 1_000_000 + 1);
        format!("{{ from = \"{from}ms\", for = \"{lasts}ms\", status = {status} }}")
    };
    let seen = |outage: &Outage| format!("{}{}", outage.requests, if outage.is_behind_fallbacks { " answered elsewhere" } else { " failed" });
    let [list, seen] = [&one as &dyn Fn(&Outage) -> String, &seen].map(|shown| outages.iter().map(shown).collect::<Vec<_>>().join(", "));
    let _ = writeln!(text, "outages = [{list}] # requests in a row, n = {seen}");
}

/// Tokens a second. A speed that is always the same is a whole number in a scenario.
fn speed(law: &Law, value: f64) -> String {
    if let Law::Constant(_) = law { format!("{:.0}", value.max(1.0)) } else { format!("{value:.2}") }
}

fn law(fit: &Fitted, value: impl Fn(f64) -> String) -> String {
    match &fit.law {
        Law::Constant(only) => value(*only),
        Law::LogNormal(middle, high) => format!("{{ p50 = {}, p95 = {} }}", value(*middle), value(*high)),
        Law::Quantiles(points) => {
            let points: Vec<String> = points.iter().map(|(share, at)| format!("[{share}, {}]", value(*at))).collect();
            format!("{{ quantiles = [{}] }}", points.join(", "))
        }
    }
}

fn method(fit: &Fitted, how: &str) -> String {
    let n = count(fit.count as u64);
    match (&fit.law, how) {
        (_, how) if !how.is_empty() => format!("n = {n}, {how}"),
        (Law::Constant(_), _) => format!("n = {n}, all alike"),
        (Law::LogNormal(..), _) => format!("n = {n}, lognormal by its percentiles, Kolmogorov-Smirnov distance {:.3}", fit.distance),
        (Law::Quantiles(_), _) => format!("n = {n}, quantiles: a lognormal is {:.3} off (Kolmogorov-Smirnov)", fit.distance),
    }
}

/// A TOML string.
fn quoted(text: &str) -> String {
    // JSON's escapes are TOML's.
    serde_json::Value::from(text).to_string()
}
