//! What the parts of one search share: the snapshot, the indexes searched, and what was compiled and opened for them.

use std::{collections::HashMap, sync::Arc};

use super::{
    derived::Shard,
    highlight::Highlight,
    matched::{self, Columns, Match},
    node::Node,
    query::Compiler,
    source,
    store::Snapshot,
};
use crate::{
    adapters::sqlite::call::Call,
    domain::search::Hit,
    error::{Code, Error},
};

/// Names of the queries that matched, by the place of the document.
pub(super) type Names = HashMap<(u32, u32, u32), Vec<String>>;

/// What the parts of one search share.
pub(super) struct View<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) shards: &'a [Shard],
    pub(super) columns: &'a Columns<'a>,
    pub(super) compilers: &'a [Compiler<'a>],
    pub(super) now: i64,
}

impl View<'_> {
    /// A hit with its document.
    pub(super) fn hit(&self, found: &Match, fields: &[String], highlight: Option<&Highlight>) -> Result<Hit, Error> {
        let (Some(shard), Some(compiler)) =
            (self.shards.get(found.shard as usize), self.compilers.get(found.shard as usize))
        else {
            return Err(Error::new(Code::Internal, "a hit outside of the indexes searched"));
        };
        let row = self.snapshot.by_seq(shard.collection.id, self.columns.sequence(found)?)?;
        let marked = highlight.and_then(|highlight| {
            highlight.of(&Node::read(&row.source).ok()?, &shard.collection.mapping, &compiler.marks())
        });
        Ok(Hit {
            id: row.id,
            index: shard.collection.name.clone(),
            score: None,
            document: source::filtered(row.source, fields),
            highlight: marked,
            inner_hits: None,
            matched_queries: None,
            sort: None,
        })
    }

    /// The names of the clauses that find each of these hits.
    pub(super) fn names(&self, page: Vec<Match>, call: &Arc<Call>) -> Result<Names, Error> {
        let mut all = HashMap::new();
        for (number, (shard, compiler)) in (0_u32..).zip(self.shards.iter().zip(self.compilers)) {
            let names = matched::names(shard, number, &compiler.named(), &page, call)?;
            all.extend(names.into_iter().map(|((segment, document), names)| ((number, segment, document), names)));
        }
        Ok(all)
    }
}
