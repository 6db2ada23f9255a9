//! Where settings come from and what they mean.

use std::path::Path;

use callboard::{
    config::{Answers, Config, Environment, Flags, Loaded, Login, Migrate},
    error::{Code, Error},
};
use secrecy::ExposeSecret;
use tempfile::TempDir;

/// An environment in a temporary directory, with a home, a working directory and mounted secrets.
struct Place {
    dir: TempDir,
    environment: Environment,
}

impl Place {
    fn new(variables: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for below in ["work", "home/.config/callboard", "secrets"] {
            std::fs::create_dir_all(dir.path().join(below)).unwrap();
        }
        let environment = Environment {
            variables: variables.iter().map(|(name, value)| ((*name).to_owned(), Ok((*value).to_owned()))).collect(),
            working_dir: dir.path().join("work"),
            home: Some(dir.path().join("home")),
            secrets_dir: dir.path().join("secrets"),
            temporary_dir: dir.path().join("tmp"),
        };
        Self { dir, environment }
    }

    fn file(self, below: &str, text: &str) -> Self {
        std::fs::write(self.dir.path().join(below), text).unwrap();
        self
    }

    fn path(&self, below: &str) -> String {
        self.dir.path().join(below).display().to_string()
    }

    fn load(&self) -> Loaded {
        self.load_with(&Flags::default())
    }

    fn load_with(&self, flags: &Flags) -> Loaded {
        Config::load(&self.environment, flags).unwrap_or_else(|error| panic!("{error:?}"))
    }

    fn refused(&self) -> Error {
        Config::load(&self.environment, &Flags::default()).map(|loaded| loaded.config).unwrap_err()
    }
}

fn main_url(variables: &[(&str, &str)]) -> String {
    let config = Place::new(variables).load().config;
    config.databases.first().map(|database| database.url.expose_secret().to_owned()).unwrap_or_default()
}

fn source(loaded: &Loaded, name: &str) -> String {
    loaded.config.shown.iter().find(|one| one.name == name).map(|one| one.source.clone()).unwrap_or_default()
}

#[test]
fn with_nothing_set_everything_is_embedded_below_the_home() {
    let place = Place::new(&[]);
    let loaded = place.load();
    assert!(loaded.config.databases.is_empty() && loaded.config.search.is_none() && !loaded.config.access.read_only);
    assert_eq!(loaded.config.data_dir, Path::new(&place.path("home/.local/share/callboard")));
    assert_eq!((loaded.config.answers, loaded.config.migrate), (Answers::Both, Migrate::Auto));
    assert_eq!(loaded.config.toolsets.served(), ["workflows", "tasks", "agents", "search", "sql", "ops"]);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn the_stronger_source_wins() {
    let flags = Flags { read_only: true, toolsets: None, data_dir: Some("flagged".into()) };
    let place = Place::new(&[
        ("CALLBOARD_MAX_ROWS", "11"),
        ("CALLBOARD_DATA_DIR", "/elsewhere"),
        ("CALLBOARD_READ_ONLY", "false"),
    ])
    .file("work/callboard.toml", "max_rows = 22\ndefault_rows = 22\nmax_calls = 22\n")
    .file("named.toml", "max_rows = 33\ndefault_rows = 33\n")
    .file(
        "home/.config/callboard/callboard.toml",
        "max_rows = 44\ndefault_rows = 44\nmax_calls = 44\nmax_documents = 44\n",
    );
    let mut place = place;
    let named = place.path("named.toml");
    place.environment.variables.insert("CALLBOARD_CONFIG".to_owned(), Ok(named.clone()));
    let loaded = place.load_with(&flags);
    let limits = loaded.config.limits;
    assert_eq!(
        (limits.rows_max, limits.rows_default, limits.calls_in_flight_max, limits.documents_max),
        (11, 33, 22, 44)
    );
    assert!(loaded.config.access.read_only);
    assert_eq!(loaded.config.data_dir, Path::new(&place.path("work/flagged")));
    assert_eq!(source(&loaded, "CALLBOARD_READ_ONLY"), "flag");
    assert_eq!(source(&loaded, "CALLBOARD_MAX_ROWS"), "environment");
    assert_eq!(source(&loaded, "CALLBOARD_DEFAULT_ROWS"), named);
    assert_eq!(loaded.files.len(), 3);
}

#[test]
fn every_limit_can_be_set() {
    let limits = Place::new(&[
        ("CALLBOARD_DEFAULT_ROWS", "2"),
        ("CALLBOARD_MAX_ROWS", "3"),
        ("CALLBOARD_DEFAULT_BYTES", "4KiB"),
        ("CALLBOARD_MAX_BYTES", "5000"),
        ("CALLBOARD_CALL_TIMEOUT_MS", "6s"),
        ("CALLBOARD_STATEMENT_TIMEOUT_MS", "700"),
        ("CALLBOARD_MAX_DOCUMENTS", "8"),
        ("CALLBOARD_MAX_LOAD_ROWS", "9"),
        ("CALLBOARD_MAX_LOAD_BYTES", "1MiB"),
        ("CALLBOARD_MAX_CALLS", "11"),
        ("CALLBOARD_MAX_WAITING_CALLS", "0"),
    ])
    .load()
    .config
    .limits;
    let numbers = [
        limits.rows_default,
        limits.rows_max,
        limits.bytes_default,
        limits.bytes_max,
        usize::try_from(limits.call_time.as_millis()).unwrap(),
        usize::try_from(limits.statement_time.as_millis()).unwrap(),
        limits.documents_max,
        limits.load_rows_max,
        limits.load_bytes_max,
        limits.calls_in_flight_max,
        limits.calls_waiting_max,
    ];
    assert_eq!(numbers, [2, 3, 4_096, 5_000, 6_000, 700, 8, 9, 1 << 20, 11, 0]);
}

#[test]
fn a_typo_stops_the_start_with_the_nearest_name() {
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);
    let cases: [Case<'_>; 7] = [
        (&[("CALLBOARD_READONLY", "true")], "CALLBOARD_READONLY", "CALLBOARD_READ_ONLY"),
        (&[("CALLBOARD_TOOLSET", "sql")], "CALLBOARD_TOOLSET", "CALLBOARD_TOOLSETS"),
        (&[("CALLBOARD_READ_ONLY", "ture")], "CALLBOARD_READ_ONLY", "true"),
        (&[("CALLBOARD_TOOLSETS", "sql,serch")], "CALLBOARD_TOOLSETS", "search"),
        (&[("CALLBOARD_ANSWERS", "txt")], "CALLBOARD_ANSWERS", "text"),
        (&[("CALLBOARD_LOG", "wran")], "CALLBOARD_LOG", "warn"),
        (&[("PGSSLMODE", "requird"), ("PGHOST", "x")], "PGSSLMODE", "require"),
    ];
    for (variables, argument, near) in cases {
        let error = Place::new(variables).refused();
        assert_eq!((error.code, error.argument.as_deref()), (Code::Invalid, Some(argument)), "{error:?}");
        assert_eq!(error.did_you_mean.first().map(String::as_str), Some(near), "{error:?}");
    }
    let error = Place::new(&[]).file("work/callboard.toml", "read_onyl = true").refused();
    assert_eq!((error.argument.as_deref(), error.did_you_mean[0].as_str()), (Some("read_onyl"), "read_only"));
}

#[test]
fn what_kubernetes_sets_for_a_service_of_that_name_is_no_typo() {
    let links = [
        ("CALLBOARD_SERVICE_HOST", "10.0.0.1"),
        ("CALLBOARD_SERVICE_PORT_HTTP", "80"),
        ("CALLBOARD_PORT", "tcp://10.0.0.1:80"),
        ("CALLBOARD_PORT_80_TCP_ADDR", "10.0.0.1"),
    ];
    assert!(Place::new(&links).load().warnings.is_empty());
    assert_eq!(
        Place::new(&links[2..]).refused().argument.as_deref(),
        Some("CALLBOARD_PORT"),
        "without the service it is one"
    );
}

#[test]
fn a_value_out_of_range_says_what_is_accepted() {
    for (name, value) in [
        ("CALLBOARD_MAX_ROWS", "0"),
        ("CALLBOARD_MAX_ROWS", "-5"),
        ("CALLBOARD_MAX_ROWS", "many"),
        ("CALLBOARD_MAX_BYTES", "2MiB"),
        ("CALLBOARD_CALL_TIMEOUT_MS", "1"),
        ("CALLBOARD_MAX_CALLS", "0"),
    ] {
        let error = Place::new(&[(name, value)]).refused();
        assert_eq!(error.argument.as_deref(), Some(name));
        assert!(error.message.starts_with(&format!("`{name}` is `{value}`; it takes ")), "{}", error.message);
    }
}

#[test]
fn an_empty_or_unfilled_value_means_unset() {
    let place = Place::new(&[
        ("DATABASE_URL", ""),
        ("ELASTICSEARCH_URL", "${ELASTICSEARCH_URL}"),
        ("CALLBOARD_READ_ONLY", "${CALLBOARD_READ_ONLY:-}"),
        ("CALLBOARD_MAX_ROWS", "  "),
        ("POSTGRES_URL", "postgres://u@h/x"),
    ]);
    let loaded = place.load();
    assert_eq!(loaded.config.databases.len(), 1, "the alias is set, the first name is not");
    assert!(loaded.config.search.is_none() && !loaded.config.access.read_only);
    assert_eq!(loaded.warnings.len(), 2, "{:?}", loaded.warnings);
}

#[test]
fn the_names_of_other_tools_work_and_ours_come_first() {
    for name in ["DATABASE_URL", "DATABASE_URI", "POSTGRES_URL", "DSN", "DB_URL"] {
        assert_eq!(main_url(&[(name, "postgres://u:p@h:1/x")]), "postgres://u:p@h:1/x", "{name}");
    }
    assert_eq!(main_url(&[("DB_URL", "postgres://u@b/x"), ("DATABASE_URI", "postgres://u@a/x")]), "postgres://u@a/x");
    assert_eq!(main_url(&[("PGHOST", "p"), ("DSN", "postgres://u@a/x")]), "postgres://u@a/x");
}

#[test]
fn every_way_to_write_a_database_becomes_one_url() {
    let written = |url: &str| main_url(&[("DATABASE_URL", url), ("USER", "me")]);
    for (given, meant) in [
        ("postgresql://u:p@h/x", "postgres://u:p@h/x"),
        ("postgresql+psycopg2://u:p@h:5433/x", "postgres://u:p@h:5433/x"),
        ("postgres://u:p@ss@h/x", "postgres://u:p%40ss@h/x"),
        ("postgres://u:50%off@h/x", "postgres://u:50%25off@h/x"),
        ("postgres://u:p%40ss@h/x", "postgres://u:p%40ss@h/x"),
        ("postgres://u:a/b?c@h/x", "postgres://u:a%2Fb%3Fc@h/x"),
        ("postgres://h", "postgres://me@h/me"),
        (
            "postgres://u@h/x?sslmode=verify-full&sslrootcert=/ca.pem",
            "postgres://u@h/x?sslmode=verify-full&sslrootcert=%2Fca.pem",
        ),
        ("postgres://u@h/x?sslcert=/c.pem&sslkey=/c.key", "postgres://u@h/x?sslcert=%2Fc.pem&sslkey=%2Fc.key"),
        ("postgres://h/x?user=u&password=p", "postgres://u:p@h/x"),
        ("postgres://u@[::1]:5433/x", "postgres://u@[::1]:5433/x"),
        ("postgres://u@/x?host=/run/pg", "postgres://u@/x?host=%2Frun%2Fpg"),
        ("host=h port=5433 dbname=x user=u password='it''s'", ""),
        (r"host=h port=5433 dbname=x user=u password='it\'s'", "postgres://u:it%27s@h:5433/x"),
    ] {
        if meant.is_empty() {
            assert!(
                Config::load(&Place::new(&[("DATABASE_URL", given)]).environment, &Flags::default()).is_err(),
                "{given}"
            );
        } else {
            assert_eq!(written(given), meant, "{given}");
        }
    }
    for wrong in
        ["mysql://u@h/x", "sqlite:///x.db", "just text", "postgres://u@h:99999/x", "postgres://u@h/x?sslmode=on"]
    {
        let error = Place::new(&[("DATABASE_URL", wrong)]).refused();
        assert_eq!(error.code, Code::Invalid, "{wrong}");
    }
}

#[test]
fn psql_and_container_variables_work() {
    let all = [
        ("PGHOST", "h"),
        ("PGPORT", "5433"),
        ("PGDATABASE", "x"),
        ("PGUSER", "u"),
        ("PGPASSWORD", "p@"),
        ("PGSSLMODE", "require"),
    ];
    assert_eq!(main_url(&all), "postgres://u:p%40@h:5433/x?sslmode=require");
    let identity = [("PGHOST", "h"), ("PGUSER", "u"), ("PGSSLCERT", "/c.pem"), ("PGSSLKEY", "/c.key")];
    assert_eq!(main_url(&identity), "postgres://u@h/u?sslcert=%2Fc.pem&sslkey=%2Fc.key");
    assert_eq!(main_url(&[("PGHOST", "/run/pg"), ("PGUSER", "u")]), "postgres://u@%2Frun%2Fpg/u");
    assert_eq!(main_url(&[("PGPASSWORD", "p"), ("DATABASE_URL", "postgres://u@h/x")]), "postgres://u:p@h/x");
    let host = [
        ("POSTGRES_HOST", "h"),
        ("POSTGRES_PORT", "tcp://10.0.0.1:5433"),
        ("POSTGRES_DATABASE", "x"),
        ("POSTGRES_USER", "u"),
        ("POSTGRES_PASSWORD", "p"),
    ];
    assert_eq!(main_url(&host), "postgres://u:p@h:5433/x");
    assert_eq!(
        main_url(&[("POSTGRES_PASSWORD", "p"), ("POSTGRES_USER", "u"), ("PGUSER", "u")]),
        "",
        "a user alone is no database"
    );
}

#[test]
fn parts_of_an_address_without_a_host_are_told() {
    let told = "is set, but PostgreSQL is used only where `POSTGRES_HOST` or `DATABASE_URL` is set too";
    for name in ["POSTGRES_DB", "POSTGRES_DATABASE", "POSTGRES_USER", "POSTGRES_PASSWORD"] {
        assert_eq!(Place::new(&[(name, "x")]).load().warnings, [format!("`{name}` {told}")]);
        for address in [("DATABASE_URL", "postgres://h/d"), ("POSTGRES_HOST", "h"), ("PGHOST", "h")] {
            let loaded = Place::new(&[(name, "x"), address]).load();
            assert!(loaded.warnings.is_empty(), "{name} {address:?} {:?}", loaded.warnings);
        }
    }
    let service = "`PGSERVICE` is set, but no service file is read; write the address into `DATABASE_URL`";
    assert_eq!(Place::new(&[("PGSERVICE", "mine")]).load().warnings, [service]);
    assert!(Place::new(&[("PGSERVICE", "mine"), ("DATABASE_URL", "postgres://h/d")]).load().warnings.is_empty());
}

#[test]
fn a_password_file_is_read_as_psql_reads_it() {
    let mut place =
        Place::new(&[("DATABASE_URL", "postgres://u@h/x")]).file("home/.pgpass", "h:5432:x:u:from\\:home\n");
    let url = |place: &Place| place.load().config.databases[0].url.expose_secret().to_owned();
    assert_eq!(url(&place), "postgres://u:from%3Ahome@h/x");
    place = place.file("other", "*:*:*:*:other\n");
    let other = place.path("other");
    place.environment.variables.insert("PGPASSFILE".to_owned(), Ok(other));
    assert_eq!(url(&place), "postgres://u:other@h/x");
}

#[test]
fn several_databases_have_names_and_descriptions() {
    let place = Place::new(&[
        ("DATABASE_URL_SALES", "postgres://u@s/x"),
        ("DATABASE_DESC_SALES", "what was sold"),
        ("DATABASE_URL", "postgres://u@m/x"),
        ("DATABASE_URL_HR", "postgres://u@r/x"),
    ]);
    let databases = place.load().config.databases;
    let named: Vec<_> = databases.iter().map(|one| (one.name.as_str(), one.description.as_deref())).collect();
    assert_eq!(named, [("main", None), ("hr", None), ("sales", Some("what was sold"))]);
    let error = Place::new(&[("DATABASE_URL_SALES", "postgres://u@s/x"), ("DATABASE_DESC_SALE", "y")]).refused();
    assert_eq!(error.did_you_mean, ["sales"]);
    assert_eq!(
        Place::new(&[("CALLBOARD_QUERY_URL", "postgres://u@s/x")]).refused().argument.as_deref(),
        Some("CALLBOARD_QUERY_URL")
    );
}

#[test]
fn secrets_come_from_files_too() {
    let mut place = Place::new(&[("DATABASE_URL", "postgres://u@h/x")])
        .file("secrets/ELASTICSEARCH_URL", "https://e:9200\n")
        .file("secrets/PGPASSWORD", "mounted\n")
        .file("key", "id:key\n")
        .file("sales", "postgres://u@s/x\n");
    for (name, file) in [("ELASTICSEARCH_API_KEY_FILE", "key"), ("DATABASE_URL_SALES_FILE", "sales")] {
        let path = place.path(file);
        place.environment.variables.insert(name.to_owned(), Ok(path));
    }
    let config = place.load().config;
    assert_eq!(config.databases[0].url.expose_secret(), "postgres://u:mounted@h/x");
    assert_eq!(config.databases[1].name, "sales");
    let search = config.search.unwrap();
    assert_eq!(search.url.as_str(), "https://e:9200/");
    assert!(matches!(&search.login, Login::ApiKey(key) if key.expose_secret() == "aWQ6a2V5"), "{:?}", search.login);
    let missing = Place::new(&[("DATABASE_URL_FILE", "/nowhere/at/all")]).refused();
    assert_eq!(missing.argument.as_deref(), Some("DATABASE_URL_FILE"));
    let unknown = Place::new(&[("CALLBOARD_MAX_ROWS_FILE", "/x")]).refused();
    assert_eq!(unknown.argument.as_deref(), Some("CALLBOARD_MAX_ROWS_FILE"), "only secrets come from files");
}

#[test]
fn an_engine_is_found_under_every_name_with_its_login() {
    let search = |variables: &[(&str, &str)]| Place::new(variables).load().config.search.unwrap();
    for (variables, url, user) in [
        (&[("ELASTICSEARCH_URL", "http://h:9200")][..], "http://h:9200/", None),
        (&[("ES_URL", "https://u:p%40@h:9200/base")], "https://h:9200/base", Some(("u", "p@"))),
        (&[("ES_URL", "https://u:p@ss@h")], "https://h/", Some(("u", "p@ss"))),
        (&[("ELASTICSEARCH_HOSTS", r#"["http://a:9200","http://b:9200"]"#)], "http://a:9200/", None),
        (&[("ELASTICSEARCH_HOSTS", "http://a:9200,http://b:9200")], "http://a:9200/", None),
        (&[("ELASTICSEARCH_HOSTS", "localhost:9200")], "http://localhost:9200/", None),
        (
            &[
                ("OPENSEARCH_URL", "http://h"),
                ("OPENSEARCH_USERNAME", "o"),
                ("OPENSEARCH_PASSWORD", "p"),
                ("ES_API_KEY", "not for it"),
            ],
            "http://h/",
            Some(("o", "p")),
        ),
        (
            &[("ELASTICSEARCH_URL", "http://h"), ("ES_USERNAME", "e"), ("ES_PASSWORD", "p")],
            "http://h/",
            Some(("e", "p")),
        ),
    ] {
        let search = search(variables);
        assert_eq!(search.url.as_str(), url, "{variables:?}");
        let login = match &search.login {
            Login::Password(user, password) => Some((user.clone(), password.expose_secret().to_owned())),
            Login::None | Login::ApiKey(_) => None,
        };
        assert_eq!(login, user.map(|(user, password)| (user.to_owned(), password.to_owned())), "{variables:?}");
    }
    assert!(search(&[("ES_URL", "https://h"), ("OPENSEARCH_SSL_VERIFY", "false")]).skip_verify);
    assert!(search(&[("ES_URL", "https://h"), ("ES_SSL_SKIP_VERIFY", "true")]).skip_verify);
    for wrong in [
        &[("ES_URL", "ftp://h")][..],
        &[("ES_URL", "http://h"), ("ES_CA_CERT", "/nowhere.pem")],
        &[("ES_URL", "http://h"), ("ES_USERNAME", "u")],
    ] {
        assert_eq!(Place::new(wrong).refused().code, Code::Invalid, "{wrong:?}");
    }
}

#[test]
fn what_is_shown_holds_no_secret() {
    let place = Place::new(&[
        ("DATABASE_URL", "postgres://u:pl4nted@h/x?sslmode=require"),
        ("DATABASE_URL_SALES", "postgres://u:pl4nted@h/y"),
        ("ES_URL", "http://u:pl4nted@h"),
        ("ELASTICSEARCH_API_KEY", "pl4nted"),
        ("REDIS_URL", "redis://:pl4nted@r"),
        ("CALLBOARD_STORE_URL", "postgres://u:pl4nted@h/d"),
    ]);
    let loaded = place.load();
    let shown = format!("{:?}", loaded.config.shown);
    assert!(!shown.contains("pl4nted") && shown.contains("postgres://u:***@h/x?sslmode=require"), "{shown}");
    assert!(!format!("{:?}", loaded.config).contains("pl4nted"));
    let later: Vec<&str> =
        loaded.config.shown.iter().filter(|one| one.note.is_some()).map(|one| one.name.as_str()).collect();
    assert_eq!(later, ["REDIS_URL"]);
}

#[test]
fn without_a_home_data_goes_where_it_may_be_lost_and_that_is_said() {
    let mut place = Place::new(&[]);
    place.environment.home = None;
    let loaded = place.load();
    assert!(loaded.config.data_dir.starts_with(place.path("tmp")), "{:?}", loaded.config.data_dir);
    assert_eq!(loaded.warnings.len(), 1);
}

#[test]
fn a_settings_file_that_is_broken_names_its_line() {
    let error = Place::new(&[]).file("work/callboard.toml", "max_rows = 1\nread_only = = true\n").refused();
    assert!(error.message.contains("callboard.toml` line 2: "), "{}", error.message);
    let error = Place::new(&[("CALLBOARD_CONFIG", "nowhere.toml")]).refused();
    assert_eq!(error.argument.as_deref(), Some("CALLBOARD_CONFIG"));
    let config = Place::new(&[]).file("work/callboard.toml", "indices = [\"logs-*\", \"products\"]\n").load().config;
    assert!(config.access.indices.allow("logs-1") && !config.access.indices.allow("other"));
}

#[test]
fn groups_of_later_versions_leave_a_server_that_says_so() {
    let loaded = Place::new(&[("CALLBOARD_TOOLSETS", "memory,transfers")]).load();
    assert_eq!(loaded.config.toolsets.served(), ["ops"]);
    assert_eq!(loaded.warnings.len(), 1);
    assert_eq!(Place::new(&[("CALLBOARD_TOOLSETS", "SQL, memory")]).load().config.toolsets.served(), ["sql"]);
}

#[test]
fn patterns_that_match_nothing_are_refused_or_warned_of() {
    for (name, value, near) in [
        ("CALLBOARD_WEBHOOK_HOSTS", "a.example,http://localhost:3000", "localhost:3000"),
        ("CALLBOARD_WEBHOOK_HOSTS", ".example.com", "*.example.com"),
        ("CALLBOARD_ALLOW_FUNCTIONS", "pg_catalog.pg_sleep", "pg_sleep"),
        ("CALLBOARD_ALLOW_FUNCTIONS", "pg_sleep()", "pg_sleep"),
    ] {
        let error = Place::new(&[(name, value)]).refused();
        assert_eq!((error.argument.as_deref(), error.did_you_mean[0].as_str()), (Some(name), near), "{error:?}");
    }
    assert_eq!(Place::new(&[("CALLBOARD_ALLOW_FUNCTIONS", "pg_*")]).refused().code, Code::Invalid);
    let functions = Place::new(&[("CALLBOARD_ALLOW_FUNCTIONS", " PG_Sleep , mine ")]).load().config.access.functions;
    assert_eq!(functions, ["PG_Sleep", "mine", "pg_sleep"]);
    for (name, value) in
        [("CALLBOARD_INDICES", "logs-*,Logs"), ("CALLBOARD_INDICES", "logs-?"), ("CALLBOARD_SCHEMAS", "callboard")]
    {
        assert_eq!(Place::new(&[(name, value)]).load().warnings.len(), 1, "{name} {value}");
    }
    let open = Place::new(&[("CALLBOARD_INDICES", "logs-*, .mine"), ("CALLBOARD_SCHEMAS", "public, Sales*")]).load();
    assert!(open.warnings.is_empty() && open.config.access.indices.allow(".mine"), "{:?}", open.warnings);
    assert!(open.config.access.schemas.allow("Sales2") && !open.config.access.schemas.allow("sales2"));
}

#[test]
fn near_names_warn_and_do_not_stop_the_start() {
    let loaded = Place::new(&[("REDIS_ULR", "x"), ("ELASTIC_URL", "y"), ("PGDATA", "/z"), ("DATABASEURL", "")]).load();
    assert_eq!(
        loaded.warnings,
        [
            "`ELASTIC_URL` is set, but no setting has that name; did you mean `ELASTICSEARCH_URL`?",
            "`REDIS_ULR` is set, but no setting has that name; did you mean `REDIS_URL`?",
        ]
    );
    assert_eq!(
        Place::new(&[("NATS_URL", "x")]).load().notes,
        ["`NATS_URL` is set, but this version does not use it yet"]
    );
}
