//! Connections: at most ten, made when first needed, given out inside a transaction, and never used again in an unknown state.
//!
//! Every method of the port runs its work inside [`Pool::run`], which is the circuit breaker, and takes a [`Work`] from [`Pool::read`] or
//! [`Pool::write`]. Inside it use `query_typed` (unnamed statements): a pooler in transaction mode may stand in between. A `Work` that
//! is dropped before `commit` or `rollback` has answered tells the server to stop and closes the connection: so cancellation and
//! timeouts reach the database.

use std::{future::Future, ops::Deref, sync::Arc, time::Duration};

use deadpool_postgres::{
    Manager, ManagerConfig, Object, Pool as Connections, PoolError, RecyclingMethod, Runtime, TimeoutType,
};
use tokio::time::timeout;
use tokio_postgres::{Client, Config, NoTls};

use super::{address::Address, failure, tls::Tls};
use crate::{
    adapters::breaker::Breaker,
    background::Background,
    error::{Code, Error},
};

/// Connections at the most.
const CONNECTIONS_MAX: usize = 10;
/// For a connection to come about, and for the first answer on an old one. Together with what follows it stays below a second.
const ANSWER_TIME: Duration = Duration::from_millis(900);
/// For one of the connections to become free.
const WAIT_TIME: Duration = Duration::from_secs(10);
/// Waiting for a lock that somebody else holds.
const LOCK_TIME: Duration = Duration::from_secs(3);

/// The connections to one server. Cloning shares.
#[derive(Clone)]
pub struct Pool(Arc<Shared>);

struct Shared {
    connections: Connections,
    tls: Tls,
    breaker: Arc<Breaker>,
    background: Background,
}

impl Pool {
    /// Opens nothing yet.
    ///
    /// # Errors
    /// When the pool cannot be made.
    pub fn new(address: Address, background: Background) -> Result<Self, Error> {
        let Address { config, tls } = address;
        let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = match &tls {
            Tls::Plain => Manager::from_config(config.clone(), NoTls, manager),
            Tls::Rustls(connector) => Manager::from_config(config.clone(), connector.clone(), manager),
        };
        let connections = Connections::builder(manager)
            .max_size(CONNECTIONS_MAX)
            .runtime(Runtime::Tokio1)
            .create_timeout(Some(ANSWER_TIME))
            .wait_timeout(Some(WAIT_TIME))
            .build()
            .map_err(|error| Error::new(Code::Internal, "the connections cannot be set up").cause(error))?;
        let (probe, tls_of_probe) = (config, tls.clone());
        let breaker = Breaker::new(background.clone(), move || look(probe.clone(), tls_of_probe.clone()));
        Ok(Self(Arc::new(Shared { connections, tls, breaker, background })))
    }

    /// Runs `work` unless the database is known to be down, and learns from how it ends.
    ///
    /// # Errors
    /// Those of `work`; `unavailable` at once while the database is down.
    pub async fn run<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.0.breaker.run(work).await
    }

    /// A transaction that cannot write, with `statement` as the longest time of a statement.
    ///
    /// # Errors
    /// `unavailable` within a second, `busy` when all connections stay in use.
    pub async fn read(&self, statement: Duration) -> Result<Work, Error> {
        self.begin("READ ONLY", statement).await
    }

    /// A transaction that writes.
    ///
    /// # Errors
    /// `unavailable` within a second, `busy` when all connections stay in use.
    pub async fn write(&self, statement: Duration) -> Result<Work, Error> {
        self.begin("READ WRITE", statement).await
    }

    async fn begin(&self, access: &str, statement: Duration) -> Result<Work, Error> {
        let begin = begin_text(access, statement);
        // Every old connection may have died unseen; a new one that fails is the truth.
        for _ in 0..=CONNECTIONS_MAX {
            let work = self.checkout().await?;
            let fresh = Object::metrics(work.object()?).recycle_count == 0;
            match timeout(ANSWER_TIME, work.client()?.batch_execute(&begin)).await {
                Ok(Ok(())) => return Ok(work),
                Ok(Err(error)) if !fresh && failure::is_parting(&error) => {}
                Ok(Err(error)) => return Err(failure::meaning(error)),
                Err(_elapsed) => return Err(failure::unreachable_because("no answer in time")),
            }
        }
        Err(failure::unreachable_because("all connections broke"))
    }

    async fn checkout(&self) -> Result<Work, Error> {
        let object = self.0.connections.get().await.map_err(|error| match error {
            PoolError::Backend(error) => failure::no_connection(error),
            PoolError::Timeout(TimeoutType::Wait) => {
                Error::new(Code::Busy, "all connections to the database are in use")
                    .retry_after(Duration::from_millis(500))
            }
            PoolError::Timeout(_) => failure::unreachable_because("no answer in time"),
            PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                Error::new(Code::Internal, "the connections are closed")
            }
        })?;
        Ok(Work { object: Some(object), shared: Arc::clone(&self.0) })
    }
}

/// One look at the server: a login of its own.
async fn look(config: Config, tls: Tls) -> bool {
    let asked = async {
        match tls {
            Tls::Plain => answers(config.connect(NoTls).await?).await,
            Tls::Rustls(connector) => answers(config.connect(connector).await?).await,
        }
    };
    matches!(timeout(ANSWER_TIME, asked).await, Ok(Ok(())))
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

/// A transaction on a connection of its own. Derefs to the driver's client.
pub struct Work {
    /// None once settled.
    object: Option<Object>,
    shared: Arc<Shared>,
}

impl Work {
    /// Makes it stand. Not for a transaction in which a statement failed: PostgreSQL answers that with ROLLBACK and no error.
    ///
    /// # Errors
    /// What the server says; `outcome_unknown` when the connection breaks meanwhile.
    pub async fn commit(mut self) -> Result<(), Error> {
        self.client()?.batch_execute("COMMIT").await.map_err(failure::in_commit)?;
        drop(self.object.take());
        Ok(())
    }

    /// Takes it back; the connection is used again if that worked, and closed if not.
    pub async fn rollback(mut self) {
        let done = match self.client() {
            Ok(client) => timeout(ANSWER_TIME, client.batch_execute("ROLLBACK")).await.is_ok_and(|done| done.is_ok()),
            Err(_) => false,
        };
        if done {
            drop(self.object.take());
        }
    }

    fn client(&self) -> Result<&Client, Error> {
        self.object().map(|object| &***object)
    }

    fn object(&self) -> Result<&Object, Error> {
        self.object.as_ref().ok_or_else(|| Error::new(Code::Internal, "the transaction has ended"))
    }
}

impl Deref for Work {
    type Target = Client;

    #[expect(clippy::expect_used, reason = "the connection is only given back by methods that consume the transaction")]
    fn deref(&self) -> &Client {
        self.object.as_ref().expect("the transaction has not ended")
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let Some(object) = self.object.take() else { return };
        let client = Object::take(object);
        if client.is_closed() || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let (token, tls) = (client.cancel_token(), self.shared.tls.clone());
        self.shared.background.spawn(async move {
            let asked = async {
                match tls {
                    Tls::Plain => token.cancel_query(NoTls).await,
                    Tls::Rustls(connector) => token.cancel_query(connector).await,
                }
            };
            if !matches!(timeout(ANSWER_TIME, asked).await, Ok(Ok(()))) {
                tracing::debug!("a statement could not be stopped; its connection is closed all the same");
            }
            drop(client);
        });
    }
}

/// One message for all of it. Only a superuser can bound its temporary files. The setting of PostgreSQL 14 and later ends the statement
/// of a process that was killed.
fn begin_text(access: &str, statement: Duration) -> String {
    format!(
        "-- begin\nBEGIN TRANSACTION {access};\
         SET LOCAL statement_timeout = {};\
         SET LOCAL lock_timeout = {};\
         SET LOCAL idle_in_transaction_session_timeout = 60000;\
         SET LOCAL work_mem = '32MB';\
         SET LOCAL standard_conforming_strings = on;\
         SELECT pg_catalog.set_config('temp_file_limit', '2GB', true) \
         WHERE pg_catalog.current_setting('transaction_read_only') = 'on' \
         AND pg_catalog.current_setting('is_superuser') = 'on';\
         SELECT pg_catalog.set_config('client_connection_check_interval', '2s', true) \
         WHERE pg_catalog.current_setting('server_version_num')::pg_catalog.int4 >= 140000 \
         AND pg_catalog.version() LIKE '%linux%'",
        statement.as_millis().max(1),
        LOCK_TIME.min(statement).as_millis().max(1),
    )
}
