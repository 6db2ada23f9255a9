//! Finding tables by the names that callers write.

pub mod describe;
pub mod list;

use serde::{Deserialize, Deserializer};
use tokio_postgres::{Client, types::Type};

use super::{failure::meaning, pool::Work};
use crate::{
    config::Schemas,
    domain::{
        names::nearest,
        sql::{TableName, table::Identifier},
    },
    error::{Code, Error},
};

/// A table that was found.
#[derive(Debug, Clone, Deserialize)]
pub struct Table {
    /// Its number in the catalog.
    pub oid: u32,
    /// Schema, exactly.
    pub schema: String,
    /// Name, exactly.
    pub name: String,
    /// `pg_class.relkind`: r, p, v, m, f.
    pub kind: char,
    /// In the table's order, dropped ones left out.
    #[serde(deserialize_with = "none_is_empty")]
    pub columns: Vec<Column>,
    /// The primary key first, then the other unique indexes that a conflict can be resolved by (neither partial nor on expressions,
    /// valid, not deferrable).
    #[serde(deserialize_with = "none_is_empty")]
    pub keys: Vec<Key>,
    /// The text in which the catalog said all of this. Whatever a load decides by comes from it, and from nothing else, unless a column's
    /// type is a domain.
    #[serde(skip)]
    pub description: String,
}

/// A column of a found table.
#[derive(Debug, Clone, Deserialize)]
pub struct Column {
    /// Name, exactly.
    pub name: String,
    /// `attnum`.
    pub number: i16,
    /// The full type, which can be written after `::` whatever the search path: `character varying(50)`, `numeric(10,2)`, `text[]`.
    pub type_name: String,
    /// The type's number; of a domain, the domain's own.
    pub type_oid: u32,
    /// The short name of the type behind domains, also those of elements: `varchar`, `numeric`, `_text`.
    pub base: String,
    /// The type is a domain, or an array of one.
    pub domain: bool,
    /// `atttypmod`, -1 for none: the length or precision and scale of the type.
    pub modifier: i32,
    /// NULL is allowed.
    pub nullable: bool,
    /// A missing value is filled in: a default, an identity, or a generated value.
    pub has_default: bool,
    /// Of an identity column: `a` for always, `d` for by default.
    pub identity: Option<char>,
    /// A value can never be given, because it is computed from others.
    pub generated: bool,
    /// A missing value is the next number of a sequence.
    pub counted: bool,
    /// The type is an array of a domain.
    #[serde(skip)]
    pub of_domains: bool,
}

/// A unique index.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Key {
    /// Its name, which is also the name of its constraint.
    pub name: String,
    /// It is the primary key.
    pub primary: bool,
    /// Its columns, in its order.
    pub columns: Vec<String>,
    /// Of each column the collation, as it is written in statements, if it holds different texts for equal.
    pub folding: Vec<Option<String>>,
    /// Two NULLs are alike (PostgreSQL 15).
    pub nulls_equal: bool,
    /// It is WITHOUT OVERLAPS (PostgreSQL 18): kept as an exclusion constraint is, and no target of ON CONFLICT.
    pub temporal: bool,
}

impl Table {
    /// `schema.name`, quoted where PostgreSQL needs it, as answers show it.
    pub fn shown(&self) -> String {
        format!("{}.{}", shown(&self.schema), shown(&self.name))
    }

    /// `"schema"."name"`, for statements.
    pub fn quoted(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.name))
    }

    /// The place of the column that is GENERATED ALWAYS AS IDENTITY, where there is one.
    pub fn always_numbered(&self) -> Option<usize> {
        self.columns.iter().position(|column| column.identity == Some('a'))
    }

    /// The key by which rows are told apart where no other is asked for: the primary key, or the only one.
    pub fn main_key(&self) -> Option<&Key> {
        self.keys.first().filter(|key| key.primary || self.keys.len() == 1)
    }

    /// A column by the name a caller wrote: the exact spelling, else the folded one.
    ///
    /// # Errors
    /// `not_found` with near names, about `argument`.
    pub fn column(&self, name: &str, argument: &'static str) -> Result<&Column, Error> {
        let folded = name.to_ascii_lowercase();
        let exact = self.columns.iter().find(|column| column.name == name);
        exact.or_else(|| self.columns.iter().find(|column| column.name == folded)).ok_or_else(|| {
            let known = self.columns.iter().map(|column| column.name.as_str());
            Error::new(Code::NotFound, format!("`{}` has no column `{name}`", self.shown()))
                .argument(argument)
                .did_you_mean(nearest(name, known))
                .hint("get_schema shows its columns")
        })
    }
}

/// Any name inside double quotes, for statements.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A name as an answer shows it and a caller can write it again.
fn shown(name: &str) -> String {
    if name.contains(['.', '"']) { quoted(name) } else { name.to_owned() }
}

/// One table with its columns and keys, as one text in JSON: lists in the order of the fields above. Of a column whose type is a domain, the
/// type behind it comes from [`DOMAINS`]. The text also stays in a setting of the transaction, for a statement sent behind this one.
const FIND: &str = "-- table_find
SELECT pg_catalog.set_config('callboard.table', found.description::text, true)
FROM (
    SELECT pg_catalog.json_build_array(c.oid::int8, n.nspname, c.relname, c.relkind,
        (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
            a.attname, a.attnum, pg_catalog.format_type(a.atttypid, a.atttypmod), a.atttypid::int8, t.typname, t.domain,
            a.atttypmod, NOT a.attnotnull, a.atthasdef OR a.attidentity <> '', NULLIF(a.attidentity, ''),
            a.attgenerated <> '', a.attidentity <> '' OR a.atthasdef AND EXISTS (
                SELECT FROM pg_catalog.pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum
                  AND pg_catalog.pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%')) ORDER BY a.attnum)
         FROM pg_catalog.pg_attribute a
         CROSS JOIN LATERAL (SELECT t.typname, t.typtype = 'd' OR t.typcategory = 'A' AND EXISTS (
                SELECT FROM pg_catalog.pg_type e WHERE e.oid = t.typelem AND e.typtype = 'd') AS domain
             FROM pg_catalog.pg_type t WHERE t.oid = a.atttypid OFFSET 0) t
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
        (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(k.relname, i.indisprimary, (
                SELECT pg_catalog.json_agg(a.attname ORDER BY p.place)
                FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS p (number, place)
                JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = p.number
                WHERE p.place <= i.indnkeyatts), (
                SELECT pg_catalog.json_agg((
                    SELECT pg_catalog.quote_ident(s.nspname) || '.' || pg_catalog.quote_ident(o.collname)
                    FROM pg_catalog.pg_collation o JOIN pg_catalog.pg_namespace s ON s.oid = o.collnamespace
                    WHERE o.oid = p.number AND NOT o.collisdeterministic) ORDER BY p.place)
                FROM pg_catalog.unnest(i.indcollation::oid[]) WITH ORDINALITY AS p (number, place)),
                COALESCE(pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct', 'false')::bool,
                i.indisexclusion) ORDER BY i.indisprimary DESC, k.relname)
         FROM pg_catalog.pg_index i
         JOIN pg_catalog.pg_class k ON k.oid = i.indexrelid
         WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
           AND i.indpred IS NULL AND i.indexprs IS NULL)) AS description
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
      AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
      AND c.relname IN ($1 /* exact */, $2 /* folded */)
      AND CASE WHEN $3 /* schema, exact */::text IS NULL THEN pg_catalog.pg_table_is_visible(c.oid)
               ELSE n.nspname IN ($3, $4 /* schema, folded */) END
    ORDER BY n.nspname = $3 DESC NULLS LAST, c.relname = $1 DESC
    LIMIT 1) found";

/// The types behind domains, through domains over domains and through arrays.
const DOMAINS: &str = "-- table_domains
WITH RECURSIVE base (start, oid, modifier, arrays, of_domains) AS (
    SELECT t.oid, t.oid, -1, 0, t.typtype <> 'd' FROM pg_catalog.pg_type t WHERE t.oid = ANY ($1 /* domains */)
    UNION ALL
    SELECT b.start, CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END,
           CASE WHEN t.typtype = 'd' AND t.typtypmod >= 0 THEN t.typtypmod ELSE b.modifier END,
           b.arrays + (t.typtype <> 'd')::int4, b.of_domains
    FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.oid
    WHERE t.typtype = 'd' OR t.typcategory = 'A' AND t.typelem <> 0 AND t.typlen = -1
)
SELECT b.start, pg_catalog.repeat('_', b.arrays) || t.typname, b.modifier, b.of_domains
FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.oid
WHERE t.typtype <> 'd' AND NOT (t.typcategory = 'A' AND t.typelem <> 0 AND t.typlen = -1)";

const NEAR: &str = "-- table_names
SELECT n.nspname, c.relname, pg_catalog.pg_table_is_visible(c.oid)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
LIMIT 5000";

const SCHEMAS: &str = "-- schema_names
SELECT n.nspname FROM pg_catalog.pg_namespace n
WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')";

/// Finds a table with its columns and keys. The exact spelling wins; an unquoted name is then folded as PostgreSQL folds it.
///
/// # Errors
/// `not_found` about the argument `table`, with near names in `schemas`.
pub async fn find(work: &Work, name: &TableName, schemas: &Schemas) -> Result<Table, Error> {
    let Some(description) = look(work, name).await? else { return Err(missing(work, name, schemas).await?) };
    let unreadable = |error| Error::new(Code::Internal, "the database's catalog cannot be read").cause(error);
    let mut table: Table = serde_json::from_str(&description).map_err(unreadable)?;
    table.description = description;
    behind_domains(work, &mut table.columns).await?;
    Ok(table)
}

/// What the catalog says of a table, where there is one: [`Table::description`].
///
/// # Errors
/// What the server says.
pub async fn look(work: &Work, name: &TableName) -> Result<Option<String>, Error> {
    let (exact, folded) = spellings(&name.name);
    let schema = name.schema.as_ref().map(spellings);
    let (schema, schema_folded) = match &schema {
        Some((exact, folded)) => (Some(*exact), Some(folded.as_str())),
        None => (None, None),
    };
    let found = work
        .ask(FIND, &[(&exact, Type::TEXT), (&folded, Type::TEXT), (&schema, Type::TEXT), (&schema_folded, Type::TEXT)])
        .await?;
    found.first().map(|row| row.try_get(0).map_err(meaning)).transpose()
}

async fn behind_domains(work: &Work, columns: &mut [Column]) -> Result<(), Error> {
    let domains: Vec<u32> = columns.iter().filter(|column| column.domain).map(|column| column.type_oid).collect();
    if domains.is_empty() {
        return Ok(());
    }
    for row in work.ask(DOMAINS, &[(&domains, Type::OID_ARRAY)]).await? {
        let (domain, base, modifier): (u32, String, i32) =
            (row.try_get(0).map_err(meaning)?, row.try_get(1).map_err(meaning)?, row.try_get(2).map_err(meaning)?);
        let of_domains: bool = row.try_get(3).map_err(meaning)?;
        for column in columns.iter_mut().filter(|column| column.type_oid == domain) {
            column.base.clone_from(&base);
            column.of_domains = of_domains;
            if column.modifier < 0 {
                column.modifier = modifier;
            }
        }
    }
    Ok(())
}

fn spellings(identifier: &Identifier) -> (&str, String) {
    let exact = identifier.text.as_str();
    let folded = if identifier.quoted { exact.to_owned() } else { exact.to_ascii_lowercase() };
    (exact, folded)
}

async fn missing(client: &Client, name: &TableName, schemas: &Schemas) -> Result<Error, Error> {
    if let Some(schema) = &name.schema {
        let (exact, folded) = spellings(schema);
        let rows = client.query_typed(SCHEMAS, &[]).await.map_err(meaning)?;
        let known: Vec<String> = rows.iter().filter_map(|row| row.try_get(0).ok()).collect();
        if !known.iter().any(|known| known == exact || *known == folded) {
            let known = known.iter().filter(|known| schemas.allow(known));
            return Ok(Error::new(Code::NotFound, format!("no schema `{exact}`"))
                .argument("table")
                .did_you_mean(nearest(exact, known.map(String::as_str)))
                .hint("list_tables shows the tables with their schemas"));
        }
    }
    Ok(Error::new(Code::NotFound, format!("no table `{name}`"))
        .argument("table")
        .did_you_mean(near_tables(client, &name.to_string(), schemas).await?)
        .hint("list_tables shows the tables"))
}

/// Tables in `schemas` with a name near `given`, written as a caller can use them.
pub async fn near_tables(client: &Client, given: &str, schemas: &Schemas) -> Result<Vec<String>, Error> {
    let rows = client.query_typed(NEAR, &[]).await.map_err(meaning)?;
    let mut known = Vec::new();
    for row in &rows {
        let (schema, name): (String, String) = (row.try_get(0).map_err(meaning)?, row.try_get(1).map_err(meaning)?);
        let visible: bool = row.try_get(2).map_err(meaning)?;
        if !schemas.allow(&schema) {
            continue;
        }
        let alone = shown(&name);
        let full = format!("{}.{alone}", shown(&schema));
        known.push((alone, full, visible));
    }
    let wanted = given.rsplit('.').next().unwrap_or(given);
    let candidates =
        known.iter().map(|(alone, full, _)| if given.contains('.') { full.as_str() } else { alone.as_str() });
    let mut near = nearest(given, candidates);
    if near.is_empty() {
        near = nearest(wanted, known.iter().map(|(alone, _, _)| alone.as_str()));
    }
    Ok(near.into_iter().map(|name| reachable(&known, name)).collect())
}

/// The full name where the short one does not reach it.
fn reachable(known: &[(String, String, bool)], name: String) -> String {
    let hidden = known.iter().find(|(alone, _, visible)| *alone == name && !visible);
    let visible = known.iter().any(|(alone, _, visible)| *alone == name && *visible);
    match hidden {
        Some((_, full, _)) if !visible => full.clone(),
        _ => name,
    }
}

/// A list of nothing comes as NULL.
fn none_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(list: D) -> Result<Vec<T>, D::Error> {
    Option::deserialize(list).map(Option::unwrap_or_default)
}
