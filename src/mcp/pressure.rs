//! A call does not start while its client leaves too many answers unread.

use tokio::sync::watch;

/// State of a transport: what its reader and the calls wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Too much is unread by the client.
    pub full: bool,
    /// Too much is in flight.
    pub crowded: bool,
    /// Everything accepted is answered.
    pub idle: bool,
    /// Everything answered is written.
    pub sent: bool,
    /// Nobody reads any more.
    pub broken: bool,
}

/// Travels with a request from the transport to the choke point.
#[derive(Clone)]
pub struct Pressure(watch::Receiver<State>);

impl Pressure {
    /// Watches the state of a transport.
    pub fn new(state: watch::Receiver<State>) -> Self {
        Self(state)
    }

    /// The client leaves too much unread.
    pub fn is_high(&self) -> bool {
        self.0.borrow().full
    }

    /// Waits until the client has read enough, or has gone.
    pub async fn relieved(&self) {
        // An error means that the transport is gone, and nothing is to be waited for.
        let _ = self.0.clone().wait_for(|state| state.broken || !state.full).await;
    }
}
