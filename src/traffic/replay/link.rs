//! Client retries in a log. Decides which rows are a client's second try of a request that failed, and makes one arrival of them: a replay
//! lets its clients try again by themselves. Knows no gateway.
//!
//! A row follows up a failed one (408, 409, 429, 500 and above) if a log says so (`request`), or if it asks for the same and comes when a client
//! library would: after the failed row's end, within its back-off or the longest Retry-After that it keeps to ([`sdk`] has both). "The same" is the
//! same key and fingerprint; without a fingerprint the same key, model, end user, session and input tokens. What could be either is kept as an
//! arrival, and counted.

use std::collections::VecDeque;

use super::renaming::Renaming;
use crate::gateway::id::Map;
use crate::gateway::time::{Span, Time};
use crate::traffic::sdk::{self, Sdk};
use crate::traffic::trace::{Batch, ClientAttempt, LeftAfter, NameId, Recorded, Row};

/// For the way from the gateway to the client and back, and for clocks of a log that are not one (U).
const SLACK: Span = Span::from_secs(1);
/// Rows and time after which a chain is cut that is longer than a library makes it: a loop that tries for ever must not hold back the traffic
/// behind it (U).
const CHAIN_ROWS_MAX: usize = 16;
const CHAIN_SPAN_MAX: Span = Span::from_secs(300);

/// What to do about client retries in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Retries {
    /// Make one arrival of a request and its retries. Without recorded failures, nothing changes.
    #[default]
    Link,
    /// Replay every row as an arrival.
    Keep,
}

/// What linking has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Links {
    /// Rows removed as arrivals: they belong to one before them.
    pub linked: u64,
    /// Arrivals that stand for more than one row.
    pub chains: u64,
    /// Rows that may be retries or not, kept as arrivals.
    pub ambiguous: u64,
    /// Rows passed on as arrivals, the ambiguous ones included.
    pub kept: u64,
}

/// Batches in, batches out: the same traffic without its client retries, in the same order.
///
/// Holds back what comes after a failed request until its retry must have come, so memory follows the traffic of up to five minutes.
#[derive(Debug)]
pub struct Linked<I> {
    batches: I,
    retries: Retries,
    linker: Linker,
    is_over: bool,
}

impl<I> Linked<I> {
    /// Links the client retries in `batches`, which are in time order.
    pub fn new(batches: I, retries: Retries) -> Self {
        Self { batches, retries, linker: Linker::default(), is_over: false }
    }

    /// What has been done so far.
    pub fn links(&self) -> Links {
        self.linker.links
    }

    /// Where the batches come from.
    pub fn inner(&self) -> &I {
        &self.batches
    }
}

impl<I: Iterator<Item = Result<Batch, E>>, E> Iterator for Linked<I> {
    type Item = Result<Batch, E>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(batch) = self.linker.ready.pop_front() {
                return Some(Ok(batch));
            }
            if self.is_over {
                return None;
            }
            match self.batches.next() {
                Some(Ok(batch)) if self.retries == Retries::Keep => return Some(Ok(batch)),
                Some(Ok(batch)) => self.linker.push(batch),
                Some(Err(error)) => {
                    self.is_over = true;
                    return Some(Err(error));
                }
                None => {
                    self.is_over = true;
                    self.linker.release(Time::MAX);
                }
            }
        }
    }
}

/// The place of a row: the number of its batch, its index in it.
type Place = (u32, u32);

#[derive(Debug, Default)]
struct Linker {
    /// Batches with rows that are held, and the number of the first.
    batches: VecDeque<Batch>,
    first_batch: u32,
    /// Rows that are not passed on yet, in their order.
    held: VecDeque<Held>,
    chains: Map<Place, Chain>,
    /// The first rows of chains that wait for a retry, by what the retry will look like.
    waiting: Map<Identity, Vec<Place>>,
    renaming: Renaming,
    next: Batch,
    ready: VecDeque<Batch>,
    links: Links,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    place: Place,
    /// Belongs to a chain that began before.
    is_linked: bool,
}

/// A request that failed, and what followed it.
#[derive(Debug)]
struct Chain {
    rows: Vec<Place>,
    began: Time,
    identity: Identity,
    retry: Window,
}

/// When a retry can come; empty once a chain is over.
#[derive(Debug, Clone, Copy)]
struct Window {
    from: Time,
    until: Time,
    /// The same without a Retry-After.
    usual: (Time, Time),
}

impl Window {
    const OVER: Self = Self { from: Time::MAX, until: Time(0), usual: (Time::MAX, Time(0)) };

    fn is_usual(&self, at: Time) -> bool {
        self.usual.0 <= at && at <= self.usual.1
    }
}

/// What two tries of one request have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Identity {
    /// The log says so.
    Request(u64),
    /// The key and the fingerprint.
    Content(Option<NameId>, u64, u64),
    /// Key, model, end user, session and input tokens; 0 tokens where the failed row does not know them.
    Size([Option<NameId>; 4], u32),
}

impl Identity {
    fn of_failed(row: &Row, recorded: &Recorded) -> Self {
        match recorded.request {
            Some(request) => Self::Request(request),
            None if !row.fingerprint.is_unique() => Self::content(row),
            None => Self::size(row, row.input_tokens),
        }
    }

    fn content(row: &Row) -> Self {
        Self::Content(row.key, row.fingerprint.0, row.fingerprint.1)
    }

    fn size(row: &Row, input_tokens: u32) -> Self {
        Self::Size([row.key, row.model, row.end_user, row.session], input_tokens)
    }

    /// Whether it is the same by more than chance: somebody asked, and the less is known of the size, the more must be known of who.
    fn is_telling(self) -> bool {
        match self {
            Self::Request(_) | Self::Content(..) => true,
            Self::Size([_, _, end_user, session], 0) => end_user.is_some() || session.is_some(),
            Self::Size([key, _, end_user, session], _) => key.is_some() || end_user.is_some() || session.is_some(),
        }
    }
}

impl Linker {
    fn push(&mut self, batch: Batch) {
        let has_failures = batch.rows.iter().any(|row| batch.recorded(row).is_some_and(is_retried));
        if !has_failures && self.held.is_empty() && self.renaming.is_identity() {
            self.renaming.keep(&batch.first_seen);
            self.links.kept += batch.rows.len() as u64;
            self.ready.push_back(batch);
            return;
        }
        self.renaming.learn(&batch.first_seen);
        let number = self.first_batch + self.batches.len() as u32;
        for (row, index) in batch.rows.iter().zip(0..) {
            let recorded = batch.recorded(row).copied().unwrap_or_default();
            self.see((number, index), row, &recorded);
        }
        let now = batch.rows.last().map_or(Time(0), |row| row.at);
        self.batches.push_back(batch);
        self.release(now);
    }

    /// Decides about the next row.
    fn see(&mut self, place: Place, row: &Row, recorded: &Recorded) {
        let first = if self.waiting.is_empty() { None } else { self.followed_up(row, recorded) };
        self.held.push_back(Held { place, is_linked: first.is_some() });
        if let Some(first) = first {
            self.follow_up(first, place, row, recorded);
        } else if is_retried(recorded) {
            let identity = Identity::of_failed(row, recorded);
            let retry = window(row, recorded, identity, 1);
            self.chains.insert(place, Chain { rows: vec![place], began: row.at, identity, retry });
            self.waiting.entry(identity).or_default().push(place);
        }
        if first.is_none() {
            self.links.kept += 1;
        }
    }

    /// The first row of the chain that this row continues.
    fn followed_up(&mut self, row: &Row, recorded: &Recorded) -> Option<Place> {
        let is_marked = recorded.retry == Some(true);
        let known = [recorded.request.map(Identity::Request), (!row.fingerprint.is_unique()).then(|| Identity::content(row))];
        if let Some(first) = known.into_iter().flatten().find_map(|identity| self.candidates(identity, row.at).next()) {
            return Some(first);
        }
        let mut by_size = [Identity::size(row, row.input_tokens), Identity::size(row, 0)].into_iter();
        // A row of 0 tokens is one identity, not two.
        let by_size = by_size.by_ref().take(if row.input_tokens == 0 { 1 } else { 2 });
        let mut found: Vec<(Place, Identity)> =
            by_size.flat_map(|identity| self.candidates(identity, row.at).map(move |first| (first, identity))).collect();
        // Of several, the one whose turn it is: the others would have had a Retry-After.
        let is_due = |(first, _): &(Place, Identity)| self.chains[first].retry.is_usual(row.at);
        if found.iter().filter(|candidate| is_due(candidate)).count() == 1 {
            found.retain(is_due);
        }
        match found.as_slice() {
            [] if !is_marked => None,
            [(first, identity)] if is_marked || identity.is_telling() => Some(*first),
            [(first, _), _, ..] if is_marked => Some(*first),
            _ => {
                self.links.ambiguous += 1;
                None
            }
        }
    }

    /// The chains, oldest first, whose retry would look like this and could come now.
    fn candidates(&self, identity: Identity, now: Time) -> impl Iterator<Item = Place> {
        let waiting = self.waiting.get(&identity).map_or(&[][..], Vec::as_slice);
        waiting.iter().copied().filter(move |first| {
            let chain = &self.chains[first];
            chain.retry.from <= now && now <= chain.retry.until
        })
    }

    /// Adds a row to a chain, which waits on if that has failed too.
    fn follow_up(&mut self, first: Place, place: Place, row: &Row, recorded: &Recorded) {
        let chain = self.chains.get_mut(&first).expect("a chain waits until its first row is passed on");
        chain.rows.push(place);
        self.links.linked += 1;
        self.links.chains += u64::from(chain.rows.len() == 2);
        stop_waiting(&mut self.waiting, chain.identity, first);
        let tries = chain.rows.len();
        let is_usual = Sdk::KNOWN.iter().any(|sdk| tries <= sdk.retries as usize);
        let goes_on = is_retried(recorded) && (is_usual || tries < CHAIN_ROWS_MAX && row.at.since(chain.began) < CHAIN_SPAN_MAX);
        chain.retry = Window::OVER;
        if goes_on {
            chain.identity = Identity::of_failed(row, recorded);
            chain.retry = window(row, recorded, chain.identity, chain.rows.len());
            self.waiting.entry(chain.identity).or_default().push(first);
        }
    }

    /// Passes on what nothing can change any more, now that all rows up to this time are known.
    fn release(&mut self, now: Time) {
        while let Some(held) = self.held.front().copied() {
            let chain = self.chains.get(&held.place);
            if chain.is_some_and(|chain| now <= chain.retry.until && now < Time::MAX) {
                break;
            }
            self.held.pop_front();
            let chain = self.chains.remove(&held.place);
            if let Some(chain) = &chain {
                stop_waiting(&mut self.waiting, chain.identity, held.place);
            }
            if !held.is_linked {
                self.pass_on(held.place, chain.map_or_else(Vec::new, |chain| chain.rows));
            }
        }
        self.cut();
        let first = self.held.front().map_or(self.first_batch + self.batches.len() as u32, |held| held.place.0);
        while self.first_batch < first {
            self.batches.pop_front();
            self.first_batch += 1;
        }
    }

    fn pass_on(&mut self, place: Place, chain: Vec<Place>) {
        let last = chain.last().copied().unwrap_or(place);
        let row = |place: Place| {
            let batch = &self.batches[(place.0 - self.first_batch) as usize];
            (batch, &batch.rows[place.1 as usize])
        };
        let (batch, last) = row(last);
        self.next.push(batch, last);
        if chain.len() > 1 {
            let rows: Vec<(&Batch, &Row)> = chain.into_iter().map(row).collect();
            merge(&mut self.next, &rows);
        }
        let renaming = &mut self.renaming;
        self.next.rename_last(|kind, id| renaming.rename(kind, id));
        if self.next.is_full() {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if !self.next.rows.is_empty() {
            let mut batch = std::mem::take(&mut self.next);
            batch.first_seen = self.renaming.take_new();
            self.ready.push_back(batch);
        }
    }
}

fn is_retried(recorded: &Recorded) -> bool {
    recorded.status.is_some_and(sdk::is_retried)
}

/// When the retry of a failed row can come that is the `tries`-th of its chain.
fn window(row: &Row, recorded: &Recorded, identity: Identity, tries: usize) -> Window {
    let end = row.at + recorded.duration.unwrap_or(Span::ZERO);
    let nth = u32::try_from(tries - 1).unwrap_or(u32::MAX);
    // Only these two come with Retry-After as a rule.
    let names_a_time = matches!(recorded.status, Some(429 | 503));
    let (back_off, retry_after, soonest) = Sdk::KNOWN.iter().fold(((Span::ZERO, Span::MAX), Span::ZERO, Span::MAX), |so_far, sdk| {
        let ((longest, shortest), retry_after, soonest) = so_far;
        let own = sdk.back_off(nth);
        ((longest.max(own.0), shortest.min(own.1)), retry_after.max(sdk.retry_after_max), soonest.min(sdk.back_off(0).1))
    });
    // Most libraries have given up by then: within a minute the same user's next request is likelier than another try.
    let is_unusual = Sdk::KNOWN.iter().all(|sdk| nth >= sdk.retries) && matches!(identity, Identity::Size(..));
    let usual = (end + back_off.1, end + back_off.0 + SLACK);
    let until = if names_a_time && !is_unusual { end + retry_after + SLACK } else { usual.1 };
    let from = match identity {
        // A gateway's own next attempt needs no client: the log may have it begin before this one's end.
        Identity::Request(_) => row.at,
        Identity::Content(..) => end,
        // Who repeats a known content at once is trying again too; the same sizes at once are chance.
        Identity::Size(..) if is_unusual => usual.0,
        Identity::Size(..) => end + soonest,
    };
    Window { from, until, usual }
}

fn stop_waiting(waiting: &mut Map<Identity, Vec<Place>>, identity: Identity, first: Place) {
    if let Some(chains) = waiting.get_mut(&identity) {
        chains.retain(|chain| *chain != first);
        if chains.is_empty() {
            waiting.remove(&identity);
        }
    }
}

/// Makes the last row of `next`, a copy of the last of `rows`, stand for all of them: it asks what the first asked when the first asked it, and its
/// sizes are those of the row that completed.
fn merge(next: &mut Batch, rows: &[(&Batch, &Row)]) {
    let (Some((_, first)), Some((last_batch, last)), Some(row)) = (rows.first(), rows.last(), next.rows.last_mut()) else { return };
    let waited = last.at.since(first.at);
    (row.at, row.line, row.model, row.key, row.team) = (first.at, first.line, first.model, first.key, first.team);
    if !first.fingerprint.is_unique() {
        row.fingerprint = first.fingerprint;
    }
    if row.input_tokens == 0 {
        row.input_tokens = rows.iter().map(|(_, row)| row.input_tokens).max().unwrap_or(0);
    }
    row.max_tokens = row.max_tokens.or(first.max_tokens);
    row.stream = row.stream.or(first.stream);
    if let Some(LeftAfter::Waited(span)) = row.left_after {
        row.left_after = Some(LeftAfter::Waited(span + waited));
    }
    let attempts = rows.iter().map(|(batch, row)| {
        let recorded = batch.recorded(row).copied().unwrap_or_default();
        ClientAttempt { at: row.at, line: row.line, input_tokens: row.input_tokens, output_tokens: row.output_tokens, recorded }
    });
    let start = next.client_attempts.len();
    next.client_attempts.extend(attempts);
    let attempts = &next.client_attempts[start..];
    let mut recorded = last_batch.recorded(last).copied().unwrap_or_default();
    recorded.ttft = recorded.ttft.map(|span| span + waited);
    recorded.duration = recorded.duration.map(|span| span + waited);
    recorded.cost = attempts.iter().filter_map(|attempt| attempt.recorded.cost).reduce(|sum, cost| sum + cost);
    recorded.attempts = attempts.iter().filter_map(|attempt| attempt.recorded.attempts).reduce(u32::saturating_add);
    recorded.fallbacks = attempts.iter().filter_map(|attempt| attempt.recorded.fallbacks).reduce(u32::saturating_add);
    recorded.client_attempts.start = start as u32;
    recorded.client_attempts.end = next.client_attempts.len() as u32;
    next.record_last(recorded);
}
