//! Reading PostgreSQL through the tools.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{
    harness::Harness,
    patience::{PATIENCE, SOON},
    postgres::{self, PostgresServer, name_of},
};

const SHOP: &str = r#"
    CREATE TABLE products (id varchar(50) PRIMARY KEY, name text NOT NULL, price numeric(10,2), tags text[], created_at timestamptz,
        stock int CHECK (stock >= 0), CONSTRAINT name_is_unique UNIQUE (name));
    COMMENT ON TABLE products IS 'what is sold';
    COMMENT ON COLUMN products.price IS 'in dollars';
    INSERT INTO products SELECT 'p-' || lpad(n::text, 3, '0'), 'product ' || n, n * 1.5, ARRAY['a', 'b'],
        '2026-01-01 10:00:00+00'::timestamptz + n * interval '1 day', n FROM generate_series(1, 15) n;
    CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, product_id varchar(50) REFERENCES products,
        amount int DEFAULT 1, total numeric GENERATED ALWAYS AS (amount * 2) STORED);
    CREATE INDEX orders_by_product ON orders (product_id);
    CREATE VIEW cheap AS SELECT id, price FROM products WHERE price < 5;
    CREATE MATERIALIZED VIEW prices AS SELECT price FROM products;
    CREATE TABLE events (at date, n int) PARTITION BY RANGE (at);
    CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE TYPE mood AS ENUM ('sad', 'happy');
    CREATE TABLE "Odd Name" ("Mixed Case" int, feeling mood);
    CREATE SCHEMA sales; CREATE TABLE sales.leads (id int);
    ANALYZE;
"#;

fn shop(server: &PostgresServer) -> (Harness, String) {
    let url = server.database();
    server.psql(name_of(&url), SHOP);
    (Harness::postgres(&url), url)
}

async fn rows(board: &Harness, query: &str) -> Value {
    board.answer("execute_query", &json!({ "query": query }).to_string()).await["rows"].clone()
}

async fn read_the_shop(server: &PostgresServer) {
    let (board, _) = shop(server);
    let query = json!({"query":"select id, price, created_at from products where price > $1 order by id","params":[20.5],"max_rows":1});
    let answer = board.answer("execute_query", &query.to_string()).await;
    assert_eq!(
        answer["columns"],
        json!([{"name":"id","type":"varchar"},{"name":"price","type":"numeric"},{"name":"created_at","type":"timestamptz"}])
    );
    assert_eq!(answer["rows"], json!([["p-014", "21.00", "2026-01-15T10:00:00.000Z"]]));
    assert_eq!((&answer["row_count"], &answer["truncated"]), (&json!(1), &json!(true)));
    let mut next = query.clone();
    next["cursor"] = answer["next"].clone();
    let answer = board.answer("execute_query", &next.to_string()).await;
    assert_eq!(answer["rows"][0][0], "p-015");
    assert_eq!((&answer["truncated"], &answer["next"]), (&json!(false), &Value::Null));

    let tables = board.answer("list_tables", "{}").await;
    let names: Vec<_> = tables["tables"]
        .as_array()
        .unwrap()
        .iter()
        .map(|table| (table["name"].as_str().unwrap(), table["kind"].as_str().unwrap()))
        .collect();
    assert_eq!(
        names,
        [
            ("Odd Name", "table"),
            ("cheap", "view"),
            ("events", "partitioned table"),
            ("events_2026", "partition"),
            ("orders", "table"),
            ("prices", "materialized view"),
            ("products", "table"),
            ("leads", "table")
        ]
    );
    assert_eq!(tables["tables"][6]["estimated_rows"], 15);
    assert_eq!(tables["tables"][6]["comment"], "what is sold");
    assert!(tables["tables"][6]["size_bytes"].as_i64().unwrap() > 8192);

    assert_eq!(
        board
            .answer(
                "count_rows",
                r#"{"table":"products","where":{"price":{"gt":10,"lte":15},"tags":{"eq":["a","b"]}}}"#
            )
            .await,
        json!({"count":4})
    );
    let plan = board.answer("explain_query", r#"{"query":"select * from products where stock > 3"}"#).await;
    assert_eq!(
        (plan["scans"][0]["table"].as_str(), plan["scans"][0]["estimated_rows"].as_f64()),
        (Some("products"), Some(15.0))
    );
    assert!(plan["cost"].as_f64().unwrap() > 0.0 && plan["plan"]["Plan"]["Node Type"] == "Seq Scan", "{plan}");
}

#[tokio::test]
async fn the_shop_is_read() {
    read_the_shop(postgres::shared()).await;
}

#[tokio::test]
async fn the_oldest_and_the_newest_server_are_read_too() {
    read_the_shop(postgres::version(13)).await;
    read_the_shop(postgres::version(18)).await;
}

#[tokio::test]
async fn a_table_is_described() {
    let (board, _) = shop(postgres::shared());
    let schema = board.answer("get_schema", r#"{"table":"products"}"#).await;
    assert_eq!(schema["table"], "public.products");
    assert_eq!(
        schema["columns"][0],
        json!({"name":"id","type":"character varying(50)","nullable":false,"default":null,"identity":null,"generated":null,"comment":null})
    );
    assert_eq!(
        (&schema["columns"][2]["type"], &schema["columns"][2]["comment"]),
        (&json!("numeric(10,2)"), &json!("in dollars"))
    );
    assert_eq!((&schema["primary_key"], &schema["unique"]), (&json!(["id"]), &json!([["name"]])));
    assert_eq!(schema["checks"][0]["definition"], "stock >= 0");
    assert_eq!(schema["indexes"][0]["name"], "products_pkey");

    let orders = board.answer("get_schema", r#"{"table":"ORDERS"}"#).await;
    assert_eq!(orders["columns"][0]["identity"], "always");
    assert_eq!(orders["columns"][3]["generated"], "(amount * 2)");
    assert_eq!(orders["foreign_keys"][0]["references"], "public.products");
    assert_eq!(orders["foreign_keys"][0]["referenced_columns"], json!(["id"]));

    assert!(
        board.answer("get_schema", r#"{"table":"cheap"}"#).await["definition"].as_str().unwrap().starts_with("SELECT")
    );
    assert_eq!(board.answer("get_schema", r#"{"table":"events"}"#).await["partitions"], json!(["public.events_2026"]));
    let odd = board.answer("get_schema", r#"{"table":"\"Odd Name\""}"#).await;
    assert_eq!(odd["columns"][1]["enum_labels"], json!(["sad", "happy"]));
    assert_eq!(board.answer("get_schema", r#"{"table":"Odd Name"}"#).await["table"], "public.Odd Name");
    assert_eq!(board.answer("get_schema", r#"{"table":"sales.leads"}"#).await["table"], "sales.leads");
}

#[tokio::test]
async fn what_is_not_there_brings_near_names() {
    let (board, _) = shop(postgres::shared());
    for (tool, arguments, argument, near) in [
        ("execute_query", json!({"query":"select * from prodcts"}), "query", "products"),
        ("execute_query", json!({"query":"select pricee from products"}), "query", "price"),
        ("execute_query", json!({"query":"select upperr(name) from products"}), "query", "upper"),
        ("get_schema", json!({"table":"product"}), "table", "products"),
        ("get_schema", json!({"table":"leads"}), "table", "sales.leads"),
        ("get_schema", json!({"table":"sale.leads"}), "table", "sales"),
        ("count_rows", json!({"table":"products","where":{"prise":1}}), "where", "price"),
        ("list_tables", json!({"schema":"slaes"}), "schema", "sales"),
    ] {
        let refused = board.refused(tool, &arguments.to_string()).await;
        assert_eq!(
            (refused["code"].as_str(), refused["argument"].as_str()),
            (Some("not_found"), Some(argument)),
            "{refused}"
        );
        assert_eq!(refused["did_you_mean"][0], near, "{tool} {arguments}: {refused}");
    }
}

#[tokio::test]
async fn mistakes_are_told_with_their_place_in_the_callers_text() {
    let (board, _) = shop(postgres::shared());
    for (query, params, code, position, state) in [
        ("select 1 1", json!([]), "invalid", json!(10), "42601"),
        ("select 'é', nope from products", json!([]), "not_found", json!(13), "42703"),
        ("select 1 from", json!([]), "invalid", json!(13), "42601"),
        ("select 1/(stock - stock) from products", json!([]), "invalid", Value::Null, "22012"),
        ("select * from products where price > $1", json!(["free"]), "invalid", Value::Null, "22P02"),
    ] {
        let refused = board.refused("execute_query", &json!({"query":query,"params":params}).to_string()).await;
        assert_eq!((&refused["code"], &refused["position"]), (&json!(code), &position), "{query}: {refused}");
        assert_eq!(refused["backend_code"], state, "{query}: {refused}");
    }
    let refused = board.refused("execute_query", r#"{"query":"select $1::int + $2::int","params":[1]}"#).await;
    assert_eq!((&refused["code"], &refused["argument"]), (&json!("invalid"), &json!("params")), "{refused}");
    let refused = board.refused("execute_query", r#"{"query":"select $1::int","params":["x"]}"#).await;
    assert_eq!(refused["argument"], "params[0]", "{refused}");
}

#[tokio::test]
async fn parameters_are_bound_as_what_the_statement_takes() {
    let (board, _) = shop(postgres::shared());
    for (query, params, wanted) in [
        ("select $1::int + 1", json!([41]), json!(42)),
        ("select $1::numeric", json!(["12345678901234567890.123"]), json!("12345678901234567890.123")),
        ("select $1::bool", json!([true]), json!(true)),
        ("select $1::text", json!(["it's \\ \"quoted\" é"]), json!("it's \\ \"quoted\" é")),
        ("select $1::text is null", json!([null]), json!(true)),
        ("select $1::date + 1", json!(["2026-02-28"]), json!("2026-03-01")),
        ("select $1::int[]", json!([[1, null, 3]]), json!([1, null, 3])),
        ("select $1::text[]", json!([["a\"b", "c,d", "\\"]]), json!(["a\"b", "c,d", "\\"])),
        ("select $1::int[]", json!([[[1, 2], [3, 4]]]), json!([[1, 2], [3, 4]])),
        ("select $1::jsonb -> 'a'", json!([{"a":[1, {"b":null}]}]), json!([1, {"b":null}])),
        ("select $1::jsonb", json!(["plain"]), json!("plain")),
        ("select $1::bytea", json!(["aGk="]), json!("aGk=")),
        ("select $1::mood", json!(["happy"]), json!("happy")),
        (
            "select $1::uuid",
            json!(["0193a000-0000-7000-8000-000000000000"]),
            json!("0193a000-0000-7000-8000-000000000000"),
        ),
        ("select count(*) from products where id = any($1)", json!([["p-001", "p-002", "nope"]]), json!(2)),
        ("select count(*) from products limit $1", json!([5]), json!(15)),
    ] {
        let answer = board.answer("execute_query", &json!({"query":query,"params":params}).to_string()).await;
        assert_eq!(answer["rows"][0][0], wanted, "{query} {params}");
    }
}

#[tokio::test]
async fn every_type_has_its_form() {
    let (board, url) = shop(postgres::shared());
    postgres::shared().psql(
        name_of(&url),
        "CREATE DOMAIN money_amount AS numeric(10,2); CREATE TYPE pair AS (a int, b text); CREATE TABLE wide (p pair, m money_amount);
         CREATE TYPE span AS RANGE (subtype = float8)",
    );
    for (expression, type_name, wanted) in [
        ("true", "bool", "true"),
        ("1::int2", "int2", "1"),
        ("-2147483648", "int4", "-2147483648"),
        ("9007199254740991", "int8", "9007199254740991"),
        ("9007199254740992", "int8", "\"9007199254740992\""),
        ("(-9223372036854775808)::int8", "int8", "\"-9223372036854775808\""),
        ("0.1::float8", "float8", "0.1"),
        ("0.1::float4", "float4", "0.1"),
        ("'NaN'::float8", "float8", "\"NaN\""),
        ("'-Infinity'::float4", "float4", "\"-Infinity\""),
        ("0::numeric", "numeric", "\"0\""),
        ("-0.00012300", "numeric", "\"-0.00012300\""),
        ("123456789012345678901234567890.10", "numeric", "\"123456789012345678901234567890.10\""),
        ("100000000", "int4", "100000000"),
        ("100000000.0", "numeric", "\"100000000.0\""),
        ("1e-20::numeric", "numeric", "\"0.00000000000000000001\""),
        ("'NaN'::numeric", "numeric", "\"NaN\""),
        ("'a'::text", "text", "\"a\""),
        ("E'tab\\t\"quote\" \\\\ é \\u0001'", "text", "\"tab\\t\\\"quote\\\" \\\\ é \\u0001\""),
        ("'ab'::char(4)", "bpchar", "\"ab  \""),
        ("'x'::\"char\"", "char", "\"x\""),
        ("'n'::name", "name", "\"n\""),
        ("'\\xDEADBEEF'::bytea", "bytea", "\"3q2+7w==\""),
        ("'0193a000-0000-7000-8000-000000000000'::uuid", "uuid", "\"0193a000-0000-7000-8000-000000000000\""),
        ("'{\"b\" : 1.10,\n \"a\": \" x \\\" \"}'::json", "json", "{\"b\":1.10,\"a\":\" x \\\" \"}"),
        ("'{\"n\": 12345678901234567890}'::jsonb", "jsonb", "{\"n\":12345678901234567890}"),
        ("'null'::jsonb", "jsonb", "null"),
        ("date '2026-02-28'", "date", "\"2026-02-28\""),
        ("date '0044-03-15 BC'", "date", "\"0044-03-15 BC\""),
        ("date '1999-12-31'", "date", "\"1999-12-31\""),
        ("date '2000-02-29'", "date", "\"2000-02-29\""),
        ("date '5874897-12-31'", "date", "\"5874897-12-31\""),
        ("date 'infinity'", "date", "\"infinity\""),
        ("timestamptz '2026-01-01 10:00:00.5+02'", "timestamptz", "\"2026-01-01T08:00:00.500Z\""),
        ("timestamptz '1969-12-31 23:59:59.999999+00'", "timestamptz", "\"1969-12-31T23:59:59.999999Z\""),
        ("timestamp '2026-01-01 10:00:00'", "timestamp", "\"2026-01-01T10:00:00.000\""),
        ("timestamptz '-infinity'", "timestamptz", "\"-infinity\""),
        ("time '10:11:12.5'", "time", "\"10:11:12.5\""),
        ("timetz '10:11:12+02'", "timetz", "\"10:11:12+02\""),
        ("interval '1 year 2 days 03:04:05'", "interval", "\"1 year 2 days 03:04:05\""),
        ("ARRAY[1,NULL,3]", "int4[]", "[1,null,3]"),
        ("ARRAY[[1,2],[3,4],[5,6]]", "int4[]", "[[1,2],[3,4],[5,6]]"),
        ("ARRAY[[['a'],['b']]]", "text[]", "[[[\"a\"],[\"b\"]]]"),
        ("'{}'::text[]", "text[]", "[]"),
        ("ARRAY[1.50]", "numeric[]", "[\"1.50\"]"),
        ("ARRAY['{\"a\": 1}'::jsonb]", "jsonb[]", "[{\"a\":1}]"),
        ("ARRAY['happy'::mood]", "mood[]", "[\"happy\"]"),
        ("'[0:1]={7,8}'::int[]", "int4[]", "[7,8]"),
        ("int4range(1, 5)", "int4range", "\"[1,5)\""),
        ("'{[1,2),[5,6)}'::int4multirange", "int4multirange", "\"{[1,2),[5,6)}\""),
        ("'[1.5,2.5]'::span", "span", "\"[1.5,2.5]\""),
        ("'sad'::mood", "mood", "\"sad\""),
        ("'10.0.0.0/8'::inet", "inet", "\"10.0.0.0/8\""),
        ("B'101'", "bit", "\"101\""),
        ("12.5::money", "money", "\"$12.50\""),
        ("to_tsvector('english', 'fat cats')", "tsvector", "\"'cat':2 'fat':1\""),
        ("ROW(1, 'x y')::pair", "pair", "\"(1,\\\"x y\\\")\""),
        ("ROW(1, NULL)", "record", "\"(1,)\""),
        ("26::oid", "oid", "26"),
        ("'products'::regclass", "regclass", "\"products\""),
        ("'<a>1</a>'::xml", "xml", "\"<a>1</a>\""),
        ("1.5::money_amount", "numeric", "\"1.50\""),
        ("point '(1,2)'", "point", "\"(1,2)\""),
        ("NULL", "text", "null"),
    ] {
        let answer =
            board.answer_text("execute_query", &json!({"query":format!("select {expression} as v")}).to_string()).await;
        assert!(answer.contains(&format!("\"type\":\"{type_name}\"")), "{expression}: {answer}");
        assert!(answer.contains(&format!("\"rows\":[[{wanted}]]")), "{expression}: {answer}");
    }
}

#[tokio::test]
async fn columns_may_repeat_and_be_none() {
    let (board, _) = shop(postgres::shared());
    let answer =
        board.answer("execute_query", r#"{"query":"select 1 as a, 2 as a, 'x', 3 as \"odd \"\" name\""}"#).await;
    let names: Vec<_> =
        answer["columns"].as_array().unwrap().iter().map(|column| column["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "a", "?column?", "odd \" name"]);
    assert_eq!(answer["rows"], json!([[1, 2, "x", 3]]));
    assert_eq!(rows(&board, "select from products limit 2").await, json!([[], []]));
    assert_eq!(rows(&board, "values (1, 'a'), (2, 'b') -- end").await, json!([[1, "a"], [2, "b"]]));
    assert_eq!(rows(&board, "table cheap;").await.as_array().unwrap().len(), 3);
    assert_eq!(rows(&board, "show server_encoding").await, json!([["UTF8"]]));
    assert!(rows(&board, "explain select * from products").await[0][0].as_str().unwrap().starts_with("Seq Scan"));
}

#[tokio::test]
async fn answers_stay_inside_their_bounds() {
    let (board, _) = shop(postgres::shared());
    let answer =
        board.answer("execute_query", r#"{"query":"select repeat('x', 1000) from generate_series(1, 100000)"}"#).await;
    assert_eq!((&answer["truncated"], answer["row_count"].as_u64().unwrap()), (&json!(true), 23));
    let refused = board.refused("execute_query", r#"{"query":"select repeat('x', 300000000)"}"#).await;
    assert_eq!((&refused["code"], &refused["argument"]), (&json!("limit"), &json!("max_bytes")));
    let refused =
        board.refused("execute_query", r#"{"query":"select array_agg(n) from generate_series(1, 3000000) n"}"#).await;
    assert_eq!(refused["code"], "limit");
    let answer = board
        .answer(
            "execute_query",
            r#"{"query":"select n from generate_series(1, 50000) n","max_rows":10000,"max_bytes":1048576}"#,
        )
        .await;
    assert_eq!((&answer["row_count"], &answer["truncated"]), (&json!(10_000), &json!(true)));
}

#[tokio::test]
async fn a_slow_statement_ends_in_time_and_its_connection_serves_again() {
    let (board, _) = shop(postgres::shared());
    let started = Instant::now();
    let slow = json!({"query":"select count(*) from generate_series(1, 1000000000) a, generate_series(1, 1000000000) b","timeout_ms":300});
    let refused = board.refused("execute_query", &slow.to_string()).await;
    assert_eq!((&refused["code"], &refused["retryable"]), (&json!("timeout"), &json!(true)), "{refused}");
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    assert_eq!(rows(&board, "select 1").await, json!([[1]]));
}

#[tokio::test]
async fn a_dropped_call_stops_its_statement_in_the_server() {
    let server = postgres::shared();
    let (board, url) = shop(server);
    let running = format!(
        "select count(*) from pg_stat_activity where datname = '{}' and state = 'active' and query like '%-- query%'",
        name_of(&url)
    );
    let slow = json!({"query":"select count(*) from generate_series(1, 1000000000) a, generate_series(1, 1000) b"})
        .to_string();
    {
        let call = board.answer("execute_query", &slow);
        tokio::pin!(call);
        let seen = wait_for(|| server.psql("postgres", &running) == "1");
        tokio::select! {
            answer = &mut call => panic!("{answer}"),
            () = seen => {}
        }
    }
    drop(board);
    wait_for(|| server.psql("postgres", &running) == "0").await;
}

/// Asks beside the runtime's own work until it is so.
async fn wait_for(condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "it never became so");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn schemas_that_are_not_allowed_stay_closed() {
    let url = postgres::shared().database();
    postgres::shared().psql(name_of(&url), SHOP);
    let database = crate::support::harness::database(&url);
    let board = Harness::with(|config| {
        config.databases = vec![database];
        config.access.schemas = callboard::domain::search::Patterns::new(vec!["sales".to_owned()]).into();
    });
    assert_eq!(rows(&board, "select count(*) from sales.leads").await, json!([[0]]));
    for query in [
        "select * from public.products",
        "select * from \"public\".products",
        "select * from products",
        "table U&\"publi\\0063\".products",
    ] {
        let refused = board.refused("execute_query", &json!({"query":query}).to_string()).await;
        assert!(refused["code"] == "denied" || refused["code"] == "not_found", "{query}: {refused}");
    }
    assert_eq!(board.refused("count_rows", r#"{"table":"products"}"#).await["code"], "denied");
    assert_eq!(board.answer("list_tables", "{}").await["tables"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_state_of_the_server_tells_its_roles_rights() {
    let (board, url) = shop(postgres::shared());
    let version = postgres::shared().psql(name_of(&url), "show server_version");
    let info = board.answer("get_server_info", "{}").await;
    let sql = info["backends"].as_array().unwrap().iter().find(|backend| backend["name"] == "sql").unwrap();
    assert_eq!((&sql["kind"], &sql["state"]), (&json!("postgresql"), &json!("up")), "{sql}");
    assert!(
        sql["notes"][0].as_str().unwrap().contains("superuser")
            && version.starts_with(sql["version"].as_str().unwrap()),
        "{sql}"
    );
}
