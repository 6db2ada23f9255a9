//! Tools that write into SQL databases.

use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{
    Json, Keyed, Parameters, ToolError, Tools,
    raw::{Any, Lenient, Object},
};
use crate::{
    domain::sql::{
        Duplicates, Loaded, OnConflict, OnError, Reject, WrittenRow,
        table::{self, CreatedTable},
    },
    services::sql::{LoadRequest, TableRequest},
};

/// Arguments of insert_data.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InsertData {
    /// `name` or `schema.name`.
    table: String,
    /// {column: value}.
    #[serde(alias = "data")]
    #[schemars(extend("x-aliases" = ["data"]))]
    row: Object,
    /// Columns (default: the primary key).
    returning: Option<Lenient<Vec<String>>>,
    database: Option<String>,
}

/// Answer of insert_data.
#[derive(Serialize, JsonSchema)]
pub struct InsertAnswer {
    table: String,
    inserted: u64,
    row: Object,
}

/// Arguments of bulk_insert.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkInsert {
    /// `name` or `schema.name`.
    table: String,
    /// Up to 100,000 [{column: value}]. A missing column keeps the default or old value.
    #[serde(alias = "data")]
    #[schemars(extend("x-aliases" = ["data"]))]
    rows: Lenient<Vec<Object>>,
    /// A row whose key exists (default error).
    on_conflict: Option<ConflictChoice>,
    /// Default: the primary key.
    conflict_columns: Option<Lenient<Vec<String>>>,
    /// reject: good rows stay, bad ones come back with reasons.
    on_error: Option<ErrorChoice>,
    /// Rows that share a key (default refuse).
    duplicates: Option<DuplicateChoice>,
    database: Option<String>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum ConflictChoice {
    Error,
    Ignore,
    Update,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum ErrorChoice {
    Abort,
    Reject,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum DuplicateChoice {
    Refuse,
    Last,
}

/// Answer of bulk_insert.
#[derive(Serialize, JsonSchema)]
pub struct LoadAnswer {
    table: String,
    inserted: u64,
    updated: u64,
    unchanged: u64,
    merged: u64,
    rejected_count: u64,
    elapsed_ms: u64,
    rejected: Vec<RejectView>,
}

#[derive(Serialize, JsonSchema)]
struct RejectView {
    position: usize,
    column: Option<String>,
    code: String,
    reason: String,
    row: Any,
}

/// Arguments of create_table.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTable {
    /// `name` or `schema.name`.
    table: String,
    /// In their order.
    columns: Lenient<Vec<NewColumn>>,
    /// Its columns.
    primary_key: Option<Lenient<Vec<String>>>,
    /// An existing table is no error.
    if_not_exists: Option<bool>,
    /// Only answer with the statement.
    dry_run: Option<bool>,
    database: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
struct NewColumn {
    name: String,
    /// e.g. text, varchar(50), integer, bigint, numeric(10,2), boolean, timestamptz, date, jsonb, uuid, bytea; `[]` for arrays.
    r#type: String,
    /// Default true.
    nullable: Option<bool>,
    /// A constant; JSON of any type.
    #[schemars(with = "Option<String>", extend("x-keeps" = "everything"))]
    default: Option<Any>,
    comment: Option<String>,
}

/// Answer of create_table.
#[derive(Serialize, JsonSchema)]
pub struct CreateAnswer {
    table: String,
    created: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    ddl: String,
}

#[tool_router(router = sql_write_tools, vis = "pub(in crate::tools)")]
impl Tools {
    /// Insert one row into a table of the SQL database and get its key back. Use bulk_insert for several or to update.
    #[tool]
    async fn insert_data(
        &self,
        Keyed(key): Keyed,
        Parameters(arguments): Parameters<InsertData>,
    ) -> Result<Json<InsertAnswer>, ToolError> {
        let returning = names(arguments.returning);
        let database = arguments.database.as_deref();
        Ok(Json(self.app.sql.insert(database, &arguments.table, arguments.row.0, returning, key).await?.into()))
    }

    /// Insert or upsert many rows into a table of the SQL database in one transaction, with exact counts and a reason for each rejected row.
    #[tool]
    async fn bulk_insert(
        &self,
        Keyed(key): Keyed,
        Parameters(arguments): Parameters<BulkInsert>,
    ) -> Result<Json<LoadAnswer>, ToolError> {
        let database = arguments.database.clone();
        Ok(Json(self.app.sql.load(database.as_deref(), arguments.into(), key).await?.into()))
    }

    /// Create a table in the SQL database. dry_run shows the statement first.
    #[tool]
    async fn create_table(
        &self,
        Keyed(key): Keyed,
        Parameters(arguments): Parameters<CreateTable>,
    ) -> Result<Json<CreateAnswer>, ToolError> {
        let database = arguments.database.clone();
        Ok(Json(self.app.sql.create_table(database.as_deref(), arguments.into(), key).await?.into()))
    }
}

fn names(list: Option<Lenient<Vec<String>>>) -> Vec<String> {
    list.map(|Lenient(names)| names).unwrap_or_default()
}

impl From<BulkInsert> for LoadRequest {
    fn from(arguments: BulkInsert) -> Self {
        let columns = names(arguments.conflict_columns);
        Self {
            table: arguments.table,
            rows: arguments.rows.0.into_iter().map(|Object(row)| row).collect(),
            on_conflict: match (arguments.on_conflict, columns.is_empty()) {
                (Some(ConflictChoice::Update), _) | (None, false) => OnConflict::Update(columns),
                (Some(ConflictChoice::Ignore), _) => OnConflict::Ignore,
                (Some(ConflictChoice::Error) | None, _) => OnConflict::Error,
            },
            on_error: match arguments.on_error {
                Some(ErrorChoice::Reject) => OnError::Reject,
                Some(ErrorChoice::Abort) | None => OnError::Abort,
            },
            duplicates: match arguments.duplicates {
                Some(DuplicateChoice::Last) => Duplicates::Last,
                Some(DuplicateChoice::Refuse) | None => Duplicates::Refuse,
            },
        }
    }
}

impl From<CreateTable> for TableRequest {
    fn from(arguments: CreateTable) -> Self {
        let column = |column: NewColumn| table::NewColumn {
            name: column.name,
            type_name: column.r#type,
            nullable: column.nullable.unwrap_or(true),
            default: column.default.map(|Any(value)| value),
            comment: column.comment,
        };
        Self {
            table: arguments.table,
            columns: arguments.columns.0.into_iter().map(column).collect(),
            primary_key: names(arguments.primary_key),
            if_not_exists: arguments.if_not_exists.unwrap_or(false),
            dry_run: arguments.dry_run.unwrap_or(false),
        }
    }
}

impl From<WrittenRow> for InsertAnswer {
    fn from(written: WrittenRow) -> Self {
        Self { table: written.table, inserted: 1, row: Object(written.row) }
    }
}

impl From<Loaded> for LoadAnswer {
    fn from(loaded: Loaded) -> Self {
        Self {
            table: loaded.table,
            inserted: loaded.inserted,
            updated: loaded.updated,
            unchanged: loaded.unchanged,
            merged: loaded.merged,
            rejected_count: loaded.rejected.len() as u64,
            elapsed_ms: loaded.elapsed_ms,
            rejected: loaded.rejected.into_iter().map(RejectView::from).collect(),
        }
    }
}

impl From<Reject> for RejectView {
    fn from(reject: Reject) -> Self {
        Self {
            position: reject.position,
            column: reject.column,
            code: reject.code,
            reason: reject.reason,
            row: Any(reject.row),
        }
    }
}

impl From<CreatedTable> for CreateAnswer {
    fn from(created: CreatedTable) -> Self {
        Self { table: created.table, created: created.created, note: created.note, ddl: created.ddl }
    }
}
