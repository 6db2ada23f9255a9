//! Tools over SQL databases. Reading tools only read; writing tools are `sql/write.rs`.

mod write;

use std::time::Duration;

use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Json, Parameters, ToolError, Tools,
    raw::{Any, Lenient, Object},
};
use crate::{
    domain::{
        page::Cursor,
        sql::{self, TableFilter},
    },
    services::sql::{Asked, QueryRequest},
};

/// Arguments of execute_query.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecuteQuery {
    /// One SELECT, WITH, VALUES or TABLE; values as $1, $2.
    query: String,
    /// For $1, $2: text, or any JSON.
    #[schemars(with = "Option<Vec<String>>")]
    params: Option<Lenient<Vec<Any>>>,
    /// Default 200.
    #[schemars(range(min = 1, max = 10_000))]
    max_rows: Option<u64>,
    /// Default 20000.
    #[schemars(range(min = 1, max = 24_000))]
    timeout_ms: Option<u64>,
    /// Default 24000.
    #[schemars(range(min = 1, max = 1_048_576))]
    max_bytes: Option<u64>,
    cursor: Option<String>,
    database: Option<String>,
}

/// Answer of execute_query.
#[derive(Serialize, JsonSchema)]
pub struct QueryAnswer {
    row_count: usize,
    truncated: bool,
    next: Option<String>,
    elapsed_ms: u64,
    untrusted: bool,
    columns: Vec<ColumnView>,
    #[schemars(with = "Vec<Vec<Any>>")]
    rows: Vec<Any>,
}

#[derive(Serialize, JsonSchema)]
struct ColumnView {
    name: String,
    r#type: String,
}

/// Arguments of explain_query.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainQuery {
    /// As for execute_query.
    query: String,
    /// For $1, $2: text, or any JSON.
    #[schemars(with = "Option<Vec<String>>")]
    params: Option<Lenient<Vec<Any>>>,
    database: Option<String>,
}

/// Answer of explain_query.
#[derive(Serialize, JsonSchema)]
pub struct PlanAnswer {
    cost: Option<f64>,
    estimated_rows: Option<f64>,
    scans: Vec<ScanView>,
    plan: Any,
}

#[derive(Serialize, JsonSchema)]
struct ScanView {
    table: String,
    estimated_rows: Option<f64>,
    filter: Option<String>,
}

/// Arguments of list_tables.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListTables {
    /// Only this one.
    schema: Option<String>,
    /// * for any characters.
    pattern: Option<String>,
    /// Default 200.
    #[schemars(range(min = 1, max = 10_000))]
    limit: Option<u64>,
    cursor: Option<String>,
    database: Option<String>,
}

/// Answer of list_tables.
#[derive(Serialize, JsonSchema)]
pub struct TablesAnswer {
    truncated: bool,
    next: Option<String>,
    tables: Vec<TableView>,
}

#[derive(Serialize, JsonSchema)]
struct TableView {
    schema: String,
    name: String,
    kind: &'static str,
    estimated_rows: Option<i64>,
    size_bytes: Option<i64>,
    comment: Option<String>,
}

/// Arguments of get_schema.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetSchema {
    /// `name` or `schema.name`.
    table: String,
    database: Option<String>,
}

/// Answer of get_schema.
#[derive(Serialize, JsonSchema)]
pub struct SchemaAnswer {
    table: String,
    kind: &'static str,
    comment: Option<String>,
    columns: Vec<ColumnSchemaView>,
    primary_key: Vec<String>,
    unique: Vec<Vec<String>>,
    foreign_keys: Vec<ForeignKeyView>,
    indexes: Vec<DefinitionView>,
    checks: Vec<DefinitionView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    definition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partitioning: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    partitions: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct ColumnSchemaView {
    name: String,
    r#type: String,
    nullable: bool,
    default: Option<String>,
    identity: Option<&'static str>,
    generated: Option<String>,
    comment: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    enum_labels: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base_type: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checks: Vec<DefinitionView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<FieldView>,
}

#[derive(Serialize, JsonSchema)]
struct FieldView {
    /// `address`, and of a composite in it `address.city`.
    name: String,
    r#type: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    enum_labels: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base_type: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checks: Vec<DefinitionView>,
}

#[derive(Serialize, JsonSchema)]
struct ForeignKeyView {
    name: String,
    columns: Vec<String>,
    references: String,
    referenced_columns: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct DefinitionView {
    name: String,
    definition: String,
}

/// Arguments of count_rows.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CountRows {
    /// `name` or `schema.name`.
    table: String,
    /// {column: value} or {column: {op: value}}; op: eq ne gt gte lt lte in like ilike is_null.
    r#where: Option<Object>,
    database: Option<String>,
}

/// Answer of count_rows.
#[derive(Serialize, JsonSchema)]
pub struct CountAnswer {
    count: u64,
}

#[tool_router(router = sql_read_tools, vis = "pub(in crate::tools)")]
impl Tools {
    /// Query the SQL database: one reading statement with bound parameters. It cannot write: use insert_data, bulk_insert, create_table.
    #[tool]
    async fn execute_query(
        &self,
        Parameters(arguments): Parameters<ExecuteQuery>,
    ) -> Result<Json<QueryAnswer>, ToolError> {
        let request = QueryRequest {
            database: arguments.database,
            query: arguments.query,
            params: texts(arguments.params),
            rows_max: arguments.max_rows,
            bytes_max: arguments.max_bytes,
            timeout: arguments.timeout_ms.map(Duration::from_millis),
            cursor: arguments.cursor,
        };
        Ok(Json(self.app.sql.query(request).await?.into()))
    }

    /// Explain how the database would run a statement: cost, expected rows, full scans. Use it when execute_query is slow.
    #[tool]
    async fn explain_query(
        &self,
        Parameters(arguments): Parameters<ExplainQuery>,
    ) -> Result<Json<PlanAnswer>, ToolError> {
        let params = texts(arguments.params);
        Ok(Json(self.app.sql.explain(arguments.database.as_deref(), &arguments.query, params).await?.into()))
    }

    /// List the tables and views of the SQL database with kind, estimated rows, size and comment.
    #[tool]
    async fn list_tables(
        &self,
        Parameters(arguments): Parameters<ListTables>,
    ) -> Result<Json<TablesAnswer>, ToolError> {
        let filter = TableFilter { schema: arguments.schema, pattern: arguments.pattern };
        let page =
            self.app.sql.tables(arguments.database.as_deref(), filter, arguments.limit, arguments.cursor).await?;
        Ok(Json(page.into()))
    }

    /// Describe a table or view: columns with types and defaults, keys, indexes, foreign keys, checks, comments.
    #[tool]
    async fn get_schema(&self, Parameters(arguments): Parameters<GetSchema>) -> Result<Json<SchemaAnswer>, ToolError> {
        Ok(Json(self.app.sql.table(arguments.database.as_deref(), &arguments.table).await?.into()))
    }

    /// Count the rows of a table exactly, all or those that meet conditions.
    #[tool]
    async fn count_rows(&self, Parameters(arguments): Parameters<CountRows>) -> Result<Json<CountAnswer>, ToolError> {
        let conditions = arguments.r#where.map(|conditions| conditions.0);
        let count = self.app.sql.count(arguments.database.as_deref(), &arguments.table, conditions).await?;
        Ok(Json(CountAnswer { count }))
    }
}

fn texts(params: Option<Lenient<Vec<Any>>>) -> Vec<crate::domain::json::Json> {
    params.map(|Lenient(params)| params.into_iter().map(|Any(text)| text).collect()).unwrap_or_default()
}

impl From<Asked<sql::Rows>> for QueryAnswer {
    fn from(asked: Asked<sql::Rows>) -> Self {
        let Asked { answer, next, elapsed_ms } = asked;
        Self {
            row_count: answer.rows.len(),
            truncated: answer.truncated,
            next: next.map(|(cursor, question): (Cursor, String)| cursor.encode(&question)),
            elapsed_ms,
            untrusted: true,
            columns: answer
                .columns
                .into_iter()
                .map(|column| ColumnView { name: column.name, r#type: column.type_name })
                .collect(),
            rows: answer.rows.into_iter().map(Any).collect(),
        }
    }
}

impl From<sql::Plan> for PlanAnswer {
    fn from(plan: sql::Plan) -> Self {
        let scans = plan.scans.into_iter();
        Self {
            cost: plan.cost,
            estimated_rows: plan.estimated_rows,
            scans: scans
                .map(|scan| ScanView { table: scan.table, estimated_rows: scan.estimated_rows, filter: scan.filter })
                .collect(),
            plan: Any(plan.plan),
        }
    }
}

impl From<Asked<Vec<sql::TableSummary>>> for TablesAnswer {
    fn from(asked: Asked<Vec<sql::TableSummary>>) -> Self {
        let view = |table: sql::TableSummary| TableView {
            schema: table.schema,
            name: table.name,
            kind: table.kind,
            estimated_rows: table.estimated_rows,
            size_bytes: table.size_bytes,
            comment: table.comment,
        };
        Self {
            truncated: asked.next.is_some(),
            next: asked.next.map(|(cursor, question)| cursor.encode(&question)),
            tables: asked.answer.into_iter().map(view).collect(),
        }
    }
}

impl From<sql::table::TableSchema> for SchemaAnswer {
    fn from(schema: sql::table::TableSchema) -> Self {
        let checks = |checks: Vec<sql::table::Check>| -> Vec<DefinitionView> {
            let view = |check: sql::table::Check| DefinitionView { name: check.name, definition: check.definition };
            checks.into_iter().map(view).collect()
        };
        let field = |field: sql::table::Field| FieldView {
            name: field.name,
            r#type: field.type_name,
            enum_labels: field.enum_labels,
            base_type: field.base_type,
            checks: checks(field.checks),
        };
        let column = |column: sql::table::ColumnSchema| ColumnSchemaView {
            name: column.name,
            r#type: column.type_name,
            nullable: column.nullable,
            default: column.default,
            identity: column.identity,
            generated: column.generated,
            comment: column.comment,
            enum_labels: column.enum_labels,
            base_type: column.base_type,
            checks: checks(column.checks),
            fields: column.fields.into_iter().map(field).collect(),
        };
        let reference = |key: sql::table::ForeignKey| ForeignKeyView {
            name: key.name,
            columns: key.columns,
            references: key.references,
            referenced_columns: key.referenced_columns,
        };
        Self {
            table: schema.table,
            kind: schema.kind,
            comment: schema.comment,
            columns: schema.columns.into_iter().map(column).collect(),
            primary_key: schema.primary_key,
            unique: schema.unique,
            foreign_keys: schema.foreign_keys.into_iter().map(reference).collect(),
            indexes: schema
                .indexes
                .into_iter()
                .map(|index| DefinitionView { name: index.name, definition: index.definition })
                .collect(),
            checks: checks(schema.checks),
            definition: schema.definition,
            partitioning: schema.partitioning,
            partitions: schema.partitions,
        }
    }
}
