//! Several real servers on one record store, killed, stopped and with single messages late, while workers use locks, tasks and one agent's
//! version: what they were told must have an order. `CALLBOARD_TEST_HISTORY_SECONDS` sets how long, `CALLBOARD_TEST_SEED` the first seed.

mod order;
mod spans;
mod worker;

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use self::worker::{Told, Worker};
use crate::support::{postgres, proxy::Proxy, writers::Place};

/// Each with a server process of its own.
const WORKERS: usize = 6;

/// Numbers that look like chance, from a seed.
pub struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Below `most`.
    fn below(&mut self, most: u64) -> u64 {
        // Xorshift* (Vigna 2016).
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % most
    }
}

/// One time for all workers, in microseconds.
#[derive(Clone, Copy)]
pub struct Watch(Instant);

impl Watch {
    fn now(self) -> u64 {
        u64::try_from(self.0.elapsed().as_micros()).unwrap()
    }
}

/// The processes that can be stopped; a worker that ends its own takes it out first.
type Stoppable = Mutex<[Option<Pid>; WORKERS]>;

/// Stops one server after another for up to a second and a half, and lets it go on.
fn stop_some(stoppable: &Stoppable, over: &AtomicBool, mut chance: Chance) {
    while !over.load(Ordering::SeqCst) {
        let victim = usize::try_from(chance.below(WORKERS as u64)).unwrap();
        let signal = |signal| {
            if let Some(pid) = stoppable.lock().unwrap()[victim] {
                kill_process(pid, signal).unwrap();
            }
        };
        signal(Signal::STOP);
        std::thread::park_timeout(Duration::from_millis(chance.below(1_500)));
        signal(Signal::CONT);
        std::thread::park_timeout(Duration::from_millis(chance.below(1_000)));
    }
}

fn has_an_order(places: &[Place], seed: u64) {
    let seconds = std::env::var("CALLBOARD_TEST_HISTORY_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(25);
    let watch = Watch(Instant::now());
    let until = seconds * 1_000_000;
    worker::prepare(&places[0]);
    let (stoppable, over) = (Stoppable::default(), AtomicBool::new(false));
    let told: Vec<Told> = std::thread::scope(|scope| {
        let stopper = scope.spawn(|| stop_some(&stoppable, &over, Chance::new(seed)));
        let workers: Vec<_> = (0..WORKERS)
            .map(|number| {
                let (place, stoppable) = (&places[number % places.len()], &stoppable);
                let chance = Chance::new(seed + 1 + number as u64);
                scope.spawn(move || Worker::new(number, place, stoppable, watch, chance).work(until))
            })
            .collect();
        let told = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
        over.store(true, Ordering::SeqCst);
        stopper.join().unwrap();
        told
    });
    let words = format!("seed {seed}");
    spans::check_locks(&told, &words);
    spans::check_tasks(&told, &words);
    order::check_versions(&told, &words);
}

fn seed() -> u64 {
    std::env::var("CALLBOARD_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

#[test]
fn on_the_embedded_store() {
    has_an_order(&[Place::folder()], seed());
}

#[test]
fn on_postgresql() {
    let server = postgres::shared();
    let url = server.database();
    let proxies: Vec<Proxy> = (0..WORKERS).map(|_| Proxy::to(server.port)).collect();
    let places: Vec<Place> = proxies.iter().map(|proxy| Place::server(&url, Some(proxy.port()))).collect();
    for (number, proxy) in proxies.iter().enumerate() {
        proxy.delay(seed() + number as u64);
    }
    has_an_order(&places, seed());
}
