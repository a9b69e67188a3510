//! A turn: all that one input did, as it lies in a frame. Decides how facts are spelt; knows no file.

use postcard::take_from_bytes;

use super::frame;
use crate::gateway::id::RequestId;
use crate::gateway::journal::{Fact, Record};
use crate::gateway::plan::Plan;
use crate::gateway::time::{Span, Time};

/// What comes before a fact: about whom it is.
pub(super) mod about {
    /// Nobody.
    pub(in crate::journal) const NONE: u8 = 0;
    /// The request of the fact before.
    pub(in crate::journal) const SAME: u8 = 1;
    /// A request, whose number follows.
    pub(in crate::journal) const REQUEST: u8 = 2;
    /// No fact, but the plan that the next one is about.
    pub(in crate::journal) const PLAN: u8 = 3;
}

/// One turn of a gateway.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Turn {
    /// Its number; the first of a journal has 1.
    pub number: u64,
    /// When.
    pub at: Time,
    /// The plan that it goes over to, if it does.
    pub plan: Option<Box<Plan>>,
    /// What it was told and has decided, in order.
    pub records: Vec<Record>,
}

impl Turn {
    /// Reads the payload of a turn that comes after this one into it.
    ///
    /// # Errors
    /// If it is not spelt like a turn.
    pub(super) fn read_next(&mut self, mut payload: &[u8]) -> Result<(), postcard::Error> {
        self.records.clear();
        self.plan = None;
        let passed: u64 = take(&mut payload)?;
        self.at = Time(self.at.0.checked_add(passed).ok_or(postcard::Error::DeserializeBadVarint)?);
        self.number += 1;
        let mut same = None;
        while let Some((tag, rest)) = payload.split_first() {
            payload = rest;
            let request = match *tag {
                about::NONE => None,
                about::SAME => same,
                about::REQUEST => {
                    same = Some(RequestId(take(&mut payload)?));
                    same
                }
                about::PLAN => {
                    self.plan = Some(take(&mut payload)?);
                    continue;
                }
                _ => return Err(postcard::Error::DeserializeBadEncoding),
            };
            let fact: Fact = take(&mut payload)?;
            self.records.push(Record { at: self.at, request, fact });
        }
        Ok(())
    }
}

/// Puts turns at the end of a buffer, one after the other.
#[derive(Debug)]
pub(super) struct Writer {
    /// When the last turn was: times are counted from there.
    at: Time,
    /// The turn that is being written: where its frame began, and the request of its last fact.
    open: Option<(usize, Option<RequestId>)>,
}

impl Writer {
    pub(super) const fn new(at: Time) -> Self {
        Self { at, open: None }
    }

    pub(super) const fn at(&self) -> Time {
        self.at
    }

    pub(super) fn record(&mut self, bytes: &mut Vec<u8>, at: Time, request: Option<RequestId>, fact: &Fact) {
        self.open(bytes, at);
        let same = self.open.as_mut().map(|(_, same)| same).expect("it is open");
        match request {
            None => bytes.push(about::NONE),
            Some(id) if *same == Some(id) => bytes.push(about::SAME),
            Some(id) => {
                *same = request;
                bytes.push(about::REQUEST);
                put(bytes, &id.0);
            }
        }
        put(bytes, fact);
    }

    pub(super) fn plan(&mut self, bytes: &mut Vec<u8>, at: Time, plan: &Plan) {
        self.open(bytes, at);
        bytes.push(about::PLAN);
        put(bytes, plan);
    }

    /// Ends the turn, if anything was recorded in it.
    pub(super) fn end(&mut self, bytes: &mut [u8]) -> bool {
        let Some((start, _)) = self.open.take() else { return false };
        frame::end(bytes, start);
        true
    }

    /// Where the frame of a turn began that has not ended.
    pub(super) fn open_since(&self) -> Option<usize> {
        self.open.map(|(start, _)| start)
    }

    /// What there is of a turn that has not ended is at the beginning of another buffer.
    pub(super) fn moved_to_front(&mut self) {
        if let Some((start, _)) = &mut self.open {
            *start = 0;
        }
    }

    fn open(&mut self, bytes: &mut Vec<u8>, at: Time) {
        if self.open.is_none() {
            self.open = Some((frame::begin(bytes, frame::kind::TURN), None));
            let Span(passed) = at.since(self.at);
            put(bytes, &passed);
            self.at = at;
        }
        debug_assert_eq!(at, self.at, "a turn has one time");
    }
}

/// Puts the spelling of `value` at the end of `bytes`.
pub(super) fn put<T: serde::Serialize + ?Sized>(bytes: &mut Vec<u8>, value: &T) {
    *bytes = postcard::to_extend(value, std::mem::take(bytes)).expect("what the core knows can be spelt");
}

/// Takes a value from the front of `bytes`.
pub(super) fn take<T: serde::de::DeserializeOwned>(bytes: &mut &[u8]) -> Result<T, postcard::Error> {
    let (value, rest) = take_from_bytes(bytes)?;
    *bytes = rest;
    Ok(value)
}
