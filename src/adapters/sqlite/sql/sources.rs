//! The columns that a statement reads, and what follows from their types.

use rusqlite::{Connection, OptionalExtension};

use super::{declared, guard};
use crate::domain::sql::column_types::{BaseType, ColumnType};

/// Names and types of the columns that a statement reads.
pub(super) struct Sources(Vec<(String, Option<ColumnType>)>);

impl Sources {
    /// Of what was prepared on this thread since [`guard::taken`] was last called.
    pub(super) fn taken(connection: &Connection) -> rusqlite::Result<Self> {
        let read = guard::taken();
        let mut columns = Vec::new();
        let mut statement = connection.prepare_cached("SELECT type FROM pragma_table_xinfo(?1) WHERE name = ?2")?;
        for (table, column) in read {
            let declared: Option<String> = statement.query_row([&table, &column], |row| row.get(0)).optional()?;
            columns.extend(declared.map(|declared| (column, declared::read(&declared))));
        }
        Ok(Self(columns))
    }

    #[cfg(test)]
    pub(super) fn of(columns: Vec<(String, Option<ColumnType>)>) -> Self {
        Self(columns)
    }

    /// The type of a column, when every column of its name has it.
    pub(super) fn type_of(&self, name: &str) -> Option<&ColumnType> {
        let mut types = self.0.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, found)| found);
        let first = types.next()?;
        first.as_ref().filter(|_| types.all(|other| other == first))
    }

    /// The most digits after the point of the exact numbers read; none when there are none, or doubles beside them.
    pub(super) fn scale(&self) -> Option<u16> {
        let mut most = None;
        for found in self.0.iter().filter_map(|(_, found)| found.as_ref()).filter(|found| found.dimensions == 0) {
            match found.base {
                BaseType::Numeric(size) => most = most.max(Some(size.map_or(0, |(_, scale)| scale))),
                BaseType::Real | BaseType::DoublePrecision => return None,
                _ => {}
            }
        }
        most
    }
}
