//! Writes JSON piece by piece into bytes. What is copied from another text stays as it was escaped there. Knows no dialect.

/// A JSON text that is being written. Commas come by themselves; what is opened must be closed.
#[derive(Debug, Default)]
pub(super) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes) }
    }

    /// The text so far.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    pub(super) fn object(&mut self) {
        self.separate();
        self.out.push(b'{');
    }

    pub(super) fn end_object(&mut self) {
        self.out.push(b'}');
    }

    pub(super) fn list(&mut self) {
        self.separate();
        self.out.push(b'[');
    }

    pub(super) fn end_list(&mut self) {
        self.out.push(b']');
    }

    /// A key without anything to escape.
    pub(super) fn key(&mut self, key: &'static str) {
        self.separate();
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// A value as it stands in another text.
    pub(super) fn raw(&mut self, value: &[u8]) {
        self.separate();
        self.out.extend_from_slice(value);
    }

    pub(super) fn string(&mut self, text: &str) {
        self.separate();
        serde_json::to_writer(&mut self.out, text).expect("a string can be written");
    }

    /// A string put together from pieces that are escaped already.
    pub(super) fn pieces<'a>(&mut self, pieces: impl IntoIterator<Item = &'a str>) {
        self.separate();
        self.out.push(b'"');
        for piece in pieces {
            self.out.extend_from_slice(piece.as_bytes());
        }
        self.out.push(b'"');
    }

    pub(super) fn number(&mut self, number: u64) {
        self.raw(number.to_string().as_bytes());
    }

    /// A key and its value as it stands in another text.
    pub(super) fn field(&mut self, key: &'static str, value: &[u8]) {
        self.key(key);
        self.raw(value);
    }

    /// A key and its value, both as they stand in another text.
    pub(super) fn entry(&mut self, key: &[u8], value: &[u8]) {
        self.raw(key);
        self.out.push(b':');
        self.out.extend_from_slice(value);
    }

    /// A key and a string.
    pub(super) fn text(&mut self, key: &'static str, text: &str) {
        self.key(key);
        self.string(text);
    }

    /// A key and a number.
    pub(super) fn count(&mut self, key: &'static str, number: u64) {
        self.key(key);
        self.number(number);
    }

    fn separate(&mut self) {
        if !matches!(self.out.last(), None | Some(b'{' | b'[' | b':')) {
            self.out.push(b',');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_come_between_and_nowhere_else() {
        let mut writer = Writer::new();
        writer.object();
        writer.text("a", "x{");
        writer.key("b");
        writer.list();
        writer.number(1);
        writer.raw(b"{}");
        writer.pieces(["\\n", ":"]);
        writer.string("\"");
        writer.end_list();
        writer.key("c");
        writer.object();
        writer.end_object();
        writer.count("d", 2);
        writer.end_object();
        assert_eq!(String::from_utf8(writer.into_bytes()).unwrap(), r#"{"a":"x{","b":[1,{},"\n:","\""],"c":{},"d":2}"#);
    }
}
