//! Writes that steps have put off: those that are alike leave as one statement.

use super::{cells::Bound, failure};
use crate::{
    error::Error,
    store::{Kept, Later},
};

/// The statements for these, each with its values. Alike ones come together, each row in its place; different ones write different tables, so
/// that their order does not matter. What changes rows leaves first: the next transaction of this process is under way already, may lock
/// them, and then wait for this one.
pub(super) fn statements(writes: &[Later]) -> Vec<(&'static str, Vec<Bound<'_>>)> {
    let mut alike: Vec<(&Later, Vec<&Later>)> = Vec::new();
    for write in writes {
        match alike.iter_mut().find(|(first, _)| first.sql == write.sql) {
            Some((_, all)) => all.push(write),
            None => alike.push((write, vec![write])),
        }
    }
    alike.sort_by_key(|(first, _)| !first.is_change());
    alike.into_iter().map(|(first, all)| statement(first, &all)).collect()
}

fn statement<'a>(first: &'a Later, all: &[&'a Later]) -> (&'static str, Vec<Bound<'a>>) {
    if let [only] = all {
        return (only.sql, only.values.iter().map(one).collect());
    }
    let column = |place| all.iter().filter_map(|write| write.values.get(place)).map(one).collect();
    (first.many, (0..first.values.len()).map(|place| Bound::Column(column(place))).collect())
}

fn one(value: &Kept) -> Bound<'_> {
    Bound::One(value.value())
}

/// Why a transaction was not committed, or may not have been.
#[derive(Debug)]
pub(super) struct Unsettled {
    /// What to say.
    pub error: Error,
    /// Nothing of it stands, so that it may be carried out again.
    pub is_taken_back: bool,
}

impl Unsettled {
    /// COMMIT was not sent.
    pub(super) fn before_commit(error: Error) -> Self {
        Self { error: failure::of(error), is_taken_back: true }
    }

    /// What came of COMMIT, and of what was sent along.
    pub(super) fn in_commit(error: Error) -> Self {
        let is_taken_back = error.code != crate::error::Code::OutcomeUnknown;
        Self { error: failure::of(error), is_taken_back }
    }
}
