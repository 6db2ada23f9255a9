//! Parameters: JSON values in the text form that PostgreSQL's own input functions read, each as the type that the server inferred. So a
//! value is valid exactly when PostgreSQL says so.

use std::error::Error as StdError;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::BytesMut;
use serde_json::value::RawValue;
use tokio_postgres::types::{Format, IsNull, Kind, ToSql, Type, to_sql_checked};

use super::values::behind_domains;
use crate::{
    domain::{json::Json, sql::rows, values::decimal::DecimalText},
    error::Error,
};

/// A value on its way to the server, in text form; `None` is NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter(pub Option<String>);

impl ToSql for Parameter {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        Ok(match &self.0 {
            Some(text) => {
                out.extend_from_slice(text.as_bytes());
                IsNull::No
            }
            None => IsNull::Yes,
        })
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

/// Binds `given` to the types a statement wants.
///
/// # Errors
/// `invalid` about `params`: another number of them is wanted, or one cannot be that type.
pub fn bind(given: &[Json], wanted: &[Type]) -> Result<Vec<(Parameter, Type)>, Error> {
    if given.len() != wanted.len() {
        let noun = if wanted.len() == 1 { "parameter" } else { "parameters" };
        return Err(Error::invalid(
            "params",
            format!("the statement takes {} {noun}; `params` holds {}", wanted.len(), given.len()),
        )
        .hint("params holds one value for each of $1, $2, … in order"));
    }
    let bound = given.iter().zip(wanted).enumerate();
    bound.map(|(place, (value, of))| Ok((text_of(value, of, &format!("params[{place}]"))?, of.clone()))).collect()
}

/// The text form of `value` as a value of type `of`; `argument` names it in a refusal.
///
/// # Errors
/// `invalid` when it cannot be one.
pub fn text_of(value: &Json, of: &Type, argument: &str) -> Result<Parameter, Error> {
    let text = value.get().trim();
    if text == "null" {
        return Ok(Parameter(None));
    }
    let of = behind_domains(of);
    if *of == Type::JSON || *of == Type::JSONB {
        return json_text(text, argument).map(|text| Parameter(Some(text)));
    }
    if let (Kind::Array(element), true) = (of.kind(), text.starts_with('[')) {
        let mut literal = String::new();
        array_literal(value, element, argument, &mut literal)?;
        return Ok(Parameter(Some(literal)));
    }
    // A list as text, as hosts send them; PostgreSQL's own form of an array begins otherwise.
    if let (Kind::Array(element), Some(list)) = (of.kind(), rows::document_in(text).ok().flatten())
        && let Some(list) =
            RawValue::from_string(list.trim().to_owned()).ok().filter(|list| list.get().starts_with('['))
    {
        let mut literal = String::new();
        array_literal(&list, element, argument, &mut literal)?;
        return Ok(Parameter(Some(literal)));
    }
    let Ok(string) = serde_json::from_str::<String>(text) else {
        if text.starts_with('"') {
            return Err(Error::invalid(argument.to_owned(), format!("`{argument}` holds half a surrogate pair")));
        }
        if text.starts_with(['{', '[']) && !reads_json(of) {
            return Err(structure(text.starts_with('['), of, argument));
        }
        // A number or a boolean: its text as it stands. The server's integers take no `1.0` and no `1e3`.
        let whole = matches!(*of, Type::INT2 | Type::INT4 | Type::INT8).then(|| whole(text)).flatten();
        return Ok(Parameter(Some(whole.unwrap_or_else(|| text.to_owned()))));
    };
    if *of == Type::BYTEA {
        return bytes(string, argument);
    }
    Ok(Parameter(Some(string)))
}

/// The digits of a whole number, however it is spelt.
fn whole(text: &str) -> Option<String> {
    let number = DecimalText::parse(text).filter(|number| number.scale() == 0)?;
    number.integer().map(|number| number.to_string())
}

/// Types of extensions whose own text form is JSON, or looks like it: pgvector's `[1,2,3]`, PostGIS's GeoJSON.
fn reads_json(of: &Type) -> bool {
    matches!(of.name(), "vector" | "halfvec" | "geometry" | "geography")
}

/// As text, a list or object would equal nothing, and nobody would know.
fn structure(is_list: bool, of: &Type, argument: &str) -> Error {
    let (what, name) = (if is_list { "a list" } else { "an object" }, of.name());
    let place = argument.strip_prefix("params[").and_then(|rest| rest.strip_suffix(']')?.parse::<usize>().ok());
    let number = place.map_or(1, |place| place + 1);
    let hint = match (is_list, of.kind()) {
        (true, _) => {
            format!(
                "for one of several values write `= any(${number})` (for none of them `<> all(${number})`); \
                 for the JSON itself write `${number}::jsonb`"
            )
        }
        (false, Kind::Composite(_)) => "write a row as text in PostgreSQL's form: \"(1,x)\"".to_owned(),
        (false, _) => format!("for the JSON itself write `${number}::jsonb`, or send it as a string"),
    };
    Error::invalid(argument.to_owned(), format!("`{argument}` is {what}; the statement takes {name}")).hint(hint)
}

/// A string that holds an object or array is meant as that; any other string is a JSON string.
fn json_text(text: &str, argument: &str) -> Result<String, Error> {
    let broken = |why| {
        Error::invalid(argument.to_owned(), format!("`{argument}` begins as JSON and is none: {why}"))
            .hint("send the document itself; for a text that only begins so, declare the parameter as text")
    };
    Ok(rows::document_in(text).map_err(broken)?.unwrap_or_else(|| text.to_owned()))
}

/// Base64, as answers give it; PostgreSQL's own `\x…` is taken too.
fn bytes(string: String, argument: &str) -> Result<Parameter, Error> {
    if string.starts_with("\\x") {
        return Ok(Parameter(Some(string)));
    }
    let decoded = STANDARD.decode(&string).map_err(|error| {
        Error::invalid(argument.to_owned(), format!("`{argument}` is not base64, which a bytea takes")).cause(error)
    })?;
    let digits: String = decoded.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Parameter(Some(format!("\\x{digits}"))))
}

/// `{1,NULL,"a \"b\""}`; inner arrays become inner braces.
fn array_literal(value: &Json, element: &Type, argument: &str, out: &mut String) -> Result<(), Error> {
    let items: Vec<Json> = serde_json::from_str(value.get())
        .map_err(|error| Error::invalid(argument.to_owned(), format!("`{argument}` cannot be read")).cause(error))?;
    out.push('{');
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        let base = behind_domains(element);
        // An array behind a domain is an element and no further dimension.
        let whole = matches!(*base, Type::JSON | Type::JSONB) || matches!(base.kind(), Kind::Array(_));
        if item.get().starts_with('[') && !whole {
            array_literal(item, element, argument, out)?;
            continue;
        }
        match text_of(item, element, argument)?.0 {
            None => out.push_str("NULL"),
            Some(text) => {
                out.push('"');
                for character in text.chars() {
                    if matches!(character, '"' | '\\') {
                        out.push('\\');
                    }
                    out.push(character);
                }
                out.push('"');
            }
        }
    }
    out.push('}');
    Ok(())
}
