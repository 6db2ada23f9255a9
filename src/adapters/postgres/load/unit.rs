//! Rows of one load that name the same columns: they are written together.

/// Rows that name the same columns.
pub(super) struct Unit {
    /// Places in the table's columns, ascending.
    pub(super) columns: Vec<usize>,
    /// Places in the rows given.
    pub(super) positions: Vec<usize>,
    /// The rows, ready to send.
    pub(super) body: Body,
}

/// The two ways to send rows.
pub(super) enum Body {
    /// A JSON array without its closing bracket.
    Json(String),
    /// What of a COPY stream has not left yet, without its end.
    Binary(Vec<u8>),
}
