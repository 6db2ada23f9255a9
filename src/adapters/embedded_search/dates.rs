//! Dates as Elasticsearch reads them: `strict_date_optional_time||epoch_millis`, date math, and calendar steps. Milliseconds since 1970, UTC.

use chrono::{DateTime, Datelike, Days, FixedOffset, Months, NaiveDate, NaiveTime, TimeDelta, Timelike, Utc};

use crate::domain::values::time::{self, TimeOfDay, digits};

/// Formats of a field whose first value was written with slashes.
pub(super) const SLASHED: &str = "yyyy/MM/dd HH:mm:ss||yyyy/MM/dd||epoch_millis";

/// Which end of the span that a short date (`2026-01`) or a rounding (`||/d`) means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Its first millisecond.
    First,
    /// Its last millisecond.
    Last,
}

/// A date text that is no bare number, read at its first millisecond.
pub(super) fn parse(text: &str) -> Option<i64> {
    span(text, FixedOffset::east_opt(0)?).map(|(first, _)| first)
}

/// First and last millisecond that `text` stands for. `zone` holds when the text names none.
fn span(text: &str, zone: FixedOffset) -> Option<(i64, i64)> {
    if text.contains('/') {
        return slashed(text, zone);
    }
    let (date, time) = text.split_once('T').map_or((text, None), |(date, time)| (date, Some(time)));
    let mut parts = date.splitn(3, '-');
    let year = digits(parts.next()?, 4)?;
    // A part may be missing; one that cannot be read makes the text no date.
    let mut next = || parts.next().map_or(Some(None), |part| digits(part, 2).map(Some));
    let (month, day) = (next()?, next()?);
    let start = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month.unwrap_or(1), day.unwrap_or(1))?;
    let Some(time) = time.filter(|time| !time.is_empty()) else {
        if time.is_some() && day.is_none() {
            return None;
        }
        let next = match (month, day) {
            (None, _) => start.checked_add_months(Months::new(12))?,
            (_, None) => start.checked_add_months(Months::new(1))?,
            _ => start.checked_add_days(Days::new(1))?,
        };
        return Some((moment(start, NaiveTime::MIN, zone)?, moment(next, NaiveTime::MIN, zone)? - 1));
    };
    day?;
    within(start, time, zone)
}

fn moment(date: NaiveDate, time: NaiveTime, zone: FixedOffset) -> Option<i64> {
    Some(date.and_time(time).and_utc().timestamp_millis() - i64::from(zone.local_minus_utc()) * 1000)
}

/// The first and last millisecond of a time of day with or without a zone, which ends the text.
fn within(date: NaiveDate, text: &str, zone: FixedOffset) -> Option<(i64, i64)> {
    let (clock, rest) = TimeOfDay::read(text)?;
    let zone = if rest.is_empty() { zone } else { FixedOffset::east_opt(time::offset(rest)?)? };
    let open_ms = match clock {
        TimeOfDay { fields: 1, .. } => 3_600_000,
        TimeOfDay { fields: 2, .. } => 60_000,
        TimeOfDay { digits: 0, .. } => 1_000,
        TimeOfDay { digits: ..=9, .. } => 1,
        _ => return None,
    };
    let first = moment(date, clock.time, zone)?;
    Some((first, first + open_ms - 1))
}

/// A zone by its offset or one of UTC's names: `+02:00`, `-0530`, `+02`, `Z`, `UTC`.
pub(super) fn offset(text: &str) -> Option<FixedOffset> {
    let seconds = if matches!(text, "UTC" | "GMT" | "Etc/UTC") { 0 } else { time::offset(text)? };
    FixedOffset::east_opt(seconds)
}

fn slashed(text: &str, zone: FixedOffset) -> Option<(i64, i64)> {
    let (date, time) = text.split_once(' ').map_or((text, None), |(date, time)| (date, Some(time)));
    let mut parts = date.splitn(3, '/');
    let year = i32::try_from(digits(parts.next()?, 4)?).ok()?;
    let date = NaiveDate::from_ymd_opt(year, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?)?;
    let Some(time) = time else {
        let first = moment(date, NaiveTime::MIN, zone)?;
        return Some((first, first + 86_399_999));
    };
    // A blank may stand before the zone.
    within(date, &time.replace(' ', ""), zone)
}

/// A bound as a query gives it: a date, milliseconds, or date math (`now-7d/d`, `2026-01-01||+1M`).
pub(super) fn bound(text: &str, end: End, zone: FixedOffset, now: i64) -> Option<i64> {
    if let Ok(milliseconds) = text.parse::<i64>()
        && text.len() != 4
    {
        return Some(milliseconds);
    }
    if let Some(math) = text.strip_prefix("now") {
        return apply(now, math, end, zone);
    }
    if let Some((date, math)) = text.split_once("||") {
        return apply(span(date, zone)?.0, math, end, zone);
    }
    let (first, last) = span(text, zone)?;
    Some(if end == End::First { first } else { last })
}

fn apply(start: i64, math: &str, end: End, zone: FixedOffset) -> Option<i64> {
    let mut at = start;
    let mut rest = math;
    while let Some(operation) = rest.chars().next() {
        rest = rest.get(1..)?;
        let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
        rest = rest.get(number.len()..)?;
        let unit = rest.chars().next()?;
        rest = rest.get(unit.len_utf8()..)?;
        let count: i64 = if number.is_empty() { 1 } else { number.parse().ok()? };
        let step = Step::of_unit(unit)?;
        at = match operation {
            '+' => step.add(at, count, zone)?,
            '-' => step.add(at, -count, zone)?,
            '/' if end == End::First => step.floor(at, zone)?,
            '/' => step.add(step.floor(at, zone)?, 1, zone)? - 1,
            _ => return None,
        };
    }
    Some(at)
}

/// A step of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl Step {
    fn of_unit(unit: char) -> Option<Self> {
        Some(match unit {
            's' => Self::Second,
            'm' => Self::Minute,
            'h' | 'H' => Self::Hour,
            'd' => Self::Day,
            'w' => Self::Week,
            'M' => Self::Month,
            'y' => Self::Year,
            _ => return None,
        })
    }

    /// By the name of a `calendar_interval`.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "second" | "1s" => Self::Second,
            "minute" | "1m" => Self::Minute,
            "hour" | "1h" => Self::Hour,
            "day" | "1d" => Self::Day,
            "week" | "1w" => Self::Week,
            "month" | "1M" => Self::Month,
            "quarter" | "1q" => Self::Quarter,
            "year" | "1y" => Self::Year,
            _ => return None,
        })
    }

    /// The beginning of the step that `at` lies in.
    pub(super) fn floor(self, at: i64, zone: FixedOffset) -> Option<i64> {
        let local = DateTime::<Utc>::from_timestamp_millis(at)?.with_timezone(&zone).naive_local();
        let date = local.date();
        let (date, hour, minute, second) = match self {
            Self::Second => (date, local.hour(), local.minute(), local.second()),
            Self::Minute => (date, local.hour(), local.minute(), 0),
            Self::Hour => (date, local.hour(), 0, 0),
            Self::Day => (date, 0, 0, 0),
            Self::Week => {
                let since_monday = u64::from(date.weekday().num_days_from_monday());
                (date.checked_sub_days(Days::new(since_monday))?, 0, 0, 0)
            }
            Self::Month => (date.with_day(1)?, 0, 0, 0),
            Self::Quarter => (date.with_day(1)?.with_month0(date.month0() / 3 * 3)?, 0, 0, 0),
            Self::Year => (NaiveDate::from_ymd_opt(date.year(), 1, 1)?, 0, 0, 0),
        };
        moment(date, NaiveTime::from_hms_opt(hour, minute, second)?, zone)
    }

    /// `count` steps later, or earlier when negative.
    pub(super) fn add(self, at: i64, count: i64, zone: FixedOffset) -> Option<i64> {
        let months = |each: i64| {
            let local = DateTime::<Utc>::from_timestamp_millis(at)?.with_timezone(&zone).naive_local();
            let months = Months::new(u32::try_from(count.unsigned_abs().checked_mul(each.unsigned_abs())?).ok()?);
            let moved = if count < 0 { local.checked_sub_months(months)? } else { local.checked_add_months(months)? };
            moment(moved.date(), moved.time(), zone)
        };
        let fixed = |each: i64| {
            let moved = at.checked_add(count.checked_mul(each)?)?;
            TimeDelta::try_milliseconds(moved).and(DateTime::<Utc>::from_timestamp_millis(moved)).map(|_| moved)
        };
        match self {
            Self::Second => fixed(1_000),
            Self::Minute => fixed(60_000),
            Self::Hour => fixed(3_600_000),
            Self::Day => fixed(86_400_000),
            Self::Week => fixed(7 * 86_400_000),
            Self::Month => months(1),
            Self::Quarter => months(3),
            Self::Year => months(12),
        }
    }
}

/// Milliseconds of a `fixed_interval` such as `30m`.
pub(super) fn fixed_interval(text: &str) -> Option<i64> {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    let count: i64 = digits.parse().ok()?;
    let each = match text.get(digits.len()..)? {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    count.checked_mul(each).filter(|interval| *interval > 0)
}

/// The text Elasticsearch shows for a date.
pub(super) fn show(at: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(at)
        .map_or_else(|| at.to_string(), |moment| moment.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc() -> FixedOffset {
        FixedOffset::east_opt(0).unwrap()
    }

    #[test]
    fn dates_are_read_as_elasticsearch_reads_them() {
        for (text, shown) in [
            ("2026", "2026-01-01T00:00:00.000Z"),
            ("2026-02", "2026-02-01T00:00:00.000Z"),
            ("2026-02-03", "2026-02-03T00:00:00.000Z"),
            ("2026-02-03T04:05", "2026-02-03T04:05:00.000Z"),
            ("2026-02-03T04:05:06.789123Z", "2026-02-03T04:05:06.789Z"),
            ("2026-02-03T04:05:06+02:00", "2026-02-03T02:05:06.000Z"),
            ("2026/02/03", "2026-02-03T00:00:00.000Z"),
        ] {
            assert_eq!(parse(text).map(show).as_deref(), Some(shown), "{text}");
        }
        for text in ["", "soon", "2026-13", "2026-02-30", "26-01-01", "2026-01-01 10:00", "2026-01T10:00", "1.2.3-4"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn date_math_rounds_to_the_asked_end() {
        let now = parse("2026-03-15T10:20:30Z").unwrap();
        let at = |text, end| bound(text, end, utc(), now).map(show).unwrap();
        assert_eq!(at("now-1d/d", End::First), "2026-03-14T00:00:00.000Z");
        assert_eq!(at("now/M", End::Last), "2026-03-31T23:59:59.999Z");
        assert_eq!(at("2026-01-31||+1M", End::First), "2026-02-28T00:00:00.000Z");
        assert_eq!(at("2026-01", End::Last), "2026-01-31T23:59:59.999Z");
        assert_eq!(at("1767225600000", End::First), "2026-01-01T00:00:00.000Z");
        assert_eq!(bound("now+1x", End::First, utc(), now), None);
    }
}
