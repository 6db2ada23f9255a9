//! Removing what an earlier demonstration left in the embedded stores.
//!
//! No tool drops anything, so this removes the files of a store that holds nothing else.

use std::{
    fs::{self, OpenOptions},
    io::ErrorKind,
    path::Path,
    time::Duration,
};

use rustix::fs::{FlockOperation, fcntl_lock};
use serde_json::Value;

use super::{
    NAME, board, list,
    stage::{End, Stage},
    text,
};
use crate::{
    app::App,
    cli::output,
    config::Config,
    error::{Code, Error},
};

/// How long the looking may take to end.
const PATIENCE: Duration = Duration::from_secs(2);

/// Removes it. A sentence when that must not be.
pub(super) fn run(config: &Config) -> Result<Option<String>, Error> {
    for (set, what) in [(config.search.is_some(), "index"), (!config.databases.is_empty(), "table")] {
        if set {
            output::line(&format!(
                "The {what} `{NAME}` of a real backend stays: nothing is dropped there. Remove it yourself if it is in the way.\n"
            ));
        }
    }
    // A runtime of its own: when it is gone, everything that held the stores open ends.
    let runtime = crate::cli::runtime()?;
    let looked = runtime.block_on(async {
        let app = App::new(Config::embedded(&config.data_dir))?;
        let background = app.background.clone();
        let looked = only_ours(&Stage::new(app)).await;
        background.stop(PATIENCE).await;
        Ok::<_, Error>(looked)
    })?;
    drop(runtime);
    let (index_only, table_only) = match looked {
        Ok(found) => found,
        Err(End::Gone(error)) => return Err(error),
        Err(End::Refused(what) | End::Unexpected(what)) => return Ok(Some(format!("nothing was removed: {what}"))),
    };
    let mut kept = Vec::new();
    if config.search.is_none() {
        remove(&config.data_dir, "search", index_only, &mut kept)?;
    }
    if config.databases.is_empty() {
        remove(&config.data_dir, "data", table_only, &mut kept)?;
    }
    for what in kept {
        output::line(&what);
    }
    Ok(None)
}

/// Whether the embedded index store and the embedded database hold nothing but the demonstration's.
async fn only_ours(stage: &Stage) -> Result<(bool, bool), End> {
    let indices = stage.ask("list_indices", "{}").await?.map_err(End::Refused)?;
    let tables = stage.ask("list_tables", "{}").await?.map_err(End::Refused)?;
    let only = |listed: &Value, what: &str| list(listed, what).iter().all(|entry| text(entry, "name") == NAME);
    let index = only(&indices, "indices") && board::index_is_ours(stage, NAME).await?;
    let table = only(&tables, "tables") && board::table_is_ours(stage, NAME).await?;
    Ok((index, table))
}

/// Removes the files of a store: its database, what SQLite keeps beside it, and its folder.
fn remove(data_dir: &Path, stem: &str, only_ours: bool, kept: &mut Vec<String>) -> Result<(), Error> {
    if !only_ours {
        kept.push(format!("{stem}.db holds more than the demonstration's data, so it stays as it is.\n"));
        return Ok(());
    }
    if is_open(&data_dir.join(format!("{stem}.db")))? {
        kept.push(format!("{stem}.db is in use by another process, so it stays as it is.\n"));
        return Ok(());
    }
    for end in [".db", ".db-wal", ".db-shm", "-words"] {
        let path = data_dir.join(format!("{stem}{end}"));
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(unremovable(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// SQLite holds a lock on the file as long as a connection is open. Locks of this process, which has looked, do not count.
fn is_open(database: &Path) -> Result<bool, Error> {
    let file = match OpenOptions::new().write(true).open(database) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(unremovable(error)),
    };
    Ok(fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).is_err())
}

fn unremovable(error: std::io::Error) -> Error {
    Error::new(Code::Unavailable, "the demonstration's files cannot be removed").cause(error)
}
