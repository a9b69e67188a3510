//! A contract discount as an exact rational, applied to rates when they are loaded. Knows no provider and no contract.

use std::fmt;

use crate::gateway::money::{Money, Rate};

use super::decimal::{Decimal, DecimalError};

/// Most decimals that a discount may have, so that a rate times the discount stays within 128 bits.
const PLACES_MAX: i64 = 18;

/// The part of the list price that a contract takes off: 0 <= discount < 1, held as an exact fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discount {
    paid: u64,
    of: u64,
}

/// Why a text is not a discount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiscountError {
    /// Not a decimal number.
    Decimal(DecimalError),
    /// One or more: the model would be free or paid for.
    OutOfRange(String),
    /// More than 18 decimals.
    TooFine(String),
}

impl fmt::Display for DiscountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decimal(error) => write!(f, "{error}"),
            Self::OutOfRange(text) => write!(f, "a discount of `{text}` leaves nothing to pay; write a share below 1, such as `0.12` for 12 %"),
            Self::TooFine(text) => write!(f, "a discount of `{text}` has more than {PLACES_MAX} decimals"),
        }
    }
}

impl std::error::Error for DiscountError {}

impl fmt::Display for Discount {
    /// The share that is taken off: `12 %`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (off, of) = (u128::from(self.of - self.paid) * 100, u128::from(self.of));
        let places = usize::try_from(self.of.ilog10()).expect("at most 18");
        let fraction = format!("{:0places$}", off % of);
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{} %", off / of),
            digits => write!(f, "{}.{digits} %", off / of),
        }
    }
}

impl Discount {
    /// The list price.
    pub const NONE: Self = Self { paid: 1, of: 1 };

    /// A discount from decimal text: `0.12` is 12 % off.
    ///
    /// # Errors
    /// If the text is not a decimal, is negative, is 1 or more, or has more than 18 decimals.
    pub fn parse(text: &str) -> Result<Self, DiscountError> {
        let Decimal { digits, exponent } = Decimal::parse(text).map_err(DiscountError::Decimal)?;
        if digits == 0 {
            return Ok(Self::NONE);
        }
        let out_of_range = || DiscountError::OutOfRange(text.to_owned());
        let places = exponent.checked_neg().filter(|places| *places > 0).ok_or_else(out_of_range)?;
        // `1e-20` is too fine, but so long a fraction of more than one is out of range first.
        let of = u32::try_from(places).ok().filter(|_| places <= PLACES_MAX).map(|places| 10_u64.pow(places));
        let of = of.ok_or_else(|| DiscountError::TooFine(text.to_owned()))?;
        let off = u64::try_from(digits).ok().filter(|off| *off < of).ok_or_else(out_of_range)?;
        Ok(Self { paid: of - off, of })
    }

    /// The rate that is paid: rounded half-up to the picodollar per token; a positive rate stays positive.
    pub fn rate(self, list: Rate) -> Rate {
        let paid = self.of_amount(u128::from(list.0));
        Rate(u64::try_from(paid).expect("a discounted rate is at most the list rate"))
    }

    /// The fee that is paid: rounded half-up to the picodollar; a positive fee stays positive.
    ///
    /// # Panics
    /// If `list` is negative, which no loader lets through.
    pub fn fee(self, list: Money) -> Money {
        let paid = self.of_amount(u128::try_from(list.0).expect("a fee is never negative"));
        Money(i128::try_from(paid).expect("a discounted fee is at most the list fee"))
    }

    fn of_amount(self, amount: u128) -> u128 {
        let (paid, of) = (u128::from(self.paid), u128::from(self.of));
        // Whole multiples apart, so that the product of two 60-bit numbers is all that is ever held.
        let (whole, rest) = (amount / of, amount % of);
        let rounded = whole * paid + (rest * paid + of / 2) / of;
        rounded.max(u128::from(amount > 0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(discount: &str, list: u64, paid: u64) {
        assert_eq!(Discount::parse(discount).expect("a discount").rate(Rate(list)), Rate(paid), "{discount} off {list}");
    }

    #[test]
    fn twelve_percent_off_is_exact() {
        check("0.12", 3_000_000, 2_640_000);
        check("0.12", 15_000_000, 13_200_000);
        check("0", 15_000_000, 15_000_000);
        check("0.000", 7, 7);
        check("1.2e-1", 3_000_000, 2_640_000);
        check("0.1", 75_000, 67_500);
    }

    #[test]
    fn a_discount_says_how_many_percent() {
        let said = |text: &str| Discount::parse(text).expect("a discount").to_string();
        assert_eq!(["0.12", "0.125", "0", "0.001", "0.9999"].map(said), ["12 %", "12.5 %", "0 %", "0.1 %", "99.99 %"]);
    }

    #[test]
    fn a_discount_rounds_half_up_to_the_picodollar_per_token() {
        check("0.5", 3, 2);
        check("0.51", 3, 1);
        check("0.25", 1, 1);
        check("0.9", 1, 1);
        check("0.999999999999999999", 1_000_000, 1);
        check("0.5", 0, 0);
    }

    #[test]
    fn a_discount_is_a_share_below_one() {
        for text in ["1", "1.0", "12", "1.5", "2e3", "1.0000000000000000000001"] {
            assert!(matches!(Discount::parse(text), Err(DiscountError::OutOfRange(_) | DiscountError::TooFine(_))), "{text}");
        }
        assert_eq!(Discount::parse("12"), Err(DiscountError::OutOfRange("12".into())));
        assert!(matches!(Discount::parse("-0.1"), Err(DiscountError::Decimal(DecimalError::Negative(_)))));
        assert!(matches!(Discount::parse("12%"), Err(DiscountError::Decimal(DecimalError::NotANumber(_)))));
        assert!(matches!(Discount::parse("1e-19"), Err(DiscountError::TooFine(_))));
        assert!(matches!(Discount::parse("1e-999999"), Err(DiscountError::TooFine(_))));
    }

    #[test]
    fn a_fee_near_the_limit_does_not_overflow() {
        let half = Discount::parse("0.500000000000000000").expect("a discount");
        assert_eq!(half.fee(Money(i128::MAX)), Money(i128::MAX / 2 + 1));
    }

    proptest! {
        #[test]
        fn the_paid_rate_is_within_half_a_picodollar_of_the_fraction(list in 1_u64..u64::MAX, off in 0_u64..10_000) {
            let paid = Discount::parse(&format!("0.{off:04}")).expect("a discount").rate(Rate(list)).0;
            let exact = u128::from(list) * u128::from(10_000 - off);
            let error = (u128::from(paid) * 10_000).abs_diff(exact);
            prop_assert!(error <= 5_000 || paid == 1);
            prop_assert!(paid <= list);
        }
    }
}
