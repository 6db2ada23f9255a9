//! A row's fault as the answer to the whole call.

use crate::{
    adapters::postgres::catalog::Table,
    domain::{names::nearest, sql::rows::Fault},
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
    let many = row != "row";
    let hint = match fault.code.as_str() {
        "42703" => "get_schema shows the table's columns",
        "428C9" => "leave the column out: the database fills it in",
        "23505" if many => {
            "on_conflict `update` or `ignore` takes rows that exist; on_error `reject` writes the others"
        }
        "23505" => "bulk_insert with on_conflict `update` changes a row that exists",
        "21000" => "duplicates `last` takes the last of them",
        _ if many => "mend the row, or pass on_error `reject` to write the good rows and get the bad ones back",
        _ => "get_schema shows what the columns take",
    };
    Error::new(code, format!("`{argument}` cannot be written: {}; nothing was written", fault.reason))
        .argument(argument)
        .did_you_mean(near)
        .hint(hint)
        .place(Place { detail: fault.detail.clone(), backend_code: Some(fault.code.clone()), ..Place::default() })
}
