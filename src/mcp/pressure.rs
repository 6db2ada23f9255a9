//! A call does not start while its client leaves too many answers unread.

use tokio::sync::watch;

use super::stdio::Now;

/// Travels with a request from the transport to the choke point.
#[derive(Clone)]
pub struct Pressure(watch::Receiver<Now>);

impl Pressure {
    /// Over the state of a transport.
    pub fn new(now: watch::Receiver<Now>) -> Self {
        Self(now)
    }

    /// The client leaves too much unread.
    pub fn is_high(&self) -> bool {
        self.0.borrow().full
    }

    /// Waits until the client has read enough, or has gone.
    pub async fn relieved(&self) {
        // An error means that the transport is gone, and nothing is to be waited for.
        let _ = self.0.clone().wait_for(|now| now.broken || !now.full).await;
    }
}
