//! Statements for many rows of values: one statement over arrays in PostgreSQL, row by row in SQLite.

use super::{Row, Session, Sql, Value};
use crate::error::Error;

/// Runs it; how many rows it wrote.
pub(super) async fn write_rows(session: &dyn Session, sql: Sql, rows: &[Vec<Value<'_>>]) -> Result<u64, Error> {
    if rows.is_empty() {
        return Ok(0);
    }
    let columns = columns(rows);
    let values: Vec<Value<'_>> = columns.iter().map(|column| Value::Column(column)).collect();
    session.execute(sql, &values).await
}

/// The same for a statement that answers with rows.
pub(super) async fn query_rows(session: &dyn Session, sql: Sql, rows: &[Vec<Value<'_>>]) -> Result<Vec<Row>, Error> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let columns = columns(rows);
    let values: Vec<Value<'_>> = columns.iter().map(|column| Value::Column(column)).collect();
    session.query(sql, &values).await
}

fn columns<'v>(rows: &[Vec<Value<'v>>]) -> Vec<Vec<Value<'v>>> {
    let column = |place| rows.iter().filter_map(|row| row.get(place).copied()).collect();
    (0..rows.first().map_or(0, Vec::len)).map(column).collect()
}
