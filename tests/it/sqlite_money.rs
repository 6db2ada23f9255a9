//! Exact numbers in the embedded database: what is added, divided, compared and counted is what PostgreSQL answers.

use serde_json::{Value, json};

use crate::support::harness::Harness;

async fn first(board: &Harness, query: &str, params: Value) -> (String, Value) {
    let answer = board.answer("execute_query", &json!({"query": query, "params": params}).to_string()).await;
    let kind = answer["columns"][0]["type"].as_str().unwrap().to_owned();
    let values = answer["rows"].as_array().unwrap().iter().map(|row| row[0].clone()).collect();
    (kind, values)
}

async fn assert_answers(board: &Harness, cases: &[(&str, &str, Value)]) {
    for (query, kind, values) in cases {
        let found = first(board, query, json!([])).await;
        assert_eq!(found, ((*kind).to_owned(), values.clone()), "{query}");
    }
}

async fn create(board: &Harness, table: &str, columns: &[(&str, &str)], key: &[&str]) {
    let columns: Vec<Value> = columns.iter().map(|(name, kind)| json!({"name": name, "type": kind})).collect();
    board.answer("create_table", &json!({"table": table, "columns": columns, "primary_key": key}).to_string()).await;
}

async fn load(board: &Harness, table: &str, rows: Value) {
    board.answer("bulk_insert", &json!({"table": table, "rows": rows}).to_string()).await;
}

async fn sales() -> Harness {
    let board = Harness::embedded();
    let columns = [
        ("id", "integer"),
        ("day", "date"),
        ("price", "numeric(10,2)"),
        ("qty", "integer"),
        ("loose", "numeric"),
        ("big", "numeric(20,0)"),
    ];
    create(&board, "sales", &columns, &["id"]).await;
    load(
        &board,
        "sales",
        json!([
            {"id":1,"day":"2026-01-31","price":"0.10","qty":3,"loose":"1.125","big":"7"},
            {"id":2,"day":"2026-01-05","price":"0.20","qty":1,"loose":-2,"big":"1234567890123456789"},
            {"id":3,"day":"2026-02-01","price":10,"qty":2,"loose":null,"big":null},
        ]),
    )
    .await;
    board
}

#[tokio::test]
async fn sums_and_quotients_keep_their_digits() {
    let board = sales().await;
    let numeric = |query, value: Value| (query, "numeric", value);
    assert_answers(
        &board,
        &[
            numeric("select sum(price) from sales where id < 3", json!(["0.30"])),
            numeric("select sum(price) from sales where id = 3", json!(["10.00"])),
            numeric("select sum(price) / 4 from sales where id = 3", json!(["2.50"])),
            numeric("select price / 4 from sales where id = 3", json!(["2.50"])),
            numeric("select price / 3 from sales where id = 3", json!(["3.33333333333333"])),
            numeric("select price + 0.20 from sales where id = 1", json!(["0.30"])),
            numeric("select price * 1.19 from sales order by id", json!(["0.119", "0.238", "11.90"])),
            numeric("select -price from sales where id = 3", json!(["-10.00"])),
            numeric("select sum(price * qty) from sales", json!(["20.50"])),
            numeric("select sum(price * 1.1) from sales", json!(["11.33"])),
            numeric("select avg(price) from sales where id < 3", json!(["0.15"])),
            numeric("select round(avg(price), 2) from sales", json!(["3.43"])),
            numeric("select min(price) from sales", json!(["0.10"])),
            numeric("select price + 90.1 - 99.9 from sales where id = 3", json!(["0.20"])),
            numeric("select price - 0.1 - 9.9 from sales where id = 3", json!(["0.00"])),
            numeric("select price * 100000 - 999999.92 from sales where id = 3", json!(["0.08"])),
            numeric("select mod(price, 3) from sales where id = 3", json!(["1.00"])),
            numeric("select sqrt(price * 1.6) from sales where id = 3", json!(["4.00"])),
            numeric("select power(price, 2) from sales where id = 3", json!(["100.00"])),
            ("select median(price) from sales", "float8", json!([0.2])),
            numeric("select max(price) from sales", json!(["10.00"])),
            numeric("select sum(loose) from sales", json!(["-0.875"])),
            numeric("select loose / 4 from sales where id = 2", json!(["-0.5"])),
            numeric("select sum(loose) from sales where id = 2", json!(["-2"])),
            numeric("select sum(big) from sales", json!(["1234567890123456796"])),
            numeric("select big from sales order by id", json!(["7", "1234567890123456789", null])),
            numeric("select sum(price) from sales where id < 3 group by date_trunc('month', day)", json!(["0.30"])),
            numeric("select sum(price) from sales group by day having sum(price) = 0.2", json!(["0.20"])),
            numeric("select sum(price) over (order by id) from sales", json!(["0.10", "0.30", "10.30"])),
            numeric(
                "select sum(price) over (order by id rows 1 preceding) from sales",
                json!(["0.10", "0.30", "10.20"]),
            ),
            numeric("with t as (select sum(price) s from sales where id < 3) select s * 2 from t", json!(["0.60"])),
            numeric("select (select sum(price) from sales where id < 3)", json!(["0.30"])),
            numeric(
                "select s from (select sum(price) s from sales union all select 5) order by s",
                json!(["5.00", "10.30"]),
            ),
            numeric("select distinct price from sales order by price desc", json!(["10.00", "0.20", "0.10"])),
            numeric("select coalesce(sum(price), 0) from sales group by id > 2 order by 1", json!(["0.30", "10.00"])),
            numeric(
                "select case when id = 1 then price else 0 end from sales order by id",
                json!(["0.10", "0.00", "0.00"]),
            ),
            numeric("select greatest(price, 1) from sales order by id", json!(["1.00", "1.00", "10.00"])),
            numeric("select abs(0 - price) from sales where id = 3", json!(["10.00"])),
            numeric("select floor(price * 0.3) from sales where id = 3", json!(["3.00"])),
            numeric("select ceil(price * 1.1 * 10) from sales where id = 3", json!(["110.00"])),
            numeric("select trunc(price / 3, 1) from sales where id = 3", json!(["3.30"])),
            numeric("select var_pop(price) from sales where id < 3", json!(["0.0025"])),
            numeric("select stddev(price) from sales where id < 3", json!(["0.0707106781186548"])),
            numeric("select sum(price) from sales where id > 3", json!([null])),
            numeric("select coalesce(sum(price), 0) from sales where id > 3", json!(["0.00"])),
            numeric("select coalesce(sum(s.price), 0) as total from sales s where id > 3", json!(["0.00"])),
            ("select coalesce(count(price), 0) from sales where id > 3", "int8", json!([0])),
            ("select sum(price) > 5 from sales", "int8", json!([1])),
            ("select cast(price * 2.9 as integer) from sales where id = 1", "int8", json!([0])),
            ("select cast(price * 2.9 + 0.21 as int) from sales where id = 1", "int8", json!([1])),
            ("select cast(sum(price) * 100 as bigint) from sales where id < 3", "int8", json!([30])),
            ("select percent_rank() over (order by price) from sales", "float8", json!([0.0, 0.5, 1.0])),
            ("select cume_dist() over (order by price), price from sales limit 1", "float8", json!([1.0 / 3.0])),
            ("select distinct date_part('day', day) + 0.5 from sales where price = 10", "float8", json!([1.5])),
            ("select sum(qty) / 4 from sales where price > 0", "int8", json!([1])),
            ("select qty / 2 from sales where price = 10", "int8", json!([1])),
            ("select count(*) from sales where price = 10.00", "int8", json!([1])),
            ("select count(*) from sales where round(price + 0.2, 2) = 0.30", "int8", json!([1])),
            ("select sum(price) = 0.30 from sales where id < 3", "int8", json!([1])),
            ("select to_char(price * 1.005, 'FM990.00') from sales where id = 3", "text", json!(["10.05"])),
        ],
    )
    .await;
}

#[tokio::test]
async fn doubles_and_integers_stay_what_they_are() {
    let board = Harness::embedded();
    create(&board, "t", &[("a", "double precision"), ("n", "integer"), ("price", "numeric(10,2)")], &[]).await;
    load(&board, "t", json!([{"a":0.1234567890123456,"n":7,"price":"5"}])).await;
    assert_answers(
        &board,
        &[
            ("select sum(a) from t", "float8", json!([0.123_456_789_012_345_6])),
            ("select a + 0.2 from t", "float8", json!([0.123_456_789_012_345_6 + 0.2])),
            ("select n / 2 from t", "int8", json!([3])),
            ("select sum(n) / 2 from t", "int8", json!([3])),
            ("select avg(n) from t", "float8", json!([7.0])),
            ("select price from t where a < 1", "numeric", json!(["5.00"])),
            ("select 1.0 / 3", "float8", json!([1.0 / 3.0])),
        ],
    )
    .await;
}

#[tokio::test]
async fn sums_beyond_a_double_are_exact() {
    let board = Harness::embedded();
    create(&board, "t", &[("amount", "numeric(20,4)")], &[]).await;
    load(&board, "t", json!([{"amount":"123456789012345.6789"}, {"amount":"0.0001"}, {"amount":"1"}])).await;
    assert_answers(
        &board,
        &[
            ("select sum(amount) from t", "numeric", json!(["123456789012346.6790"])),
            ("select amount from t order by amount", "numeric", json!(["0.0001", "1.0000", "123456789012345.6789"])),
            ("select round(max(amount), 2) from t", "numeric", json!(["123456789012345.6800"])),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_column_made_before_numbers_were_doubles_is_read_right() {
    let board = Harness::embedded();
    let file = rusqlite::Connection::open(board.home.path().join("data.db")).unwrap();
    file.execute_batch(
        "PRAGMA journal_mode = WAL; CREATE TABLE old (id int4, price numeric(10,2), wide numeric(20,4));
         INSERT INTO old VALUES (1, 10, 1234567890123.456), (2, 0.5, 3);",
    )
    .unwrap();
    assert_answers(
        &board,
        &[
            ("select price from old order by price", "numeric", json!(["0.50", "10.00"])),
            ("select wide from old order by id", "numeric", json!(["1234567890123.4560", "3.0000"])),
            ("select sum(price) from old", "numeric", json!(["10.50"])),
        ],
    )
    .await;
    let schema = board.answer("get_schema", r#"{"table":"old"}"#).await;
    assert_eq!(schema["columns"][1]["type"], "numeric(10,2)");
}

#[tokio::test]
async fn keys_of_exact_numbers_are_found_however_they_are_written() {
    let board = Harness::embedded();
    create(&board, "rates", &[("rate", "numeric(20,4)"), ("name", "text")], &["rate"]).await;
    load(&board, "rates", json!([{"rate":"10","name":"a"}, {"rate":"1234567890123456.7","name":"b"}])).await;
    let rows = json!([{"rate":10.0,"name":"c"}, {"rate":"1234567890123456.7000","name":"d"}, {"rate":1e1,"name":"e"}]);
    let call = json!({"table":"rates","rows":rows,"on_conflict":"update","duplicates":"last"});
    let answer = board.answer("bulk_insert", &call.to_string()).await;
    assert_eq!((&answer["inserted"], &answer["updated"], &answer["merged"]), (&json!(0), &json!(2), &json!(1)));
    assert_answers(&board, &[("select name from rates order by rate", "text", json!(["e", "d"]))]).await;
    let schema = board.answer("get_schema", r#"{"table":"rates"}"#).await;
    assert_eq!(schema["columns"][0]["type"], "numeric(20,4)");
    for condition in [json!({"rate": 10}), json!({"rate": "10.00"}), json!({"rate": {"gt": 10, "lt": 1e17}})] {
        let counted = board.answer("count_rows", &json!({"table":"rates","where":condition}).to_string()).await;
        assert_eq!(counted["count"], 1, "{condition}");
    }
}

#[tokio::test]
async fn long_numbers_are_plain_texts_and_keep_their_digits() {
    let board = Harness::embedded();
    create(&board, "wide", &[("id", "integer"), ("w", "numeric(38,10)")], &["id"]).await;
    load(
        &board,
        "wide",
        json!([{"id":1,"w":"1234567890123456789.0123456789"},{"id":2,"w":"-1234567890123456789.5"},{"id":3,"w":"7.5"}]),
    )
    .await;
    for (expression, value) in [
        ("json_object('w', w)", json!("{\"w\":\"1234567890123456789.0123456789\"}")),
        ("json_group_array(w)", json!("[\"1234567890123456789.0123456789\"]")),
        ("w || '|'", json!("1234567890123456789.0123456789|")),
        ("sum(w) || '|'", json!("1234567890123456789.0123456789|")),
        ("json_array(max(w), 1)", json!("[\"1234567890123456789.0123456789\",1]")),
        ("concat(w, '|')", json!("1234567890123456789.0123456789|")),
        ("cast(w as text)", json!("1234567890123456789.0123456789")),
        ("length(w)", json!(30)),
        ("right(w, 2)", json!("89")),
        ("substr(wide.w, -3)", json!("789")),
        ("w like '%789'", json!(1)),
        ("w not like '%789'", json!(0)),
        ("w not in (1, 2)", json!(1)),
        ("hex(w)", json!("313233343536373839303132333435363738392E30313233343536373839")),
        ("avg(w)", json!("1234567890123456789.0123456789")),
        ("floor(w)", json!("1234567890123456789.0000000000")),
        ("ceil(w)", json!("1234567890123456790.0000000000")),
        ("trunc(w)", json!("1234567890123456789.0000000000")),
        ("abs(w)", json!("1234567890123456789.0123456789")),
        ("total(w)", json!("1234567890123456789.0123456789")),
        ("-w", json!("-1234567890123456789.0123456789")),
        ("abs(-w)", json!("1234567890123456789.0123456789")),
        ("id - w < 0", json!(1)),
    ] {
        let found = first(&board, &format!("select {expression} from wide where id = 1"), json!([])).await;
        assert_eq!(found.1, json!([value]), "{expression}");
    }
    for (expression, value) in [
        ("floor(w)", json!("-1234567890123456790.0000000000")),
        ("ceil(w)", json!("-1234567890123456789.0000000000")),
        ("abs(w)", json!("1234567890123456789.5000000000")),
        ("-w", json!("1234567890123456789.5000000000")),
    ] {
        let found = first(&board, &format!("select {expression} from wide where id = 2"), json!([])).await;
        assert_eq!(found.1, json!([value]), "{expression}");
    }
    let averages = [
        ("select avg(w) from wide where id in (1, 3)", "617283945061728398.2561728395"),
        ("select avg(w) from wide where id = 3", "7.5000000000"),
        ("select avg(w) from wide where id in (1, 2)", "-0.24382716055"),
        ("select total(w) from wide where id = 9", "0.0000000000"),
    ];
    for (query, value) in averages {
        assert_eq!(first(&board, query, json!([])).await.1, json!([value]), "{query}");
    }
}
