//! A search engine that is down, hangs, or breaks off: what the tools say, how soon, and that they work as soon as it is back.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{
    engines::{self, EngineServer, index_name},
    harness::Harness,
    patience::{A_SECOND, PATIENCE},
    proxy::Proxy,
};

/// A Callboard before a proxy before an engine, with an index of three documents.
async fn behind_proxy() -> (&'static EngineServer, Proxy, Harness, String) {
    let server = tokio::task::spawn_blocking(engines::shared).await.unwrap();
    let proxy = Proxy::to(server.port);
    let board = Harness::search(engines::config(proxy.port()));
    let index = index_name("outage");
    let documents = json!([{"id": "a", "n": 1}, {"id": "b", "n": 2}, {"id": "c", "n": "x".repeat(4_000)}]);
    let mapping = r#"{"mappings":{"properties":{"n":{"type":"keyword"}}}}"#;
    server.http("PUT", &format!("/{index}"), mapping);
    let arguments = json!({"index": index, "documents": documents, "id_field": "id"});
    assert_eq!(board.answer("index_documents", &arguments.to_string()).await["indexed"], 3);
    (server, proxy, board, index)
}

fn calls(index: &str) -> [(&'static str, Value); 7] {
    [
        ("search_documents", json!({"index": index})),
        ("get_document", json!({"index": index, "id": "a"})),
        ("list_indices", json!({})),
        ("get_mapping", json!({"index": index})),
        ("count_documents", json!({"index": index})),
        ("bulk_export", json!({"index": index})),
        ("index_documents", json!({"index": format!("{index}-more"), "documents": [{"n": 1}]})),
    ]
}

#[tokio::test]
async fn every_tool_says_within_a_second_that_nobody_listens_and_works_when_somebody_does() {
    let (_, proxy, board, index) = behind_proxy().await;
    for round in 0..2 {
        proxy.refuse();
        // The first call may meet a connection that is being cut, and say so.
        board.refused("list_indices", "{}").await;
        for (tool, arguments) in calls(&index) {
            let started = Instant::now();
            let failure = board.refused(tool, &arguments.to_string()).await;
            assert!(started.elapsed() < A_SECOND, "{tool} took {:?}", started.elapsed());
            assert_eq!(
                (&failure["code"], &failure["retryable"]),
                (&json!("unavailable"), &json!(true)),
                "{tool} {failure}"
            );
            assert_eq!(failure["message"], "the search engine cannot be reached: connection refused", "{tool}");
            assert!(failure["retry_after_ms"].as_u64().is_some() && failure["hint"].is_string(), "{failure}");
        }
        proxy.pass();
        works_again(&board, &index, round).await;
    }
}

/// The breaker looks ten times a second; a call that comes earlier is told to come again.
async fn works_again(board: &Harness, index: &str, round: usize) {
    let started = Instant::now();
    let arguments = json!({"index": index}).to_string();
    loop {
        let (is_error, answer) = board.any("count_documents", &arguments).await;
        if !is_error {
            assert_eq!(answer["count"], 3);
            return;
        }
        assert_eq!(answer["code"], "unavailable", "{answer}");
        assert!(started.elapsed() < PATIENCE, "round {round}: still down: {answer}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn one_failure_does_not_keep_the_next_call_from_working() {
    let (_, proxy, board, index) = behind_proxy().await;
    for _ in 0..20 {
        proxy.refuse();
        let failure = board.refused("count_documents", &json!({"index": index}).to_string()).await;
        assert_eq!(failure["code"], "unavailable");
        proxy.pass();
        assert_eq!(board.answer("count_documents", &json!({"index": index}).to_string()).await["count"], 3);
    }
}

#[tokio::test]
async fn an_engine_that_hangs_is_told_within_a_second_then_at_once_and_works_when_it_goes_on() {
    let (_, proxy, board, index) = behind_proxy().await;
    proxy.hang();
    let arguments = json!({"index": index}).to_string();
    for attempt in 0..5 {
        let started = Instant::now();
        let failure = board.refused("search_documents", &arguments).await;
        assert!(started.elapsed() < A_SECOND, "attempt {attempt} took {:?}", started.elapsed());
        assert_eq!(
            (&failure["code"], &failure["message"]),
            (&json!("unavailable"), &json!("the search engine does not answer"))
        );
    }
    // The breaker is open now.
    let started = Instant::now();
    for _ in 0..100 {
        let failure = board.refused("search_documents", &arguments).await;
        assert_eq!(failure["message"], "the search engine does not answer");
        assert!(failure["retry_after_ms"].as_u64().is_some_and(|wait| wait > 0), "{failure}");
    }
    // Each would take nearly a second if it asked.
    assert!(started.elapsed() < A_SECOND, "{:?}", started.elapsed());
    proxy.pass();
    works_again(&board, &index, 0).await;
}

#[tokio::test]
async fn an_answer_cut_short_is_no_answer() {
    let (_, proxy, board, index) = behind_proxy().await;
    proxy.cut_after(300);
    let failure = board.refused("search_documents", &json!({"index": index}).to_string()).await;
    assert_eq!((&failure["code"], &failure["retryable"]), (&json!("unavailable"), &json!(true)), "{failure}");
    proxy.pass();
    works_again(&board, &index, 0).await;
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_of_unknown_outcome() {
    let (_, proxy, board, index) = behind_proxy().await;
    // The engine's answer to the question before the write passes; the one to the write is cut.
    proxy.cut_after(4_000);
    let documents: Vec<Value> = (0..200).map(|n| json!({"id": format!("w{n}"), "n": n})).collect();
    let arguments = json!({"index": index, "documents": documents, "id_field": "id"}).to_string();
    let failure = board.refused("index_documents", &arguments).await;
    assert_eq!((&failure["code"], &failure["retryable"]), (&json!("outcome_unknown"), &json!(true)), "{failure}");
    proxy.pass();
    // Here it did stand, which nobody could know from the answer.
    let count = board.answer("count_documents", &json!({"index": index}).to_string()).await;
    assert_eq!(count["count"], 203);
}

#[tokio::test]
async fn documents_without_ids_are_written_once_when_the_call_is_repeated() {
    let (_, proxy, board, index) = behind_proxy().await;
    proxy.cut_after(4_000);
    let documents: Vec<Value> = (0..200).map(|n| json!({"n": n})).collect();
    let arguments = json!({"index": index, "documents": documents, "idempotency_key": "once"}).to_string();
    assert_eq!(board.refused("index_documents", &arguments).await["code"], "outcome_unknown");
    proxy.pass();
    let count = json!({"index": index}).to_string();
    assert_eq!(board.answer("count_documents", &count).await["count"], 203, "it did stand");
    let again = board.answer("index_documents", &arguments).await;
    assert_eq!(again, json!({"indexed": 200, "failed": []}));
    assert_eq!(board.answer("index_documents", &arguments).await, again);
    assert_eq!(board.answer("count_documents", &count).await["count"], 203);
}

#[tokio::test]
async fn mistakes_of_callers_never_open_the_breaker() {
    let (_, _proxy, board, index) = behind_proxy().await;
    for _ in 0..10 {
        let failure =
            board.refused("search_documents", &json!({"index": index, "query": {"nope": {}}}).to_string()).await;
        assert_eq!(failure["code"], "invalid");
        let failure = board.refused("get_mapping", r#"{"index":"no-such-index"}"#).await;
        assert_eq!(failure["code"], "not_found");
    }
    assert_eq!(board.answer("count_documents", &json!({"index": index}).to_string()).await["count"], 3);
}

#[tokio::test]
async fn server_info_tells_the_state_as_it_is_now() {
    let (_, proxy, board, _) = behind_proxy().await;
    let state = |info: &Value| {
        let backends = info["backends"].as_array().unwrap();
        backends.iter().find(|backend| backend["name"] == "search").unwrap()["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state(&board.answer("get_server_info", "{}").await), "up");
    for stop in [Proxy::refuse, Proxy::hang] {
        stop(&proxy);
        let started = Instant::now();
        assert_eq!(state(&board.answer("get_server_info", "{}").await), "down");
        assert!(started.elapsed() < A_SECOND, "{:?}", started.elapsed());
        proxy.pass();
        assert_eq!(state(&board.answer("get_server_info", "{}").await), "up");
    }
}

#[tokio::test]
async fn an_export_that_breaks_off_is_an_error_and_leaves_no_file() {
    let (server, proxy, board, _) = behind_proxy().await;
    let index = server.index("broken", "{}");
    let documents: Vec<Value> = (0..3_000).map(|n| json!({"n": n, "filler": "y".repeat(200)})).collect();
    let written = board.answer("index_documents", &json!({"index": index, "documents": documents}).to_string()).await;
    assert_eq!(written["indexed"], 3_000);
    proxy.cut_after(400_000);
    let arguments = json!({"index": index, "destination": "file"}).to_string();
    let failure = board.refused("bulk_export", &arguments).await;
    assert_eq!(failure["code"], "unavailable", "{failure}");
    let exports = board.home.path().join("exports");
    let left = std::fs::read_dir(exports).into_iter().flatten().flatten().count();
    assert_eq!(left, 0);
    proxy.pass();
    assert_eq!(board.answer("bulk_export", &arguments).await["count"], 3_000);
}

#[tokio::test]
async fn what_answers_but_is_no_engine_is_told() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // On a slow machine it is also asked for a sign of life.
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 4096];
            let asked = stream.read(&mut request).unwrap_or_default();
            let body = if request[..asked].starts_with(b"HEAD") { "" } else { "<html>It works!</html>" };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).ok();
        }
    });
    let board = Harness::search(engines::config(port));
    for _ in 0..2 {
        let failure = board.refused("count_documents", r#"{"index":"a"}"#).await;
        assert_eq!(failure["code"], "unavailable", "{failure}");
        assert!(failure["message"].as_str().unwrap().contains("not Elasticsearch"), "{failure}");
    }
}
