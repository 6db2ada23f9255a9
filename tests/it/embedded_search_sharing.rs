//! The embedded search engine when processes share it, are killed, or find its word index gone or damaged.

use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    binary::{Binary, Streams},
    harness::Harness,
};

fn on(data: &Path) -> Harness {
    Harness::with(|config| config.data_dir = data.to_owned())
}

fn process(data: &Path) -> Binary {
    let mut binary = Binary::with(Streams::Pipes, |command| {
        command.env("CALLBOARD_DATA_DIR", data);
    });
    binary.initialize("2025-06-18");
    binary
}

fn batch(from: usize, count: usize) -> String {
    let documents: Vec<Value> = (from..from + count)
        .map(|n| json!({"id": format!("d{n}"), "n": n, "words": format!("document number {n}")}))
        .collect();
    json!({"index": "shared", "documents": documents, "id_field": "id"}).to_string()
}

async fn count(board: &Harness, query: Value) -> u64 {
    let arguments = json!({"index": "shared", "query": query});
    board.answer("count_documents", &arguments.to_string()).await["count"].as_u64().unwrap()
}

/// All files of the word index, deepest first.
fn word_files(data: &Path) -> Vec<std::path::PathBuf> {
    let (mut waiting, mut files) = (vec![data.join("search-words")], Vec::new());
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { waiting.push(path) } else { files.push(path) }
        }
    }
    files
}

#[tokio::test]
async fn what_one_process_writes_another_finds_at_once() {
    let home = tempfile::tempdir().unwrap();
    let (one, other) = (on(home.path()), on(home.path()));
    for round in 0..6_usize {
        let (writer, reader) = if round % 2 == 0 { (&one, &other) } else { (&other, &one) };
        writer.answer("index_documents", &batch(round * 10, 10)).await;
        assert_eq!(count(reader, json!({"match": {"words": "document"}})).await, (round as u64 + 1) * 10);
        assert_eq!(count(writer, json!({"range": {"n": {"gte": round * 10}}})).await, 10);
    }
    // A replaced document is found by its new words only, by both.
    one.answer("index_documents", r#"{"index":"shared","documents":[{"id":"d1","words":"changed"}],"id_field":"id"}"#)
        .await;
    for board in [&one, &other] {
        assert_eq!(count(board, json!({"match": {"words": "changed"}})).await, 1);
        assert_eq!(count(board, json!({"term": {"n": 1}})).await, 0);
        assert_eq!(count(board, json!({"match_all": {}})).await, 60);
        let document = board.answer("get_document", r#"{"index":"shared","id":"d1"}"#).await;
        assert_eq!((&document["version"], &document["document"]), (&json!(2), &json!({"id":"d1","words":"changed"})));
    }
}

#[tokio::test]
async fn many_writers_and_readers_lose_nothing() {
    let home = tempfile::tempdir().unwrap();
    let boards = [on(home.path()), on(home.path()), on(home.path())];
    let work = (0..12).map(|n| {
        let board = &boards[n % boards.len()];
        async move {
            board.answer("index_documents", &batch(n * 5, 5)).await;
            let seen = count(board, json!({"match": {"words": "document"}})).await;
            assert!((5..=60).contains(&seen), "{seen}");
        }
    });
    futures_util::future::join_all(work).await;
    for board in &boards {
        assert_eq!(count(board, json!({"match": {"words": "document"}})).await, 60);
    }
}

#[tokio::test]
async fn a_word_index_that_is_gone_or_damaged_is_made_anew() {
    let home = tempfile::tempdir().unwrap();
    let damages: [fn(&Path); 4] = [
        |data| std::fs::remove_dir_all(data.join("search-words")).unwrap(),
        |data| word_files(data).iter().for_each(|file| std::fs::write(file, b"").unwrap()),
        |data| word_files(data).iter().for_each(|file| std::fs::write(file, [7_u8; 300]).unwrap()),
        |data| {
            let segments =
                word_files(data).into_iter().filter(|file| file.extension().is_some_and(|end| end != "json"));
            segments.for_each(|file| std::fs::remove_file(file).unwrap());
        },
    ];
    for (round, damage) in damages.into_iter().enumerate() {
        let board = on(home.path());
        board.answer("index_documents", &batch(round * 10, 10)).await;
        assert_eq!(count(&board, json!({"match": {"words": "number"}})).await, (round as u64 + 1) * 10);
        drop(board);
        damage(home.path());
        let again = on(home.path());
        assert_eq!(
            count(&again, json!({"match": {"words": "number"}})).await,
            (round as u64 + 1) * 10,
            "round {round}"
        );
    }
}

#[tokio::test]
async fn documents_that_were_removed_by_hand_take_their_words_with_them() {
    let home = tempfile::tempdir().unwrap();
    let board = on(home.path());
    board.answer("index_documents", &batch(0, 10)).await;
    assert_eq!(count(&board, json!({"match_all": {}})).await, 10);
    for end in ["", "-wal", "-shm"] {
        std::fs::remove_file(home.path().join(format!("search.db{end}"))).ok();
    }
    board.answer("index_documents", &batch(50, 3)).await;
    assert_eq!(count(&board, json!({"match": {"words": "document"}})).await, 3);
}

#[test]
fn a_killed_process_loses_no_accepted_document() {
    let home = tempfile::tempdir().unwrap();
    let mut accepted = 0;
    for round in 0..4 {
        let mut binary = process(home.path());
        for _ in 0..3 {
            binary.answer("index_documents", &batch(accepted, 40));
            accepted += 40;
        }
        if round % 2 == 0 {
            binary.answer("count_documents", r#"{"index":"shared","text":"document"}"#);
        }
        // One more batch and a search are under way when it dies.
        binary.send(&format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"index_documents","arguments":{}}}}}"#,
            batch(100_000 + round * 1_000, 600)
        ));
        binary.send(r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"search_documents","arguments":{"index":"shared","text":"number"}}}"#);
        binary.signal(Signal::KILL);
        binary.wait();
    }
    let mut binary = process(home.path());
    let query = json!({"index": "shared", "query": {"bool": {"must": [{"match": {"words": "document"}}, {"range": {"n": {"lt": accepted}}}]}}});
    assert_eq!(binary.answer("count_documents", &query.to_string())["count"], accepted);
    // A batch that was not accepted is there as a whole or not at all.
    let rest = json!({"index": "shared", "query": {"range": {"n": {"gte": 100_000}}}});
    assert_eq!(binary.answer("count_documents", &rest.to_string())["count"].as_u64().unwrap() % 600, 0);
}

#[test]
fn the_engine_is_opened_by_the_first_search_only() {
    let home = tempfile::tempdir().unwrap();
    let mut binary = process(home.path());
    binary.answer("get_server_info", "{}");
    assert!(!home.path().join("search.db").exists() && !home.path().join("search-words").exists());
    binary.answer("list_indices", "{}");
    assert!(home.path().join("search.db").exists() && !home.path().join("search-words").exists());
}

#[tokio::test]
async fn a_damaged_file_is_told_and_nothing_is_written_over_it() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("search.db");
    std::fs::write(&file, "this is no database, but long enough to be taken for one at first".repeat(100)).unwrap();
    let before = std::fs::read(&file).unwrap();
    let board = on(home.path());
    for (tool, arguments) in [
        ("list_indices", "{}"),
        ("search_documents", r#"{"index":"shared","text":"x"}"#),
        ("index_documents", r#"{"index":"shared","documents":[{"a":1}]}"#),
    ] {
        let failure = board.refused(tool, arguments).await;
        assert_eq!(
            (&failure["code"], &failure["message"]),
            (
                &json!("internal"),
                &json!(format!(
                    "`{}` cannot be used: it is damaged, or another program's (file is not a database)",
                    file.display()
                ))
            )
        );
    }
    let info = board.answer("get_server_info", "{}").await;
    let search = info["backends"].as_array().unwrap().iter().find(|backend| backend["name"] == "search").unwrap();
    assert_eq!(search["state"], "down");
    assert_eq!(std::fs::read(&file).unwrap(), before);
}
