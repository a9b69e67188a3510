//! What is held for one call: on which accounts, in which of their windows, and for which call. Knows no limits.

use alloc::boxed::Box;

use serde::{Deserialize, Serialize};

use super::ACCOUNTS_MAX;
use crate::gateway::id::{AccountId, DeploymentId, RequestId};
use crate::gateway::money::Money;
use crate::gateway::time::Time;

/// The call that a hold is for: whose amount late usage corrects, should nobody see its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldCall {
    /// Whose call.
    pub request: RequestId,
    /// Its number within the request.
    pub call: u32,
    /// Where to.
    pub deployment: DeploymentId,
    /// When it is made.
    pub since: Time,
}

/// What is held for one call. What the usual one is settled by, of few accounts that all hold the worst case, is one line of the
/// processor's cache.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[repr(C, align(64))]
pub(super) struct HoldEntry {
    pub(super) worst_case: Money,
    /// The amounts, unless each is the worst case.
    pub(super) amounts: Option<Box<[Money; ACCOUNTS_MAX]>>,
    pub(super) parts: Parts,
    /// Last, as it is read only where the end of the call was not seen.
    pub(super) call: HeldCall,
}

/// The accounts and windows that a hold was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[repr(C)]
pub(super) struct Parts {
    pub(super) len: u32,
    pub(super) parts: [Part; ACCOUNTS_MAX],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) account: AccountId,
    /// The window's number modulo 2^32: no hold is open for four thousand million windows.
    pub(super) window: u32,
}

impl HoldEntry {
    pub(super) const FREE: Self = Self {
        worst_case: Money::ZERO,
        amounts: None,
        parts: Parts { len: 0, parts: [Part { account: AccountId(u32::MAX), window: 0 }; ACCOUNTS_MAX] },
        call: HeldCall { request: RequestId(u64::MAX), call: 0, deployment: DeploymentId(u32::MAX), since: Time(0) },
    };

    /// Notes the amount of part `number`; those before it are noted already.
    #[inline]
    pub(super) fn note(&mut self, number: usize, amount: Money) {
        if amount != self.worst_case {
            self.amounts.get_or_insert_with(|| Box::new([self.worst_case; ACCOUNTS_MAX]));
        }
        if let Some(amounts) = &mut self.amounts {
            amounts[number] = amount;
        }
    }

    #[inline]
    pub(super) fn amount(&self, number: usize) -> Money {
        self.amounts.as_ref().map_or(self.worst_case, |amounts| amounts[number])
    }
}

impl Parts {
    #[inline]
    pub(super) fn iter(&self) -> core::slice::Iter<'_, Part> {
        self.parts[..self.len as usize].iter()
    }
}
