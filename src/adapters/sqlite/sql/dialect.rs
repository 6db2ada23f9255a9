//! Forms of PostgreSQL that SQLite's grammar has not, and what says the same here.

use crate::domain::sql::{
    guard::TOKENS_MAX,
    lexer::{self, Kind},
};

/// The first such form in a statement: its character from 1, and the form that works. Texts and comments are not looked into.
pub(super) fn foreign(text: &str) -> Option<(u32, &'static str)> {
    first(text, form)
}

/// The first cast that SQLite takes and reads otherwise: to it `cast('2026-01-31' as date)` is 2026.
pub(super) fn misread(text: &str) -> Option<(u32, &'static str)> {
    first(text, |kinds, _| match kinds.first()? {
        Kind::Word(word) if word == "cast" => cast_to(kinds.get(target(kinds)?..)?),
        _ => None,
    })
}

type Form = fn(&[&Kind], &[&str]) -> Option<&'static str>;

fn first(text: &str, form: Form) -> Option<(u32, &'static str)> {
    let tokens = lexer::tokens(text, TOKENS_MAX).ok()?;
    let kinds: Vec<&Kind> = tokens.iter().map(|token| &token.kind).collect();
    let pieces: Vec<&str> = tokens.iter().map(|token| text.get(token.start..token.end).unwrap_or_default()).collect();
    (0..tokens.len()).find_map(|at| {
        let hint = form(kinds.get(at..)?, pieces.get(at..)?)?;
        let before = text.get(..tokens.get(at)?.start)?;
        Some((u32::try_from(before.chars().count() + 1).ok()?, hint))
    })
}

fn form(kinds: &[&Kind], pieces: &[&str]) -> Option<&'static str> {
    let is_called = matches!(kinds.get(1), Some(Kind::Symbol('(')));
    match kinds.first()? {
        Kind::Word(first) => {
            words(first, kinds).or_else(|| is_called.then(|| call(first)).flatten()).or_else(|| parted(first, kinds))
        }
        Kind::Symbol(':') if matches!(kinds.get(1), Some(Kind::Symbol(':'))) => {
            let known = kinds.get(2..).and_then(cast_to);
            Some(known.unwrap_or("write cast(x as type) for x::type; date_trunc, to_char and round take x as it is"))
        }
        Kind::Operator => operator(pieces.first()?),
        Kind::OtherText => pieces
            .first()?
            .starts_with(['E', 'e', '$'])
            .then_some("write a plain text in single quotes, a quote in it twice; char(10) is a new line"),
        _ => None,
    }
}

/// Where the type stands in `cast(… as type)`.
pub(super) fn target(kinds: &[&Kind]) -> Option<usize> {
    place_of(kinds, "as").map(|place| place + 1)
}

/// What stands for a cast to a type that SQLite does not know, and reads a number from the value instead, or nothing at all.
fn cast_to(kinds: &[&Kind]) -> Option<&'static str> {
    let Kind::Word(name) = kinds.first()? else { return None };
    let is_sized = matches!(kinds.get(1), Some(Kind::Symbol('(')));
    Some(match name.as_str() {
        "date" => "write date(x) for a cast to date",
        "timestamp" | "timestamptz" | "datetime" => {
            "write datetime(x) for a cast to timestamp; columns of times need none"
        }
        "time" | "timetz" => "write time(x) for a cast to time",
        "boolean" | "bool" => "write x in ('t', 'true', 1) for a cast to boolean; columns of booleans need none",
        "uuid" | "json" | "jsonb" | "inet" | "bytea" => "leave the cast out: the value is kept as its text",
        "interval" => "write datetime(x, '-7 days') for x - interval '7 days'",
        "numeric" | "decimal" if is_sized => "write round(x, 2) for a cast to numeric(10, 2)",
        "varchar" | "char" | "character" if is_sized => "write substr(x, 1, 50) for a cast to varchar(50)",
        _ => return None,
    })
}

/// Told by words that stand beside each other.
fn words(first: &str, kinds: &[&Kind]) -> Option<&'static str> {
    let word = |at: usize, wanted: &str| matches!(kinds.get(at), Some(Kind::Word(word)) if word == wanted);
    let sign = |at: usize, wanted: char| matches!(kinds.get(at), Some(Kind::Symbol(symbol)) if *symbol == wanted);
    let text = |at: usize| matches!(kinds.get(at), Some(Kind::Text(_)));
    match first {
        "ilike" => Some("LIKE ignores the case of ASCII letters here; for others: regexp_like(a, 'pattern', 'i')"),
        "interval" if text(1) => {
            Some("write datetime(x, '-7 days') for x - interval '7 days'; also '+1 month', '-2 hours', '-30 minutes'")
        }
        "date" | "timestamp" | "timestamptz" | "time" if text(1) => Some(
            "write the text alone: '2026-01-31', not date '2026-01-31'; it is compared as a time with columns of times",
        ),
        "similar" if word(1, "to") => Some("write LIKE or GLOB for similar to, one for each alternative, joined by OR"),
        "distinct" if word(1, "on") => {
            Some("write row_number() over (partition by a order by b) in a subquery and keep the rows where it is 1")
        }
        "all" if sign(1, '(') && !word(2, "select") => {
            Some("write x not in (select value from json_each($1)) for x <> all($1)")
        }
        "array" if sign(1, '[') => {
            Some("write json_array(1, 2) for array[1, 2]; json_each() gives its elements as rows")
        }
        "at" if word(1, "time") && word(2, "zone") => {
            Some("times are kept in UTC; write datetime(x, '+2 hours') for another zone")
        }
        "lateral" => Some("write a subquery in the select list, or join json_each() directly, for lateral"),
        "grouping" if word(1, "sets") => Some("write one select for each grouping, joined by union all"),
        "fetch" if word(1, "first") || word(1, "next") => Some("write limit n for fetch first n rows only"),
        "within" if word(1, "group") => {
            Some("write percentile_cont(x, 0.5) or median(x) for percentile_cont(0.5) within group (order by x)")
        }
        _ => None,
    }
}

/// Told by the name of what is called.
fn call(name: &str) -> Option<&'static str> {
    Some(match name {
        "extract" => "write date_part('month', x) for extract(month from x)",
        "any" | "some" => "write x in (select value from json_each($1)) for x = any($1)",
        "rollup" | "cube" => "write one select for each grouping, joined by union all",
        "overlay" => "write substr(x, 1, n - 1) || new || substr(x, n + length) for overlay",
        "array_agg" | "json_agg" | "jsonb_agg" => "write json_group_array(x) for array_agg and json_agg",
        "json_object_agg" | "jsonb_object_agg" => "write json_group_object(name, value)",
        "json_build_object" | "jsonb_build_object" => "write json_object('name', value, …)",
        "json_build_array" | "jsonb_build_array" => "write json_array(value, …)",
        "unnest" | "jsonb_array_elements" | "json_array_elements" | "jsonb_array_elements_text" => {
            "write json_each(x) and take its column value"
        }
        "generate_series" => {
            "write with recursive n(i) as (select 1 union all select i + 1 from n where i < 10) select i from n"
        }
        "regexp_match" | "regexp_matches" => {
            "write regexp_substr(x, 'pattern'), or regexp_replace() to take a part of it"
        }
        "array_length" | "cardinality" => "write json_array_length(x)",
        "array_to_string" => "write (select group_concat(value, ', ') from json_each(x)) for array_to_string(x, ', ')",
        "to_timestamp" => "write datetime(x, 'unixepoch') for to_timestamp(x)",
        "age" => "write julianday(a) - julianday(b) for the days between, or timediff(a, b)",
        "to_number" => "write cast(replace(x, ',', '') as numeric) for to_number",
        _ => return None,
    })
}

/// Told by a word among the arguments.
fn parted(name: &str, kinds: &[&Kind]) -> Option<&'static str> {
    match name {
        "position" if holds(kinds, "in") => Some("write strpos(text, part) for position(part in text)"),
        "substring" if holds(kinds, "from") || holds(kinds, "for") => {
            Some("write substr(x, from, length) for substring(x from … for …)")
        }
        "trim" if holds(kinds, "from") => Some("write trim(x, characters), ltrim or rtrim for trim(both … from x)"),
        _ => None,
    }
}

/// Whether a word stands between the parentheses behind a name, not deeper.
fn holds(kinds: &[&Kind], wanted: &str) -> bool {
    place_of(kinds, wanted).is_some()
}

/// Where it stands.
fn place_of(kinds: &[&Kind], wanted: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (place, kind) in kinds.iter().enumerate().skip(1) {
        match kind {
            Kind::Symbol('(') => depth += 1,
            Kind::Symbol(')') if depth <= 1 => return None,
            Kind::Symbol(')') => depth -= 1,
            Kind::Word(word) if depth == 1 && word == wanted => return Some(place),
            _ if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

fn operator(sign: &str) -> Option<&'static str> {
    match sign {
        "~" | "~*" | "!~" | "!~*" => {
            Some("write regexp_like(a, 'pattern') for a ~ 'pattern', with 'i' as the last argument for ~*")
        }
        "~~" | "~~*" | "!~~" | "!~~*" => Some("write LIKE or NOT LIKE"),
        "@>" | "<@" | "&&" | "?|" | "?&" => Some("write exists (select 1 from json_each(x) where value = …)"),
        "#>" | "#>>" => Some("write x ->> '$.a.b' for x #>> '{a,b}'"),
        "^" => Some("write power(a, b) for a ^ b"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{foreign, misread};

    #[test]
    fn the_form_that_works_is_told_where_the_other_stands() {
        for (statement, position, told) in [
            ("select a::text from t", 9, "write cast(x as type)"),
            ("select a::date from t", 9, "write date(x)"),
            ("select a::numeric(10,2) from t", 9, "write round(x, 2)"),
            ("select * from t where a ilike 'x'", 25, "LIKE ignores"),
            ("select 'é', extract(month from d) from t", 13, "write date_part("),
            ("select now() - interval '7 days'", 16, "write datetime(x, '-7 days')"),
            ("select date '2026-01-01'", 8, "write the text alone"),
            ("select 1 where a ~* 'x'", 18, "write regexp_like("),
            ("select distinct on (a) b from t", 8, "write row_number()"),
            ("select 1 where a = any($1)", 20, "write x in (select value"),
            ("select array[1,2]", 8, "write json_array("),
            ("select d at time zone 'UTC'", 10, "times are kept in UTC"),
            ("select position('a' in b)", 8, "write strpos("),
            ("select substring(b from 2 for 3)", 8, "write substr("),
            ("select trim(both 'x' from b)", 8, "write trim("),
            ("select 1 fetch first 3 rows only", 10, "write limit n"),
            ("select percentile_cont(0.5) within group (order by a)", 29, "write percentile_cont(x"),
            ("select E'a\\n'", 8, "write a plain text"),
            ("select $a$x$a$", 8, "write a plain text"),
            ("select a group by rollup (a)", 19, "write one select"),
        ] {
            let (at, hint) = foreign(statement).unwrap();
            assert!(at == position && hint.starts_with(told), "{statement}: {at} {hint}");
        }
        for statement in [
            "select 'a::b', \"ilike\" -- interval '1 day'",
            "select date('now'), substr(a, 1) /* array[1] */",
            "select trim(a), (select max(b) from t), a ->> '$.x' from t",
            "select position, interval from t",
        ] {
            assert_eq!(foreign(statement), None, "{statement}");
        }
    }
    #[test]
    fn a_cast_that_would_be_misread_is_told() {
        for (statement, position, told) in [
            ("select 1, cast(a as date) from t", 11, "write date(x)"),
            ("select cast(coalesce(a, cast(1 as int)) as TIMESTAMP) from t", 8, "write datetime(x)"),
            ("select cast(a as numeric(10,2)) from t", 8, "write round(x, 2)"),
            ("select cast(a as boolean) from t", 8, "write x in"),
        ] {
            let (at, hint) = misread(statement).unwrap();
            assert!(at == position && hint.starts_with(told), "{statement}: {at} {hint}");
        }
        for statement in
            ["select cast(a as numeric)", "select cast(a as varchar)", "select cast(a as integer), 'cast(a as date)'"]
        {
            assert_eq!(misread(statement), None, "{statement}");
        }
    }
}
