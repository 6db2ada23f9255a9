//! Calls that may be repeated: the same key has one effect and the same answer.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use crate::{
    clock::Clock,
    domain::json::Json,
    error::{Code, Error},
    ports::idempotency::{Begun, IdempotencyStore},
};

/// Remembers what was answered to a key.
#[derive(Clone)]
pub struct Idempotency {
    store: Arc<dyn IdempotencyStore>,
    clock: Arc<dyn Clock>,
    /// Keys whose first call is still worked on here.
    running: Arc<Mutex<HashSet<String>>>,
}

/// Keys longer than this are refused.
const KEY_LENGTH_MAX: usize = 256;

impl Idempotency {
    /// Over a store.
    pub fn new(store: Arc<dyn IdempotencyStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, running: Arc::default() }
    }

    /// Claims `key` for this call, or gives the answer it had before.
    ///
    /// # Errors
    /// `conflict` when the key belongs to another call, `busy` while its first call is worked on here, `outcome_unknown` when that never ended.
    pub async fn begin(&self, key: &str, tool: &str, arguments: &str) -> Result<Option<Json>, Error> {
        if key.is_empty() || key.len() > KEY_LENGTH_MAX {
            return Err(Error::invalid(
                "idempotency_key",
                format!("`idempotency_key` takes 1 to {KEY_LENGTH_MAX} characters"),
            ));
        }
        let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(format!("{tool}\0{arguments}")));
        match self.store.begin(key, &hash, self.clock.now()).await? {
            Begun::New => {
                self.running().insert(key.to_owned());
                Ok(None)
            }
            Begun::Answered(answer) => Ok(Some(answer)),
            Begun::Unfinished if self.running().contains(key) => {
                Err(Error::new(Code::Busy, "the first call with this key is still worked on")
                    .argument("idempotency_key")
                    .retry_after(Duration::from_millis(500)))
            }
            Begun::Unfinished => {
                Err(Error::new(Code::OutcomeUnknown, "a call with this key was begun and its end is not known")
                    .argument("idempotency_key")
                    .hint("look whether its effect is there, then go on with a new key"))
            }
            Begun::OtherRequest => Err(Error::new(Code::Conflict, "this key belongs to a call with other arguments")
                .argument("idempotency_key")
                .hint("use a new key for a new call")),
        }
    }

    /// Keeps the answer of a call that was begun.
    pub async fn finish(&self, key: &str, answer: &Json) -> Result<(), Error> {
        let kept = self.store.finish(key, answer, self.clock.now()).await;
        // Only now: a repeat in between would find a call without an end.
        self.running().remove(key);
        kept
    }

    /// Frees the key after a failure that changed nothing; keeps it when that is not certain.
    pub async fn failed(&self, key: &str, code: Code) -> Result<(), Error> {
        let kept = match code {
            Code::OutcomeUnknown | Code::Timeout | Code::Cancelled | Code::Internal => Ok(()),
            Code::Invalid
            | Code::NotFound
            | Code::Conflict
            | Code::LeaseLost
            | Code::Limit
            | Code::Busy
            | Code::Denied
            | Code::Unavailable => self.store.forget(key).await,
        };
        self.running().remove(key);
        kept
    }

    fn running(&self) -> MutexGuard<'_, HashSet<String>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
