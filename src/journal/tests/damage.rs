//! Bytes that are not what was written: never passed over in silence.

use std::fs;
use std::sync::Arc;

use super::script::Script;
use crate::gateway::journal::{Fact, Record};
use crate::journal::segment::{checkpoint_path, turns_path};
use crate::journal::{JournalError, Redriven, Turn, recover};

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
        match recover(folder.path()) {
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
    let error = recover(folder.path()).unwrap_err();
    assert!(error.to_string().contains(&format!("segment {:08} is missing", newest - 1)), "{error}");
}

#[test]
fn another_policy_is_found_at_the_turn_where_it_first_decides_otherwise() {
    let long = |record: &Record| matches!(record.fact, Fact::Called(called) if called.max_tokens > 1);
    let has_call = |turn: &&Turn| turn.records.iter().any(long);
    let scripts = (0..).map(|seed| Script::random(seed, 30));
    let (script, call) = scripts
        .filter_map(|script| script.turns.iter().take_while(|turn| turn.plan.is_none()).find(has_call).map(|turn| turn.number).map(|call| (script, call)))
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
