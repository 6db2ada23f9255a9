//! `callboard tools`.

use super::{GOOD, output};
use crate::{
    app::App,
    config::Config,
    error::Error,
    mcp::{catalogue, server::Server},
};

/// Lists the tools that this configuration serves.
pub fn run(config: Config, json: bool, markdown: bool) -> Result<u8, Error> {
    // Building the services needs a runtime to start background tasks on.
    let server = super::runtime()?.block_on(async { App::new(config).map(Server::new) })?;
    let list = match (json, markdown) {
        (true, _) => catalogue::json(&server),
        (_, true) => catalogue::markdown(&server),
        _ => catalogue::plain(&server),
    };
    output::line(list.trim_end());
    Ok(GOOD)
}
