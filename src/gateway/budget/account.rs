//! One account: its rules, its windows, and what counts against its limit at an instant. Knows no holds but by their amounts.

use alloc::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{Part, Want};
use crate::gateway::id::AccountId;
use crate::gateway::journal::{Alert, Fact, Journal};
use crate::gateway::money::Money;
use crate::gateway::plan::{Anchor, BudgetMode, BudgetSpec, BudgetWindow, Enforce};
use crate::gateway::time::{Span, Time};

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
    pub(super) alerted: u32,
    /// Holds that were taken in it and are open, those of nothing too.
    pub(super) open: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) spec: BudgetSpec,
    pub(super) granted: Option<(u64, Money)>,
    pub(super) current: Window,
    /// Windows that are over but have open holds, or still count for a rolling limit. Oldest first.
    pub(super) older: VecDeque<Window>,
    /// The number of the first window under the present rules: those of earlier rules have lower ones.
    pub(super) first: u64,
    pub(super) used_from: Option<Time>,
}

impl Account {
    pub(super) fn new(spec: BudgetSpec) -> Self {
        Self { spec, granted: None, current: Window::new(0, Time(0)), older: VecDeque::new(), first: 0, used_from: None }
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
    pub(super) fn roll(&mut self, now: Time) {
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
        if let BudgetWindow::Fixed(_, Anchor::FirstUse) = self.spec.window {
            self.used_from = Some(now);
        }
    }

    /// The number and end of the window that holds `now`.
    pub(super) fn window_at(&self, now: Time) -> (u64, Time) {
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
    pub(super) fn counted(&self, index: u64) -> impl Iterator<Item = &Window> {
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
    pub(super) fn room(&self, now: Time) -> Money {
        self.limit(self.index_at(now)) - self.used(now)
    }

    #[inline]
    pub(super) fn index_at(&self, now: Time) -> u64 {
        if now < self.current.end { self.current.index } else { self.window_at(now).0 }
    }

    /// What `want` holds here.
    #[inline]
    pub(super) fn amount(&self, now: Time, want: Want) -> Money {
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
    pub(super) fn fits(&self, now: Time, want: Want) -> bool {
        let room = self.room(now);
        match self.spec.mode {
            BudgetMode::After => room > Money::ZERO,
            BudgetMode::Reserve | BudgetMode::Estimate { .. } => self.amount(now, want) <= room,
        }
    }

    #[inline]
    pub(super) fn settle<J: Journal>(&mut self, part: Part, now: Time, amount: Money, journal: &mut J) {
        let before = self.over(part.window);
        let Some(window) = self.find(part.window) else { unreachable!("a window with an open hold is kept") };
        window.held -= part.amount;
        window.open -= 1;
        window.settled += amount;
        self.tell(part, now, before, amount, journal);
    }

    pub(super) fn correct<J: Journal>(&mut self, part: Part, now: Time, difference: Money, journal: &mut J) {
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
        let counts = part.window == self.current.index || self.is_step(part.window);
        if amount > Money::ZERO && counts {
            self.alert(part.account, now, journal);
        }
    }

    #[inline]
    fn alert<J: Journal>(&mut self, account: AccountId, now: Time, journal: &mut J) {
        while let Some(per_mille) = self.spec.alert_at_per_mille.get(self.current.alerted as usize).copied() {
            if self.settled_in(self.current.index) < self.spec.limit.per_mille(per_mille) {
                return;
            }
            self.current.alerted += 1;
            journal.record(now, None, || Fact::Alerted(Alert::BudgetLevel { account, per_mille }));
        }
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

    #[inline]
    fn find(&mut self, index: u64) -> Option<&mut Window> {
        if index == self.current.index {
            return Some(&mut self.current);
        }
        self.older.iter_mut().find(|window| window.index == index)
    }
}

impl Window {
    pub(super) const fn new(index: u64, end: Time) -> Self {
        Self { index, settled: Money::ZERO, held: Money::ZERO, breached: Money::ZERO, end, alerted: 0, open: 0 }
    }
}
