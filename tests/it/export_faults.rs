//! Exports that cannot be completed: the reason is said and no file stays.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use callboard::{
    adapters::export_folder::ExportFolder,
    clock::{Clock, Instant as Moment, SystemClock},
    config::{Access, Limits},
    domain::{
        json,
        ops::{BackendStatus, State},
        search::{
            Document, Engine, Export, ExportedDocument, Found, IndexSummary, Indexed, Mapping, NewDocuments, Query,
            Search,
        },
    },
    error::{Code, Error},
    ids,
    ports::{
        exports::ExportStore,
        search::{Pages, SearchEngine},
    },
    services::{
        Report,
        exports::{Destination, Exports, Format, Request},
        search::{QueryRequest, SearchService},
    },
};
use tokio::sync::Notify;

use crate::support::{
    harness::keys,
    patience::{CALL_TIME, PATIENCE},
};

/// What an engine does after the pages it gave.
#[derive(Clone)]
enum End {
    /// It says that this was all.
    Complete,
    /// The same, but it had counted one document more.
    OneMissing,
    /// It fails.
    Fails,
    /// It never answers again, which it tells first.
    Hangs(Arc<Notify>),
}

/// An engine with endless patience for tests: so many pages of 1,000 documents, then its end. No real engine fails to order in the middle of an export.
struct Scripted {
    pages: usize,
    end: End,
    folder: PathBuf,
}

struct ScriptedPages {
    given: usize,
    script: (usize, End),
    folder: PathBuf,
}

impl ScriptedPages {
    /// Of what was given, at most so much may be anywhere but in the file.
    const HELD_BYTES_MAX: usize = 3_000_000;

    fn look_at_the_file(&self) {
        let written: u64 = files(&self.folder).iter().map(|file| file.metadata().map_or(0, |about| about.len())).sum();
        let given = self.given * 1_000_000;
        assert!(written as usize + Self::HELD_BYTES_MAX >= given, "{given} bytes were given and {written} are written");
    }
}

#[async_trait::async_trait]
impl Pages for ScriptedPages {
    fn total(&self) -> u64 {
        (self.script.0 * 1_000) as u64 + u64::from(matches!(self.script.1, End::OneMissing))
    }

    async fn next(&mut self) -> Result<Vec<ExportedDocument>, Error> {
        if self.given == self.script.0 {
            return match &self.script.1 {
                End::Complete | End::OneMissing => Ok(Vec::new()),
                End::Fails => Err(Error::new(Code::Unavailable, "a shard failed")),
                End::Hangs(told) => {
                    told.notify_one();
                    std::future::pending().await
                }
            };
        }
        self.look_at_the_file();
        let page = self.given;
        self.given += 1;
        let document = |n: usize| ExportedDocument {
            id: format!("{page}-{n}"),
            index: "things".to_owned(),
            document: json::of(&"x".repeat(1_000)),
        };
        Ok((0..1_000).map(document).collect())
    }
}

fn never<T>() -> Result<T, Error> {
    Err(Error::new(Code::Internal, "not part of an export"))
}

#[async_trait::async_trait]
impl SearchEngine for Scripted {
    async fn search(&self, _: &Search) -> Result<Found, Error> {
        never()
    }
    async fn document(&self, _: &str, _: &str, _: &[String]) -> Result<Option<Document>, Error> {
        never()
    }
    async fn indices(&self, _: Option<&str>) -> Result<(Engine, Vec<IndexSummary>), Error> {
        never()
    }
    async fn mapping(&self, _: &str) -> Result<Mapping, Error> {
        never()
    }
    async fn count(&self, _: &[String], _: &Query) -> Result<u64, Error> {
        never()
    }
    async fn closed(&self, _: &[String]) -> Result<Vec<String>, Error> {
        Ok(Vec::new())
    }
    async fn partial(&self, _: &[String]) -> Result<Vec<String>, Error> {
        Ok(Vec::new())
    }
    async fn export(&self, _: &Export) -> Result<Box<dyn Pages>, Error> {
        Ok(Box::new(ScriptedPages { given: 0, script: (self.pages, self.end.clone()), folder: self.folder.clone() }))
    }
    async fn index(&self, _: &NewDocuments) -> Result<Indexed, Error> {
        never()
    }
    fn product(&self) -> String {
        "a script".to_owned()
    }
    async fn status(&self) -> BackendStatus {
        BackendStatus {
            name: "search".to_owned(),
            kind: "scripted",
            state: State::Up,
            version: None,
            latency_ms: 0.0,
            problem: None,
            notes: Vec::new(),
            remedy: None,
        }
    }
}

#[derive(Default)]
struct Told(Mutex<Vec<(u64, Option<u64>)>>);

#[async_trait::async_trait]
impl Report for Told {
    async fn report(&self, done: u64, total: Option<u64>, _: &str) {
        self.0.lock().unwrap().push((done, total));
    }
}

fn exports(folder: &Path, pages: usize, end: End, call_time: Duration) -> Exports {
    let engine: Arc<dyn SearchEngine> = Arc::new(Scripted { pages, end, folder: folder.to_owned() });
    let limits = Limits { call_time, ..Limits::default() };
    let search = SearchService::new(Arc::clone(&engine), Arc::new(Access::default()), limits, keys(folder));
    Exports::new(engine, search, Arc::new(ExportFolder::new(folder.to_owned(), Arc::new(SystemClock))), limits)
}

fn everything() -> Request {
    Request {
        index: "things".to_owned(),
        query: QueryRequest { query: None, text: None },
        fields: Vec::new(),
        format: Format::Ndjson,
        destination: Destination::Auto,
    }
}

fn files(folder: &Path) -> Vec<std::fs::DirEntry> {
    std::fs::read_dir(folder).map(|entries| entries.flatten().collect()).unwrap_or_default()
}

/// A part that is just being written when its export is given up is removed right after that.
async fn none_stays(folder: &Path) {
    let started = Instant::now();
    while !files(folder).is_empty() {
        assert!(started.elapsed() < PATIENCE, "{:?}", files(folder));
        tokio::task::yield_now().await;
    }
}

const LONG: Duration = CALL_TIME;

#[tokio::test]
async fn fewer_documents_than_counted_are_an_error_and_no_file() {
    let home = tempfile::tempdir().unwrap();
    let exports = exports(home.path(), 3, End::OneMissing, LONG);
    let error = exports.export(everything(), &Told::default()).await.unwrap_err();
    assert_eq!(error.code, Code::Unavailable);
    assert_eq!(error.message, "the engine returned only 3000 of 3001 documents; the export was discarded");
    assert!(files(home.path()).is_empty());
}

#[tokio::test]
async fn an_engine_that_fails_in_the_middle_leaves_no_file() {
    let home = tempfile::tempdir().unwrap();
    let exports = exports(home.path(), 3, End::Fails, LONG);
    let error = exports.export(everything(), &Told::default()).await.unwrap_err();
    assert_eq!(error.message, "a shard failed");
    assert!(files(home.path()).is_empty());
}

#[tokio::test]
async fn time_that_runs_out_is_said_and_leaves_no_file() {
    let home = tempfile::tempdir().unwrap();
    let call_time = Duration::from_secs(2);
    let exports = exports(home.path(), 3, End::Hangs(Arc::default()), call_time);
    let told = Told::default();
    let error = tokio::select! {
        // However late both timers are looked at: the export's comes first.
        biased;
        ended = exports.export(everything(), &told) => ended.unwrap_err(),
        () = tokio::time::sleep(call_time) => panic!("the call's own end came before the reason"),
    };
    assert_eq!(error.code, Code::Timeout);
    assert!(error.hint.as_ref().is_some_and(|hint| hint.contains("in parts")));
    none_stays(home.path()).await;
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_no_file() {
    let home = tempfile::tempdir().unwrap();
    let hangs = Arc::new(Notify::new());
    let exports = exports(home.path(), 3, End::Hangs(Arc::clone(&hangs)), LONG);
    let told = Told::default();
    tokio::select! {
        _ = exports.export(everything(), &told) => panic!("it cannot end"),
        () = hangs.notified() => {}
    }
    none_stays(home.path()).await;
}

#[tokio::test]
async fn a_file_is_hidden_until_it_is_whole_and_what_a_killed_process_left_goes_away() {
    let home = tempfile::tempdir().unwrap();
    let left_over = home.path().join(".ex_0123456789abcdef0123456789abcdef.ndjson.part");
    std::fs::write(&left_over, "half a doc").unwrap();
    let folder = ExportFolder::new(home.path().to_owned(), Arc::new(SystemClock));
    let id = "ex_00000000000000000000000000000001";
    let mut first = folder.create(id, "ndjson").await.unwrap();
    assert!(!left_over.exists());
    first.append(b"{}\n".to_vec()).await.unwrap();
    let second = folder.create("ex_00000000000000000000000000000002", "csv").await.unwrap();
    assert_eq!(files(home.path()).len(), 2, "what somebody still writes stays");
    assert!(folder.read(id, 0, 10).await.unwrap().is_none());
    assert!(folder.list().await.unwrap().is_empty());
    drop(second);
    let finished = first.finish().await.unwrap();
    assert_eq!(finished.bytes, 3);
    assert_eq!(folder.read(id, 1, 10).await.unwrap().unwrap().bytes, b"}\n");
    assert_eq!(folder.list().await.unwrap().len(), 1);
    assert_eq!(files(home.path()).len(), 1);
}

/// A clock that the test moves.
struct Moved(Mutex<Moment>);

impl Clock for Moved {
    fn now(&self) -> Moment {
        *self.0.lock().unwrap()
    }
}

#[tokio::test]
async fn a_finished_file_stays_for_a_week_and_goes_when_the_next_is_made() {
    let home = tempfile::tempdir().unwrap();
    let clock = Arc::new(Moved(Mutex::new(SystemClock.now())));
    let folder = ExportFolder::new(home.path().to_owned(), Arc::clone(&clock) as Arc<dyn Clock>);
    let export = async |extension| {
        let id = ids::new(ids::Kind::Export);
        let file = folder.create(&id, extension).await.unwrap();
        file.finish().await.unwrap();
        id
    };
    // What is no export of ours is nobody's to remove.
    std::fs::write(home.path().join("ex_old.csv"), "somebody's").unwrap();
    let (first, week) = (export("csv").await, Duration::from_secs(7 * 24 * 60 * 60));
    let made = ids::made_at(&first).unwrap();
    let listed = async || -> Vec<String> { folder.list().await.unwrap().into_iter().map(|file| file.id).collect() };
    *clock.0.lock().unwrap() = made.after(week - Duration::from_millis(1));
    let second = export("ndjson").await;
    assert_eq!(listed().await, [second.clone(), first]);
    // Its age alone removes nothing.
    *clock.0.lock().unwrap() = made.after(week);
    assert_eq!(listed().await.len(), 2);
    *clock.0.lock().unwrap() = ids::made_at(&second).unwrap().after(week);
    let third = export("csv").await;
    assert_eq!(listed().await, [third]);
    assert!(home.path().join("ex_old.csv").exists());
}

#[tokio::test]
async fn names_of_exports_lead_nowhere_else() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("exports")).unwrap();
    std::fs::write(home.path().join("secret.ndjson"), "secret").unwrap();
    let folder = ExportFolder::new(home.path().join("exports"), Arc::new(SystemClock));
    let linked = "ex_0123456789abcdef0123456789abcdef";
    std::os::unix::fs::symlink("../secret.ndjson", home.path().join(format!("exports/{linked}.csv"))).unwrap();
    for id in ["../secret", "ex_../secret", "", "ex_", "/etc/passwd", "ex_0123456789ABCDEF0123456789ABCDEF", "ex_\0"] {
        assert!(folder.read(id, 0, 10).await.unwrap().is_none(), "{id}");
    }
    assert!(folder.read(linked, 0, 10).await.is_err());
    assert!(folder.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn documents_are_written_as_they_come_and_progress_is_sparing() {
    let home = tempfile::tempdir().unwrap();
    let exports = exports(home.path(), 20, End::Complete, LONG);
    let told = Told::default();
    let started = Instant::now();
    // The engine looks at the file before each page that it gives.
    let exported = exports.export(everything(), &told).await.unwrap();
    assert_eq!(exported.count, 20_000);
    assert!(exported.file.unwrap().bytes > 20_000_000);
    let reports = told.0.lock().unwrap();
    // The first page is told at once, the others a second apart.
    assert!((1..=1 + started.elapsed().as_secs()).contains(&(reports.len() as u64)), "{reports:?}");
    assert!(reports.iter().all(|(done, total)| *done <= 20_000 && *total == Some(20_000)));
}
