use proptest::prelude::*;

use super::*;

/// Name and data of each event that says something.
fn events(chunks: &[&[u8]]) -> Vec<(String, String)> {
    let (mut boundaries, mut held, mut found) = (Boundaries::default(), Vec::new(), Vec::new());
    for chunk in chunks {
        let mut rest = *chunk;
        while let Some(length) = boundaries.next(rest) {
            held.extend_from_slice(&rest[..length]);
            rest = &rest[length..];
            let event = Event::read(&held);
            if let Some(data) = &event.data {
                found.push((String::from_utf8_lossy(event.name).into(), String::from_utf8_lossy(data).into()));
            }
            held.clear();
        }
        held.extend_from_slice(rest);
    }
    found
}

#[track_caller]
fn check(stream: &str, expected: &[(&str, &str)]) {
    let expected: Vec<(String, String)> = expected.iter().map(|(name, data)| (name.to_string(), data.to_string())).collect();
    assert_eq!(events(&[stream.as_bytes()]), expected);
    let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
    assert_eq!(events(&bytes), expected, "one byte at a time");
}

#[test]
fn events_end_with_an_empty_line_of_any_kind() {
    check("data: a\n\ndata: b\n\n", &[("", "a"), ("", "b")]);
    check("data: a\r\n\r\ndata: b\r\n\r\n", &[("", "a"), ("", "b")]);
    check("data: a\r\rdata: b\r\r:", &[("", "a"), ("", "b")]);
    check("data: a\r\rdata: b\r\r", &[("", "a")]);
    check("data: a\r\n\ndata: b\n\r\n", &[("", "a"), ("", "b")]);
}

#[test]
fn an_event_has_a_name_and_lines_of_data() {
    check("event: x\ndata: a\ndata:b\ndata\n\n", &[("x", "a\nb\n")]);
    check("id: 1\nretry: 5\ndata:  a: b\n\n", &[("", " a: b")]);
    check(": a comment\n\n:another\ndata: a\n\n", &[("", "a")]);
    check("\u{feff}data: a\n\n", &[("", "a")]);
    check("\n\n\ndata: a\n\n\n\n", &[("", "a")]);
    check("data: a", &[]);
}

proptest! {
    /// The law of the reader: how a stream is cut changes nothing.
    #[test]
    fn any_chunks_give_the_same_events(stream in "(data: [a-zé]{0,5}|:|event: x|data|\r|\n|\r\n){0,24}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let bytes = stream.as_bytes();
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        places.extend([0, bytes.len()]);
        places.sort_unstable();
        let chunks: Vec<&[u8]> = places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(events(&chunks), events(&[bytes]));
    }

    #[test]
    fn the_end_of_a_line_is_found_wherever_it_is(line in "[^\r\n]{0,30}", end in "\r|\n|\r\n|", more in "[a-z]{0,9}") {
        let more = if end.is_empty() { String::new() } else { more };
        prop_assert_eq!(line_length(format!("{line}{end}{more}").as_bytes()), line.len());
    }

    #[test]
    fn what_is_written_is_read(name in "[a-z_.]{0,10}", data in "[^\r\n]{1,30}") {
        let mut out = BytesMut::new();
        write(&mut out, &name, data.as_bytes());
        prop_assert_eq!(events(&[&out]), vec![(name, data)]);
    }
}
