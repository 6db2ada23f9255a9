//! What to do about a row that was not written. One text for every database; following it never does harm.

/// What a caller can do about a fault of a row. `many`: it came by bulk_insert. `detail` is PostgreSQL's, which names the key.
pub fn hint(code: &str, many: bool, column: Option<&str>, detail: Option<&str>) -> String {
    match (code, many) {
        ("42703", _) => "get_schema shows the table's columns".to_owned(),
        ("428C9", _) => computed(column.unwrap_or("id"), detail),
        ("23505", many) => exists(many, detail),
        ("42804", _) => "the column holds single values: give one without brackets; lists and objects go into jsonb or array columns".to_owned(),
        ("21000", _) => "duplicates `last` writes the last of them and drops the others".to_owned(),
        (_, true) => {
            "correct the row, or pass on_error `reject` to write the good rows and get the bad ones back".to_owned()
        }
        (_, false) => "get_schema shows what the columns take".to_owned(),
    }
}

/// Left out, a number that the database gives makes another row: that must be said before it is advised.
fn computed(column: &str, detail: Option<&str>) -> String {
    if detail.is_some_and(|detail| detail.contains("identity")) {
        return format!(
            "the database numbers `{column}` itself: to change a row that exists, use bulk_insert with on_conflict `update` and \
             conflict_columns [\"{column}\"]; without the column the row is added as a new one with a number of its own"
        );
    }
    "leave the column out: the database computes it from the others".to_owned()
}

fn exists(many: bool, detail: Option<&str>) -> String {
    let tool = if many { "pass" } else { "use bulk_insert with" };
    let reject = if many { "; on_error `reject` writes the other rows" } else { "" };
    let update = match key(detail) {
        Some(key) => {
            format!("`update` and conflict_columns [{key}] to change the row that exists, or `ignore` to keep it")
        }
        None => "`ignore` to keep the row that exists".to_owned(),
    };
    format!("{tool} on_conflict {update}{reject}")
}

/// `"a", "b"` of `Key (a, b)=(1, 2) already exists.`; none for a key on expressions.
fn key(detail: Option<&str>) -> Option<String> {
    let (columns, _) = detail?.strip_prefix("Key (")?.split_once(")=(")?;
    if columns.contains(['(', '"']) {
        return None;
    }
    Some(columns.split(", ").map(|column| format!("\"{column}\"")).collect::<Vec<_>>().join(", "))
}

/// The sentence of a fault with the key that it names.
pub fn sentence(code: &str, reason: &str, detail: Option<&str>) -> String {
    match detail.filter(|_| code == "23505") {
        Some(detail) => format!("{reason} ({})", detail.trim_end_matches('.')),
        None => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::hint;

    #[test]
    fn a_key_that_exists_is_named_with_what_takes_it() {
        let of = |many, detail| hint("23505", many, None, Some(detail));
        assert_eq!(
            of(true, "Key (a, b)=(1, 2) already exists."),
            "pass on_conflict `update` and conflict_columns [\"a\", \"b\"] to change the row that exists, or `ignore` to keep it; \
             on_error `reject` writes the other rows"
        );
        assert_eq!(
            of(false, "Key (lower(a))=(x) already exists."),
            "use bulk_insert with on_conflict `ignore` to keep the row that exists"
        );
    }
}
