//! One request and its answer: tells the core what happened, and does the one thing that comes back. Decides nothing itself.
//!
//! An exchange is polled, not awaited: all that it is stands in its [`Life`], so that it can be dropped between any two polls. What the core wants
//! done then (an answer read to its end, a call that others wait for) goes on in a task of its own.

mod arrival;
mod body;
mod counting;
mod life;
mod reading;
mod timer;

use std::future::poll_fn;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use bytes::Bytes;

use self::arrival::Bounds;
pub use self::counting::Counter;
pub use self::life::Life;
use self::life::{End, Step};
use super::answers;
use super::app::App;
use super::logs;
use crate::gateway::journal::Outcome;
use crate::wire::Endpoint;

/// A request in flight, as its handler holds it.
pub struct Exchange {
    life: Option<Box<Life>>,
}

/// Answers a request of the data plane.
pub async fn answer<B: hyper::body::Body<Data = Bytes> + Unpin>(app: Arc<App>, endpoint: Endpoint, request: Request<B>) -> Response {
    let (parts, body) = request.into_parts();
    let dialect = endpoint.dialect();
    let key = match answers::authenticate(&app, &parts.headers) {
        Ok(key) => key,
        Err(problem) => return turned_away(&app, None, problem.respond(dialect)),
    };
    if app.keys.is_open() && arrival::is_of_a_foreign_page(&parts.headers) {
        return turned_away(&app, Some(&key), answers::foreign_page().respond(dialect));
    }
    let deadline = match arrival::deadline(&parts.headers) {
        Ok(deadline) => deadline,
        Err(problem) => return turned_away(&app, Some(&key), problem.respond(dialect)),
    };
    let bounds = bounds(&app);
    let inbound = match arrival::read(endpoint, &parts.headers, body, bounds).await {
        Ok(inbound) => inbound,
        Err(problem) => return turned_away(&app, Some(&key), problem.respond(dialect)),
    };
    if let Err(error) = app.engine.check_arrival() {
        return turned_away(&app, Some(&key), answers::unwritable(&error).respond(dialect));
    }
    let mut exchange = Exchange { life: Some(Box::new(arrival::arrive(app, key, parts.headers, inbound, deadline))) };
    match poll_fn(|context| exchange.life().poll(context)).await {
        Step::Opened => {
            let mut response = Response::new(Body::empty());
            answers::stream_headers(response.headers_mut());
            exchange.life().write_headers(response.headers_mut(), None);
            exchange.life().line.status = Some(response.status());
            *response.body_mut() = Body::new(body::Live::new(exchange));
            response
        }
        Step::Chunk(_) => unreachable!("nothing is passed on before the answer has opened"),
        Step::End(end) => exchange.ended(end),
    }
}

fn bounds(app: &App) -> Bounds {
    let settings = app.settings();
    Bounds { body_max: settings.server.body_max, body_timeout: app.engine.clock().in_life(settings.server.body_timeout) }
}

/// The answer to a request that the core does not get to see.
fn turned_away(app: &App, key: Option<&str>, response: Response) -> Response {
    app.metrics.tally().turned_away(response.status().as_u16());
    logs::turned_away(key, response.status());
    response
}

impl Exchange {
    fn life(&mut self) -> &mut Life {
        self.life.as_mut().expect("it is taken when the exchange is dropped, or over")
    }

    /// The whole answer of a request that is over.
    fn ended(mut self, end: End) -> Response {
        let life = self.life();
        let mut response = match end.outcome {
            Outcome::Served { .. } | Outcome::Cached | Outcome::Shared => match end.body {
                Some(body) => answers::whole(body, life.inbound.stream),
                None => answers::lost().respond(life.dialect()),
            },
            Outcome::Failed(failure) => answers::failed(failure, life.said(failure)).respond(life.dialect()),
            Outcome::Refused(denial) => life.refusal(denial).respond(life.dialect()),
            // Only where nobody is there to read it.
            Outcome::Abandoned => answers::lost().respond(life.dialect()),
        };
        life.write_headers(response.headers_mut(), Some(end.outcome));
        life.line.status = Some(response.status());
        response
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let Some(mut life) = self.life.take() else { return };
        if life.leave()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let present = life.present();
            runtime.spawn(async move {
                // The process does not end before it is done.
                let _present = present;
                while !matches!(poll_fn(|context| life.poll(context)).await, Step::End(_)) {}
            });
        }
    }
}
