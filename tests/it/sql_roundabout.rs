//! What reaches a function that does more than read, or a secret, without naming it: views, types that are made of others, the server's own
//! views beside those that everybody knows.

use serde_json::json;

use crate::support::{
    harness::{Harness, database},
    postgres::{self, name_of},
};

/// `evil` leaves a lock behind that outlives its transaction.
const GROUND: &str = r#"
    CREATE EXTENSION postgres_fdw; CREATE EXTENSION pg_buffercache;
    CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'secret-word');
    CREATE USER MAPPING FOR postgres SERVER far OPTIONS (user 'u', password 'secret-word');
    CREATE FUNCTION evil(text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_lock(1); RAISE 'secret-word'; END $$;
    CREATE FUNCTION same(int, int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_lock(2); RETURN true; END $$;
    CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, PROCEDURE = same);
    CREATE VIEW calling AS SELECT evil('x') AS answer;
    CREATE VIEW "Over It" AS SELECT answer FROM calling;
    CREATE VIEW comparing AS SELECT 1 === 2 AS answer;
    CREATE VIEW reading AS SELECT 'secret-word' || pg_read_file('PG_VERSION') AS answer;
    CREATE VIEW sleeping AS SELECT 1 AS answer FROM pg_sleep(1);
    CREATE DOMAIN nice AS text CHECK (evil(VALUE));
    CREATE DOMAIN nicer AS nice;
    CREATE TYPE pair AS (first nicer, second int);
    CREATE TYPE "Pair of Pairs" AS (first pair, second pair);
    CREATE TYPE stretch AS RANGE (subtype = nice);
    CREATE TABLE kept (id int, value nice);
    CREATE TABLE words (id int, note text);
    INSERT INTO words VALUES (1, 'one');
    CREATE VIEW plain AS SELECT lower(note) AS note, random() < 2 AS lucky FROM words;
"#;

const ATTACKS: &[&str] = &[
    "select * from calling",
    "table calling",
    "select (select answer from public.calling)",
    "select * from words where exists (select from CALLING)",
    "select * from \"Over It\"",
    "select * from comparing",
    "select * from reading",
    "select * from sleeping",
    "select 'x'::nicer",
    "select '{x}'::nice[]",
    "select '{x}'::_nice",
    "select '{x}'::_nicer",
    "select cast('{x}' as nicer[])",
    "select nicer 'x'",
    "select '(x,1)'::pair",
    "select row('x', 1)::pair",
    "select '{\"(x,1)\"}'::pair[]",
    "select '(\"(x,1)\",\"(x,1)\")'::\"Pair of Pairs\"",
    "select '[x,y]'::stretch",
    "select * from json_populate_record(null::pair, '{\"first\": \"x\"}')",
    "select * from json_to_record('{\"a\": \"x\"}') as t(a nicer)",
    "select * from xmltable('/a' passing '<a>x</a>' columns a nicer path '.')",
    "select * from information_schema._pg_user_mappings",
    "select * from information_schema._pg_foreign_servers",
    "select * from information_schema._pg_foreign_tables",
    "select * from information_schema._pg_foreign_data_wrappers",
    "select * from information_schema.foreign_data_wrapper_options",
    "select * from pg_toast.pg_toast_1255",
    "select * from \"pg_toast\".\"pg_toast_2619\"",
];

const HONEST: &[&str] = &[
    "select * from plain",
    "select * from kept where value = 'x'",
    "select count(*) from pg_buffercache",
    "select table_name from information_schema.views",
    "select viewname, definition from pg_views where schemaname = 'public'",
    "select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname <> 'pg_toast' limit 1",
];

#[tokio::test]
async fn no_way_round_a_name_is_open() {
    let server = postgres::shared();
    let url = server.database();
    server.psql(name_of(&url), GROUND);
    let board = Harness::postgres(&url);
    let mut ran = Vec::new();
    for attack in ATTACKS {
        let call = json!({"query": attack, "timeout_ms": 500}).to_string();
        for tool in ["execute_query", "explain_query"] {
            let call = if tool == "execute_query" { call.clone() } else { json!({"query": attack}).to_string() };
            let (refused, answer) = board.any(tool, &call).await;
            if !refused || answer["code"] != "denied" || answer.to_string().contains("secret-word") {
                ran.push(format!("{tool} {attack}\n  → {answer}"));
            }
        }
    }
    assert!(ran.is_empty(), "{} got through:\n{}", ran.len(), ran.join("\n"));
    let locks = "select count(*) from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())";
    assert_eq!(server.psql(name_of(&url), locks), "0");
    for query in HONEST {
        board.answer("execute_query", &json!({"query": query}).to_string()).await;
    }
}

#[tokio::test]
async fn a_refused_view_or_type_is_named_and_can_be_allowed() {
    let server = postgres::shared();
    let url = server.database();
    server.psql(
        name_of(&url),
        "CREATE FUNCTION tenant() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 7; END';
         CREATE VIEW mine AS SELECT tenant() AS tenant;
         CREATE FUNCTION fine(text) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN true; END';
         CREATE DOMAIN email AS text CHECK (fine(VALUE))",
    );
    let board = Harness::postgres(&url);
    for (query, word, position) in
        [("select 'é', mine.* from mine", "mine", 13), ("select '{x@y.z}'::public.Email[]", "email", 26)]
    {
        let refused = board.refused("execute_query", &json!({"query": query}).to_string()).await;
        assert_eq!((&refused["code"], &refused["position"]), (&json!("denied"), &json!(position)), "{refused}");
        assert!(refused["message"].as_str().unwrap().contains(&format!("`{word}`")), "{refused}");
        assert!(refused["hint"].as_str().unwrap().contains("CALLBOARD_ALLOW_FUNCTIONS"), "{refused}");
    }
    let allowing = Harness::with(|config| {
        config.databases = vec![database(&url)];
        config.access.functions = vec!["mine".to_owned(), "email".to_owned()];
    });
    let answer =
        allowing.answer("execute_query", r#"{"query":"select tenant, '{a@b}'::email[] as to from mine"}"#).await;
    assert_eq!(answer["rows"], json!([[7, ["a@b"]]]));
    // What is allowed by the name of a function in a view is allowed through the view.
    let allowing = Harness::with(|config| {
        config.databases = vec![database(&url)];
        config.access.functions = vec!["tenant".to_owned()];
    });
    assert_eq!(allowing.answer("execute_query", r#"{"query":"select * from mine"}"#).await["rows"], json!([[7]]));
}

#[tokio::test]
async fn a_role_of_the_name_of_our_schema_works_in_its_own() {
    let server = postgres::shared();
    let url = server.database();
    server.psql(
        name_of(&url),
        "DO $$ BEGIN CREATE ROLE callboard SUPERUSER LOGIN; EXCEPTION WHEN duplicate_object THEN END $$",
    );
    server.psql(
        name_of(&url),
        "CREATE SCHEMA callboard; CREATE TABLE callboard.task (secret text); CREATE TABLE public.task (id int)",
    );
    // Its path begins with the schema of its own name.
    let board = Harness::postgres(&url.replace("postgres@", "callboard@"));
    let made = json!({"table": "mine", "columns": [{"name": "id", "type": "int"}]}).to_string();
    assert_eq!(board.answer("create_table", &made).await["table"], "public.mine");
    for table in ["mine", "task"] {
        let rows = json!({"table": table, "rows": [{"id": 1}]}).to_string();
        assert_eq!(board.answer("bulk_insert", &rows).await["table"], format!("public.{table}"));
        let query = json!({"query": format!("select * from {table}")}).to_string();
        assert_eq!(board.answer("execute_query", &query).await["rows"], json!([[1]]));
        let table = json!({"table": table}).to_string();
        assert_eq!(board.answer("count_rows", &table).await["count"], 1);
        assert_eq!(board.answer("get_schema", &table).await["columns"][0]["name"], "id");
    }
    server.psql(name_of(&url), "DROP TABLE public.task; DROP TABLE mine; DROP SCHEMA public");
    for (tool, call) in
        [("execute_query", json!({"query": "select * from task"})), ("count_rows", json!({"table": "task"}))]
    {
        let refused = board.refused(tool, &call.to_string()).await;
        assert_eq!((&refused["code"], &refused["did_you_mean"]), (&json!("not_found"), &json!(null)), "{refused}");
    }
}

#[tokio::test]
async fn a_hidden_schema_is_hidden_in_every_spelling_and_from_near_names() {
    let server = postgres::shared();
    let url = server.database();
    server.psql(
        name_of(&url),
        "CREATE SCHEMA callboard; CREATE TABLE callboard.task (id int); CREATE SCHEMA app; CREATE SCHEMA hidden;
         CREATE TABLE hidden.invoices (id int); CREATE TABLE hidden.\"a.b\" (id int); CREATE TABLE app.orders (id int)",
    );
    let role = name_of(&url);
    server.psql(role, &format!("ALTER DATABASE {role} SET search_path = app, hidden"));
    let open = Harness::postgres(&url);
    let narrow = Harness::with(|config| {
        config.databases = vec![database(&url)];
        config.access.schemas = callboard::domain::search::Patterns::new(vec!["app".to_owned()]).into();
    });
    for (board, table) in [
        (&open, "CALLBOARD.task"),
        (&open, "Callboard.Task"),
        (&open, "\"callboard\".\"task\""),
        (&narrow, "hidden.invoices"),
        (&narrow, "Hidden.Invoices"),
        (&narrow, "invoices"),
        (&narrow, "\"a.b\""),
    ] {
        for (tool, call) in [
            ("get_schema", json!({"table": table})),
            ("count_rows", json!({"table": table})),
            ("insert_data", json!({"table": table, "row": {"id": 1}})),
            ("bulk_insert", json!({"table": table, "rows": [{"id": 1}]})),
        ] {
            assert_eq!(board.refused(tool, &call.to_string()).await["code"], "denied", "{tool} {call}");
        }
    }
    for (board, table) in [(&open, "tasks"), (&open, "callboar.task"), (&narrow, "invoice")] {
        for (tool, call) in [
            ("count_rows", json!({"table": table})),
            ("execute_query", json!({"query": format!("select * from {table}")})),
        ] {
            let refused = board.refused(tool, &call.to_string()).await;
            assert_eq!(
                (&refused["code"], &refused["did_you_mean"]),
                (&json!("not_found"), &json!(null)),
                "{tool} {call} {refused}"
            );
        }
    }
    let refused = narrow.refused("list_tables", r#"{"schema":"hiden"}"#).await;
    assert!(!refused.to_string().contains("hidden"), "{refused}");
    assert_eq!(narrow.refused("list_tables", r#"{"schema":"hidden"}"#).await["code"], "denied");
    assert_eq!(open.refused("list_tables", r#"{"schema":"CALLBOARD"}"#).await["code"], "denied");
    assert_eq!(narrow.refused("count_rows", r#"{"table":"order"}"#).await["did_you_mean"], json!(["orders"]));
}

#[tokio::test]
async fn what_has_to_be_looked_at_longer_answers_as_the_rest_does() {
    let server = postgres::shared();
    let url = server.database();
    server.psql(
        name_of(&url),
        "CREATE TYPE mood AS ENUM ('calm', 'keen'); CREATE TYPE point3 AS (x int, y int, z int);
         CREATE DOMAIN code AS text CHECK (VALUE ~ '^[a-z]+$'); CREATE DOMAIN short AS code CHECK (length(VALUE) < 4);
         CREATE TABLE t (a int, m mood); INSERT INTO t VALUES (1, 'keen'); CREATE VIEW over AS SELECT a, m FROM t",
    );
    let board = Harness::postgres(&url);
    for (query, rows) in [
        ("select '(1,2,3)'::point3::text, 'abc'::short, '{abc}'::code[]", json!([["(1,2,3)", "abc", ["abc"]]])),
        ("select a, m from over where m = 'keen'::mood", json!([[1, "keen"]])),
        ("select (t::t).a from t", json!([[1]])),
    ] {
        assert_eq!(board.answer("execute_query", &json!({"query": query}).to_string()).await["rows"], rows, "{query}");
        board.answer("explain_query", &json!({"query": query}).to_string()).await;
    }
    let failing = board.refused("execute_query", r#"{"query":"select 'ABC'::short"}"#).await;
    assert_eq!((&failing["code"], &failing["backend_code"]), (&json!("invalid"), &json!("23514")), "{failing}");
    let failing = board.refused("execute_query", r#"{"query":"select '(1,2,3)'::point3, 'é', nope"}"#).await;
    assert_eq!((&failing["code"], &failing["position"]), (&json!("not_found"), &json!(32)), "{failing}");
    let failing = board.refused("execute_query", r#"{"query":"select a / 0 from over"}"#).await;
    assert_eq!(failing["backend_code"], "22012", "{failing}");
}

/// What an extension brings passes by what it is, and nobody's own function by its name.
#[tokio::test]
async fn harmless_functions_of_extensions_pass_and_their_namesakes_do_not() {
    for server in [postgres::version(13), postgres::shared(), postgres::version(18)] {
        let url = server.database();
        server
            .psql(name_of(&url), "CREATE EXTENSION pgcrypto; CREATE EXTENSION \"uuid-ossp\"; CREATE SEQUENCE numbers");
        let board = Harness::postgres(&url);
        for query in [
            "select gen_random_uuid() is not null, public.gen_random_uuid() is not null, pg_catalog.gen_random_uuid() is not null",
            "select length(gen_random_bytes(8)), crypt('a', gen_salt('md5')) is not null",
            "select uuid_generate_v1() is not null, uuid_generate_v1mc() is not null, uuid_generate_v4() is not null",
            "select random() < 1, clock_timestamp() is not null, timeofday() is not null, statement_timestamp() is not null",
            "select txid_current_if_assigned() is null, pg_relation_size('pg_class') > 0",
        ] {
            let called = board.call("execute_query", &json!({"query": query}).to_string()).await;
            assert!(!called.is_error, "{query}: {}", called.text);
        }
        for (query, why) in [
            (
                "select pg_sleep(1)",
                "`pg_sleep` is not allowed in a query: it only waits, and holds a connection meanwhile",
            ),
            (
                "select setseed(0.5)",
                "`setseed` is not allowed in a query: it changes the session for statements that follow on it",
            ),
            (
                "select nextval('numbers')",
                "`nextval` is not allowed in a query: it changes a sequence; a column's default calls it where rows are inserted",
            ),
            (
                "select lastval()",
                "`lastval` is not allowed in a query: it knows the calls of nextval in its own session only, in which a query never makes one",
            ),
        ] {
            let refused = board.refused("execute_query", &json!({"query": query}).to_string()).await;
            assert_eq!((&refused["code"], &refused["message"]), (&json!("denied"), &json!(why)), "{query}");
        }
        server.psql(
            name_of(&url),
            "CREATE SCHEMA own;
             CREATE FUNCTION own.gen_random_uuid() RETURNS uuid VOLATILE LANGUAGE sql AS 'SELECT NULL::uuid';
             CREATE FUNCTION uuid_generate_v4(int) RETURNS uuid VOLATILE LANGUAGE sql AS 'SELECT NULL::uuid';
             CREATE FUNCTION gen_random_bytes(text) RETURNS bytea VOLATILE LANGUAGE sql AS 'SELECT NULL::bytea';
             ALTER EXTENSION pgcrypto ADD FUNCTION gen_random_bytes(text);
             CREATE FUNCTION random_normal(low float8 DEFAULT 0, high float8 DEFAULT 1) RETURNS int VOLATILE LANGUAGE sql AS 'SELECT 1';
             CREATE FUNCTION clock_timestamp(int, int DEFAULT 1) RETURNS int VOLATILE LANGUAGE sql AS 'SELECT 1';
             CREATE FUNCTION step(int) RETURNS int VOLATILE LANGUAGE sql AS 'SELECT 1';
             CREATE FUNCTION step(int, int) RETURNS int VOLATILE LANGUAGE sql AS 'SELECT 1';
             CREATE AGGREGATE bad(*) (SFUNC = step, STYPE = int, INITCOND = '0');
             CREATE AGGREGATE bad_set(ORDER BY int) (SFUNC = step, STYPE = int, INITCOND = '0')",
        );
        for query in [
            "select own.gen_random_uuid()",
            "select OWN.Gen_Random_UUID ( )",
            "select \"own\".\"gen_random_uuid\"()",
            "select uuid_generate_v4(1)",
            "select (1).uuid_generate_v4",
            "select n.uuid_generate_v4 from (select 1) n",
            "select gen_random_bytes('x'::text)",
            "select public.random_normal(low => 1)",
            "select random_normal(low => 1)",
            "select clock_timestamp(1)",
            "select bad(*)",
            "select bad_set() within group (order by 1)",
        ] {
            let refused = board.refused("execute_query", &json!({"query": query}).to_string()).await;
            assert_eq!(refused["code"], "denied", "{query}");
        }
        for query in [
            "select gen_random_uuid() is not null, pg_catalog.gen_random_uuid() is not null, pg_catalog . GEN_RANDOM_UUID ( ) is not null",
            "select uuid_generate_v4() is not null, public.uuid_generate_v4() is not null",
            "select clock_timestamp() is not null, timeofday() is not null, pg_catalog.clock_timestamp() is not null",
        ] {
            let called = board.call("execute_query", &json!({"query": query}).to_string()).await;
            assert!(!called.is_error, "{query}: {}", called.text);
        }
        // In the path behind pg_catalog, one without arguments is never reached by its name alone.
        server.psql(
            name_of(&url),
            "CREATE FUNCTION public.timeofday() RETURNS text VOLATILE LANGUAGE sql AS 'SELECT NULL'",
        );
        board.answer("execute_query", r#"{"query":"select timeofday()"}"#).await;
        let refused = board.refused("execute_query", r#"{"query":"select public.timeofday()"}"#).await;
        assert_eq!(refused["code"], "denied");
    }
}
