//! This process: where its data is, how it answers, what it logs.

use super::{
    setting::{Kind, Section, Setting, setting},
    value,
    values::Values,
};
use crate::error::Error;

/// What is logged when nothing is set: what an operator must know, and little more.
pub const LOG_DEFAULT: &str = "warn,callboard=info,rmcp=error";

/// Its settings.
pub const SETTINGS: &[Setting] = &[
    setting(
        "CALLBOARD_DATA_DIR",
        Kind::Path,
        Section::Process,
        "the platform's data directory for `callboard`",
        "Where the embedded stores and exports live.",
    )
    .flag("--data-dir"),
    setting(
        "CALLBOARD_CONFIG",
        Kind::Path,
        Section::Process,
        "",
        "A settings file, read before callboard.toml of the working directory and of the user's configuration directory.",
    ),
    setting(
        "CALLBOARD_ANSWERS",
        Kind::Choice(&["both", "text", "structured"]),
        Section::Process,
        "both",
        "`text` leaves out structuredContent and output schemas, `structured` shortens the text to a line.",
    ),
    setting("CALLBOARD_LOG", Kind::LogFilter, Section::Process, LOG_DEFAULT, "What is logged to stderr."),
];

/// How the two copies of an answer are shaped (`CALLBOARD_ANSWERS`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Answers {
    /// JSON text and structuredContent.
    #[default]
    Both,
    /// JSON text only; no output schemas.
    Text,
    /// structuredContent, and one line of text.
    Structured,
}

impl Answers {
    pub(super) fn read(values: &Values<'_>) -> Result<Self, Error> {
        let name = "CALLBOARD_ANSWERS";
        let Some(text) = values.text(name) else { return Ok(Self::default()) };
        Ok(match value::choice(name, text, &["both", "text", "structured"])? {
            "text" => Self::Text,
            "structured" => Self::Structured,
            _ => Self::Both,
        })
    }
}
