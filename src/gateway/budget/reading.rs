//! How accounts are read from a snapshot. Decides what they share from then on.

use alloc::vec::Vec;
use core::fmt;

use serde::Deserializer;
use serde::de::{SeqAccess, Visitor};

use super::Account;
use crate::gateway::calendar::Calendar;
use crate::gateway::plan::BudgetWindow;

/// Reads accounts. Those with one calendar share its table from then on, which each of them has written down.
pub(super) fn accounts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Account>, D::Error> {
    struct Accounts;
    impl<'de> Visitor<'de> for Accounts {
        type Value = Vec<Account>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("accounts")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Vec<Account>, A::Error> {
            let (mut accounts, mut calendars) = (Vec::new(), Vec::<Calendar>::new());
            while let Some(mut account) = values.next_element::<Account>()? {
                if let BudgetWindow::Calendar(own) = &account.spec.window {
                    match calendars.iter().find(|known| *known == own) {
                        Some(known) => account.spec.change().window = BudgetWindow::Calendar(known.clone()),
                        None => calendars.push(own.clone()),
                    }
                }
                accounts.push(account);
            }
            Ok(accounts)
        }
    }
    deserializer.deserialize_seq(Accounts)
}
