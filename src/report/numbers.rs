//! Numbers as a reader wants them: separators, units, and no more digits than are known. Decides wording only; all in integers.

use crate::gateway::money::Money;
use crate::gateway::time::Span;

/// `3,012,440`.
pub fn count(number: u64) -> String {
    grouped(&number.to_string())
}

/// A number of things: `1 request`, `2,000 requests`.
pub fn counted(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", count(number), if number == 1 { "" } else { "s" })
}

/// How many decimals an amount of dollars wants that stands beside others up to `largest`: none from $1,000 on, and enough for
/// three digits below a dollar.
pub fn decimals(largest: Money) -> u32 {
    let largest = largest.0.unsigned_abs();
    let usd = Money::PER_USD.unsigned_abs();
    match largest {
        0 => 2,
        _ if largest >= 1_000 * usd => 0,
        _ if largest >= usd => 2,
        _ if largest >= usd / 10 => 3,
        _ if largest >= usd / 100 => 4,
        _ if largest >= usd / 1_000 => 5,
        _ if largest >= usd / 10_000 => 6,
        _ => 9,
    }
}

/// An amount in units of the last of `decimals` decimals, rounded half away from zero.
pub fn rounded(amount: Money, decimals: u32) -> i128 {
    let unit = Money::PER_USD / 10_i128.pow(decimals);
    (amount.0 + amount.0.signum() * (unit / 2)) / unit
}

/// An amount of so many units of the last decimal, as dollars without the sign of the dollar: `1,234.50`, `-0.02`.
pub fn dollars(units: i128, decimals: u32) -> String {
    let (sign, units) = (if units < 0 { "-" } else { "" }, units.unsigned_abs());
    let scale = 10_u128.pow(decimals);
    let whole = grouped(&(units / scale).to_string());
    if decimals == 0 {
        return format!("{sign}{whole}");
    }
    format!("{sign}{whole}.{:0width$}", units % scale, width = decimals as usize)
}

/// An amount on its own: `$47.61`, `$12,345`, `-$0.0021`.
pub fn usd(amount: Money) -> String {
    let decimals = decimals(amount);
    let units = rounded(amount, decimals);
    let sign = if units < 0 { "-" } else { "" };
    format!("{sign}${}", dollars(units.abs(), decimals))
}

/// An amount to so many digits of `of`, an amount of the size of what is known of it: `$12,300`, `$28.0`.
pub fn about(amount: Money, of: Money, digits: u32) -> String {
    if amount == Money::ZERO {
        return "$0".to_owned();
    }
    let size = of.0.unsigned_abs().max(1);
    // The power of ten of the last digit that is shown, in picodollars.
    let last = size.ilog10().saturating_sub(digits.saturating_sub(1));
    let unit = 10_i128.pow(last);
    let coarse = Money((amount.0 + amount.0.signum() * (unit / 2)) / unit * unit);
    let decimals = Money::PER_USD.ilog10().saturating_sub(last);
    let units = rounded(coarse, decimals);
    let sign = if units < 0 { "-" } else { "" };
    format!("{sign}${}", dollars(units.abs(), decimals))
}

/// The parts in units of the last decimal, so rounded that they add up to the rounded `total` as the parts do to `total`:
/// what rounding leaves over goes to the parts that it fits best.
pub fn rounded_parts(parts: &[Money], total: Money, decimals: u32) -> Vec<i128> {
    let unit = Money::PER_USD / 10_i128.pow(decimals);
    let mut units: Vec<i128> = parts.iter().map(|part| rounded(*part, decimals)).collect();
    let mut left = rounded(total, decimals) - units.iter().sum::<i128>();
    let step = left.signum();
    while left != 0 {
        // How much dearer than it is a part would be shown after the step, in picodollars; nothing stays nothing.
        let error = |i: usize| ((units[i] + step) * unit - parts[i].0).abs();
        let Some(best) = (0..parts.len()).filter(|i| parts[*i] != Money::ZERO).min_by_key(|i| error(*i)) else { break };
        units[best] += step;
        left -= step;
    }
    units
}

/// `part` of `whole` as a percentage with one decimal; more where it would claim to be none or all and isn't; a dash of nothing.
pub fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    let (part, whole) = (u128::from(part), u128::from(whole));
    for decimals in 1..=3 {
        let scale = 10_u128.pow(decimals);
        let rounded = (part * 100 * scale + whole / 2) / whole;
        let claims_too_much = (rounded == 0 && part > 0) || (rounded == 100 * scale && part < whole);
        if !claims_too_much {
            return format!("{}.{:0width$} %", rounded / scale, rounded % scale, width = decimals as usize);
        }
    }
    if part * 2 < whole { "<0.001 %".to_owned() } else { ">99.999 %".to_owned() }
}

/// How `now` differs from `before`: `-10.2 %`; below a thousandth the sign and `<0.1 %`.
pub fn change(before: Money, now: Money) -> String {
    let difference = now - before;
    if difference == Money::ZERO {
        return "same cost".to_owned();
    }
    if before == Money::ZERO {
        return "from zero".to_owned();
    }
    let sign = if difference > Money::ZERO { "+" } else { "-" };
    let (difference, before) = (difference.0.unsigned_abs(), before.0.unsigned_abs());
    let tenths = (difference * 1_000 + before / 2) / before;
    match tenths {
        0 => format!("{sign}<0.1 %"),
        10_000.. => format!("{sign}{} %", grouped(&((tenths + 5) / 10).to_string())),
        _ => format!("{sign}{}.{} %", tenths / 10, tenths % 10),
    }
}

/// How far `now` is off `before`: `+7.4 %`, `+0.0 %`.
pub fn difference(before: Money, now: Money) -> String {
    if before == now { "+0.0 %".to_owned() } else { change(before, now) }
}

/// A latency: `1.9 s`, `150 ms`, `2 min`, `0`.
pub fn latency(span: Span) -> String {
    let (micros, millis) = ((span.0 + 500) / 1_000, (span.0 + 500_000) / 1_000_000);
    match millis {
        _ if span == Span::ZERO => "0".to_owned(),
        0 => format!("{micros} us"),
        1..1_000 => format!("{millis} ms"),
        1_000..100_000 => format!("{}.{} s", (millis + 50) / 1_000, (millis + 50) % 1_000 / 100),
        _ => length(span),
    }
}

/// How long something lasted, in two units at most, the rest cut off: `57 min 16 s`, `2 h 5 min`, `31 days`.
pub fn length(span: Span) -> String {
    let seconds = span.0 / 1_000_000_000;
    let two = |size: u64, unit: &str, smaller: u64, smaller_unit: &str| {
        let (whole, rest) = (seconds / size, seconds % size / smaller);
        if rest == 0 { format!("{whole} {unit}") } else { format!("{whole} {unit} {rest} {smaller_unit}") }
    };
    match seconds {
        0 => "0 s".to_owned(),
        1..60 => format!("{seconds} s"),
        60..3_600 => two(60, "min", 1, "s"),
        3_600..172_800 => two(3_600, "h", 60, "min"),
        _ => two(86_400, "days", 3_600, "h"),
    }
}

fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counts_and_dollars_have_separators() {
        assert_eq!([0, 999, 1_000, 3_012_440].map(count), ["0", "999", "1,000", "3,012,440"]);
        let amounts = [47_608_895_000_000, 12_345_678_900_000_000, -2_100_000_000, 0, 999_996_000_000_000, 150_000, -1];
        assert_eq!(
            amounts.map(|amount| usd(Money(amount))),
            ["$47.61", "$12,346", "-$0.00210", "$0.00", "$1,000.00", "$0.000000150", "$0.000000000"]
        );
    }

    #[test]
    fn about_shows_no_more_than_is_known() {
        let usd = |cents: i128| Money(cents * Money::PER_USD / 100);
        assert_eq!(about(usd(1_234_567), usd(245_000), 2), "$12,300");
        assert_eq!(about(usd(1_234_567), usd(1_234_567), 3), "$12,300");
        assert_eq!(about(usd(2_801), usd(2_801), 3), "$28.0");
        assert_eq!(about(usd(-2_801), usd(12), 2), "-$28.01");
        assert_eq!(about(Money::ZERO, Money::ZERO, 3), "$0");
    }

    #[test]
    fn a_share_never_claims_none_or_all_when_it_is_not() {
        let shown = [(0, 7), (7, 7), (1, 3), (9_999, 10_000), (1, 3_000_000), (2_999_999, 3_000_000), (1, 0)].map(|(part, whole)| share(part, whole));
        assert_eq!(shown, ["0.0 %", "100.0 %", "33.3 %", "99.99 %", "<0.001 %", ">99.999 %", "-"]);
    }

    #[test]
    fn a_change_is_against_what_was() {
        let shown = [(100, 100), (100, 89), (2_857, 26_918), (100_000, 100_001), (0, 5), (1, 1_000)].map(|(a, b)| change(Money(a), Money(b)));
        assert_eq!(shown, ["same cost", "-11.0 %", "+842.2 %", "+<0.1 %", "from zero", "+99,900 %"]);
    }

    #[test]
    fn spans_have_units() {
        let shown = [0, 700, 1_500_000, 149_600_000, 1_940_000_000, 130_000_000_000].map(|nanos| latency(Span(nanos)));
        assert_eq!(shown, ["0", "1 us", "2 ms", "150 ms", "1.9 s", "2 min 10 s"]);
        assert_eq!(
            [59, 3_436, 7_500, 86_400, 2_678_400].map(|s| length(Span::from_secs(s))),
            ["59 s", "57 min 16 s", "2 h 5 min", "24 h", "31 days"]
        );
    }

    proptest! {
        #[test]
        fn shown_parts_add_up_to_the_shown_total(parts in prop::collection::vec(-10_i128.pow(16)..10_i128.pow(16), 1..8), decimals in 0_u32..5) {
            let parts: Vec<Money> = parts.into_iter().map(Money).collect();
            let total: Money = parts.iter().copied().sum();
            let shown = rounded_parts(&parts, total, decimals);
            prop_assert_eq!(shown.iter().sum::<i128>(), rounded(total, decimals));
            for (part, shown) in parts.iter().zip(shown) {
                prop_assert!((rounded(*part, decimals) - shown).abs() <= 1);
            }
        }
    }
}
