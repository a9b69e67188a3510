//! Money that may be spent: accounts, their windows, and the holds that calls take on them. Knows amounts, not what they are for.
//!
//! The law, for every account and window: no new hold passes the limit, and `settled + held <= limit + breached`.

mod hold;
mod presumed;
mod reading;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

pub use self::hold::HeldCall;
use self::hold::{HoldEntry, Part};
use self::presumed::{Presumed, Presumptions};
use super::ahead::Fetch;
use super::command::CommandError;
use super::id::{AccountId, DeploymentId, RequestId};
use super::journal::{Alert, Certainty, Fact, Journal, RecoveredCall};
use super::money::Money;
use super::plan::{Anchor, BudgetMode, BudgetSpec, BudgetWindow, Enforce, OnShort};
use super::scope::Owner;
use super::shared::Shared;
use super::time::{Span, Time};

/// The most accounts that one call can be charged to.
pub const ACCOUNTS_MAX: usize = 8;

/// What a call asks of its accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// The most that the call can cost.
    pub worst_case: Money,
    /// What it will cost by the quantile of each account that estimates, by the account's place among those of the call; the worst case at
    /// the others. `None` if that is the worst case at all.
    pub estimates: Option<Box<[Money; ACCOUNTS_MAX]>>,
}

/// Money set aside for one call. Settled or voided exactly once; it settles into the windows that it was taken in.
#[must_use = "a hold is settled or voided, or its money is locked for ever"]
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold(u32);

/// All accounts of a gateway, and the holds that are open on them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Budget {
    #[serde(deserialize_with = "reading::accounts")]
    accounts: Vec<Account>,
    /// Whose each account is. Apart, as no call asks.
    owners: Vec<Owner>,
    holds: Vec<HoldEntry>,
    free: Vec<u32>,
    presumed: Presumptions,
    settled: Settled,
    /// Whether there has ever been an account that only observes, or that estimates: where there was none, no call asks for any.
    observes: bool,
    estimates: bool,
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
    /// Holds that were taken in it and are open, those of nothing too.
    open: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Account {
    /// Shared with copies: accounts change with every call, and their rules seldom.
    spec: Shared<BudgetSpec>,
    granted: Option<(u64, Money)>,
    current: Window,
    /// Windows that are over but have open holds, or still count for a rolling limit. Oldest first.
    older: VecDeque<Window>,
    /// The number of the first window under the present rules: those of earlier rules have lower ones.
    first: u64,
    used_from: Option<Time>,
    /// The spend in the current window at which the next alert is due.
    next_level: Money,
}

impl Want {
    fn estimate(&self, number: usize) -> Money {
        self.estimates.as_ref().map_or(self.worst_case, |estimates| estimates[number])
    }
}

impl Budget {
    /// Adds an account.
    pub fn add(&mut self, owner: Owner, spec: BudgetSpec) -> AccountId {
        let id = AccountId(u32::try_from(self.accounts.len()).expect("fewer than 2^32 accounts"));
        self.note(&spec);
        self.accounts.push(Account::new(spec));
        self.owners.push(owner);
        id
    }

    /// Changes an account. What was spent stays, unless the window has changed: then a new one begins. A calendar that only reaches further
    /// than before is the same window.
    pub fn change(&mut self, id: AccountId, spec: BudgetSpec) {
        self.note(&spec);
        let account = &mut self.accounts[id.index()];
        let longer = match (&account.spec.window, &spec.window) {
            (BudgetWindow::Calendar(before), BudgetWindow::Calendar(after)) if after.extends(before) => Some(after),
            _ => None,
        };
        if let Some(calendar) = longer {
            // The window that was the last of the table, and had no end, may have one now.
            account.current.end = account.current.end.min(calendar.end(account.current.index - account.first));
        }
        if longer.is_none() && account.spec.window != spec.window {
            let closed = account.current;
            account.older.push_back(closed);
            account.first = closed.index + 1;
            account.current = Window::new(account.first, Time(0));
            account.used_from = None;
        } else if account.spec.limit != spec.limit {
            account.current.alerted = 0;
        }
        account.spec = Shared::new(spec);
        account.arm();
    }

    fn note(&mut self, spec: &BudgetSpec) {
        self.observes |= spec.enforce == Enforce::Observe;
        self.estimates |= matches!(spec.mode, BudgetMode::Estimate { .. });
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

    /// Whose an account is, if there is such an account.
    pub fn owner(&self, id: AccountId) -> Option<Owner> {
        self.owners.get(id.index()).copied()
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
    pub fn short(&self, accounts: &[AccountId], now: Time, want: &Want) -> Option<AccountId> {
        self.unfit(accounts, Enforce::Hard, now, want)
    }

    /// Which observing account would have refused `want`.
    #[inline]
    pub fn observed_short(&self, accounts: &[AccountId], now: Time, want: &Want) -> Option<AccountId> {
        if self.observes { self.unfit(accounts, Enforce::Observe, now, want) } else { None }
    }

    #[inline]
    fn unfit(&self, accounts: &[AccountId], enforce: Enforce, now: Time, want: &Want) -> Option<AccountId> {
        let unfit = |number: usize, id: &AccountId| {
            let account = &self.accounts[id.index()];
            account.spec.enforce == enforce && !account.fits(now, want, number)
        };
        accounts.iter().enumerate().find(|(number, id)| unfit(*number, id)).map(|(_, id)| *id)
    }

    /// What to do about a call that does not fit all of `accounts`: the least that is left on those that clamp, or [`OnShort::Shrink`] if
    /// the others hold what they have left. `Err` names the account that refuses.
    pub fn remainder(&self, accounts: &[AccountId], now: Time, want: &Want) -> Result<(Money, OnShort), AccountId> {
        let mut found = (Money::MAX, OnShort::Shrink);
        for (number, id) in accounts.iter().enumerate() {
            let account = &self.accounts[id.index()];
            if account.spec.enforce == Enforce::Observe || account.fits(now, want, number) {
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

    /// Sets `want` aside for `call` on all accounts. The caller has asked [`Self::short`] in the same step; with `shrink`, accounts that shrink and
    /// have less hold what they have.
    ///
    /// # Panics
    /// If there are more than [`ACCOUNTS_MAX`] accounts: `directory` refuses such paths.
    #[inline]
    pub fn hold(&mut self, accounts: &[AccountId], call: HeldCall, want: &Want, shrink: bool) -> Hold {
        assert!(accounts.len() <= ACCOUNTS_MAX, "the directory keeps paths short");
        let now = call.since;
        let slot = self.free.pop().unwrap_or(self.holds.len() as u32);
        if slot as usize == self.holds.len() {
            self.holds.push(HoldEntry::FREE);
        }
        let entry = &mut self.holds[slot as usize];
        (entry.worst_case, entry.amounts, entry.parts.len, entry.call) = (want.worst_case, None, accounts.len() as u32, call);
        for (number, id) in accounts.iter().enumerate() {
            let account = &mut self.accounts[id.index()];
            account.roll(now);
            account.used_from.get_or_insert(now);
            let amount = account.amount(now, want, number);
            let shrinks = shrink && account.spec.enforce == Enforce::Hard && account.spec.on_short == OnShort::Shrink;
            let amount = if shrinks { amount.min(account.room(now).at_least_zero()) } else { amount };
            account.current.held += amount;
            account.current.open += 1;
            entry.parts.parts[number] = Part { account: *id, window: account.current.index as u32 };
            entry.note(number, amount);
        }
        Hold(slot)
    }

    /// The worst case that a hold was taken for.
    pub fn worst_case(&self, hold: &Hold) -> Money {
        self.holds[hold.0 as usize].worst_case
    }

    /// Fetches a hold that is about to be settled, and the rest of its place, which the next hold will be taken in.
    #[inline]
    pub(super) fn fetch(&self, hold: &Hold, fetch: &impl Fetch) {
        let entry = &self.holds[hold.0 as usize];
        fetch.fetch(entry);
        fetch.fetch(&entry.call);
    }

    /// Charges `amount` and releases the hold. Breaches and alerts go to the journal.
    #[inline]
    pub fn settle<J: Journal>(&mut self, hold: Hold, now: Time, amount: Money, certainty: Certainty, journal: &mut J) -> Settlement {
        match certainty {
            Certainty::Confirmed => self.settled.confirmed += amount,
            Certainty::Presumed => self.settled.presumed += amount,
        }
        let entry = &self.holds[hold.0 as usize];
        for (number, part) in entry.parts.iter().enumerate() {
            self.accounts[part.account.index()].settle(*part, entry.amount(number), now, amount, journal);
        }
        self.free.push(hold.0);
        Settlement { slot: hold.0, amount }
    }

    /// Remembers a presumed settlement for `keep`, so that late usage can correct it. To be called before the next hold is taken.
    pub fn remember(&mut self, settlement: Settlement, now: Time, keep: Span) {
        debug_assert_eq!(self.free.last(), Some(&settlement.slot), "nothing was held in between");
        self.presumed.forget(now, keep);
        if keep > Span::ZERO {
            let HoldEntry { parts, call, .. } = self.holds[settlement.slot as usize];
            self.presumed.note(Presumed::new(call, parts, settlement.amount, now, keep));
        }
    }

    /// The deployment of a call whose presumed amount can still be corrected, and when it was made.
    pub fn presumed_on(&self, request: RequestId, call: u32, now: Time) -> Option<(DeploymentId, Time)> {
        let presumed = self.presumed.get(request, call).filter(|presumed| now <= presumed.until)?;
        Some((presumed.call.deployment, presumed.call.since))
    }

    /// The accounts among `accounts` that estimate: the place of each, and the quantile of output lengths that it asks for, in thousandths.
    #[inline]
    pub fn estimating(&self, accounts: &[AccountId]) -> impl Iterator<Item = (usize, u32)> {
        let accounts = if self.estimates { accounts } else { &[] };
        accounts.iter().enumerate().filter_map(|(number, id)| match self.accounts[id.index()].spec.mode {
            BudgetMode::Estimate { quantile_per_mille, .. } => Some((number, quantile_per_mille)),
            BudgetMode::Reserve | BudgetMode::After => None,
        })
    }

    /// Turns a presumed amount into the confirmed one, once. Returns the presumed amount, or `None` if there is none to correct.
    pub fn correct<J: Journal>(&mut self, request: RequestId, call: u32, now: Time, amount: Money, journal: &mut J) -> Option<Money> {
        let presumed = self.presumed.correct(request, call)?;
        self.settled.presumed -= presumed.amount;
        self.settled.confirmed += amount;
        for part in presumed.parts.iter() {
            self.accounts[part.account.index()].correct(*part, now, amount - presumed.amount, journal);
        }
        Some(presumed.amount)
    }

    /// A copy for a snapshot: quick, and not to be asked before it is thawed.
    pub(super) fn frozen(&self) -> Self {
        Self {
            accounts: self.accounts.clone(),
            owners: self.owners.clone(),
            holds: self.holds.clone(),
            free: self.free.clone(),
            presumed: self.presumed.frozen(),
            ..*self
        }
    }

    /// Makes a copy for a snapshot whole again.
    pub(super) fn thaw(&mut self) {
        self.presumed.thaw();
    }

    /// Settles every open hold at its worst case, as presumed: after a crash nobody is there to say more, unless usage comes within `keep`.
    pub(super) fn presume_open<J: Journal>(&mut self, now: Time, keep: Span, journal: &mut J) -> Vec<RecoveredCall> {
        let free: alloc::collections::BTreeSet<u32> = self.free.iter().copied().collect();
        let open = (0..self.holds.len() as u32).filter(|slot| !free.contains(slot)).collect::<Vec<_>>();
        let mut presume = |slot: u32| {
            let HoldEntry { worst_case, call: HeldCall { request, call, .. }, .. } = self.holds[slot as usize];
            let settlement = self.settle(Hold(slot), now, worst_case, Certainty::Presumed, journal);
            self.remember(settlement, now, keep);
            RecoveredCall { request, call, amount: worst_case }
        };
        open.into_iter().map(&mut presume).collect()
    }
}

/// What has just been settled, for [`Budget::remember`].
#[derive(Debug, Clone, Copy)]
pub struct Settlement {
    slot: u32,
    amount: Money,
}

impl Account {
    fn new(spec: BudgetSpec) -> Self {
        let (spec, current) = (Shared::new(spec), Window::new(0, Time(0)));
        let mut account = Self { spec, granted: None, current, older: VecDeque::new(), first: 0, used_from: None, next_level: Money::MAX };
        account.arm();
        account
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
            BudgetWindow::Rolling { slices, .. } => index.saturating_sub(u64::from(slices)).max(self.first),
            _ => index,
        };
        self.older.retain(|window| window.open > 0 || window.index >= keep_from);
        if let BudgetWindow::Rolling { .. } = self.spec.window {
            // The levels that the steps before have reached were told of.
            let settled = self.settled_in(index);
            let reached = self.spec.alert_at_per_mille.iter().take_while(|level| settled >= self.spec.limit.per_mille(**level));
            self.current.alerted = reached.count() as u32;
        }
        self.arm();
        if let BudgetWindow::Fixed(_, Anchor::FirstUse) = self.spec.window {
            self.used_from = Some(now);
        }
    }

    /// The number and end of the window that holds `now`.
    fn window_at(&self, now: Time) -> (u64, Time) {
        match &self.spec.window {
            BudgetWindow::Total => (self.current.index, Time::MAX),
            BudgetWindow::Fixed(length, Anchor::Clock) => self.aligned(*length, Time(0), now),
            BudgetWindow::Fixed(length, Anchor::Start) => self.aligned(*length, self.used_from.unwrap_or(now), now),
            BudgetWindow::Fixed(length, Anchor::FirstUse) => match self.used_from {
                None => (self.current.index, now + *length),
                Some(_) => (self.current.index + 1, now + *length),
            },
            BudgetWindow::Calendar(calendar) => {
                let index = calendar.window(now);
                (self.first + index, calendar.end(index))
            }
            BudgetWindow::Rolling { length, slices } => self.aligned(Span(length.0.div_ceil(u64::from(*slices))), Time(0), now),
        }
    }

    fn aligned(&self, length: Span, start: Time, now: Time) -> (u64, Time) {
        let length = length.0.max(1);
        let index = now.since(start).0 / length;
        (self.first + index, start + Span(length.saturating_mul(index + 1)))
    }

    /// Spent and held in whatever counts against the limit at `now`.
    #[inline]
    fn used(&self, now: Time) -> Money {
        if !matches!(self.spec.window, BudgetWindow::Rolling { .. }) {
            return if self.index_at(now) == self.current.index { self.current.settled + self.current.held } else { Money::ZERO };
        }
        self.counted(self.index_at(now)).map(|window| window.settled + window.held).sum()
    }

    /// The windows that count against the limit while window `index` is the current one: itself, or the steps of a rolling one.
    fn counted(&self, index: u64) -> impl Iterator<Item = &Window> {
        let from = match self.spec.window {
            BudgetWindow::Rolling { slices, .. } => index.saturating_sub(u64::from(slices)).max(self.first),
            _ => index,
        };
        self.older.iter().chain(core::iter::once(&self.current)).filter(move |window| (from..=index).contains(&window.index))
    }

    fn settled_in(&self, index: u64) -> Money {
        self.counted(index).map(|window| window.settled).sum()
    }

    #[inline]
    fn room(&self, now: Time) -> Money {
        self.limit(self.index_at(now)) - self.used(now)
    }

    #[inline]
    fn index_at(&self, now: Time) -> u64 {
        if now < self.current.end { self.current.index } else { self.window_at(now).0 }
    }

    /// What `want` holds here, where this account is the call's account `number`.
    #[inline]
    fn amount(&self, now: Time, want: &Want, number: usize) -> Money {
        match self.spec.mode {
            BudgetMode::Reserve => want.worst_case,
            BudgetMode::After => Money::ZERO,
            BudgetMode::Estimate { headroom_per_mille, .. } => {
                let tight = self.room(now) < self.spec.limit.per_mille(headroom_per_mille);
                if tight { want.worst_case } else { want.estimate(number) }
            }
        }
    }

    #[inline]
    fn fits(&self, now: Time, want: &Want, number: usize) -> bool {
        let room = self.room(now);
        match self.spec.mode {
            BudgetMode::After => room > Money::ZERO,
            BudgetMode::Reserve | BudgetMode::Estimate { .. } => self.amount(now, want, number) <= room,
        }
    }

    #[inline]
    fn settle<J: Journal>(&mut self, part: Part, held: Money, now: Time, amount: Money, journal: &mut J) {
        let Some(window) = self.window_of(part) else { unreachable!("a window with an open hold is kept") };
        window.held -= held;
        window.open -= 1;
        window.settled += amount;
        let index = window.index;
        self.tell(part.account, index, now, amount - held, journal);
    }

    fn correct<J: Journal>(&mut self, part: Part, now: Time, difference: Money, journal: &mut J) {
        // A window that nothing was open on any more is gone: its books are closed.
        let Some(window) = self.window_of(part) else { return };
        window.settled += difference;
        let index = window.index;
        self.tell(part.account, index, now, difference, journal);
    }

    /// Journals what a change in a window means, which now counts `more` than before: a breach of the limit, a level reached.
    #[inline]
    fn tell<J: Journal>(&mut self, account: AccountId, index: u64, now: Time, more: Money, journal: &mut J) {
        if more > Money::ZERO && self.spec.enforce == Enforce::Hard {
            let over = self.over(index).min(more);
            if over > Money::ZERO {
                if let Some(window) = self.find(index) {
                    window.breached += over;
                }
                journal.record(now, None, || Fact::Breached { account, window: index, over });
            }
        }
        let rolling = matches!(self.spec.window, BudgetWindow::Rolling { .. });
        if (rolling || self.current.settled >= self.next_level) && (index == self.current.index || self.is_step(index)) {
            self.alert(account, now, journal);
        }
    }

    fn alert<J: Journal>(&mut self, account: AccountId, now: Time, journal: &mut J) {
        while let Some(per_mille) = self.spec.alert_at_per_mille.get(self.current.alerted as usize).copied() {
            if self.settled_in(self.current.index) < self.next_level {
                return;
            }
            self.current.alerted += 1;
            self.arm();
            journal.record(now, None, || Fact::Alerted(Alert::BudgetLevel { account, per_mille }));
        }
    }

    /// Works out the spend at which the next alert is due.
    fn arm(&mut self) {
        let level = self.spec.alert_at_per_mille.get(self.current.alerted as usize);
        self.next_level = level.map_or(Money::MAX, |per_mille| self.spec.limit.per_mille(*per_mille));
    }

    /// By how much a window is above the limit, beyond the breaches counted already. The steps of a rolling window are one.
    #[inline]
    fn over(&self, index: u64) -> Money {
        let of = if self.is_step(index) { self.current.index } else { index };
        if of == self.current.index && !matches!(self.spec.window, BudgetWindow::Rolling { .. }) {
            let window = &self.current;
            return (window.settled + window.held - self.limit(of) - window.breached).at_least_zero();
        }
        let used: Money = self.counted(of).map(|window| window.settled + window.held - window.breached).sum();
        (used - self.limit(of)).at_least_zero()
    }

    /// Whether `index` is one of the steps that the rolling window counts now.
    fn is_step(&self, index: u64) -> bool {
        matches!(self.spec.window, BudgetWindow::Rolling { .. }) && self.counted(self.current.index).any(|window| window.index == index)
    }

    /// The window that a part of a hold was taken in.
    #[inline]
    fn window_of(&mut self, part: Part) -> Option<&mut Window> {
        if part.window == self.current.index as u32 {
            return Some(&mut self.current);
        }
        self.older.iter_mut().find(|window| window.index as u32 == part.window)
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
        Self { index, settled: Money::ZERO, held: Money::ZERO, breached: Money::ZERO, end, alerted: 0, open: 0 }
    }
}
