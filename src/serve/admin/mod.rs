//! The control plane: keys, teams and spend over HTTP, in the shapes that LiteLLM's clients know. Decides who may ask; what a key may do is the
//! core's.

mod durations;
mod fields;
mod keys;
mod models;
mod register;
mod reports;
mod teams;
mod terms;

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use http_body_util::{BodyExt, Limited};
use serde_json::Value;
use subtle::ConstantTimeEq;

pub use self::durations::instant;
use self::fields::{Fields, wrong};
pub use self::register::Register;
use super::answers::{self, Problem, json};
use super::app::App;
use super::keyring;
use crate::gateway::time::Time;
use crate::wire::{Dialect, ErrorKind};

/// The longest request of an administrator, in bytes.
const BODY_MAX: usize = 1 << 20;
/// How long its body may take to come.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// The routes of the control plane.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/key/generate", changes(keys::generate))
        .route("/key/update", changes(keys::update))
        .route("/key/delete", changes(keys::delete))
        .route("/key/block", changes(keys::block))
        .route("/key/unblock", changes(keys::unblock))
        .route("/key/regenerate", changes(keys::regenerate))
        .route("/key/{key}/regenerate", post(regenerate_at))
        .route("/key/info", looks(keys::info))
        .route("/key/list", looks(keys::list))
        .route("/team/new", changes(teams::new))
        .route("/team/update", changes(teams::update))
        .route("/team/delete", changes(teams::delete))
        .route("/team/block", changes(teams::block))
        .route("/team/unblock", changes(teams::unblock))
        .route("/team/info", looks(teams::info))
        .route("/team/list", looks(teams::list))
        .route("/spend/logs", looks(reports::logs))
        .route("/global/spend", looks(reports::global))
        .route("/model/info", looks(models::info))
        .route("/v1/model/info", looks(models::info))
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Caller {
    /// Whoever has the master key.
    Administrator,
    /// The virtual key of this name.
    Key(Arc<str>),
}

/// What a request of the control plane works with, alone: one after the other, so that core, store and ring change in the same order.
struct Desk<'a> {
    app: &'a App,
    register: MutexGuard<'a, Register>,
    now: Time,
}

/// The parameters of an address.
type Parameters = HashMap<String, String>;
type Change = fn(&mut Desk<'_>, Fields) -> Result<Value, Problem>;
type Look = fn(&Desk<'_>, &Caller, &Parameters) -> Result<Value, Problem>;

impl Desk<'_> {
    fn open(app: &App) -> Desk<'_> {
        let register = app.register.lock().unwrap_or_else(PoisonError::into_inner);
        Desk { app, register, now: app.engine.clock().now() }
    }
}

/// An address that changes something: for administrators.
fn changes(change: Change) -> MethodRouter<Arc<App>> {
    post(move |State(app): State<Arc<App>>, headers: HeaderMap, body: Body| act(app, headers, body, None, change))
}

/// An address to look something up at.
fn looks(look: Look) -> MethodRouter<Arc<App>> {
    get(move |State(app): State<Arc<App>>, headers: HeaderMap, parameters: Result<Query<Parameters>, _>| async move {
        let answer = async {
            let caller = caller(&app, &headers)?;
            let Query(parameters) = parameters.map_err(|_: axum::extract::rejection::QueryRejection| wrong("the address can't be read", None))?;
            // Behind the lock may be somebody who waits for the disk.
            run(move || look(&Desk::open(&app), &caller, &parameters)).await
        };
        respond(answer.await)
    })
}

/// `POST /key/{key}/regenerate`: LiteLLM's clients name the key in the address.
async fn regenerate_at(State(app): State<Arc<App>>, Path(key): Path<String>, headers: HeaderMap, body: Body) -> Response {
    act(app, headers, body, Some(key), keys::regenerate).await
}

async fn act(app: Arc<App>, headers: HeaderMap, body: Body, key: Option<String>, change: Change) -> Response {
    let answer = async {
        // Asked before the body is read: strangers make no work.
        if caller(&app, &headers)? != Caller::Administrator {
            return Err(not_for_keys());
        }
        let body = tokio::time::timeout(BODY_TIME_MAX, Limited::new(body, BODY_MAX).collect()).await;
        let body = body.map_err(|_| Problem::new(408, ErrorKind::Timeout, "the body of the request took too long to come"))?;
        let unread = |_| Problem::new(413, ErrorKind::TooLarge, format!("the body broke off, or is larger than {BODY_MAX} bytes"));
        let mut fields = Fields::read(&body.map_err(unread)?.to_bytes())?;
        if let Some(key) = key {
            fields.put_name("key", &key);
        }
        run(move || change(&mut Desk::open(&app), fields)).await
    };
    respond(answer.await)
}

/// Does what may wait for the disk where it holds up no other request.
async fn run(work: impl FnOnce() -> Result<Value, Problem> + Send + 'static) -> Result<Value, Problem> {
    let failed = |_| Problem::new(500, ErrorKind::Internal, "something is broken in the gateway; it has been noted");
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(failed(error)))
}

fn respond(answer: Result<Value, Problem>) -> Response {
    answer.map_or_else(|problem| problem.respond(Dialect::OpenAi), |value| json(&value))
}

/// Who sends a request. What is compared with the master key is a hash, and in constant time.
fn caller(app: &App, headers: &HeaderMap) -> Result<Caller, Problem> {
    let Some(master) = app.settings().master else {
        let message = "the control plane is closed, as there is no master key: set it with [server] master_key = \"env:GWSIM_MASTER_KEY\"";
        return Err(Problem::new(403, ErrorKind::Forbidden, message).code("no_master_key"));
    };
    if let Some(secret) = answers::secret(headers)
        && bool::from(keyring::hash(secret).ct_eq(&master))
    {
        return Ok(Caller::Administrator);
    }
    answers::authenticate(app, headers).map(Caller::Key)
}

fn not_for_keys() -> Problem {
    Problem::new(403, ErrorKind::Forbidden, "this is for the master key").code("master_key_required")
}

/// Lets only administrators on.
fn administrators_only(caller: &Caller) -> Result<(), Problem> {
    if *caller == Caller::Administrator { Ok(()) } else { Err(not_for_keys()) }
}

/// There is no such thing. What was looked for is not told back: it may be a secret with an error in it.
fn unknown(what: &str, field: &str) -> Problem {
    Problem::new(404, ErrorKind::NotFound, format!("there is no such {what}")).code("not_found").param(Some(field.into()))
}

/// What the configuration has is changed there.
fn configured(what: &str, name: &str) -> Problem {
    wrong(format!("the {what} `{name}` is of the configuration: change it in gateway.toml, and reload"), None).code("of_the_configuration")
}
