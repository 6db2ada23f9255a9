//! Locks: a row for each one that is held. Its fence is the number of the event that tells of it: no number is ever used again, for no
//! resource, also after the row is gone.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Store, Transaction,
    events::{self, Event},
    idempotency::once,
};
use crate::{
    changes::Topic,
    clock::Instant,
    domain::{
        idempotency::{Key, Repeat},
        json,
        locks::{LockView, Token},
    },
    error::{Code, Error},
    store::Sql,
    store::sql::sql,
};

/// A wish for a lock.
#[derive(Debug, Clone)]
pub struct Acquire {
    /// What is locked.
    pub resource: String,
    /// For whom.
    pub owner: String,
    /// Holders that are the same one where this process took the lock: they go on without a token.
    pub same: Vec<String>,
    /// Proves that the lock is held already.
    pub token: Option<Token>,
    /// The secret of the token, should it be new.
    pub secret: String,
    /// The server process behind it; the lock ends with it.
    pub session_id: String,
    /// For how long.
    pub ttl: Duration,
    /// Of the call.
    pub key: Option<Key>,
    /// When.
    pub now: Instant,
}

/// A lock that is held now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldLock {
    /// By whom.
    pub owner: String,
    /// Under which fence.
    pub fence: i64,
    /// What proves it, besides the fence.
    pub secret: String,
    /// Until when, in microseconds since 1970.
    pub expires_at_us: i64,
}

/// Why a lock is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AcquireRefused {
    /// Somebody holds it.
    Held(LockView),
    /// The key leads to no answer.
    Repeat(Repeat),
}

/// What somebody does to a lock that it holds.
#[derive(Debug, Clone)]
pub struct Proven {
    /// What is locked.
    pub resource: String,
    /// The right to it.
    pub token: Token,
    /// The server process behind it from now on, when it is prolonged.
    pub session_id: String,
    /// Of the call.
    pub key: Option<Key>,
    /// When.
    pub now: Instant,
}

/// A lock was let go of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Let {
    /// Under which fence it was held.
    pub fence: i64,
}

/// Why a token is worth nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenRefused {
    /// The lock has ended; somebody may hold it again.
    Ended(Option<LockView>),
    /// The key leads to no answer.
    Repeat(Repeat),
}

impl From<Repeat> for AcquireRefused {
    fn from(repeat: Repeat) -> Self {
        Self::Repeat(repeat)
    }
}

impl From<Repeat> for TokenRefused {
    fn from(repeat: Repeat) -> Self {
        Self::Repeat(repeat)
    }
}

/// How often a lock is looked at that others take at the same moment.
const TRIES_MAX: usize = 5;
/// Locks that one transaction removes.
const EXPIRED_AT_ONCE: i64 = 500;

impl Store {
    /// Takes a lock that nobody holds, or whose time is over, under a fence larger than all before. Who holds it already goes on.
    pub async fn acquire_lock(&self, acquire: Acquire) -> Result<Result<HeldLock, AcquireRefused>, Error> {
        self.transact(acquire, |transaction, asked| {
            Box::pin(once(transaction, asked.key.as_ref(), asked.now, acquire_once(transaction, asked)))
        })
        .await
    }

    /// Prolongs a lock.
    pub async fn renew_lock(&self, proven: Proven, ttl: Duration) -> Result<Result<HeldLock, TokenRefused>, Error> {
        self.transact((proven, ttl), |transaction, (proven, ttl)| {
            Box::pin(once(transaction, proven.key.as_ref(), proven.now, renew(transaction, proven, *ttl)))
        })
        .await
    }

    /// Lets go of a lock.
    pub async fn release_lock(&self, proven: Proven) -> Result<Result<Let, TokenRefused>, Error> {
        self.transact(proven, |transaction, proven| {
            Box::pin(once(transaction, proven.key.as_ref(), proven.now, release(transaction, proven)))
        })
        .await
    }

    /// Who holds a lock now.
    pub async fn inspect_lock(&self, resource: &str, now: Instant) -> Result<Option<LockView>, Error> {
        self.read((resource.to_owned(), now), |transaction, (resource, now)| {
            Box::pin(inspect(transaction, resource, *now))
        })
        .await
    }

    /// Removes locks whose time is over, up to so many, and wakes who waits for them. How many.
    pub async fn expire_locks(&self, now: Instant) -> Result<u64, Error> {
        self.transact(now, |transaction, now| Box::pin(expire(transaction, *now))).await
    }
}

/// A row, whether its time is over or not.
struct Found {
    view: LockView,
    secret: String,
    session_id: String,
    /// Its time is not over by the database's own clock.
    runs: bool,
}

impl Found {
    fn is_proven_by(&self, token: &Token) -> bool {
        self.view.fence == token.fence && self.secret == token.secret
    }

    /// The same agent takes it again through the same process. A process that ends with its call has no id, and is none.
    fn is_of(&self, asked: &Acquire) -> bool {
        !asked.session_id.is_empty() && self.session_id == asked.session_id && asked.same.contains(&self.view.holder)
    }

    fn is_held(&self, now: Instant) -> bool {
        self.runs || self.view.expires_at > now
    }
}

async fn find(transaction: &Transaction<'_>, resource: &str) -> Result<Option<Found>, Error> {
    let rows = transaction
        .query(
            sql!(
                "-- lock_find\n\
             SELECT owner, fence, secret, session_id, acquired_at, expires_at, expires_at > ",
                (now),
                " FROM lock \
             WHERE resource = $1",
                (lock)
            ),
            &[resource.into()],
        )
        .await?;
    let Some(mut row) = rows.into_iter().next() else { return Ok(None) };
    let (holder, fence, secret) = (row.text()?, row.integer()?, row.text()?);
    let session_id = row.text_or_none()?.unwrap_or_default();
    let view = LockView { holder, fence, acquired_at: row.time()?, expires_at: row.time()? };
    Ok(Some(Found { view, secret, session_id, runs: row.bool()? }))
}

async fn acquire_once(
    transaction: &Transaction<'_>,
    asked: &Acquire,
) -> Result<Result<HeldLock, AcquireRefused>, Error> {
    for _ in 0..TRIES_MAX {
        let found = find(transaction, &asked.resource).await?;
        if let Some(found) = found.as_ref().filter(|found| found.is_held(asked.now)) {
            return held(transaction, asked, found).await;
        }
        // Where another process was first since it was found, it is found to be held.
        if take(transaction, asked).await? {
            return taken(transaction, asked, found.as_ref()).await.map(Ok);
        }
    }
    Err(Error::new(Code::Busy, "the lock is being taken by another call").retry_after(Duration::from_millis(100)))
}

/// Goes on with a lock that is held, if by the same.
async fn held(
    transaction: &Transaction<'_>,
    asked: &Acquire,
    found: &Found,
) -> Result<Result<HeldLock, AcquireRefused>, Error> {
    let is_holder = match &asked.token {
        Some(token) => found.is_proven_by(token),
        None => found.is_of(asked),
    };
    if !is_holder {
        return Ok(Err(AcquireRefused::Held(found.view.clone())));
    }
    // What a process held is its only agent's, once that says its name.
    let owner = if asked.same.contains(&found.view.holder) { &asked.owner } else { &found.view.holder };
    let by = Holder { resource: &asked.resource, owner, session_id: &asked.session_id };
    prolong(transaction, by, found, asked.now.after(asked.ttl)).await.map(Ok)
}

/// Draws the fence: whoever has the row does, so fences are in the order in which the lock was held.
async fn taken(transaction: &Transaction<'_>, asked: &Acquire, before: Option<&Found>) -> Result<HeldLock, Error> {
    #[derive(serde::Serialize)]
    struct Data<'a> {
        ttl_ms: u128,
        #[serde(skip_serializing_if = "Option::is_none")]
        expired_holder: Option<&'a str>,
    }
    let expired_holder = before.map(|found| found.view.holder.as_str());
    let data = json::of(&Data { ttl_ms: asked.ttl.as_millis(), expired_holder });
    let event = event(&asked.resource, "lock_acquired", Some(&asked.owner), Some(data.get()), asked.now);
    let fence = events::numbered(transaction, &event).await?;
    transaction
        .execute(
            Sql::both("-- lock_fence\nUPDATE lock SET fence = $2 WHERE resource = $1"),
            &[(&asked.resource).into(), fence.into()],
        )
        .await?;
    let expires_at_us = asked.now.after(asked.ttl).0;
    Ok(HeldLock { owner: asked.owner.clone(), fence, secret: asked.secret.clone(), expires_at_us })
}

/// Has the row, without a fence as yet; false when somebody else holds it.
async fn take(transaction: &Transaction<'_>, asked: &Acquire) -> Result<bool, Error> {
    let taken = transaction
        .execute(
            sql!(
                "-- lock_take\n\
             INSERT INTO lock (resource, owner, fence, secret, session_id, acquired_at, expires_at) \
             VALUES ($1, $2, 0, $3, $4, $5, $6) ON CONFLICT (resource) DO UPDATE SET owner = excluded.owner, \
             secret = excluded.secret, session_id = excluded.session_id, acquired_at = excluded.acquired_at, \
             expires_at = excluded.expires_at WHERE lock.expires_at <= $5 AND lock.expires_at <= ",
                (now)
            ),
            &[
                (&asked.resource).into(),
                (&asked.owner).into(),
                (&asked.secret).into(),
                (&asked.session_id).into(),
                asked.now.into(),
                asked.now.after(asked.ttl).into(),
            ],
        )
        .await?;
    Ok(taken == 1)
}

/// Who holds a lock from now on.
struct Holder<'a> {
    resource: &'a str,
    owner: &'a str,
    session_id: &'a str,
}

/// An end that was answered never moves back, however late this comes.
async fn prolong(
    transaction: &Transaction<'_>,
    by: Holder<'_>,
    found: &Found,
    until: Instant,
) -> Result<HeldLock, Error> {
    let until = until.max(found.view.expires_at);
    transaction
        .execute(
            Sql::both(
                "-- lock_prolong\nUPDATE lock SET expires_at = $2, owner = $3, session_id = $4 WHERE resource = $1",
            ),
            &[by.resource.into(), until.into(), by.owner.into(), by.session_id.into()],
        )
        .await?;
    Ok(HeldLock {
        owner: by.owner.to_owned(),
        fence: found.view.fence,
        secret: found.secret.clone(),
        expires_at_us: until.0,
    })
}

async fn renew(
    transaction: &Transaction<'_>,
    asked: &Proven,
    ttl: Duration,
) -> Result<Result<HeldLock, TokenRefused>, Error> {
    let found = find(transaction, &asked.resource).await?.filter(|found| found.is_held(asked.now));
    match found {
        Some(found) if found.is_proven_by(&asked.token) => {
            let owner = &found.view.holder;
            let by = Holder { resource: &asked.resource, owner, session_id: &asked.session_id };
            prolong(transaction, by, &found, asked.now.after(ttl)).await.map(Ok)
        }
        found => Ok(Err(TokenRefused::Ended(found.map(|found| found.view)))),
    }
}

async fn release(transaction: &Transaction<'_>, asked: &Proven) -> Result<Result<Let, TokenRefused>, Error> {
    let found = find(transaction, &asked.resource).await?.filter(|found| found.is_held(asked.now));
    let Some(found) = found else { return Ok(Err(TokenRefused::Ended(None))) };
    if !found.is_proven_by(&asked.token) {
        return Ok(Err(TokenRefused::Ended(Some(found.view))));
    }
    transaction
        .execute(Sql::both("-- lock_release\nDELETE FROM lock WHERE resource = $1"), &[(&asked.resource).into()])
        .await?;
    transaction.touch(Topic::Lock(asked.resource.clone()));
    let event = event(&asked.resource, "lock_released", Some(&found.view.holder), None, asked.now);
    events::write(transaction, &event);
    Ok(Ok(Let { fence: found.view.fence }))
}

async fn inspect(transaction: &Transaction<'_>, resource: &str, now: Instant) -> Result<Option<LockView>, Error> {
    let rows = transaction
        .query(
            sql!(
                "-- lock_inspect\n\
             SELECT owner, fence, acquired_at, expires_at FROM lock WHERE resource = $1 \
             AND (expires_at > $2 OR expires_at > ",
                (now),
                ")"
            ),
            &[resource.into(), now.into()],
        )
        .await?;
    let view = |mut row: super::Row| {
        let (holder, fence) = (row.text()?, row.integer()?);
        Ok(LockView { holder, fence, acquired_at: row.time()?, expires_at: row.time()? })
    };
    rows.into_iter().next().map(view).transpose()
}

async fn expire(transaction: &Transaction<'_>, now: Instant) -> Result<u64, Error> {
    let ended = transaction
        .query(sql!("-- lock_expire\n\
             DELETE FROM lock WHERE resource IN (SELECT resource FROM lock WHERE expires_at <= $1 \
             AND expires_at <= ", (now), " ORDER BY expires_at LIMIT $2", (lock "SKIP LOCKED"), ") RETURNING resource, owner"),
            &[now.into(), EXPIRED_AT_ONCE.into()],
        )
        .await?;
    let count = ended.len() as u64;
    for mut row in ended {
        let (resource, owner) = (row.text()?, row.text()?);
        #[derive(serde::Serialize)]
        struct Data<'a> {
            holder: &'a str,
        }
        let data = json::of(&Data { holder: &owner });
        events::write(transaction, &event(&resource, "lock_expired", None, Some(data.get()), now));
        transaction.touch(Topic::Lock(resource));
    }
    Ok(count)
}

/// Lets go of what a process held that has ended. How many.
pub(super) async fn end_with(transaction: &Transaction<'_>, session_id: &str, now: Instant) -> Result<u64, Error> {
    #[derive(serde::Serialize)]
    struct Data<'a> {
        session_id: &'a str,
    }
    let ended = transaction
        .query(
            sql!(
                "-- session_end_locks\n\
             DELETE FROM lock WHERE resource IN (SELECT resource FROM lock WHERE session_id = $1 AND expires_at > $2 \
             ORDER BY resource",
                (lock),
                ") RETURNING resource, owner"
            ),
            &[session_id.into(), now.into()],
        )
        .await?;
    let count = ended.len() as u64;
    let data = json::of(&Data { session_id });
    for mut row in ended {
        let (resource, owner) = (row.text()?, row.text()?);
        events::write(transaction, &event(&resource, "lock_released", Some(&owner), Some(data.get()), now));
        transaction.touch(Topic::Lock(resource));
    }
    Ok(count)
}

fn event<'a>(
    resource: &'a str,
    kind: &'static str,
    actor: Option<&'a str>,
    data: Option<&'a str>,
    now: Instant,
) -> Event<'a> {
    Event { at: now, entity: "lock", entity_id: resource, workflow_id: None, kind, actor, data }
}
