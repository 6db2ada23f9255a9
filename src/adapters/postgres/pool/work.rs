//! What can be done inside a transaction.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use deadpool_postgres::{ClientWrapper, Object};
use futures_util::FutureExt;
use tokio::time::{sleep, timeout};
use tokio_postgres::{
    Client, NoTls, Row, Statement,
    types::{ToSql, Type},
};

use super::{ANSWER_TIME, Shared, server::Server};
use crate::{
    adapters::postgres::{failure, tls::Tls},
    error::{Code, Error},
};

/// For the server to stop; then the connection is closed all the same.
const STOP_TIME: Duration = Duration::from_secs(10);
/// Between two requests to stop: at first, and at the longest.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));
/// For BEGIN, when it has not been answered yet: stopped in the middle of it, what follows would stand outside of a transaction.
const BEGIN_TIME: Duration = Duration::from_millis(100);
/// Statements that stay prepared on one connection.
const PREPARED_MAX: usize = 256;

/// A transaction on a connection of its own. Derefs to the driver's client.
pub struct Work {
    /// None once settled.
    pub(super) object: Option<Object>,
    pub(super) shared: Arc<Shared>,
    /// BEGIN was answered.
    pub(super) begun: AtomicBool,
}

impl Work {
    /// Asks with a statement of ours that stays prepared on the connection where it can. Its text must not hold values of callers, its
    /// answer not change with the tables they make.
    ///
    /// # Errors
    /// What the server says.
    pub async fn ask(&self, sql: &str, values: &[(&(dyn ToSql + Sync), Type)]) -> Result<Vec<Row>, Error> {
        match self.prepared(sql, &types(values)).await? {
            Some(statement) => self.query(&statement, &alone(values)).await,
            None => self.query_typed(sql, values).await,
        }
        .map_err(failure::meaning)
    }

    /// The same for a statement that answers with the number of rows it wrote.
    ///
    /// # Errors
    /// What the server says.
    pub async fn tell(&self, sql: &str, values: &[(&(dyn ToSql + Sync), Type)]) -> Result<u64, Error> {
        match self.prepared(sql, &types(values)).await? {
            Some(statement) => self.execute(&statement, &alone(values)).await,
            None => self.execute_typed(sql, values).await,
        }
        .map_err(failure::meaning)
    }

    /// The statement, prepared on the connection where it can stay so.
    pub(in crate::adapters::postgres) async fn prepared(
        &self,
        sql: &str,
        types: &[Type],
    ) -> Result<Option<Statement>, Error> {
        if self.shared.pooled.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let object = self.object()?;
        if object.statement_cache.size() >= PREPARED_MAX {
            object.statement_cache.clear();
        }
        object.prepare_typed_cached(sql, types).await.map(Some).map_err(failure::meaning)
    }

    /// Prepares the statement of a later [`Work::ask`], where it can be and is not yet.
    ///
    /// # Errors
    /// What the server says.
    pub async fn get_ready(&self, sql: &str, types: &[Type]) -> Result<(), Error> {
        self.prepared(sql, types).await.map(|_| ())
    }

    /// What is known of the server.
    pub fn server(&self) -> &Server {
        &self.shared.server
    }

    /// What the server says to a question in the middle of the transaction, after `wait` at the latest: one that has fallen silent is told
    /// within a second.
    pub(in crate::adapters::postgres) async fn answered<T>(
        &self,
        sent: impl Future<Output = T>,
        wait: Duration,
    ) -> Result<T, Error> {
        self.shared.answered(sent, wait).await
    }

    /// Makes it stand. Not for a transaction in which a statement failed: PostgreSQL answers that with ROLLBACK and no error.
    pub(in crate::adapters::postgres) async fn commit(mut self) -> Result<(), Error> {
        self.client()?.batch_execute("COMMIT").await.map_err(failure::in_commit)?;
        drop(self.object.take());
        Ok(())
    }

    /// The connection is used again: COMMIT was sent on it and answered. `then` follows; nobody waits for it.
    pub(in crate::adapters::postgres) fn committed(mut self, then: Option<&str>) {
        if let (Some(object), Some(then)) = (&self.object, then) {
            // Polled once, it is sent.
            object.batch_execute(then).now_or_never();
        }
        drop(self.object.take());
    }

    /// Takes it back, when every answer has been read. Nobody waits for it: whoever uses the connection next comes after it.
    pub(in crate::adapters::postgres) fn rollback(mut self) {
        if let Some(object) = self.object.take() {
            // Polled once, it is sent.
            object.batch_execute("ROLLBACK").now_or_never();
        }
    }

    /// Takes it back; the connection is used again if that worked, and closed if not.
    pub(in crate::adapters::postgres) async fn rollback_after_failure(mut self) {
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

    pub(super) fn object(&self) -> Result<&Object, Error> {
        self.object.as_ref().ok_or_else(|| Error::new(Code::Internal, "the transaction has ended"))
    }
}

fn types(values: &[(&(dyn ToSql + Sync), Type)]) -> Vec<Type> {
    values.iter().map(|(_, of)| of.clone()).collect()
}

fn alone<'value>(values: &[(&'value (dyn ToSql + Sync), Type)]) -> Vec<&'value (dyn ToSql + Sync)> {
    values.iter().map(|(value, _)| *value).collect()
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
        let (tls, begun) = (self.shared.tls.clone(), *self.begun.get_mut());
        self.shared.background.spawn(async move {
            if timeout(STOP_TIME, stopped(&client, &tls, begun)).await.is_err() {
                tracing::debug!("a statement could not be stopped; its connection is closed all the same");
            }
            drop(client);
        });
    }
}

/// Asks the server to stop until it has: a request that meets it between two messages is lost.
async fn stopped(client: &ClientWrapper, tls: &Tls, begun: bool) {
    let asking = async {
        if !begun {
            sleep(BEGIN_TIME).await;
        }
        let (mut pause, longest) = ASK_AGAIN;
        loop {
            let token = client.cancel_token();
            let asked = async {
                match tls {
                    Tls::Plain => token.cancel_query(NoTls).await,
                    Tls::Rustls(connector) => token.cancel_query(connector.clone()).await,
                }
            };
            if let Ok(Err(error)) = timeout(ANSWER_TIME, asked).await {
                tracing::debug!(%error, "a request to stop did not reach the server");
            }
            sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    };
    tokio::select! {
        biased;
        // Answered, by an error too, after everything that was sent before it.
        _ = client.batch_execute("ROLLBACK") => {}
        () = asking => {}
    }
}
