//! The real binary is killed while 16 agents work through it, again and again: what was acknowledged is there, nothing is half done, and what
//! was not acknowledged has exactly one effect when it is repeated. `CALLBOARD_TEST_CRASHES` sets how often.

use rustix::process::Signal;

use crate::support::{
    postgres,
    writers::{Place, Writers},
};

/// Answers after which the server is killed, from a fixed seed.
struct Moments(u64);

impl Moments {
    fn next(&mut self) -> usize {
        // Xorshift (Marsaglia 2003).
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % 48).unwrap()
    }
}

fn survives(place: &Place, seed: u64) {
    let crashes = std::env::var("CALLBOARD_TEST_CRASHES").ok().and_then(|text| text.parse().ok()).unwrap_or(50);
    let (mut writers, mut moments) = (Writers::new(16), Moments(seed));
    for crash in 0..crashes {
        let mut server = place.serve();
        writers.repeat(&mut server);
        if crash % 5 == 4 {
            // All that was under way has had its one effect.
            writers.settle(&mut server);
            writers.compare(place);
        }
        writers.work(&mut server, moments.next());
        server.signal(Signal::KILL);
        server.wait();
        writers.last_words(&server.rest_of_killed());
        if crash % 5 == 0 {
            writers.compare(place);
        }
    }
    let mut server = place.serve();
    writers.repeat(&mut server);
    writers.settle(&mut server);
    writers.compare(place);
    assert!(writers.completed.len() > crashes, "{} tasks were done", writers.completed.len());
}

#[test]
fn the_embedded_store_survives_its_server() {
    survives(&Place::folder(), 0x9e37_79b9_7f4a_7c15);
}

#[test]
fn postgresql_survives_its_client() {
    survives(&Place::server(&postgres::shared().database(), None), 0xd1b5_4a32_d192_ed03);
}
