//! Wake-ups between processes: a commit is told by NOTIFY after it stands, and heard on a connection of its own while somebody waits here.
//!
//! NOTIFY inside the transaction would make every commit of a database wait for the one before it; after it, without waiting for the
//! disk, it costs next to nothing. What is lost with a process that dies in between is found by whoever looks again.
//!
//! Whether hearing works is proven over and over by a word of our own, sent on another connection: a pooler takes LISTEN and brings
//! nothing. As long as it is not proven, everybody who waits is woken every half second.

use std::{
    future::poll_fn,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::{sleep, timeout},
};
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls};

use super::Shared;
use crate::{
    adapters::{
        own_time::within,
        postgres::{pool::Writes, tls::Tls},
    },
    changes::Topic,
    ids,
};

/// For a login.
const LOGIN_TIME: Duration = Duration::from_millis(900);
/// Between two looks on behalf of those who wait while hearing is not proven.
const POLL_PAUSE: Duration = Duration::from_millis(500);
/// Between two proofs.
const PROOF_PAUSE: Duration = Duration::from_secs(10);
/// How long a proof holds.
const PROOF_TIME: Duration = Duration::from_secs(12);
/// How long the connection is kept when nobody waits any more.
const IDLE_TIME: Duration = Duration::from_secs(30);
/// Until the next login after one that failed.
const LOGIN_PAUSE: Duration = Duration::from_secs(1);
/// A payload is shorter than 8000 bytes.
const PAYLOAD_MAX: usize = 7_900;
/// Stands for everything.
const ALL: &str = "*";
/// Begins a word that only its sender understands.
const PROOF: char = '?';
/// Nothing that ends a text or a line stays in a word.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b':');

/// What tells the other processes, to be sent when the commit stands.
pub(super) fn telling(touched: &[Topic]) -> Option<String> {
    if touched.is_empty() {
        return None;
    }
    let mut payload = String::new();
    for topic in touched {
        let word = utf8_percent_encode(&topic.word(), ESCAPED).to_string();
        if payload.len() + word.len() >= PAYLOAD_MAX {
            ALL.clone_into(&mut payload);
            break;
        }
        if !payload.is_empty() {
            payload.push('\n');
        }
        payload.push_str(&word);
    }
    Some(notify(&payload))
}

/// It need not be on disk: who would hear of it dies with the server.
fn notify(payload: &str) -> String {
    format!(
        "-- notify\nBEGIN; SELECT pg_catalog.set_config('synchronous_commit', 'off', true), pg_catalog.pg_notify('callboard', '{payload}'); END"
    )
}

/// What is known of hearing.
pub(super) struct Hearing {
    /// What proves it.
    mark: String,
    listening: AtomicBool,
    proven: Mutex<Option<Instant>>,
}

impl Hearing {
    pub(super) fn new() -> Self {
        let mark = format!("{PROOF}{}", ids::new(ids::Kind::Sessions));
        Self { mark, listening: AtomicBool::new(false), proven: Mutex::default() }
    }

    /// Whether hearing works, as far as is known.
    pub(super) fn is_proven(&self) -> bool {
        self.proven().is_some_and(|at| at.elapsed() < PROOF_TIME)
    }

    fn proven(&self) -> Option<Instant> {
        *self.proven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn prove(&self, proof: Option<Instant>) {
        *self.proven.lock().unwrap_or_else(PoisonError::into_inner) = proof;
    }
}

/// Listens and looks while somebody waits, until the process stops.
pub(super) async fn run(shared: std::sync::Arc<Shared>) {
    let working = async { tokio::join!(listen(&shared), look(&shared)) };
    tokio::select! {
        () = shared.background.stopping() => {}
        _ = working => {}
    }
}

/// Resolves when somebody waits; `false` when nobody will any more.
async fn somebody_waits(count: &mut watch::Receiver<usize>) -> bool {
    count.wait_for(|count| *count > 0).await.is_ok()
}

async fn listen(shared: &Shared) {
    let mut count = shared.changes.count();
    while somebody_waits(&mut count).await {
        let login = async {
            match &shared.tls {
                Tls::Plain => {
                    let (client, connection) = shared.config.connect(NoTls).await.ok()?;
                    Some(attend(shared, client, connection).boxed())
                }
                Tls::Rustls(connector) => {
                    let (client, connection) = shared.config.connect(connector.clone()).await.ok()?;
                    Some(attend(shared, client, connection).boxed())
                }
            }
        };
        if let Some(Some(attending)) = within(LOGIN_TIME, login).await {
            attending.await;
            shared.hearing.listening.store(false, Ordering::Relaxed);
            shared.hearing.prove(None);
        }
        sleep(LOGIN_PAUSE).await;
    }
}

/// Hears until the connection ends, nothing was heard for too long, or nobody waits any more.
async fn attend<S, T>(shared: &Shared, client: Client, mut connection: Connection<S, T>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let asked = client.batch_execute("-- listen\nLISTEN callboard");
    tokio::pin!(asked);
    let mut begun = false;
    let mut needed = Instant::now();
    loop {
        tokio::select! {
            message = poll_fn(|context| connection.poll_message(context)) => match message {
                Some(Ok(AsyncMessage::Notification(word))) => hear(shared, word.payload()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
            listens = &mut asked, if !begun => {
                if listens.is_err() {
                    return;
                }
                begun = true;
                shared.hearing.listening.store(true, Ordering::Relaxed);
                // What happened before was not heard.
                shared.changes.tell_all();
            }
            () = sleep(POLL_PAUSE) => {
                if *shared.changes.count().borrow() > 0 {
                    needed = Instant::now();
                }
                let lost = shared.hearing.proven().is_some_and(|at| at.elapsed() > PROOF_TIME + PROOF_PAUSE);
                if needed.elapsed() > IDLE_TIME || lost {
                    return;
                }
            }
        }
    }
}

fn hear(shared: &Shared, payload: &str) {
    if payload.starts_with(PROOF) {
        if payload == shared.hearing.mark {
            shared.hearing.prove(Some(Instant::now()));
        }
        return;
    }
    if payload == ALL {
        return shared.changes.tell_all();
    }
    let words = payload.lines().map(|word| percent_decode_str(word).decode_utf8_lossy().into_owned());
    let topics: Vec<Topic> = words.filter_map(|word| Topic::parse(&word)).collect();
    shared.changes.tell(&topics);
}

/// Wakes everybody now and then as long as hearing is not proven, and proves it.
async fn look(shared: &Shared) {
    let mut count = shared.changes.count();
    let mut tried: Option<Instant> = None;
    while somebody_waits(&mut count).await {
        sleep(POLL_PAUSE / 5).await;
        let is_due = tried.is_none_or(|at| {
            at.elapsed() > PROOF_PAUSE || (!shared.hearing.is_proven() && at.elapsed() > PROOF_PAUSE / 10)
        });
        if is_due && shared.hearing.listening.load(Ordering::Relaxed) {
            tried = Some(Instant::now());
            prove(shared).await;
        }
        if shared.hearing.is_proven() {
            continue;
        }
        sleep(POLL_PAUSE).await;
        if !shared.hearing.is_proven() {
            shared.changes.tell_all();
        }
    }
}

/// Sends the word that proves hearing, on another connection than the one that hears.
async fn prove(shared: &Shared) {
    let word = shared.hearing.mark.clone();
    let sent = shared.pool.open(Writes::Yes, LOGIN_TIME, &word, |work, word| {
        async move {
            let text = "-- notify_proof\nSELECT pg_catalog.set_config('synchronous_commit', 'off', true), pg_catalog.pg_notify('callboard', $1)";
            let of = tokio_postgres::types::Type::TEXT;
            work.query_typed(text, &[(word, of)]).await.map(drop).map_err(crate::adapters::postgres::failure::meaning)
        }
        .boxed()
    });
    if let Ok(Ok((work, ()))) = timeout(2 * LOGIN_TIME, sent).await {
        // One that fails proves nothing, and its connection is closed.
        let _ = timeout(LOGIN_TIME, work.commit()).await;
    }
}
