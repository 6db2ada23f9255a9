//! The real binary is killed while 16 agents work through it, again and again: what was acknowledged is there, nothing is half done, and what
//! was not acknowledged has exactly one effect when it is repeated. `CALLBOARD_TEST_CRASHES` sets how often.

use rustix::process::Signal;

use crate::support::{
    chance::Chance,
    postgres,
    writers::{Place, Writers},
};

/// The server is killed after fewer answers than this.
const ANSWERS: u64 = 48;

fn survives(place: &Place, seed: u64) {
    let crashes = std::env::var("CALLBOARD_TEST_CRASHES").ok().and_then(|text| text.parse().ok()).unwrap_or(50);
    let (mut writers, mut moments) = (Writers::new(16), Chance::new(seed));
    for crash in 0..crashes {
        let mut server = place.serve();
        writers.repeat(&mut server);
        if crash % 5 == 4 {
            // All that was under way has had its one effect.
            writers.settle(&mut server);
            writers.compare(place);
        }
        writers.work(&mut server, usize::try_from(moments.below(ANSWERS)).unwrap());
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
    survives(&Place::folder(), 1);
}

#[test]
fn postgresql_survives_its_client() {
    survives(&Place::server(&postgres::shared().database(), None), 2);
}
