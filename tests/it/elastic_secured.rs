//! Elasticsearch with TLS and passwords: the authority's certificate, wrong and lesser credentials, and nothing of them shown.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use callboard::config::{Login, SearchConfig};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::json;

use crate::support::{
    engines::{EngineServer, Kind},
    guarded::{Guarded, run},
    harness::Harness,
};

const PASSWORD: &str = "pl4nted-p@ss:w0rd";

struct Secured {
    server: EngineServer,
    authority: PathBuf,
}

/// One node for all tests here, with the user `elastic` who may do all and `reader` who may only read `open-*`.
fn secured() -> &'static Secured {
    static SERVER: OnceLock<Secured> = OnceLock::new();
    SERVER.get_or_init(|| {
        let files = Guarded::directory("certificates");
        let authority = files.join("authority.pem");
        certificates(&files);
        let options = "-Expack.security.enabled=true -Expack.security.autoconfiguration.enabled=false \
            -Expack.security.http.ssl.enabled=true -Expack.security.http.ssl.key=leaf.key -Expack.security.http.ssl.certificate=leaf.pem";
        let mut server = EngineServer::start(Kind::Elasticsearch8, options, |home, configuration| {
            for file in ["leaf.key", "leaf.pem"] {
                std::fs::copy(files.join(file), configuration.join(file)).unwrap();
            }
            let java = Kind::Elasticsearch8.jdk();
            tool(home, configuration, &java, "elasticsearch-keystore", &["create"], "");
            let add = ["add", "-x", "-f", "bootstrap.password"];
            tool(home, configuration, &java, "elasticsearch-keystore", &add, PASSWORD);
            let role = "reader:\n  indices:\n    - names: [ 'open-*' ]\n      privileges: [ 'read' ]\n";
            std::fs::write(configuration.join("roles.yml"), role).unwrap();
            let reader = ["useradd", "reader", "-p", PASSWORD, "-r", "reader"];
            tool(home, configuration, &java, "elasticsearch-users", &reader, "");
        });
        let (port, trusted) = (server.port, authority.clone());
        server.wait_until(|| {
            let asked = Command::new("curl")
                .args(["-s", "-f", "-u", &format!("elastic:{PASSWORD}"), "--cacert"])
                .arg(&trusted)
                .arg(format!("https://127.0.0.1:{port}/_cluster/health?wait_for_status=yellow&timeout=1s"))
                .output();
            asked.is_ok_and(|output| output.status.success())
        });
        Secured { server, authority }
    })
}

fn certificates(files: &Path) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.distinguished_name.push(DnType::CommonName, "an authority for tests");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    std::fs::write(files.join("authority.pem"), authority.self_signed(&authority_key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let leaf_key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    leaf.distinguished_name.push(DnType::CommonName, "localhost");
    std::fs::write(files.join("leaf.pem"), leaf.signed_by(&leaf_key, &issuer).unwrap().pem()).unwrap();
    std::fs::write(files.join("leaf.key"), leaf_key.serialize_pem()).unwrap();
    run(Command::new("chmod").args(["-R", "a+rX"]).arg(files));
}

fn tool(home: &Path, configuration: &Path, java: &Path, name: &str, arguments: &[&str], input: &str) {
    let mut child = Command::new(home.join("bin").join(name))
        .args(arguments)
        .env("ES_PATH_CONF", configuration)
        .env("ES_JAVA_HOME", java)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{name} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

async fn board(change: impl FnOnce(&mut SearchConfig)) -> Harness {
    let secured = tokio::task::spawn_blocking(secured).await.unwrap();
    let mut config = SearchConfig {
        url: format!("https://127.0.0.1:{}", secured.server.port).parse().unwrap(),
        login: Login::Password("elastic".to_owned(), PASSWORD.to_owned().into()),
        ca_file: Some(secured.authority.clone()),
        skip_verify: false,
    };
    change(&mut config);
    Harness::search(config)
}

#[tokio::test]
async fn everything_works_over_tls_with_a_password() {
    let board = board(|_| {}).await;
    let written =
        board.answer("index_documents", r#"{"index":"open-a","documents":[{"id":"1","n":1}],"id_field":"id"}"#).await;
    assert_eq!(written["indexed"], 1);
    assert_eq!(board.answer("search_documents", r#"{"index":"open-a"}"#).await["total"], 1);
    assert_eq!(board.answer("bulk_export", r#"{"index":"open-a*"}"#).await["count"], 1);
    assert_eq!(board.answer("list_indices", "{}").await["engine"]["name"], "elasticsearch");
}

#[tokio::test]
async fn an_unknown_authority_is_refused_and_named_unless_told_otherwise() {
    let strict = board(|config| config.ca_file = None).await;
    let failure = strict.refused("list_indices", "{}").await;
    assert_eq!(
        (&failure["code"], &failure["backend_code"]),
        (&json!("unavailable"), &json!("backend_certificate_rejected")),
        "{failure}"
    );
    let lenient = board(|config| (config.ca_file, config.skip_verify) = (None, true)).await;
    lenient.answer("list_indices", "{}").await;
}

#[tokio::test]
async fn wrong_credentials_are_told_and_never_shown() {
    let wrong = [
        Login::Password("elastic".to_owned(), "wr0ng-secret".to_owned().into()),
        Login::ApiKey("wr0ng-secret-id:wr0ng-secret-key".to_owned().into()),
        Login::ApiKey("wr0ng-secret\n\u{e9}".to_owned().into()),
        Login::None,
    ];
    for login in wrong {
        let told = format!("{login:?}");
        assert!(!told.contains("wr0ng"), "{told}");
        let board = board(|config| config.login = login).await;
        for (tool, arguments) in [("list_indices", "{}"), ("search_documents", r#"{"index":"open-a"}"#)] {
            let failure = board.refused(tool, arguments).await;
            assert_eq!(
                (&failure["code"], &failure["backend_code"]),
                (&json!("unavailable"), &json!("backend_credentials_rejected")),
                "{failure}"
            );
            assert!(!failure.to_string().contains("wr0ng"), "{failure}");
        }
        let info = board.answer("get_server_info", "{}").await;
        assert_eq!(info["backends"][1]["problem"]["backend_code"], "backend_credentials_rejected");
        let info = info.to_string();
        assert!(info.contains("does not accept this server's credentials") && !info.contains("wr0ng"), "{info}");
    }
}

#[tokio::test]
async fn a_user_who_may_only_read_some_indices_can_read_them() {
    let full = board(|_| {}).await;
    let documents = r#"{"index":"open-b","documents":[{"id":"1","n":1},{"id":"2","n":2}],"id_field":"id"}"#;
    assert_eq!(full.answer("index_documents", documents).await["indexed"], 2);
    full.answer("index_documents", r#"{"index":"closed-b","documents":[{"n":1}]}"#).await;
    let board = board(|config| config.login = Login::Password("reader".to_owned(), PASSWORD.to_owned().into())).await;
    assert_eq!(board.answer("search_documents", r#"{"index":"open-b"}"#).await["total"], 2);
    assert_eq!(board.answer("count_documents", r#"{"index":"open-b"}"#).await["count"], 2);
    assert_eq!(board.answer("get_document", r#"{"index":"open-b","id":"2"}"#).await["document"]["n"], 2);
    assert_eq!(board.answer("bulk_export", r#"{"index":"open-b"}"#).await["count"], 2);
    for (tool, arguments) in [
        ("search_documents", r#"{"index":"closed-b"}"#),
        ("index_documents", r#"{"index":"open-b","documents":[{"n":1}]}"#),
        ("index_documents", r#"{"index":"fresh-b","documents":[{"n":1}]}"#),
    ] {
        let failure = board.refused(tool, arguments).await;
        assert_eq!(failure["code"], "denied", "{tool} {failure}");
    }
}
