//! Amounts that were settled by rule and that late usage may still correct. Knows no limits.

use alloc::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::hold::{HeldCall, Parts};
use crate::gateway::id::RequestId;
use crate::gateway::money::Money;
use crate::gateway::pages::Pages;
use crate::gateway::time::{Span, Time};

/// One presumed settlement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Presumed {
    pub(super) call: HeldCall,
    pub(super) parts: Parts,
    pub(super) amount: Money,
    pub(super) settled_at: Time,
    pub(super) until: Time,
    is_corrected: bool,
}

/// Presumed settlements in the order in which they came, and where each call's is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Pages<Presumed>", into = "Pages<Presumed>")]
pub(super) struct Presumptions {
    settled: Pages<Presumed>,
    /// Those that can be corrected.
    by_call: BTreeMap<(RequestId, u32), usize>,
}

impl Presumed {
    pub(super) fn new(call: HeldCall, parts: Parts, amount: Money, now: Time, keep: Span) -> Self {
        Self { call, parts, amount, settled_at: now, until: now + keep, is_corrected: false }
    }
}

impl Presumptions {
    /// Lets those go that were settled longer ago than `keep`.
    pub(super) fn forget(&mut self, now: Time, keep: Span) {
        while self.settled.front().is_some_and(|oldest| oldest.settled_at + keep < now) {
            if let Some(Presumed { call, .. }) = self.settled.pop_front() {
                self.by_call.remove(&(call.request, call.call));
            }
        }
    }

    pub(super) fn note(&mut self, presumed: Presumed) {
        self.by_call.insert((presumed.call.request, presumed.call.call), self.settled.end());
        self.settled.push(presumed);
    }

    pub(super) fn get(&self, request: RequestId, call: u32) -> Option<&Presumed> {
        self.settled.get(*self.by_call.get(&(request, call))?)
    }

    /// The settlement of a call is corrected, once.
    pub(super) fn correct(&mut self, request: RequestId, call: u32) -> Option<Presumed> {
        let presumed = self.settled.get_mut(self.by_call.remove(&(request, call))?)?;
        presumed.is_corrected = true;
        Some(presumed.clone())
    }

    /// A copy that shares what was settled, and can be written or thawed, but not asked.
    pub(super) fn frozen(&self) -> Self {
        Self { settled: self.settled.clone(), by_call: BTreeMap::new() }
    }

    /// Makes anew what a frozen copy has not.
    pub(super) fn thaw(&mut self) {
        let open = self.settled.iter().filter(|(_, presumed)| !presumed.is_corrected);
        self.by_call = open.map(|(number, presumed)| ((presumed.call.request, presumed.call.call), number)).collect();
    }
}

impl From<Pages<Presumed>> for Presumptions {
    fn from(settled: Pages<Presumed>) -> Self {
        let mut presumptions = Self { settled, by_call: BTreeMap::new() };
        presumptions.thaw();
        presumptions
    }
}

impl From<Presumptions> for Pages<Presumed> {
    fn from(presumptions: Presumptions) -> Self {
        presumptions.settled
    }
}
