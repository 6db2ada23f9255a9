//! A setting that is wrong: the error says where it was set, what it is and what is accepted.

use crate::support::command::Shell;

/// Settings in a form that cannot be: name, value, and what is said after the place.
const WRONG: [(&str, &str, &str); 20] = [
    ("CALLBOARD_READ_ONLY", "perhaps", " is `perhaps`; it takes true or false (also yes, no, on, off, 1, 0)"),
    ("CALLBOARD_MAX_ROWS", "0", " is `0`; it takes a whole number from 1 to 1000000"),
    ("CALLBOARD_MAX_CALLS", "many", " is `many`; it takes a whole number from 1 to 10000"),
    ("CALLBOARD_CALL_TIMEOUT_MS", "25", " is `25`; it takes milliseconds from 100 to 3600000 (also like `20s`)"),
    ("CALLBOARD_MAX_BYTES", "10TB", " is `10TB`; it takes bytes from 256 to 1048576 (also like `16MiB`)"),
    ("CALLBOARD_MIGRATE", "no", " is `no`; it takes auto, never"),
    ("CALLBOARD_ANSWERS", "json", " is `json`; it takes both, text, structured"),
    (
        "CALLBOARD_LOG",
        "callboard=loud",
        " is `callboard=loud`; it takes off, error, warn, info, debug or trace, for all or as `target=level`, separated by commas, e.g. warn,callboard=debug",
    ),
    (
        "CALLBOARD_TOOLSETS",
        "sql,x",
        " is `x`; it takes all, core, workflows, tasks, agents, memory, discoveries, search, sql, transfers, ops",
    ),
    ("CALLBOARD_DATA_DIR", "/dev/null", " is `/dev/null`, which is not a directory"),
    (
        "CALLBOARD_ALLOW_FUNCTIONS",
        "a.b",
        " is `a.b`; it takes names of functions separated by commas, without schema and parentheses",
    ),
    ("CALLBOARD_STORE_URL", "x", " is not a URL"),
    ("CALLBOARD_QUERY_URL", "postgres://h/x", " is set, but no database is"),
    ("DATABASE_URL", "mysql://h/x", " begins with `mysql://`; it takes postgres:// or postgresql://"),
    ("DATABASE_URL_SALES", "sqlite://x", " begins with `sqlite://`; it takes postgres:// or postgresql://"),
    ("ES_URL", "ftp://h", " begins with `ftp://`; it takes http:// or https://"),
    ("PGSSLMODE", "on", " is `on`; it takes disable, allow, prefer, require, verify-ca, verify-full"),
    ("OPENSEARCH_SSL_VERIFY", "maybe", " is `maybe`; it takes true or false (also yes, no, on, off, 1, 0)"),
    ("CALLBOARD_LEASE_MS", "1", " is `1`; it takes milliseconds from 1000 to 86400000 (also like `20s`)"),
    (
        "CALLBOARD_CONFIG",
        "/nowhere.toml",
        " names `/nowhere.toml`, which cannot be read: No such file or directory (os error 2)",
    ),
];

/// The first line of what it says.
fn said(shell: &Shell, arguments: &[&str]) -> String {
    let ran = shell.run(arguments);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran:?}");
    ran.err.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_wrong_variable_is_named() {
    for (name, value, words) in WRONG {
        assert_eq!(said(&Shell::new().set(name, value), &["tools"]), format!("callboard: `{name}`{words}"));
    }
}

#[test]
fn a_wrong_key_of_a_file_is_named_with_the_file() {
    for (name, value, words) in WRONG.iter().filter(|(name, ..)| *name != "CALLBOARD_CONFIG") {
        let key = name.to_lowercase();
        let key = key.trim_start_matches("callboard_");
        let shell = Shell::new().file("callboard.toml", &format!("{key} = \"{value}\"\n"));
        let file = shell.path("callboard.toml").canonicalize().unwrap();
        assert_eq!(said(&shell, &["tools"]), format!("callboard: `{key}` in `{}`{words}", file.display()));
    }
    let shell = Shell::new().file("callboard.toml", "max_rows = 1.5\n");
    let file = shell.path("callboard.toml").canonicalize().unwrap();
    let words = "is a float; it takes text, a whole number, true or false, or a list";
    assert_eq!(said(&shell, &["tools"]), format!("callboard: `max_rows` in `{}` {words}", file.display()));
}

#[test]
fn a_wrong_flag_is_named_also_where_a_variable_is_right() {
    let shell = Shell::new().set("CALLBOARD_DATA_DIR", "data").set("CALLBOARD_TOOLSETS", "ops");
    for command in ["tools", "call get_server_info", "doctor", "setup cursor", "config show"] {
        for (flag, value, words) in [
            ("--data-dir", "/dev/null", "is `/dev/null`, which is not a directory"),
            (
                "--toolsets",
                "sqll",
                "is `sqll`; it takes all, core, workflows, tasks, agents, memory, discoveries, search, sql, transfers, ops",
            ),
        ] {
            let arguments: Vec<&str> = command.split(' ').chain([flag, value]).collect();
            assert_eq!(said(&shell, &arguments), format!("callboard: `{flag}` {words}"), "{command}");
        }
    }
    let right = Shell::new().set("CALLBOARD_DATA_DIR", "/dev/null").run(&["tools", "--data-dir", "data"]);
    assert_eq!((right.code, right.err.as_str()), (0, ""), "the flag is what counts");
}

#[test]
fn a_file_that_a_setting_names_is_named_with_the_setting() {
    let cannot = "which cannot be read: No such file or directory (os error 2)";
    for (name, variables) in [
        ("DATABASE_URL_FILE", &[("DATABASE_URL_FILE", "/nowhere")][..]),
        ("ES_CA_CERT", &[("ES_CA_CERT", "/nowhere"), ("ES_URL", "https://h")]),
        ("OPENSEARCH_CA_CERT", &[("OPENSEARCH_CA_CERT", "/nowhere"), ("OPENSEARCH_URL", "https://h")]),
    ] {
        let shell = variables.iter().fold(Shell::new(), |shell, (name, value)| shell.set(name, value));
        assert_eq!(said(&shell, &["tools"]), format!("callboard: `{name}` names `/nowhere`, {cannot}"));
    }
    let shell = Shell::new().file("secret", "mysql://u:hunter2@h/x\n").set("DATABASE_URL_FILE", "secret");
    let file = shell.path("secret").canonicalize().unwrap();
    let words = "begins with `mysql://`; it takes postgres:// or postgresql://";
    assert_eq!(said(&shell, &["tools"]), format!("callboard: `DATABASE_URL` in `{}` {words}", file.display()));
    let mode = Shell::new().set("DATABASE_URL", "postgres://u:hunter2@h/x?sslmode=on");
    let words = "is `on`; it takes disable, allow, prefer, require, verify-ca, verify-full";
    assert_eq!(said(&mode, &["tools"]), format!("callboard: `sslmode` in `DATABASE_URL` {words}"));
}

#[test]
fn a_hint_shows_how_a_password_is_written_and_no_password() {
    let ran = Shell::new().set("DATABASE_URL", "mysql://u:hunter2@h/x").run(&["tools"]);
    assert!(ran.err.contains("  write it as postgres://user:password@host:5432/database; "), "{ran:?}");
    assert!(!ran.err.contains("hunter2"), "{ran:?}");
    let ran = Shell::new().set("CALLBOARD_MAX_ROW", "5").run(&["tools"]);
    assert_eq!(
        ran.err,
        "callboard: unknown variable: `CALLBOARD_MAX_ROW`\n  did you mean CALLBOARD_MAX_ROWS?\n  `callboard config schema` lists all\n"
    );
}
