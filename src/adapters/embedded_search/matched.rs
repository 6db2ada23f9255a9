//! The documents that a query finds, and their columns.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet, hash_map::Entry},
    rc::Rc,
    sync::Arc,
};

use tantivy::{
    DocId, Score, SegmentOrdinal, SegmentReader,
    collector::{Collector, SegmentCollector},
    columnar::{self, StrColumn},
    query::Query,
};

use super::{
    check,
    columns::{Column, Value},
    derived::{Shard, failed},
};
use crate::{adapters::sqlite::call::Call, error::Error};

/// A document that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Match {
    /// Which index, of those searched.
    pub(super) shard: u32,
    /// Which of its segments.
    pub(super) segment: u32,
    /// Which document there.
    pub(super) document: DocId,
    /// How well it fits.
    pub(super) score: f32,
}

/// Gathers all that matches.
struct Gather {
    shard: u32,
    call: Arc<Call>,
}

struct GatherSegment {
    shard: u32,
    segment: u32,
    call: Arc<Call>,
    found: Vec<Match>,
}

impl Collector for Gather {
    type Fruit = Vec<Match>;
    type Child = GatherSegment;

    fn for_segment(&self, segment: SegmentOrdinal, _: &SegmentReader) -> tantivy::Result<GatherSegment> {
        Ok(GatherSegment { shard: self.shard, segment, call: Arc::clone(&self.call), found: Vec::new() })
    }
    fn requires_scoring(&self) -> bool {
        true
    }
    fn merge_fruits(&self, segments: Vec<Vec<Match>>) -> tantivy::Result<Vec<Match>> {
        Ok(segments.into_iter().flatten().collect())
    }
}

impl SegmentCollector for GatherSegment {
    type Fruit = Vec<Match>;

    fn collect(&mut self, document: DocId, score: Score) {
        // A search that nobody waits for finds nothing more; its caller asks `call` afterwards.
        if self.found.len() % 4096 == 4095 && self.call.is_over() {
            return;
        }
        self.found.push(Match { shard: self.shard, segment: self.segment, document, score });
    }
    fn harvest(self) -> Vec<Match> {
        self.found
    }
}

/// All documents of one index that a query finds.
pub(super) fn gather(shard: &Shard, place: u32, query: &dyn Query, call: &Arc<Call>) -> Result<Vec<Match>, Error> {
    let found = shard.searcher.search(query, &Gather { shard: place, call: Arc::clone(call) }).map_err(failed)?;
    check(call)?;
    Ok(found)
}

/// Of some documents of one index, the names of the queries that find each.
pub(super) fn names(
    shard: &Shard,
    place: u32,
    named: &[(String, Box<dyn Query>)],
    some: &[Match],
    call: &Arc<Call>,
) -> Result<HashMap<(u32, DocId), Vec<String>>, Error> {
    let here: HashSet<(u32, DocId)> =
        some.iter().filter(|found| found.shard == place).map(|found| (found.segment, found.document)).collect();
    let mut names: HashMap<(u32, DocId), Vec<String>> = HashMap::new();
    for (name, query) in named.iter().filter(|_| !here.is_empty()) {
        for found in gather(shard, place, query.as_ref(), call)? {
            let document = (found.segment, found.document);
            if here.contains(&document) {
                names.entry(document).or_default().push(name.clone());
            }
        }
    }
    Ok(names)
}

/// What a column is opened by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Of {
    /// A field, by its path: in each index its own.
    Field(String),
    /// The documents' ids.
    Id,
}

/// A column over all indexes and segments searched.
pub(super) struct Values(HashMap<(u32, u32), Column>);

/// Columns opened so far.
pub(super) struct Columns<'a> {
    shards: &'a [Shard],
    matches: &'a [Match],
    open: RefCell<HashMap<Of, Rc<Values>>>,
    sequences: RefCell<HashMap<(u32, u32), columnar::Column<i64>>>,
    id_orders: RefCell<HashMap<(u32, u32), StrColumn>>,
}

impl Values {
    /// The values of a document.
    pub(super) fn of(&self, found: &Match) -> Vec<Value> {
        self.0.get(&(found.shard, found.segment)).map(|column| column.values(found.document)).unwrap_or_default()
    }
}

impl<'a> Columns<'a> {
    /// For these documents.
    pub(super) fn new(shards: &'a [Shard], matches: &'a [Match]) -> Self {
        Self { shards, matches, open: RefCell::default(), sequences: RefCell::default(), id_orders: RefCell::default() }
    }

    /// The indexes searched.
    pub(super) fn shards(&self) -> &'a [Shard] {
        self.shards
    }

    /// A column, with its strings.
    pub(super) fn values(&self, of: &Of) -> Result<Rc<Values>, Error> {
        if let Some(values) = self.open.borrow().get(of) {
            return Ok(Rc::clone(values));
        }
        let mut columns = HashMap::new();
        for (place, shard) in (0_u32..).zip(self.shards) {
            for (segment, reader) in (0_u32..).zip(shard.searcher.segment_readers()) {
                let mut column = match of {
                    Of::Id => Column::ids(reader)?,
                    Of::Field(path) => match shard.collection.mapping.column(path) {
                        Some((id, field)) => Column::open(reader, id, field)?,
                        None => Column::Absent,
                    },
                };
                let here = self.matches.iter().filter(|found| found.shard == place && found.segment == segment);
                column.prepare(here.map(|found| found.document))?;
                columns.insert((place, segment), column);
            }
        }
        let values = Rc::new(Values(columns));
        self.open.borrow_mut().insert(of.clone(), Rc::clone(&values));
        Ok(values)
    }

    /// The ids of some documents.
    pub(super) fn ids(&self, some: &[Match]) -> Result<Vec<Option<Value>>, Error> {
        let mut by_segment: HashMap<(u32, u32), Vec<DocId>> = HashMap::new();
        for found in some {
            by_segment.entry((found.shard, found.segment)).or_default().push(found.document);
        }
        let mut columns = HashMap::new();
        for ((shard, segment), documents) in by_segment {
            if let Some(reader) = self.reader(shard, segment) {
                let mut column = Column::ids(reader)?;
                column.prepare(documents.into_iter())?;
                columns.insert((shard, segment), column);
            }
        }
        let id = |found: &Match| {
            let column = columns.get(&(found.shard, found.segment))?;
            column.values(found.document).pop()
        };
        Ok(some.iter().map(id).collect())
    }

    /// The order of a document's id among those of its segment.
    pub(super) fn id_order(&self, found: &Match) -> Result<u64, Error> {
        let mut orders = self.id_orders.borrow_mut();
        let column = match orders.entry((found.shard, found.segment)) {
            Entry::Occupied(open) => Some(open.into_mut()),
            Entry::Vacant(place) => {
                let reader = self.reader(found.shard, found.segment);
                let column = reader.map(|reader| reader.fast_fields().str("id").map_err(failed)).transpose()?.flatten();
                column.map(|column| place.insert(column))
            }
        };
        Ok(column.and_then(|column| column.term_ords(found.document).next()).unwrap_or_default())
    }

    fn reader(&self, shard: u32, segment: u32) -> Option<&'a SegmentReader> {
        self.shards.get(shard as usize)?.searcher.segment_readers().get(segment as usize)
    }

    /// The document's place in the order of writing: what SQLite knows it by.
    pub(super) fn sequence(&self, found: &Match) -> Result<i64, Error> {
        let mut sequences = self.sequences.borrow_mut();
        let column = match sequences.entry((found.shard, found.segment)) {
            Entry::Occupied(open) => Some(open.into_mut()),
            Entry::Vacant(place) => {
                let reader = self.reader(found.shard, found.segment);
                let column = reader.map(|reader| reader.fast_fields().i64("seq").map_err(failed)).transpose()?;
                column.map(|column| place.insert(column))
            }
        };
        let sequence = column.and_then(|column| column.first(found.document));
        sequence.ok_or_else(|| failed(tantivy::TantivyError::InternalError("a document without sequence".to_owned())))
    }
}
