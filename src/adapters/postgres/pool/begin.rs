//! How transactions begin: one message, and what each session keeps prepared for it.
//!
//! Settings hold for one transaction, because a pooler hands the session on to somebody else. What they are stays prepared under a name that
//! no other process has: EXECUTE by that name takes the server a few microseconds, and fails in a session that is not ours.

use std::time::Duration;

use super::{Habits, Writes};
use crate::config::OWN_SCHEMA;

/// SQLSTATEs with which BEGIN fails in a session that is not ours: no such prepared statement, or one of another connection of ours.
pub(super) const NOT_OURS: [&str; 2] = ["26000", "42P05"];
/// Waiting for a lock that somebody else holds.
const LOCK_TIME: Duration = Duration::from_secs(3);

/// What a new session prepares, which changes nothing for anybody else who may be given it; and asks for the version of the server.
pub(super) fn session_text(mark: &str, habits: &Habits) -> String {
    let settings = settings(habits);
    format!("-- session\nPREPARE \"{mark}\" AS {settings};SELECT pg_catalog.current_setting('server_version')")
}

/// One message for all of it; `mark` is `None` behind a pooler, where nothing stays prepared.
pub(super) fn begin_text(writes: Writes, statement: Duration, habits: &Habits, mark: Option<&str>) -> String {
    let (access, more) = match writes {
        Writes::No => (habits.reading, ""),
        Writes::Yes => (habits.writing, habits.writing_commands),
        Writes::Rows => {
            (habits.writing, ";SET LOCAL TimeZone = 'UTC';SET CONSTRAINTS ALL IMMEDIATE;SAVEPOINT callboard_unit")
        }
    };
    let settings = mark.map_or_else(|| settings(habits), |mark| format!("EXECUTE \"{mark}\""));
    format!(
        "-- begin\nBEGIN TRANSACTION {access};{settings};\
         SET LOCAL statement_timeout = {};SET LOCAL lock_timeout = {}{more}",
        statement.as_millis().max(1),
        LOCK_TIME.min(statement).as_millis().max(1),
    )
}

/// The settings of every transaction, as one SELECT.
fn settings(habits: &Habits) -> String {
    let mut columns = vec![habits.conditions.to_owned()];
    columns.extend(habits.keeps_out.then(out_of_path));
    let set = |(name, value): &(&str, &str)| format!("pg_catalog.set_config('{name}', '{value}', true)");
    columns.extend(habits.settings.iter().map(set));
    format!("SELECT {}", columns.join(", "))
}

/// Takes our own schema out of the search path.
fn out_of_path() -> String {
    let path = format!("pg_catalog.array_remove(pg_catalog.current_schemas(false), '{OWN_SCHEMA}')");
    let path = format!("pg_catalog.replace(pg_catalog.array_to_string({path}, E'\\x01'), '\"', '\"\"')");
    let path = format!("pg_catalog.concat('\"', pg_catalog.replace({path}, E'\\x01', '\",\"'), '\"')");
    format!(
        "CASE WHEN '{OWN_SCHEMA}' = ANY (pg_catalog.current_schemas(false)) \
         THEN pg_catalog.set_config('search_path', {path}, true) END"
    )
}
