//! Rows counted by simple conditions.

use std::time::Duration;

use futures_util::FutureExt;
use tokio_postgres::types::Type;

use super::{
    catalog::{self, Column, Table, quoted},
    failure::{in_text, meaning},
    params::{self, Parameter},
    pool::{Pool, Work},
};
use crate::{
    config::Access,
    domain::sql::{
        Condition, Operator, TableName,
        filter::{self, Holds},
    },
    error::{Code, Error},
};

/// Counts the rows of `table` that meet all `conditions`, within `time`.
///
/// # Errors
/// `not_found` for a table or column that is not there, `invalid` for a value that does not fit its column.
pub async fn count(
    pool: &Pool,
    access: &Access,
    name: &TableName,
    conditions: &[Condition],
    time: Duration,
) -> Result<u64, Error> {
    let asked = (access, name, conditions);
    pool.read(time, &asked, |work, (access, name, conditions)| counted(work, access, name, conditions).boxed()).await
}

async fn counted(work: &Work, access: &Access, name: &TableName, conditions: &[Condition]) -> Result<u64, Error> {
    let table = catalog::find(work, name, &access.schemas).await?;
    if !access.schemas.allow(&table.schema) {
        return Err(Error::new(Code::Denied, format!("this server may not use the schema `{}`", table.schema))
            .argument("table")
            .hint("CALLBOARD_SCHEMAS names the allowed schemas"));
    }
    let (sent, values) = statement(&table, conditions)?;
    let of_where = |error| in_text(error, 0, &sent, "where");
    let described = work.prepare(&sent).await.map_err(of_where)?;
    let mut bound: Vec<(Parameter, Type)> = Vec::new();
    for (condition, of) in values.iter().zip(described.params()) {
        let argument = format!("where.{}", condition.column);
        bound.push((params::text_of(&condition.value, of, &argument)?, of.clone()));
    }
    let bound: Vec<(&(dyn tokio_postgres::types::ToSql + Sync), Type)> =
        bound.iter().map(|(value, of)| (value as _, of.clone())).collect();
    let row = work.query_typed_one(&sent, &bound).await.map_err(|error| without_place(of_where(error)))?;
    let count: i64 = row.try_get(0).map_err(meaning)?;
    Ok(count.unsigned_abs())
}

/// The statement is ours, so a position in it says nothing to the caller.
fn without_place(error: Error) -> Error {
    let mut place = error.place.clone();
    place.position = None;
    let argument = match error.argument.as_deref() {
        Some(argument) if argument.starts_with("params") => Some("where".into()),
        _ => error.argument.clone(),
    };
    match argument {
        Some(argument) => error.argument(argument).place(place),
        None => error.place(place),
    }
}

fn holds(column: &Column) -> Holds {
    match column.base.as_str() {
        "json" | "jsonb" => Holds::Documents,
        base if base.starts_with('_') => Holds::Lists,
        _ => Holds::Values,
    }
}

fn statement<'a>(table: &Table, conditions: &'a [Condition]) -> Result<(String, Vec<&'a Condition>), Error> {
    let mut sent = format!("-- count\nSELECT pg_catalog.count(*) FROM {}", table.quoted());
    let mut values = Vec::new();
    for (place, condition) in conditions.iter().enumerate() {
        let found = table.column(&condition.column, "where")?;
        let column = quoted(&found.name);
        sent.push_str(if place == 0 { " WHERE " } else { " AND " });
        if condition.operator == Operator::IsNull {
            let not = if condition.value.get() == "false" { "NOT " } else { "" };
            sent.push_str(&format!("{column} IS {not}NULL"));
            continue;
        }
        values.push(condition);
        let number = values.len();
        let holds = holds(found);
        filter::check(condition, holds)?;
        sent.push_str(&match condition.operator {
            // A list for a column of lists is one of its values.
            Operator::In if holds == Holds::Lists => format!("{column} = ${number}"),
            Operator::Eq => format!("{column} = ${number}"),
            Operator::Ne => format!("{column} <> ${number}"),
            Operator::Gt => format!("{column} > ${number}"),
            Operator::Gte => format!("{column} >= ${number}"),
            Operator::Lt => format!("{column} < ${number}"),
            Operator::Lte => format!("{column} <= ${number}"),
            Operator::In => format!("{column} = ANY (${number})"),
            Operator::Like => format!("{column}::pg_catalog.text LIKE ${number}"),
            Operator::Ilike => format!("{column}::pg_catalog.text ILIKE ${number}"),
            Operator::IsNull => String::new(),
        });
    }
    Ok((sent, values))
}
