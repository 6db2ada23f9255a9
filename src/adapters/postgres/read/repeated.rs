//! Statements that came before: they leave together with BEGIN, and their rows are there after one round trip.
//!
//! What was known of one is proved in the same transaction before its rows count, by the server. The look at its words finds the same tables
//! and nothing else of users but what only reads; if not, it fails the transaction, and the server refuses the statement behind it. The statement
//! itself fails where its columns are not what they were: it fetches them by their names, it shows the type of each, and it holds `q.*`
//! against as many columns as there were. Types of parameters, and constants that are not read any more, show in a description only, which
//! a statement that has some gets once a second. Without proof nothing has happened, and the statement takes the way of one that was never seen.
//!
//! Only the third time a statement stays prepared, so that statements that never come again cost the server no memory.

use std::{
    collections::HashSet,
    fmt::Write as _,
    hash::{BuildHasher, RandomState},
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::join3};
use lru::LruCache;
use tokio_postgres::{
    RowStream,
    types::{Oid, Type},
};

use super::{Shape, enclose, fetching, gather, helped, in_time, late};
use crate::{
    adapters::postgres::{
        catalog::quoted,
        failure::{in_text, sqlstate},
        forbidden,
        params::{self, Parameter},
        pool::{End, Pool, Work, Writes},
        values::Rendering,
    },
    config::Access,
    domain::sql::{Column, Read, Rows},
    error::Error,
};

/// Statements that stay prepared, on each connection; a plan takes the server some 50 KB.
const KNOWN_MAX: NonZeroUsize = NonZeroUsize::new(64).unwrap();
/// Statements that were met once.
const MET_MAX: usize = 4_096;
/// Bytes of a statement that is worth keeping.
const BYTES_MAX: usize = 8 * 1024;
/// How long the types of parameters, and constants, are trusted.
const DESCRIBED_FOR: Duration = Duration::from_secs(1);
/// Constants that hold one of these may be a time, which the server reads when it prepares a statement.
const MOVING: [&str; 4] = ["now", "today", "tomorrow", "yesterday"];
/// Classes of SQLSTATE of a statement that does not fit the tables any more: what it is refused with has to be found out anew.
const CHANGED: [&str; 3] = ["0A", "22", "42"];

/// What is known of a statement.
pub struct Known {
    shape: Shape,
    params: Vec<Type>,
    /// All that its words mean of what users made: tables, and what only reads.
    objects: Vec<Oid>,
    constants: bool,
    described: Mutex<Instant>,
}

impl Known {
    /// `None` when the statement cannot prove its columns (they have no names of their own, or there are none), or holds a constant that may
    /// be another when it is prepared again.
    pub(super) fn new(read: &Read, shape: Shape, params: &[Type], objects: Vec<Oid>) -> Option<Self> {
        let names: HashSet<&str> = shape.columns.iter().map(|column| column.name.as_str()).collect();
        if names.len() < shape.columns.len() || names.is_empty() {
            return None;
        }
        let constants = read.statement.constants()?;
        let moves = |constant: &&str| MOVING.iter().any(|word| constant.to_lowercase().contains(word));
        if constants.iter().any(moves) {
            return None;
        }
        let Shape { columns, renderings, .. } = shape;
        let (sent, before) = proving(read, &columns, &renderings);
        let shape = Shape { columns, renderings, sent, before };
        Some(Self {
            shape,
            params: params.to_vec(),
            objects,
            constants: !constants.is_empty(),
            described: Mutex::new(Instant::now()),
        })
    }

    fn is_due(&self) -> bool {
        (self.constants || !self.params.is_empty()) && self.described().elapsed() >= DESCRIBED_FOR
    }

    fn described(&self) -> MutexGuard<'_, Instant> {
        self.described.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A text that is sent, and the characters in it before the caller's: it fails where a column was renamed, added, taken away or made another
/// type. The server forgets what only proves when it plans.
fn proving(read: &Read, columns: &[Column], renderings: &[Rendering]) -> (String, usize) {
    let sources: Vec<String> = columns.iter().map(|column| format!("q.{}", quoted(&column.name))).collect();
    let mut sent = fetching(&sources, renderings);
    for source in &sources {
        // Writing into a string cannot fail.
        write!(sent, ", CASE WHEN false THEN {source} END").ok();
    }
    let nulls = vec!["NULL"; columns.len()].join(", ");
    write!(sent, ", CASE WHEN false THEN EXISTS (SELECT q.* UNION ALL SELECT {nulls}) END").ok();
    let before = enclose(&mut sent, read, "q");
    (sent, before)
}

/// The statements of one database.
pub struct Repeated {
    kept: Mutex<Kept>,
    hasher: RandomState,
}

struct Kept {
    met: HashSet<u64>,
    known: LruCache<String, Arc<Known>>,
}

impl Default for Repeated {
    fn default() -> Self {
        let kept = Kept { met: HashSet::new(), known: LruCache::new(KNOWN_MAX) };
        Self { kept: Mutex::new(kept), hasher: RandomState::new() }
    }
}

impl Repeated {
    fn forget(&self, pool: &Pool, read: &Read) {
        close(pool, self.kept().known.pop(&key(read)));
    }

    fn known(&self, read: &Read) -> Option<Arc<Known>> {
        self.kept().known.get(&key(read)).cloned()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what was found at the second meeting; gives what has to go for it.
    fn keep(&self, read: &Read, known: Known) -> Option<Arc<Known>> {
        if read.statement.text().len() > BYTES_MAX {
            return None;
        }
        let key = key(read);
        let hash = self.hasher.hash_one(&key);
        let mut kept = self.kept();
        if !kept.met.remove(&hash) {
            if kept.met.len() >= MET_MAX {
                kept.met.clear();
            }
            kept.met.insert(hash);
            return None;
        }
        kept.known.push(key, Arc::new(known)).map(|(_, old)| old)
    }

    /// Keeps what was found, for the next statement like this one.
    pub(super) fn remember(&self, pool: &Pool, read: &Read, known: Known) {
        close(pool, self.keep(read, known));
    }

    /// Runs `read` if it is known; `None` when it is not, or when what was known could not be proved.
    pub(super) async fn query(&self, pool: &Pool, access: &Access, read: &Read) -> Option<Result<Rows, Error>> {
        let known = self.known(read).filter(|_| !pool.is_pooled())?;
        let bound = params::bind(&read.params, &known.params).ok()?;
        let bound = bound.into_iter().map(|(parameter, _)| parameter).collect();
        let asked = Repetition { access, read, known, bound };
        let done = pool
            .transaction(
                Writes::No,
                read.timeout,
                &asked,
                |work, asked| asked.first(work).boxed(),
                |work, asked, begun| asked.rest(work, begun).boxed(),
            )
            .await;
        if matches!(done, Ok(None)) {
            self.forget(pool, read);
        }
        done.transpose()
    }
}

/// Lets a statement go on every connection on which it stayed prepared.
fn close(pool: &Pool, old: Option<Arc<Known>>) {
    if let Some(old) = old {
        pool.forget(&old.shape.sent, &old.params);
    }
}

/// Bounds are a part of the text that is sent.
fn key(read: &Read) -> String {
    format!("{} {} {}", read.offset, read.bounds.rows_max, read.statement.text())
}

/// A statement on its way as it was before.
struct Repetition<'asked> {
    access: &'asked Access,
    read: &'asked Read,
    known: Arc<Known>,
    bound: Vec<Parameter>,
}

/// How far a statement has come when its transaction has begun.
enum Begun {
    /// What was known of it holds.
    Proved(Result<RowStream, tokio_postgres::Error>),
    /// It may not hold. The statement may be running.
    Unproved {
        runs: bool,
    },
    Late,
}

impl Repetition<'_> {
    /// The order in which these are sent is what makes them safe: the look at the words comes first.
    async fn first(&self, work: &Work) -> Result<Begun, Error> {
        let Self { access, read, known, .. } = self;
        let begun = async {
            forbidden::get_ready(work, &read.statement, access).await?;
            let meaning = forbidden::means_only(work, &read.statement, &known.objects);
            let (same, described, stream) = join3(meaning, self.describe(work), self.send(work)).await;
            let proved = same? && described;
            Ok(match stream {
                Ok(Some(stream)) if proved => Begun::Proved(stream),
                Ok(Some(stream)) => Begun::Unproved { runs: stream.is_ok() },
                Ok(None) | Err(_) => Begun::Unproved { runs: false },
            })
        };
        in_time(read, begun).await.unwrap_or(Ok(Begun::Late))
    }

    /// Whether the parameters are what they were.
    async fn describe(&self, work: &Work) -> bool {
        if !self.known.is_due() {
            return true;
        }
        let described = super::describe(work, &self.read.statement).await;
        let same = described.is_ok_and(|described| described.params() == self.known.params);
        if same {
            *self.known.described() = Instant::now();
        }
        same
    }

    /// `None` where nothing can stay prepared.
    async fn send(&self, work: &Work) -> Result<Option<Result<RowStream, tokio_postgres::Error>>, Error> {
        match work.prepared(&self.known.shape.sent, &self.known.params).await? {
            Some(statement) => Ok(Some(work.query_raw(&statement, self.bound.iter()).await)),
            None => Ok(None),
        }
    }

    async fn rest(&self, work: &Work, begun: Begun) -> (Result<Option<Rows>, Error>, End) {
        let Self { access, read, known, .. } = self;
        let stream = match begun {
            Begun::Proved(stream) => stream,
            Begun::Unproved { runs: true } => return (Ok(None), End::Abandon),
            Begun::Unproved { runs: false } => return (Ok(None), End::Rollback),
            Begun::Late => return (Err(late()), End::Abandon),
        };
        let rows = async {
            let stream = stream.map_err(|error| in_text(error, known.shape.before, read.statement.text(), "query"))?;
            gather(read, &known.shape, stream).await
        };
        match in_time(read, rows).await {
            None => (Err(late()), End::Abandon),
            Some(Ok((rows, end))) => (Ok(Some(rows)), end),
            Some(Err(error)) if has_changed(&error) => (Ok(None), End::Rollback),
            Some(Err(error)) => (Err(helped(work, access, read, error).await), End::Rollback),
        }
    }
}

fn has_changed(error: &Error) -> bool {
    sqlstate(error).is_some_and(|state| CHANGED.iter().any(|class| state.starts_with(class)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{
        page::Bounds,
        sql::guard::{Purpose, Statement},
    };

    fn read(text: &str) -> Read {
        let statement = Statement::parse(text, Purpose::Run).expect("it reads");
        let bounds = Bounds { rows_max: 10, bytes_max: 1_000 };
        Read { statement, params: Vec::new(), bounds, offset: 0, timeout: Duration::from_secs(1) }
    }

    fn known(read: &Read) -> Known {
        let column = Column { name: "a".to_owned(), type_name: "int4".to_owned() };
        let renderings = vec![Rendering::of(&Type::INT4)];
        let shape = Shape { columns: vec![column], renderings, sent: String::new(), before: 0 };
        Known::new(read, shape, &[], Vec::new()).expect("it proves its column")
    }

    #[test]
    fn a_query_is_known_from_its_second_meeting_and_few_are() {
        let repeated = Repeated::default();
        let often = read("select a from t");
        assert!(repeated.keep(&often, known(&often)).is_none());
        assert!(repeated.known(&often).is_none());
        assert!(repeated.keep(&often, known(&often)).is_none());
        assert!(repeated.known(&often).is_some());
        // Any number of those that come once push nothing out.
        for n in 0..2 * MET_MAX {
            let once = read(&format!("select a from t where a = {n}"));
            assert!(repeated.keep(&once, known(&once)).is_none());
        }
        assert!(repeated.known(&often).is_some());
        let twice = |n: usize| read(&format!("select a from t where b = {n}"));
        for n in 0..KNOWN_MAX.get() {
            repeated.keep(&twice(n), known(&twice(n)));
            let old = repeated.keep(&twice(n), known(&twice(n)));
            assert_eq!(old.is_some(), n == KNOWN_MAX.get() - 1, "{n}");
        }
        assert!(repeated.known(&often).is_none());
        let large = read(&format!("select a from t where a = {}", "1".repeat(BYTES_MAX)));
        repeated.keep(&large, known(&large));
        repeated.keep(&large, known(&large));
        assert!(repeated.known(&large).is_none());
    }
}
