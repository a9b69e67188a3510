use super::*;

#[test]
fn a_request_is_named_by_its_row_and_its_retry() {
    let names = ["17", "17.2", "0", "x", "1.", ""].map(|text| RequestName::parse(text).map(|name| name.to_string()));
    assert_eq!(names, [Some("17".to_owned()), Some("17.2".to_owned()), None, None, None, None]);
}
