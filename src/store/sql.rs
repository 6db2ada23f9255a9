//! Statements, in the words of both databases.

/// A statement. Its first line is a comment with its name. Values are `$1` and so on, in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sql {
    /// For PostgreSQL.
    pub postgres: &'static str,
    /// For SQLite; empty when there is nothing to do.
    pub sqlite: &'static str,
}

impl Sql {
    /// The same words for both.
    pub const fn both(text: &'static str) -> Self {
        Self { postgres: text, sqlite: text }
    }

    /// Locks rows, which only PostgreSQL has to: SQLite has one writer.
    pub const fn lock(postgres: &'static str) -> Self {
        Self { postgres, sqlite: "" }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.postgres.lines().next().unwrap_or_default().trim_start_matches("-- ")
    }
}

/// A statement of parts: texts that both understand, texts of macros in brackets, and in parentheses what each says in its own words:
///
/// - `(any 1)`: is one of the list `$1`.
/// - `(lock)`, `(lock "of r")`: FOR UPDATE, and nothing in SQLite, which has one writer.
/// - `(now)`: the database's own clock; in SQLite always later, because the caller has the same clock.
macro_rules! sql {
    ($($part:tt),+ $(,)?) => {
        $crate::store::sql::Sql {
            postgres: concat!($($crate::store::sql::part!(postgres $part)),+),
            sqlite: concat!($($crate::store::sql::part!(sqlite $part)),+),
        }
    };
}

/// One part of [`sql!`] for one database.
macro_rules! part {
    ($database:ident $text:literal) => {
        $text
    };
    ($database:ident [$($text:tt)+]) => {
        $($text)+
    };
    (postgres (any $place:literal)) => {
        concat!("= ANY($", $place, ")")
    };
    (sqlite (any $place:literal)) => {
        concat!("IN (SELECT value FROM json_each($", $place, "))")
    };
    (postgres (lock $($how:literal)?)) => {
        concat!(" FOR UPDATE", $(" ", $how)?)
    };
    (sqlite (lock $($how:literal)?)) => {
        ""
    };
    (postgres (now)) => {
        "clock_timestamp()"
    };
    (sqlite (now)) => {
        "9223372036854775807"
    };
}

pub(crate) use {part, sql};

#[cfg(test)]
mod tests {
    #[test]
    fn each_database_gets_its_own_words() {
        let sql = sql!("SELECT a FROM t WHERE b ", (any 12), " AND c <= ", (now), (lock "OF t SKIP LOCKED"));
        assert_eq!(
            (sql.postgres, sql.sqlite),
            (
                "SELECT a FROM t WHERE b = ANY($12) AND c <= clock_timestamp() FOR UPDATE OF t SKIP LOCKED",
                "SELECT a FROM t WHERE b IN (SELECT value FROM json_each($12)) AND c <= 9223372036854775807"
            )
        );
    }
}
