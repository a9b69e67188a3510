use super::*;

#[test]
fn a_request_is_named_by_its_row_and_its_retry() {
    let names = ["17", "17.2", "0", "x", "1.", ""].map(|text| RequestName::parse(text).map(|name| name.to_string()));
    assert_eq!(names, [Some("17".to_owned()), Some("17.2".to_owned()), None, None, None, None]);
}

/// A chunk of one request without calls.
fn chunk(variant: &str, request: u64) -> file::Chunk {
    file::Chunk { requests: vec![RequestRow { variant: variant.to_owned(), request, ..RequestRow::default() }], calls: Vec::new() }
}

#[test]
fn the_bytes_do_not_depend_on_which_variant_was_faster() {
    let written = |order: &[(usize, u64)]| {
        let home = tempfile::tempdir().unwrap();
        let files = file::Files::make(home.path(), 2).unwrap();
        for (variant, request) in order {
            files.push(*variant, chunk(["a", "b"][*variant], *request));
        }
        files.finish().unwrap();
        std::fs::read(home.path().join(file::REQUESTS)).unwrap()
    };
    // The second variant has one chunk more.
    let one = written(&[(0, 1), (1, 1), (0, 2), (1, 2), (1, 3)]);
    assert!(one == written(&[(1, 1), (1, 2), (1, 3), (0, 1), (0, 2)]));
    assert!(one == written(&[(0, 1), (0, 2), (1, 1), (1, 2), (1, 3)]));
    assert!(one != written(&[(0, 2), (0, 1), (1, 1), (1, 2), (1, 3)]));
}

#[test]
fn rows_are_read_as_they_were_written() {
    let home = tempfile::tempdir().unwrap();
    let call = CallRow {
        variant: "a".to_owned(),
        request: 7,
        retry: 2,
        cost_picousd: Money(-5),
        confirmed: true,
        why: "the call before timed out".to_owned(),
        ..CallRow::default()
    };
    let request = RequestRow { request: 7, first_token_ns: Some(3), ..RequestRow::default() };
    let files = file::Files::make(home.path(), 1).unwrap();
    files.push(0, file::Chunk { requests: vec![request.clone(), RequestRow::default()], calls: vec![call.clone()] });
    files.finish().unwrap();
    let (mut requests, mut calls) = (Vec::new(), Vec::new());
    file::read(&home.path().join(file::REQUESTS), |rows| {
        requests.extend(rows);
        true
    })
    .unwrap();
    file::read(&home.path().join(file::CALLS), |rows| {
        calls.extend(rows);
        true
    })
    .unwrap();
    assert_eq!((requests, calls), (vec![request, RequestRow::default()], vec![call]));
}
