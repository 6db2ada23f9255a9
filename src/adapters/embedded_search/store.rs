//! The truth: documents in `search.db`. Several processes share the file; every write is one transaction.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::{check, mapping::Mapping, node::Node};
use crate::{
    adapters::{
        disk,
        sqlite::{self, call::Call, file, still::Still},
    },
    domain::{
        names,
        search::{FailedDocument, IndexSummary, Indexed, NewDocuments, ids},
    },
    error::{Code, Error},
};

/// Each brings the file one step further; only ever added to.
const MIGRATIONS: [&str; 1] = [include_str!("../../../migrations/search/0001_documents.sql")];
/// Connections kept open between calls.
const IDLE_MAX: usize = 4;

/// The documents' file.
pub(super) struct Store {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

/// One index, as it stands in a snapshot.
#[derive(Debug, Clone)]
pub(super) struct Collection {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) last_seq: i64,
    pub(super) mapping: Mapping,
}

/// A document's row.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) seq: i64,
    pub(super) version: u64,
    pub(super) source: String,
}

/// A snapshot of the file: all that is read through it is of one moment. Its connection goes back to the others at the end.
pub(super) struct Snapshot {
    store: Arc<Store>,
    connection: Option<Connection>,
    /// Set where the file cannot be written.
    still: Option<Still>,
}

impl Store {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::new(Vec::new()) }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn checkout(&self, call: &Arc<Call>) -> Result<Connection, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            // A file that was removed under us is made anew, not written to where nobody finds it.
            Some(mut connection) if self.path.exists() => {
                file::watch(&mut connection, call).map_err(failed_on(&self.path))?;
                Ok(connection)
            }
            _ => open(&self.path, call),
        }
    }

    fn checkout_to_read(&self, call: &Arc<Call>) -> Result<(Connection, Option<Still>), Error> {
        self.checkout(call).map(|connection| (connection, None)).or_else(|unwritable| {
            let still = disk::only_reads(&self.path).then(|| Still::open(&self.path)).flatten();
            let (mut connection, still) = still.ok_or(unwritable)?;
            file::watch(&mut connection, call).map_err(failed_on(&self.path))?;
            migrate(&mut connection, &self.path)?;
            Ok((connection, Some(still)))
        })
    }

    fn check_in(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX && connection.is_autocommit() {
            idle.push(connection);
        }
    }

    /// Begins a snapshot. What cannot be written can be read.
    pub(super) fn snapshot(self: &Arc<Self>, call: &Arc<Call>) -> Result<Snapshot, Error> {
        let failed = failed_on(&self.path);
        let (connection, still) = self.checkout_to_read(call)?;
        connection.execute_batch("BEGIN").map_err(failed)?;
        Ok(Snapshot { store: Arc::clone(self), connection: Some(connection), still })
    }

    /// Writes what is there already, so that a disk that takes no writes is noticed. Somebody who is writing proves the same.
    pub(super) fn try_writing(&self) -> Result<(), Error> {
        // A call without time waits for nobody.
        let mut connection = open(&self.path, &Call::new(Duration::ZERO))?;
        match file::rewrite(&mut connection).map_err(failed_on(&self.path)) {
            Err(error) if error.code != Code::Busy => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes documents, each on its own, in one transaction.
    pub(super) fn write(
        &self,
        documents: &NewDocuments,
        made_ids: &[String],
        call: &Arc<Call>,
    ) -> Result<Indexed, Error> {
        let failed = failed_on(&self.path);
        let mut connection = self.checkout(call)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let mut collection = match collection(&transaction, &documents.index)? {
            Some(collection) => collection,
            None => create(&transaction, &documents.index, &Mapping::default())?,
        };
        let before = collection.mapping.len();
        let mut indexed = Indexed::default();
        let (mut added, mut bytes) = (0_i64, 0_i64);
        for (position, document) in documents.documents.iter().enumerate() {
            check(call)?;
            let id = made_ids.get(position);
            match accept(&mut collection.mapping, document.get(), documents.id_field.as_deref(), id) {
                Ok(id) => {
                    collection.last_seq += 1;
                    let (new, grown) = put(&transaction, &collection, &id, document.get())?;
                    added += i64::from(new);
                    bytes += grown;
                    indexed.indexed += 1;
                }
                Err((id, reason)) => indexed.failed.push(FailedDocument { position, id, code: Code::Invalid, reason }),
            }
        }
        if collection.mapping.len() > before {
            let text = collection.mapping.write().map_err(|error| broken("mapping").cause(error))?;
            let statement = "-- collection_remap\nUPDATE collection SET mapping = ?2 WHERE id = ?1";
            transaction.execute(statement, params![collection.id, text]).map_err(failed)?;
        }
        let statement = "-- collection_advance\nUPDATE collection SET last_seq = ?2, documents = documents + ?3, bytes = bytes + ?4 WHERE id = ?1";
        transaction.execute(statement, params![collection.id, collection.last_seq, added, bytes]).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        self.check_in(connection);
        Ok(indexed)
    }

    /// Creates an index with a mapping of its own; `conflict` when it exists.
    pub(super) fn create(&self, name: &str, mapping: &Mapping, call: &Arc<Call>) -> Result<(), Error> {
        let failed = failed_on(&self.path);
        let mut connection = self.checkout(call)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        if collection(&transaction, name)?.is_some() {
            return Err(Error::new(Code::Conflict, format!("index `{name}` already exists")).argument("index"));
        }
        create(&transaction, name, mapping)?;
        transaction.commit().map_err(failed)?;
        self.check_in(connection);
        Ok(())
    }
}

impl Snapshot {
    /// From now on reading ends with this call.
    pub(super) fn watch(&mut self, call: &Arc<Call>) -> Result<(), Error> {
        let connection = self.connection.as_mut().ok_or_else(|| broken("snapshot"))?;
        file::watch(connection, call).map_err(failed_on(&self.store.path))
    }

    /// Reads something.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        let read = work(self.connection.as_ref().ok_or_else(|| broken("snapshot"))?);
        match &self.still {
            Some(still) => still.checked(read),
            None => read,
        }
    }

    /// An index by its name; `not_found` with near names.
    pub(super) fn collection(&self, name: &str) -> Result<Collection, Error> {
        if let Some(found) = self.read(|connection| collection(connection, name))? {
            return Ok(found);
        }
        let known: Vec<String> = self.summaries()?.into_iter().map(|summary| summary.name).collect();
        Err(Error::new(Code::NotFound, format!("no index `{name}`"))
            .argument("index")
            .hint("list_indices shows the indices that exist")
            .did_you_mean(names::nearest(name, known.iter().map(String::as_str))))
    }

    /// All indices, by name.
    pub(super) fn summaries(&self) -> Result<Vec<IndexSummary>, Error> {
        let failed = failed_on(&self.store.path);
        let statement = "-- collection_list\nSELECT name, documents, bytes FROM collection ORDER BY name";
        self.read(|connection| {
            let mut statement = connection.prepare_cached(statement).map_err(failed)?;
            let rows = statement.query_map([], |row| {
                Ok(IndexSummary {
                    name: row.get(0)?,
                    documents: row.get::<_, i64>(1)?.unsigned_abs(),
                    size_bytes: row.get::<_, i64>(2)?.unsigned_abs(),
                    health: "green".to_owned(),
                    aliases: Vec::new(),
                })
            });
            rows.and_then(Iterator::collect).map_err(failed)
        })
    }

    /// How much the documents of an index come to.
    pub(super) fn bytes(&self, collection: &Collection) -> Result<u64, Error> {
        let failed = failed_on(&self.store.path);
        let statement = "-- collection_size\nSELECT bytes FROM collection WHERE id = ?1";
        let size =
            |connection: &Connection| connection.query_row(statement, [collection.id], |row| row.get::<_, i64>(0));
        self.read(|connection| size(connection).map(i64::unsigned_abs).map_err(failed))
    }

    /// A document by its id.
    pub(super) fn document(&self, collection: &Collection, id: &str) -> Result<Option<Row>, Error> {
        let failed = failed_on(&self.store.path);
        let statement =
            "-- document_by_id\nSELECT id, seq, version, source FROM document WHERE collection = ?1 AND id = ?2";
        self.read(|connection| {
            let mut statement = connection.prepare_cached(statement).map_err(failed)?;
            statement.query_row(params![collection.id, id], row).optional().map_err(failed)
        })
    }

    /// A document by its place in the order of writing.
    pub(super) fn by_seq(&self, collection: i64, seq: i64) -> Result<Row, Error> {
        let failed = failed_on(&self.store.path);
        let statement =
            "-- document_by_seq\nSELECT id, seq, version, source FROM document WHERE collection = ?1 AND seq = ?2";
        self.read(|connection| {
            let mut statement = connection.prepare_cached(statement).map_err(failed)?;
            statement.query_row(params![collection, seq], row).map_err(failed)
        })
    }

    /// Calls `each` with the documents written after `seq`, in that order.
    pub(super) fn after(
        &self,
        collection: &Collection,
        seq: i64,
        mut each: impl FnMut(Row) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let failed = failed_on(&self.store.path);
        let statement = "-- document_after\nSELECT id, seq, version, source FROM document WHERE collection = ?1 AND seq > ?2 ORDER BY seq";
        self.read(|connection| {
            let mut statement = connection.prepare_cached(statement).map_err(failed)?;
            let mut rows = statement.query(params![collection.id, seq]).map_err(failed)?;
            while let Some(found) = rows.next().map_err(failed)? {
                each(row(found).map_err(failed)?)?;
            }
            Ok(())
        })
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take()
            && connection.execute_batch("ROLLBACK").is_ok()
            && self.still.is_none()
        {
            self.store.check_in(connection);
        }
    }
}

/// The id of a document that fits, its fields added to the mapping; else what is known of its id, and the reason.
fn accept(
    mapping: &mut Mapping,
    text: &str,
    id_field: Option<&str>,
    made: Option<&String>,
) -> Result<String, (Option<String>, String)> {
    let document = Node::read(text)
        .map_err(|error| (None, error.to_string().split(" at line ").next().unwrap_or_default().to_owned()))?;
    let id = match id_field {
        None => made.cloned().unwrap_or_default(),
        Some(field) => ids::of(text, field).map_err(|reason| (None, reason))?,
    };
    if let Some(reason) = metadata(&document) {
        return Err((Some(id), reason));
    }
    let before = mapping.len();
    match mapping.leaves(&document) {
        Ok(_) => Ok(id),
        Err(reason) => {
            mapping.truncate(before);
            Err((Some(id), reason))
        }
    }
}

/// What an engine keeps of a document beside its fields: no document brings it along.
fn metadata(document: &Node) -> Option<String> {
    const NAMES: [&str; 10] = [
        "_id",
        "_index",
        "_source",
        "_version",
        "_routing",
        "_seq_no",
        "_field_names",
        "_ignored",
        "_tier",
        "_nested_path",
    ];
    let Node::Object(fields) = document else { return None };
    let (name, _) = fields.iter().find(|(name, _)| NAMES.contains(&name.as_str()))?;
    Some(format!(
        "Field [{name}] is a metadata field and cannot be added inside a document; `id_field` names the field that becomes _id"
    ))
}

/// Writes one document; whether it is new, and by how many bytes the index grew.
fn put(connection: &Connection, collection: &Collection, id: &str, source: &str) -> Result<(bool, i64), Error> {
    let failed = failed_on(path_of(connection));
    let statement =
        "-- document_size\nSELECT length(CAST(source AS BLOB)) FROM document WHERE collection = ?1 AND id = ?2";
    let mut statement = connection.prepare_cached(statement).map_err(failed)?;
    let old: Option<i64> =
        statement.query_row(params![collection.id, id], |row| row.get(0)).optional().map_err(failed)?;
    let statement =
        "-- document_put\nINSERT INTO document (collection, id, seq, version, source) VALUES (?1, ?2, ?3, 1, ?4)
        ON CONFLICT (collection, id) DO UPDATE SET seq = excluded.seq, version = version + 1, source = excluded.source";
    let mut statement = connection.prepare_cached(statement).map_err(failed)?;
    let written = statement.execute(params![collection.id, id, collection.last_seq, source]).map_err(failed)?;
    if written != 1 {
        return Err(broken("document"));
    }
    let bytes = i64::try_from(source.len()).unwrap_or(i64::MAX);
    Ok((old.is_none(), bytes - old.unwrap_or(0)))
}

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row { id: row.get(0)?, seq: row.get(1)?, version: row.get::<_, i64>(2)?.unsigned_abs(), source: row.get(3)? })
}

fn collection(connection: &Connection, name: &str) -> Result<Option<Collection>, Error> {
    let failed = failed_on(path_of(connection));
    let statement = "-- collection_by_name\nSELECT id, uid, last_seq, mapping FROM collection WHERE name = ?1";
    let mut statement = connection.prepare_cached(statement).map_err(failed)?;
    let found = statement
        .query_row([name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get::<_, String>(3)?)))
        .optional()
        .map_err(failed)?;
    let Some((id, uid, last_seq, mapping)) = found else { return Ok(None) };
    let mapping = Mapping::read(&mapping).map_err(|error| broken("collection.mapping").cause(error))?;
    Ok(Some(Collection { id, name: name.to_owned(), uid, last_seq, mapping }))
}

fn create(connection: &Connection, name: &str, mapping: &Mapping) -> Result<Collection, Error> {
    if name.chars().any(char::is_uppercase) {
        return Err(Error::invalid("index", format!("invalid index name `{name}`, must be lowercase")));
    }
    if matches!(name, "." | "..") || name.contains(['*', '?', '<', ',']) {
        return Err(Error::invalid("index", format!("`{name}` cannot be the name of an index")));
    }
    let failed = failed_on(path_of(connection));
    let text = mapping.write().map_err(|error| broken("mapping").cause(error))?;
    let statement = "-- collection_create\nINSERT INTO collection (name, mapping) VALUES (?1, ?2)";
    connection.execute(statement, params![name, text]).map_err(failed)?;
    collection(connection, name)?.ok_or_else(|| broken("collection"))
}

fn open(path: &Path, call: &Arc<Call>) -> Result<Connection, Error> {
    let mut connection = file::open_to_write(path, call, failed_on(path))?;
    connection.execute_batch("PRAGMA cache_size = -2000;").map_err(failed_on(path))?;
    migrate(&mut connection, path)?;
    Ok(connection)
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    let failed = failed_on(path);
    let version = |connection: &Connection| {
        let version = connection.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0));
        version.map(|version| version as usize).map_err(failed)
    };
    if version(connection)? == MIGRATIONS.len() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let at = version(&transaction)?;
    if at > MIGRATIONS.len() {
        return Err(disk::newer(path, at, MIGRATIONS.len()));
    }
    let statement = "-- schema_is_filled\nSELECT EXISTS (SELECT 1 FROM sqlite_schema)";
    if at == 0 && transaction.query_row(statement, [], |row| row.get(0)).map_err(failed)? {
        return Err(disk::damaged(path, "it holds the tables of another program"));
    }
    for migration in MIGRATIONS.iter().skip(at) {
        transaction.execute_batch(migration).map_err(failed)?;
    }
    transaction.pragma_update(None, "user_version", MIGRATIONS.len() as u32).map_err(failed)?;
    transaction.commit().map_err(failed)
}

fn path_of(connection: &Connection) -> &Path {
    Path::new(connection.path().unwrap_or("search.db"))
}

fn broken(what: &str) -> Error {
    Error::new(Code::Internal, format!("a stored `{what}` of the search documents is not as it should be"))
}

/// What a failure of SQLite means to a caller.
fn failed_on(path: &Path) -> impl Fn(rusqlite::Error) -> Error + Copy + '_ {
    move |error| failed(error, path)
}

fn failed(error: rusqlite::Error, path: &Path) -> Error {
    use rusqlite::ErrorCode;
    if let Some(fault) = sqlite::failure::of_file(&error, path) {
        return fault.cause(error);
    }
    let mapped = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Error::new(Code::Busy, "another process is writing search documents").retry_after(Duration::from_secs(1))
        }
        Some(ErrorCode::TooBig) => Error::new(Code::Limit, "a document is too large to be stored"),
        Some(ErrorCode::OperationInterrupted) => Error::new(Code::Cancelled, "the call was cancelled"),
        _ => Error::new(Code::Internal, "the search documents could not be read or written"),
    };
    mapped.cause(error)
}
