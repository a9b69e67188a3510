//! What a row of traffic says in words: a prompt with as many tokens as it had, equal where fingerprints are, and beginning alike where blocks are.

use std::collections::HashMap;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::Planned;
use crate::gateway::request::Fingerprint;
use crate::twin::words::{self, Marker};

/// The prompts so far that may come again.
#[derive(Debug, Default)]
pub(super) struct Prompts {
    /// The sizes of the first request of each fingerprint: equal prompts are equal to the letter, so that a cache finds them.
    first: Mutex<HashMap<Fingerprint, (u32, u32)>>,
}

impl Prompts {
    /// The body of a chat completion. `output_tokens` are those of the whole answer; all are counted by the provider's model `counted_by`, if that
    /// matters.
    pub fn body(&self, planned: &Planned, stream: bool, output_tokens: u32, counted_by: Option<&str>) -> Vec<u8> {
        let row = &planned.row;
        let (input, output) = self.sizes(row.fingerprint, row.input_tokens, output_tokens);
        let Fingerprint(high, low) = row.fingerprint;
        let subject = high ^ low.rotate_left(32);
        let block = if planned.blocks.is_empty() { 0 } else { row.block_size };
        let counted_by = counted_by.map(str::to_owned);
        let marker = Marker { output: Some(output), block: Some(block), id: Some(subject), tool: false, counted_by };
        let mut text = marker.to_string();
        write_prompt(&planned.blocks, row.block_size, subject, input, &mut text);
        let mut body = json!({"model": planned.model, "messages": [{"role": "user", "content": text}]});
        let mut put = |key: &str, value: Value| body[key] = value;
        if stream {
            put("stream", true.into());
            put("stream_options", json!({"include_usage": true}));
        }
        if let Some(tokens) = row.max_tokens {
            put("max_tokens", tokens.into());
        }
        if let Some(name) = &planned.end_user {
            put("user", name.as_str().into());
        }
        if !planned.tags.is_empty() {
            put("metadata", json!({"tags": planned.tags}));
        }
        body.to_string().into_bytes()
    }

    fn sizes(&self, fingerprint: Fingerprint, input: u32, output: u32) -> (u32, u32) {
        if fingerprint.is_unique() {
            return (input, output);
        }
        *self.first.lock().expect("nobody panics with it").entry(fingerprint).or_insert((input, output))
    }
}

/// Appends `tokens` words: each block's own, then those of the prompt itself.
fn write_prompt(blocks: &[u64], block_size: u32, subject: u64, tokens: u32, text: &mut String) {
    let mut written = 0;
    for block in blocks {
        let to = tokens.min(written + block_size);
        words::write(*block, 0, to - written, text);
        written = to;
    }
    words::write(subject, written, tokens, text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_have_their_tokens_and_begin_alike_as_long_as_their_blocks_do() {
        let prompt = |blocks: &[u64], tokens| {
            let mut text = String::new();
            write_prompt(blocks, 16, 99, tokens, &mut text);
            assert_eq!(words::tokens(&text), tokens);
            text
        };
        let (short, long) = (prompt(&[1, 2], 30), prompt(&[1, 3], 32));
        assert_eq!(short[..64], long[..64]);
        assert_ne!(short[64..120], long[64..120]);
        assert_ne!(prompt(&[], 32)[..64], long[..64]);
    }

    #[test]
    fn equal_prompts_are_equal_to_the_letter_whatever_their_rows_say_of_their_sizes() {
        let prompts = Prompts::default();
        let shared = Fingerprint(1, 2);
        assert_eq!(prompts.sizes(shared, 10, 20), (10, 20));
        assert_eq!(prompts.sizes(shared, 11, 25), (10, 20));
    }
}
