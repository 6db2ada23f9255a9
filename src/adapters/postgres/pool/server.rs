//! What is known of the server behind a pool: its version, as the newest connection told it, and what changes with the version only.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Starts out knowing nothing.
#[derive(Default)]
pub struct Server(Mutex<Known>);

#[derive(Default)]
struct Known {
    version: Option<String>,
    shipped: Option<Arc<HashSet<String>>>,
}

impl Server {
    /// Takes what a new connection says: another version has other functions.
    pub(super) fn learn(&self, version: Option<&str>) {
        let mut known = self.known();
        if known.version.as_deref() != version {
            *known = Known { version: version.map(str::to_owned), shipped: None };
        }
    }

    /// `server_version`; none before a connection told it.
    pub(super) fn version(&self) -> Option<String> {
        self.known().version.clone()
    }

    /// Names of functions of the server itself that may do more than read; none before they were asked for.
    pub fn shipped(&self) -> Option<Arc<HashSet<String>>> {
        self.known().shipped.clone()
    }

    /// Keeps them.
    pub fn keep_shipped(&self, names: &Arc<HashSet<String>>) {
        self.known().shipped = Some(Arc::clone(names));
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
