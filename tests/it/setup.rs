//! Putting the server into clients' settings, and the entry of this repository.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use crate::support::command::{Shell, binary};

/// Each client, its file below the home, and how the entry's command is found in it.
const CLIENTS: [(&str, &str, &str); 7] = [
    ("claude-code", ".claude.json", "/mcpServers/callboard"),
    ("claude-desktop", ".config/Claude/claude_desktop_config.json", "/mcpServers/callboard"),
    ("cursor", ".cursor/mcp.json", "/mcpServers/callboard"),
    ("vscode", ".config/Code/User/mcp.json", "/servers/callboard"),
    ("zed", ".config/zed/settings.json", "/context_servers/callboard"),
    ("goose", ".config/goose/config.yaml", ""),
    ("codex", ".codex/config.toml", ""),
];

#[test]
#[cfg(target_os = "linux")]
fn each_client_gets_an_entry_once() {
    let shell = Shell::new();
    for (client, path, pointer) in CLIENTS {
        let ran = shell.run(&["setup", client]);
        assert_eq!(ran.code, 0, "{ran:?}");
        let text = shell.read(path);
        if pointer.is_empty() {
            assert!(text.contains("callboard:") || text.contains("[mcp_servers.callboard]"), "{text}");
            assert!(text.contains(&binary().display().to_string()), "{text}");
        } else {
            let entry = serde_json::from_str::<serde_json::Value>(&text).unwrap().pointer(pointer).unwrap().clone();
            assert_eq!(entry["command"], binary().display().to_string().as_str());
            assert_eq!(entry["args"], serde_json::json!(["serve"]));
        }
        assert_eq!(shell.run(&["setup", client]).code, 0);
        assert_eq!(shell.read(path), text, "a second time changes nothing");
        assert!(!shell.path(&format!("{path}.backup-1")).exists(), "nothing was there to keep");
    }
    let doctor = shell.run(&["doctor", "--json"]).json();
    let clients = doctor["clients"].as_array().unwrap();
    assert_eq!(clients.len(), CLIENTS.len());
    assert!(clients.iter().all(|client| client["entry"] == true), "{clients:?}");
}

#[test]
fn what_was_there_stays_and_a_copy_is_kept() {
    let old = "{\n  // my servers\n  \"mcpServers\": {\n    \"other\": { \"command\": \"x\" } // keep\n  },\n  \"theme\": \"dark\",\n}\n";
    let shell = Shell::new().file(".cursor/mcp.json", old);
    assert_eq!(shell.run(&["setup", "cursor", "--read-only", "--toolsets", "sql"]).code, 0);
    let new = shell.read(".cursor/mcp.json");
    for kept in ["// my servers", "\"other\": { \"command\": \"x\" }", "// keep", "\"theme\": \"dark\",\n}"] {
        assert!(new.contains(kept), "{kept}\n{new}");
    }
    assert!(new.contains("--read-only") && new.contains("--toolsets"), "{new}");
    assert_eq!(shell.read(".cursor/mcp.json.backup-1"), old);
}

#[test]
fn a_broken_file_is_left_as_it_is() {
    for (client, path, broken) in [
        ("cursor", ".cursor/mcp.json", "{\"mcpServers\": {"),
        ("codex", ".codex/config.toml", "a = = 1"),
        ("goose", ".config/goose/config.yaml", "\tkey: 1\n"),
        ("claude-code", ".claude.json", "[]"),
    ] {
        let shell = Shell::new().file(path, broken);
        let ran = shell.run(&["setup", client]);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.err.contains("was left as it is"), "{ran:?}");
        assert_eq!(shell.read(path), broken);
    }
}

#[test]
fn printing_changes_nothing() {
    let shell = Shell::new();
    for (client, path, _) in CLIENTS {
        let ran = shell.run(&["setup", client, "--print"]);
        assert!(ran.code == 0 && ran.out.contains("serve"), "{ran:?}");
        assert_eq!(ran.err, format!("setup would add this entry to {}\n", shell.path(path).display()));
        assert!(!shell.path(path).exists());
    }
}

#[test]
fn a_new_entry_takes_what_the_environment_says() {
    for (client, path, _) in CLIENTS {
        let shell = Shell::new()
            .set("CALLBOARD_DATA_DIR", "data")
            .set("CALLBOARD_READ_ONLY", "yes")
            .set("CALLBOARD_TOOLSETS", "sql")
            .set("CALLBOARD_MAX_ROWS", "")
            .set("PGHOST", "${PGHOST}")
            .set("DATABASE_URL", "postgres://u:hunter2@h/x");
        let data = shell.home.path().canonicalize().unwrap().join("data").display().to_string();
        let told = format!(
            "  args: `--read-only`, from CALLBOARD_READ_ONLY\n  args: `--data-dir {data}`, from CALLBOARD_DATA_DIR\n  set here, but not in the entry: DATABASE_URL\n"
        );
        let printed = shell.run(&["setup", client, "--print", "--toolsets", "ops"]);
        assert_eq!(printed.err, format!("setup would add this entry to {}\n{told}", shell.path(path).display()));
        let ran = shell.run(&["setup", client, "--toolsets", "ops"]);
        assert!(ran.code == 0 && ran.out.contains(&told) && !ran.out.contains("hunter2"), "{ran:?}");
        let text = shell.read(path);
        let flat: String = text.split_whitespace().collect();
        let args = format!(r#"["serve","--read-only","--toolsets","ops","--data-dir","{data}"]"#);
        assert!(flat.contains(&args) && !text.contains("hunter2"), "{text}");
        let again = shell.run(&["setup", client]);
        assert!(again.out.starts_with("Nothing changed: "), "{again:?}");
        assert!(again.out.contains("  set here, but not in the entry: DATABASE_URL\n"), "{again:?}");
        assert!(!again.out.contains("kept: env") && !again.out.contains(", env\n"), "an empty one: {again:?}");
    }
    let wrong = Shell::new().set("CALLBOARD_DATA_DIR", "/dev/null").run(&["setup", "cursor"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.starts_with("callboard: `CALLBOARD_DATA_DIR` is `/dev/null`, which is not a directory\n"));
}

#[test]
fn an_entry_that_is_there_does_not_follow_the_environment() {
    for (client, path, old) in READ_ONLY {
        let shell = Shell::new()
            .file(path, old)
            .set("CALLBOARD_READ_ONLY", "true")
            .set("CALLBOARD_DATA_DIR", "data")
            .set("DATABASE_URL", "postgres://u:hunter2@h/x");
        let ran = shell.run(&["setup", client]);
        assert_eq!((ran.code, shell.read(path)), (0, with_command(old)), "{ran:?}");
        let missing =
            if old.contains("DATABASE_URL") { "CALLBOARD_DATA_DIR" } else { "CALLBOARD_DATA_DIR, DATABASE_URL" };
        assert!(ran.out.contains(&format!("  set here, but not in the entry: {missing}\n")), "{client} {ran:?}");
    }
}

/// The entry of a read-only server, as each client's file would hold it, in a layout of the user's own.
const READ_ONLY: [(&str, &str, &str); 7] = [
    (
        "claude-code",
        ".claude.json",
        "{\"numStartups\": 7, \"mcpServers\": {\"callboard\": {\"type\": \"stdio\", \"command\": \"/old/callboard\", \"args\": [\"serve\", \"--read-only\"], \"env\": {\"DATABASE_URL\": \"postgres://u:hunter2@h/x\"}}}}",
    ),
    (
        "claude-desktop",
        ".config/Claude/claude_desktop_config.json",
        "{\r\n\t\"mcpServers\": {\r\n\t\t\"callboard\": {\r\n\t\t\t\"env\": {\"A\": \"hunter2\"},\r\n\t\t\t\"args\": [\"serve\", \"--read-only\"],\r\n\t\t\t\"command\": \"/old/callboard\"\r\n\t\t}\r\n\t}\r\n}\r\n",
    ),
    (
        "cursor",
        ".cursor/mcp.json",
        "\u{feff}{\n  // mine\n  \"mcpServers\": {\n    \"callboard\": {\n      \"command\": \"/old/callboard\", // where\n      \"args\": [\n        \"serve\", /* on */\n        \"--read-only\", // no writing\n      ],\n      \"disabled\": true,\n      \"timeout\": 5,\n      \"alwaysAllow\": [\"list_tables\"],\n    },\n  },\n}\n",
    ),
    (
        "vscode",
        ".config/Code/User/mcp.json",
        "{\"servers\": {\"callboard\": {\"command\": \"/old/callboard\", \"args\": [\"serve\", \"--read-only\"]}}, \"inputs\": []}\n",
    ),
    (
        "zed",
        ".config/zed/settings.json",
        "// Zed\n{\n    \"theme\": \"One\",\n    \"context_servers\": {\n        \"callboard\": {\n            \"source\": \"custom\",\n            \"command\": \"/old/callboard\",\n            \"args\": [\"serve\", \"--read-only\"],\n            \"enabled\": false\n        }\n    }\n}\n",
    ),
    (
        "goose",
        ".config/goose/config.yaml",
        "extensions:\n  callboard:\n    enabled: false\n    type: stdio\n    cmd: /old/callboard # where\n    args:\n    - serve\n    - --read-only # no writing\n    envs:\n      DATABASE_URL: hunter2\n    timeout: 7\nGOOSE_MODEL: x\n",
    ),
    (
        "codex",
        ".codex/config.toml",
        "model = \"x\"\r\n\r\n[mcp_servers.callboard] # ours\r\ncommand = '/old/callboard' # where\r\nargs = [\r\n  'serve',\r\n  \"--read-only\", # no writing\r\n]\r\nstartup_timeout_sec = 5\r\n\r\n[mcp_servers.callboard.env]\r\nDATABASE_URL = \"hunter2\"\r\n",
    ),
];

/// The file as setup should leave it: another command, all else as it was.
fn with_command(old: &str) -> String {
    let command = format!("\"{}\"", binary().display());
    old.replace("\"/old/callboard\"", &command)
        .replace("'/old/callboard'", &command)
        .replace("/old/callboard", &command)
}

#[test]
#[cfg(target_os = "linux")]
fn an_entry_keeps_all_but_its_command() {
    for (client, path, old) in READ_ONLY {
        let shell = Shell::new().file(path, old);
        let ran = shell.run(&["setup", client]);
        assert_eq!(ran.code, 0, "{ran:?}");
        let new = shell.read(path);
        assert_eq!(new, with_command(old), "{client}");
        let told = format!("  command: `/old/callboard` → `{}`\n", binary().display());
        assert!(ran.out.contains(&told) && ran.out.contains("  kept: --read-only"), "{client} {ran:?}");
        assert!(!ran.out.contains("hunter2") && !ran.err.contains("hunter2"), "{ran:?}");
        assert_eq!(shell.read(&format!("{path}.backup-1")), old);

        let again = shell.run(&["setup", client]);
        assert!(again.code == 0 && again.out.starts_with("Nothing changed: "), "{again:?}");
        assert_eq!(shell.read(path), new);
        assert!(!shell.path(&format!("{path}.backup-2")).exists());
    }
}

#[test]
#[cfg(target_os = "linux")]
fn flags_are_added_to_those_of_an_entry() {
    for (client, path, old) in READ_ONLY {
        let shell = Shell::new().file(path, old);
        let ran = shell.run(&["setup", client, "--toolsets", "sql,ops"]);
        assert!(ran.code == 0 && ran.out.contains("  args: adds `--toolsets sql,ops`\n"), "{ran:?}");
        let first = shell.read(path);
        assert!(first.contains("--read-only") && first.contains("sql,ops"), "{first}");
        let ran = shell.run(&["setup", client, "--read-only", "--toolsets", "ops"]);
        assert!(ran.code == 0 && ran.out.contains("  args: --toolsets `sql,ops` → `ops`\n"), "{ran:?}");
        assert_eq!(shell.read(path), first.replace("\"sql,ops\"", "\"ops\""), "{client}");
        let again = shell.run(&["setup", client, "--read-only", "--toolsets", "ops"]);
        assert!(again.out.starts_with("Nothing changed: "), "{again:?}");
    }
    let wrong = Shell::new().run(&["setup", "cursor", "--toolsets", "sqll"]);
    assert!(wrong.code == 2 && wrong.err.contains("sql"), "{wrong:?}");
}

#[test]
fn lines_of_their_own_are_added_where_arguments_have_them() {
    let (_, path, old) = READ_ONLY[2];
    let shell = Shell::new().file(path, old);
    assert_eq!(shell.run(&["setup", "cursor", "--toolsets=ops"]).code, 0);
    let added = "\"--read-only\", // no writing\n        \"--toolsets\",\n        \"ops\",";
    assert_eq!(shell.read(path), with_command(old).replace("\"--read-only\", // no writing", added));
}

#[test]
fn an_entry_that_starts_it_through_another_program_keeps_that_program() {
    let docker = "{\"mcpServers\": {\"callboard\": {\"command\": \"docker\", \"args\": [\"run\", \"-i\", \"callboard:1\", \"serve\"]}}}";
    let shell = Shell::new().file(".cursor/mcp.json", docker);
    let ran = shell.run(&["setup", "cursor"]);
    assert!(ran.code == 0 && ran.out.starts_with("Nothing changed: "), "{ran:?}");
    assert_eq!(shell.read(".cursor/mcp.json"), docker);
    assert_eq!(shell.run(&["setup", "cursor", "--read-only"]).code, 0);
    assert_eq!(shell.read(".cursor/mcp.json"), docker.replace("\"serve\"", "\"serve\", \"--read-only\""));
    let other = docker.replace("\"run\"", "\"--context\", \"x\", \"run\"");
    let shell = Shell::new().file(".cursor/mcp.json", &other);
    assert!(shell.run(&["setup", "cursor"]).out.starts_with("Nothing changed: "));
    for entry in [
        "{\"command\": \"sh\", \"args\": [\"-c\", \"callboard serve\"]}",
        "{\"url\": \"http://127.0.0.1:1/mcp\"}",
        "{\"command\": \"callboard\", \"args\": \"serve\"}",
        "[]",
    ] {
        let old = format!("{{\"mcpServers\": {{\"callboard\": {entry}}}}}");
        let shell = Shell::new().file(".cursor/mcp.json", &old);
        let ran = shell.run(&["setup", "cursor", "--read-only"]);
        assert!(ran.code == 2 && ran.err.contains("was left as it is"), "{entry} {ran:?}");
        assert_eq!(shell.read(".cursor/mcp.json"), old);
    }
}

#[test]
fn an_entry_of_another_name_is_not_doubled() {
    let old = "{\"mcpServers\": {\"board\": {\"command\": \"/old/callboard\", \"args\": [\"serve\"]}, \"x\": {\"command\": \"y\"}}}";
    let shell = Shell::new().file(".cursor/mcp.json", old);
    let ran = shell.run(&["setup", "cursor", "--read-only"]);
    assert!(ran.code == 0 && ran.out.contains("  entry: `board`\n"), "{ran:?}");
    let wanted = with_command(old).replace("\"serve\"", "\"serve\", \"--read-only\"");
    assert_eq!(shell.read(".cursor/mcp.json"), wanted);
    let two = "{\"mcpServers\": {\"a\": {\"command\": \"callboard\"}, \"b\": {\"command\": \"callboard\"}}}";
    let shell = Shell::new().file(".cursor/mcp.json", two);
    let ran = shell.run(&["setup", "cursor"]);
    assert!(ran.code == 2 && ran.err.contains("`a`, `b`"), "{ran:?}");
    assert_eq!(shell.read(".cursor/mcp.json"), two);
}

#[test]
fn printing_shows_the_entry_as_it_would_be() {
    let (_, path, old) = READ_ONLY[0];
    let shell = Shell::new().file(path, old);
    let ran = shell.run(&["setup", "claude-code", "--print", "--toolsets", "ops"]);
    assert_eq!(
        ran.json()["mcpServers"]["callboard"]["args"],
        serde_json::json!(["serve", "--read-only", "--toolsets", "ops"])
    );
    assert!(
        ran.err.contains("would change the entry") && ran.err.contains("  args: adds `--toolsets ops`\n"),
        "{ran:?}"
    );
    assert!(!ran.out.contains("hunter2") && !ran.err.contains("hunter2"), "{ran:?}");
    assert_eq!(shell.read(path), old);
}

#[test]
#[cfg(unix)]
fn a_link_and_its_permissions_stay() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let shell = Shell::new().file("dotfiles/mcp.json", "{}").file(".cursor/keep", "");
    std::fs::set_permissions(shell.path("dotfiles/mcp.json"), std::fs::Permissions::from_mode(0o640)).unwrap();
    symlink("../dotfiles/mcp.json", shell.path(".cursor/mcp.json")).unwrap();
    assert_eq!(shell.run(&["setup", "cursor"]).code, 0);
    assert!(shell.path(".cursor/mcp.json").is_symlink());
    assert!(shell.read("dotfiles/mcp.json").contains("callboard"));
    let mode = |path: &str| std::fs::metadata(shell.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("dotfiles/mcp.json"), mode("dotfiles/mcp.json.backup-1")), (0o640, 0o640));

    std::fs::remove_file(shell.path(".cursor/mcp.json")).unwrap();
    symlink("../dotfiles/later.json", shell.path(".cursor/mcp.json")).unwrap();
    assert_eq!(shell.run(&["setup", "cursor"]).code, 0);
    assert!(shell.path(".cursor/mcp.json").is_symlink() && shell.read("dotfiles/later.json").contains("callboard"));
}

#[test]
fn an_empty_file_gets_the_entry() {
    for (client, path, _) in CLIENTS {
        for empty in ["", "\n", "\u{feff}"] {
            let shell = Shell::new().file(path, empty);
            let ran = shell.run(&["setup", client]);
            assert!(ran.code == 0 && shell.read(path).contains("callboard"), "{ran:?}");
            assert!(shell.run(&["setup", client]).out.starts_with("Nothing changed"));
        }
    }
}

#[test]
fn a_mistake_is_named_by_its_line() {
    for (client, path, broken, place) in [
        ("cursor", ".cursor/mcp.json", "{\n  \"a\" 1\n}", "line 2 column 7"),
        ("codex", ".codex/config.toml", "a = 1\nb = = 1\n", "line 2"),
        ("goose", ".config/goose/config.yaml", "a: 1\n\tb: 1\n", "line 2"),
    ] {
        let shell = Shell::new().file(path, broken);
        let ran = shell.run(&["setup", client]);
        assert!(ran.code == 2 && ran.err.contains(place) && shell.read(path) == broken, "{ran:?}");
        let report = shell.run(&["doctor", "--json"]);
        let found = report.json()["clients"].as_array().unwrap().iter().find(|one| one["client"] == client).cloned();
        assert!(found.unwrap()["problem"].as_str().unwrap().contains(place), "{report:?}");
        assert_eq!((report.code, &report.json()["verdict"]), (1, &"degraded".into()), "{report:?}");
        assert!(!shell.run(&["doctor"]).out.contains("Everything works"));
    }
    let shell = Shell::new();
    std::fs::create_dir_all(shell.path(".cursor")).unwrap();
    std::fs::write(shell.path(".cursor/mcp.json"), b"{\"a\": \"\xff\"}").unwrap();
    assert_eq!(shell.run(&["setup", "cursor"]).code, 2);
    assert_eq!(std::fs::read(shell.path(".cursor/mcp.json")).unwrap(), b"{\"a\": \"\xff\"}");
}

/// Fills in `${NAME:-default}` as clients do.
fn expanded(text: &str, variables: &[(&str, &str)]) -> String {
    let Some(inner) = text.strip_prefix("${").and_then(|text| text.strip_suffix('}')) else { return text.to_owned() };
    let (name, default) = inner.split_once(":-").unwrap_or((inner, text));
    let set = variables.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    set.unwrap_or(default).to_owned()
}

#[test]
fn the_entry_of_this_repository_starts_the_server() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("mcp.json");
    let entry: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let entry = &entry["mcpServers"]["callboard"];
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data").display().to_string();
    let filled = [("CALLBOARD_DATA_DIR", data.as_str())];
    for (variables, filling) in [(&filled[..], true), (&[][..], true), (&[][..], false)] {
        let mut command = Command::new(entry["command"].as_str().unwrap());
        command.env_clear().env("HOME", home.path()).env("PATH", binary().parent().unwrap());
        command.args(entry["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()));
        for (name, value) in entry["env"].as_object().unwrap() {
            let value = value.as_str().unwrap();
            // A client that fills nothing in hands on the text as it stands.
            command.env(name, if filling { expanded(value, variables) } else { value.to_owned() });
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let request = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"get_server_info\",\"arguments\":{}}}\n";
        child.stdin.take().unwrap().write_all(request.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let expected = if variables.is_empty() {
            home.path().join(".local/share/callboard").display().to_string()
        } else {
            data.clone()
        };
        assert_eq!(answer["result"]["structuredContent"]["data_dir"], expected.as_str());
    }
}
