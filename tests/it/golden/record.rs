//! The recorded cases as they are in the file. Knows their format, not what they mean.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// One experiment with the real proxy.
#[derive(Debug, Deserialize)]
pub struct Case {
    pub id: String,
    pub group: String,
    pub litellm_config: String,
    pub upstream_script: BTreeMap<String, Script>,
    pub requests: Vec<Sending>,
    #[serde(default = "raw_http")]
    pub client: String,
    pub setup: Option<Value>,
    pub env: Option<Value>,
    pub summary: Summary,
    pub observed: Observed,
}

/// What a deployment's calls meet: the first ones, and all later ones.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    #[serde(default)]
    pub steps: Vec<Step>,
    pub then: Option<Step>,
}

/// What one call meets.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub status: Option<u16>,
    #[serde(default)]
    pub latency_ms: u64,
    pub retry_after: Option<String>,
    #[serde(default)]
    pub hang: bool,
    pub hang_ms: Option<u64>,
    #[serde(default)]
    pub reset: bool,
    #[serde(default)]
    pub close: bool,
    pub prompt_tokens: Option<u32>,
    #[serde(rename = "completion_tokens")]
    pub _completion_tokens: Option<u32>,
    pub chunks: Option<u32>,
    #[serde(default)]
    pub chunk_ms: u64,
    pub die_after: Option<u32>,
    pub err_after: Option<u32>,
    pub code: Option<String>,
    #[serde(rename = "message")]
    pub _message: Option<String>,
    #[serde(rename = "content")]
    pub _content: Option<String>,
}

/// What a client sends, and when.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sending {
    pub model: String,
    pub n: Option<u32>,
    pub at_ms: Option<u64>,
    pub every_ms: Option<u64>,
    pub sleep_ms: Option<u64>,
    #[serde(default)]
    pub stream: bool,
    pub stop_after: Option<Value>,
    pub path: Option<String>,
    pub key: Option<String>,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(default)]
    pub body: BTreeMap<String, Value>,
    #[serde(rename = "content")]
    pub _content: Option<String>,
    #[serde(rename = "messages")]
    pub _messages: Option<Value>,
}

/// Figures of the whole case, `[min, max]` over its repetitions.
#[derive(Debug, Deserialize)]
pub struct Summary {
    pub random: Option<String>,
    pub calls: [u32; 2],
    pub statuses: BTreeMap<String, [u32; 2]>,
    pub calls_per_dep: BTreeMap<String, [u32; 2]>,
}

/// What was seen of each request.
#[derive(Debug, Deserialize)]
pub struct Observed {
    pub startup: Option<String>,
    #[serde(default)]
    pub requests: Vec<Block>,
}

/// Requests `i[0]` to `i[1]` and what became of them.
#[derive(Debug, Deserialize)]
pub struct Block {
    pub i: [usize; 2],
    pub outcomes: Vec<Outcome>,
}

/// One way in which requests of a block ended.
#[derive(Debug, Deserialize)]
pub struct Outcome {
    pub n: [u32; 2],
    pub status: Option<u16>,
    pub attempts: Option<Vec<String>>,
    pub gaps_ms: Option<Vec<[i64; 2]>>,
    pub sleep_ms: Option<Vec<Option<i64>>>,
    pub trailing_ms: Option<[i64; 2]>,
    pub stream: Option<Stream>,
}

/// What the client got of a stream.
#[derive(Debug, Deserialize)]
pub struct Stream {
    pub chunks: Option<[u32; 2]>,
    pub error: Option<Value>,
}

fn raw_http() -> String {
    "raw_http".into()
}

impl Case {
    /// All requests of the case, one by one.
    pub fn sendings(&self) -> Vec<Sending> {
        let mut all = Vec::new();
        for sending in &self.requests {
            for k in 0..u64::from(sending.n.unwrap_or(1)) {
                let at_ms = sending.at_ms.map(|at| at + k * sending.every_ms.unwrap_or(0));
                all.push(Sending { at_ms, n: None, every_ms: None, ..sending.clone() });
            }
        }
        all
    }
}
