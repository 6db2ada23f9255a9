//! What was asked for is answered or refused by name: columns of an export, inner hits, named queries, highlights, nested queries.

use serde_json::{Value, json};

use crate::support::{
    engines::{self, EngineServer, Kind},
    harness::Harness,
};

async fn server(kind: Kind) -> &'static EngineServer {
    tokio::task::spawn_blocking(move || engines::engine(kind)).await.unwrap()
}

const ORDERS: &str = r#"{"settings":{"number_of_replicas":0},"mappings":{"properties":{"id":{"type":"keyword"},"customer":{"properties":{"city":{"type":"keyword"},"name":{"type":"keyword"}}},"lines":{"type":"nested","properties":{"count":{"type":"long"},"sku":{"type":"keyword"}}},"note":{"type":"text"},"title":{"type":"text"},"total":{"type":"long"}}}}"#;

const DOCUMENTS: &str = r#"[
    {"id":"a","customer":{"city":"Bern","name":"Ann"},"lines":[{"count":1,"sku":"x"},{"count":2,"sku":"y"}],"note":"Wireless too","title":"Wireless Mouse","total":5},
    {"id":"b","customer.name":"Bob","lines":{"count":3,"sku":"z"}},
    {"id":"c","customer":[{"name":"Cy"},{"city":"Rom","name":"Di"}]}]"#;

/// Every real engine with the orders in an index of its own.
async fn real(kind: Kind) -> (Harness, String) {
    let server = server(kind).await;
    let board = Harness::search(server.config());
    let index = server.index("orders", ORDERS);
    write(&board, &index).await;
    (board, index)
}

async fn embedded() -> (Harness, String) {
    let board = Harness::embedded();
    write(&board, "orders").await;
    (board, "orders".to_owned())
}

async fn write(board: &Harness, index: &str) {
    let written = board
        .answer("index_documents", &format!(r#"{{"index":"{index}","documents":{DOCUMENTS},"id_field":"id"}}"#))
        .await;
    assert_eq!(written, json!({"indexed": 3, "failed": []}));
}

async fn everywhere() -> Vec<(String, Harness, String)> {
    let (board, index) = embedded().await;
    let mut all = vec![("embedded".to_owned(), board, index)];
    for kind in Kind::ALL {
        let (board, index) = real(kind).await;
        all.push((format!("{kind:?}"), board, index));
    }
    all
}

async fn search(board: &Harness, index: &str, mut arguments: Value) -> Value {
    arguments["index"] = json!(index);
    board.answer("search_documents", &arguments.to_string()).await
}

async fn refused(board: &Harness, tool: &str, index: &str, mut arguments: Value) -> Value {
    arguments["index"] = json!(index);
    board.refused(tool, &arguments.to_string()).await
}

#[tokio::test]
async fn a_csv_has_the_columns_asked_for_in_that_order() {
    for (engine, board, index) in everywhere().await {
        for (fields, wanted) in [
            (
                json!(["total", "customer.name"]),
                ["_id,total,customer.name", "a,5,Ann", "b,,Bob", r#"c,,"[""Cy"",""Di""]""#],
            ),
            (json!(["lines.sku"]), ["_id,lines.sku", r#"a,"[""x"",""y""]""#, "b,z", "c,"]),
            (
                json!(["customer.*"]),
                ["_id,customer.city,customer.name", "a,Bern,Ann", "b,,Bob", r#"c,"[""Rom""]","[""Cy"",""Di""]""#],
            ),
            (json!(["nothing", "total", "nothing"]), ["_id,nothing,total", "a,,5", "b,,", "c,,"]),
            (
                json!(["lines"]),
                [
                    "_id,lines",
                    r#"a,"[{""count"":1,""sku"":""x""},{""count"":2,""sku"":""y""}]""#,
                    r#"b,"{""count"":3,""sku"":""z""}""#,
                    "c,",
                ],
            ),
        ] {
            for destination in ["inline", "file"] {
                let asked = json!({"index": index, "format": "csv", "fields": fields, "destination": destination});
                let answer = board.answer("bulk_export", &asked.to_string()).await;
                assert_eq!(table(&answer), wanted, "{engine} {destination} {fields}");
            }
        }
    }
}

#[tokio::test]
async fn a_column_shows_what_its_field_stands_for() {
    let mapping = r#"{"mappings":{"properties":{"title":{"type":"text","fields":{"keyword":{"type":"keyword"}}},"total":{"type":"long"},"sum":{"type":"alias","path":"total"},"name":{"type":"alias","path":"title.keyword"}}}}"#;
    let written = r#"[{"id":"a","title":"Mouse","total":5},{"id":"b"}]"#;
    let fields = json!(["sum", "title.keyword", "name", "total"]);
    for kind in Kind::ALL {
        let server = server(kind).await;
        let board = Harness::search(server.config());
        let index = server.index("stand-ins", mapping);
        let documents = format!(r#"{{"index":"{index}","documents":{written},"id_field":"id"}}"#);
        board.answer("index_documents", &documents).await;
        for destination in ["inline", "file"] {
            let asked = json!({"index": index, "format": "csv", "fields": fields, "destination": destination});
            assert_eq!(
                table(&board.answer("bulk_export", &asked.to_string()).await),
                ["_id,sum,title.keyword,name,total", "a,5,Mouse,Mouse,5", "b,,,,"],
                "{kind:?} {destination}"
            );
        }
    }
    let (board, index) = embedded().await;
    let asked = json!({"index": index, "format": "csv", "fields": ["customer.name.keyword", "title"]});
    assert_eq!(
        table(&board.answer("bulk_export", &asked.to_string()).await),
        ["_id,customer.name.keyword,title", "a,Ann,Wireless Mouse", "b,Bob,", r#"c,"[""Cy"",""Di""]","#]
    );
}

/// The lines of a CSV export, those of the documents in order.
fn table(answer: &Value) -> Vec<String> {
    let text = match answer["path"].as_str() {
        Some(path) => std::fs::read_to_string(path).unwrap(),
        None => answer["csv"].as_str().unwrap().to_owned(),
    };
    let mut lines: Vec<String> = text.split_terminator("\r\n").map(str::to_owned).collect();
    lines[1..].sort_unstable();
    lines
}

#[tokio::test]
async fn inner_hits_and_named_queries_come_with_the_hit_on_every_engine() {
    let nested =
        json!({"nested": {"path": "lines", "query": {"term": {"lines.sku": "y"}}, "inner_hits": {"name": "found"}}});
    let named = json!({"term": {"total": {"value": 5, "_name": "five"}}});
    for kind in Kind::ALL {
        let (board, index) = real(kind).await;
        let found = search(&board, &index, json!({"query": {"bool": {"must": [nested, named]}}})).await;
        let hit = &found["hits"][0];
        let inner = &hit["inner_hits"]["found"]["hits"];
        assert_eq!(
            (&found["total"], &hit["_id"], &inner["total"]["value"]),
            (&json!(1), &json!("a"), &json!(1)),
            "{kind:?} {found}"
        );
        assert_eq!(inner["hits"][0]["_source"], json!({"count": 2, "sku": "y"}), "{kind:?}");
        assert_eq!(hit["matched_queries"], json!(["five"]), "{kind:?}");
        let plain = search(&board, &index, json!({"text": "wireless"})).await;
        assert!(plain["hits"][0].get("inner_hits").is_none() && plain["hits"][0].get("matched_queries").is_none());
        for tool in ["count_documents", "bulk_export"] {
            let failure = refused(&board, tool, &index, json!({"query": {"bool": {"must": [nested]}}})).await;
            assert_eq!(
                (&failure["code"], &failure["argument"], &failure["message"]),
                (
                    &json!("invalid"),
                    &json!("query"),
                    &json!(format!("`query.bool.must[0].nested.inner_hits` is not answered by {tool}"))
                ),
                "{kind:?}"
            );
        }
    }
}

#[tokio::test]
async fn inner_hits_count_against_the_bytes_of_an_answer() {
    let (board, index) = real(Kind::Elasticsearch8).await;
    let nested = json!({"nested": {"path": "lines", "query": {"match_all": {}}, "inner_hits": {}}});
    let asked = |query: Value| json!({"query": query, "fields": ["id"], "max_bytes": 400});
    let with = search(&board, &index, asked(nested)).await;
    assert_eq!((&with["truncated"], with["hits"].as_array().unwrap().len()), (&json!(true), 1), "{with}");
    let without = search(&board, &index, asked(json!({"exists": {"field": "id"}}))).await;
    assert_eq!((&without["truncated"], without["hits"].as_array().unwrap().len()), (&json!(false), 3), "{without}");
}

#[tokio::test]
async fn highlight_is_taken_in_every_form_by_every_engine() {
    let title = json!({"title": ["<em>Wireless</em> Mouse"]});
    let both = json!({"title": ["<em>Wireless</em> Mouse"], "note": ["<em>Wireless</em> too"]});
    for (engine, board, index) in everywhere().await {
        for (form, wanted) in [
            (json!(true), &both),
            (json!("title"), &title),
            (json!(["title"]), &title),
            (json!(["title", "note"]), &both),
            (json!({"fields": {"title": {}}}), &title),
            (json!({"fields": ["title"]}), &title),
            (json!({"fields": [{"title": {}}]}), &title),
            (json!({"title": {}}), &title),
            (json!({"note": {}, "title": {"number_of_fragments": 0}}), &both),
            (json!({"number_of_fragments": 0}), &both),
            (json!(false), &Value::Null),
        ] {
            let found = search(&board, &index, json!({"text": "wireless", "highlight": form})).await;
            assert_eq!(&found["hits"][0]["highlight"], wanted, "{engine} {form}");
        }
        for form in [json!(5), json!([5]), json!({"fields": 5}), json!({"fields": {"title": {}}, "no_such_option": 1})]
        {
            let failure =
                refused(&board, "search_documents", &index, json!({"text": "wireless", "highlight": form})).await;
            assert_eq!(
                (&failure["code"], &failure["argument"]),
                (&json!("invalid"), &json!("highlight")),
                "{engine} {form} {failure}"
            );
        }
    }
}

#[tokio::test]
async fn a_nested_query_on_what_is_not_nested_is_an_error_everywhere() {
    let nested = json!({"nested": {"path": "customer", "query": {"term": {"customer.name": "Ann"}}}});
    for (engine, board, index) in everywhere().await {
        let failure = refused(&board, "search_documents", &index, json!({"query": nested})).await;
        assert_eq!(failure["code"], "invalid", "{engine} {failure}");
        assert!(failure["message"].as_str().unwrap().contains("[nested]"), "{engine} {failure}");
        let unmapped = json!({"nested": {"path": "no_such", "query": {"match_all": {}}, "ignore_unmapped": true}});
        let found = search(&board, &index, json!({"query": unmapped})).await;
        assert_eq!(found["total"], 0, "{engine}");
    }
}

#[tokio::test]
async fn the_embedded_index_names_what_it_does_not_answer() {
    let (board, index) = embedded().await;
    let message = |failure: &Value| failure["message"].as_str().unwrap().to_owned();
    let inner = json!({"nested": {"path": "customer", "query": {"match_all": {}}, "inner_hits": {}}});
    let failure = refused(&board, "search_documents", &index, json!({"query": inner})).await;
    assert_eq!(message(&failure), "`query.nested` uses `inner_hits`, which the embedded search engine does not know");
    for (option, value) in [("no_match_size", json!(20)), ("encoder", json!("html")), ("order", json!("score"))] {
        let highlight = json!({"fields": {"title": {option: value}}});
        let failure =
            refused(&board, "search_documents", &index, json!({"text": "mouse", "highlight": highlight})).await;
        assert_eq!(
            (&failure["argument"], message(&failure)),
            (
                &json!("highlight"),
                format!("`highlight` uses `{option}`, which the embedded search engine does not know")
            )
        );
    }
}

#[tokio::test]
async fn the_embedded_index_tells_which_named_clauses_found_a_hit() {
    let (board, index) = embedded().await;
    let query = json!({"bool": {"_name": "any", "should": [
        {"match": {"title": {"query": "mouse", "_name": "mouse"}}},
        {"term": {"customer.name.keyword": {"value": "Bob", "_name": "bob"}}},
        {"terms": {"total": [5, 6], "_name": "total"}},
        {"match": {"customer.name": "Cy"}},
    ]}});
    let found = search(&board, &index, json!({"query": query, "sort": [{"id.keyword": "asc"}]})).await;
    let names: Vec<Vec<&str>> = found["hits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hit| {
            let mut names: Vec<&str> =
                hit["matched_queries"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
            names.sort_unstable();
            names
        })
        .collect();
    assert_eq!(names, [vec!["any", "mouse", "total"], vec!["any", "bob"], vec!["any"]]);
}
