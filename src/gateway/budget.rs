//! Money that may be spent: accounts, their windows, and the holds that calls take on them. Knows amounts, not what they are for.
//!
//! The law, for every account and window: no new hold passes the limit, and `settled + held <= limit + breached`.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::id::{AccountId, DeploymentId, RequestId};
use super::journal::{Alert, Certainty, Fact, Journal};
use super::money::Money;
use super::plan::{Anchor, BudgetMode, BudgetSpec, BudgetWindow, Enforce, OnShort};
use super::time::{Span, Time};

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

/// One window of an account, as a reader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Its number: windows of one account never share one.
    pub index: u64,
    /// Spent.
    pub settled: Money,
    /// Set aside for calls that are open.
    pub held: Money,
    /// By how much usage beyond the holds has passed the limit.
    pub breached: Money,
    end: Time,
    alerted: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Account {
    spec: BudgetSpec,
    granted: Option<(u64, Money)>,
    current: Window,
    /// Windows that are over but have open holds, or still count for a rolling limit. Oldest first.
    older: VecDeque<Window>,
    used_from: Option<Time>,
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
            account.current = Window::new(closed.index + 1, Time(0));
            account.used_from = None;
        } else if account.spec.limit != spec.limit {
            account.current.alerted = 0;
        }
        account.spec = spec;
    }

    /// Lets this process spend `amount` in all in the account's current window.
    pub fn grant(&mut self, id: AccountId, now: Time, amount: Money) {
        let account = &mut self.accounts[id.index()];
        account.roll(now);
        account.granted = Some((account.current.index, amount));
    }

    /// An account's rules.
    pub fn spec(&self, id: AccountId) -> &BudgetSpec {
        &self.accounts[id.index()].spec
    }

    /// The account's window at `now`.
    pub fn window(&mut self, id: AccountId, now: Time) -> Window {
        let account = &mut self.accounts[id.index()];
        account.roll(now);
        account.current
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

    /// How much is left for one more call on all of `accounts`, and what they say about calls that do not fit;
    /// `None` if one of them refuses such calls.
    pub fn remainder(&self, accounts: &[AccountId], now: Time) -> Option<(Money, OnShort)> {
        let mut found: Option<(Money, OnShort)> = None;
        for id in accounts {
            let account = &self.accounts[id.index()];
            if account.spec.enforce == Enforce::Observe {
                continue;
            }
            let room = account.room(now);
            if found.is_none_or(|(least, _)| room < least) {
                found = Some((room, account.spec.on_short));
            }
        }
        found.filter(|(room, on_short)| *room > Money::ZERO && *on_short != OnShort::Refuse)
    }

    /// Sets `want` aside on all accounts. The caller has asked [`Self::short`] in the same step, or shrinks (`cap`) on purpose.
    ///
    /// # Panics
    /// If there are more than [`ACCOUNTS_MAX`] accounts: `directory` refuses such paths.
    #[inline]
    pub fn hold(&mut self, accounts: &[AccountId], now: Time, want: Want, cap: Option<Money>) -> Hold {
        assert!(accounts.len() <= ACCOUNTS_MAX, "the directory keeps paths short");
        let mut entry = HoldEntry { parts: [NO_PART; ACCOUNTS_MAX], len: accounts.len() as u32, worst_case: want.worst_case };
        for (part, id) in entry.parts.iter_mut().zip(accounts) {
            let account = &mut self.accounts[id.index()];
            account.roll(now);
            account.used_from.get_or_insert(now);
            let amount = account.amount(now, want);
            let amount = cap.map_or(amount, |cap| amount.min(cap));
            account.current.held += amount;
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
            self.presumed.insert(call, Presumed { parts: receipt.entry, amount: receipt.amount, deployment });
            self.presumed_order.push_back((now, call.0, call.1));
        }
    }

    /// The deployment of a call whose presumed amount can still be corrected.
    pub fn presumed_on(&self, request: RequestId, call: u32) -> Option<DeploymentId> {
        self.presumed.get(&(request, call)).map(|presumed| presumed.deployment)
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

impl Account {
    fn new(spec: BudgetSpec) -> Self {
        Self { spec, granted: None, current: Window::new(0, Time(0)), older: VecDeque::new(), used_from: None }
    }

    /// What the account may admit in window `index`.
    #[inline]
    fn limit(&self, index: u64) -> Money {
        match self.granted {
            Some((window, amount)) if window == index => amount.min(self.spec.limit),
            _ => self.spec.limit,
        }
    }

    /// Opens the window of `now`, if the current one is over.
    #[inline]
    fn roll(&mut self, now: Time) {
        if now < self.current.end {
            return;
        }
        let (index, end) = self.window_at(now);
        if index == self.current.index {
            self.current.end = end;
            return;
        }
        let over = core::mem::replace(&mut self.current, Window::new(index, end));
        self.older.push_back(over);
        let keep_from = match self.spec.window {
            BudgetWindow::Rolling { slices, .. } => index.saturating_sub(u64::from(slices)),
            _ => index,
        };
        self.older.retain(|window| window.held != Money::ZERO || window.index >= keep_from);
        if let BudgetWindow::Fixed(_, Anchor::FirstUse) = self.spec.window {
            self.used_from = Some(now);
        }
    }

    /// The number and end of the window that holds `now`.
    fn window_at(&self, now: Time) -> (u64, Time) {
        match &self.spec.window {
            BudgetWindow::Total => (self.current.index, Time::MAX),
            BudgetWindow::Fixed(length, Anchor::Clock) => Self::aligned(*length, Time(0), now),
            BudgetWindow::Fixed(length, Anchor::Start) => Self::aligned(*length, self.used_from.unwrap_or(now), now),
            BudgetWindow::Fixed(length, Anchor::FirstUse) => match self.used_from {
                None => (self.current.index, now + *length),
                Some(_) => (self.current.index + 1, now + *length),
            },
            BudgetWindow::Calendar(calendar) => {
                let index = calendar.window(now);
                (index, calendar.end(index))
            }
            BudgetWindow::Rolling { length, slices } => Self::aligned(Span(length.0.div_ceil(u64::from(*slices))), Time(0), now),
        }
    }

    fn aligned(length: Span, start: Time, now: Time) -> (u64, Time) {
        let length = length.0.max(1);
        let index = now.since(start).0 / length;
        (index, start + Span(length.saturating_mul(index + 1)))
    }

    /// Spent and held in whatever counts against the limit at `now`.
    #[inline]
    fn used(&self, now: Time) -> Money {
        let BudgetWindow::Rolling { slices, .. } = self.spec.window else {
            if now < self.current.end || self.window_at(now).0 == self.current.index {
                return self.current.settled + self.current.held;
            }
            return Money::ZERO;
        };
        let (index, _) = self.window_at(now);
        let from = index.saturating_sub(u64::from(slices));
        let all = self.older.iter().chain(core::iter::once(&self.current));
        all.filter(|window| window.index >= from).map(|window| window.settled + window.held).sum()
    }

    #[inline]
    fn room(&self, now: Time) -> Money {
        let index = if self.granted.is_some() { self.window_at_or_current(now) } else { 0 };
        self.limit(index) - self.used(now)
    }

    fn window_at_or_current(&self, now: Time) -> u64 {
        if now < self.current.end { self.current.index } else { self.window_at(now).0 }
    }

    /// What `want` holds here.
    #[inline]
    fn amount(&self, now: Time, want: Want) -> Money {
        match self.spec.mode {
            BudgetMode::Reserve => want.worst_case,
            BudgetMode::After => Money::ZERO,
            BudgetMode::Estimate { headroom_per_mille, .. } => {
                let tight = self.room(now) < self.spec.limit.per_mille(headroom_per_mille);
                if tight { want.worst_case } else { want.estimate }
            }
        }
    }

    #[inline]
    fn fits(&self, now: Time, want: Want) -> bool {
        let room = self.room(now);
        match self.spec.mode {
            BudgetMode::After => room > Money::ZERO,
            BudgetMode::Reserve | BudgetMode::Estimate { .. } => self.amount(now, want) <= room,
        }
    }

    #[inline]
    fn settle<J: Journal>(&mut self, part: Part, now: Time, amount: Money, journal: &mut J) {
        let before = self.over(part.window);
        let Some(window) = self.find(part.window) else { unreachable!("a window with an open hold is kept") };
        window.held -= part.amount;
        window.settled += amount;
        self.tell(part, now, before, amount, journal);
    }

    fn correct<J: Journal>(&mut self, part: Part, now: Time, difference: Money, journal: &mut J) {
        let before = self.over(part.window);
        // A window that nothing was open on any more is gone: its books are closed.
        let Some(window) = self.find(part.window) else { return };
        window.settled += difference;
        self.tell(part, now, before, difference, journal);
    }

    /// Journals what a new settlement in a window means: a breach of the limit, a level reached.
    #[inline]
    fn tell<J: Journal>(&mut self, part: Part, now: Time, before: Money, amount: Money, journal: &mut J) {
        let after = self.over(part.window);
        if after > before && self.spec.enforce == Enforce::Hard {
            let over = after - before;
            if let Some(window) = self.find(part.window) {
                window.breached += over;
            }
            journal.record(now, None, || Fact::Breached { account: part.account, window: part.window, over });
        }
        if amount > Money::ZERO && part.window == self.current.index {
            self.alert(part.account, now, journal);
        }
    }

    #[inline]
    fn alert<J: Journal>(&mut self, account: AccountId, now: Time, journal: &mut J) {
        while let Some(per_mille) = self.spec.alert_at_per_mille.get(self.current.alerted as usize).copied() {
            if self.current.settled < self.spec.limit.per_mille(per_mille) {
                return;
            }
            self.current.alerted += 1;
            journal.record(now, None, || Fact::Alerted(Alert::BudgetLevel { account, per_mille }));
        }
    }

    /// By how much a window is above the limit, beyond the breaches counted already.
    #[inline]
    fn over(&self, index: u64) -> Money {
        let limit = self.limit(index);
        let window = if index == self.current.index { Some(&self.current) } else { self.older.iter().find(|window| window.index == index) };
        window.map_or(Money::ZERO, |window| (window.settled + window.held - limit - window.breached).at_least_zero())
    }

    #[inline]
    fn find(&mut self, index: u64) -> Option<&mut Window> {
        if index == self.current.index {
            return Some(&mut self.current);
        }
        self.older.iter_mut().find(|window| window.index == index)
    }
}

impl Window {
    const fn new(index: u64, end: Time) -> Self {
        Self { index, settled: Money::ZERO, held: Money::ZERO, breached: Money::ZERO, end, alerted: 0 }
    }
}
