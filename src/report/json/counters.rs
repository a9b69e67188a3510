//! The part of `report.json` that holds plain counters: twins with the same fields, money as text.

use serde::{Deserialize, Serialize};

use super::Usd;
use crate::gateway::money::Money;
use crate::report::totals::{Incidents, Ledger, Tokens};

/// How a counter stands in the file.
trait Kept<T> {
    fn keep(own: T) -> Self;
    fn own(self) -> T;
}

impl Kept<Self> for u64 {
    fn keep(own: Self) -> Self {
        own
    }

    fn own(self) -> Self {
        self
    }
}

impl Kept<Money> for Usd {
    fn keep(own: Money) -> Self {
        Self(own)
    }

    fn own(self) -> Money {
        self.0
    }
}

macro_rules! twins {
    ($($(#[$doc:meta])* $twin:ident of $own:ident { $($(#[$field_doc:meta])* $field:ident: $kept:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Serialize, Deserialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        pub(super) struct $twin {
            $($(#[$field_doc])* $field: $kept,)*
        }

        impl $twin {
            pub(super) fn of(own: &$own) -> Self {
                Self { $($field: Kept::keep(own.$field),)* }
            }

            pub(super) fn read(self) -> $own {
                $own { $($field: self.$field.own(),)* }
            }
        }
    )*};
}

twins! {
    /// The gateway's own books: what it saw, and what it presumed where it saw no usage.
    LedgerJson of Ledger {
        confirmed: Usd,
        presumed: Usd,
        confirmed_calls: u64,
        presumed_calls: u64,
        corrected_calls: u64,
    }

    /// Tokens as billed by the world; input holds the cached ones, output the reasoning.
    TokensJson of Tokens {
        input: u64,
        cache_read: u64,
        cache_write: u64,
        output: u64,
        reasoning: u64,
        output_delivered: u64,
    }

    /// What happened beside answering.
    IncidentsJson of Incidents {
        /// Requests that would have been refused, had their budget been enforced.
        observed_refusals: u64,
        /// Requests that waited for an identical one.
        followed: u64,
        /// Requests that waited before a concurrency limit.
        queued: u64,
        /// Groups and deployments that were passed over.
        skipped: u64,
        cooldowns: u64,
        breakers_opened: u64,
        budget_alerts: u64,
        fallback_alerts: u64,
        loop_alerts: u64,
        recoveries: u64,
        /// Times that a budget window was closed above its limit.
        breaches: u64,
        /// By how much, in all.
        breached: Usd,
        /// What the answers given from the cache had cost when they were made.
        cache_saved: Usd,
        /// Calls that waited for a place of their provider.
        calls_queued: u64,
        /// How long in all.
        calls_queued_ms: u64,
        calls_turned_away: u64,
    }
}
