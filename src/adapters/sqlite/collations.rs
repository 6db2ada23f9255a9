//! How kept texts are ordered: decimals by number, times by instant. Queries, indexes and unique constraints all follow.

use std::cmp::Ordering;

use rusqlite::{Connection, functions::FunctionFlags, types::ValueRef};

use super::{decimal, functions, instants, money};
use crate::domain::values::decimal::Decimal;

/// Orders numbers that are kept as text.
pub(super) const DECIMAL: &str = "callboard_decimal";
/// Orders times, however they are written.
pub(super) const INSTANT: &str = "callboard_instant";

/// Makes the collations and the functions behind `count_rows` known to a connection.
pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    connection.create_collation(DECIMAL, |a, b| by_key(decimal::parse(a), decimal::parse(b), a, b))?;
    connection.create_collation(INSTANT, |a, b| by_key(instants::key(a), instants::key(b), a, b))?;
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("callboard_compare", 2, flags, |context| {
        let (a, b) = (Decimal::read(context.get_raw(0)), Decimal::read(context.get_raw(1)));
        Ok(a.zip(b).map(|(a, b)| a.cmp(&b) as i64))
    })?;
    connection.create_scalar_function("callboard_like", 3, flags, |context| {
        let (Some(text), Some(pattern)) = (text(context.get_raw(0)), text(context.get_raw(1))) else { return Ok(None) };
        let fold = context.get_raw(2).as_i64().unwrap_or(0) == 1;
        Ok(Some(if fold { like(&text.to_lowercase(), &pattern.to_lowercase()) } else { like(&text, &pattern) }))
    })?;
    functions::register(connection)?;
    money::register(connection)
}

/// What cannot be read comes last, by its bytes: a collation must order everything.
fn by_key<K: Ord>(a_key: Option<K>, b_key: Option<K>, a: &str, b: &str) -> Ordering {
    match (a_key, b_key) {
        (Some(a_key), Some(b_key)) => a_key.cmp(&b_key),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Integer(integer) => Some(integer.to_string()),
        ValueRef::Real(real) => Some(real.to_string()),
        ValueRef::Text(text) | ValueRef::Blob(text) => Some(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Null => None,
    }
}

/// SQL's LIKE as PostgreSQL has it: `%`, `_`, and `\` before a character that stands for itself. Linear in memory, and never exponential.
pub(super) fn like(text: &str, pattern: &str) -> bool {
    enum Part {
        Any,
        One,
        This(char),
    }
    let mut parts = Vec::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        parts.push(match character {
            '%' => Part::Any,
            '_' => Part::One,
            '\\' => Part::This(characters.next().unwrap_or('\\')),
            other => Part::This(other),
        });
    }
    let text: Vec<char> = text.chars().collect();
    // The last `%` passed and how much of the text it has taken: going back to it is enough.
    let (mut at, mut part, mut back) = (0, 0, None);
    loop {
        match (parts.get(part), text.get(at)) {
            (None, None) => return true,
            (Some(Part::Any), _) => {
                back = Some((part, at));
                part += 1;
                continue;
            }
            (Some(Part::One), Some(_)) => {
                at += 1;
                part += 1;
                continue;
            }
            (Some(Part::This(wanted)), Some(found)) if wanted == found => {
                at += 1;
                part += 1;
                continue;
            }
            _ => {}
        }
        match back {
            Some((star, taken)) if taken < text.len() => {
                back = Some((star, taken + 1));
                part = star + 1;
                at = taken + 1;
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::like;

    #[test]
    fn like_matches_as_postgresql_does() {
        for (text, pattern, matches) in [
            ("Wireless Mouse", "Wire%", true),
            ("Wireless Mouse", "%mouse", false),
            ("abc", "a_c", true),
            ("abc", "a_", false),
            ("100%", "100\\%", true),
            ("100x", "100\\%", false),
            ("", "%", true),
            ("aXbXc", "a%b%c", true),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "%a%a%a%a%a%a%a%b", false),
        ] {
            assert_eq!(like(text, pattern), matches, "{text} like {pattern}");
        }
    }
}
