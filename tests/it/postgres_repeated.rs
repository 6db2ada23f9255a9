//! Queries that came before, about what has changed since: the same as for a server that never saw them before.

use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls};

use crate::support::{
    harness::Harness,
    patience::PATIENCE,
    postgres::{self, name_of},
};

/// So many calls, and a query is known, prepared and answered in one round trip.
const CALLS: usize = 4;

const SETUP: &str = "DROP SCHEMA IF EXISTS public, nearer CASCADE; CREATE SCHEMA public; CREATE SCHEMA nearer; \
    GRANT ALL ON SCHEMA public, nearer TO PUBLIC; CREATE TYPE public.mood AS ENUM ('sad', 'ok'); \
    CREATE TABLE public.t (id int PRIMARY KEY, word text, doc json, how mood, list int[], size numeric(6,2), at timestamptz); \
    INSERT INTO t SELECT n, 'word ' || n, '{\"n\": 1}', 'ok', ARRAY[n], n, '2026-01-01T00:00:00Z' FROM generate_series(1, 4) n; \
    CREATE FUNCTION public.twice(n int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT n * 2'; \
    GRANT ALL ON t TO PUBLIC";

/// What another session does meanwhile.
const CHANGES: [&str; 22] = [
    "ALTER TABLE t ADD COLUMN more text DEFAULT 'm'",
    "ALTER TABLE t DROP COLUMN word",
    "ALTER TABLE t DROP COLUMN list",
    "ALTER TABLE t RENAME COLUMN word TO phrase",
    "ALTER TABLE t RENAME COLUMN word TO old; ALTER TABLE t ADD word text DEFAULT 'new'",
    "ALTER TABLE t ALTER word TYPE varchar(6)",
    "ALTER TABLE t ALTER word TYPE bytea USING 'x'",
    "ALTER TABLE t ALTER doc TYPE jsonb",
    "ALTER TABLE t ALTER doc TYPE text",
    "ALTER TABLE t ALTER how TYPE text",
    "ALTER TABLE t ALTER list TYPE bigint[]",
    "ALTER TABLE t ALTER size TYPE int",
    "ALTER TABLE t ALTER id TYPE bigint; UPDATE t SET id = 3000000000 WHERE id = 1",
    "ALTER TABLE t ALTER at TYPE date",
    "DROP TABLE t",
    "DROP TABLE t; CREATE TABLE public.t (word text, id text, doc json, how mood, list int[], size float8, at date)",
    "ALTER TABLE t RENAME TO gone; CREATE VIEW public.t AS SELECT id, upper(word) AS word, doc, how, list, size, at FROM gone",
    "CREATE TABLE nearer.t AS SELECT id + 1 AS id, 'nearer' AS word, doc, how, list, size, at FROM t",
    "CREATE FUNCTION nearer.twice(n int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT n * 20'",
    "CREATE FUNCTION public.twice(n bigint) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 7'",
    "CREATE OR REPLACE FUNCTION public.twice(n int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT n * 3'",
    "REVOKE ALL ON t FROM PUBLIC",
];

fn queries() -> Vec<String> {
    let large = json!(3_000_000_000_u64);
    [
        json!({"query": "select * from t order by 1, 2"}),
        json!({"query": "select * from t where id = $1", "params": [1]}),
        json!({"query": "select word, doc from t where id = $1", "params": [2]}),
        json!({"query": "select word from t where word = $1 or how = 'ok'", "params": ["word 1"]}),
        json!({"query": "select how, size from t order by size", "max_rows": 2}),
        json!({"query": "select id, twice(3) as six from t order by id"}),
        json!({"query": "select count(*) as n, min(at) as at from t"}),
        json!({"query": "select id, list, id as \"a b\"\"c\" from t where list[1] < 3 order by list"}),
        json!({"query": "select size from t where id = $1", "params": [1], "after": [large]}),
    ]
    .iter()
    .map(Value::to_string)
    .collect()
}

/// The call, and the one with the parameters that are tried after the change, where they are others.
fn calls(query: &str) -> (String, String) {
    let mut first: Value = serde_json::from_str(query).unwrap();
    let after = first.as_object_mut().unwrap().remove("after");
    let mut second = first.clone();
    if let Some(params) = after {
        second["params"] = params;
    }
    (first.to_string(), second.to_string())
}

async fn said(board: &Harness, call: &str) -> Value {
    let (_, mut said) = board.any("execute_query", call).await;
    said.as_object_mut().unwrap().retain(|name, _| name != "elapsed_ms" && name != "request_id");
    said
}

async fn is_seen(warm: &Harness, client: &Client, url: &str, change: &str) {
    client.batch_execute(SETUP).await.unwrap();
    for query in queries() {
        for _ in 0..CALLS {
            warm.answer("execute_query", &calls(&query).0).await;
        }
    }
    client.batch_execute(change).await.unwrap();
    let fresh = Harness::postgres(url);
    for query in queries() {
        let call = calls(&query).1;
        let right = said(&fresh, &call).await;
        for round in 0..=CALLS {
            assert_eq!(said(warm, &call).await, right, "{change}\n{call}\nround {round}");
        }
    }
}

/// A new database whose sessions look into `nearer` first; changes are made by the superuser, queries by a role that owns nothing.
async fn beside(run: impl AsyncFnOnce(&Harness, &Client, &str)) {
    let server = postgres::shared();
    let url = server.database();
    let name = name_of(&url);
    let settings = "ALTER DATABASE db SET search_path = nearer, public; ALTER DATABASE db SET TimeZone = 'Asia/Tokyo'; CREATE ROLE db LOGIN";
    server.psql(name, &settings.replace("db", name));
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    let url = url.replace("postgres@", &format!("{name}@"));
    let board = Harness::postgres(&url);
    tokio::select! {
        () = run(&board, &client, &url) => {}
        ended = connection => panic!("{ended:?}"),
    }
}

#[tokio::test]
async fn each_change_is_seen() {
    beside(async |board, client, url| {
        for change in CHANGES {
            is_seen(board, client, url, change).await;
        }
    })
    .await;
}

/// Nothing that is fetched tells of this one, so the parameters are described again once a second.
#[tokio::test]
async fn another_meaning_of_a_parameter_or_constant_is_seen_soon() {
    beside(async |board, client, _| {
        client.batch_execute(SETUP).await.unwrap();
        let call = json!({"query": "select word from t where at = $1", "params": ["2026-01-01T00:00:00Z"]}).to_string();
        for _ in 0..CALLS {
            assert_eq!(board.answer("execute_query", &call).await["row_count"], 4);
        }
        // As an instant, the parameter is another moment than this is in Tokyo; as a time without zone it is the same.
        client.batch_execute("ALTER TABLE t ALTER at TYPE timestamp USING '2026-01-01T00:00:00'").await.unwrap();
        let seen = async { while board.answer("execute_query", &call).await["row_count"] != 4 {} };
        tokio::time::timeout(PATIENCE, seen).await.unwrap();
        let call = json!({"query": "select word from t where how = 'ok'"}).to_string();
        for _ in 0..CALLS {
            assert_eq!(board.answer("execute_query", &call).await["row_count"], 4);
        }
        client.batch_execute("ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'").await.unwrap();
        let seen = async { while !board.any("execute_query", &call).await.0 {} };
        tokio::time::timeout(PATIENCE, seen).await.unwrap();
    })
    .await;
}

/// The text that proves its columns is what runs from the third call on, with new parameters and with the first errors.
#[tokio::test]
async fn a_repeated_query_runs_as_it_was_prepared() {
    beside(async |board, client, _| {
        client.batch_execute(SETUP).await.unwrap();
        let mut ran = Vec::new();
        for id in 1..=CALLS {
            let call = json!({"query": "select current_query() as sent, id from t where id = $1", "params": [id]});
            let answer = board.answer("execute_query", &call.to_string()).await;
            assert_eq!(answer["rows"][0][1], json!(id), "{answer}");
            ran.push(answer["rows"][0][0].as_str().unwrap().contains("SELECT q.* UNION ALL"));
        }
        assert_eq!(ran, [false, false, true, true]);
        for moving in ["now", " Today", "yesterday 10:00"] {
            let query = format!("select current_query() as sent, '{moving}'::timestamptz as at");
            for _ in 0..CALLS {
                let answer = board.answer("execute_query", &json!({"query": query}).to_string()).await;
                assert!(!answer["rows"][0][0].as_str().unwrap().contains("UNION ALL"), "{answer}");
            }
        }
        let call =
            |id: i32| json!({"query": "select id, 12 / (id - $1) as x from t order by id", "params": [id]}).to_string();
        for _ in 0..CALLS {
            board.answer("execute_query", &call(9)).await;
        }
        let refused = said(board, &call(2)).await;
        assert_eq!((&refused["code"], &refused["backend_code"]), (&json!("invalid"), &json!("22012")), "{refused}");
        assert_eq!(board.answer("execute_query", &call(9)).await["rows"][0], json!([1, -1]));
        let wrong = json!({"query": "select id, 12 / (id - $1) as x from t order by id", "params": []}).to_string();
        assert_eq!(said(board, &wrong).await["argument"], "params");
    })
    .await;
}

/// What makes a harmless query a risky one, with the query.
const TURNS: [(&str, &str); 12] = [
    ("select id, twice(id) as n from t", "ALTER FUNCTION twice(int) VOLATILE"),
    ("select id, twice(id) as n from t", "ALTER FUNCTION twice(int) SECURITY DEFINER"),
    (
        "select id, public.twice(id) as n from t",
        "CREATE OR REPLACE FUNCTION public.twice(n int) RETURNS int LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_lock(9); RETURN 1; END'",
    ),
    (
        "select id, twice(id) as n from t",
        "CREATE FUNCTION nearer.twice(n int) RETURNS int LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_lock(9); RETURN 1; END'",
    ),
    (
        "select id, twice(id) as n from t",
        "DROP FUNCTION twice(int); CREATE FUNCTION public.twice(VARIADIC n int[]) RETURNS int LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_lock(9); RETURN 1; END'",
    ),
    (
        "select (t).word, id from t",
        "ALTER TABLE t DROP COLUMN word; CREATE FUNCTION word(t) RETURNS text LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_lock(9); RETURN 1; END'",
    ),
    (
        "select id, id + 1 as n from t",
        "CREATE FUNCTION public.evil(int, int) RETURNS int LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_lock(9); RETURN 1; END'; CREATE OPERATOR nearer.+ (LEFTARG = int, RIGHTARG = int, FUNCTION = public.evil)",
    ),
    (
        "select id from t where id = 1",
        "ALTER TABLE t RENAME TO gone; CREATE VIEW t AS SELECT gone.id, pg_advisory_lock(9)::text AS x FROM gone",
    ),
    (
        "select id from t where id = 1",
        "CREATE VIEW nearer.t AS SELECT id, pg_advisory_lock(9)::text AS x FROM public.t",
    ),
    (
        "select id, 'ok'::mood as how from t",
        "CREATE FUNCTION public.evil(text) RETURNS bool LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_lock(9); RETURN true; END'; CREATE DOMAIN nearer.mood AS text CHECK (public.evil(VALUE))",
    ),
    (
        "select id, 'ok'::mood as how from t",
        "DROP TABLE t; DROP TYPE mood CASCADE; CREATE TABLE public.t (id int); CREATE FUNCTION public.evil(text) RETURNS bool LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_lock(9); RETURN true; END'; CREATE DOMAIN public.mood AS text CHECK (public.evil(VALUE))",
    ),
    (
        "select id, 1::mood::text as x from t where id < 0",
        "CREATE OR REPLACE FUNCTION public.to_mood(int) RETURNS mood LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_lock(9); RETURN NULL; END'",
    ),
];

#[tokio::test]
async fn what_turned_risky_between_two_calls_is_refused() {
    beside(async |board, client, _| {
        for (query, change) in TURNS {
            client.batch_execute(SETUP).await.unwrap();
            let cast = "CREATE FUNCTION public.to_mood(int) RETURNS mood IMMUTABLE LANGUAGE sql AS 'SELECT NULL::public.mood'; CREATE CAST (int AS mood) WITH FUNCTION public.to_mood(int)";
            client.batch_execute(cast).await.unwrap();
            let call = json!({"query": query}).to_string();
            for _ in 0..CALLS {
                board.answer("execute_query", &call).await;
            }
            client.batch_execute(change).await.unwrap();
            for _ in 0..CALLS {
                let refused = board.refused("execute_query", &call).await;
                assert_eq!(refused["code"], "denied", "{query}\n{change}\n{refused}");
            }
        }
        let locks = "select count(*) from pg_locks where locktype = 'advisory' and objid = 9 and database = (select oid from pg_database where datname = current_database())";
        let left: i64 = client.query_one(locks, &[]).await.unwrap().get(0);
        assert_eq!(left, 0);
    })
    .await;
}
