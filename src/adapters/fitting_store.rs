//! The record store of an installation that does not say which: PostgreSQL where the first database's role may keep records there, else
//! the embedded file. Decided when first used, and then kept to.
//!
//! A server that is down decides nothing: whoever took the file meanwhile would have split what belongs together.

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::{
    postgres::store::{Fit, RecordServer},
    sqlite::store::RecordFile,
};
use crate::{
    changes::Changes,
    domain::ops::{BackendStatus, State},
    error::Error,
    store::{Backend, Step},
};

/// Both, and which of them it is.
pub struct FittingStore {
    server: Arc<RecordServer>,
    file: Arc<RecordFile>,
    decided: OnceCell<Decision>,
}

struct Decision {
    backend: Arc<dyn Backend>,
    why: &'static str,
}

impl FittingStore {
    /// Opens neither. They tell changes to the same place.
    pub fn new(server: RecordServer, file: RecordFile) -> Self {
        Self { server: Arc::new(server), file: Arc::new(file), decided: OnceCell::new() }
    }

    /// Whether it is the server.
    ///
    /// # Errors
    /// `unavailable` while the server cannot be asked.
    pub async fn is_on_server(&self) -> Result<bool, Error> {
        Ok(fits(self.server.fit().await?).0)
    }

    /// The server, whether it fits or not.
    pub fn server(&self) -> &RecordServer {
        &self.server
    }

    async fn decided(&self) -> Result<&Decision, Error> {
        self.decided
            .get_or_try_init(|| async {
                let (on_server, why) = fits(self.server.fit().await?);
                let backend: Arc<dyn Backend> =
                    if on_server { Arc::clone(&self.server) as _ } else { Arc::clone(&self.file) as _ };
                let place = if on_server { "PostgreSQL" } else { "an embedded file" };
                tracing::info!("records are kept in {place}: {why}");
                Ok(Decision { backend, why })
            })
            .await
    }
}

fn fits(fit: Fit) -> (bool, &'static str) {
    match fit {
        Fit::Keeps => (true, "DATABASE_URL leads to a schema `callboard` that its role may write"),
        Fit::MayMake => (true, "the role of DATABASE_URL may make the schema `callboard`"),
        Fit::MayNot => (false, "the role of DATABASE_URL may not make a schema `callboard`"),
        Fit::Closed => (false, "the schema `callboard` in DATABASE_URL's database belongs to another role"),
        Fit::OnlyReads => (false, "DATABASE_URL leads to a standby, or its role only reads"),
    }
}

#[async_trait::async_trait]
impl Backend for FittingStore {
    async fn submit(&self, step: Box<dyn Step>) -> Result<(), Error> {
        self.decided().await?.backend.submit(step).await
    }

    async fn read(&self, step: Box<dyn Step>) -> Result<(), Error> {
        self.decided().await?.backend.read(step).await
    }

    fn changes(&self) -> &Arc<Changes> {
        self.server.changes()
    }

    async fn status(&self) -> BackendStatus {
        match self.decided().await {
            Ok(Decision { backend, why }) => {
                let mut status = backend.status().await;
                status.notes.insert(0, format!("CALLBOARD_STORE_URL is not set, and {why}"));
                status
            }
            Err(_) => {
                let status = self.server.status().await;
                let note = "CALLBOARD_STORE_URL is not set, and only DATABASE_URL's server can say whether records may be kept there";
                BackendStatus { state: State::Down, notes: vec![note.to_owned()], ..status }
            }
        }
    }
}
