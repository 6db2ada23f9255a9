//! The command line as people and scripts use it.

use std::{io::Read, process::Stdio};

use crate::support::command::Shell;

#[test]
fn a_call_prints_its_answer_and_says_by_its_code_how_it_ended() {
    let shell = Shell::new();
    let answered = shell.run(&["call", "get_server_info"]);
    assert_eq!(answered.code, 0, "{answered:?}");
    assert_eq!(answered.json()["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(answered.out.lines().count(), 1, "one line, for scripts");

    let refused = shell.run_with(&["call", "execute_query", "-"], r#"{"query":"delete from products"}"#);
    assert_eq!((refused.code, &refused.json()["code"]), (1, &"denied".into()), "{refused:?}");

    let unavailable =
        Shell::new().set("DATABASE_URL", "postgres://u:p@127.0.0.1:1/x").run(&["call", "list_tables", "{}"]);
    assert_eq!((unavailable.code, &unavailable.json()["code"]), (3, &"unavailable".into()), "{unavailable:?}");
}

#[test]
fn a_wrong_command_line_is_told_what_was_meant() {
    let shell = Shell::new();
    for (arguments, meant) in [
        (&["cal"][..], "call"),
        (&["serve", "--readonly"], "--read-only"),
        (&["call"], "TOOL"),
        (&["setup", "cursr"], "cursor"),
        (&["setup", "cursor", "--toolset", "sql"], "--toolsets"),
        (&["setup", "cursor", "--toolsets", "sqll"], "sql"),
        (&["config", "shw"], "show"),
        (&["doctor", "--jsn"], "--json"),
        (&["completions", "bsh"], "bash"),
        (&["docter"], "doctor"),
        (&["--toolsets", "sqll", "tools"], "sql"),
        (&["serve", "--database-url", "postgres://u:p@h/x"], "unexpected argument"),
    ] {
        let ran = shell.run(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{arguments:?} {ran:?}");
        assert!(ran.err.contains(meant), "{arguments:?} {ran:?}");
    }
}

#[test]
fn a_call_that_cannot_be_made_is_answered_as_a_tool_answers() {
    let shell = Shell::new();
    let hint =
        "write one JSON object in quotes, e.g. callboard call list_tables '{\"limit\": 10}'; `-` reads it from stdin";
    for (arguments, message) in [
        ("x", "the arguments are not JSON: expected value at line 1 column 1"),
        ("{broken", "the arguments are not JSON: key must be a string at line 1 column 2"),
        ("--json", "the arguments are not JSON: invalid number at line 1 column 2"),
        ("{} {}", "the arguments are not JSON: trailing characters at line 1 column 4"),
    ] {
        for ran in
            [shell.run(&["call", "list_tables", arguments]), shell.run_with(&["call", "list_tables", "-"], arguments)]
        {
            let refused = ran.json();
            assert_eq!((ran.code, ran.err.as_str(), ran.out.lines().count()), (2, "", 1), "{ran:?}");
            assert_eq!((&refused["code"], &refused["argument"]), (&"invalid".into(), &"arguments".into()));
            assert_eq!((&refused["message"], &refused["hint"]), (&message.into(), &hint.into()));
        }
    }
    for (tool, near) in [("nope", serde_json::Value::Null), ("list_table", serde_json::json!(["list_tables"]))] {
        let ran = shell.run(&["call", tool]);
        let refused = ran.json();
        assert_eq!((ran.code, &refused["code"], &refused["did_you_mean"]), (2, &"not_found".into(), &near), "{ran:?}");
        assert_eq!(refused["hint"], "`callboard tools` lists the tools");
    }
    let left_out = shell.run(&["call", "list_tables", "--toolsets", "ops"]);
    assert!(left_out.json()["hint"].as_str().unwrap().contains("CALLBOARD_TOOLSETS"), "{left_out:?}");
}

#[test]
fn a_typo_in_a_setting_stops_the_start() {
    for (name, value, near) in
        [("CALLBOARD_READ_ONLY", "ture", "true"), ("CALLBOARD_READONLY", "true", "CALLBOARD_READ_ONLY")]
    {
        let ran =
            Shell::new().set(name, value).run_with(&["serve"], "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n");
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran:?}");
        assert!(ran.err.contains(name) && ran.err.contains(near), "{ran:?}");
    }
}

#[test]
fn without_a_command_it_serves_whoever_is_no_terminal() {
    let ran = Shell::new().run_with(&[], "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n");
    assert_eq!((ran.code, &ran.json()["id"]), (0, &1.into()), "{ran:?}");
    assert_eq!(Shell::new().run(&[]).code, 0, "an end before the first request is no failure");
}

#[test]
fn flags_reach_the_tools() {
    let shell = Shell::new();
    let data = shell.path("elsewhere").display().to_string();
    let info =
        shell.run(&["--read-only", "--toolsets", "sql,ops", "--data-dir", &data, "call", "get_server_info"]).json();
    assert_eq!((&info["read_only"], &info["data_dir"]), (&true.into(), &data.as_str().into()));
    assert_eq!(info["toolsets"], serde_json::json!(["sql", "ops"]));
    let setting =
        |name: &str| info["settings"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone();
    assert_eq!(setting("CALLBOARD_READ_ONLY")["source"], "flag");
    assert_eq!(info["limits"]["max_rows"], 10_000);
    let tools = shell.run(&["tools", "--toolsets", "ops"]);
    assert!(tools.out.contains("get_server_info") && !tools.out.contains("execute_query"), "{tools:?}");
    let refused = shell.run(&["call", "insert_data", r#"{"table":"t","row":{"a":1}}"#, "--read-only"]);
    assert_eq!((refused.code, &refused.json()["code"]), (1, &"denied".into()));
    assert!(refused.out.contains("CALLBOARD_READ_ONLY"), "{refused:?}");
}

#[test]
fn what_it_prints_about_itself_can_be_read() {
    let shell = Shell::new();
    let version = shell.run(&["--version"]);
    assert!(version.out.starts_with(&format!("callboard {} (", env!("CARGO_PKG_VERSION"))), "{version:?}");
    let tools = shell.run(&["tools", "--json"]).json();
    assert_eq!(tools["tools"].as_array().unwrap().len(), callboard::domain::catalogue::TOOLS.len());
    assert!(shell.run(&["tools", "--markdown"]).out.starts_with("| group | tool |"));
    let plain = shell.run(&["tools"]).out;
    let begins = |line: &str| line.find(|sign: char| sign.is_uppercase());
    let columns: Vec<_> = plain.lines().filter(|line| line.starts_with("  ")).map(begins).collect();
    assert!(columns.len() > 30 && columns.iter().all(|column| *column == columns[0]), "{plain}");
    let help = shell.run(&["--help"]).out;
    assert!(help.contains("CALLBOARD_READ_ONLY"), "{help}");
    assert!(help.contains("    REDIS_URL, REDIS_HOST, REDIS_PORT, REDIS_DB\n") && !help.contains("Redis."), "{help}");
    let groups = callboard::domain::catalogue::groups().collect::<Vec<_>>().join(", ");
    assert!(help.contains(&format!("separated by commas: {groups}; `core`")), "{help}");
    for name in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = shell.run(&["completions", name]);
        assert!(script.code == 0 && script.out.contains("callboard") && script.out.contains("doctor"), "{name}");
    }
    let schema = shell.run(&["config", "schema"]).json();
    assert_eq!(schema["properties"]["read_only"]["type"], "boolean");
}

#[test]
fn config_show_names_the_source_of_each_setting() {
    let shell = Shell::new().set("CALLBOARD_MAX_ROWS", "7").file("callboard.toml", "answers = \"text\"\n");
    let shown = shell.run(&["config", "show"]);
    assert!(shown.out.contains("CALLBOARD_MAX_ROWS = \"7\"   # environment\n"), "{shown:?}");
    assert!(
        shown.out.contains(&format!(
            "CALLBOARD_ANSWERS = \"text\"   # {}\n",
            shell.path("callboard.toml").canonicalize().unwrap().display()
        )),
        "{shown:?}"
    );
    let paths = shell.run(&["config", "path"]);
    assert!(paths.out.lines().next().unwrap().ends_with("callboard.toml   (read)"), "{paths:?}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let shell = Shell::new();
    let mut child =
        shell.command(&["--help"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((child.wait().unwrap().code(), err.as_str()), (Some(0), ""));
}

#[test]
fn a_data_directory_that_cannot_be_made_does_not_stop_the_start() {
    let shell = Shell::new().file("file", "").set("CALLBOARD_DATA_DIR", "file/below");
    let ran = shell.run(&["call", "get_server_info"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("CALLBOARD_DATA_DIR"), "{ran:?}");
}

#[test]
fn migrate_makes_the_record_store_once() {
    let shell = Shell::new();
    let store = shell.path(".local/share/callboard/callboard.db");
    let would = shell.run(&["migrate", "--dry-run"]);
    assert!(would.code == 0 && would.out.contains("would be created with version") && !store.exists(), "{would:?}");
    let did = shell.run(&["migrate"]);
    assert!(did.code == 0 && did.out.contains("was created with version") && store.exists(), "{did:?}");
    let again = shell.run(&["migrate"]);
    assert!(again.code == 0 && again.out.contains("has the newest schema, version"), "{again:?}");
}

#[test]
fn a_record_store_of_a_newer_server_is_left_alone() {
    let shell = Shell::new().set("CALLBOARD_MIGRATE", "never");
    let insert = r#"{"table":"t","row":{"a":1},"idempotency_key":"k"}"#;
    assert_eq!(
        shell.run(&["call", "create_table", r#"{"table":"t","columns":[{"name":"a","type":"integer"}]}"#]).code,
        0
    );
    assert_eq!(shell.run(&["call", "insert_data", insert]).code, 0, "a new store is made");
    let store = rusqlite::Connection::open(shell.path(".local/share/callboard/callboard.db")).unwrap();
    store.execute("INSERT INTO schema_version (version) VALUES (99)", []).unwrap();
    drop(store);
    let refused = shell.run(&["call", "insert_data", &insert.replace("\"k\"", "\"l\"")]);
    assert_eq!((refused.code, &refused.json()["code"]), (1, &"internal".into()), "{refused:?}");
    assert_eq!(shell.run(&["migrate"]).code, 3);
}
