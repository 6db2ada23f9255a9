//! Attacks on the embedded database through execute_query, and honest queries that must pass.

use serde_json::json;

use crate::support::{harness::Harness, patience::SOON};

const ATTACKS: [&str; 44] = [
    "insert into t values (2)",
    "update t set a = 2",
    "delete from t",
    "replace into t values (2)",
    "with x as (select 1) insert into t select 2",
    "with x as (select 1) delete from t",
    "with x as (delete from t returning a) select * from x",
    "insert into t values (2) returning a",
    "select 1; delete from t",
    "select 1;\n-- nothing\ndelete from t",
    "/* select */ delete from t",
    "select 1 /* ; */; drop table t",
    "explain delete from t; delete from t",
    "drop table t",
    "create table u (a)",
    "create table u as select * from t",
    "create temp table u (a)",
    "create view u as select 1",
    "create temp trigger g after insert on t begin delete from t; end",
    "create virtual table v using fts5(a)",
    "alter table t rename to u",
    "attach ':memory:' as other",
    "attach database 'file:/etc/passwd?mode=ro' as other",
    "attach (select 'callboard.db') as other",
    "detach public",
    "pragma query_only = off",
    "pragma writable_schema = on",
    "pragma journal_mode = delete",
    "select * from pragma_journal_mode('delete')",
    "select * from pragma_wal_checkpoint('truncate')",
    "select * from pragma_user_version(7)",
    "select load_extension('evil')",
    "select \"load_extension\"('evil')",
    "select LOAD_EXTENSION('evil', 'entry')",
    "select readfile('/etc/passwd')",
    "select writefile('HERE/was-here', 'x')",
    "select edit('x')",
    "select fts3_tokenizer('simple')",
    "vacuum",
    "vacuum into 'HERE/copy.db'",
    "begin immediate",
    "savepoint s",
    "reindex",
    "analyze",
];

/// These try to use up time or memory; each must end soon, whatever it answers.
const HOGS: [&str; 9] = [
    "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n",
    "select count(*) from t a, t b, (with recursive n(i) as (select 1 union all select i + 1 from n where i < 100000) select i from n) c,
        (with recursive m(i) as (select 1 union all select i + 1 from m where i < 100000) select i from m) d",
    "select randomblob(1000000000)",
    "select zeroblob(2000000000)",
    "select printf('%.*c', 1000000000, 'x')",
    "select hex(zeroblob(16000000))",
    "select replace(printf('%.10000000c', 'x'), 'x', 'yyyyyyyyyy')",
    "with recursive s(x) as (select 'x' union all select x || x from s) select length(x) from s",
    "select group_concat(i, printf('%.1000000c', 'x')) from (with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000) select i from n)",
];

const HONEST: [(&str, &str); 31] = [
    ("select 1", "[[1]]"),
    ("select 1;", "[[1]]"),
    ("SELECT count(*) FROM t -- how many", "[[3]]"),
    ("select a from t where a > 1 order by a desc", "[[3],[2]]"),
    ("select sum(a), min(a), max(a), avg(a) from t", "[[6,1,3,2.0]]"),
    ("with x as (select a * 2 as b from t) select b from x where b > 3 order by 1", "[[4],[6]]"),
    ("values (1, 'a'), (2, 'b')", "[[1,\"a\"],[2,\"b\"]]"),
    ("select a, row_number() over (order by a desc) from t order by a", "[[1,3],[2,2],[3,1]]"),
    ("select a.a from t a join t b on a.a = b.a + 1 order by 1", "[[2],[3]]"),
    ("select 'it''s; delete from t'", "[[\"it's; delete from t\"]]"),
    ("select \"a\" from \"t\" where \"a\" = 1", "[[1]]"),
    ("select a from main.t where a = 1", "[[1]]"),
    ("select a from public.t where a = 1", "[[1]]"),
    ("select upper(n), lower(n), length(n), substr(n, 1, 2) from t where a = 1", "[[\"ONE\",\"one\",3,\"on\"]]"),
    ("select coalesce(null, 5), nullif(1, 1), iif(1, 2, 3)", "[[5,null,2]]"),
    ("select case when a > 2 then 'big' else 'small' end from t order by a", "[[\"small\"],[\"small\"],[\"big\"]]"),
    ("select json_extract('{\"a\":[1,2]}', '$.a[1]')", "[[2]]"),
    ("select value from json_each('[1,2]')", "[[1],[2]]"),
    ("select date('2026-01-31', '+1 day'), strftime('%Y', '2026-01-31')", "[[\"2026-02-01\",\"2026\"]]"),
    ("select n from t where n like 'T%' order by n", "[[\"three\"],[\"two\"]]"),
    ("select distinct typeof(a) from t", "[[\"integer\"]]"),
    ("select a from t union all select 9 order by 1 limit 2 offset 2", "[[3],[9]]"),
    ("select group_concat(n, ',') from (select n from t order by a)", "[[\"one,two,three\"]]"),
    ("select a % 2, count(*) from t group by 1 having count(*) > 1", "[[1,2]]"),
    ("select exists (select 1 from t where a = 3)", "[[1]]"),
    ("with recursive n(i) as (select 1 union all select i + 1 from n where i < 3) select i from n", "[[1],[2],[3]]"),
    ("select name from sqlite_master where type = 'table' order by 1", "[[\"log\"],[\"t\"]]"),
    ("select \"delete\", \"insert\" from log", "[[1,2]]"),
    ("select cast('12' as integer) + 1, round(2.567, 1), abs(-3)", "[[13,2.6,3]]"),
    ("(select 1)", "[[1]]"),
    ("table log", "[[1,2]]"),
];

async fn board() -> Harness {
    let board = Harness::embedded();
    let file = rusqlite::Connection::open(board.home.path().join("data.db")).unwrap();
    file.execute_batch(
        "PRAGMA journal_mode = WAL; CREATE TABLE t (a integer, n text); INSERT INTO t VALUES (1, 'one'), (2, 'two'), (3, 'three');
         CREATE TABLE log (\"delete\" integer, \"insert\" integer); INSERT INTO log VALUES (1, 2);",
    )
    .unwrap();
    board
}

#[tokio::test]
async fn no_attack_is_answered_and_nothing_changes() {
    let board = board().await;
    let state = json!({"query":"select (select count(*) from t), (select sum(a) from t), (select count(*) from sqlite_master)"}).to_string();
    let before = board.answer("execute_query", &state).await["rows"].clone();
    let place = tempfile::tempdir().unwrap();
    for attack in ATTACKS {
        let attack = attack.replace("HERE", &place.path().display().to_string());
        let failure = board.refused("execute_query", &json!({"query":attack}).to_string()).await;
        assert!(matches!(failure["code"].as_str(), Some("denied" | "invalid" | "not_found")), "{attack}: {failure}");
    }
    assert_eq!(board.answer("execute_query", &state).await["rows"], before);
    let file = rusqlite::Connection::open(board.home.path().join("data.db")).unwrap();
    assert_eq!(file.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)), Ok(0));
    assert_eq!(file.query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0)).as_deref(), Ok("wal"));
    assert_eq!(std::fs::read_dir(&place).unwrap().count(), 0);
}

#[tokio::test]
async fn nothing_uses_up_time_or_memory() {
    let board = board().await;
    for hog in HOGS {
        let started = std::time::Instant::now();
        let failure = board.refused("execute_query", &json!({"query":hog,"timeout_ms":500}).to_string()).await;
        assert!(matches!(failure["code"].as_str(), Some("timeout" | "limit")), "{hog}: {failure}");
        assert!(started.elapsed() < SOON, "{hog}: {:?}", started.elapsed());
    }
    let deep = format!("select {}1{}", "(".repeat(3_000), ")".repeat(3_000));
    let wide = format!("select {}", vec!["1"; 3_000].join("+"));
    for text in [deep, wide] {
        board.refused("execute_query", &json!({"query":text}).to_string()).await;
    }
    board.answer("execute_query", r#"{"query":"select 1"}"#).await;
}

#[tokio::test]
async fn honest_queries_pass() {
    let board = board().await;
    for (text, wanted) in HONEST {
        let answer = board.answer("execute_query", &json!({"query":text}).to_string()).await;
        assert_eq!(answer["rows"].to_string(), wanted, "{text}");
    }
}
