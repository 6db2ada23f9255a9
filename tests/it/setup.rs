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
        assert!(!shell.path(path).exists());
    }
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
