//! How a connection comes about: in bounded time, of which only what this process could use counts. Checking a password takes long on a busy
//! machine, and says nothing of the server.

use std::time::Duration;

use deadpool_postgres::{ConfigConnectImpl, Connect};
use futures_util::{FutureExt, future::BoxFuture};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Error, NoTls};

use super::tls::Tls;
use crate::adapters::own_time::within;

/// Connects as `tls` says.
pub struct Connector {
    tls: Tls,
    time: Duration,
}

impl Connector {
    /// With so much time for a connection.
    pub fn new(tls: Tls, time: Duration) -> Self {
        Self { tls, time }
    }
}

impl Connect for Connector {
    fn connect(&self, config: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        let config = config.clone();
        let connected = async move {
            match &self.tls {
                Tls::Plain => ConfigConnectImpl { tls: NoTls }.connect(&config).await,
                Tls::Rustls(connector) => ConfigConnectImpl { tls: connector.clone() }.connect(&config).await,
            }
        };
        async move {
            match within(self.time, connected).await {
                Some(connected) => connected,
                // The driver's own word for it.
                None => Err(Error::__private_api_timeout()),
            }
        }
        .boxed()
    }
}
