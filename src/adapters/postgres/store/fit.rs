//! Whether a server that was set for the SQL tools is one to keep records on.

use crate::{
    adapters::postgres::{failure::meaning, pool::Work},
    error::Error,
};

/// What its role may do about the schema `callboard`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It is there, and may be written.
    Keeps,
    /// It is not there, and may be made.
    MayMake,
    /// It is not there, and may not be made.
    MayNot,
    /// It is there, and may not be written.
    Closed,
    /// It is not there, and this server or this role only reads.
    OnlyReads,
}

const RIGHTS: &str = "-- store_fit
SELECT n.oid IS NOT NULL,
       n.oid IS NOT NULL AND (pg_catalog.pg_has_role(n.nspowner, 'USAGE')
           OR pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND (pg_catalog.has_schema_privilege(n.oid, 'CREATE')
               OR EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid AND c.relname = 'idempotency'
                          AND pg_catalog.has_table_privilege(c.oid, 'INSERT')))),
       pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'),
       pg_catalog.pg_is_in_recovery() OR EXISTS (
           SELECT FROM pg_catalog.pg_settings s WHERE s.name = 'default_transaction_read_only' AND s.setting = 'on')
FROM (VALUES (1)) AS one LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = 'callboard'";

/// Asks, and changes nothing.
///
/// # Errors
/// What the server says.
pub(super) async fn fit(work: &Work) -> Result<Fit, Error> {
    let row = work.query_typed_one(RIGHTS, &[]).await.map_err(meaning)?;
    let says = |column: usize| row.try_get::<_, bool>(column).map_err(meaning);
    let (is_there, writable, may_make, only_reads) = (says(0)?, says(1)?, says(2)?, says(3)?);
    Ok(match (is_there, writable, may_make, only_reads) {
        (true, true, ..) => Fit::Keeps,
        (true, false, ..) => Fit::Closed,
        (false, _, _, true) => Fit::OnlyReads,
        (false, _, true, false) => Fit::MayMake,
        (false, _, false, false) => Fit::MayNot,
    })
}
