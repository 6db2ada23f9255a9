//! Bounds of calls and answers.

use std::time::Duration;

use crate::{
    domain::json::Json,
    error::{Code, Error},
};

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
    /// Rows to answer.
    ///
    /// # Errors
    /// `invalid` outside 1 to the maximum.
    pub fn rows(&self, asked: Option<u64>, argument: &'static str) -> Result<usize, Error> {
        within(asked, argument, self.rows_default.min(self.rows_max), self.rows_max)
    }

    /// Bytes to answer.
    ///
    /// # Errors
    /// `invalid` outside 1 to the maximum.
    pub fn bytes(&self, asked: Option<u64>) -> Result<usize, Error> {
        within(asked, "max_bytes", self.bytes_default.min(self.bytes_max), self.bytes_max)
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
    pub fn statement_time(&self, asked: Option<Duration>) -> Result<Duration, Error> {
        let most = self.work_time();
        let Some(asked) = asked else { return Ok(self.statement_time.min(most)) };
        if asked.is_zero() || asked > most {
            return Err(Error::invalid(
                "timeout_ms",
                format!("`timeout_ms` is {}; it takes 1 to {}", asked.as_millis(), most.as_millis()),
            ));
        }
        Ok(asked)
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

fn within(asked: Option<u64>, argument: &'static str, default: usize, most: usize) -> Result<usize, Error> {
    let Some(asked) = asked else { return Ok(default) };
    match usize::try_from(asked) {
        Ok(asked) if (1..=most).contains(&asked) => Ok(asked),
        _ => Err(Error::invalid(argument, format!("`{argument}` is {asked}; it takes 1 to {most}"))),
    }
}
