//! Values beside columns of the embedded database count as PostgreSQL would count them, however they are spelled.

use serde_json::{Value, json};

use crate::support::harness::Harness;

const ID: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";

async fn board() -> Harness {
    let board = Harness::embedded();
    let columns = json!([
        {"name":"id","type":"bigint"}, {"name":"done","type":"boolean"}, {"name":"key","type":"uuid"},
        {"name":"price","type":"numeric(10,2)"}, {"name":"wide","type":"numeric(30,4)"}, {"name":"name","type":"varchar(9)"},
        {"name":"day","type":"date"}, {"name":"at","type":"timestamptz"}, {"name":"hour","type":"time"}]);
    board.answer("create_table", &json!({"table":"t","columns":columns}).to_string()).await;
    let rows = json!([
        {"id":"9007199254740993","done":true,"key":ID,"price":"10.00","wide":"12345678901234567890.5","name":"10",
         "day":"2026-01-31","at":"2026-01-31T10:00:00Z","hour":"09:30"},
        {"id":2,"done":false,"price":"0.30","wide":"2","name":"true","day":"2026-02-01","at":"2026-02-01T10:00:00Z","hour":"10:00"}]);
    board.answer("bulk_insert", &json!({"table":"t","rows":rows}).to_string()).await;
    board
}

async fn count(board: &Harness, condition: &str, params: Value) -> Value {
    let query = format!("select count(*) from t where {condition}");
    board.answer("execute_query", &json!({"query": query, "params": params}).to_string()).await["rows"][0][0].clone()
}

#[tokio::test]
async fn a_parameter_is_read_by_the_type_of_its_column() {
    let board = board().await;
    for (condition, params) in [
        ("done = $1", json!([true])),
        ("done = $1", json!(["true"])),
        ("done = $1", json!(["t"])),
        ("done = $1", json!(["YES"])),
        ("done <> $1", json!(["false"])),
        ("$1 = done", json!(["true"])),
        ("t.done = ?", json!(["on"])),
        ("t.\"done\" =?1", json!(["true"])),
        ("done in ($1)", json!(["true"])),
        ("done not in ('x', $1)", json!(["false"])),
        ("($1 is null or done = $1)", json!(["true"])),
        ("coalesce(done, 0) = $1", json!(["true"])),
        ("key = $1", json!(["{6BA7B810-9DAD-11D1-80B4-00C04FD430C8}"])),
        ("key = $1", json!(["6ba7b8109dad11d180b400c04fd430c8"])),
        ("price = $1", json!(["10.00"])),
        ("price = $1", json!([10])),
        ("price = $1", json!(["1e1"])),
        ("price between $1 and $2", json!(["9.99", "10.01"])),
        ("price not between $1 and $2", json!(["0", "1"])),
        ("wide = $1", json!(["12345678901234567890.50"])),
        ("id = $1", json!(["9007199254740993"])),
        ("id = $1", json!([9_007_199_254_740_993_u64])),
        ("id > $1", json!(["99999999999999999999999"])),
        ("name = $1", json!([10])),
        ("name = $1", json!(["true"])),
        ("day = $1", json!(["2026-01-31"])),
        ("day > $1", json!(["2026-01-31T10:00:00Z"])),
        ("at = $1", json!(["2026-01-31 11:00:00+01"])),
        ("hour = $1", json!(["9:30"])),
        ("abs(price) = $1", json!(["10.00"])),
    ] {
        let wanted = i32::from(!condition.starts_with("id >"));
        assert_eq!(count(&board, condition, params.clone()).await, wanted, "{condition} {params}");
    }
    let grouped = r#"{"query":"select done from t group by done having sum(price) = $1","params":["0.30"]}"#;
    assert_eq!(board.answer("execute_query", grouped).await["rows"], json!([[false]]));
}

#[tokio::test]
async fn a_constant_is_read_by_the_type_of_its_column() {
    let board = board().await;
    for condition in [
        "done = 'true'",
        "done = 't'",
        "done in ('yes')",
        "done = 1",
        "done = true",
        "done",
        "'f' <> done",
        "price = '10.00'",
        "wide = 12345678901234567890.5",
        "wide = '12345678901234567890.5000'",
        "wide in (1, 12345678901234567890.5)",
        "key = '6BA7B8109DAD11D180B400C04FD430C8'",
        "hour = '9:30'",
        "name = 'true'",
        "name = '10' and 'done' = 'done' and length(name) = '2'",
    ] {
        assert_eq!(count(&board, condition, json!([])).await, 1, "{condition}");
    }
}

#[tokio::test]
async fn a_value_of_another_type_is_named() {
    let board = board().await;
    for (condition, param, reason) in [
        ("done = $1", "maybe", "invalid input syntax for type boolean: \"maybe\""),
        ("id = $1", "abc", "invalid input syntax for type bigint: \"abc\""),
        ("price > $1", "free", "invalid input syntax for type numeric: \"free\""),
        ("key = $1", "x", "invalid input syntax for type uuid: \"x\""),
    ] {
        let query = format!("select count(*) from t where {condition}");
        let refused = board.refused("execute_query", &json!({"query": query, "params": [param]}).to_string()).await;
        let column = condition.split(' ').next().unwrap();
        assert_eq!(
            (&refused["argument"], &refused["message"], &refused["backend_code"], &refused["hint"]),
            (&json!("params[0]"), &json!(reason), &json!("22P02"), &json!(format!("`$1` is compared with `{column}`")))
        );
    }
    // A name that the statement gives to something else says nothing.
    let query = "select count(*) from (select name as id from t) where id = $1";
    let answer = board.answer("execute_query", &json!({"query": query, "params": ["true"]}).to_string()).await;
    assert_eq!(answer["rows"], json!([[1]]));
}

#[tokio::test]
async fn count_rows_reads_values_by_the_same_rules() {
    let board = board().await;
    for condition in [
        json!({"done": true}),
        json!({"done": "true"}),
        json!({"done": "t"}),
        json!({"done": {"ne": "no"}}),
        json!({"done": {"in": ["yes"]}}),
        json!({"price": "10.00"}),
        json!({"price": {"gt": "9"}}),
        json!({"wide": {"gt": 3}}),
        json!({"id": "9007199254740993"}),
        json!({"id": {"gt": -1e30, "lt": 3}}),
        json!({"key": "6BA7B8109DAD11D180B400C04FD430C8"}),
        json!({"day": "2026-01-31"}),
        json!({"at": {"lte": "2026-01-31 11:00:00+01"}}),
        json!({"hour": "9:30"}),
    ] {
        let counted = board.answer("count_rows", &json!({"table":"t","where":condition}).to_string()).await;
        assert_eq!(counted["count"], 1, "{condition}");
    }
}

#[tokio::test]
async fn computed_times_are_compared_as_times() {
    let board = Harness::embedded();
    let columns = r#"{"table":"o","columns":[{"name":"id","type":"integer"},{"name":"d","type":"date"},{"name":"ts","type":"timestamptz"}]}"#;
    board.answer("create_table", columns).await;
    let rows = r#"{"table":"o","rows":[{"id":1,"d":"2026-11-28","ts":"2026-11-28T10:00Z"},{"id":2,"d":"2020-01-01","ts":"2020-01-01T10:00Z"}]}"#;
    board.answer("bulk_insert", rows).await;
    for (condition, counted) in [
        ("date_trunc('month', d) = '2026-11-01'", 1),
        ("'2026-11-01' = date_trunc('month', d)", 1),
        ("o.id > 0 and date_trunc('day', o.ts) = '2026-11-28'", 1),
        ("date_trunc('day', ts) = '2026-11-28 02:00:00+02'", 1),
        ("date_trunc('month', ts) = date_trunc('month', d)", 2),
        ("date_trunc('day', now()) = current_date", 2),
        ("current_date in (date_trunc('day', now()))", 2),
        ("date_trunc('month', d) in ('2026-11-01', '2020-01-01')", 2),
        ("date_trunc('month', d) not in ('2026-11-01', '2020-01-01')", 0),
        ("date_trunc('month', d) in (select date_trunc('month', ts) from o)", 2),
        ("date_trunc('month', d) between '2026-11-01' and '2026-11-01'", 1),
        ("date_trunc('month', d) >= '2026-11-01'", 1),
        ("date_trunc('month', d) > '2026-11-01'", 0),
        ("date_trunc('month', d) <= '2020-01-01'", 1),
        ("date_trunc('hour', ts) < '2026-11-28 10:30'", 2),
        ("datetime(ts, '+1 hour') = '2026-11-28T11:00:00Z'", 1),
        ("date(ts) = '2026-11-28T00:00:00Z'", 1),
        ("to_date('28.11.2026', 'DD.MM.YYYY') = date_trunc('day', ts)", 1),
        ("coalesce(d, ts) = '2026-11-28 00:00'", 1),
        ("(select max(ts) from o) = '2026-11-28 10:00'", 2),
        ("exists (select 1 from (select max(ts) over (order by id) m from o) where m = '2026-11-28 10:00')", 2),
        ("(select max(ts) filter (where id = 1) from o) = '2026-11-28 10:00'", 2),
        ("to_char(date_trunc('month', d), 'YYYY-MM') = '2026-11'", 1),
    ] {
        let query = json!({"query": format!("select count(*) from o where {condition}")});
        assert_eq!(board.answer("execute_query", &query.to_string()).await["rows"][0][0], counted, "{condition}");
    }
    for given in ["2026-11-01", "2026-11-01T00:00:00Z", "2026-11-01 01:00:00+01:00"] {
        let query = json!({"query":"select count(*) from o where date_trunc('month', d) = $1 and $2 = date_trunc('month', ts)","params":[given, given]});
        assert_eq!(board.answer("execute_query", &query.to_string()).await["rows"][0][0], 1, "{given}");
    }
    for (query, name, values) in [
        (
            "select count(*), date_trunc('month', d) from (select d from o union all select date_trunc('day', ts) from o) group by date_trunc('month', d) order by 2 desc",
            "date_trunc('month', d)",
            json!([2, 2]),
        ),
        (
            "select count(*) n, m from (select d m from o union all select date_trunc('day', ts) from o) group by date_trunc('day', m) order by date_trunc('day', m)",
            "m",
            json!([2, 2]),
        ),
        (
            "with t as (select id, date_trunc('month', d) as m from o) select id, m from t where m = '2026-11-01'",
            "m",
            json!([1]),
        ),
        ("select id, d from o order by date_trunc('month', d)", "d", json!([2, 1])),
    ] {
        let answer = board.answer("execute_query", &json!({"query": query}).to_string()).await;
        let firsts: Vec<_> = answer["rows"].as_array().unwrap().iter().map(|row| row[0].clone()).collect();
        assert_eq!((&answer["columns"][1]["name"], json!(firsts)), (&json!(name), values), "{query}");
    }
    let moved = board.refused("execute_query", r#"{"query":"select current_date - 7"}"#).await;
    assert_eq!(moved["message"], "`+` and `-` take numbers, and `current_date` is a date or time");
}

#[tokio::test]
async fn an_unknown_pattern_of_a_time_is_refused() {
    let board = Harness::embedded();
    for (pattern, unknown) in [("TMMonth", "TMMonth"), ("DD RM", "RM"), ("SS.FF3", "FF3")] {
        let query = json!({"query": "select to_char('2026-11-28', $1)", "params": [pattern]});
        let refused = board.refused("execute_query", &query.to_string()).await;
        let message = refused["message"].as_str().unwrap();
        assert!(
            message.starts_with(&format!("to_char: `{unknown}` is not known here in the pattern of a time")),
            "{refused}"
        );
    }
    let query = r#"{"query":"select to_char('2026-11-28', 'FMDD \"at\" FMMonth, YYYY')"}"#;
    assert_eq!(board.answer("execute_query", query).await["rows"][0][0], "28 at November, 2026");
}

#[tokio::test]
async fn texts_without_doubles_are_joined_by_the_form_that_is_told() {
    let board = Harness::embedded();
    let from = "from (select 'a' g union all select 'a' union all select 'b')";
    let query = json!({"query": format!("select string_agg(distinct g, ',') {from}")});
    let refused = board.refused("execute_query", &query.to_string()).await;
    assert_eq!(
        (&refused["code"], &refused["hint"]),
        (
            &json!("not_found"),
            &json!(
                "this database is SQLite: write (select string_agg(g, ',') from (select distinct g from t)) for string_agg(distinct g, ',') from t"
            )
        )
    );
    let query = json!({"query": format!("select (select string_agg(g, ',') from (select distinct g {from}))")});
    assert_eq!(board.answer("execute_query", &query.to_string()).await["rows"][0][0], "a,b");
}
