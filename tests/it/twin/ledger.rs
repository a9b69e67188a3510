//! The gateway's ledger, call by call as its journal has it, held against the providers' bill.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use gwsim::gateway::id::RequestId;
use gwsim::gateway::journal::{Certainty, Fact};
use gwsim::gateway::money::Money;
use gwsim::journal::Reader;
use serde_json::Value;

/// A call: its request's number, and its own within that, from 1.
type CallName = (u64, u32);

/// What the ledger has of a call.
struct Booked {
    deployment: String,
    hold: Money,
    amount: Option<(Money, Certainty)>,
}

/// What came of holding the two against each other.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    pub(super) confirmed: u64,
    pub(super) presumed: u64,
    /// What the ledger presumes in sum, and what the providers have billed for the same calls.
    pub(super) presumed_amount: Money,
    pub(super) presumed_bill: Money,
}

/// Holds every call of a journal against the line of the bill that is about it: confirmed ones are equal to the picodollar, presumed ones are neither
/// below the bill nor above their hold. A call that no provider has seen costs nothing.
pub(super) fn agreement(journal: &Path, bill: &[Value]) -> Agreement {
    let mut lines: BTreeMap<(u64, &str), Vec<&Value>> = BTreeMap::new();
    for line in bill {
        // The span of a call at its provider is its request's number, from 1.
        let span = u64::from_str_radix(line["parent"].as_str().unwrap(), 16).unwrap();
        lines.entry((span - 1, line["deployment"].as_str().unwrap())).or_default().push(line);
    }
    for of_one in lines.values_mut() {
        // The providers' ordinals, from the last: calls of a request to one deployment are made one after the other.
        of_one.sort_by_key(|line| std::cmp::Reverse(line["nth"].as_u64()));
    }
    let mut found = Agreement::default();
    let ledger = booked(journal);
    for ((request, call), booked) in &ledger {
        let line = lines.get_mut(&(*request, booked.deployment.as_str())).and_then(Vec::pop);
        let billed = line.map_or(Money::ZERO, |line| Money(line["picodollars"].as_str().unwrap().parse().unwrap()));
        let name = format!("call {call} of request {request} to {}: {line:?}", booked.deployment);
        let (amount, certainty) = booked.amount.unwrap_or_else(|| panic!("{name} is open"));
        match certainty {
            Certainty::Confirmed => {
                assert_eq!(amount, billed, "{name}");
                found.confirmed += 1;
            }
            Certainty::Presumed => {
                assert!(billed <= amount && amount <= booked.hold, "{name}: {billed} <= {amount} <= {}", booked.hold);
                found.presumed += 1;
                found.presumed_amount += amount;
                found.presumed_bill += billed;
            }
        }
    }
    let unknown: Vec<_> = lines.values().flatten().collect();
    assert!(unknown.is_empty(), "billed, and in no ledger: {unknown:?}");
    found
}

/// The requests that calls have left for.
pub(super) fn calls(journal: &Path) -> BTreeSet<u64> {
    booked(journal).into_keys().map(|(request, _)| request).collect()
}

fn booked(journal: &Path) -> BTreeMap<CallName, Booked> {
    let (checkpoint, mut reader) = Reader::open(journal, None).unwrap();
    let mut plan = checkpoint.plan;
    let mut calls: BTreeMap<CallName, Booked> = BTreeMap::new();
    while let Some(turn) = reader.next_turn().unwrap() {
        if let Some(adopted) = &turn.plan {
            plan = Arc::new((**adopted).clone());
        }
        for record in &turn.records {
            let name = |call| (record.request.map_or(u64::MAX, |RequestId(id)| id), call);
            match &record.fact {
                Fact::Called(called) => {
                    let deployment = plan.deployment(called.deployment).name.clone();
                    calls.insert(name(called.call), Booked { deployment, hold: called.worst_case, amount: None });
                }
                Fact::CallClosed(closed) => calls.get_mut(&name(closed.call)).unwrap().amount = Some((closed.amount, closed.certainty)),
                Fact::Corrected { call, confirmed, .. } => calls.get_mut(&name(*call)).unwrap().amount = Some((*confirmed, Certainty::Confirmed)),
                _ => {}
            }
        }
    }
    calls
}
