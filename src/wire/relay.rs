//! A streamed answer on its way: what the upstream sends goes in, what the client gets comes out, the same bytes where nothing has to change.
//! Knows what it has cost and whether it is whole; decides nothing about calls.
//!
//! Only whole events leave, so that an error event can follow at any time. An error event of the upstream does not leave: it is
//! [`Relay::failure`], and the driver says it in its own words or tries elsewhere. Tokens are counted while they pass, as no usage comes after a
//! cut: the larger of the number of events with content and a quarter of its bytes, rounded up, which is more than a tokenizer would count for
//! most text (U), as what is presumed must not be below the bill.

mod watch;

use std::collections::VecDeque;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

use self::watch::Watch;
use super::answer::Broken;
use super::sse::{self, Boundaries, Event};
use super::usage::UsageFault;
use super::{Dialect, Endpoint, Inbound, translate};
use crate::gateway::failure::FailureClass;
use crate::gateway::plan::ServiceClass;
use crate::gateway::rate_card::Usage;

/// The longest event that is read, in bytes. Events hold a few tokens; the last of a stream of responses holds the whole answer.
pub const EVENT_BYTES_MAX: usize = 16 << 20;

/// Writes the events of one dialect as those of the other. What it keeps in memory is bounded by what one answer opens.
pub trait Rewrite: Send {
    /// Takes an event of the upstream, and appends what the client gets for it. Says where in `out` the usage stands alone, if it was appended:
    /// that part stays here unless the client asked for it.
    fn event(&mut self, event: &Event<'_>, out: &mut BytesMut) -> Option<Range<usize>>;

    /// The upstream has sent all that belongs to the answer, and no more comes: appends what is still missing, as [`Self::event`].
    fn finish(&mut self, out: &mut BytesMut) -> Option<Range<usize>>;
}

/// How a stream is ended by its upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With all that belongs to it.
    Whole,
    /// Before that, or with an error.
    Cut,
}

/// A stream between upstream and client.
pub struct Relay {
    endpoint: Endpoint,
    boundaries: Boundaries,
    /// The beginning of an event whose end has not come.
    held: BytesMut,
    watch: Watch,
    rewrite: Option<Box<dyn Rewrite>>,
    /// Where events are written anew.
    written: BytesMut,
    /// Usage was not asked for by the client, so its event stays here.
    strips_usage: bool,
    out: VecDeque<(Bytes, u32)>,
    delivered: u32,
    record: Option<Record>,
}

/// A copy of the stream as it would be with usage, up to a length.
struct Record {
    bytes: BytesMut,
    most: usize,
}

/// What becomes of an event.
enum Verdict {
    Pass,
    Drop,
}

impl Relay {
    /// The relay of an answer to `inbound` from an upstream that speaks `dialect`.
    pub fn new(inbound: &Inbound, dialect: Dialect) -> Self {
        let same = dialect == inbound.endpoint.dialect();
        Self {
            endpoint: inbound.endpoint,
            boundaries: Boundaries::default(),
            held: BytesMut::new(),
            watch: Watch::new(upstream_endpoint(inbound.endpoint, dialect), inbound.choices),
            rewrite: if same { None } else { Some(translate::stream(inbound)) },
            written: BytesMut::new(),
            strips_usage: !inbound.include_usage,
            out: VecDeque::new(),
            delivered: 0,
            record: None,
        }
    }

    /// Keeps a copy of the answer from now on, of at most `most` bytes, to be asked for with [`Self::recorded`].
    pub fn record(&mut self, most: usize) {
        self.record = Some(Record { bytes: BytesMut::new(), most });
    }

    /// Takes what has come from upstream. After [`Self::is_over`] nothing more is read.
    pub fn push(&mut self, chunk: Bytes) {
        let (mut at, mut kept_from) = (0, 0);
        while !self.is_over() {
            let Some(length) = self.boundaries.next(&chunk[at..]) else { break };
            let end = at + length;
            if self.held.is_empty() {
                if let Verdict::Drop = self.event(&chunk[at..end]) {
                    self.give(chunk.slice(kept_from..at));
                    kept_from = end;
                }
            } else {
                self.held.extend_from_slice(&chunk[at..end]);
                let block = self.held.split().freeze();
                if let Verdict::Pass = self.event(&block) {
                    self.give(block);
                }
                kept_from = end;
            }
            at = end;
        }
        self.give(chunk.slice(kept_from..at));
        if !self.is_over() {
            self.held.extend_from_slice(&chunk[at..]);
            if self.held.len() > EVENT_BYTES_MAX {
                self.watch.fail(FailureClass::BadGateway, "the provider's stream has an event of more than 16 MiB".into());
                self.held = BytesMut::new();
            }
        }
    }

    /// The upstream has no more to send. An answer that is whole is ended as its dialect ends one, even if the upstream did not.
    pub fn finish(&mut self) -> Ended {
        if !self.is_over() && !self.held.is_empty() {
            // The last line end may be missing; half an event is none.
            let mut block = self.held.split();
            let is_whole = Event::read(&block).data.is_none_or(|data| self.watch.can_read(&data));
            block.extend_from_slice(b"\n\n");
            let block = block.freeze();
            if is_whole && matches!(self.event(&block), Verdict::Pass) {
                self.give(block);
            }
        }
        if !self.watch.is_whole() {
            return Ended::Cut;
        }
        let is_over = std::mem::replace(&mut self.watch.is_over, true);
        if let Some(mut rewrite) = self.rewrite.take() {
            let usage = rewrite.finish(&mut self.written);
            self.give_written(usage);
        } else if !is_over && matches!(self.endpoint, Endpoint::ChatCompletions | Endpoint::Completions) {
            self.end_with(sse::DONE);
        } else if !is_over && self.endpoint == Endpoint::Messages {
            self.end_with(b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
        }
        Ended::Whole
    }

    /// What the upstream should have sent last.
    fn end_with(&mut self, block: &'static [u8]) {
        self.keep(block);
        self.give(Bytes::from_static(block));
    }

    /// The next bytes for the client, once the driver is free to pass them on.
    pub fn take(&mut self) -> Option<Bytes> {
        let (bytes, received) = self.out.pop_front()?;
        self.delivered = received;
        Some(bytes)
    }

    /// Whether bytes wait for the client.
    pub fn has_output(&self) -> bool {
        !self.out.is_empty()
    }

    /// What the provider says it bills; `None` while it has not said so, or if what it says can't be believed ([`Self::usage_fault`]).
    pub fn usage(&self) -> Option<Usage> {
        self.watch.tally.usage().ok().flatten().filter(|_| self.watch.has_final_usage)
    }

    /// Why the provider's usage is not believed.
    pub fn usage_fault(&self) -> Option<UsageFault> {
        self.watch.tally.usage().err()
    }

    /// The class of service that the answer is made in, if the provider says so.
    pub fn service(&self) -> Option<ServiceClass> {
        self.watch.service
    }

    /// Output tokens that have come, estimated.
    pub fn received(&self) -> u32 {
        self.watch.received()
    }

    /// An upper bound on the output tokens that have come: none is less than a byte of content, but for one an event that frames it. What the
    /// provider does not show is not in it.
    pub fn received_max(&self) -> u32 {
        self.watch.received_max()
    }

    /// Output tokens in what [`Self::take`] has given, estimated; at most [`Self::received`].
    pub fn delivered(&self) -> u32 {
        self.delivered
    }

    /// Whether content has begun: text, thinking, or a call of a tool, not just the frame around it.
    pub fn has_content(&self) -> bool {
        self.watch.received() > 0
    }

    /// Whether the upstream has said its last word. What waits for the client then includes the last bytes of the answer.
    pub fn is_over(&self) -> bool {
        self.watch.is_over || self.watch.failure.is_some()
    }

    /// Why the stream is not what it should be, if so; nothing more of it is to be passed on.
    pub fn failure(&self) -> Option<&Broken> {
        self.watch.failure.as_ref()
    }

    /// The copy of the answer, usage included; `None` if none was kept, or it was too long.
    pub fn recorded(&mut self) -> Option<Bytes> {
        self.record.take().map(|record| record.bytes.freeze())
    }

    /// Reads an event. Says whether it goes on as it is; what it becomes otherwise waits for the client already.
    fn event(&mut self, block: &[u8]) -> Verdict {
        let event = Event::read(block);
        let is_usage_alone = match &event.data {
            Some(data) => self.watch.see(event.name, data),
            None => false,
        };
        if self.watch.failure.is_some() {
            return Verdict::Drop;
        }
        if let Some(rewrite) = &mut self.rewrite {
            let usage = rewrite.event(&event, &mut self.written);
            self.give_written(usage);
            return Verdict::Drop;
        }
        self.keep(block);
        if is_usage_alone && self.strips_usage { Verdict::Drop } else { Verdict::Pass }
    }

    fn give(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.out.push_back((bytes, self.watch.received()));
        }
    }

    /// Keeps what was written anew, and gives it to the client; its usage only if the client asked for it.
    fn give_written(&mut self, usage: Option<Range<usize>>) {
        let written = self.written.split().freeze();
        self.keep(&written);
        match usage.filter(|_| self.strips_usage) {
            Some(usage) => {
                self.give(written.slice(..usage.start));
                self.give(written.slice(usage.end..));
            }
            None => self.give(written),
        }
    }

    fn keep(&mut self, block: &[u8]) {
        let Some(record) = &mut self.record else { return };
        if record.bytes.len() + block.len() > record.most {
            self.record = None;
        } else {
            record.bytes.extend_from_slice(block);
        }
    }
}

/// The endpoint that the upstream was asked at.
pub(super) fn upstream_endpoint(endpoint: Endpoint, dialect: Dialect) -> Endpoint {
    match dialect {
        _ if endpoint.dialect() == dialect => endpoint,
        Dialect::OpenAi => Endpoint::ChatCompletions,
        Dialect::Anthropic => Endpoint::Messages,
    }
}

#[cfg(test)]
mod tests;
