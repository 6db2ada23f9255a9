//! The search tools on real engines: what only shows there.

use std::{collections::BTreeSet, time::Instant};

use callboard::{config::Access, domain::search::Patterns};
use serde_json::{Value, json};

use crate::support::{
    engines::{self, EngineServer, Kind, index_name},
    harness::Harness,
    patience::PATIENCE,
};

const PRODUCTS: &str = r#"{"settings":{"number_of_replicas":0},"mappings":{"properties":{"id":{"type":"keyword"},"name":{"type":"text","fields":{"keyword":{"type":"keyword"}}},"category":{"type":"keyword"},"price":{"type":"float"},"tags":{"type":"keyword"},"created_at":{"type":"date"}}}}"#;

async fn server(kind: Kind) -> &'static EngineServer {
    tokio::task::spawn_blocking(move || engines::engine(kind)).await.unwrap()
}

async fn shared() -> (&'static EngineServer, Harness) {
    let server = server(Kind::Elasticsearch8).await;
    (server, Harness::search(server.config()))
}

/// An index of this many shards holding documents that all look the same.
async fn sharded(server: &EngineServer, board: &Harness, shards: usize, count: usize) -> String {
    let settings = format!(r#"{{"settings":{{"number_of_shards":{shards},"number_of_replicas":0}}}}"#);
    let index = server.index("sharded", &settings);
    let documents: Vec<Value> =
        (0..count).map(|n| json!({"id": format!("d{n}"), "name": "same", "rank": n % 3})).collect();
    let written = board
        .answer("index_documents", &json!({"index": index, "documents": documents, "id_field": "id"}).to_string())
        .await;
    assert_eq!(written["indexed"], count, "{written}");
    index
}

#[tokio::test]
async fn the_transcript_is_answered_by_every_engine() {
    for kind in Kind::ALL {
        let server = server(kind).await;
        let board = Harness::search(server.config());
        let index = server.index("products", PRODUCTS);
        let documents = r#"[{"id":"p-001","name":"Wireless Mouse","category":"electronics","price":29.99,"tags":["usb","office"]},
            {"id":"p-002","name":"Wireless Keyboard","category":"electronics","price":59.5},
            {"id":"p-003","name":"Wireless Charger for the desk","category":"power","price":19},
            {"id":"p-004","name":"Desk Lamp","category":"furniture","price":24.9}]"#;
        let written = board
            .answer("index_documents", &format!(r#"{{"index":"{index}","documents":{documents},"id_field":"id"}}"#))
            .await;
        assert_eq!(written, json!({"indexed": 4, "failed": []}));

        let asked = format!(
            r#"{{"index":"{index}","text":"wireless","size":2,"aggs":{{"by":{{"terms":{{"field":"category"}}}}}}}}"#
        );
        let found = board.answer("search_documents", &asked).await;
        assert_eq!((&found["total"], &found["total_relation"]), (&json!(3), &json!("eq")), "{kind:?} {found}");
        assert_eq!(found["hits"].as_array().unwrap().len(), 2);
        assert_eq!(found["aggregations"]["by"]["buckets"][0], json!({"key": "electronics", "doc_count": 2}));
        let next = format!(
            r#"{{"index":"{index}","text":"wireless","size":2,"search_after":{}}}"#,
            found["next"]["search_after"]
        );
        let rest = board.answer("search_documents", &next).await;
        assert_eq!(rest["hits"].as_array().unwrap().len(), 1, "{kind:?} {rest}");
        assert!(rest["next"].is_null(), "{rest}");

        let document = board.answer("get_document", &format!(r#"{{"index":"{index}","id":"p-001"}}"#)).await;
        assert_eq!((&document["_id"], &document["version"]), (&json!("p-001"), &json!(1)));
        let failure = board.refused("get_document", &format!(r#"{{"index":"{index}","id":"nope"}}"#)).await;
        assert_eq!((&failure["code"], &failure["argument"]), (&json!("not_found"), &json!("id")));
        let mapping = board.answer("get_mapping", &format!(r#"{{"index":"{index}"}}"#)).await;
        let fields = mapping["fields"].as_array().unwrap();
        assert!(
            fields.contains(&json!({"path": "name", "type": "text", "multi_fields": ["name.keyword"]})),
            "{mapping}"
        );
        let count = board.answer("count_documents", &format!(r#"{{"index":"{index}","text":"wireless"}}"#)).await;
        assert_eq!(count, json!({"count": 3}));
    }
}

#[tokio::test]
async fn paging_over_several_shards_loses_and_repeats_nothing() {
    for kind in Kind::ALL {
        let server = server(kind).await;
        let board = Harness::search(server.config());
        let index = sharded(server, &board, 3, 300).await;
        for (size, sort) in [(7, ""), (50, r#","sort":[{"rank":"desc"}]"#)] {
            let mut seen = BTreeSet::new();
            let mut after = String::new();
            let mut count = 0;
            loop {
                let asked = format!(r#"{{"index":"{index}","size":{size},"fields":["rank"]{sort}{after}}}"#);
                let found = board.answer("search_documents", &asked).await;
                let hits = found["hits"].as_array().unwrap();
                assert!(hits.len() <= size, "{found}");
                count += hits.len();
                seen.extend(hits.iter().map(|hit| hit["_id"].as_str().unwrap().to_owned()));
                if found["next"].is_null() {
                    break;
                }
                after = format!(r#","search_after":{}"#, found["next"]["search_after"]);
            }
            assert_eq!((count, seen.len()), (300, 300), "{kind:?} {size}");
        }
    }
}

#[tokio::test]
async fn an_export_over_several_shards_and_an_alias_with_a_filter_is_complete() {
    for kind in Kind::ALL {
        let server = server(kind).await;
        let board = Harness::search(server.config());
        let one = sharded(server, &board, 3, 2_500).await;
        let other = sharded(server, &board, 2, 700).await;
        let alias = index_name("both");
        let actions = json!({"actions": [
            {"add": {"index": one, "alias": alias, "filter": {"term": {"rank": 0}}}},
            {"add": {"index": other, "alias": alias}},
        ]});
        server.http("POST", "/_aliases", &actions.to_string());
        for (index, expected) in [(one, 2_500), (alias, 834 + 700)] {
            let exported =
                board.answer("bulk_export", &json!({"index": index, "destination": "file"}).to_string()).await;
            assert_eq!((&exported["count"], &exported["complete"]), (&json!(expected), &json!(true)), "{kind:?}");
            let text = std::fs::read_to_string(exported["path"].as_str().unwrap()).unwrap();
            let lines: BTreeSet<&str> = text.lines().collect();
            assert_eq!(lines.len(), expected, "{kind:?}");
        }
    }
}

#[tokio::test]
async fn views_are_closed_when_an_export_ends() {
    let (server, board) = shared().await;
    let index = sharded(server, &board, 1, 20).await;
    let exported = board.answer("bulk_export", &json!({"index": index}).to_string()).await;
    assert_eq!(exported["count"], 20);
    let open = || {
        let stats = server.http("GET", &format!("/{index}/_stats/search"), "");
        let stats: Value = serde_json::from_str(&stats).unwrap();
        stats["_all"]["total"]["search"]["open_contexts"].as_u64().unwrap()
    };
    let started = Instant::now();
    while open() > 0 {
        assert!(started.elapsed() < PATIENCE, "{} contexts are open", open());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_mistake_is_told_by_line_and_column_of_the_callers_own_text() {
    for kind in Kind::ALL {
        let server = server(kind).await;
        let board = Harness::search(server.config());
        let index = server.index("lines", "{}");
        let query = "{\n  \"bool\": {\n    \"must\": {\n      \"no_such_query\": {}\n    }\n  }\n}";
        let failure = board.refused("search_documents", &format!(r#"{{"index":"{index}","query":{query}}}"#)).await;
        assert_eq!(
            (&failure["code"], &failure["argument"], &failure["line"]),
            (&json!("invalid"), &json!("query"), &json!(4)),
            "{kind:?} {failure}"
        );
        assert!(failure["column"].as_u64().is_some() && failure["backend_code"].is_string(), "{failure}");
        assert!(failure["message"].as_str().unwrap().contains("no_such_query"));
        let aggs = "{\n\"a\":{\"no_such_aggregation\":{}}}";
        let failure = board.refused("search_documents", &format!(r#"{{"index":"{index}","aggs":{aggs}}}"#)).await;
        assert_eq!((&failure["argument"], &failure["line"]), (&json!("aggs"), &json!(2)), "{kind:?} {failure}");
    }
}

#[tokio::test]
async fn system_indices_are_out_of_reach_by_name_pattern_and_alias() {
    for kind in Kind::ALL {
        let server = server(kind).await;
        let board = Harness::search(server.config());
        let stem = index_name("plain");
        let (hidden, alias) = (format!(".{stem}"), format!("{stem}-way"));
        server.http("PUT", &format!("/{stem}"), "{}");
        server.http("PUT", &format!("/{hidden}"), &format!(r#"{{"aliases":{{"{alias}":{{}}}}}}"#));
        server.http("POST", &format!("/{hidden}/_doc/1?refresh=true"), r#"{"secret":"x"}"#);
        server.http("POST", &format!("/{stem}/_doc/1?refresh=true"), r#"{"open":"x"}"#);
        for name in [&hidden, &alias] {
            for (tool, arguments) in [
                ("search_documents", json!({"index": name})),
                ("get_document", json!({"index": name, "id": "1"})),
                ("get_mapping", json!({"index": name})),
                ("count_documents", json!({"index": name})),
                ("bulk_export", json!({"index": name})),
                ("index_documents", json!({"index": name, "documents": [{"a": 1}]})),
            ] {
                let failure = board.refused(tool, &arguments.to_string()).await;
                assert_eq!(failure["code"], "denied", "{kind:?} {tool} {name} {failure}");
            }
        }
        // Only this test's own: an index that another one is just making has no shards yet, and a search in it fails.
        for pattern in [format!("*{stem}*"), format!("{stem}*")] {
            let found = board.answer("search_documents", &json!({"index": pattern, "size": 100}).to_string()).await;
            let hits = found["hits"].as_array().unwrap();
            assert!(
                !hits.is_empty() && hits.iter().all(|hit| !hit["_index"].as_str().unwrap().starts_with('.')),
                "{found}"
            );
        }
        assert_eq!(
            board.answer("count_documents", &json!({"index": format!("{stem}*")}).to_string()).await["count"],
            1
        );
        let list = board.answer("list_indices", "{}").await;
        assert!(
            list["indices"].as_array().unwrap().iter().all(|index| !index["name"].as_str().unwrap().starts_with('.'))
        );
        server.http("DELETE", &format!("/{hidden}"), "");
    }
}

#[tokio::test]
async fn patterns_stay_inside_what_is_allowed() {
    let (server, _) = shared().await;
    let stem = index_name("fence");
    for (name, text) in [("logs-a", "in"), ("logs-b", "in"), ("vault", "out")] {
        server.http("POST", &format!("/{stem}-{name}/_doc/1?refresh=true"), &format!(r#"{{"is":"{text}"}}"#));
    }
    let board = Harness::with(|config| {
        config.search = Some(server.config());
        config.access = Access { indices: Patterns::new(vec![format!("{stem}-logs-*")]), ..Access::default() };
    });
    for pattern in
        ["*".to_owned(), format!("{stem}-*"), format!("{stem}-logs-*"), format!("{stem}-logs-a,{stem}-logs-b")]
    {
        let found = board.answer("search_documents", &json!({"index": pattern}).to_string()).await;
        assert_eq!(found["total"], 2, "{pattern} {found}");
    }
    for name in
        [format!("{stem}-vault"), format!("{stem}-v*"), "*-vault".to_owned(), format!("{stem}-logs-a,{stem}-vault")]
    {
        for tool in ["search_documents", "count_documents", "bulk_export"] {
            let failure = board.refused(tool, &json!({"index": name}).to_string()).await;
            assert_eq!((&failure["code"], &failure["argument"]), (&json!("denied"), &json!("index")), "{failure}");
        }
    }
    let list = board.answer("list_indices", "{}").await;
    let names: Vec<&str> =
        list["indices"].as_array().unwrap().iter().map(|index| index["name"].as_str().unwrap()).collect();
    assert_eq!(names, [format!("{stem}-logs-a"), format!("{stem}-logs-b")]);
    // A name that is near a hidden one does not learn of it.
    let failure = board.refused("get_mapping", &json!({"index": format!("{stem}-logs-vault")}).to_string()).await;
    assert!(!failure.to_string().contains(&format!("{stem}-vault\"")), "{failure}");
}

#[tokio::test]
async fn an_answer_that_would_miss_a_part_is_an_error() {
    let (server, board) = shared().await;
    let stem = index_name("part");
    server.http("POST", &format!("/{stem}-a/_doc/1?refresh=true"), r#"{"n":1}"#);
    server.http("POST", &format!("/{stem}-b/_doc/1?refresh=true"), r#"{"other":1}"#);
    let failure = board
        .refused("search_documents", &json!({"index": format!("{stem}-*"), "sort": [{"n": "asc"}]}).to_string())
        .await;
    assert_eq!(failure["code"], "invalid", "{failure}");
    assert!(failure["message"].as_str().unwrap().contains("No mapping found for [n]"), "{failure}");
    server.http("POST", &format!("/{stem}-b/_close"), "");
    let failure = board.refused("count_documents", &json!({"index": format!("{stem}-b")}).to_string()).await;
    assert_eq!(
        (&failure["code"], &failure["backend_code"]),
        (&json!("conflict"), &json!("index_closed_exception")),
        "{failure}"
    );
}

#[tokio::test]
async fn not_found_and_nothing_matches_are_different_answers() {
    for kind in Kind::ALL {
        let server = server(kind).await;
        let board = Harness::search(server.config());
        let index = server.index("empty", "{}");
        let found = board.answer("search_documents", &json!({"index": index}).to_string()).await;
        assert_eq!((&found["total"], &found["hits"]), (&json!(0), &json!([])));
        let failure = board.refused("search_documents", r#"{"index":"no-such-thing-*"}"#).await;
        assert_eq!(
            (&failure["code"], &failure["message"]),
            (&json!("not_found"), &json!("no index matches `no-such-thing-*`")),
            "{kind:?}"
        );
        let failure =
            board.refused("count_documents", &json!({"index": format!("{index},no-such-thing")}).to_string()).await;
        assert_eq!(failure["message"], "no index `no-such-thing`", "{kind:?} {failure}");
    }
}

#[tokio::test]
async fn a_mapping_shows_nested_fields_aliases_formats_and_analyzers() {
    for kind in Kind::ALL {
        let server = server(kind).await;
        let board = Harness::search(server.config());
        let index = server.index(
            "mapped",
            r#"{"mappings":{"properties":{"title":{"type":"text","analyzer":"keyword"},"at":{"type":"date","format":"yyyy-MM-dd"},
            "lines":{"type":"nested","properties":{"sku":{"type":"keyword"},"properties":{"properties":{"type":{"type":"long"}}}}},
            "name":{"type":"alias","path":"title"},"empty":{"type":"object"},"off":{"type":"object","enabled":false}}}}"#,
        );
        let mapping = board.answer("get_mapping", &json!({"index": index}).to_string()).await;
        let mut fields = mapping["fields"].as_array().unwrap().clone();
        fields.sort_by_key(|field| field["path"].as_str().unwrap().to_owned());
        assert_eq!(
            Value::Array(fields),
            json!([
                {"path": "at", "type": "date", "format": "yyyy-MM-dd"},
                {"path": "empty", "type": "object"},
                {"path": "lines", "type": "nested"},
                {"path": "lines.properties.type", "type": "long"},
                {"path": "lines.sku", "type": "keyword"},
                {"path": "name", "type": "alias", "target": "title"},
                {"path": "off", "type": "object"},
                {"path": "title", "type": "text", "analyzer": "keyword"},
            ]),
            "{kind:?}"
        );
        let raw = board.answer("get_mapping", &json!({"index": index, "raw": true}).to_string()).await;
        assert_eq!(raw["raw"]["properties"]["name"]["path"], "title");
    }
}

#[tokio::test]
async fn many_megabytes_are_written_in_parts_and_blocked_indices_say_so() {
    let (server, board) = shared().await;
    let index = server.index(
        "large",
        r#"{"mappings":{"properties":{"n":{"type":"long"},"t":{"type":"keyword","index":false,"doc_values":false}}}}"#,
    );
    let filler = "x".repeat(1 << 20);
    let documents: Vec<Value> =
        (0..12).map(|n| json!({"n": if n % 5 == 0 { json!("bad") } else { json!(n) }, "t": filler})).collect();
    let written = board.answer("index_documents", &json!({"index": index, "documents": documents}).to_string()).await;
    assert_eq!(written["indexed"], 9);
    let places: Vec<u64> =
        written["failed"].as_array().unwrap().iter().map(|f| f["position"].as_u64().unwrap()).collect();
    assert_eq!(places, [0, 5, 10]);
    server.http("PUT", &format!("/{index}/_settings"), r#"{"index.blocks.write":true}"#);
    let written = board.answer("index_documents", &json!({"index": index, "documents": [{"n": 1}]}).to_string()).await;
    assert_eq!((&written["indexed"], &written["failed"][0]["code"]), (&json!(0), &json!("denied")), "{written}");
}
