//! Calls to providers: where a deployment is, what is sent along, and what its refusals mean. Decides nothing about what follows a failure.
//!
//! An address comes from the configuration only, never from a request, and a redirect is an answer like any other: nobody follows it.

mod failure;
mod trust;

use std::time::Duration;

use axum::http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;

pub use self::failure::{Said, refused, unreachable};
pub use self::trust::tls;
use crate::config::gateway::providers::{Api, Provider};
use crate::gateway::plan::Deployment;
use crate::wire::features::Service;
use crate::wire::tokens::Encoding;
use crate::wire::{Dialect, Endpoint};

/// How long a connection that nobody uses is kept: shorter than the load balancers of the providers keep theirs.
const IDLE_MAX: Duration = Duration::from_secs(55);

/// What a client of a provider says of itself.
const AGENT: &str = concat!("gwsim/", env!("CARGO_PKG_VERSION"));

/// Headers of a request that its provider should see too, if it speaks the caller's dialect: they ask for features, and carry no credential.
pub const PASSED_ON: [HeaderName; 3] =
    [HeaderName::from_static("anthropic-beta"), HeaderName::from_static("anthropic-version"), HeaderName::from_static("openai-beta")];

/// A call on its way, until the head of its answer is there. Dropped, it is cancelled and its connection closed.
pub type Pending = legacy::ResponseFuture;

/// Calls providers. One for the process: it keeps the connections.
#[derive(Debug, Clone)]
pub struct Client {
    inner: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Client {
    /// A client whose connections may take so long to be made, and which trusts whom `tls` does.
    pub fn new(connect: Duration, tls: ClientConfig) -> Self {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(connect));
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(http);
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.pool_idle_timeout(IDLE_MAX).pool_timer(TokioTimer::new());
        Self { inner: builder.build(https) }
    }

    /// Sends a request.
    pub fn call(&self, request: Request<Full<Bytes>>) -> Pending {
        self.inner.request(request)
    }
}

/// Where a deployment is, and what goes along with every call.
#[derive(Debug, Clone)]
pub struct Destination {
    /// Who answers there.
    pub service: Service,
    /// The provider's name for the model.
    pub model: String,
    /// Tools that are billed by their uses may be asked for.
    pub billed_tools: bool,
    /// It knows `stream_options`.
    pub stream_options: bool,
    addresses: [Option<Uri>; Endpoint::ALL.len()],
    headers: HeaderMap,
}

/// Why a deployment can be priced but not called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotServable {
    /// In words: what is missing.
    pub why: String,
}

impl Destination {
    /// Where `deployment` of `provider` is. `key` is the credential itself, `headers` are those of the configuration with their secrets read.
    ///
    /// # Errors
    /// If it can't be reached, with what is missing.
    pub fn new(deployment: &Deployment, provider: &Provider, key: Option<&str>, headers: &[(HeaderName, HeaderValue)]) -> Result<Self, NotServable> {
        let (service, base) = place(provider)?;
        let mut sent = HeaderMap::new();
        sent.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        sent.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        // Answers are read on the way: compressed, they would have to be unpacked first.
        sent.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if service == Service::Anthropic {
            sent.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
        }
        if let Some(key) = key {
            let (name, text) = match service {
                Service::Anthropic => (HeaderName::from_static("x-api-key"), key.to_owned()),
                Service::Azure => (HeaderName::from_static("api-key"), key.to_owned()),
                Service::OpenAi | Service::Gemini => (AUTHORIZATION, format!("Bearer {key}")),
            };
            let unfit = |_| NotServable { why: format!("the key of provider `{}` has characters that a header can't have", provider.name) };
            let mut value = HeaderValue::from_str(&text).map_err(unfit)?;
            value.set_sensitive(true);
            sent.insert(name, value);
        }
        for (name, value) in headers {
            sent.insert(name.clone(), value.clone());
        }
        let version = provider.api_version.as_deref();
        let mut addresses = [const { None }; Endpoint::ALL.len()];
        for endpoint in Endpoint::ALL.into_iter().filter(|endpoint| endpoint.dialect() == service.dialect()) {
            let text = address(service, &base, endpoint, &deployment.model, version);
            let wrong = |error| NotServable { why: format!("provider `{}`: {text} is no address: {error}", provider.name) };
            addresses[endpoint as usize] = Some(text.parse().map_err(wrong)?);
        }
        let Provider { billed_tools, stream_options, .. } = *provider;
        Ok(Self { service, model: deployment.model.clone(), billed_tools, stream_options, addresses, headers: sent })
    }

    /// Whether the tokenizer of its model is known: by the model's name, which is taken to mean what it means at `OpenAI`.
    pub fn is_countable(&self) -> bool {
        matches!(self.service, Service::OpenAi | Service::Azure) && Encoding::of(&self.model).is_some()
    }

    /// A request to it. `asked` are the headers of the client's request, `caller` its dialect.
    ///
    /// # Panics
    /// If the service has no such endpoint: the core does not send what a deployment does not offer.
    pub fn request(&self, endpoint: Endpoint, body: Bytes, caller: Dialect, asked: &HeaderMap, trace: &HeaderValue) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = axum::http::Method::POST;
        *request.uri_mut() = self.addresses[endpoint as usize].clone().expect("the deployment offers the endpoint");
        *request.headers_mut() = self.headers.clone();
        if caller == self.service.dialect() {
            for name in &PASSED_ON {
                if let Some(value) = asked.get(name) {
                    request.headers_mut().insert(name, value.clone());
                }
            }
        }
        request.headers_mut().insert("traceparent", trace.clone());
        request
    }
}

/// Where a call for an endpoint of one dialect goes at a service of another.
pub fn endpoint_at(endpoint: Endpoint, dialect: Dialect) -> Endpoint {
    match (endpoint, dialect) {
        (Endpoint::ChatCompletions, Dialect::Anthropic) => Endpoint::Messages,
        (Endpoint::Messages, Dialect::OpenAi) => Endpoint::ChatCompletions,
        _ => endpoint,
    }
}

/// Why a provider's deployments can be priced but not called, whatever its credentials turn out to be; `None` if they can.
pub fn not_servable(provider: &Provider) -> Option<NotServable> {
    place(provider).err()
}

/// Who answers at a provider's address, and the address.
fn place(provider: &Provider) -> Result<(Service, String), NotServable> {
    let (service, own) = match provider.api {
        Api::OpenAi => (Service::OpenAi, Some("https://api.openai.com/v1")),
        Api::Azure => (Service::Azure, None),
        Api::Anthropic => (Service::Anthropic, Some("https://api.anthropic.com/v1")),
        Api::Gemini => (Service::Gemini, Some("https://generativelanguage.googleapis.com/v1beta/openai")),
        // Its endpoint in OpenAI's dialect, where the account has one.
        Api::Bedrock => (Service::OpenAi, None),
    };
    let name = &provider.name;
    match (&provider.base_url, own) {
        (Some(base), _) => Ok((service, base.clone())),
        (None, Some(_)) if provider.key.is_none() => {
            Err(NotServable { why: format!("provider `{name}` has no key: add key = \"env:NAME\", or the base_url of a server that needs none") })
        }
        (None, Some(own)) => Ok((service, own.to_owned())),
        (None, None) if provider.api == Api::Bedrock => Err(NotServable {
            why: format!("provider `{name}` has no base_url: gwsim speaks to Bedrock only where it has an OpenAI-compatible endpoint"),
        }),
        (None, None) => Err(NotServable { why: format!("provider `{name}` has no base_url: add base_url = \"https://NAME.openai.azure.com\"") }),
    }
}

fn address(service: Service, base: &str, endpoint: Endpoint, model: &str, version: Option<&str>) -> String {
    let path = endpoint.path();
    match (service, endpoint) {
        // Responses have no deployment in their path; Azure's address of version 1 takes no api-version either.
        (Service::Azure, Endpoint::Responses) => format!("{base}/openai/v1{path}"),
        (Service::Azure, _) => format!("{base}/openai/deployments/{model}{path}?api-version={}", version.unwrap_or(AZURE_API_VERSION)),
        // Anthropic's own client library is given the address without the version: both ways mean the same.
        (Service::Anthropic, _) if !base.ends_with("/v1") => format!("{base}/v1{path}"),
        _ => format!("{base}{path}"),
    }
}

/// The latest version of Azure's inference API that is no preview (P: Azure `OpenAI` REST API reference, "API versions").
const AZURE_API_VERSION: &str = "2024-10-21";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_anthropic_may_have_its_version_or_not() {
        let at = |base| address(Service::Anthropic, base, Endpoint::Messages, "claude", None);
        assert_eq!(at("https://api.anthropic.com"), "https://api.anthropic.com/v1/messages");
        assert_eq!(at("https://api.anthropic.com/v1"), "https://api.anthropic.com/v1/messages");
    }
}
