//! What a name of an index can stand for: a data stream, an index behind one, several indices, one that is closed or keeps no documents.

use serde_json::{Value, json};

use crate::support::{
    engines::{self, EngineServer, Kind, index_name},
    harness::Harness,
};

async fn server(kind: Kind) -> &'static EngineServer {
    tokio::task::spawn_blocking(move || engines::engine(kind)).await.unwrap()
}

/// Code and argument of a refusal.
async fn refused(board: &Harness, tool: &str, arguments: Value) -> (Value, Value, String) {
    let failure = board.refused(tool, &arguments.to_string()).await;
    (failure["code"].clone(), failure["argument"].clone(), failure["message"].as_str().unwrap().to_owned())
}

/// The distributions of Elasticsearch that tests run on have no module for data streams; OpenSearch has them in its core.
#[tokio::test]
async fn a_data_stream_is_read_and_written_by_its_name_and_read_by_the_index_behind_it() {
    for kind in Kind::ALL.into_iter().filter(|kind| kind.is_opensearch()) {
        let server = server(kind).await;
        let board = Harness::search(server.config());
        let stream = index_name("stream");
        let template = json!({"index_patterns": [stream], "data_stream": {}, "priority": 500});
        server.http("PUT", &format!("/_index_template/{stream}"), &template.to_string());
        server.http("PUT", &format!("/_data_stream/{stream}"), "");
        let document = json!({"@timestamp": "2026-01-01T00:00:00Z", "id": "a", "n": 1});
        let write = json!({"index": stream, "documents": [document], "id_field": "id"});
        let written = board.answer("index_documents", &write.to_string()).await;
        assert_eq!(written, json!({"indexed": 1, "failed": []}), "{kind:?}");
        let again = board.answer("index_documents", &write.to_string()).await;
        assert_eq!((&again["indexed"], &again["failed"][0]["code"]), (&json!(0), &json!("conflict")), "{again}");

        let found = board.answer("search_documents", &json!({"index": stream}).to_string()).await;
        let behind = found["hits"][0]["_index"].as_str().unwrap().to_owned();
        assert!(behind.starts_with(&format!(".ds-{stream}-")), "{found}");
        for name in [&stream, &behind] {
            let got = board.answer("get_document", &json!({"index": name, "id": "a"}).to_string()).await;
            assert_eq!(
                (&got["_index"], &got["version"], &got["document"]),
                (&json!(behind), &json!(1), &document),
                "{kind:?} {name}"
            );
            let index = json!({"index": name}).to_string();
            assert_eq!(board.answer("count_documents", &index).await, json!({"count": 1}), "{kind:?} {name}");
            assert_eq!(board.answer("bulk_export", &index).await["count"], 1, "{kind:?} {name}");
            assert_eq!(board.answer("get_mapping", &index).await["index"], json!(name), "{kind:?}");
            let missing = refused(&board, "get_document", json!({"index": name, "id": "b"})).await;
            assert_eq!((missing.0, missing.1), (json!("not_found"), json!("id")), "{kind:?} {name}");
        }
        let direct = refused(&board, "index_documents", json!({"index": behind, "documents": [document]})).await;
        assert_eq!((direct.0, direct.1), (json!("invalid"), json!("index")));
        let list = board.answer("list_indices", &json!({"pattern": stream}).to_string()).await;
        assert_eq!((&list["indices"][0]["name"], &list["indices"][0]["documents"]), (&json!(stream), &json!(1)));
    }
}

#[tokio::test]
async fn an_alias_over_several_indices_gives_the_one_document_or_names_the_indices() {
    for kind in Kind::ALL {
        let server = server(kind).await;
        let board = Harness::search(server.config());
        let (one, other) = (index_name("one"), index_name("other"));
        let alias = format!("{one}-both");
        for (index, id) in [(&one, "a"), (&one, "both"), (&other, "both")] {
            server.http("POST", &format!("/{index}/_doc/{id}?refresh=true"), &json!({"in": index}).to_string());
        }
        let actions = [&one, &other].map(|index| json!({"add": {"index": index, "alias": alias}}));
        server.http("POST", "/_aliases", &json!({"actions": actions}).to_string());
        let got = board.answer("get_document", &json!({"index": alias, "id": "a"}).to_string()).await;
        assert_eq!((&got["_index"], &got["version"]), (&json!(one), &json!(1)), "{kind:?}");
        let (code, argument, message) = refused(&board, "get_document", json!({"index": alias, "id": "both"})).await;
        assert_eq!((code, argument), (json!("conflict"), json!("index")), "{kind:?}");
        assert!(message.contains(&one) && message.contains(&other), "{message}");
    }
}

#[tokio::test]
async fn the_filter_of_an_alias_holds_for_a_document_by_its_id() {
    for kind in Kind::ALL {
        let server = server(kind).await;
        let index = index_name("walled");
        let (filtered, all) = (format!("{index}-some"), format!("{index}-all"));
        for id in [1, 2] {
            server.http("POST", &format!("/{index}/_doc/{id}?refresh=true"), &json!({"a": id}).to_string());
        }
        let some = json!({"index": index, "alias": filtered, "filter": {"term": {"a": 1}}});
        let actions = json!([{"add": some}, {"add": {"index": index, "alias": all}}]);
        server.http("POST", "/_aliases", &json!({"actions": actions}).to_string());
        let board = Harness::search(server.config());
        for (name, id) in [(&filtered, "1"), (&all, "1"), (&all, "2"), (&index, "2")] {
            let got = board.answer("get_document", &json!({"index": name, "id": id}).to_string()).await;
            assert_eq!((&got["_index"], &got["_id"]), (&json!(index), &json!(id)), "{kind:?} {name}");
        }
        let (code, argument, message) = refused(&board, "get_document", json!({"index": filtered, "id": "2"})).await;
        assert_eq!((code, argument), (json!("not_found"), json!("id")), "{kind:?}");
        assert_eq!(message, format!("no document `2` in `{filtered}`"));
    }
}

#[tokio::test]
async fn an_index_without_sources_says_so() {
    for kind in Kind::ALL {
        let server = server(kind).await;
        let board = Harness::search(server.config());
        let index = server.index("sourceless", r#"{"mappings":{"_source":{"enabled":false}}}"#);
        server.http("POST", &format!("/{index}/_doc/1?refresh=true"), r#"{"n":1}"#);
        for (tool, arguments) in [
            ("bulk_export", json!({"index": index})),
            ("bulk_export", json!({"index": index, "destination": "file", "format": "csv"})),
            ("get_document", json!({"index": index, "id": "1"})),
        ] {
            let (code, argument, message) = refused(&board, tool, arguments).await;
            assert_eq!((code, argument), (json!("invalid"), json!("index")), "{kind:?} {tool}");
            assert_eq!(message, format!("`{index}` keeps no `_source`: its documents can be found but not given back"));
        }
        let found = board.answer("search_documents", &json!({"index": index}).to_string()).await;
        let note = format!("`document` is null because the index keeps no `_source`: `{index}`");
        assert_eq!((&found["total"], &found["note"]), (&json!(1), &json!(note)), "{kind:?}");
    }
}

#[tokio::test]
async fn an_index_that_keeps_parts_of_documents_says_so_when_it_is_exported() {
    for kind in Kind::ALL {
        let server = server(kind).await;
        let board = Harness::search(server.config());
        for parts in [r#"{"excludes":["secret"]}"#, r#"{"includes":["n"]}"#] {
            let index = server.index("partial", &format!(r#"{{"mappings":{{"_source":{parts}}}}}"#));
            server.http("POST", &format!("/{index}/_doc/1?refresh=true"), r#"{"n":1,"secret":2}"#);
            let exported = board.answer("bulk_export", &json!({"index": index}).to_string()).await;
            let note = format!("documents lack what the `_source` of their index leaves out: `{index}`");
            assert_eq!((&exported["count"], &exported["note"]), (&json!(1), &json!(note)), "{kind:?} {parts}");
        }
        let index = server.index("whole", r#"{"mappings":{}}"#);
        server.http("POST", &format!("/{index}/_doc/1?refresh=true"), r#"{"n":1}"#);
        let exported = board.answer("bulk_export", &json!({"index": index}).to_string()).await;
        assert_eq!(exported["note"], Value::Null, "{kind:?}");
    }
}

#[tokio::test]
async fn a_closed_index_is_named() {
    for kind in Kind::ALL {
        let server = server(kind).await;
        let board = Harness::search(server.config());
        let stem = index_name("shut");
        let (closed, open, alias) = (format!("{stem}-closed"), format!("{stem}-open"), format!("{stem}-alias"));
        for index in [&closed, &open] {
            let body = json!({"aliases": {&alias: {}}, "settings": {"number_of_replicas": 0}});
            server.http("PUT", &format!("/{index}"), &body.to_string());
            server.http("POST", &format!("/{index}/_doc/1?refresh=true"), r#"{"n":1}"#);
        }
        server.http("POST", &format!("/{closed}/_close"), "");
        let message = format!("index `{closed}` is closed");
        for name in [closed.clone(), format!("{stem}-c*"), alias] {
            for tool in ["search_documents", "count_documents", "bulk_export"] {
                let failure = refused(&board, tool, json!({"index": name})).await;
                assert_eq!(failure, (json!("conflict"), json!("index"), message.clone()), "{kind:?} {tool} {name}");
            }
        }
        for (tool, arguments) in [
            ("get_document", json!({"index": closed, "id": "1"})),
            ("index_documents", json!({"index": closed, "documents": [{"n": 2}]})),
        ] {
            let failure = refused(&board, tool, arguments).await;
            assert_eq!(failure, (json!("conflict"), json!("index"), message.clone()), "{kind:?} {tool}");
        }
        let note = json!(format!("closed indices are passed over: `{closed}`"));
        for tool in ["search_documents", "count_documents", "bulk_export"] {
            let answer = board.answer(tool, &json!({"index": format!("{stem}-*")}).to_string()).await;
            assert_eq!(answer["note"], note, "{kind:?} {tool}");
        }
        let mapping = board.answer("get_mapping", &json!({"index": closed}).to_string()).await;
        let note = format!("`{closed}` is closed: it has to be opened before it is searched");
        assert_eq!((&mapping["fields"][0]["path"], &mapping["note"]), (&json!("n"), &json!(note)), "{kind:?}");
    }
}
