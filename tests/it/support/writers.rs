//! Agents that make workflows and do their tasks through a real server, each one call at a time and all of them at once, and know what they
//! were told; and the record store beside the server, to compare.

use std::{fmt::Write, path::PathBuf};

use serde_json::{Value, json};

use super::{
    binary::{Binary, Streams},
    postgres::psql_at,
};

/// A record store that servers share.
pub enum Place {
    /// In this data directory.
    Folder(tempfile::TempDir),
    /// In this database of the server at this port, reached by this URL.
    Server { port: u16, database: String, url: String },
}

impl Place {
    /// In a directory of its own.
    pub fn folder() -> Self {
        Self::Folder(tempfile::tempdir().unwrap())
    }

    /// In a database, reached through another port when given.
    pub fn server(url: &str, through: Option<u16>) -> Self {
        let (start, database) = url.rsplit_once('/').unwrap();
        let (host, port) = start.rsplit_once(':').unwrap();
        let url = format!("{host}:{}/{database}", through.unwrap_or_else(|| port.parse().unwrap()));
        Self::Server { port: port.parse().unwrap(), database: database.to_owned(), url }
    }

    /// A server process on it.
    pub fn serve(&self) -> Binary {
        let mut binary = Binary::with(Streams::Pipes, |command| match self {
            Self::Folder(folder) => drop(command.env("CALLBOARD_DATA_DIR", folder.path())),
            Self::Server { url, .. } => drop(command.env("CALLBOARD_STORE_URL", url)),
        });
        binary.initialize("2025-06-18");
        binary
    }

    /// The number that a query answers, asked beside the servers.
    pub fn number(&self, sql: &str) -> i64 {
        match self {
            Self::Folder(folder) => {
                let path: PathBuf = folder.path().join("callboard.db");
                rusqlite::Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
            }
            Self::Server { port, database, .. } => {
                let answer = psql_at(*port, database, &format!("SET search_path = callboard; {sql}"));
                answer.parse().unwrap_or_else(|_| panic!("{sql}\n{answer}"))
            }
        }
    }

    /// That nothing is half done: workflows count what their tasks say, and each open task has one place in its queue.
    pub fn agrees(&self) {
        let mut counted = String::from(
            "SELECT count(*) FROM workflow w WHERE w.tasks <> (SELECT count(*) FROM task t WHERE t.workflow_id = w.id)",
        );
        counted.push_str(" OR w.tasks_open <> (SELECT count(*) FROM task_run r WHERE r.workflow_id = w.id)");
        for state in ["completed", "dead", "cancelled"] {
            write!(counted, " OR w.tasks_{state} <> (SELECT count(*) FROM task t WHERE t.workflow_id = w.id AND t.ended = '{state}')").unwrap();
        }
        for (wrong, what) in [
            (counted.as_str(), "workflows count what is not so"),
            (
                "SELECT count(*) FROM workflow WHERE (tasks_open = 0 AND tasks > 0) <> (completed_at IS NOT NULL)",
                "workflows are over and go on",
            ),
            (
                "SELECT count(*) FROM task t WHERE (t.ended IS NULL) <> EXISTS (SELECT 1 FROM task_run r WHERE r.task_id = t.id)",
                "tasks are in their queue and over, or neither",
            ),
            (
                "SELECT count(*) FROM task_run r WHERE NOT EXISTS (SELECT 1 FROM task t WHERE t.id = r.task_id)",
                "places in a queue have no task",
            ),
            (
                "SELECT count(*) FROM task_run r WHERE r.open_dependencies <> (SELECT count(*) FROM task_dependency d WHERE d.task_id = r.task_id AND NOT d.settled)",
                "tasks wait for what they do not wait for",
            ),
            (
                "SELECT count(*) FROM task t WHERE t.ended = 'completed' AND 1 <> (SELECT count(*) FROM event e WHERE e.entity_id = t.id AND e.type = 'task_completed')",
                "tasks were not completed once",
            ),
            (
                "SELECT count(*) FROM workflow w WHERE 1 <> (SELECT count(*) FROM event e WHERE e.entity_id = w.id AND e.type = 'workflow_created')",
                "workflows were not made once",
            ),
        ] {
            assert_eq!(self.number(wrong), 0, "{what}");
        }
    }
}

/// What a writer does next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Create,
    Claim,
    Finish,
}

/// One agent. Its tasks are in a queue of its own.
struct Writer {
    name: String,
    step: Step,
    calls: u64,
    workflow: String,
    token: String,
    /// Of the workflow's two tasks so many are done.
    done: u8,
    /// The call that is not answered yet: tool, arguments.
    call: Option<(&'static str, String)>,
    /// The id of its request.
    request: i64,
}

/// Agents, and what they were told.
pub struct Writers {
    writers: Vec<Writer>,
    next: i64,
    /// Workflows that were made.
    pub made: Vec<String>,
    /// Tasks that are completed.
    pub completed: Vec<String>,
}

impl Writers {
    /// So many.
    pub fn new(count: usize) -> Self {
        let writer = |n: usize| Writer {
            name: format!("w{n}"),
            step: Step::Create,
            calls: 0,
            workflow: String::new(),
            token: String::new(),
            done: 0,
            call: None,
            request: 0,
        };
        Self { writers: (0..count).map(writer).collect(), next: 1, made: Vec::new(), completed: Vec::new() }
    }

    /// Sends what was not answered once more, to this server, under its key.
    pub fn repeat(&mut self, server: &mut Binary) {
        for at in 0..self.writers.len() {
            if self.writers[at].call.is_some() {
                self.send(server, at);
            }
        }
    }

    /// Works until so many answers have come; calls are under way then.
    pub fn work(&mut self, server: &mut Binary, answers: usize) {
        for at in 0..self.writers.len() {
            if self.writers[at].call.is_none() {
                self.writers[at].prepare();
                self.send(server, at);
            }
        }
        for _ in 0..answers {
            let at = self.answered(server);
            self.writers[at].prepare();
            self.send(server, at);
        }
    }

    /// Waits for all that is under way.
    pub fn settle(&mut self, server: &mut Binary) {
        while self.writers.iter().any(|writer| writer.call.is_some()) {
            self.answered(server);
        }
    }

    /// Works until a call fails in a way that can be tried again, which it is.
    pub fn fail_once(&mut self, server: &mut Binary) {
        loop {
            let message = server.message();
            let Some(at) = self.of(&message) else { continue };
            if message["result"]["isError"] == true {
                return self.send(server, at);
            }
            self.take(at, &message);
            self.writers[at].prepare();
            self.send(server, at);
        }
    }

    fn send(&mut self, server: &mut Binary, at: usize) {
        let writer = &mut self.writers[at];
        writer.request = self.next;
        self.next += 1;
        let (tool, arguments) = writer.call.as_ref().unwrap();
        server.send(&format!(
            r#"{{"jsonrpc":"2.0","id":{},"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}"#,
            writer.request
        ));
    }

    /// Takes the next answer in; whose it was. What can be tried again is.
    fn answered(&mut self, server: &mut Binary) -> usize {
        loop {
            let message = server.message();
            let Some(at) = self.of(&message) else { continue };
            if message["result"]["isError"] == true {
                let failure: Value =
                    serde_json::from_str(message["result"]["content"][0]["text"].as_str().unwrap()).unwrap();
                assert!(failure["retryable"] == true || failure["code"] == "outcome_unknown", "{failure}");
                self.send(server, at);
                continue;
            }
            self.take(at, &message);
            return at;
        }
    }

    fn of(&self, message: &Value) -> Option<usize> {
        let id = message["id"].as_i64()?;
        self.writers.iter().position(|writer| writer.call.is_some() && writer.request == id)
    }

    /// Takes in what a server said before it was killed.
    pub fn last_words(&mut self, messages: &[Value]) {
        for message in messages {
            if let Some(at) = self.of(message).filter(|_| message["result"]["isError"] != true) {
                self.take(at, message);
            }
        }
    }

    fn take(&mut self, at: usize, message: &Value) {
        let text = message["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{message}"));
        let answer: Value = serde_json::from_str(text).unwrap();
        let writer = &mut self.writers[at];
        writer.call = None;
        match writer.step {
            Step::Create => {
                answer["workflow_id"].as_str().unwrap().clone_into(&mut writer.workflow);
                self.made.push(writer.workflow.clone());
                (writer.step, writer.done) = (Step::Claim, 0);
            }
            Step::Claim => {
                assert_eq!(answer["tasks"].as_array().map(Vec::len), Some(1), "{answer}");
                let task = &answer["tasks"][0];
                assert_eq!(task["workflow_id"], json!(writer.workflow), "{answer}");
                assert_eq!(task["key"], ["a", "b"][usize::from(writer.done)], "{answer}");
                task["lease_token"].as_str().unwrap().clone_into(&mut writer.token);
                writer.step = Step::Finish;
            }
            Step::Finish => {
                assert_eq!(answer["state"], "completed");
                self.completed.push(answer["task_id"].as_str().unwrap().to_owned());
                writer.done += 1;
                assert_eq!(answer["workflow_state"], ["running", "completed"][usize::from(writer.done - 1)]);
                writer.step = if writer.done == 2 { Step::Create } else { Step::Claim };
            }
        }
    }

    /// That the store holds what was acknowledged, and no more than that and what is under way.
    pub fn compare(&self, place: &Place) {
        place.agrees();
        let under_way = |step: Step| {
            self.writers.iter().filter(|writer| writer.call.is_some() && writer.step == step).count() as i64
        };
        for (acknowledged, sql, step) in [
            (&self.made, "SELECT count(*) FROM workflow", Step::Create),
            (&self.completed, "SELECT count(*) FROM task WHERE ended = 'completed'", Step::Finish),
        ] {
            let (least, there) = (acknowledged.len() as i64, place.number(sql));
            assert!(there >= least && there <= least + under_way(step), "{sql}: {there}, acknowledged {least}");
            for some in acknowledged.chunks(500) {
                let ids: Vec<String> = some.iter().map(|id| format!("'{id}'")).collect();
                let by_id = if step == Step::Create { " WHERE id IN" } else { " AND id IN" };
                assert_eq!(place.number(&format!("{sql}{by_id} ({})", ids.join(","))), some.len() as i64);
            }
        }
    }
}

impl Writer {
    fn prepare(&mut self) {
        self.calls += 1;
        let key = format!("{}-{}", self.name, self.calls);
        let (tool, arguments) = match self.step {
            Step::Create => {
                let tasks =
                    json!([{"key": "a", "queue": self.name}, {"key": "b", "queue": self.name, "depends_on": ["a"]}]);
                ("create_workflow", json!({"name": key, "tasks": tasks, "idempotency_key": key}))
            }
            Step::Claim => {
                ("claim_tasks", json!({"agent_id": self.name, "queues": [self.name], "idempotency_key": key}))
            }
            Step::Finish => {
                let result = json!({"by": self.name});
                (
                    "finish_task",
                    json!({"lease_token": self.token, "outcome": "completed", "result": result, "idempotency_key": key}),
                )
            }
        };
        self.call = Some((tool, arguments.to_string()));
    }
}
