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
        if operators.is_empty() {
            return Err(Error::invalid(format!("where.{column}"), format!("`where.{column}` holds no condition"))
                .hint(format!("write {{\"{column}\": value}} or {{\"{column}\": {{\"gt\": value}}}}; leave the column out to count all")));
        }
        for (name, value) in operators {
            conditions.push(Condition { operator: operator(&column, &name, &value)?, column: column.clone(), value });
        }
    }
    Ok(conditions)
}

/// What a column holds, as far as conditions differ by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Single values.
    Values,
    /// Lists.
    Lists,
    /// JSON documents.
    Documents,
}

/// Refuses a list or object where the column holds single values: as text it would equal nothing, and nobody would know.
///
/// # Errors
/// `invalid` naming the condition and the form that works.
pub fn check(condition: &Condition, holds: Holds) -> Result<(), Error> {
    let argument = format!("where.{}", condition.column);
    let refused = |message: String| Err(Error::invalid(argument.clone(), message));
    let shape = |json: &str| match json.as_bytes().first() {
        Some(b'[') => Some("a list"),
        Some(b'{') => Some("an object"),
        _ => None,
    };
    if holds == Holds::Lists && condition.operator == Operator::In && condition.is_list_of_lists() {
        return refused(format!("`{argument}` takes one list: the column holds lists"))
            .map_err(|error| error.hint("ask for one list after the other"));
    }
    if holds != Holds::Values {
        return Ok(());
    }
    if condition.operator != Operator::In {
        let Some(shape) = shape(condition.value.get()) else { return Ok(()) };
        let message = format!("`{argument}` compares with {shape}, and the column holds single values");
        let hint = match (shape, condition.operator) {
            ("a list", Operator::Eq) => format!("`in` takes a list: {{\"{}\": {{\"in\": […]}}}}", condition.column),
            ("a list", Operator::Ne) => {
                "`ne` takes one value; execute_query counts what is none of several, with `not in`".to_owned()
            }
            _ => "give one value; `in` takes a list of them".to_owned(),
        };
        return refused(message).map_err(|error| error.hint(hint));
    }
    let items: Vec<&serde_json::value::RawValue> = serde_json::from_str(condition.value.get())
        .map_err(|error| Error::invalid(argument.clone(), format!("`{argument}` cannot be read")).cause(error))?;
    for item in items {
        if let Some(shape) = shape(item.get()) {
            return refused(format!("the list of `{argument}` holds {shape}, and the column holds single values"))
                .map_err(|error| error.hint("`in` takes one list of single values"));
        }
        if item.get() == "null" {
            return refused(format!("the list of `{argument}` holds null, which equals nothing"))
                .map_err(|error| error.hint("count the rows without a value by `is_null`: true"));
        }
    }
    Ok(())
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
