//! Statements that would write, leak, lock or stay, given to execute_query as a superuser of PostgreSQL: none of them does.

use serde_json::json;

use crate::support::{
    guarded::Guarded,
    harness::Harness,
    patience::SOON,
    postgres::{self, name_of},
};

/// What they are after. `secret-word` stands where only a leak finds it.
const GROUND: &str = r#"
    CREATE TABLE canary (id int PRIMARY KEY, note text);
    INSERT INTO canary VALUES (1, 'alive');
    CREATE SEQUENCE numbers;
    CREATE EXTENSION dblink; CREATE EXTENSION tablefunc; CREATE EXTENSION postgres_fdw; CREATE EXTENSION pg_stat_statements;
    CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'secret-word');
    CREATE USER MAPPING FOR postgres SERVER far OPTIONS (user 'u', password 'secret-word');
    CREATE FUNCTION evil(text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO canary VALUES (2, $1); RETURN 1; END $$;
    CREATE FUNCTION "Evil Fn"(text) RETURNS int LANGUAGE sql AS $$ SELECT nextval('numbers')::int $$;
    CREATE FUNCTION peek() RETURNS text LANGUAGE sql STABLE SECURITY DEFINER AS $$ SELECT 'secret-word' $$;
    CREATE FUNCTION evil_op(int, int) RETURNS text LANGUAGE sql AS $$ SELECT pg_read_file('PG_VERSION') || 'secret-word' $$;
    CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, PROCEDURE = evil_op);
    CREATE FUNCTION evil_step(text, int) RETURNS text LANGUAGE sql AS $$ SELECT 'secret-word' $$;
    CREATE AGGREGATE harmless_sum(int) (SFUNC = evil_step, STYPE = text);
    CREATE FUNCTION evil_check(text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'secret-word'; END $$;
    CREATE DOMAIN nice AS text CHECK (evil_check(VALUE));
    CREATE TYPE holder AS (a int);
    CREATE FUNCTION cast_away(text) RETURNS holder LANGUAGE sql AS $$ SELECT ROW(length(pg_read_file('PG_VERSION')))::holder $$;
    CREATE CAST (text AS holder) WITH FUNCTION cast_away(text);
    SELECT lo_from_bytea(4711, 'secret-word');
"#;

const ATTACKS: &[&str] = &[
    // Writing statements, plain and dressed up.
    "delete from canary",
    "DELETE/**/FROM canary",
    "-- select\ndelete from canary",
    "/* select /* nested */ 1 */ delete from canary",
    "insert into canary values (3, 'x')",
    "update canary set note = 'x'",
    "merge into canary c using (select 1 as id) s on c.id = s.id when matched then delete",
    "truncate canary",
    "drop table canary",
    "alter table canary add column x int",
    "create table stolen as select * from canary",
    "create function f() returns int language sql as 'select 1'",
    "select * into stolen from canary",
    "select 1 into temp stolen",
    "copy canary to program 'touch HERE/owned'",
    "copy canary to 'HERE/owned'",
    "copy (select 1) to 'HERE/owned'",
    "do $$ begin delete from canary; end $$",
    "call evil('x')",
    "vacuum canary",
    "reindex table canary",
    "grant all on canary to public",
    "set role postgres",
    "set session authorization postgres",
    "reset all",
    "lock table canary",
    "listen x",
    "notify x",
    "prepare p as delete from canary",
    "execute p",
    "begin",
    "commit",
    "rollback",
    "checkpoint",
    "load 'x'",
    "discard all",
    "refresh materialized view x",
    "import foreign schema public from server far into public",
    "security label on table canary is 'x'",
    "explain analyze delete from canary",
    "explain (analyze) select evil('x')",
    "explain (ANALYZE true, costs off) select 1",
    "explain (\"analyze\") select 1",
    "explain delete from canary",
    "explain select evil('x')",
    "with d as (delete from canary returning *) select * from d",
    "with d as materialized (update canary set note = 'x' returning *) select * from d",
    "with d as (insert into canary values (4, 'x') returning *) select * from d",
    "with a as (select 1) delete from canary",
    "with recursive a as (select 1), b as (delete from canary returning 1) select * from a, b",
    "select * from (with d as (delete from canary returning *) select * from d) t",
    "select * from (delete from canary returning *) t",
    // More than one statement, and ways out of the parentheses.
    "select 1; delete from canary",
    "select 1;;delete from canary",
    "select 1 /* ; */ ; -- x\n delete from canary",
    "select 1; commit; delete from canary",
    "select 1) as q; delete from canary; --",
    "select 1) q; delete from canary; select * from (select 1",
    "select 1 -- \n) q; delete from canary --",
    "select '\\'; delete from canary; --'",
    "select e'\\''; delete from canary; --'",
    "select $$ $$; delete from canary; select $$ $$",
    "select $a$ $b$ $a$; delete from canary",
    "select 1 --\r; delete from canary",
    "select U&'\\0027'; delete from canary",
    "select 1 /* /* */ ; delete from canary",
    "select \"a\"\"; delete from canary; --",
    // Functions that do more than read, in every spelling.
    "select evil('x')",
    "select public.evil('x')",
    "select \"public\".\"evil\"('x')",
    "select EVIL('x')",
    "select evil /* */ ('x')",
    "select U&\"\\0065vil\"('x')",
    "select U&\"!0065vil\" UESCAPE '!' ('x')",
    "select \"Evil Fn\"('x')",
    "select ('x'::text).evil",
    "select t.evil from (select 'x'::text as x) s, lateral (select s.x) t(x) where (t.x).evil > 0",
    "select ('x'::text).\"Evil Fn\"",
    "select * from evil('x')",
    "select * from rows from (evil('x')) t",
    "select * from canary where evil(note) > 0",
    "select count(*) filter (where evil('x') > 0) from canary",
    "select 1 order by evil('x')",
    "select 1 limit evil('x')",
    "values (evil('x'))",
    "select case when true then evil('x') end",
    "select (select evil('x'))",
    "select array(select evil('x'))",
    "select coalesce(null, evil('x'))",
    "select peek()",
    "select 1 === 2",
    "select 1 operator(public.===) 2",
    "select harmless_sum(id) from canary",
    "select 'x'::nice",
    "select cast('x' as nice)",
    "select nice 'x'",
    "select ('x'::text)::holder",
    "select nextval('numbers')",
    "select setval('numbers', 100)",
    "select numbers.nextval from numbers",
    "select set_config('statement_timeout', '0', false)",
    "select pg_sleep(1)",
    "select pg_sleep_for('1 second')",
    "select 1 from pg_sleep(1)",
    "select pg_advisory_lock(1)",
    "select pg_try_advisory_lock(1)",
    "select pg_advisory_xact_lock_shared(1)",
    "select pg_notify('x', 'y')",
    "select pg_terminate_backend(pg_backend_pid())",
    "select pg_cancel_backend(1)",
    "select pg_reload_conf()",
    "select pg_rotate_logfile()",
    "select pg_switch_wal()",
    "select pg_create_restore_point('x')",
    "select pg_stat_reset()",
    "select pg_export_snapshot()",
    "select pg_logical_emit_message(false, 'a', 'b')",
    "select pg_create_physical_replication_slot('x')",
    "select txt from (select pg_current_logfile() as txt) t",
    "select setseed(0.5)",
    "select lo_create(0)",
    "select lo_unlink(4711)",
    "select lo_import('/etc/passwd')",
    "select lo_export(4711, 'HERE/owned')",
    "select lo_get(4711)",
    "select loread(lo_open(4711, 262144), 100)",
    "select data from pg_largeobject",
    // Files of the server.
    "select pg_read_file('PG_VERSION')",
    "select pg_catalog.pg_read_file('PG_VERSION')",
    "select ('PG_VERSION'::text).pg_read_file",
    "select (t).pg_read_file from (select 'PG_VERSION'::text) t(t)",
    "select \"pg_read_file\"('PG_VERSION')",
    "select U&\"pg\\005fread\\+00005ffile\"('PG_VERSION')",
    "select PG_READ_BINARY_FILE('PG_VERSION')",
    "select * from pg_ls_dir('.')",
    "select * from pg_ls_waldir()",
    "select * from pg_stat_file('PG_VERSION')",
    "select * from pg_hba_file_rules",
    "select * from pg_file_settings",
    // SQL as text, and other servers.
    "select query_to_xml('select * from canary', true, true, '')",
    "select query_to_xml('delete from canary', true, true, '')",
    "select table_to_xml('pg_authid', true, true, '')",
    "select schema_to_xml('public', true, true, '')",
    "select database_to_xml(true, true, '')",
    "select cursor_to_xml('c', 1, true, true, '')",
    "select * from ts_stat('select pg_read_file(''PG_VERSION'')::tsvector')",
    "select ts_rewrite('a'::tsquery, 'select ''a''::tsquery, ''b''::tsquery')",
    "select * from crosstab('select 1, 2, 3') as t(a int, b int)",
    "select * from connectby('canary', 'id', 'id', '1', 0) as t(a int, b int, c int)",
    "select dblink_connect('host=/tmp')",
    "select * from dblink('dbname=postgres', 'select 1') as t(a int)",
    "select dblink_exec('dbname=postgres', 'delete from canary')",
    // What nobody should read.
    "select * from pg_authid",
    "select rolpassword from pg_catalog.pg_authid",
    "select passwd from pg_shadow",
    "table pg_shadow",
    "table \"pg_catalog\".\"pg_authid\"",
    "select * from U&\"pg_auth\\0069d\"",
    "select * from pg_user_mappings",
    "select * from pg_user_mapping",
    "select * from pg_foreign_server",
    "select * from information_schema.user_mapping_options",
    "select * from information_schema.foreign_server_options",
    "select query from pg_stat_activity",
    "select * from pg_stat_get_activity(null)",
    "select pg_stat_get_backend_activity(1)",
    "select most_common_vals from pg_stats",
    "select stavalues1 from pg_statistic",
    "select * from pg_settings",
    "select current_setting('data_directory')",
    "select current_setting('config_file', true)",
    "select current_setting('data' || '_directory')",
    "show data_directory",
    "show all",
    "show hba_file",
    "select * from pg_show_all_settings()",
    "select * from pg_stat_statements",
    "select * from pg_subscription",
    "select * from pg_config",
    // Locks.
    "select * from canary for update",
    "select * from canary for share",
    "select * from canary for no key update",
    "select * from canary for key share skip locked",
    "select * from (select * from canary for update) t",
    // Time and memory.
    "select count(*) from generate_series(1, 100000000000)",
    "with recursive t(n) as (select 1 union all select n + 1 from t) select count(*) from t",
    "with recursive t(n) as (select 1 union all select n + 1 from t) select * from t where n < 0",
    "select count(*) from generate_series(1, 1000000) a, generate_series(1, 1000000) b",
    "select repeat(repeat('x', 1000000), 900)",
    "select string_agg(repeat('x', 1000), '') from generate_series(1, 2000000)",
    "select md5(string_agg(md5(n::text), '')) from generate_series(1, 1000000000) n",
    // Not even text.
    "",
    ";",
    "select 'open",
    "select \"open",
    "select $x$ open",
    "select /* open",
    "select (((1)",
    "select 1))",
    "select 1 \0",
    "\u{feff}select 1",
];

#[tokio::test]
async fn no_attack_writes_leaks_locks_or_stays() {
    let server = postgres::shared();
    let url = server.database();
    let database = name_of(&url);
    server.psql(database, GROUND);
    let board = Harness::postgres(&url);
    let state = "select (select string_agg(c::text, ',') from canary c), (select last_value::text || is_called from numbers), \
                 (select count(*) from pg_class), (select count(*) from pg_largeobject), (select count(*) from pg_proc)";
    let before = server.psql(database, state);
    let version = server.psql(database, "select pg_read_file('PG_VERSION')");
    assert!(!version.trim().is_empty(), "the file that attacks ask for");
    // Where the server may write, and nobody else has.
    let place = Guarded::directory("attacked");
    let mut ran = Vec::new();
    for attack in ATTACKS {
        let attack = attack.replace("HERE", &place.display().to_string());
        let call = json!({"query": attack, "timeout_ms": 300}).to_string();
        let called = board.call("execute_query", &call).await;
        if !called.is_error || called.text.contains("secret-word") {
            ran.push(format!("{attack}\n  → {}", called.text));
        }
        let explained = board.call("explain_query", &json!({"query": attack}).to_string()).await;
        if explained.text.contains("secret-word") {
            ran.push(format!("explain {attack}\n  → {}", explained.text));
        }
    }
    assert!(ran.is_empty(), "{} of {} got through:\n{}", ran.len(), ATTACKS.len(), ran.join("\n"));
    assert!(ATTACKS.len() >= 180);
    assert_eq!(server.psql(database, state), before);
    assert_eq!(server.psql(database, "select count(*) from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())"), "0");
    assert_eq!(std::fs::read_dir(&place).unwrap().count(), 0);
    std::fs::remove_dir(&place).unwrap();
}

#[tokio::test]
async fn a_giant_or_deep_statement_costs_nothing() {
    let server = postgres::shared();
    let board = Harness::postgres(&server.database());
    for query in [
        format!("select {}1{}", "(".repeat(20_000), ")".repeat(20_000)),
        format!("select {}1", "1+".repeat(45_000)),
        format!("select 1{}", "+-".repeat(30_000)),
        format!("select {}", "/*".repeat(30_000)),
        format!("select {}", "'".repeat(60_001)),
        format!("select $a${}", "$b".repeat(30_000)),
        format!("select {}", "\"".repeat(60_001)),
        "x".repeat(200_000),
    ] {
        let started = std::time::Instant::now();
        let refused = board.refused("execute_query", &json!({"query": query}).to_string()).await;
        assert!(["invalid", "limit", "denied"].contains(&refused["code"].as_str().unwrap()), "{refused}");
        assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    }
    assert_eq!(board.answer("execute_query", r#"{"query":"select 1"}"#).await["rows"], json!([[1]]));
}

#[tokio::test]
async fn a_refusal_names_the_word_its_place_and_the_setting() {
    let server = postgres::shared();
    let url = server.database();
    server.psql(name_of(&url), "CREATE FUNCTION total(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN $1; END'");
    let board = Harness::postgres(&url);
    let refused = board.refused("execute_query", r#"{"query":"delete from products"}"#).await;
    assert_eq!(refused["message"], "`execute_query` only reads; this statement starts with `delete`");
    assert_eq!(
        (&refused["hint"], &refused["position"], &refused["argument"]),
        (&json!("use insert_data or bulk_insert to write"), &json!(1), &json!("query"))
    );
    let refused = board.refused("execute_query", r#"{"query":"select 'é', Total(1)"}"#).await;
    assert_eq!((&refused["code"], &refused["position"]), (&json!("denied"), &json!(13)));
    assert!(
        refused["message"].as_str().unwrap().contains("`total`")
            && refused["hint"].as_str().unwrap().contains("CALLBOARD_ALLOW_FUNCTIONS"),
        "{refused}"
    );
    // A column of that name is no call.
    assert_eq!(
        board.answer("execute_query", r#"{"query":"select total from (select 1 as total) t"}"#).await["rows"],
        json!([[1]])
    );

    let allowing = Harness::with(|config| {
        config.databases = vec![crate::support::harness::database(&url)];
        config.access.functions = vec!["total".to_owned()];
    });
    assert_eq!(allowing.answer("execute_query", r#"{"query":"select total(1)"}"#).await["rows"], json!([[1]]));
    assert_eq!(allowing.refused("execute_query", r#"{"query":"select pg_sleep(1)"}"#).await["code"], "denied");
}

#[tokio::test]
async fn a_function_made_a_moment_ago_is_seen() {
    let server = postgres::shared();
    let url = server.database();
    let board = Harness::postgres(&url);
    assert_eq!(board.refused("execute_query", r#"{"query":"select late()"}"#).await["code"], "not_found");
    server.psql(name_of(&url), "CREATE FUNCTION late() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'");
    assert_eq!(board.refused("execute_query", r#"{"query":"select late()"}"#).await["code"], "denied");
}
