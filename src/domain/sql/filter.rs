//! The `where` of count_rows: `{column: value}` or `{column: {op: value}}`. Never SQL text.

use std::collections::BTreeMap;

use super::{Condition, Operator};
use crate::{
    domain::{json::Json, names::nearest},
    error::Error,
};

/// Reads conditions.
///
/// # Errors
/// `invalid` naming the operator that does not exist, or the value that does not fit it.
pub fn conditions(given: Option<&Json>) -> Result<Vec<Condition>, Error> {
    let Some(given) = given else { return Ok(Vec::new()) };
    let columns: BTreeMap<String, Json> = serde_json::from_str(given.get())
        .map_err(|error| Error::invalid("where", "`where` is not an object of conditions").cause(error))?;
    let mut conditions = Vec::new();
    for (column, value) in columns {
        if !value.get().starts_with('{') {
            conditions.push(plain(column, value));
            continue;
        }
        let operators: BTreeMap<String, Json> = serde_json::from_str(value.get())
            .map_err(|error| Error::invalid("where", format!("`where.{column}` cannot be read")).cause(error))?;
        for (name, value) in operators {
            conditions.push(Condition { operator: operator(&column, &name, &value)?, column: column.clone(), value });
        }
    }
    Ok(conditions)
}

/// `{column: null}` means "is null": nothing equals NULL in SQL, and that is never what was meant.
fn plain(column: String, value: Json) -> Condition {
    if value.get() == "null" {
        return Condition { column, operator: Operator::IsNull, value: crate::domain::json::of(&true) };
    }
    let operator = if value.get().starts_with('[') { Operator::In } else { Operator::Eq };
    Condition { column, operator, value }
}

fn operator(column: &str, name: &str, value: &Json) -> Result<Operator, Error> {
    let known = Operator::ALL.map(|(name, _)| name);
    let Some((_, operator)) = Operator::ALL.into_iter().find(|(known, _)| *known == name) else {
        return Err(Error::invalid("where", format!("`where.{column}` has no operator `{name}`"))
            .did_you_mean(nearest(name, known))
            .hint(format!("the operators are: {}", known.join(", "))));
    };
    let text = value.get();
    let wanted = match operator {
        Operator::In if !text.starts_with('[') => Some("an array"),
        Operator::IsNull if !matches!(text, "true" | "false") => Some("true or false"),
        Operator::Like | Operator::Ilike if !text.starts_with('"') => Some("a string"),
        Operator::Eq | Operator::Ne | Operator::Gt | Operator::Gte | Operator::Lt | Operator::Lte if text == "null" => {
            Some("a value (use is_null for NULL)")
        }
        _ => None,
    };
    match wanted {
        Some(wanted) => Err(Error::invalid("where", format!("`where.{column}.{name}` takes {wanted}"))),
        None => Ok(operator),
    }
}
