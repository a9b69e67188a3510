//! The one timer of an exchange: the core's deadline, the silence of an upstream, and the patience of whatever is between here and the client.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// The core's deadline.
    Deadline,
    /// Nothing has come from upstream for too long.
    Idle,
    /// Nothing has gone to the client for so long that something on the way may take the stream for dead.
    KeepAlive,
}

/// Instants that something is due at, and a timer that is set to the first of them. Moving one costs nothing until the timer goes off.
#[derive(Debug, Default)]
pub struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    armed: Option<Instant>,
    deadline: Option<Instant>,
    idle: Option<(Duration, Instant)>,
    keep_alive: Option<(Duration, Instant)>,
}

impl Timer {
    /// Sets the core's deadline.
    pub fn deadline(&mut self, at: Option<Instant>) {
        self.deadline = at;
    }

    /// From now on silence counts: `idle` of it from upstream, `keep_alive` of it to the client.
    pub fn watch(&mut self, idle: Duration, keep_alive: Option<Duration>) {
        let now = Instant::now();
        self.idle = Some((idle, now));
        self.keep_alive = keep_alive.map(|span| (span, now));
    }

    /// Silence counts no more.
    pub fn unwatch(&mut self) {
        (self.idle, self.keep_alive) = (None, None);
    }

    /// Something came from upstream.
    pub fn came(&mut self) {
        if let Some((_, since)) = &mut self.idle {
            *since = Instant::now();
        }
    }

    /// Something goes to the client.
    pub fn went(&mut self) {
        if let Some((_, since)) = &mut self.keep_alive {
            *since = Instant::now();
        }
    }

    /// What is due, once something is.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Due> {
        loop {
            let Some((at, due)) = self.first() else { return Poll::Pending };
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at.into())));
            match self.armed {
                // It goes off early, and is set anew then.
                Some(armed) if armed <= at => {}
                _ => {
                    sleep.as_mut().reset(at.into());
                    self.armed = Some(at);
                }
            }
            if sleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.armed = None;
            if Instant::now() >= at {
                return Poll::Ready(due);
            }
        }
    }

    fn first(&self) -> Option<(Instant, Due)> {
        let silent = |watched: Option<(Duration, Instant)>, due| watched.map(|(span, since)| (since + span, due));
        let all = [self.deadline.map(|at| (at, Due::Deadline)), silent(self.idle, Due::Idle), silent(self.keep_alive, Due::KeepAlive)];
        all.into_iter().flatten().min_by_key(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_put_off_is_not_due() {
        let mut timer = Timer::default();
        timer.deadline(Some(Instant::now() + Duration::from_millis(1200)));
        timer.watch(Duration::from_millis(600), None);
        let begun = Instant::now();
        let mut due = Vec::new();
        for put_off in [true, false] {
            if put_off {
                tokio::time::sleep(Duration::from_millis(200)).await;
                timer.came();
            }
            due.push(std::future::poll_fn(|context| timer.poll(context)).await);
            timer.unwatch();
        }
        assert_eq!(due, [Due::Idle, Due::Deadline]);
        assert!(begun.elapsed() >= Duration::from_millis(1000));
    }
}
