//! The slow reference ledger: recomputed from the facts `Called`, `CallClosed` and `Corrected`, with windows of its own. Knows the rules of
//! accounts, and nothing of how `budget` keeps them.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::gateway::Gateway;
use crate::gateway::budget::Settled;
use crate::gateway::id::{AccountId, RequestId};
use crate::gateway::journal::{CallClosed, Called, Certainty};
use crate::gateway::money::Money;
use crate::gateway::plan::{Anchor, BudgetMode, BudgetSpec, BudgetWindow, Enforce, OnShort};
use crate::gateway::time::{Span, Time};

/// The rules that a window is of, by their number, and its own number under them.
type WindowName = (u32, u64);

#[derive(Default)]
pub(super) struct Ledger {
    accounts: Vec<Account>,
    open: BTreeMap<(RequestId, u32), Vec<Part>>,
    closed: BTreeMap<(RequestId, u32), (Vec<Part>, Money)>,
    settled: Settled,
}

struct Account {
    spec: BudgetSpec,
    rules: u32,
    /// Where the windows that begin with a use began last.
    began: Option<Time>,
    fresh: u64,
    windows: BTreeMap<WindowName, Line>,
    granted: Option<(WindowName, Money)>,
    strict: bool,
}

#[derive(Default, Clone, Copy)]
struct Line {
    settled: Money,
    held: Money,
    /// A hold of an estimate or of a remainder is in it: what is held is not known here.
    inexact: bool,
}

#[derive(Clone, Copy)]
struct Part {
    account: AccountId,
    window: WindowName,
    held: Money,
}

impl Ledger {
    /// Takes note of new accounts and changed rules.
    pub(super) fn learn(&mut self, gateway: &Gateway, _now: Time) {
        for id in gateway.budget().accounts() {
            let spec = gateway.budget().spec(id).clone();
            let strict = is_strict(&spec);
            let Some(account) = self.accounts.get_mut(id.index()) else {
                let (windows, granted) = (BTreeMap::new(), None);
                self.accounts.push(Account { spec, rules: 0, began: None, fresh: 0, windows, granted, strict });
                continue;
            };
            let goes_on = match (&account.spec.window, &spec.window) {
                (BudgetWindow::Calendar(before), BudgetWindow::Calendar(after)) => after.extends(before),
                (before, after) => before == after,
            };
            if !goes_on {
                account.rules += 1;
                (account.began, account.fresh) = (None, 0);
            }
            account.strict &= strict;
            account.spec = spec;
        }
    }

    pub(super) fn granted(&mut self, id: AccountId, amount: Money, now: Time) {
        let account = &mut self.accounts[id.index()];
        account.granted = Some((account.window(now), amount));
    }

    /// Whether the account has never done anything but reserve.
    pub(super) fn is_strict(&self, id: AccountId) -> bool {
        self.accounts[id.index()].strict
    }

    /// A call leaves: the budget law is asked of every account that reserves.
    pub(super) fn called(&mut self, gateway: &Gateway, now: Time, request: RequestId, called: &Called, accounts: &[AccountId]) {
        let mut parts = Vec::new();
        // End users get their account with their first request.
        self.learn(gateway, now);
        for id in accounts {
            let account = &mut self.accounts[id.index()];
            let window = account.use_at(now);
            let line = account.windows.entry(window).or_default();
            let held = match account.spec.mode {
                BudgetMode::Reserve => called.worst_case,
                BudgetMode::After => Money::ZERO,
                BudgetMode::Estimate { .. } => {
                    line.inexact = true;
                    Money::ZERO
                }
            };
            line.held += held;
            let shrinks = account.spec.on_short == OnShort::Shrink && account.spec.enforce == Enforce::Hard;
            let (settled, all_held, inexact) = account.used(window);
            let limit = account.limit(window);
            let reserves = account.spec.mode == BudgetMode::Reserve && account.spec.enforce == Enforce::Hard;
            if reserves && settled + all_held > limit {
                assert!(shrinks || inexact, "{id:?}: {settled} settled and {all_held} held pass {limit} with {called:?}");
                account.windows.entry(window).or_default().inexact = true;
            }
            parts.push(Part { account: *id, window, held });
        }
        self.open.insert((request, called.call), parts);
    }

    pub(super) fn closed(&mut self, request: RequestId, closed: &CallClosed) {
        let parts = self.open.remove(&(request, closed.call)).expect("it was called");
        for part in &parts {
            let line = self.accounts[part.account.index()].windows.get_mut(&part.window).expect("it was held there");
            line.held -= part.held;
            line.settled += closed.amount;
        }
        match closed.certainty {
            Certainty::Confirmed => self.settled.confirmed += closed.amount,
            Certainty::Presumed => {
                self.settled.presumed += closed.amount;
                self.closed.insert((request, closed.call), (parts, closed.amount));
            }
        }
    }

    pub(super) fn corrected(&mut self, request: RequestId, call: u32, confirmed: Money) {
        let (parts, presumed) = self.closed.remove(&(request, call)).expect("only what was presumed is corrected, and once");
        self.settled.presumed -= presumed;
        self.settled.confirmed += confirmed;
        for part in parts {
            let line = self.accounts[part.account.index()].windows.get_mut(&part.window).expect("it was settled there");
            line.settled += confirmed - presumed;
        }
    }

    /// The two ledgers agree.
    pub(super) fn compare(&mut self, gateway: &Gateway, now: Time) {
        self.learn(gateway, now);
        let budget = gateway.budget();
        assert_eq!(budget.settled(), self.settled);
        assert_eq!(budget.open_holds(), self.open.len());
        for id in budget.accounts() {
            let account = &self.accounts[id.index()];
            let (settled, held, inexact) = account.used(account.window(now));
            let (actual_settled, actual_held) = budget.used(id, now);
            assert_eq!(actual_settled, settled, "{id:?} under {:?}", account.spec);
            if !inexact {
                assert_eq!(actual_held, held, "held on {id:?} under {:?}", account.spec);
            }
        }
    }
}

fn is_strict(spec: &BudgetSpec) -> bool {
    spec.mode == BudgetMode::Reserve && spec.enforce == Enforce::Hard && spec.on_short != OnShort::Shrink
}

impl Account {
    /// The window of `now`, if nothing is charged.
    fn window(&self, now: Time) -> WindowName {
        let number = match &self.spec.window {
            BudgetWindow::Total => 0,
            BudgetWindow::Fixed(length, Anchor::Clock) => now.0 / length.0,
            BudgetWindow::Fixed(length, Anchor::Start) => now.since(self.began.unwrap_or(now)).0 / length.0,
            BudgetWindow::Fixed(length, Anchor::FirstUse) => match self.began {
                Some(began) if now.since(began) < *length => self.fresh,
                _ => self.fresh + 1,
            },
            BudgetWindow::Calendar(calendar) => calendar.window(now),
            BudgetWindow::Rolling { length, slices } => now.0 / Span(length.0.div_ceil(u64::from(*slices))).0,
        };
        (self.rules, number)
    }

    /// The window of `now`, which something is charged to.
    fn use_at(&mut self, now: Time) -> WindowName {
        let window = self.window(now);
        let begins = match self.spec.window {
            BudgetWindow::Fixed(_, Anchor::FirstUse) => window.1 != self.fresh,
            _ => self.began.is_none(),
        };
        if begins {
            (self.began, self.fresh) = (Some(now), window.1);
        }
        window
    }

    /// Settled and held in whatever counts in `window`, and whether what is held is not known.
    fn used(&self, (rules, number): WindowName) -> (Money, Money, bool) {
        let from = if let BudgetWindow::Rolling { slices, .. } = self.spec.window { number - u64::from(slices) } else { number };
        let lines = self.windows.range((rules, from)..=(rules, number));
        lines.fold((Money::ZERO, Money::ZERO, false), |(settled, held, inexact), (_, line)| {
            (settled + line.settled, held + line.held, inexact || line.inexact)
        })
    }

    fn limit(&self, window: WindowName) -> Money {
        match self.granted {
            Some((granted, amount)) if granted == window => amount.min(self.spec.limit),
            _ => self.spec.limit,
        }
    }
}
