//! Generated files are as the program would write them now. `UPDATE=1 cargo test --test it generated` writes them.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use callboard::{
    app::App,
    config::{Config, document},
    error::Code,
    mcp::{catalogue, server::Server},
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A server with every tool. Nothing is opened.
async fn server() -> Server {
    Server::new(App::new(Config::embedded(Path::new("/nonexistent"))).unwrap())
}

fn hold(path: &Path, wanted: &str) {
    if std::env::var("UPDATE").is_ok_and(|update| update == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, wanted).unwrap();
    }
    let there = std::fs::read_to_string(path).unwrap_or_default();
    assert!(there == wanted, "{} is stale: `just generate` rewrites it, then read the diff", path.display());
}

/// The README with `table` between its markers.
fn readme_with(readme: &str, name: &str, table: &str) -> String {
    let (begin, end) = (format!("<!-- {name}:begin -->\n"), format!("<!-- {name}:end -->"));
    let (before, rest) = readme.split_once(&begin).unwrap_or_else(|| panic!("README.md has no {begin}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("README.md has no {end}"));
    format!("{before}{begin}{table}{end}{after}")
}

#[tokio::test]
async fn each_tool_has_its_document() {
    let mut wanted = BTreeSet::new();
    for (path, text) in catalogue::files(&server().await) {
        let path = root().join("tools").join(path);
        hold(&path, &format!("{text}\n"));
        wanted.insert(path);
    }
    assert_eq!(wanted.len(), callboard::domain::catalogue::TOOLS.len());
    for group in std::fs::read_dir(root().join("tools")).unwrap() {
        for file in std::fs::read_dir(group.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            assert!(wanted.contains(&path), "{} is no tool's any more", path.display());
        }
    }
}

#[tokio::test]
async fn the_readme_has_the_tables() {
    let path = root().join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let readme = readme_with(&readme, "tools", &catalogue::markdown(&server().await));
    let readme = readme_with(&readme, "settings", &document::summary());
    hold(&path, &readme);
}

#[test]
fn settings_are_documented() {
    hold(&root().join("docs/config.md"), &document::page());
}

#[test]
fn errors_are_documented() {
    let mut page = String::from(
        "<!-- Generated from src/error.rs by `just generate`. Do not edit. -->\n\n# Errors\n\n\
         A call that fails answers with `isError` and one JSON object, in `structuredContent` and as text; `callboard call` prints the same:\n\n\
         `{code, message, hint?, retryable, retry_after_ms?, argument?, did_you_mean?, position?, line?, column?, detail?, backend_code?, current?, request_id}`\n\n\
         `code` is stable; `message` is for people. `position` counts characters of the query from 1, `backend_code` is the SQLSTATE or the engine's own type,\n\
         and `detail` its own words; `current` is what stands now, where somebody else was first. Broken JSON-RPC, and nothing else, is answered by a JSON-RPC error.\n\n\
         | code | means | do next | retryable |\n|---|---|---|---|\n",
    );
    for code in Code::ALL {
        let (means, next) = code.meaning();
        let retryable = if code.retryable() { "yes" } else { "no" };
        page.push_str(&format!("| `{}` | {means} | {next} | {retryable} |\n", code.as_str()));
    }
    hold(&root().join("docs/errors.md"), &page);
}

#[test]
fn the_two_client_entries_are_one() {
    let read = |name: &str| std::fs::read_to_string(root().join(name)).unwrap();
    assert_eq!(read("mcp.json"), read(".mcp.json"));
    let entry: serde_json::Value = serde_json::from_str(&read("mcp.json")).unwrap();
    let server = &entry["mcpServers"]["callboard"];
    assert_eq!(server["command"], "callboard", "found on the PATH, no machine's own path");
    for (name, value) in server["env"].as_object().unwrap() {
        assert_eq!(value.as_str().unwrap(), format!("${{{name}:-}}"), "no secret, and nothing where nothing is set");
        assert!(callboard::config::table::find(name).is_some(), "{name} is a setting");
    }
}
