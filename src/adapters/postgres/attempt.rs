//! Writes that can be settled after they were cut off: the server keeps for each transaction whether it was committed.

use futures_util::FutureExt;
use tokio_postgres::types::Type;

use super::{
    Postgres,
    failure::{meaning, sqlstate},
    pool::Work,
};
use crate::{
    domain::json,
    error::{Code, Error},
    ports::attempts::{Attempt, Settled},
};

/// A transaction's number, and whose it is: a server that was set up anew or made from a copy counts its own, and one that was promoted may
/// lack the last ones of the server before it.
const PROOF: &str = "-- attempt_proof
SELECT pg_catalog.concat_ws(':', pg_catalog.pg_current_xact_id(), system_identifier,
  pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8))
FROM pg_catalog.pg_control_system()";

/// NULL when the server is another or too much happened since.
const OUTCOME: &str = "-- attempt_outcome
SELECT CASE WHEN system_identifier::text = $2
  AND pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8) = $3
  THEN pg_catalog.pg_xact_status($1::text::pg_catalog.xid8) END
FROM pg_catalog.pg_control_system()";

/// Just before COMMIT: what the transaction can be known by is kept outside of it, with the answer. Passes on what was done.
pub(super) async fn proved<T: serde::Serialize>(
    work: &Work,
    attempt: Option<&dyn Attempt>,
    done: Result<T, Error>,
) -> Result<T, Error> {
    let (Some(attempt), Ok(answer)) = (attempt, &done) else { return done };
    let rows = work.ask(PROOF, &[]).await?;
    let proof: String = match rows.first() {
        Some(row) => row.try_get(0).map_err(meaning)?,
        None => return Err(Error::new(Code::Internal, "the database does not say which transaction this is")),
    };
    attempt.prove(proof, json::of(answer)).await?;
    done
}

impl Postgres {
    /// What became of a transaction. Without a proof it was not committed, and can't be: who commits proves it before.
    pub(super) async fn outcome(&self, proof: Option<&str>) -> Result<Settled, Error> {
        let Some(proof) = proof else { return Ok(Settled::Never) };
        let mut parts = proof.splitn(3, ':');
        let (Some(transaction), Some(system), Some(timeline)) = (parts.next(), parts.next(), parts.next()) else {
            return Ok(Settled::Unknown);
        };
        let asked = self
            .pool
            .read(self.time, &[transaction, system, timeline], |work, parts| {
                async move {
                    let [transaction, system, timeline] =
                        parts.each_ref().map(|part| (part as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT));
                    let rows = work.ask(OUTCOME, &[transaction, system, timeline]).await?;
                    rows.first().map_or(Ok(None), |row| row.try_get::<_, Option<String>>(0)).map_err(meaning)
                }
                .boxed()
            })
            .await;
        match asked {
            Ok(status) => Ok(match status.as_deref() {
                Some("committed") => Settled::Stands(None),
                Some("aborted") => Settled::Never,
                Some(_) => Settled::Running,
                None => Settled::Unknown,
            }),
            // In the future of this server: it lost what came after a copy of it was made.
            Err(error) if sqlstate(&error) == Some("22023") => Ok(Settled::Unknown),
            Err(error) => Err(error),
        }
    }
}
