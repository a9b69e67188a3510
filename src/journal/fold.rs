//! What whoever drives keeps of the facts beside the gateway, so that it outlives the process as the gateway does. Decides how it is told and kept;
//! does not know what it is.

use std::fmt;

use super::buffer::Buffer;
use crate::gateway::Gateway;
use crate::gateway::id::RequestId;
use crate::gateway::journal::{Fact, Journal};
use crate::gateway::time::Time;

/// A fold of all facts of a journal. At a start it goes on from a checkpoint, and is told every fact since.
pub trait Fold {
    /// The name of its bytes in a checkpoint.
    fn name(&self) -> &'static str;

    /// Goes on from a checkpoint with this gateway. `section` is what [`Self::section`] has put there: `None` if it was not there yet. Bytes that it
    /// can't read, because another version has put them there, are no error either.
    fn begin(&mut self, gateway: &Gateway, section: Option<&[u8]>);

    /// Takes a fact, as it was recorded.
    fn take(&mut self, at: Time, request: Option<RequestId>, fact: &Fact);

    /// What it is now, for a checkpoint.
    fn section(&self) -> Section;
}

/// Keeps nothing.
impl Fold for () {
    fn name(&self) -> &'static str {
        "nothing"
    }

    fn begin(&mut self, _: &Gateway, _: Option<&[u8]>) {}

    fn take(&mut self, _: Time, _: Option<RequestId>, _: &Fact) {}

    fn section(&self) -> Section {
        Section::new(self.name(), Vec::new)
    }
}

/// Bytes under a name, for a checkpoint. Copied as quickly as it goes, under the lock of the gateway, and encoded without it.
pub struct Section {
    pub(super) name: &'static str,
    encode: Box<dyn Fn() -> Vec<u8> + Send + Sync>,
}

impl Section {
    /// What `encode` makes, under this name.
    pub fn new(name: &'static str, encode: impl Fn() -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self { name, encode: Box::new(encode) }
    }

    /// The bytes.
    pub fn bytes(&self) -> Vec<u8> {
        (self.encode)()
    }
}

impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Section").field(&self.name).finish()
    }
}

/// Records into a buffer what a fold is told, too.
pub(super) struct Both<'a> {
    pub(super) buffer: &'a mut Buffer,
    pub(super) fold: &'a mut dyn Fold,
}

impl Journal for Both<'_> {
    fn record(&mut self, at: Time, request: Option<RequestId>, fact: impl FnOnce() -> Fact) {
        let fact = fact();
        self.fold.take(at, request, &fact);
        self.buffer.record(at, request, || fact);
    }
}
