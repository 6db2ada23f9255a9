//! Calls that may be repeated: the same key has one effect and the same answer.
//!
//! Who begins a key holds it by a [`Held`] until its call has ended. A call that is given up (its future is dropped) lets go of it too; its
//! effect may have happened, so from then on the key says that the outcome is unknown.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use crate::{
    clock::Clock,
    domain::{
        canonical::canonical,
        idempotency::{Key, Repeat},
        json::Json,
    },
    error::{Code, Error},
    ports::idempotency::{Begun, IdempotencyStore},
};

/// Remembers what was answered to a key.
#[derive(Clone)]
pub struct Idempotency {
    store: Arc<dyn IdempotencyStore>,
    clock: Arc<dyn Clock>,
    /// Keys whose first call is still worked on here.
    running: Arc<Running>,
    /// One key is begun at a time, so that a repeat finds either no key, or one that is written down and held.
    beginning: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct Running(Mutex<HashSet<String>>);

/// A key whose call is worked on. Dropping it lets go of the key.
pub struct Held {
    key: String,
    running: Arc<Running>,
}

/// How a call with a key starts.
pub enum Start {
    /// It is the first: to be worked on, and ended by [`Idempotency::finish`] or [`Idempotency::failed`].
    First(Held),
    /// It had this answer before.
    Answered(Json),
}

/// Bytes of a key at the most.
const KEY_BYTES_MAX: usize = 256;

impl Idempotency {
    /// Over a store.
    pub fn new(store: Arc<dyn IdempotencyStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, running: Arc::default(), beginning: Arc::default() }
    }

    /// Claims `key` for this call, or gives the answer it had before.
    ///
    /// # Errors
    /// `conflict` when the key belongs to another call, `busy` while its first call is worked on here, `outcome_unknown` when that never ended.
    pub async fn begin(&self, key: &str, tool: &str, arguments: &str) -> Result<Start, Error> {
        let asked = keyed(key, tool, arguments)?;
        let _alone = self.beginning.lock().await;
        let mut begun = self.store.begin(key, &asked.request_hash, self.clock.now()).await?;
        if matches!(begun, Begun::Unfinished) && !self.running.keys().contains(key) {
            // It may have ended while the answer was on its way: what is let go of has been written down before.
            begun = self.store.begin(key, &asked.request_hash, self.clock.now()).await?;
        }
        match begun {
            Begun::New => Ok(Start::First(self.hold(key))),
            Begun::Answered(answer) => Ok(Start::Answered(answer)),
            Begun::Unfinished if self.running.keys().contains(key) => {
                Err(Error::new(Code::Busy, "the first call with this key is still running")
                    .argument("idempotency_key")
                    .retry_after(Duration::from_millis(500)))
            }
            Begun::Unfinished => Err(repeat(Repeat::Unfinished)),
            Begun::OtherRequest => Err(repeat(Repeat::OtherRequest)),
        }
    }

    /// Keeps the answer of a call that was begun.
    ///
    /// # Errors
    /// When it cannot be kept: a repeat will be told that the outcome is unknown.
    pub async fn finish(&self, held: Held, answer: &Json) -> Result<(), Error> {
        // Let go of only after this: a repeat in between would find a call without an end.
        self.store.finish(&held.key, answer, self.clock.now()).await
    }

    /// Frees the key after a failure that changed nothing; keeps it when that is not certain.
    ///
    /// # Errors
    /// When it cannot be freed: a repeat will be told that the outcome is unknown.
    pub async fn failed(&self, held: Held, code: Code) -> Result<(), Error> {
        match code {
            Code::OutcomeUnknown | Code::Timeout | Code::Cancelled | Code::Internal => Ok(()),
            Code::Invalid
            | Code::NotFound
            | Code::Conflict
            | Code::LeaseLost
            | Code::Limit
            | Code::Busy
            | Code::Denied
            | Code::Unavailable => self.store.forget(&held.key).await,
        }
    }

    fn hold(&self, key: &str) -> Held {
        self.running.keys().insert(key.to_owned());
        Held { key: key.to_owned(), running: Arc::clone(&self.running) }
    }
}

/// A key with the hash of the call it stands for.
///
/// # Errors
/// `invalid` when it is empty or too long.
pub fn keyed(key: &str, tool: &str, arguments: &str) -> Result<Key, Error> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX || key.contains('\0') {
        return Err(Error::invalid(
            "idempotency_key",
            format!("`idempotency_key` takes 1 to {KEY_BYTES_MAX} bytes, without NUL"),
        ));
    }
    // A client that writes its arguments anew may write their members in another order.
    let request_hash = URL_SAFE_NO_PAD.encode(Sha256::digest(format!("{tool}\0{}", canonical(arguments))));
    Ok(Key { key: key.to_owned(), request_hash })
}

/// Why a key leads to no answer, in words.
pub fn repeat(why: Repeat) -> Error {
    match why {
        Repeat::Unfinished => {
            Error::new(Code::OutcomeUnknown, "a call with this key was started, and its outcome is not known")
                .argument("idempotency_key")
                .hint("check whether it took effect, then continue with a new key")
        }
        Repeat::OtherRequest => Error::new(Code::Conflict, "this key was used for a call with other arguments")
            .argument("idempotency_key")
            .hint("use a new key for a new call"),
    }
}

impl Running {
    fn keys(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.running.keys().remove(&self.key);
    }
}
