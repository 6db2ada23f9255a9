//! What was answered to calls with a key: for transitions of this store in the same transaction, for writes elsewhere before and after.

use std::{collections::HashMap, future::Future, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{Sql, Store, Transaction, Value, collected::KeptAnswer, sql::sql};
use crate::{
    clock::Instant,
    domain::{
        idempotency::{Key, Repeat},
        json::{self, Json},
    },
    error::{Code, Error},
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

/// Runs `work` once for a key: a repeat gets the first answer, and another call with the key is told so. What fails or is refused is not
/// remembered, because it changed nothing.
///
/// # Errors
/// Those of `work` and of the store.
pub async fn once<T, R>(
    transaction: &Transaction<'_>,
    key: Option<&Key>,
    now: Instant,
    work: impl Future<Output = Result<Result<T, R>, Error>> + Send,
) -> Result<Result<T, R>, Error>
where
    T: Serialize + DeserializeOwned + Send,
    R: From<Repeat> + Send,
{
    let Some(key) = key else { return work.await };
    if let Some(answer) = Answers::find(transaction, [(Some(key), now)]).await?.first(Some(key))? {
        return Ok(answer);
    }
    let answer = work.await?;
    match &answer {
        Ok(answer) => Answers::default().keep(transaction, Some(key), now, answer),
        Err(_) => {
            // What it was refused for may be its own first call, whose end was waited for.
            if let Some(first) = Answers::find(transaction, [(Some(key), now)]).await?.first(Some(key))? {
                return Ok(first);
            }
        }
    }
    Ok(answer)
}

/// What the keys of several calls stand for.
#[derive(Default)]
pub(super) struct Answers(HashMap<String, Found>);

/// A row that is not outlived.
struct Found {
    request_hash: String,
    answer: Option<String>,
    attempt: Option<String>,
    effect: Option<String>,
}

impl Answers {
    /// Finds them. Keys whose time is over are free again.
    pub(super) async fn find<'k>(
        transaction: &Transaction<'_>,
        keys: impl IntoIterator<Item = (Option<&'k Key>, Instant)>,
    ) -> Result<Self, Error> {
        let keys: Vec<(&Key, Instant)> = keys.into_iter().filter_map(|(key, now)| Some((key?, now))).collect();
        let mut found = HashMap::new();
        let Some(now) = keys.iter().map(|(_, now)| *now).max() else { return Ok(Self(found)) };
        let names: Vec<String> = keys.iter().map(|(key, _)| key.key.clone()).collect();
        let rows = transaction
            .query(
                sql!(
                    "-- idempotency_find\n\
                     SELECT key, request_hash, answer, expires_at, attempt, proof FROM idempotency WHERE key ",
                    (any 1)
                ),
                &[Value::Texts(&names)],
            )
            .await?;
        let mut outlived = Vec::new();
        for mut row in rows {
            let (key, request_hash, answer, expires_at) = (row.text()?, row.text()?, row.text_or_none()?, row.time()?);
            if expires_at <= now {
                outlived.push(key);
                continue;
            }
            let found_one = Found { request_hash, answer, attempt: row.text_or_none()?, effect: row.text_or_none()? };
            found.insert(key, found_one);
        }
        if !outlived.is_empty() {
            let sql =
                sql!("-- idempotency_outlived\nDELETE FROM idempotency WHERE key ", (any 1), " AND expires_at <= $2");
            transaction.execute(sql, &[Value::Texts(&outlived), now.into()]).await?;
        }
        Ok(Self(found))
    }

    fn begun(&self, key: &Key) -> Begun {
        let Some(found) = self.0.get(&key.key) else { return Begun::New };
        if found.request_hash != key.request_hash {
            return Begun::OtherRequest;
        }
        let attempt = found.attempt.clone();
        let answer = found.answer.clone().and_then(|text| RawValue::from_string(text).ok());
        match (answer, found.effect.clone()) {
            (Some(answer), None) => Begun::Answered(answer),
            (None, _) => Begun::Unfinished(Unfinished { attempt, proof: None }),
            (Some(answer), Some(effect)) => {
                Begun::Unfinished(Unfinished { attempt, proof: Some(Proof { effect, answer }) })
            }
        }
    }

    /// What a call with this key is answered when it is not the first.
    pub(super) fn first<T, R>(&self, key: Option<&Key>) -> Result<Option<Result<T, R>>, Error>
    where
        T: DeserializeOwned,
        R: From<Repeat>,
    {
        let Some(key) = key else { return Ok(None) };
        Ok(Some(match self.begun(key) {
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

    /// Keeps the answer to a call for its repeats, also those of the same batch. Where another process is first meanwhile, the key is there,
    /// and the transition is rolled back and run again.
    pub(super) fn keep<T: Serialize>(
        &mut self,
        transaction: &Transaction<'_>,
        key: Option<&Key>,
        now: Instant,
        answer: &T,
    ) {
        let Some(Key { key, request_hash }) = key else { return };
        let (answer, expires_at) = (json::of(answer).get().to_owned(), now.after(KEPT));
        let found =
            Found { request_hash: request_hash.clone(), answer: Some(answer.clone()), attempt: None, effect: None };
        self.0.insert(key.clone(), found);
        transaction.keep(KeptAnswer { key: key.clone(), request_hash: request_hash.clone(), answer, expires_at });
    }
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
        self.transact(asked, |transaction, asked| Box::pin(begin(transaction, asked))).await
    }

    /// Puts `attempt` in the place of one that has no effect and never will. False when that one went on meanwhile, or another was quicker.
    pub async fn take_over_attempt(&self, key: &str, from: &Unfinished, attempt: &str) -> Result<bool, Error> {
        let effect = from.proof.as_ref().map(|proof| proof.effect.clone()).unwrap_or_default();
        let texts = [key.to_owned(), from.attempt.clone().unwrap_or_default(), effect, attempt.to_owned()];
        let changed = self.change(
            texts,
            Sql::both(
                "-- idempotency_take_over\n\
            UPDATE idempotency SET attempt = $4, answer = NULL, proof = NULL \
            WHERE key = $1 AND attempt = $2 AND coalesce(proof, '') = $3",
            ),
        );
        Ok(changed.await? == 1)
    }

    /// Keeps what will be answered if the effect stands, and how its database can be asked whether it does. False when the attempt was taken over.
    pub async fn prove_attempt(&self, key: &str, attempt: &str, proof: &Proof) -> Result<bool, Error> {
        let texts = [key.to_owned(), attempt.to_owned(), proof.effect.clone(), proof.answer.get().to_owned()];
        let changed = self.change(
            texts,
            Sql::both(
                "-- idempotency_prove\n\
            UPDATE idempotency SET proof = $3, answer = $4 WHERE key = $1 AND attempt = $2",
            ),
        );
        Ok(changed.await? == 1)
    }

    /// Keeps the answer.
    pub async fn finish_attempt(&self, key: &str, attempt: &str, answer: &Json, now: Instant) -> Result<(), Error> {
        let asked = (key.to_owned(), attempt.to_owned(), answer.get().to_owned(), now);
        self.transact(asked, |transaction, (key, attempt, answer, now)| {
            let sql = Sql::both(
                "-- idempotency_finish\n\
                UPDATE idempotency SET answer = $3, expires_at = $4, attempt = NULL, proof = NULL \
                WHERE key = $1 AND attempt = $2",
            );
            Box::pin(async move {
                let values =
                    [key.as_str().into(), attempt.as_str().into(), answer.as_str().into(), now.after(KEPT).into()];
                transaction.execute(sql, &values).await.map(drop)
            })
        })
        .await
    }

    /// Frees the key: the attempt failed and changed nothing.
    pub async fn forget_attempt(&self, key: &str, attempt: &str) -> Result<(), Error> {
        let texts = [key.to_owned(), attempt.to_owned()];
        self.change(texts, Sql::both("-- idempotency_forget\nDELETE FROM idempotency WHERE key = $1 AND attempt = $2"))
            .await?;
        Ok(())
    }

    /// Forgets keys whose time is over, up to so many. How many.
    pub async fn sweep_keys(&self, now: Instant) -> Result<u64, Error> {
        self.transact(now, |transaction, now| {
            Box::pin(async move {
                let sql = Sql::both(
                    "-- idempotency_sweep\n\
                    DELETE FROM idempotency WHERE expires_at <= $1 AND key IN (SELECT key FROM idempotency \
                    WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
                );
                transaction.execute(sql, &[(*now).into(), SWEPT_AT_ONCE.into()]).await
            })
        })
        .await
    }
}

impl Store {
    /// One statement over texts; how many rows it changed.
    async fn change<const N: usize>(&self, texts: [String; N], sql: Sql) -> Result<u64, Error> {
        self.transact((texts, sql), |transaction, (texts, sql)| {
            Box::pin(async move {
                let values = texts.each_ref().map(|text| text.as_str().into());
                transaction.execute(*sql, &values).await
            })
        })
        .await
    }
}

async fn begin(transaction: &Transaction<'_>, asked: &Begin) -> Result<Begun, Error> {
    let Key { key, request_hash } = &asked.key;
    let found = || async {
        Answers::find(transaction, [(Some(&asked.key), asked.now)]).await.map(|answers| answers.begun(&asked.key))
    };
    let before = found().await?;
    if !matches!(before, Begun::New) {
        return Ok(before);
    }
    let begun = transaction
        .execute(
            Sql::both(
                "-- idempotency_begin\n\
                 INSERT INTO idempotency (key, request_hash, expires_at, attempt) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (key) DO NOTHING",
            ),
            &[key.into(), request_hash.into(), asked.now.after(KEPT).into(), (&asked.attempt).into()],
        )
        .await?;
    if begun == 1 { Ok(Begun::New) } else { found().await }
}
