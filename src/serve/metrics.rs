//! What `/metrics` says, in Prometheus' words: a fold over the facts, and the state at the moment of the scrape. Decides nothing.
//!
//! Labels come from the configuration only (models, deployments, teams) or from short closed lists (how something ended), so the number of series is
//! bounded by the file and not by the traffic. `docs/metrics.md` lists them all; a test holds the list against a scrape.

mod exposition;
pub mod tally;

pub use self::exposition::CONTENT_TYPE;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::logs;
use super::observe::{Context, Observer};
use crate::gateway::journal::Fact;

use self::tally::Tally;

/// The counters of one live gateway, shared by the fold and the scrape.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Arc<Mutex<Tally>>);

impl Metrics {
    /// The fold that feeds them.
    pub fn observer(&self) -> Box<dyn Observer> {
        Box::new(self.clone())
    }

    /// The counters as they are.
    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        // A tally that a panic left behind is at worst short of one fact.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Metrics {
    fn observe(&mut self, context: &Context<'_>, fact: &Fact) {
        self.tally().observe(context, fact);
    }
}

/// `GET /metrics`.
pub async fn scrape(State(app): State<Arc<App>>) -> Response {
    let tally = app.metrics.tally().clone();
    let beside = exposition::Beside { reloads: app.reloads.counts(), log_lines_dropped: logs::dropped(), deliveries: &app.desk.deliveries };
    match app.engine.read(|gateway, plan, now| exposition::text(&tally, &beside, gateway, plan, now)) {
        Ok(text) => ([(header::CONTENT_TYPE, exposition::CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("the metrics can't be written: {error}\n")).into_response(),
    }
}
