//! Money as exact integers: adding and multiplying only. Knows no price list and no float.

use core::fmt;
use core::iter::Sum;
use core::ops::{Add, AddAssign, Neg, Sub, SubAssign};

use serde::{Deserialize, Serialize};

/// An amount in picodollars (10^-12 USD). Signed: a difference between two variants may be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Money(pub i128);

/// A price in picodollars per token, which is microdollars per million tokens: `$2.50` per million is `Rate(2_500_000)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Rate(pub u64);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// More than any account can hold; used as "no limit".
    pub const MAX: Self = Self(i128::MAX);
    /// Picodollars in a dollar.
    pub const PER_USD: i128 = 1_000_000_000_000;

    /// Whole dollars.
    pub const fn usd(dollars: i64) -> Self {
        Self(dollars as i128 * Self::PER_USD)
    }

    /// `self`, or zero if it is negative.
    pub fn at_least_zero(self) -> Self {
        self.max(Self::ZERO)
    }

    /// The part `per_mille`/1000 of this amount, rounded towards zero.
    pub const fn per_mille(self, per_mille: u32) -> Self {
        Self(self.0 / 1000 * per_mille as i128 + self.0 % 1000 * per_mille as i128 / 1000)
    }

    /// The amount as the decimal string that reports use: dollars with 12 decimals.
    pub fn decimal(self) -> Decimal {
        Decimal(self)
    }
}

impl Rate {
    /// A rate in microdollars per million tokens (picodollars per token).
    pub const fn micro_usd_per_mtok(rate: u64) -> Self {
        Self(rate)
    }

    /// What `tokens` cost at this rate. Exact: the product of two 64-bit numbers fits.
    #[inline]
    pub const fn times(self, tokens: u64) -> Money {
        Money(self.0 as i128 * tokens as i128)
    }
}

impl Add for Money {
    type Output = Self;
    #[inline]
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for Money {
    type Output = Self;
    #[inline]
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Neg for Money {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl AddAssign for Money {
    #[inline]
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl SubAssign for Money {
    #[inline]
    fn sub_assign(&mut self, other: Self) {
        self.0 -= other.0;
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Money {
    /// Dollars without trailing zeros: `$1.5`, `-$0.000002`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let amount = self.0.unsigned_abs();
        let (whole, mut fraction, mut digits) = (amount / 1_000_000_000_000, amount % 1_000_000_000_000, 12);
        if fraction == 0 {
            return write!(f, "{sign}${whole}");
        }
        while fraction % 10 == 0 {
            fraction /= 10;
            digits -= 1;
        }
        write!(f, "{sign}${whole}.{fraction:0digits$}")
    }
}

/// Renders a [`Money`] as a plain decimal number of dollars with all 12 decimals: `47.608895000000`.
#[derive(Debug, Clone, Copy)]
pub struct Decimal(Money);

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amount = self.0.0.unsigned_abs();
        let sign = if self.0.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}.{:012}", amount / 1_000_000_000_000, amount % 1_000_000_000_000)
    }
}
