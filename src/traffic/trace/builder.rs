//! From cells to rows and from rows to batches: the one place that decides what a valid row is, for every format.

use std::num::NonZeroU32;

use super::column::{self, Cell, Column, Problem};
use super::dialect::Dialect;
use super::error::{Fault, thousands};
use super::litellm::{Log, Target};
use super::order::{Order, Watch};
use super::row::{Batch, LeftAfter, NameId, Names, Recorded, Row, Slice};
use crate::gateway::id::{Map, Registry};
use crate::gateway::money::Money;
use crate::gateway::request::Fingerprint;
use crate::gateway::time::{Span, Time};

/// Blocks in one row: a hundred million tokens in blocks of 16 is no prompt.
const ROW_BLOCKS: usize = 1 << 22;

/// Collects the cells of one row after the other.
#[derive(Debug)]
pub(super) struct Builder {
    pub dialect: &'static Dialect,
    pub names: Names,
    pub watch: Watch,
    /// Tokens in a block, where the file does not say.
    pub block_size: Option<u32>,
    /// The range that the rows so far leave for it: it is only inferred, not checked, while this is set.
    pub inference: Option<Inference>,
    epoch: Time,
    order: Order,
    ordinal: u64,
    names_known: [usize; 7],
    batch: Batch,
    draft: Draft,
    log: Log,
    /// The first chat of the session that a chat belongs to.
    roots: Map<u64, u64>,
}

/// The tokens in a block that are possible after some rows: each has one block for every started block of its input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inference {
    pub least: (u64, u64),
    pub most: (u64, u64),
    pub rows: u64,
}

/// What is known of the row so far.
#[derive(Debug)]
struct Draft {
    row: Row,
    has_time: bool,
    has_input: bool,
    fingerprint: Option<Fingerprint>,
    recorded: Recorded,
    chat: Option<u64>,
    parent_chat: Option<u64>,
}

impl Builder {
    pub(super) fn new(dialect: &'static Dialect, epoch: Time, order: Order, block_size: Option<u32>, unit: &'static str) -> Self {
        Self {
            dialect,
            names: Names::default(),
            watch: Watch::new(unit),
            block_size,
            inference: None,
            epoch: if dialect.relative { epoch } else { Time(0) },
            order,
            ordinal: 0,
            names_known: [0; 7],
            batch: Batch::default(),
            draft: Draft::new(0),
            log: Log::default(),
            roots: Map::default(),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.batch.is_full()
    }

    /// The rows so far as a batch, if there are any.
    pub(super) fn take(&mut self) -> Option<Batch> {
        if self.batch.rows.is_empty() {
            return None;
        }
        self.batch.first_seen = self.names.since(&mut self.names_known);
        Some(std::mem::take(&mut self.batch))
    }

    /// Starts the row at this line.
    pub(super) fn begin(&mut self, line: u64) {
        self.draft = Draft::new(line);
        self.log.clear();
        self.draft.row.prefix = Slice { start: self.batch.blocks.len() as u32, end: self.batch.blocks.len() as u32 };
        self.draft.row.tags = Slice { start: self.batch.tags.len() as u32, end: self.batch.tags.len() as u32 };
    }

    /// Sets one column, which the file calls `name`. A row sets each column at most once.
    pub(super) fn set(&mut self, name: &str, column: Column, cell: &Cell<'_>) -> Result<(), Problem> {
        if *cell == Cell::Absent || matches!(cell, Cell::Text(text) if text.is_empty()) {
            return Ok(());
        }
        let Draft { row, has_time, has_input, fingerprint, recorded, chat, parent_chat } = &mut self.draft;
        let names = &mut self.names;
        match column {
            Column::At(clock) => {
                row.at = column::time(name, cell, clock, self.epoch)?;
                *has_time = true;
            }
            Column::Model => row.model = named(&mut names.models, name, cell)?,
            Column::Key => row.key = named(&mut names.keys, name, cell)?,
            Column::Team => row.team = named(&mut names.teams, name, cell)?,
            Column::EndUser => row.end_user = named(&mut names.end_users, name, cell)?,
            Column::Session => row.session = named(&mut names.sessions, name, cell)?,
            Column::Chat => *chat = Some(column::whole(name, cell, u64::MAX, "chats")?),
            Column::ParentChat if matches!(cell, Cell::Negative(_)) => {}
            Column::ParentChat => *parent_chat = Some(column::whole(name, cell, u64::MAX, "chats")?),
            Column::Tags => {
                let tags = &mut self.batch.tags;
                column::tags(name, cell, |tag| tags.push(NameId::new(names.tags.intern(tag))))?;
                row.tags.end = tags.len() as u32;
            }
            Column::InputTokens => {
                row.input_tokens = column::tokens(name, cell)?;
                *has_input = true;
            }
            Column::OutputTokens => row.output_tokens = Some(column::tokens(name, cell)?),
            Column::MaxTokens => row.max_tokens = Some(column::tokens(name, cell)?),
            Column::Stream => row.stream = Some(column::flag(name, cell)?),
            Column::Fingerprint => *fingerprint = Some(Fingerprint::of_text(&column::text(name, cell)?)),
            Column::BlockSize => row.block_size = column::whole(name, cell, u64::from(u32::MAX), "tokens in a block")? as u32,
            Column::PrefixBlocks => {
                column::blocks(name, cell, &mut self.batch.blocks)?;
                row.prefix.end = self.batch.blocks.len() as u32;
                if row.prefix.len() as usize > ROW_BLOCKS {
                    return Err(Problem::value(
                        name,
                        format!("`{name}` holds {} block ids", thousands(u64::from(row.prefix.len()))),
                        "a prompt has at most 4,194,304 blocks",
                    ));
                }
            }
            Column::LeftAfterTokens => set_left(row, name, LeftAfter::Tokens(column::tokens(name, cell)?))?,
            Column::LeftAfterMs => set_left(row, name, LeftAfter::Waited(span(name, cell, 6, "milliseconds")?))?,
            Column::Ignored => {}
            Column::Log(field) => self.log.set(field, name, cell)?,
            _ => set_recorded(recorded, names, name, column, cell)?,
        }
        Ok(())
    }

    /// Takes a row as a whole, from a reader that has no columns.
    pub(super) fn add(&mut self, line: u64, fill: impl FnOnce(Target<'_>)) -> Result<(), Problem> {
        self.begin(line);
        let Draft { row, recorded, fingerprint, has_time, has_input, .. } = &mut self.draft;
        (*has_time, *has_input) = (true, true);
        fill(Target { row, recorded, fingerprint, names: &mut self.names, tags: &mut self.batch.tags });
        self.end()
    }

    /// Ends the row: it joins the batch, or is refused.
    pub(super) fn end(&mut self) -> Result<(), Problem> {
        let Draft { row, fingerprint, recorded, .. } = &mut self.draft;
        self.log.settle(Target { row, recorded, fingerprint, names: &mut self.names, tags: &mut self.batch.tags })?;
        self.check_complete()?;
        self.check_blocks()?;
        let Draft { row, fingerprint, recorded, chat, parent_chat, .. } = &mut self.draft;
        if self.dialect.no_output_is_failure && row.output_tokens == Some(0) {
            row.output_tokens = None;
            recorded.status = Some(500);
        }
        self.watch.see(row.at, row.line, self.order)?;
        if let Some(chat) = *chat {
            let root = parent_chat.map_or(chat, |parent| self.roots.get(&parent).copied().unwrap_or(parent));
            self.roots.insert(chat, root);
            row.session = Some(NameId::new(self.names.sessions.intern(&root.to_string())));
        }
        let blocks = &self.batch.blocks[row.prefix.start as usize..row.prefix.end as usize];
        row.fingerprint = match fingerprint {
            Some(fingerprint) => *fingerprint,
            None if self.dialect.same_blocks_same_request && !blocks.is_empty() => Fingerprint::of_prompt(blocks, row.input_tokens),
            None => Fingerprint::unique(self.ordinal),
        };
        if *recorded != Recorded::default() {
            self.batch.recorded.push(*recorded);
            row.recorded = NonZeroU32::new(self.batch.recorded.len() as u32);
        }
        self.ordinal += 1;
        self.batch.rows.push(row.clone());
        Ok(())
    }

    fn check_complete(&self) -> Result<(), Problem> {
        let Draft { row, has_time, has_input, recorded, .. } = &self.draft;
        let names = |wanted: fn(&Column) -> bool| {
            let names: Vec<_> = self.dialect.columns.iter().filter(|(_, column)| wanted(column)).map(|(name, _)| format!("`{name}`")).collect();
            names.join(", ")
        };
        if !has_time {
            let hint = "every request needs its time of arrival: without it there is no order and no load";
            return Err(Problem::row(
                Fault::Value,
                format!("the row has no time; it goes in {}", names(|column| matches!(column, Column::At(_)))),
                hint,
            ));
        }
        if !has_input {
            let hint = "every request needs its input tokens: without them it has no price";
            return Err(Problem::row(Fault::Value, format!("the row has no {}", names(|column| *column == Column::InputTokens)), hint));
        }
        let cached = u64::from(recorded.cached_tokens.unwrap_or(0)) + u64::from(recorded.cache_write_tokens.unwrap_or(0));
        if cached > u64::from(row.input_tokens) {
            let what = format!(
                "{} tokens read from or written to the prompt cache, but only {} input tokens",
                thousands(cached),
                thousands(row.input_tokens.into())
            );
            return Err(Problem::row(Fault::Value, what, "`input_tokens` counts all input, cached tokens included"));
        }
        if let (Some(reasoning), Some(output)) = (recorded.reasoning_tokens, row.output_tokens)
            && reasoning > output
        {
            let what = format!("{} reasoning tokens, but only {} output tokens", thousands(reasoning.into()), thousands(output.into()));
            return Err(Problem::row(Fault::Value, what, "`output_tokens` counts all output, reasoning included"));
        }
        Ok(())
    }

    fn check_blocks(&mut self) -> Result<(), Problem> {
        let row = &mut self.draft.row;
        let count = u64::from(row.prefix.len());
        if count == 0 {
            row.block_size = 0;
            return Ok(());
        }
        let input = u64::from(row.input_tokens);
        if let Some(inference) = &mut self.inference {
            inference.see(input, count, row.line);
            return Ok(());
        }
        if row.block_size == 0 {
            row.block_size = self.block_size.unwrap_or(0);
        }
        let size = u64::from(row.block_size);
        if size == 0 {
            return Err(Problem::row(
                Fault::Value,
                "the row has block ids, but not how many tokens are in a block",
                "add a column `block_size`, or give the option block_size",
            ));
        }
        if (count - 1) * size >= input.max(1) {
            let what = format!("{} blocks of {size} tokens are more than {} input tokens", thousands(count), thousands(input));
            let hint = "only the last block may be partial; if the blocks have another size, give the option block_size";
            return Err(Problem::row(Fault::Value, what, hint));
        }
        Ok(())
    }
}

impl Inference {
    pub(super) fn new() -> Self {
        Self { least: (1, 0), most: (u64::from(u32::MAX), 0), rows: 0 }
    }

    fn see(&mut self, input: u64, count: u64, line: u64) {
        self.rows += 1;
        let least = input.div_ceil(count);
        if least > self.least.0 {
            self.least = (least, line);
        }
        if count > 1 {
            let most = input.saturating_sub(1) / (count - 1);
            if most < self.most.0 {
                self.most = (most, line);
            }
        }
    }
}

impl Draft {
    fn new(line: u64) -> Self {
        let row = Row {
            at: Time(0),
            line,
            fingerprint: Fingerprint::unique(0),
            model: None,
            key: None,
            team: None,
            end_user: None,
            session: None,
            input_tokens: 0,
            output_tokens: None,
            max_tokens: None,
            block_size: 0,
            prefix: Slice::default(),
            tags: Slice::default(),
            stream: None,
            left_after: None,
            recorded: None,
        };
        Self { row, has_time: false, has_input: false, fingerprint: None, recorded: Recorded::default(), chat: None, parent_chat: None }
    }
}

fn named(registry: &mut Registry, name: &str, cell: &Cell<'_>) -> Result<Option<NameId>, Problem> {
    Ok(Some(NameId::new(registry.intern(&column::text(name, cell)?))))
}

fn span(name: &str, cell: &Cell<'_>, digits: u32, unit: &str) -> Result<Span, Problem> {
    let nanos = column::decimal(name, cell, digits, u128::from(u64::MAX), unit)?;
    Ok(Span(nanos as u64))
}

fn set_left(row: &mut Row, name: &str, left: LeftAfter) -> Result<(), Problem> {
    if row.left_after.is_some() {
        return Err(Problem::value(
            name,
            "the client left twice: both `left_after_tokens` and `left_after_ms` are set",
            "keep the one that the log measured",
        ));
    }
    row.left_after = Some(left);
    Ok(())
}

fn set_recorded(recorded: &mut Recorded, names: &mut Names, name: &str, column: Column, cell: &Cell<'_>) -> Result<(), Problem> {
    match column {
        Column::Status => {
            let status = column::whole(name, cell, 599, "an HTTP status")?;
            if status < 100 {
                return Err(Problem::value(name, format!("`{name}` is not an HTTP status: `{status}`"), "statuses go from 100 to 599"));
            }
            recorded.status = Some(status as u16);
        }
        Column::TtftMs => recorded.ttft = Some(span(name, cell, 6, "milliseconds")?),
        Column::DurationMs => recorded.duration = Some(span(name, cell, 6, "milliseconds")?),
        Column::DurationSeconds => recorded.duration = Some(span(name, cell, 9, "seconds")?),
        Column::CostUsd => {
            let max = u128::from(u64::MAX);
            recorded.cost = Some(Money(column::decimal(name, cell, 12, max, "dollars, up to 18 million for one request")? as i128));
        }
        Column::CachedTokens => recorded.cached_tokens = Some(column::tokens(name, cell)?),
        Column::CacheWriteTokens => recorded.cache_write_tokens = Some(column::tokens(name, cell)?),
        Column::ReasoningTokens => recorded.reasoning_tokens = Some(column::tokens(name, cell)?),
        Column::Deployment => recorded.deployment = named(&mut names.deployments, name, cell)?,
        Column::CacheHit => recorded.cache_hit = Some(column::flag(name, cell)?),
        // Python's word, where LiteLLM did not look.
        Column::CacheHitOrNone if matches!(cell, Cell::Text(text) if text == "None") => {}
        Column::CacheHitOrNone => recorded.cache_hit = Some(column::flag(name, cell)?),
        Column::Retry => recorded.retry = Some(column::flag(name, cell)?),
        Column::Attempts => recorded.attempts = Some(column::whole(name, cell, u64::from(u32::MAX), "attempts")? as u32),
        Column::Fallbacks => recorded.fallbacks = Some(column::whole(name, cell, u64::from(u32::MAX), "fallbacks")? as u32),
        Column::Request => recorded.request = Some(Fingerprint::of_text(&column::text(name, cell)?).1),
        other => unreachable!("{other:?} belongs to the row, not to its outcome"),
    }
    Ok(())
}
