//! A connection that can only read: what its statements may do is an allow-list, whatever the text looked like.

use std::{cell::RefCell, collections::BTreeSet, path::Path};

use rusqlite::{
    Connection,
    config::DbConfig,
    hooks::{AuthAction, AuthContext, Authorization},
    limits::Limit,
};

use super::attempts;
use crate::adapters::sqlite::functions;

/// Functions that statements may call: those that only compute. Not among them: loading code, reading files, and the maintenance
/// functions of the full-text indexes.
const FUNCTIONS: [&str; 139] = [
    // Core.
    "abs",
    "changes",
    "char",
    "coalesce",
    "concat",
    "concat_ws",
    "format",
    "glob",
    "hex",
    "if",
    "ifnull",
    "iif",
    "instr",
    "last_insert_rowid",
    "length",
    "like",
    "likelihood",
    "likely",
    "lower",
    "ltrim",
    "max",
    "min",
    "nullif",
    "octet_length",
    "printf",
    "quote",
    "random",
    "randomblob",
    "replace",
    "round",
    "rtrim",
    "sign",
    "soundex",
    "sqlite_version",
    "substr",
    "substring",
    "subtype",
    "total_changes",
    "trim",
    "typeof",
    "unhex",
    "unicode",
    "unistr",
    "unistr_quote",
    "unlikely",
    "upper",
    "zeroblob",
    // Dates.
    "current_date",
    "current_time",
    "current_timestamp",
    "date",
    "datetime",
    "julianday",
    "strftime",
    "time",
    "timediff",
    "unixepoch",
    // Aggregates and windows.
    "avg",
    "count",
    "cume_dist",
    "dense_rank",
    "first_value",
    "group_concat",
    "lag",
    "last_value",
    "lead",
    "median",
    "nth_value",
    "ntile",
    "percent_rank",
    "percentile",
    "percentile_cont",
    "percentile_disc",
    "rank",
    "row_number",
    "string_agg",
    "sum",
    "total",
    // Mathematics.
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "ceil",
    "ceiling",
    "cos",
    "cosh",
    "degrees",
    "exp",
    "floor",
    "ln",
    "log",
    "log10",
    "log2",
    "mod",
    "pi",
    "pow",
    "power",
    "radians",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "trunc",
    // JSON.
    "->",
    "->>",
    "json",
    "json_array",
    "json_array_length",
    "json_error_position",
    "json_extract",
    "json_group_array",
    "json_group_object",
    "json_object",
    "json_patch",
    "json_pretty",
    "json_quote",
    "json_remove",
    "json_replace",
    "json_set",
    "json_type",
    "json_valid",
    "jsonb",
    "jsonb_array",
    "jsonb_extract",
    "jsonb_group_array",
    "jsonb_group_object",
    "jsonb_object",
    // Full-text and ours.
    "bm25",
    "highlight",
    "match",
    "snippet",
    "callboard_compare",
    "callboard_like",
    "callboard_negated",
    "callboard_plain",
];

/// Pragmas that tell about tables, which this adapter's own statements use through their table-valued functions.
const PRAGMAS: [&str; 9] = [
    "data_version",
    "foreign_key_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "page_count",
    "table_info",
    "table_list",
    "table_xinfo",
];

thread_local! {
    /// Tables and columns that statements prepared on this thread read.
    static READ: RefCell<BTreeSet<(String, String)>> = const { RefCell::new(BTreeSet::new()) };
}

/// Tables and columns that were read by what was prepared on this thread since this was last asked.
pub(super) fn taken() -> BTreeSet<(String, String)> {
    READ.take()
}

/// Holds a connection, opened read-only, to reading. The file is also attached as `public`, the name that callers know from PostgreSQL.
pub(super) fn restrict(connection: &mut Connection, name: &Path) -> rusqlite::Result<()> {
    if let Some(name) = name.to_str() {
        connection.execute("ATTACH ?1 AS public", [name])?;
    }
    // A name in double quotes is a name: one that no column has is refused, and never taken for a text.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.execute_batch("PRAGMA query_only = ON; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;")?;
    for (limit, most) in [
        (Limit::SQLITE_LIMIT_LENGTH, 16 << 20),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, 64 << 10),
        (Limit::SQLITE_LIMIT_COLUMN, 2_000),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 200),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 200),
        (Limit::SQLITE_LIMIT_FUNCTION_ARG, 100),
        (Limit::SQLITE_LIMIT_ATTACHED, 1),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000),
        (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 10_000),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        connection.set_limit(limit, most)?;
    }
    connection.authorizer(Some(|asked: AuthContext<'_>| authorize(asked.action)))
}

fn authorize(action: AuthAction<'_>) -> Authorization {
    let allowed = match action {
        AuthAction::Select | AuthAction::Recursive => true,
        AuthAction::Read { table_name, column_name } => {
            READ.with_borrow_mut(|read| read.insert((table_name.to_owned(), column_name.to_owned())));
            !table_name.eq_ignore_ascii_case(attempts::TABLE)
        }
        AuthAction::Function { function_name } => {
            let name = function_name.to_ascii_lowercase();
            FUNCTIONS.contains(&name.as_str()) || functions::NAMES.contains(&name.as_str())
        }
        AuthAction::Pragma { pragma_name, .. } => PRAGMAS.contains(&pragma_name.to_ascii_lowercase().as_str()),
        _ => false,
    };
    if allowed { Authorization::Allow } else { Authorization::Deny }
}

#[cfg(test)]
mod tests {
    use rusqlite::{Connection, OpenFlags};

    use super::{FUNCTIONS, restrict};
    use crate::adapters::sqlite::{collations, functions};

    /// Each of these writes, reads files, or changes the connection; none may even be prepared or end well.
    const ATTACKS: [&str; 36] = [
        "INSERT INTO t VALUES (2)",
        "UPDATE t SET a = 2",
        "DELETE FROM t",
        "REPLACE INTO t VALUES (2)",
        "WITH x AS (SELECT 1) INSERT INTO t SELECT 2",
        "WITH x AS (SELECT 1) DELETE FROM t",
        "INSERT INTO t VALUES (2) RETURNING a",
        "INSERT INTO public.t VALUES (2)",
        "DROP TABLE t",
        "CREATE TABLE u (a)",
        "CREATE TEMP TABLE u (a)",
        "CREATE TEMP VIEW u AS SELECT 1",
        "CREATE VIEW u AS SELECT 1",
        "CREATE TEMP TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END",
        "CREATE INDEX i ON t (a)",
        "CREATE VIRTUAL TABLE v USING fts5(a)",
        "CREATE VIRTUAL TABLE temp.v USING rtree(a, b, c)",
        "ALTER TABLE t RENAME TO u",
        "ALTER TABLE t ADD COLUMN b",
        "ATTACH ':memory:' AS other",
        "ATTACH 'file:/etc/passwd' AS other",
        "DETACH public",
        "PRAGMA query_only = OFF",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA writable_schema = ON",
        "PRAGMA user_version = 7",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "PRAGMA temp_store_directory = '/tmp'",
        "SELECT * FROM pragma_journal_mode('delete')",
        "SELECT load_extension('evil')",
        "SELECT fts3_tokenizer('simple')",
        "SELECT fts3_tokenizer('x', x'0000000000000000')",
        "SELECT readfile('/etc/passwd')",
        "VACUUM INTO '/tmp/copy.db'",
        "BEGIN IMMEDIATE",
        "REINDEX t",
    ];

    #[test]
    fn every_function_that_may_be_called_is_there() {
        let connection = Connection::open_in_memory().unwrap();
        collations::register(&connection).unwrap();
        let there = |name: &&str| {
            let counted = "SELECT count(*) FROM pragma_function_list WHERE name = ?1";
            connection.query_row(counted, [name], |row| row.get::<_, i64>(0)).unwrap() > 0
        };
        let missing: Vec<&str> = FUNCTIONS.into_iter().chain(functions::NAMES).filter(|name| !there(name)).collect();
        assert_eq!(missing, [""; 0]);
    }

    #[test]
    fn the_allow_list_alone_holds_against_every_attack() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("data.db");
        let writer = Connection::open(&path).unwrap();
        writer
            .execute_batch(
                "PRAGMA journal_mode = WAL; CREATE TABLE t (a); CREATE INDEX t_a ON t (a); INSERT INTO t VALUES (1);",
            )
            .unwrap();
        let mut reader = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        collations::register(&reader).unwrap();
        restrict(&mut reader, &path).unwrap();
        for attack in ATTACKS {
            assert!(reader.execute_batch(attack).is_err(), "{attack}");
        }
        let left: (i64, i64) = writer
            .query_row("SELECT (SELECT sum(a) FROM t), (SELECT count(*) FROM sqlite_schema)", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        assert_eq!(left, (1, 2));
        assert_eq!(reader.query_row("SELECT count(*) FROM public.t", [], |row| row.get::<_, i64>(0)), Ok(1));
    }
}
