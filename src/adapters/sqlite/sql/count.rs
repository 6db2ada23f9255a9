//! Counting rows that meet conditions. Names come from the catalog and values are bound; no text of the caller is SQL.

use rusqlite::{Connection, params_from_iter, types::Value};
use serde_json::value::RawValue;

use super::{
    catalog::{Column, Table, quote},
    encode,
};
use crate::{
    adapters::sqlite::{call::Call, collations, failure},
    domain::sql::{
        Condition, Operator,
        column_types::{BaseType, ColumnType},
        filter::{self, Holds},
    },
    error::{Error, Place},
};

/// Counts.
pub(super) fn count(
    connection: &Connection,
    table: &Table,
    conditions: &[Condition],
    call: &Call,
) -> Result<u64, Error> {
    let mut clauses = Vec::new();
    let mut bound: Vec<Value> = Vec::new();
    for condition in conditions {
        let column = table.wanted(&condition.column, format!("where.{}", condition.column))?;
        clauses.push(clause(column, condition, &mut bound)?);
    }
    let restriction = if clauses.is_empty() { String::new() } else { format!(" WHERE {}", clauses.join(" AND ")) };
    let sql = format!("-- count_rows\nSELECT count(*) FROM {}{restriction}", table.quoted());
    let counted: i64 = connection
        .query_row(&sql, params_from_iter(bound), |row| row.get(0))
        .map_err(|error| failure::of(error, call))?;
    Ok(counted.unsigned_abs())
}

fn clause(column: &Column, condition: &Condition, bound: &mut Vec<Value>) -> Result<String, Error> {
    let name = quote(&column.name);
    let wrong = |fault: encode::Fault| {
        Error::invalid(format!("where.{}", condition.column), fault.reason)
            .place(Place { backend_code: Some(fault.code.to_owned()), ..Place::default() })
    };
    let mut value = |json: &RawValue| -> Result<String, Error> {
        bound.push(
            match &column.column_type {
                Some(ColumnType { base, dimensions: 0, .. }) if json.get() != "null" => {
                    encode::comparable(json.get(), *base)
                }
                other => encode::encode(json, other.as_ref()),
            }
            .map_err(wrong)?,
        );
        Ok(format!("?{}", bound.len()))
    };
    let holds = holds(column);
    filter::check(condition, holds)?;
    let sign = match condition.operator {
        // A list for a column of lists is one of its values.
        Operator::In if holds == Holds::Lists => "=",
        Operator::IsNull => {
            return Ok(format!("{name} IS {}NULL", if condition.value.get() == "true" { "" } else { "NOT " }));
        }
        Operator::Like | Operator::Ilike => {
            let Ok(pattern) = serde_json::from_str::<String>(condition.value.get()) else {
                return Err(Error::invalid(format!("where.{}", condition.column), "the pattern cannot be read"));
            };
            bound.push(Value::Text(pattern));
            let fold = i32::from(condition.operator == Operator::Ilike);
            return Ok(format!("callboard_like({name}, ?{}, {fold})", bound.len()));
        }
        Operator::In => {
            let list: Vec<&RawValue> = serde_json::from_str(condition.value.get()).map_err(|error| {
                Error::invalid(format!("where.{}", condition.column), "the list cannot be read").cause(error)
            })?;
            let mut parts = vec!["0".to_owned()];
            for json in list {
                let place = value(json)?;
                parts.push(comparison(&name, column, "=", &place));
            }
            return Ok(format!("({})", parts.join(" OR ")));
        }
        Operator::Eq => "=",
        Operator::Ne => "<>",
        Operator::Gt => ">",
        Operator::Gte => ">=",
        Operator::Lt => "<",
        Operator::Lte => "<=",
    };
    let place = value(&condition.value)?;
    Ok(comparison(&name, column, sign, &place))
}

fn holds(column: &Column) -> Holds {
    match &column.column_type {
        Some(kind) if kind.dimensions > 0 => Holds::Lists,
        Some(ColumnType { base: BaseType::Json | BaseType::Jsonb, .. }) => Holds::Documents,
        _ => Holds::Values,
    }
}

fn comparison(name: &str, column: &Column, sign: &str, place: &str) -> String {
    match column.column_type {
        Some(ColumnType { base: BaseType::Numeric(_), dimensions: 0, .. }) => {
            format!("callboard_compare({name}, {place}) {sign} 0")
        }
        Some(ColumnType {
            base: BaseType::Timestamp(_) | BaseType::TimestampTz(_) | BaseType::Date,
            dimensions: 0,
            ..
        }) => {
            format!("{name} COLLATE {} {sign} {place}", collations::INSTANT)
        }
        _ => format!("{name} {sign} {place}"),
    }
}
