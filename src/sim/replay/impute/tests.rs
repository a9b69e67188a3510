use std::fmt::Write;
use std::path::Path;

use super::*;
use crate::traffic::trace::{FirstSeen, Options, Trace};

fn batch(text: &str) -> Batch {
    let mut trace = Trace::of_bytes(Path::new("log.csv"), text.as_bytes(), Options::default()).unwrap();
    trace.next_batch().unwrap().unwrap()
}

fn learnt(batch: &Batch) -> Lengths {
    let mut learner = Learner::default();
    learner.see(batch);
    learner.finish()
}

#[test]
fn an_answer_is_whole_unless_something_broke_it_off() {
    let batch = batch(
        "at_ms,input_tokens,output_tokens,max_tokens,status,left_after_tokens,left_after_ms\n\
         0,9,50,100,200,,\n0,9,100,100,200,,\n0,9,,100,200,,\n0,9,7,,504,,\n0,9,,,429,,\n0,9,40,,200,40,\n0,9,,,200,12,\n0,9,6,,499,,900\n0,9,100,100,,,\n",
    );
    let found: Vec<Length> = batch.rows.iter().map(|row| Length::of(row, batch.recorded(row))).collect();
    use Length::{AtLeast, Whole};
    let ends = [Whole(50), AtLeast(100), AtLeast(0), AtLeast(7), AtLeast(0), AtLeast(40), AtLeast(12), AtLeast(6)];
    assert_eq!(found[..8], ends);
    assert_eq!(found[8], Whole(100), "a trace that tells no ends is taken at its word");
}

#[test]
fn a_row_is_filled_from_the_narrowest_group_that_has_enough() {
    // gpt-4o answers short inputs with 10 tokens and long ones with 1,000; mini has too few rows of its own; 20 of 21 tokens each.
    let mut text = String::from("at_ms,model,input_tokens,output_tokens\n");
    for _ in 0..ROWS_MIN {
        text.push_str("0,gpt-4o,100,10\n0,gpt-4o,5000,1000\n");
    }
    text.push_str(&"0,mini,100,300\n".repeat(ROWS_MIN as usize - 1));
    let lengths = learnt(&batch(&text));
    let [large, small, other] = [0, 1, 2].map(NameId::new);
    let only = |model, input, seen| {
        let mut all: Vec<u32> = (0..200).map(|id| lengths.draw(1, id, Some(model), input, seen).unwrap().tokens).collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    assert_eq!(only(large, 127, 0), [10], "same model, same power of two");
    assert_eq!(only(large, 4_096, 0), [1_000, 1_001], "counted in steps of two there");
    assert_eq!(only(large, 20, 0), [10, 1_000, 1_001], "no such input: the whole model");
    assert_eq!(only(large, 100, 11), [1_000, 1_001], "nothing as long as that among short inputs");
    assert_eq!(only(small, 100, 0), [10, 300, 1_000, 1_001], "too few rows: all models");
    assert_eq!(only(other, 100, 301), [1_000, 1_001]);
    assert_eq!(lengths.draw(1, 0, Some(large), 100, 1_002), None, "never seen whole");
}

#[test]
fn a_draw_is_the_requests_own() {
    let text: String = (0..1_000).map(|tokens| format!("0,9,{tokens}\n")).collect();
    let lengths = learnt(&batch(&format!("at_ms,input_tokens,output_tokens\n{text}")));
    let draw = |seed, id, seen| lengths.draw(seed, id, None, 9, seen).unwrap();
    assert_eq!(draw(1, 7, 0), draw(1, 7, 0));
    let all = |seed| (0..100).map(|id| draw(seed, id, 0).tokens).collect::<Vec<_>>();
    assert_ne!(all(1), all(2));
    // The same uniform through every law: a longer beginning never makes a shorter answer.
    assert!((0..100).all(|id| draw(1, id, 0).tokens <= draw(1, id, 500).tokens));
    // Of 0 to 999, a tenth is below 100 and a tenth from 900 on; of 500 to 999 below 550 and from 950 on.
    assert_eq!((draw(1, 7, 0).low.abs_diff(100) <= 2, draw(1, 7, 0).high.abs_diff(900) <= 2), (true, true));
    assert_eq!((draw(1, 7, 500).low.abs_diff(550) <= 2, draw(1, 7, 500).high.abs_diff(950) <= 2), (true, true));
}

/// 40,000 lengths of `20 + 980 u^3` for a uniform u, all but one in `free` under a limit that is uniform from 1 to 1,000.
fn broken_off(free: u64) -> Batch {
    let uniform = |row: u64, ordinal| draw::bits(77, row, Purpose::World, ordinal) as f64 / 2_f64.powi(64);
    let mut text = String::from("at_ms,input_tokens,output_tokens,max_tokens,status\n");
    for row in 0..40_000 {
        let tokens = (20.0 + 980.0 * uniform(row, 0).powi(3)) as u64;
        let most = 1 + (uniform(row, 1) * 1_000.0) as u64;
        let (tokens, most) = if row % free == 0 { (tokens, String::new()) } else { (tokens.min(most), most.to_string()) };
        let _ = writeln!(text, "{row},9,{tokens},{most},200");
    }
    batch(&text)
}

#[test]
fn lengths_broken_off_at_random_limits_come_back_in_the_mean() {
    // By integration; cutting off fractions takes half a token.
    let (mean, deviation) = (264.5, 278.0);
    for free in [2, 10] {
        let batch = broken_off(free);
        let known = |row: &Row| Length::of(row, batch.recorded(row));
        let filled = |lengths: &Lengths, conditioned: bool| {
            let tokens = (0..).zip(&batch.rows).map(|(id, row)| match known(row) {
                Length::Whole(tokens) => tokens,
                Length::AtLeast(seen) => lengths.draw(1, id, None, 9, if conditioned { seen } else { 0 }).unwrap().tokens,
            });
            tokens.map(f64::from).sum::<f64>() / 40_000.0
        };
        // The rows without a limit alone have the error of a mean of so many, and the rest can only add to what is known; the draws, for at most
        // half of the rows, add theirs.
        let error = deviation * (free as f64 / 40_000.0 + 20_000.0 / 40_000_f64.powi(2)).sqrt();
        let (lengths, too_short) = (learnt(&batch), mean - 4.0 * error);
        let found = filled(&lengths, true);
        assert!((found - mean).abs() < 4.0 * error, "{found} for {mean} +- {error}");
        // It has teeth: lengths drawn without regard to what was seen are too short.
        assert!(filled(&lengths, false) < too_short, "{}", filled(&lengths, false));
        // So are those drawn from the whole answers as if there were no others; with half of the rows free that is within the error.
        let whole: Vec<Row> = batch.rows.iter().filter(|row| matches!(known(row), Length::Whole(_))).map(bare).collect();
        let found = filled(&learnt(&Batch::of(whole, FirstSeen::default())), true);
        assert_eq!(found < too_short, free == 10, "{found}");
    }
}

/// The row as a trace without outcomes has it.
fn bare(row: &Row) -> Row {
    let mut bare = Row::new(row.at, row.line, row.fingerprint, row.input_tokens);
    bare.output_tokens = row.output_tokens;
    bare
}
