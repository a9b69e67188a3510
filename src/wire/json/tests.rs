use proptest::prelude::*;

use super::*;

/// Arbitrary JSON values.
pub(in crate::wire) fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        // Quarters, which every reader of floats has exactly.
        any::<i32>().prop_map(|quarters| (f64::from(quarters) / 4.0).into()),
        "\\PC{0,12}|[\"\\\\\u{8}\n\u{1F600}é]{0,6}".prop_map(serde_json::Value::String),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::vec(("[a-z_\"é]{0,6}", inner), 0..6).prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// What a document says, value by value.
fn rebuilt(value: Value<'_>) -> serde_json::Value {
    match value.kind() {
        Kind::Object => value.entries().map(|(key, value)| (key.string().unwrap().into_owned(), rebuilt(value))).collect(),
        Kind::Array => value.items().map(rebuilt).collect(),
        Kind::String => value.string().unwrap().into(),
        Kind::Number | Kind::Boolean | Kind::Null => serde_json::from_slice(value.raw()).unwrap(),
    }
}

proptest! {
    #[test]
    fn a_document_says_what_its_text_says(json in any_json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_vec_pretty(&json).unwrap() } else { json.to_string().into_bytes() };
        let document = Document::parse(&text).unwrap();
        prop_assert_eq!(rebuilt(document.root(&text)), json);
        prop_assert_eq!(document.root(&text).raw(), &text[..]);
    }

    /// Whatever is done to a text, both readers agree on whether it is JSON. (Ours also refuses nothing that theirs takes: both stop at depth 128.)
    #[test]
    fn what_is_json_is_what_another_reader_takes(json in any_json(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
        let mut text = json.to_string().into_bytes();
        for (at, byte) in changes {
            let at = at.index(text.len());
            text[at] = byte;
        }
        let theirs = serde_json::from_slice::<serde_json::Value>(&text);
        // A number that no float can hold is a number all the same.
        let is_range = theirs.as_ref().err().is_some_and(|error| error.to_string().contains("out of range"));
        prop_assume!(!is_range);
        prop_assert_eq!(Document::parse(&text).is_ok(), theirs.is_ok(), "{:?}", String::from_utf8_lossy(&text));
    }

    #[test]
    fn the_end_of_a_plain_text_is_found_wherever_it_is(mut text in prop::collection::vec(any::<u8>(), 0..40), from in 0..8usize) {
        text.iter_mut().for_each(|byte| if *byte < 0x18 { *byte += 0x60 });
        let from = from.min(text.len());
        let slow = (from..text.len()).find(|at| matches!(text[*at], b'"' | b'\\' | 0..0x20)).unwrap_or(text.len());
        prop_assert_eq!(plain_until(&text, from), slow);
    }
}

#[track_caller]
fn check(text: &[u8], expected: (usize, usize, &str)) {
    let fault = Document::parse(text).unwrap_err();
    let (line, column) = fault.place(text);
    assert_eq!((line, column, fault.what), expected, "{}", String::from_utf8_lossy(text));
}

#[test]
fn a_fault_has_its_place() {
    check(b"{\n  \"a\": 1,\n  b: 2\n}", (3, 3, "a key in double quotes should be here"));
    check("[\"é\", x]".as_bytes(), (1, 7, "there is no JSON value here"));
    check(b"[1, 2", (1, 6, "`,` or `]` should be here"));
    check(b"{\"a\" 1}", (1, 6, "`:` should be here"));
    check(b"[1,]", (1, 4, "there is no JSON value here"));
    check(b"{\"a\":1,}", (1, 8, "a key in double quotes should be here"));
    check(b"", (1, 1, "the text ends where a value should be"));
    check(b"{} {}", (1, 4, "there is something after the end of the value"));
    check(b"[01]", (1, 2, "a number does not begin with a zero"));
    check(b"[1.]", (1, 4, "a digit should be here"));
    check(b"[\"a", (1, 2, "this string has no end"));
    check(b"[\"a\nb\"]", (1, 4, "a control character in a string must be escaped"));
    check(b"[\"\\x\"]", (1, 3, "there is no such escape"));
    check(b"[\"\\ud800\"]", (1, 3, "half a surrogate pair is no character"));
    check(b"[\"\\udc00\"]", (1, 3, "half a surrogate pair is no character"));
    check(b"[\"\\u12\"]", (1, 3, "`\\u` needs four hexadecimal digits"));
    check(b"[\"\xff\"]", (1, 3, "the text is not UTF-8"));
}

#[test]
fn values_stand_so_deep_and_no_deeper() {
    let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
    assert!(Document::parse(&nested(128)).is_ok());
    assert_eq!(Document::parse(&nested(129)).unwrap_err().what, "values stand more than 128 deep in each other");
    assert_eq!(Document::parse(&nested(1_000_000)).unwrap_err().at, 128);
}

#[test]
fn whole_numbers_are_whole_however_they_are_written() {
    let whole = |text: &str| Document::parse(text.as_bytes()).unwrap().root(text.as_bytes()).whole();
    assert_eq!([whole("5"), whole("5.0"), whole("5e2"), whole("0")], [Some(5), Some(5), Some(500), Some(0)]);
    assert_eq!(whole("18446744073709551615"), Some(u64::MAX));
    assert_eq!([whole("-1"), whole("0.5"), whole("1e300"), whole("\"5\""), whole("true")], [None; 5]);
}

#[test]
fn of_a_key_that_stands_twice_the_last_counts() {
    let text = br#"{"a":1,"\u0061":2}"#;
    assert_eq!(Document::parse(text).unwrap().root(text).get("a").unwrap().whole(), Some(2));
}
