//! What an agent can take out of a search engine as a whole.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Report,
    search::{QueryRequest, SearchService},
};
use crate::{
    config::Limits,
    domain::search::{
        Export, ExportedDocument, Mapping,
        export::{Columns, inline_bytes, ndjson_line, sources},
    },
    error::{Code, Error},
    ids,
    ports::{
        exports::{ExportPart, ExportStore, ExportSummary, FinishedExport},
        search::{Pages, SearchEngine},
    },
};

/// Exports of whole result sets.
#[derive(Clone)]
pub struct Exports {
    engine: Arc<dyn SearchEngine>,
    search: SearchService,
    store: Arc<dyn ExportStore>,
    limits: Limits,
}

/// An export as asked.
pub struct Request {
    /// Names or patterns, separated by commas.
    pub index: String,
    /// Which documents.
    pub query: QueryRequest,
    /// Fields to keep.
    pub fields: Vec<String>,
    /// How to write them.
    pub format: Format,
    /// Where to.
    pub destination: Destination,
}

/// How documents are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON document a line.
    Ndjson,
    /// RFC 4180, with a header.
    Csv,
}

/// Where an export goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// Into the answer when it is small, else into a file.
    Auto,
    /// Into the answer, or it is refused.
    Inline,
    /// Into a file.
    File,
}

/// A finished export.
#[derive(Debug)]
pub struct Exported {
    /// Its id.
    pub id: String,
    /// How it is written.
    pub format: Format,
    /// Documents.
    pub count: u64,
    /// The file, when it went into one.
    pub file: Option<FinishedExport>,
    /// The documents, when they are in the answer as NDJSON.
    pub documents: Option<Vec<ExportedDocument>>,
    /// The text, when it is in the answer as CSV.
    pub csv: Option<String>,
    /// What was passed over.
    pub note: Option<String>,
}

impl Exported {
    /// The resource to read the file by.
    pub fn uri(&self) -> Option<String> {
        self.file.as_ref().map(|_| format!("export://{}", self.id))
    }

    /// The file's name.
    pub fn file_name(&self) -> String {
        let name = self.file.as_ref().and_then(|file| file.path.file_name());
        name.map_or_else(|| self.id.clone(), |name| name.to_string_lossy().into_owned())
    }
}

/// What is gathered before it goes into a file.
const CHUNK_BYTES: usize = 1 << 20;
/// Bytes of a part of a file when the caller says nothing.
const PART_BYTES_DEFAULT: usize = 64 << 10;
/// The same at the most.
const PART_BYTES_MAX: usize = 1 << 20;
/// Time between two reports.
const REPORT_PAUSE: Duration = Duration::from_secs(1);

impl Exports {
    /// Over an engine and a place for files.
    pub fn new(
        engine: Arc<dyn SearchEngine>,
        search: SearchService,
        store: Arc<dyn ExportStore>,
        limits: Limits,
    ) -> Self {
        Self { engine, search, store, limits }
    }

    /// Exports all documents of a query: all of them, or an error and no file.
    pub async fn export(&self, request: Request, report: &dyn Report) -> Result<Exported, Error> {
        check_fields(&request.fields)?;
        let export = Export {
            indices: self.search.readable(&request.index)?,
            query: request.query.read_without_parts("bulk_export")?,
            fields: request.fields,
        };
        let time = self.limits.work_time();
        let mut paced = Paced { report, last: None };
        let work = async {
            let asked = self.asked(export.clone(), request.format).await?;
            self.run(&asked, request.format, request.destination, &mut paced).await
        };
        match tokio::time::timeout(time, work).await {
            Ok(exported) => {
                let exported = exported.map_err(|error| self.search.visible(error))?;
                Ok(Exported { note: self.search.export_note(&export.indices).await, ..exported })
            }
            Err(_elapsed) => Err(Error::new(
                Code::Timeout,
                format!("the export did not finish within {} s and was discarded", time.as_secs()),
            )
            .hint("export it in parts, with a `query` for a range of a date, number or keyword, or select fewer `fields`; CALLBOARD_CALL_TIMEOUT_MS raises the limit")),
        }
    }

    /// A table has what a column stands for: the field behind an alias, the one that has a multi-field.
    async fn asked(&self, mut export: Export, format: Format) -> Result<Asked, Error> {
        let fields = export.fields.clone();
        if format == Format::Csv && !fields.is_empty() {
            let sources = sources(&self.mappings(&export).await?, &fields);
            export.fields.extend(sources);
        }
        Ok(Asked { export, fields })
    }

    async fn run(
        &self,
        asked: &Asked,
        format: Format,
        destination: Destination,
        report: &mut Paced<'_>,
    ) -> Result<Exported, Error> {
        let mut source = Source::open(self.engine.as_ref(), &asked.export).await?;
        let (rows_max, bytes_max) = match destination {
            Destination::Auto => (self.limits.rows(None, "limit")?, self.limits.bytes(None)?),
            Destination::Inline => (self.limits.rows_max, self.limits.bytes_max),
            Destination::File => (0, 0),
        };
        let mut documents = Vec::new();
        let mut small = destination != Destination::File && source.pages.total() <= rows_max as u64;
        let mut bytes = 0;
        while small {
            let page = source.next(report).await?;
            if page.is_empty() {
                return self.inline(asked, format, documents).await;
            }
            bytes += page.iter().map(inline_bytes).sum::<usize>();
            documents.extend(page);
            small = bytes <= bytes_max;
        }
        if destination == Destination::Inline {
            let count = source.pages.total();
            return Err(Error::new(
                Code::Limit,
                format!("{count} documents do not fit into an answer, which takes up to {rows_max} documents and {bytes_max} bytes"),
            )
            .argument("destination")
            .hint("leave out `destination`: a large export becomes a file"));
        }
        match format {
            Format::Ndjson => {
                let line = |document: &ExportedDocument, out: &mut Vec<u8>| {
                    ndjson_line(document, out);
                    true
                };
                let written = self.write(source, documents, "ndjson", Vec::new(), line, report).await?;
                written.ok_or_else(|| Error::new(Code::Internal, "the export file could not be written"))
            }
            Format::Csv => self.csv_file(asked, source, documents, report).await,
        }
    }

    async fn inline(&self, asked: &Asked, format: Format, documents: Vec<ExportedDocument>) -> Result<Exported, Error> {
        let mut exported = Exported {
            id: ids::new(ids::Kind::Export),
            format,
            count: documents.len() as u64,
            file: None,
            documents: None,
            csv: None,
            note: None,
        };
        match format {
            Format::Ndjson => exported.documents = Some(documents),
            Format::Csv => {
                let columns = self.columns(asked).await?;
                exported.csv = match table(&columns, &documents) {
                    Some(text) => Some(text),
                    None => table(&columns.with_extra(), &documents),
                };
            }
        }
        Ok(exported)
    }

    /// The header stands before the rows, so whether a column `_extra` is needed shows only on the way. Then it is all done again, with it.
    async fn csv_file(
        &self,
        asked: &Asked,
        source: Source,
        first: Vec<ExportedDocument>,
        report: &mut Paced<'_>,
    ) -> Result<Exported, Error> {
        let columns = self.columns(asked).await?;
        let head = header(&columns);
        let row = |document: &ExportedDocument, out: &mut Vec<u8>| columns.row(document, out);
        if let Some(exported) = self.write(source, first, "csv", head, row, report).await? {
            return Ok(exported);
        }
        let columns = self.columns(asked).await?.with_extra();
        let head = header(&columns);
        let row = |document: &ExportedDocument, out: &mut Vec<u8>| columns.row(document, out);
        let source = Source::open(self.engine.as_ref(), &asked.export).await?;
        let written = self.write(source, Vec::new(), "csv", head, row, report).await?;
        written.ok_or_else(|| Error::new(Code::Internal, "the export file could not be written"))
    }

    /// Writes everything into a file. `None` when a document does not fit into the columns; the file is gone then.
    async fn write(
        &self,
        mut source: Source,
        first: Vec<ExportedDocument>,
        extension: &'static str,
        head: Vec<u8>,
        line: impl Fn(&ExportedDocument, &mut Vec<u8>) -> bool + Send,
        report: &mut Paced<'_>,
    ) -> Result<Option<Exported>, Error> {
        let id = ids::new(ids::Kind::Export);
        let mut file = self.store.create(&id, extension).await?;
        let mut chunk = head;
        let mut page = first;
        loop {
            for document in std::mem::take(&mut page) {
                if !line(&document, &mut chunk) {
                    return Ok(None);
                }
                if chunk.len() >= CHUNK_BYTES {
                    let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8));
                    file.append(full).await?;
                }
            }
            page = source.next(report).await?;
            if page.is_empty() {
                break;
            }
        }
        file.append(chunk).await?;
        let file = file.finish().await?;
        let format = if extension == "csv" { Format::Csv } else { Format::Ndjson };
        Ok(Some(Exported { id, format, count: source.read, file: Some(file), documents: None, csv: None, note: None }))
    }

    async fn columns(&self, asked: &Asked) -> Result<Columns, Error> {
        Ok(Columns::new(&self.mappings(&asked.export).await?, &asked.fields))
    }

    async fn mappings(&self, export: &Export) -> Result<Vec<Mapping>, Error> {
        let mut mappings = Vec::new();
        for name in &export.indices {
            if name.contains('*') {
                let (_, indices) = self.engine.indices(Some(name)).await?;
                for index in indices {
                    mappings.push(self.engine.mapping(&index.name).await?);
                }
            } else {
                mappings.push(self.engine.mapping(name).await?);
            }
        }
        Ok(mappings)
    }

    /// A part of an exported file. `None` when there is no such export.
    pub async fn read(&self, id: &str, offset: u64, length: Option<u64>) -> Result<Option<Part>, Error> {
        let length = match length.map(usize::try_from) {
            None => PART_BYTES_DEFAULT,
            Some(Ok(length)) if (1..=PART_BYTES_MAX).contains(&length) => length,
            Some(_) => {
                return Err(Error::invalid("length", format!("`length` takes 1 to {PART_BYTES_MAX}"))
                    .hint("read a large export part by part, each starting where the last one ended"));
            }
        };
        let Some(part) = self.store.read(id, offset, length).await? else { return Ok(None) };
        if offset > part.bytes_total {
            return Err(Error::invalid(
                "offset",
                format!("`offset` is {offset}; the export has {} bytes", part.bytes_total),
            ));
        }
        Ok(Some(Part::new(part, offset)))
    }

    /// Exported files, the newest first.
    pub async fn list(&self) -> Result<Vec<ExportSummary>, Error> {
        self.store.list().await
    }
}

/// A part of an exported file, cut at the end of a line where it is not the last.
pub struct Part {
    /// Where it begins.
    pub offset: u64,
    /// Where the next one begins; none at the end.
    pub next: Option<u64>,
    /// Size of the file.
    pub bytes_total: u64,
    /// ndjson or csv.
    pub extension: &'static str,
    /// The bytes.
    pub content: Content,
}

/// The bytes of a part.
pub enum Content {
    /// Text, as long as the part begins where an earlier one ended.
    Text(String),
    /// Bytes that are no text, because the part begins inside a character.
    Bytes(Vec<u8>),
}

impl Part {
    fn new(part: ExportPart, offset: u64) -> Self {
        let ExportPart { mut bytes, bytes_total, extension } = part;
        if offset + (bytes.len() as u64) < bytes_total {
            let end_of_line = bytes.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
            // A line that is longer than the part is cut between two characters.
            let end = end_of_line.or_else(|| bytes.utf8_chunks().map(|chunk| chunk.valid().len()).next());
            if let Some(end) = end.filter(|end| *end > 0) {
                bytes.truncate(end);
            }
        }
        let end = offset + bytes.len() as u64;
        let content = match String::from_utf8(bytes) {
            Ok(text) => Content::Text(text),
            Err(error) => Content::Bytes(error.into_bytes()),
        };
        Self { offset, next: (end < bytes_total).then_some(end), bytes_total, extension, content }
    }
}

/// The pages of an export, counted.
struct Source {
    pages: Box<dyn Pages>,
    read: u64,
}

impl Source {
    async fn open(engine: &dyn SearchEngine, export: &Export) -> Result<Self, Error> {
        Ok(Self { pages: engine.export(export).await?, read: 0 })
    }

    /// The next page; at the end, that nothing is missing.
    async fn next(&mut self, report: &mut Paced<'_>) -> Result<Vec<ExportedDocument>, Error> {
        let page = self.pages.next().await?;
        self.read += page.len() as u64;
        let total = self.pages.total();
        if page.is_empty() && self.read != total {
            return Err(Error::new(
                Code::Unavailable,
                format!("the engine returned only {} of {total} documents; the export was discarded", self.read),
            )
            .hint("call again; if it keeps happening, the index is damaged"));
        }
        report.report(self.read, total).await;
        Ok(page)
    }
}

/// Reports the first page of several at once, the others with a pause between.
struct Paced<'a> {
    report: &'a dyn Report,
    last: Option<Instant>,
}

impl Paced<'_> {
    async fn report(&mut self, done: u64, total: u64) {
        if done < total && self.last.is_none_or(|last| last.elapsed() >= REPORT_PAUSE) {
            self.last = Some(Instant::now());
            self.report.report(done, Some(total), "exporting documents").await;
        }
    }
}

/// An export, and the columns of its table.
struct Asked {
    export: Export,
    fields: Vec<String>,
}

fn check_fields(fields: &[String]) -> Result<(), Error> {
    match fields.iter().find(|field| field.trim().is_empty()) {
        Some(_) => {
            Err(Error::invalid("fields", "`fields` holds an empty name").hint("leave `fields` out for whole documents"))
        }
        None => Ok(()),
    }
}

fn header(columns: &Columns) -> Vec<u8> {
    let mut head = Vec::new();
    columns.header(&mut head);
    head
}

/// The whole table; `None` when a document does not fit into the columns.
fn table(columns: &Columns, documents: &[ExportedDocument]) -> Option<String> {
    let mut text = header(columns);
    documents
        .iter()
        .all(|document| columns.row(document, &mut text))
        .then(|| String::from_utf8_lossy(&text).into_owned())
}
