//! The provider's end of a call, for the random driver: what happens to it, and what is billed for it. Time-outs are billed, and generation
//! goes on for a while after a close.

use super::dice::Dice;
use crate::gateway::failure::FailureClass;
use crate::gateway::in_flight::Event;
use crate::gateway::journal::Called;
use crate::gateway::money::Money;
use crate::gateway::plan::{Deployment, Presume};
use crate::gateway::rate_card::Usage;
use crate::gateway::request::Request;

/// One call, seen from upstream.
#[derive(Debug)]
pub(super) struct Upstream {
    call: u32,
    stream: bool,
    /// The bill of the whole answer.
    whole: Usage,
    received: u32,
    opened: bool,
    fate: Fate,
    pub(super) drained: bool,
    pub(super) worst_case: Money,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Finishes,
    Fails,
    Hangs,
}

impl Upstream {
    pub(super) fn new(dice: &mut Dice, request: &Request, deployment: &Deployment, called: &Called, honest: bool) -> Self {
        let fate = dice.of(&[Fate::Finishes, Fate::Finishes, Fate::Finishes, Fate::Fails, Fate::Fails, Fate::Hangs]);
        assert!(called.max_tokens <= deployment.output_tokens_max);
        let most = u64::from(called.max_tokens) * u64::from(request.choices) * if honest { 1 } else { 3 };
        let input = request.input_tokens + dice.below(u64::from(request.input_tokens_max - request.input_tokens) + 1) as u32;
        let any = dice.below(most + 1);
        let output = dice.of(&[most, most / 2, any]) as u32;
        let cache_read = dice.below(u64::from(input) + 1) as u32;
        let cache_write = dice.below(u64::from(input - cache_read) + 1) as u32;
        let reasoning = dice.below(u64::from(output) + 1) as u32;
        let whole = Usage { input, cache_read, cache_write, cache_write_1h: 0, output, reasoning };
        let (call, stream, worst_case) = (called.call, request.stream, called.worst_case);
        Self { call, stream, whole, received: 0, opened: false, fate, drained: false, worst_case }
    }

    /// Some more has come.
    pub(super) fn receive(&mut self, dice: &mut Dice) -> u32 {
        if self.opened {
            self.received += dice.below(u64::from(self.whole.output - self.received) + 1) as u32;
        }
        self.received
    }

    /// What its driver hears of it next.
    pub(super) fn next(&mut self, dice: &mut Dice, hurry: bool) -> Option<Event> {
        let call = self.call;
        if self.stream && !self.opened && dice.one_in(2) {
            self.opened = true;
            return Some(Event::Opened { call });
        }
        let received = self.receive(dice);
        if (self.drained || self.opened) && dice.one_in(6) {
            // The driver gives up: a drain at its caps, a stream after too long a silence.
            let class = if self.drained { FailureClass::Cut } else { FailureClass::Timeout };
            let failure = crate::gateway::failure::Failure::new(class);
            return Some(Event::Failed { call, failure, accepted: self.opened, received, usage: None });
        }
        match self.fate {
            Fate::Hangs if !hurry => None,
            Fate::Finishes if dice.one_in(4) => {
                // The provider does not say what it bills; its driver counts no less.
                let received = self.whole.output + dice.below(20) as u32;
                Some(Event::Finished { call, received, usage: None })
            }
            Fate::Finishes => Some(Event::Finished { call, received, usage: Some(self.whole) }),
            Fate::Fails | Fate::Hangs => {
                let mut failure = super::driver::failure(dice);
                if self.drained && failure.class == FailureClass::Cut || self.opened && failure.class == FailureClass::Timeout {
                    failure.class = FailureClass::Internal;
                }
                let usage = (self.opened && dice.one_in(4)).then(|| self.cut(received));
                let accepted = self.opened || dice.one_in(3);
                Some(Event::Failed { call, failure, accepted, received, usage })
            }
        }
    }

    /// An event that comes after the call is over, and means nothing any more.
    pub(super) fn leftover(&self, dice: &mut Dice) -> Event {
        let failure = crate::gateway::failure::Failure::new(FailureClass::Internal);
        dice.of(&[
            Event::Opened { call: self.call },
            Event::Failed { call: self.call, failure, accepted: true, received: 0, usage: None },
            Event::Finished { call: self.call, received: 0, usage: None },
            Event::Opened { call: self.call + 1000 },
            Event::Looked(None),
            Event::Woke,
            Event::ClientLeft { received: 0, delivered: 0 },
        ])
    }

    /// What is billed for a call that was closed by `event`.
    pub(super) fn billed(&self, dice: &mut Dice, event: Event, deployment: &Deployment) -> Option<Usage> {
        let rule = deployment.billing;
        let lag = dice.below(u64::from(rule.cancel_lag_tokens_max) + 1) as u32;
        let cancelled = |received: u32| {
            if self.stream && rule.cancel_stops_billing { self.cut(received.saturating_add(lag)) } else { self.whole }
        };
        let by = |presume: Presume| match presume {
            Presume::Nothing => None,
            Presume::Input => Some(self.cut(0)),
            Presume::WorstCase => Some(self.whole),
        };
        match event {
            Event::Finished { usage: Some(usage), .. } | Event::Failed { usage: Some(usage), .. } => Some(usage),
            // The answer was made, whoever knows of it.
            Event::Finished { usage: None, .. } | Event::Dropped => Some(self.whole),
            Event::Failed { failure, received, .. } if self.drained && failure.class == FailureClass::Cut => Some(cancelled(received)),
            Event::Failed { failure, received, .. } if self.opened && failure.class == FailureClass::Timeout => Some(cancelled(received)),
            Event::Failed { accepted: true, .. } if !self.stream => Some(self.whole),
            Event::Failed { accepted: true, received, .. } => Some(self.cut(received.saturating_add(lag))),
            Event::Failed { failure, .. } => match failure.class.status() {
                status if status < 500 && status != 408 => None,
                _ => by(rule.failed),
            },
            Event::Woke if self.opened || self.drained => Some(cancelled(self.received)),
            Event::Woke => by(rule.timed_out),
            Event::ClientLeft { received, .. } => Some(cancelled(received)),
            Event::Arrived(_) | Event::Looked(_) | Event::Released(_) | Event::Opened { .. } => unreachable!("{event:?} closes no call"),
        }
    }

    fn cut(&self, output: u32) -> Usage {
        let output = output.min(self.whole.output);
        Usage { output, reasoning: self.whole.reasoning.min(output), ..self.whole }
    }
}
