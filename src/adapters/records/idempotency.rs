//! What was answered to calls with a key: for transitions of this store in the same transaction, for writes elsewhere before and after.

use std::{future::Future, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{Later, Records, Session};
use crate::{
    clock::Instant,
    domain::{
        idempotency::{Key, Repeat},
        json::{self, Json},
    },
    error::{Code, Error, Place},
    ports::idempotency::{Begun, IdempotencyStore},
};

/// How long a key is remembered.
const KEPT: Duration = Duration::from_hours(24);

/// Keys that one transaction forgets.
const SWEPT_AT_ONCE: i64 = 500;

/// SQLSTATE of a transition that has to be run again because another process came first; a store does so by itself.
const AGAIN: &str = "40001";

/// Runs `work` once for a key: a repeat gets the first answer, and another call with the key is told so. What fails or is refused is not
/// remembered, because it changed nothing.
///
/// # Errors
/// Those of `work` and of the store.
pub async fn once<T, R>(
    session: &dyn Session,
    key: Option<&Key>,
    now: Instant,
    work: impl Future<Output = Result<Result<T, R>, Error>> + Send,
) -> Result<Result<T, R>, Error>
where
    T: Serialize + DeserializeOwned + Send,
    R: From<Repeat> + Send,
{
    let Some(key) = key else { return work.await };
    if let Some(answer) = first(session, key, now).await? {
        return Ok(answer);
    }
    let answer = work.await?;
    if answer.is_err()
        && let Some(first) = first(session, key, now).await?
    {
        // What it was refused for may be its own first call, whose end was waited for.
        return Ok(first);
    }
    if let Ok(answer) = &answer {
        let kept = json::of(answer);
        // Where another process was first meanwhile, the key is there, and the transition is taken back and run again.
        session.later(Later {
            sql: "-- idempotency_keep\n\
                  INSERT INTO idempotency (key, request_hash, answer, expires_at) VALUES ($1, $2, $3, $4)",
            many: "-- idempotency_keep_all\n\
                   INSERT INTO idempotency (key, request_hash, answer, expires_at) \
                   SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[])",
            values: vec![
                key.key.as_str().into(),
                key.request_hash.as_str().into(),
                kept.get().into(),
                now.after(KEPT).into(),
            ],
        })?;
    }
    Ok(answer)
}

/// What a call with this key is answered when it is not the first.
async fn first<T, R>(session: &dyn Session, key: &Key, now: Instant) -> Result<Option<Result<T, R>>, Error>
where
    T: DeserializeOwned,
    R: From<Repeat>,
{
    Ok(Some(match find(session, &key.key, &key.request_hash, now).await? {
        Begun::New => return Ok(None),
        Begun::OtherRequest => Err(Repeat::OtherRequest.into()),
        Begun::Unfinished => Err(Repeat::Unfinished.into()),
        Begun::Answered(answer) => {
            let unreadable =
                |error| Error::new(Code::Internal, "the first answer to this key cannot be read").cause(error);
            Ok(serde_json::from_str(answer.get()).map_err(unreadable)?)
        }
    }))
}

/// Another process was first, after this one had looked. Taken back and run again, this transition finds what that one did.
pub(super) fn again(message: &'static str) -> Error {
    Error::new(Code::Busy, message)
        .retry_after(Duration::from_millis(100))
        .place(Place { backend_code: Some(AGAIN.to_owned()), ..Place::default() })
}

async fn find(session: &dyn Session, key: &str, request_hash: &str, now: Instant) -> Result<Begun, Error> {
    let known = session
        .rows(
            "-- idempotency_find\nSELECT request_hash, answer, expires_at FROM idempotency WHERE key = $1",
            &[key.into()],
        )
        .await?;
    let Some(mut row) = known.into_iter().next() else { return Ok(Begun::New) };
    let (first_hash, answer, expires_at) = (row.text()?, row.text_or_none()?, row.time()?);
    if expires_at <= now {
        let sql = "-- idempotency_outlived\nDELETE FROM idempotency WHERE key = $1 AND expires_at <= $2";
        session.change(sql, &[key.into(), now.into()]).await?;
        return Ok(Begun::New);
    }
    if first_hash != request_hash {
        return Ok(Begun::OtherRequest);
    }
    let answer = answer.and_then(|text| RawValue::from_string(text).ok());
    Ok(answer.map_or(Begun::Unfinished, Begun::Answered))
}

struct Begin {
    key: String,
    request_hash: String,
    now: Instant,
}

struct End {
    key: String,
    answer: String,
    now: Instant,
}

#[async_trait::async_trait]
impl IdempotencyStore for Records {
    async fn begin(&self, key: &str, request_hash: &str, now: Instant) -> Result<Begun, Error> {
        let asked = Begin { key: key.to_owned(), request_hash: request_hash.to_owned(), now };
        self.transact(asked, |session, asked| Box::pin(begin(session, asked))).await
    }

    async fn finish(&self, key: &str, answer: &Json, now: Instant) -> Result<(), Error> {
        let asked = End { key: key.to_owned(), answer: answer.get().to_owned(), now };
        self.transact(asked, |session, asked| Box::pin(finish(session, asked))).await
    }

    async fn sweep(&self, now: Instant) -> Result<u64, Error> {
        self.transact(now, |session, now| {
            Box::pin(async move {
                let sql = "-- idempotency_sweep\n\
                    DELETE FROM idempotency WHERE expires_at <= $1 AND key IN (SELECT key FROM idempotency \
                    WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)";
                session.change(sql, &[(*now).into(), SWEPT_AT_ONCE.into()]).await
            })
        })
        .await
    }

    async fn forget(&self, key: &str) -> Result<(), Error> {
        self.transact(key.to_owned(), |session, key| {
            Box::pin(async move {
                let sql = "-- idempotency_forget\nDELETE FROM idempotency WHERE key = $1 AND answer IS NULL";
                session.change(sql, &[key.into()]).await.map(drop)
            })
        })
        .await
    }
}

async fn begin(session: &dyn Session, asked: &Begin) -> Result<Begun, Error> {
    let found = find(session, &asked.key, &asked.request_hash, asked.now).await?;
    if !matches!(found, Begun::New) {
        return Ok(found);
    }
    let begun = session
        .change(
            "-- idempotency_begin\n\
             INSERT INTO idempotency (key, request_hash, expires_at) VALUES ($1, $2, $3) \
             ON CONFLICT (key) DO NOTHING",
            &[(&asked.key).into(), (&asked.request_hash).into(), asked.now.after(KEPT).into()],
        )
        .await?;
    if begun == 1 { Ok(Begun::New) } else { find(session, &asked.key, &asked.request_hash, asked.now).await }
}

async fn finish(session: &dyn Session, asked: &End) -> Result<(), Error> {
    session
        .change(
            "-- idempotency_finish\nUPDATE idempotency SET answer = $2, expires_at = $3 WHERE key = $1",
            &[(&asked.key).into(), (&asked.answer).into(), asked.now.after(KEPT).into()],
        )
        .await
        .map(drop)
}
