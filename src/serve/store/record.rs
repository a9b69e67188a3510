//! Keys and teams as they are kept: in the words of the administrator who made them. Knows no ids and no plan.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::gateway::money::Money;
use crate::gateway::time::Time;

/// The SHA-256 of a secret: all that is ever kept of one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

/// A virtual key.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyRecord {
    /// Its name in the core and the journal: for ever, whatever its secret and alias become.
    pub name: String,
    /// Of its secret.
    pub hash: Hash,
    /// `sk-...` and the last four characters of the secret, for people to tell keys apart.
    pub hint: String,
    /// What its administrator calls it.
    pub alias: Option<String>,
    /// The name of its team.
    pub team: Option<String>,
    /// Whom it was made for; nothing follows from it.
    pub user: Option<String>,
    /// When it stops working.
    pub expires: Option<Time>,
    /// What it may do.
    pub terms: Terms,
    /// Whether its requests are refused.
    pub blocked: bool,
    /// When it was made.
    pub created: Time,
    /// When it was last changed.
    pub updated: Time,
}

/// A team.
#[derive(Debug, Clone, PartialEq)]
pub struct TeamRecord {
    /// Its name in the core and the journal.
    pub name: String,
    /// What its administrator calls it.
    pub alias: Option<String>,
    /// What it may do.
    pub terms: Terms,
    /// Whether the requests of all its keys are refused.
    pub blocked: bool,
    /// When it was made.
    pub created: Time,
    /// When it was last changed.
    pub updated: Time,
}

/// What a key or a team may do.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Terms {
    /// The models that it may ask for, by name; empty for all.
    pub models: Vec<String>,
    /// The most that it may spend in a window of its budget.
    #[serde(with = "dollars")]
    pub max_budget: Option<Money>,
    /// The window, such as `30d`; `None` for one that never ends.
    pub budget_duration: Option<String>,
    /// The spend that alerts.
    #[serde(with = "dollars")]
    pub soft_budget: Option<Money>,
    /// Requests a minute.
    pub rpm_limit: Option<u64>,
    /// Tokens a minute, input and output.
    pub tpm_limit: Option<u64>,
    /// Tokens a day, input and output.
    pub tpd_limit: Option<u64>,
    /// Requests at one time.
    pub max_parallel_requests: Option<u64>,
    /// What its spend is attributed to.
    pub tags: Vec<String>,
    /// What its administrator keeps with it; nothing follows from it.
    pub metadata: Map<String, Value>,
}

impl Hash {
    /// The hash as LiteLLM's clients know it: 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The hash of 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut hash = [0; 32];
        for (byte, at) in hash.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
        }
        Some(Self(hash))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", &self.hex()[..8])
    }
}

/// Amounts as decimal text: exact, and readable in the file.
mod dollars {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::gateway::money::Money;
    use crate::price::money_from_usd;

    pub fn serialize<S: Serializer>(amount: &Option<Money>, serializer: S) -> Result<S::Ok, S::Error> {
        amount.map(|amount| amount.decimal().to_string()).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Money>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| money_from_usd(&text).map_err(D::Error::custom)).transpose()
    }
}
