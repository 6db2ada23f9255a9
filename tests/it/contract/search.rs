//! The contract of the port `SearchEngine`. Each test makes indices of its own by writing documents, so every engine can run it.

use std::{collections::BTreeSet, sync::Arc};

use callboard::{
    adapters::{elasticsearch::Elasticsearch, embedded_search::EmbeddedSearch},
    background::Background,
    domain::{
        json::Json,
        ops::State,
        search::{After, Export, Found, NewDocuments, Place, Query, Search},
    },
    error::Code,
    ports::search::SearchEngine,
};
use serde_json::{Value, value::RawValue};

use crate::support::{
    engines::{self, Kind, index_name},
    patience::CALL_TIME,
};

type Engine = Arc<dyn SearchEngine>;

/// The suite for one engine.
macro_rules! every_rule {
    ($module:ident, $subject:expr, [$($rule:ident),* $(,)?]) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $rule() {
                    super::$rule($subject.await).await;
                }
            )*
        }
    };
}

macro_rules! held_by {
    ($($module:ident: $subject:expr),* $(,)?) => {
        $(every_rule!($module, $subject, [
            documents_come_back_byte_for_byte,
            words_are_found_in_all_text_fields,
            queries_filter_sort_and_page,
            pages_by_sort_values_give_every_hit_once,
            aggregations_and_highlights_come_with_the_hits,
            fields_can_be_chosen,
            counts_are_exact,
            a_document_is_found_by_any_id,
            indices_are_listed_by_name,
            a_mapping_is_flattened,
            each_document_is_written_or_refused_on_its_own,
            documents_without_ids_get_some,
            an_export_gives_every_document_once,
            an_export_of_nothing_ends_at_once,
            a_missing_index_is_named_with_its_nearest,
            a_pattern_that_fits_none_is_told,
            a_query_that_is_none_is_told,
            it_is_up,
        ]);)*
    };
}

held_by! {
    embedded: super::embedded(),
    elasticsearch_8: super::real(crate::support::engines::Kind::Elasticsearch8),
    elasticsearch_9: super::real(crate::support::engines::Kind::Elasticsearch9),
    opensearch_2: super::real(crate::support::engines::Kind::OpenSearch2),
    opensearch_3: super::real(crate::support::engines::Kind::OpenSearch3),
}

async fn embedded() -> Engine {
    thread_local! {
        /// Removed when the test's thread ends.
        static HOMES: std::cell::RefCell<Vec<tempfile::TempDir>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    let home = tempfile::tempdir().unwrap();
    let engine = Arc::new(EmbeddedSearch::new(home.path(), CALL_TIME));
    HOMES.with_borrow_mut(|homes| homes.push(home));
    engine
}

async fn real(kind: Kind) -> Engine {
    let server = tokio::task::spawn_blocking(move || engines::engine(kind)).await.unwrap();
    Arc::new(Elasticsearch::new(&server.config(), Background::default(), CALL_TIME).unwrap())
}

fn json(text: impl Into<String>) -> Json {
    RawValue::from_string(text.into()).unwrap()
}

fn value(json: &Json) -> Value {
    serde_json::from_str(json.get()).unwrap()
}

/// Writes documents with their `id` as `_id`; all must be accepted.
async fn write(engine: &Engine, index: &str, documents: &[impl AsRef<str>]) {
    // In parts, each of which even a starved engine writes within the 20 s that one request has.
    for part in documents.chunks(500) {
        let new = NewDocuments {
            index: index.to_owned(),
            documents: part.iter().map(|document| json(document.as_ref())).collect(),
            id_field: Some("id".to_owned()),
            made_from: None,
            refresh: true,
        };
        let indexed = engine.index(&new).await.unwrap();
        assert!(indexed.failed.is_empty(), "{:?}", indexed.failed);
        assert_eq!(indexed.indexed, part.len() as u64);
    }
}

fn looking_for(index: &str, query: Query) -> Search {
    Search {
        indices: vec![index.to_owned()],
        query,
        fields: Vec::new(),
        sort: None,
        size: 10,
        from: 0,
        aggregations: None,
        highlight: None,
        after: None,
        timeout: CALL_TIME,
    }
}

fn dsl(text: &str) -> Query {
    Query::Dsl(json(text))
}

fn ids(found: &Found) -> Vec<&str> {
    found.hits.iter().map(|hit| hit.id.as_str()).collect()
}

const PRODUCTS: [&str; 5] = [
    r#"{"id":"p-001","name":"Wireless Mouse","category":"electronics","price":29.99,"stock":5,"tags":["usb","office"]}"#,
    r#"{"id":"p-002","name":"Wireless Keyboard","category":"electronics","price":59.5,"stock":0,"tags":["usb"]}"#,
    r#"{"id":"p-003","name":"Standing Desk","category":"furniture","price":399,"stock":2,"tags":["office"]}"#,
    r#"{"id":"p-004","name":"Desk Lamp","category":"furniture","price":24.9,"stock":9,"tags":[]}"#,
    r#"{"id":"p-005","name":"Notebook","category":"paper","price":3.2,"stock":100,"tags":["wireless pairing"]}"#,
];

async fn products(engine: &Engine) -> String {
    let index = index_name("products");
    write(engine, &index, &PRODUCTS).await;
    index
}

async fn documents_come_back_byte_for_byte(engine: Engine) {
    let index = index_name("exact");
    let text =
        r#"{"id":"a","z":1.10,"big":9007199254740993,"e":1.5e3,"a":{"y":[1, 2],"x":null},"s":"line\nbreak é \u00e9"}"#;
    write(&engine, &index, &[text]).await;
    let found = engine.search(&looking_for(&index, Query::All)).await.unwrap();
    assert_eq!(found.hits[0].document.get(), text);
    let document = engine.document(&index, "a", &[]).await.unwrap().unwrap();
    assert_eq!((document.document.get(), document.version, document.index.as_str()), (text, 1, index.as_str()));
    let export = Export { indices: vec![index.clone()], query: Query::All, fields: Vec::new() };
    let mut pages = engine.export(&export).await.unwrap();
    assert_eq!(pages.next().await.unwrap()[0].document.get(), text);
}

async fn words_are_found_in_all_text_fields(engine: Engine) {
    let index = products(&engine).await;
    let found = engine.search(&looking_for(&index, Query::Text("wireless".to_owned()))).await.unwrap();
    assert_eq!(ids(&found).into_iter().collect::<BTreeSet<_>>(), BTreeSet::from(["p-001", "p-002", "p-005"]));
    assert!(found.total_is_exact && found.total == 3);
    let scores: Vec<f64> = found.hits.iter().map(|hit| hit.score.unwrap()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b) && scores[2] > 0.0, "{scores:?}");
    for nothing in ["", "zeppelin", "+ - && || ! ( ) { } [ ] ^ \" ~ * ? : \\ /"] {
        let found = engine.search(&looking_for(&index, Query::Text(nothing.to_owned()))).await.unwrap();
        assert_eq!(found.total, 0, "{nothing}");
    }
}

async fn queries_filter_sort_and_page(engine: Engine) {
    let index = products(&engine).await;
    let cheap = r#"{"bool":{"must":[{"range":{"price":{"lt":100}}}],"must_not":[{"term":{"stock":0}}]}}"#;
    let mut search = looking_for(&index, dsl(cheap));
    search.sort = Some(json(r#"[{"price":"desc"}]"#));
    search.size = 2;
    let found = engine.search(&search).await.unwrap();
    assert_eq!((ids(&found), found.total), (vec!["p-001", "p-004"], 3));
    assert!(found.hits[0].score.is_none());
    search.from = 2;
    assert_eq!(ids(&engine.search(&search).await.unwrap()), ["p-005"]);
    (search.size, search.from) = (0, 0);
    let found = engine.search(&search).await.unwrap();
    assert_eq!((found.hits.len(), found.total), (0, 3));
    search.size = 10;
    search.sort = Some(json(r#""price""#));
    assert_eq!(ids(&engine.search(&search).await.unwrap()), ["p-005", "p-004", "p-001"]);
}

async fn pages_by_sort_values_give_every_hit_once(engine: Engine) {
    let index = index_name("pages");
    let documents: Vec<String> =
        (0..230).map(|n| format!(r#"{{"id":"d{n}","rank":{},"name":"same words"}}"#, n / 50)).collect();
    write(&engine, &index, &documents).await;
    for (query, sort) in [
        (Query::All, None),
        (Query::Text("words".to_owned()), None),
        (Query::All, Some(r#"[{"rank":"desc"}]"#)),
        (dsl(r#"{"range":{"rank":{"lte":3}}}"#), Some(r#"{"rank":"asc"}"#)),
    ] {
        let mut search = looking_for(&index, query);
        search.sort = sort.map(json);
        search.size = 33;
        let mut seen = BTreeSet::new();
        let mut count = 0;
        loop {
            let found = engine.search(&search).await.unwrap();
            assert!(found.hits.len() <= 33);
            count += found.hits.len() as u64;
            seen.extend(found.hits.iter().map(|hit| hit.id.clone()));
            if count == found.total {
                assert_ne!(found.more, Some(true));
                break;
            }
            assert_ne!(found.more, Some(false), "{count} of {}", found.total);
            let last = found.hits.last().unwrap();
            search.after = Some(After::Hit(Place { sort: last.sort.clone().unwrap(), given: vec![last.id.clone()] }));
        }
        assert_eq!(seen.len() as u64, count);
    }
}

async fn aggregations_and_highlights_come_with_the_hits(engine: Engine) {
    let index = products(&engine).await;
    let mut search = looking_for(&index, Query::Text("wireless".to_owned()));
    search.aggregations =
        Some(json(r#"{"by":{"terms":{"field":"category.keyword"}},"price":{"stats":{"field":"price"}}}"#));
    search.highlight = Some(json("true"));
    let found = engine.search(&search).await.unwrap();
    let aggregations = value(found.aggregations.as_ref().unwrap());
    assert_eq!(aggregations["by"]["buckets"][0]["key"], "electronics");
    assert_eq!(aggregations["by"]["buckets"][0]["doc_count"], 2);
    assert_eq!(aggregations["price"]["count"], 3);
    let mouse = found.hits.iter().find(|hit| hit.id == "p-001").unwrap();
    let highlight = value(mouse.highlight.as_ref().unwrap());
    assert_eq!(highlight["name"][0], "<em>Wireless</em> Mouse");
    search.highlight = Some(json(r#"{"fields":{"name":{}},"pre_tags":["["],"post_tags":["]"]}"#));
    let found = engine.search(&search).await.unwrap();
    let mouse = found.hits.iter().find(|hit| hit.id == "p-001").unwrap();
    assert_eq!(value(mouse.highlight.as_ref().unwrap())["name"][0], "[Wireless] Mouse");
}

async fn fields_can_be_chosen(engine: Engine) {
    let index = products(&engine).await;
    let mut search = looking_for(&index, dsl(r#"{"ids":{"values":["p-001"]}}"#));
    search.fields = vec!["name".to_owned(), "pri*".to_owned()];
    let found = engine.search(&search).await.unwrap();
    assert_eq!(value(&found.hits[0].document), serde_json::json!({"name":"Wireless Mouse","price":29.99}));
    let document = engine.document(&index, "p-001", &["stock".to_owned()]).await.unwrap().unwrap();
    assert_eq!(document.document.get(), r#"{"stock":5}"#);
}

async fn counts_are_exact(engine: Engine) {
    let index = products(&engine).await;
    let indices = [index];
    assert_eq!(engine.count(&indices, &Query::All).await.unwrap(), 5);
    assert_eq!(engine.count(&indices, &Query::Text("desk".to_owned())).await.unwrap(), 2);
    assert_eq!(engine.count(&indices, &dsl(r#"{"range":{"price":{"gt":1000}}}"#)).await.unwrap(), 0);
}

async fn a_document_is_found_by_any_id(engine: Engine) {
    let index = index_name("ids");
    let strange = ["..", ".", "a/b", "a b", "ä?x=1#y", "%2e%2e", "_search", "\"", "*"];
    let documents: Vec<String> =
        strange.iter().map(|id| format!(r#"{{"id":{}}}"#, serde_json::to_string(id).unwrap())).collect();
    write(&engine, &index, &documents).await;
    for id in strange {
        let document = engine.document(&index, id, &[]).await.unwrap();
        assert_eq!(document.unwrap_or_else(|| panic!("no {id}")).id, id);
    }
    assert!(engine.document(&index, "nope", &[]).await.unwrap().is_none());
}

async fn indices_are_listed_by_name(engine: Engine) {
    let stem = index_name("listed");
    for part in ["b", "a", "c"] {
        write(&engine, &format!("{stem}-{part}"), &[r#"{"id":"1"}"#, r#"{"id":"2"}"#]).await;
    }
    let (_, listed) = engine.indices(Some(&format!("{stem}-*"))).await.unwrap();
    let names: Vec<String> = listed.iter().map(|index| index.name.clone()).collect();
    assert_eq!(names, ["a", "b", "c"].map(|part| format!("{stem}-{part}")));
    assert!(listed.iter().all(|index| index.documents == 2 && index.size_bytes > 0), "{listed:?}");
    assert!(listed.iter().all(|index| matches!(index.health.as_str(), "green" | "yellow")), "{listed:?}");
    let (_, all) = engine.indices(None).await.unwrap();
    assert!(all.len() >= 3 && all.iter().all(|index| !index.name.starts_with('.')));
    assert!(engine.indices(Some("no-such-*")).await.unwrap().1.is_empty());
}

async fn a_mapping_is_flattened(engine: Engine) {
    let index = index_name("mapped");
    let text = r#"{"id":"1","name":"a b","n":1,"x":1.5,"yes":true,"at":"2026-01-01T10:00:00Z","maker":{"city":"Bern","site":{"zip":3000}}}"#;
    write(&engine, &index, &[text]).await;
    let mapping = engine.mapping(&index).await.unwrap();
    assert_eq!(mapping.index, index);
    let kind = |path: &str| {
        mapping.fields.iter().find(|field| field.path == path).map(|field| field.type_name.as_str()).unwrap_or("none")
    };
    let kinds = ["name", "n", "x", "yes", "at", "maker.city", "maker.site.zip", "maker"].map(kind);
    assert_eq!(kinds, ["text", "long", "float", "boolean", "date", "text", "long", "none"]);
    let name = mapping.fields.iter().find(|field| field.path == "name").unwrap();
    assert_eq!(name.multi_fields, ["name.keyword"]);
    assert!(value(&mapping.raw).is_object());
}

async fn each_document_is_written_or_refused_on_its_own(engine: Engine) {
    let index = index_name("notes");
    write(&engine, &index, &[r#"{"id":"first","n":1}"#]).await;
    let documents = [
        r#"{"id":"a","n":1}"#,
        r#"{"id":"b","n":"x"}"#,
        r#"{"n":3}"#,
        "{\n  \"id\": 7,\r\n  \"n\": 4\n}",
        r#"{"id":null,"n":5}"#,
        r#"{"id":"first","n":6}"#,
        r#"{"id":["c"],"n":7}"#,
        r#"{"id":"d","_id":"e","n":8}"#,
    ];
    let new = NewDocuments {
        index: index.clone(),
        documents: documents.map(json).into(),
        id_field: Some("id".to_owned()),
        made_from: None,
        refresh: true,
    };
    let indexed = engine.index(&new).await.unwrap();
    assert_eq!(indexed.indexed, 3, "{indexed:?}");
    let failed: Vec<_> =
        indexed.failed.iter().map(|failed| (failed.position, failed.id.as_deref(), failed.code)).collect();
    let expected = [
        (1, Some("b"), Code::Invalid),
        (2, None, Code::Invalid),
        (4, None, Code::Invalid),
        (6, None, Code::Invalid),
        (7, Some("d"), Code::Invalid),
    ];
    assert_eq!(failed, expected);
    assert!(indexed.failed[0].reason.contains('n'), "{:?}", indexed.failed[0]);
    assert!(engine.document(&index, "7", &[]).await.unwrap().is_some());
    let replaced = engine.document(&index, "first", &[]).await.unwrap().unwrap();
    assert_eq!((replaced.version, replaced.document.get()), (2, r#"{"id":"first","n":6}"#));
}

async fn documents_without_ids_get_some(engine: Engine) {
    let index = index_name("anonymous");
    let new = NewDocuments {
        index: index.clone(),
        documents: vec![json(r#"{"n":1}"#), json(r#"{"n":1}"#)],
        id_field: None,
        made_from: None,
        refresh: true,
    };
    for round in 1..=2 {
        assert_eq!(engine.index(&new).await.unwrap().indexed, 2);
        assert_eq!(engine.count(std::slice::from_ref(&index), &Query::All).await.unwrap(), round * 2);
    }
}

async fn an_export_gives_every_document_once(engine: Engine) {
    let index = index_name("exported");
    let documents: Vec<String> =
        (0..2_500).map(|n| format!(r#"{{"id":"{n}","n":{n},"even":{}}}"#, n % 2 == 0)).collect();
    write(&engine, &index, &documents).await;
    let opened = [(Query::All, 2_500), (dsl(r#"{"term":{"even":true}}"#), 1_250)];
    let mut exports = Vec::new();
    for (query, expected) in opened {
        let export = Export { indices: vec![index.clone()], query, fields: vec!["n".to_owned()] };
        exports.push((engine.export(&export).await.unwrap(), expected));
    }
    // The view is fixed: what comes later is not in it.
    write(&engine, &index, &[r#"{"id":"late","n":-1,"even":true}"#]).await;
    for (mut pages, expected) in exports {
        assert_eq!(pages.total(), expected);
        let mut seen = BTreeSet::new();
        let mut count = 0;
        loop {
            let page = pages.next().await.unwrap();
            if page.is_empty() {
                break;
            }
            count += page.len() as u64;
            assert!(page.iter().all(|document| value(&document.document)["n"] != -1 && document.index == index));
            seen.extend(page.into_iter().map(|document| document.id));
        }
        assert_eq!((count, seen.len() as u64), (expected, expected));
        assert!(pages.next().await.unwrap().is_empty());
    }
}

async fn an_export_of_nothing_ends_at_once(engine: Engine) {
    let index = products(&engine).await;
    let export = Export { indices: vec![index], query: dsl(r#"{"term":{"stock":77}}"#), fields: Vec::new() };
    let mut pages = engine.export(&export).await.unwrap();
    assert_eq!(pages.total(), 0);
    assert!(pages.next().await.unwrap().is_empty());
}

async fn a_missing_index_is_named_with_its_nearest(engine: Engine) {
    let index = products(&engine).await;
    let misspelt = index.replace("products", "product");
    let names = [misspelt.clone()];
    let export = Export { indices: names.to_vec(), query: Query::All, fields: Vec::new() };
    let errors = [
        engine.search(&looking_for(&misspelt, Query::All)).await.unwrap_err(),
        engine.count(&names, &Query::All).await.unwrap_err(),
        engine.mapping(&misspelt).await.unwrap_err(),
        engine.document(&misspelt, "1", &[]).await.unwrap_err(),
        engine.export(&export).await.map(|_| ()).unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.code, error.argument.as_deref()), (Code::NotFound, Some("index")), "{error:?}");
        assert_eq!(error.message, format!("no index `{misspelt}`"));
        assert_eq!(error.did_you_mean.first(), Some(&index), "{error:?}");
    }
}

async fn a_pattern_that_fits_none_is_told(engine: Engine) {
    let names = [index_name("none").replace("none", "no*ne")];
    let error = engine.count(&names, &Query::All).await.unwrap_err();
    assert_eq!((error.code, error.argument.as_deref()), (Code::NotFound, Some("index")), "{error:?}");
    assert_eq!(error.message, format!("no index matches `{}`", names[0]));
}

async fn a_query_that_is_none_is_told(engine: Engine) {
    let index = products(&engine).await;
    for wrong in [r#"{"no_such_query":{"a":1}}"#, r#"{"range":{"price":{"bigger":1}}}"#, r#"{"match":{"name":{}}}"#] {
        let error = engine.search(&looking_for(&index, dsl(wrong))).await.unwrap_err();
        assert_eq!((error.code, error.argument.as_deref()), (Code::Invalid, Some("query")), "{wrong} → {error:?}");
        assert!(!error.message.is_empty());
    }
}

async fn it_is_up(engine: Engine) {
    let status = engine.status().await;
    assert_eq!((status.state, status.name.as_str()), (State::Up, "search"), "{:?}", status.problem);
    assert!(status.version.is_some_and(|version| !version.is_empty()) && status.latency_ms > 0.0);
}
