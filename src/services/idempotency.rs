//! Calls that may be repeated: the same key has one effect and the same answer.
//!
//! A call under a key is an [`Attempt`] until it has ended. One that was cut off, by its caller or by the end of its process, may have had its
//! effect; a repeat asks the effect's database, and answers, waits or carries the call out, whichever is right.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::{
    clock::Clock,
    domain::{
        canonical::canonical,
        idempotency::{Key, Repeat},
        json::{self, Json},
    },
    error::{Code, Error},
    ids,
    ports::attempts::{self, Settled, Settles},
    store::Store,
    store::idempotency::{Begun, Proof, Unfinished},
};

/// Remembers what was answered to a key.
#[derive(Clone)]
pub struct Idempotency {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    /// Keys whose first call is still worked on here.
    running: Arc<Running>,
    /// One key is begun at a time, so that a repeat finds either no key, or one that is written down and held.
    beginning: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct Running(Mutex<HashSet<String>>);

/// A key that is worked on here. Dropping it lets go of the key.
struct Held {
    key: String,
    running: Arc<Running>,
}

/// A call under a key, to be ended by [`Idempotency::end`].
pub struct Attempt {
    id: String,
    held: Held,
    store: Arc<Store>,
}

/// How a call starts.
pub enum Start<T> {
    /// It is to be carried out; as an attempt, if it has a key.
    Run(Option<Attempt>),
    /// It had this answer before.
    Answered(T),
}

/// Bytes of a key at the most.
const KEY_BYTES_MAX: usize = 256;

impl Idempotency {
    /// Over a store.
    pub fn new(store: Arc<Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, running: Arc::default(), beginning: Arc::default() }
    }

    /// Starts a call, or gives the answer it had before. `settles` knows what became of an attempt that was cut off; without it such a call
    /// is carried out again by the same attempt, for effects that are the same when they are repeated.
    ///
    /// # Errors
    /// `conflict` when the key belongs to another call, `busy` while it is worked on, `outcome_unknown` when nobody knows what became of it.
    pub async fn begin<T: DeserializeOwned>(
        &self,
        key: Option<Key>,
        settles: Option<&dyn Settles>,
    ) -> Result<Start<T>, Error> {
        let Some(key) = key else { return Ok(Start::Run(None)) };
        let (attempt, unfinished) = {
            let _alone = self.beginning.lock().await;
            let id = ids::new(ids::Kind::Attempt);
            let mut begun = self.store.begin_attempt(&key, &id, self.clock.now()).await?;
            if matches!(begun, Begun::Unfinished(_)) && !self.running.keys().contains(&key.key) {
                // It may have ended while the answer was on its way: what is let go of has been written down before.
                begun = self.store.begin_attempt(&key, &id, self.clock.now()).await?;
            }
            match begun {
                Begun::New => return Ok(Start::Run(Some(self.attempt(&key.key, id)))),
                Begun::Answered(answer) => return Ok(Start::Answered(read(&answer)?)),
                Begun::OtherRequest => return Err(repeat(Repeat::OtherRequest)),
                Begun::Unfinished(_) if self.running.keys().contains(&key.key) => return Err(still_running()),
                Begun::Unfinished(unfinished) => (self.attempt(&key.key, id), unfinished),
            }
        };
        self.go_on(attempt, unfinished, settles).await
    }

    /// After a call that was cut off: its answer, or another attempt.
    async fn go_on<T: DeserializeOwned>(
        &self,
        attempt: Attempt,
        unfinished: Unfinished,
        settles: Option<&dyn Settles>,
    ) -> Result<Start<T>, Error> {
        let Some(before) = &unfinished.attempt else { return Err(repeat(Repeat::Unfinished)) };
        let Some(settles) = settles else {
            return Ok(Start::Run(Some(Attempt { id: before.clone(), ..attempt })));
        };
        let key = &attempt.held.key;
        match settles.settle(before, unfinished.proof.as_ref().map(|proof| proof.effect.as_str())).await? {
            Settled::Stands(kept) => {
                let kept = kept.or_else(|| unfinished.proof.map(|proof| proof.answer));
                let answer = kept.ok_or_else(|| repeat(Repeat::Unfinished))?;
                self.store.finish_attempt(key, before, &answer, self.clock.now()).await?;
                Ok(Start::Answered(read(&answer)?))
            }
            Settled::Never if self.store.take_over_attempt(key, &unfinished, &attempt.id).await? => {
                Ok(Start::Run(Some(attempt)))
            }
            Settled::Never | Settled::Running => Err(still_running()),
            Settled::Unknown => Err(repeat(Repeat::Unfinished)),
        }
    }

    /// Ends a call: keeps its answer, or frees its key after a failure that changed nothing. Where that can't be done, a repeat settles it.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn end<T: Serialize>(&self, attempt: Option<Attempt>, done: Result<T, Error>) -> Result<T, Error> {
        let Some(attempt) = attempt else { return done };
        let kept = match &done {
            Ok(answer) => {
                self.store.finish_attempt(&attempt.held.key, &attempt.id, &json::of(answer), self.clock.now()).await
            }
            Err(error) if may_have_happened(error.code) => Ok(()),
            Err(_) => self.store.forget_attempt(&attempt.held.key, &attempt.id).await,
        };
        if let Err(error) = kept {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(cause, "the end of a call could not be kept under its idempotency key: {error}");
        }
        done
    }

    fn attempt(&self, key: &str, id: String) -> Attempt {
        self.running.keys().insert(key.to_owned());
        let held = Held { key: key.to_owned(), running: Arc::clone(&self.running) };
        Attempt { id, held, store: Arc::clone(&self.store) }
    }
}

#[async_trait::async_trait]
impl attempts::Attempt for Attempt {
    fn id(&self) -> &str {
        &self.id
    }

    async fn prove(&self, effect: String, answer: Json) -> Result<(), Error> {
        match self.store.prove_attempt(&self.held.key, &self.id, &Proof { effect, answer }).await? {
            true => Ok(()),
            false => Err(attempts::taken_over()),
        }
    }
}

/// An attempt as ports take it.
pub fn port(attempt: &Option<Attempt>) -> Option<&dyn attempts::Attempt> {
    attempt.as_ref().map(|attempt| attempt as &dyn attempts::Attempt)
}

fn may_have_happened(code: Code) -> bool {
    match code {
        Code::OutcomeUnknown | Code::Timeout | Code::Cancelled | Code::Internal => true,
        Code::Invalid
        | Code::NotFound
        | Code::Conflict
        | Code::LeaseLost
        | Code::Limit
        | Code::Busy
        | Code::Denied
        | Code::Unavailable => false,
    }
}

fn read<T: DeserializeOwned>(answer: &Json) -> Result<T, Error> {
    serde_json::from_str(answer.get())
        .map_err(|error| Error::new(Code::Internal, "the first answer to this key cannot be read").cause(error))
}

fn still_running() -> Error {
    Error::new(Code::Busy, "the first call with this key is still running")
        .argument("idempotency_key")
        .retry_after(Duration::from_millis(500))
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
