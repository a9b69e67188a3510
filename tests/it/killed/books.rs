//! The gateway's books, read from its journal call by call, and held against the providers' bill.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use gwsim::gateway::Gateway;
use gwsim::gateway::failure::FailureClass;
use gwsim::gateway::journal::{Certainty, Ended, Fact, Outcome, Position, Record};
use gwsim::gateway::money::Money;
use gwsim::journal::Reader;
use serde_json::Value;

use super::crowd::Heard;

/// All that a journal says of money.
pub(super) struct Books {
    /// By request and the number of the call within it.
    calls: BTreeMap<(u64, u32), Call>,
    served: HashMap<u64, i128>,
}

/// A call that left, or was to.
#[derive(Debug)]
struct Call {
    deployment: String,
    position: Position,
    hold: Money,
    closed: Option<Closed>,
}

#[derive(Debug, Clone, Copy)]
struct Closed {
    amount: Money,
    how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// By what was seen of it.
    Confirmed(Ended),
    /// By the provider's rule.
    Presumed(Ended),
    /// By the process after the one that made it.
    Recovered,
}

/// How many calls there were of each kind.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) confirmed: usize,
    pub(super) presumed: usize,
    pub(super) recovered: usize,
    pub(super) fallbacks: usize,
    /// Decided, but never sent.
    pub(super) unsent: usize,
}

impl Books {
    /// Reads a journal from its beginning. A call is closed once.
    pub(super) fn read(journal: &Path) -> Self {
        let (checkpoint, mut reader) = Reader::open(journal, None).unwrap();
        let mut plan = (*checkpoint.plan).clone();
        let mut books = Self { calls: BTreeMap::new(), served: HashMap::new() };
        while let Some(turn) = reader.next_turn().unwrap() {
            if let Some(adopted) = &turn.plan {
                plan = (**adopted).clone();
            }
            for record in &turn.records {
                books.enter(record, |id| plan.deployment(id).name.clone());
            }
        }
        books
    }

    fn enter(&mut self, record: &Record, name: impl Fn(gwsim::gateway::id::DeploymentId) -> String) {
        let request = record.request.map_or(0, |id| id.0);
        match &record.fact {
            Fact::Called(called) => {
                let call = Call { deployment: name(called.deployment), position: called.position, hold: called.worst_case, closed: None };
                let before = self.calls.insert((request, called.call), call);
                assert!(before.is_none(), "call {} of request {request} is made twice: {before:?}", called.call);
            }
            Fact::CallClosed(closed) => {
                let how = if closed.certainty == Certainty::Confirmed { How::Confirmed(closed.ended) } else { How::Presumed(closed.ended) };
                self.close(request, closed.call, Closed { amount: closed.amount, how });
            }
            Fact::Recovered { calls, .. } => {
                for call in calls {
                    self.close(call.request.0, call.call, Closed { amount: call.amount, how: How::Recovered });
                }
            }
            Fact::Corrected { call, presumed, confirmed } => {
                let closed = self.calls.get_mut(&(request, *call)).and_then(|call| call.closed.as_mut()).expect("it was closed before");
                let (How::Presumed(ended), true) = (closed.how, closed.amount == *presumed) else { panic!("{request}.{call}: {closed:?}") };
                *closed = Closed { amount: *confirmed, how: How::Confirmed(ended) };
            }
            Fact::Answered { outcome: Outcome::Served { .. } } => {
                let spent =
                    self.calls.range((request, 0)..=(request, u32::MAX)).filter_map(|(_, call)| call.closed).map(|closed| closed.amount.0).sum();
                self.served.insert(request, spent);
            }
            _ => {}
        }
    }

    fn close(&mut self, request: u64, call: u32, closed: Closed) {
        let open = self.calls.get_mut(&(request, call)).unwrap_or_else(|| panic!("{request}.{call} is closed and was never made"));
        assert!(open.closed.is_none(), "{request}.{call} is closed twice: {open:?} {closed:?}");
        open.closed = Some(closed);
    }

    /// Finds every line of the bill in the ledger, and every call of the ledger on the bill, but for those that nobody can have seen.
    pub(super) fn hold_against(&self, bill: &[Value], recovered: &Gateway) -> Found {
        let mut billed: HashMap<(u64, &str), Vec<&Value>> = HashMap::new();
        for line in bill {
            // The span of a request at its providers is its number, from 1.
            let span = u64::from_str_radix(line["parent"].as_str().unwrap(), 16).unwrap();
            billed.entry((span - 1, line["deployment"].as_str().unwrap())).or_default().push(line);
        }
        let mut made: BTreeMap<(u64, &str), Vec<&Call>> = BTreeMap::new();
        for ((request, _), call) in &self.calls {
            made.entry((*request, &call.deployment)).or_default().push(call);
        }
        let mut found = Found::default();
        for (place, mut calls) in made {
            let mut lines = billed.remove(&place).unwrap_or_default();
            lines.sort_by_key(|line| line["call"].as_u64());
            while calls.len() > lines.len() {
                let unseen = calls.iter().rposition(|call| call.may_be_unseen());
                found.unsent += 1;
                found.recovered += usize::from(calls.remove(unseen.unwrap_or_else(|| panic!("{place:?}: {calls:?} but {lines:?}"))).is_recovered());
            }
            assert_eq!(calls.len(), lines.len(), "{place:?}: {calls:?} but {lines:?}");
            for (call, line) in calls.into_iter().zip(lines) {
                call.agrees_with(line, &mut found);
            }
        }
        assert!(billed.is_empty(), "not in the ledger: {billed:?}");
        let settled = recovered.budget().settled();
        let entered: i128 = self.calls.values().filter_map(|call| call.closed).map(|closed| closed.amount.0).sum();
        assert_eq!(settled.confirmed.0 + settled.presumed.0, entered, "the recovered sum is the sum of the calls");
        for account in recovered.budget().accounts() {
            let limit = recovered.budget().spec(account).limit;
            for window in recovered.budget().windows(account) {
                assert!(window.settled <= limit && window.held == Money::ZERO, "{account:?} of {limit:?}: {window:?}");
            }
        }
        found
    }

    /// Whatever a client was given whole was entered before it was: it is in the ledger as served, for what its headers have said.
    pub(super) fn know_of(&self, heard: &[Heard]) {
        for Heard { request, picodollars } in heard {
            let spent = self.served.get(request).unwrap_or_else(|| panic!("request {request} was served, and is not in the ledger"));
            assert!(picodollars.is_none_or(|said| said == *spent), "request {request}: {picodollars:?} but {spent}");
        }
    }
}

impl Call {
    fn is_recovered(&self) -> bool {
        self.closed.is_some_and(|closed| closed.how == How::Recovered)
    }

    /// Its process was killed, or its client was gone, or its connection failed, before it can have left.
    fn may_be_unseen(&self) -> bool {
        let how = self.closed.map(|closed| closed.how);
        matches!(
            how,
            Some(How::Recovered | How::Confirmed(Ended::Cancelled | Ended::Failed(FailureClass::Connect)))
                | Some(How::Presumed(Ended::Cancelled | Ended::Failed(FailureClass::Connect)))
        )
    }

    fn agrees_with(&self, line: &Value, found: &mut Found) {
        let bill: i128 = line["picodollars"].as_str().unwrap().parse().unwrap();
        let Closed { amount, how } = self.closed.unwrap_or_else(|| panic!("still open: {self:?}, {line}"));
        assert!(amount <= self.hold, "{self:?}, {line}");
        found.fallbacks += usize::from(self.position == Position::Fallback);
        match how {
            How::Confirmed(_) => {
                found.confirmed += 1;
                assert_eq!(amount.0, bill, "{self:?}, {line}");
            }
            How::Presumed(_) => {
                found.presumed += 1;
                assert!(bill <= amount.0, "{self:?}, {line}");
            }
            How::Recovered => {
                found.recovered += 1;
                assert!(bill <= amount.0 && amount == self.hold, "{self:?}, {line}");
            }
        }
    }
}
