use super::super::json::Document;
use super::*;

fn of(dialect: Dialect, text: &str) -> Result<Usage, UsageFault> {
    read(dialect, Document::parse(text.as_bytes()).unwrap().root(text.as_bytes()))
}

#[track_caller]
fn openai_is(text: &str, expected: Usage) {
    assert_eq!(of(Dialect::OpenAi, text), Ok(expected));
}

#[track_caller]
fn refused(dialect: Dialect, text: &str, why: &str) {
    assert_eq!(of(dialect, text).unwrap_err().to_string(), why);
}

#[test]
fn openai_counts_cached_input_and_thinking_within_the_whole() {
    let chat = r#"{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,
        "prompt_tokens_details":{"cached_tokens":64,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":12}}"#;
    openai_is(chat, Usage { cache_read: 64, reasoning: 12, ..Usage::plain(100, 20) });
    let response = r#"{"input_tokens":7,"input_tokens_details":{"cached_tokens":0},"output_tokens":9,"output_tokens_details":{"reasoning_tokens":9},"total_tokens":16}"#;
    openai_is(response, Usage { reasoning: 9, ..Usage::plain(7, 9) });
    openai_is(r#"{"prompt_tokens":8,"total_tokens":8}"#, Usage::plain(8, 0));
    openai_is(r#"{"prompt_tokens":8,"completion_tokens":1,"prompt_tokens_details":null}"#, Usage::plain(8, 1));
    openai_is(r#"{"prompt_tokens":8,"completion_tokens":1,"prompt_cache_hit_tokens":5}"#, Usage { cache_read: 5, ..Usage::plain(8, 1) });
}

#[test]
fn thinking_that_only_the_total_tells_of_is_billed_output() {
    let outside = r#"{"prompt_tokens":32,"completion_tokens":9,"total_tokens":135}"#;
    openai_is(outside, Usage { reasoning: 94, ..Usage::plain(32, 103) });
    let said_too = r#"{"prompt_tokens":32,"completion_tokens":9,"total_tokens":135,"completion_tokens_details":{"reasoning_tokens":94}}"#;
    openai_is(said_too, Usage { reasoning: 94, ..Usage::plain(32, 103) });
}

#[test]
fn anthropic_counts_cached_input_beside_the_rest() {
    let usage = r#"{"input_tokens":10,"cache_creation_input_tokens":300,"cache_read_input_tokens":2000,"output_tokens":5,
        "cache_creation":{"ephemeral_5m_input_tokens":100,"ephemeral_1h_input_tokens":200},"service_tier":"standard"}"#;
    let expected = Usage { input: 2310, cache_read: 2000, cache_write: 100, cache_write_1h: 200, output: 5, reasoning: 0 };
    assert_eq!(of(Dialect::Anthropic, usage), Ok(expected));
    assert_eq!(of(Dialect::Anthropic, r#"{"input_tokens":10,"output_tokens":5,"cache_creation_input_tokens":null}"#), Ok(Usage::plain(10, 5)));
}

#[test]
fn a_stream_tells_it_in_pieces_and_the_last_word_counts() {
    let mut tally = Tally::default();
    let mut take = |text: &str| tally.take(Dialect::Anthropic, Document::parse(text.as_bytes()).unwrap().root(text.as_bytes()));
    take(r#"{"input_tokens":10,"cache_read_input_tokens":90,"output_tokens":1}"#);
    take(r#"{"output_tokens":55}"#);
    assert_eq!(tally.usage(), Ok(Some(Usage { cache_read: 90, ..Usage::plain(100, 55) })));
}

#[test]
fn summing_up_the_conversation_is_billed_beside_the_rest() {
    let usage = r#"{"input_tokens":23000,"output_tokens":1000,"iterations":[
        {"type":"compaction","input_tokens":180000,"output_tokens":3500},{"type":"message","input_tokens":23000,"output_tokens":1000}]}"#;
    assert_eq!(of(Dialect::Anthropic, usage), Ok(Usage::plain(203_000, 4_500)));
    let wrong = r#"{"input_tokens":1,"output_tokens":1,"iterations":[{"type":"compaction","input_tokens":-1}]}"#;
    refused(Dialect::Anthropic, wrong, "the provider's `usage.input_tokens` is no count of tokens");
}

#[test]
fn a_usage_that_makes_no_sense_is_refused_and_said() {
    let (openai, anthropic) = (Dialect::OpenAi, Dialect::Anthropic);
    refused(openai, r#"{"prompt_tokens":-1,"completion_tokens":2}"#, "the provider's `usage.prompt_tokens` is no count of tokens");
    refused(openai, r#"{"prompt_tokens":"9","completion_tokens":2}"#, "the provider's `usage.prompt_tokens` is no count of tokens");
    refused(openai, r#"{"prompt_tokens":5000000000,"completion_tokens":2}"#, "the provider's `usage.prompt_tokens` is no count of tokens");
    refused(openai, r#"{"completion_tokens":2}"#, "the provider's usage has no `prompt_tokens`");
    let over = "the provider's usage contradicts itself: more `cached_tokens` than `prompt_tokens`";
    refused(openai, r#"{"prompt_tokens":5,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":6}}"#, over);
    let over = "the provider's usage contradicts itself: more `reasoning_tokens` than `completion_tokens`";
    refused(openai, r#"{"prompt_tokens":5,"completion_tokens":2,"completion_tokens_details":{"reasoning_tokens":3}}"#, over);
    let over = "the provider's usage contradicts itself: more `completion_tokens` than `total_tokens`";
    refused(openai, r#"{"prompt_tokens":5,"completion_tokens":2,"total_tokens":6}"#, over);
    refused(anthropic, r#"{"input_tokens":5}"#, "the provider's usage has no `output_tokens`");
    refused(anthropic, r#"{"input_tokens":5,"output_tokens":-2}"#, "the provider's `usage.output_tokens` is no count of tokens");
    let over = "the provider's usage contradicts itself: more `ephemeral_1h_input_tokens` than `cache_creation_input_tokens`";
    refused(anthropic, r#"{"input_tokens":5,"output_tokens":2,"cache_creation":{"ephemeral_1h_input_tokens":1}}"#, over);
}
