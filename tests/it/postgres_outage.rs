//! PostgreSQL that is down, hangs, drops its connections, or asks for TLS and a password.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{
    guarded::Guarded,
    harness::Harness,
    patience::{A_SECOND, PATIENCE},
    postgres::{self, PostgresServer, name_of},
    proxy::Proxy,
};

const ONE: &str = r#"{"query":"select 1"}"#;

fn through(proxy: &Proxy, url: &str) -> Harness {
    Harness::postgres(&format!("postgres://postgres@127.0.0.1:{}/{}", proxy.port(), name_of(url)))
}

#[tokio::test]
async fn a_server_that_is_down_is_told_at_once_and_used_again_when_it_is_back() {
    let server = postgres::shared();
    let proxy = Proxy::to(server.port);
    let board = through(&proxy, &server.database());
    board.answer("execute_query", ONE).await;
    proxy.refuse();
    for call in 0..100 {
        let started = Instant::now();
        let refused = board.refused("execute_query", ONE).await;
        assert_eq!((&refused["code"], &refused["retryable"]), (&json!("unavailable"), &json!(true)), "{refused}");
        assert!(refused["retry_after_ms"].as_u64().is_some(), "{refused}");
        assert!(started.elapsed() < A_SECOND, "call {call}: {:?}", started.elapsed());
    }
    proxy.pass();
    let started = Instant::now();
    while board.call("execute_query", ONE).await.is_error {
        assert!(started.elapsed() < PATIENCE, "still refused");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_unavailable_within_a_second() {
    let server = postgres::shared();
    let proxy = Proxy::to(server.port);
    let board = through(&proxy, &server.database());
    board.answer("execute_query", ONE).await;
    proxy.hang();
    // The first meets an old connection, the second has to make one.
    for tool in ["execute_query", "execute_query"] {
        let started = Instant::now();
        assert_eq!(board.refused(tool, ONE).await["code"], "unavailable");
        assert!(started.elapsed() < A_SECOND, "{:?}", started.elapsed());
    }
    proxy.pass();
    let started = Instant::now();
    while board.call("execute_query", ONE).await.is_error {
        assert!(started.elapsed() < PATIENCE, "still refused");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn connections_that_died_unseen_cost_no_call() {
    let server = postgres::shared();
    let url = server.database();
    let board = Harness::postgres(&url);
    let slow = r#"{"query":"select count(*) from generate_series(1, 300000)"}"#;
    let (a, b, c) = tokio::join!(
        board.answer("execute_query", slow),
        board.answer("execute_query", slow),
        board.answer("execute_query", slow)
    );
    assert_eq!((&a["rows"], &b["rows"], &c["rows"]), (&json!([[300_000]]), &json!([[300_000]]), &json!([[300_000]])));
    server.psql(
        "postgres",
        &format!(
            "select count(pg_terminate_backend(pid, 600000)) from pg_stat_activity where datname = '{}'",
            name_of(&url)
        ),
    );
    board.answer("execute_query", ONE).await;
}

#[tokio::test]
async fn a_connection_that_breaks_in_mid_answer_is_an_error_and_no_short_answer() {
    let server = postgres::shared();
    let proxy = Proxy::to(server.port);
    let board = through(&proxy, &server.database());
    board.answer("execute_query", ONE).await;
    proxy.cut_after(40_000);
    let big =
        r#"{"query":"select repeat('x', 1000) from generate_series(1, 900)","max_bytes":1048576,"max_rows":1000}"#;
    assert_eq!(board.refused("execute_query", big).await["code"], "unavailable");
}

#[tokio::test]
async fn a_missing_database_is_unavailable_and_names_no_host() {
    let server = postgres::shared();
    let board = Harness::postgres(&format!("postgres://postgres@127.0.0.1:{}/no_such_database", server.port));
    let refused = board.refused("execute_query", ONE).await;
    assert_eq!((&refused["code"], &refused["backend_code"]), (&json!("unavailable"), &json!("3D000")));
    assert!(!refused.to_string().contains("127.0.0.1"), "{refused}");
}

/// A server that takes `reader` by TLS and password only, and `agent` by a certificate beside it. In the directory given back, `ca.pem` is the
/// authority's certificate, `agent.pem` and `agent.key` are for `agent`, and `other.*` are of an authority that nobody knows.
fn with_tls() -> (PostgresServer, std::path::PathBuf) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let dir = Guarded::directory("tls");
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(rcgen::DnType::CommonName, "callboard tests");
    let authority_key = KeyPair::generate().unwrap();
    std::fs::write(dir.join("ca.pem"), authority.self_signed(&authority_key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    std::fs::write(dir.join("server.pem"), leaf.pem()).unwrap();
    let client = |name: &str, issuer: &Issuer<'_, KeyPair>| {
        let key = KeyPair::generate().unwrap();
        let mut leaf = CertificateParams::new(Vec::new()).unwrap();
        leaf.distinguished_name.push(rcgen::DnType::CommonName, "agent");
        std::fs::write(dir.join(format!("{name}.pem")), leaf.signed_by(&key, issuer).unwrap().pem()).unwrap();
        std::fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    };
    client("agent", &issuer);
    client("other", &Issuer::new(CertificateParams::new(Vec::new()).unwrap(), KeyPair::generate().unwrap()));
    let lines = "hostssl all agent 127.0.0.1/32 scram-sha-256 clientcert=verify-full
hostssl all reader 127.0.0.1/32 scram-sha-256
host all postgres 127.0.0.1/32 trust
local all all trust
";
    let server = PostgresServer::secured(&postgres::own_bin(), &dir, &key.serialize_pem(), lines);
    server.psql("postgres", "CREATE ROLE reader LOGIN PASSWORD 'p@ss%w/rd'; CREATE ROLE agent LOGIN PASSWORD 'word'");
    (server, dir)
}

#[tokio::test]
async fn tls_and_a_password_are_asked_for() {
    let (server, dir) = with_tls();
    let url = |host: &str, password: &str, rest: &str| {
        format!("postgresql+psycopg2://reader:{password}@{host}:{}/postgres?{rest}", server.port)
    };
    let authority = format!("sslrootcert={}", dir.join("ca.pem").display());
    let in_tls = r#"{"query":"select current_user, version() is not null"}"#;
    for (host, password, rest) in [
        ("localhost", "p@ss%w/rd", format!("sslmode=verify-full&{authority}")),
        ("127.0.0.1", "p@ss%25w/rd", format!("sslmode=verify-ca&{authority}")),
        ("127.0.0.1", "p%40ss%25w%2Frd", "sslmode=require".to_owned()),
        ("127.0.0.1", "p@ss%w/rd", "sslmode=prefer".to_owned()),
        ("127.0.0.1", "p@ss%w/rd", String::new()),
    ] {
        let board = Harness::postgres(&url(host, password, &rest));
        assert_eq!(board.answer("execute_query", in_tls).await["rows"], json!([["reader", true]]), "{host} {rest}");
    }
    for (host, password, rest, says) in [
        ("127.0.0.1", "p@ss%w/rd", format!("sslmode=verify-full&{authority}"), "TLS"),
        ("localhost", "p@ss%w/rd", "sslmode=verify-full".to_owned(), "TLS"),
        ("localhost", "p@ss%w/rd", "sslmode=disable".to_owned(), "backend_credentials_rejected: "),
        ("localhost", "wrong", "sslmode=require".to_owned(), "backend_credentials_rejected: "),
    ] {
        let refused = Harness::postgres(&url(host, password, &rest)).refused("execute_query", ONE).await;
        assert_eq!(refused["code"], "unavailable", "{host} {rest}");
        assert!(refused["message"].as_str().unwrap().contains(says), "{host} {rest}: {refused}");
        assert!(!refused.to_string().contains(password), "{refused}");
    }
    // A server that asks for a certificate gets ours.
    let as_agent = |rest: &str| {
        format!("postgres://agent:word@localhost:{}/postgres?sslmode=verify-full&{authority}{rest}", server.port)
    };
    let identity = |name: &str| format!("&sslcert={0}.pem&sslkey={0}.key", dir.join(name).display());
    let board = Harness::postgres(&as_agent(&identity("agent")));
    assert_eq!(board.answer("execute_query", in_tls).await["rows"], json!([["agent", true]]));
    let refused = Harness::postgres(&as_agent("")).refused("execute_query", ONE).await;
    assert_eq!((&refused["code"], &refused["backend_code"]), (&json!("unavailable"), &json!("28000")), "{refused}");
    assert!(refused["hint"].as_str().unwrap().contains("sslcert"), "{refused}");
    let refused = Harness::postgres(&as_agent(&identity("other"))).refused("execute_query", ONE).await;
    assert!(refused["message"].as_str().unwrap().contains("TLS failed"), "{refused}");
    // Each reads differently in get_server_info, and says what to mend.
    let server_of =
        |port: u16, password: &str, database: &str| format!("postgres://reader:{password}@localhost:{port}/{database}");
    for (url, code, message, hint) in [
        (
            server_of(server.port, "wrong", "postgres"),
            json!("28P01"),
            "backend_credentials_rejected: the database did not accept this server's login (password authentication failed for user \"reader\")",
            "the operator should set the user and password in DATABASE_URL",
        ),
        (
            server_of(server.port, "p@ss%w/rd", "nowhere"),
            json!("3D000"),
            "database \"nowhere\" does not exist",
            "the operator should set the database's name in DATABASE_URL",
        ),
        (
            server_of(1, "p@ss%w/rd", "postgres"),
            json!(null),
            "the database cannot be reached: connection refused",
            "nothing is listening there: the operator should start the database, or correct the host and port in DATABASE_URL",
        ),
    ] {
        let info = Harness::postgres(&url).answer("get_server_info", "{}").await;
        let problem = &info["backends"][0]["problem"];
        assert_eq!(
            (&problem["backend_code"], &problem["message"], &problem["hint"]),
            (&code, &json!(message), &json!(hint))
        );
    }
}
