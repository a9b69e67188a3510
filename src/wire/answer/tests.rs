use serde_json::json;

use super::*;

fn chat() -> Inbound {
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "Hi" }] });
    Inbound::read(Endpoint::ChatCompletions, body.to_string().into()).unwrap()
}

fn read(body: &str) -> Result<Answer, Broken> {
    Answer::read(&chat(), Dialect::OpenAi, body.as_bytes().to_vec().into())
}

#[test]
fn an_answer_is_passed_on_as_it_came_with_its_usage_known() {
    let body = r#"{"choices": [], "usage": {"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}}"#;
    let answer = read(body).unwrap();
    assert_eq!((&answer.body[..], answer.usage, answer.usage_fault), (body.as_bytes(), Some(Usage::plain(5, 7)), None));
}

#[test]
fn a_usage_that_lies_is_not_believed_but_the_answer_stands() {
    let answer = read(r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":-7}}"#).unwrap();
    assert_eq!((answer.usage, answer.usage_fault), (None, Some(UsageFault::NoCount("completion_tokens"))));
    assert_eq!(read(r#"{"choices":[]}"#).unwrap().usage, None);
}

#[test]
fn what_is_no_answer_is_broken() {
    assert_eq!(read("<html>").unwrap_err().class, FailureClass::BadGateway);
    assert_eq!(read("[]").unwrap_err().message, "the provider's answer is not what it should be: it is a list");
    let error = read(r#"{"error":{"message":"slow down","type":"rate_limit_error"}}"#).unwrap_err();
    assert_eq!(error, Broken { class: FailureClass::RateLimited, message: "slow down".into() });
    assert!(read(r#"{"choices":[],"error":null}"#).is_ok());
}

#[test]
fn embeddings_may_have_more_numbers_than_anything_else_has_values() {
    let body = json!({ "model": "m", "input": "Hi" });
    let embeddings = Inbound::read(Endpoint::Embeddings, body.to_string().into()).unwrap();
    let numbers = "1,".repeat(crate::wire::json::VALUES_MAX);
    let text = format!(r#"{{"data":[{{"index":0,"embedding":[{numbers}1]}}],"usage":{{"prompt_tokens":5,"total_tokens":5}}}}"#);
    let answer = Answer::read(&embeddings, Dialect::OpenAi, text.clone().into()).unwrap();
    assert_eq!((answer.usage, answer.body.len()), (Some(Usage::plain(5, 0)), text.len()));
    assert!(Answer::read(&embeddings, Dialect::OpenAi, text.replace("1]}]", "1}]").into()).is_err(), "and are JSON all the same");
}

#[test]
fn an_answer_that_was_made_for_more_says_so() {
    let body = json!({ "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": "Hi" }] });
    let message = Inbound::read(Endpoint::Messages, body.to_string().into()).unwrap();
    let service = |more: &str| {
        let text = format!(r#"{{"type":"message","content":[],"usage":{{"input_tokens":5,"output_tokens":7{more}}}}}"#);
        Answer::read(&message, Dialect::Anthropic, text.into()).unwrap().service
    };
    assert_eq!([service(""), service(r#","speed":"standard","inference_geo":"global""#)], [None, None]);
    assert_eq!([service(r#","speed":"fast""#), service(r#","inference_geo":"us""#)], [Some(ServiceClass::Premium); 2]);
}

#[test]
fn counting_costs_nothing() {
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "Hi" }] });
    let count = Inbound::read(Endpoint::CountTokens, body.to_string().into()).unwrap();
    let answer = Answer::read(&count, Dialect::Anthropic, Bytes::from_static(br#"{"input_tokens":14}"#)).unwrap();
    assert_eq!(answer.usage, Some(Usage::default()));
}
