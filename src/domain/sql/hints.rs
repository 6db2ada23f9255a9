//! What to do about a row that was not written. One text for every database; following it never does harm.

/// Detail of a row that names a number which no row has, and which the database gives.
pub const NOT_THERE: &str = "Rows keep the number that the database gave them, and new ones get the next.";
/// What is wrong with a row whose key an earlier row of the same call has.
pub const REPEATED: &str = "an earlier row of this call has the same key";
/// Detail of such a row where the argument `duplicates` is about this key.
pub const DUPLICATES: &str = "`duplicates` says what to do with rows of one call that share this key";
/// The row that has the number is another one, and must not be changed.
const TAKEN: &str = "the sequence gave a number that a row was written with before: another try gets the next one, and the operator can set \
                     the sequence beyond all of them with setval";

/// What a caller can do about a fault of a row. `many`: it came by bulk_insert. `detail` is PostgreSQL's, which names the key.
pub fn hint(code: &str, many: bool, column: Option<&str>, detail: Option<&str>) -> String {
    match (code, many) {
        ("42703", _) => "get_schema shows the table's columns".to_owned(),
        ("428C9", _) if detail == Some(NOT_THERE) => not_there(column.unwrap_or("id")),
        ("428C9", _) => computed(column.unwrap_or("id"), detail),
        // It names a column only where the database made the value.
        ("23505", _) if column.is_some() => TAKEN.to_owned(),
        ("23505", many) => exists(many, detail),
        ("42804", _) => "the column holds single values: give one without brackets; lists and objects go into jsonb or array columns".to_owned(),
        ("21000", _) if detail == Some(DUPLICATES) => {
            "duplicates `last` writes the last of them and drops the others".to_owned()
        }
        ("21000", _) => "send each key once: correct one of the rows, or leave it out".to_owned(),
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
             conflict_columns [\"{column}\"] (`ignore` leaves it as it is); without the column the row is added as a new one with a number of its own"
        );
    }
    "leave the column out: the database computes it from the others".to_owned()
}

/// What is left out becomes a new row each time, so that is only advised for rows that are meant as new.
fn not_there(column: &str) -> String {
    format!(
        "look for the row by another column, as it may have been deleted; a row that is meant as a new one goes without `{column}`, which \
         the database gives it"
    )
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
