//! What a driver keeps beside the gateway: wherever its process ends, the next one has been told every fact, once and in order.

use std::fs;

use super::script::Script;
use crate::gateway::Gateway;
use crate::gateway::id::RequestId;
use crate::gateway::journal::{Fact, Record};
use crate::gateway::time::Time;
use crate::journal::segment::turns_path;
use crate::journal::{Fold, Section, Settings, take};

/// Keeps every fact.
#[derive(Debug, Default)]
struct All {
    name: &'static str,
    records: Vec<Record>,
    /// How often it has gone on from what it had kept, and from nothing.
    began: (u32, u32),
}

impl Fold for All {
    fn name(&self) -> &'static str {
        self.name
    }

    fn begin(&mut self, _: &Gateway, section: Option<&[u8]>) {
        match section {
            Some(section) => {
                self.began.0 += 1;
                self.records = postcard::from_bytes(section).unwrap();
            }
            None => self.began.1 += 1,
        }
    }

    fn take(&mut self, at: Time, request: Option<RequestId>, fact: &Fact) {
        self.records.push(Record { at, request, fact: fact.clone() });
    }

    fn section(&self) -> Section {
        let records = self.records.clone();
        Section::new(self.name, move || postcard::to_stdvec(&records).unwrap())
    }
}

fn all(name: &'static str) -> All {
    All { name, ..All::default() }
}

#[test]
fn whoever_goes_on_was_told_every_fact_once() {
    for seed in 0..6 {
        let script = Script::random(30 + seed, 40);
        let folder = tempfile::tempdir().unwrap();
        let each = 1 + script.turns.len() / (seed as usize + 1);
        let lengths = script.write_with(folder.path(), each, &mut all("all"));
        // The last segment loses its last turn, where it has one.
        let last = (script.turns.len() / each) as u32;
        let in_last = script.turns.len() % each;
        if in_last > 0 {
            let end = lengths[lengths.len() - 1] - 1;
            fs::File::options().write(true).open(turns_path(folder.path(), last)).unwrap().set_len(end).unwrap();
        }
        let whole = script.turns.len() - usize::from(in_last > 0);
        let mut told = all("all");
        for times in 1..3 {
            let before = told.records.len();
            told = all("all");
            let opened = take(folder.path(), &mut told).unwrap().open(Settings::default(), Time(0), &mut told, || panic!("there is one")).unwrap();
            drop(opened);
            assert_eq!(told.began, (1, 0));
            let recorded = script.turns[..whole].iter().flat_map(|turn| &turn.records);
            assert!(recorded.eq(told.records.iter().filter(|record| !matches!(record.fact, Fact::Recovered { .. }))), "seed {seed}, start {times}");
            assert!(matches!(told.records.last().unwrap().fact, Fact::Recovered { .. }));
            assert!(times == 1 || told.records.len() == before + 1, "the end of the process before, and its own");
        }
    }
}

#[test]
fn who_has_nothing_in_the_checkpoint_is_told_what_came_after_it() {
    let script = Script::random(3, 40);
    let folder = tempfile::tempdir().unwrap();
    let each = script.turns.len() / 2;
    script.write_with(folder.path(), each, &mut all("of another name"));
    let mut told = all("all");
    take(folder.path(), &mut told).unwrap();
    assert_eq!(told.began, (0, 1));
    assert!(script.turns[script.turns.len() / each * each..].iter().flat_map(|turn| &turn.records).eq(&told.records));
}
