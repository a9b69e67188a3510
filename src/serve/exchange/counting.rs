//! Counting the input of a request exactly, away from the threads that serve: it may take a while, and is only done where a bound that is too high
//! stands in the way. Decides nothing of what follows.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use crate::gateway::plan::{Deployment, Plan};
use crate::gateway::request::Request;
use crate::wire::Inbound;
use crate::wire::images::is_dear;
use crate::wire::tokens::Encoding;

/// Where inputs are counted. One for the process: half of its processors count at a time, however much there is to be counted.
#[derive(Debug, Clone)]
pub struct Counter {
    turns: Arc<Semaphore>,
}

/// A count on its way. Dropped, it is not begun; what has been begun ends for nobody.
pub enum Counting {
    /// For its turn.
    Waits(Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>),
    /// For the count.
    Runs(JoinHandle<u32>),
}

impl Default for Counter {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self { turns: Arc::new(Semaphore::new((processors / 2).max(1))) }
    }
}

impl Counter {
    /// A count that waits for its turn.
    pub fn counting(&self) -> Counting {
        let turns = self.turns.clone();
        Counting::Waits(Box::pin(async move { turns.acquire_owned().await.ok() }))
    }
}

impl Counting {
    /// The most input tokens of a request at the deployments of `plan` where they can be counted, once they are: for `Event::Counted`. What can't be
    /// counted is no lower than it was.
    pub fn poll(&mut self, context: &mut Context<'_>, inbound: &Inbound, plan: &Plan, request: &Request) -> Poll<u32> {
        if let Self::Waits(turn) = self {
            let Some(turn) = ready!(turn.as_mut().poll(context)) else { return Poll::Ready(u32::MAX) };
            let (inbound, reached) = (inbound.clone(), reached(plan, request));
            *self = Self::Runs(tokio::task::spawn_blocking(move || {
                let _turn = turn;
                let dear = reached.iter().any(|(_, dear)| *dear);
                inbound.count(reached.into_iter().map(|(encoding, _)| encoding), dear)
            }));
        }
        let Self::Runs(count) = self else { unreachable!("it runs from here on") };
        Pin::new(count).poll(context).map(|counted| counted.unwrap_or(u32::MAX))
    }
}

/// The tokenizers of the models that a request may be sent to and that have a known one; and whether images are dear there.
fn reached(plan: &Plan, request: &Request) -> Vec<(Encoding, bool)> {
    let groups = plan.reachable(request.model);
    let deployments = groups.iter().flat_map(|group| &plan.model(*group).deployments).map(|id| plan.deployment(*id));
    let known = |deployment: &Deployment| Some((Encoding::of(&deployment.model)?, is_dear(&deployment.model)));
    let mut found: Vec<_> = deployments.filter(|deployment| deployment.countable).filter_map(known).collect();
    found.sort_unstable();
    found.dedup();
    found
}
