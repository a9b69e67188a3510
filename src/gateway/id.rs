//! Dense, append-only names for things. An id is never given to anything else while a journal lives.

use alloc::string::String;
use alloc::vec::Vec;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

/// A hash map with a fixed hasher. Looked up, never iterated: iteration order is not part of any result.
pub type Map<K, V> = HashMap<K, V, FixedState>;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub u32);

        impl $name {
            /// The id as an index into the table of its kind.
            #[inline]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

ids! {
    /// A model group: the name that clients ask for.
    ModelId;
    /// One deployment of a provider's model.
    DeploymentId;
    /// A virtual key.
    KeyId;
    /// A team of keys.
    TeamId;
    /// An end user named in a request.
    EndUserId;
    /// A tag that spend is attributed to.
    TagId;
    /// A budget account.
    AccountId;
    /// A rate or concurrency limit.
    LimitId;
    /// An immutable list of limits: what was taken by a list is returned by the same list.
    LimitListId;
    /// The driver's own index for a request in flight; given back with every wake. May be reused after `Closed`.
    Slot;
}

/// A request, for ever: the key of every draw about it. Never reused in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId(pub u64);

/// Names in order of first appearance; a name keeps its number for ever.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub struct Registry {
    names: Vec<String>,
    numbers: Map<String, u32>,
}

impl Registry {
    /// The number of `name`, given to it now if it has none.
    pub fn intern(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).expect("fewer than 2^32 names in one run");
        self.names.push(name.into());
        self.numbers.insert(name.into(), number);
        number
    }

    /// The number of `name`, if it has one.
    pub fn find(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// The name behind `number`.
    ///
    /// # Panics
    /// If no name has this number: ids come only from this registry.
    pub fn name(&self, number: u32) -> &str {
        &self.names[number as usize]
    }

    /// All names, oldest first.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

impl From<Vec<String>> for Registry {
    fn from(names: Vec<String>) -> Self {
        let numbers = names.iter().cloned().zip(0..).collect();
        Self { names, numbers }
    }
}

impl From<Registry> for Vec<String> {
    fn from(registry: Registry) -> Self {
        registry.names
    }
}
