//! `callboard doctor`: what this installation stands on, and what is wrong with it.

mod directory;
mod reach;
mod report;

use std::time::Duration;

use super::{GOOD, output, setup};
use crate::{
    app::App,
    config::{Environment, Flags, Loaded},
    domain::ops::{BackendStatus, State},
    error::{Code, Error},
};
use report::{Local, Report, Verdict};

/// The backends work, but something needs attention.
const DEGRADED: u8 = 1;
/// Something does not work.
const WRONG: u8 = 2;

/// How long a look at one backend may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks at everything and says what it found.
pub fn run(loaded: Loaded, environment: &Environment, flags: &Flags, json: bool) -> Result<u8, Error> {
    let Loaded { config, warnings, notes, files } = loaded;
    let targets = reach::targets(&config);
    let data_dir = directory::look(&config.data_dir);
    let settings = config.shown.clone();
    let (backends, reached) = super::runtime()?.block_on(async {
        let app = App::new(config)?;
        let looked = tokio::time::timeout(PATIENCE, app.ops.backends());
        let (backends, reached) = tokio::join!(looked, reach::all(&targets));
        app.background.stop(Duration::from_secs(1)).await;
        let backends = backends.unwrap_or_else(|_| vec![late()]);
        Ok::<_, Error>((backends, reached))
    })?;
    let clients = setup::found(environment);
    let local = Local { data_dir, clients, settings, settings_files: files, warnings, notes };
    let report = Report::new(backends, reached, local, flags);
    output::line(&if json { report.json() } else { report.text() });
    Ok(match report.verdict() {
        Verdict::Good => GOOD,
        Verdict::Degraded => DEGRADED,
        Verdict::Wrong => WRONG,
    })
}

fn late() -> BackendStatus {
    BackendStatus {
        name: "backends".to_owned(),
        kind: "unknown",
        state: State::Down,
        version: None,
        latency_ms: PATIENCE.as_secs_f64() * 1_000.0,
        problem: Some(Error::new(Code::Timeout, format!("no answer within {} s", PATIENCE.as_secs()))),
        notes: Vec::new(),
        remedy: None,
    }
}
