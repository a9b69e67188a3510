//! Providers: where they are, which dialect they speak, and what they bill for calls that do not end well. Calls nobody.
//!
//! Whether closing a stream stops the bill is as the providers and OpenRouter's page on streaming state it; how many tokens may still be generated
//! is nobody's promise, so the default is a guess on the safe side and stands in the file where it matters.

use std::fmt;

use crate::gateway::plan::{BillingRule, Presume};

use super::super::problem;
use super::super::read::{Item, Section};

/// A provider as gateway.toml states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// Its name in the configuration.
    pub name: String,
    /// What it speaks.
    pub api: Api,
    /// Where it is; `None` for the provider's own address.
    pub base_url: Option<String>,
    /// Where the credential is.
    pub key: Option<Secret>,
    /// Azure's `api-version`; `None` for the one that gwsim knows.
    pub api_version: Option<String>,
    /// Headers that go along with every call, beside those of the dialect.
    pub headers: Vec<(String, HeaderText)>,
    /// What it bills for calls that do not end well.
    pub billing: BillingRule,
    /// Its own tools that are billed by their uses may be asked for. What they cost is in no worst case and in no ledger.
    pub billed_tools: bool,
    /// It knows `stream_options`, by which a stream is asked to tell its usage.
    pub stream_options: bool,
}

impl Provider {
    /// A provider of the dialect's own name that needs no entry.
    pub fn own(api: Api) -> Self {
        let name = api.name().into();
        let billing = api.billing();
        Self { name, api, base_url: None, key: None, api_version: None, headers: Vec::new(), billing, billed_tools: false, stream_options: true }
    }
}

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderText {
    /// This.
    Plain(String),
    /// What is kept there.
    Secret(Secret),
}

/// A provider's dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// OpenAI's chat completions, responses and embeddings, and whatever copies them.
    OpenAi,
    /// `OpenAI` on Azure.
    Azure,
    /// Anthropic's messages.
    Anthropic,
    /// Google's Gemini.
    Gemini,
    /// AWS Bedrock.
    Bedrock,
}

impl Api {
    /// The word in the configuration, which is also the provider's name in price lists.
    pub fn name(self) -> &'static str {
        API_WORDS.iter().find(|(_, api)| *api == self).map_or("openai", |(name, _)| name)
    }

    /// What is billed for calls that do not end well, unless the configuration says otherwise.
    pub fn billing(self) -> BillingRule {
        let cancel_stops_billing = matches!(self, Self::OpenAi | Self::Azure | Self::Anthropic);
        BillingRule {
            cancel_stops_billing,
            // Two seconds of generation at about 100 tokens a second.
            cancel_lag_tokens_max: 200,
            // The provider may have gone on to the end: nobody promises otherwise.
            timed_out: Presume::WorstCase,
            failed: Presume::Nothing,
        }
    }
}

const API_WORDS: [(&str, Api); 5] =
    [("openai", Api::OpenAi), ("azure", Api::Azure), ("anthropic", Api::Anthropic), ("gemini", Api::Gemini), ("bedrock", Api::Bedrock)];
const PRESUME: [(&str, Presume); 3] = [("nothing", Presume::Nothing), ("input", Presume::Input), ("worst_case", Presume::WorstCase)];

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// In this environment variable.
    Environment(String),
    /// In this file.
    File(String),
}

impl Secret {
    /// The secret itself, without the white space around it.
    ///
    /// # Errors
    /// If it is not there, in words that name the place and not the secret.
    pub fn read(&self) -> Result<String, String> {
        let found = match self {
            Self::Environment(name) => std::env::var(name).map_err(|_| format!("the environment variable {name} is not set"))?,
            Self::File(path) => std::fs::read_to_string(path).map_err(|error| format!("can't read {path}: {error}"))?,
        };
        let found = found.trim();
        if found.is_empty() { Err(format!("{self} is empty")) } else { Ok(found.to_owned()) }
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{path}"),
        }
    }
}

/// Reads `[providers]`.
pub fn read(section: &Section<'_>) -> Vec<Provider> {
    section.entries().into_iter().filter_map(|item| Some(one(item.key, &item.section()?))).collect()
}

fn one(name: &str, section: &Section<'_>) -> Provider {
    // A provider called as its dialect need not repeat it.
    let named = API_WORDS.iter().find(|(word, _)| *word == name).map(|(_, api)| *api);
    let stated = section.read("api", |item| item.choice(&API_WORDS));
    if stated.is_none() && named.is_none() && section.place_of("api").is_none() {
        section.report(problem::missing_key(section.place(), "api", &format!("provider `{name}`"), "\"openai\""));
    }
    let api = stated.or(named).unwrap_or(Api::OpenAi);
    let mut billing = api.billing();
    read_billing(section, &mut billing);
    Provider {
        name: name.into(),
        api,
        base_url: section.read("base_url", base_url),
        key: section.read("key", secret),
        api_version: section.read("api_version", Item::name),
        headers: section.section("headers").map(|headers| read_headers(&headers)).unwrap_or_default(),
        billing,
        billed_tools: section.read("billed_tools", Item::boolean).unwrap_or(false),
        stream_options: section.read("stream_options", Item::boolean).unwrap_or(true),
    }
}

/// Headers that say where a request goes and how long it is: they are made, not stated.
const OWN_HEADERS: [&str; 5] = ["host", "content-length", "content-type", "transfer-encoding", "connection"];

fn read_headers(section: &Section<'_>) -> Vec<(String, HeaderText)> {
    section.entries().into_iter().filter_map(header).collect()
}

fn header(item: Item<'_>) -> Option<(String, HeaderText)> {
    let name = item.key.to_ascii_lowercase();
    let is_token = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
    if !is_token || OWN_HEADERS.contains(&name.as_str()) {
        let why = if is_token { "gwsim sets it itself" } else { "it has characters that a header's name can't have" };
        item.report(problem::malformed(item.key_place, item.key, "the name of a header", why, "\"...\""));
        return None;
    }
    let text = item.text()?;
    let secret = match text.split_once(':') {
        Some(("env", name)) if !name.is_empty() => Some(Secret::Environment(name.into())),
        Some(("file", path)) if !path.is_empty() => Some(Secret::File(path.into())),
        _ => None,
    };
    if text.is_empty() || text.bytes().any(|byte| byte < b' ' && byte != b'\t' || byte == 127) {
        item.report(problem::malformed(item.place(), item.key, "the text of a header", "it is empty or has control characters", "\"org-4711\""));
        return None;
    }
    Some((name, secret.map_or_else(|| HeaderText::Plain(text.into()), HeaderText::Secret)))
}

/// Reads the billing rule's keys on top of what there is.
pub fn read_billing(section: &Section<'_>, billing: &mut BillingRule) {
    section.put("cancel_stops_billing", Item::boolean, &mut billing.cancel_stops_billing);
    section.put("cancel_lag_tokens_max", Item::count, &mut billing.cancel_lag_tokens_max);
    section.put("timed_out", |item| item.choice(&PRESUME), &mut billing.timed_out);
    section.put("failed", |item| item.choice(&PRESUME), &mut billing.failed);
}

fn base_url(item: Item<'_>) -> Option<String> {
    let text = item.text()?;
    if text.starts_with("https://") || text.starts_with("http://") {
        return Some(text.trim_end_matches('/').into());
    }
    item.report(problem::malformed(item.place(), item.key, "an address", "it does not start with https://", "\"https://api.openai.com/v1\""));
    None
}

/// Reads where a secret is; the secret itself is refused.
pub fn secret(item: Item<'_>) -> Option<Secret> {
    let text = item.text()?;
    let found = match text.split_once(':') {
        Some(("env", name)) if !name.is_empty() => Some(Secret::Environment(name.into())),
        Some(("file", path)) if !path.is_empty() => Some(Secret::File(path.into())),
        _ => None,
    };
    if found.is_none() {
        item.report(problem::secret_in_clear(item.place(), item.key));
    }
    found
}
