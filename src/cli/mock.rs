//! `gwsim mock`: the providers of a scenario over real HTTP, until it is told to stop.

mod gateway_file;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::args::MockArguments;
use super::check::loaded;
use super::serve::told_to_stop;
use super::{Exit, Failure, Printer, feed};
use crate::clock::Clock;
use crate::config;
use crate::config::gateway::GatewayConfig;
use crate::config::gateway::providers::Api;
use crate::config::scenario::{Scenario, ScenarioVariant, TrafficSpec};
use crate::gateway::plan::Deployment;
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
    let ScenarioVariant { gateway, world, clients, .. } = variant(scenario, arguments.variant.as_deref())?;
    if world.deployments.iter().any(|world| world.recorded_outcomes) {
        printer.note("note: calls meet the world's model: recorded outcomes are not applied");
    }
    let upstream = Upstream::new(&gateway.plan, &world, seed).map_err(Failure::internal)?;
    let unwritable = |error| Failure::usage(format!("can't write the bill: {error}"));
    let bills = Bills::new(arguments.bill.as_deref()).map_err(unwritable)?;
    let runtime = Runtime::new().map_err(Failure::internal)?;
    let bound = runtime.block_on(TcpListener::bind(arguments.listen));
    let listener =
        bound.map_err(|error| Failure::usage(format!("can't listen on {}: {error}\nhint: choose another with --listen", arguments.listen)))?;
    let address = listener.local_addr().map_err(Failure::internal)?;
    let sites = sites(&gateway, address);
    if let Some(file) = &arguments.write_gateway {
        gateway_file::write(file, arguments, &gateway.plan, &sites)?;
    }
    printer.result(&greeting(&sites, address, arguments, seed, &lengths))?;
    let are_anthropic = sites.iter().map(|site| site.api == Api::Anthropic).collect();
    let clock = Clock::start(Time(0), arguments.speed);
    let providers = Providers::new(Arc::new(gateway.plan), upstream, seed, lengths.distribution, clock, bills);
    let mock = Arc::new(Mock { providers: Arc::new(providers), are_anthropic, counts: clients.tokens.clone() });
    runtime.block_on(async {
        tokio::select! {
            () = mock::serve(Arc::clone(&mock), listener) => {}
            _ = told_to_stop() => {}
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

/// A deployment as a gateway is told of it.
struct Site {
    deployment: String,
    provider: String,
    api: Api,
    base_url: String,
}

fn sites(gateway: &GatewayConfig, address: SocketAddr) -> Vec<Site> {
    let site = |each: &Deployment| {
        let provider = gateway.providers.iter().find(|provider| provider.name == each.provider);
        let api = provider.map_or(Api::OpenAi, |provider| provider.api);
        Site { deployment: each.name.clone(), provider: each.provider.clone(), api, base_url: base_url(address, &each.name, api) }
    };
    gateway.plan.deployments.iter().map(site).collect()
}

/// The address that a gateway finds a deployment at: with the version in it, where the provider's own has one.
fn base_url(address: SocketAddr, deployment: &str, api: Api) -> String {
    let version = match api {
        Api::OpenAi | Api::Anthropic | Api::Bedrock => "/v1",
        Api::Azure | Api::Gemini => "",
    };
    format!("http://{address}{}{version}", mock::path_of(deployment))
}

/// A speed in thousandths as it is written.
pub(super) fn factor(per_mille: u64) -> String {
    let text = format!("{}.{:03}", per_mille / 1000, per_mille % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn greeting(sites: &[Site], address: SocketAddr, arguments: &MockArguments, seed: u64, lengths: &Lengths) -> String {
    let mut text = format!("providers at http://{address}, speed {}, seed {seed}\n", factor(arguments.speed));
    let width = sites.iter().map(|site| site.deployment.len()).max().unwrap_or(0);
    for Site { deployment, base_url, .. } in sites {
        text += &format!("  {deployment:width$}  base_url = \"{base_url}\"\n");
    }
    text + &format!("lengths of answers without a marker: {}\n", lengths.from)
}
