//! Who a secret is. Keeps hashes only; what a key may do is the core's to say.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use sha2::{Digest, Sha256};

/// The names of virtual keys by the SHA-256 of their secrets.
#[derive(Debug, Default)]
pub struct KeyRing {
    names: RwLock<HashMap<[u8; 32], Arc<str>>>,
    open: Option<Arc<str>>,
}

impl KeyRing {
    /// A ring on which everybody is `name`, whatever they send: a gateway without keys.
    pub fn open_as(name: &str) -> Self {
        Self { names: RwLock::default(), open: Some(name.into()) }
    }

    /// A ring without keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a key on the ring.
    pub fn put(&self, name: &str, secret: &str) {
        self.put_hash(name, hash(secret));
    }

    /// Puts a key on the ring whose secret nobody knows any more.
    pub fn put_hash(&self, name: &str, hash: [u8; 32]) {
        self.names.write().unwrap_or_else(PoisonError::into_inner).insert(hash, name.into());
    }

    /// Takes a key off the ring.
    pub fn remove(&self, hash: &[u8; 32]) {
        self.names.write().unwrap_or_else(PoisonError::into_inner).remove(hash);
    }

    /// The name of the key whose secret has this hash.
    pub fn name_of_hash(&self, hash: &[u8; 32]) -> Option<Arc<str>> {
        self.names.read().unwrap_or_else(PoisonError::into_inner).get(hash).cloned()
    }

    /// The hash of the secret of the key of a name, if it has one.
    pub fn hash_of(&self, name: &str) -> Option<[u8; 32]> {
        self.all().into_iter().find(|(_, own)| **own == *name).map(|(hash, _)| hash)
    }

    /// Every hash, with its name.
    pub fn all(&self) -> Vec<([u8; 32], Arc<str>)> {
        self.names.read().unwrap_or_else(PoisonError::into_inner).iter().map(|(hash, name)| (*hash, name.clone())).collect()
    }

    /// Whether everybody is on it.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The name of the key whose secret this is. What is compared is a hash, so the time it takes tells nothing of any secret.
    pub fn name_of(&self, secret: Option<&str>) -> Option<Arc<str>> {
        if let Some(everybody) = &self.open {
            return Some(everybody.clone());
        }
        let hash = hash(secret?);
        self.names.read().unwrap_or_else(PoisonError::into_inner).get(&hash).cloned()
    }
}

/// What of a secret is kept.
pub fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_its_own_key_only() {
        let ring = KeyRing::new();
        ring.put("ci", "sk-1");
        ring.put("web", "sk-2");
        assert_eq!(ring.name_of(Some("sk-2")).as_deref(), Some("web"));
        assert_eq!(ring.name_of(Some("sk-3")), None);
        assert_eq!(ring.name_of(None), None);
        ring.remove(&hash("sk-2"));
        assert_eq!(ring.name_of(Some("sk-2")), None);
        assert_eq!(KeyRing::open_as("anyone").name_of(None).as_deref(), Some("anyone"));
    }
}
