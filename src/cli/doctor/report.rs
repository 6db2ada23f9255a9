//! What doctor found, for people and for programs.

use std::path::PathBuf;

use serde::Serialize;

use super::{directory::Directory, reach::Reached};
use crate::{
    cli::setup::ClientEntry,
    config::{Flags, Shown},
    domain::ops::{BackendStatus, State},
    error::Code,
    redaction::redact,
    tools::ops::BackendView,
};

/// How it is, all in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything works.
    Good,
    /// The backends work, but something needs attention.
    Degraded,
    /// Something does not work.
    Wrong,
}

/// Everything found.
#[derive(Serialize)]
pub struct Report {
    verdict: Verdict,
    version: String,
    backends: Vec<Backend>,
    record_store: RecordStore,
    #[serde(flatten)]
    local: Local,
}

/// What was found on this machine.
#[derive(Serialize)]
pub struct Local {
    /// Where data lives.
    pub data_dir: Directory,
    /// Which clients know this server.
    pub clients: Vec<ClientEntry>,
    /// What is set.
    pub settings: Vec<Shown>,
    /// Settings files that were read, the strongest first.
    pub settings_files: Vec<PathBuf>,
    /// What is probably not as meant.
    pub warnings: Vec<String>,
    /// What is set in vain.
    pub notes: Vec<String>,
}

#[derive(Serialize)]
struct Backend {
    #[serde(flatten)]
    status: BackendView,
    #[serde(skip)]
    state: State,
    #[serde(skip)]
    line: String,
    /// None where a server is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    embedded_because: Option<String>,
    /// None for an embedded backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    way: Option<Reached>,
    login: &'static str,
}

#[derive(Serialize)]
struct RecordStore {
    kind: &'static str,
    /// Of the embedded file.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<PathBuf>,
    why: String,
}

impl RecordStore {
    fn new(statuses: &[BackendStatus], data_dir: &Directory, settings: &[Shown]) -> Self {
        let store = statuses.iter().find(|status| status.name == "store");
        let is_set = settings.iter().any(|one| one.name == "CALLBOARD_STORE_URL");
        let kind = store.map_or("unknown", |status| status.kind);
        let why = match (is_set, store.and_then(|status| status.notes.first())) {
            (true, _) => "CALLBOARD_STORE_URL says so".to_owned(),
            (false, Some(note)) if note.starts_with("CALLBOARD_STORE_URL") => note.clone(),
            (false, _) => "neither CALLBOARD_STORE_URL nor a database is set".to_owned(),
        };
        let path = (kind == "sqlite").then(|| data_dir.path.join("callboard.db"));
        Self { kind, path, why }
    }
}

/// Why a backend is embedded: where nothing is set, that is said, as somebody may think otherwise.
fn embedded_because(status: &BackendStatus, store: &RecordStore) -> Option<String> {
    if !["sqlite", "embedded"].contains(&status.kind) {
        return None;
    }
    Some(match status.name.as_str() {
        "store" => store.why.clone(),
        "search" => "ELASTICSEARCH_URL is not set".to_owned(),
        _ => "DATABASE_URL is not set".to_owned(),
    })
}

impl Report {
    /// Puts it together.
    pub fn new(statuses: Vec<BackendStatus>, mut reached: Vec<Reached>, mut local: Local, flags: &Flags) -> Self {
        if flags.read_only {
            local.warnings.push("`--read-only` holds for this run of doctor; a client's entry needs it too".to_owned());
        }
        let record_store = RecordStore::new(&statuses, &local.data_dir, &local.settings);
        let mut backends = Vec::new();
        for status in statuses {
            let way = reached.iter().position(|way| way.backend == status.name).map(|at| reached.swap_remove(at));
            backends.push(Backend {
                state: status.state,
                line: line(&status),
                embedded_because: embedded_because(&status, &record_store),
                login: login(&status, way.is_some()),
                status: status.into(),
                way,
            });
        }
        let verdict = verdict(&backends, &local);
        Self { verdict, version: crate::cli::arguments::version(), backends, record_store, local }
    }

    /// How it is, all in all.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// For programs.
    pub fn json(&self) -> String {
        // Redacted value by value below would miss what a backend says about itself; the text as a whole is not missed.
        redact(&serde_json::to_string_pretty(self).unwrap_or_default()).into_owned()
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!("callboard {}\n\nBackends\n", self.version);
        for backend in &self.backends {
            text.push_str(&backend.line);
            if let Some(why) = &backend.embedded_because {
                text.push_str(&format!("      embedded  because {why}\n"));
            }
            if let Some(way) = &backend.way {
                text.push_str(&format!("      address   {}\n", way.address));
                for (name, step) in [("dns", &way.dns), ("tcp", &way.tcp)] {
                    let took = format!("{:.1} ms", step.latency_ms);
                    let state = match (step.ok, step.tried) {
                        (true, _) => format!("ok, {took}"),
                        (false, true) => format!("FAILED after {took}"),
                        (false, false) => "not tried".to_owned(),
                    };
                    text.push_str(&format!("      {name:<9} {state}: {}\n", step.detail));
                }
                text.push_str(&format!("      tls       {}\n      login     {}\n", way.tls, backend.login));
            }
        }
        text.push_str(&self.local_text());
        text.push_str("\nSettings\n");
        for one in &self.local.settings {
            let note = one.note.map(|note| format!(" ({note})")).unwrap_or_default();
            let source =
                if one.source == "default" { "the default".to_owned() } else { format!("from {}", one.source) };
            text.push_str(&format!("  {} = {}   {source}{note}\n", one.name, one.value));
        }
        for warning in &self.local.warnings {
            text.push_str(&format!("  WARNING: {warning}\n"));
        }
        for note in &self.local.notes {
            text.push_str(&format!("  note: {note}\n"));
        }
        text.push_str(match self.verdict {
            Verdict::Good => "\nEverything works.",
            Verdict::Degraded => "\nThe backends work, but something above needs attention.",
            Verdict::Wrong => "\nSomething above does not work.",
        });
        redact(&text).into_owned()
    }

    fn local_text(&self) -> String {
        let directory = &self.local.data_dir;
        let word = if directory.is_nearly_full() { "only " } else { "" };
        let room = directory.free_bytes.map(|bytes| format!("; {word}{} MiB free", bytes >> 20)).unwrap_or_default();
        let state = match (&directory.problem, directory.exists) {
            (Some(problem), _) => format!("FAILED: {problem}"),
            (None, true) => format!("a test file was written{room}"),
            (None, false) => format!("created when first used{room}"),
        };
        let mut text = format!(
            "\nData directory\n  {}: {state}\n  record store: {}, because {}\n\nClients\n",
            directory.path.display(),
            self.record_store.kind,
            self.record_store.why
        );
        for client in &self.local.clients {
            text.push_str(&format!("  {:<15} {}\n", client.client, client.state_text()));
        }
        text
    }
}

fn verdict(backends: &[Backend], local: &Local) -> Verdict {
    let backends = backends.iter().map(|backend| match backend.state {
        State::Up => Verdict::Good,
        State::Degraded => Verdict::Degraded,
        State::Down => Verdict::Wrong,
    });
    let directory = if local.data_dir.writable { Verdict::Good } else { Verdict::Wrong };
    let is_flawed = local.data_dir.is_nearly_full()
        || !local.warnings.is_empty()
        || local.clients.iter().any(|client| client.problem.is_some());
    let rest = if is_flawed { Verdict::Degraded } else { Verdict::Good };
    backends.chain([directory, rest]).max().unwrap_or(Verdict::Good)
}

fn line(status: &BackendStatus) -> String {
    let version = status.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
    let mut text = format!(
        "  {:<6} {}{version}: {}, {:.1} ms\n",
        status.name,
        status.kind,
        status.state.as_str(),
        status.latency_ms
    );
    if let Some(problem) = &status.problem {
        text.push_str(&format!("      problem   {}: {}\n", problem.code.as_str(), problem.message));
        if let Some(hint) = &problem.hint {
            text.push_str(&format!("      to do     {hint}\n"));
        }
    }
    for note in &status.notes {
        text.push_str(&format!("      note      {note}\n"));
    }
    if let Some(remedy) = &status.remedy {
        text.push_str("      run this as an administrator for a role that may only read:\n");
        for statement in remedy.lines() {
            text.push_str(&format!("        {statement}\n"));
        }
    }
    text
}

/// How far logging in came, as far as the status tells.
fn login(status: &BackendStatus, remote: bool) -> &'static str {
    let Some(problem) = &status.problem else { return if remote { "ok" } else { "none needed" } };
    match problem.code {
        _ if problem.message.contains("credentials") => "refused",
        Code::Denied => "refused",
        _ if status.state == State::Down => "not reached",
        _ => "ok",
    }
}
