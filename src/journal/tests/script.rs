//! A random run as the turns of a journal, and how it is written to a folder.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::gateway::budget::{Settled, Window};
use crate::gateway::id::RequestId;
use crate::gateway::in_flight::Event;
use crate::gateway::journal::{Fact, Journal, Record};
use crate::gateway::plan::Plan;
use crate::gateway::tests::RandomRun;
use crate::gateway::time::Time;
use crate::gateway::{Gateway, Outstanding};
use crate::journal::{Fold, JournalError, Log, Opened, Reach, Redriven, Settings, Turn, take};

/// The turns of a run, and the gateway that it began with.
pub(super) struct Script {
    pub(super) first: Gateway,
    pub(super) turns: Vec<Turn>,
    pub(super) run: RandomRun,
}

impl Script {
    pub(super) fn random(seed: u64, arrivals: u32) -> Self {
        let run = RandomRun::of(seed, arrivals);
        let mut turns: Vec<Turn> = Vec::new();
        for record in &run.records {
            if is_input(&record.fact) {
                let plan = if let Fact::PlanAdopted(number) = record.fact { Some(Box::new(run.plans[number as usize].clone())) } else { None };
                turns.push(Turn { number: turns.len() as u64 + 1, at: record.at, plan, records: Vec::new() });
            }
            turns.last_mut().expect("a run begins with an input").records.push(record.clone());
        }
        Self { first: Gateway::new(&run.plans[0], seed), turns, run }
    }

    /// The first 26 turns of a run in which several calls leave by then.
    pub(super) fn short() -> Self {
        let short = |seed| {
            let mut script = Self::random(seed, 8);
            script.turns.truncate(26);
            script
        };
        let calls =
            |script: &Self| script.turns.iter().flat_map(|turn| &turn.records).filter(|record| matches!(record.fact, Fact::Called(_))).count();
        (0..).map(short).find(|script| calls(script) >= 3).expect("some run does")
    }

    /// The gateway before the first turn.
    pub(super) fn begin(&self) -> Redriven {
        Redriven::first(self.first.clone(), Arc::new(self.run.plans[0].clone()), Reach::default())
    }

    /// Writes all turns; a segment has `each` of them. Returns the length of the open file after each turn.
    pub(super) fn write(&self, folder: &Path, each: usize) -> Vec<u64> {
        self.write_with(folder, each, &mut ())
    }

    /// The same, with a fold beside the gateway.
    pub(super) fn write_with(&self, folder: &Path, each: usize, fold: &mut dyn Fold) -> Vec<u64> {
        let first = || (self.first.clone(), Arc::new(self.run.plans[0].clone()));
        let mut opened = take(folder, fold).unwrap().open(Settings::default(), Time(0), fold, first).unwrap();
        let mut state = self.begin();
        let mut lengths = Vec::new();
        for turn in &self.turns {
            state.follow(turn).unwrap();
            put(turn, &mut opened.buffer);
            turn.records.iter().for_each(|record| fold.take(record.at, record.request, &record.fact));
            let number = opened.buffer.end_turn();
            opened.log.commit(number, |bytes| opened.buffer.give(bytes)).unwrap();
            let segment = (number as usize - 1) / each;
            lengths.push(std::fs::metadata(folder.join(format!("{segment:08}.journal"))).unwrap().len());
            if (number as usize).is_multiple_of(each) {
                rotate_with(&opened.log, &mut opened.buffer, &state, fold);
            }
        }
        lengths
    }

    /// Calls that have left and were not closed in the first `turns` turns.
    pub(super) fn open_calls(&self, turns: usize) -> BTreeSet<(RequestId, u32)> {
        let mut open = BTreeSet::new();
        for record in self.turns[..turns].iter().flat_map(|turn| &turn.records) {
            match (record.request, &record.fact) {
                (Some(request), Fact::Called(called)) => drop(open.insert((request, called.call))),
                (Some(request), Fact::CallClosed(closed)) => assert!(open.remove(&(request, closed.call))),
                _ => {}
            }
        }
        open
    }
}

/// Opens a journal, or begins one.
pub(super) fn open(folder: &Path, settings: Settings, now: Time, first: impl FnOnce() -> (Gateway, Arc<Plan>)) -> Result<Opened, JournalError> {
    take(folder, &mut ())?.open(settings, now, &mut (), first)
}

pub(super) fn rotate(log: &Log, buffer: &mut crate::journal::Buffer, state: &Redriven) {
    rotate_with(log, buffer, state, &());
}

fn rotate_with(log: &Log, buffer: &mut crate::journal::Buffer, state: &Redriven, fold: &dyn Fold) {
    log.rotate(Time::MAX, |bytes| {
        assert_eq!(buffer.give(bytes), state.reach);
        state.draft().with(fold.section())
    })
    .unwrap();
}

/// Records a turn as an engine does.
pub(super) fn put(turn: &Turn, buffer: &mut crate::journal::Buffer) {
    if let Some(plan) = &turn.plan {
        buffer.plan(turn.at, plan);
    }
    for Record { at, request, fact } in &turn.records {
        buffer.record(*at, *request, || fact.clone());
    }
}

fn is_input(fact: &Fact) -> bool {
    match fact {
        Fact::Told(event) => !matches!(event, Event::Released(_)),
        Fact::Commanded(_) | Fact::Named { .. } | Fact::PlanAdopted(_) | Fact::Ticked | Fact::Forgotten { .. } => true,
        _ => false,
    }
}

/// All that the ledger says, and what is left over.
pub(super) type Books = (Vec<Vec<Window>>, Settled, Outstanding);

pub(super) fn books(gateway: &Gateway) -> Books {
    let budget = gateway.budget();
    let windows = budget.accounts().map(|account| budget.windows(account).copied().collect()).collect();
    (windows, budget.settled(), gateway.outstanding())
}
