//! What a request needs and a deployment offers, as bits. Knows no meaning of any: the driver that reads requests gives them theirs.

use serde::{Deserialize, Serialize};

/// A set of features: what the words of a request may ask of the dialect, and of the model, that it is sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features(u32);

impl Features {
    /// No feature: what a request requires that any deployment can express.
    pub const NONE: Self = Self(0);
    /// Every feature: what a deployment offers that can express any request.
    pub const ALL: Self = Self(u32::MAX);

    /// The feature of this number alone.
    ///
    /// # Panics
    /// If `number` is 32 or more.
    pub const fn of(number: u32) -> Self {
        assert!(number < u32::BITS, "there are 32 features");
        Self(1 << number)
    }

    /// The features of either set.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The features of this set that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all features of `other` are in this set.
    #[inline]
    pub const fn have(self, other: Self) -> bool {
        other.without(self).is_empty()
    }

    /// Whether there is none.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_all_its_features_say() {
        let (tools, images) = (Features::of(0), Features::of(31));
        assert!(Features::ALL.have(tools.and(images)) && Features::NONE.have(Features::NONE));
        assert!(tools.have(Features::NONE) && tools.and(images).have(images) && !tools.have(images) && !Features::NONE.have(tools));
        assert!(!Features::ALL.without(images).have(images) && Features::ALL.without(images).have(tools));
    }
}
