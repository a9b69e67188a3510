//! Durations, amounts and ratios as people write them, read exactly: decimal text to integers, never through a float.

use crate::gateway::money::Money;
use crate::gateway::time::Span;

/// More money than there is, and small enough that sums and thousandfolds of amounts are exact.
const AMOUNT_MAX: i128 = 1_000_000_000_000_000 * Money::PER_USD;

/// Nanoseconds in each unit of time.
const UNITS: [(&str, i128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
    ("w", 604_800_000_000_000),
];

/// Bytes in each unit of size.
const SIZES: [(&str, i128); 7] =
    [("B", 1), ("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// A duration such as `500ms`, `1.5s`, `1h30m`, `1d`.
///
/// # Errors
/// Why the text is none.
pub fn span(text: &str) -> Result<Span, String> {
    let mut nanos: i128 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err("it is empty".into());
    }
    while !rest.is_empty() {
        let (number, unit, after) = number_and_unit(rest);
        let Some((_, size)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(if unit.is_empty() { "it has no unit".into() } else { format!("`{unit}` is not a unit of time") });
        };
        let part = parts(number, *size)?;
        if part < 0 {
            return Err("it is negative".into());
        }
        nanos = nanos.checked_add(part).ok_or("it is longer than 584 years")?;
        rest = after;
    }
    u64::try_from(nanos).map(Span).map_err(|_| "it is longer than 584 years".into())
}

/// A size such as `256 MiB`, in bytes.
///
/// # Errors
/// Why the text is none.
pub fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit, after) = number_and_unit(text.trim());
    let Some((_, size)) = SIZES.iter().find(|(name, _)| *name == unit) else {
        return Err(if unit.is_empty() { "it has no unit".into() } else { format!("`{unit}` is not a unit of size") });
    };
    if !after.is_empty() {
        return Err(format!("`{after}` is left over"));
    }
    u64::try_from(parts(number, *size)?).map_err(|_| "it is negative or too large".into())
}

/// An amount such as `500 USD`.
///
/// # Errors
/// Why the text is none.
pub fn money(text: &str) -> Result<Money, String> {
    let Some(number) = text.trim().strip_suffix("USD") else {
        return Err("it does not say `USD`".into());
    };
    let amount = parts(number.trim_end(), Money::PER_USD)?;
    match amount {
        ..0 => Err("it is negative".into()),
        0..=AMOUNT_MAX => Ok(Money(amount)),
        _ => Err("it is more than 10^15 USD".into()),
    }
}

/// A ratio such as `0.05` or `1.5`, in thousandths.
///
/// # Errors
/// Why the text is none; more than three decimals are one reason.
pub fn per_mille(text: &str) -> Result<u32, String> {
    let thousandths = parts(text, 1000)?;
    if thousandths < 0 {
        return Err("it is negative".into());
    }
    u32::try_from(thousandths).map_err(|_| "it is too large".into())
}

/// A share such as `0.0001`, in millionths.
///
/// # Errors
/// Why the text is none; more than six decimals are one reason.
pub fn per_million(text: &str) -> Result<u32, String> {
    let millionths = parts(text, 1_000_000)?;
    if millionths < 0 {
        return Err("it is negative".into());
    }
    u32::try_from(millionths).map_err(|_| "it is too large".into())
}

/// A number such as `-0.25`, in millionths.
///
/// # Errors
/// Why the text is none; more than six decimals are one reason.
pub fn millionths(text: &str) -> Result<i128, String> {
    parts(text, 1_000_000)
}

/// `1.5h30m` as `1.5`, `h`, `30m`.
fn number_and_unit(text: &str) -> (&str, &str, &str) {
    let number_end = text.find(|letter: char| !matches!(letter, '0'..='9' | '.' | '_' | '+' | '-')).unwrap_or(text.len());
    let (number, rest) = text.split_at(number_end);
    let rest = rest.trim_start();
    let unit_end = rest.find(|letter: char| !letter.is_alphabetic()).unwrap_or(rest.len());
    let (unit, after) = rest.split_at(unit_end);
    (number, unit, after.trim_start())
}

/// How many units `1/whole` the plain decimal `text` holds, exactly. `whole` is what 1 is worth.
fn parts(text: &str, whole: i128) -> Result<i128, String> {
    let not_a_number = || format!("`{text}` is not a plain decimal number");
    let digits: String = text.trim().chars().filter(|letter| *letter != '_').collect();
    let (negative, unsigned) = match digits.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, digits.strip_prefix('+').unwrap_or(&digits)),
    };
    let (integer, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let fraction = fraction.trim_end_matches('0');
    if integer.is_empty() || !integer.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return Err(not_a_number());
    }
    let too_large = || "it is too large".to_owned();
    let integer: i128 = integer.parse().map_err(|_| too_large())?;
    let mut value = integer.checked_mul(whole).ok_or_else(too_large)?;
    if !fraction.is_empty() {
        let places = u32::try_from(fraction.len()).map_err(|_| too_fine(whole))?;
        let scale = 10_i128.checked_pow(places).ok_or_else(|| too_fine(whole))?;
        let numerator: i128 = fraction.parse().map_err(|_| too_fine(whole))?;
        let scaled = numerator.checked_mul(whole).ok_or_else(|| too_fine(whole))?;
        if scaled % scale != 0 {
            return Err(too_fine(whole));
        }
        value = value.checked_add(scaled / scale).ok_or_else(too_large)?;
    }
    Ok(if negative { -value } else { value })
}

fn too_fine(whole: i128) -> String {
    match whole {
        1000 => "it has more than three decimals".into(),
        Money::PER_USD => "it has more than twelve decimals".into(),
        _ => "it has more decimals than can be kept".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_exact() {
        assert_eq!(span("500ms"), Ok(Span::from_millis(500)));
        assert_eq!(span("1h30m"), Ok(Span::from_secs(5400)));
        assert_eq!(span("1.5 s"), Ok(Span::from_millis(1500)));
        assert_eq!(span("0s"), Ok(Span::ZERO));
        for wrong in ["", "5", "1h-30m", "5 parsecs", "-1s", "1e3s", "99999999999d", "0.1ns", "s"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn amounts_and_ratios_are_exact() {
        assert_eq!(money("500 USD"), Ok(Money::usd(500)));
        assert_eq!(money("0.05 USD"), Ok(Money(50_000_000_000)));
        assert_eq!(money("0.000000000001USD"), Ok(Money(1)));
        assert_eq!(per_mille("1.5"), Ok(1500));
        assert_eq!(per_mille("0.05"), Ok(50));
        assert_eq!(bytes("256 MiB"), Ok(256 << 20));
        for wrong in ["500", "$5", "1000000000000001 USD", "-1 USD", "0.0000000000001 USD", "USD"] {
            assert!(money(wrong).is_err(), "{wrong}");
        }
        for wrong in ["0.0005", "-1", "inf", "1e3", ""] {
            assert!(per_mille(wrong).is_err(), "{wrong}");
        }
    }
}
