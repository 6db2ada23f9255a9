//! Loads into a table that was loaded before and has changed since: the same as for a server that never saw it before.

use serde_json::{Value, json};
use tokio_postgres::{
    Client, NoTls, SimpleQueryMessage,
    types::{ToSql, Type},
};

use crate::support::{
    harness::Harness,
    postgres::{self, name_of},
};

const SETUP: &str = "DROP SCHEMA IF EXISTS public, nearer CASCADE; CREATE SCHEMA public; CREATE SCHEMA nearer; \
    GRANT ALL ON SCHEMA public TO PUBLIC; CREATE TYPE public.mood AS ENUM ('sad', 'ok'); \
    CREATE TABLE public.t (id int PRIMARY KEY, code int NOT NULL UNIQUE, word text, size numeric(6,2), how mood, \
    filled text DEFAULT 'old'); GRANT ALL ON t TO PUBLIC; \
    INSERT INTO t SELECT n, 100 - n, 'before', n, 'ok' FROM generate_series(1, 4) n";

/// What another session does meanwhile. Each leaves a load that was made for the table as it was wrong, refused, or right all the same.
const CHANGES: [&str; 29] = [
    "ALTER TABLE t ADD COLUMN more text DEFAULT 'm'",
    "ALTER TABLE t ADD COLUMN more text NOT NULL DEFAULT 'm'; ALTER TABLE t ALTER more DROP DEFAULT",
    "ALTER TABLE t DROP COLUMN word",
    "ALTER TABLE t DROP COLUMN filled",
    "ALTER TABLE t RENAME COLUMN word TO phrase",
    "ALTER TABLE t RENAME COLUMN word TO old; ALTER TABLE t RENAME COLUMN filled TO word",
    "ALTER TABLE t ALTER size TYPE numeric(4,1)",
    "ALTER TABLE t ALTER size TYPE int",
    "ALTER TABLE t ALTER word TYPE varchar(3) USING 'abc'",
    "ALTER TABLE t ALTER word TYPE bytea USING ''",
    "ALTER TABLE t ALTER code DROP NOT NULL",
    "ALTER TABLE t ALTER filled SET NOT NULL; ALTER TABLE t ALTER filled DROP DEFAULT",
    "ALTER TABLE t ALTER filled SET DEFAULT 'new'",
    "ALTER TABLE t ALTER code ADD GENERATED ALWAYS AS IDENTITY",
    "ALTER TABLE t DROP COLUMN size; ALTER TABLE t ADD size int GENERATED ALWAYS AS (id * 2) STORED",
    "ALTER TABLE t DROP CONSTRAINT t_pkey",
    "ALTER TABLE t DROP CONSTRAINT t_pkey; ALTER TABLE t ADD PRIMARY KEY (code)",
    "ALTER TABLE t DROP CONSTRAINT t_code_key",
    "ALTER TABLE t DROP CONSTRAINT t_code_key; CREATE UNIQUE INDEX t_code_key ON t (code) WHERE id < 4",
    "CREATE UNIQUE INDEX t_word ON t (size)",
    "ALTER TABLE t ADD CHECK (id < 4) NOT VALID",
    "ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'",
    "ALTER TYPE mood RENAME TO state",
    "CREATE DOMAIN small AS int CHECK (VALUE <> 95); ALTER TABLE t ALTER code TYPE small",
    "DROP TABLE t; CREATE TABLE public.t (id int, code int PRIMARY KEY, word text, size numeric(6,2), how mood, filled text)",
    "ALTER TABLE t RENAME TO gone; CREATE TABLE public.t (LIKE gone INCLUDING ALL); ALTER TABLE t ALTER word SET NOT NULL",
    "CREATE TABLE nearer.t (LIKE public.t INCLUDING ALL)",
    "ALTER TABLE t RENAME TO gone; CREATE VIEW public.t AS SELECT id, code, upper(word) AS word, size, how, filled FROM gone",
    "DROP TABLE t",
];

fn load(change: Value) -> String {
    let row = |n: usize| json!({"id": n, "code": 100 - n, "word": "after", "size": format!("{n}.25"), "how": "ok"});
    let mut load = json!({"table": "t", "rows": [row(3), row(4), row(5), row(6)]});
    for (name, value) in change.as_object().unwrap() {
        load[name] = value.clone();
    }
    load.to_string()
}

fn loads() -> [String; 3] {
    [
        load(json!({"on_conflict": "update"})),
        load(json!({"on_conflict": "update", "conflict_columns": ["code"], "on_error": "reject"})),
        load(json!({"on_error": "reject"})),
    ]
}

/// The session beside Callboard.
struct Beside<'url> {
    client: &'url Client,
    url: &'url str,
}

impl Beside<'_> {
    async fn contents(&self) -> Vec<Option<String>> {
        let tables = "SELECT COALESCE(string_agg(format('SELECT %L, x::text AS x FROM %s x', c.oid::regclass, c.oid::regclass), ' UNION ALL '), 'SELECT 1, 2 AS x')
            FROM pg_class c WHERE relkind IN ('r', 'v') AND relnamespace::regnamespace::text IN ('public', 'nearer')";
        let all: String = self.client.query_one(tables, &[]).await.unwrap().get(0);
        let rows = self.client.simple_query(&format!("{all} ORDER BY 1, 2")).await.unwrap();
        rows.iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(row.get("x").map(str::to_owned)),
                _ => None,
            })
            .collect()
    }

    /// The table as it was, which the server has in memory, and what somebody makes of it.
    async fn prepare(&self, warm: &Harness, change: &str) {
        self.client.batch_execute(SETUP).await.unwrap();
        for n in [7, 8] {
            let rows = json!([{"id": n, "code": 100 - n, "word": "w", "size": n, "how": "sad"}]);
            warm.answer("bulk_insert", &load(json!({"rows": rows, "on_conflict": "update"}))).await;
        }
        self.client.batch_execute(change).await.unwrap();
    }

    /// What a load says and what is there after it.
    async fn outcome(&self, board: &Harness, load: &str) -> (Value, Vec<Option<String>>) {
        let (_, mut said) = board.any("bulk_insert", load).await;
        said.as_object_mut().unwrap().retain(|name, _| name != "elapsed_ms" && name != "request_id");
        (said, self.contents().await)
    }

    async fn changed(&self, warm: &Harness, change: &str) {
        for load in loads() {
            self.prepare(warm, change).await;
            let remembered = self.outcome(warm, &load).await;
            self.prepare(warm, change).await;
            let fresh = self.outcome(&Harness::postgres(self.url), &load).await;
            assert_eq!(remembered, fresh, "{change}\n{load}");
        }
    }
}

/// A new database whose sessions look into `nearer` first; changes are made by the superuser, loads by `role`.
async fn each_is_seen(changes: &[&str], role: &str) {
    let server = postgres::shared();
    let url = server.database();
    let name = name_of(&url);
    server.psql(name, &format!("ALTER DATABASE {name} SET search_path = nearer, public"));
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    let url = url.replace("postgres@", &format!("{role}@"));
    let beside = Beside { client: &client, url: &url };
    let all = async {
        let warm = Harness::postgres(&url);
        for change in changes {
            beside.changed(&warm, change).await;
        }
    };
    tokio::select! {
        () = all => {}
        ended = connection => panic!("{ended:?}"),
    }
}

#[tokio::test]
async fn each_change_of_the_table_is_seen() {
    each_is_seen(&CHANGES, "postgres").await;
}

#[tokio::test]
async fn each_right_that_is_taken_away_is_missed() {
    postgres::shared().psql("postgres", "CREATE ROLE remembered LOGIN");
    let changes = [
        "REVOKE INSERT ON t FROM PUBLIC",
        "REVOKE UPDATE ON t FROM PUBLIC",
        "REVOKE UPDATE ON t FROM PUBLIC; GRANT UPDATE (word, size) ON t TO PUBLIC",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON t USING (id < 4)",
    ];
    each_is_seen(&changes, "remembered").await;
}

/// The statement that relies on memory is the one that runs; and it writes nowhere but behind a look at the catalog that agrees.
#[tokio::test]
async fn what_was_made_from_memory_writes_only_behind_a_look_that_agrees() {
    let server = postgres::shared();
    let url = server.database();
    let name = name_of(&url);
    server.psql(
        name,
        "CREATE TABLE t (id int PRIMARY KEY, word text); CREATE TABLE seen (at serial, statement text, found text);
         CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO seen (statement, found) VALUES (current_query(), current_setting('callboard.table')); RETURN NULL; END $$;
         CREATE TRIGGER see AFTER INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION see()",
    );
    let board = Harness::postgres(&url);
    for n in 0..3 {
        let load = json!({"table": "t", "rows": [{"id": n, "word": "w"}]}).to_string();
        assert_eq!(board.answer("bulk_insert", &load).await["inserted"], 1);
    }
    assert_eq!(server.psql(name, "SELECT statement LIKE '%callboard.table%' FROM seen ORDER BY at"), "f\nt\nt");
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    let alone = async {
        let last = client.query_one("SELECT statement, found FROM seen ORDER BY at DESC LIMIT 1", &[]).await.unwrap();
        let (statement, found): (String, String) = (last.get(0), last.get(1));
        let write = async |given: &str| {
            let values: &[(&(dyn ToSql + Sync), Type)] =
                &[(&r#"[{"id":9,"word":"w"}]"#, Type::TEXT), (&given, Type::TEXT)];
            let failure = client.execute_typed(&statement, values).await.map_err(|error| error.code().cloned());
            failure.map_err(|state| state.map(|state| state.code().to_owned()))
        };
        let refused = Err(Some("22012".to_owned()));
        let look = |text: &str| format!("BEGIN; SELECT set_config('callboard.table', '{text}', true)");
        assert_eq!(write(&found).await, refused, "no look at all");
        client.batch_execute(&look(&found.replace("text", "varchar"))).await.unwrap();
        assert_eq!(write(&found).await, refused, "the catalog says otherwise");
        client.batch_execute(&format!("ROLLBACK; {}; COMMIT", look(&found))).await.unwrap();
        assert_eq!(write(&found).await, refused, "the look was another transaction's");
        client.batch_execute(&look(&found)).await.unwrap();
        assert_eq!(write(&found).await, Ok(1));
    };
    tokio::select! {
        () = alone => {}
        ended = connection => panic!("{ended:?}"),
    }
}
