//! Bytes that are not what was written: never passed over in silence.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::script::{Script, open, put};
use crate::gateway::journal::{Fact, Record};
use crate::gateway::money::Money;
use crate::gateway::plan::Plan;
use crate::gateway::rate_card::RateCard;
use crate::gateway::time::Time;
use crate::journal::segment::{checkpoint_path, turns_path};
use crate::journal::{JournalError, Reach, Redriven, Settings, Turn, Unlike, Words, checkpoint, recover, verify};

#[test]
fn a_changed_bit_is_an_error_unless_nothing_whole_comes_after_it() {
    let script = Script::short();
    let folder = tempfile::tempdir().unwrap();
    let lengths = script.write(folder.path(), usize::MAX);
    let file = turns_path(folder.path(), 0);
    let bytes = fs::read(&file).unwrap();
    let last = lengths[lengths.len() - 2] as usize;
    for offset in (0..bytes.len()).step_by(3) {
        let mut changed = bytes.clone();
        changed[offset] ^= 1 << (offset % 8);
        fs::write(&file, &changed).unwrap();
        match recover(folder.path(), &mut ()) {
            Err(JournalError::Rot { file: named, offset: at, .. }) => {
                assert_eq!(named, file);
                assert!(at as usize <= offset && offset < last, "byte {offset} is changed, said is {at}");
            }
            Err(JournalError::Missing { .. }) => assert!(offset < 8, "the first bytes say what the file is"),
            Err(other) => panic!("byte {offset}: {other}"),
            Ok(recovered) => {
                let recovered = recovered.unwrap();
                assert!(offset >= last, "byte {offset} was passed over");
                assert_eq!((recovered.turns, recovered.torn.map(|torn| torn.offset)), (lengths.len() as u64 - 1, Some(last as u64)));
            }
        }
    }
}

#[test]
fn a_missing_segment_is_named() {
    let script = Script::random(4, 40);
    let folder = tempfile::tempdir().unwrap();
    script.write(folder.path(), 40);
    let newest = script.turns.len() / 40;
    fs::remove_file(checkpoint_path(folder.path(), newest as u32)).unwrap();
    let closed = |number: usize, what: &str| folder.path().join(format!("{number:08}.{what}.zst"));
    fs::remove_file(closed(newest - 1, "checkpoint")).unwrap();
    fs::remove_file(closed(newest - 1, "journal")).unwrap();
    let error = recover(folder.path(), &mut ()).unwrap_err();
    assert!(error.to_string().contains(&format!("segment {:08} is missing", newest - 1)), "{error}");
}

#[test]
fn another_policy_is_found_at_the_turn_where_it_first_decides_otherwise() {
    let long = |record: &Record| matches!(record.fact, Fact::Called(called) if called.max_tokens > 1);
    let has_call = |turn: &&Turn| turn.records.iter().any(long);
    let scripts = (0..).map(|seed| Script::random(seed, 30));
    let (script, call) = scripts
        .filter_map(|script| {
            script.turns.iter().take_while(|turn| turn.plan.is_none()).find(has_call).map(|turn| turn.number).map(|call| (script, call))
        })
        .next()
        .expect("some run has a call");
    // The plan of the same run, but nobody may ask for more than one token.
    let mut plan = script.run.plans[0].clone();
    plan.models.iter_mut().for_each(|model| model.max_tokens.cap = Some(1));
    let mut state = Redriven::first(script.first.clone(), Arc::new(plan), Default::default());
    let found = script.turns.iter().find_map(|turn| state.follow(turn).err()).expect("it decides otherwise");
    assert!(found.turn <= call, "{found}");
    assert!(found.recorded.is_some() && found.decided.is_some());
}

/// Writes the turns of a script, as they are, after a checkpoint with another plan.
fn write_under(folder: &Path, script: &Script, plan: Plan) {
    let first = || (script.first.clone(), Arc::new(plan));
    let mut opened = open(folder, Settings::default(), Time(0), first).unwrap();
    for turn in &script.turns {
        put(turn, &mut opened.buffer);
        opened.buffer.end_turn();
    }
    opened.log.close(|bytes| opened.buffer.give(bytes)).unwrap();
}

#[test]
fn verification_finds_a_planted_difference_and_nothing_where_there_is_none() {
    let script = Script::short();
    let plan = script.run.plans[0].clone();
    let folder = tempfile::tempdir().unwrap();
    write_under(&folder.path().join("as it was"), &script, plan.clone());
    let verdict = verify(&folder.path().join("as it was"), None).unwrap();
    assert_eq!((verdict.difference, verdict.counts.turns), (None, script.turns.len() as u64));
    let facts = script.turns.iter().flat_map(|turn| &turn.records);
    let calls = facts.clone().filter(|record| matches!(record.fact, Fact::Called(_))).count();
    assert_eq!((verdict.counts.facts, verdict.counts.calls), (facts.count() as u64, calls as u64));

    // One cent more for every request.
    let mut planted = plan;
    for deployment in &mut planted.deployments {
        let card = deployment.rates.at(Time(0));
        deployment.rates = RateCard::new(*card.rates(0), Vec::new(), Money(10_000_000_000) + card.per_request()).into();
    }
    write_under(&folder.path().join("planted"), &script, planted);
    let verdict = verify(&folder.path().join("planted"), None).unwrap();
    let Some(Unlike::Decision(difference)) = verdict.difference else { panic!("{:?}", verdict.difference) };
    let first = script.turns.iter().find(|turn| turn.records.iter().any(|record| matches!(record.fact, Fact::Called(_)))).unwrap();
    assert!(difference.turn <= first.number, "the first call holds more: {difference}");
    let words = Words { plan: &verdict.state.plan, gateway: &verdict.state.gateway };
    let [recorded, decided] = [&difference.recorded, &difference.decided].map(|record| record.as_ref().map(|record| words.of(record)));
    assert_ne!(recorded, decided, "and the words show it");
}

#[test]
fn verification_holds_the_books_of_a_checkpoint_against_the_turns_before_it() {
    let script = Script::random(21, 60);
    let folder = tempfile::tempdir().unwrap();
    let each = script.turns.len() / 3;
    script.write(folder.path(), each);
    let verdict = verify(folder.path(), None).unwrap();
    assert_eq!((verdict.difference, verdict.counts.checkpoints), (None, 3));
    // The books of the end stand in the second checkpoint.
    let mut state = script.begin();
    script.turns.iter().for_each(|turn| state.follow(turn).unwrap());
    let second = folder.path().join("00000001.checkpoint.zst");
    fs::remove_file(&second).unwrap();
    let turn = &script.turns[each - 1];
    state.reach = Reach { turn: turn.number, at: turn.at };
    checkpoint::write(folder.path(), 1, &state.draft()).unwrap();
    let verdict = verify(folder.path(), None).unwrap();
    assert!(matches!(verdict.difference, Some(Unlike::Books { turn, .. }) if turn == each as u64), "{:?}", verdict.difference);
}
