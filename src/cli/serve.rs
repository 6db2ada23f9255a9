//! `callboard serve`.

use std::time::Duration;

use super::{GOOD, runtime};
use crate::{
    app::App,
    config::{Config, StoreConfig},
    error::{Code, Error},
    mcp::{server::Server, stdio},
};

/// What runs beside the calls has this long to end.
const BACKGROUND: Duration = Duration::from_millis(300);
/// The record store is told within this time that the process ends. Others find out by themselves.
const FAREWELL: Duration = Duration::from_secs(1);
/// What blocks a thread has this long to end.
const BLOCKED: Duration = Duration::from_millis(200);

/// Serves MCP over stdin and stdout until stdin ends.
pub fn run(config: Config) -> Result<u8, Error> {
    let runtime = runtime()?;
    let choice = choice(&config);
    let served = runtime.block_on(async {
        let app = App::new(config)?;
        tracing::info!("{choice}");
        let (background, sessions, jobs) = (app.background.clone(), app.sessions.clone(), app.jobs.clone());
        jobs.start();
        let served = stdio::serve(Server::new(app)).await;
        let farewell = async {
            sessions.end().await?;
            jobs.end().await
        };
        match tokio::time::timeout(FAREWELL, farewell).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("the end of this process was not recorded: {error}"),
            Err(_elapsed) => tracing::warn!("the end of this process was not recorded in time"),
        }
        background.stop(BACKGROUND).await;
        served.map_err(|error| Error::new(Code::Internal, "the standard streams cannot be used").cause(error))
    });
    // A read of a terminal or a query of the embedded store may still block a thread.
    runtime.shutdown_timeout(BLOCKED);
    served.map(|()| GOOD)
}

/// What was chosen, in one line for whoever reads the log.
fn choice(config: &Config) -> String {
    let sql = match config.databases.as_slice() {
        [] => "an embedded file".to_owned(),
        [_] => "PostgreSQL".to_owned(),
        several => format!("PostgreSQL ({} databases)", several.len()),
    };
    let search = if config.search.is_some() { "the search engine that is set" } else { "an embedded index" };
    let records = match &config.store {
        StoreConfig::Embedded => "an embedded file",
        StoreConfig::Server(_) => "PostgreSQL",
        StoreConfig::Fitting(_) => "PostgreSQL where DATABASE_URL's role may, else an embedded file",
    };
    let mode = if config.access.read_only { ", read only" } else { "" };
    format!(
        "callboard {} serves {}{mode}: sql on {sql}, search on {search}, records in {records}, data directory {}",
        env!("CARGO_PKG_VERSION"),
        config.toolsets.served().join(", "),
        config.data_dir.display()
    )
}
