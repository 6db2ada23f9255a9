//! Dates and times as text, read by the calendar of chrono. What several stores read alike is here; what only one of them takes
//! (PostgreSQL's `2024-1-1 3:04`, Elasticsearch's `2024-01`) is read where it is taken.

use chrono::{NaiveDate, NaiveTime, Timelike};

/// Microseconds of a day.
pub const DAY: i64 = 86_400_000_000;

/// Zones further from UTC than this are none to PostgreSQL, in seconds.
pub const POSTGRES_OFFSET_MAX: i32 = 16 * 3600 - 1;

/// A time of day, and how much of it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeOfDay {
    /// Nanoseconds beyond the ninth digit are cut off.
    pub time: NaiveTime,
    /// 1 for an hour alone, 2 with minutes, 3 with seconds.
    pub fields: usize,
    /// Digits of a second as written; 0 without a fraction.
    pub digits: usize,
    /// Digits of a second that the value needs: trailing zeros do not count.
    pub digits_needed: usize,
}

impl TimeOfDay {
    /// Reads `10`, `10:00`, `10:00:00`, `10:00:00.25` or `10:00:00,25` at the beginning of `text`, and what follows it.
    pub fn read(text: &str) -> Option<(Self, &str)> {
        let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, ':' | '.' | ','))).unwrap_or(text.len());
        let (clock, rest) = text.split_at_checked(end)?;
        let (whole, fraction) = match clock.split_once(['.', ',']) {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (clock, None),
        };
        let mut parts = whole.split(':');
        let hour = digits(parts.next()?, 2)?;
        let mut next = || parts.next().map_or(Some(0), |part| digits(part, 2));
        let (minute, second) = (next()?, next()?);
        let fields = 1 + whole.matches(':').count();
        let fraction_fits =
            |fraction: &str| fields == 3 && !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
        if fields > 3 || !fraction.is_none_or(fraction_fits) {
            return None;
        }
        let fraction = fraction.unwrap_or_default();
        let nine = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
        let nanoseconds = nine.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
        let time = NaiveTime::from_hms_nano_opt(hour, minute, second, nanoseconds)?;
        let digits_needed = fraction.trim_end_matches('0').len();
        Some((Self { time, fields, digits: fraction.len(), digits_needed }, rest))
    }

    /// Microseconds since midnight.
    pub fn micros(&self) -> i64 {
        i64::from(self.time.num_seconds_from_midnight()) * 1_000_000 + i64::from(self.time.nanosecond() / 1_000)
    }
}

/// Reads `2024-01-31`, `2024-01-31T10:00:00.5Z`, `2024-01-31 10:00+02`, without a zone in UTC: microseconds since 1970 in UTC, and the digits
/// of a second that the value needs. `None` for anything else, which the database may still know.
pub fn moment(text: &str) -> Option<(i64, usize)> {
    let (day, rest) = text.split_at_checked(10)?;
    let mut parts = day.split('-');
    let mut next = |length| parts.next().and_then(|part| digits(part, length));
    let (year, month, day) = (next(4)?, next(2)?, next(2)?);
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day).filter(|_| year > 0)?;
    let midnight = date.and_time(NaiveTime::MIN).and_utc().timestamp_micros();
    if rest.is_empty() {
        return Some((midnight, 0));
    }
    let (clock, zone) = TimeOfDay::read(rest.strip_prefix(['T', 't', ' '])?).filter(|(clock, _)| clock.fields > 1)?;
    let offset = if zone.is_empty() { 0 } else { offset(zone).filter(|offset| offset.abs() <= POSTGRES_OFFSET_MAX)? };
    Some((midnight + clock.micros() - i64::from(offset) * 1_000_000, clock.digits_needed))
}

/// Reads a time of day without a zone, `10:00` or `10:00:00.25`: microseconds since midnight, and the digits of a second that it needs.
pub fn time_of_day(text: &str) -> Option<(i64, usize)> {
    let (clock, rest) = TimeOfDay::read(text)?;
    (rest.is_empty() && clock.fields > 1).then(|| (clock.micros(), clock.digits_needed))
}

/// Reads `Z`, `+2`, `+02`, `+02:00` or `-0530`: seconds east of UTC.
pub fn offset(text: &str) -> Option<i32> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let (sign, zone) = match text.split_at_checked(1)? {
        ("+", zone) => (1, zone),
        ("-", zone) => (-1, zone),
        _ => return None,
    };
    let (hours, minutes) = match (zone.len(), zone.split_once(':')) {
        (length @ (1 | 2), None) => (digits(zone, length)?, 0),
        (4, None) => (digits(zone.get(..2)?, 2)?, digits(zone.get(2..)?, 2)?),
        (5, Some((hours, minutes))) => (digits(hours, 2)?, digits(minutes, 2)?),
        _ => return None,
    };
    let seconds = i32::try_from((hours * 60 + minutes) * 60).ok()?;
    (minutes < 60).then_some(sign * seconds)
}

/// A number of exactly so many digits.
pub fn digits(text: &str, length: usize) -> Option<u32> {
    (text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::{moment, time_of_day};

    #[test]
    fn moments_are_read_with_their_zone() {
        let utc = |text| moment(text).unwrap().0;
        assert_eq!(utc("1970-01-01T00:00:00Z"), 0);
        assert_eq!(utc("2024-02-29T12:00:00.5+02:00"), 1_709_200_800_500_000);
        assert_eq!(utc("2024-02-29 12:00:00.5+02"), 1_709_200_800_500_000);
        assert_eq!(utc("2024-02-29T10:00:00.500000"), 1_709_200_800_500_000);
        assert_eq!(utc("1969-12-31T23:59:59.999999Z"), -1);
        assert_eq!(utc("2024-02-29"), 1_709_164_800_000_000);
        assert_eq!(moment("2024-01-01T00:00:00.1234500Z").unwrap().1, 5);
        assert_eq!(moment("2024-01-01T00:00:00.123456789Z").unwrap().1, 9);
        assert_eq!(time_of_day("10:30"), Some((37_800_000_000, 0)));
    }

    #[test]
    fn what_does_not_exist_is_none() {
        for text in [
            "2023-02-29",
            "2024-13-01",
            "2024-1-1",
            "0000-01-01",
            "2024-01-01T24:00:00Z",
            "2024-01-01T",
            "2024-01-01T10",
            "2024-01-01T10:00+16",
            "now",
            "2024-01-01T10:00:00 CET",
        ] {
            assert_eq!(moment(text), None, "{text}");
        }
    }
}
