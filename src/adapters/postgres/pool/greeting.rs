//! Whether a server that has fallen silent lets anybody in.
//!
//! Many may wait for its answer at the same moment, behind one statement that takes long: one login tells all of them.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use tokio_postgres::{Config, NoTls};

use super::{ANSWER_TIME, PATIENCE};
use crate::{
    adapters::{
        own_time::within,
        postgres::{failure, tls::Tls},
    },
    error::Error,
};

type Login = BoxFuture<'static, Arc<Result<(), Error>>>;

/// The login that is under way, as long as somebody waits for it.
#[derive(Default)]
pub(super) struct Greeting(Mutex<Option<WeakShared<Login>>>);

impl Greeting {
    /// Whether the server lets anybody in. A pooler does also when none of its connections is free.
    pub(super) async fn of(&self, config: &Config, tls: &Tls) -> Result<(), Error> {
        let told = self.under_way(config, tls).await;
        told.as_ref()
            .as_ref()
            .copied()
            .map_err(|error| error.for_each().place(error.place.clone()).cause(error.cause_text()))
    }

    fn under_way(&self, config: &Config, tls: &Tls) -> Shared<Login> {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = under_way.as_ref().and_then(WeakShared::upgrade).filter(|login| login.peek().is_none());
        shared.unwrap_or_else(|| {
            let (config, tls) = (config.clone(), tls.clone());
            let login = async move { Arc::new(login(&config, &tls).await) }.boxed().shared();
            *under_way = login.downgrade();
            login
        })
    }
}

async fn login(config: &Config, tls: &Tls) -> Result<(), Error> {
    let connected = async {
        match tls {
            Tls::Plain => config.connect(NoTls).await.map(drop),
            Tls::Rustls(connector) => config.connect(connector.clone()).await.map(drop),
        }
    };
    match within(ANSWER_TIME.saturating_sub(PATIENCE), connected.boxed()).await {
        Some(connected) => connected.map_err(failure::no_connection),
        None => Err(failure::unreachable_because("no answer in time")),
    }
}
