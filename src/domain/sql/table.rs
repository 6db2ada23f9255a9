//! Tables: their names and what they are made of.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// A table as a caller names it: `orders`, `sales.orders`, `"Odd Name"."T"`. Not yet looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    /// Schema, when given.
    pub schema: Option<Identifier>,
    /// Table.
    pub name: Identifier,
}

/// One part of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identifier {
    /// The characters, without quotes.
    pub text: String,
    /// It stood in double quotes, so only this exact spelling is meant. Unquoted, the exact spelling wins and the folded one is tried next.
    pub quoted: bool,
}

impl FromStr for TableName {
    type Err = Error;

    /// Reads `name`, `schema.name`, each part optionally in double quotes (`""` inside stands for one).
    fn from_str(given: &str) -> Result<Self, Error> {
        let refuse = |why: &str| {
            Error::invalid("table", format!("`table` {why}: `{given}`"))
                .hint("write `name`, `schema.name`, or with double quotes `\"Odd.Name\"`")
        };
        let mut parts = Vec::new();
        let mut rest = given.trim();
        loop {
            let (part, after) = part(rest).ok_or_else(|| refuse("cannot be read"))?;
            if part.text.is_empty() || part.text.contains('\0') {
                return Err(refuse("has an empty part or a NUL"));
            }
            parts.push(part);
            match after.strip_prefix('.') {
                Some(more) => rest = more,
                None if after.is_empty() => break,
                None => return Err(refuse("cannot be read")),
            }
        }
        match (parts.pop(), parts.pop(), parts.pop()) {
            (Some(name), schema, None) => Ok(Self { schema, name }),
            _ => Err(refuse("has more than two parts")),
        }
    }
}

fn part(text: &str) -> Option<(Identifier, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(['.', '"']).unwrap_or(text.len());
        let (part, after) = text.split_at(end);
        return Some((Identifier { text: part.to_owned(), quoted: false }, after));
    };
    let mut name = String::new();
    let mut characters = quoted.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' if characters.peek().is_some_and(|(_, next)| *next == '"') => {
                characters.next();
                name.push('"');
            }
            '"' => return Some((Identifier { text: name, quoted: true }, quoted.get(at + 1..).unwrap_or_default())),
            other => name.push(other),
        }
    }
    None
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{}.", schema.text)?;
        }
        f.write_str(&self.name.text)
    }
}

/// What a table is made of.
#[derive(Debug, Default)]
pub struct TableSchema {
    /// `schema.name`.
    pub table: String,
    /// As in [`super::TableSummary::kind`].
    pub kind: &'static str,
    /// Comment.
    pub comment: Option<String>,
    /// In the table's order.
    pub columns: Vec<ColumnSchema>,
    /// Columns of the primary key, in its order.
    pub primary_key: Vec<String>,
    /// Unique constraints and unique indexes other than the primary key.
    pub unique: Vec<Vec<String>>,
    /// Outgoing references.
    pub foreign_keys: Vec<ForeignKey>,
    /// All indexes.
    pub indexes: Vec<Index>,
    /// Check constraints.
    pub checks: Vec<Check>,
    /// For a view: its query.
    pub definition: Option<String>,
    /// For a partitioned table: its key. For a partition: its bound.
    pub partitioning: Option<String>,
    /// Partitions, `schema.name`.
    pub partitions: Vec<String>,
}

/// A column of a table.
#[derive(Debug, Default, Clone)]
pub struct ColumnSchema {
    /// Name, exactly.
    pub name: String,
    /// The full type: `character varying(50)`, `numeric(10,2)`, `text[]`.
    pub type_name: String,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// Default, as an expression.
    pub default: Option<String>,
    /// `always` or `by default` for an identity column.
    pub identity: Option<&'static str>,
    /// The expression of a generated column.
    pub generated: Option<String>,
    /// Comment.
    pub comment: Option<String>,
    /// The labels when the type is an enum (or an array of one).
    pub enum_labels: Vec<String>,
    /// The type behind domains, when the type is one or an array of one: `integer`, `numeric(10,2)[]`.
    pub base_type: Option<String>,
    /// What those domains ask of a value.
    pub checks: Vec<Check>,
    /// Of a composite type, or of one in an array or behind a domain.
    pub fields: Vec<Field>,
}

/// A field of a composite type, described as a column is.
#[derive(Debug, Clone)]
pub struct Field {
    /// Name, exactly; of a field in a field with the names before it: `address.city`.
    pub name: String,
    /// The full type.
    pub type_name: String,
    /// The labels when the type is an enum (or an array of one).
    pub enum_labels: Vec<String>,
    /// The type behind domains.
    pub base_type: Option<String>,
    /// What those domains ask of a value.
    pub checks: Vec<Check>,
}

/// A reference to another table.
#[derive(Debug)]
pub struct ForeignKey {
    /// Constraint name; empty where it has none.
    pub name: String,
    /// Own columns.
    pub columns: Vec<String>,
    /// The other table, `schema.name`.
    pub references: String,
    /// Its columns.
    pub referenced_columns: Vec<String>,
}

/// An index.
#[derive(Debug)]
pub struct Index {
    /// Name.
    pub name: String,
    /// The statement that makes it.
    pub definition: String,
}

/// A check constraint.
#[derive(Debug, Clone)]
pub struct Check {
    /// Name; empty where it has none.
    pub name: String,
    /// Its expression.
    pub definition: String,
}

/// A table to create.
#[derive(Debug)]
pub struct NewTable {
    /// Name; the schema must exist.
    pub table: TableName,
    /// Its columns.
    pub columns: Vec<NewColumn>,
    /// Columns of the primary key.
    pub primary_key: Vec<String>,
    /// An existing table is no error.
    pub if_not_exists: bool,
    /// Only say what would run.
    pub dry_run: bool,
}

/// A column to create.
#[derive(Debug)]
pub struct NewColumn {
    /// Name, exactly.
    pub name: String,
    /// A type of the allow-list, as the caller wrote it.
    pub type_name: String,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// A constant, as JSON.
    pub default: Option<super::Json>,
    /// Comment.
    pub comment: Option<String>,
}

/// What creating a table did.
#[derive(Debug, Serialize, Deserialize)]
pub struct CreatedTable {
    /// `schema.name`.
    pub table: String,
    /// False when it existed, or on a dry run.
    pub created: bool,
    /// The statement.
    pub ddl: String,
    /// What a table that existed has in common with the one asked for.
    pub note: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::TableName;

    #[test]
    fn names_are_read_with_and_without_quotes() {
        let name: TableName = "sales.orders".parse().unwrap();
        assert_eq!((name.schema.unwrap().text.as_str(), name.name.text.as_str()), ("sales", "orders"));
        let odd: TableName = r#""Odd.Name"."T""x""#.parse().unwrap();
        assert_eq!((odd.schema.unwrap().text.as_str(), odd.name.text.as_str()), ("Odd.Name", "T\"x"));
        for bad in ["", "a.", ".a", "a.b.c", "\"open", "a\"b\""] {
            assert!(bad.parse::<TableName>().is_err(), "{bad}");
        }
    }
}
