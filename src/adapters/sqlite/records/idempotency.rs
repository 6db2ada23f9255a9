//! What was answered to calls with a key.

use std::time::Duration;

use rusqlite::{OptionalExtension, Transaction, params};
use serde_json::value::RawValue;

use super::RecordStore;
use crate::{
    clock::Instant,
    domain::json::Json,
    error::Error,
    ports::idempotency::{Begun, IdempotencyStore},
};

/// How long a key is remembered.
const KEPT: Duration = Duration::from_hours(24);
/// Expired keys to remove with each new one: the table shrinks faster than it grows.
const SWEPT: i64 = 20;

#[async_trait::async_trait]
impl IdempotencyStore for RecordStore {
    async fn begin(&self, key: &str, request_hash: &str, now: Instant) -> Result<Begun, Error> {
        let (key, request_hash) = (key.to_owned(), request_hash.to_owned());
        self.transact(move |transaction| begin(transaction, &key, &request_hash, now)).await
    }

    async fn finish(&self, key: &str, answer: &Json, now: Instant) -> Result<(), Error> {
        let (key, answer) = (key.to_owned(), answer.get().to_owned());
        self.transact(move |transaction| {
            let sql = "-- idempotency_finish\nUPDATE idempotency SET answer = ?2, expires_at = ?3 WHERE key = ?1";
            transaction.execute(sql, params![key, answer, now.after(KEPT).0]).map(drop)
        })
        .await
    }

    async fn forget(&self, key: &str) -> Result<(), Error> {
        let key = key.to_owned();
        self.transact(move |transaction| {
            let sql = "-- idempotency_forget\nDELETE FROM idempotency WHERE key = ?1 AND answer IS NULL";
            transaction.execute(sql, [key]).map(drop)
        })
        .await
    }
}

fn begin(transaction: &Transaction<'_>, key: &str, request_hash: &str, now: Instant) -> rusqlite::Result<Begun> {
    transaction.execute(
        "-- idempotency_sweep\n\
         DELETE FROM idempotency WHERE key IN (SELECT key FROM idempotency WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2) \
         OR (key = ?3 AND expires_at <= ?1)",
        params![now.0, SWEPT, key],
    )?;
    let known: Option<(String, Option<String>)> = transaction
        .query_row("-- idempotency_find\nSELECT request_hash, answer FROM idempotency WHERE key = ?1", [key], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    match known {
        Some((hash, _)) if hash != request_hash => Ok(Begun::OtherRequest),
        Some((_, answer)) => {
            let answer = answer.and_then(|text| RawValue::from_string(text).ok());
            Ok(answer.map_or(Begun::Unfinished, Begun::Answered))
        }
        None => {
            transaction.execute(
                "-- idempotency_begin\nINSERT INTO idempotency (key, request_hash, expires_at) VALUES (?1, ?2, ?3)",
                params![key, request_hash, now.after(KEPT).0],
            )?;
            Ok(Begun::New)
        }
    }
}
