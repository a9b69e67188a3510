//! How values that are shared are spelt: as if each of them were there by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(super) fn serialize<K: Serialize, V: Serialize, S: Serializer>(values: &BTreeMap<K, Arc<V>>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(values.iter().map(|(key, value)| (key, &**value)))
}

pub(super) fn deserialize<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, Arc<V>>, D::Error>
where
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let values = BTreeMap::<K, V>::deserialize(deserializer)?;
    Ok(values.into_iter().map(|(key, value)| (key, Arc::new(value))).collect())
}
