//! The columns of a trace and the values a cell can hold. Decides what each column accepts and the words that refuse the rest;
//! knows no file format.

use std::borrow::Cow;

use super::decimal::{self, Bad};
use super::error::{Fault, quoted, thousands};
use super::litellm;
use crate::gateway::time::Time;

/// What one column of a trace means, whatever the file calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    At(Clock),
    Model,
    Key,
    Team,
    EndUser,
    Session,
    /// The number of this request, which later ones name as their parent.
    Chat,
    /// The request that this one follows up; negative for none. All that follow one are a session.
    ParentChat,
    Tags,
    InputTokens,
    OutputTokens,
    MaxTokens,
    Stream,
    Fingerprint,
    BlockSize,
    PrefixBlocks,
    LeftAfterTokens,
    LeftAfterMs,
    Status,
    TtftMs,
    DurationMs,
    DurationSeconds,
    CostUsd,
    CachedTokens,
    CacheWriteTokens,
    ReasoningTokens,
    Deployment,
    CacheHit,
    CacheHitOrNone,
    Retry,
    Attempts,
    Fallbacks,
    /// Rows with the same text here are attempts of one request.
    Request,
    /// A field of LiteLLM's logs.
    Log(litellm::Field),
    /// Known, and not needed for a replay.
    Ignored,
}

impl Column {
    /// Whether a row can't set both: the same column twice, or the time by two clocks.
    pub(super) fn clashes(self, other: Self) -> bool {
        self != Self::Ignored && (self == other || matches!((self, other), (Self::At(_), Self::At(_))))
    }

    /// Whether the value is JSON, as it stands in the file or as text.
    pub(super) const fn is_json(self) -> bool {
        matches!(self, Self::Log(field) if field.is_json())
    }
}

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    /// A date and time; without a zone it is UTC.
    Date,
    Seconds,
    Millis,
    Micros,
    Nanos,
    /// A date and time, or seconds.
    DateOrSeconds,
}

/// One value as a file holds it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell<'a> {
    Absent,
    Bool(bool),
    Whole(u64),
    Negative(i64),
    Real(f64),
    Text(Cow<'a, str>),
    Wholes(Cow<'a, [u64]>),
    Texts(Vec<Cow<'a, str>>),
    /// Anything that no column accepts, by its name.
    Other(&'static str),
}

/// What is wrong with a value or a row; the reader that met it adds the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub fault: Fault,
    /// The column to point at, as the file calls it; none for the whole row.
    pub column: Option<String>,
    pub what: String,
    pub hint: String,
}

impl Problem {
    pub(super) fn value(column: &str, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { fault: Fault::Value, column: Some(column.to_owned()), what: what.into(), hint: hint.into() }
    }

    pub(super) fn row(fault: Fault, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { fault, column: None, what: what.into(), hint: hint.into() }
    }
}

impl Cell<'_> {
    /// The value as a person would write it, for messages.
    fn shown(&self) -> String {
        match self {
            Self::Absent => "nothing".to_owned(),
            Self::Bool(value) => format!("`{value}`"),
            Self::Whole(value) => format!("`{value}`"),
            Self::Negative(value) => format!("`{value}`"),
            Self::Real(value) => format!("`{value}`"),
            Self::Text(text) => quoted(text),
            Self::Wholes(_) | Self::Texts(_) => "a list".to_owned(),
            Self::Other(what) => (*what).to_owned(),
        }
    }

    /// The value times 10^`digits`, rounded half up.
    fn scaled(&self, digits: u32) -> Result<u128, Bad> {
        match self {
            Self::Whole(value) => Ok(u128::from(*value) * 10u128.pow(digits)),
            Self::Negative(_) => Err(Bad::Negative),
            Self::Real(value) if value.is_finite() => decimal::scaled(&value.to_string(), digits),
            Self::Text(text) => decimal::scaled(text, digits),
            _ => Err(Bad::NotANumber),
        }
    }

    fn whole(&self) -> Result<u64, Bad> {
        match self {
            Self::Whole(value) => Ok(*value),
            Self::Negative(_) => Err(Bad::Negative),
            Self::Real(value) if value.is_finite() => decimal::whole(&value.to_string()),
            Self::Text(text) => decimal::whole(text),
            _ => Err(Bad::NotANumber),
        }
    }
}

/// A whole number up to `max`, `what` of something.
pub(super) fn whole(name: &str, cell: &Cell<'_>, max: u64, what: &str) -> Result<u64, Problem> {
    let read = cell.whole();
    if let Ok(value) = read
        && value <= max
    {
        return Ok(value);
    }
    let shown = cell.shown();
    match read {
        Ok(_) | Err(Bad::TooLarge) => {
            let problem = format!("`{name}` is too large: {shown}");
            Err(Problem::value(name, problem, format!("{what} go up to {}", thousands(max))))
        }
        Err(Bad::Negative) => {
            Err(Problem::value(name, format!("`{name}` is negative: {shown}"), format!("write the number of {what}, or nothing if it is not known")))
        }
        Err(Bad::NotANumber) => {
            let problem = format!("`{name}` is not a whole number of {what}: {shown}");
            Err(Problem::value(name, problem, "write digits only, without separators or units"))
        }
    }
}

/// A number of tokens.
pub(super) fn tokens(name: &str, cell: &Cell<'_>) -> Result<u32, Problem> {
    whole(name, cell, u64::from(u32::MAX), "tokens").map(|tokens| tokens as u32)
}

/// A non-negative decimal times 10^`digits`, at most `max`: a number of `what`.
pub(super) fn decimal(name: &str, cell: &Cell<'_>, digits: u32, max: u128, what: &str) -> Result<u128, Problem> {
    let read = cell.scaled(digits);
    if let Ok(value) = read
        && value <= max
    {
        return Ok(value);
    }
    let shown = cell.shown();
    match read {
        Ok(_) | Err(Bad::TooLarge) => Err(Problem::value(name, format!("`{name}` is too large: {shown}"), format!("write a number of {what}"))),
        Err(Bad::Negative) => {
            Err(Problem::value(name, format!("`{name}` is negative: {shown}"), format!("write a number of {what}, or nothing if it is not known")))
        }
        Err(Bad::NotANumber) => {
            Err(Problem::value(name, format!("`{name}` is not a number: {shown}"), format!("write a number of {what}, such as 1500 or 0.25")))
        }
    }
}

/// Yes or no.
pub(super) fn flag(name: &str, cell: &Cell<'_>) -> Result<bool, Problem> {
    match cell {
        Cell::Bool(value) => Ok(*value),
        Cell::Text(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Cell::Text(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(Problem::value(name, format!("`{name}` is neither true nor false: {}", cell.shown()), "write true, false or nothing")),
    }
}

/// A name, or any other text.
pub(super) fn text<'c>(name: &str, cell: &'c Cell<'_>) -> Result<Cow<'c, str>, Problem> {
    match cell {
        Cell::Text(text) => Ok(Cow::Borrowed(text.as_ref())),
        Cell::Whole(value) => Ok(Cow::Owned(value.to_string())),
        _ => Err(Problem::value(name, format!("`{name}` is not a text: {}", cell.shown()), "write a text, or nothing if it is not known")),
    }
}

/// Appends the block ids of a cell to `blocks`.
pub(super) fn blocks(name: &str, cell: &Cell<'_>, blocks: &mut Vec<u64>) -> Result<(), Problem> {
    const HINT: &str = "write the ids as whole numbers below 2^64, separated by single spaces, or as a list of numbers";
    match cell {
        Cell::Wholes(ids) => blocks.extend_from_slice(ids),
        Cell::Whole(id) => blocks.push(*id),
        Cell::Texts(texts) if texts.is_empty() => {}
        Cell::Text(text) => {
            for id in text.split(' ') {
                let id = id.parse().map_err(|_| Problem::value(name, format!("`{name}` holds {}, which is not a block id", quoted(id)), HINT))?;
                blocks.push(id);
            }
        }
        _ => return Err(Problem::value(name, format!("`{name}` is not a list of block ids: {}", cell.shown()), HINT)),
    }
    Ok(())
}

/// The tags in a cell, one by one.
pub(super) fn tags(name: &str, cell: &Cell<'_>, mut each: impl FnMut(&str)) -> Result<(), Problem> {
    const HINT: &str = "separate tags with `;`, or write a list of texts; a tag has no `;` inside and is not empty";
    let mut one = |tag: &str| match tag {
        "" => Err(Problem::value(name, format!("`{name}` holds an empty tag"), HINT)),
        tag if tag.contains(';') => Err(Problem::value(name, format!("the tag {} holds a `;`", quoted(tag)), HINT)),
        tag => {
            each(tag);
            Ok(())
        }
    };
    match cell {
        Cell::Text(text) => text.split(';').try_for_each(one),
        Cell::Texts(texts) => texts.iter().try_for_each(|tag| one(tag)),
        Cell::Wholes(list) if list.is_empty() => Ok(()),
        Cell::Whole(number) => one(&number.to_string()),
        _ => Err(Problem::value(name, format!("`{name}` is not a list of tags: {}", cell.shown()), HINT)),
    }
}

/// An instant, `epoch` later than the cell says.
pub(super) fn time(name: &str, cell: &Cell<'_>, clock: Clock, epoch: Time) -> Result<Time, Problem> {
    let (digits, unit) = match clock {
        Clock::Date => return date(name, cell),
        Clock::DateOrSeconds if matches!(cell, Cell::Text(text) if text.contains(':')) => return date(name, cell),
        Clock::DateOrSeconds => (9, "seconds"),
        Clock::Seconds => (9, "seconds"),
        Clock::Millis => (6, "milliseconds"),
        Clock::Micros => (3, "microseconds"),
        Clock::Nanos => (0, "nanoseconds"),
    };
    let max = u128::from(u64::MAX - epoch.0);
    let nanos = decimal(name, cell, digits, max, unit).map_err(|problem| {
        if matches!(cell.scaled(digits), Ok(_) | Err(Bad::TooLarge)) {
            let hint = format!("that is after the year 2554 in {unit}; if the unit is another one, name the column at_s, at_ms, at_us or at_ns");
            return Problem { hint, ..problem };
        }
        problem
    })?;
    Ok(Time(epoch.0 + nanos as u64))
}

fn date(name: &str, cell: &Cell<'_>) -> Result<Time, Problem> {
    const HINT: &str = "write a date and time such as 2026-11-20T14:00:00.250Z, or a number in a column named at_s, at_ms, at_us or at_ns";
    let Cell::Text(text) = cell else {
        return Err(Problem::value(name, format!("`{name}` is not a date and time: {}", cell.shown()), HINT));
    };
    let refused = |why: String| Problem::value(name, format!("`{name}` is not a date and time: {}{why}", quoted(text)), HINT);
    let has_zone = text.bytes().skip(11).any(|byte| matches!(byte, b'Z' | b'z' | b'+' | b'-'));
    let timestamp = if has_zone {
        text.parse::<jiff::Timestamp>().map_err(|error| refused(format!(" ({error})")))?
    } else {
        if !text.contains(':') {
            return Err(refused(String::new()));
        }
        let civil = text.parse::<jiff::civil::DateTime>().map_err(|error| refused(format!(" ({error})")))?;
        civil.to_zoned(jiff::tz::TimeZone::UTC).map_err(|error| refused(format!(" ({error})")))?.timestamp()
    };
    u64::try_from(timestamp.as_nanosecond()).map(Time).map_err(|_| {
        let what = format!("`{name}` is outside the years 1970 to 2554: {}", quoted(text));
        Problem::value(name, what, "gwsim counts nanoseconds from 1970-01-01T00:00:00Z in 64 bits")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, clock: Clock) -> Result<u64, String> {
        time("at", &Cell::Text(text.into()), clock, Time(0)).map(|time| time.0).map_err(|problem| problem.what)
    }

    #[test]
    fn times_are_exact_in_every_unit() {
        let expected = Ok(1_700_158_623_979_960_000);
        assert_eq!(at("2023-11-16 18:17:03.9799600", Clock::Date), expected);
        assert_eq!(at("2023-11-16T18:17:03.97996Z", Clock::Date), expected);
        assert_eq!(at("2023-11-16 19:17:03.979960+01:00", Clock::Date), expected);
        assert_eq!(at("1700158623.97996", Clock::Seconds), expected);
        assert_eq!(at("1700158623979.96", Clock::Millis), expected);
        assert_eq!(at("1700158623979960", Clock::Micros), expected);
        assert_eq!(at("1700158623979960000", Clock::Nanos), expected);
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        for text in
            ["", "now", "2023-11-16", "1700158623", "2023-02-30T00:00:00Z", "2023-11-16T25:00:00", "1969-12-31T23:59:59Z", "2555-01-01T00:00:00Z"]
        {
            assert!(at(text, Clock::Date).is_err(), "{text}");
        }
        assert!(at("-1", Clock::Seconds).unwrap_err().contains("negative"));
        assert!(at("1700158623979", Clock::Seconds).unwrap_err().contains("too large"));
        assert!(time("at_s", &Cell::Real(f64::NAN), Clock::Seconds, Time(0)).is_err());
        assert!(time("at_s", &Cell::Real(f64::INFINITY), Clock::Seconds, Time(0)).is_err());
        assert!(time("at_s", &Cell::Whole(1), Clock::Seconds, Time(u64::MAX)).is_err());
    }
}
