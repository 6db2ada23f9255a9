//! A circuit breaker for one backend: once it has failed five times in a row, callers are answered at once instead of waiting.
//!
//! While it is open, one look at a time is taken at the backend, every 100 ms as long as somebody asked within the last minute and every
//! second after that; the first that succeeds closes it. So callers never wait for a backend that is known to be down, and it is used
//! again as soon as it is back. A login that was refused is tried again every 5 s only: each try is a line in the backend's log, and
//! enough of them lock the account. What the caller did wrong never counts: only `unavailable` is a failure of the backend.

use std::{
    borrow::Cow,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    background::Background,
    error::{Code, Error, Place},
};

/// Failures in a row that open it.
const FAILURES_MAX: u32 = 5;
/// How long after a call was refused somebody is taken to be waiting.
const INTEREST: Duration = Duration::from_secs(60);
/// Between two looks while somebody waits.
const PAUSE_ASKED: Duration = Duration::from_millis(100);
/// Between two looks when nobody does.
const PAUSE_IDLE: Duration = Duration::from_secs(1);
/// Between two looks at a backend that refused the login, which somebody has to mend.
const PAUSE_REFUSED: Duration = Duration::from_secs(5);
/// How codes of a refused login begin: SQLSTATE class 28, a database that does not exist, and ours for search engines.
const LOGIN_REFUSED: [&str; 3] = ["28", "3D000", "backend_credentials_rejected"];
/// When a refused caller should come again.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// One look at the backend, bounded in time by whoever gives it: whether it serves again.
pub type Look = Box<dyn Fn() -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

/// The breaker. Share it by `Arc`.
pub struct Breaker {
    state: Mutex<State>,
    look: Look,
    background: Background,
}

#[derive(Default)]
struct State {
    failures: u32,
    open: Option<Open>,
}

/// What a refused caller is told: the last failure's own words.
struct Open {
    message: String,
    hint: Option<Cow<'static, str>>,
    place: Place,
    asked: Instant,
}

impl Open {
    /// Until the next look.
    fn pause(&self) -> Duration {
        let code = self.place.backend_code.as_deref().unwrap_or_default();
        if LOGIN_REFUSED.iter().any(|refused| code.starts_with(refused)) {
            PAUSE_REFUSED
        } else if self.asked.elapsed() < INTEREST {
            PAUSE_ASKED
        } else {
            PAUSE_IDLE
        }
    }
}

impl Breaker {
    /// A closed one. `look` is asked, one at a time, while it is open.
    pub fn new<F>(background: Background, look: impl Fn() -> F + Send + Sync + 'static) -> Arc<Self>
    where
        F: Future<Output = bool> + Send + 'static,
    {
        let look: Look = Box::new(move || Box::pin(look()));
        Arc::new(Self { state: Mutex::default(), look, background })
    }

    /// Runs `work` if the breaker lets it, and learns from how it ends. A dropped future teaches nothing.
    ///
    /// # Errors
    /// Those of `work`, or the last failure's when open.
    pub async fn run<T>(self: &Arc<Self>, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.admit()?;
        let result = work.await;
        self.note(&result);
        result
    }

    /// Whether a call may go to the backend. Whoever uses this calls [`Breaker::note`] after it.
    ///
    /// # Errors
    /// `unavailable` with the last failure's words while it is open.
    pub fn admit(&self) -> Result<(), Error> {
        let mut state = self.state();
        let Some(open) = &mut state.open else { return Ok(()) };
        open.asked = Instant::now();
        let error = Error::new(Code::Unavailable, open.message.clone()).place(open.place.clone());
        let hint = open.hint.clone().unwrap_or_else(|| "calls work again as soon as it answers".into());
        Err(error.hint(hint).retry_after(RETRY_AFTER))
    }

    /// Learns how a call ended: any answer of the backend closes it, `unavailable` counts against it, what leaves open whether the
    /// backend works counts for nothing.
    pub fn note<T>(self: &Arc<Self>, result: &Result<T, Error>) {
        match result {
            Ok(_) => self.close(),
            Err(error) => match error.code {
                Code::Unavailable => self.failed(error),
                Code::Timeout | Code::Cancelled | Code::OutcomeUnknown | Code::Internal => {}
                Code::Invalid
                | Code::NotFound
                | Code::Conflict
                | Code::LeaseLost
                | Code::Limit
                | Code::Busy
                | Code::Denied => self.close(),
            },
        }
    }

    /// Whether calls are refused now.
    pub fn is_open(&self) -> bool {
        self.state().open.is_some()
    }

    /// The backend was seen to work.
    pub fn close(&self) {
        *self.state() = State::default();
    }

    fn failed(self: &Arc<Self>, error: &Error) {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        if state.failures < FAILURES_MAX {
            return;
        }
        let (message, hint, place) = (error.message.clone(), error.hint.clone(), error.place.clone());
        let asked = Instant::now();
        let was_closed = state.open.replace(Open { message, hint, place, asked }).is_none();
        drop(state);
        if was_closed {
            tracing::warn!(error = %error.message, "a backend failed {FAILURES_MAX} times in a row; callers are answered without it");
            let breaker = Arc::clone(self);
            self.background.spawn(async move { breaker.watch().await });
        }
    }

    /// Looks until the backend serves, somebody else saw it serve, or the process ends.
    async fn watch(&self) {
        while let Some(pause) = self.pause() {
            tokio::select! {
                () = self.background.stopping() => return,
                () = tokio::time::sleep(pause) => {}
            }
            if self.is_open() && (self.look)().await {
                tracing::info!("the backend serves again");
                self.close();
            }
        }
    }

    fn pause(&self) -> Option<Duration> {
        self.state().open.as_ref().map(Open::pause)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{Open, PAUSE_ASKED, PAUSE_REFUSED, Place};

    #[test]
    fn a_refused_login_is_not_tried_over_and_over() {
        for (code, pause) in [
            (None, PAUSE_ASKED),
            (Some("57P03"), PAUSE_ASKED),
            (Some("28P01"), PAUSE_REFUSED),
            (Some("3D000"), PAUSE_REFUSED),
            (Some("backend_credentials_rejected"), PAUSE_REFUSED),
        ] {
            let place = Place { backend_code: code.map(str::to_owned), ..Place::default() };
            let open = Open { message: String::new(), hint: None, place, asked: Instant::now() };
            assert_eq!(open.pause(), pause, "{code:?}");
        }
    }
}
