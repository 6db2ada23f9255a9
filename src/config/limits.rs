//! Bounds of calls and answers.

use std::time::Duration;

use serde::Serialize;

use super::{
    setting::{Kind, Section, Setting, setting},
    values::Values,
};
use crate::{
    domain::json::{self, Json},
    error::{Code, Error},
};

const HOUR_MS: u64 = 3_600_000;

/// Its settings.
pub const SETTINGS: &[Setting] = &[
    setting(
        "CALLBOARD_DEFAULT_ROWS",
        Kind::Number { least: 1, most: 1_000_000 },
        Section::Limits,
        "200",
        "Rows in an answer, unless the caller asks for another number.",
    ),
    setting(
        "CALLBOARD_MAX_ROWS",
        Kind::Number { least: 1, most: 1_000_000 },
        Section::Limits,
        "10000",
        "Maximum number of rows in an answer (`max_rows`, `limit`).",
    ),
    setting(
        "CALLBOARD_DEFAULT_BYTES",
        Kind::Bytes { least: 256, most: 1 << 20 },
        Section::Limits,
        "24000",
        "Characters of an answer's rows, unless the caller asks for another number.",
    ),
    setting(
        "CALLBOARD_MAX_BYTES",
        Kind::Bytes { least: 256, most: 1 << 20 },
        Section::Limits,
        "1048576",
        "Maximum number of characters of an answer's rows (`max_bytes`).",
    ),
    setting(
        "CALLBOARD_CALL_TIMEOUT_MS",
        Kind::Duration { least: 100, most: HOUR_MS },
        Section::Limits,
        "25000",
        "Time for a whole call. Most clients give up after 60 s.",
    ),
    setting(
        "CALLBOARD_STATEMENT_TIMEOUT_MS",
        Kind::Duration { least: 1, most: HOUR_MS },
        Section::Limits,
        "20000",
        "Time for a statement or search in the backend, unless the caller sets `timeout_ms`.",
    ),
    setting(
        "CALLBOARD_LEASE_MS",
        Kind::Duration { least: 1_000, most: 24 * HOUR_MS },
        Section::Limits,
        "900000",
        "How long a claimed task stays with an agent that makes no call; then another can claim it.",
    ),
    setting(
        "CALLBOARD_MAX_DOCUMENTS",
        Kind::Number { least: 1, most: 1_000_000 },
        Section::Limits,
        "5000",
        "Documents in one call of index_documents.",
    ),
    setting(
        "CALLBOARD_MAX_LOAD_ROWS",
        Kind::Number { least: 1, most: 10_000_000 },
        Section::Limits,
        "100000",
        "Rows in one call of bulk_insert.",
    ),
    setting(
        "CALLBOARD_MAX_LOAD_BYTES",
        Kind::Bytes { least: 1_024, most: 1 << 30 },
        Section::Limits,
        "16777216",
        "Bytes in one call of bulk_insert.",
    ),
    setting(
        "CALLBOARD_MAX_ACTIVE_WORKFLOWS",
        Kind::Number { least: 1, most: 10_000_000 },
        Section::Limits,
        "10000",
        "Workflows that are open at once; nothing open is ever removed to make room.",
    ),
    setting(
        "CALLBOARD_MAX_WORKFLOW_TASKS",
        Kind::Number { least: 1, most: 100_000 },
        Section::Limits,
        "1000",
        "Tasks of one workflow.",
    ),
    setting(
        "CALLBOARD_MAX_DEPENDENCY_DEPTH",
        Kind::Number { least: 1, most: 100_000 },
        Section::Limits,
        "100",
        "Tasks in the longest chain of dependencies of a workflow.",
    ),
    setting(
        "CALLBOARD_MAX_PAYLOAD_BYTES",
        Kind::Bytes { least: 1_024, most: 16 << 20 },
        Section::Limits,
        "1048576",
        "One input, result, checkpoint, question or answer of a workflow or task.",
    ),
    setting(
        "CALLBOARD_MAX_CALLS",
        Kind::Number { least: 1, most: 10_000 },
        Section::Limits,
        "64",
        "Calls that run at once.",
    ),
    setting(
        "CALLBOARD_MAX_WAITING_CALLS",
        Kind::Number { least: 0, most: 100_000 },
        Section::Limits,
        "1024",
        "Calls waiting beyond those; more are answered `busy`.",
    ),
];

/// Bounds that callers can lower or raise up to a maximum.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Rows in an answer, unless the caller asks for another number.
    pub rows_default: usize,
    /// Rows of an answer at the most.
    pub rows_max: usize,
    /// Bytes of the bulky part of an answer when the caller says nothing.
    pub bytes_default: usize,
    /// The same at the most.
    pub bytes_max: usize,
    /// A whole call.
    pub call_time: Duration,
    /// A statement or search in the backend.
    pub statement_time: Duration,
    /// How long a claimed task stays its worker's without a call of that worker.
    pub lease_time: Duration,
    /// Rows in one call of bulk_insert.
    pub load_rows_max: usize,
    /// Bytes in one call of bulk_insert.
    pub load_bytes_max: usize,
    /// Documents in one call of index_documents.
    pub documents_max: usize,
    /// Workflows open at once.
    pub active_workflows_max: usize,
    /// Tasks of one workflow.
    pub workflow_tasks_max: usize,
    /// Tasks that wait for one another in a row.
    pub dependency_depth_max: usize,
    /// Bytes of one input, result, checkpoint or answer.
    pub payload_bytes_max: usize,
    /// Calls that run at once.
    pub calls_in_flight_max: usize,
    /// Calls waiting beyond those.
    pub calls_waiting_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rows_default: 200,
            rows_max: 10_000,
            bytes_default: 24_000,
            bytes_max: 1 << 20,
            call_time: Duration::from_secs(25),
            statement_time: Duration::from_secs(20),
            lease_time: Duration::from_secs(900),
            load_rows_max: 100_000,
            load_bytes_max: 16 << 20,
            documents_max: 5_000,
            active_workflows_max: 10_000,
            workflow_tasks_max: 1_000,
            dependency_depth_max: 100,
            payload_bytes_max: 1 << 20,
            calls_in_flight_max: 64,
            calls_waiting_max: 1_024,
        }
    }
}

impl Limits {
    pub(super) fn read(values: &Values<'_>) -> Result<Self, Error> {
        let default = Self::default();
        Ok(Self {
            rows_default: values.number("CALLBOARD_DEFAULT_ROWS", default.rows_default)?,
            rows_max: values.number("CALLBOARD_MAX_ROWS", default.rows_max)?,
            bytes_default: values.bytes("CALLBOARD_DEFAULT_BYTES", default.bytes_default)?,
            bytes_max: values.bytes("CALLBOARD_MAX_BYTES", default.bytes_max)?,
            call_time: values.duration("CALLBOARD_CALL_TIMEOUT_MS", default.call_time)?,
            statement_time: values.duration("CALLBOARD_STATEMENT_TIMEOUT_MS", default.statement_time)?,
            lease_time: values.duration("CALLBOARD_LEASE_MS", default.lease_time)?,
            load_rows_max: values.number("CALLBOARD_MAX_LOAD_ROWS", default.load_rows_max)?,
            load_bytes_max: values.bytes("CALLBOARD_MAX_LOAD_BYTES", default.load_bytes_max)?,
            documents_max: values.number("CALLBOARD_MAX_DOCUMENTS", default.documents_max)?,
            active_workflows_max: values.number("CALLBOARD_MAX_ACTIVE_WORKFLOWS", default.active_workflows_max)?,
            workflow_tasks_max: values.number("CALLBOARD_MAX_WORKFLOW_TASKS", default.workflow_tasks_max)?,
            dependency_depth_max: values.number("CALLBOARD_MAX_DEPENDENCY_DEPTH", default.dependency_depth_max)?,
            payload_bytes_max: values.bytes("CALLBOARD_MAX_PAYLOAD_BYTES", default.payload_bytes_max)?,
            calls_in_flight_max: values.number("CALLBOARD_MAX_CALLS", default.calls_in_flight_max)?,
            calls_waiting_max: values.number("CALLBOARD_MAX_WAITING_CALLS", default.calls_waiting_max)?,
        })
    }

    /// Every bound for get_server_info, named as its setting.
    pub fn json(&self) -> Json {
        #[derive(Serialize)]
        struct Named {
            default_rows: usize,
            max_rows: usize,
            default_bytes: usize,
            max_bytes: usize,
            call_timeout_ms: u128,
            statement_timeout_ms: u128,
            lease_ms: u128,
            max_documents: usize,
            max_load_rows: usize,
            max_load_bytes: usize,
            max_active_workflows: usize,
            max_workflow_tasks: usize,
            max_dependency_depth: usize,
            max_payload_bytes: usize,
            max_calls: usize,
            max_waiting_calls: usize,
        }
        json::of(&Named {
            default_rows: self.rows_default.min(self.rows_max),
            max_rows: self.rows_max,
            default_bytes: self.bytes_default.min(self.bytes_max),
            max_bytes: self.bytes_max,
            call_timeout_ms: self.call_time.as_millis(),
            statement_timeout_ms: self.statement_time.as_millis(),
            lease_ms: self.lease_time.as_millis(),
            max_documents: self.documents_max,
            max_load_rows: self.load_rows_max,
            max_load_bytes: self.load_bytes_max,
            max_active_workflows: self.active_workflows_max,
            max_workflow_tasks: self.workflow_tasks_max,
            max_dependency_depth: self.dependency_depth_max,
            max_payload_bytes: self.payload_bytes_max,
            max_calls: self.calls_in_flight_max,
            max_waiting_calls: self.calls_waiting_max,
        })
    }

    /// Rows to answer.
    ///
    /// # Errors
    /// `invalid` outside 1 to the maximum.
    pub fn rows(&self, requested: Option<u64>, argument: &'static str) -> Result<usize, Error> {
        in_range(requested, argument, self.rows_default.min(self.rows_max), self.rows_max)
    }

    /// Bytes to answer.
    ///
    /// # Errors
    /// `invalid` outside 1 to the maximum.
    pub fn bytes(&self, requested: Option<u64>) -> Result<usize, Error> {
        in_range(requested, "max_bytes", self.bytes_default.min(self.bytes_max), self.bytes_max)
    }

    /// Bytes of a list: those of any answer, and up to the most of one whose caller says how many rows it takes.
    pub fn listed_bytes(&self, rows_asked: Option<u64>) -> usize {
        if rows_asked.is_some() { self.bytes_max } else { self.bytes_default.min(self.bytes_max) }
    }

    /// Time for what is done in one call and names no time of its own: a second less than the call has, so that the reason arrives.
    pub fn work_time(&self) -> Duration {
        self.call_time.saturating_sub(Duration::from_secs(1)).max(self.call_time / 2)
    }

    /// Time for a statement.
    ///
    /// # Errors
    /// `invalid` outside 1 ms to [`Limits::work_time`].
    pub fn statement_time(&self, requested: Option<Duration>) -> Result<Duration, Error> {
        let most = self.work_time();
        let Some(requested) = requested else { return Ok(self.statement_time.min(most)) };
        if requested.is_zero() || requested > most {
            return Err(Error::invalid(
                "timeout_ms",
                format!("`timeout_ms` is {}; it takes 1 to {}", requested.as_millis(), most.as_millis()),
            ));
        }
        Ok(requested)
    }

    /// Whether a payload is small enough for a record.
    ///
    /// # Errors
    /// `limit` naming the bound.
    pub fn payload(&self, argument: &str, text: &str) -> Result<(), Error> {
        if text.len() <= self.payload_bytes_max {
            return Ok(());
        }
        Err(Error::new(
            Code::Limit,
            format!("`{argument}` holds {} bytes; it takes up to {}", text.len(), self.payload_bytes_max),
        )
        .argument(argument.to_owned())
        .hint("keep large things elsewhere and pass a reference; CALLBOARD_MAX_PAYLOAD_BYTES sets the bound"))
    }

    /// Whether rows can be loaded in one call.
    ///
    /// # Errors
    /// `limit` naming the bound, `invalid` for none at all.
    pub fn load(&self, rows: &[Json]) -> Result<(), Error> {
        if rows.is_empty() {
            return Err(Error::invalid("rows", "`rows` is empty; it takes at least one row"));
        }
        let bytes: usize = rows.iter().map(|row| row.get().len()).sum();
        if rows.len() > self.load_rows_max {
            return Err(Error::new(
                Code::Limit,
                format!("`rows` holds {} rows; one call takes up to {}", rows.len(), self.load_rows_max),
            )
            .argument("rows")
            .hint("split them over several calls"));
        }
        if bytes > self.load_bytes_max {
            return Err(Error::new(
                Code::Limit,
                format!("`rows` holds {bytes} bytes; one call takes up to {}", self.load_bytes_max),
            )
            .argument("rows")
            .hint("split them over several calls"));
        }
        Ok(())
    }
}

fn in_range(requested: Option<u64>, argument: &'static str, default: usize, most: usize) -> Result<usize, Error> {
    let Some(requested) = requested else { return Ok(default) };
    match usize::try_from(requested) {
        Ok(requested) if (1..=most).contains(&requested) => Ok(requested),
        _ => Err(Error::invalid(argument, format!("`{argument}` is {requested}; it takes 1 to {most}"))),
    }
}
