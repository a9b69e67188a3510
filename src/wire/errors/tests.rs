use super::*;

fn text(bytes: &Bytes) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn each_dialect_has_its_form() {
    let error = ErrorBody { param: Some("max_tokens"), request_id: Some("req_1"), ..ErrorBody::new(ErrorKind::BadRequest, "no \"good\"") };
    let openai: serde_json::Value = serde_json::from_slice(&error.body(Dialect::OpenAi)).unwrap();
    let expected = json!({ "error": { "message": "no \"good\"", "type": "invalid_request_error", "param": "max_tokens", "code": null } });
    assert_eq!(openai, expected);
    let anthropic: serde_json::Value = serde_json::from_slice(&error.body(Dialect::Anthropic)).unwrap();
    let said = json!({ "type": "invalid_request_error", "message": "no \"good\"" });
    assert_eq!(anthropic, json!({ "type": "error", "error": said, "request_id": "req_1" }));
}

#[test]
fn each_stream_has_its_error_event() {
    let error = ErrorBody::new(ErrorKind::BadGateway, "it broke off");
    let chat = error.event(Endpoint::ChatCompletions);
    assert!(text(&chat).starts_with("data: {\"error\":{") && text(&chat).ends_with("}\n\n"), "{}", text(&chat));
    assert!(text(&error.event(Endpoint::Messages)).starts_with("event: error\ndata: {"));
    let response = error.event(Endpoint::Responses);
    let data = text(&response).strip_prefix("event: error\ndata: ").unwrap();
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!((&data["type"], &data["message"], &data["error"]["message"]), (&json!("error"), &json!("it broke off"), &json!("it broke off")));
}

#[test]
fn a_failed_call_is_the_clients_fault_or_ours_whatever_its_dialect() {
    for class in FailureClass::ALL {
        let status = ErrorKind::of(*class).status();
        // A time-out is 408 to libraries that know the core's classes, but 504 from a gateway.
        let is_ours = class.status() >= 500 || *class == FailureClass::Timeout;
        assert_eq!(status >= 500, is_ours, "{class}: {status}");
    }
}

#[track_caller]
fn check(body: &str, class: FailureClass, message: &str) {
    let document = super::super::json::Document::parse(body.as_bytes()).unwrap();
    assert_eq!(of_value(document.root(body.as_bytes())), (class, message.to_owned()), "{body}");
}

#[test]
fn an_error_in_an_answer_has_the_class_that_its_status_would_have_said() {
    use FailureClass::{BadRequest, ContentPolicy, ContextWindow, Internal, RateLimited, Unavailable};
    check(r#"{"error":{"message":"too many","type":"invalid_request_error","code":"context_length_exceeded"}}"#, ContextWindow, "too many");
    let words = "prompt is too long: 5 tokens > 4 maximum";
    check(&format!(r#"{{"type":"error","error":{{"type":"invalid_request_error","message":"{words}"}}}}"#), ContextWindow, words);
    check(r#"{"error":{"message":"x","code":"content_filter"}}"#, ContentPolicy, "x");
    check(r#"{"error":{"message":"no such field","type":"invalid_request_error"}}"#, BadRequest, "no such field");
    check(r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, Unavailable, "Overloaded");
    check(r#"{"error":{"message":"slow down","code":"rate_limit_exceeded"}}"#, RateLimited, "slow down");
    check(r#"{"error":"just text"}"#, Internal, "just text");
    check(r#"{"type":"error","code":"server_error","message":"at the top","param":null}"#, Internal, "at the top");
    check(r#"{"error":{"code":500}}"#, Internal, "the provider's answer is an error without a message");
}

#[test]
fn a_message_is_passed_on_up_to_a_length() {
    let long = format!(r#"{{"error":{{"message":"{}"}}}}"#, "é".repeat(2000));
    check(&long, FailureClass::Internal, &"é".repeat(1024));
}
