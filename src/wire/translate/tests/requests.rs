//! Requests in the words of the other dialect.

use proptest::prelude::*;

use super::*;

/// The fields of `sent` that are named, as one object.
fn only(sent: &Value, names: &[&str]) -> Value {
    Value::Object(names.iter().filter_map(|name| Some(((*name).to_owned(), sent.get(*name)?.clone()))).collect())
}

#[track_caller]
fn to_claude(body: Value, names: &[&str]) -> Value {
    only(&sent_to(CLAUDE, &chat(body)), names)
}

#[track_caller]
fn to_gpt(body: Value, names: &[&str]) -> Value {
    only(&sent_to(GPT, &messages(body)), names)
}

#[test]
fn a_conversation_goes_to_anthropic() {
    let body = json!({ "messages": [
        { "role": "system", "content": "Be kind." },
        { "role": "user", "content": "Look:", "name": "ann" },
        { "role": "user", "content": [
            { "type": "text", "text": "two", "cache_control": { "type": "ephemeral" } },
            { "type": "image_url", "image_url": { "url": "data:image/png;base64,aGk=", "detail": "low" } },
            { "type": "image_url", "image_url": { "url": "https://example.com/a.png" } },
        ] },
        { "role": "assistant", "content": "", "tool_calls": [
            { "id": "call_1", "type": "function", "function": { "name": "f", "arguments": "{\"a\": 1}" } },
            { "id": "functions.g:0", "type": "function", "function": { "name": "g", "arguments": "" } },
        ] },
        { "role": "tool", "tool_call_id": "call_1", "content": "one" },
        { "role": "tool", "tool_call_id": "functions.g:0", "content": [{ "type": "text", "text": "two" }] },
        { "role": "developer", "content": [{ "type": "text", "text": "Be brief." }] },
        { "role": "user", "content": "Go on." },
    ] });
    let text = |text: &str| json!({ "type": "text", "text": text });
    let expected = json!({
        "system": [text("Be kind."), text("Be brief.")],
        "messages": [
            { "role": "user", "content": [
                text("Look:"),
                { "type": "text", "text": "two", "cache_control": { "type": "ephemeral" } },
                { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "aGk=" } },
                { "type": "image", "source": { "type": "url", "url": "https://example.com/a.png" } },
            ] },
            { "role": "assistant", "content": [
                { "type": "tool_use", "id": "call_1", "name": "f", "input": { "a": 1 } },
                { "type": "tool_use", "id": "functions_2eg_3a0", "name": "g", "input": {} },
            ] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "call_1", "content": "one" },
                { "type": "tool_result", "tool_use_id": "functions_2eg_3a0", "content": [text("two")] },
                text("Go on."),
            ] },
        ],
        "tools": [{ "name": "f", "input_schema": { "type": "object" } }, { "name": "g", "input_schema": { "type": "object" } }],
        "tool_choice": { "type": "none" },
    });
    assert_eq!(to_claude(body, &["system", "messages", "tools", "tool_choice"]), expected);
}

#[test]
fn a_conversation_without_a_user_begins_with_one_who_says_nothing() {
    let nothing = json!({ "role": "user", "content": [{ "type": "text", "text": "." }] });
    let sent = to_claude(json!({ "messages": [{ "role": "system", "content": "Tell a joke." }] }), &["messages"]);
    assert_eq!(sent["messages"], json!([nothing]));
    let sent = to_claude(json!({ "messages": [{ "role": "assistant", "content": "Hi" }, { "role": "user", "content": "Hm" }] }), &["messages"]);
    assert_eq!(sent["messages"][0], nothing);
    let sent = to_claude(json!({ "messages": [{ "role": "user", "content": "  " }, { "role": "user", "content": "Hm" }] }), &["messages"]);
    assert_eq!(sent["messages"], json!([{ "role": "user", "content": [{ "type": "text", "text": "Hm" }] }]));
}

#[test]
fn an_answer_is_never_what_anthropic_is_to_go_on_with() {
    let nothing = json!({ "role": "user", "content": [{ "type": "text", "text": "." }] });
    for last in [json!({ "role": "system", "content": "Sum up the above." }), json!({ "role": "user", "content": "" })] {
        let sent =
            to_claude(json!({ "messages": [{ "role": "user", "content": "Hi" }, { "role": "assistant", "content": "Ho" }, last] }), &["messages"]);
        assert_eq!((sent["messages"].as_array().unwrap().len(), &sent["messages"][2]), (3, &nothing), "{sent}");
    }
}

#[test]
fn a_conversation_goes_to_openai() {
    let body = json!({
        "system": [{ "type": "text", "text": "Be kind.", "cache_control": { "type": "ephemeral" } }, { "type": "text", "text": "Be \"brief\"." }],
        "messages": [
            { "role": "user", "content": [
                { "type": "text", "text": "Look:" },
                { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "aGk=" } },
                { "type": "image", "source": { "type": "url", "url": "https://example.com/a.png" } },
            ] },
            { "role": "assistant", "content": [
                { "type": "thinking", "thinking": "Hm.", "signature": "c2ln" },
                { "type": "text", "text": "I look." },
                { "type": "tool_use", "id": "toolu_1", "name": "f", "input": { "a": "ü" } },
                { "type": "tool_use", "id": "toolu_2", "name": "g", "input": {} },
            ] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "toolu_1", "content": [
                    { "type": "text", "text": "one" },
                    { "type": "text", "text": "two" },
                    { "type": "image", "source": { "type": "base64", "media_type": "image/gif", "data": "aG8=" } },
                ] },
                { "type": "tool_result", "tool_use_id": "toolu_2", "content": "no such file", "is_error": true },
                { "type": "text", "text": "Go on." },
            ] },
            { "role": "assistant", "content": [{ "type": "redacted_thinking", "data": "eA==" }] },
            { "role": "assistant", "content": "Done." },
            { "role": "user", "content": "Thanks." },
        ],
    });
    let text = |text: &str| json!({ "type": "text", "text": text });
    let image = |url: &str| json!({ "type": "image_url", "image_url": { "url": url } });
    let call = |id: &str, name: &str, arguments: &str| json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } });
    let expected = json!({ "messages": [
        { "role": "system", "content": "Be kind.\n\nBe \"brief\"." },
        { "role": "user", "content": [text("Look:"), image("data:image/png;base64,aGk="), image("https://example.com/a.png")] },
        { "role": "assistant", "content": "I look.", "tool_calls": [call("toolu_1", "f", "{\"a\":\"ü\"}"), call("toolu_2", "g", "{}")] },
        { "role": "tool", "tool_call_id": "toolu_1", "content": "one\ntwo" },
        { "role": "tool", "tool_call_id": "toolu_2", "content": "Error: no such file" },
        { "role": "user", "content": [image("data:image/gif;base64,aG8="), text("Go on.")] },
        { "role": "assistant", "content": "Done." },
        { "role": "user", "content": "Thanks." },
    ] });
    assert_eq!(to_gpt(body, &["messages"]), expected);
}

fn function(name: &str) -> Value {
    json!({ "type": "function", "function": { "name": name, "description": "d", "strict": true, "parameters": { "properties": {} } } })
}

#[test]
fn tools_and_their_choice_go_to_anthropic() {
    let tool = |name: &str| json!({ "name": name, "description": "d", "input_schema": { "type": "object", "properties": {} } });
    let choose = |choice: Value, parallel: Value| {
        let body = json!({ "tools": [function("f"), function("g")], "tool_choice": choice, "parallel_tool_calls": parallel });
        to_claude(body, &["tools", "tool_choice"])
    };
    let both = json!([tool("f"), tool("g")]);
    assert_eq!(choose(json!(null), json!(null)), json!({ "tools": both }));
    assert_eq!(choose(json!("auto"), json!(true))["tool_choice"], json!({ "type": "auto" }));
    assert_eq!(choose(json!("none"), json!(false))["tool_choice"], json!({ "type": "none" }));
    assert_eq!(choose(json!("required"), json!(false))["tool_choice"], json!({ "type": "any", "disable_parallel_tool_use": true }));
    assert_eq!(choose(json!(null), json!(false))["tool_choice"], json!({ "type": "auto", "disable_parallel_tool_use": true }));
    let named = json!({ "type": "function", "function": { "name": "g" } });
    assert_eq!(choose(named.clone(), json!(null))["tool_choice"], json!({ "type": "tool", "name": "g" }));
    let allowed = json!({ "type": "allowed_tools", "allowed_tools": { "mode": "required", "tools": [named] } });
    assert_eq!(choose(allowed, json!(null)), json!({ "tools": [tool("g")], "tool_choice": { "type": "any" } }));
}

#[test]
fn tools_and_their_choice_go_to_openai() {
    let tool = json!({ "name": "f", "description": "d", "input_schema": { "type": "object" }, "cache_control": { "type": "ephemeral" } });
    let choose = |choice: Value| to_gpt(json!({ "tools": [tool], "tool_choice": choice }), &["tools", "tool_choice", "parallel_tool_calls"]);
    let function = json!({ "type": "function", "function": { "name": "f", "description": "d", "parameters": { "type": "object" } } });
    assert_eq!(choose(json!(null)), json!({ "tools": [function] }));
    assert_eq!(choose(json!({ "type": "any" }))["tool_choice"], "required");
    assert_eq!(choose(json!({ "type": "none" }))["tool_choice"], "none");
    assert_eq!(choose(json!({ "type": "tool", "name": "f" }))["tool_choice"], json!({ "type": "function", "function": { "name": "f" } }));
    let one = choose(json!({ "type": "auto", "disable_parallel_tool_use": true }));
    assert_eq!((&one["tool_choice"], &one["parallel_tool_calls"]), (&json!("auto"), &json!(false)));
}

#[test]
fn limits_users_and_stop_sequences_keep_their_meaning() {
    let chat = json!({ "max_completion_tokens": 9, "stop": "END", "user": "ann", "stream": true, "temperature": 1.7, "top_p": 0.5, "seed": 1 });
    let names = ["max_tokens", "stop_sequences", "metadata", "stream", "temperature", "top_p", "seed"];
    let expected = json!({ "max_tokens": 4000, "stop_sequences": ["END"], "metadata": { "user_id": "ann" }, "stream": true, "temperature": 1 });
    assert_eq!(to_claude(chat, &names), expected);
    assert_eq!(
        to_claude(json!({ "stop": ["a", "b"], "top_p": 0.5 }), &names),
        json!({ "max_tokens": 4000, "stop_sequences": ["a", "b"], "top_p": 0.5 })
    );
    let message = json!({ "stop_sequences": ["END"], "metadata": { "user_id": "ann" }, "stream": true, "temperature": 0.3, "top_p": 0.5 });
    let names = ["max_tokens", "max_completion_tokens", "stop", "user", "stream", "stream_options", "temperature", "top_p"];
    let expected = json!({
        "max_tokens": 4000, "stop": ["END"], "user": "ann", "stream": true, "stream_options": { "include_usage": true }, "temperature": 0.3, "top_p": 0.5,
    });
    assert_eq!(to_gpt(message.clone(), &names), expected);
    let to_reasoning = only(&sent_to("gpt-5", &messages(message)), &["max_tokens", "max_completion_tokens", "temperature", "top_p"]);
    assert_eq!(to_reasoning, json!({ "max_completion_tokens": 4000 }));
    assert_eq!(only(&sent_to("claude-opus-4-7", &self::chat(json!({ "temperature": 0.5 }))), &["temperature"]), json!({}));
    let long = "u".repeat(65);
    assert_eq!(to_gpt(json!({ "metadata": { "user_id": long } }), &["user"]), json!({}));
}

#[test]
fn effort_becomes_thinking_as_the_model_takes_it() {
    let thinking = |model: &'static str, body: Value| only(&sent_to(model, &chat(body)), &["thinking", "output_config", "temperature"]);
    let effort = |effort: &str| json!({ "reasoning_effort": effort, "temperature": 0.5 });
    let budget = |tokens: u32| json!({ "thinking": { "type": "enabled", "budget_tokens": tokens } });
    assert_eq!(thinking(CLAUDE, effort("high")), budget(3200));
    assert_eq!(thinking(CLAUDE, effort("medium")), budget(2000));
    assert_eq!(thinking(CLAUDE, effort("low")), budget(1024), "a fifth is 800, below what can be thought");
    assert_eq!(thinking(CLAUDE, effort("none")), json!({ "temperature": 0.5 }));
    assert_eq!(thinking("claude-3-5-haiku", effort("high")), json!({ "temperature": 0.5 }));
    let adaptive = |effort: &str| json!({ "thinking": { "type": "adaptive" }, "output_config": { "effort": effort } });
    assert_eq!(thinking("claude-sonnet-4-6", effort("xhigh")), adaptive("high"));
    assert_eq!(thinking("claude-opus-4-7", effort("xhigh")), adaptive("xhigh"));
    let forced = json!({ "reasoning_effort": "high", "tools": [function("f")], "tool_choice": "required" });
    assert_eq!(thinking(CLAUDE, forced), json!({}), "who thinks can't be made to call a tool");
    let call = json!({ "role": "assistant", "tool_calls": [{ "id": "a", "type": "function", "function": { "name": "f", "arguments": "{}" } }] });
    let after_tools = json!({
        "reasoning_effort": "high", "tools": [function("f")],
        "messages": [{ "role": "user", "content": "x" }, call, { "role": "tool", "tool_call_id": "a", "content": "y" }],
    });
    assert_eq!(thinking(CLAUDE, after_tools), json!({}), "a turn that called tools would need its signed thoughts");
}

#[test]
fn thinking_becomes_effort_where_it_is_known() {
    let effort = |model: &'static str, body: Value| sent_to(model, &messages(body)).get("reasoning_effort").cloned();
    let budget = |tokens: u32| json!({ "thinking": { "type": "enabled", "budget_tokens": tokens } });
    assert_eq!(effort("gpt-5", budget(1024)), Some(json!("low")));
    assert_eq!(effort("o3", budget(2000)), Some(json!("medium")));
    assert_eq!(effort("gemini-2.5-pro", budget(3900)), Some(json!("high")));
    assert_eq!(effort(GPT, budget(3900)), None);
    assert_eq!(effort("gpt-5", json!({ "thinking": { "type": "disabled" } })), None);
    assert_eq!(effort("gpt-5", json!({ "thinking": { "type": "adaptive" }, "output_config": { "effort": "max" } })), Some(json!("high")));
}

#[test]
fn what_can_not_be_said_stays_with_its_dialect() {
    let user = json!({ "role": "user", "content": "x" });
    let chats = [
        json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "a", "schema": {} } } }),
        json!({ "response_format": { "type": "json_object" } }),
        json!({ "n": 2 }),
        json!({ "logprobs": true }),
        json!({ "logit_bias": { "1": 5 } }),
        json!({ "presence_penalty": 0.5 }),
        json!({ "stop": ["END", "\n"] }),
        json!({ "a_field_of_tomorrow": 1 }),
        json!({ "functions": [{ "name": "f" }] }),
        json!({ "tools": [{ "type": "custom", "custom": { "name": "f" } }] }),
        json!({ "messages": [user, { "role": "assistant", "content": "The answer is" }] }),
        json!({ "messages": [{ "role": "function", "name": "f", "content": "x" }] }),
        json!({ "messages": [{ "role": "assistant", "function_call": { "name": "f", "arguments": "" } }, user] }),
        json!({ "messages": [{ "role": "user", "content": [{ "type": "input_audio", "input_audio": { "data": "", "format": "wav" } }] }] }),
        json!({ "messages": [{ "role": "user", "content": [{ "type": "file", "file": { "file_id": "f" } }] }] }),
        json!({ "messages": [{ "role": "user", "content": [{ "type": "of_tomorrow" }] }] }),
        json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url", "image_url": { "url": "data:image/svg+xml,%3Csvg" } }] }] }),
    ];
    for body in chats {
        let inbound = chat(body.clone());
        assert!(stays_with_its_dialect(&inbound).is_some(), "{body}");
    }
    let all = [
        json!({ "output_config": { "format": { "type": "json_schema", "schema": {} } } }),
        json!({ "top_k": 5 }),
        json!({ "stop_sequences": ["a", "b", "c", "d", "e"] }),
        json!({ "inference_geo": "us" }),
        json!({ "tools": [{ "type": "web_search_20250305", "name": "web_search" }] }),
        json!({ "messages": [user, { "role": "assistant", "content": "The answer is" }] }),
        json!({ "messages": [{ "role": "user", "content": [{ "type": "document", "source": { "type": "text", "data": "x", "media_type": "text/plain" } }] }] }),
        json!({ "messages": [{ "role": "user", "content": [{ "type": "image", "source": { "type": "file", "file_id": "f" } }] }] }),
    ];
    for body in all {
        let inbound = messages(body.clone());
        assert!(stays_with_its_dialect(&inbound).is_some(), "{body}");
    }
}

/// Parts, messages and fields, most of them right, some not.
pub(super) fn any_json() -> impl Strategy<Value = Value> {
    let word =
        prop::sample::select(vec!["", " ", "x", "auto", "text", "user", "tool", "data:image/png;base64,aGk=", "data:x", "{\"a\":1}", "ü\"\\\n"]);
    let leaf =
        prop_oneof![Just(json!(null)), Just(json!(true)), Just(json!(false)), (-3..9i64).prop_map(|n| json!(n)), word.prop_map(|word| json!(word))];
    let key = prop::sample::select(vec![
        "type",
        "text",
        "role",
        "content",
        "name",
        "function",
        "arguments",
        "id",
        "input",
        "image_url",
        "url",
        "source",
        "data",
        "media_type",
        "tool_use_id",
        "tool_call_id",
        "tool_calls",
        "cache_control",
        "budget_tokens",
        "mode",
        "tools",
        "allowed_tools",
        "refusal",
    ]);
    leaf.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// What the core would send to the other dialect can be said there, whatever else is in it, as a JSON object; and what can't is an error.
    #[test]
    fn what_may_go_there_can_be_said_there(
        is_chat: bool,
        messages in prop::collection::vec((prop::sample::select(vec!["user", "assistant", "tool", "system"]), any_json()), 1..4),
        field in prop::sample::select(vec!["system", "tools", "tool_choice", "stop", "stop_sequences", "thinking", "reasoning_effort", "output_config", "temperature"]),
        value in any_json(),
    ) {
        let endpoint = if is_chat { Endpoint::ChatCompletions } else { Endpoint::Messages };
        let messages: Vec<Value> = messages.into_iter().map(|(role, content)| json!({ "role": role, "content": content, "tool_call_id": "a" })).collect();
        let messages: Vec<Value> = messages.into_iter().map(|mut message| {
            if !is_chat {
                message.as_object_mut().unwrap().remove("tool_call_id");
            }
            message
        }).collect();
        let body = json!({ "model": "m", "max_tokens": 4000, "messages": messages, field: value });
        let Ok(inbound) = Inbound::read(endpoint, body.to_string().into()) else { return Ok(()) };
        let model = if is_chat { CLAUDE } else { GPT };
        let sent = inbound.outbound(&target(&inbound, model));
        if stays_with_its_dialect(&inbound).is_none() {
            let sent = sent.unwrap();
            let sent: Value = serde_json::from_slice(&sent).map_err(|error| TestCaseError::fail(format!("{error}: {}", String::from_utf8_lossy(&sent))))?;
            prop_assert!(sent["messages"].as_array().is_some_and(|messages| !messages.is_empty() || !is_chat));
        }
    }
}
