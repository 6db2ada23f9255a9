//! `date_trunc`, `date_part` and `to_char` over times as they are kept: texts, in UTC.

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use rusqlite::{functions::Context, types::Value};

use super::{Answer, text, wrong};
use crate::adapters::sqlite::instants;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
/// The parts of a pattern, longer names before those they begin with.
const NAMES: [&str; 35] = [
    "SSSS", "YYYY", "IYYY", "MONTH", "HH24", "HH12", "IDDD", "YYY", "DAY", "DDD", "MON", "A.M.", "P.M.", "TZ", "YY",
    "IY", "MM", "MI", "MS", "US", "DD", "DY", "HH", "SS", "IW", "WW", "ID", "CC", "AM", "PM", "OF", "D", "W", "Q", "Y",
];
const UNITS: &str =
    "microseconds, milliseconds, second, minute, hour, day, week, month, quarter, year, decade, century, millennium";

/// The time that a text says.
pub(super) fn read(text: &str) -> Option<NaiveDateTime> {
    instants::moment(text).map(|(moment, _)| moment)
}

fn argument(context: &Context<'_>, at: usize) -> rusqlite::Result<Option<(NaiveDateTime, bool)>> {
    let Some(given) = text(context, at) else { return Ok(None) };
    match instants::moment(&given) {
        Some(moment) => Ok(Some(moment)),
        None => Err(wrong(format!("`{given}` is not a date or time"))),
    }
}

/// `month`, `months` and `MONTH` are one unit.
fn unit(given: &str) -> String {
    let lower = given.to_ascii_lowercase();
    match lower.as_str() {
        "microsecond" => "microseconds".to_owned(),
        "millisecond" => "milliseconds".to_owned(),
        "centuries" => "century".to_owned(),
        "microseconds" | "milliseconds" => lower,
        _ => lower.trim_end_matches('s').to_owned(),
    }
}

/// The beginning of the unit that a time lies in; weeks begin on Monday.
pub(super) fn date_trunc(context: &Context<'_>) -> Answer {
    let (Some(given), Some((moment, zoned))) = (text(context, 0), argument(context, 1)?) else {
        return Ok(Value::Null);
    };
    let (date, time) = (moment.date(), moment.time());
    let day = |year: i32, month: u32| NaiveDate::from_ymd_opt(year, month, 1);
    let year = date.year();
    let clock = |minute, second| NaiveTime::from_hms_opt(time.hour(), minute, second);
    let within = |kept: Option<NaiveTime>| kept.map(|time| date.and_time(time));
    let begins = |date: Option<NaiveDate>| date.map(|date| date.and_time(NaiveTime::MIN));
    let micros = time.nanosecond() / 1_000;
    let found = match unit(&given).as_str() {
        "microseconds" => Some(moment),
        "milliseconds" => within(time.with_nanosecond(micros / 1_000 * 1_000_000)),
        "second" => within(clock(time.minute(), time.second())),
        "minute" => within(clock(time.minute(), 0)),
        "hour" => within(clock(0, 0)),
        "day" => begins(Some(date)),
        "week" => begins(date.checked_sub_days(chrono::Days::new(date.weekday().num_days_from_monday().into()))),
        "month" => begins(day(year, date.month())),
        "quarter" => begins(day(year, (date.month() - 1) / 3 * 3 + 1)),
        "year" => begins(day(year, 1)),
        "decade" => begins(day(year / 10 * 10, 1)),
        "century" => begins(day((year - 1) / 100 * 100 + 1, 1)),
        "millennium" => begins(day((year - 1) / 1_000 * 1_000 + 1, 1)),
        _ => return Err(wrong(format!("date_trunc: unit `{given}` is not known; the units are {UNITS}"))),
    };
    let zone = if zoned { "Z" } else { "" };
    Ok(found.map_or(Value::Null, |found| Value::Text(format!("{}{zone}", found.format("%Y-%m-%dT%H:%M:%S%.6f")))))
}

/// One part of a time as a number.
pub(super) fn date_part(context: &Context<'_>) -> Answer {
    let (Some(given), Some((moment, _))) = (text(context, 0), argument(context, 1)?) else { return Ok(Value::Null) };
    let seconds = f64::from(moment.second() * 1_000_000 + moment.nanosecond() / 1_000) / 1e6;
    let year = moment.year();
    let weekday = moment.weekday();
    let number = match unit(&given).as_str() {
        "microseconds" => (seconds * 1e6).round(),
        "milliseconds" => seconds * 1e3,
        "second" => seconds,
        "minute" => moment.minute().into(),
        "hour" => moment.hour().into(),
        "day" => moment.day().into(),
        "dow" => weekday.num_days_from_sunday().into(),
        "isodow" => weekday.number_from_monday().into(),
        "doy" => moment.ordinal().into(),
        "week" => moment.iso_week().week().into(),
        "month" => moment.month().into(),
        "quarter" => ((moment.month() - 1) / 3 + 1).into(),
        "year" => year.into(),
        "isoyear" => moment.iso_week().year().into(),
        "decade" => (year / 10).into(),
        "century" => ((year - 1) / 100 + 1).into(),
        "millennium" => ((year - 1) / 1_000 + 1).into(),
        "epoch" => moment.and_utc().timestamp_micros() as f64 / 1e6,
        "timezone" | "timezone_hour" | "timezone_minute" => 0.0,
        _ => {
            let more = "dow, isodow, doy, isoyear, epoch";
            return Err(wrong(format!("date_part: unit `{given}` is not known; the units are {UNITS}, {more}")));
        }
    };
    // A whole number stays one in JSON.
    Ok(if number.fract() == 0.0 { Value::Integer(number as i64) } else { Value::Real(number) })
}

/// `make_date(2026, 1, 31)`.
pub(super) fn make_date(context: &Context<'_>) -> Answer {
    let (year, month, day) = (context.get::<i32>(0)?, context.get::<u32>(1)?, context.get::<u32>(2)?);
    match NaiveDate::from_ymd_opt(year, month, day).filter(|_| (1..=9999).contains(&year)) {
        Some(date) => Ok(Value::Text(date.format("%Y-%m-%d").to_string())),
        None => Err(wrong(format!("date field value out of range: {year}-{month:02}-{day:02}"))),
    }
}

/// A text by a pattern of YYYY, MM, DD and what stands between them.
pub(super) fn to_date(context: &Context<'_>) -> Answer {
    let (Some(given), Some(pattern)) = (text(context, 0), text(context, 1)) else { return Ok(Value::Null) };
    let mut rest = given.as_str();
    let mut format = pattern.to_ascii_uppercase();
    let (mut year, mut month, mut day) = (None, 1, 1);
    while let Some(first) = format.chars().next() {
        let (taken, digits) = match format.as_str() {
            pattern if pattern.starts_with("YYYY") => (4, 4),
            pattern if pattern.starts_with("MM") || pattern.starts_with("DD") => (2, 2),
            _ => (first.len_utf8(), 0),
        };
        let refused = || wrong(format!("to_date: `{given}` does not fit `{pattern}`; YYYY, MM and DD are known here"));
        if digits == 0 {
            if first.is_alphanumeric() {
                return Err(refused());
            }
            rest = rest.strip_prefix(|character: char| !character.is_alphanumeric()).unwrap_or(rest);
        } else {
            let end = rest.bytes().take(digits).take_while(u8::is_ascii_digit).count();
            let number: u32 = rest.get(..end).and_then(|text| text.parse().ok()).ok_or_else(refused)?;
            match first {
                'Y' => year = i32::try_from(number).ok(),
                'M' => month = number,
                _ => day = number,
            }
            rest = rest.get(end..).unwrap_or_default();
        }
        format.drain(..taken);
    }
    match year.and_then(|year| NaiveDate::from_ymd_opt(year, month, day)) {
        Some(date) => Ok(Value::Text(date.format("%Y-%m-%d").to_string())),
        None => Err(wrong(format!("date/time field value out of range: \"{given}\""))),
    }
}

/// A time by a pattern of to_char. Signs between its parts stand for themselves, and so does text in double quotes.
pub(super) fn written(moment: &NaiveDateTime, pattern: &str) -> rusqlite::Result<String> {
    let mut out = String::new();
    let mut rest = pattern;
    let mut fill = true;
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            let quoted = rest.get(1..).unwrap_or_default();
            let end = quoted.find('"').unwrap_or(quoted.len());
            out.push_str(quoted.get(..end).unwrap_or_default());
            rest = quoted.get(end + 1..).unwrap_or_default();
        } else if rest.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("fm")) {
            fill = false;
            rest = rest.get(2..).unwrap_or_default();
        } else if let Some((length, text)) = part(moment, rest, fill) {
            fill = true;
            out.push_str(&text);
            rest = rest.get(length..).unwrap_or_default();
            let suffix = rest.get(..2).filter(|suffix| suffix.eq_ignore_ascii_case("th"));
            if let Some(suffix) = suffix.filter(|_| text.ends_with(|last: char| last.is_ascii_digit())) {
                let ending = ordinal(&text);
                out.push_str(&if suffix == "TH" { ending.to_uppercase() } else { ending.to_owned() });
                rest = rest.get(2..).unwrap_or_default();
            }
        } else if let Some(word) = word(rest).filter(|word| *word != "T" && *word != "Z") {
            return Err(wrong(format!(
                "to_char: `{word}` is not known here in the pattern of a time; a text stands in double quotes, and the parts are {}",
                NAMES.join(", ")
            )));
        } else {
            out.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
    }
    Ok(out)
}

/// The word that a pattern begins with.
fn word(pattern: &str) -> Option<&str> {
    let end = pattern.find(|character: char| !character.is_ascii_alphanumeric()).unwrap_or(pattern.len());
    pattern.get(..end).filter(|word| word.starts_with(|first: char| first.is_ascii_alphabetic()))
}

fn ordinal(digits: &str) -> &'static str {
    let number: u32 = digits.parse().unwrap_or(0);
    match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    }
}

/// The part of a time that the pattern begins with: how long its name is, and what it says.
fn part(moment: &NaiveDateTime, pattern: &str, fill: bool) -> Option<(usize, String)> {
    let name =
        *NAMES.iter().find(|name| pattern.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)))?;
    let given = pattern.get(..name.len())?;
    let number = |value: u32, width: usize| if fill { format!("{value:0width$}") } else { value.to_string() };
    let year = moment.year().unsigned_abs();
    let micros = moment.nanosecond() / 1_000;
    let week = moment.iso_week();
    let hour = if moment.hour().is_multiple_of(12) { 12 } else { moment.hour() % 12 };
    let month = usize::try_from(moment.month0()).ok().and_then(|at| MONTHS.get(at)).copied().unwrap_or_default();
    let sunday = moment.weekday().num_days_from_sunday();
    let day = usize::try_from(sunday).ok().and_then(|at| DAYS.get(at)).copied().unwrap_or_default();
    let text = match name {
        "YYYY" => number(year, 4),
        "YYY" => number(year % 1_000, 3),
        "YY" => number(year % 100, 2),
        "Y" => number(year % 10, 1),
        "IYYY" => number(week.year().unsigned_abs(), 4),
        "IY" => number(week.year().unsigned_abs() % 100, 2),
        "CC" => number((year.max(1) - 1) / 100 + 1, 2),
        "Q" => number((moment.month() - 1) / 3 + 1, 1),
        "MM" => number(moment.month(), 2),
        "MONTH" => cased(given, month, if fill { 9 } else { 0 }),
        "MON" => cased(given, month.get(..3)?, 0),
        "IW" => number(week.week(), 2),
        "WW" => number((moment.ordinal() - 1) / 7 + 1, 2),
        "W" => number((moment.day() - 1) / 7 + 1, 1),
        "DDD" => number(moment.ordinal(), 3),
        "IDDD" => number((week.week() - 1) * 7 + moment.weekday().number_from_monday(), 3),
        "DD" => number(moment.day(), 2),
        "D" => number(sunday + 1, 1),
        "ID" => number(moment.weekday().number_from_monday(), 1),
        "DAY" => cased(given, day, if fill { 9 } else { 0 }),
        "DY" => cased(given, day.get(..3)?, 0),
        "HH24" => number(moment.hour(), 2),
        "HH12" | "HH" => number(hour, 2),
        "MI" => number(moment.minute(), 2),
        "SS" => number(moment.second(), 2),
        "SSSS" => moment.num_seconds_from_midnight().to_string(),
        "MS" => number(micros / 1_000, 3),
        "US" => number(micros, 6),
        "AM" | "PM" => cased(given, if moment.hour() < 12 { "Am" } else { "Pm" }, 0),
        "A.M." | "P.M." => cased(given, if moment.hour() < 12 { "A.m." } else { "P.m." }, 0),
        "TZ" => if given == "tz" { "utc" } else { "UTC" }.to_owned(),
        _ => "+00".to_owned(),
    };
    Some((name.len(), text))
}

/// A name as the pattern is written: `MONTH`, `Month` or `month`.
fn cased(given: &str, name: &str, width: usize) -> String {
    let second = given.chars().filter(|character| character.is_alphabetic()).nth(1);
    let text = match (given.chars().next(), second) {
        (Some(first), _) if first.is_lowercase() => name.to_lowercase(),
        (_, Some(second)) if second.is_lowercase() => name.to_owned(),
        _ => name.to_uppercase(),
    };
    format!("{text:width$}")
}

#[cfg(test)]
mod tests {
    use crate::adapters::sqlite::functions::tests::{assert_answers, of};

    #[test]
    fn times_are_truncated_and_taken_apart() {
        let moment = "'2026-08-13T17:45:12.345678Z'";
        for (unit, begins, part) in [
            ("second", "2026-08-13T17:45:12.000000Z", "12.345678"),
            ("milliseconds", "2026-08-13T17:45:12.345000Z", "12345.678"),
            ("minute", "2026-08-13T17:45:00.000000Z", "45"),
            ("hour", "2026-08-13T17:00:00.000000Z", "17"),
            ("day", "2026-08-13T00:00:00.000000Z", "13"),
            ("week", "2026-08-10T00:00:00.000000Z", "33"),
            ("month", "2026-08-01T00:00:00.000000Z", "8"),
            ("quarter", "2026-07-01T00:00:00.000000Z", "3"),
            ("YEAR", "2026-01-01T00:00:00.000000Z", "2026"),
            ("century", "2001-01-01T00:00:00.000000Z", "21"),
        ] {
            assert_eq!(of(&format!("date_trunc('{unit}', {moment})")), begins, "{unit}");
            assert_eq!(of(&format!("date_part('{unit}', {moment})")), part, "{unit}");
        }
        assert_answers(&[
            ("date_part('dow', '2026-08-16')", "0"),
            ("date_part('isodow', '2026-08-16')", "7"),
            ("date_part('doy', '2026-02-01')", "32"),
            ("date_part('epoch', '1970-01-02')", "86400"),
            ("date_trunc('month', '2026-08-13')", "2026-08-01T00:00:00.000000"),
            ("date_trunc('month', null)", "null"),
            ("date_trunc('month', 'soon')", "`soon` is not a date or time"),
            ("make_date(2026, 2, 28)", "2026-02-28"),
            ("make_date(2026, 2, 30)", "date field value out of range: 2026-02-30"),
            ("to_date('31.12.2026', 'DD.MM.YYYY')", "2026-12-31"),
            ("to_date('20261231', 'YYYYMMDD')", "2026-12-31"),
        ]);
    }

    #[test]
    fn times_are_written_by_the_pattern() {
        for (pattern, wanted) in [
            ("YYYY-MM-DD HH24:MI:SS", "2026-08-03 17:05:09"),
            ("DD Mon YYYY, HH12:MI am", "03 Aug 2026, 05:05 pm"),
            ("FMDD. FMMonth YYYY", "3. August 2026"),
            ("Month|", "August   |"),
            ("MONTH", "AUGUST   "),
            ("FMDay, Dy dy DY", "Monday, Mon mon MON"),
            ("IYYY-\"W\"IW-ID", "2026-W32-1"),
            ("Q MS US", "3 007 007008"),
            ("YYYY\"Q\"Q", "2026Q3"),
            ("DDD D FMDDth", "215 2 3rd"),
            ("YYYY-MM-DD T HH24:MIZ", "2026-08-03 T 17:05Z"),
            ("YYYY-MM-DD\"T\"HH24:MI:SS.MS", "2026-08-03T17:05:09.007"),
            ("€ YY", "€ 26"),
        ] {
            assert_eq!(of(&format!("to_char('2026-08-03T17:05:09.007008Z', '{pattern}')")), wanted, "{pattern}");
        }
        for (pattern, unknown) in [
            ("TMMonth", "TMMonth"),
            ("DD RM", "RM"),
            ("DDTHH24", "H24"),
            ("SS.FF3", "FF3"),
            ("J", "J"),
            ("FMonth", "onth"),
            ("BC", "BC"),
        ] {
            let refused = of(&format!("to_char('2026-08-03', '{pattern}')"));
            assert!(refused.starts_with(&format!("to_char: `{unknown}` is not known here")), "{pattern}: {refused}");
        }
    }
}
