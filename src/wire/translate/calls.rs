//! The calls of tools in a stream of chat completions: which piece belongs to which, and when one is complete. Writes nothing.
//!
//! The Messages API has one block open at a time. Most providers send one call after another, which passes at once; where the pieces of several
//! come in turn, those of the later ones are held until the arguments of the earlier one are a whole object.

use super::super::json::Value;

/// Held arguments are let go beyond so many bytes, whatever is open then.
const HELD_BYTES_MAX: usize = 4 << 20;

/// The calls so far.
#[derive(Debug, Default)]
pub(super) struct Calls {
    calls: Vec<Call>,
    /// The first that has not been opened.
    next: usize,
    held_bytes: usize,
}

/// A call.
#[derive(Debug, Default)]
pub(super) struct Call {
    index: Option<u64>,
    pub(super) id: String,
    pub(super) name: String,
    identity: String,
    held: String,
    depth: u32,
    in_string: bool,
    after_backslash: bool,
    has_closed: bool,
}

impl Call {
    /// Takes note of arguments.
    pub(super) fn scan(&mut self, arguments: &str) {
        for byte in arguments.bytes() {
            match byte {
                _ if self.after_backslash => self.after_backslash = false,
                b'\\' if self.in_string => self.after_backslash = true,
                b'"' => self.in_string = !self.in_string,
                b'{' | b'[' if !self.in_string => self.depth += 1,
                b'}' | b']' if !self.in_string => {
                    self.depth = self.depth.saturating_sub(1);
                    self.has_closed |= self.depth == 0;
                }
                _ => {}
            }
        }
    }

    /// Whether its arguments are a whole object.
    pub(super) fn is_complete(&self) -> bool {
        self.has_closed
    }
}

impl Calls {
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// The place of the call that a piece belongs to; a new one if it begins one. Pieces are told apart by `index`; some copies of the API have none,
    /// or the same for all, but then each call comes with an `id`.
    pub(super) fn take(&mut self, piece: Value<'_>) -> usize {
        let index = piece.get("index").and_then(Value::whole);
        let id = piece.some("id").and_then(Value::string).filter(|id| !id.is_empty());
        let same_index = |call: &Call| index.is_none() || call.index == index;
        let same_id = |call: &Call| id.as_ref().is_none_or(|id| call.identity.is_empty() || call.identity == **id);
        let known = match &id {
            // Without an index, an identity that is new is a call that is new.
            Some(id) if index.is_none() => self.calls.iter().rposition(|call| call.identity == **id),
            _ => self.calls.iter().rposition(same_index).filter(|at| same_id(&self.calls[*at])),
        };
        let at = known.unwrap_or_else(|| {
            self.calls.push(Call { index, ..Call::default() });
            self.calls.len() - 1
        });
        let call = &mut self.calls[at];
        if let Some(id) = id.filter(|_| call.identity.is_empty()) {
            call.identity = id.clone().into_owned();
            call.id = id.into_owned();
        }
        if let Some(name) = piece.some("function").and_then(|function| function.some("name")).and_then(Value::string).filter(|_| at >= self.next) {
            call.name = name.into_owned();
        }
        at
    }

    pub(super) fn get(&mut self, at: usize) -> &mut Call {
        &mut self.calls[at]
    }

    /// Keeps arguments of a call that is not open. What comes after a call was closed is lost: its arguments were whole.
    pub(super) fn hold(&mut self, at: usize, arguments: &str) {
        if at >= self.next {
            self.calls[at].held.push_str(arguments);
            self.held_bytes += arguments.len();
        }
    }

    /// Whether more is held than should be.
    pub(super) fn is_overfull(&self) -> bool {
        self.held_bytes > HELD_BYTES_MAX
    }

    /// The next call to be opened, with its place and what was held of it.
    pub(super) fn next_held(&mut self) -> Option<(usize, &mut Call, String)> {
        let at = self.next;
        let call = self.calls.get_mut(at)?;
        self.next += 1;
        let held = std::mem::take(&mut call.held);
        self.held_bytes -= held.len();
        call.scan(&held);
        Some((at, call, held))
    }
}
