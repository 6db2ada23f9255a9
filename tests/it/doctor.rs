//! `callboard doctor` finds what is wrong.

use crate::support::{command::Shell, postgres};

#[test]
fn a_database_that_is_down_is_shown_step_by_step() {
    let shell = Shell::new()
        .set("DATABASE_URL", "postgres://u:p@127.0.0.1:1/x")
        .set("ES_URL", "http://no.such.host.invalid:9200");
    let ran = shell.run(&["doctor", "--json"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    let report = ran.json();
    let (sql, search) = (&report["backends"][0], &report["backends"][1]);
    assert_eq!((&sql["name"], &sql["kind"], &sql["state"]), (&"sql".into(), &"postgresql".into(), &"down".into()));
    assert_eq!(
        (&sql["way"]["dns"]["ok"], &sql["way"]["tcp"]["ok"], &sql["login"]),
        (&true.into(), &false.into(), &"not reached".into())
    );
    assert_eq!((&search["name"], &search["way"]["dns"]["ok"]), (&"search".into(), &false.into()));
    assert_eq!(report["data_dir"]["writable"], true);
    let text = shell.run(&["doctor"]);
    assert!(text.code == 2 && text.out.contains("tcp       FAILED") && text.out.contains("127.0.0.1:1"), "{text:?}");
}

#[test]
fn a_superuser_is_told_how_to_make_a_role_that_only_reads() {
    let url = postgres::shared().database();
    let ran = Shell::new().set("DATABASE_URL", &url).run(&["doctor", "--json"]);
    let report = ran.json();
    let sql = &report["backends"][0];
    assert_ne!(sql["state"], "down", "{sql}");
    assert_eq!((&sql["way"]["tcp"]["ok"], &sql["login"]), (&true.into(), &"ok".into()));
    let remedy = sql["remedy"].as_str().unwrap_or_default().to_lowercase();
    assert!(remedy.contains("create role") && remedy.contains("grant select"), "{sql}");
    assert!(sql["notes"].as_array().is_some_and(|notes| !notes.is_empty()), "{sql}");
    assert_eq!(ran.code, 0, "it works; what could be better is a note: {report}");
}

#[test]
fn the_winning_source_and_unused_settings_are_shown() {
    let shell = Shell::new()
        .set("REDIS_URL", "redis://:hunter2@r")
        .set("CALLBOARD_STORE_URL", "postgres://u:hunter2@127.0.0.1:1/x")
        .set("CALLBOARD_MAX_ROWS", "9")
        .file("callboard.toml", "max_rows = 8\nmax_calls = 8\n");
    let ran = shell.run(&["doctor", "--json"]);
    let report = ran.json();
    let setting =
        |name: &str| report["settings"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone();
    assert_eq!(setting("CALLBOARD_MAX_ROWS")["source"], "environment");
    assert!(setting("CALLBOARD_MAX_CALLS")["source"].as_str().unwrap().ends_with("callboard.toml"));
    assert_eq!(setting("REDIS_URL")["note"], "not used by this version yet");
    let store = report["backends"].as_array().unwrap().iter().find(|backend| backend["name"] == "store").unwrap();
    assert_eq!((&store["kind"], &store["state"]), (&"postgresql".into(), &"down".into()));
    assert_eq!(store["way"]["tcp"]["ok"], false, "{store}");
    assert!(report["record_store"]["why"].as_str().unwrap().contains("CALLBOARD_STORE_URL"), "{report}");
    assert!(!ran.out.contains("hunter2") && !ran.err.contains("hunter2"));
}

#[test]
fn a_data_directory_that_cannot_be_used_is_wrong() {
    let shell = Shell::new().file("file", "").set("CALLBOARD_DATA_DIR", "file/below");
    let ran = shell.run(&["doctor", "--json"]);
    assert_eq!((ran.code, &ran.json()["data_dir"]["writable"]), (2, &false.into()), "{ran:?}");
}

#[test]
fn with_nothing_set_everything_works() {
    let ran = Shell::new().run(&["doctor", "--json"]);
    let report = ran.json();
    assert_eq!((ran.code, &report["verdict"]), (0, &"good".into()), "{report}");
    let kinds: Vec<_> =
        report["backends"].as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["sqlite", "embedded", "sqlite"]);
}

#[test]
fn what_is_embedded_is_said_with_the_reason() {
    let ran = Shell::new().run(&["doctor", "--json"]);
    let report = ran.json();
    let why = |at: usize| report["backends"][at]["embedded_because"].as_str().unwrap().to_owned();
    assert_eq!(
        [why(0), why(1), why(2)],
        [
            "DATABASE_URL is not set",
            "ELASTICSEARCH_URL is not set",
            "neither CALLBOARD_STORE_URL nor a database is set"
        ]
    );
    let text = Shell::new().run(&["doctor"]).out;
    assert!(text.contains("embedded  because ELASTICSEARCH_URL is not set"), "{text}");
    assert!(text.ends_with("\nEverything works.\n"), "{text}");
}

#[test]
fn a_near_name_is_a_warning_and_a_later_setting_a_note() {
    let shell = Shell::new().set("DATABSE_URL", "postgres://u:hunter2@h/x").set("REDIS_URL", "redis://h");
    let ran = shell.run(&["doctor", "--json"]);
    let report = ran.json();
    let warning = "`DATABSE_URL` is set, but no setting has that name; did you mean `DATABASE_URL`?";
    assert_eq!(report["warnings"], serde_json::json!([warning]));
    assert_eq!(report["notes"], serde_json::json!(["`REDIS_URL` is set, but this version does not use it yet"]));
    assert_eq!((ran.code, &report["verdict"]), (1, &"degraded".into()));
    let text = shell.run(&["doctor"]);
    assert!(text.out.contains(warning) && !text.out.contains("Everything works"), "{text:?}");
    let call = shell.run(&["call", "get_server_info"]);
    assert!(call.err.contains(warning) && call.err.contains("this version does not use it yet"), "{call:?}");
    assert!(!format!("{ran:?}{text:?}{call:?}").contains("hunter2"));
}

#[test]
fn an_entry_that_starts_nothing_is_a_problem() {
    let entry = r#"{"mcpServers": {"callboard": {"command": "/no/such/callboard", "args": ["serve"]}}}"#;
    let shell = Shell::new().file(".cursor/mcp.json", entry);
    let ran = shell.run(&["doctor"]);
    assert!(
        ran.code == 1 && ran.out.contains("its entry starts `/no/such/callboard`, which does not exist"),
        "{ran:?}"
    );
}

#[test]
fn a_step_that_was_not_tried_has_not_failed() {
    let ran = Shell::new().set("ES_URL", "http://no.such.host.invalid:9200").run(&["doctor"]);
    assert!(ran.out.contains("      tcp       not tried: the name has no address\n"), "{ran:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_directory_that_takes_no_writes_is_wrong() {
    // Nobody, not even root, creates files in there.
    let ran = Shell::new().set("CALLBOARD_DATA_DIR", "/proc/self").run(&["doctor", "--json"]);
    let report = ran.json();
    assert_eq!((ran.code, &report["data_dir"]["writable"]), (2, &false.into()), "{report}");
    let problem = report["data_dir"]["problem"].as_str().unwrap();
    assert!(
        problem.starts_with("`/proc/self` cannot be written to: ") && problem.contains("CALLBOARD_DATA_DIR"),
        "{problem}"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn a_directory_that_cannot_be_made_is_wrong_everywhere() {
    let home = Shell::new().file("file", "");
    std::os::unix::fs::symlink(home.path("nowhere/at/all"), home.path("link")).unwrap();
    let (link, below) = (home.path("link").display().to_string(), home.path("file/below").display().to_string());
    let cases = [
        ("/proc/x", "`/proc/x` cannot be made: No such file or directory; "),
        (link.as_str(), "is not a directory; "),
        (below.as_str(), "is not a directory; "),
    ];
    for (directory, problem) in cases {
        let shell = Shell::new().set("CALLBOARD_DATA_DIR", directory);
        let ran = shell.run(&["doctor", "--json"]);
        let report = ran.json();
        assert_eq!((ran.code, &report["verdict"]), (2, &"wrong".into()), "{report}");
        for backend in report["backends"].as_array().unwrap() {
            assert_eq!(backend["state"], "down", "{directory} {backend}");
        }
        assert!(report["data_dir"]["problem"].as_str().unwrap().contains(problem), "{report}");
        let text = shell.run(&["doctor"]).out;
        assert!(!text.contains(" MiB free") && !text.contains("Everything works"), "{text}");
    }
}
