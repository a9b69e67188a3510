//! Traffic that is made up: when requests come, from whom, how long they are, what a conversation sends again. Knows nothing of what happens to
//! them; models, streams and duplicates are an [`super::overlay`] over it.

mod profile;
mod servegen;
#[cfg(test)]
pub(in crate::traffic) mod tests;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::Path;
use std::sync::Arc;

use rand_distr::{Distribution as _, Gamma};

pub use profile::{Burst, Profile};
pub use servegen::{CLIENT_SKEW, CLIENTS, CV, HOURLY, LENGTHS, Preset};

use super::distribution::{Distribution, Draws};
use super::overlay::Shares;
use super::scale::mixed;
use super::stream::Source;
use super::trace::{Batch, Fault, Fingerprint, Row, TraceError};
use super::weave::{Interned, Kind, Weaver};
use crate::gateway::draw::{Purpose, bits};
use crate::gateway::time::{Span, Time};

/// Made-up traffic. Every key has arrivals of its own; all that is drawn belongs to (seed, key, n-th arrival of the key).
#[derive(Debug, Clone)]
pub struct Synthetic {
    /// The first instant.
    pub start: Time,
    /// No request comes after this.
    pub duration: Span,
    /// Requests a second where the profile is 1, loops not counted.
    pub per_second: f64,
    /// How the rate changes with the time.
    pub profile: Profile,
    /// How a key's arrivals are spread.
    pub arrivals: Arrivals,
    /// The coefficient of variation of the time between a key's arrivals, drawn once a key; Poisson arrivals have 1.
    pub cv: Distribution,
    /// Who sends, and how much of it. Without any, requests have no key.
    pub keys: Option<Shares>,
    /// The n-th key is in team n modulo their number.
    pub teams: Vec<String>,
    /// Input tokens of a prompt that begins a conversation, or is all of it.
    pub input: Distribution,
    /// Output tokens.
    pub output: Distribution,
    /// No request has more input; a conversation ends before it would.
    pub input_max: u32,
    /// No request has more output.
    pub output_max: u32,
    /// Conversations, if there are any.
    pub sessions: Option<Sessions>,
    /// Keys that send one request again and again.
    pub loops: Vec<Loop>,
}

/// How arrivals are spread in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrivals {
    /// They know nothing of each other.
    Poisson,
    /// Gamma-distributed times between them.
    Gamma,
    /// Weibull-distributed times between them.
    Weibull,
}

/// Conversations: each turn sends all before it again, and a new message.
#[derive(Debug, Clone)]
pub struct Sessions {
    /// The share of all requests that are part of one, from 0 to 1.
    pub share: f64,
    /// Turns of one; at least 1.
    pub turns: Distribution,
    /// From the arrival of a turn to the arrival of the next: the answer's time and the user's.
    pub think: Distribution,
    /// New input tokens of a later turn.
    pub message: Distribution,
    /// Tokens in a block of the prefix.
    pub block_size: u32,
}

/// A client that repeats one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loop {
    /// Who it is.
    pub key: String,
    /// Since the start.
    pub from: Span,
    /// How long.
    pub lasts: Span,
    /// The time between two, above zero.
    pub every: Span,
}

/// What is drawn for a request: the lower four bits of the ordinal; the turn is above.
#[derive(Clone, Copy)]
enum Field {
    Gap,
    FirstGap,
    Kind,
    Turns,
    Think,
    Input,
    Output,
    Message,
    Cv,
}

/// What comes next; the earliest first, at one instant in the order of the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Next {
    at: Time,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// The `number`-th arrival of a key.
    Arrival { key: u32, number: u64 },
    /// A later turn of a conversation, whose last turn had so many tokens.
    Turn { subject: u64, key: u32, turn: u32, turns: u32, input: u32, output: u32 },
    /// A step of a loop.
    Step { index: u32, number: u64 },
}

/// One key's arrivals.
struct Sender {
    /// Arrivals a second where the profile is 1.
    per_second: f64,
    /// The time between two, with mean 1; its draws, seconds at the rate.
    gap: Distribution,
}

/// Made-up traffic, as it is made.
pub(super) struct Generated {
    synthetic: Arc<Synthetic>,
    seed: u64,
    senders: Vec<Sender>,
    /// The share of arrivals that begin a conversation.
    begins_session: f64,
    next: BinaryHeap<Reverse<Next>>,
    weaver: Weaver,
    keys: Interned,
    teams: Interned,
    rows: u64,
}

impl Generated {
    pub(super) fn new(synthetic: Arc<Synthetic>, seed: u64) -> Self {
        let (begins_session, requests_an_arrival) = synthetic.sessions.as_ref().map_or((0.0, 1.0), Sessions::mix);
        let arrivals_per_second = synthetic.per_second / requests_an_arrival;
        let count = synthetic.keys.as_ref().map_or(1, |keys| keys.names().len());
        let senders = (0..count).map(|key| {
            let share = synthetic.keys.as_ref().map_or(1.0, |keys| keys.share(key));
            let mut draws = Draws::new(seed, subject(key as u32, 0), Purpose::Traffic, Field::Cv as u32);
            // What the fits of gaps hold for.
            let cv = synthetic.cv.draw(&mut draws).clamp(0.05, 10.0);
            let gap = match synthetic.arrivals {
                Arrivals::Poisson => Distribution::Exponential { mean: 1.0 },
                Arrivals::Gamma => Distribution::gamma_of_mean(1.0, cv),
                Arrivals::Weibull => Distribution::weibull_of_mean(1.0, cv),
            };
            Sender { per_second: arrivals_per_second * share, gap }
        });
        let senders = senders.collect();
        let (keys, teams) = (Interned::default(), Interned::default());
        let mut made = Self { seed, senders, begins_session, next: BinaryHeap::new(), weaver: Weaver::default(), keys, teams, rows: 0, synthetic };
        let start = made.synthetic.start;
        for key in 0..count as u32 {
            made.schedule_arrival(start, key, 1);
        }
        for index in 0..made.synthetic.loops.len() as u32 {
            made.schedule_step(index, 0);
        }
        made
    }

    fn draws(&self, subject: u64, field: Field, turn: u32) -> Draws {
        Draws::new(self.seed, subject, Purpose::Traffic, turn << 4 | field as u32)
    }

    fn tokens(&self, distribution: &Distribution, (subject, field, turn): (u64, Field, u32), most: u32) -> u32 {
        let drawn = distribution.draw_whole(&mut self.draws(subject, field, turn));
        u32::try_from(drawn).unwrap_or(u32::MAX).clamp(1, most.max(1))
    }

    fn schedule_arrival(&mut self, now: Time, key: u32, number: u64) {
        let sender = &self.senders[key as usize];
        let subject = subject(key, number);
        // The first is met in the middle of a gap: the arrivals did not begin with the day.
        let gap = if number == 1 {
            remaining_gap(&sender.gap, &mut self.draws(subject, Field::FirstGap, 0))
        } else {
            sender.gap.draw(&mut self.draws(subject, Field::Gap, 0))
        };
        if let Some(at) = self.synthetic.profile.after(now, gap / sender.per_second, self.end()) {
            self.next.push(Reverse(Next { at, what: What::Arrival { key, number } }));
        }
    }

    fn schedule_step(&mut self, index: u32, number: u64) {
        let looping = &self.synthetic.loops[index as usize];
        let since = looping.every.0.saturating_mul(number);
        let at = self.synthetic.start + looping.from + Span(since);
        if since < looping.lasts.0 && at < self.end() {
            self.next.push(Reverse(Next { at, what: What::Step { index, number } }));
        }
    }

    fn schedule_turn(&mut self, Next { at, what }: Next) {
        let (What::Turn { subject, turn, turns, .. }, Some(sessions)) = (what, &self.synthetic.sessions) else { return };
        if turn >= turns {
            return;
        }
        let think = sessions.think.draw_whole(&mut self.draws(subject, Field::Think, turn));
        let at = at + Span(think);
        if at < self.end() {
            self.next.push(Reverse(Next { at, what }));
        }
    }

    fn end(&self) -> Time {
        self.synthetic.start + self.synthetic.duration
    }

    fn arrive(&mut self, at: Time, key: u32, number: u64) {
        self.schedule_arrival(at, key, number + 1);
        let subject = subject(key, number);
        let synthetic = Arc::clone(&self.synthetic);
        let input = self.tokens(&synthetic.input, (subject, Field::Input, 0), synthetic.input_max);
        let output = self.tokens(&synthetic.output, (subject, Field::Output, 0), synthetic.output_max);
        match &synthetic.sessions {
            Some(sessions) if self.draws(subject, Field::Kind, 0).uniform() < self.begins_session => {
                let turns = sessions.turns.draw_whole(&mut self.draws(subject, Field::Turns, 0)).max(1);
                let turns = u32::try_from(turns).unwrap_or(u32::MAX);
                self.turn(at, What::Turn { subject, key, turn: 0, turns, input, output });
            }
            _ => self.write(at, Some(key), Fingerprint::unique(subject), (input, output)),
        }
    }

    /// Sends a turn of a conversation, and sees to the next.
    fn turn(&mut self, at: Time, what: What) {
        let What::Turn { subject, key, turn, turns, input, output } = what else { return };
        let synthetic = Arc::clone(&self.synthetic);
        let Some(sessions) = &synthetic.sessions else { return };
        let (input, output) = if turn == 0 {
            (input, output)
        } else {
            let message = self.tokens(&sessions.message, (subject, Field::Message, turn), synthetic.input_max);
            let input = input.saturating_add(output).saturating_add(message);
            if input > synthetic.input_max {
                return;
            }
            (input, self.tokens(&synthetic.output, (subject, Field::Output, turn), synthetic.output_max))
        };
        let own = if turn == 0 { subject } else { mixed(subject) ^ u64::from(turn) };
        self.write(at, Some(key), Fingerprint::unique(own), (input, output));
        let session = self.weaver.intern(Kind::Session, &format!("session-{:x}", subject));
        let row = self.weaver.last_row();
        row.session = Some(session);
        row.block_size = sessions.block_size;
        let (seed, full, rest) = (self.seed, input / sessions.block_size, !input.is_multiple_of(sessions.block_size));
        // A full block is the same in every later turn; the rest of the last one is this turn's only.
        let block = |ordinal: u32| bits(seed, subject, Purpose::Traffic, ordinal);
        self.weaver.replace_blocks((0..full).map(|index| block(1 << 31 | index)).chain(rest.then(|| block(3 << 30 | turn))));
        self.schedule_turn(Next { at, what: What::Turn { subject, key, turn: turn + 1, turns, input, output } });
    }

    /// Sends a step of a loop: the same request each time.
    fn step(&mut self, at: Time, index: u32, number: u64) {
        let synthetic = Arc::clone(&self.synthetic);
        let subject = 1 << 63 | u64::from(index);
        let input = self.tokens(&synthetic.input, (subject, Field::Input, 0), synthetic.input_max);
        let output = self.tokens(&synthetic.output, (subject, Field::Output, 0), synthetic.output_max);
        let fingerprint = Fingerprint::of_halves([mixed(self.seed ^ subject), subject]);
        let name = &synthetic.loops[index as usize].key;
        let known = synthetic.keys.as_ref().and_then(|keys| keys.names().iter().position(|key| key == name));
        self.write(at, known.and_then(|key| u32::try_from(key).ok()), fingerprint, (input, output));
        self.weaver.last_row().key = Some(self.weaver.intern(Kind::Key, name));
        self.schedule_step(index, number + 1);
    }

    fn write(&mut self, at: Time, key: Option<u32>, fingerprint: Fingerprint, (input, output): (u32, u32)) {
        self.rows += 1;
        let mut row = Row::new(at, self.rows, fingerprint, input);
        row.output_tokens = Some(output);
        let synthetic = Arc::clone(&self.synthetic);
        if let (Some(keys), Some(key)) = (&synthetic.keys, key) {
            row.key = Some(self.keys.id(&mut self.weaver, Kind::Key, keys.names(), key as usize));
            let team = (key as usize).checked_rem(synthetic.teams.len());
            row.team = team.map(|team| self.teams.id(&mut self.weaver, Kind::Team, &synthetic.teams, team));
        }
        self.weaver.add(row, std::iter::empty());
    }
}

impl Source for Generated {
    fn next_batch(&mut self) -> Result<Option<Batch>, TraceError> {
        while !self.weaver.is_full() {
            let Some(Reverse(Next { at, what })) = self.next.pop() else { break };
            match what {
                What::Arrival { key, number } => self.arrive(at, key, number),
                What::Turn { .. } => self.turn(at, what),
                What::Step { index, number } => self.step(at, index, number),
            }
        }
        if self.rows == 0 {
            let hint = "state a higher rate or a longer duration under [traffic.synthetic]";
            return Err(TraceError::of_file(Fault::Empty, Path::new("synthetic traffic"), "no requests", hint));
        }
        Ok(self.weaver.take())
    }
}

impl Sessions {
    /// The share of arrivals that begin a conversation, and the mean number of requests that come of an arrival.
    fn mix(&self) -> (f64, f64) {
        // The mean of the turns as they are drawn: rounded, and at least 1.
        let mut mean = 1.0;
        for turns in 2..10_000 {
            let share = 1.0 - self.turns.cdf(f64::from(turns) - 0.5);
            if share < 1e-9 {
                break;
            }
            mean += share;
        }
        let begins = self.share / (mean - self.share * (mean - 1.0));
        (begins, 1.0 + begins * (mean - 1.0))
    }
}

/// What the draws about a key's `number`-th arrival are keyed by; 0 is the key itself.
const fn subject(key: u32, number: u64) -> u64 {
    (key as u64) << 40 | number
}

/// The rest of a gap that is met at a random moment: a uniform part of a gap drawn by its length.
fn remaining_gap(gap: &Distribution, draws: &mut Draws) -> f64 {
    const WHY: &str = "shapes are above 0";
    let met = match *gap {
        Distribution::Gamma { shape, scale } => Gamma::new(shape + 1.0, scale).expect(WHY).sample(draws),
        // x = scale * y^(1/shape) has the density x f(x) for y ~ Gamma(1 + 1/shape).
        Distribution::Weibull { shape, scale } => scale * Gamma::new(1.0 + 1.0 / shape, 1.0).expect(WHY).sample(draws).powf(1.0 / shape),
        // An exponential gap has no memory.
        ref other => return other.draw(draws),
    };
    met * draws.uniform()
}
