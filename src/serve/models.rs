//! `GET /v1/models`: what a key may ask for. Knows no prices.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::json;

use super::answers::{self, Problem};
use super::app::App;
use crate::gateway::id::{KeyId, ModelId};
use crate::wire::{Dialect, ErrorKind};

/// All models that the caller's key may ask for.
pub async fn list(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let dialect = dialect(&headers);
    match allowed(&app, &headers) {
        Err(problem) => problem.respond(dialect),
        Ok(names) => {
            let data: Vec<_> = names.iter().map(|name| one_of(dialect, name)).collect();
            answers::json(&match dialect {
                Dialect::OpenAi => json!({ "object": "list", "data": data }),
                Dialect::Anthropic => json!({ "data": data, "has_more": false, "first_id": names.first(), "last_id": names.last() }),
            })
        }
    }
}

/// One of them.
pub async fn one(State(app): State<Arc<App>>, Path(model): Path<String>, headers: HeaderMap) -> Response {
    let dialect = dialect(&headers);
    match allowed(&app, &headers) {
        Err(problem) => problem.respond(dialect),
        Ok(names) if names.contains(&model) => answers::json(&one_of(dialect, &model)),
        Ok(_) => Problem::new(404, ErrorKind::NotFound, format!("there is no model `{model}`, or this key may not use it"))
            .code("model_not_found")
            .respond(dialect),
    }
}

/// Anthropic's clients send its version with everything.
fn dialect(headers: &HeaderMap) -> Dialect {
    if headers.contains_key("anthropic-version") { Dialect::Anthropic } else { Dialect::OpenAi }
}

fn one_of(dialect: Dialect, name: &str) -> serde_json::Value {
    match dialect {
        Dialect::OpenAi => json!({ "id": name, "object": "model", "created": 0, "owned_by": "gwsim" }),
        Dialect::Anthropic => json!({ "type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z" }),
    }
}

fn allowed(app: &App, headers: &HeaderMap) -> Result<Vec<String>, Problem> {
    let name = answers::authenticate(app, headers)?;
    app.engine.read(|gateway, plan, _| {
        let key = gateway.key(&name).ok_or_else(answers::unknown_key)?;
        let may = |(index, _): &(u32, _)| gateway.directory().may_use(key, ModelId(*index));
        let standing = gateway.directory().standing(key);
        standing.map_err(|denial| answers::denied(denial, &app.settings().server, None, ""))?;
        let _: KeyId = key;
        Ok((0..).zip(&plan.models).filter(|(_, model)| !model.retired).filter(may).map(|(_, model)| model.name.clone()).collect())
    })
}
