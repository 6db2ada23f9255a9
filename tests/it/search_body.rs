//! What a search body may hold.

use callboard::{
    domain::{
        json::Json,
        search::{Query, body},
    },
    error::{Code, Error},
};
use proptest::prelude::*;
use serde_json::value::RawValue;

use crate::support::cases::cases;

fn json(text: &str) -> Json {
    RawValue::from_string(text.to_owned()).unwrap()
}

fn query(text: &str) -> Result<Query, Error> {
    body::read_query(json(text))
}

fn refusal(text: &str) -> Error {
    query(text).map(|query| panic!("{text} → {query:?}")).unwrap_err()
}

#[test]
fn what_runs_code_or_reads_elsewhere_is_denied_with_its_place() {
    for (attack, place) in [
        (r#"{"script":{"script":"while(true){}"}}"#, "query.script"),
        (r#"{"bool":{"filter":[{"match_all":{}},{"script":{"script":"1"}}]}}"#, "query.bool.filter[1].script"),
        (r#"{"script_score":{"query":{"match_all":{}},"script":{"source":"1"}}}"#, "query.script_score"),
        (
            r#"{"function_score":{"functions":[{"script_score":{"script":"1"}}]}}"#,
            "query.function_score.functions[0].script_score",
        ),
        (
            r#"{"terms_set":{"tags":{"terms":["a"],"minimum_should_match_script":{"source":"1"}}}}"#,
            "query.terms_set.tags.minimum_should_match_script",
        ),
        (
            r#"{"intervals":{"name":{"match":{"query":"a","filter":{"script":{"source":"1"}}}}}}"#,
            "query.intervals.name.match.filter.script",
        ),
        (
            r#"{"nested":{"path":"a","query":{"match_all":{}},"inner_hits":{"script_fields":{"x":{"script":"1"}}}}}"#,
            "query.nested.inner_hits.script_fields",
        ),
        (r#"{"wrapper":{"query":"eyJtYXRjaF9hbGwiOnt9fQ=="}}"#, "query.wrapper"),
        (
            r#"{"geo_shape":{"location":{"indexed_shape":{"index":"secrets","id":"1"}}}}"#,
            "query.geo_shape.location.indexed_shape",
        ),
        (r#"{"geo_shape":{"term":{"indexed_shape":{"id":"1"}}}}"#, "query.geo_shape.term.indexed_shape"),
        (r#"{"terms":{"user":{"index":"secrets","id":"1","path":"names"}}}"#, "query.terms.user.index"),
        (r#"{"terms":{"script":{"index":"secrets","id":"1","path":"names"}}}"#, "query.terms.script.index"),
        (r#"{"terms":{"user":{"index":"secrets","path":"n","query":{"match_all":{}}}}}"#, "query.terms.user.index"),
        (
            r#"{"more_like_this":{"fields":["a"],"like":[{"_index":"secrets","_id":"1"}]}}"#,
            "query.more_like_this.like[0]._index",
        ),
        (
            r#"{"more_like_this":{"fields":["a"],"like":{"_index":"secrets","doc":{}}}}"#,
            "query.more_like_this.like._index",
        ),
        (r#"{"percolate":{"field":"q","index":"secrets","id":"1"}}"#, "query.percolate.index"),
        (r#"{"runtime_mappings":{"x":{"type":"long"}}}"#, "query.runtime_mappings"),
        (
            r#"{"bool":{"must":{"query":{"term":{"script":{"script_score":{"script":"1"}}}}}}}"#,
            "query.bool.must.query.term.script.script_score",
        ),
    ] {
        let error = refusal(attack);
        assert_eq!((error.code, error.argument.as_deref()), (Code::Denied, Some("query")), "{attack} → {error:?}");
        let told = error.message.split('`').nth(1).unwrap();
        assert_eq!(told, place, "{attack}");
        assert!(error.hint.is_some());
    }
}

#[test]
fn aggregations_highlights_and_sorts_are_held_to_the_same_rules() {
    for (argument, attack) in [
        ("aggs", r#"{"x":{"scripted_metric":{"init_script":"1"}}}"#),
        ("aggs", r#"{"match":{"scripted_metric":{"init_script":"1"}}}"#),
        ("aggs", r#"{"x":{"terms":{"script":"doc['a'].value"}}}"#),
        ("aggs", r#"{"x":{"range":{"script":{"source":"1"},"ranges":[{"to":1}]}}}"#),
        ("aggs", r#"{"x":{"avg":{"script":{"id":"stored"}}}}"#),
        ("aggs", r#"{"x":{"bucket_script":{"buckets_path":{},"script":"1"}}}"#),
        ("aggs", r#"{"term":{"bucket_selector":{"buckets_path":{},"script":"1"}}}"#),
        ("aggs", r#"{"x":{"top_hits":{"script_fields":{"a":{"script":"1"}}}}}"#),
        ("aggs", r#"{"x":{"filter":{"terms":{"user":{"index":"secrets","id":"1","path":"n"}}}}}"#),
        ("highlight", r#"{"fields":{"a":{"highlight_query":{"script":{"script":"1"}}}}}"#),
    ] {
        let error = body::read_part(argument, json(attack)).unwrap_err();
        assert_eq!((error.code, error.argument.as_deref()), (Code::Denied, Some(argument)), "{attack} → {error:?}");
    }
    for attack in [
        r#"{"_script":{"type":"number","script":"1","order":"asc"}}"#,
        r#"[{"price":{"nested":{"path":"a","filter":{"script":{"script":"1"}}}}}]"#,
        r#""{\"_script\":{\"script\":\"1\"}}""#,
    ] {
        assert_eq!(body::read_sort(json(attack)).unwrap_err().code, Code::Denied, "{attack}");
    }
}

#[test]
fn ordinary_bodies_pass_also_when_fields_are_called_like_refused_words() {
    for innocent in [
        r#"{"match_all":{}}"#,
        r#"{"bool":{"must":[{"match":{"name":"wireless mouse"}}],"filter":[{"range":{"price":{"gte":10,"lt":1e3}}},{"terms":{"tags":["usb","office"]}}],"must_not":{"exists":{"field":"gone"}}}}"#,
        r#"{"term":{"script":"x"}}"#,
        r#"{"match":{"template":"letter"}}"#,
        r#"{"term":{"index":"a"}}"#,
        r#"{"prefix":{"pipeline":"p"}}"#,
        r#"{"wildcard":{"name":"mou*e"}}"#,
        r#"{"wildcard":{"name":"*"}}"#,
        r#"{"regexp":{"name":"mou.*"}}"#,
        r#"{"query_string":{"query":"name:mouse AND price:[* TO 5] OR *:* AND tags:*"}}"#,
        r#"{"more_like_this":{"fields":["name"],"like":["some words",{"_id":"1"}]}}"#,
        r#"{"simple_query_string":{"query":"mou* -keyboard","fields":["name"]}}"#,
        r#"{"match":{"name":"*?what"}}"#,
    ] {
        assert!(matches!(query(innocent), Ok(Query::Dsl(_))), "{innocent} → {:?}", query(innocent));
    }
    for sort in [r#"[{"price":"desc"},"_score"]"#, r#"{"index":"asc","id":"asc"}"#, r#""price""#] {
        body::read_sort(json(sort)).unwrap();
    }
    body::read_part("aggs", json(r#"{"by":{"terms":{"field":"category"},"aggs":{"top":{"top_hits":{"size":1}}}}}"#))
        .unwrap();
}

#[test]
fn leading_wildcards_are_denied() {
    for attack in [
        r#"{"wildcard":{"name":"*mouse"}}"#,
        r#"{"wildcard":{"name":{"value":"?ouse"}}}"#,
        r#"{"wildcard":{"name":{"wildcard":"*ouse","boost":2}}}"#,
        r#"{"intervals":{"name":{"wildcard":{"pattern":"*ouse"}}}}"#,
        r#"{"regexp":{"name":".*mouse"}}"#,
        r#"{"regexp":{"name":{"value":".+mouse"}}}"#,
        r#"{"query_string":{"query":"*mouse"}}"#,
        r#"{"query_string":{"query":"name:*mouse"}}"#,
        r#"{"bool":{"must":[{"query_string":{"query":"a AND (b OR ?c)","fields":["name"]}}]}}"#,
        r#"{"query_string":{"query":"name:/.*mouse/"}}"#,
    ] {
        let error = refusal(attack);
        assert_eq!(error.code, Code::Denied, "{attack} → {error:?}");
        assert!(error.message.contains("wildcard"), "{error}");
    }
}

#[test]
fn depth_size_and_repeated_keys_are_bounded() {
    let deep = |levels: usize| {
        format!("{}{{\"match_all\":{{}}}}{}", r#"{"bool":{"must":"#.repeat(levels), "}}".repeat(levels))
    };
    assert!(query(&deep(15)).is_ok());
    for levels in [16, 60, 5_000] {
        assert_eq!(refusal(&deep(levels)).code, Code::Invalid);
    }
    let terms = |count: usize| format!(r#"{{"terms":{{"n":[{}]}}}}"#, vec!["1"; count].join(","));
    assert!(query(&terms(9_990)).is_ok());
    let error = refusal(&terms(10_001));
    assert_eq!((error.code, error.argument.as_deref()), (Code::Invalid, Some("query")));
    let error = refusal(r#"{"match":{"name":"a","name":"b"}}"#);
    assert_eq!(error.message, "`query.match` names `name` twice");
}

#[test]
fn a_query_is_read_as_it_was_meant() {
    assert!(matches!(query(r#""wireless mouse""#), Ok(Query::Text(words)) if words == "wireless mouse"));
    assert!(
        matches!(query(r#""{\"match\":{\"name\":\"a\"}}""#), Ok(Query::Dsl(dsl)) if dsl.get() == r#"{"match":{"name":"a"}}"#)
    );
    assert!(matches!(query("{}"), Ok(Query::All)));
    assert!(
        matches!(query(r#"{"query":{"match_all":{}}}"#), Ok(Query::Dsl(dsl)) if dsl.get() == r#"{"match_all":{}}"#)
    );
    let error = refusal(r#"{"query":{"match_all":{}},"size":5,"sort":[]}"#);
    assert_eq!(error.code, Code::Invalid);
    assert!(error.hint.as_deref().unwrap().starts_with("pass size, sort as separate arguments"), "{error:?}");
    let error = refusal(r#"{"match":{"a":"b"},"term":{"c":"d"}}"#);
    assert_eq!(error.message, "`query` holds 2 clauses (match, term); it takes one");
    for wrong in ["[1]", "7", "true", r#"{"size":3}"#] {
        assert_eq!(refusal(wrong).code, Code::Invalid, "{wrong}");
    }
    assert_eq!(body::read_sort(json(r#""price:desc, name""#)).unwrap().get(), r#"[{"price":"desc"},"name"]"#);
}

proptest! {
    #![proptest_config(cases(256))]

    /// Whatever stands around it: a script is found.
    #[test]
    fn a_script_is_found_at_any_depth(keys in prop::collection::vec("[a-z_]{1,12}", 0..12), in_list in any::<bool>()) {
        let mut text = r#"{"script":{"script":{"source":"1"}}}"#.to_owned();
        for key in &keys {
            text = if in_list { format!(r#"{{"{key}":[{text}]}}"#) } else { format!(r#"{{"{key}":{text}}}"#) };
        }
        let text = format!(r#"{{"bool":{{"must":{text}}}}}"#);
        prop_assert_eq!(query(&text).map(|_| ()).unwrap_err().code, Code::Denied);
    }

    /// No text makes the walk fail otherwise than by an answer.
    #[test]
    fn any_json_is_answered(value in any::<f64>(), words in "\\PC{0,40}") {
        let words = serde_json::to_string(&words).unwrap();
        let _ = query(&format!(r#"{{{words}:[{value:?},{words}]}}"#).replace("NaN", "0").replace("inf", "1e308"));
        let _ = query(&words);
    }
}
