//! Turns decimal text into exact rates and amounts of money, by integers only. Knows no list, no model and no unit of tokens but "million".

use std::fmt;

use crate::gateway::money::{Money, Rate};

/// Decimal places of a [`Rate`] when it is written as USD per million tokens: one step is a microdollar.
const RATE_PLACES_PER_MTOK: i64 = 6;
/// Decimal places of a [`Rate`] when it is written as USD per token: one step is a picodollar.
const RATE_PLACES_PER_TOKEN: i64 = 12;
/// Decimal places of [`Money`] written in USD.
const MONEY_PLACES: i64 = 12;

/// Why a text is not a price or an amount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecimalError {
    /// Not of the form `12`, `0.15` or `1.5e-07`.
    NotANumber(String),
    /// Below zero.
    Negative(String),
    /// More than the type holds: about 1.8e13 USD per million tokens, 1.7e26 USD, or 38 significant digits.
    TooLarge(String),
    /// An amount with a part smaller than a picodollar.
    TooFine(String),
}

impl fmt::Display for DecimalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotANumber(text) => write!(f, "`{text}` is not a number; write plain digits such as `2.50` or `1.5e-07`"),
            Self::Negative(text) => write!(f, "`{text}` is negative; a price or an amount is zero or more"),
            Self::TooLarge(text) => write!(f, "`{text}` has too many digits to be held exactly"),
            Self::TooFine(text) => write!(f, "`{text}` has a part below a picodollar; write at most 12 decimals"),
        }
    }
}

impl std::error::Error for DecimalError {}

/// A rate from USD per million tokens, such as `2.50`, `0` or `7.5e-2`.
///
/// Exact up to 6 decimals. A longer fraction is the noise of a binary float (`0.15000000000000002`) and is rounded half-up to the
/// microdollar per million tokens, but a positive price never becomes zero: below one microdollar it is one.
///
/// # Errors
/// If the text is not a plain or scientific decimal, is negative, or is more than a [`Rate`] holds.
pub fn rate_from_usd_per_mtok(text: &str) -> Result<Rate, DecimalError> {
    Ok(rate(text, RATE_PLACES_PER_MTOK)?.0)
}

/// A rate from USD per token, such as `1.5e-07`. Rounds as [`rate_from_usd_per_mtok`] does.
///
/// # Errors
/// As [`rate_from_usd_per_mtok`].
pub fn rate_from_usd_per_token(text: &str) -> Result<Rate, DecimalError> {
    Ok(rate(text, RATE_PLACES_PER_TOKEN)?.0)
}

/// An amount from USD, such as `50`, `0.80` or `1.5e-7`. Exact: never rounds.
///
/// # Errors
/// If the text is not a plain or scientific decimal, is negative, is more than [`Money`] holds, or has a part below a picodollar.
pub fn money_from_usd(text: &str) -> Result<Money, DecimalError> {
    match money(text)? {
        (amount, false) => Ok(amount),
        (_, true) => Err(DecimalError::TooFine(text.to_owned())),
    }
}

/// [`rate_from_usd_per_mtok`], and whether it rounded.
pub(super) fn rate_per_mtok(text: &str) -> Result<(Rate, bool), DecimalError> {
    rate(text, RATE_PLACES_PER_MTOK)
}

/// [`rate_from_usd_per_token`], and whether it rounded.
pub(super) fn rate_per_token(text: &str) -> Result<(Rate, bool), DecimalError> {
    rate(text, RATE_PLACES_PER_TOKEN)
}

/// An amount of USD rounded half-up to the picodollar (a positive one never to zero), and whether it rounded.
pub(super) fn money(text: &str) -> Result<(Money, bool), DecimalError> {
    let (amount, rounded) = Decimal::parse(text)?.steps(MONEY_PLACES).ok_or_else(|| DecimalError::TooLarge(text.to_owned()))?;
    let amount = i128::try_from(amount).map_err(|_| DecimalError::TooLarge(text.to_owned()))?;
    Ok((Money(amount), rounded))
}

/// A count that may be written as a float (`32000.0`), as LiteLLM's price map does.
pub(super) fn whole(text: &str) -> Result<u32, DecimalError> {
    match Decimal::parse(text)?.steps(0) {
        Some((count, false)) => u32::try_from(count).map_err(|_| DecimalError::TooLarge(text.to_owned())),
        Some((_, true)) => Err(DecimalError::NotANumber(text.to_owned())),
        None => Err(DecimalError::TooLarge(text.to_owned())),
    }
}

fn rate(text: &str, places: i64) -> Result<(Rate, bool), DecimalError> {
    let (steps, rounded) = Decimal::parse(text)?.steps(places).ok_or_else(|| DecimalError::TooLarge(text.to_owned()))?;
    let steps = u64::try_from(steps).map_err(|_| DecimalError::TooLarge(text.to_owned()))?;
    Ok((Rate(steps), rounded))
}

/// `digits` x 10^`exponent`: what the text says, before any unit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decimal {
    pub(super) digits: u128,
    pub(super) exponent: i64,
}

impl Decimal {
    /// Reads `digits[.digits][e[+|-]digits]`, with an optional leading `+`; white space and separators are refused.
    pub(super) fn parse(text: &str) -> Result<Self, DecimalError> {
        let not_a_number = || DecimalError::NotANumber(text.to_owned());
        let too_large = || DecimalError::TooLarge(text.to_owned());
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            None => (text, 0),
            Some((mantissa, exponent)) => (mantissa, signed_exponent(exponent).ok_or_else(not_a_number)?),
        };
        let (unsigned, negative) = match mantissa.strip_prefix('-') {
            Some(rest) => (rest, true),
            None => (mantissa.strip_prefix('+').unwrap_or(mantissa), false),
        };
        let (whole, fraction) = match unsigned.split_once('.') {
            None => (unsigned, ""),
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return Err(not_a_number()),
        };
        if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
            return Err(not_a_number());
        }
        if negative {
            return Err(DecimalError::Negative(text.to_owned()));
        }
        let fraction = fraction.trim_end_matches('0');
        let mut digits: u128 = 0;
        for byte in whole.bytes().chain(fraction.bytes()) {
            digits = digits.checked_mul(10).and_then(|digits| digits.checked_add(u128::from(byte - b'0'))).ok_or_else(too_large)?;
        }
        let places = i64::try_from(fraction.len()).map_err(|_| too_large())?;
        Ok(Self { digits, exponent: exponent - places })
    }

    /// The value in steps of 10^-`places`, rounded half-up but never from positive to zero, and whether that rounded.
    /// `None` if it is more than a `u128` of steps.
    pub(super) fn steps(self, places: i64) -> Option<(u128, bool)> {
        if self.digits == 0 {
            return Some((0, false));
        }
        let shift = self.exponent + places;
        let power = u32::try_from(shift.unsigned_abs()).ok().and_then(|power| 10_u128.checked_pow(power));
        if shift >= 0 {
            return Some((self.digits.checked_mul(power?)?, false));
        }
        // A divisor beyond `u128` is beyond every dividend too: a positive sliver, which counts as one step.
        let Some(divisor) = power else { return Some((1, true)) };
        let (quotient, remainder) = (self.digits / divisor, self.digits % divisor);
        let half_up = quotient + u128::from(remainder >= divisor.div_ceil(2));
        Some((half_up.max(1), remainder != 0))
    }
}

/// An exponent within a range that no sum of this module can overflow.
fn signed_exponent(text: &str) -> Option<i64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let size: i64 = unsigned.trim_start_matches('0').parse().unwrap_or(if unsigned.bytes().all(|byte| byte == b'0') { 0 } else { i64::MAX });
    let size = size.min(1_000_000);
    Some(if text.starts_with('-') { -size } else { size })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check_rate(text: &str, expected: u64) {
        assert_eq!(rate_from_usd_per_mtok(text), Ok(Rate(expected)), "{text}");
    }

    #[test]
    fn plain_and_scientific_rates_are_exact() {
        check_rate("2.50", 2_500_000);
        check_rate("0", 0);
        check_rate("0.000001", 1);
        check_rate("+15", 15_000_000);
        check_rate("7.5e-2", 75_000);
        check_rate("1E3", 1_000_000_000);
        check_rate("0.0e99", 0);
        check_rate("007", 7_000_000);
        check_rate("18446744073709.551615", u64::MAX);
        assert_eq!(rate_from_usd_per_token("1.5e-07"), Ok(Rate(150_000)));
        assert_eq!(rate_from_usd_per_token("0.0000025"), Ok(Rate(2_500_000)));
    }

    #[test]
    fn float_noise_rounds_half_up_and_says_so() {
        assert_eq!(rate_per_mtok("0.15000000000000002"), Ok((Rate(150_000), true)));
        assert_eq!(rate_per_token("4.0000000000000003e-07"), Ok((Rate(400_000), true)));
        assert_eq!(rate_per_mtok("0.1499999999999999"), Ok((Rate(150_000), true)));
        assert_eq!(rate_per_mtok("0.0000014"), Ok((Rate(1), true)));
        assert_eq!(rate_per_mtok("0.0000015"), Ok((Rate(2), true)));
        assert_eq!(rate_per_mtok("0.1500000000"), Ok((Rate(150_000), false)), "trailing zeros are not noise");
    }

    #[test]
    fn a_positive_price_never_becomes_free() {
        check_rate("0.0000001", 1);
        check_rate("1e-300", 1);
        check_rate("1e-99999999999999999999999", 1);
    }

    #[test]
    fn money_is_exact_or_refused() {
        assert_eq!(money_from_usd("50"), Ok(Money::usd(50)));
        assert_eq!(money_from_usd("1.5e-7"), Ok(Money(150_000)));
        assert_eq!(money_from_usd("0.000000000001"), Ok(Money(1)));
        assert_eq!(money_from_usd("0.0000000000001"), Err(DecimalError::TooFine("0.0000000000001".into())));
        assert_eq!(money_from_usd("1e27"), Err(DecimalError::TooLarge("1e27".into())));
    }

    #[test]
    fn what_is_not_a_price_is_refused() {
        for text in ["", " ", "1 ", ".5", "5.", "1_000", "1,5", "$1", "12%", "NaN", "inf", "1e", "1e+", "0x10", "1e1.5", "--1", "+-1", "e5", "1.2.3"]
        {
            assert_eq!(rate_from_usd_per_mtok(text), Err(DecimalError::NotANumber(text.into())));
        }
        for text in ["-1", "-0", "-1.5e-07"] {
            assert_eq!(rate_from_usd_per_mtok(text), Err(DecimalError::Negative(text.into())));
        }
        for text in ["18446744073709.551616", "1e300", "1e99999999999999999999", "9999999999999999999999999999999999999999"] {
            assert_eq!(rate_from_usd_per_mtok(text), Err(DecimalError::TooLarge(text.into())));
        }
    }

    proptest! {
        #[test]
        fn six_decimals_make_the_round_trip(steps in any::<u64>()) {
            let text = format!("{}.{:06}", steps / 1_000_000, steps % 1_000_000);
            prop_assert_eq!(rate_per_mtok(&text), Ok((Rate(steps), false)));
            let scientific = format!("{steps}e-6");
            prop_assert_eq!(rate_per_mtok(&scientific), Ok((Rate(steps), false)));
            let per_token = format!("{steps}e-12");
            prop_assert_eq!(rate_per_token(&per_token), Ok((Rate(steps), false)));
        }

        #[test]
        fn twelve_decimals_of_money_make_the_round_trip(steps in 0_i128..i128::MAX) {
            let amount = Money(steps);
            prop_assert_eq!(money_from_usd(&amount.decimal().to_string()), Ok(amount));
        }

        #[test]
        fn a_float_of_a_short_price_gives_that_price(micro in 0_u64..1_000_000_000) {
            // As Python writes the product of a per-token float and a million: the noise is far below half a microdollar.
            let noisy = micro as f64 / 1e12 * 1e6;
            prop_assert_eq!(rate_from_usd_per_mtok(&noisy.to_string()), Ok(Rate(micro)));
        }

        #[test]
        fn no_text_panics(text in "[-+0-9.eE_ x]{0,30}") {
            let _ = (rate_from_usd_per_mtok(&text), rate_from_usd_per_token(&text), money_from_usd(&text), whole(&text));
        }
    }
}
