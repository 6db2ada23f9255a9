//! Large and odd loads into a real PostgreSQL: both ways of sending rows give the same table, and what breaks half-way leaves nothing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    harness::Harness,
    patience::PATIENCE,
    postgres::{self, PostgresServer, name_of},
};

const PRODUCTS: &str = "CREATE TABLE products (
    id varchar(50) PRIMARY KEY, name varchar(255) NOT NULL, category varchar(100), subcategory varchar(100),
    price numeric(10,2), description text, stock_quantity integer, created_at timestamptz,
    ratings numeric(3,2), reviews_count integer, brand varchar(100), tags text[])";

fn product(n: usize) -> Value {
    json!({"id":format!("p-{n:06}"),"name":format!("Möbel “{n}” \\ \n\t"),"category":(if n.is_multiple_of(2) { "home" } else { "garden" }),"subcategory":null,
        "price":format!("{}.{:02}", n % 5000, n % 100),"description":"x".repeat(n % 40),"stock_quantity":n % 1000,
        "created_at":format!("2026-01-{:02}T10:{:02}:00.{:03}Z", n % 28 + 1, n % 60, n % 1000),"ratings":format!("{}.5", n % 5),
        "reviews_count":n,"brand":"Acme","tags":(if n.is_multiple_of(3) { json!([]) } else { json!(["a,b", "q\"uote", null, n.to_string()]) })})
}

async fn answer(board: &Harness, arguments: &Value) -> Value {
    board.answer("bulk_insert", &arguments.to_string()).await
}

fn counts(answer: &Value) -> [u64; 5] {
    ["inserted", "updated", "unchanged", "merged", "rejected_count"].map(|name| answer[name].as_u64().unwrap())
}

/// A checksum over every value of every column.
fn checksum(server: &PostgresServer, url: &str, table: &str) -> String {
    server.psql(name_of(url), &format!("SELECT count(*), md5(string_agg(t::text, ';' ORDER BY id)) FROM {table} t"))
}

#[tokio::test]
async fn one_hundred_thousand_rows_are_exact_and_the_second_time_nothing_changes() {
    let server = postgres::shared();
    let url = server.database();
    server.psql(name_of(&url), PRODUCTS);
    let board = Harness::postgres(&url);
    let small = |n: usize| json!({"id":format!("p-{n}"),"name":format!("n{n}"),"price":format!("{n}.25"),"reviews_count":n,"tags":[n.to_string()]});
    let rows: Vec<Value> = (0..100_000).map(small).collect();
    let mut load = json!({"table":"products","rows":rows,"on_conflict":"update"});
    assert_eq!(counts(&answer(&board, &load).await), [100_000, 0, 0, 0, 0]);
    let whole = "SELECT count(*), count(DISTINCT id), sum(price), sum(reviews_count), sum(tags[1]::int), max(name) FROM products";
    assert_eq!(server.psql(name_of(&url), whole), "100000|100000|4999975000.00|4999950000|4999950000|n99999");
    assert_eq!(counts(&answer(&board, &load).await), [0, 0, 100_000, 0, 0]);
    for n in (0..100_000).step_by(1_000) {
        load["rows"][n]["price"] = json!("0.01");
    }
    assert_eq!(counts(&answer(&board, &load).await), [0, 100, 99_900, 0, 0]);
}

#[tokio::test]
async fn both_ways_give_the_same_values_in_all_twelve_columns() {
    let server = postgres::shared();
    let url = server.database();
    server.psql(name_of(&url), &format!("{PRODUCTS}; CREATE TABLE other (LIKE products INCLUDING ALL); CREATE TABLE third (LIKE products INCLUDING ALL)"));
    let board = Harness::postgres(&url);
    let rows: Vec<Value> = (0..1_200).map(product).collect();
    assert_eq!(counts(&answer(&board, &json!({"table":"products","rows":rows})).await), [1_200, 0, 0, 0, 0]);
    for chunk in rows.chunks(400) {
        answer(&board, &json!({"table":"other","rows":chunk})).await;
    }
    for chunk in rows.chunks(150) {
        let documents = serde_json::to_string(chunk).unwrap();
        let insert = format!(
            "INSERT INTO third SELECT * FROM json_populate_recordset(NULL::third, $callboard${documents}$callboard$)"
        );
        server.psql(name_of(&url), &insert);
    }
    let wanted = checksum(server, &url, "third");
    assert_eq!(checksum(server, &url, "products"), wanted, "by COPY");
    assert_eq!(checksum(server, &url, "other"), wanted, "by JSON");
}

const TYPES: &str = "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN percent AS numeric(5,2) CHECK (VALUE BETWEEN 0 AND 100);
    CREATE TYPE pair AS (a int, b text);
    CREATE TABLE kinds (id bigint PRIMARY KEY, b boolean, i2 smallint, i8 bigint, f4 real, f8 double precision, n numeric,
    c char(5), u uuid, bin bytea, d date, t time, ts timestamp, tz timestamptz, j json, jb jsonb, a int[], aa numeric(6,2)[], ab bytea[]";
const ODD: &str = ", m mood, am mood[], p percent, r int4range, tr tstzrange, ip inet, iv interval, co pair, bits bit(3), x xml, pt point";

fn kinds(n: usize) -> Value {
    json!({"id":n,"b":n.is_multiple_of(2),"i2":-5,"i8":9_007_199_254_740_993i64,"f4":1.5,"f8":0.1,"n":"123456789012345678901234567890.0987654321000",
        "c":"ab","u":"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11","bin":"AAH/","d":"2024-02-29","t":"23:59:59.999999",
        "ts":"2024-02-29T12:00:00+02:00","tz":"2024-02-29T12:00:00.000001+02:00","j":{"a": [1, 2.50],"b":"ü"},"jb":["x",{"y":null}],
        "a":[1,null,-3],"aa":[1.25,"2"],"ab":["AA==",null]})
}

fn odd(mut row: Value) -> Value {
    let more = json!({"m":"ok","am":["sad","ok"],"p":99.5,"r":"[1,5)","tr":"[2024-01-01T00:00:00Z,)","ip":"10.0.0.0/8","iv":"1 day 02:00",
        "co":{"a":1,"b":"x"},"bits":"101","x":"<a/>","pt":"(1,2)"});
    row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    row
}

#[tokio::test]
async fn every_type_arrives_by_either_way() {
    let server = postgres::shared();
    let plain = "1|f|-5|9007199254740993|1.5|0.1|123456789012345678901234567890.0987654321000|ab   |a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|\
                 \\x0001ff|2024-02-29|23:59:59.999999|2024-02-29 10:00:00|2024-02-29 10:00:00.000001+00|{\"a\":[1,2.5],\"b\":\"ü\"}|\
                 [\"x\", {\"y\": null}]|{1,NULL,-3}|{1.25,2.00}|{\"\\\\x00\",NULL}";
    let more = "|ok|{sad,ok}|99.50|[1,5)|[\"2024-01-01 00:00:00+00\",)|10.0.0.0/8|1 day 02:00:00|(1,x)|101|<a/>|(1,2)";
    for (columns, row, wanted) in
        [("", kinds as fn(usize) -> Value, plain.to_owned()), (ODD, |n| odd(kinds(n)), format!("{plain}{more}"))]
    {
        for count in [2, 700] {
            let url = server.database();
            server.psql(name_of(&url), &format!("{TYPES}{columns})"));
            let board = Harness::postgres(&url);
            let load = json!({"table":"kinds","rows":(0..count).map(row).collect::<Vec<_>>(),"on_conflict":"update"});
            assert_eq!(counts(&answer(&board, &load).await), [count as u64, 0, 0, 0, 0]);
            assert_eq!(counts(&answer(&board, &load).await), [0, 0, count as u64, 0, 0], "again, {count} rows");
            let read = "SET TimeZone = 'UTC'; SELECT * FROM kinds WHERE id = 1";
            assert_eq!(server.psql(name_of(&url), read), wanted, "{count} rows");
        }
    }
}

#[tokio::test]
async fn bad_rows_among_many_are_found_without_losing_a_good_one() {
    let server = postgres::shared();
    let url = server.database();
    server.psql(name_of(&url), PRODUCTS);
    let board = Harness::postgres(&url);
    let mut rows: Vec<Value> = (0..5_000).map(product).collect();
    rows[7]["price"] = json!("free");
    rows[1_234]["name"] = json!(null);
    rows[2_000]["name"] = json!("x".repeat(300));
    rows[3_000]["stock_quantity"] = json!(3_000_000_000i64);
    rows[4_000]["created_at"] = json!("29 February 2024 10:00 UTC");
    rows[4_999]["ratings"] = json!(12.5);
    let given = json!({"table":"products","rows":rows,"on_conflict":"update","on_error":"reject"});
    let loaded = answer(&board, &given).await;
    assert_eq!(counts(&loaded), [4_995, 0, 0, 0, 5]);
    let found: Vec<(u64, &str, &str)> = loaded["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reject| {
            (reject["position"].as_u64().unwrap(), reject["column"].as_str().unwrap(), reject["code"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        found,
        [
            (7, "price", "22P02"),
            (1_234, "name", "23502"),
            (2_000, "name", "22001"),
            (3_000, "stock_quantity", "22003"),
            (4_999, "ratings", "22003")
        ]
    );
    assert_eq!(loaded["rejected"][2]["reason"], "value too long for type character varying(255)");
    assert_eq!(server.psql(name_of(&url), "SELECT count(*) FROM products"), "4995");
    let mut abort = given;
    abort["on_error"] = json!("abort");
    abort["on_conflict"] = json!("error");
    server.psql(name_of(&url), "TRUNCATE products");
    let failure = board.refused("bulk_insert", &abort.to_string()).await;
    assert_eq!(failure["code"], "invalid");
    assert_eq!(server.psql(name_of(&url), "SELECT count(*) FROM products"), "0");
}

#[tokio::test]
async fn rows_that_share_a_key_are_refused_or_merged() {
    let server = postgres::shared();
    for count in [3, 900] {
        let url = server.database();
        server.psql(name_of(&url), "CREATE TABLE k (id numeric PRIMARY KEY, v text)");
        let board = Harness::postgres(&url);
        let mut rows: Vec<Value> = (0..count).map(|n| json!({"id":n,"v":"first"})).collect();
        rows.push(json!({"id":"1.00","v":"second"}));
        rows.push(json!({"id":1,"v":"third"}));
        let mut load = json!({"table":"k","rows":rows,"on_conflict":"update","duplicates":"last","on_error":"reject"});
        assert_eq!(counts(&answer(&board, &load).await), [count, 0, 0, 2, 0]);
        assert_eq!(server.psql(name_of(&url), "SELECT v FROM k WHERE id = 1"), "third");
        load["duplicates"] = json!("refuse");
        let refused = answer(&board, &load).await;
        assert_eq!(counts(&refused), [0, 1, count - 1, 0, 2]);
        assert_eq!(refused["rejected"][0]["code"], "21000");
        load["on_error"] = json!("abort");
        let failure = board.refused("bulk_insert", &load.to_string()).await;
        assert_eq!(
            (failure["backend_code"].as_str(), failure["argument"].as_str().unwrap()),
            (Some("21000"), &*format!("rows[{count}].id"))
        );
    }
}

#[tokio::test]
async fn conflict_columns_must_be_a_unique_index() {
    let server = postgres::shared();
    let url = server.database();
    server.psql(name_of(&url), "CREATE TABLE u (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, email text UNIQUE, a int, b int, UNIQUE (a, b)); CREATE TABLE bare (x int)");
    let board = Harness::postgres(&url);
    let rows = json!([{"email":"a@b","a":1,"b":2}]);
    for columns in [json!(["email"]), json!(["b", "a"])] {
        answer(&board, &json!({"table":"u","rows":rows,"on_conflict":"update","conflict_columns":columns})).await;
    }
    assert_eq!(server.psql(name_of(&url), "SELECT count(*) FROM u"), "1");
    for (table, columns, code) in
        [("u", json!(["a"]), "invalid"), ("u", json!(["emial"]), "not_found"), ("bare", json!([]), "invalid")]
    {
        let arguments = json!({"table":table,"rows":[{"x":1}],"on_conflict":"update","conflict_columns":columns});
        let failure = board.refused("bulk_insert", &arguments.to_string()).await;
        assert_eq!(
            (failure["code"].as_str().unwrap(), failure["argument"].as_str().unwrap()),
            (code, "conflict_columns"),
            "{failure}"
        );
    }
    let hint = board
        .refused("bulk_insert", r#"{"table":"u","rows":[{"a":1}],"on_conflict":"update","conflict_columns":["a"]}"#)
        .await;
    assert_eq!(hint["hint"], "its unique column sets are: `id`; `a, b`; `email`");
    let without_key = json!({"table":"u","rows":[{"email":"new"}],"on_conflict":"update"});
    assert_eq!(counts(&answer(&board, &without_key).await), [1, 0, 0, 0, 0]);
}

#[tokio::test]
async fn computed_columns_triggers_references_and_odd_names() {
    let server = postgres::shared();
    let url = server.database();
    server.psql(
        name_of(&url),
        "CREATE SCHEMA \"Odd S\"; CREATE TABLE \"Odd S\".\"T\" (\"Id\" int PRIMARY KEY, \"a.b\" text, \"q\"\"x\" int, twice int GENERATED ALWAYS AS (\"Id\" * 2) STORED,
           always int GENERATED ALWAYS AS IDENTITY);
         CREATE TABLE tree (id int PRIMARY KEY, parent int REFERENCES tree, note text CHECK (note <> 'bad'));
         CREATE TABLE parts (id int, region text, v int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
         CREATE TABLE parts_eu PARTITION OF parts FOR VALUES IN ('eu')",
    );
    let board = Harness::postgres(&url);
    let odd = json!({"table":"\"Odd S\".\"T\"","rows":[{"Id":1,"a.b":"x","q\"x":3}],"on_conflict":"update"});
    assert_eq!(counts(&answer(&board, &odd).await), [1, 0, 0, 0, 0]);
    assert_eq!(counts(&answer(&board, &odd).await), [0, 0, 1, 0, 0]);
    for column in ["twice", "always"] {
        let failure = board
            .refused("bulk_insert", &json!({"table":"\"Odd S\".\"T\"","rows":[{"Id":2,column:1}]}).to_string())
            .await;
        assert_eq!(
            (&failure["backend_code"], &failure["argument"]),
            (&json!("428C9"), &json!(format!("rows[0].{column}")))
        );
    }
    // Children before their parents, one without any, and a check.
    let tree = json!({"table":"tree","on_error":"reject","rows":[{"id":3,"parent":2},{"id":2,"parent":1},{"id":1,"note":"root"},{"id":4,"parent":9},{"id":5,"note":"bad"}]});
    let loaded = answer(&board, &tree).await;
    assert_eq!(counts(&loaded), [3, 0, 0, 0, 2]);
    assert_eq!([&loaded["rejected"][0]["code"], &loaded["rejected"][1]["code"]], ["23503", "23514"]);
    for count in [3, 800] {
        let rows: Vec<Value> = (0..count).map(|n| json!({"id":n,"region":"eu","v":n})).collect();
        let mut load = json!({"table":"parts","rows":rows,"on_conflict":"update"});
        let first = counts(&answer(&board, &load).await);
        assert_eq!(first[0] + first[2], count, "{first:?}");
        load["rows"][0]["v"] = json!(-1);
        assert_eq!(counts(&answer(&board, &load).await), [0, 1, count - 1, 0, 0]);
        load["rows"][0]["v"] = json!(0);
        answer(&board, &load).await;
    }
}

#[tokio::test]
async fn nothing_to_write_and_unknown_tables_are_told() {
    let server = postgres::shared();
    let url = server.database();
    server.psql(name_of(&url), PRODUCTS);
    let board = Harness::postgres(&url);
    let empty = board.refused("bulk_insert", r#"{"table":"products","rows":[]}"#).await;
    assert_eq!((empty["code"].as_str(), empty["argument"].as_str()), (Some("invalid"), Some("rows")));
    let missing = board.refused("bulk_insert", r#"{"table":"product","rows":[{"id":1}]}"#).await;
    assert_eq!((missing["code"].as_str(), &missing["did_you_mean"]), (Some("not_found"), &json!(["products"])));
    let misspelt =
        board.refused("bulk_insert", r#"{"table":"products","rows":[{"id":"a","name":"a","pric":1}]}"#).await;
    assert_eq!((misspelt["argument"].as_str(), &misspelt["did_you_mean"]), (Some("rows[0].pric"), &json!(["price"])));
    assert_eq!(misspelt["backend_code"], "42703");
}

#[tokio::test]
async fn a_role_that_may_not_make_temporary_tables_loads_all_the_same() {
    let server = postgres::shared();
    let url = server.database();
    let (name, role) = (name_of(&url), format!("writer_{}", name_of(&url)));
    server.psql(name, &format!("{PRODUCTS}; CREATE ROLE {role} LOGIN; GRANT SELECT, INSERT, UPDATE ON products TO {role}; REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC"));
    let board = Harness::postgres(&url.replace("postgres@", &format!("{role}@")));
    let mut rows: Vec<Value> = (0..600).map(product).collect();
    rows[5]["price"] = json!("free");
    let loaded =
        answer(&board, &json!({"table":"products","rows":rows,"on_error":"reject","on_conflict":"update"})).await;
    assert_eq!(counts(&loaded), [599, 0, 0, 0, 1]);
    server.psql(name, &format!("REVOKE INSERT ON products FROM {role}"));
    let denied = board.refused("bulk_insert", r#"{"table":"products","rows":[{"id":"x","name":"x"}]}"#).await;
    assert_eq!(denied["code"], "denied");
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_nothing() {
    let server = postgres::shared();
    let url = server.database();
    let name = name_of(&url);
    server.psql(name, "CREATE TABLE slow (id int PRIMARY KEY); CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3600); RETURN NEW; END $$;
        CREATE TRIGGER wait BEFORE INSERT ON slow FOR EACH ROW WHEN (NEW.id = 2) EXECUTE FUNCTION wait()");
    let board = Harness::with(|config| {
        config.databases = vec![crate::support::harness::database(&url)];
        config.limits.call_time = Duration::from_secs(2);
    });
    let failure = board.refused("bulk_insert", r#"{"table":"slow","rows":[{"id":1},{"id":2}]}"#).await;
    assert_eq!(failure["code"], "timeout", "{failure}");
    let busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'";
    let started = Instant::now();
    while server.psql(name, busy) != "0" {
        assert!(started.elapsed() < PATIENCE, "the statement still runs");
        tokio::task::yield_now().await;
    }
    assert_eq!(server.psql(name, "SELECT count(*) FROM slow"), "0");
}
