//! Which address is what. The endpoints of the data plane are told apart first; everything else goes through the router.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use axum::response::Response;
use axum::routing::get;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use super::app::App;
use super::{admin, answers, health, metrics, models};
use crate::wire::Endpoint;

/// Everything that is not the data plane: administration, metrics, health.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/models", get(models::list))
        .route("/models", get(models::list))
        .route("/v1/models/{model}", get(models::one))
        .route("/models/{model}", get(models::one))
        .merge(admin::routes())
        .route("/metrics", get(metrics::scrape))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        // LiteLLM's names for the same.
        .route("/health/liveliness", get(health::live))
        .route("/health/readiness", get(health::ready))
        .fallback(answers::no_such_route)
        .method_not_allowed_fallback(answers::no_such_method)
        .with_state(app)
}

/// Answers the requests of one connection after the other.
#[derive(Clone)]
pub struct Routes {
    app: Arc<App>,
    others: TowerToHyperService<Router>,
    /// Whether the gateway was going down already when the connection came.
    is_late: bool,
}

impl Routes {
    /// The routes of a gateway.
    pub fn new(app: Arc<App>) -> Self {
        Self { others: TowerToHyperService::new(router(app.clone())), app, is_late: false }
    }

    /// The same for connections that come while the gateway goes down: what costs money is refused.
    #[must_use]
    pub fn late(&self) -> Self {
        Self { is_late: true, ..self.clone() }
    }
}

impl Service<Request<Incoming>> for Routes {
    type Response = Response;
    type Error = Infallible;
    type Future = Guarded;

    fn call(&self, request: Request<Incoming>) -> Guarded {
        let path = request.uri().path();
        let path = path.strip_prefix("/v1").unwrap_or(path);
        let endpoint = Endpoint::ALL.into_iter().find(|endpoint| endpoint.path() == path);
        match endpoint {
            Some(_) if request.method() != Method::POST => {
                let refused = answers::no_such_method(request.method().clone(), request.uri().clone());
                Guarded(Box::pin(refused))
            }
            Some(endpoint) if self.is_late => {
                let refused = answers::going_down().respond(endpoint.dialect());
                Guarded(Box::pin(std::future::ready(refused)))
            }
            Some(endpoint) => Guarded(Box::pin(super::exchange::answer(self.app.clone(), endpoint, request))),
            None => {
                let others = self.others.call(request.map(Body::new));
                Guarded(Box::pin(async move { others.await.unwrap_or_else(|never| match never {}) }))
            }
        }
    }
}

/// A handler whose panic fails its own request only.
pub struct Guarded(Pin<Box<dyn Future<Output = Response> + Send>>);

impl Future for Guarded {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // What a panic leaves behind is the handler's own, and dropped; what it shares is behind locks that know.
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| pin!(&mut self.0).poll(context)));
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(_) => Poll::Ready(Ok(answers::panicked())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_handler_that_panics_is_a_status_of_its_own_request() {
        let broken = Guarded(Box::pin(async { panic!("planted") }));
        assert_eq!(broken.await.unwrap().status(), 500);
        let whole = Guarded(Box::pin(async { answers::going_down().respond(crate::wire::Dialect::OpenAi) }));
        assert_eq!(whole.await.unwrap().status(), 503);
    }
}
