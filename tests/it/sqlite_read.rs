//! Reading from the embedded database: values, types, bounds, plans, and what tables are made of.

use std::time::{Duration, Instant};

use callboard::{
    adapters::sqlite::sql::DataFile,
    domain::{
        page::Bounds,
        sql::{Purpose, Read, Statement},
    },
    ports::sql::SqlDatabase,
};
use serde_json::{Value, json};

use crate::support::{
    harness::Harness,
    patience::{CALL_TIME, PATIENCE},
};

async fn query(board: &Harness, arguments: Value) -> Value {
    board.answer("execute_query", &arguments.to_string()).await
}

fn make(board: &Harness, sql: &str) {
    let file = rusqlite::Connection::open(board.home.path().join("data.db")).unwrap();
    file.execute_batch("PRAGMA journal_mode = WAL").unwrap();
    file.execute_batch(sql).unwrap();
}

#[tokio::test]
async fn values_travel_by_the_type_of_their_column() {
    let board = Harness::embedded();
    let types = [
        "smallint",
        "integer",
        "bigint",
        "real",
        "double precision",
        "numeric(10,2)",
        "boolean",
        "varchar(20)",
        "char(4)",
        "date",
        "time",
        "timestamp",
        "timestamptz",
        "uuid",
        "jsonb",
        "bytea",
        "text[]",
        "integer[]",
        "numeric(5,2)[]",
        "inet",
        "interval",
    ];
    let columns: Vec<Value> =
        types.iter().enumerate().map(|(n, name)| json!({"name":format!("c{n}"),"type":name})).collect();
    board.answer("create_table", &json!({"table":"t","columns":columns}).to_string()).await;
    let given = json!([1, -2, "9007199254740993", 0.5, 1e300, "29.9", "yes", "x", "ab", "2026-01-31", "10:00", "2026-01-31 10:00",
        "2026-01-31T12:00:00.123456+02:00", "6BA7B810-9DAD-11D1-80B4-00C04FD430C8", {"a": [1.50, null]}, "AP8=", ["a", null], [1, 2],
        [1.5], "127.0.0.1", "1 day"]);
    let row: serde_json::Map<String, Value> =
        given.as_array().unwrap().iter().enumerate().map(|(n, value)| (format!("c{n}"), value.clone())).collect();
    board.answer("insert_data", &json!({"table":"t","row":row}).to_string()).await;
    let answer = query(&board, json!({"query":"select * from t"})).await;
    let names: Vec<&str> =
        answer["columns"].as_array().unwrap().iter().map(|column| column["type"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "int2",
            "int4",
            "int8",
            "float4",
            "float8",
            "numeric",
            "bool",
            "varchar",
            "bpchar",
            "date",
            "time",
            "timestamp",
            "timestamptz",
            "uuid",
            "jsonb",
            "bytea",
            "text[]",
            "int4[]",
            "numeric[]",
            "inet",
            "interval"
        ]
    );
    assert_eq!(
        answer["rows"][0],
        json!([1, -2, "9007199254740993", 0.5, 1e300, "29.90", true, "x", "ab  ", "2026-01-31", "10:00:00",
            "2026-01-31T10:00:00.000", "2026-01-31T10:00:00.123456Z", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", {"a": [1.5, null]},
            "AP8=", ["a", null], [1, 2], ["1.50"], "127.0.0.1", "1 day"])
    );
    let schema = board.answer("get_schema", r#"{"table":"t"}"#).await;
    let full: Vec<&str> =
        schema["columns"].as_array().unwrap().iter().map(|column| column["type"].as_str().unwrap()).collect();
    assert_eq!(full[5..9], ["numeric(10,2)", "boolean", "character varying(20)", "character(4)"]);
    assert_eq!(full[12], "timestamp with time zone");
    for (condition, wanted) in [
        (r#"{"c6":true}"#, 1),
        (r#"{"c12":"2026-01-31T10:00:00.123456Z"}"#, 1),
        (r#"{"c12":{"gte":"2026-01-31","lt":"2026-02-01"}}"#, 1),
        (r#"{"c13":"6ba7b810-9dad-11d1-80b4-00c04fd430c8"}"#, 1),
        (r#"{"c8":"ab"}"#, 1),
        (r#"{"c16":{"eq":["a",null]}}"#, 1),
        (r#"{"c5":{"in":[1,29.90]}}"#, 1),
        (r#"{"c7":{"like":"X%"}}"#, 0),
        (r#"{"c7":{"ilike":"X%"}}"#, 1),
        (r#"{"c7":{"is_null":false},"c1":{"ne":5}}"#, 1),
    ] {
        let counted = board.answer("count_rows", &format!(r#"{{"table":"t","where":{condition}}}"#)).await;
        assert_eq!(counted["count"], wanted, "{condition}");
    }
    for text in
        ["select 1 from t where c12 > '2026-01-31 09:00:00'", "select 1 from t where c12 < '2026-01-31 11:00:00'"]
    {
        assert_eq!(query(&board, json!({"query":text})).await["row_count"], 1, "{text}");
    }
}

#[tokio::test]
async fn parameters_are_bound_by_their_number() {
    let board = Harness::embedded();
    let ask = |text: &str, params: Value| json!({"query":text,"params":params});
    assert_eq!(query(&board, ask("select $2, $1, $2", json!(["a", 7]))).await["rows"], json!([[7, "a", 7]]));
    assert_eq!(
        query(&board, ask("select $1 is null, $2, json($3)", json!([null, true, [1, 2]]))).await["rows"],
        json!([[1, 1, "[1,2]"]])
    );
    let text =
        board.answer_text("execute_query", r#"{"query":"select $1, $2","params":[9007199254740993,1.10]}"#).await;
    assert!(text.contains(r#"["9007199254740993",1.1]"#), "{text}");
    for (text, params) in [("select $1", json!([])), ("select 1", json!([1])), ("select $2", json!([1]))] {
        let failure = board.refused("execute_query", &ask(text, params).to_string()).await;
        assert_eq!(
            (failure["code"].as_str(), failure["argument"].as_str()),
            (Some("invalid"), Some("params")),
            "{text}"
        );
    }
}

#[tokio::test]
async fn long_answers_are_cut_and_go_on() {
    let board = Harness::embedded();
    let numbers =
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 25) select i, i as i from n";
    let mut found = Vec::new();
    let mut arguments = json!({"query":numbers,"max_rows":10});
    loop {
        let answer = query(&board, arguments.clone()).await;
        found.extend(answer["rows"].as_array().unwrap().iter().map(|row| row[0].as_i64().unwrap()));
        assert_eq!(answer["truncated"], found.len() < 25);
        if answer["next"].is_null() {
            break;
        }
        arguments["cursor"] = answer["next"].clone();
    }
    assert_eq!(found, (1..=25).collect::<Vec<i64>>());
    let answer = query(&board, json!({"query":numbers,"max_bytes":30})).await;
    assert_eq!((answer["row_count"].as_u64(), &answer["truncated"]), (Some(5), &json!(true)));
    let failure = board.refused("execute_query", r#"{"query":"select printf('%.1000c','x')","max_bytes":100}"#).await;
    assert_eq!((failure["code"].as_str(), failure["argument"].as_str()), (Some("limit"), Some("max_bytes")));
}

#[tokio::test]
async fn a_statement_ends_at_its_time_and_the_next_one_runs() {
    let board = Harness::embedded();
    let endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n";
    for _ in 0..9 {
        let failure = board.refused("execute_query", &json!({"query":endless,"timeout_ms":50}).to_string()).await;
        assert_eq!((failure["code"].as_str(), failure["retryable"].as_bool()), (Some("timeout"), Some(true)));
    }
    assert_eq!(query(&board, json!({"query":"select 1"})).await["rows"], json!([[1]]));
}

#[tokio::test]
async fn mistakes_in_a_query_are_named() {
    let board = Harness::embedded();
    make(&board, "CREATE TABLE customers (id integer PRIMARY KEY, customer_id text)");
    for (text, code, state, position, near) in [
        ("select * from customer", "not_found", "42P01", None, Some("customers")),
        ("select cusomer_id from customers", "not_found", "42703", Some(8), Some("customer_id")),
        ("select id fro customers", "invalid", "42601", Some(15), None),
        ("select id::text from customers", "invalid", "42601", Some(10), None),
        ("select nosuch(1)", "not_found", "42883", Some(8), None),
    ] {
        let failure = board.refused("execute_query", &json!({"query":text}).to_string()).await;
        assert_eq!(failure["code"], code, "{failure}");
        assert_eq!(failure["backend_code"], state, "{failure}");
        assert_eq!(failure["argument"], "query", "{failure}");
        if let Some(position) = position {
            assert_eq!(failure["position"], position, "{failure}");
        }
        if let Some(near) = near {
            assert_eq!(failure["did_you_mean"][0], near, "{failure}");
        }
    }
    let failure = board.refused("execute_query", r#"{"query":"select id::text from customers"}"#).await;
    assert_eq!(failure["message"], "unrecognized characters \":\"");
    let failure = board.refused("count_rows", r#"{"table":"customers","where":{"cusomer_id":1}}"#).await;
    assert_eq!(
        (&failure["argument"], &failure["did_you_mean"][0]),
        (&json!("where.cusomer_id"), &json!("customer_id"))
    );
    let failure = board.refused("get_schema", r#"{"table":"public.customer"}"#).await;
    assert_eq!((failure["code"].as_str(), &failure["did_you_mean"][0]), (Some("not_found"), &json!("customers")));
    let failure = board.refused("get_schema", r#"{"table":"sales.customers"}"#).await;
    assert_eq!((failure["code"].as_str(), &failure["did_you_mean"][0]), (Some("not_found"), &json!("main")));
}

#[tokio::test]
async fn a_schema_tells_everything_about_a_table() {
    let board = Harness::embedded();
    make(
        &board,
        "CREATE TABLE makers (a integer, b text, PRIMARY KEY (b, a));
         CREATE TABLE things (
            id integer PRIMARY KEY AUTOINCREMENT, price numeric(10,2) NOT NULL DEFAULT 1.5 CHECK (price > 0), code VARCHAR(9) UNIQUE,
            maker_a integer, maker_b text, twice numeric GENERATED ALWAYS AS (price * 2) VIRTUAL, place GEOMETRY,
            CONSTRAINT low CHECK (price < 1000), FOREIGN KEY (maker_b, maker_a) REFERENCES makers (b, a));
         CREATE INDEX by_price ON things (price DESC) WHERE price > 5;
         CREATE UNIQUE INDEX by_maker ON things (maker_a, maker_b);
         CREATE VIEW cheap AS SELECT id, price FROM things WHERE price < 10;
         INSERT INTO things (price) VALUES (2), (20); ANALYZE;",
    );
    let schema = board.answer("get_schema", r#"{"table":"things"}"#).await;
    assert_eq!((&schema["table"], &schema["kind"]), (&json!("main.things"), &json!("table")));
    let column = |name: &str| {
        schema["columns"].as_array().unwrap().iter().find(|column| column["name"] == name).unwrap().clone()
    };
    assert_eq!(
        (&column("id")["type"], &column("id")["identity"], &column("id")["nullable"]),
        (&json!("bigint"), &json!("by default"), &json!(false))
    );
    assert_eq!((&column("price")["type"], &column("price")["default"]), (&json!("numeric(10,2)"), &json!("1.5")));
    assert_eq!(column("code")["type"], "character varying(9)");
    assert_eq!(column("twice")["generated"], "price * 2");
    assert_eq!(column("place")["type"], "GEOMETRY");
    assert_eq!(schema["primary_key"], json!(["id"]));
    assert_eq!(schema["unique"], json!([["code"], ["maker_a", "maker_b"]]));
    assert_eq!(
        schema["foreign_keys"],
        json!([{"name":"things_maker_b_maker_a_fkey","columns":["maker_b","maker_a"],"references":"main.makers","referenced_columns":["b","a"]}])
    );
    assert_eq!(
        schema["checks"],
        json!([{"name":"","definition":"CHECK (price > 0)"},{"name":"low","definition":"CHECK (price < 1000)"}])
    );
    let indexes: Vec<&str> =
        schema["indexes"].as_array().unwrap().iter().map(|index| index["name"].as_str().unwrap()).collect();
    assert_eq!(indexes, ["things_pkey", "things_code_key", "by_price", "by_maker"]);
    let view = board.answer("get_schema", r#"{"table":"public.cheap"}"#).await;
    assert_eq!(view["kind"], "view");
    assert!(view["definition"].as_str().unwrap().contains("WHERE price < 10"));
    let tables = board.answer("list_tables", r#"{"pattern":"*h*"}"#).await;
    let names: Vec<_> = tables["tables"]
        .as_array()
        .unwrap()
        .iter()
        .map(|table| (table["name"].as_str().unwrap(), table["kind"].as_str().unwrap()))
        .collect();
    assert_eq!(names, [("cheap", "view"), ("things", "table")]);
    assert_eq!(tables["tables"][1]["estimated_rows"], 2);
    assert!(tables["tables"][1]["size_bytes"].as_i64().unwrap() >= 4096);
    let refused = board.refused("list_tables", r#"{"schema":"elsewhere"}"#).await;
    assert_eq!((&refused["code"], &refused["argument"]), (&json!("not_found"), &json!("schema")), "{refused}");
    assert_eq!(
        board.answer("list_tables", r#"{"schema":"Public"}"#).await["tables"],
        board.answer("list_tables", "{}").await["tables"]
    );
}

#[tokio::test]
async fn plans_name_whole_scans_and_run_nothing() {
    let board = Harness::embedded();
    make(&board, "CREATE TABLE t (a integer PRIMARY KEY, b text)");
    let plan = board.answer("explain_query", r#"{"query":"select * from t where b = $1","params":["x"]}"#).await;
    assert_eq!(plan["scans"], json!([{"table":"t","estimated_rows":null,"filter":null}]));
    assert_eq!(plan["plan"][0]["detail"], "SCAN t");
    let plan = board.answer("explain_query", r#"{"query":"select * from t where a = 1"}"#).await;
    assert_eq!(plan["scans"], json!([]));
    let failure = board.refused("explain_query", r#"{"query":"select * from missing"}"#).await;
    assert_eq!(failure["code"], "not_found");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_said_to_be_damaged() {
    let board = Harness::embedded();
    std::fs::write(
        board.home.path().join("data.db"),
        "this is a text file, and it is long enough to be looked at".repeat(100),
    )
    .unwrap();
    let failure = board.refused("list_tables", "{}").await;
    assert_eq!(failure["code"], "internal");
    let info = board.answer("get_server_info", "{}").await;
    let sql = info["backends"].as_array().unwrap().iter().find(|backend| backend["name"] == "sql").unwrap().clone();
    assert_eq!((&sql["kind"], &sql["state"]), (&json!("sqlite"), &json!("down")));
}

#[tokio::test]
async fn a_query_whose_caller_has_gone_stops() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("data.db");
    let file = rusqlite::Connection::open(&path).unwrap();
    file.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1);").unwrap();
    // The log cannot be emptied while someone reads from it.
    let is_read = || {
        file.busy_timeout(Duration::ZERO).unwrap();
        file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)).unwrap() == 1
    };
    let endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from t, n";
    let read = Read {
        statement: Statement::parse(endless, Purpose::Run).unwrap(),
        params: Vec::new(),
        bounds: Bounds { rows_max: 1, bytes_max: 100 },
        offset: 0,
        timeout: CALL_TIME,
    };
    let database = DataFile::new(path, CALL_TIME);
    let mut query = database.query(&read);
    let started = Instant::now();
    let within = |times: u32| assert!(started.elapsed() < PATIENCE * times, "waited too long");
    loop {
        // The reader's connection may hold the file for a moment while it is opened.
        file.busy_timeout(PATIENCE).unwrap();
        file.execute_batch("INSERT INTO t VALUES (1)").unwrap();
        tokio::select! {
            answer = &mut query => panic!("{answer:?}"),
            () = tokio::task::yield_now() => {}
        }
        if is_read() {
            break;
        }
        within(1);
    }
    drop(query);
    while is_read() {
        within(2);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn its_one_schema_is_open_whatever_schemas_are_named() {
    let board = Harness::with(|config| {
        config.access.schemas = callboard::domain::search::Patterns::new(vec!["app".to_owned()]).into();
    });
    board.answer("create_table", r#"{"table":"t","columns":[{"name":"a","type":"int"}]}"#).await;
    for table in ["t", "main.t", "public.t"] {
        let call = json!({"table": table}).to_string();
        assert_eq!(board.answer("get_schema", &call).await["table"], "main.t");
        assert_eq!(board.answer("count_rows", &call).await["count"], 0);
    }
    assert_eq!(board.answer("list_tables", "{}").await["tables"][0]["name"], "t");
}

#[tokio::test]
async fn money_adds_up_and_postgresqls_functions_answer() {
    let board = Harness::embedded();
    let columns = json!([{"name":"day","type":"date"}, {"name":"price","type":"numeric(10,2)"}]);
    board.answer("create_table", &json!({"table":"sales","columns":columns}).to_string()).await;
    let rows = json!([{"day":"2026-01-31","price":"0.10"}, {"day":"2026-01-05","price":"0.20"}]);
    board.answer("bulk_insert", &json!({"table":"sales","rows":rows}).to_string()).await;
    for (sql, kind, value) in [
        ("select sum(price) from sales", "numeric", json!("0.30")),
        ("select avg(price) from sales", "numeric", json!("0.15")),
        ("select round(avg(price), 1) from sales", "numeric", json!("0.20")),
        ("select sum(price) = 0.30 from sales", "int8", json!(1)),
        ("select count(*) from sales where price = 0.10", "int8", json!(1)),
        (
            "select sum(price) from sales group by date_trunc('month', day) having sum(price) <= 0.3",
            "numeric",
            json!("0.30"),
        ),
        ("select to_char(day, 'Mon YYYY') from sales limit 1", "text", json!("Jan 2026")),
        ("select count(*) from sales where day < now() and length(gen_random_uuid()) = 36", "int8", json!(2)),
        ("select count(*) from sales where now() <> now()", "int8", json!(0)),
        ("select md5(to_char(day, 'YYYY')) from sales limit 1", "text", json!("c92a10324374fac681719d63979d00fe")),
        ("select count(*) from sales where regexp_like(to_char(day, 'Month'), '^JAN', 'i')", "int8", json!(2)),
    ] {
        let answer = query(&board, json!({"query": sql})).await;
        assert_eq!((&answer["columns"][0]["type"], &answer["rows"][0][0]), (&json!(kind), &value), "{sql}: {answer}");
    }
}

#[tokio::test]
async fn a_form_that_sqlite_lacks_is_answered_with_the_one_that_works() {
    let board = Harness::embedded();
    make(&board, "CREATE TABLE t (a text)");
    for (sql, position, hint) in [
        (
            "select a::int from t",
            9,
            "this database is SQLite: write cast(x as type) for x::type; date_trunc, to_char and round take x as it is",
        ),
        (
            "select extract(year from a) from t",
            8,
            "this database is SQLite: write date_part('month', x) for extract(month from x)",
        ),
        ("select cast(a as date) from t", 8, "this database is SQLite: write date(x) for a cast to date"),
        (
            "select a::timestamptz from t",
            9,
            "this database is SQLite: write datetime(x) for a cast to timestamp; columns of times need none",
        ),
    ] {
        let error = board.refused("execute_query", &json!({"query": sql}).to_string()).await;
        assert_eq!((&error["position"], &error["hint"]), (&json!(position), &json!(hint)), "{sql}: {error}");
    }
}

#[tokio::test]
async fn a_name_in_double_quotes_is_never_a_text() {
    let board = Harness::embedded();
    let columns =
        r#"{"table":"orders","columns":[{"name":"customer","type":"text"},{"name":"amount","type":"numeric(10,2)"}]}"#;
    board.answer("create_table", columns).await;
    board.answer("insert_data", r#"{"table":"orders","row":{"customer":"ann","amount":"1.50"}}"#).await;
    for (query, wrong, near) in [
        ("select \"amont\" from orders", "amont", "amount"),
        ("select sum(\"amont\") from orders", "amont", "amount"),
        ("select amount from orders order by \"amont\"", "amont", "amount"),
        ("select amount from orders where \"custmer\" = 'ann'", "custmer", "customer"),
        ("select count(*) from orders group by \"custmer\"", "custmer", "customer"),
        ("select amount from orders where customer = \"an\"\"n\"", "an\"n", ""),
    ] {
        let refused = board.refused("execute_query", &json!({"query": query}).to_string()).await;
        assert_eq!(
            (&refused["code"], &refused["message"]),
            (&json!("not_found"), &json!(format!("no such column: {wrong}"))),
            "{query}: {refused}"
        );
        assert_eq!(refused["did_you_mean"][0].as_str().unwrap_or_default(), near, "{query}: {refused}");
        assert!(refused["hint"].as_str().unwrap().contains("single quotes"), "{refused}");
    }
    let right = board.answer("execute_query", r#"{"query":"select \"customer\", \"amount\" from \"orders\""}"#).await;
    assert_eq!(right["rows"], json!([["ann", "1.50"]]));
}

#[tokio::test]
async fn arithmetic_on_dates_is_refused_and_told_the_form_that_works() {
    let board = Harness::embedded();
    let columns = r#"{"table":"orders","columns":[{"name":"placed","type":"date"},{"name":"paid_at","type":"timestamptz"},{"name":"n","type":"integer"}]}"#;
    board.answer("create_table", columns).await;
    let row = r#"{"table":"orders","row":{"placed":"2026-01-05","paid_at":"2026-01-06T10:00:00Z","n":3}}"#;
    board.answer("insert_data", row).await;
    for (query, name) in [
        ("select placed + 1 from orders", "placed"),
        ("select placed - 7 from orders", "placed"),
        ("select n + placed from orders", "placed"),
        ("select o.placed - '2026-01-01' from orders o", "placed"),
        ("select max(placed) - min(placed) from orders", "placed"),
        ("select n from orders where paid_at - n > '2026-01-01'", "paid_at"),
        ("select n from orders where placed >= current_date - 7", "current_date"),
        ("select n from orders where paid_at > now() - '1 day'", "now"),
        ("select 1 + current_timestamp", "current_timestamp"),
        ("select date_trunc('month', placed) - 1 from orders", "date_trunc"),
        ("select date(placed) - date('2026-01-01') from orders", "date"),
    ] {
        let refused = board.refused("execute_query", &json!({"query": query}).to_string()).await;
        assert_eq!(
            (&refused["code"], &refused["message"]),
            (&json!("invalid"), &json!(format!("`+` and `-` take numbers, and `{name}` is a date or time"))),
            "{query}: {refused}"
        );
        assert!(refused["hint"].as_str().unwrap().contains("julianday(a) - julianday(b)"), "{refused}");
    }
    for (query, value) in [
        ("select date(placed, '+7 days') from orders", json!("2026-01-12")),
        ("select julianday(placed) - julianday('2026-01-01') from orders", json!(4.0)),
        ("select n - 1 from orders where placed > '2026-01-01'", json!(2)),
        ("select placed, -n from orders", json!("2026-01-05")),
        ("select abs(-n) + (-1) from orders", json!(2)),
    ] {
        let answer = board.answer("execute_query", &json!({"query": query}).to_string()).await;
        assert_eq!(answer["rows"][0][0], value, "{query}");
    }
}
