//! The way to the file: whoever waits for a turn finds it there.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::script::{Script, open, put, rotate};
use crate::gateway::journal::{Fact, Journal};
use crate::gateway::time::{Span, Time};
use crate::journal::segment::turns_path;
use crate::journal::{Buffer, Durability, JournalError, Log, Reach, Reader, Settings, recover};

#[test]
fn many_who_commit_at_once_find_their_turns_in_order() {
    for durability in [Durability::Process, Durability::Power, Durability::Strict] {
        let script = Script::random(1, 1);
        let folder = tempfile::tempdir().unwrap();
        let first = || (script.first.clone(), Arc::new(script.run.plans[0].clone()));
        let opened = open(folder.path(), Settings { durability, ..Settings::default() }, Time(0), first).unwrap();
        let buffer = Mutex::new((opened.buffer, Time(0)));
        let log = &opened.log;
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let mut locked = buffer.lock().unwrap();
                        locked.1 = locked.1 + Span(1);
                        let now = locked.1;
                        locked.0.record(now, None, || Fact::Ticked);
                        let turn = locked.0.end_turn();
                        drop(locked);
                        log.commit(turn, |bytes| buffer.lock().unwrap().0.give(bytes)).unwrap();
                        let (_, mut reader) = Reader::open(folder.path(), None).unwrap();
                        // The others write on meanwhile: what is asked for is that this one's is there.
                        assert!(std::iter::from_fn(|| reader.next_turn().unwrap().map(|turn| turn.number)).any(|number| number == turn));
                    }
                });
            }
        });
        log.sync().unwrap();
        let (_, mut reader) = Reader::open(folder.path(), None).unwrap();
        let times: Vec<Time> = std::iter::from_fn(|| reader.next_turn().unwrap().map(|turn| turn.at)).collect();
        assert!(times.into_iter().eq((1..=200).map(Time)));
    }
}

#[test]
fn a_full_disk_refuses_the_call_and_loses_no_turn() {
    let script = Script::random(2, 5);
    let folder = tempfile::tempdir().unwrap();
    let first = || (script.first.clone(), Arc::new(script.run.plans[0].clone()));
    let mut opened = open(folder.path(), Settings::default(), Time(0), first).unwrap();
    let mut state = script.begin();
    for turn in &script.turns {
        state.follow(turn).unwrap();
        put(turn, &mut opened.buffer);
        let number = opened.buffer.end_turn();
        // Every third write meets a full disk.
        if number % 3 == 1 {
            let full = fs::File::options().write(true).open("/dev/full").unwrap();
            let file = opened.log.exchange_file(full);
            assert!(opened.log.commit(number, |bytes| opened.buffer.give(bytes)).is_err());
            assert!(opened.log.fails());
            let read = recover(folder.path(), &mut ()).unwrap().unwrap();
            assert!(read.turns < number);
            opened.log.exchange_file(file);
        }
        if number % 3 == 0 {
            opened.log.commit(number, |bytes| opened.buffer.give(bytes)).unwrap();
            assert!(!opened.log.fails());
            assert_eq!(recover(folder.path(), &mut ()).unwrap().unwrap().turns, number);
        }
    }
    opened.log.close(|bytes| opened.buffer.give(bytes)).unwrap();
    assert_eq!(recover(folder.path(), &mut ()).unwrap().unwrap().turns, script.turns.len() as u64);
}

#[test]
fn what_a_disk_has_failed_to_keep_is_not_written_past() {
    for durability in [Durability::Process, Durability::Power, Durability::Strict] {
        let script = Script::random(2, 5);
        let folder = tempfile::tempdir().unwrap();
        let first = || (script.first.clone(), Arc::new(script.run.plans[0].clone()));
        let mut opened = open(folder.path(), Settings { durability, ..Settings::default() }, Time(0), first).unwrap();
        let mut state = script.begin();
        let mut commit = |turn: usize, log: &Log| {
            state.follow(&script.turns[turn - 1]).unwrap();
            put(&script.turns[turn - 1], &mut opened.buffer);
            let number = opened.buffer.end_turn();
            log.commit(number, |bytes| opened.buffer.give(bytes)).map_err(|error| error.to_string())
        };
        let log = &opened.log;
        commit(1, log).unwrap();
        // It takes every byte, and can't be asked to keep it.
        let file = log.exchange_file(fs::File::options().write(true).open("/dev/null").unwrap());
        let failed = match durability {
            Durability::Strict => commit(2, log),
            Durability::Power => commit(2, log).and_then(|()| log.sync().map_err(|error| error.to_string())),
            Durability::Process => commit(2, log).and_then(|()| log.rotate(Time::MAX, |_| panic!("not in time")).map_err(|error| error.to_string())),
        };
        assert!(failed.unwrap_err().contains("the disk has failed to keep"), "{durability:?}");
        log.exchange_file(file);
        // All is well with the file again, and nobody believes it.
        assert!(log.fails() && log.lost().is_some());
        assert!(!log.has(1), "and what was written is asked for in vain, too");
        let told = commit(3, log).unwrap_err();
        assert!(told.contains("started again"), "{told}");
        assert!(log.sync().is_err() || durability != Durability::Power);
        assert!(log.rotate(Time::MAX, |_| panic!("not any more")).is_err() && log.close(|_| Reach::default()).is_err());
        drop(opened);
        let again = open(folder.path(), Settings::default(), Time(0), || panic!("there is a journal")).unwrap();
        assert_eq!(again.found.unwrap().turns, 1, "what is really there");
        assert!(again.log.lost().is_none());
    }
}

#[test]
fn a_turn_that_the_core_panicked_in_is_never_written() {
    let mut buffer = Buffer::after(7, Time(5));
    buffer.record(Time(6), None, || Fact::Ticked);
    assert_eq!(buffer.end_turn(), 8);
    buffer.record(Time(9), None, || Fact::Ticked);
    let mut given = Vec::new();
    let reach = buffer.give(&mut given);
    assert_eq!((reach.turn, reach.at), (8, Time(6)));
    let mut later = Vec::new();
    assert_eq!(buffer.give(&mut later), reach);
    assert!(!given.is_empty() && later.is_empty());
    // Whoever ends it after all finds it whole.
    assert_eq!(buffer.end_turn(), 9);
    assert_eq!(buffer.give(&mut later).at, Time(9));
    assert_eq!(later.len(), given.len(), "two ticks are spelt alike");
}

#[test]
fn a_turn_of_nothing_is_no_turn() {
    let mut buffer = Buffer::after(3, Time(1));
    assert_eq!(buffer.end_turn(), 3);
    let mut nowhere = Buffer::none();
    assert_eq!((nowhere.end_turn(), nowhere.end_turn()), (1, 2), "who keeps nothing counts all");
    assert!(Log::none().commit(u64::MAX, |_| panic!("nobody asks")).is_ok());
}

#[test]
fn a_journal_has_one_writer() {
    let script = Script::random(1, 1);
    let folder = tempfile::tempdir().unwrap();
    let first = || (script.first.clone(), Arc::new(script.run.plans[0].clone()));
    let held = open(folder.path(), Settings::default(), Time(0), first).unwrap();
    assert!(matches!(open(folder.path(), Settings::default(), Time(0), first), Err(JournalError::Taken(_))));
    drop(held);
    assert!(open(folder.path(), Settings::default(), Time(0), first).is_ok());
}

#[test]
fn closed_segments_are_compressed_and_old_ones_go() {
    let script = Script::random(8, 80);
    let folder = tempfile::tempdir().unwrap();
    script.write(folder.path(), 60);
    let newest = script.turns.len() / 60;
    for number in 0..newest {
        assert!(!turns_path(folder.path(), number as u32).exists());
        assert!(folder.path().join(format!("{number:08}.journal.zst")).exists());
    }
    // Kept is what a minute before the last turn needs.
    let keep = Settings { retention: Some(Duration::from_secs(60)), ..Settings::default() };
    let mut opened = open(folder.path(), keep, Time(0), || panic!("there is a journal")).unwrap();
    let mut state = crate::journal::Redriven::first(opened.gateway.clone(), Arc::clone(&opened.plan), Default::default());
    state.reach = opened.buffer.give(&mut Vec::new());
    rotate(&opened.log, &mut opened.buffer, &state);
    let (checkpoint, mut reader) = Reader::open(folder.path(), None).unwrap();
    let from = state.reach.at.0 - 60_000_000_000;
    assert!(checkpoint.reach.turn > 0, "something went");
    let first = reader.next_turn().unwrap().unwrap();
    assert!(first.at.0 <= from || checkpoint.reach.at.0 < from, "and what is needed stays");
    while reader.next_turn().unwrap().is_some() {}
}

#[test]
fn a_clock_that_is_ahead_removes_nothing() {
    let script = Script::random(8, 80);
    let folder = tempfile::tempdir().unwrap();
    script.write(folder.path(), 60);
    let keep = Settings { retention: Some(Duration::from_secs(30 * 86_400)), ..Settings::default() };
    let last = script.turns.last().unwrap().at;
    let ahead = last + Span::from_secs(365 * 86_400);
    // A start with a clock that is a year ahead, and then one with the right clock, whose time goes on from there.
    for wall in [ahead, last] {
        let mut opened = open(folder.path(), keep, wall, || panic!("there is a journal")).unwrap();
        let mut state = crate::journal::Redriven::first(opened.gateway.clone(), Arc::clone(&opened.plan), Default::default());
        state.reach = opened.buffer.give(&mut Vec::new());
        assert_eq!(state.reach.at, ahead);
        opened.log.rotate(wall, |_| state.draft()).unwrap();
        let (checkpoint, _) = Reader::open(folder.path(), None).unwrap();
        assert_eq!(checkpoint.reach.turn, 0, "all is there");
    }
}
