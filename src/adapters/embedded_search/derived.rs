//! The word index beside the documents: a tantivy index per collection, derived from SQLite and caught up with it before each search. It may
//! vanish at any time. What is in it is told by its commit's payload: the last document (by order of writing) that it holds.

mod read_only;

use std::{
    collections::HashMap,
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tantivy::{
    Directory, Index, IndexReader, IndexWriter, ReloadPolicy, Searcher, TantivyDocument, Term,
    directory::MmapDirectory,
    schema::{
        Field, IndexRecordOption, JsonObjectOptions, NumericOptions, OwnedValue, STRING, Schema, TextFieldIndexing,
        TextOptions,
    },
    tokenizer::TextAnalyzer,
};

use self::read_only::ReadOnly;
use super::{
    check,
    mapping::{FieldId, Kind, Leaf, Mapping},
    node::Node,
    store::{Collection, Snapshot, Store},
    words,
};
use crate::{
    adapters::{disk, sqlite::call::Call},
    error::{Code, Error},
};

/// Part of the folder's name: another layout is another folder, so that processes of two versions do not fight over one.
const LAYOUT: &str = "1";
/// Text fields with a length norm of their own; further ones share one.
const TEXTS: usize = 16;
/// What the writer may hold in memory before it writes a segment; the least that tantivy takes.
const WRITER_MEMORY: usize = 15_000_000;
/// Documents after which progress is kept, whatever happens then.
const COMMIT_EVERY: usize = 20_000;
/// Indexes kept open.
const OPEN_MAX: usize = 16;
/// Documents, in bytes, whose words are held in memory where the disk takes none.
const MEMORY_MAX: u64 = 128 << 20;

/// The fields of every derived index. Fields of documents are numbered; dots and odd names never meet tantivy.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    schema: Schema,
    /// The document's id: one word, and a column.
    pub(super) id: Field,
    /// The document's place in the order of writing: a column.
    pub(super) seq: Field,
    texts: Vec<Field>,
    more_texts: Field,
    /// Whole strings, as words.
    pub(super) keys: Field,
    /// Columns of all values but text.
    pub(super) values: Field,
    /// Which fields a document has.
    pub(super) names: Field,
}

/// All derived indexes.
pub(super) struct Derived {
    home: PathBuf,
    layout: Layout,
    open: Mutex<HashMap<String, Open>>,
}

struct Open {
    reader: IndexReader,
    /// What the reader's searcher holds.
    seq: i64,
}

/// Chooses the indexes of a search.
type Select<'a> = dyn Fn(&Snapshot) -> Result<Vec<Collection>, Error> + 'a;

/// An index at a moment: the documents' snapshot and the word index hold exactly the same.
pub(super) struct Shard {
    pub(super) collection: Collection,
    pub(super) searcher: Searcher,
    pub(super) layout: Layout,
}

impl Layout {
    fn new() -> Self {
        let mut builder = Schema::builder();
        let words = TextFieldIndexing::default()
            .set_tokenizer(words::NAME)
            .set_index_option(IndexRecordOption::WithFreqsAndPositions);
        let whole = TextFieldIndexing::default()
            .set_tokenizer("raw")
            .set_fieldnorms(false)
            .set_index_option(IndexRecordOption::Basic);
        let texts = (0..TEXTS).map(|n| {
            builder.add_text_field(&format!("text{n}"), TextOptions::default().set_indexing_options(words.clone()))
        });
        let texts = texts.collect();
        let more_texts =
            builder.add_json_field("texts", JsonObjectOptions::default().set_indexing_options(words.clone()));
        let keys = builder.add_json_field("keys", JsonObjectOptions::default().set_indexing_options(whole));
        let values = builder.add_json_field("values", JsonObjectOptions::default().set_fast("raw"));
        let id = builder.add_text_field("id", STRING.set_fast("raw"));
        let seq = builder.add_i64_field("seq", NumericOptions::default().set_fast());
        let names = builder.add_text_field("names", STRING);
        Self { schema: builder.build(), id, seq, texts, more_texts, keys, values, names }
    }

    /// A word of a text field. `ordinal` counts the text fields of the mapping.
    pub(super) fn word(&self, ordinal: usize, word: &str) -> Term {
        match self.texts.get(ordinal) {
            Some(field) => Term::from_field_text(*field, word),
            None => json_word(self.more_texts, ordinal, word),
        }
    }

    /// A whole string of a field.
    pub(super) fn key(&self, field: FieldId, text: &str) -> Term {
        json_word(self.keys, field, text)
    }

    /// The mark of documents that have a field.
    pub(super) fn name(&self, field: FieldId) -> Term {
        Term::from_field_text(self.names, &slot(field))
    }

    /// The path of a field's column.
    pub(super) fn column(field: FieldId) -> String {
        format!("values.{}", slot(field))
    }

    fn document(&self, id: String, seq: i64, leaves: Vec<(FieldId, Leaf)>, texts_of: &Ordinals) -> TantivyDocument {
        let mut document = TantivyDocument::default();
        document.add_text(self.id, id);
        document.add_i64(self.seq, seq);
        let (mut texts, mut keys, mut values) = (Vec::new(), Vec::new(), Vec::new());
        let mut names: Vec<FieldId> = leaves.iter().map(|(field, _)| *field).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            document.add_text(self.names, slot(name));
        }
        for (field, leaf) in leaves {
            match (leaf, texts_of.get(&field)) {
                (Leaf::Text(text), Some(ordinal)) => match self.texts.get(*ordinal) {
                    Some(field) => document.add_text(*field, text),
                    None => push(&mut texts, *ordinal, OwnedValue::Str(text)),
                },
                (Leaf::Text(text), None) => {
                    push(&mut keys, field, OwnedValue::Str(text.clone()));
                    push(&mut values, field, OwnedValue::Str(text));
                }
                (Leaf::Integer(number), _) => push(&mut values, field, OwnedValue::I64(number)),
                (Leaf::Number(number), _) => push(&mut values, field, OwnedValue::F64(number)),
            }
        }
        for (field, object) in [(self.more_texts, texts), (self.keys, keys), (self.values, values)] {
            if !object.is_empty() {
                document.add_field_value(field, &OwnedValue::Object(object));
            }
        }
        document
    }
}

/// Which text field, counted, each text field of a mapping is.
pub(super) type Ordinals = HashMap<FieldId, usize>;

/// Counts the text fields of a mapping.
pub(super) fn text_ordinals(mapping: &Mapping) -> Ordinals {
    let texts = mapping.fields().filter(|(_, field)| field.kind == Kind::Text);
    texts.enumerate().map(|(ordinal, (id, _))| (id, ordinal)).collect()
}

fn slot(field: usize) -> String {
    format!("f{field}")
}

fn json_word(field: Field, path: usize, word: &str) -> Term {
    let mut term = Term::from_field_json_path(field, &slot(path), false);
    term.append_type_and_str(word);
    term
}

fn push(object: &mut Vec<(String, OwnedValue)>, field: usize, value: OwnedValue) {
    let name = slot(field);
    match object.iter_mut().find(|(other, _)| *other == name) {
        Some((_, OwnedValue::Array(values))) => values.push(value),
        _ => object.push((name, OwnedValue::Array(vec![value]))),
    }
}

impl Derived {
    /// In a folder of its own inside the data directory.
    pub(super) fn new(home: &Path) -> Self {
        let home = home.join("search-words").join(format!("v{LAYOUT}"));
        Self { home, layout: Layout::new(), open: Mutex::default() }
    }

    fn shard(&self, collection: Collection, searcher: Searcher) -> Shard {
        Shard { collection, searcher, layout: self.layout.clone() }
    }

    /// Brings indexes and documents to one moment. The snapshot of the answer holds exactly what its searchers find.
    pub(super) fn shards(
        &self,
        store: &Arc<Store>,
        select: &Select<'_>,
        call: &Arc<Call>,
    ) -> Result<(Snapshot, Vec<Shard>), Error> {
        let snapshot = store.snapshot(call)?;
        let collections = select(&snapshot)?;
        let ready: Option<Vec<Searcher>> = collections.iter().map(|collection| self.ready(collection)).collect();
        if let Some(searchers) = ready {
            let pairs = collections.into_iter().zip(searchers);
            return Ok((snapshot, pairs.map(|(collection, searcher)| self.shard(collection, searcher)).collect()));
        }
        drop(snapshot);
        match self.brought_up(store, select, &collections, call) {
            Err(error) if error.code == Code::Unavailable => self.unwritten(store, select, error, call),
            brought_up => brought_up,
        }
    }

    fn brought_up(
        &self,
        store: &Arc<Store>,
        select: &Select<'_>,
        collections: &[Collection],
        call: &Arc<Call>,
    ) -> Result<(Snapshot, Vec<Shard>), Error> {
        // Nobody moves an index on while its lock is held, so a snapshot taken under all locks can be met exactly.
        let mut uids: Vec<&str> = collections.iter().map(|collection| collection.uid.as_str()).collect();
        uids.sort_unstable();
        let locks = uids.into_iter().map(|uid| self.lock(uid, call)).collect::<Result<Vec<_>, _>>()?;
        let snapshot = store.snapshot(call)?;
        let mut shards = Vec::new();
        for collection in select(&snapshot)? {
            let searcher = self.caught_up(&snapshot, &collection, call)?;
            shards.push(self.shard(collection, searcher));
        }
        drop(locks);
        Ok((snapshot, shards))
    }

    /// The same where the disk takes no writes: what is not on it is held in memory.
    fn unwritten(
        &self,
        store: &Arc<Store>,
        select: &Select<'_>,
        cause: Error,
        call: &Arc<Call>,
    ) -> Result<(Snapshot, Vec<Shard>), Error> {
        let snapshot = store.snapshot(call)?;
        let mut shards = Vec::new();
        for collection in select(&snapshot)? {
            let searcher = match self.ready(&collection).or_else(|| self.as_it_stands(&collection)) {
                Some(searcher) => searcher,
                None if snapshot.bytes(&collection)? > MEMORY_MAX => return Err(cause),
                None => {
                    let index = prepared(Index::create_in_ram(self.layout.schema.clone()));
                    self.write(&index, &snapshot, &collection, 0, call)?;
                    self.keep(&index, &collection)?
                }
            };
            shards.push(self.shard(collection, searcher));
        }
        Ok((snapshot, shards))
    }

    /// A searcher of what is on the disk, when that is exactly the collection's snapshot.
    fn as_it_stands(&self, collection: &Collection) -> Option<Searcher> {
        let folder = ReadOnly::at(&self.home.join(&collection.uid)).ok()?;
        let (index, _) = self.opened(folder).filter(|(_, held)| *held == collection.last_seq)?;
        self.keep(&index, collection).ok()
    }

    /// A searcher that holds exactly the documents of the collection's snapshot, when there is one without any writing.
    fn ready(&self, collection: &Collection) -> Option<Searcher> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let index = open.get_mut(&collection.uid)?;
        if index.seq != collection.last_seq {
            // Another process may have moved it on already.
            let metas = index.reader.searcher().index().load_metas().ok()?;
            if held(metas.payload.as_deref())? != collection.last_seq {
                return None;
            }
            index.reader.reload().ok()?;
            let after = index.reader.searcher().index().load_metas().ok()?;
            if after.opstamp != metas.opstamp {
                return None;
            }
            index.seq = collection.last_seq;
        }
        Some(index.reader.searcher())
    }

    /// Forgets what is held open of these indexes and removes them: they are derived anew when next needed.
    pub(super) fn discard(&self, uids: &[String], call: &Arc<Call>) -> Result<(), Error> {
        for uid in uids {
            let lock = self.lock(uid, call)?;
            self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
            remove(&self.home.join(uid))?;
            drop(lock);
        }
        Ok(())
    }

    fn lock(&self, uid: &str, call: &Arc<Call>) -> Result<File, Error> {
        std::fs::create_dir_all(&self.home).map_err(|error| disk::failed(&self.home, "made", error))?;
        let path = self.home.join(format!("{uid}.lock"));
        disk::make_private(&path);
        let file = File::create(&path).map_err(|error| disk::failed(&path, "opened", error))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
                Err(TryLockError::Error(error)) => return Err(disk::failed(&path, "locked", error)),
            }
            check(call)?;
        }
    }

    /// Under the lock: writes what is missing, and opens the result.
    fn caught_up(&self, snapshot: &Snapshot, collection: &Collection, call: &Arc<Call>) -> Result<Searcher, Error> {
        let folder = self.home.join(&collection.uid);
        make_private(&folder);
        let index = match MmapDirectory::open(&folder).ok().and_then(|folder| self.opened(folder)) {
            Some((index, held)) if held <= collection.last_seq => {
                if held < collection.last_seq {
                    self.write_to(&folder, &index, snapshot, collection, held, call)?;
                }
                index
            }
            // Missing, damaged, or ahead of the documents (they were restored from a backup).
            _ => {
                remove(&folder)?;
                std::fs::create_dir_all(&folder).map_err(|error| disk::failed(&folder, "made", error))?;
                let index = Index::create_in_dir(&folder, self.layout.schema.clone()).map_err(failed)?;
                let index = prepared(index);
                self.write_to(&folder, &index, snapshot, collection, 0, call)?;
                index
            }
        };
        self.keep(&index, collection)
    }

    /// Keeps an index open that holds the collection's snapshot.
    fn keep(&self, index: &Index, collection: &Collection) -> Result<Searcher, Error> {
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into().map_err(failed)?;
        let searcher = reader.searcher();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= OPEN_MAX {
            open.clear();
        }
        open.insert(collection.uid.clone(), Open { reader, seq: collection.last_seq });
        Ok(searcher)
    }

    /// An index as it is on disk, opened anew, and what it holds; `None` when it is of no use.
    fn opened(&self, folder: impl Directory) -> Option<(Index, i64)> {
        let index = prepared(Index::open(folder).ok()?);
        if index.schema() != self.layout.schema {
            return None;
        }
        let held = held(index.load_metas().ok()?.payload.as_deref())?;
        // All segments can be opened, so a file that is gone or cut is noticed here.
        index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into().ok()?;
        Some((index, held))
    }

    /// Writes what is missing to the disk. tantivy does not always say that the disk is to blame.
    fn write_to(
        &self,
        folder: &Path,
        index: &Index,
        snapshot: &Snapshot,
        collection: &Collection,
        held: i64,
        call: &Arc<Call>,
    ) -> Result<(), Error> {
        let Err(mut error) = self.write(index, snapshot, collection, held, call) else { return Ok(()) };
        if error.code == Code::Internal
            && let Some(cause) = disk::why_unwritable(&folder.join("meta.json"))
        {
            error = disk::failed(folder, "written", cause);
        }
        if error.code == Code::Unavailable && held == 0 {
            // What is of no use takes no room.
            remove(folder)?;
        }
        Err(error)
    }

    fn write(
        &self,
        index: &Index,
        snapshot: &Snapshot,
        collection: &Collection,
        held: i64,
        call: &Arc<Call>,
    ) -> Result<(), Error> {
        let mut writer: IndexWriter = index.writer_with_num_threads(1, WRITER_MEMORY).map_err(failed)?;
        let texts_of = text_ordinals(&collection.mapping);
        let (mut waiting, mut last) = (0, held);
        let all = snapshot.after(collection, held, |row| {
            check(call)?;
            if row.version > 1 && held > 0 {
                writer.delete_term(Term::from_field_text(self.layout.id, &row.id));
            }
            let document = Node::read(&row.source).map_err(|error| damaged(&row.id).cause(error))?;
            let leaves = collection.mapping.known_leaves(&document);
            writer.add_document(self.layout.document(row.id, row.seq, leaves, &texts_of)).map_err(failed)?;
            (waiting, last) = (waiting + 1, row.seq);
            if waiting >= COMMIT_EVERY {
                waiting = 0;
                commit(&mut writer, last)?;
            }
            Ok(())
        });
        match all {
            Ok(()) => commit(&mut writer, collection.last_seq)?,
            // What was done is kept: the next call goes on from there.
            Err(error) if call.is_over() => {
                commit(&mut writer, last)?;
                return Err(error);
            }
            Err(error) => return Err(error),
        }
        writer.wait_merging_threads().map_err(failed)
    }
}

fn commit(writer: &mut IndexWriter, seq: i64) -> Result<(), Error> {
    let mut prepared = writer.prepare_commit().map_err(failed)?;
    prepared.set_payload(&seq.to_string());
    prepared.commit().map(drop).map_err(failed)
}

fn prepared(index: Index) -> Index {
    index.tokenizers().register(words::NAME, TextAnalyzer::from(words::Analyzer));
    index
}

fn held(payload: Option<&str>) -> Option<i64> {
    payload.unwrap_or("0").parse().ok()
}

/// Takes the files of an index from everybody but this user.
fn make_private(folder: &Path) {
    for file in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        disk::make_private(&file.path());
    }
}

fn remove(folder: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(disk::failed(folder, "removed", error)),
        _ => Ok(()),
    }
}

fn damaged(id: &str) -> Error {
    Error::new(Code::Internal, format!("the stored document `{id}` is no longer JSON"))
}

/// What a failure of tantivy means to a caller.
pub(super) fn failed(error: tantivy::TantivyError) -> Error {
    use tantivy::{TantivyError as Cause, directory::error::OpenWriteError};
    let cause = match &error {
        Cause::IoError(cause) => Some(cause.as_ref()),
        Cause::OpenWriteError(OpenWriteError::IoError { io_error, .. }) => Some(io_error.as_ref()),
        _ => None,
    };
    if let Some(cause) = cause {
        let same =
            cause.raw_os_error().map_or_else(|| std::io::Error::from(cause.kind()), std::io::Error::from_raw_os_error);
        return disk::failed(Path::new("search-words"), "read or written", same).cause(error);
    }
    match error {
        Cause::OpenWriteError(_) | Cause::LockFailure(..) => {
            Error::new(Code::Unavailable, "the word index in `search-words` could not be read or written")
                .hint("check the rights and the free space of the data directory (CALLBOARD_DATA_DIR)")
                .cause(error)
        }
        _ => Error::new(Code::Internal, "the word index of the search documents failed").cause(error),
    }
}
