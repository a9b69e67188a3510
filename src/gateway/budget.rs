//! Money that may be spent: accounts, their windows, and the holds that calls take on them. Knows amounts, not what they are for.
//!
//! The law, for every account and window: no new hold passes the limit, and `settled + held <= limit + breached`.

mod account;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::command::CommandError;
use super::id::{AccountId, DeploymentId, RequestId};
use super::journal::{Certainty, Journal};
use super::money::Money;
use super::plan::{BudgetMode, BudgetSpec, Enforce, OnShort};
use super::time::{Span, Time};

use account::Account;
pub use account::Window;

/// The most accounts that one call can be charged to.
pub const ACCOUNTS_MAX: usize = 8;

/// What a call asks of its accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// The most that the call can cost.
    pub worst_case: Money,
    /// What it will cost if its output is as long as most.
    pub estimate: Money,
}

/// Money set aside for one call. Settled or voided exactly once; it settles into the windows that it was taken in.
#[must_use = "a hold is settled or voided, or its money is locked for ever"]
#[derive(Debug, PartialEq, Eq)]
pub struct Hold(u32);

/// All accounts of a gateway, and the holds that are open on them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Budget {
    accounts: Vec<Account>,
    holds: Vec<HoldEntry>,
    free: Vec<u32>,
    #[serde(with = "pairs")]
    presumed: BTreeMap<(RequestId, u32), Presumed>,
    presumed_order: VecDeque<(Time, RequestId, u32)>,
    settled: Settled,
}

/// What the ledger has settled in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Settled {
    /// By usage that was seen.
    pub confirmed: Money,
    /// By rule.
    pub presumed: Money,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    account: AccountId,
    window: u64,
    amount: Money,
}

const NO_PART: Part = Part { account: AccountId(u32::MAX), window: 0, amount: Money::ZERO };

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct HoldEntry {
    parts: [Part; ACCOUNTS_MAX],
    len: u32,
    worst_case: Money,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Presumed {
    parts: HoldEntry,
    amount: Money,
    deployment: DeploymentId,
    until: Time,
}

impl Budget {
    /// Adds an account.
    pub fn add(&mut self, spec: BudgetSpec) -> AccountId {
        let id = AccountId(u32::try_from(self.accounts.len()).expect("fewer than 2^32 accounts"));
        self.accounts.push(Account::new(spec));
        id
    }

    /// Changes an account. What was spent stays, unless the window has changed: then a new one begins.
    pub fn change(&mut self, id: AccountId, spec: BudgetSpec) {
        let account = &mut self.accounts[id.index()];
        if account.spec.window != spec.window {
            let closed = account.current;
            account.older.push_back(closed);
            account.first = closed.index + 1;
            account.current = Window::new(account.first, Time(0));
            account.used_from = None;
        } else if account.spec.limit != spec.limit {
            account.current.alerted = 0;
        }
        account.spec = spec;
    }

    /// Lets this process spend `amount` in all in the account's current window.
    ///
    /// # Errors
    /// If there is no such account.
    pub fn grant(&mut self, id: AccountId, now: Time, amount: Money) -> Result<(), CommandError> {
        let account = self.accounts.get_mut(id.index()).ok_or(CommandError::UnknownAccount(id))?;
        account.granted = Some((account.index_at(now), amount));
        Ok(())
    }

    /// An account's rules.
    pub fn spec(&self, id: AccountId) -> &BudgetSpec {
        &self.accounts[id.index()].spec
    }

    /// The account's window at `now`; one that nothing was charged to yet is empty.
    pub fn window(&self, id: AccountId, now: Time) -> Window {
        let account = &self.accounts[id.index()];
        let index = account.index_at(now);
        if index == account.current.index { account.current } else { Window::new(index, account.window_at(now).1) }
    }

    /// What counts against the account's limit at `now`: settled, and held. Of a rolling window that is all its steps.
    pub fn used(&self, id: AccountId, now: Time) -> (Money, Money) {
        let account = &self.accounts[id.index()];
        account
            .counted(account.index_at(now))
            .fold((Money::ZERO, Money::ZERO), |(settled, held), window| (settled + window.settled, held + window.held))
    }

    /// Every window of an account that is still kept, oldest first.
    pub fn windows(&self, id: AccountId) -> impl Iterator<Item = &Window> {
        let account = &self.accounts[id.index()];
        account.older.iter().chain(core::iter::once(&account.current))
    }

    /// The accounts there are.
    pub fn accounts(&self) -> impl Iterator<Item = AccountId> {
        (0..u32::try_from(self.accounts.len()).expect("fewer than 2^32 accounts")).map(AccountId)
    }

    /// What the whole ledger has settled.
    pub fn settled(&self) -> Settled {
        self.settled
    }

    /// Holds that are open.
    pub fn open_holds(&self) -> usize {
        self.holds.len() - self.free.len()
    }

    /// Which account has no room for `want`, if one has not. Accounts that only observe are asked by [`Self::observed_short`].
    #[inline]
    pub fn short(&self, accounts: &[AccountId], now: Time, want: Want) -> Option<AccountId> {
        accounts.iter().copied().find(|id| {
            let account = &self.accounts[id.index()];
            account.spec.enforce == Enforce::Hard && !account.fits(now, want)
        })
    }

    /// Which observing account would have refused `want`.
    pub fn observed_short(&self, accounts: &[AccountId], now: Time, want: Want) -> Option<AccountId> {
        accounts.iter().copied().find(|id| {
            let account = &self.accounts[id.index()];
            account.spec.enforce == Enforce::Observe && !account.fits(now, want)
        })
    }

    /// What to do about a call that does not fit all of `accounts`: the least that is left on those that clamp, or [`OnShort::Shrink`] if
    /// the others hold what they have left. `Err` names the account that refuses.
    pub fn remainder(&self, accounts: &[AccountId], now: Time, want: Want) -> Result<(Money, OnShort), AccountId> {
        let mut found = (Money::MAX, OnShort::Shrink);
        for id in accounts {
            let account = &self.accounts[id.index()];
            if account.spec.enforce == Enforce::Observe || account.fits(now, want) {
                continue;
            }
            let room = account.room(now);
            match account.spec.on_short {
                _ if room <= Money::ZERO => return Err(*id),
                OnShort::Refuse => return Err(*id),
                OnShort::Shrink => {}
                OnShort::Clamp { min } => {
                    let least = if let (_, OnShort::Clamp { min: other }) = found { other.max(min) } else { min };
                    found = (found.0.min(room), OnShort::Clamp { min: least });
                }
            }
        }
        Ok(found)
    }

    /// Sets `want` aside on all accounts. The caller has asked [`Self::short`] in the same step; with `shrink`, accounts that shrink and
    /// have less hold what they have.
    ///
    /// # Panics
    /// If there are more than [`ACCOUNTS_MAX`] accounts: `directory` refuses such paths.
    #[inline]
    pub fn hold(&mut self, accounts: &[AccountId], now: Time, want: Want, shrink: bool) -> Hold {
        assert!(accounts.len() <= ACCOUNTS_MAX, "the directory keeps paths short");
        let mut entry = HoldEntry { parts: [NO_PART; ACCOUNTS_MAX], len: accounts.len() as u32, worst_case: want.worst_case };
        for (part, id) in entry.parts.iter_mut().zip(accounts) {
            let account = &mut self.accounts[id.index()];
            account.roll(now);
            account.used_from.get_or_insert(now);
            let amount = account.amount(now, want);
            let shrinks = shrink && account.spec.enforce == Enforce::Hard && account.spec.on_short == OnShort::Shrink;
            let amount = if shrinks { amount.min(account.room(now).at_least_zero()) } else { amount };
            account.current.held += amount;
            account.current.open += 1;
            *part = Part { account: *id, window: account.current.index, amount };
        }
        if let Some(slot) = self.free.pop() {
            self.holds[slot as usize] = entry;
            return Hold(slot);
        }
        self.holds.push(entry);
        Hold(self.holds.len() as u32 - 1)
    }

    /// The worst case that a hold was taken for.
    pub fn worst_case(&self, hold: &Hold) -> Money {
        self.holds[hold.0 as usize].worst_case
    }

    /// Charges `amount` and releases the hold. Breaches and alerts go to the journal.
    #[inline]
    pub fn settle<J: Journal>(&mut self, hold: Hold, now: Time, amount: Money, certainty: Certainty, journal: &mut J) -> Receipt {
        let entry = self.holds[hold.0 as usize];
        self.free.push(hold.0);
        match certainty {
            Certainty::Confirmed => self.settled.confirmed += amount,
            Certainty::Presumed => self.settled.presumed += amount,
        }
        for part in &entry.parts[..entry.len as usize] {
            self.accounts[part.account.index()].settle(*part, now, amount, journal);
        }
        Receipt { entry, amount }
    }

    /// Releases the hold: the call was never made, or bills nothing.
    pub fn void<J: Journal>(&mut self, hold: Hold, now: Time, journal: &mut J) {
        let _ = self.settle(hold, now, Money::ZERO, Certainty::Confirmed, journal);
    }

    /// Remembers a presumed settlement for `keep`, so that late usage can correct it.
    pub fn remember(&mut self, receipt: Receipt, deployment: DeploymentId, call: (RequestId, u32), now: Time, keep: Span) {
        while let Some((_, request, call)) = self.presumed_order.front().copied().filter(|(at, ..)| *at + keep < now) {
            self.presumed_order.pop_front();
            self.presumed.remove(&(request, call));
        }
        if keep > Span::ZERO {
            self.presumed.insert(call, Presumed { parts: receipt.entry, amount: receipt.amount, deployment, until: now + keep });
            self.presumed_order.push_back((now, call.0, call.1));
        }
    }

    /// The deployment of a call whose presumed amount can still be corrected.
    pub fn presumed_on(&self, request: RequestId, call: u32, now: Time) -> Option<DeploymentId> {
        self.presumed.get(&(request, call)).filter(|presumed| now <= presumed.until).map(|presumed| presumed.deployment)
    }

    /// The quantile of output lengths that the first estimating account among `accounts` asks for, in thousandths.
    #[inline]
    pub fn estimate_quantile(&self, accounts: &[AccountId]) -> Option<u32> {
        accounts.iter().find_map(|id| match self.accounts[id.index()].spec.mode {
            BudgetMode::Estimate { quantile_per_mille, .. } => Some(quantile_per_mille),
            BudgetMode::Reserve | BudgetMode::After => None,
        })
    }

    /// Turns a presumed amount into the confirmed one, once. Returns the presumed amount, or `None` if there is none to correct.
    pub fn correct<J: Journal>(&mut self, request: RequestId, call: u32, now: Time, amount: Money, journal: &mut J) -> Option<Money> {
        let presumed = self.presumed.remove(&(request, call))?;
        self.settled.presumed -= presumed.amount;
        self.settled.confirmed += amount;
        let entry = presumed.parts;
        for part in &entry.parts[..entry.len as usize] {
            self.accounts[part.account.index()].correct(*part, now, amount - presumed.amount, journal);
        }
        Some(presumed.amount)
    }

    /// Settles every open hold at its worst case, as presumed: after a crash nobody is there to say more. Returns how many.
    pub(super) fn presume_open<J: Journal>(&mut self, now: Time, journal: &mut J) -> usize {
        let free: alloc::collections::BTreeSet<u32> = self.free.iter().copied().collect();
        let open: Vec<u32> = (0..self.holds.len() as u32).filter(|slot| !free.contains(slot)).collect();
        for slot in &open {
            let worst_case = self.holds[*slot as usize].worst_case;
            let _ = self.settle(Hold(*slot), now, worst_case, Certainty::Presumed, journal);
        }
        open.len()
    }
}

/// A settlement that may still be corrected.
#[derive(Debug, Clone, Copy)]
pub struct Receipt {
    entry: HoldEntry,
    amount: Money,
}

/// The map of presumed amounts as a list: its keys are pairs, which are no names in JSON.
mod pairs {
    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::{Presumed, RequestId};

    type Presumptions = BTreeMap<(RequestId, u32), Presumed>;

    pub(super) fn serialize<S: Serializer>(presumed: &Presumptions, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(presumed)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Presumptions, D::Error> {
        Ok(Vec::deserialize(deserializer)?.into_iter().collect())
    }
}
