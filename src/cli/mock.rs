//! `gwsim mock`: the providers of a scenario over real HTTP, until it is told to stop.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::args::MockArguments;
use super::check::loaded;
use super::{Exit, Failure, Printer, feed};
use crate::clock::Clock;
use crate::config::gateway::GatewayConfig;
use crate::config::gateway::providers::Api;
use crate::config::scenario::{Scenario, ScenarioVariant, TrafficSpec};
use crate::config::{self};
use crate::gateway::time::Time;
use crate::report::numbers::count;
use crate::sim::upstream::Upstream;
use crate::traffic::distribution::Distribution;
use crate::traffic::stream;
use crate::twin::mock::bill::Bills;
use crate::twin::mock::providers::Providers;
use crate::twin::mock::{self, Mock};

/// Serves the providers of a scenario.
///
/// # Errors
/// If the scenario is wrong, its traffic can't be read, or the address is taken.
pub fn mock(arguments: &MockArguments, printer: &mut Printer) -> Result<Exit, Failure> {
    let scenario = loaded(config::load_scenario(&arguments.scenario, &arguments.reading.options()), printer)?;
    let seed = arguments.seed.or(scenario.seeds.first().copied()).unwrap_or(1);
    let lengths = Lengths::of(&scenario.traffic)?;
    let ScenarioVariant { gateway, world, .. } = variant(scenario, arguments.variant.as_deref())?;
    let upstream = Upstream::new(&gateway.plan, &world, seed).map_err(Failure::internal)?;
    let unwritable = |error| Failure::usage(format!("can't write the bill: {error}"));
    let bills = Bills::new(arguments.bill.as_deref()).map_err(unwritable)?;
    let runtime = Runtime::new().map_err(Failure::internal)?;
    let bound = runtime.block_on(TcpListener::bind(arguments.listen));
    let listener =
        bound.map_err(|error| Failure::usage(format!("can't listen on {}: {error}\nhint: choose another with --listen", arguments.listen)))?;
    let address = listener.local_addr().map_err(Failure::internal)?;
    let are_anthropic = gateway.plan.deployments.iter().map(|each| is_anthropic(&gateway, &each.provider)).collect();
    printer.result(&greeting(&gateway, &are_anthropic, address, arguments, seed, &lengths))?;
    let clock = Clock::start(Time(0), arguments.speed.per_mille);
    let providers = Providers::new(Arc::new(gateway.plan), upstream, seed, lengths.distribution, clock, bills);
    let mock = Arc::new(Mock { providers: Arc::new(providers), are_anthropic });
    runtime.block_on(async {
        tokio::select! {
            () = mock::serve(Arc::clone(&mock), listener) => {}
            () = super::live::told_to_stop() => {}
        }
    });
    // Calls that are open are closed with their connections, and billed.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    printer.note(format!("bill: {}", mock.providers.bills.sums()));
    Ok(Exit::Pass)
}

/// What outputs are drawn from that no caller states.
struct Lengths {
    distribution: Distribution,
    from: String,
}

impl Lengths {
    /// The outputs that the traffic's first rows record; where it records none, half below 150 tokens and 95 % below 800 (U).
    fn of(traffic: &TrafficSpec) -> Result<Self, Failure> {
        let mut requests = stream::open(&traffic.base(), &traffic.changes).map_err(Failure::usage)?;
        let mut lengths = Vec::new();
        if let Some(mut batch) = requests.next_batch().map_err(Failure::usage)? {
            feed::adapt(&mut batch, traffic);
            lengths.extend(batch.rows.iter().filter_map(|row| row.output_tokens).map(f64::from));
        }
        if lengths.is_empty() {
            let from = "lognormal, half below 150 tokens, 95 % below 800 [assumed: the traffic records none]".into();
            return Ok(Self { distribution: Distribution::lognormal(150.0, 800.0), from });
        }
        let from = format!("drawn from the {} of the scenario's traffic", count(lengths.len() as u64));
        Ok(Self { distribution: Distribution::of_values(lengths), from })
    }
}

/// The variant of that name, or the first.
pub(super) fn variant(scenario: Scenario, name: Option<&str>) -> Result<ScenarioVariant, Failure> {
    let names: Vec<String> = scenario.variants.iter().map(|variant| format!("`{}`", variant.name)).collect();
    let found = scenario.variants.into_iter().find(|variant| name.is_none_or(|name| variant.name == name));
    found.ok_or_else(|| Failure::usage(format!("no variant is called `{}`: there are {}", name.unwrap_or_default(), names.join(", "))))
}

fn is_anthropic(gateway: &GatewayConfig, provider: &str) -> bool {
    gateway.providers.iter().any(|each| each.name == provider && each.api == Api::Anthropic)
}

/// The address that a gateway finds a deployment at: OpenAI's have the version in it, Anthropic's don't.
fn base_url(address: SocketAddr, deployment: &str, is_anthropic: bool) -> String {
    format!("http://{address}{}{}", mock::path_of(deployment), if is_anthropic { "" } else { "/v1" })
}

fn greeting(
    gateway: &GatewayConfig,
    are_anthropic: &Vec<bool>,
    address: SocketAddr,
    arguments: &MockArguments,
    seed: u64,
    lengths: &Lengths,
) -> String {
    let mut text = format!("providers at http://{address}, speed {}, seed {seed}\n", arguments.speed);
    let width = gateway.plan.deployments.iter().map(|each| each.name.len()).max().unwrap_or(0);
    for (deployment, is_anthropic) in gateway.plan.deployments.iter().zip(are_anthropic) {
        text += &format!("  {:width$}  base_url = \"{}\"\n", deployment.name, base_url(address, &deployment.name, *is_anthropic));
    }
    text + &format!("lengths of answers without a marker: {}\n", lengths.from)
}
