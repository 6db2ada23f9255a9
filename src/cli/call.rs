//! `callboard call`: one call without a client, through the same path as a client's.

use serde::Deserialize;

use super::{GOOD, REFUSED, UNAVAILABLE, USAGE, output};
use crate::{
    app::App,
    config::Config,
    error::{Code, Error},
    ids,
    mcp::{envelope::envelope, local::Local, server::Server},
};

/// Calls `tool` and prints what it answered. Whatever is wrong with the call itself is printed as a tool prints it.
pub fn run(config: Config, tool: &str, arguments: Option<String>) -> Result<u8, Error> {
    let arguments = match read(arguments) {
        Ok(arguments) => arguments,
        Err(error) => return Ok(refused(&error)),
    };
    super::runtime()?.block_on(async {
        let app = App::new(config)?;
        let (background, sessions) = (app.background.clone(), app.sessions.clone());
        let server = Server::new(app);
        if !server.catalogue().iter().any(|known| known.name == tool) {
            return Ok(refused(&server.unknown(tool, "`callboard tools` lists the tools")));
        }
        sessions.detach();
        let called = Local::new(server).call(tool, &arguments).await?;
        if let Err(error) = sessions.end().await {
            tracing::warn!("the agent's heartbeat was not written: {error}");
        }
        background.stop(std::time::Duration::from_secs(5)).await;
        output::line(&called.text);
        Ok(if called.is_error { code_of(&called.text) } else { GOOD })
    })
}

/// The arguments as JSON text.
fn read(arguments: Option<String>) -> Result<String, Error> {
    let text = match arguments.as_deref() {
        Some("-") => std::io::read_to_string(std::io::stdin()).map_err(|error| {
            Error::invalid("arguments", format!("the arguments cannot be read from stdin: {error}"))
        })?,
        _ => arguments.unwrap_or_default(),
    };
    if text.trim().is_empty() {
        return Ok("{}".to_owned());
    }
    match serde_json::from_str::<&serde_json::value::RawValue>(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Error::invalid("arguments", format!("the arguments are not JSON: {error}"))
            .hint("write one JSON object in quotes, e.g. callboard call list_tables '{\"limit\": 10}'; `-` reads it from stdin")),
    }
}

fn refused(error: &Error) -> u8 {
    output::line(&envelope(error, &ids::new(ids::Kind::Request)));
    USAGE
}

/// A backend that is down is something else than a refusal: scripts wait and try again.
pub(super) fn code_of(envelope: &str) -> u8 {
    #[derive(Deserialize)]
    struct Coded {
        code: String,
    }
    let waits = [Code::Unavailable, Code::Timeout, Code::Busy, Code::OutcomeUnknown];
    match serde_json::from_str::<Coded>(envelope) {
        Ok(Coded { code }) if waits.iter().any(|known| known.as_str() == code) => UNAVAILABLE,
        _ => REFUSED,
    }
}
