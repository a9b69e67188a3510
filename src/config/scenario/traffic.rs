//! `[traffic]`: which trace is replayed, and how its rows become requests. Reads no trace.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::gateway::command::{Command, KeySpec};
use crate::sim::client::{Clients, UnknownKey, UnknownModel};
use crate::traffic::overlay::Overlay;
use crate::traffic::replay::link::Retries;
use crate::traffic::stream::{Base, Changes};
use crate::traffic::synthetic::Synthetic;
use crate::traffic::trace::{Format, Options, Order, is_journal};

use super::super::diagnostic::Place;
use super::super::gateway::GatewayConfig;
use super::super::read::{Item, Section};
use super::super::{files, problem};
use super::{expect, overlay, synthetic};

/// The key that requests come with where neither the traffic nor the gateway has any.
const ONLY_KEY: &str = "default";

/// The overlays over one stream: first what made-up traffic says of its requests, then `stream` of all traffic, then `[traffic.overlay]`.
const STREAM_LAYER: u32 = 1;
const OVERLAY_LAYER: u32 = 2;

/// What is replayed.
#[derive(Debug, Clone)]
pub struct TrafficSpec {
    /// The file; `synthetic` where the traffic is made and not read.
    pub trace: PathBuf,
    /// How it is read.
    pub options: Options,
    /// What to do about client retries in a log.
    pub retries: Retries,
    /// Model names in the trace, and what each asks for here.
    pub models: Vec<(String, String)>,
    /// The max_tokens of rows that state none.
    pub max_tokens: Option<u32>,
    /// Made up, not recorded: reports say so.
    pub synthetic: bool,
    /// How it is made, where there is no file.
    pub made: Option<Arc<Synthetic>>,
    /// What is done to its rows.
    pub changes: Changes,
}

impl TrafficSpec {
    /// What the requests are taken from.
    pub fn base(&self) -> Base {
        match &self.made {
            Some(made) => Base::Synthetic(Arc::clone(made)),
            None => Base::Trace { path: self.trace.clone(), options: self.options, retries: self.retries },
        }
    }
}

/// How rows become requests, as far as it does not depend on the variant.
pub struct DraftClients {
    clients: Clients,
    unknown_key: Option<Unknown>,
}

#[derive(Clone, Copy)]
enum Unknown {
    Error,
    Add,
    Default,
}

/// Reads `[traffic]`. Names are checked against every gateway that could be resolved.
pub fn read(section: &Section<'_>, directory: &Path, gateways: &[&GatewayConfig]) -> Option<(TrafficSpec, DraftClients)> {
    let is_made = section.item("synthetic").is_some_and(|item| item.is_table());
    let trace = if is_made { no_trace(section) } else { section.require("trace", "\"trace.csv\"", |item| trace(item, directory, section)) };
    let formats = Format::ALL.map(|format| (format.name(), format));
    let mut options = Options { format: section.read("format", |item| item.choice(&formats)), ..Options::default() };
    section.put("order", |item| item.choice(&[("strict", Order::Strict), ("sort", Order::Sort)]), &mut options.order);
    let start = section.read("start", Item::instant);
    options.epoch = start.unwrap_or(options.epoch);
    options.block_size = section.read("block_size", Item::count_from_one);
    let mut retries = Retries::default();
    section.put("retries", |item| item.choice(&[("link", Retries::Link), ("keep", Retries::Keep)]), &mut retries);
    let mut clients = Clients {
        default_model: section.read("model", |item| model(item, gateways)),
        default_key: section.read("key", |item| key(item, gateways)),
        ..Clients::default()
    };
    section.put("stream", stream, &mut clients.stream);
    section.put("output_tokens_unrecorded", Item::count, &mut clients.output_tokens_unrecorded);
    clients.deadline = section.read("deadline", Item::span_above_zero);
    let unknown_models = [("error", UnknownModel::Error), ("default", UnknownModel::Default)];
    section.put("unknown_models", |item| item.choice(&unknown_models), &mut clients.unknown_model);
    if clients.unknown_model == UnknownModel::Default
        && section.place_of("model").is_none()
        && let Some(place) = section.place_of("unknown_models")
    {
        section.report(problem::needs_other(place, "unknown_models", "`model`"));
    }
    let unknown_keys = [("error", Unknown::Error), ("add", Unknown::Add), ("default", Unknown::Default)];
    let unknown_key = section.read("unknown_keys", |item| item.choice(&unknown_keys));
    if let (Some(Unknown::Default), None, Some(place)) = (unknown_key, section.place_of("key"), section.place_of("unknown_keys")) {
        section.report(problem::needs_other(place, "unknown_keys", "`key`"));
    }
    let models = section.read("map", |item| map(item, gateways)).unwrap_or_default();
    let max_tokens = section.read("max_tokens", Item::count_from_one);
    let mut changes = synthetic::changes(section);
    let mut made = None;
    if is_made {
        let (read, requests) = section.section("synthetic").and_then(|section| synthetic::read(&section, start, gateways))?;
        made = Some(Arc::new(read));
        changes.overlays.extend((!requests.is_nothing()).then(|| Arc::new(requests)));
    }
    let synthetic = is_made || section.read("synthetic", Item::boolean).unwrap_or(false);
    changes.overlays.extend(section.read("stream", stream_share).map(Arc::new));
    changes
        .overlays
        .extend(section.section("overlay").map(|section| Arc::new(Overlay { layer: OVERLAY_LAYER, ..overlay::read(&section, gateways) })));
    Some((TrafficSpec { trace: trace?, options, retries, models, max_tokens, synthetic, made, changes }, DraftClients { clients, unknown_key }))
}

/// The name of made-up traffic; what only a file has is refused.
fn no_trace(section: &Section<'_>) -> Option<PathBuf> {
    let keys = ["trace", "format", "order", "block_size"];
    let stated: Vec<(&str, Place)> = keys.into_iter().filter_map(|key| Some((key, section.place_of(key)?))).collect();
    for (key, place) in &stated {
        section.item("trace");
        section.report(problem::needs_other(*place, key, "no table `synthetic`: its traffic is made and not read"));
    }
    stated.is_empty().then(|| PathBuf::from("synthetic"))
}

fn trace(item: Item<'_>, directory: &Path, section: &Section<'_>) -> Option<PathBuf> {
    let path = directory.join(item.text()?);
    (is_journal(&path) || files::exists(&path, item.place(), section.diagnostics())).then_some(path)
}

fn model(item: Item<'_>, gateways: &[&GatewayConfig]) -> Option<String> {
    let name = item.name()?;
    is_model(&name, item.place(), &item, gateways).then_some(name)
}

/// Whether all gateways have this model; reported at `place` if not.
pub(super) fn is_model(name: &str, place: Place, item: &Item<'_>, gateways: &[&GatewayConfig]) -> bool {
    for gateway in gateways {
        let mut names = gateway.plan.models.iter().map(|model| model.name.as_str());
        if !names.any(|known| known == name) {
            let names = gateway.plan.models.iter().map(|model| model.name.as_str());
            item.report(problem::unknown_name(place, "model", name, names));
            return false;
        }
    }
    true
}

fn key(item: Item<'_>, gateways: &[&GatewayConfig]) -> Option<String> {
    let name = item.name()?;
    for gateway in gateways {
        let keys = keys(gateway);
        // Without any keys in the gateway, this one is made.
        if !keys.is_empty() && !keys.contains(&name.as_str()) {
            item.report(problem::unknown_name(item.place(), "key", &name, keys.iter().copied()));
            return None;
        }
    }
    Some(name)
}

fn keys(gateway: &GatewayConfig) -> Vec<&str> {
    let names = gateway.commands.iter().filter_map(|command| match command {
        Command::PutKey { name, .. } => Some(name.as_str()),
        _ => None,
    });
    names.collect()
}

/// Whether rows that don't say so are streams; a share of them is an overlay.
fn stream(item: Item<'_>) -> Option<bool> {
    if is_share(&item) { None } else { item.boolean() }
}

fn stream_share(item: Item<'_>) -> Option<Overlay> {
    let stream_per_million = if is_share(&item) { expect::share(item) } else { None };
    stream_per_million.map(|share| Overlay { layer: STREAM_LAYER, stream_per_million: Some(share), ..Overlay::default() })
}

fn is_share(item: &Item<'_>) -> bool {
    matches!(item.node().value, super::super::tree::Value::Decimal(_))
}

fn map(item: Item<'_>, gateways: &[&GatewayConfig]) -> Option<Vec<(String, String)>> {
    let section = item.section()?;
    Some(section.entries().into_iter().filter_map(|item| Some((item.key.to_owned(), model(item, gateways)?))).collect())
}

impl DraftClients {
    /// The clients of one variant. A gateway without keys gets one, as every request needs a key.
    pub fn for_gateway(&self, gateway: &mut GatewayConfig) -> Clients {
        let mut clients = self.clients.clone();
        let has_keys = !keys(gateway).is_empty();
        if !has_keys {
            let name = clients.default_key.get_or_insert_with(|| ONLY_KEY.into()).clone();
            gateway.commands.push(Command::PutKey { name, spec: KeySpec::default() });
        }
        if clients.default_model.is_none()
            && let [only] = gateway.plan.models.as_slice()
        {
            clients.default_model = Some(only.name.clone());
        }
        clients.unknown_key = match self.unknown_key.unwrap_or(if has_keys { Unknown::Error } else { Unknown::Add }) {
            Unknown::Error => UnknownKey::Error,
            Unknown::Add => UnknownKey::Add(Box::default()),
            Unknown::Default => UnknownKey::Default,
        };
        clients
    }
}
