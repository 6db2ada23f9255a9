//! Logging in to PostgreSQL: what is tied to TLS, and what each refusal says.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, PKCS_RSA_SHA384, PKCS_RSA_SHA512, SignatureAlgorithm,
};
use serde_json::{Value, json};

use crate::support::{
    guarded::Guarded,
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
    serving(&bin, &dir, &key)
}

/// A server with the certificates in `dir`, and the key of its own.
fn serving(bin: &Path, dir: &Path, key: &KeyPair) -> PostgresServer {
    let server = PostgresServer::secured(bin, dir, &key.serialize_pem(), LINES);
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

/// As `openssl req -x509` makes one: an authority, that signed itself, without subjectAltName unless `names` are given.
fn of_its_own(names: &[&str], common: &str) -> CertificateParams {
    let mut own = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    own.distinguished_name.push(DnType::CommonName, common);
    own
}

/// What logins by each `sslmode` and host answer where `sslrootcert` names the certificate that the server presents.
async fn answers_by_its_own(own: CertificateParams, asked: &[(&str, &str, &str)]) {
    let dir = Guarded::directory("own");
    let key = KeyPair::generate().unwrap();
    let stranger = of_its_own(&["localhost"], "localhost").self_signed(&KeyPair::generate().unwrap()).unwrap();
    std::fs::write(dir.join("stranger.pem"), stranger.pem()).unwrap();
    let pem = own.self_signed(&key).unwrap().pem();
    std::fs::write(dir.join("server.pem"), &pem).unwrap();
    std::fs::write(dir.join("ca.pem"), pem).unwrap();
    let server = serving(&postgres::own_bin(), &dir, &key);
    for (host, rest, wrong) in asked {
        let rest = rest.replace("DIR", &dir.display().to_string());
        let harness = Harness::postgres(&format!("postgres://reader:word@{host}:{}/postgres?{rest}", server.port));
        if wrong.is_empty() {
            assert_eq!(harness.answer("execute_query", ONE).await["rows"], json!([[1]]), "{host} {rest}");
            continue;
        }
        let refused = harness.refused("execute_query", ONE).await;
        let message = refused["message"].as_str().unwrap();
        let begins = format!("the database cannot be reached: TLS failed (invalid peer certificate: {wrong}");
        assert!(message.starts_with(&begins), "{host} {rest}: {message}");
        assert_eq!(refused["code"], json!("unavailable"));
    }
}

#[tokio::test]
async fn a_server_is_trusted_by_its_own_certificate() {
    let own = of_its_own(&["localhost"], "elsewhere");
    answers_by_its_own(
        own,
        &[
            ("localhost", "sslmode=verify-full&sslrootcert=DIR/ca.pem", ""),
            ("127.0.0.1", "sslmode=verify-ca&sslrootcert=DIR/ca.pem", ""),
            ("127.0.0.1", "sslmode=require&sslrootcert=DIR/ca.pem", ""),
            ("localhost", "sslmode=verify-full&sslrootcert=DIR/ca.pem&ssl_max_protocol_version=TLSv1.2", ""),
            (
                "127.0.0.1",
                "sslmode=verify-full&sslrootcert=DIR/ca.pem",
                "certificate not valid for name \"127.0.0.1\"; certificate is only valid for DnsName(\"localhost\")",
            ),
            ("localhost", "sslmode=verify-full&sslrootcert=DIR/stranger.pem", "Other(OtherError(CaUsedAsEndEntity))"),
            ("localhost", "sslmode=verify-ca&sslrootcert=DIR/stranger.pem", "Other(OtherError(CaUsedAsEndEntity))"),
            ("localhost", "sslmode=require&sslrootcert=DIR/stranger.pem", "Other(OtherError(CaUsedAsEndEntity))"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_certificate_of_a_server_alone_may_name_it_by_common_name() {
    answers_by_its_own(
        of_its_own(&[], "LOCALHOST"),
        &[
            ("localhost", "sslmode=verify-full&sslrootcert=DIR/ca.pem", ""),
            ("127.0.0.1", "sslmode=verify-ca&sslrootcert=DIR/ca.pem", ""),
            (
                "127.0.0.1",
                "sslmode=verify-full&sslrootcert=DIR/ca.pem",
                "certificate not valid for name \"127.0.0.1\"; certificate is not valid for any names",
            ),
        ],
    )
    .await;
    let named_otherwise = of_its_own(&["elsewhere"], "localhost");
    let wrong = "certificate not valid for name \"localhost\"; certificate is only valid for DnsName(\"elsewhere\")";
    answers_by_its_own(named_otherwise, &[("localhost", "sslmode=verify-full&sslrootcert=DIR/ca.pem", wrong)]).await;
}

#[tokio::test]
async fn a_certificate_that_cannot_serve_is_refused_even_where_it_is_named() {
    let mut expired = of_its_own(&["localhost"], "localhost");
    expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let mut early = of_its_own(&["localhost"], "localhost");
    early.not_before = rcgen::date_time_ymd(2090, 1, 1);
    let mut signs_only = of_its_own(&["localhost"], "localhost");
    signs_only.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    for (own, wrong) in [
        (expired, "certificate expired: verification time "),
        (early, "certificate not valid yet: verification time "),
        (signs_only, "Other(OtherError(CaUsedAsEndEntity))"),
    ] {
        let asked =
            ["verify-full", "verify-ca", "require"].map(|mode| format!("sslmode={mode}&sslrootcert=DIR/ca.pem"));
        let asked: Vec<_> = asked.iter().map(|rest| ("localhost", rest.as_str(), wrong)).collect();
        answers_by_its_own(own, &asked).await;
    }
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
