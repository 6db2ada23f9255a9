//! Whether what several servers answer could have been answered by one that does one thing at a time, whoever of them is killed or stopped and
//! however late messages are: locks, claims of tasks, and changes that name the version they know.
//!
//! `CALLBOARD_TEST_HISTORY_SECONDS` and `CALLBOARD_TEST_HISTORY_SEED` make it longer and choose what happens.

mod models;
mod search;

use std::{
    collections::BTreeMap,
    sync::Mutex,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use callboard::clock;
use rustix::process::Signal;
use serde_json::{Value, json};

use self::{
    models::{Lock, Locks, Task, Tasks, Version, Versions},
    search::{Model, Op, order},
};
use crate::support::{binary::Binary, chance::Chance, postgres, proxy::Proxy, writers::Place};

/// Servers at a time.
const SERVERS: u64 = 4;
const RESOURCES: u64 = 3;
const VERSIONED: usize = 2;
/// Tasks that are there from the beginning: as many as one call takes.
const TASKS: usize = 100;

/// How long it goes on.
fn time() -> Duration {
    let asked = std::env::var("CALLBOARD_TEST_HISTORY_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(asked.unwrap_or(12))
}

fn seed() -> u64 {
    let asked = std::env::var("CALLBOARD_TEST_HISTORY_SEED").ok().and_then(|seed| seed.parse().ok());
    asked.unwrap_or_else(|| u64::try_from(now()).unwrap())
}

/// Microseconds since 1970.
fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

/// Everything that was seen, by what it was seen of.
#[derive(Default)]
struct History {
    locks: BTreeMap<String, Vec<Op<Lock>>>,
    tasks: BTreeMap<String, Vec<Op<Task>>>,
    versions: BTreeMap<String, Vec<Op<Version>>>,
    /// Of any task.
    claims_unknown: Vec<Op<Task>>,
    gone: Vec<(String, i64)>,
}

/// What came of a call.
enum Came {
    Answer(Value),
    /// It had no effect: its code, and what stands.
    Refusal(String, Value),
    Unknown,
}

/// One client, its server, and what it holds.
struct Client<'a> {
    place: &'a Place,
    server: Binary,
    /// Also the agent.
    name: String,
    lives: u64,
    number: u64,
    chance: Chance,
    calls: i64,
    locks: BTreeMap<String, (String, i64)>,
    task: Option<(String, i64, Value)>,
    history: &'a Mutex<History>,
}

impl<'a> Client<'a> {
    fn new(place: &'a Place, number: u64, seed: u64, history: &'a Mutex<History>) -> Self {
        Self {
            place,
            server: place.serve(),
            name: format!("a{number}-0"),
            lives: 0,
            number,
            chance: Chance::new(seed ^ (number + 1)),
            calls: 0,
            locks: BTreeMap::new(),
            task: None,
            history,
        }
    }

    /// Calls; sometimes the server is killed or stopped in the middle.
    fn call(&mut self, tool: &str, arguments: Value) -> (i64, i64, Came) {
        self.calls += 1;
        let id = json!(self.calls);
        let call = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": arguments}});
        let began = now();
        self.server.send(&call.to_string());
        let message = match self.chance.below(1_000) {
            0..10 => {
                self.pause(10_000);
                let came = self.killed(&id);
                return (began, now(), came);
            }
            10..20 => {
                self.pause(5_000);
                self.server.signal(Signal::STOP);
                self.pause(2_500_000);
                self.server.signal(Signal::CONT);
                self.server.answer_to(&id)
            }
            _ => self.server.answer_to(&id),
        };
        (began, now(), came(&message))
    }

    fn pause(&mut self, micros_max: u64) {
        std::thread::sleep(Duration::from_micros(self.chance.below(micros_max)));
    }

    /// The server ends at once; another one takes its place, with another agent.
    fn killed(&mut self, id: &Value) -> Came {
        // The others may see it at once.
        let at = now();
        self.server.signal(Signal::KILL);
        self.server.wait();
        let said = self.server.rest_of_killed();
        let answer = said.iter().find(|message| message["id"] == *id).map_or(Came::Unknown, came);
        self.history.lock().unwrap().gone.push((self.name.clone(), at));
        self.lives += 1;
        self.name = format!("a{}-{}", self.number, self.lives);
        self.server = self.place.serve();
        self.locks.clear();
        self.task = None;
        answer
    }

    fn lock(&mut self) {
        let resource = format!("r{}", self.chance.below(RESOURCES));
        let (by, ttl_ms) = (self.name.clone(), 1_000 + self.chance.below(2_000));
        let held = self.locks.get(&resource).cloned();
        let (action, token) = match &held {
            None => ("acquire", Value::Null),
            Some((token, _)) => (if self.chance.below(2) == 0 { "renew" } else { "release" }, json!(token)),
        };
        let asked = json!({"action": action, "resource": resource, "agent_id": by, "ttl_ms": ttl_ms, "token": token});
        let (began, ended, came) = self.call("manage_lock", asked);
        // Killed, it holds nothing any more.
        let lives = self.name == by;
        let fence = held.as_ref().map(|(_, fence)| *fence);
        let until = |answer: &Value| clock::Instant::parse(answer["expires_at"].as_str().unwrap()).unwrap().0;
        let what = match (came, fence) {
            (Came::Answer(answer), None) if answer["acquired"] == true => {
                let (fence, token) = (answer["fence"].as_i64().unwrap(), answer["token"].as_str().unwrap().to_owned());
                if lives {
                    self.locks.insert(resource.clone(), (token, fence));
                }
                Lock::Taken { by, fence, until: until(&answer) }
            }
            (Came::Answer(answer), None) => Lock::Held { by: answer["holder"].as_str().unwrap().to_owned() },
            (Came::Answer(answer), Some(fence)) if action == "renew" => Lock::Renewed { fence, until: until(&answer) },
            (Came::Answer(_), Some(fence)) => {
                self.locks.remove(&resource);
                Lock::Released { fence }
            }
            (Came::Refusal(code, _), Some(fence)) if code == "lease_lost" => {
                self.locks.remove(&resource);
                Lock::Lost { fence }
            }
            (Came::Refusal(..), _) => return,
            (Came::Unknown, None) => Lock::Wanted { by },
            (Came::Unknown, Some(_)) if action == "renew" => return,
            (Came::Unknown, Some(fence)) => {
                self.locks.remove(&resource);
                Lock::Returned { fence }
            }
        };
        let ended = (!matches!(what, Lock::Wanted { .. } | Lock::Returned { .. })).then_some(ended);
        self.history.lock().unwrap().locks.entry(resource).or_default().push(Op { began, ended, what });
    }

    fn work(&mut self) {
        let Some((task_id, fence, token)) = self.task.take() else { return self.claim() };
        let completed = self.chance.below(4) == 0;
        let outcome = if completed { "completed" } else { "released" };
        let by = self.name.clone();
        let (began, ended, came) = self.call("finish_task", json!({"lease_token": token, "outcome": outcome}));
        let what = match came {
            Came::Answer(_) => Task::Ended { fence, completed },
            Came::Refusal(code, _) if code == "lease_lost" => Task::Lost { fence, completed },
            Came::Refusal(..) => {
                self.task = Some((task_id, fence, token)).filter(|_| self.name == by);
                return;
            }
            Came::Unknown => Task::Returned { fence, completed },
        };
        let ended = (!matches!(what, Task::Returned { .. })).then_some(ended);
        self.history.lock().unwrap().tasks.entry(task_id).or_default().push(Op { began, ended, what });
    }

    fn claim(&mut self) {
        let by = self.name.clone();
        let (began, ended, came) = self.call("claim_tasks", json!({"agent_id": by}));
        let mut history = self.history.lock().unwrap();
        match came {
            Came::Answer(answer) => {
                let Some(task) = answer["tasks"].get(0) else { return };
                let (task_id, token) = (task["task_id"].as_str().unwrap().to_owned(), task["lease_token"].clone());
                let fence: i64 = token.as_str().unwrap().split('.').nth(1).unwrap().parse().unwrap();
                let op = Op { began, ended: Some(ended), what: Task::Claimed { by: by.clone(), fence } };
                history.tasks.entry(task_id.clone()).or_default().push(op);
                if self.name == by {
                    self.task = Some((task_id, fence, token));
                }
            }
            Came::Refusal(..) => {}
            Came::Unknown => history.claims_unknown.push(Op { began, ended: None, what: Task::Wanted { by } }),
        }
    }

    /// Changes a workflow by the version that was seen last.
    fn change(&mut self, known: &mut BTreeMap<String, i64>) {
        let place = usize::try_from(self.chance.below(known.len() as u64)).unwrap();
        let (id, expected) = known.iter().nth(place).map(|(id, version)| (id.clone(), *version)).unwrap();
        let asked = json!({"workflow_id": id, "action": "signal", "signal": "go", "expected_version": expected});
        let (began, ended, came) = self.call("control_workflow", asked);
        let what = match came {
            Came::Answer(answer) => {
                known.insert(id.clone(), answer["version"].as_i64().unwrap());
                Version::Changed { expected }
            }
            Came::Refusal(code, current) if code == "conflict" => {
                let current = current["version"].as_i64().unwrap();
                known.insert(id.clone(), current);
                Version::Refused { expected, current }
            }
            Came::Refusal(..) => return,
            Came::Unknown => Version::Wanted { expected },
        };
        let ended = (!matches!(what, Version::Wanted { .. })).then_some(ended);
        self.history.lock().unwrap().versions.entry(id).or_default().push(Op { began, ended, what });
    }
}

fn came(message: &Value) -> Came {
    let result = &message["result"];
    let answer: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
    if result["isError"] != true {
        return Came::Answer(answer);
    }
    match answer["code"].as_str().unwrap() {
        "outcome_unknown" => Came::Unknown,
        code => {
            assert!(matches!(code, "lease_lost" | "conflict" | "unavailable" | "busy"), "{answer}");
            Came::Refusal(code.to_owned(), answer["current"].clone())
        }
    }
}

/// Clients at work, each with its server.
fn run(place: &Place, seed: u64, begin: impl FnOnce()) -> (History, i64) {
    let mut first = place.serve();
    let made = |server: &mut Binary| server.answer("create_workflow", r#"{"name":"versions"}"#);
    let made: Vec<Value> = (0..VERSIONED).map(|_| made(&mut first)).collect();
    let version = made[0]["version"].as_i64().unwrap();
    let known: BTreeMap<String, i64> =
        made.iter().map(|made| (made["workflow_id"].as_str().unwrap().to_owned(), version)).collect();
    let tasks: Vec<Value> = (0..TASKS).map(|_| json!({"title": "one"})).collect();
    first.answer("enqueue_tasks", &json!({"tasks": tasks}).to_string());
    begin();
    let (history, began) = (Mutex::default(), Instant::now());
    std::thread::scope(|scope| {
        for number in 0..SERVERS {
            let (history, mut known) = (&history, known.clone());
            scope.spawn(move || {
                let mut client = Client::new(place, number, seed, history);
                while began.elapsed() < time() {
                    match client.chance.below(3) {
                        0 => client.lock(),
                        1 => client.work(),
                        _ => client.change(&mut known),
                    }
                }
            });
        }
    });
    (history.into_inner().unwrap(), version)
}

fn check<M: Model>(model: &M, what: &str, ops: &[Op<M::Op>], seed: u64) {
    if let Err(why) = order(model, ops) {
        panic!("{what}, with CALLBOARD_TEST_HISTORY_SEED={seed}: {why}");
    }
}

fn could_have_been(place: &Place, seed: u64, begin: impl FnOnce()) {
    let (history, version) = run(place, seed, begin);
    let seen = [history.locks.len(), history.tasks.len(), history.versions.len(), history.gone.len()];
    assert!(!seen.contains(&0), "nothing was seen of some: {seen:?}");
    for (resource, mut ops) in history.locks {
        ops.extend(ends(&history.gone, |process| Lock::Gone { process }));
        check(&Locks, &resource, &ops, seed);
    }
    for (task_id, mut ops) in history.tasks {
        ops.extend(history.claims_unknown.iter().cloned());
        ops.extend(ends(&history.gone, |process| Task::Gone { process }));
        check(&Tasks, &task_id, &ops, seed);
    }
    for (workflow_id, ops) in history.versions {
        check(&Versions(version), &workflow_id, &ops, seed);
    }
}

/// What was killed ends at some time after that.
fn ends<A>(gone: &[(String, i64)], what: impl Fn(String) -> A) -> impl Iterator<Item = Op<A>> {
    gone.iter().map(move |(process, at)| Op { began: *at, ended: None, what: what(process.clone()) })
}

#[test]
fn servers_on_postgresql_with_late_messages_answer_as_one_would() {
    let server = postgres::shared();
    let proxy = Proxy::to(server.port);
    let (place, seed) = (Place::server(&server.database(), Some(proxy.port())), seed());
    could_have_been(&place, seed, || proxy.delay(seed));
}

#[test]
fn servers_on_the_embedded_store_answer_as_one_would() {
    could_have_been(&Place::folder(), seed(), || {});
}
