//! Server-sent events: where one ends in a stream of chunks, what it says, and how one is written. Knows no dialect.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};

/// Finds the ends of events in chunks, however these are cut. Lines end with CR, LF or both; an empty line ends an event.
#[derive(Debug, Clone, Copy)]
pub struct Boundaries {
    line_is_empty: bool,
    after_cr: bool,
    /// An event has ended with a CR at the end of the bytes; whether its LF follows is not known yet.
    waits_for_lf: bool,
}

impl Default for Boundaries {
    fn default() -> Self {
        Self { line_is_empty: true, after_cr: false, waits_for_lf: false }
    }
}

impl Boundaries {
    /// The length of the part of `bytes` up to the end of the event that they begin in or go on with; `None` if it does not end in them.
    /// What comes next is to be asked with the bytes after that part. An event that ends with a CR alone ends when the next byte is seen, so that
    /// the halves of a line end stay together; 0 is the answer then.
    pub fn next(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.waits_for_lf {
            let follows = *bytes.first()? == b'\n';
            (self.waits_for_lf, self.after_cr) = (false, false);
            return Some(usize::from(follows));
        }
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            at += 1;
            match byte {
                b'\n' if self.after_cr => self.after_cr = false,
                b'\n' | b'\r' => {
                    self.after_cr = *byte == b'\r';
                    if std::mem::replace(&mut self.line_is_empty, true) {
                        if self.after_cr {
                            match bytes.get(at) {
                                None => {
                                    self.waits_for_lf = true;
                                    return None;
                                }
                                Some(b'\n') => at += 1,
                                Some(_) => {}
                            }
                            self.after_cr = false;
                        }
                        return Some(at);
                    }
                }
                _ => {
                    (self.line_is_empty, self.after_cr) = (false, false);
                    // The rest of the line has nothing to say.
                    at += line_length(&bytes[at..]);
                }
            }
        }
        None
    }
}

/// What an event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// Its name; empty if it has none.
    pub name: &'a [u8],
    /// Its data, lines joined by LF; `None` if it has none, as a comment.
    pub data: Option<Cow<'a, [u8]>>,
}

impl<'a> Event<'a> {
    /// Reads the bytes of one event. A byte order mark at the front is passed over.
    pub fn read(block: &'a [u8]) -> Self {
        let block = block.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(block);
        let mut event = Self { name: b"", data: None };
        let mut rest = block;
        while !rest.is_empty() {
            let line = &rest[..line_length(rest)];
            rest = &rest[(line.len() + 1).min(rest.len())..];
            let (field, value) = match line.iter().position(|byte| *byte == b':') {
                Some(colon) => (&line[..colon], &line[colon + 1..]),
                None => (line, &b""[..]),
            };
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match field {
                b"data" => match &mut event.data {
                    Some(data) => {
                        data.to_mut().push(b'\n');
                        data.to_mut().extend_from_slice(value);
                    }
                    none => *none = Some(Cow::Borrowed(value)),
                },
                b"event" => event.name = value,
                _ => {}
            }
        }
        event
    }
}

/// How many bytes come before the first CR or LF; all if there is none.
fn line_length(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut at = 0;
    // Eight at a time, as lines are long: a byte is zero where taking one from it borrows and its own high bit is not set.
    while let Some((word, _)) = bytes[at..].split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*word);
        let zero = |word: u64| word.wrapping_sub(ONES) & !word;
        let found = (zero(word ^ (ONES * u64::from(b'\n'))) | zero(word ^ (ONES * u64::from(b'\r')))) & (ONES << 7);
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    bytes[at..].iter().position(|byte| matches!(byte, b'\n' | b'\r')).map_or(bytes.len(), |more| at + more)
}

/// Writes an event; without a name if that is empty. `data` has no line ends, as JSON has none outside of strings.
pub fn write(out: &mut BytesMut, name: &str, data: &[u8]) {
    debug_assert!(!data.iter().any(|byte| matches!(byte, b'\n' | b'\r')), "data of one line");
    out.reserve(name.len() + data.len() + 16);
    if !name.is_empty() {
        out.put_slice(b"event: ");
        out.put_slice(name.as_bytes());
        out.put_slice(b"\n");
    }
    out.put_slice(b"data: ");
    out.put_slice(data);
    out.put_slice(b"\n\n");
}

/// A comment, which clients pass over: keeps a silent connection from being taken for dead.
pub const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// The last event of streams in `OpenAI`'s dialect, that of responses aside.
pub const DONE: &[u8] = b"data: [DONE]\n\n";

#[cfg(test)]
mod tests;
