//! The providers' own bill: a line for every call that has ended, and sums. Made of what was generated, never of what anybody received.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::gateway::money::Money;
use crate::gateway::rate_card::Usage;
use crate::gateway::time::Time;

/// How a call ended, in the words of the bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With the whole answer.
    Whole,
    /// The provider broke off its answer.
    Cut,
    /// With an error status.
    Refused,
    /// The provider broke the connection before the status line.
    Broken,
    /// The caller closed it.
    Closed,
}

/// A line of the bill.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The call's number, in the order in which calls were made.
    pub number: u64,
    /// The trace that it came with.
    pub trace: Option<u128>,
    /// The span that made it.
    pub parent: u64,
    /// Which call of its request to this deployment it was, from 0.
    pub nth: u32,
    /// Whom it went to.
    pub deployment: &'a str,
    /// The provider's name for the model.
    pub model: &'a str,
    /// When it was made.
    pub at: Time,
    /// When it ended.
    pub ended_at: Time,
    /// Whether it was a stream.
    pub stream: bool,
    /// The status that the caller saw, if any.
    pub status: Option<u16>,
    /// How it ended.
    pub ended: Ended,
    /// What is billed, if anything.
    pub usage: Option<Usage>,
    /// For so much.
    pub cost: Money,
}

/// The bill so far.
pub struct Bills {
    inner: Mutex<Inner>,
}

struct Inner {
    file: Option<File>,
    line: Vec<u8>,
    has_failed: bool,
    total: Sum,
    deployments: BTreeMap<String, Sum>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    calls: u64,
    billed: u64,
    input: u64,
    cache_read: u64,
    cache_write: u64,
    output: u64,
    cost: Money,
}

impl Ended {
    const fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Cut => "cut",
            Self::Refused => "refused",
            Self::Broken => "broken",
            Self::Closed => "closed",
        }
    }
}

impl Bills {
    /// A bill without a line, written to `file` if there is one.
    ///
    /// # Errors
    /// If the file can't be made.
    pub fn new(file: Option<&Path>) -> io::Result<Self> {
        let file = file.map(File::create).transpose()?;
        let inner = Inner { file, line: Vec::new(), has_failed: false, total: Sum::default(), deployments: BTreeMap::new() };
        Ok(Self { inner: Mutex::new(inner) })
    }

    /// Enters a call. Its line is in the file before this returns, so that whoever reads the bill of a twin that was killed misses none.
    pub fn enter(&self, entry: Entry<'_>) {
        let mut inner = self.inner.lock().expect("nobody panics with it");
        let Inner { file, line, has_failed, total, deployments } = &mut *inner;
        total.add(&entry);
        match deployments.get_mut(entry.deployment) {
            Some(sum) => sum.add(&entry),
            None => deployments.entry(entry.deployment.to_owned()).or_default().add(&entry),
        }
        if let Some(file) = file {
            line.clear();
            let written = serde_json::to_writer(&mut *line, &entry.json()).map_err(io::Error::from).and_then(|()| {
                line.push(b'\n');
                file.write_all(line)
            });
            *has_failed |= written.is_err();
        }
    }

    /// The sums, for everything and for each deployment. `is_complete` is false once a line could not be written.
    pub fn sums(&self) -> Value {
        let inner = self.inner.lock().expect("nobody panics with it");
        let deployments: BTreeMap<&str, Value> = inner.deployments.iter().map(|(name, sum)| (name.as_str(), sum.json())).collect();
        let mut sums = inner.total.json();
        sums["is_complete"] = (!inner.has_failed).into();
        sums["deployments"] = json!(deployments);
        sums
    }
}

impl Entry<'_> {
    fn json(&self) -> Value {
        json!({
            "call": self.number, "trace": self.trace.map(|trace| format!("{trace:032x}")), "parent": format!("{:016x}", self.parent),
            "nth": self.nth, "deployment": self.deployment, "model": self.model, "at": self.at.0, "ended_at": self.ended_at.0,
            "stream": self.stream, "status": self.status, "ended": self.ended.name(), "usage": self.usage.map(usage),
            "picodollars": self.cost.0.to_string(),
        })
    }
}

impl Sum {
    fn add(&mut self, entry: &Entry<'_>) {
        let usage = entry.usage.unwrap_or_default();
        self.calls += 1;
        self.billed += u64::from(entry.usage.is_some());
        self.input += u64::from(usage.input);
        self.cache_read += u64::from(usage.cache_read);
        self.cache_write += u64::from(usage.cache_write) + u64::from(usage.cache_write_1h);
        self.output += u64::from(usage.output);
        self.cost += entry.cost;
    }

    fn json(&self) -> Value {
        json!({
            "calls": self.calls, "billed": self.billed, "input": self.input, "cache_read": self.cache_read, "cache_write": self.cache_write,
            "output": self.output, "usd": self.cost.decimal().to_string(), "picodollars": self.cost.0.to_string(),
        })
    }
}

fn usage(usage: Usage) -> Value {
    json!({
        "input": usage.input, "cache_read": usage.cache_read, "cache_write": usage.cache_write, "cache_write_1h": usage.cache_write_1h,
        "output": usage.output, "reasoning": usage.reasoning,
    })
}
