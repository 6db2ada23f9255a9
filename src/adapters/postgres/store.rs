//! The record store in PostgreSQL: the schema `callboard`, which several processes share.

mod cells;
mod failure;
mod fit;
mod listen;
mod migrations;
mod session;
mod status;
mod writer;

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::BoxFuture};
use secrecy::ExposeSecret;
use tokio::sync::Semaphore;
use tokio_postgres::Config;

pub use self::fit::Fit;
use self::{
    failure::Fault,
    listen::Hearing,
    session::{PostgresSession, STATEMENT_TIME},
    writer::Writer,
};
use super::{
    address::Address,
    pool::{Habits, Pool, Work, Writes},
    tls::Tls,
};
use crate::{
    adapters::store_clock::{Measurement, StoreClock},
    background::Background,
    changes::Changes,
    clock::{Clock, SystemClock},
    config::{DatabaseConfig, Migrate},
    domain::ops::{BackendStatus, Migration},
    error::{Code, Error, Place},
    store::{Backend, Step},
};

/// Of every transaction: unqualified names are ours and nobody's temporary ones, what is answered is on disk whatever the server is set to, and a
/// process that was halted in the middle holds nobody up for as long as others wait for a lock.
const HABITS: Habits = Habits {
    reading: "ISOLATION LEVEL REPEATABLE READ READ ONLY",
    writing: "ISOLATION LEVEL READ COMMITTED READ WRITE",
    conditions: "CASE WHEN pg_catalog.current_setting('synchronous_commit') = 'off' \
     THEN pg_catalog.set_config('synchronous_commit', 'on', true) END",
    settings: &[
        ("search_path", "callboard, pg_temp"),
        ("idle_in_transaction_session_timeout", "2s"),
        ("standard_conforming_strings", "on"),
    ],
    // Transitions look up few rows by an index, always. PostgreSQL would plan those with lists anew each time, which takes longer than they
    // do, and would read a table from end to end that it takes for empty.
    writing_commands: ";SET LOCAL plan_cache_mode = force_generic_plan;SET LOCAL enable_seqscan = off",
    keeps_out: false,
};
/// Reads at once; the other connections are for writing.
const READS_MAX: usize = 6;
/// Between two measurements of the server's clock.
const CLOCK_RESYNC_INTERVAL: Duration = Duration::from_secs(30);
/// Questions of one measurement.
const MEASUREMENTS: usize = 3;

/// The record store of a PostgreSQL server. Reached, and brought up to date, when first used.
pub struct RecordServer {
    shared: Arc<Shared>,
    writer: Writer,
    reads: Semaphore,
    listens: AtomicBool,
}

/// What the parts of it share.
struct Shared {
    pool: Pool,
    /// For the connection that listens.
    config: Config,
    tls: Tls,
    background: Background,
    changes: Arc<Changes>,
    clock: Arc<StoreClock>,
    hearing: Hearing,
    migrate: Migrate,
    made: AtomicBool,
    making: tokio::sync::Mutex<()>,
    measured: Mutex<Option<Instant>>,
}

impl RecordServer {
    /// Connects when first used. `clock` is set to the server's time; `changes` is told what changes there.
    ///
    /// # Errors
    /// When the URL cannot be read.
    pub fn new(
        settings: &DatabaseConfig,
        migrate: Migrate,
        clock: Arc<StoreClock>,
        changes: Arc<Changes>,
        background: Background,
    ) -> Result<Self, Error> {
        let address: Address = settings.url.expose_secret().parse()?;
        let (config, tls) = (address.config.clone(), address.tls.clone());
        let shared = Arc::new(Shared {
            pool: Pool::with(address, background.clone(), HABITS)?,
            config,
            tls,
            background,
            changes,
            clock,
            hearing: Hearing::new(),
            migrate,
            made: AtomicBool::new(false),
            making: tokio::sync::Mutex::default(),
            measured: Mutex::default(),
        });
        let writer = Writer::new(Arc::clone(&shared));
        Ok(Self { shared, writer, reads: Semaphore::new(READS_MAX), listens: AtomicBool::new(false) })
    }

    /// The version the store has and the one it gets; changes nothing when `dry_run`.
    ///
    /// # Errors
    /// When the server cannot be reached, or a newer server has written the store.
    pub async fn migrate(&self, dry_run: bool) -> Result<Migration, Error> {
        let version_found = migrations::found(&self.shared.pool).await?;
        if !dry_run {
            migrations::apply(&self.shared.pool, Migrate::Auto).await?;
        }
        Ok(Migration { place: "the schema `callboard`".to_owned(), version_found, version_newest: migrations::NEWEST })
    }

    /// Whether records are to be kept here when nothing says so.
    ///
    /// # Errors
    /// `unavailable` when the server cannot be asked.
    pub async fn fit(&self) -> Result<Fit, Error> {
        self.shared.pool.read(STATEMENT_TIME, &(), |work, ()| fit::fit(work).boxed()).await.map_err(failure::of)
    }

    /// Whoever waits is woken from the first use on.
    fn listen(&self) {
        if !self.listens.swap(true, Ordering::Relaxed) {
            self.shared.background.spawn(listen::run(Arc::clone(&self.shared)));
        }
    }
}

impl Shared {
    /// The tables are there, and the clock is right.
    async fn ready(&self) -> Result<(), Error> {
        if !self.made.load(Ordering::Acquire) {
            let _one = self.making.lock().await;
            if !self.made.load(Ordering::Acquire) {
                migrations::apply(&self.pool, self.migrate).await?;
                self.made.store(true, Ordering::Release);
            }
        }
        self.measure().await
    }

    /// They have gone: somebody put another database in its place.
    fn unmade(&self) {
        self.made.store(false, Ordering::Release);
    }

    /// Sets the clock now and then.
    async fn measure(&self) -> Result<(), Error> {
        {
            let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
            if measured.is_some_and(|at| at.elapsed() < CLOCK_RESYNC_INTERVAL) {
                return Ok(());
            }
            *measured = Some(Instant::now());
        }
        let measured = self.pool.read(STATEMENT_TIME, &(), |work, ()| measurements(work).boxed()).await;
        match measured {
            Ok(measurements) => {
                measurements.into_iter().for_each(|measurement| self.clock.measured(measurement));
                Ok(())
            }
            Err(error) => {
                *self.measured.lock().unwrap_or_else(PoisonError::into_inner) = None;
                Err(failure::of(error))
            }
        }
    }
}

/// Asks the server for its time, several times: one of the answers will not have been held up.
async fn measurements(work: &Work) -> Result<Vec<Measurement>, Error> {
    let sql = "-- clock\nSELECT (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::pg_catalog.int8";
    let mut measurements = Vec::with_capacity(MEASUREMENTS);
    for _ in 0..MEASUREMENTS {
        let (asked, began) = (SystemClock.now(), Instant::now());
        let row = work.query_typed_one(sql, &[]).await.map_err(super::failure::meaning)?;
        let round_trip = began.elapsed();
        let theirs: i64 = row.try_get(0).map_err(super::failure::meaning)?;
        measurements.push(Measurement { differs_by: theirs - asked.after(round_trip / 2).0, round_trip });
    }
    Ok(measurements)
}

/// A step that only reads, and why it failed.
struct Reading {
    step: Box<dyn Step>,
    failed: Option<(Option<Fault>, Error)>,
}

/// Runs a step that only reads. The error is that of the connection.
fn read<'a>(work: &'a Work, reading: &'a tokio::sync::Mutex<Reading>) -> BoxFuture<'a, Result<(), Error>> {
    Box::pin(async move {
        let session = PostgresSession::new(work);
        let Reading { step, failed } = &mut *reading.lock().await;
        let ran = AssertUnwindSafe(step.run(&session)).catch_unwind().await;
        let outcome = ran.unwrap_or_else(|_panic| Err(Error::new(Code::Internal, "a read failed unexpectedly")));
        let fault = session.fault();
        let of_connection = match (&outcome, fault) {
            (Err(error), Some(Fault::Mixed | Fault::Parted | Fault::Silent)) => {
                let place = Place { backend_code: error.place.backend_code.clone(), ..Place::default() };
                Err(Error::new(Code::Unavailable, "the connection broke").place(place))
            }
            _ => Ok(()),
        };
        *failed = outcome.err().map(|error| (fault, error));
        of_connection
    })
}

#[async_trait::async_trait]
impl Backend for RecordServer {
    async fn submit(&self, step: Box<dyn Step>) -> Result<(), Error> {
        self.listen();
        self.writer.submit(step)
    }

    async fn read(&self, step: Box<dyn Step>) -> Result<(), Error> {
        self.listen();
        let _place = self.reads.acquire().await;
        self.shared.ready().await?;
        let reading = tokio::sync::Mutex::new(Reading { step, failed: None });
        let open = || self.shared.pool.open(Writes::No, STATEMENT_TIME, &reading, read);
        let opened = match open().await {
            // It broke in the middle: another connection may be better.
            Err(_) if matches!(reading.lock().await.failed, Some((Some(Fault::Parted), _))) => open().await,
            other => other,
        };
        let Reading { step, failed } = reading.into_inner();
        match (opened, failed) {
            (Err(error), None) => return Err(failure::of(error)),
            (Err(_), Some((_, error))) => return Err(error),
            (Ok((work, ())), failed) => {
                work.rollback();
                if matches!(failed, Some((Some(Fault::Unmade), _))) {
                    self.shared.unmade();
                }
                step.answer(failed.map(|(_, error)| error));
            }
        }
        Ok(())
    }

    fn changes(&self) -> &Arc<Changes> {
        &self.shared.changes
    }

    async fn status(&self) -> BackendStatus {
        status::status(&self.shared).await
    }
}
