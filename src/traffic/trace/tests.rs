//! Real traces against the numbers published with them, and every way in which a file can be broken.

use std::io::Write;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::gateway::id::Map;
use crate::gateway::money::Money;

/// A published trace, or `None` with a notice where the shared directory is not at hand.
pub(super) fn shared(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("GWSIM_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let path = root.join("traces").join(name);
    if !path.exists() {
        eprintln!("skipped: {} is not here; set GWSIM_SHARED", path.display());
        return None;
    }
    Some(path)
}

pub(super) fn read(mut trace: Trace) -> Result<Batch, TraceError> {
    let mut all = Batch::default();
    while let Some(batch) = trace.next_batch()? {
        all.first_seen.append(&batch.first_seen);
        for row in &batch.rows {
            all.push(&batch, row);
        }
    }
    Ok(all)
}

pub(super) fn read_text(text: impl AsRef<[u8]>, options: Options) -> Result<Batch, TraceError> {
    read(Trace::of_bytes(Path::new("t"), text.as_ref(), options)?)
}

fn totals(rows: &[Row]) -> (usize, u64, u64, u64) {
    let input = rows.iter().map(|row| u64::from(row.input_tokens)).sum();
    let output = rows.iter().map(|row| u64::from(row.output_tokens.unwrap())).sum();
    (rows.len(), input, output, rows.last().unwrap().at.since(rows[0].at).0)
}

/// Rows whose fingerprint was seen at most `ttl` before: since it was last seen, or since it was last stored.
fn duplicates(rows: &[Row], ttl: Span, sliding: bool) -> usize {
    let mut seen: Map<Fingerprint, Time> = Map::default();
    let mut count = 0;
    for row in rows {
        let is_duplicate = seen.get(&row.fingerprint).is_some_and(|last| row.at.since(*last) <= ttl);
        count += usize::from(is_duplicate);
        if sliding || !is_duplicate {
            seen.insert(row.fingerprint, row.at);
        }
    }
    count
}

/// Tokens that a prompt cache of OpenAI's rules reads (steps of 128, at least 1,024), and rows that read any: the published oracle for block ids.
fn prompt_cache(batch: &Batch, ttl: Span) -> (u64, usize) {
    let mut touched: Map<u64, Time> = Map::default();
    let (mut tokens, mut hits) = (0, 0);
    for row in &batch.rows {
        let fresh = |id: &&u64| touched.get(*id).is_some_and(|last| row.at.since(*last) <= ttl);
        let leading = batch.blocks(row).iter().take_while(fresh).count() as u64;
        let cached = (leading * u64::from(row.block_size)).min(u64::from(row.input_tokens)) / 128 * 128;
        tokens += if cached < 1024 { 0 } else { cached };
        hits += usize::from(cached >= 1024);
        touched.extend(batch.blocks(row).iter().map(|id| (*id, row.at)));
    }
    (tokens, hits)
}

#[test]
fn azure_code_is_read_exactly() {
    let Some(path) = shared("azure_llm_2023_code.csv") else { return };
    let trace = Trace::open(&path, Options::default()).unwrap();
    assert_eq!(trace.format(), Format::Azure);
    let batch = read(trace).unwrap();
    let (rows, input, output, span) = totals(&batch.rows);
    assert_eq!((rows, input, output), (8_819, 18_059_974, 245_896));
    // 18:17:03.9799600 to 19:14:19.9280160: published as 3,435.948 s.
    assert_eq!(span, 3_435_948_056_000);
    assert_eq!((batch.rows[0].line, batch.rows.last().unwrap().line), (2, 8_820));
    assert_eq!(duplicates(&batch.rows, Span::MAX, true), 0, "no identity, no duplicates");
}

#[test]
fn mooncake_conversation_is_read_exactly() {
    let Some(path) = shared("mooncake_conversation.jsonl.gz") else { return };
    let trace = Trace::open(&path, Options::default()).unwrap();
    assert_eq!(trace.format(), Format::Mooncake);
    assert_eq!(trace.notes()[1], "blocks of 512 tokens, inferred from the first 4,096 rows");
    let batch = read(trace).unwrap();
    assert_eq!(totals(&batch.rows), (12_031, 144_793_823, 4_122_048, 3_536_999_000_000));
    assert!(batch.rows.is_sorted_by_key(|row| (row.at, row.line)), "equal times keep file order");
    let (hour, minutes) = (Span::from_secs(3600), Span::from_secs(300));
    assert_eq!(duplicates(&batch.rows, hour, true), 118);
    assert_eq!(duplicates(&batch.rows, minutes, true), 95);
    assert_eq!(duplicates(&batch.rows, minutes, false), 94);
    assert_eq!(prompt_cache(&batch, hour), (50_291_328, 4_630));
    assert_eq!(prompt_cache(&batch, minutes), (38_172_032, 3_644));
    assert_eq!(prompt_cache(&batch, Span::MINUTE), (9_599_488, 996));
}

#[test]
fn agent_miniswe_is_read_exactly() {
    let Some(path) = shared("agent_miniswe.jsonl.gz") else { return };
    let trace = Trace::open(&path, Options::default()).unwrap();
    assert_eq!(trace.notes(), ["blocks of 128 tokens, inferred from the first 402 rows"]);
    let batch = read(trace).unwrap();
    let (rows, input, output, span) = totals(&batch.rows);
    assert_eq!((rows, input, output), (402, 2_469_470, 43_917));
    // Published as 552.131 s from the rounded milliseconds; the file also has the microseconds.
    assert_eq!(span, 552_131_510_000);
    assert_eq!(batch.first_seen.sessions.len(), 20);
    assert_eq!(batch.rows[0].at, Time(1_760_428_221_546_118_000));
    assert_eq!(prompt_cache(&batch, Span::from_secs(3600)), (2_285_824, 383));
    assert_eq!(prompt_cache(&batch, Span::from_secs(300)), (2_283_776, 382));
}

#[track_caller]
fn check(text: &str, expected: &str) {
    check_with(text, Options::default(), expected);
}

#[track_caller]
fn check_with(text: impl AsRef<[u8]>, options: Options, expected: &str) {
    assert_eq!(read_text(text, options).unwrap_err().to_string(), expected);
}

#[test]
fn a_bad_value_is_shown_where_it_stands() {
    check(
        "at_s,input_tokens,output_tokens\n1,10,5\n2,12x,4\n",
        "t:3:3: `input_tokens` is not a whole number of tokens: `12x`\n  |\n3 | 2,12x,4\n  |   ^^^\nhint: write digits only, without separators or units",
    );
    check(
        "{\"at_ms\":1,\"input_tokens\":10}\n{\"at_ms\":2,\"input_tokens\":-4}\n",
        "t:2:27: `input_tokens` is negative: `-4`\n  |\n2 | {\"at_ms\":2,\"input_tokens\":-4}\n  |                           ^^\nhint: write the number of tokens, or nothing if it is not known",
    );
    check(
        "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:17:03.9799600,4808,4294967296",
        "t:2:34: `GeneratedTokens` is too large: `4294967296`\n  |\n2 | 2023-11-16 18:17:03.9799600,4808,4294967296\n  |                                  ^^^^^^^^^^\nhint: tokens go up to 4,294,967,295",
    );
}

#[test]
fn an_unknown_column_is_refused_with_the_nearest_name() {
    check(
        "at_s,input_token\n1,2\n",
        "t:1:6: unknown column `input_token`\n  |\n1 | at_s,input_token\n  |      ^^^^^^^^^^^\nhint: did you mean `input_tokens`? A column that gwsim should skip starts with `x_`",
    );
    check(
        "{\"at_s\":1,\"input_tokens\":2,\"modle\":\"m\"}\n",
        "t:1:36: unknown column `modle`\n  |\n1 | {\"at_s\":1,\"input_tokens\":2,\"modle\":\"m\"}\n  |                                    ^^^\nhint: did you mean `model`? A column that gwsim should skip starts with `x_`",
    );
    assert_eq!(read_text("at_s,input_tokens,x_note\n1,2,anything\n", Options::default()).unwrap().rows.len(), 1);
}

#[test]
fn disorder_is_refused_with_its_size_and_the_fix() {
    let text = "at_s,input_tokens\n10,1\n12.5,1\n11,1\n";
    check(
        text,
        "t:4:1: the row is 1.5 s earlier than line 3\n  |\n4 | 11,1\n  | ^^\nhint: a replay goes forward in time: sort the trace once with `gwsim trace convert --sort IN OUT`",
    );
    let sorted = read_text(text, Options { order: Order::Sort, ..Options::default() }).unwrap();
    assert_eq!(sorted.rows.iter().map(|row| row.line).collect::<Vec<_>>(), [2, 4, 3]);
}

#[test]
fn mixed_clocks_are_refused_with_both_lines() {
    let error = read_text("at_ms,input_tokens\n1700000000000,1\n1700000001,1\n", Options { order: Order::Sort, ..Options::default() }).unwrap_err();
    assert_eq!((error.fault(), error.line(), error.column()), (Fault::Clock, Some(3), Some(1)));
    assert!(error.what().contains("earlier than on line 2"), "{error}");
}

#[test]
fn what_is_no_trace_is_refused() {
    let of = |text: &[u8]| read_text(text, Options::default()).unwrap_err();
    for text in [&b""[..], b"\n\n", b"at_s,input_tokens\n", b"at_s,input_tokens\n\n\n"] {
        assert_eq!((of(text).fault(), of(text).what()), (Fault::Empty, "no requests"));
    }
    for text in
        ["a,b\n1,2\n", "[{\"at_s\":1}]", "{\"at_s\":1", "{}", "\"", "at_s,at_s\n1,2\n", "at_s,at_ms,input_tokens\n1,2,3\n", "at_s,model\n1,m\n"]
    {
        assert_eq!(of(text.as_bytes()).fault(), Fault::Format, "{text}");
    }
    let values: [&[u8]; 12] = [
        b"at_s,input_tokens\n1\n",
        b"at_s,input_tokens\n1,2,3\n",
        b"at_s,input_tokens\n1,\n",
        b"at_s,input_tokens\n,1\n",
        b"at_s,input_tokens\nNaN,1\n",
        b"at_s,input_tokens,model\n1,1,\xff\n",
        b"at_s,input_tokens,left_after_ms,left_after_tokens\n1,1,5,5\n",
        b"at_s,input_tokens,prefix_blocks\n1,1,5\n",
        b"at_s,input_tokens,block_size,prefix_blocks\n1,16,16,5 6\n",
        b"at_s,input_tokens,cached_tokens\n1,16,17\n",
        b"at_s,input_tokens,status\n1,16,99\n",
        b"at,input_tokens\n1700000000,16\n",
    ];
    for text in values {
        assert_eq!(of(text).fault(), Fault::Value, "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn a_missing_file_a_directory_and_a_cut_file_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |path: &Path| Trace::open(path, Options::default()).map(|_| ()).unwrap_err();
    assert!(refused(&dir.path().join("none.csv")).what().starts_with("can't open the trace"));
    assert!(refused(dir.path()).what().contains("directory"));

    let text: String = (0..20_000).map(|i| format!("{i},{}\n", i % 7919)).collect();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    write!(gz, "at_s,input_tokens\n{text}").unwrap();
    let gz = gz.finish().unwrap();
    let zst = zstd::encode_all(format!("at_s,input_tokens\n{text}").as_bytes(), 1).unwrap();
    for bytes in [gz, zst] {
        assert_eq!(read_text(&bytes, Options::default()).unwrap().rows.len(), 20_000);
        let error = read_text(&bytes[..bytes.len() / 2], Options::default()).unwrap_err();
        assert_eq!(error.fault(), Fault::File, "{error}");
        assert!(error.what().starts_with("can't read"), "{error}");
    }
}

#[test]
fn nothing_follows_an_error() {
    let mut trace = Trace::of_bytes(Path::new("t"), b"at_s,input_tokens\n1,1\nx,1\n3,1\n", Options::default()).unwrap();
    assert!(trace.next_batch().is_err());
    assert_eq!(trace.next_batch().unwrap().map_or(0, |batch| batch.rows.len()), 0);
}

#[test]
fn a_block_size_that_cannot_be_inferred_is_asked_for() {
    let one = |input: u32, ids: &str| format!("{{\"timestamp\":0,\"input_length\":{input},\"output_length\":1,\"hash_ids\":[{ids}]}}\n");
    let ambiguous = read_text(one(100, "1"), Options::default()).unwrap_err();
    assert_eq!(ambiguous.what(), "the tokens in a block can't be inferred: anything from 100 to 4294967295 fits");
    let contradictory = read_text(one(100, "1,2,3,4,5,6,7") + &one(100, "1"), Options::default()).unwrap_err();
    assert!(contradictory.what().contains("line 2 needs at least 100 tokens in a block, line 1 at most 16"), "{contradictory}");
    let given = read_text(one(100, "1"), Options { block_size: Some(128), ..Options::default() }).unwrap();
    assert_eq!(given.rows[0].block_size, 128);
}

#[test]
fn burst_gpt_is_read_by_column_name() {
    let v1 =
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,ChatGPT,472,18,490,Conversation log\n45.5,GPT-4,10,0,10,API log\n";
    let v2 = "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,7,1.25,ChatGPT,472,18,490,Conversation log\n6,7,0.5,GPT-4,30,0,30,Conversation log\n";
    let batch = read_text(v1, Options::default()).unwrap();
    assert_eq!((batch.rows[0].at, batch.rows[0].output_tokens), (Time(5_000_000_000), Some(18)));
    assert_eq!((batch.rows[1].output_tokens, batch.recorded(&batch.rows[1]).unwrap().status), (None, Some(500)), "0 tokens is a failure");
    assert_eq!(batch.first_seen.models, ["ChatGPT", "GPT-4"]);
    let batch = read_text(v2, Options { epoch: Time(1_000_000_000), ..Options::default() }).unwrap();
    assert_eq!(batch.rows[0].at, Time(6_000_000_000));
    assert_eq!(batch.recorded(&batch.rows[0]).unwrap().duration, Some(Span::from_millis(1250)));
    let failed = batch.recorded(&batch.rows[1]).unwrap();
    assert_eq!((batch.rows[1].output_tokens, failed.status, failed.duration), (None, Some(500), Some(Span::from_millis(500))));
    assert_eq!(batch.first_seen.sessions, ["7"]);
}

#[test]
fn the_documentation_lists_every_column_and_its_example_is_read() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("traces/README.md")).unwrap();
    for (name, _) in dialect::GWSIM.columns {
        assert!(text.contains(&format!("`{name}`")), "{name}");
    }
    for format in Format::ALL {
        assert!(text.contains(&format!("`{}`", format.name())) || format == Format::Gwsim);
        assert_eq!(Format::from_name(format.name()), Some(format));
    }
    let example = text.split("```csv\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(read_text(example, Options::default()).unwrap().rows.len(), 2);
    let quickstart = info(&Path::new(env!("CARGO_MANIFEST_DIR")).join("traces/quickstart.csv.gz"), Options::default(), |_, _, _| None).unwrap();
    assert!(text.contains(&format!("{} requests in two hours", thousands(quickstart.rows))));
}

#[test]
fn json_numbers_are_read_as_they_are_written() {
    let text = "{\"at_s\":1700000000.123456,\"input_tokens\":12.0,\"cost_usd\":1.2e-05,\"ttft_ms\":0.5,\"key\":7}";
    let batch = read_text(text, Options::default()).unwrap();
    let row = &batch.rows[0];
    assert_eq!((row.at, row.input_tokens), (Time(1_700_000_000_123_456_000), 12));
    let recorded = batch.recorded(row).unwrap();
    assert_eq!((recorded.cost.unwrap().0, recorded.ttft), (12_000_000, Some(Span(500_000))));
    assert_eq!(batch.first_seen.keys, ["7"]);
}

#[test]
fn bailian_chats_that_follow_each_other_are_one_session() {
    let line = |chat: i32, parent: i32, at: &str, input: u32, ids: &str| {
        format!(
            "{{\"chat_id\":{chat},\"parent_chat_id\":{parent},\"timestamp\":{at},\"input_length\":{input},\"output_length\":5,\"type\":\"text\",\"turn\":1,\"hash_ids\":[{ids}]}}\n"
        )
    };
    let text = line(7, -1, "0.0", 32, "1,2") + &line(8, -1, "0.25", 33, "3,4,5") + &line(9, 7, "61.114", 47, "1,2,6") + &line(10, 9, "62", 17, "1,7");
    let batch = read_text(text, Options::default()).unwrap();
    assert_eq!(batch.first_seen.sessions, ["7", "8"]);
    let sessions: Vec<_> = batch.rows.iter().map(|row| row.session.unwrap().number()).collect();
    assert_eq!(sessions, [0, 1, 0, 0]);
    assert_eq!((batch.rows[2].at, batch.rows[2].block_size), (Time(61_114_000_000), 16));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), head in 0usize..9) {
        let heads: [&[u8]; 9] = [b"", b"at,input_tokens,model\n", b"at_s,input_tokens,prefix_blocks,block_size\n", b"TIMESTAMP,ContextTokens,GeneratedTokens\r\n",
            b"{\"timestamp\":0,\"input_length\":5,\"output_length\":5,\"hash_ids\":[1]}\n", b"{\"at\":", b"\x1f\x8b\x08\x00", b"\x28\xb5\x2f\xfd", b"\xef\xbb\xbf"];
        let text = [heads[head], &bytes].concat();
        if let Err(error) = read_text(&text, Options::default()) {
            let _ = error.to_string();
        }
    }

    #[test]
    fn almost_right_text_never_panics(rows in prop::collection::vec("[0-9.eE+\\-,\":{}\\[\\]a-z_ T;é]{0,40}", 0..6), head in 0usize..3) {
        let heads = ["at_s,input_tokens,prefix_blocks,tags,cost_usd,left_after_ms\n", "{\"at_s\":1,\"input_tokens\":1}\n", "at,input_tokens,status,stream,ttft_ms,block_size\n"];
        let text = format!("{}{}", heads[head], rows.join("\n"));
        for order in [Order::Strict, Order::Sort, Order::Count] {
            if let Err(error) = read_text(&text, Options { order, block_size: Some(1), ..Options::default() }) {
                let _ = error.to_string();
            }
        }
    }
}

#[test]
fn a_large_parquet_file_comes_in_batches_and_a_cut_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (csv, parquet) = (dir.path().join("t.csv"), dir.path().join("t.parquet"));
    let rows = BATCH_ROWS as u64 * 2 + 10;
    let text: String = (0..rows).map(|i| format!("{i},{}\n", i % 7919)).collect();
    std::fs::write(&csv, format!("at_s,input_tokens\n{text}")).unwrap();
    convert(&csv, &parquet, Options::default()).unwrap();
    let mut trace = Trace::open(&parquet, Options::default()).unwrap();
    let mut next = 0;
    while let Some(batch) = trace.next_batch().unwrap() {
        assert!(batch.rows.len() <= BATCH_ROWS);
        for row in &batch.rows {
            assert_eq!((row.at, row.line, u64::from(row.input_tokens)), (Time(next * 1_000_000_000), next + 1, next % 7919));
            next += 1;
        }
    }
    assert_eq!(next, rows);
    let bytes = std::fs::read(&parquet).unwrap();
    let error = read_text(&bytes[..bytes.len() / 2], Options::default()).unwrap_err();
    assert_eq!(error.fault(), Fault::File, "{error}");
}

#[test]
fn a_parquet_cell_of_the_wrong_type_is_named_by_column_and_row() {
    use polars::prelude::{Column, DataFrame, NamedFrom, ParquetWriter, Series};
    let of = |name: &str, series: Series| {
        let at = Series::new("at_s".into(), [1.5f64, 2.5]);
        let mut columns: Vec<Column> = vec![at.into(), series.into()];
        if name != "input_tokens" {
            columns.push(Series::new("input_tokens".into(), [5i64, 6]).into());
        }
        let mut bytes = Vec::new();
        ParquetWriter::new(&mut bytes).finish(&mut DataFrame::new(2, columns).unwrap()).unwrap();
        read_text(&bytes, Options::default())
    };
    let good = of("model", Series::new("model".into(), [Some("a"), None])).unwrap();
    assert_eq!((good.rows[1].at, good.rows[1].model), (Time(2_500_000_000), None));
    let error = of("input_tokens", Series::new("input_tokens".into(), [5i64, -6])).unwrap_err();
    assert_eq!(error.to_string(), "t: row 2: `input_tokens` is negative: `-6`\nhint: write the number of tokens, or nothing if it is not known");
    let error = of("input_tokens", Series::new("input_tokens".into(), ["5", "x"])).unwrap_err();
    assert!(error.to_string().starts_with("t: row 2: `input_tokens` is not a whole number of tokens: `x`"), "{error}");
    let error = of("input_tokens", Series::new("input_tokens".into(), [1.0, f64::NAN])).unwrap_err();
    assert!(error.to_string().starts_with("t: row 2: `input_tokens` is not a whole number of tokens: `NaN`"), "{error}");
    let error = of("modle", Series::new("modle".into(), ["5", "x"])).unwrap_err();
    assert!(error.hint().contains("did you mean `model`?"), "{error}");
}

#[test]
fn the_summary_of_a_published_trace_has_the_published_numbers() {
    let Some(path) = shared("mooncake_conversation.jsonl.gz") else { return };
    let summary = info(&path, Options::default(), |_, _, _| None).unwrap();
    assert_eq!((summary.rows, summary.input.total, summary.output.total), (12_031, 144_793_823, 4_122_048));
    assert_eq!(summary.duplicates_within_1h, 118);
    // "90 % of inter-arrivals are exactly 0".
    assert_eq!(summary.same_instant * 100 / summary.rows, 90);
    assert!(summary.to_string().contains(": 12,031 requests over 58 min 56 s\n"), "{summary}");
}

#[test]
fn a_summary_reads_well() {
    let text = "at,model,input_tokens,output_tokens,fingerprint\n2026-11-20T14:00:00Z,gpt-4o-mini,1000,10,a\n2026-11-20T14:00:30Z,gpt-4o-mini,2000,,b\n\
        2026-11-20T14:01:30Z,gpt-4o,3000,30,a\n2026-11-20T14:01:20Z,gpt-4o,4000,40,\n";
    let options = Options { order: Order::Count, ..Options::default() };
    let summary =
        summarise(Trace::of_bytes(Path::new("t.csv"), text.as_bytes(), options).unwrap(), |model, _, _| model.map(|_| Money::usd(1))).unwrap();
    insta::assert_snapshot!(summary.to_string(), @r"
    t.csv (gwsim): 4 requests over 1 min 30 s
      2026-11-20T14:00:00Z to 2026-11-20T14:01:30Z
      input: 10,000 tokens; p50 2,000, p95 4,000, p99 4,000, longest 4,000
      output: 80 tokens; p50 30, p95 40, p99 40, longest 40
      arrivals: 0.04 a second, 2 in the busiest minute, gaps vary by 0.8 (1 = random)
      at the same instant as the one before: 0.0 %
      model gpt-4o-mini: 2 requests (50.0 %)
      model gpt-4o: 2 requests (50.0 %)
      0 keys, 0 teams, 0 sessions
      exact duplicates within 1 h: 1 (25.0 %)
      every request has: arrival, model, input_tokens
      field             rows   assumed instead                                       $ of the rest
      key              0.0 %   the scenario's key                                               $4
      team             0.0 %   the team of the key, if it has one                               $4
      end_user         0.0 %   no end user                                                      $4
      session          0.0 %   each request stands alone                                        $4
      tags             0.0 %   no tags                                                          $4
      output_tokens   75.0 %   the scenario's output_tokens_unrecorded                          $1
      max_tokens       0.0 %   the scenario's max_tokens, or none                               $4
      stream           0.0 %   the scenario's stream                                            $4
      fingerprint     75.0 %   nobody's duplicate: never answered from a cache                  $1
      prefix_blocks    0.0 %   no prefix in common: nothing from prompt caches                  $4
      left_after       0.0 %   the client waits to the end                                      $4
      status           0.0 %   answered: no failures and no client retries known                $4
      ttft_ms          0.0 %   the world's                                                      $4
      duration_ms      0.0 %   the world's                                                      $4
      cost_usd         0.0 %   the price list                                                   $4
      cached_tokens    0.0 %   the world's prompt cache                                         $4
      deployment       0.0 %   the gateway picks                                                $4
      attempts         0.0 %   one call                                                         $4
      OUT OF ORDER: 1 row, up to 10 s back; sort with `gwsim trace convert --sort IN OUT`
    ");
    assert_eq!(serde_json::to_value(&summary).unwrap()["duplicates_within_1h"], 1);
}

/// Small files with dictionaries, nulls, texts and lists: as gwsim writes them, and without compression, where damage reaches the values.
fn parquet_files() -> &'static [Vec<u8>; 2] {
    use polars::prelude::{ParquetCompression, ParquetReader, ParquetWriter, SerReader};
    static FILES: std::sync::OnceLock<[Vec<u8>; 2]> = std::sync::OnceLock::new();
    FILES.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let (csv, parquet) = (dir.path().join("t.csv"), dir.path().join("t.parquet"));
        std::fs::write(&csv, "at_s,input_tokens,model,block_size,prefix_blocks,stream\n1,500,a,16,1 2 3,true\n2,5,b,,,\n3,500,a,16,1 2,false\n")
            .unwrap();
        convert(&csv, &parquet, Options::default()).unwrap();
        let compressed = std::fs::read(&parquet).unwrap();
        let mut frame = ParquetReader::new(std::io::Cursor::new(compressed.clone())).finish().unwrap();
        let mut plain = Vec::new();
        ParquetWriter::new(&mut plain).with_compression(ParquetCompression::Uncompressed).finish(&mut frame).unwrap();
        [compressed, plain]
    })
}

proptest! {
    // As many cases as proptest is told to, 256 by default: `PROPTEST_CASES=5000 cargo test a_damaged_parquet_file`.
    #![proptest_config(ProptestConfig::default())]

    /// A page that claims 2^61 values makes polars ask for as much memory, which ends the process: only a check before polars gives an error.
    #[test]
    fn a_damaged_parquet_file_is_read_or_refused(file in 0usize..2, damage in prop::collection::vec((0usize..10_000, any::<u8>()), 1..4), cut in 0usize..10_000) {
        let mut bytes = parquet_files()[file].clone();
        for (place, value) in damage {
            let place = place % bytes.len();
            bytes[place] = value;
        }
        for bytes in [&bytes[..], &bytes[..cut % bytes.len()]] {
            if let Err(error) = read_text(bytes, Options::default()) {
                let _ = error.to_string();
            }
        }
    }
}

/// The two bits of every byte that make a number of Parquet's headers large: its highest digit, and whether more digits follow. The others, and the
/// other file, are left to chance, above.
#[test]
fn no_number_made_large_ends_the_process() {
    let [file, _] = parquet_files();
    for (at, bit) in (0..file.len()).flat_map(|at| [(at, 0x40), (at, 0x80)]) {
        let mut bytes = file.clone();
        bytes[at] ^= bit;
        let _ = read_text(&bytes, Options::default());
    }
}

#[test]
fn a_page_that_claims_what_cannot_be_is_refused_with_the_reason() {
    let [file, _] = parquet_files();
    let reason = |bytes: &[u8]| read_text(bytes, Options::default()).unwrap_err();
    // The first page's header begins behind the magic number: type (field 1, i32), then the size before compression.
    assert_eq!((file[4], file[6]), (0x15, 0x15));
    let mut negative = file.clone();
    negative[7] = 1;
    let error = reason(&negative);
    assert_eq!((error.fault(), error.what()), (Fault::File, "can't read the Parquet file: a page has a size that can't be"));
    let mut unknown = file.clone();
    unknown[5] = 14;
    assert_eq!(reason(&unknown).what(), "can't read the Parquet file: a page is of a kind that no column has");
    let mut footer = file.clone();
    let length = footer.len();
    footer[length - 8..length - 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(reason(&footer).what(), "can't read the Parquet file: the file does not end as a Parquet file does");
}
