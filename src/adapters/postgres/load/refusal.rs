//! A row's fault as the answer to the whole call.

use crate::{
    adapters::postgres::catalog::Table,
    domain::{
        names::nearest,
        sql::{hints, rows::Fault},
    },
    error::{Code, Error, Place},
};

/// The refusal of a call because of one row: nothing was written. `row` is how the caller wrote it: `rows[1]`, `row`.
pub(in crate::adapters::postgres) fn refusal(table: &Table, row: &str, fault: &Fault) -> Error {
    let argument = match &fault.column {
        Some(column) => format!("{row}.{column}"),
        None => row.to_owned(),
    };
    let code = match fault.code.as_str() {
        "23505" => Code::Conflict,
        _ => Code::Invalid,
    };
    let near = match (&fault.column, fault.code.as_str()) {
        (Some(column), "42703") => nearest(column, table.columns.iter().map(|column| column.name.as_str())),
        _ => Vec::new(),
    };
    let hint = hints::hint(&fault.code, row != "row", fault.column.as_deref(), fault.detail.as_deref());
    let reason = hints::sentence(&fault.code, &fault.reason, fault.detail.as_deref());
    Error::new(code, format!("`{argument}` cannot be written: {reason}; nothing was written"))
        .argument(argument)
        .did_you_mean(near)
        .hint(hint)
        .place(Place { detail: fault.detail.clone(), backend_code: Some(fault.code.clone()), ..Place::default() })
}
