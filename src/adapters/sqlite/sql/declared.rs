//! Column types as SQLite keeps them: PostgreSQL's names, written so that SQLite changes no value and orders them as their type does.

use crate::{
    adapters::sqlite::collations,
    domain::sql::column_types::{BaseType, ColumnType, Identity},
};

/// The word in a type that says how SQLite keeps values whose type's name alone says it wrongly.
fn affinity(column: &ColumnType) -> Option<&'static str> {
    match (column.base, column.dimensions) {
        // SQLite would take them for numbers.
        (
            BaseType::Json
            | BaseType::Jsonb
            | BaseType::Xml
            | BaseType::Bit(_)
            | BaseType::VarBit(_)
            | BaseType::TsVector,
            0,
        ) => Some("text"),
        // SQLite would make integers of whole numbers, and divide them as such.
        (BaseType::Numeric(_), 0) => Some("real"),
        _ => None,
    }
}

/// A type as it stands in CREATE TABLE, with its collation where order is not that of the bytes.
pub(super) fn write(column: &ColumnType) -> String {
    let base = match column.base {
        // SQLite takes INTEGER and REAL, in any case, for its own types of 64 bits.
        BaseType::Integer => "int4".to_owned(),
        BaseType::Real => "float4".to_owned(),
        other => other.to_string(),
    };
    let (name, arguments) = match base.split_once('(') {
        Some((name, arguments)) => (name.to_owned(), format!("({arguments}")),
        None => (base, String::new()),
    };
    // SQLite reads the brackets as one more word of the type, which must come before its numbers.
    let brackets = "[]".repeat(usize::from(column.dimensions));
    let affinity = affinity(column).map(|word| format!(" {word}")).unwrap_or_default();
    let collation = match (column.dimensions, column.base) {
        (0, BaseType::Numeric(size)) if size.is_none_or(|(precision, _)| precision > 15) => Some(collations::DECIMAL),
        (0, BaseType::Timestamp(_) | BaseType::TimestampTz(_) | BaseType::Date) => Some(collations::INSTANT),
        (0, BaseType::Uuid) => Some("NOCASE"),
        (0, BaseType::Char(_)) => Some("RTRIM"),
        _ => None,
    };
    let collation = collation.map(|name| format!(" COLLATE {name}")).unwrap_or_default();
    format!("{name}{brackets}{affinity}{arguments}{collation}")
}

/// Reads a declared type, also of tables that were made elsewhere. `None` when it is none of ours: its values are then whatever they are.
pub(super) fn read(declared: &str) -> Option<ColumnType> {
    // What `write` never writes: tables made elsewhere.
    match declared.trim().to_ascii_uppercase().as_str() {
        "INTEGER" | "INT" => return Some(plain(BaseType::BigInt)),
        "REAL" | "FLOAT" | "DOUBLE" => return Some(plain(BaseType::DoublePrecision)),
        "" => return None,
        _ => {}
    }
    let (name, arguments) = match declared.split_once('(') {
        Some((name, arguments)) => (name, format!("({arguments}")),
        None => (declared, String::new()),
    };
    let name = name.trim();
    let (name, dimensions) = match name.split_once("[]") {
        Some((name, more)) => (name, 1 + more.matches("[]").count()),
        None => (name, 0),
    };
    let name = name.trim();
    let name = ["text", "real"].iter().find_map(|word| name.strip_suffix(word)?.strip_suffix(' ')).unwrap_or(name);
    let read = ColumnType::parse(&format!("{name}{arguments}{}", "[]".repeat(dimensions)), "type").ok()?;
    Some(ColumnType { identity: None::<Identity>, ..read })
}

fn plain(base: BaseType) -> ColumnType {
    ColumnType { base, dimensions: 0, identity: None }
}

/// The short name for the columns of an answer: `int4`, `varchar`, `text[]`.
pub(super) fn short_name(column: &ColumnType) -> String {
    let base = match column.base {
        BaseType::Boolean => "bool".to_owned(),
        BaseType::SmallInt => "int2".to_owned(),
        BaseType::Integer => "int4".to_owned(),
        BaseType::BigInt => "int8".to_owned(),
        BaseType::Real => "float4".to_owned(),
        BaseType::DoublePrecision => "float8".to_owned(),
        BaseType::Char(_) => "bpchar".to_owned(),
        other => other.to_string().split('(').next().unwrap_or_default().to_owned(),
    };
    if column.dimensions > 0 { format!("{base}[]") } else { base }
}

#[cfg(test)]
mod tests {
    use super::{read, short_name, write};
    use crate::domain::sql::column_types::ColumnType;

    #[test]
    fn every_type_is_read_as_it_was_written() {
        for given in [
            "varchar(50)",
            "numeric(10,2)",
            "numeric",
            "numeric(38,10)[]",
            "text[]",
            "varchar(5)[]",
            "timestamptz(3)",
            "jsonb",
            "jsonb[]",
            "bytea",
            "uuid",
            "double precision",
            "integer[][]",
            "bit(3)",
            "interval",
            "int4range",
            "char(3)",
            "time with time zone",
        ] {
            let column = ColumnType::parse(given, "type").unwrap();
            let declared = write(&column);
            let declared = declared.split(" COLLATE").next().unwrap();
            assert_eq!(read(declared), Some(column), "{given} as {declared}");
        }
        assert_eq!(short_name(&read("INTEGER").unwrap()), "int8");
        assert_eq!(short_name(&read("varchar(50)").unwrap()), "varchar");
        assert_eq!(read("GEOMETRY"), None);
    }
}
