//! Which record store is chosen, who says so, and what becomes of it when the server is down.

use serde_json::{Value, json};

use crate::support::{
    command::Shell,
    postgres::{self, name_of},
};

const TABLE: &str = r#"{"table":"t","columns":[{"name":"a","type":"text"}],"idempotency_key":"k"}"#;

/// What a server with these settings says of its record store after it has used it.
fn store_of(shell: &Shell) -> Value {
    let made = shell.run(&["call", "create_table", TABLE]);
    assert_eq!(made.code, 0, "{made:?}");
    let report = shell.run(&["doctor", "--json"]).json();
    report["record_store"].clone()
}

fn tables(url: &str) -> String {
    let sql = "SELECT count(*) FROM pg_tables WHERE schemaname = 'callboard' AND tablename IN ('idempotency', 'schema_version')";
    postgres::shared().psql(name_of(url), sql)
}

/// A role with a password-less login, and the way in for it.
fn role(url: &str, name: &str) -> String {
    let sql = format!("CREATE ROLE {name} LOGIN; GRANT ALL ON SCHEMA public TO {name}");
    postgres::shared().psql(name_of(url), &sql);
    url.replace("//postgres@", &format!("//{name}@"))
}

#[test]
fn without_a_database_records_are_in_a_file() {
    let shell = Shell::new();
    let store = store_of(&shell);
    assert_eq!(store["kind"], "sqlite", "{store}");
    assert!(shell.path(".local/share/callboard/callboard.db").exists());
}

#[test]
fn the_database_of_the_sql_tools_keeps_them_where_its_role_may() {
    let url = postgres::shared().database();
    let shell = Shell::new().set("DATABASE_URL", &url);
    let store = store_of(&shell);
    assert_eq!(store["kind"], "postgresql", "{store}");
    assert!(store["why"].as_str().unwrap().contains("DATABASE_URL"), "{store}");
    assert_eq!(tables(&url), "2");
    assert!(!shell.path(".local/share/callboard/callboard.db").exists());
    // A second server finds what the first has answered.
    let again = Shell::new().set("DATABASE_URL", &url).run(&["call", "create_table", TABLE]);
    assert_eq!(again.code, 0, "{again:?}");
}

#[test]
fn a_role_that_may_not_make_the_schema_has_its_records_in_a_file() {
    let url = postgres::shared().database();
    let limited = role(&url, "store_limited");
    let shell = Shell::new().set("DATABASE_URL", &limited);
    assert_eq!(store_of(&shell)["kind"], "sqlite");
    assert_eq!(tables(&url), "0");
    // A schema that is there and belongs to somebody else is not used either, unless the role may write it.
    let server = postgres::shared();
    server.psql(name_of(&url), "CREATE SCHEMA callboard");
    assert_eq!(shell.run(&["doctor", "--json"]).json()["record_store"]["kind"], "sqlite");
    server.psql(name_of(&url), "GRANT USAGE, CREATE ON SCHEMA callboard TO store_limited");
    assert_eq!(shell.run(&["doctor", "--json"]).json()["record_store"]["kind"], "postgresql");
}

#[test]
fn a_role_that_only_reads_keeps_nothing() {
    let url = postgres::shared().database();
    let reader = role(&url, "store_reader");
    let grant = format!(
        "GRANT CREATE ON DATABASE {} TO store_reader; ALTER ROLE store_reader SET default_transaction_read_only = on",
        name_of(&url)
    );
    postgres::shared().psql(name_of(&url), &grant);
    let report = Shell::new().set("DATABASE_URL", &reader).run(&["doctor", "--json"]).json();
    assert_eq!(report["record_store"]["kind"], "sqlite", "{report}");
}

#[test]
fn the_setting_decides() {
    let server = postgres::shared();
    let (url, other) = (server.database(), server.database());
    let embedded = Shell::new().set("DATABASE_URL", &url).set("CALLBOARD_STORE_URL", "Embedded");
    assert_eq!(store_of(&embedded)["kind"], "sqlite");
    assert_eq!(tables(&url), "0");
    let elsewhere = Shell::new().set("CALLBOARD_STORE_URL", &other.replace("postgres://", "postgresql+asyncpg://"));
    assert_eq!(store_of(&elsewhere)["kind"], "postgresql");
    assert_eq!(tables(&other), "2");
    let wrong = Shell::new().set("CALLBOARD_STORE_URL", "mysql://h/x").run(&["doctor"]);
    assert!(
        wrong.code == 2 && wrong.err.contains("CALLBOARD_STORE_URL") && wrong.err.contains("embedded"),
        "{wrong:?}"
    );
}

/// Whoever took the file while the server is down would have split the records.
#[test]
fn a_server_that_is_down_is_not_replaced_by_the_file() {
    let shell = Shell::new().set("DATABASE_URL", "postgres://u:p@127.0.0.1:1/x");
    let refused = shell.run(&["call", "create_table", TABLE]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(!shell.path(".local/share/callboard/callboard.db").exists());
    let report = shell.run(&["doctor", "--json"]).json();
    let store = report["backends"].as_array().unwrap().iter().find(|backend| backend["name"] == "store").unwrap();
    assert_eq!((&store["state"], &store["problem"]["code"]), (&json!("down"), &json!("unavailable")), "{store}");
}

#[test]
fn the_schema_is_made_by_migrate_alone_where_that_is_asked_for() {
    let url = postgres::shared().database();
    let shell = Shell::new().set("CALLBOARD_STORE_URL", &url).set("CALLBOARD_MIGRATE", "never");
    let refused = shell.run(&["call", "create_table", TABLE]);
    assert!(refused.code == 3 && refused.out.contains("callboard migrate"), "{refused:?}");
    assert_eq!(tables(&url), "0");
    let dry = shell.run(&["migrate", "--dry-run"]);
    assert!(dry.code == 0 && dry.out.contains("would be created"), "{dry:?}");
    assert_eq!(tables(&url), "0");
    let made = shell.run(&["migrate"]);
    assert!(made.code == 0 && made.out.contains("was created"), "{made:?}");
    assert_eq!(shell.run(&["call", "create_table", TABLE]).code, 0);

    // One of a newer server is left alone.
    postgres::shared().psql(name_of(&url), "INSERT INTO callboard.schema_version VALUES (999)");
    let refused = shell.run(&["call", "create_table", &TABLE.replace("\"k\"", "\"l\"")]);
    assert!(refused.code == 3 && refused.out.contains("999"), "{refused:?}");
    assert_eq!(shell.run(&["migrate"]).code, 3);
}

/// There are tokens in it.
#[test]
fn the_sql_tools_do_not_reach_the_records() {
    let url = postgres::shared().database();
    let shell = Shell::new().set("DATABASE_URL", &url);
    store_of(&shell);
    for (tool, arguments) in [
        ("execute_query", r#"{"query":"select * from callboard.idempotency"}"#),
        ("execute_query", r#"{"query":"select * from \"callboard\".idempotency"}"#),
        ("execute_query", r#"{"query":"select * from U&\"c\\0061llboard\".idempotency"}"#),
        ("get_schema", r#"{"table":"callboard.idempotency"}"#),
        ("count_rows", r#"{"table":"callboard.idempotency"}"#),
        (
            "insert_data",
            r#"{"table":"callboard.idempotency","row":{"key":"x","request_hash":"h","expires_at":"2030-01-01"}}"#,
        ),
        ("bulk_insert", r#"{"table":"callboard.schema_version","rows":[{"version":7}]}"#),
        ("create_table", r#"{"table":"callboard.mine","columns":[{"name":"a","type":"text"}]}"#),
    ] {
        let refused = shell.run(&["call", tool, arguments]);
        assert!(refused.code == 1 && refused.out.contains("denied"), "{tool} {arguments}: {refused:?}");
    }
    let listed = shell.run(&["call", "list_tables", "{}"]);
    assert!(listed.code == 0 && !listed.out.contains("idempotency"), "{listed:?}");
}
