//! Backends that are down, hang, or break off, before the real binary; and the binary itself, killed in the middle of its work.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    binary::{Binary, Streams},
    engines::{self, index_name},
    patience::{A_SECOND, PATIENCE},
    port::Port,
    postgres::{self, name_of},
    proxy::Proxy,
};

fn serve(set: &[(&str, &str)]) -> Binary {
    let mut board = Binary::with(Streams::Pipes, |command: &mut Command| {
        command.envs(set.iter().copied());
    });
    board.initialize("2025-06-18");
    board
}

/// The tool refuses soon, says that its backend is unavailable, and what to do.
fn refused_soon(board: &mut Binary, tool: &str, arguments: &str) {
    let started = Instant::now();
    let failure = board.refused(tool, arguments);
    let took = started.elapsed();
    assert!(took < A_SECOND, "{tool} took {took:?}: {failure}");
    assert_eq!((&failure["code"], &failure["retryable"]), (&json!("unavailable"), &json!(true)), "{failure}");
    assert!(failure["hint"].is_string(), "{failure}");
}

/// The tool answers again, at the latest after a short while, without anybody having to do anything.
fn answers_again(board: &mut Binary, tool: &str, arguments: &str) {
    let started = Instant::now();
    loop {
        let result = board.call(tool, arguments);
        if result["isError"] != true {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{tool} still refuses: {result}");
    }
}

#[test]
fn with_everything_down_it_starts_at_once_and_says_what_is_wrong() {
    let (one, other) = (Port::take(), Port::take());
    let database = format!("postgres://nobody:secret-word@127.0.0.1:{}/none", one.number());
    let engine = format!("http://127.0.0.1:{}", other.number());
    let started = Instant::now();
    let mut board = serve(&[("DATABASE_URL", &database), ("ELASTICSEARCH_URL", &engine)]);
    assert!(started.elapsed() < A_SECOND, "{:?}", started.elapsed());
    assert_eq!(
        board.request("tools/list", &json!({}))["result"]["tools"].as_array().unwrap().len(),
        callboard::domain::catalogue::TOOLS.len()
    );
    refused_soon(&mut board, "list_tables", "{}");
    refused_soon(&mut board, "execute_query", r#"{"query":"select 1"}"#);
    refused_soon(&mut board, "bulk_insert", r#"{"table":"t","rows":[{"a":1}]}"#);
    refused_soon(&mut board, "list_indices", "{}");
    refused_soon(&mut board, "search_documents", r#"{"index":"i","text":"x"}"#);
    refused_soon(&mut board, "bulk_export", r#"{"index":"i"}"#);
    let info = board.answer("get_server_info", "{}");
    let backends = info["backends"].as_array().unwrap();
    for name in ["sql", "search"] {
        let backend = backends.iter().find(|backend| backend["name"] == name).unwrap();
        assert_eq!(backend["state"], "down", "{backend}");
    }
    assert!(!info.to_string().contains("secret-word"));
}

#[test]
fn a_database_that_refuses_hangs_or_breaks_off() {
    let server = postgres::shared();
    let url = server.database();
    let proxy = Proxy::to(server.port);
    let url = url.replace(&format!(":{}/", server.port), &format!(":{}/", proxy.port()));
    let mut board = serve(&[("DATABASE_URL", &url)]);
    let (tool, arguments) = ("execute_query", r#"{"query":"select 1"}"#);
    board.answer(tool, arguments);

    proxy.refuse();
    refused_soon(&mut board, tool, arguments);
    board.answer("list_indices", "{}");
    proxy.pass();
    answers_again(&mut board, tool, arguments);

    proxy.hang();
    refused_soon(&mut board, tool, arguments);
    board.answer("list_indices", "{}");
    proxy.pass();
    answers_again(&mut board, tool, arguments);

    proxy.cut_after(20_000);
    let long =
        r#"{"query":"select repeat('x', 100) from generate_series(1, 5000)","max_rows":5000,"max_bytes":1000000}"#;
    let failure = board.refused(tool, long);
    assert_eq!(failure["code"], "unavailable", "{failure}");
    proxy.pass();
    answers_again(&mut board, tool, long);
}

#[test]
fn a_search_engine_that_refuses_hangs_or_breaks_off() {
    let engine = engines::shared();
    let index = index_name("outage");
    let proxy = Proxy::to(engine.port);
    let mut board = serve(&[("ELASTICSEARCH_URL", &format!("http://127.0.0.1:{}", proxy.port()))]);
    let documents: Vec<Value> = (0..400).map(|n| json!({"id": n, "text": "word ".repeat(50)})).collect();
    let arguments = json!({"index": index, "documents": documents, "id_field": "id"});
    assert_eq!(board.answer("index_documents", &arguments.to_string())["indexed"], 400);
    let (tool, arguments) = ("count_documents", json!({ "index": index }).to_string());
    board.answer(tool, &arguments);

    proxy.refuse();
    refused_soon(&mut board, tool, &arguments);
    board.answer("list_tables", "{}");
    proxy.pass();
    answers_again(&mut board, tool, &arguments);

    proxy.hang();
    refused_soon(&mut board, tool, &arguments);
    board.answer("list_tables", "{}");
    proxy.pass();
    answers_again(&mut board, tool, &arguments);

    proxy.cut_after(20_000);
    let export = json!({ "index": index }).to_string();
    let failure = board.refused("bulk_export", &export);
    assert_eq!(failure["code"], "unavailable", "{failure}");
    assert!(names_in(&board.home.path().join("data/exports")).is_empty());
    proxy.pass();
    answers_again(&mut board, "bulk_export", &export);
    assert_eq!(board.answer("bulk_export", &export)["count"], 400);
}

/// A server that keeps its data when it is killed.
fn serve_in(home: &TempDir, set: &[(&str, &str)]) -> Binary {
    let data = home.path().join("data");
    let mut all = vec![("CALLBOARD_DATA_DIR", data.to_str().unwrap())];
    all.extend_from_slice(set);
    serve(&all)
}

fn kill(mut board: Binary) {
    board.signal(Signal::KILL);
    board.wait();
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::yield_now();
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    entries.into_iter().map(|entry| entry.file_name().into_string().unwrap()).collect()
}

const ROWS: u64 = 20_000;

fn rows(table: &str) -> String {
    let rows: Vec<Value> = (0..ROWS).map(|n| json!({"id": n, "word": format!("word {n}")})).collect();
    json!({"table": table, "rows": rows, "on_conflict": "update", "conflict_columns": ["id"]}).to_string()
}

fn create(board: &mut Binary) {
    let columns = json!([{"name": "id", "type": "bigint"}, {"name": "word", "type": "text"}]);
    let table = json!({"table": "words", "columns": columns, "primary_key": ["id"]});
    board.answer("create_table", &table.to_string());
}

fn start_load(board: &mut Binary) {
    let arguments = rows("words");
    board.send(&format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"bulk_insert","arguments":{arguments}}}}}"#
    ));
}

/// After the kill: none or all, and the same load again makes it all.
fn none_or_all_then_all(board: &mut Binary) {
    let count = board.answer("count_rows", r#"{"table":"words"}"#)["count"].as_u64().unwrap();
    assert!(count == 0 || count == ROWS, "{count} of {ROWS} rows");
    let loaded = board.answer("bulk_insert", &rows("words"));
    assert_eq!(loaded["inserted"].as_u64().unwrap() + loaded["unchanged"].as_u64().unwrap(), ROWS);
    assert_eq!(board.answer("count_rows", r#"{"table":"words"}"#)["count"], ROWS);
}

#[test]
fn killed_while_it_loads_into_postgres() {
    let server = postgres::shared();
    let url = server.database();
    let home = tempfile::tempdir().unwrap();
    let mut board = serve_in(&home, &[("DATABASE_URL", &url)]);
    create(&mut board);
    // However fast the machine: the load is in the middle until it is killed.
    server.psql(
        name_of(&url),
        "create function wait() returns trigger language plpgsql as $$ begin perform pg_sleep(3600); return new; end $$;
         create trigger wait before insert on words for each row when (new.id = 10000) execute function wait()",
    );
    start_load(&mut board);
    let working =
        format!("select count(*) from pg_stat_activity where datname = '{}' and wait_event = 'PgSleep'", name_of(&url));
    wait_until("the load is in the middle", || server.psql("postgres", &working) != "0");
    kill(board);
    let busy = format!("select count(*) from pg_stat_activity where datname = '{}'", name_of(&url));
    wait_until("the database has let go", || server.psql("postgres", &busy) == "0");
    server.psql(name_of(&url), "drop trigger wait on words");
    none_or_all_then_all(&mut serve_in(&home, &[("DATABASE_URL", &url)]));
}

#[test]
fn killed_while_it_loads_into_the_embedded_database() {
    let home = tempfile::tempdir().unwrap();
    let mut board = serve_in(&home, &[]);
    create(&mut board);
    let files = ["data.db", "data.db-wal"].map(|name| home.path().join("data").join(name));
    let state = || files.each_ref().map(|path| std::fs::metadata(path).and_then(|about| about.modified()).ok());
    let before = state();
    start_load(&mut board);
    wait_until("the load writes", || state() != before);
    kill(board);
    none_or_all_then_all(&mut serve_in(&home, &[]));
}

#[test]
fn killed_while_it_exports() {
    let engine = engines::shared();
    let index = engine
        .index("killed", r#"{"mappings":{"properties":{"text":{"type":"keyword","index":false,"doc_values":false}}}}"#);
    let text = "x".repeat(8_000);
    for batch in 0..8 {
        let lines: String =
            (0..500).map(|n| format!("{{\"index\":{{\"_id\":\"{batch}-{n}\"}}}}\n{{\"text\":\"{text}\"}}\n")).collect();
        engine.http("POST", &format!("/{index}/_bulk"), &lines);
    }
    engine.http("POST", &format!("/{index}/_refresh"), "");
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("data/exports");
    let url = engine.config().url.to_string();
    // However fast the machine: the export is in the middle until it is killed.
    let proxy = Proxy::to(engine.port);
    proxy.hang_after(12_000_000);
    let mut board = serve_in(&home, &[("ELASTICSEARCH_URL", &format!("http://127.0.0.1:{}", proxy.port()))]);
    let arguments = json!({ "index": index }).to_string();
    board.send(&format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"bulk_export","arguments":{arguments}}}}}"#
    ));
    wait_until("the file is begun", || !names_in(&folder).is_empty());
    kill(board);
    let left = names_in(&folder);
    assert!(left.len() == 1 && left[0].starts_with('.'), "half a file may only be hidden: {left:?}");

    let mut board = serve_in(&home, &[("ELASTICSEARCH_URL", &url)]);
    assert_eq!(board.request("resources/list", &json!({}))["result"]["resources"], json!([]));
    let exported = board.answer("bulk_export", &arguments);
    assert_eq!((&exported["count"], &exported["complete"]), (&json!(4_000), &json!(true)));
    let path = PathBuf::from(exported["path"].as_str().unwrap());
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 4_000);
    assert_eq!(names_in(&folder), [path.file_name().unwrap().to_str().unwrap()], "what was left is gone");
}
