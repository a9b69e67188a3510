//! A JSON text as a flat list of its values and their places, made in one pass. The values stay in the text; what they mean is not known here.

use std::borrow::Cow;
use std::ops::Range;

/// How deep values may stand in each other.
pub const DEPTH_MAX: u32 = 128;
/// How many values one text may have; 16 bytes are kept for each.
pub const VALUES_MAX: usize = 1 << 22;

/// The places of the values of a text, in its order.
#[derive(Debug, Clone, Default)]
pub struct Document {
    nodes: Vec<Node>,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `{..}`.
    Object,
    /// `[..]`.
    Array,
    /// `".."`.
    String,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// `null`.
    Null,
}

impl Kind {
    /// In words, for messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Object => "an object",
            Self::Array => "a list",
            Self::String => "a string",
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::Null => "null",
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Node {
    start: u32,
    end: u32,
    /// The node after this one and all within it.
    next: u32,
    kind: Kind,
    /// A string with a backslash in it.
    escaped: bool,
}

/// What is wrong with a text, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The byte.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

impl Fault {
    /// Line and column, both from 1, the column in characters.
    pub fn place(&self, text: &[u8]) -> (usize, usize) {
        let before = &text[..self.at.min(text.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        // Bytes that go on a character begin with 10.
        let column = before[start..].iter().filter(|byte| **byte & 0xC0 != 0x80).count() + 1;
        (line, column)
    }
}

impl Document {
    /// Reads a text.
    ///
    /// # Errors
    /// If it is not one JSON value in UTF-8, or is deeper than [`DEPTH_MAX`], or has more than [`VALUES_MAX`] values or 4 GiB.
    pub fn parse(text: &[u8]) -> Result<Self, Fault> {
        Self::parse_to(DEPTH_MAX, text)
    }

    /// Reads a text of which nobody wants what stands more than `depth` deep: there, lists and objects look empty, and count as one value.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_to(depth: u32, text: &[u8]) -> Result<Self, Fault> {
        let likely = if depth < DEPTH_MAX { 64 } else { text.len() / 16 + 8 };
        let mut document = Self { nodes: Vec::with_capacity(likely) };
        document.read_to(depth, text)?;
        Ok(document)
    }

    /// Reads a text in place of the one before.
    ///
    /// # Errors
    /// As [`Self::parse`]; the document is of no use then.
    pub fn read(&mut self, text: &[u8]) -> Result<(), Fault> {
        self.read_to(DEPTH_MAX, text)
    }

    fn read_to(&mut self, depth: u32, text: &[u8]) -> Result<(), Fault> {
        self.nodes.clear();
        if u32::try_from(text.len()).is_err() {
            return Err(Fault { at: 0, what: "the text has 4 GiB or more" });
        }
        if let Err(error) = std::str::from_utf8(text) {
            return Err(Fault { at: error.valid_up_to(), what: "the text is not UTF-8" });
        }
        let mut scan = Scan { text, at: 0, depth, nodes: &mut self.nodes };
        scan.skip_space();
        scan.value(0)?;
        scan.skip_space();
        if scan.at < text.len() { Err(scan.fault("there is something after the end of the value")) } else { Ok(()) }
    }

    /// The value of the whole text, which must be the text that was read.
    pub fn root<'a>(&'a self, text: &'a [u8]) -> Value<'a> {
        assert!(!self.nodes.is_empty(), "a text was read");
        Value { text, nodes: &self.nodes, at: 0 }
    }
}

/// A value in its text.
#[derive(Debug, Clone, Copy)]
pub struct Value<'a> {
    text: &'a [u8],
    nodes: &'a [Node],
    at: usize,
}

impl<'a> Value<'a> {
    /// What it is.
    #[inline]
    pub fn kind(self) -> Kind {
        self.node().kind
    }

    /// Whether it is `null`.
    #[inline]
    pub fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    /// Its place in the text.
    pub fn span(self) -> Range<usize> {
        self.node().start as usize..self.node().end as usize
    }

    /// Its text, quotes included.
    pub fn raw(self) -> &'a [u8] {
        &self.text[self.span()]
    }

    /// The text of a string; `None` for anything else.
    pub fn string(self) -> Option<Cow<'a, str>> {
        let node = self.node();
        if node.kind != Kind::String {
            return None;
        }
        let inner = self.inner();
        Some(if node.escaped { Cow::Owned(unescape(inner)) } else { Cow::Borrowed(inner) })
    }

    /// Whether it is the string `text`.
    #[inline]
    pub fn is(self, text: &str) -> bool {
        let node = self.node();
        node.kind == Kind::String && if node.escaped { self.string().as_deref() == Some(text) } else { self.written() == text.as_bytes() }
    }

    /// The bytes of a string as they stand in the text, without the quotes; none for anything else.
    #[inline]
    pub fn written(self) -> &'a [u8] {
        let node = self.node();
        if node.kind == Kind::String { &self.text[node.start as usize + 1..node.end as usize - 1] } else { b"" }
    }

    /// How many bytes its text has in the body; at least as many as the string that it stands for has in UTF-8. 0 for anything but a string.
    pub fn string_bytes(self) -> usize {
        self.written().len()
    }

    /// A string as it is written, without its quotes; `None` for anything else.
    pub fn string_raw(self) -> Option<&'a str> {
        (self.kind() == Kind::String).then(|| self.inner())
    }

    /// Whether a string has escapes in it.
    pub fn is_escaped(self) -> bool {
        self.node().escaped
    }

    /// The value of a boolean; `None` for anything else.
    pub fn boolean(self) -> Option<bool> {
        (self.kind() == Kind::Boolean).then(|| self.raw() == b"true")
    }

    /// The value of a whole number from 0 on; `None` for anything else. `5.0` and `5e0` are whole.
    pub fn whole(self) -> Option<u64> {
        if self.kind() != Kind::Number {
            return None;
        }
        let text = std::str::from_utf8(self.raw()).ok()?;
        if let Ok(number) = text.parse() {
            return Some(number);
        }
        // Some clients write all numbers as floats; up to 2^53 they are exact.
        let float: f64 = text.parse().ok()?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number between 0 and 2^53")]
        (float.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(&float)).then_some(float as u64)
    }

    /// The value of a number; `None` for anything else.
    pub fn number(self) -> Option<f64> {
        if self.kind() == Kind::Number { std::str::from_utf8(self.raw()).ok()?.parse().ok() } else { None }
    }

    /// The value under a key of an object, the last if there are several; `None` if there is none or this is no object.
    #[inline]
    pub fn get(self, key: &str) -> Option<Self> {
        self.entries().filter(|(name, _)| name.is(key)).last().map(|(_, value)| value)
    }

    /// As [`Self::get`], but `None` where the value is `null`.
    pub fn some(self, key: &str) -> Option<Self> {
        self.get(key).filter(|value| !value.is_null())
    }

    /// Keys and values of an object, in their order; none for anything else.
    #[inline]
    pub fn entries(self) -> impl Iterator<Item = (Self, Self)> {
        let mut inside = self.inside(Kind::Object);
        std::iter::from_fn(move || Some((inside.next()?, inside.next()?)))
    }

    /// The values of a list; none for anything else.
    pub fn items(self) -> impl Iterator<Item = Self> {
        self.inside(Kind::Array)
    }

    /// All values within it and itself, in the order of the text; keys are among them.
    pub fn all(self) -> impl Iterator<Item = Self> {
        (self.at..self.node().next as usize).map(move |at| Self { at, ..self })
    }

    /// Keys and values, or items, in turn.
    #[inline]
    fn inside(self, kind: Kind) -> impl Iterator<Item = Self> {
        let end = if self.kind() == kind { self.node().next as usize } else { 0 };
        let mut at = self.at + 1;
        std::iter::from_fn(move || {
            let value = Self { at, ..self };
            (at < end).then(|| {
                at = value.node().next as usize;
                value
            })
        })
    }

    #[inline]
    fn node(self) -> Node {
        self.nodes[self.at]
    }

    fn inner(self) -> &'a str {
        let Range { start, end } = self.span();
        std::str::from_utf8(&self.text[start + 1..end - 1]).expect("the text was checked, and quotes are characters")
    }
}

/// The text that a checked string with escapes stands for.
fn unescape(inner: &str) -> String {
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let code = rest.as_bytes()[at + 1];
        let mut length = 2;
        out.push(match code {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => {
                let (character, units) = character(&rest[at..]);
                length = 6 * units;
                character
            }
            other => char::from(other),
        });
        rest = &rest[at + length..];
    }
    out.push_str(rest);
    out
}

/// The character of `\uXXXX` or of a pair of them, and how many there are.
fn character(text: &str) -> (char, usize) {
    let unit = |at: usize| u32::from_str_radix(&text[at..at + 4], 16).expect("the escape was checked");
    let first = unit(2);
    if (0xD800..0xDC00).contains(&first) {
        let code = 0x1_0000 + ((first - 0xD800) << 10) + (unit(8) - 0xDC00);
        return (char::from_u32(code).expect("a pair of surrogates is a character"), 2);
    }
    (char::from_u32(first).expect("a lone surrogate was refused"), 1)
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    /// Lists and objects so deep are kept without what is in them.
    depth: u32,
    nodes: &'a mut Vec<Node>,
}

impl Scan<'_> {
    fn value(&mut self, depth: u32) -> Result<(), Fault> {
        let before = self.nodes.len();
        self.any(depth)?;
        if depth > self.depth {
            self.nodes.truncate(before);
        }
        Ok(())
    }

    fn any(&mut self, depth: u32) -> Result<(), Fault> {
        match self.peek() {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word(b"true", Kind::Boolean),
            b'f' => self.word(b"false", Kind::Boolean),
            b'n' => self.word(b"null", Kind::Null),
            _ if self.at == self.text.len() => Err(self.fault("the text ends where a value should be")),
            _ => Err(self.fault("there is no JSON value here")),
        }
    }

    fn object(&mut self, depth: u32) -> Result<(), Fault> {
        let node = self.open(Kind::Object, depth)?;
        if self.peek() == b'}' {
            return self.close(node, depth);
        }
        loop {
            if self.peek() != b'"' {
                return Err(self.fault("a key in double quotes should be here"));
            }
            self.string()?;
            self.skip_space();
            if self.peek() != b':' {
                return Err(self.fault("`:` should be here"));
            }
            self.at += 1;
            self.skip_space();
            self.value(depth + 1)?;
            self.skip_space();
            match self.peek() {
                b',' => self.at += 1,
                b'}' => return self.close(node, depth),
                _ => return Err(self.fault("`,` or `}` should be here")),
            }
            self.skip_space();
        }
    }

    fn array(&mut self, depth: u32) -> Result<(), Fault> {
        let node = self.open(Kind::Array, depth)?;
        if self.peek() == b']' {
            return self.close(node, depth);
        }
        loop {
            self.value(depth + 1)?;
            self.skip_space();
            match self.peek() {
                b',' => self.at += 1,
                b']' => return self.close(node, depth),
                _ => return Err(self.fault("`,` or `]` should be here")),
            }
            self.skip_space();
        }
    }

    fn open(&mut self, kind: Kind, depth: u32) -> Result<usize, Fault> {
        if depth >= DEPTH_MAX {
            return Err(self.fault("values stand more than 128 deep in each other"));
        }
        let node = self.nodes.len();
        self.add(kind, self.at, false)?;
        self.at += 1;
        self.skip_space();
        Ok(node)
    }

    fn close(&mut self, node: usize, depth: u32) -> Result<(), Fault> {
        self.at += 1;
        if depth >= self.depth {
            self.nodes.truncate(node + 1);
        }
        let next = short(self.nodes.len());
        let open = &mut self.nodes[node];
        (open.end, open.next) = (short(self.at), next);
        Ok(())
    }

    fn string(&mut self) -> Result<(), Fault> {
        let start = self.at;
        let mut escaped = false;
        self.at += 1;
        loop {
            self.at = plain_until(self.text, self.at);
            match self.peek() {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                _ if self.at == self.text.len() => return Err(Fault { at: start, what: "this string has no end" }),
                _ => return Err(self.fault("a control character in a string must be escaped")),
            }
        }
        self.at += 1;
        self.add(Kind::String, start, escaped)
    }

    fn escape(&mut self) -> Result<(), Fault> {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let first = self.unit(self.at)?;
                let is_low = |unit: u16| (0xDC00..0xE000).contains(&unit);
                if (0xD800..0xDC00).contains(&first) {
                    if self.text.get(self.at + 6..self.at + 8) != Some(b"\\u") || !is_low(self.unit(self.at + 6)?) {
                        return Err(self.fault("half a surrogate pair is no character"));
                    }
                    self.at += 6;
                } else if is_low(first) {
                    return Err(self.fault("half a surrogate pair is no character"));
                }
                self.at += 6;
            }
            _ => return Err(self.fault("there is no such escape")),
        }
        Ok(())
    }

    /// The code unit of the `\uXXXX` at `at`.
    fn unit(&self, at: usize) -> Result<u16, Fault> {
        let fault = Fault { at, what: "`\\u` needs four hexadecimal digits" };
        let digits = self.text.get(at + 2..at + 6).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit)).ok_or(fault)?;
        let digits = std::str::from_utf8(digits).map_err(|_| fault)?;
        u16::from_str_radix(digits, 16).map_err(|_| fault)
    }

    fn number(&mut self) -> Result<(), Fault> {
        let start = self.at;
        if self.peek() == b'-' {
            self.at += 1;
        }
        let whole = self.at;
        self.digits()?;
        if self.text[whole] == b'0' && self.at > whole + 1 {
            return Err(Fault { at: start, what: "a number does not begin with a zero" });
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
        }
        self.add(Kind::Number, start, false)
    }

    fn digits(&mut self) -> Result<(), Fault> {
        if !self.peek().is_ascii_digit() {
            return Err(self.fault("a digit should be here"));
        }
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        Ok(())
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Result<(), Fault> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.fault("there is no JSON value here"));
        }
        let start = self.at;
        self.at += word.len();
        self.add(kind, start, false)
    }

    fn add(&mut self, kind: Kind, start: usize, escaped: bool) -> Result<(), Fault> {
        if self.nodes.len() == VALUES_MAX {
            return Err(self.fault("the text has more than 4,194,304 values"));
        }
        let next = short(self.nodes.len() + 1);
        self.nodes.push(Node { start: short(start), end: short(self.at), next, kind, escaped });
        Ok(())
    }

    fn skip_space(&mut self) {
        while let b' ' | b'\n' | b'\r' | b'\t' = self.peek() {
            self.at += 1;
        }
    }

    /// The byte here; 0 at the end, which no rule has a use for.
    #[inline]
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn fault(&self, what: &'static str) -> Fault {
        Fault { at: self.at, what }
    }
}

/// The first byte from `at` on that ends the plain part of a string: a quote, a backslash, a control character, or the end of the text.
fn plain_until(text: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES << 7;
    // Eight bytes at a time: a byte is zero where taking one from it borrows and its own high bit is not set. The lowest such byte is right.
    while let Some((word, _)) = text[at..].split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*word);
        let (quote, backslash) = (word ^ (ONES * u64::from(b'"')), word ^ (ONES * u64::from(b'\\')));
        let zero = |word: u64| word.wrapping_sub(ONES) & !word;
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (zero(quote) | zero(backslash) | control) & HIGHS;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    text[at..].iter().position(ends).map_or(text.len(), |more| at + more)
}

#[inline]
fn short(place: usize) -> u32 {
    u32::try_from(place).expect("the text is shorter than 4 GiB")
}

#[cfg(test)]
pub(in crate::wire) mod tests;
