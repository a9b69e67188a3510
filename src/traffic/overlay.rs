//! What a trace does not tell, laid over it: senders, models, streams, clients that leave, duplicates, max_tokens. Decides which rows get what;
//! knows nothing of gateways.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use rand_distr::{Distribution as _, Zipf};

use super::distribution::{Distribution, Draws};
use super::replay::link::Links;
use super::scale::mixed;
use super::stream::Source;
use super::trace::{Batch, Fingerprint, LeftAfter, NameId, Row, Trace, TraceError};
use super::weave::{Incoming, Interned, Kind, Weaver};
use crate::gateway::draw::{Purpose, below, bits};
use crate::gateway::id::Map;
use crate::gateway::time::{Span, Time};

/// What is laid over a trace. Each field is drawn by itself: stating another changes none of its draws.
///
/// Draws belong to the row, or to its session: requests of one session have one sender and one model. Rows that the trace knows to be duplicates
/// of each other ask for the same model, stream and max_tokens, or they would be none.
#[derive(Debug, Clone, Default)]
pub struct Overlay {
    /// Its number among the overlays over one stream: each has draws of its own.
    pub layer: u32,
    /// Rows that have a field already get another all the same. Otherwise only what a row lacks is filled in.
    pub replace: bool,
    /// Keys, the one with the largest share first.
    pub keys: Option<Shares>,
    /// Teams: the n-th key is in team n modulo their number; a key of the trace in the team that its name draws.
    pub teams: Vec<String>,
    /// Models asked for.
    pub models: Option<Shares>,
    /// The share of requests that ask for a stream, in millionths.
    pub stream_per_million: Option<u32>,
    /// The share of requests whose client leaves unless it has its answer by then, in millionths, and when.
    pub abandon: Option<(u32, Patience)>,
    /// The limit on output tokens, never below the output that the row records.
    pub max_tokens: Option<Distribution>,
    /// Requests that come again.
    pub duplicates: Option<Duplicates>,
}

/// Names and how often each comes.
#[derive(Debug, Clone, PartialEq)]
pub struct Shares {
    names: Vec<String>,
    /// The share of a name and all before it; the last is 1.
    until: Vec<f64>,
}

/// When a client leaves.
#[derive(Debug, Clone, PartialEq)]
pub enum Patience {
    /// After so many nanoseconds.
    Waited(Distribution),
    /// After it has received so many output tokens.
    Tokens(Distribution),
}

/// Requests that come again: with the prompt, the sizes, the model, the stream and the max_tokens of another, but from their own sender.
///
/// Sessions are left alone, and, unless the overlay replaces, requests that the trace knows the identity of.
#[derive(Debug, Clone, PartialEq)]
pub struct Duplicates {
    /// The share of requests that are one, where there is one to repeat, in millionths.
    pub per_million: u32,
    /// The exponent of Zipf's law, from 0, over what may be repeated.
    pub zipf: f64,
    /// What may be repeated.
    pub of: Repeated,
}

/// What a duplicate repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeated {
    /// A request that the same key made at most so long ago, the latest most often.
    Within(Span),
    /// One of so many standing prompts, whenever it was last asked. Each is the first request that draws it.
    Standing(u32),
}

impl Overlay {
    /// Whether nothing is laid over.
    pub fn is_nothing(&self) -> bool {
        let Self { keys, teams, models, stream_per_million, abandon, max_tokens, duplicates, replace: _, layer: _ } = self;
        let senders = keys.is_none() && teams.is_empty();
        let asked = models.is_none() && stream_per_million.is_none() && max_tokens.is_none() && duplicates.is_none();
        senders && asked && abandon.is_none()
    }

    /// The row without the names that the overlay gives every row.
    fn without_names(&self, row: &Row) -> Row {
        let mut row = row.clone();
        row.key = row.key.filter(|_| self.keys.is_none());
        row.team = row.team.filter(|_| self.teams.is_empty());
        row.model = row.model.filter(|_| self.models.is_none());
        row
    }
}

impl Shares {
    /// Names with these weights, at least one of which is above 0.
    pub fn weighted(names: Vec<String>, weights: impl Iterator<Item = f64>) -> Self {
        let mut sum = 0.0;
        let mut until: Vec<f64> = weights
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect();
        until.iter_mut().for_each(|until| *until /= sum);
        Self { names, until }
    }

    /// Names by Zipf's law: the n-th has a share proportional to n^-exponent.
    pub fn zipf(names: Vec<String>, exponent: f64) -> Self {
        let weights: Vec<f64> = (1..=names.len()).map(|rank| (rank as f64).powf(-exponent)).collect();
        Self::weighted(names, weights.into_iter())
    }

    /// The names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The share of the name at `index`.
    pub fn share(&self, index: usize) -> f64 {
        self.until[index] - index.checked_sub(1).map_or(0.0, |before| self.until[before])
    }

    fn draw(&self, draws: &mut Draws) -> usize {
        let place = draws.uniform();
        self.until.partition_point(|until| *until <= place).min(self.until.len() - 1)
    }
}

/// The decisions about a row: the upper half of the ordinal of a draw.
#[derive(Clone, Copy)]
enum Field {
    Key,
    Team,
    Model,
    Stream,
    Abandon,
    Patience,
    MaxTokens,
    Duplicate,
    Original,
}

/// A request that may come again.
struct Original {
    at: Time,
    row: Row,
    blocks: Vec<u64>,
}

/// A stream with an overlay over it.
pub(super) struct Overlaid {
    source: Box<dyn Source>,
    overlay: Arc<Overlay>,
    seed: u64,
    weaver: Weaver,
    incoming: Incoming,
    keys: Interned,
    teams: Interned,
    models: Interned,
    /// By session id, what its draws are keyed by.
    sessions: Vec<Option<u64>>,
    recent: Map<Option<NameId>, VecDeque<Original>>,
    standing: Map<u64, Original>,
}

impl Overlaid {
    pub(super) fn new(source: Box<dyn Source>, overlay: Arc<Overlay>, seed: u64) -> Self {
        Self {
            source,
            overlay,
            seed,
            weaver: Weaver::default(),
            incoming: Incoming::unchanged(),
            keys: Interned::default(),
            teams: Interned::default(),
            models: Interned::default(),
            sessions: Vec::new(),
            recent: Map::default(),
            standing: Map::default(),
        }
    }

    fn draws(&self, subject: u64, field: Field) -> Draws {
        Draws::new(self.seed, subject, Purpose::Overlay, self.ordinal(field))
    }

    fn ordinal(&self, field: Field) -> u32 {
        self.overlay.layer << 16 | 1 << 8 | field as u32
    }

    fn happens(&self, subject: u64, field: Field, per_million: u32) -> bool {
        below(bits(self.seed, subject, Purpose::Overlay, self.ordinal(field)), 1_000_000) < u64::from(per_million)
    }

    /// What the draws about a row's sender are keyed by: its session, else the row.
    fn sender(&mut self, row: &Row) -> u64 {
        let Some(session) = row.session else { return row.subject() };
        if self.sessions.len() <= session.index() {
            self.sessions.resize(session.index() + 1, None);
        }
        *self.sessions[session.index()].get_or_insert_with(|| text_subject(self.incoming.name(Kind::Session, session)))
    }

    fn lay_over(&mut self, from: &Batch, row: &Row) {
        let (sender, request) = (self.sender(row), same_request(row));
        let overlay = Arc::clone(&self.overlay);
        // A name that is replaced everywhere is none of the stream's.
        let replaced = overlay.replace.then(|| overlay.without_names(row));
        self.weaver.push(&mut self.incoming, 0, from, replaced.as_ref().unwrap_or(row));
        self.lay_sender(&overlay, row, sender);
        let lacks = |has: bool| overlay.replace || !has;
        if let Some(models) = overlay.models.as_ref().filter(|_| lacks(row.model.is_some())) {
            let asker = if row.session.is_some() { sender } else { request };
            let index = models.draw(&mut self.draws(asker, Field::Model));
            let model = self.models.id(&mut self.weaver, Kind::Model, &models.names, index);
            self.weaver.last_row().model = Some(model);
        }
        if let Some(per_million) = overlay.stream_per_million.filter(|_| lacks(row.stream.is_some())) {
            self.weaver.last_row().stream = Some(self.happens(request, Field::Stream, per_million));
        }
        if let Some(limit) = overlay.max_tokens.as_ref().filter(|_| lacks(row.max_tokens.is_some())) {
            let drawn = u32::try_from(limit.draw_whole(&mut self.draws(request, Field::MaxTokens))).unwrap_or(u32::MAX);
            self.weaver.last_row().max_tokens = Some(drawn.max(row.output_tokens.unwrap_or(0)).max(1));
        }
        if let Some((per_million, patience)) = overlay.abandon.as_ref().filter(|_| lacks(row.left_after.is_some())) {
            let leaves = self.happens(row.subject(), Field::Abandon, *per_million);
            self.weaver.last_row().left_after = leaves.then(|| patience.draw(&mut self.draws(row.subject(), Field::Patience)));
        }
        if let Some(duplicates) = &overlay.duplicates
            && row.session.is_none()
            && lacks(!row.fingerprint.is_unique())
        {
            self.lay_duplicate(duplicates, row);
        }
    }

    fn lay_sender(&mut self, overlay: &Overlay, row: &Row, sender: u64) {
        let lacks = |has: bool| overlay.replace || !has;
        let mut key_index = None;
        if let Some(keys) = overlay.keys.as_ref().filter(|_| lacks(row.key.is_some())) {
            let index = keys.draw(&mut self.draws(sender, Field::Key));
            let key = self.keys.id(&mut self.weaver, Kind::Key, &keys.names, index);
            self.weaver.last_row().key = Some(key);
            key_index = Some(index);
        }
        if overlay.teams.is_empty() || !lacks(row.team.is_some()) {
            return;
        }
        let index = key_index.unwrap_or_else(|| {
            let subject = row.key.map_or(sender, |key| text_subject(self.incoming.name(Kind::Key, key)));
            below(bits(self.seed, subject, Purpose::Overlay, self.ordinal(Field::Team)), overlay.teams.len() as u64) as usize
        });
        let team = self.teams.id(&mut self.weaver, Kind::Team, &overlay.teams, index % overlay.teams.len());
        self.weaver.last_row().team = Some(team);
    }

    /// Makes the last row the duplicate of another, or one that others may repeat.
    fn lay_duplicate(&mut self, duplicates: &Duplicates, row: &Row) {
        if row.fingerprint.is_unique() {
            // So that a duplicate has an identity to share, also in a file.
            self.weaver.last_row().fingerprint = own_fingerprint(self.overlay.layer, row.subject());
        }
        let repeats = self.happens(row.subject(), Field::Duplicate, duplicates.per_million);
        let mut draws = self.draws(row.subject(), Field::Original);
        // From 0 to below `count`, the first most often.
        let mut rank = |count: f64| Zipf::new(count, duplicates.zipf).expect("a count from 1 and an exponent from 0").sample(&mut draws) as usize - 1;
        match duplicates.of {
            Repeated::Within(window) => {
                let recent = self.recent.entry(self.weaver.last_row().key).or_default();
                while recent.back().is_some_and(|original| row.at.since(original.at) > window) {
                    recent.pop_back();
                }
                if repeats && !recent.is_empty() {
                    repeat(&mut self.weaver, &recent[rank(recent.len() as f64)]);
                } else {
                    recent.push_front(remembered(&mut self.weaver));
                }
            }
            Repeated::Standing(count) if repeats => {
                let number = rank(count.into()) as u64;
                match self.standing.get(&number) {
                    Some(original) => repeat(&mut self.weaver, original),
                    None => {
                        self.standing.insert(number, remembered(&mut self.weaver));
                    }
                }
            }
            Repeated::Standing(_) => {}
        }
    }
}

impl Source for Overlaid {
    fn next_batch(&mut self) -> Result<Option<Batch>, TraceError> {
        let Some(batch) = self.source.next_batch()? else { return Ok(None) };
        self.incoming.learn(&batch);
        for row in &batch.rows {
            self.lay_over(&batch, row);
        }
        // As many rows as before: a batch has at least one.
        Ok(self.weaver.take())
    }

    fn trace(&self) -> Option<&Trace> {
        self.source.trace()
    }

    fn links(&self) -> Links {
        self.source.links()
    }
}

impl Default for Patience {
    /// Half have left after 10 s, 95 % after 60 s (U).
    fn default() -> Self {
        Self::Waited(Distribution::lognormal(1e10, 6e10))
    }
}

impl Patience {
    fn draw(&self, draws: &mut Draws) -> LeftAfter {
        match self {
            Self::Waited(distribution) => LeftAfter::Waited(Span(distribution.draw_whole(draws))),
            Self::Tokens(distribution) => LeftAfter::Tokens(u32::try_from(distribution.draw_whole(draws)).unwrap_or(u32::MAX)),
        }
    }
}

/// The last row, as it is now.
fn remembered(weaver: &mut Weaver) -> Original {
    let row = weaver.last_row().clone();
    Original { at: row.at, blocks: weaver.blocks_of(&row).to_vec(), row }
}

/// Makes the last row ask what `original` asked.
fn repeat(weaver: &mut Weaver, Original { row: original, blocks, .. }: &Original) {
    let row = weaver.last_row();
    row.fingerprint = original.fingerprint;
    row.model = original.model;
    row.input_tokens = original.input_tokens;
    row.output_tokens = original.output_tokens;
    row.max_tokens = original.max_tokens;
    row.stream = original.stream;
    row.block_size = original.block_size;
    // What the log saw was the answer to another prompt.
    row.recorded = None;
    weaver.replace_blocks(blocks.iter().copied());
}

/// The identity of a row that has none, as no other row has it.
fn own_fingerprint(layer: u32, subject: u64) -> Fingerprint {
    Fingerprint::of_halves([mixed(0x6f76_6572_6c61_7900 | u64::from(layer)), subject])
}

/// What draws about what is asked are keyed by: rows that the trace knows to be one request ask it alike.
const fn same_request(row: &Row) -> u64 {
    let [high, low] = row.fingerprint.halves();
    if row.fingerprint.is_unique() { row.subject() } else { (high ^ mixed(low)) | 1 << 63 }
}

/// What draws about a named thing are keyed by: above the numbers of rows.
fn text_subject(name: &str) -> u64 {
    Fingerprint::of_text(name).halves()[1] | 1 << 63
}
