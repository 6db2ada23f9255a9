//! Connections: at most ten, made when first needed, given out inside a transaction, and never used again in an unknown state.
//!
//! Every method of the port runs in [`Pool::read`] or [`Pool::transaction`], which pass the circuit breaker, begin, and end what they began.
//! The first questions leave together with BEGIN. A transaction that is dropped before it has ended tells the server to stop and closes
//! the connection: so cancellation and timeouts reach the database.
//!
//! Our own statements stay prepared on their connection ([`Work::ask`]); planning them takes longer than running them. A pooler in
//! transaction mode hands other sessions' statements out under our names, so each session prepares a statement of a name that nobody else has,
//! BEGIN fails where there is none, and from then on nothing stays prepared.

mod begin;
mod greeting;
mod server;
mod work;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use deadpool_postgres::{
    Manager, ManagerConfig, Object, Pool as Connections, PoolError, QueueMode, RecyclingMethod, Runtime, TimeoutType,
};
use futures_util::{
    FutureExt,
    future::{BoxFuture, ready, try_join},
};
use tokio::time::timeout;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage, types::Type};

pub use self::work::Work;
use self::{
    begin::{NOT_OURS, begin_text, session_text},
    greeting::Greeting,
    server::Server,
};
use super::{address::Address, connect::Connector, failure, tls::Tls};
use crate::{
    adapters::{breaker::Breaker, own_time::within},
    background::Background,
    error::{Code, Error},
    ids,
};

/// Connections at the most.
pub(super) const CONNECTIONS_MAX: usize = 10;
/// For a connection to come about, and for the first answer on an old one. Together with what follows it stays below a second.
const ANSWER_TIME: Duration = Duration::from_millis(900);
/// After this long without an answer to BEGIN it is asked whether the server lets anybody in.
const PATIENCE: Duration = Duration::from_millis(150);
/// For one of the connections to become free, ours or a pooler's.
const WAIT_TIME: Duration = Duration::from_secs(10);

/// The connections to one server. Cloning shares.
#[derive(Clone)]
pub struct Pool(Arc<Shared>);

struct Shared {
    connections: Connections,
    tls: Tls,
    breaker: Arc<Breaker>,
    background: Background,
    /// Names what each session of ours has prepared.
    mark: String,
    /// Transactions of one connection of ours meet different sessions of the server.
    pooled: AtomicBool,
    server: Server,
    /// For a login beside the connections.
    config: Config,
    greeting: Greeting,
    habits: Habits,
}

/// How transactions of a pool begin.
#[derive(Debug, Clone, Copy)]
pub struct Habits {
    /// What follows BEGIN TRANSACTION in one that only reads.
    pub reading: &'static str,
    /// The same in one that writes.
    pub writing: &'static str,
    /// Settings that depend on something, written as columns of a SELECT.
    pub conditions: &'static str,
    /// Settings that don't, with their values.
    pub settings: &'static [(&'static str, &'static str)],
    /// Commands that follow in transactions that write, each after a semicolon.
    pub writing_commands: &'static str,
    /// Names without a schema never mean what is in our own.
    pub keeps_out: bool,
}

/// Of the SQL tools. Only a superuser can bound its temporary files. The last condition, of PostgreSQL 14
/// and later, ends the statement of a process that was killed.
const FOR_QUERIES: Habits = Habits {
    reading: "READ ONLY",
    writing: "READ WRITE",
    conditions: "CASE WHEN pg_catalog.current_setting('is_superuser') = 'on' \
     THEN pg_catalog.set_config('temp_file_limit', '2GB', true) END, \
     CASE WHEN pg_catalog.current_setting('server_version_num')::pg_catalog.int4 >= 140000 \
     AND pg_catalog.version() LIKE '%linux%' \
     THEN pg_catalog.set_config('client_connection_check_interval', '2s', true) END",
    settings: &[
        ("idle_in_transaction_session_timeout", "60s"),
        ("standard_conforming_strings", "on"),
        ("work_mem", "32MB"),
    ],
    writing_commands: "",
    keeps_out: true,
};

/// Whether a transaction can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    /// The server refuses every write.
    No,
    /// As its role may.
    Yes,
    /// The same for rows: values without a zone are in UTC, deferred constraints speak at once, and the savepoint
    /// `callboard_unit` is where no row is written yet.
    Rows,
}

/// How a transaction ends. One that failed never commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// What was written stands.
    Commit,
    /// It is taken back, and the connection used again.
    Rollback,
    /// The server still works on it: it is told to stop, and the connection is closed.
    Abandon,
}

/// What leaves together with BEGIN. It gets what it works on as a context, and captures nothing.
pub type First<C, F> = for<'a> fn(&'a Work, &'a C) -> BoxFuture<'a, Result<F, Error>>;
/// What comes after it in the same transaction.
pub type Rest<C, F, T> = for<'a> fn(&'a Work, &'a C, F) -> BoxFuture<'a, (Result<T, Error>, End)>;

/// A transaction, up to the point where its caller takes it over.
struct Asked<'a, C, F> {
    writes: Writes,
    /// The longest time of a statement.
    statement: Duration,
    context: &'a C,
    first: First<C, F>,
}

/// Why a transaction did not begin.
enum NotBegun {
    /// The connection was of no use; another may be.
    Broken,
    /// A pooler stands in between, which is known from now on.
    Pooled,
    /// No other will be better.
    Because(Error),
}

impl Pool {
    /// Opens nothing yet.
    ///
    /// # Errors
    /// When the pool cannot be made.
    pub fn new(address: Address, background: Background) -> Result<Self, Error> {
        Self::with(address, background, FOR_QUERIES)
    }

    /// The same with other habits.
    ///
    /// # Errors
    /// When the pool cannot be made.
    pub fn with(address: Address, background: Background, habits: Habits) -> Result<Self, Error> {
        let Address { config, tls } = address;
        let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(config.clone(), Connector::new(tls.clone(), ANSWER_TIME), manager);
        let connections = Connections::builder(manager)
            .max_size(CONNECTIONS_MAX)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(WAIT_TIME))
            // The one that was used last: its session has in memory what the next call needs.
            .queue_mode(QueueMode::Lifo)
            .build()
            .map_err(|error| Error::new(Code::Internal, "the connections cannot be set up").cause(error))?;
        let (probe, tls_of_probe) = (config.clone(), tls.clone());
        let breaker = Breaker::new(background.clone(), move || look(probe.clone(), tls_of_probe.clone()));
        // It tells sessions apart and keeps nothing secret.
        let mark = format!("callboard_{}", ids::new(ids::Kind::Sessions));
        let (pooled, greeting) = (AtomicBool::new(false), Greeting::default());
        let server = Server::default();
        let shared = Shared { connections, tls, breaker, background, mark, pooled, server, config, greeting, habits };
        Ok(Self(Arc::new(shared)))
    }

    /// Asks `questions` of ours in a transaction that cannot write, with `statement` as the longest time of a statement.
    ///
    /// # Errors
    /// Those of `questions`; `unavailable` within a second, `busy` when all connections stay in use.
    pub async fn read<C: Sync, T: Send + 'static>(
        &self,
        statement: Duration,
        context: &C,
        questions: First<C, T>,
    ) -> Result<T, Error> {
        let rest: Rest<C, T, T> = |_, _, answer| ready((Ok(answer), End::Rollback)).boxed();
        self.transaction(Writes::No, statement, context, questions, rest).await
    }

    /// Runs `rest` in a transaction, with `statement` as the longest time of a statement. `first` leaves together with BEGIN and may
    /// only look things up: it runs before the transaction is known to have begun. Both may run more than once; what they did before was
    /// taken back then.
    ///
    /// # Errors
    /// Those of `first` and `rest`, of COMMIT, and as [`Pool::read`].
    pub async fn transaction<C: Sync, F, T>(
        &self,
        writes: Writes,
        statement: Duration,
        context: &C,
        first: First<C, F>,
        rest: Rest<C, F, T>,
    ) -> Result<T, Error> {
        let asked = Asked { writes, statement, context, first };
        self.again_when_pooled(|| self.attempt(&asked, rest)).await
    }

    /// Begins a transaction that the caller ends, and runs `first` in it, which may write: a transaction that did not begin takes nothing
    /// in. It may run more than once; what it did before was taken back then.
    ///
    /// # Errors
    /// Those of `first`, and as [`Pool::read`].
    pub(super) async fn open<C: Sync, F>(
        &self,
        writes: Writes,
        statement: Duration,
        context: &C,
        first: First<C, F>,
    ) -> Result<(Work, F), Error> {
        let asked = Asked { writes, statement, context, first };
        self.again_when_pooled(|| self.opened(&asked)).await
    }

    /// Through the breaker, and once more when it is by this that a pooler is found out.
    async fn again_when_pooled<T, R: Future<Output = Result<T, Error>>>(
        &self,
        run: impl Fn() -> R,
    ) -> Result<T, Error> {
        self.0
            .breaker
            .run(async {
                // Others may find it out at the same time, each by a statement of its own.
                let pooled = self.is_pooled();
                match run().await {
                    Err(error) if !pooled && self.finds_itself_pooled(&error) => run().await,
                    done => done,
                }
            })
            .await
    }

    async fn opened<C: Sync, F>(&self, asked: &Asked<'_, C, F>) -> Result<(Work, F), Error> {
        let (work, found) = self.begin(asked).await?;
        match found {
            Ok(found) => Ok((work, found)),
            // Dropped: it is told to stop, and the connection closed.
            Err(error) if error.code == Code::Unavailable => Err(error),
            Err(error) => {
                work.rollback_after_failure().await;
                Err(error)
            }
        }
    }

    /// Whether a pooler stands in between, as far as is known.
    pub(super) fn is_pooled(&self) -> bool {
        self.0.pooled.load(Ordering::Relaxed)
    }

    async fn attempt<C: Sync, F, T>(&self, asked: &Asked<'_, C, F>, rest: Rest<C, F, T>) -> Result<T, Error> {
        let (work, found) = self.begin(asked).await?;
        let (done, end) = match found {
            Ok(found) => rest(&work, asked.context, found).await,
            Err(error) => (Err(error), End::Rollback),
        };
        match (done, end) {
            (Ok(answer), End::Commit) => work.commit().await.map(|()| answer),
            (Ok(answer), End::Rollback) => {
                work.rollback();
                Ok(answer)
            }
            (done, End::Abandon) => done,
            (Err(error), End::Commit | End::Rollback) => {
                work.rollback_after_failure().await;
                Err(error)
            }
        }
    }

    /// A statement is not there or there already: sessions are mixed, which is known from now on.
    pub(super) fn finds_itself_pooled(&self, error: &Error) -> bool {
        let found = matches!(failure::sqlstate(error), Some("26000" | "42P05"));
        self.0.pooled.fetch_or(found, Ordering::Relaxed);
        found
    }

    async fn begin<C: Sync, F>(&self, asked: &Asked<'_, C, F>) -> Result<(Work, Result<F, Error>), Error> {
        // Every old connection may have died unseen; a new one that fails is the truth. One more for a pooler that is found out.
        for _ in 0..=CONNECTIONS_MAX + 1 {
            let work = self.checkout().await?;
            let begun = self.begun(&work, asked.writes, asked.statement);
            match try_join(begun, async { Ok((asked.first)(&work, asked.context).await) }).await {
                Ok(((), found)) => return Ok((work, found)),
                Err(NotBegun::Broken) => {}
                // Not dropped: a pooler could pass the request to stop on to somebody else's session.
                Err(NotBegun::Pooled) => work.rollback_after_failure().await,
                Err(NotBegun::Because(error)) => return Err(error),
            }
        }
        Err(failure::unreachable_because("all connections broke"))
    }

    async fn begun(&self, work: &Work, writes: Writes, statement: Duration) -> Result<(), NotBegun> {
        let pooled = self.0.pooled.load(Ordering::Relaxed);
        let object = work.object().map_err(NotBegun::Because)?;
        let fresh = Object::metrics(object).recycle_count == 0;
        let begin = begin_text(writes, statement, &self.0.habits, (!pooled).then_some(self.0.mark.as_str()));
        let sent = async {
            if fresh && !pooled {
                let session = session_text(&self.0.mark, &self.0.habits);
                let (answers, ()) = try_join(object.simple_query(&session), object.batch_execute(&begin)).await?;
                for answer in &answers {
                    if let SimpleQueryMessage::Row(row) = answer {
                        self.0.server.learn(row.get(0));
                    }
                }
                Ok(())
            } else {
                object.batch_execute(&begin).await
            }
        };
        match self.0.answered(sent, WAIT_TIME).await.map_err(NotBegun::Because)? {
            Ok(()) => {
                work.begun.store(true, Ordering::Relaxed);
                Ok(())
            }
            Err(error) if error.code().is_some_and(|code| NOT_OURS.contains(&code.code())) => {
                self.0.pooled.store(true, Ordering::Relaxed);
                Err(NotBegun::Pooled)
            }
            Err(error) if !fresh && failure::is_parting(&error) => Err(NotBegun::Broken),
            Err(error) => Err(NotBegun::Because(failure::meaning(error))),
        }
    }

    /// Lets the statement go on every connection on which it stayed prepared.
    pub(super) fn forget(&self, sql: &str, types: &[Type]) {
        self.0.connections.manager().statement_caches.remove(sql, types);
    }

    /// The server's version, once a connection has told it.
    pub(super) fn version(&self) -> Option<String> {
        self.0.server.version()
    }

    async fn checkout(&self) -> Result<Work, Error> {
        let object = self.0.connections.get().await.map_err(|error| match error {
            PoolError::Backend(error) => failure::no_connection(error),
            PoolError::Timeout(TimeoutType::Wait) => in_use(),
            PoolError::Timeout(_) => failure::unreachable_because("no answer in time"),
            PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                Error::new(Code::Internal, "the connections are closed")
            }
        })?;
        Ok(Work { object: Some(object), shared: Arc::clone(&self.0), begun: AtomicBool::new(false) })
    }
}

impl Shared {
    /// What the server says to a question, after `wait` at the latest. Without an answer it hangs, or it is slow, or a pooler has none of its
    /// connections free: who still lets us in will answer.
    async fn answered<T>(&self, sent: impl Future<Output = T>, wait: Duration) -> Result<T, Error> {
        tokio::pin!(sent);
        if let Ok(answer) = timeout(PATIENCE, &mut sent).await {
            return Ok(answer);
        }
        tokio::select! {
            biased;
            answer = &mut sent => return Ok(answer),
            greeted = self.greeting.of(&self.config, &self.tls) => greeted?,
        }
        timeout(wait, sent).await.map_err(|_elapsed| in_use())
    }
}

fn in_use() -> Error {
    Error::new(Code::Busy, "all connections to the database are in use").retry_after(Duration::from_millis(500))
}

/// One look at the server: a login of its own.
async fn look(config: Config, tls: Tls) -> bool {
    let asked = async {
        match tls {
            Tls::Plain => answers(config.connect(NoTls).await?).await,
            Tls::Rustls(connector) => answers(config.connect(connector).await?).await,
        }
    };
    matches!(within(ANSWER_TIME, asked).await, Some(Ok(())))
}

async fn answers<S, T>(
    (client, connection): (Client, tokio_postgres::Connection<S, T>),
) -> Result<(), tokio_postgres::Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    tokio::select! {
        ended = connection => ended,
        answer = client.batch_execute("-- look\nSELECT 1") => answer,
    }
}
