//! Notices on their way out: to Slack and to a webhook, with some patience and a signature. Nobody waits for it, and no hook for another.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::http::{Request, Uri, header};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::Full;
use serde_json::json;
use sha2::Sha256;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Receiver;

use super::{Deliveries, Incidents, Notice, words};
use crate::serve::engine::Engine;
use crate::serve::{logs, upstream};

/// Tries of one delivery, and the wait before the second; it doubles.
const TRIES: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// How long one try may take.
const TRY_MAX: Duration = Duration::from_secs(10);
/// Notices that may be on their way to one hook at a time; what comes while so many are is counted and dropped.
const UNDER_WAY_MAX: usize = 64;

/// What a hook expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A Slack-compatible webhook: `{"text": ..}`.
    Slack,
    /// Any webhook: kind, text and time as JSON, signed.
    Generic,
}

/// Where notices go.
#[derive(Clone)]
pub struct Hook {
    /// Its address.
    pub address: Uri,
    /// What it expects.
    pub target: Target,
    /// Signs what is sent, if there is one.
    pub secret: Option<String>,
}

/// Where notices go today. Another configuration may have them go elsewhere.
#[derive(Clone, Default)]
pub struct Directions(Arc<RwLock<Arc<Today>>>);

#[derive(Default)]
struct Today {
    lanes: Vec<Lane>,
    /// Equal incidents within so long are one.
    within: Duration,
}

/// A hook, and what is on its way there.
struct Lane {
    hook: Arc<Hook>,
    room: Arc<Semaphore>,
}

impl std::fmt::Debug for Directions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Addresses of hooks are secrets.
        f.write_str("Directions")
    }
}

impl Directions {
    /// Has notices go to these hooks from now on, equal incidents within so long once.
    pub fn set(&self, hooks: Vec<Hook>, within: Duration) {
        let lanes = hooks.into_iter().map(|hook| Lane { hook: Arc::new(hook), room: Arc::new(Semaphore::new(UNDER_WAY_MAX)) }).collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Today { lanes, within });
    }

    fn today(&self) -> Arc<Today> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Writes what comes into the log and delivers it, until nobody can put anything on the desk any more.
pub async fn deliver(
    mut notices: Receiver<Notice>,
    directions: Directions,
    engine: Arc<Engine>,
    client: upstream::Client,
    deliveries: Arc<Deliveries>,
) {
    let mut incidents = Incidents::default();
    while let Some(notice) = notices.recv().await {
        let text = engine.read(|gateway, plan, _| words(&notice, gateway, plan));
        let kind = notice.subject.kind();
        logs::notice(kind, &text);
        let today = directions.today();
        if !notice.subject.is_paged() || today.lanes.is_empty() || !incidents.is_new(notice.subject, Instant::now(), today.within) {
            continue;
        }
        for lane in &today.lanes {
            let Ok(room) = lane.room.clone().try_acquire_owned() else {
                deliveries.dropped.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let (hook, text, client, deliveries) = (lane.hook.clone(), text.clone(), client.clone(), deliveries.clone());
            tokio::spawn(async move {
                let arrived = send(&hook, kind, &text, &client).await;
                let count = if arrived { &deliveries.sent } else { &deliveries.failed };
                count.fetch_add(1, Ordering::Relaxed);
                drop(room);
            });
        }
    }
}

/// Sends one notice to one hook. Says whether it was taken.
async fn send(hook: &Hook, kind: &str, text: &str, client: &upstream::Client) -> bool {
    let mut wait = FIRST_WAIT;
    for tried in 1..=TRIES {
        let sent = tokio::time::timeout(TRY_MAX, client.call(request(hook, kind, text))).await;
        match sent {
            Ok(Ok(answer)) if answer.status().is_success() => return true,
            // What is refused as it is will be refused again.
            Ok(Ok(answer)) if answer.status().is_client_error() && answer.status().as_u16() != 429 => return false,
            _ if tried == TRIES => return false,
            _ => tokio::time::sleep(wait).await,
        }
        wait *= 2;
    }
    false
}

fn request(hook: &Hook, kind: &str, text: &str) -> Request<Full<Bytes>> {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let body = match hook.target {
        Target::Slack => json!({ "text": format!("gwsim: {text}") }),
        Target::Generic => json!({ "kind": kind, "text": text, "at": at }),
    };
    let body = body.to_string();
    let mut request = Request::post(hook.address.clone()).header(header::CONTENT_TYPE, "application/json");
    if let Some(secret) = &hook.secret {
        request = request.header("x-gwsim-timestamp", at.to_string()).header("x-gwsim-signature", signature(secret, at, &body));
    }
    request.body(Full::new(body.into())).expect("the parts of a notice fit a request")
}

/// `sha256=` and the hexadecimal HMAC-SHA256 of `TIMESTAMP.BODY`: who has the secret can tell that it is from here, and of now.
pub fn signature(secret: &str, at: u64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key fits");
    mac.update(format!("{at}.{body}").as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}
