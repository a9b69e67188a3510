//! Going down: whether it has begun, and who is not done yet. Decides nothing about requests.

use std::time::Duration;

use tokio::sync::watch;

/// Whether the gateway is going down.
#[derive(Debug)]
pub struct Shutdown {
    begun: watch::Sender<bool>,
}

/// Somebody who has to be done before the process ends: a connection, or an answer that is read to its end.
#[derive(Debug, Clone)]
pub struct Present {
    begun: watch::Receiver<bool>,
}

impl Shutdown {
    /// Not yet.
    pub fn new() -> Self {
        Self { begun: watch::Sender::new(false) }
    }

    /// Begins it: nobody new is let in, and those who are in are told.
    pub fn begin(&self) {
        self.begun.send_replace(true);
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        *self.begun.borrow()
    }

    /// Somebody comes in.
    pub fn enter(&self) -> Present {
        Present { begun: self.begun.subscribe() }
    }

    /// Waits until everybody is done, but no longer than `most`. Says whether they are.
    pub async fn drained(&self, most: Duration) -> bool {
        tokio::time::timeout(most, self.begun.closed()).await.is_ok()
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Present {
    /// Waits until the shutdown begins.
    pub async fn until_begun(&mut self) {
        // An error means that the gateway is gone: it can't be later than now.
        let _ = self.begun.wait_for(|begun| *begun).await;
    }
}
