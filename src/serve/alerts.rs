//! Who is told when something happens that a person should know: from facts to notices, one for each incident. Decides nothing, and holds up nobody.

mod deliver;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{self, Receiver, Sender};

use super::observe::{Context, Observer};
use crate::gateway::id::{AccountId, DeploymentId, KeyId, ModelId};
use crate::gateway::journal::{Alert, BreakerState, CallClosed, Fact};
use crate::gateway::plan::Plan;

pub use self::deliver::{Directions, Hook, Target, deliver, signature};

/// Notices that may wait to be delivered; what comes while so many wait is counted and dropped.
const WAITING_MAX: usize = 256;

/// Output tokens over which the undelivered share is taken.
const SHARE_TOKENS: u64 = 100_000;
/// The share of output tokens billed and not delivered, in thousandths, that somebody should know of.
const SHARE_PER_MILLE: u64 = 100;

/// What a notice is about: equal subjects are one incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// An account has reached a level of its limit, in thousandths.
    BudgetLevel(AccountId, u32),
    /// An account's window was closed above its limit.
    Breach(AccountId),
    /// Too many answers of a model come from fallbacks.
    FallbackShare(ModelId, u32),
    /// A deployment is left alone.
    Cooling(DeploymentId),
    /// A deployment that was left alone is back.
    Recovered(DeploymentId),
    /// A breaker has turned.
    Breaker(DeploymentId, BreakerState),
    /// A key repeats one request.
    Loop(KeyId),
    /// Too many output tokens are billed and reach nobody.
    Undelivered(u64),
    /// A deployment's answer was of a dearer service than its price is for.
    PriceMissing(DeploymentId),
    /// A configuration was not adopted.
    ReloadRefused,
    /// The machine's clock is behind the journal.
    ClockBehind,
}

impl Subject {
    /// The word for the kind of thing that has happened.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::BudgetLevel(..) => "budget_level",
            Self::Breach(_) => "breach",
            Self::FallbackShare(..) => "fallback_share",
            Self::Cooling(_) => "cooling",
            Self::Recovered(_) => "recovered",
            Self::Breaker(..) => "breaker",
            Self::Loop(_) => "loop",
            Self::Undelivered(_) => "undelivered",
            Self::PriceMissing(_) => "price_missing",
            Self::ReloadRefused => "reload_refused",
            Self::ClockBehind => "clock_behind",
        }
    }

    /// Whether it is worth a page. What only adds to another notice, or is one of many such changes, is in the log alone.
    pub const fn is_paged(self) -> bool {
        !matches!(self, Self::Breaker(..))
    }
}

/// What happened, as far as the fold knows it; names are put in when it is delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What it is about.
    pub subject: Subject,
    /// Words that the subject does not say.
    pub detail: String,
}

/// How deliveries have gone since the start.
#[derive(Debug, Default)]
pub struct Deliveries {
    /// Notices that a hook has taken.
    pub sent: AtomicU64,
    /// Notices that a hook has not taken, whatever was tried.
    pub failed: AtomicU64,
    /// Notices that there was no room for.
    pub dropped: AtomicU64,
}

/// Takes notices for delivery.
#[derive(Debug, Clone)]
pub struct Desk {
    notices: Sender<Notice>,
    /// How deliveries have gone.
    pub deliveries: Arc<Deliveries>,
    /// Where notices go.
    pub directions: Directions,
}

impl Desk {
    /// A desk, and what is put on it.
    pub fn new() -> (Self, Receiver<Notice>) {
        let (notices, taken) = mpsc::channel(WAITING_MAX);
        (Self { notices, deliveries: Arc::default(), directions: Directions::default() }, taken)
    }

    /// Puts a notice on the desk. Never waits.
    pub fn put(&self, notice: Notice) {
        if self.notices.try_send(notice).is_err() {
            self.deliveries.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The fold that feeds it.
    pub fn observer(&self) -> Box<dyn Observer> {
        Box::new(Watch { desk: self.clone(), output: 0, undelivered: 0 })
    }
}

/// The fold: facts that somebody should know of.
struct Watch {
    desk: Desk,
    /// Output tokens billed and not yet judged.
    output: u64,
    /// How many of them reached nobody.
    undelivered: u64,
}

impl Observer for Watch {
    fn observe(&mut self, _: &Context<'_>, fact: &Fact) {
        let (subject, detail) = match fact {
            Fact::Alerted(Alert::BudgetLevel { account, per_mille }) => (Subject::BudgetLevel(*account, *per_mille), String::new()),
            Fact::Alerted(Alert::FallbackShare { model, per_mille }) => (Subject::FallbackShare(*model, *per_mille), String::new()),
            Fact::Alerted(Alert::Loop { key }) => (Subject::Loop(*key), String::new()),
            Fact::Alerted(Alert::Recovered { deployment }) => (Subject::Recovered(*deployment), String::new()),
            Fact::Cooled { deployment, class, .. } => (Subject::Cooling(*deployment), class.name().to_owned()),
            Fact::BreakerTurned { deployment, to } => (Subject::Breaker(*deployment, *to), String::new()),
            Fact::Breached { account, over, .. } => (Subject::Breach(*account), over.to_string()),
            Fact::CallClosed(closed) => {
                let Some(share) = self.judge(closed) else { return };
                (Subject::Undelivered(share), String::new())
            }
            _ => return,
        };
        self.desk.put(Notice { subject, detail });
    }
}

impl Watch {
    /// The undelivered share in thousandths, once in so many tokens, if it is too high.
    fn judge(&mut self, closed: &CallClosed) -> Option<u64> {
        self.output += u64::from(closed.usage.output);
        self.undelivered += u64::from(closed.usage.output.saturating_sub(closed.delivered));
        if self.output < SHARE_TOKENS {
            return None;
        }
        let share = self.undelivered * 1000 / self.output;
        (self.output, self.undelivered) = (0, 0);
        (share >= SHARE_PER_MILLE).then_some(share)
    }
}

/// One page an incident: what was told within this is not told again.
#[derive(Debug, Default)]
pub struct Incidents {
    told: HashMap<(&'static str, u32, u32), Instant>,
}

impl Incidents {
    /// Whether this one is new at `now`: none equal to it was told `within` so long. It is told from then on.
    pub fn is_new(&mut self, subject: Subject, now: Instant, within: Duration) -> bool {
        let which = match subject {
            Subject::BudgetLevel(account, level) => (account.0, level),
            Subject::Breach(account) => (account.0, 0),
            // The share moves with every answer; the incident is the model's.
            Subject::FallbackShare(model, _) => (model.0, 0),
            Subject::Cooling(id) | Subject::Recovered(id) | Subject::Breaker(id, _) | Subject::PriceMissing(id) => (id.0, 0),
            Subject::Loop(key) => (key.0, 0),
            Subject::Undelivered(_) | Subject::ReloadRefused | Subject::ClockBehind => (0, 0),
        };
        self.told.retain(|_, at| now.saturating_duration_since(*at) < within);
        let key = (subject.kind(), which.0, which.1);
        if self.told.contains_key(&key) {
            return false;
        }
        self.told.insert(key, now);
        true
    }
}

/// A notice in plain words: what has happened, and what can be done.
pub fn words(notice: &Notice, gateway: &crate::gateway::Gateway, plan: &Plan) -> String {
    let deployment = |id: DeploymentId| plan.deployments.get(id.index()).map_or("?", |deployment| &deployment.name);
    let model = |id: ModelId| plan.models.get(id.index()).map_or("?", |model| &model.name);
    let account = |id: AccountId| gateway.describe_account(plan, id).unwrap_or_else(|| "a budget".into());
    let detail = &notice.detail;
    match notice.subject {
        Subject::BudgetLevel(id, level @ 1000..) => {
            format!(
                "{} is used up ({} %). Requests that it applies to are refused until its window ends; raise it to let them in.",
                account(id),
                level / 10
            )
        }
        Subject::BudgetLevel(id, level) => format!("{} has reached {} %.", account(id), level / 10),
        Subject::Breach(id) => {
            format!("{} was overspent by {detail}: calls cost more than was held for them. See `gwsim explain` of the journal.", account(id))
        }
        Subject::FallbackShare(id, share) => {
            let share = format!("{}.{} %", share / 10, share % 10);
            format!(
                "{share} of the answers for {} come from its fallbacks, which may cost more. Look at its deployments' limits and cooldowns.",
                model(id)
            )
        }
        Subject::Cooling(id) => format!("Deployment {} is left alone for a while after failures ({detail}).", deployment(id)),
        Subject::Recovered(id) => format!("Deployment {} is used again.", deployment(id)),
        Subject::Breaker(id, to) => {
            let stands = match to {
                BreakerState::Closed => "closed: it is used again",
                BreakerState::HalfOpen => "half open: a few requests try it",
                BreakerState::Open => "open: it is left alone",
            };
            format!("The breaker of deployment {} is {stands}.", deployment(id))
        }
        Subject::Loop(id) => {
            let key = gateway.directory().key_names().get(id.index()).map_or("?", String::as_str);
            format!("Key {key} repeats one and the same request: a loop? Block it with /key/block, or see [loop_detector].")
        }
        Subject::Undelivered(share) => {
            format!(
                "{}.{} % of the output tokens billed of late reached no client: streams that are left or cut. See [stream] on_disconnect.",
                share / 10,
                share % 10
            )
        }
        Subject::PriceMissing(id) => format!(
            "Deployment {} was served at a dearer service_tier than it is priced at: what was held is presumed. See [prices] service_tier.",
            deployment(id)
        ),
        Subject::ReloadRefused => format!("A changed configuration was not adopted; the one before is in force. {detail}"),
        Subject::ClockBehind => format!(
            "{detail} Time goes on from the later one, so keys expire and budgets begin anew too early. If the clock is wrong today, set it right \
             and start again. If it was wrong then, stop, and take the segments since then out of the journal's folder, or begin another journal: \
             what they say was spent goes with them."
        ),
    }
}
