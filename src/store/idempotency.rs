//! What was answered to calls with a key: for transitions of this store in the same transaction, for writes elsewhere before and after.

use std::{future::Future, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{Later, Session, Store};
use crate::{
    clock::Instant,
    domain::{
        idempotency::{Key, Repeat},
        json::{self, Json},
    },
    error::{Code, Error, Place},
};

/// What a key stands for.
#[derive(Debug)]
pub enum Begun {
    /// It is new: go on, and say how it ended.
    New,
    /// The same call was answered before.
    Answered(Json),
    /// The same call was begun and its end is not known.
    Unfinished(Unfinished),
    /// The key belongs to a call with other arguments.
    OtherRequest,
}

/// A call that was begun and did not end.
#[derive(Debug)]
pub struct Unfinished {
    /// Who began it; none in the records of a server that could not settle one.
    pub attempt: Option<String>,
    /// None before its effect could stand.
    pub proof: Option<Proof>,
}

/// How to find out whether an effect stands.
#[derive(Debug)]
pub struct Proof {
    /// What the effect's database knows it by; only its adapter reads it.
    pub effect: String,
    /// What is answered if it stands.
    pub answer: Json,
}

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
        Begun::Unfinished(_) => Err(Repeat::Unfinished.into()),
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
            "-- idempotency_find\n\
             SELECT request_hash, answer, expires_at, attempt, proof FROM idempotency WHERE key = $1",
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
    let (attempt, effect) = (row.text_or_none()?, row.text_or_none()?);
    let answer = answer.and_then(|text| RawValue::from_string(text).ok());
    Ok(match (answer, effect) {
        (Some(answer), None) => Begun::Answered(answer),
        (None, _) => Begun::Unfinished(Unfinished { attempt, proof: None }),
        (Some(answer), Some(effect)) => {
            Begun::Unfinished(Unfinished { attempt, proof: Some(Proof { effect, answer }) })
        }
    })
}

struct Begin {
    key: Key,
    attempt: String,
    now: Instant,
}

impl Store {
    /// Claims `key` for `attempt`.
    pub async fn begin_attempt(&self, key: &Key, attempt: &str, now: Instant) -> Result<Begun, Error> {
        let asked = Begin { key: key.clone(), attempt: attempt.to_owned(), now };
        self.transact(asked, |session, asked| Box::pin(begin(session, asked))).await
    }

    /// Puts `attempt` in the place of one that has no effect and never will. False when that one went on meanwhile, or another was quicker.
    pub async fn take_over_attempt(&self, key: &str, from: &Unfinished, attempt: &str) -> Result<bool, Error> {
        let effect = from.proof.as_ref().map(|proof| proof.effect.clone()).unwrap_or_default();
        let texts = [key.to_owned(), from.attempt.clone().unwrap_or_default(), effect, attempt.to_owned()];
        let changed = self.change(
            texts,
            "-- idempotency_take_over\n\
            UPDATE idempotency SET attempt = $4, answer = NULL, proof = NULL \
            WHERE key = $1 AND attempt = $2 AND coalesce(proof, '') = $3",
        );
        Ok(changed.await? == 1)
    }

    /// Keeps what will be answered if the effect stands, and how its database can be asked whether it does. False when the attempt was taken over.
    pub async fn prove_attempt(&self, key: &str, attempt: &str, proof: &Proof) -> Result<bool, Error> {
        let texts = [key.to_owned(), attempt.to_owned(), proof.effect.clone(), proof.answer.get().to_owned()];
        let changed = self.change(
            texts,
            "-- idempotency_prove\n\
            UPDATE idempotency SET proof = $3, answer = $4 WHERE key = $1 AND attempt = $2",
        );
        Ok(changed.await? == 1)
    }

    /// Keeps the answer.
    pub async fn finish_attempt(&self, key: &str, attempt: &str, answer: &Json, now: Instant) -> Result<(), Error> {
        let asked = (key.to_owned(), attempt.to_owned(), answer.get().to_owned(), now);
        self.transact(asked, |session, (key, attempt, answer, now)| {
            let sql = "-- idempotency_finish\n\
                UPDATE idempotency SET answer = $3, expires_at = $4, attempt = NULL, proof = NULL \
                WHERE key = $1 AND attempt = $2";
            Box::pin(async move {
                let values =
                    [key.as_str().into(), attempt.as_str().into(), answer.as_str().into(), now.after(KEPT).into()];
                session.change(sql, &values).await.map(drop)
            })
        })
        .await
    }

    /// Frees the key: the attempt failed and changed nothing.
    pub async fn forget_attempt(&self, key: &str, attempt: &str) -> Result<(), Error> {
        let texts = [key.to_owned(), attempt.to_owned()];
        self.change(texts, "-- idempotency_forget\nDELETE FROM idempotency WHERE key = $1 AND attempt = $2").await?;
        Ok(())
    }

    /// Forgets keys whose time is over, up to so many. How many.
    pub async fn sweep_keys(&self, now: Instant) -> Result<u64, Error> {
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
}

impl Store {
    /// One statement over texts; how many rows it changed.
    async fn change<const N: usize>(&self, texts: [String; N], sql: &'static str) -> Result<u64, Error> {
        self.transact((texts, sql), |session, (texts, sql)| {
            Box::pin(async move {
                let values = texts.each_ref().map(|text| text.as_str().into());
                session.change(sql, &values).await
            })
        })
        .await
    }
}

async fn begin(session: &dyn Session, asked: &Begin) -> Result<Begun, Error> {
    let Key { key, request_hash } = &asked.key;
    let found = find(session, key, request_hash, asked.now).await?;
    if !matches!(found, Begun::New) {
        return Ok(found);
    }
    let begun = session
        .change(
            "-- idempotency_begin\n\
             INSERT INTO idempotency (key, request_hash, expires_at, attempt) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (key) DO NOTHING",
            &[key.into(), request_hash.into(), asked.now.after(KEPT).into(), (&asked.attempt).into()],
        )
        .await?;
    if begun == 1 { Ok(Begun::New) } else { find(session, key, request_hash, asked.now).await }
}
