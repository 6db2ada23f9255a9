//! Dates and times: days or microseconds since 2000-01-01. PostgreSQL's years go from 4713 BC to 294276 (dates to 5874897), further than
//! calendar libraries go.

use crate::domain::values::time::DAY;

/// From 1970-01-01 to 2000-01-01.
const DAYS_TO_2000: i64 = 10_957;

/// `2026-01-31`, `0044-03-15 BC`, `infinity`.
pub fn date(days: i32) -> String {
    match days {
        i32::MAX => "infinity".to_owned(),
        i32::MIN => "-infinity".to_owned(),
        days => {
            let (text, before_christ) = day(i64::from(days) + DAYS_TO_2000);
            format!("{text}{before_christ}")
        }
    }
}

/// `2026-01-31T10:00:00.000` with `zone` behind it; microseconds only where there are some.
pub fn timestamp(microseconds: i64, zone: &str) -> String {
    match microseconds {
        i64::MAX => return "infinity".to_owned(),
        i64::MIN => return "-infinity".to_owned(),
        _ => {}
    }
    let (text, before_christ) = day(microseconds.div_euclid(DAY) + DAYS_TO_2000);
    let time = microseconds.rem_euclid(DAY);
    let (seconds, fraction) = (time / 1_000_000, time % 1_000_000);
    let fraction = match fraction % 1_000 {
        0 => format!("{:03}", fraction / 1_000),
        _ => format!("{fraction:06}"),
    };
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{text}T{hours:02}:{minutes:02}:{seconds:02}.{fraction}{zone}{before_christ}")
}

/// The date of a count of days since 1970-01-01 in the proleptic Gregorian calendar, and ` BC` where it is.
pub fn day(since_1970: i64) -> (String, &'static str) {
    let (year, month, day) = civil(since_1970);
    match year {
        1.. => (format!("{year:04}-{month:02}-{day:02}"), ""),
        _ => (format!("{:04}-{month:02}-{day:02}", 1 - year), " BC"),
    }
}

/// The date of a count of days since 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
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

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::day;

    #[test]
    fn days_are_those_of_the_calendar() {
        for days in (-700_000..1_000_000).step_by(37) {
            let date = NaiveDate::from_epoch_days(days).unwrap();
            assert_eq!(day(i64::from(days)), (date.to_string(), ""));
        }
        assert_eq!(day(-719_163), ("0001-12-31".to_owned(), " BC"));
    }
}
