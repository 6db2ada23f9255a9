//! `callboard call`: one call without a client, through the same path as a client's.

use std::io::Read;

use serde::Deserialize;

use super::{GOOD, REFUSED, UNAVAILABLE, USAGE, output};
use crate::{
    app::App,
    config::Config,
    error::{Code, Error},
    mcp::{local::Local, server::Server},
};

/// Calls `tool` and prints what it answered.
pub fn run(config: Config, tool: &str, arguments: Option<String>) -> Result<u8, Error> {
    let arguments = match arguments.as_deref() {
        None | Some("") => "{}".to_owned(),
        Some("-") => from_stdin()?,
        Some(text) => text.to_owned(),
    };
    serde_json::from_str::<&serde_json::value::RawValue>(&arguments)
        .map_err(|error| Error::invalid("arguments", format!("the arguments are not JSON: {error}")))?;
    super::runtime()?.block_on(async {
        let app = App::new(config)?;
        let (background, sessions) = (app.background.clone(), app.sessions.clone());
        sessions.detach();
        let server = Server::new(app);
        let known = server.catalogue().iter().any(|known| known.name == tool);
        let called = Local::new(server).call(tool, &arguments).await?;
        if let Err(error) = sessions.end().await {
            tracing::warn!("the agent's heartbeat was not written: {error}");
        }
        background.stop(std::time::Duration::from_secs(5)).await;
        output::line(&called.text);
        Ok(match (called.is_error, known) {
            (false, _) => GOOD,
            (true, false) => USAGE,
            (true, true) => code_of(&called.text),
        })
    })
}

fn from_stdin() -> Result<String, Error> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| Error::invalid("arguments", format!("the arguments cannot be read from stdin: {error}")))?;
    Ok(if text.trim().is_empty() { "{}".to_owned() } else { text })
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
