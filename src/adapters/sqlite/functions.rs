//! Functions that PostgreSQL has and SQLite has not, with PostgreSQL's behaviour: texts, choices, identifiers. Dates, numbers,
//! patterns and statistics are in `functions/`.

mod dates;
mod math;
mod numbers;
mod patterns;
mod statistics;

use std::cell::Cell;

use md5::{Digest, Md5};
use rusqlite::{
    Connection,
    functions::{Context, FunctionFlags},
    types::{Value, ValueRef},
};

use super::instants;
use crate::{
    clock::{Clock, SystemClock},
    domain::values::decimal::Decimal,
    ids,
};

/// What is known to a connection beyond SQLite's own functions.
pub(super) const NAMES: [&str; 42] = [
    "now",
    "transaction_timestamp",
    "statement_timestamp",
    "date_trunc",
    "date_part",
    "to_char",
    "to_date",
    "make_date",
    "greatest",
    "least",
    "left",
    "right",
    "split_part",
    "gen_random_uuid",
    "lpad",
    "rpad",
    "repeat",
    "reverse",
    "initcap",
    "strpos",
    "starts_with",
    "btrim",
    "char_length",
    "character_length",
    "div",
    "bool_and",
    "bool_or",
    "cbrt",
    "every",
    "ascii",
    "chr",
    "md5",
    "regexp",
    "regexp_like",
    "regexp_replace",
    "regexp_substr",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "var_pop",
    "var_samp",
    "variance",
];

/// Bytes of a text that a function may make.
const TEXT_BYTES_MAX: usize = 16 << 20;

thread_local! {
    /// When the statement that this thread runs began, in micro-seconds since 1970.
    static BEGAN: Cell<i64> = const { Cell::new(0) };
}

/// A statement begins: `now()` is one moment to its end.
pub(super) fn begin() {
    BEGAN.set(SystemClock.now().0);
}

type Answer = rusqlite::Result<Value>;
type Function = fn(&Context<'_>) -> Answer;

/// What PostgreSQL answers with an error.
fn wrong(text: impl Into<String>) -> rusqlite::Error {
    rusqlite::Error::UserFunctionError(text.into().into())
}

/// Makes them known to a connection.
pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let varying = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_INNOCUOUS;
    let fixed = varying | FunctionFlags::SQLITE_DETERMINISTIC;
    for name in ["now", "transaction_timestamp", "statement_timestamp"] {
        connection.create_scalar_function(name, 0, varying, |_| Ok(now()))?;
    }
    connection.create_scalar_function("gen_random_uuid", 0, varying, |_| random_uuid())?;
    let functions: [(&str, i32, Function); 27] = [
        ("date_trunc", 2, dates::date_trunc),
        ("date_part", 2, dates::date_part),
        ("to_char", 2, to_char),
        ("to_date", 2, dates::to_date),
        ("make_date", 3, dates::make_date),
        ("greatest", -1, |context| Ok(chosen(context, std::cmp::Ordering::Greater))),
        ("least", -1, |context| Ok(chosen(context, std::cmp::Ordering::Less))),
        ("left", 2, |context| of_text(context, |text| Ok(left(text, context.get(1)?)))),
        ("right", 2, |context| of_text(context, |text| Ok(right(text, context.get(1)?)))),
        ("split_part", 3, split_part),
        ("lpad", -1, |context| padded(context, true)),
        ("rpad", -1, |context| padded(context, false)),
        ("repeat", 2, repeat),
        ("reverse", 1, |context| of_text(context, |text| Ok(text.chars().rev().collect()))),
        ("initcap", 1, |context| of_text(context, |text| Ok(initcap(text)))),
        ("btrim", -1, btrim),
        ("strpos", 2, strpos),
        ("starts_with", 2, |context| two(context, |text, part| Value::Integer(text.starts_with(part).into()))),
        ("char_length", 1, length),
        ("character_length", 1, length),
        ("div", 2, numbers::div),
        ("md5", 1, md5),
        ("regexp", 2, patterns::regexp),
        ("regexp_like", -1, patterns::like),
        ("regexp_replace", -1, patterns::replace),
        ("regexp_substr", 2, patterns::substr),
        ("ascii", 1, |context| {
            Ok(text(context, 0)
                .map_or(Value::Null, |t| Value::Integer(t.chars().next().map_or(0, |c| u32::from(c).into()))))
        }),
    ];
    for (name, arguments, function) in functions {
        connection.create_scalar_function(name, arguments, fixed, move |context| {
            // Nothing follows from nothing, but for the choices, which pass it over.
            let choice = name == "greatest" || name == "least";
            if !choice && (0..context.len()).any(|at| context.get_raw(at) == ValueRef::Null) {
                return Ok(Value::Null);
            }
            function(context)
        })?;
    }
    math::register(connection, fixed)?;
    statistics::register(connection, fixed)?;
    for name in ["bool_and", "every"] {
        connection.create_aggregate_function(name, 1, fixed, numbers::Every(true))?;
    }
    connection.create_aggregate_function("bool_or", 1, fixed, numbers::Every(false))?;
    connection.create_scalar_function("chr", 1, fixed, |context| {
        let number = context.get::<Option<u32>>(0)?;
        Ok(number.and_then(char::from_u32).map(String::from))
    })
}

fn now() -> Value {
    let micros = match BEGAN.get() {
        0 => SystemClock.now().0,
        micros => micros,
    };
    let moment = chrono::DateTime::from_timestamp_micros(micros).unwrap_or_default();
    Value::Text(moment.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
}

fn random_uuid() -> Answer {
    let digits = ids::secret().map_err(|error| wrong(error.message.clone()))?;
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    let variant = match digits.as_bytes().get(16) {
        Some(b'0'..=b'3') => '8',
        Some(b'4'..=b'7') => '9',
        Some(b'8' | b'9' | b'a' | b'b') => 'a',
        _ => 'b',
    };
    let text = format!("{}-{}-4{}-{variant}{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32));
    Ok(Value::Text(text))
}

/// An argument as text; none for NULL.
fn text(context: &Context<'_>, at: usize) -> Option<String> {
    Some(context.get_raw(at)).filter(|value| *value != ValueRef::Null).map(plain)
}

fn plain(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(integer) => integer.to_string(),
        ValueRef::Real(real) => real.to_string(),
        ValueRef::Text(text) | ValueRef::Blob(text) => {
            String::from_utf8_lossy(text).trim_end_matches(super::decimal::MARK).to_owned()
        }
    }
}

/// The value itself; the driver's own conversion refuses what is not UTF-8.
fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(integer) => Value::Integer(integer),
        ValueRef::Real(real) => Value::Real(real),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}

fn of_text(context: &Context<'_>, work: impl FnOnce(&str) -> rusqlite::Result<String>) -> Answer {
    text(context, 0).map_or(Ok(Value::Null), |text| Ok(Value::Text(work(&text)?)))
}

fn two(context: &Context<'_>, work: impl FnOnce(&str, &str) -> Value) -> Answer {
    Ok(text(context, 0).zip(text(context, 1)).map_or(Value::Null, |(a, b)| work(&a, &b)))
}

/// The largest or smallest argument that is not NULL: numbers by number, times by instant, else by text.
fn chosen(context: &Context<'_>, wanted: std::cmp::Ordering) -> Value {
    let mut best: Option<ValueRef<'_>> = None;
    for at in 0..context.len() {
        let value = context.get_raw(at);
        if value != ValueRef::Null && best.is_none_or(|best| compare(value, best) == wanted) {
            best = Some(value);
        }
    }
    best.map_or(Value::Null, owned)
}

fn compare(a: ValueRef<'_>, b: ValueRef<'_>) -> std::cmp::Ordering {
    let decimal = |value: ValueRef<'_>| match value {
        ValueRef::Text(text) if !text.ends_with(super::decimal::MARK.to_string().as_bytes()) => None,
        value => Decimal::read(value),
    };
    if let (Some(a), Some(b)) = (decimal(a), decimal(b)) {
        return a.cmp(&b);
    }
    let (a, b) = (plain(a), plain(b));
    match (instants::key(&a), instants::key(&b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.cmp(&b),
    }
}

/// The first characters; all but so many of the last when negative.
fn left(text: &str, count: i64) -> String {
    text.chars().take(kept(text, count)).collect()
}

/// The last characters; all but so many of the first when negative.
fn right(text: &str, count: i64) -> String {
    let characters = text.chars().count();
    text.chars().skip(characters - kept(text, count)).collect()
}

fn kept(text: &str, count: i64) -> usize {
    let characters = text.chars().count();
    let most = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if count < 0 { characters.saturating_sub(most) } else { most.min(characters) }
}

/// The nth field, counted from the end when negative.
fn split_part(context: &Context<'_>) -> Answer {
    let (Some(text), Some(separator), field) = (text(context, 0), text(context, 1), context.get::<i64>(2)?) else {
        return Ok(Value::Null);
    };
    if field == 0 {
        return Err(wrong("field position must not be zero"));
    }
    let fields: Vec<&str> = if separator.is_empty() { vec![&text] } else { text.split(&separator).collect() };
    let place = usize::try_from(field.unsigned_abs()).unwrap_or(usize::MAX);
    let place = if field > 0 { Some(place - 1) } else { fields.len().checked_sub(place) };
    Ok(Value::Text(place.and_then(|place| fields.get(place)).copied().unwrap_or_default().to_owned()))
}

fn padded(context: &Context<'_>, before: bool) -> Answer {
    if !(2..=3).contains(&context.len()) {
        return Err(wrong("lpad and rpad take a text, a length and the text to fill with"));
    }
    let length = usize::try_from(context.get::<i64>(1)?.max(0)).unwrap_or(usize::MAX);
    if length > TEXT_BYTES_MAX / 4 {
        return Err(wrong("requested length too large"));
    }
    let fill = if context.len() == 3 { text(context, 2).unwrap_or_default() } else { " ".to_owned() };
    of_text(context, |text| {
        let missing = length.saturating_sub(text.chars().count());
        let filling: String = fill.chars().cycle().take(missing).collect();
        let text: String = text.chars().take(length).collect();
        Ok(if before { filling + &text } else { text + &filling })
    })
}

fn repeat(context: &Context<'_>) -> Answer {
    let times = usize::try_from(context.get::<i64>(1)?.max(0)).unwrap_or(usize::MAX);
    of_text(context, |text| {
        if text.len().checked_mul(times).is_none_or(|bytes| bytes > TEXT_BYTES_MAX) {
            return Err(wrong("requested length too large"));
        }
        Ok(text.repeat(times))
    })
}

fn initcap(text: &str) -> String {
    let mut inside = false;
    let mut out = String::new();
    for character in text.chars() {
        if inside {
            out.extend(character.to_lowercase());
        } else {
            out.extend(character.to_uppercase());
        }
        inside = character.is_alphanumeric();
    }
    out
}

fn btrim(context: &Context<'_>) -> Answer {
    if !(1..=2).contains(&context.len()) {
        return Err(wrong("btrim takes a text and the characters to take away"));
    }
    let given = if context.len() == 2 { text(context, 1).unwrap_or_default() } else { " ".to_owned() };
    of_text(context, |text| Ok(text.trim_matches(|character| given.contains(character)).to_owned()))
}

fn strpos(context: &Context<'_>) -> Answer {
    two(context, |text, part| {
        let before = text.find(part).and_then(|at| text.get(..at));
        Value::Integer(before.map_or(0, |before| i64::try_from(before.chars().count()).unwrap_or(0) + 1))
    })
}

fn length(context: &Context<'_>) -> Answer {
    Ok(text(context, 0).map_or(Value::Null, |text| Value::Integer(text.chars().count() as i64)))
}

/// In hexadecimal digits.
fn md5(context: &Context<'_>) -> Answer {
    let digest = match context.get_raw(0) {
        ValueRef::Blob(bytes) => Md5::digest(bytes),
        other => Md5::digest(plain(other)),
    };
    Ok(Value::Text(digest.iter().map(|byte| format!("{byte:02x}")).collect()))
}

/// A date where it is one, else a number.
fn to_char(context: &Context<'_>) -> Answer {
    let (Some(value), Some(pattern)) = (text(context, 0), text(context, 1)) else { return Ok(Value::Null) };
    match dates::read(&value) {
        Some(moment) => dates::written(&moment, &pattern).map(Value::Text),
        None => match Decimal::meant(context.get_raw(0)) {
            Some(number) => numbers::written(&number, &pattern).map(Value::Text),
            None => Err(wrong(format!("to_char: `{value}` is neither a time nor a number"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::{Connection, types::Value};

    use super::register;

    /// The answer as text; an error is its words.
    pub(super) fn of(sql: &str) -> String {
        let connection = Connection::open_in_memory().unwrap();
        register(&connection).unwrap();
        match connection.query_row(&format!("select {sql}"), [], |row| row.get::<_, Value>(0)) {
            Ok(Value::Null) => "null".to_owned(),
            Ok(Value::Integer(integer)) => integer.to_string(),
            Ok(Value::Real(real)) => real.to_string(),
            Ok(Value::Text(text)) => text,
            Ok(Value::Blob(_)) => "bytes".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    pub(super) fn assert_answers(cases: &[(&str, &str)]) {
        for (sql, wanted) in cases {
            assert_eq!(of(sql), *wanted, "{sql}");
        }
    }

    #[test]
    fn texts_are_cut_as_postgresql_cuts_them() {
        assert_answers(&[
            ("left('abcde', 2)", "ab"),
            ("left('abcde', -2)", "abc"),
            ("left('ab', 9)", "ab"),
            ("right('abcde', 2)", "de"),
            ("right('abcde', -2)", "cde"),
            ("right('é€x', 2)", "€x"),
            ("left(null, 2)", "null"),
            ("split_part('a,b,c', ',', 2)", "b"),
            ("split_part('a,b,c', ',', -1)", "c"),
            ("split_part('a,b,c', ',', 4)", ""),
            ("split_part('a,b,c', ',', 0)", "field position must not be zero"),
            ("split_part('a,b', '', 1)", "a,b"),
            ("lpad('7', 3, '0')", "007"),
            ("lpad('hello', 2)", "he"),
            ("rpad('7', 3)", "7  "),
            ("rpad('7', 6, 'xy')", "7xyxyx"),
            ("repeat('ab', 3)", "ababab"),
            ("repeat('ab', -3)", ""),
            ("repeat('ab', 9223372036854775807)", "requested length too large"),
            ("reverse('abé')", "éba"),
            ("initcap('hello wORLD-x')", "Hello World-X"),
            ("btrim('xxabcxx', 'x')", "abc"),
            ("btrim('  a ')", "a"),
            ("strpos('héllo', 'l')", "3"),
            ("strpos('a', 'z')", "0"),
            ("starts_with('alphabet', 'alph')", "1"),
            ("char_length('é€')", "2"),
            ("ascii('A')", "65"),
            ("chr(65)", "A"),
            ("md5('abc')", "900150983cd24fb0d6963f7d28e17f72"),
            ("md5(x'00ff')", "d07d34efac6328007ad67c7e0a985e00"),
            ("md5(null)", "null"),
        ]);
    }

    #[test]
    fn choices_pass_null_over() {
        assert_answers(&[
            ("greatest(1, null, 3)", "3"),
            ("least(1, null, 3)", "1"),
            ("greatest(null, null)", "null"),
            ("greatest(9, 10.5)", "10.5"),
            ("least('b', 'a')", "a"),
            ("greatest('2026-01-01', '2026-01-01T00:00:01Z')", "2026-01-01T00:00:01Z"),
            ("bool_and(x) from (select 1 x union all select 0)", "0"),
            ("bool_or(x) from (select 1 x union all select 0)", "1"),
            ("bool_or(x) from (select 1 x where false)", "null"),
            ("div(7, 2)", "3"),
            ("div(-7, 2)", "-3"),
            ("div(1, 0)", "division by zero"),
            ("div(0.3, 0.1)", "3"),
        ]);
    }

    #[test]
    fn identifiers_are_random_uuids() {
        let (one, other) = (of("gen_random_uuid()"), of("gen_random_uuid()"));
        assert_ne!(one, other);
        for text in [one, other] {
            assert_eq!(uuid::Uuid::parse_str(&text).unwrap().get_version_num(), 4, "{text}");
        }
    }
}
