//! Dates and times in ISO 8601 and RFC 3339, down to what a column keeps of them.

/// A date, a time of that day, and the zone it was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Days since 1970-01-01.
    pub days: i64,
    /// Microseconds since midnight, in the zone as written.
    pub micros: i64,
    /// Digits of a second that the value needs: trailing zeros do not count.
    pub digits: usize,
    /// Seconds east of UTC; `None` when no zone was written.
    pub offset: Option<i64>,
    /// It was a date and nothing else.
    pub date_only: bool,
}

/// Microseconds of a day.
pub const DAY: i64 = 86_400_000_000;

impl Moment {
    /// Reads `2024-01-31`, `2024-01-31T10:00:00.5Z`, `2024-01-31 10:00+02`; `None` for anything else, which the database may still know.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let (date, rest) = bytes.split_at_checked(10)?;
        let days = date_days(date)?;
        if rest.is_empty() {
            return Some(Self { days, micros: 0, digits: 0, offset: None, date_only: true });
        }
        let [b'T' | b't' | b' ', rest @ ..] = rest else { return None };
        let (micros, digits, zone) = time(rest)?;
        Some(Self { days, micros, digits, offset: offset(zone)?, date_only: false })
    }

    /// Microseconds since 1970 in UTC; a moment without zone is taken to be in UTC.
    pub fn utc_micros(&self) -> i64 {
        self.days * DAY + self.micros - self.offset.unwrap_or(0) * 1_000_000
    }
}

/// Reads a time of day without a zone: `10:00`, `10:00:00.25`. Microseconds since midnight and digits of a second.
pub fn time_of_day(text: &str) -> Option<(i64, usize)> {
    let (micros, digits, rest) = time(text.as_bytes())?;
    rest.is_empty().then_some((micros, digits))
}

/// The date of a count of days since 1970-01-01.
pub fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn date_days(date: &[u8]) -> Option<i64> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = date else { return None };
    let year = two(*y1, *y2)? * 100 + two(*y3, *y4)?;
    let (month, day) = (two(*m1, *m2)?, two(*d1, *d2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    (year > 0 && (1..=length).contains(&day)).then(|| days_from_civil(year, month, day))
}

/// The count of days since 1970-01-01 of a date that exists.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Microseconds, needed digits of a second, and what follows.
fn time(text: &[u8]) -> Option<(i64, usize, &[u8])> {
    let [h1, h2, b':', m1, m2, rest @ ..] = text else { return None };
    let (hour, minute) = (two(*h1, *h2)?, two(*m1, *m2)?);
    let (second, rest) = match rest {
        [b':', s1, s2, rest @ ..] => (two(*s1, *s2)?, rest),
        rest => (0, rest),
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction, rest) = match rest {
        [b'.' | b',', rest @ ..] => {
            let end = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
            if end == 0 {
                return None;
            }
            rest.split_at(end)
        }
        rest => (&[][..], rest),
    };
    let needed = fraction.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    let micros = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(6);
    let micros = micros.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    Some((((hour * 60 + minute) * 60 + second) * 1_000_000 + micros, needed, rest))
}

/// `Z`, `+02`, `+02:00`, `-0530`, or nothing.
fn offset(zone: &[u8]) -> Option<Option<i64>> {
    let (sign, hours, minutes) = match zone {
        [] => return Some(None),
        [b'Z' | b'z'] => return Some(Some(0)),
        [sign, h1, h2] => (*sign, two(*h1, *h2)?, 0),
        [sign, h1, h2, b':', m1, m2] | [sign, h1, h2, m1, m2] => (*sign, two(*h1, *h2)?, two(*m1, *m2)?),
        _ => return None,
    };
    let seconds = (hours * 60 + minutes) * 60;
    match sign {
        b'+' if hours < 16 && minutes < 60 => Some(Some(seconds)),
        b'-' if hours < 16 && minutes < 60 => Some(Some(-seconds)),
        _ => None,
    }
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    let both = tens.is_ascii_digit() && ones.is_ascii_digit();
    both.then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
}

#[cfg(test)]
mod tests {
    use super::{Moment, civil, time_of_day};

    #[test]
    fn moments_are_read_with_their_zone() {
        let utc = |text| Moment::parse(text).unwrap().utc_micros();
        assert_eq!(utc("1970-01-01T00:00:00Z"), 0);
        assert_eq!(utc("2024-02-29T12:00:00.5+02:00"), 1_709_200_800_500_000);
        assert_eq!(utc("2024-02-29 12:00:00.5+02"), 1_709_200_800_500_000);
        assert_eq!(utc("2024-02-29T10:00:00.500000"), 1_709_200_800_500_000);
        assert_eq!(utc("1969-12-31T23:59:59.999999Z"), -1);
        assert_eq!(utc("2024-02-29"), 1_709_164_800_000_000);
        assert_eq!(Moment::parse("2024-01-01T00:00:00.1234500Z").unwrap().digits, 5);
        assert_eq!(Moment::parse("2024-01-01T00:00:00.123456789Z").unwrap().digits, 9);
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
            "now",
            "2024-01-01T10:00:00 CET",
        ] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }

    #[test]
    fn days_and_dates_agree() {
        for days in (-700_000..1_000_000).step_by(37) {
            let (year, month, day) = civil(days);
            let text = format!("{year:04}-{month:02}-{day:02}");
            assert_eq!(Moment::parse(&text).map(|moment| moment.days), Some(days), "{text}");
        }
    }
}
