//! A look at the server as the record store.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::time::timeout;

use super::{Shared, failure, migrations};
use crate::{
    adapters::postgres::{
        failure::{meaning, unreachable_because},
        pool::Work,
    },
    domain::ops::{BackendStatus, State},
    error::Error,
};

/// For the whole look.
const LOOK_TIME: Duration = Duration::from_secs(2);

const SERVER: &str = "-- store_status
SELECT pg_catalog.current_setting('server_version'), pg_catalog.current_setting('fsync') = 'on', pg_catalog.pg_is_in_recovery()";

struct Server {
    version: String,
    syncs: bool,
    standby: bool,
}

/// Looks afresh; what is wrong is in the answer. Makes nothing.
pub(super) async fn status(shared: &Shared) -> BackendStatus {
    let started = Instant::now();
    let looked = match timeout(LOOK_TIME, look(shared)).await {
        Ok(looked) => looked.map_err(failure::of),
        Err(_elapsed) => Err(failure::of(unreachable_because("no answer in time"))),
    };
    let (server, problem, notes) = match looked {
        Err(problem) => (None, Some(problem), Vec::new()),
        Ok((server, problem)) => {
            let notes = notes(shared, &server);
            (Some(server), problem, notes)
        }
    };
    BackendStatus {
        name: "store".to_owned(),
        kind: "postgresql",
        state: match (&problem, &server) {
            (None, Some(server)) if server.standby => State::Degraded,
            (None, Some(_)) => State::Up,
            _ => State::Down,
        },
        version: server.map(|server| server.version),
        latency_ms: started.elapsed().as_secs_f64() * 1_000.0,
        problem,
        notes,
        remedy: None,
    }
}

async fn look(shared: &Shared) -> Result<(Server, Option<Error>), Error> {
    let server = shared.pool.read(LOOK_TIME, &(), |work, ()| server(work).boxed()).await?;
    let problem = match migrations::found(&shared.pool).await {
        Ok(version) => migrations::problem(version, shared.migrate),
        Err(error) => Some(error),
    };
    Ok((server, problem))
}

async fn server(work: &Work) -> Result<Server, Error> {
    let row = work.query_typed_one(SERVER, &[]).await.map_err(meaning)?;
    Ok(Server {
        version: row.try_get(0).map_err(meaning)?,
        syncs: row.try_get(1).map_err(meaning)?,
        standby: row.try_get(2).map_err(meaning)?,
    })
}

fn notes(shared: &Shared, server: &Server) -> Vec<String> {
    let mut notes = Vec::new();
    if !server.syncs {
        notes.push("fsync is off on this server: what was answered is lost when its machine loses power".to_owned());
    }
    if server.standby {
        notes.push("the server is a standby: nothing can be written".to_owned());
    }
    if shared.pool.is_pooled() {
        notes.push("a pooler stands in between: statements are not prepared, and other processes' changes are noticed within half a second".to_owned());
    }
    notes
}
