//! Where the demonstration's calls are made, timed and shown.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{list, text};
use crate::{
    app::App,
    cli::output,
    error::{Code, Error},
    mcp::{local::Local, server::Server},
};

/// Why the demonstration stopped.
pub(super) enum End {
    /// A tool refused; its envelope.
    Refused(String),
    /// A tool answered, but not what it should have.
    Unexpected(String),
    /// There is no server to ask.
    Gone(Error),
}

/// Makes calls and shows them.
pub(super) struct Stage {
    local: Local,
    calls: usize,
    spent: Duration,
}

impl Stage {
    pub(super) fn new(app: App) -> Self {
        Self { local: Local::new(Server::new(app)), calls: 0, spent: Duration::ZERO }
    }

    /// Calls made and shown so far.
    pub(super) fn calls(&self) -> usize {
        self.calls
    }

    /// Time in them.
    pub(super) fn spent(&self) -> String {
        milliseconds(self.spent)
    }

    /// A call that is not part of the show. The refusal is an answer here too.
    pub(super) async fn ask(&self, tool: &str, arguments: &str) -> Result<Result<Value, String>, End> {
        let called = self.local.call(tool, arguments).await.map_err(End::Gone)?;
        if called.is_error {
            return Ok(Err(called.text));
        }
        read(&called.text).map(Ok)
    }

    /// What stands behind the search and the SQL tools.
    pub(super) async fn backends(&self) -> Result<(String, String), End> {
        let info = self.ask("get_server_info", "{}").await?.map_err(End::Refused)?;
        let named = |name: &str| {
            let backend = list(&info, "backends").iter().find(|backend| text(backend, "name") == name);
            backend.map_or("none".to_owned(), |backend| {
                let version = backend.get("version").and_then(Value::as_str).unwrap_or_default();
                format!("{} {version}", text(backend, "kind")).trim_end().to_owned()
            })
        };
        Ok((named("search"), named("sql")))
    }

    /// A call whose arguments are short enough to be shown whole.
    pub(super) async fn plain(
        &mut self,
        tool: &str,
        arguments: &str,
        told: impl Fn(&Value) -> String,
    ) -> Result<Value, End> {
        self.step(tool, arguments, arguments, told).await
    }

    /// A call shown with shortened arguments, and its answer.
    pub(super) async fn step(
        &mut self,
        tool: &str,
        arguments: &str,
        shown: &str,
        told: impl Fn(&Value) -> String,
    ) -> Result<Value, End> {
        read(&self.text(tool, arguments, shown, told).await?)
    }

    /// The same; the answer as it was written, so that no digit of a document is lost.
    pub(super) async fn text(
        &mut self,
        tool: &str,
        arguments: &str,
        shown: &str,
        told: impl Fn(&Value) -> String,
    ) -> Result<String, End> {
        self.calls += 1;
        output::line(&format!("{:>2}  {tool} {shown}", self.calls));
        let started = Instant::now();
        let called = self.local.call(tool, arguments).await.map_err(End::Gone)?;
        let took = started.elapsed();
        self.spent += took;
        if called.is_error {
            return Err(End::Refused(called.text));
        }
        output::line(&format!("    → {}   ({})\n", told(&read(&called.text)?), milliseconds(took)));
        Ok(called.text)
    }

    /// A call that must be refused, and why it is; the envelope.
    pub(super) async fn refused(&mut self, tool: &str, arguments: &str, shown: &str) -> Result<Value, End> {
        self.calls += 1;
        output::line(&format!("{:>2}  {tool} {shown}", self.calls));
        let started = Instant::now();
        let called = self.local.call(tool, arguments).await.map_err(End::Gone)?;
        let took = started.elapsed();
        self.spent += took;
        let envelope = read(&called.text)?;
        if !called.is_error {
            return Err(End::Unexpected(format!("{tool} answered {envelope}")));
        }
        let told = format!("{}: {}", text(&envelope, "code"), text(&envelope, "message"));
        output::line(&format!("    → {told}   ({})\n", milliseconds(took)));
        Ok(envelope)
    }

    pub(super) fn expect_eq(&self, what: &str, seen: u64, wanted: u64) -> Result<(), End> {
        if seen == wanted { Ok(()) } else { Err(End::Unexpected(format!("{what}: {seen} instead of {wanted}"))) }
    }

    /// Every field of the mapping has its column, and every column its field.
    pub(super) fn expect_columns(&self, mapping: &Value, columns: &str) -> Result<(), End> {
        let columns = read(columns)?;
        let mut wanted: Vec<&str> =
            columns.as_array().map_or(&[][..], Vec::as_slice).iter().map(|column| text(column, "name")).collect();
        let mut seen: Vec<&str> = list(mapping, "fields").iter().map(|field| text(field, "path")).collect();
        wanted.sort_unstable();
        seen.sort_unstable();
        if wanted == seen {
            return Ok(());
        }
        Err(End::Unexpected(format!("the index has the fields {}", seen.join(", "))))
    }
}

/// The documents of an export as a JSON array, each byte for byte.
pub(super) fn documents(exported: &str) -> Result<String, End> {
    #[derive(Deserialize)]
    struct Exported<'a> {
        #[serde(borrow)]
        documents: Vec<Exporting<'a>>,
    }
    #[derive(Deserialize)]
    struct Exporting<'a> {
        #[serde(borrow)]
        document: &'a RawValue,
    }
    let exported: Exported = serde_json::from_str(exported).map_err(unreadable)?;
    let documents: Vec<&str> = exported.documents.iter().map(|exporting| exporting.document.get()).collect();
    Ok(format!("[{}]", documents.join(",")))
}

fn read(text: &str) -> Result<Value, End> {
    serde_json::from_str(text).map_err(unreadable)
}

fn unreadable(error: serde_json::Error) -> End {
    End::Gone(Error::new(Code::Internal, "an answer cannot be read").cause(error))
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}
