//! Makes `traces/quickstart.csv.gz` and proves that the file in the repository is what this makes. Decides what the example traffic looks like;
//! every choice is a keyed draw and integer arithmetic, so the file is the same on every machine.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};

use super::tests::read;
use super::*;
use crate::gateway::draw::{Purpose, below, bits};

const SEED: u64 = 20_261_120;
/// 2026-11-20T13:00:00Z, a Friday, in milliseconds.
const START_MS: u64 = 1_795_179_600_000;
const TICK_MS: u64 = 50;
const TICKS: u64 = 2 * 3_600 * 1_000 / TICK_MS;
const BLOCK: u64 = 128;

/// Name, team, share of the traffic in per mille.
const KEYS: [(&str, &str, u64); 12] = [
    ("web-chat", "frontend", 300),
    ("web-search", "frontend", 180),
    ("ios-app", "frontend", 120),
    ("support-bot", "support", 110),
    ("ticket-triage", "support", 80),
    ("mail-draft", "support", 60),
    ("ci-review", "platform", 50),
    ("docs-writer", "platform", 40),
    ("log-summary", "platform", 25),
    ("notebook", "research", 15),
    ("eval-runner", "research", 12),
    ("agent-lab", "research", 8),
];
/// The key whose agent loops.
const RUNAWAY: usize = 11;
const MODELS: [(&str, u64); 3] = [("gpt-4o-mini", 800), ("gpt-4o", 140), ("claude-3-5-sonnet", 60)];

/// A prompt that may come again.
#[derive(Clone)]
struct Prompt {
    fingerprint: u64,
    model: usize,
    session: Option<u64>,
    input: u64,
    blocks: Vec<u64>,
    at_ms: u64,
}

#[derive(Default)]
struct Generator {
    text: String,
    /// The decision that comes next, about the request at hand.
    ordinal: u32,
    request: u64,
    blocks: u64,
    prompts: u64,
    sessions: u64,
    /// By key: the sessions that may go on, and what was asked.
    open: [Vec<Prompt>; KEYS.len()],
    asked: [Vec<Prompt>; KEYS.len()],
    /// By team, the blocks of its system prompt.
    system: std::collections::BTreeMap<&'static str, Vec<u64>>,
}

impl Generator {
    fn draw(&mut self, bound: u64) -> u64 {
        self.ordinal += 1;
        below(bits(SEED, self.request, Purpose::Overlay, self.ordinal), bound)
    }

    fn weighted(&mut self, weights: impl Iterator<Item = u64> + Clone) -> usize {
        let mut left = self.draw(weights.clone().sum());
        let mut weights = weights;
        weights
            .position(|weight| {
                if left < weight {
                    true
                } else {
                    left -= weight;
                    false
                }
            })
            .expect("the draw is below the sum")
    }

    /// A length with many short and few long ones: an octave, then a place in it.
    fn length(&mut self, shortest: u64, octaves: &[u64]) -> u64 {
        let octave = self.weighted(octaves.iter().copied());
        let start = shortest << octave;
        start + self.draw(start)
    }

    fn fresh_blocks(&mut self, count: u64) -> impl Iterator<Item = u64> + use<> {
        let first = self.blocks;
        self.blocks += count;
        first..first + count
    }

    /// A prompt of `input` tokens that begins with `kept` blocks.
    fn prompt(&mut self, at_ms: u64, model: usize, session: Option<u64>, input: u64, kept: &[u64]) -> Prompt {
        let mut blocks = kept.to_vec();
        let missing = input.div_ceil(BLOCK) - blocks.len() as u64;
        blocks.extend(self.fresh_blocks(missing));
        self.prompts += 1;
        Prompt { fingerprint: self.prompts, model, session, input, blocks, at_ms }
    }

    fn arrive(&mut self, at_ms: u64) {
        self.request += 1;
        self.ordinal = 0;
        let key = self.weighted(KEYS.iter().map(|(_, _, weight)| *weight));
        let kind = self.draw(1000);
        let system = self.system_prompt(KEYS[key].1);
        self.asked[key].retain(|prompt| at_ms - prompt.at_ms < 45 * 60_000);
        self.open[key].retain(|prompt| at_ms - prompt.at_ms < 15 * 60_000);
        let prompt = if kind < 165 && !self.asked[key].is_empty() {
            let again = self.draw(self.asked[key].len() as u64) as usize;
            Prompt { at_ms, ..self.asked[key][again].clone() }
        } else if kind < 450 && !self.open[key].is_empty() {
            let turn = self.draw(self.open[key].len() as u64) as usize;
            let before = self.open[key].swap_remove(turn);
            let input = before.input + self.length(32, &[3, 4, 3, 1]);
            let full = (before.input / BLOCK) as usize;
            self.prompt(at_ms, before.model, before.session, input, &before.blocks[..full])
        } else {
            let model = self.weighted(MODELS.iter().map(|(_, weight)| *weight));
            let is_session = self.draw(2) == 0;
            self.sessions += u64::from(is_session);
            let session = is_session.then_some(self.sessions);
            let input = system.len() as u64 * BLOCK + self.length(64, &[4, 5, 4, 2, 1]);
            self.prompt(at_ms, model, session, input, &system)
        };
        if prompt.session.is_some() && prompt.input < 4_000 {
            self.open[key].push(prompt.clone());
        }
        let output = self.length(16, &[2, 4, 5, 5, 3, 1]);
        let is_stream = self.draw(10) < 7;
        self.write(key, &prompt, output, is_stream);
        self.asked[key].push(prompt);
    }

    /// One step of the loop: the same conversation, a little longer each time.
    fn loop_step(&mut self, at_ms: u64) {
        self.request += 1;
        self.ordinal = 0;
        let (session, input, kept) = match self.open[RUNAWAY].iter().find(|prompt| prompt.session == Some(0)) {
            Some(before) => (before.session, before.input + 3, before.blocks[..(before.input / BLOCK) as usize].to_vec()),
            None => (Some(0), 2_900, self.system_prompt(KEYS[RUNAWAY].1)),
        };
        let prompt = self.prompt(at_ms, 1, session, input, &kept);
        self.open[RUNAWAY].retain(|prompt| prompt.session != Some(0));
        self.open[RUNAWAY].push(prompt.clone());
        let output = 40 + self.draw(30);
        self.write(RUNAWAY, &prompt, output, false);
    }

    fn system_prompt(&mut self, team: &'static str) -> Vec<u64> {
        if !self.system.contains_key(team) {
            let blocks = self.fresh_blocks(8 + 2 * team.len() as u64 % 7).collect();
            self.system.insert(team, blocks);
        }
        self.system[team].clone()
    }

    fn write(&mut self, key: usize, prompt: &Prompt, output: u64, is_stream: bool) {
        let limits = [256, 512, 1024, 2048, 4096];
        let max_tokens = (self.draw(10) < 9).then(|| limits[self.draw(5) as usize]);
        let output = output.min(max_tokens.unwrap_or(u64::MAX));
        let (mut left_tokens, mut left_ms) = (String::new(), String::new());
        if is_stream && self.draw(100) < 5 {
            if self.draw(2) == 0 {
                left_tokens = self.draw(output).to_string();
            } else {
                left_ms = (500 + self.draw(7_500)).to_string();
            }
        }
        let at = order::date(Time(prompt.at_ms * 1_000_000));
        let (name, team, _) = KEYS[key];
        let model = MODELS[prompt.model].0;
        let session = prompt.session.map_or(String::new(), |session| format!("s{session}"));
        let max_tokens = max_tokens.map_or(String::new(), |tokens| tokens.to_string());
        let blocks: Vec<String> = prompt.blocks.iter().map(u64::to_string).collect();
        let (fingerprint, input, blocks) = (prompt.fingerprint, prompt.input, blocks.join(" "));
        let end = format!("{max_tokens},{is_stream},p{fingerprint},{BLOCK},{blocks},{left_tokens},{left_ms}");
        writeln!(self.text, "{at},{model},{name},{team},{session},{input},{output},{end}").expect("a string takes every write");
    }
}

/// The trace as text: two hours, 34 requests a minute, eight times as many in the five minutes from 14:00, a loop from 14:30 to 14:36.
fn generate() -> String {
    let columns = "max_tokens,stream,fingerprint,block_size,prefix_blocks,left_after_tokens,left_after_ms";
    let mut generator = Generator { text: format!("at,model,key,team,session,input_tokens,output_tokens,{columns}\n"), ..Generator::default() };
    for tick in 0..TICKS {
        let at_ms = START_MS + tick * TICK_MS;
        let minute = tick * TICK_MS / 60_000;
        let times = if (60..65).contains(&minute) { 8 } else { 1 };
        // Per million: 34 a minute in ticks of 50 ms.
        if below(bits(SEED, tick, Purpose::World, 0), 1_000_000) < 28_333 * times {
            generator.arrive(at_ms + below(bits(SEED, tick, Purpose::World, 1), TICK_MS - 1));
        }
        if (90..96).contains(&minute) && tick.is_multiple_of(10) {
            generator.loop_step(at_ms + TICK_MS - 1);
        }
    }
    generator.text
}

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("traces/quickstart.csv.gz")
}

/// `GWSIM_REGENERATE=1 cargo test quickstart` writes the file anew.
#[test]
fn the_shipped_trace_is_the_generated_one() {
    let text = generate();
    if std::env::var_os("GWSIM_REGENERATE").is_some() {
        let mut file = flate2::write::GzEncoder::new(std::fs::File::create(shipped()).unwrap(), flate2::Compression::best());
        file.write_all(text.as_bytes()).unwrap();
        file.finish().unwrap();
    }
    let mut file = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(shipped()).unwrap()).read_to_string(&mut file).unwrap();
    assert!(file == text, "traces/quickstart.csv.gz differs from the generator: GWSIM_REGENERATE=1 cargo test quickstart");
    assert!(std::fs::metadata(shipped()).unwrap().len() < 150_000);
}

/// What `traces/README.md` says about it.
#[test]
fn the_shipped_trace_is_as_described() {
    let summary = info(&shipped(), Options::default(), |_, _, _| None).unwrap();
    let batch = read(Trace::open(&shipped(), Options::default()).unwrap()).unwrap();
    let rows = &batch.rows;
    println!("{summary}");
    let share = |part: usize, whole: usize| part * 1000 / whole;
    assert!((5_500..6_500).contains(&summary.rows), "{}", summary.rows);
    assert_eq!((summary.keys, summary.teams, summary.models.len(), summary.earlier_rows), (12, 4, 3, 0));
    assert!(summary.models.iter().any(|(name, count)| name == "gpt-4o-mini" && count * 2 > summary.rows));
    assert!((120..180).contains(&(summary.duplicates_within_1h * 1000 / summary.rows)), "{}", summary.duplicates_within_1h);
    let minute = |row: &Row| (row.at.0 / 1_000_000 - START_MS) / 60_000;
    let in_peak = rows.iter().filter(|row| (60..65).contains(&minute(row))).count();
    let before = rows.iter().filter(|row| (50..60).contains(&minute(row))).count();
    assert!((6..=10).contains(&(in_peak * 2 / before)), "{in_peak} in 5 minutes, {before} in 10 before");
    let runaway = batch.first_seen.keys.iter().position(|name| name == KEYS[RUNAWAY].0).unwrap();
    let is_loop = |row: &&Row| (90..96).contains(&minute(row)) && row.key.is_some_and(|key| key.index() == runaway);
    let runaway_rows = rows.iter().filter(is_loop).count();
    assert!(runaway_rows >= 720, "{runaway_rows}");
    let others: Vec<&Row> = rows.iter().filter(|row| row.key.is_none_or(|key| key.index() != runaway)).collect();
    let streams = others.iter().filter(|row| row.stream == Some(true)).count();
    assert!((670..730).contains(&share(streams, others.len())));
    let left = rows.iter().filter(|row| row.left_after.is_some()).count();
    assert!((35..65).contains(&share(left, streams)), "{left}");
    assert!(rows.iter().all(|row| row.block_size == 128 && row.output_tokens <= row.max_tokens.or(Some(u32::MAX))));
}
