//! The embedded search engine, through the tools.

use serde_json::{Value, json};

use crate::support::{
    engines::{self, Kind},
    harness::Harness,
};

/// Six products, mapped as they come.
async fn products() -> Harness {
    let board = Harness::embedded();
    let written = board
        .answer("index_documents", &json!({"index":"products","documents":documents(),"id_field":"id"}).to_string())
        .await;
    assert_eq!(written, json!({"indexed":6,"failed":[]}));
    board
}

fn documents() -> Value {
    json!([
        {"id":"p-001","name":"Wireless Mouse","category":"electronics","price":29.99,"description":"A wireless mouse with two buttons","stock_quantity":150,"created_at":"2026-01-05T10:00:00Z","brand":"Acme","tags":["usb","office"],"active":true},
        {"id":"p-002","name":"Mechanical Keyboard","category":"electronics","price":89.5,"description":"Keys that click","stock_quantity":75,"created_at":"2026-01-20T10:00:00Z","brand":"Acme","tags":["usb","gaming"],"active":true},
        {"id":"p-003","name":"Desk Lamp","category":"home","price":19.0,"description":"Warm light for the desk, wireless charging in the foot","stock_quantity":0,"created_at":"2026-02-03T10:00:00Z","brand":"Lumo","tags":["office"],"active":false},
        {"id":"p-004","name":"Office Chair","category":"furniture","price":249.0,"description":"Sits well","stock_quantity":12,"created_at":"2026-02-14T10:00:00Z","brand":"Sitwell","tags":["office","home"],"active":true},
        {"id":"p-005","name":"Wireless Headphones","category":"electronics","price":199.99,"description":"Noise cancelling","stock_quantity":30,"created_at":"2026-03-01T10:00:00Z","brand":"Sonus","tags":["audio"],"active":true},
        {"id":"p-006","name":"Coffee Mug","category":"home","price":9.5,"description":"Holds coffee","stock_quantity":500,"created_at":"2026-03-15T10:00:00Z","tags":[],"active":true,"dimensions":{"height":10,"unit":"cm"}}
    ])
}

async fn search(board: &Harness, more: Value) -> Value {
    let mut arguments = json!({"index":"products"});
    arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    board.answer("search_documents", &arguments.to_string()).await
}

/// The ids of what a query finds, in order of id.
async fn found(board: &Harness, query: Value) -> Vec<String> {
    let answer = search(board, json!({"query":query,"sort":["_id"],"fields":["id"]})).await;
    ids(&answer)
}

fn ids(answer: &Value) -> Vec<String> {
    answer["hits"].as_array().unwrap().iter().map(|hit| hit["_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn blanks_around_a_name_mean_nothing_and_an_empty_name_is_told() {
    let board = Harness::embedded();
    board.answer("index_documents", r#"{"index":" things ","documents":[{"id":"a"}],"id_field":"id"}"#).await;
    for tool in ["search_documents", "count_documents", "bulk_export", "get_mapping", "get_document"] {
        let id = if tool == "get_document" { r#","id":"a""# } else { "" };
        board.answer(tool, &format!(r#"{{"index":"things "{id}}}"#)).await;
        let failure = board.refused(tool, &format!(r#"{{"index":" "{id}}}"#)).await;
        assert_eq!(
            (&failure["code"], &failure["argument"], &failure["message"]),
            (&json!("invalid"), &json!("index"), &json!("`index` is empty, or names an empty one between commas")),
            "{tool}"
        );
    }
}

#[tokio::test]
async fn words_find_documents_best_first() {
    let board = products().await;
    let answer = search(&board, json!({"text":"wireless","size":2})).await;
    assert_eq!((answer["total"].as_u64(), answer["total_relation"].as_str()), (Some(3), Some("eq")));
    assert_eq!(ids(&answer), ["p-001", "p-005"]);
    assert!(answer["hits"][0]["score"].as_f64().unwrap() > 0.0);
    let after = &answer["next"]["search_after"];
    let rest = search(&board, json!({"text":"wireless","size":2,"search_after":after})).await;
    assert_eq!(ids(&rest), ["p-003"]);
    assert_eq!(rest["next"], Value::Null);
    // More words, and rarer ones, rank higher.
    assert_eq!(ids(&search(&board, json!({"text":"wireless mouse"})).await), ["p-001", "p-005", "p-003"]);
    let counted = board.answer("count_documents", r#"{"index":"products","text":"wireless"}"#).await;
    assert_eq!(counted, json!({"count":3}));
}

/// Queries, and the last digits of the ids that they find.
fn clauses() -> Vec<(Value, &'static str)> {
    vec![
        (json!({"match_all":{}}), "123456"),
        (json!({"match_none":{}}), ""),
        (json!({"match":{"name":"WIRELESS"}}), "15"),
        (json!({"match":{"name":{"query":"wireless mouse","operator":"and"}}}), "1"),
        (json!({"match":{"description":{"query":"wireless light desk","minimum_should_match":2}}}), "3"),
        (json!({"match":{"name":{"query":"wireles","fuzziness":"AUTO"}}}), "15"),
        (json!({"match":{"stock_quantity":"75"}}), "2"),
        (json!({"multi_match":{"query":"wireless","fields":["name^3","description"]}}), "135"),
        (json!({"multi_match":{"query":"desk light","type":"phrase","fields":["*"]}}), ""),
        (json!({"multi_match":{"query":"warm light","type":"phrase","fields":["desc*"]}}), "3"),
        (
            json!({"multi_match":{"query":"mouse buttons","type":"cross_fields","operator":"and","fields":["name","description"]}}),
            "1",
        ),
        (json!({"match_phrase":{"description":"wireless mouse"}}), "1"),
        (json!({"match_phrase":{"description":{"query":"wireless two","slop":2}}}), "1"),
        (json!({"match_phrase_prefix":{"name":"wireless head"}}), "5"),
        (json!({"match_bool_prefix":{"name":"mech"}}), "2"),
        (json!({"term":{"category.keyword":"home"}}), "36"),
        (json!({"term":{"category.keyword":{"value":"HOME","case_insensitive":true}}}), "36"),
        (json!({"term":{"brand":"acme"}}), "12"),
        (json!({"term":{"price":29.99}}), "1"),
        (json!({"term":{"active":false}}), "3"),
        (json!({"term":{"_id":"p-004"}}), "4"),
        (json!({"terms":{"tags.keyword":["audio","gaming"]}}), "25"),
        (json!({"terms":{"stock_quantity":[0,12]}}), "34"),
        (json!({"range":{"price":{"gte":19,"lt":89.5}}}), "13"),
        (json!({"range":{"stock_quantity":{"gt":75}}}), "16"),
        (json!({"range":{"created_at":{"gte":"2026-02-01","lte":"2026-02-14"}}}), "34"),
        (json!({"range":{"created_at":{"gte":"2026-03-01||-1M/M","lt":"2026-03"}}}), "34"),
        (json!({"range":{"brand.keyword":{"gte":"L","lt":"T"}}}), "345"),
        (json!({"exists":{"field":"brand"}}), "12345"),
        (json!({"exists":{"field":"dimensions"}}), "6"),
        (json!({"ids":{"values":["p-002","p-006","nope"]}}), "26"),
        (json!({"prefix":{"name.keyword":"Wire"}}), "15"),
        (json!({"prefix":{"name":{"value":"wire"}}}), "15"),
        (json!({"wildcard":{"name.keyword":"D*Lamp"}}), "3"),
        (json!({"wildcard":{"name":{"value":"k?yb*"}}}), "2"),
        (json!({"regexp":{"name":"m(ouse|ug)"}}), "16"),
        (json!({"fuzzy":{"name":{"value":"chiar"}}}), "4"),
        (json!({"constant_score":{"filter":{"term":{"active":false}}}}), "3"),
        (json!({"dis_max":{"queries":[{"match":{"name":"mouse"}},{"match":{"name":"mug"}}]}}), "16"),
        (json!({"bool":{"must":{"match":{"description":"wireless"}},"must_not":[{"term":{"active":false}}]}}), "1"),
        (json!({"bool":{"filter":[{"range":{"price":{"lt":100}}}],"should":[{"match":{"name":"mouse"}}]}}), "1236"),
        (
            json!({"bool":{"should":[{"match":{"name":"mouse"}},{"match":{"name":"wireless"}}],"minimum_should_match":2}}),
            "1",
        ),
        (json!({"bool":{"must_not":{"exists":{"field":"brand"}}}}), "6"),
        (json!({"bool":{}}), "123456"),
        (json!({"query_string":{"query":"name:wireless AND price:<100"}}), "1"),
        (json!({"query_string":{"query":"(mouse OR mug) -coffee"}}), "1"),
        (json!({"query_string":{"query":"\"noise cancelling\" brand:Lumo"}}), "35"),
        (json!({"query_string":{"query":"price:[19 TO 90} AND NOT category.keyword:home"}}), "12"),
        (json!({"query_string":{"query":"wire*","default_field":"name"}}), "15"),
        (json!({"query_string":{"query":"_exists_:dimensions"}}), "6"),
        (json!({"simple_query_string":{"query":"wireless + mouse -lamp","fields":["name","description"]}}), "12456"),
        (
            json!({"simple_query_string":{"query":"wireless -desk -mouse","default_operator":"and","fields":["name","description"]}}),
            "5",
        ),
        (
            json!({"simple_query_string":{"query":"wireless mouse","minimum_should_match":"100%","fields":["name"]}}),
            "1",
        ),
        (json!({"simple_query_string":{"query":"\"warm light\" | mug ((("}}), "36"),
        (json!({"match":{"no_such_field":"x"}}), ""),
    ]
}

#[tokio::test]
async fn every_clause_finds_what_it_says() {
    let board = products().await;
    for (query, expected) in clauses() {
        let expected: Vec<String> = expected.chars().map(|n| format!("p-00{n}")).collect();
        assert_eq!(found(&board, query.clone()).await, expected, "{query}");
    }
}

#[tokio::test]
async fn queries_that_cannot_be_read_say_where() {
    let board = products().await;
    let cases = [
        (json!({"matc":{"name":"x"}}), "`query` has no clause `matc`"),
        (
            json!({"bool":{"must":[{"match":{"name":"x","price":1}}]}}),
            "`query.bool.must[0].match` takes one field and has two: `name` and `price`",
        ),
        (json!({"bool":{"most":[]}}), "`query.bool` does not take `most`"),
        (json!({"range":{"price":{"above":1}}}), "`query.range.price` does not take `above`"),
        (
            json!({"range":{"created_at":{"gte":"yesterday"}}}),
            "`query.range.created_at` takes dates such as `2026-01-31T12:00:00Z` or `now-7d`, not `yesterday`",
        ),
        (
            json!({"term":{"price":"cheap"}}),
            "`query.term.price` takes numbers, as field `price` is of type `float`: not `cheap`",
        ),
        (json!({"terms":{"brand":"Acme"}}), "`query.terms.brand` takes a list of values"),
        (
            json!({"geo_distance":{"distance":"1km"}}),
            "`query` uses `geo_distance`, which the embedded search engine does not know",
        ),
        (
            json!({"regexp":{"name":"(("}}),
            "`query.regexp.name` holds a pattern that cannot be read: error: unclosed group",
        ),
        (
            json!({"query_string":{"query":"name:(mouse"}}),
            "`query.query_string` holds a text that cannot be read near character 12: `name:(mouse`",
        ),
    ];
    for (query, message) in cases {
        let failure = board.refused("search_documents", &json!({"index":"products","query":query}).to_string()).await;
        assert_eq!(
            (failure["code"].as_str(), failure["argument"].as_str()),
            (Some("invalid"), Some("query")),
            "{query}"
        );
        assert_eq!(failure["message"], message, "{query}");
    }
    let failure = board.refused("search_documents", r#"{"index":"products","sort":[{"prise":"asc"}]}"#).await;
    assert_eq!((&failure["argument"], &failure["did_you_mean"][0]), (&json!("sort"), &json!("price")));
    let failure = board.refused("search_documents", r#"{"index":"product","text":"x"}"#).await;
    assert_eq!((&failure["code"], &failure["did_you_mean"][0]), (&json!("not_found"), &json!("products")));
    let failure = board
        .refused("search_documents", r#"{"index":"products","aggs":{"a":{"significant_terms":{"field":"brand"}}}}"#)
        .await;
    assert_eq!((&failure["code"], &failure["argument"]), (&json!("invalid"), &json!("aggs")));
}

#[tokio::test]
async fn hits_are_sorted_paged_cut_and_highlighted() {
    let board = products().await;
    let by_price = search(&board, json!({"sort":[{"price":"desc"}],"size":2,"fields":["name","dim*"]})).await;
    assert_eq!(
        by_price["hits"][0],
        json!({"_id":"p-004","_index":"products","score":null,"document":{"name":"Office Chair"}})
    );
    let rest =
        search(&board, json!({"sort":[{"price":"desc"}],"size":9,"search_after":by_price["next"]["search_after"]}))
            .await;
    assert_eq!(ids(&rest), ["p-002", "p-001", "p-003", "p-006"]);
    assert_eq!(
        ids(&search(&board, json!({"sort":[{"price":"desc"}],"search_after":[29.99]})).await),
        ["p-003", "p-006"]
    );
    let by_brand =
        search(&board, json!({"sort":[{"brand":{"order":"desc","missing":"_first"}},{"created_at":"desc"}],"size":9}))
            .await;
    assert_eq!(ids(&by_brand), ["p-006", "p-005", "p-004", "p-003", "p-002", "p-001"]);
    assert_eq!(ids(&search(&board, json!({"sort":"stock_quantity","from":1,"size":2})).await), ["p-004", "p-005"]);
    let marked = search(&board, json!({"query":{"match":{"description":"wireless"}},"highlight":true})).await;
    assert_eq!(marked["hits"][0]["highlight"], json!({"description":["A <em>wireless</em> mouse with two buttons"]}));
    let styled = json!({"query":{"prefix":{"name":"key"}},"highlight":{"fields":{"name":{}},"pre_tags":["["],"post_tags":["]"]}});
    assert_eq!(search(&board, styled).await["hits"][0]["highlight"], json!({"name":["Mechanical [Keyboard]"]}));
    assert_eq!(search(&board, json!({"size":0})).await["total"], 6);
}

#[tokio::test]
async fn aggregations_answer_in_elasticsearchs_shape() {
    let board = products().await;
    let aggs = json!({
        "by":{"terms":{"field":"category","order":{"dear":"desc"}},"aggs":{"dear":{"max":{"field":"price"}},"best":{"top_hits":{"size":1,"sort":[{"price":"desc"}],"_source":["name"]}}}},
        "stats":{"stats":{"field":"price"}},
        "ranges":{"range":{"field":"price","ranges":[{"to":20},{"from":20,"to":100},{"from":100}]}},
        "steps":{"histogram":{"field":"stock_quantity","interval":100,"min_doc_count":1}},
        "months":{"date_histogram":{"field":"created_at","calendar_interval":"month","format":"yyyy-MM"}},
        "flags":{"terms":{"field":"active"}},
        "brands":{"cardinality":{"field":"brand"}},
        "without":{"missing":{"field":"brand"}},
        "cheap":{"filter":{"range":{"price":{"lt":50}}},"aggs":{"mean":{"avg":{"field":"price"}}}},
        "parts":{"filters":{"filters":{"usb":{"term":{"tags":"usb"}},"office":{"term":{"tags":"office"}}}}},
        "median":{"percentiles":{"field":"stock_quantity","percents":[50]}},
        "first":{"min":{"field":"created_at"}},
        "values":{"value_count":{"field":"tags"}},
        "nothing":{"terms":{"field":"no_such_field"}}
    });
    let answer = search(&board, json!({"size":0,"aggs":aggs})).await;
    let got = &answer["aggregations"];
    assert_eq!(
        got["by"],
        json!({"doc_count_error_upper_bound":0,"sum_other_doc_count":0,"buckets":[
            {"key":"furniture","doc_count":1,"dear":{"value":249.0},"best":{"hits":{"total":{"value":1,"relation":"eq"},"max_score":null,"hits":[{"_index":"products","_id":"p-004","_score":null,"_source":{"name":"Office Chair"},"sort":[249.0]}]}}},
            {"key":"electronics","doc_count":3,"dear":{"value":199.99},"best":{"hits":{"total":{"value":3,"relation":"eq"},"max_score":null,"hits":[{"_index":"products","_id":"p-005","_score":null,"_source":{"name":"Wireless Headphones"},"sort":[199.99]}]}}},
            {"key":"home","doc_count":2,"dear":{"value":19.0},"best":{"hits":{"total":{"value":2,"relation":"eq"},"max_score":null,"hits":[{"_index":"products","_id":"p-003","_score":null,"_source":{"name":"Desk Lamp"},"sort":[19.0]}]}}}
        ]})
    );
    assert_eq!(got["stats"], json!({"count":6,"min":9.5,"max":249.0,"avg":99.49666666666667,"sum":596.98}));
    assert_eq!(
        got["ranges"],
        json!({"buckets":[
        {"key":"*-20.0","to":20.0,"doc_count":2},{"key":"20.0-100.0","from":20.0,"to":100.0,"doc_count":2},{"key":"100.0-*","from":100.0,"doc_count":2}]})
    );
    assert_eq!(
        got["steps"],
        json!({"buckets":[{"key":0.0,"doc_count":4},{"key":100.0,"doc_count":1},{"key":500.0,"doc_count":1}]})
    );
    assert_eq!(
        got["months"],
        json!({"buckets":[
        {"key_as_string":"2026-01","key":1767225600000_i64,"doc_count":2},
        {"key_as_string":"2026-02","key":1769904000000_i64,"doc_count":2},
        {"key_as_string":"2026-03","key":1772323200000_i64,"doc_count":2}]})
    );
    assert_eq!(
        got["flags"]["buckets"],
        json!([{"key":1,"key_as_string":"true","doc_count":5},{"key":0,"key_as_string":"false","doc_count":1}])
    );
    assert_eq!((&got["brands"], &got["without"]), (&json!({"value":4}), &json!({"doc_count":1})));
    assert_eq!(got["cheap"], json!({"doc_count":3,"mean":{"value":19.496666666666666}}));
    assert_eq!(got["parts"], json!({"buckets":{"usb":{"doc_count":2},"office":{"doc_count":3}}}));
    assert_eq!(got["median"], json!({"values":{"50.0":52.5}}));
    assert_eq!(got["first"], json!({"value":1767607200000.0,"value_as_string":"2026-01-05T10:00:00.000Z"}));
    assert_eq!(got["values"], json!({"value":8}));
    assert_eq!(got["nothing"], json!({"doc_count_error_upper_bound":0,"sum_other_doc_count":0,"buckets":[]}));
}

#[tokio::test]
async fn documents_of_any_shape_are_kept_and_found_by_what_fits() {
    let board = Harness::embedded();
    // More text fields than have a place of their own in the word index.
    let wide: serde_json::Map<String, Value> =
        (0..24).map(|n| (format!("text{n:02}"), json!(format!("common word{n} tail end")))).collect();
    let odd = json!([
        wide,
        {"a":{},"b":[[1,[2]],3],"c":[{"d":1},{"d":2,"e":null}],"strange key!":"sonne","x.y":5},
        {"a":7,"long":"l".repeat(5_000),"deep":{"er":{"still":"mond"}}},
        {"b":"x"},
        {"c":1},
        {"":1},
        {"n":18446744073709551615_u64},
        {"b":4.9,"x":{"y":"6"}}
    ]);
    let written = board.answer("index_documents", &json!({"index":"odd","documents":odd}).to_string()).await;
    let failed: Vec<(&Value, &str)> = written["failed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (&one["position"], one["reason"].as_str().unwrap()))
        .collect();
    assert_eq!(
        failed,
        [
            (&json!(3), "failed to parse field [b] of type [long]"),
            (&json!(4), "object mapping for [c] tried to parse field [c] as object, but found a concrete value"),
            (&json!(5), "field name cannot contain only whitespace or begin or end with a dot: []"),
            (&json!(6), "failed to parse field [n] of type [long]"),
        ]
    );
    for (query, expected) in [
        (json!({"match_all":{}}), 4),
        (json!({"match_phrase":{"text23":"word23 tail"}}), 1),
        (json!({"match_phrase_prefix":{"text22":"tail e"}}), 1),
        (json!({"prefix":{"text21":"word2"}}), 1),
        (json!({"fuzzy":{"text20":"wird20"}}), 1),
        (json!({"exists":{"field":"text19"}}), 1),
        (json!({"term":{"b":3}}), 1),
        (json!({"term":{"b":4}}), 1),
        (json!({"term":{"c.d":2}}), 1),
        (json!({"term":{"a":7}}), 1),
        (json!({"range":{"x.y":{"gte":5}}}), 2),
        (json!({"match":{"strange key!":"Sonne"}}), 1),
        (json!({"match":{"deep.er.still":"mond"}}), 1),
        (json!({"exists":{"field":"long"}}), 1),
        (json!({"exists":{"field":"long.keyword"}}), 0),
    ] {
        let arguments = json!({"index":"odd","query":query}).to_string();
        assert_eq!(board.answer("count_documents", &arguments).await["count"], expected, "{query}");
    }
    let sorted = board
        .answer("search_documents", r#"{"index":"odd","text":"common","highlight":true,"fields":["text2*"]}"#)
        .await;
    assert_eq!(sorted["hits"][0]["highlight"].as_object().unwrap().len(), 24);
    assert_eq!(sorted["hits"][0]["document"].as_object().unwrap().len(), 4);
}

#[tokio::test]
async fn several_indices_answer_as_one() {
    let board = Harness::embedded();
    for (index, ids) in [("logs-1", ["a", "b", "c"]), ("logs-2", ["b", "c", "d"]), ("other", ["a", "b", "c"])] {
        let documents: Vec<Value> = ids.iter().map(|id| json!({"id":id,"level":"info","n":id.len()})).collect();
        board
            .answer("index_documents", &json!({"index":index,"documents":documents,"id_field":"id"}).to_string())
            .await;
    }
    let mut seen = Vec::new();
    let mut after = Value::Null;
    loop {
        let answer = board
            .answer(
                "search_documents",
                &json!({"index":"logs-*","text":"info","size":2,"search_after":after}).to_string(),
            )
            .await;
        assert_eq!(answer["total"], 6);
        let hits = answer["hits"].as_array().unwrap();
        seen.extend(
            hits.iter().map(|hit| format!("{}/{}", hit["_index"].as_str().unwrap(), hit["_id"].as_str().unwrap())),
        );
        after = answer["next"]["search_after"].clone();
        if after.is_null() {
            break;
        }
    }
    seen.sort();
    assert_eq!(seen, ["logs-1/a", "logs-1/b", "logs-1/c", "logs-2/b", "logs-2/c", "logs-2/d"]);
    let aggs = r#"{"index":"logs-1,other","size":0,"aggs":{"where":{"terms":{"field":"_index"}},"levels":{"terms":{"field":"level"}}}}"#;
    let answer = board.answer("search_documents", aggs).await;
    assert_eq!(
        answer["aggregations"]["where"]["buckets"],
        json!([{"key":"logs-1","doc_count":3},{"key":"other","doc_count":3}])
    );
    assert_eq!(answer["aggregations"]["levels"]["buckets"], json!([{"key":"info","doc_count":6}]));
    let none = board.refused("count_documents", r#"{"index":"nothing-*"}"#).await;
    assert_eq!((&none["code"], &none["message"]), (&json!("not_found"), &json!("no index matches `nothing-*`")));
}

#[tokio::test]
async fn elasticsearch_finds_the_same() {
    let server = tokio::task::spawn_blocking(|| engines::engine(Kind::Elasticsearch8)).await.unwrap();
    let (real, embedded) = (Harness::search(server.config()), products().await);
    let index = engines::index_name("same");
    real.answer("index_documents", &json!({"index":index,"documents":documents(),"id_field":"id"}).to_string()).await;
    let ask = async |query: &Value, more: Value| {
        let mut answers = Vec::new();
        for (board, index) in [(&real, index.as_str()), (&embedded, "products")] {
            let mut arguments = json!({"index":index,"query":query});
            arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            answers.push(board.answer("search_documents", &arguments.to_string()).await);
        }
        answers
    };
    for (query, _) in clauses() {
        let answers = ask(&query, json!({"sort":["stock_quantity"]})).await;
        assert_eq!(ids(&answers[0]), ids(&answers[1]), "{query}");
    }
    let aggs = json!({
        "by":{"terms":{"field":"tags.keyword","size":2},"aggs":{"stock":{"sum":{"field":"stock_quantity"}}}},
        "stats":{"extended_stats":{"field":"stock_quantity"}},
        "ranges":{"range":{"field":"stock_quantity","ranges":[{"to":20},{"from":20,"to":100,"key":"some"},{"from":100}],"keyed":true}},
        "steps":{"histogram":{"field":"stock_quantity","interval":50}},
        "months":{"date_histogram":{"field":"created_at","calendar_interval":"month","time_zone":"+02:00"}},
        "weeks":{"date_histogram":{"field":"created_at","fixed_interval":"7d","min_doc_count":1,"format":"yyyy-MM-dd"}},
        "flags":{"terms":{"field":"active","order":{"_key":"asc"}}},
        "late":{"date_range":{"field":"created_at","ranges":[{"from":"2026-02-01"},{"to":"2026-02-01"}]}},
        "brands":{"cardinality":{"field":"brand.keyword"}},
        "without":{"missing":{"field":"brand.keyword"}},
        "cheap":{"filter":{"range":{"price":{"lt":50}}},"aggs":{"mean":{"avg":{"field":"stock_quantity"}}}},
        "parts":{"filters":{"other_bucket":true,"filters":{"usb":{"term":{"tags":"usb"}},"office":{"term":{"tags":"office"}}}}},
        "first":{"min":{"field":"created_at"}},
        "values":{"value_count":{"field":"tags.keyword"}},
        "top":{"top_hits":{"size":1,"sort":[{"stock_quantity":"desc"}],"_source":["id"]}}
    });
    let mut answers = ask(&json!({"match_all":{}}), json!({"size":0,"aggs":aggs})).await;
    // The index has another name there.
    answers[0]["aggregations"]["top"]["hits"]["hits"][0]["_index"] = json!("products");
    for name in aggs.as_object().unwrap().keys() {
        assert_eq!(answers[0]["aggregations"][name], answers[1]["aggregations"][name], "{name}");
    }
}
