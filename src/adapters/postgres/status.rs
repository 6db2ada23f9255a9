//! A look at the server and at what its role may do.

use std::time::{Duration, Instant};

use futures_util::{FutureExt, TryFutureExt};
use tokio::time::timeout;

use super::{
    failure::{meaning, unreachable_because},
    pool::Pool,
};
use crate::{
    domain::ops::{BackendStatus, State},
    error::Error,
};

/// For the whole look.
const LOOK_TIME: Duration = Duration::from_secs(2);

const RIGHTS: &str = "-- status
SELECT pg_catalog.current_setting('server_version'),
       pg_catalog.current_setting('is_superuser') = 'on',
       pg_catalog.pg_has_role(current_user, 'pg_read_server_files', 'USAGE'),
       pg_catalog.pg_has_role(current_user, 'pg_execute_server_program', 'USAGE'),
       pg_catalog.pg_is_in_recovery(),
       EXISTS (SELECT FROM pg_catalog.pg_class c
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
               WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
                 AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
                 AND pg_catalog.has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE')),
       EXISTS (SELECT FROM pg_catalog.pg_namespace n
               WHERE n.nspname !~ '^pg_' AND pg_catalog.has_schema_privilege(n.oid, 'CREATE')),
       current_user::text,
       pg_catalog.current_database()::text,
       (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(n.nspname), ', ' ORDER BY n.nspname)
        FROM pg_catalog.pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema')";

struct Rights {
    version: String,
    superuser: bool,
    reads_files: bool,
    runs_programs: bool,
    standby: bool,
    writes: bool,
    creates: bool,
    role: String,
    database: String,
    schemas: String,
}

/// Looks afresh; what is wrong is in the answer.
pub async fn status(pool: &Pool, name: &str) -> BackendStatus {
    let started = Instant::now();
    let looked = match timeout(LOOK_TIME, rights(pool)).await {
        Ok(looked) => looked,
        Err(_elapsed) => Err(unreachable_because("no answer in time")),
    };
    let latency_ms = started.elapsed().as_secs_f64() * 1_000.0;
    let name = if name == "main" { "sql".to_owned() } else { format!("sql:{name}") };
    let (state, version, problem, notes, remedy) = match looked {
        Ok(rights) => (State::Up, Some(rights.version.clone()), None, notes(&rights), remedy(&rights)),
        Err(problem) => (State::Down, None, Some(problem), Vec::new(), None),
    };
    BackendStatus { name, kind: "postgresql", state, version, latency_ms, problem, notes, remedy }
}

async fn rights(pool: &Pool) -> Result<Rights, Error> {
    let row = pool.read(LOOK_TIME, &(), |work, ()| work.query_typed_one(RIGHTS, &[]).map_err(meaning).boxed()).await?;
    let schemas: Option<String> = row.try_get(9).map_err(meaning)?;
    Ok(Rights {
        version: row.try_get(0).map_err(meaning)?,
        superuser: row.try_get(1).map_err(meaning)?,
        reads_files: row.try_get(2).map_err(meaning)?,
        runs_programs: row.try_get(3).map_err(meaning)?,
        standby: row.try_get(4).map_err(meaning)?,
        writes: row.try_get(5).map_err(meaning)?,
        creates: row.try_get(6).map_err(meaning)?,
        role: row.try_get(7).map_err(meaning)?,
        database: row.try_get(8).map_err(meaning)?,
        schemas: schemas.unwrap_or_else(|| "public".to_owned()),
    })
}

fn notes(rights: &Rights) -> Vec<String> {
    let mut notes = Vec::new();
    let role = &rights.role;
    if rights.superuser {
        notes.push(format!(
            "the role `{role}` is a superuser; reads are guarded anyway, but a separate role for them is safer"
        ));
    } else {
        if rights.reads_files {
            notes.push(format!("the role `{role}` may read files of the server"));
        }
        if rights.runs_programs {
            notes.push(format!("the role `{role}` may run programs on the server"));
        }
        if !rights.writes && !rights.creates {
            notes.push(format!("the role `{role}` can only read; the writing tools will be refused by the database"));
        }
    }
    if rights.standby {
        notes.push("the server is a standby: it can only be read".to_owned());
    }
    notes
}

/// A role that can only read, for `CALLBOARD_QUERY_URL`.
fn remedy(rights: &Rights) -> Option<String> {
    if !rights.superuser && !rights.reads_files && !rights.runs_programs {
        return None;
    }
    let schemas = &rights.schemas;
    let database = super::catalog::quoted(&rights.database);
    Some(format!(
        "CREATE ROLE callboard_reader LOGIN PASSWORD 'choose one' NOSUPERUSER NOCREATEDB NOCREATEROLE;\n\
         ALTER ROLE callboard_reader SET default_transaction_read_only = on;\n\
         GRANT CONNECT ON DATABASE {database} TO callboard_reader;\n\
         GRANT USAGE ON SCHEMA {schemas} TO callboard_reader;\n\
         GRANT SELECT ON ALL TABLES IN SCHEMA {schemas} TO callboard_reader;\n\
         ALTER DEFAULT PRIVILEGES IN SCHEMA {schemas} GRANT SELECT ON TABLES TO callboard_reader;\n\
         -- then set CALLBOARD_QUERY_URL=postgres://callboard_reader:PASSWORD@HOST:5432/DATABASE"
    ))
}
