//! One worker: what it asks for, and what it was told.

use rustix::process::{Pid, Signal};
use serde_json::{Value, json};

use super::{Chance, Stoppable, Watch};
use crate::support::{binary::Binary, writers::Place};

/// Locks that the workers take from each other.
const RESOURCES: u64 = 3;
/// Agents whose version they change.
const REGISTERS: u64 = 2;
/// Time to live of locks, in ms.
const TTL_MS: u64 = 1_000;
/// Of tasks, when their agent makes no call.
pub const LEASE_MS: u64 = 1_000;
/// One call in so many is cut off by the end of its server.
const KILLS: u64 = 150;

/// A call, from when to when, and what it did. Times in microseconds.
#[derive(Debug)]
pub struct Told {
    pub worker: usize,
    pub from: u64,
    /// None: nobody knows whether it had an effect.
    pub to: Option<u64>,
    pub what: What,
}

#[derive(Debug)]
pub enum What {
    /// Taken, or kept for longer.
    Lock {
        resource: u64,
        fence: i64,
        ttl: u64,
        expires_at: String,
    },
    /// Given back, or about to be.
    Unlock {
        resource: u64,
        fence: i64,
    },
    Claim {
        task: String,
        attempt: i64,
    },
    /// Whether it was accepted.
    Finish {
        task: String,
        attempt: i64,
    },
    /// Of a register: from the version `expected` to the one after it.
    Change {
        register: u64,
        expected: i64,
    },
    /// It is at `version`, not at `expected`.
    Conflict {
        register: u64,
        expected: i64,
        version: i64,
    },
    /// The worker's server is gone, with everything it held.
    Gone,
}

/// What all workers share.
pub fn prepare(place: &Place) {
    let mut server = place.serve();
    for register in 0..REGISTERS {
        server.answer("register_agent", &json!({"role": "r", "agent_id": format!("register{register}")}).to_string());
    }
}

pub struct Worker<'w> {
    number: usize,
    place: &'w Place,
    stoppable: &'w Stoppable,
    watch: Watch,
    chance: Chance,
    server: Binary,
    told: Vec<Told>,
    versions: [i64; REGISTERS as usize],
}

/// What a call was answered.
enum Answer {
    Given(Value),
    Refused(Value),
    /// Its server was killed.
    Lost,
}

impl<'w> Worker<'w> {
    pub fn new(number: usize, place: &'w Place, stoppable: &'w Stoppable, watch: Watch, chance: Chance) -> Self {
        let server = serve(number, place, stoppable);
        Self { number, place, stoppable, watch, chance, server, told: Vec::new(), versions: [1; REGISTERS as usize] }
    }

    /// Until this time; what it was told.
    pub fn work(mut self, until: u64) -> Vec<Told> {
        while self.watch.now() < until {
            match self.chance.below(4) {
                0 => self.lock(),
                1 => self.task(),
                _ => self.change(),
            }
        }
        self.stoppable.lock().unwrap()[self.number] = None;
        self.told
    }

    fn call(&mut self, tool: &str, arguments: &Value) -> (u64, Answer) {
        let killed = self.chance.below(KILLS) == 0;
        let from = self.watch.now();
        let id = json!("call");
        let params = json!({"name": tool, "arguments": arguments});
        self.server.send(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}).to_string());
        if killed {
            std::thread::park_timeout(std::time::Duration::from_micros(self.chance.below(4_000)));
            self.note(self.watch.now(), Some(self.watch.now()), What::Gone);
            self.stoppable.lock().unwrap()[self.number] = None;
            self.server.signal(Signal::KILL);
            self.server.wait();
            self.server = serve(self.number, self.place, self.stoppable);
            return (from, Answer::Lost);
        }
        let result = self.server.answer_to(&id)["result"].take();
        let answer = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
        (from, if result["isError"] == true { Answer::Refused(answer) } else { Answer::Given(answer) })
    }

    fn note(&mut self, from: u64, to: Option<u64>, what: What) {
        self.told.push(Told { worker: self.number, from, to, what });
    }

    /// Takes a lock, perhaps keeps it for longer, and perhaps gives it back.
    fn lock(&mut self) {
        let resource = self.chance.below(RESOURCES);
        let name = format!("resource{resource}");
        // A name of its own each time: nobody is taken for the holder from before.
        let agent = format!("holder{}-{}", self.number, self.told.len());
        let ask = json!({"action": "acquire", "resource": name, "ttl_ms": TTL_MS, "agent_id": agent,
                         "wait_ms": self.chance.below(2) * 500});
        let (from, Answer::Given(lock)) = self.call("manage_lock", &ask) else { return };
        if lock["acquired"] != true {
            return;
        }
        let fence = lock["fence"].as_i64().unwrap();
        let held = |expires_at: &Value| What::Lock {
            resource,
            fence,
            ttl: TTL_MS * 1_000,
            expires_at: expires_at.as_str().unwrap().to_owned(),
        };
        self.note(from, Some(self.watch.now()), held(&lock["expires_at"]));
        let token = &lock["token"];
        for _ in 0..self.chance.below(3) {
            let renew = json!({"action": "renew", "resource": name, "ttl_ms": TTL_MS, "token": token});
            match self.call("manage_lock", &renew) {
                (from, Answer::Given(renewed)) => {
                    self.note(from, Some(self.watch.now()), held(&renewed["expires_at"]));
                }
                _ => return,
            }
        }
        if self.chance.below(3) > 0 {
            // From the moment it is asked for.
            let from = self.watch.now();
            self.note(from, Some(from), What::Unlock { resource, fence });
            self.call("manage_lock", &json!({"action": "release", "resource": name, "token": token}));
        }
    }

    /// Claims a task and finishes it, or lets its lease end.
    fn task(&mut self) {
        if self.chance.below(2) == 0 {
            self.call("enqueue_tasks", &json!({"tasks": [{"max_attempts": 100}, {"max_attempts": 100}]}));
        }
        let agent = format!("agent{}-{}", self.number, self.told.len());
        let (from, Answer::Given(claimed)) = self.call("claim_tasks", &json!({"agent_id": agent})) else { return };
        let Some(task) = claimed["tasks"].get(0) else { return };
        let (id, attempt) = (task["task_id"].as_str().unwrap().to_owned(), task["attempt"].as_i64().unwrap());
        self.note(from, Some(self.watch.now()), What::Claim { task: id.clone(), attempt });
        if self.chance.below(4) == 0 {
            return;
        }
        let finish = json!({"lease_token": task["lease_token"], "outcome": "completed"});
        let (from, to) = match self.call("finish_task", &finish) {
            (from, Answer::Given(_)) => (from, Some(self.watch.now())),
            (from, Answer::Lost) => (from, None),
            (from, Answer::Refused(refused)) if refused["code"] == "outcome_unknown" => (from, None),
            _ => return,
        };
        self.note(from, to, What::Finish { task: id, attempt });
    }

    /// Changes an agent, if it is as this worker knows it.
    fn change(&mut self) {
        let register = self.chance.below(REGISTERS);
        let expected = self.versions[register as usize];
        let ask = json!({"agent_id": format!("register{register}"), "expected_version": expected,
                         "metadata": {"by": format!("{}-{}", self.number, self.told.len())}});
        let (from, answer) = self.call("update_agent", &ask);
        let to = self.watch.now();
        match answer {
            Answer::Given(changed) => {
                assert_eq!(changed["version"], expected + 1, "{changed}");
                self.versions[register as usize] = expected + 1;
                self.note(from, Some(to), What::Change { register, expected });
            }
            Answer::Refused(refused) if refused["code"] == "conflict" => {
                let version = refused["current"]["version"].as_i64().unwrap();
                self.versions[register as usize] = version;
                self.note(from, Some(to), What::Conflict { register, expected, version });
            }
            Answer::Refused(_) | Answer::Lost => self.note(from, None, What::Change { register, expected }),
        }
    }
}

fn serve(number: usize, place: &Place, stoppable: &Stoppable) -> Binary {
    let server = place.serve_with(&[("CALLBOARD_LEASE_MS", LEASE_MS.to_string())]);
    stoppable.lock().unwrap()[number] = Some(Pid::from_child(&server.child));
    server
}
