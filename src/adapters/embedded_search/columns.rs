//! The values of documents, by column: what sorting, aggregations and queries on numbers read.

use std::{collections::HashMap, sync::Arc};

use tantivy::{
    DocId, SegmentReader,
    columnar::{self, StrColumn},
    query::{
        Query,
        doc_predicate_query::{DocPredicateQuery, FunctionPredicate},
    },
};

use super::{
    derived::{Layout, failed},
    mapping::{Field, FieldId, Kind},
};
use crate::error::Error;

/// A value as it is compared, counted and shown.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Integer(i64),
    Number(f64),
    Text(Arc<str>),
}

/// One column of one segment.
pub(super) enum Column {
    /// No document of the segment has the field.
    Absent,
    Integers(columnar::Column<i64>),
    Numbers(columnar::Column<f64>),
    Words(StrColumn, HashMap<u64, Arc<str>>),
}

impl Value {
    /// As a fraction, for sums and the like.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(value) => Some(*value as f64),
            Self::Number(value) => Some(*value),
            Self::Text(_) => None,
        }
    }

    /// Order of values of one field.
    pub(super) fn compare(&self, other: &Self) -> std::cmp::Ordering {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Text(_), _) => std::cmp::Ordering::Greater,
            (_, Self::Text(_)) => std::cmp::Ordering::Less,
            (a, b) => a.number().unwrap_or_default().total_cmp(&b.number().unwrap_or_default()),
        }
    }
}

impl Column {
    /// Opens a field's column.
    pub(super) fn open(reader: &SegmentReader, id: FieldId, field: &Field) -> Result<Self, Error> {
        let path = Layout::column(id);
        let columns = reader.fast_fields();
        Ok(match field.kind {
            Kind::Text => Self::Absent,
            Kind::Keyword => Self::words(columns.str(&path).map_err(failed)?),
            kind if kind.is_fraction() => {
                columns.column_opt(&path).map_err(failed)?.map_or(Self::Absent, Self::Numbers)
            }
            _ => columns.column_opt(&path).map_err(failed)?.map_or(Self::Absent, Self::Integers),
        })
    }

    /// Opens the column of ids.
    pub(super) fn ids(reader: &SegmentReader) -> Result<Self, Error> {
        Ok(Self::words(reader.fast_fields().str("id").map_err(failed)?))
    }

    fn words(column: Option<StrColumn>) -> Self {
        column.map_or(Self::Absent, |column| Self::Words(column, HashMap::new()))
    }

    /// Reads ahead the strings of these documents: one pass over the dictionary instead of a search per value.
    pub(super) fn prepare(&mut self, documents: impl Iterator<Item = DocId>) -> Result<(), Error> {
        let Self::Words(column, texts) = self else { return Ok(()) };
        let mut ords: Vec<u64> =
            documents.flat_map(|document| column.term_ords(document).collect::<Vec<_>>()).collect();
        ords.sort_unstable();
        ords.dedup();
        ords.retain(|ord| !texts.contains_key(ord));
        let mut waiting = ords.iter().copied();
        let unreadable = |error: std::io::Error| failed(error.into());
        let mut add = |bytes: &[u8]| {
            if let Some(ord) = waiting.next() {
                texts.insert(ord, Arc::from(String::from_utf8_lossy(bytes)));
            }
        };
        column
            .dictionary()
            .sorted_ords_to_term_cb(&ords, |bytes| {
                add(bytes);
            })
            .map_err(unreadable)?;
        Ok(())
    }

    /// The values of a document; of strings only those prepared.
    pub(super) fn values(&self, document: DocId) -> Vec<Value> {
        match self {
            Self::Absent => Vec::new(),
            Self::Integers(column) => column.values_for_doc(document).map(Value::Integer).collect(),
            Self::Numbers(column) => column.values_for_doc(document).map(Value::Number).collect(),
            Self::Words(column, texts) => {
                let texts = column.term_ords(document).filter_map(|ord| texts.get(&ord));
                texts.map(|text| Value::Text(Arc::clone(text))).collect()
            }
        }
    }
}

/// Documents with a whole number in a column that passes the test.
pub(super) fn integers(id: FieldId, test: impl Fn(i64) -> bool + Clone + Send + Sync + 'static) -> Box<dyn Query> {
    let path = Layout::column(id);
    let predicate = FunctionPredicate::from(move |reader: &SegmentReader| {
        let column = reader.fast_fields().column_opt::<i64>(&path)?;
        let test = test.clone();
        Ok(move |document: DocId| column.as_ref().is_some_and(|column| column.values_for_doc(document).any(&test)))
    });
    Box::new(DocPredicateQuery::from(predicate))
}

/// Documents with a fraction in a column that passes the test.
pub(super) fn numbers(id: FieldId, test: impl Fn(f64) -> bool + Clone + Send + Sync + 'static) -> Box<dyn Query> {
    let path = Layout::column(id);
    let predicate = FunctionPredicate::from(move |reader: &SegmentReader| {
        let column = reader.fast_fields().column_opt::<f64>(&path)?;
        let test = test.clone();
        Ok(move |document: DocId| column.as_ref().is_some_and(|column| column.values_for_doc(document).any(&test)))
    });
    Box::new(DocPredicateQuery::from(predicate))
}

/// Documents with a string in a column that begins with `prefix` and passes the test. `id` none means the documents' ids.
pub(super) fn strings(
    id: Option<FieldId>,
    prefix: String,
    test: impl Fn(&str) -> bool + Send + Sync + 'static,
) -> Box<dyn Query> {
    let path = id.map_or_else(|| "id".to_owned(), Layout::column);
    let predicate = FunctionPredicate::from(move |reader: &SegmentReader| {
        let column = reader.fast_fields().str(&path)?;
        let mut fitting = std::collections::HashSet::new();
        if let Some(column) = &column {
            let mut stream = column.dictionary().range().ge(prefix.as_bytes()).into_stream()?;
            while stream.advance() {
                if !stream.key().starts_with(prefix.as_bytes()) {
                    break;
                }
                if std::str::from_utf8(stream.key()).is_ok_and(&test) {
                    fitting.insert(stream.term_ord());
                }
            }
        }
        Ok(move |document: DocId| {
            column.as_ref().is_some_and(|column| column.term_ords(document).any(|ord| fitting.contains(&ord)))
        })
    });
    Box::new(DocPredicateQuery::from(predicate))
}
