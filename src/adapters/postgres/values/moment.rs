//! Dates and times: days or microseconds since 2000-01-01. PostgreSQL's years go from 4713 BC to 294276 (dates to 5874897), further than
//! calendar libraries go.

const DAY: i64 = 86_400_000_000;

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
    // Days since 0000-03-01, in eras of 400 years: the leap day is the last of a year that begins in March.
    let days = since_2000 + 730_425;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    match year {
        1.. => (format!("{year:04}-{month:02}-{day:02}"), ""),
        _ => (format!("{:04}-{month:02}-{day:02}", 1 - year), " BC"),
    }
}
