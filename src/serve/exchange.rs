//! One request and its answer.

use std::sync::Arc;

use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;

use super::app::App;
use crate::wire::Endpoint;

/// Answers a request of the data plane.
pub async fn answer(_app: Arc<App>, _endpoint: Endpoint, _request: Request<Incoming>) -> Response {
    super::answers::panicked()
}
