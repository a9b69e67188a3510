//! Amounts that were settled by rule and that late usage may still correct, and how a snapshot keeps them. Knows no limits.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::hold::Parts;
use crate::gateway::id::{DeploymentId, RequestId};
use crate::gateway::money::Money;
use crate::gateway::time::Time;

/// One presumed settlement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Presumed {
    pub(super) parts: Parts,
    pub(super) amount: Money,
    pub(super) deployment: DeploymentId,
    /// When the call was made.
    pub(super) since: Time,
    pub(super) until: Time,
}

type Presumptions = BTreeMap<(RequestId, u32), Presumed>;

/// The map as a list: its keys are pairs, which are no names in JSON.
pub(super) fn serialize<S: Serializer>(presumed: &Presumptions, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(presumed)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Presumptions, D::Error> {
    Ok(Vec::deserialize(deserializer)?.into_iter().collect())
}
