//! Logging in to PostgreSQL: what is tied to TLS, and what each refusal says.

use std::{path::PathBuf, process::Command};

use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ED25519, PKCS_RSA_SHA256, PKCS_RSA_SHA384, PKCS_RSA_SHA512, SignatureAlgorithm,
};
use serde_json::{Value, json};

use crate::support::{
    guarded::{Guarded, run},
    harness::Harness,
    postgres::{self, PostgresServer},
};

const ONE: &str = r#"{"query":"select 1"}"#;
/// Nothing else is protected by it: certificates of tests are signed with it, because the library that makes them makes no keys of RSA.
const RSA_KEY: &str = include_str!("postgres_login/rsa.key");
/// The library writes keys of Ed25519 in a form that OpenSSL does not read.
const ED25519_KEY: &str = include_str!("postgres_login/ed25519.key");
const ROLES: &str = "CREATE ROLE reader LOGIN PASSWORD 'word'; CREATE ROLE sealed LOGIN PASSWORD 'word'; CREATE ROLE certified LOGIN;
    CREATE ROLE idle NOLOGIN; CREATE ROLE few LOGIN CONNECTION LIMIT 0; CREATE ROLE identified LOGIN; CREATE ROLE stranger LOGIN;
    SET password_encryption = 'md5'; CREATE ROLE old LOGIN PASSWORD 'word'";
const LINES: &str = "host all postgres 127.0.0.1/32 trust
host all reader 127.0.0.1/32 scram-sha-256
hostssl all sealed 127.0.0.1/32 scram-sha-256
hostssl all certified 127.0.0.1/32 cert
host all ghost 127.0.0.1/32 trust
host all idle 127.0.0.1/32 trust
host all few 127.0.0.1/32 trust
host all identified 127.0.0.1/32 ident
host all old 127.0.0.1/32 md5
";

/// A server with a certificate for `localhost` that is signed by `algorithm`.
fn signed_by(bin: PathBuf, algorithm: &'static SignatureAlgorithm) -> PostgresServer {
    let dir = Guarded::directory("login");
    let own_key = || match [&PKCS_RSA_SHA256, &PKCS_RSA_SHA384, &PKCS_RSA_SHA512].contains(&algorithm) {
        true => KeyPair::from_pem_and_sign_algo(RSA_KEY, algorithm).unwrap(),
        false if *algorithm == PKCS_ED25519 => KeyPair::from_pem_and_sign_algo(ED25519_KEY, algorithm).unwrap(),
        false => KeyPair::generate_for(algorithm).unwrap(),
    };
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = own_key();
    std::fs::write(dir.join("ca.pem"), authority.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(authority, key);
    let key = own_key();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    std::fs::write(dir.join("server.pem"), leaf.pem()).unwrap();
    std::fs::write(dir.join("server.key"), key.serialize_pem()).unwrap();
    std::fs::write(dir.join("hba"), LINES).unwrap();
    run(Command::new("chmod").arg("600").arg(dir.join("server.key")));
    if rustix::process::geteuid().is_root() {
        run(Command::new("chown").arg("-R").arg("postgres").arg(&dir));
    }
    let file = |name: &str| dir.join(name).display().to_string();
    let options = format!(
        "-c ssl=on -c ssl_ca_file={} -c ssl_cert_file={} -c ssl_key_file={} -c hba_file={}",
        file("ca.pem"),
        file("server.pem"),
        file("server.key"),
        file("hba")
    );
    let server = PostgresServer::start(&bin, &options);
    server.psql("postgres", ROLES);
    server
}

fn at(server: &PostgresServer, login: &str, rest: &str) -> Harness {
    Harness::postgres(&format!("postgres://{login}@127.0.0.1:{}/postgres?{rest}", server.port))
}

async fn tied(algorithm: &'static SignatureAlgorithm) {
    let server = signed_by(postgres::own_bin(), algorithm);
    for rest in [
        "sslmode=require&channel_binding=require",
        "channel_binding=require",
        "sslmode=require&channel_binding=prefer",
        "sslmode=require",
        "sslmode=require&channel_binding=disable",
        "sslmode=require&channel_binding=require&ssl_min_protocol_version=TLSv1.3",
        "sslmode=require&channel_binding=require&ssl_max_protocol_version=TLSv1.2&sslsni=0",
    ] {
        let answer = at(&server, "reader:word", rest).answer("execute_query", ONE).await;
        assert_eq!(answer["rows"], json!([[1]]), "{rest}");
    }
}

#[tokio::test]
async fn a_login_is_tied_to_its_connection_whatever_signed_the_certificate() {
    for algorithm in
        [&PKCS_RSA_SHA256, &PKCS_RSA_SHA384, &PKCS_RSA_SHA512, &PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384]
    {
        tied(algorithm).await;
    }
}

/// RFC 5929 knows no hash of a certificate that Ed25519 signed, and MD5 has nothing to tie.
#[tokio::test]
async fn a_login_that_cannot_be_tied_is_made_unless_it_has_to_be() {
    for (algorithm, login) in [(&PKCS_ED25519, "reader:word"), (&PKCS_ECDSA_P256_SHA256, "old:word")] {
        let server = signed_by(postgres::own_bin(), algorithm);
        for rest in [
            "sslmode=require",
            "sslmode=require&channel_binding=prefer",
            "sslmode=require&channel_binding=disable",
            "sslmode=prefer",
            "",
        ] {
            let answer = at(&server, login, rest).answer("execute_query", ONE).await;
            assert_eq!(answer["rows"], json!([[1]]), "{login} {rest}");
        }
        let refused = at(&server, login, "sslmode=require&channel_binding=require").refused("execute_query", ONE).await;
        assert_eq!((&refused["message"], &refused["hint"]), (&json!(NOT_TIED), &json!(NEEDS)), "{login}");
    }
}

#[tokio::test]
async fn tls_may_begin_at_once() {
    let home = PathBuf::from(std::env::var("CALLBOARD_TEST_POSTGRES_18").unwrap());
    let server = signed_by(home.join("bin"), &PKCS_ECDSA_P256_SHA256);
    let rest = "sslmode=require&sslnegotiation=direct&channel_binding=require";
    assert_eq!(at(&server, "reader:word", rest).answer("execute_query", ONE).await["rows"], json!([[1]]));
}

const NOT_TIED: &str = "`channel_binding=require` cannot be met: the login is not tied to an encrypted connection";
const NEEDS: &str = "it needs TLS (sslmode=require or stricter) up to the server itself, a password kept as scram-sha-256, and a certificate that is not signed by Ed25519; a pooler or proxy that ends TLS cannot do it";
const USER_AND_PASSWORD: &str = "the operator should set the user and password in DATABASE_URL";

fn rejected(words: &str) -> String {
    format!("backend_credentials_rejected: the database did not accept this server's login ({words})")
}

#[tokio::test]
async fn every_refused_login_says_why_and_what_mends_it() {
    let server = signed_by(postgres::own_bin(), &PKCS_ECDSA_P256_SHA256);
    for (login, rest, state, message, hint) in [
        ("reader", "", Value::Null, rejected("the database asks for a password that is not set"), USER_AND_PASSWORD),
        (
            "reader:wrong",
            "",
            json!("28P01"),
            rejected("password authentication failed for user \"reader\""),
            USER_AND_PASSWORD,
        ),
        (
            "sealed:word",
            "sslmode=disable",
            json!("28000"),
            rejected("no pg_hba.conf entry for host \"127.0.0.1\", user \"sealed\", database \"postgres\", no encryption"),
            "the server's pg_hba.conf has no line for this login without encryption: the operator sets sslmode=require in DATABASE_URL, or adds a line",
        ),
        (
            "stranger:word",
            "sslmode=require",
            json!("28000"),
            rejected("no pg_hba.conf entry for host \"127.0.0.1\", user \"stranger\", database \"postgres\", SSL encryption"),
            "the operator adds a line for this role, database and address to the server's pg_hba.conf, or corrects user and database in DATABASE_URL",
        ),
        (
            "ghost",
            "",
            json!("28000"),
            rejected("role \"ghost\" does not exist"),
            "the operator corrects the user in DATABASE_URL, or creates the role",
        ),
        (
            "idle",
            "",
            json!("28000"),
            rejected("role \"idle\" is not permitted to log in"),
            "the operator lets the role log in: ALTER ROLE … LOGIN",
        ),
        (
            "certified",
            "sslmode=require",
            json!("28000"),
            rejected("connection requires a valid client certificate"),
            "the operator names this server's certificate and key by sslcert and sslkey in DATABASE_URL; the certificate's common name has to be the role's",
        ),
        (
            "identified",
            "",
            json!("28000"),
            rejected("Ident authentication failed for user \"identified\""),
            "the server takes this login only from a system user of the role's name: the operator names a host and password in DATABASE_URL, or changes the line in pg_hba.conf",
        ),
        (
            "few",
            "",
            json!("53300"),
            "too many connections for role \"few\"".to_owned(),
            "the server has no connection free for this role: the operator closes others, raises max_connections or the role's limit, or puts a pooler in between",
        ),
        ("reader:word", "sslmode=disable&channel_binding=require", Value::Null, NOT_TIED.to_owned(), NEEDS),
        ("postgres", "sslmode=require&channel_binding=require", Value::Null, NOT_TIED.to_owned(), NEEDS),
        (
            "postgres",
            "target_session_attrs=read-only",
            Value::Null,
            "the database cannot be reached: `target_session_attrs=read-only` asks for one that only reads, and none does"
                .to_owned(),
            "the operator names a replica in DATABASE_URL",
        ),
    ] {
        let refused = at(&server, login, rest).refused("execute_query", ONE).await;
        assert_eq!(
            (&refused["code"], &refused["backend_code"], &refused["message"], &refused["hint"]),
            (&json!("unavailable"), &state, &json!(message), &json!(hint)),
            "{login} {rest}"
        );
    }
}
