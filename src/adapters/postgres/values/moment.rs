//! Dates and times: days or microseconds since 2000-01-01. PostgreSQL's years go from 4713 BC to 294276 (dates to 5874897), further than
//! calendar libraries go.

use crate::domain::sql::moment::{DAY, civil};

/// From 1970-01-01 to 2000-01-01.
const DAYS_TO_2000: i64 = 10_957;

/// `2026-01-31`, `0044-03-15 BC`, `infinity`.
pub fn date(days: i32) -> String {
    match days {
        i32::MAX => "infinity".to_owned(),
        i32::MIN => "-infinity".to_owned(),
        days => {
            let (text, before_christ) = day(i64::from(days));
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
    let (text, before_christ) = day(microseconds.div_euclid(DAY));
    let time = microseconds.rem_euclid(DAY);
    let (seconds, fraction) = (time / 1_000_000, time % 1_000_000);
    let fraction = match fraction % 1_000 {
        0 => format!("{:03}", fraction / 1_000),
        _ => format!("{fraction:06}"),
    };
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{text}T{hours:02}:{minutes:02}:{seconds:02}.{fraction}{zone}{before_christ}")
}

/// The civil date of a day since 2000-01-01 in the proleptic Gregorian calendar, and ` BC` where it is.
fn day(since_2000: i64) -> (String, &'static str) {
    let (year, month, day) = civil(since_2000 + DAYS_TO_2000);
    match year {
        1.. => (format!("{year:04}-{month:02}-{day:02}"), ""),
        _ => (format!("{:04}-{month:02}-{day:02}", 1 - year), " BC"),
    }
}
