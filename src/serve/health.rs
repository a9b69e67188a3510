//! Whether the process lives, and whether it may be sent requests. Decides nothing about either.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;

use super::app::App;

/// `GET /health/live`: the process answers.
pub async fn live() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], "{\"status\":\"alive\"}")
}

/// `GET /health/ready`: it takes requests, and can write down what they cost.
pub async fn ready(State(app): State<Arc<App>>) -> impl IntoResponse {
    let (status, why) = if app.shutdown.has_begun() {
        (StatusCode::SERVICE_UNAVAILABLE, "going down")
    } else if app.engine.check_journal().is_err() {
        let is_lost = app.engine.journal_lost().is_some();
        let why = if is_lost { "the disk has failed to keep the journal: start gwsim again" } else { "the journal can't be written" };
        (StatusCode::SERVICE_UNAVAILABLE, why)
    } else {
        (StatusCode::OK, "ready")
    };
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{{\"status\":\"{why}\"}}"))
}
