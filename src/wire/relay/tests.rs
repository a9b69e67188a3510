use proptest::prelude::*;
use serde_json::json;

use super::*;

fn inbound(endpoint: Endpoint, include_usage: bool) -> Inbound {
    let mut body = json!({ "model": "m", "max_tokens": 9, "stream": true, "input": "Hi", "messages": [{ "role": "user", "content": "Hi" }] });
    if include_usage {
        body["stream_options"] = json!({ "include_usage": true });
    }
    if endpoint == Endpoint::Responses {
        body.as_object_mut().unwrap().remove("max_tokens");
    }
    Inbound::read(endpoint, body.to_string().into()).unwrap()
}

fn relay(endpoint: Endpoint, include_usage: bool) -> Relay {
    Relay::new(&inbound(endpoint, include_usage), endpoint.dialect())
}

fn taken(relay: &mut Relay) -> String {
    let bytes: Vec<u8> = std::iter::from_fn(|| relay.take()).flat_map(|bytes| bytes.to_vec()).collect();
    String::from_utf8(bytes).unwrap()
}

/// What comes of a stream in these chunks.
fn relayed(relay: &mut Relay, chunks: &[&[u8]]) -> (String, Ended) {
    chunks.iter().for_each(|chunk| relay.push(Bytes::copy_from_slice(chunk)));
    let ended = relay.finish();
    (taken(relay), ended)
}

const ROLE: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}],\"usage\":null}\n\n";
const HELLO: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hällo wörld!\"},\"finish_reason\":null}],\"usage\":null}\n\n";
const STOP: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n";
const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":4,\"total_tokens\":9}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn chat_stream() -> String {
    [ROLE, HELLO, STOP, USAGE, DONE].concat()
}

fn message_stream() -> String {
    [
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"content\":[],\"usage\":{\"input_tokens\":5,\"output_tokens\":1}}}\n\n",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
        "event: ping\ndata: {\"type\": \"ping\"}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Grüezi\"}}\n\n",
        "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":7}}\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    ]
    .concat()
}

#[test]
fn a_stream_passes_as_it_is_and_is_not_copied() {
    let mut relay = relay(Endpoint::ChatCompletions, true);
    let chunk = Bytes::from(chat_stream());
    relay.push(chunk.clone());
    assert!(relay.is_over() && relay.has_content() && relay.failure().is_none());
    assert_eq!(relay.take().map(|bytes| bytes.as_ptr()), Some(chunk.as_ptr()));
    assert_eq!((relay.take(), relay.usage(), relay.finish()), (None, Some(Usage::plain(5, 4)), Ended::Whole));
}

#[test]
fn usage_that_was_not_asked_for_stays_here() {
    let mut relay = relay(Endpoint::ChatCompletions, false);
    let (text, ended) = relayed(&mut relay, &[chat_stream().as_bytes()]);
    assert_eq!((text, ended, relay.usage()), ([ROLE, HELLO, STOP, DONE].concat(), Ended::Whole, Some(Usage::plain(5, 4))));
}

#[test]
fn content_begins_with_the_first_text_and_is_counted() {
    let mut relay = relay(Endpoint::ChatCompletions, true);
    relay.push(ROLE.into());
    assert!(!relay.has_content() && relay.has_output() && relay.received() == 0);
    relay.push(HELLO.into());
    // 14 bytes of text are at most 4 tokens by quarters.
    assert_eq!((relay.has_content(), relay.received(), relay.delivered()), (true, 4, 0));
    relay.take();
    assert_eq!(relay.delivered(), 0, "the frame has no content");
    relay.take();
    assert_eq!(relay.delivered(), 4);
}

#[test]
fn an_end_without_its_mark_is_whole_if_every_choice_has_ended() {
    let (text, ended) = relayed(&mut relay(Endpoint::ChatCompletions, true), &[ROLE.as_bytes(), HELLO.as_bytes(), STOP.as_bytes()]);
    assert_eq!((text, ended), ([ROLE, HELLO, STOP, DONE].concat(), Ended::Whole), "the mark is set for it");
    let (text, ended) = relayed(&mut relay(Endpoint::ChatCompletions, true), &[ROLE.as_bytes(), HELLO.as_bytes()]);
    assert_eq!((text, ended), ([ROLE, HELLO].concat(), Ended::Cut));
}

#[test]
fn a_choice_ends_once_and_for_a_reason() {
    let unsaid = HELLO.replace("\"finish_reason\":null", "\"finish_reason\":\"\"");
    assert_eq!(relayed(&mut relay(Endpoint::ChatCompletions, true), &[unsaid.as_bytes()]).1, Ended::Cut, "it has no end yet");
    let body = json!({ "model": "m", "n": 2, "stream": true, "messages": [{ "role": "user", "content": "Hi" }] });
    let two = Inbound::read(Endpoint::ChatCompletions, body.to_string().into()).unwrap();
    let ended = |stream: &[&str]| relayed(&mut Relay::new(&two, Dialect::OpenAi), &[stream.concat().as_bytes()]).1;
    let other = STOP.replace("\"index\":0", "\"index\":1");
    assert_eq!((ended(&[STOP, STOP]), ended(&[STOP, &other])), (Ended::Cut, Ended::Whole));
}

#[test]
fn usage_up_to_a_chunk_is_not_the_bill() {
    let so_far =
        |text: &str, output: u32| text.replace("\"usage\":null", &format!("\"usage\":{{\"prompt_tokens\":5,\"completion_tokens\":{output}}}"));
    let mut relay = relay(Endpoint::ChatCompletions, true);
    relay.push(so_far(HELLO, 4).into());
    assert_eq!(relay.usage(), None, "the model goes on");
    relay.push(so_far(STOP, 7).into());
    assert_eq!(relay.usage(), Some(Usage::plain(5, 7)));
}

#[test]
fn a_message_that_has_ended_says_so_to_its_client() {
    let mut relay = relay(Endpoint::Messages, true);
    let stream = message_stream();
    let (text, ended) = relayed(&mut relay, &[&stream.as_bytes()[..stream.find("event: message_stop").unwrap()]]);
    assert_eq!((text, ended), (stream, Ended::Whole));
}

#[test]
fn a_message_that_was_made_for_more_says_so() {
    for (more, service) in [
        ("", None),
        (",\"speed\":\"standard\",\"inference_geo\":\"global\"", None),
        (",\"inference_geo\":\"not_available\"", None),
        (",\"speed\":\"fast\"", Some(ServiceClass::Premium)),
        (",\"inference_geo\":\"us\"", Some(ServiceClass::Premium)),
    ] {
        let mut relay = relay(Endpoint::Messages, true);
        relay.push(message_stream().replace("\"output_tokens\":1}", &format!("\"output_tokens\":1{more}}}")).into());
        assert_eq!((relay.service(), relay.usage()), (service, Some(Usage::plain(5, 7))), "{more}");
    }
}

#[test]
fn half_an_event_never_leaves() {
    let stream = chat_stream();
    let half = &stream.as_bytes()[..ROLE.len() + 30];
    let (text, ended) = relayed(&mut relay(Endpoint::ChatCompletions, true), &[half]);
    assert_eq!((text.as_str(), ended), (ROLE, Ended::Cut));
}

#[test]
fn the_last_line_end_may_be_missing() {
    let stream = chat_stream();
    let (text, ended) = relayed(&mut relay(Endpoint::ChatCompletions, true), &[stream.trim_end().as_bytes()]);
    assert_eq!((text, ended), (chat_stream(), Ended::Whole));
}

#[test]
fn an_error_within_a_stream_is_a_failure_and_does_not_leave() {
    let mut chat = relay(Endpoint::ChatCompletions, true);
    let stream = [ROLE, HELLO, "data: {\"error\":{\"message\":\"oops\",\"type\":\"server_error\"}}\n\n", STOP, DONE].concat();
    let (text, ended) = relayed(&mut chat, &[stream.as_bytes()]);
    assert_eq!((text, ended), ([ROLE, HELLO].concat(), Ended::Cut));
    assert_eq!(chat.failure(), Some(&Broken { class: FailureClass::Internal, message: "oops".into() }));
    let mut message = relay(Endpoint::Messages, true);
    message.push("event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n".into());
    assert_eq!(message.failure().map(|failure| failure.class), Some(FailureClass::Unavailable));
    assert!(message.take().is_none() && message.is_over());
    let mut response = relay(Endpoint::Responses, true);
    let failed = r#"{"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded","message":"slow"}}}"#;
    response.push(format!("event: response.failed\ndata: {failed}\n\n").into());
    assert_eq!(response.failure(), Some(&Broken { class: FailureClass::RateLimited, message: "slow".into() }));
}

#[test]
fn what_is_no_event_of_the_dialect_is_a_failure() {
    let mut relay = relay(Endpoint::ChatCompletions, true);
    relay.push("data: {\"choices\":[{\"index\":0,\n\n".into());
    assert!(relay.failure().unwrap().message.contains("not JSON"), "{:?}", relay.failure());
    let mut list = self::relay(Endpoint::ChatCompletions, true);
    list.push("data: [1, 2]\n\n".into());
    assert!(list.failure().unwrap().message.contains("an event that is a list") && list.take().is_none(), "{:?}", list.failure());
}

#[test]
fn an_event_without_an_end_is_given_up() {
    let mut relay = relay(Endpoint::ChatCompletions, true);
    let chunk = Bytes::from(vec![b'a'; 1 << 20]);
    for _ in 0..=16 {
        relay.push(chunk.clone());
    }
    assert!(relay.failure().unwrap().message.contains("16 MiB") && relay.finish() == Ended::Cut);
}

#[test]
fn comments_pass() {
    let stream = [": PROCESSING\n\n", ROLE, STOP, DONE].concat();
    assert_eq!(relayed(&mut relay(Endpoint::ChatCompletions, true), &[stream.as_bytes()]), (stream, Ended::Whole));
}

#[test]
fn a_message_has_its_usage_in_two_pieces() {
    let mut relay = relay(Endpoint::Messages, true);
    let (text, ended) = relayed(&mut relay, &[message_stream().as_bytes()]);
    assert_eq!((text, ended), (message_stream(), Ended::Whole));
    assert_eq!((relay.usage(), relay.received()), (Some(Usage::plain(5, 7)), 2));
    let cut = message_stream();
    let mut relay = self::relay(Endpoint::Messages, true);
    let (_, ended) = relayed(&mut relay, &[&cut.as_bytes()[..cut.find("event: message_delta").unwrap()]]);
    assert_eq!((ended, relay.usage()), (Ended::Cut, None), "the usage of the beginning is not the bill");
}

#[test]
fn a_response_ends_with_itself() {
    let mut relay = relay(Endpoint::Responses, true);
    let delta = "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"Hi\"}\n\n";
    let usage = r#"{"input_tokens":3,"output_tokens":2,"total_tokens":5}"#;
    let last = format!("event: response.completed\ndata: {{\"type\":\"response.completed\",\"response\":{{\"error\":null,\"usage\":{usage}}}}}\n\n");
    let (_, ended) = relayed(&mut relay, &[delta.as_bytes(), last.as_bytes()]);
    assert_eq!((ended, relay.usage(), relay.received()), (Ended::Whole, Some(Usage::plain(3, 2)), 1));
}

#[test]
fn a_usage_that_lies_is_said() {
    let mut relay = relay(Endpoint::ChatCompletions, true);
    relay.push([STOP, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":-5,\"completion_tokens\":4}}\n\n", DONE].concat().into());
    assert_eq!((relay.usage(), relay.usage_fault()), (None, Some(UsageFault::NoCount("prompt_tokens"))));
}

#[test]
fn a_copy_has_the_usage_that_the_client_does_not_see() {
    let mut relay = relay(Endpoint::ChatCompletions, false);
    relay.record(10_000);
    relayed(&mut relay, &[chat_stream().as_bytes()]);
    assert_eq!(relay.recorded().as_deref(), Some(chat_stream().as_bytes()));
    let mut short = self::relay(Endpoint::ChatCompletions, false);
    short.record(100);
    relayed(&mut short, &[chat_stream().as_bytes()]);
    assert_eq!(short.recorded(), None);
}

proptest! {
    /// However a stream comes, and wherever it is cut: the client gets the same, and the same is known of it.
    #[test]
    fn chunks_change_nothing(
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        end in any::<prop::sample::Index>(),
        whole in any::<bool>(),
        message in any::<bool>(),
        include_usage in any::<bool>(),
        line_end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
    ) {
        let (stream, endpoint) = if message { (message_stream(), Endpoint::Messages) } else { (chat_stream(), Endpoint::ChatCompletions) };
        let stream = stream.replace('\n', line_end);
        let bytes = &stream.as_bytes()[..if whole { stream.len() } else { end.index(stream.len()) }];
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        places.extend([0, bytes.len()]);
        places.sort_unstable();
        let chunks: Vec<&[u8]> = places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        let (mut one, mut many) = (relay(endpoint, include_usage), relay(endpoint, include_usage));
        let (at_once, in_chunks) = (relayed(&mut one, &[bytes]), relayed(&mut many, &chunks));
        prop_assert_eq!(&at_once.0, &in_chunks.0);
        prop_assert_eq!((at_once.1, one.usage(), one.received(), one.delivered()), (in_chunks.1, many.usage(), many.received(), many.delivered()));
        prop_assert!(!whole || at_once.1 == Ended::Whole);
    }

    /// Whatever an upstream sends, the relay stands, and never says that half is whole without a word of the upstream.
    #[test]
    fn any_bytes_are_survived(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8), endpoint in prop::sample::select(Endpoint::ALL.to_vec())) {
        let mut stream = if endpoint == Endpoint::Messages { message_stream() } else { chat_stream() }.into_bytes();
        for (at, byte) in changes {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        let mut relay = Relay::new(&inbound(endpoint, false), endpoint.dialect());
        stream.chunks(7).for_each(|chunk| relay.push(Bytes::copy_from_slice(chunk)));
        relay.finish();
        while relay.take().is_some() {}
        prop_assert!(relay.delivered() <= relay.received());
    }
}
