//! A process that ends anywhere, and the one that goes on.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use super::script::{Script, books, open, put, rotate};
use crate::gateway::Outstanding;
use crate::gateway::draw::philox;
use crate::gateway::id::RequestId;
use crate::gateway::journal::{Bodies, Fact};
use crate::gateway::rate_card::Usage;
use crate::gateway::time::{Span, Time};
use crate::journal::segment::{SYNCED, checkpoint_path, turns_path};
use crate::journal::{Reader, Redriven, Settings, Turn, recover};

/// What the books of a run are after each of its turns, before the first one too.
fn books_after_each(script: &Script) -> Vec<super::script::Books> {
    let mut state = script.begin();
    let mut after = vec![books(&state.gateway)];
    for turn in &script.turns {
        state.follow(turn).unwrap();
        after.push(books(&state.gateway));
    }
    after
}

/// Cuts a journal of one segment at some of its bytes.
fn cut(script: &Script, offsets: impl Fn(usize) -> Vec<usize>) {
    let (whole, cut) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let lengths = script.write(whole.path(), usize::MAX);
    let after = books_after_each(script);
    let bytes = fs::read(turns_path(whole.path(), 0)).unwrap();
    fs::copy(checkpoint_path(whole.path(), 0), checkpoint_path(cut.path(), 0)).unwrap();
    for length in offsets(bytes.len()) {
        fs::write(turns_path(cut.path(), 0), &bytes[..length]).unwrap();
        let turns = lengths.iter().filter(|end| **end <= length as u64).count();
        let recovered = recover(cut.path(), &mut ()).unwrap().unwrap();
        assert_eq!(recovered.turns, turns as u64, "cut at {length}");
        assert_eq!(books(&recovered.state.gateway), after[turns], "cut at {length}");
        let is_whole = turns > 0 && lengths[turns - 1] == length as u64;
        assert!(recovered.torn.is_some() || is_whole || turns == 0, "what is cut off is said");
    }
}

#[test]
fn a_journal_that_is_cut_at_any_byte_has_the_ledger_of_its_whole_turns() {
    cut(&Script::short(), |length| (0..=length).collect());
}

#[test]
fn so_has_a_longer_one_wherever_it_is_cut() {
    let script = Script::random(21, 60);
    let after = books_after_each(&script);
    assert_eq!(after.last(), Some(&books(&script.run.gateway)), "the books of the run itself");
    let some = |length: usize| (0..40).map(|number| philox(21, [number, 0, 0, 0])[0] as usize % (length + 1)).collect();
    cut(&script, some);
}

#[test]
fn whoever_goes_on_has_every_call_that_left_and_nothing_else() {
    let mut corrected = 0;
    for seed in 0..36 {
        let script = Script::random(seed, 40);
        let folder = tempfile::tempdir().unwrap();
        // The process ends after some turn, and another goes on.
        let cut = script.turns.len() * (1 + seed as usize % 12) / 13;
        let cut_script =
            Script { turns: script.turns[..cut].to_vec(), first: script.first.clone(), run: crate::gateway::tests::RandomRun::of(seed, 40) };
        cut_script.write(folder.path(), 50);
        let mut opened = open(folder.path(), Settings::default(), Time(0), || panic!("there is a journal")).unwrap();
        assert_eq!(opened.gateway.outstanding(), Outstanding::default());
        let left = script.open_calls(cut);
        assert_eq!(opened.found.as_ref().unwrap().calls, left.len());
        let before = script.turns[..cut].iter().flat_map(|turn| &turn.records);
        let next = before.filter_map(|record| record.request).map(|id| id.0 + 1).max().unwrap_or(1).max(1);
        assert_eq!(opened.next, RequestId(next), "no identity is given twice");

        // What is written says so, and the core decides it again.
        let recorded = follow(folder.path());
        let Some(Fact::Recovered { calls, bodies: Bodies::Lost }) = recorded.records.last().map(|record| &record.fact) else {
            panic!("{recorded:?}")
        };
        let named: BTreeSet<_> = calls.iter().map(|call| (call.request, call.call)).collect();
        assert_eq!((named.len(), &named), (calls.len(), &left));

        // Usage that comes in for one of them corrects it once.
        if let Some(call) = calls.first() {
            let mut told = Vec::new();
            let now = opened.at + Span::from_secs(1);
            opened.gateway.late_usage(&opened.plan, now, call.request, call.call, Usage::plain(3, 2), &mut told);
            // Some plans take no late usage.
            let Some(first) = told.first() else { continue };
            corrected += 1;
            put(&Turn { at: first.at, records: told.clone(), ..Turn::default() }, &mut opened.buffer);
            let number = opened.buffer.end_turn();
            opened.log.commit(number, |bytes| opened.buffer.give(bytes)).unwrap();
            let state = recover(folder.path(), &mut ()).unwrap().unwrap().state;
            assert_eq!(books(&state.gateway), books(&opened.gateway));
        }
    }
    assert!(corrected > 0, "some call was open, and some plan takes late usage");
}

/// The last turn of a journal, which the core has decided again as recorded.
fn follow(folder: &std::path::Path) -> Turn {
    let (checkpoint, mut reader) = Reader::open(folder, None).unwrap();
    let mut state = Redriven::from(checkpoint);
    let mut last = Turn::default();
    while let Some(turn) = reader.next_turn().unwrap() {
        state.follow(turn).unwrap();
        last = turn.clone();
    }
    last
}

#[test]
fn every_checkpoint_says_what_the_turns_before_it_say() {
    let script = Script::random(5, 120);
    let folder = tempfile::tempdir().unwrap();
    script.write(folder.path(), 60);
    let checkpoints = script.turns.len() / 60;
    assert!(checkpoints > 3, "{checkpoints}");
    for number in 0..=checkpoints as u32 {
        let (checkpoint, mut reader) = Reader::open(folder.path(), Some(number)).unwrap();
        let mut state = Redriven::from(checkpoint);
        while let Some(turn) = reader.next_turn().unwrap() {
            assert_eq!(turn, &script.turns[turn.number as usize - 1]);
            state.follow(turn).unwrap();
        }
        assert_eq!(state.reach.turn, script.turns.len() as u64);
        assert_eq!(books(&state.gateway), books(&script.run.gateway), "from checkpoint {number}");
    }
}

#[test]
fn without_the_newest_checkpoints_the_one_before_and_more_turns_say_the_same() {
    let script = Script::random(6, 60);
    let folder = tempfile::tempdir().unwrap();
    let each = script.turns.len() / 4;
    script.write(folder.path(), each);
    let newest = script.turns.len() / each;
    let state = || recover(folder.path(), &mut ()).unwrap().unwrap();
    let (books_then, turns_then) = (books(&state().state.gateway), state().turns);
    // One was never written to its end; the other is rotten.
    fs::remove_file(checkpoint_path(folder.path(), newest as u32)).unwrap();
    let before = folder.path().join(format!("{:08}.checkpoint.zst", newest - 1));
    let mut bytes = zstd::decode_all(&fs::read(&before).unwrap()[..]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&before, zstd::encode_all(&bytes[..], 1).unwrap()).unwrap();
    let recovered = state();
    assert_eq!((books(&recovered.state.gateway), recovered.passed_over.len()), (books_then, 1));
    assert!(recovered.turns > turns_then);
}

#[test]
fn no_segment_begins_before_what_another_process_has_left_is_on_the_disk() {
    let script = Script::random(7, 30);
    for is_torn in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let lengths = script.write(folder.path(), usize::MAX);
        let [last, next] = [0, 1].map(|number| turns_path(folder.path(), number));
        if is_torn {
            fs::File::options().write(true).open(&last).unwrap().set_len(lengths[lengths.len() / 2] + 5).unwrap();
        }
        SYNCED.take();
        drop(open(folder.path(), Settings::default(), Time(0), || panic!("there is a journal")).unwrap());
        assert_eq!(SYNCED.take(), [last, next]);
    }
}

#[test]
fn a_process_that_goes_on_writes_on_where_the_torn_end_was() {
    let script = Script::random(7, 30);
    let folder = tempfile::tempdir().unwrap();
    let lengths = script.write(folder.path(), usize::MAX);
    let file = turns_path(folder.path(), 0);
    let torn = lengths[lengths.len() / 2] + 5;
    fs::File::options().write(true).open(&file).unwrap().set_len(torn).unwrap();
    for times in 0..3 {
        let opened = open(folder.path(), Settings::default(), Time(0), || panic!("there is a journal")).unwrap();
        assert_eq!(opened.found.unwrap().torn.map(|torn| torn.bytes), (times == 0).then_some(5), "it is cut off once");
        assert!(matches!(follow(folder.path()).records.last().unwrap().fact, Fact::Recovered { .. }));
    }
    // A checkpoint is taken of what was recovered, so that the next start is short.
    let mut opened = open(folder.path(), Settings::default(), Time(0), || panic!("there is a journal")).unwrap();
    assert!(opened.log.is_due());
    let mut state = Redriven::first(opened.gateway.clone(), Arc::clone(&opened.plan), Default::default());
    state.reach = opened.buffer.give(&mut Vec::new());
    rotate(&opened.log, &mut opened.buffer, &state);
    assert!(!opened.log.is_due());
    assert_eq!(recover(folder.path(), &mut ()).unwrap().unwrap().turns, 0);
}
