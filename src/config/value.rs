//! How the text of a setting becomes a value, and what is said when it can't.

use std::time::Duration;

use super::setting::{Kind, Setting};
use crate::{
    domain::names::nearest,
    error::{Code, Error},
};

/// A switch.
///
/// # Errors
/// `invalid`, saying what is accepted.
pub fn switch(name: &str, text: &str) -> Result<bool, Error> {
    const WORDS: [&str; 8] = ["true", "false", "yes", "no", "on", "off", "1", "0"];
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(refused(name, text, "true or false (also yes, no, on, off, 1, 0)").did_you_mean(nearest(text, WORDS))),
    }
}

/// A whole number within bounds; `_` may separate digits.
///
/// # Errors
/// `invalid`, saying what is accepted.
pub fn number(name: &str, text: &str, least: u64, most: u64) -> Result<u64, Error> {
    let read = text.trim().replace('_', "").parse().ok();
    read.filter(|number| (least..=most).contains(number))
        .ok_or_else(|| refused(name, text, &format!("a whole number from {least} to {most}")))
}

/// A length of time: a number of milliseconds, or a number with `ms`, `s` or `m`.
///
/// # Errors
/// `invalid`, saying what is accepted.
pub fn duration(name: &str, text: &str, least: u64, most: u64) -> Result<Duration, Error> {
    let ms = scaled(text, &[("ms", 1), ("s", 1_000), ("m", 60_000)], 1);
    ms.filter(|ms| (least..=most).contains(ms))
        .map(Duration::from_millis)
        .ok_or_else(|| refused(name, text, &format!("milliseconds from {least} to {most} (also like `20s`)")))
}

/// A size: a number of bytes, or a number with `KiB`, `MiB` or `GiB`.
///
/// # Errors
/// `invalid`, saying what is accepted.
pub fn bytes(name: &str, text: &str, least: u64, most: u64) -> Result<u64, Error> {
    let units = [("kib", 1 << 10), ("mib", 1 << 20), ("gib", 1 << 30), ("kb", 1_000), ("mb", 1_000_000), ("b", 1)];
    scaled(text, &units, 1)
        .filter(|bytes| (least..=most).contains(bytes))
        .ok_or_else(|| refused(name, text, &format!("bytes from {least} to {most} (also like `16MiB`)")))
}

fn scaled(text: &str, units: &[(&str, u64)], plain: u64) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let found = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (digits, factor) = found.unwrap_or((&text, plain));
    digits.trim().replace('_', "").parse::<u64>().ok()?.checked_mul(factor)
}

/// One of a few words.
///
/// # Errors
/// `invalid`, with near words.
pub fn choice(name: &str, text: &str, words: &[&'static str]) -> Result<&'static str, Error> {
    let given = text.trim();
    words
        .iter()
        .find(|word| word.eq_ignore_ascii_case(given))
        .copied()
        .ok_or_else(|| refused(name, text, &words.join(", ")).did_you_mean(nearest(given, words.iter().copied())))
}

/// Words separated by commas.
pub fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Words of a fixed set, separated by commas.
///
/// # Errors
/// `invalid`, with near words.
pub fn words(name: &str, text: &str, known: &[&'static str]) -> Result<Vec<&'static str>, Error> {
    list(text).iter().map(|word| choice(name, word, known)).collect()
}

/// A filter for the log: a level, or `target=level` separated by commas.
///
/// # Errors
/// `invalid`, with near levels.
pub fn log_filter(name: &str, text: &str) -> Result<String, Error> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let accepted = "off, error, warn, info, debug or trace, for all or as `target=level`, separated by commas, e.g. warn,callboard=debug";
    for part in list(text) {
        let level = part.rsplit_once('=').map_or(part.as_str(), |(_, level)| level);
        if !LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level.trim())) {
            return Err(refused(name, &part, accepted).did_you_mean(nearest(level, LEVELS)));
        }
    }
    Ok(text.trim().to_owned())
}

/// Holds a value to the kind of its setting, so that what is not used now is not wrong later.
///
/// # Errors
/// `invalid`, saying what is accepted.
pub fn check(setting: &Setting, name: &str, text: &str) -> Result<(), Error> {
    match setting.kind {
        Kind::Switch => switch(name, text).map(drop),
        Kind::Number { least, most } => number(name, text, least, most).map(drop),
        Kind::Duration { least, most } => duration(name, text, least, most).map(drop),
        Kind::Bytes { least, most } => bytes(name, text, least, most).map(drop),
        Kind::Choice(known) => choice(name, text, known).map(drop),
        Kind::Words(known) => words(name, text, known).map(drop),
        Kind::LogFilter => log_filter(name, text).map(drop),
        Kind::Text | Kind::Url | Kind::Path | Kind::List | Kind::Names => Ok(()),
    }
}

/// A value that cannot be read.
pub fn refused(name: &str, text: &str, accepted: &str) -> Error {
    let shown: String = crate::redaction::redact(text).chars().take(80).collect();
    Error::new(Code::Invalid, format!("`{name}` is `{shown}`; it takes {accepted}")).argument(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_never_guessed() {
        assert!(switch("X", "TRUE").is_ok_and(|on| on) && switch("X", "off").is_ok_and(|on| !on));
        let error = switch("CALLBOARD_READ_ONLY", "ture").unwrap_err();
        assert_eq!(
            error.message,
            "`CALLBOARD_READ_ONLY` is `ture`; it takes true or false (also yes, no, on, off, 1, 0)"
        );
        assert_eq!(error.did_you_mean, ["true"]);
    }

    #[test]
    fn units_and_bounds_are_held() {
        assert_eq!(duration("X", "20s", 1, 60_000).unwrap(), Duration::from_secs(20));
        assert_eq!(duration("X", "250", 1, 60_000).unwrap(), Duration::from_millis(250));
        assert_eq!(bytes("X", "16MiB", 1, 1 << 30).unwrap(), 16 << 20);
        for wrong in ["", "-1", "1e3", "ten", "99999999999999999999", "0", "61s"] {
            assert!(duration("X", wrong, 1, 60_000).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_word_that_is_no_level_is_no_filter() {
        assert!(log_filter("CALLBOARD_LOG", "warn,callboard=debug,rmcp=off").is_ok());
        assert_eq!(log_filter("CALLBOARD_LOG", "debgu").unwrap_err().did_you_mean, ["debug"]);
    }
}
