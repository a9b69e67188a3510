//! Decimal numbers in text, read as scaled integers without a float in between. Knows no units.

/// Why a text is not a number that fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bad {
    NotANumber,
    Negative,
    TooLarge,
}

/// The value of `text` times 10^`digits`, rounded half up to a whole number. Takes `12`, `12.5`, `.5`, `1.2e-05`; no sign but a plus in the exponent.
pub(super) fn scaled(text: &str, digits: u32) -> Result<u128, Bad> {
    let (number, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().map_err(|_| Bad::NotANumber)?),
        None => (text, 0),
    };
    let negative = number.starts_with('-');
    let number = number.strip_prefix('-').unwrap_or(number);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return Err(Bad::NotANumber);
    }
    let mut value: u128 = 0;
    let mut too_large = false;
    for byte in whole.bytes().chain(fraction.bytes()) {
        if !byte.is_ascii_digit() {
            return Err(Bad::NotANumber);
        }
        match value.checked_mul(10).and_then(|value| value.checked_add(u128::from(byte - b'0'))) {
            Some(next) => value = next,
            None => too_large = true,
        }
    }
    if negative && value > 0 {
        return Err(Bad::Negative);
    }
    if too_large {
        return Err(Bad::TooLarge);
    }
    let fraction = i64::try_from(fraction.len()).map_err(|_| Bad::TooLarge)?;
    shifted(value, i64::from(digits) + i64::from(exponent) - fraction)
}

/// The whole number that `text` is: `12`, also `12.0` as tables with gaps are often written.
pub(super) fn whole(text: &str) -> Result<u64, Bad> {
    if let Ok(value) = text.parse::<u64>()
        && !text.starts_with('+')
    {
        return Ok(value);
    }
    let value = scaled(text, 0)?;
    if scaled(text, 3)? != value.saturating_mul(1000) {
        return Err(Bad::NotANumber);
    }
    u64::try_from(value).map_err(|_| Bad::TooLarge)
}

/// `value` / 10^`digits` as the shortest decimal.
pub(super) fn text(value: u128, digits: u32) -> String {
    let unit = 10u128.pow(digits);
    let (whole, fraction) = (value / unit, value % unit);
    if fraction == 0 {
        return whole.to_string();
    }
    let fraction = format!("{fraction:0width$}", width = digits as usize);
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

fn shifted(value: u128, places: i64) -> Result<u128, Bad> {
    if value == 0 {
        return Ok(0);
    }
    let power = u32::try_from(places.unsigned_abs()).ok().and_then(|places| 10u128.checked_pow(places));
    match (places >= 0, power) {
        (true, Some(power)) => value.checked_mul(power).ok_or(Bad::TooLarge),
        (true, None) => Err(Bad::TooLarge),
        (false, Some(power)) => Ok(value / power + u128::from(value % power >= power.div_ceil(2))),
        (false, None) => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimals_are_exact_and_round_half_up() {
        assert_eq!(scaled("1700000000.123456789", 9), Ok(1_700_000_000_123_456_789));
        assert_eq!(scaled("1.2e-05", 12), Ok(12_000_000));
        assert_eq!(scaled("2E+3", 0), Ok(2000));
        assert_eq!(scaled(".5", 0), Ok(1));
        assert_eq!(scaled("0.49999", 0), Ok(0));
        assert_eq!(scaled("0.30000000000000004", 9), Ok(300_000_000));
        assert_eq!(scaled("-0.0", 3), Ok(0));
        assert_eq!(scaled("-1", 3), Err(Bad::Negative));
        assert_eq!(scaled("1e39", 0), Err(Bad::TooLarge));
        assert_eq!(scaled("1e-99999", 0), Ok(0));
        for text in ["", ".", "-", "e5", "1e", "1_000", "1,5", "+1", "0x10", "NaN", "inf", " 1", "1 ", "１"] {
            assert_eq!(scaled(text, 3), Err(Bad::NotANumber), "{text:?}");
        }
    }

    #[test]
    fn whole_numbers_have_no_fraction() {
        assert_eq!(whole("12.0"), Ok(12));
        assert_eq!(whole("12.5"), Err(Bad::NotANumber));
        assert_eq!(whole("0.0001"), Ok(0), "below a thousandth is rounding noise");
        assert_eq!(whole("-3"), Err(Bad::Negative));
        assert_eq!(whole("+3"), Err(Bad::NotANumber));
        assert_eq!(whole("18446744073709551616"), Err(Bad::TooLarge));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(value in any::<u64>(), digits in 0u32..13) {
            prop_assert_eq!(scaled(&text(u128::from(value), digits), digits), Ok(u128::from(value)));
        }
    }
}
