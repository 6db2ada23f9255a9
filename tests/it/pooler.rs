//! PostgreSQL behind PgBouncer in transaction mode, where each transaction may run on another connection.

use std::{path::Path, time::Duration};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    guarded::{Guarded, as_user},
    harness::Harness,
    port::Port,
    postgres::{self, name_of},
};

/// A running PgBouncer before the shared server.
pub struct Pooler {
    _guarded: Guarded,
    port: Port,
}

impl Pooler {
    /// With so many connections to the server for each database.
    pub fn start(connections: usize) -> Self {
        let port = Port::take();
        let dir = Guarded::directory("pgbouncer");
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\nunix_socket_dir =\n\
             auth_type = any\npool_mode = transaction\ndefault_pool_size = {connections}\nmax_client_conn = 200\n",
            postgres::shared().port,
            port.number()
        );
        std::fs::write(dir.join("pgbouncer.ini"), settings).unwrap();
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].into_iter().find(|path| Path::new(path).exists());
        let program = program.expect("no pgbouncer; run the tests by `tests/run`");
        let mut guarded =
            Guarded::start(dir.clone(), &as_user(&format!("{program} {}", dir.join("pgbouncer.ini").display())));
        guarded.wait_until(|| std::net::TcpStream::connect(("127.0.0.1", port.number())).is_ok());
        Self { _guarded: guarded, port }
    }

    /// The way to a database through it.
    pub fn url(&self, url: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{}", self.port.number(), name_of(url))
    }
}

#[tokio::test]
async fn several_servers_read_through_it() {
    let server = postgres::shared();
    let url = server.database();
    server.psql(
        name_of(&url),
        "CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE TABLE feelings (who text, how mood);
         INSERT INTO feelings VALUES ('a', 'happy'), ('b', 'sad')",
    );
    let pooler = Pooler::start(3);
    let boards: Vec<Harness> = (0..3).map(|_| Harness::postgres(&pooler.url(&url))).collect();
    let query = r#"{"query":"select who, how, array[how], $2::text from feelings where how = $1 and who = any($3)","params":["happy","x",["a","b"]]}"#;
    for round in 0..6 {
        let calls = boards.iter().flat_map(|board| (0..4).map(move |_| board.answer("execute_query", query)));
        for answer in join_all(calls).await {
            assert_eq!(answer["rows"], json!([["a", "happy", ["happy"], "x"]]), "round {round}");
        }
        let calls = boards.iter().map(|board| board.answer("get_schema", r#"{"table":"feelings"}"#));
        for answer in join_all(calls).await {
            assert_eq!(answer["columns"][1]["enum_labels"], json!(["sad", "happy"]));
        }
    }
}

/// Loads by COPY, single rows and counts take turns on the one connection, and each is exact.
#[tokio::test]
async fn writes_and_counts_at_once_share_one_connection() {
    let server = postgres::shared();
    let url = server.database();
    server.psql(
        name_of(&url),
        "CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE TABLE notes (id int PRIMARY KEY, how mood, tags text[])",
    );
    let pooler = Pooler::start(1);
    let board = Harness::postgres(&pooler.url(&url));
    let row = |id: usize| json!({"id": id, "how": "happy", "tags": ["a", null]});
    let load = |from: usize| json!({"table": "notes", "rows": (from..from + 600).map(row).collect::<Vec<_>>(), "on_conflict": "update"});
    for round in 0..3_usize {
        let from = round * 10_000;
        let calls: Vec<(&str, Value)> = vec![
            ("bulk_insert", load(from)),
            ("insert_data", json!({"table": "notes", "row": row(from + 9_000), "returning": ["id", "how"]})),
            ("count_rows", json!({"table": "notes", "where": {"how": "happy", "id": {"lt": from}}})),
            ("bulk_insert", load(from + 1_000)),
            ("count_rows", json!({"table": "notes", "where": {"id": {"in": [0, 1, from + 9_999]}}})),
            ("insert_data", json!({"table": "notes", "row": row(from + 9_001)})),
        ];
        let texts: Vec<String> = calls.iter().map(|(_, arguments)| arguments.to_string()).collect();
        let answers = join_all(calls.iter().zip(&texts).map(|((tool, _), text)| board.answer(tool, text))).await;
        assert_eq!((&answers[0]["inserted"], &answers[3]["inserted"]), (&json!(600), &json!(600)), "{answers:?}");
        assert_eq!(answers[1]["row"], json!({"id": from + 9_000, "how": "happy"}));
        assert_eq!(answers[2]["count"], round * 1_202);
        assert_eq!(answers[5]["inserted"], 1);
        let again = join_all(
            [load(from), load(from + 1_000)]
                .map(|load| load.to_string())
                .each_ref()
                .map(|text| board.answer("bulk_insert", text)),
        )
        .await;
        assert_eq!((&again[0]["unchanged"], &again[1]["unchanged"]), (&json!(600), &json!(600)));
    }
    assert_eq!(board.answer("count_rows", r#"{"table":"notes"}"#).await["count"], 3 * 1_202);
    let used = format!("select count(*) from pg_stat_activity where datname = '{}'", name_of(&url));
    assert_eq!(server.psql("postgres", &used), "1", "there was only one connection to share");
}

/// What is known of a table is proved in whatever session the load is given, and by none of the others.
#[tokio::test]
async fn few_rows_at_once_share_what_is_known_of_their_table() {
    let server = postgres::shared();
    let url = server.database();
    server.psql(name_of(&url), "CREATE TABLE notes (id int PRIMARY KEY, word varchar(9))");
    let pooler = Pooler::start(2);
    let boards: Vec<Harness> = (0..2).map(|_| Harness::postgres(&pooler.url(&url))).collect();
    for round in 0..4_u64 {
        let loads: Vec<String> = (0..6)
            .map(|n| {
                json!({"table": "notes", "rows": [{"id": round * 10 + n, "word": "w"}], "on_conflict": "update"})
                    .to_string()
            })
            .collect();
        let calls = loads.iter().flat_map(|load| boards.iter().map(move |board| board.answer("bulk_insert", load)));
        let answers = join_all(calls).await;
        let of = |name: &str| answers.iter().map(|answer| answer[name].as_u64().unwrap()).sum::<u64>();
        assert_eq!((of("inserted"), of("unchanged")), (6, 6), "round {round}");
        // Longer or shorter, the statements of all sessions are made for another table from now on.
        server.psql(name_of(&url), &format!("ALTER TABLE notes ALTER word TYPE varchar({})", round + 1));
    }
    assert_eq!(server.psql(name_of(&url), "SELECT count(*) FROM notes"), "24");
}

#[tokio::test]
async fn a_pooler_whose_connections_are_in_use_is_waited_for() {
    let server = postgres::shared();
    let url = server.database();
    server.psql(name_of(&url), "CREATE TABLE t (id int)");
    let pooler = Pooler::start(1);
    let (client, connection) = tokio_postgres::connect(&pooler.url(&url), tokio_postgres::NoTls).await.unwrap();
    let work = async {
        client.batch_execute("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
        let board = Harness::postgres(&pooler.url(&url));
        let call = board.answer("count_rows", r#"{"table":"t"}"#);
        tokio::pin!(call);
        // Longer than a server that hangs is waited for.
        tokio::select! {
            answer = &mut call => panic!("nobody can have answered: {answer}"),
            () = tokio::time::sleep(Duration::from_secs(2)) => {}
        }
        client.batch_execute("COMMIT").await.unwrap();
        assert_eq!(call.await["count"], 1);
    };
    tokio::select! {
        () = work => {}
        ended = connection => panic!("{ended:?}"),
    }
}

/// Whoever is given our session of the server next finds it as it was, but for one prepared statement of our own name.
#[tokio::test]
async fn limits_stay_inside_our_transactions() {
    let url = postgres::shared().database();
    let pooler = Pooler::start(1);
    let board = Harness::postgres(&pooler.url(&url));
    board.answer("execute_query", r#"{"query":"select 1"}"#).await;
    let left = "SELECT (SELECT string_agg(DISTINCT left(name, 10), ' ') FROM pg_prepared_statements WHERE from_sql), string_agg(name, ' ') FROM pg_settings
                WHERE source = 'session' AND (name LIKE '%timeout' OR name LIKE '%interval' OR name IN ('work_mem', 'temp_file_limit'))";
    let port = pooler.port.number();
    // On a thread of its own: the end of our transaction leaves when the call has been answered.
    let seen = tokio::task::spawn_blocking(move || postgres::psql_at(port, name_of(&url), left));
    assert_eq!(seen.await.unwrap(), "callboard_|");
}
