//! Dates and times as text: read in the forms that PostgreSQL reads, kept in one form each, and ordered by instant.

use chrono::{Duration, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Timelike};

use crate::domain::values::time::{self, POSTGRES_OFFSET_MAX};

/// Why a text is no date or time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It does not look like one.
    Syntax,
    /// It looks like one that does not exist: February 30th.
    Range,
}

/// A date and time as read.
struct Read {
    local: NaiveDateTime,
    /// The zone written, where there was one.
    zone: Option<FixedOffset>,
}

/// Where a text stands in time, in micro-seconds; the infinities at the ends.
pub(super) fn key(text: &str) -> Option<i128> {
    match text {
        "-infinity" => return Some(i128::MIN),
        "infinity" => return Some(i128::MAX),
        _ => {}
    }
    read(text).ok().map(|read| i128::from(utc(&read).and_utc().timestamp_micros()))
}

/// `2026-01-01T10:00:00.000000Z`: always six digits, so that also plain text order is right.
pub(super) fn zoned(text: &str) -> Result<String, Wrong> {
    if let Some(infinity) = infinite(text) {
        return Ok(infinity);
    }
    Ok(format!("{}Z", utc(&read(text)?).format("%Y-%m-%dT%H:%M:%S%.6f")))
}

/// `2026-01-01T10:00:00.000000`; a zone written is passed over, as PostgreSQL does.
pub(super) fn local(text: &str) -> Result<String, Wrong> {
    if let Some(infinity) = infinite(text) {
        return Ok(infinity);
    }
    Ok(read(text)?.local.format("%Y-%m-%dT%H:%M:%S%.6f").to_string())
}

/// `2026-01-01`.
pub(super) fn date(text: &str) -> Result<String, Wrong> {
    if let Some(infinity) = infinite(text) {
        return Ok(infinity);
    }
    let read = read(text)?;
    // A time of day would be lost.
    if utc(&read).time() != NaiveTime::MIN {
        return Err(Wrong::Syntax);
    }
    Ok(utc(&read).date().format("%Y-%m-%d").to_string())
}

/// Digits after the second that are not zeros at the end.
pub(super) fn second_digits(text: &str) -> usize {
    let Some((_, after)) = text.rsplit_once(':').and_then(|_| text.split_once('.')) else { return 0 };
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.trim_end_matches('0').len()
}

/// `10:00:00`, with micro-seconds when there are some; with a zone `10:00:00+02:00`.
pub(super) fn time(text: &str, with_zone: bool) -> Result<String, Wrong> {
    let (time, after) = clock(text.trim())?;
    let zone = offset(after)?;
    let digits = if time.nanosecond() == 0 { "%H:%M:%S" } else { "%H:%M:%S%.6f" };
    let text = time.format(digits).to_string();
    Ok(match (with_zone, zone) {
        (false, _) => text,
        (true, zone) => format!("{text}{}", zone.map_or_else(|| "+00:00".to_owned(), |zone| zone.to_string())),
    })
}

/// As answers show a kept time: milliseconds, or micro-seconds where there are some.
pub(super) fn shown(kept: &str) -> String {
    let (body, zone) = kept.strip_suffix('Z').map_or((kept, ""), |body| (body, "Z"));
    match body.strip_suffix("000") {
        Some(short) if body.len() == 26 => format!("{short}{zone}"),
        _ => kept.to_owned(),
    }
}

/// The time in UTC that a text says, and whether a zone was written.
pub(super) fn moment(text: &str) -> Option<(NaiveDateTime, bool)> {
    read(text).ok().map(|read| (utc(&read), read.zone.is_some()))
}

fn infinite(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    matches!(text.as_str(), "infinity" | "-infinity").then_some(text)
}

fn utc(read: &Read) -> NaiveDateTime {
    let seconds = i64::from(read.zone.map_or(0, |zone| zone.local_minus_utc()));
    read.local.checked_sub_signed(Duration::seconds(seconds)).unwrap_or(read.local)
}

fn read(text: &str) -> Result<Read, Wrong> {
    let text = text.trim();
    let (day, rest) = match text.find(['T', 't', ' ']) {
        Some(end) => (text.get(..end).unwrap_or_default(), text.get(end + 1..).unwrap_or_default().trim()),
        None => (text, ""),
    };
    let day = calendar(day)?;
    if rest.is_empty() {
        return Ok(Read { local: day.and_time(NaiveTime::MIN), zone: None });
    }
    let (time, after) = clock(rest)?;
    Ok(Read { local: day.and_time(time), zone: offset(after)? })
}

fn calendar(text: &str) -> Result<NaiveDate, Wrong> {
    let mut parts = text.split('-');
    let (Some(year), Some(month), Some(day), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(Wrong::Syntax);
    };
    let number = |text: &str, lengths: std::ops::RangeInclusive<usize>| {
        let digits = lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u32>().ok()).flatten().ok_or(Wrong::Syntax)
    };
    let (year, month, day) = (number(year, 4..=6)?, number(month, 1..=2)?, number(day, 1..=2)?);
    let year = i32::try_from(year).map_err(|_| Wrong::Range)?;
    // Years of more than four digits would break the order of texts.
    if year == 0 || year > 9999 {
        return Err(Wrong::Range);
    }
    NaiveDate::from_ymd_opt(year, month, day).ok_or(Wrong::Range)
}

/// The time at the beginning of `text`, and what follows it. Digits beyond micro-seconds are rounded.
fn clock(text: &str) -> Result<(NaiveTime, &str), Wrong> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.')).unwrap_or(text.len());
    let (clock, after) = text.split_at(end);
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let parts: Vec<u32> =
        whole
            .split(':')
            .map(|part| {
                if (1..=2).contains(&part.len()) { part.parse().map_err(|_| Wrong::Syntax) } else { Err(Wrong::Syntax) }
            })
            .collect::<Result<_, _>>()?;
    let (hour, minute, second) = match *parts.as_slice() {
        [hour, minute] => (hour, minute, 0),
        [hour, minute, second] => (hour, minute, second),
        _ => return Err(Wrong::Syntax),
    };
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Wrong::Syntax);
    }
    let digits: String = fraction.chars().chain("0000000".chars()).take(7).collect();
    let tenths: u32 = digits.parse().map_err(|_| Wrong::Syntax)?;
    let micros = (tenths + 5) / 10;
    let time = NaiveTime::from_hms_micro_opt(hour, minute, second, micros.min(999_999)).ok_or(Wrong::Range)?;
    Ok((time, after))
}

fn offset(text: &str) -> Result<Option<FixedOffset>, Wrong> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    if ["utc", "gmt"].contains(&text.to_ascii_lowercase().as_str()) {
        return Ok(FixedOffset::east_opt(0));
    }
    let seconds = time::offset(text).ok_or(Wrong::Syntax)?;
    let offset = FixedOffset::east_opt(seconds).filter(|_| seconds.abs() <= POSTGRES_OFFSET_MAX);
    offset.ok_or(Wrong::Range).map(Some)
}

#[cfg(test)]
mod tests {
    use super::{Wrong, date, key, local, shown, time, zoned};

    #[test]
    fn times_are_kept_in_utc_and_shown_with_milliseconds() {
        for (given, kept) in [
            ("2026-01-01T10:00:00Z", "2026-01-01T10:00:00.000000Z"),
            ("2026-01-01 12:00:00+02", "2026-01-01T10:00:00.000000Z"),
            ("2026-01-01T10:00:00.1234567-05:30", "2026-01-01T15:30:00.123457Z"),
            ("2026-01-01", "2026-01-01T00:00:00.000000Z"),
            ("2026-1-2 3:04", "2026-01-02T03:04:00.000000Z"),
            ("infinity", "infinity"),
        ] {
            assert_eq!(zoned(given).as_deref(), Ok(kept), "{given}");
        }
        assert_eq!(shown("2026-01-01T10:00:00.000000Z"), "2026-01-01T10:00:00.000Z");
        assert_eq!(shown("2026-01-01T10:00:00.000001Z"), "2026-01-01T10:00:00.000001Z");
        assert_eq!(local("2026-01-01T10:00:00+05:00").as_deref(), Ok("2026-01-01T10:00:00.000000"));
        assert_eq!(date("2026-01-01T00:00:00Z").as_deref(), Ok("2026-01-01"));
        assert_eq!(time("10:00", false).as_deref(), Ok("10:00:00"));
        assert_eq!(zoned("1970-01-01 00:00:00 UTC").as_deref(), Ok("1970-01-01T00:00:00.000000Z"));
    }

    #[test]
    fn what_is_no_time_says_why() {
        assert_eq!(zoned("yesterday"), Err(Wrong::Syntax));
        assert_eq!(date("2026-02-30"), Err(Wrong::Range));
        assert_eq!(zoned("2026-01-01T25:00:00Z"), Err(Wrong::Range));
        assert_eq!(key("2026-01-01"), key("2026-01-01T00:00:00Z"));
        assert!(key("2026-01-01 15:00:00") > key("2026-01-01T10:00:00.000000Z"));
    }
}
