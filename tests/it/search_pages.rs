//! Following `next` gives every hit once: on every engine, by any order, wherever a page is cut, through clients that keep numbers as doubles.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{
    engines::{self, EngineServer, Kind},
    harness::Harness,
};

const DOCUMENTS: usize = 600;

/// Orders that tie across shards, miss values, or hold integers that no double holds.
fn sorts() -> Vec<Option<Value>> {
    vec![
        None,
        Some(json!([{"status": "asc"}])),
        Some(json!([{"status": "desc"}, "_score"])),
        Some(json!([{"group": {"order": "desc", "missing": "_first"}}])),
        Some(json!([{"at": "asc"}])),
        Some(json!([{"at": {"order": "desc", "missing": "_last"}}])),
        Some(json!([{"exact_at": "asc"}])),
        Some(json!([{"big": "desc"}])),
        Some(json!([{"ratio": "asc"}, {"group": "asc"}])),
    ]
}

fn document(n: usize) -> Value {
    let mut document = json!({
        "id": format!("d{n}"), "status": "open", "note": "x".repeat(800), "exact_at": format!("2026-01-01T00:00:00.{:09}Z", n / 7),
        "big": 9_007_199_254_740_993_u64 + (n as u64 / 5),
    });
    if !n.is_multiple_of(3) {
        document["at"] = json!(format!("2026-01-{:02}", 1 + n % 28));
        document["group"] = json!(format!("g{}", n % 4));
        document["ratio"] = json!((n % 9) as f64 / 4.0);
    }
    document
}

/// What arrives through a client that has no integers of 64 bits.
fn through_doubles(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64().unwrap()),
        Value::Array(values) => values.iter().map(through_doubles).collect(),
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), through_doubles(value))).collect(),
        other => other.clone(),
    }
}

/// All pages of a search: the ids in order.
async fn follow(board: &Harness, mut arguments: Value) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let found = board.answer("search_documents", &arguments.to_string()).await;
        ids.extend(found["hits"].as_array().unwrap().iter().map(|hit| hit["_id"].as_str().unwrap().to_owned()));
        assert!(ids.len() <= 2 * DOCUMENTS, "{arguments}");
        if found["next"].is_null() {
            return ids;
        }
        arguments["search_after"] = through_doubles(&found["next"]["search_after"]);
        assert!(arguments["search_after"].is_array(), "{found}");
    }
}

async fn all_come_once(board: &Harness, index: &str, engine: &str) {
    for sort in sorts() {
        for (size, bytes) in [(100, 24_000), (7, 24_000), (100, 3_000)] {
            let mut arguments = json!({"index": index, "size": size, "max_bytes": bytes});
            if let Some(sort) = &sort {
                arguments["sort"] = sort.clone();
            }
            let ids = follow(board, arguments.clone()).await;
            let once: BTreeSet<&String> = ids.iter().collect();
            assert_eq!((ids.len(), once.len()), (DOCUMENTS, DOCUMENTS), "{engine} {arguments}");
        }
    }
}

async fn server(kind: Kind) -> &'static EngineServer {
    tokio::task::spawn_blocking(move || engines::engine(kind)).await.unwrap()
}

async fn write(board: &Harness, index: &str) {
    let documents: Vec<Value> = (0..DOCUMENTS).map(document).collect();
    let written = board
        .answer("index_documents", &json!({"index": index, "documents": documents, "id_field": "id"}).to_string())
        .await;
    assert_eq!(written["indexed"], DOCUMENTS, "{written}");
}

const MAPPING: &str = r#"{"status":{"type":"keyword"},"group":{"type":"keyword"},"at":{"type":"date"},"exact_at":{"type":"date_nanos"},"big":{"type":"long"},"ratio":{"type":"double"}}"#;

#[tokio::test]
async fn next_gives_every_hit_once_on_every_engine() {
    for kind in Kind::ALL {
        let server = server(kind).await;
        let board = Harness::search(server.config());
        let settings = r#"{"number_of_shards":3,"number_of_replicas":0}"#;
        let index =
            server.index("pages", &format!(r#"{{"settings":{settings},"mappings":{{"properties":{MAPPING}}}}}"#));
        write(&board, &index).await;
        all_come_once(&board, &index, &format!("{kind:?}")).await;
    }
}

#[tokio::test]
async fn next_gives_every_hit_once_on_the_embedded_index() {
    let board = Harness::embedded();
    write(&board, "pages").await;
    for sort in [json!([{"status.keyword": "asc"}]), json!([{"at": "asc"}]), json!([{"big": "desc"}]), json!("_score")]
    {
        let ids = follow(&board, json!({"index": "pages", "size": 100, "sort": sort})).await;
        assert_eq!((ids.len(), ids.iter().collect::<BTreeSet<_>>().len()), (DOCUMENTS, DOCUMENTS), "{sort}");
    }
}

#[tokio::test]
async fn a_place_is_handed_back_in_any_form_and_with_the_arguments_of_the_first_page() {
    let board = Harness::embedded();
    write(&board, "pages").await;
    let first = json!({"index": "pages", "size": 3, "from": 2, "sort": [{"big": "asc"}], "fields": ["id"]});
    let found = board.answer("search_documents", &first.to_string()).await;
    let mut wanted = first.clone();
    wanted["from"] = json!(5);
    let wanted = board.answer("search_documents", &wanted.to_string()).await["hits"].clone();
    let place = &found["next"]["search_after"];
    for form in [place.clone(), place[0].clone(), found["next"].clone(), json!(found["next"].to_string())] {
        let mut next = first.clone();
        next["search_after"] = form;
        let page = board.answer("search_documents", &next.to_string()).await;
        assert_eq!(page["hits"], wanted, "{next}");
    }
    let mut other = first.clone();
    other["search_after"] = place.clone();
    other["sort"] = json!([{"big": "desc"}]);
    let refused = board.refused("search_documents", &other.to_string()).await;
    assert_eq!((&refused["code"], &refused["argument"]), (&json!("invalid"), &json!("search_after")));
}

#[tokio::test]
async fn values_of_the_callers_own_go_on_behind_all_that_have_them() {
    for kind in Kind::ALL {
        let server = server(kind).await;
        let board = Harness::search(server.config());
        let index = server
            .index("own", r#"{"settings":{"number_of_shards":3},"mappings":{"properties":{"n":{"type":"long"}}}}"#);
        let documents: Vec<Value> = (0..30).map(|n| json!({"id": format!("d{n}"), "n": n / 10})).collect();
        let written = json!({"index": index, "documents": documents, "id_field": "id"}).to_string();
        board.answer("index_documents", &written).await;
        let ids = follow(&board, json!({"index": index, "sort": [{"n": "asc"}], "search_after": [0], "size": 3})).await;
        let wanted: BTreeSet<String> = (10..30).map(|n| format!("d{n}")).collect();
        assert_eq!((ids.len(), ids.into_iter().collect::<BTreeSet<_>>()), (20, wanted), "{kind:?}");
        let refused = json!({"index": index, "sort": [{"n": "asc"}], "search_after": [0, 1]}).to_string();
        let refused = board.refused("search_documents", &refused).await;
        assert_eq!((&refused["code"], &refused["argument"]), (&json!("invalid"), &json!("search_after")), "{kind:?}");
    }
}

#[tokio::test]
async fn values_that_fit_no_key_of_the_sort_are_refused() {
    let mut boards = vec![(Harness::embedded(), "pages".to_owned(), "status.keyword", "embedded".to_owned())];
    write(&boards[0].0, "pages").await;
    for kind in Kind::ALL {
        let server = server(kind).await;
        let board = Harness::search(server.config());
        let index = server.index("unfit", &format!(r#"{{"mappings":{{"properties":{MAPPING}}}}}"#));
        write(&board, &index).await;
        boards.push((board, index, "status", format!("{kind:?}")));
    }
    for (board, index, keyword, engine) in boards {
        for (sort, after) in [
            (json!("_score"), json!(["x"])),
            (json!("_score"), json!([null])),
            (json!("_doc"), json!(["x"])),
            (json!([{"big": "asc"}]), json!(["x"])),
            (json!([{"big": "asc"}]), json!([true])),
            (json!([{"big": "asc"}]), json!([null])),
            (json!([{keyword: "asc"}, {"ratio": "asc"}]), json!(["open", "x"])),
        ] {
            let asked = json!({"index": index, "sort": sort, "search_after": after});
            let refused = board.refused("search_documents", &asked.to_string()).await;
            assert_eq!(
                (&refused["code"], &refused["argument"]),
                (&json!("invalid"), &json!("search_after")),
                "{engine} {asked} {refused}"
            );
        }
        for (sort, after, wanted) in [
            (json!([{keyword: "asc"}]), json!(["ope"]), DOCUMENTS),
            (json!([{keyword: "asc"}]), json!(["open"]), 0),
            (json!([{"ratio": "asc"}]), json!(["0.25"]), DOCUMENTS - 67),
        ] {
            let asked = json!({"index": index, "sort": sort, "search_after": after, "size": 100, "fields": ["id"]});
            assert_eq!(follow(&board, asked.clone()).await.len(), wanted, "{engine} {asked}");
        }
    }
}
