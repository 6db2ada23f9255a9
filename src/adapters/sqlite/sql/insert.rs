//! Writing one row and giving it back.

use rusqlite::{Connection, TransactionBehavior, params_from_iter};
use serde_json::value::RawValue;

use super::{attempts, catalog, values, write};
use crate::{
    adapters::sqlite::{call::Call, failure},
    domain::sql::{NewRow, WrittenRow},
    error::{Code, Error},
};

/// Inserts a row.
pub(super) fn insert(
    connection: &mut Connection,
    new: &NewRow,
    attempt: Option<&str>,
    call: &Call,
) -> Result<WrittenRow, Error> {
    let wrong = |error| failure::of(error, call);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(wrong)?;
    let table = write::writable(&transaction, &new.table, call)?;
    let mut asked = if new.returning.is_empty() { table.primary_key() } else { Vec::new() };
    for (place, name) in new.returning.iter().enumerate() {
        asked.push(table.wanted(name, format!("returning[{place}]"))?.name.clone());
    }
    if asked.is_empty() {
        asked = table.columns.iter().map(|column| column.name.clone()).collect();
    }
    let row = write::values(&table, &new.row).map_err(|refusal| refusal.into_error("row"))?;
    write::check_complete(&table, &row).map_err(|refusal| refusal.into_error("row"))?;
    let names: Vec<String> = asked.iter().map(|name| catalog::quote(name)).collect();
    let sql = format!("{} RETURNING {}", write::insertion(&table, &row), names.join(", "));
    let written = {
        let mut statement = transaction.prepare(&sql).map_err(wrong)?;
        let bound = params_from_iter(row.iter().map(|(_, value)| value));
        statement.query_row(bound, |found| {
            let mut text = String::from("{");
            for (at, name) in asked.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                values::string(&mut text, name);
                text.push(':');
                let declared = table.column(name).and_then(|column| column.column_type.as_ref());
                values::render(&mut text, found.get_ref(at)?, declared);
            }
            text.push('}');
            Ok(text)
        })
    };
    let text = match written {
        Ok(text) => text,
        Err(error) => return Err(write::refusal(&transaction, error, &table, &row, call)?.into_error("row")),
    };
    if call.is_over() {
        return Err(failure::over(call));
    }
    let row = RawValue::from_string(text)
        .map_err(|error| Error::new(Code::Internal, "the row could not be written as JSON").cause(error))?;
    let written = WrittenRow { table: table.full_name(), row };
    attempts::keep(&transaction, attempt, &written, call)?;
    transaction.commit().map_err(wrong)?;
    Ok(written)
}
