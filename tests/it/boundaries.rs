//! What never happens in `src/`, held by reading it. Comments, texts and unit tests do not count.

mod imports;
mod source;

use std::collections::{BTreeMap, BTreeSet};

use imports::Imports;
use source::File;

/// Fails with file and line of every place where one of `words` stands outside of `owners` (paths below src/ that begin so).
fn only_in(words: &[&str], owners: &[&str]) {
    let mut found = Vec::new();
    for file in source::files() {
        if owners.iter().any(|owner| file.path.starts_with(owner)) {
            continue;
        }
        for word in words {
            found.extend(
                file.places_of(word).map(|line| format!("src/{}:{line}: `{word}` belongs to {owners:?}", file.path)),
            );
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn only_the_protocol_and_the_tools_name_the_sdk_and_json_schema() {
    only_in(&["rmcp", "schemars", "JsonSchema"], &["mcp", "tools"]);
}

#[test]
fn only_an_adapter_names_its_client() {
    only_in(&["tokio_postgres", "deadpool_postgres", "deadpool", "tokio_postgres_rustls"], &["adapters/postgres"]);
    only_in(&["elasticsearch::http", "elasticsearch::auth", "::elasticsearch"], &["adapters/elasticsearch"]);
    only_in(&["reqwest"], &["adapters/elasticsearch", "adapters/webhook"]);
    only_in(&["rusqlite"], &["adapters/sqlite", "adapters/embedded_search"]);
    only_in(&["tantivy"], &["adapters/embedded_search"]);
    only_in(&["rustls", "rustls_native_certs"], &["adapters/"]);
    only_in(&["clap", "clap_complete"], &["cli"]);
    only_in(&["toml"], &["config", "cli/setup"]);
    only_in(&["jsonc_parser"], &["cli/setup"]);
}

#[test]
fn only_the_composition_root_names_adapters() {
    only_in(&["adapters"], &["adapters", "app.rs", "lib.rs"]);
}

#[test]
fn the_domain_is_pure() {
    for file in source::files().iter().filter(|file| file.path.starts_with("domain")) {
        for word in [
            "async",
            "await",
            "tokio",
            "ports",
            "services",
            "tools",
            "mcp",
            "config",
            "Clock",
            "SystemClock",
            "std::fs",
            "std::net",
            "tracing",
        ] {
            let places: Vec<usize> = file.places_of(word).collect();
            assert!(places.is_empty(), "src/{}:{places:?} names `{word}`", file.path);
        }
    }
}

#[test]
fn services_know_no_json_tree_and_no_protocol() {
    for file in
        source::files().iter().filter(|file| file.path.starts_with("services") || file.path.starts_with("ports"))
    {
        for word in ["Value", "rmcp", "schemars", "tools", "mcp", "cli", "app"] {
            let places: Vec<usize> = file.places_of(word).collect();
            assert!(places.is_empty(), "src/{}:{places:?} names `{word}`", file.path);
        }
    }
}

#[test]
fn time_environment_ids_tasks_and_output_have_one_owner_each() {
    only_in(&["SystemTime::now", "Utc::now", "Local::now"], &["clock.rs"]);
    only_in(&["env::var", "env::vars", "env::vars_os", "env::var_os"], &["config/environment.rs"]);
    only_in(&["Uuid::now_v7", "Uuid::new_v4", "rand::random"], &["ids.rs"]);
    only_in(&["tokio::spawn", "task::spawn", "spawn_local"], &["background.rs"]);
    only_in(&["process::exit", "unbounded_channel", "println!", "print!", "eprintln!", "eprint!", "dbg!"], &[]);
    only_in(&["io::stdout"], &["cli/output.rs", "mcp/stdio"]);
}

#[test]
fn the_rooms_import_in_one_direction() {
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in source::files() {
        let room = file.room().to_owned();
        if ["lib", "main"].contains(&room.as_str()) {
            continue;
        }
        let named = file.rooms_named();
        uses.entry(room.clone()).or_default().extend(named.into_iter().filter(|other| *other != room));
    }
    // Take away what names nothing that is left, until nothing is left.
    while let Some(room) =
        uses.iter().find(|(_, named)| named.iter().all(|other| !uses.contains_key(other))).map(|(room, _)| room.clone())
    {
        uses.remove(&room);
    }
    assert!(uses.is_empty(), "these rooms import in a circle: {uses:#?}");
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let imports = Imports::new(&source::files());
    let circles: Vec<String> = imports.circles().iter().map(|circle| imports.ties(circle)).collect();
    assert!(circles.is_empty(), "these files import each other in a circle:\n{}", circles.join("\n"));
}

#[test]
fn every_room_names_only_rooms_below_it() {
    // What a room may name, besides error, clock, ids, redaction.
    let below: [(&str, &[&str]); 9] = [
        ("domain", &[]),
        ("ports", &["domain"]),
        ("changes", &[]),
        ("store", &["domain", "changes"]),
        ("jobs", &["services", "store", "changes", "domain", "config", "background"]),
        ("services", &["store", "ports", "changes", "domain", "config"]),
        ("adapters", &["store", "ports", "changes", "domain", "config", "background"]),
        ("tools", &["app", "services", "domain", "config"]),
        ("config", &["domain"]),
    ];
    for file in source::files() {
        let Some((_, allowed)) = below.iter().find(|(room, _)| *room == file.room()) else { continue };
        for other in file.rooms_named() {
            let basic = ["error", "clock", "ids", "redaction"].contains(&other.as_str());
            assert!(
                basic || other == file.room() || allowed.contains(&other.as_str()),
                "src/{} names `{other}`",
                file.path
            );
        }
    }
}

#[test]
fn files_and_functions_stay_readable() {
    let mut long = Vec::new();
    for file in source::files() {
        if file.lines > 500 {
            long.push(format!("src/{} has {} lines", file.path, file.lines));
        }
        for (name, line, lines) in file.functions() {
            if lines > 70 {
                long.push(format!("src/{}:{line}: `{name}` has {lines} lines", file.path));
            }
        }
        let name = file.path.rsplit('/').next().unwrap();
        if ["mod.rs", "utils.rs", "util.rs", "helpers.rs", "common.rs", "types.rs", "misc.rs"].contains(&name) {
            long.push(format!("src/{}: a file is named after what it holds", file.path));
        }
    }
    assert!(long.is_empty(), "\n{}", long.join("\n"));
}

#[test]
fn the_reader_sees_what_it_must_see() {
    let file = File::new(
        "domain/x.rs",
        "//! tokio\nuse crate::{error::{Code, Error}, ports::sql};\n/* rmcp /* nested */ rmcp */ fn a<'a>(x: &'a str) -> char {\n    let _ = \"rmcp \\\" rmcp\"; let _ = r#\"rmcp\"#;\n    '\"'\n}\nfn b() { crate::config::x(); tokio::spawn(y) }\n#[cfg(test)]\nmod tests { use rmcp::x; }\n",
    );
    assert_eq!(file.places_of("rmcp").count(), 0);
    assert_eq!(file.places_of("tokio::spawn").collect::<Vec<_>>(), [7]);
    assert_eq!(file.places_of("spaw").count(), 0, "whole words only");
    assert_eq!(file.rooms_named(), BTreeSet::from(["config".to_owned(), "error".to_owned(), "ports".to_owned()]));
    assert_eq!(file.functions(), [("a".to_owned(), 3, 4), ("b".to_owned(), 7, 1)]);
}

#[test]
fn circles_of_files_are_seen() {
    let circles = |files: &[(&str, &str)]| {
        let files: Vec<File> = files.iter().map(|(path, text)| File::new(path, text)).collect();
        let circles = Imports::new(&files).circles();
        circles.iter().map(|circle| circle.iter().cloned().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    // By `use` in groups and with another name, and by a path in the code.
    let a = ("x/a.rs", "use super::{b::{self, c::{D as E}}, other};\nfn a() {}");
    assert_eq!(circles(&[a, ("x/b.rs", "fn b() { crate::x::a::a() }"), ("x/b/c.rs", "")]), ["x/a.rs x/b.rs"]);
    assert_eq!(circles(&[a, ("x/b.rs", ""), ("x/b/c.rs", "use super::super::a;")]), ["x/a.rs x/b/c.rs"]);
    // By what a module re-exports, of its part or of others.
    let face = ("y.rs", "pub mod a; mod b;\npub use self::b::B;");
    assert_eq!(circles(&[face, ("y/a.rs", "use super::B;"), ("y/b.rs", "use crate::y::a::A;")]), ["y/a.rs y/b.rs"]);
    let user = ("z.rs", "use crate::y::B;");
    assert_eq!(circles(&[face, ("y/b.rs", "use crate::z::Z;"), user]), ["y.rs y/b.rs z.rs"]);
    // A part may use what its module holds; names of others, comments and unit tests tie nothing.
    assert_eq!(circles(&[("p.rs", "mod q;\nfn p() { q::q() }"), ("p/q.rs", "use super::p;")]), Vec::<String>::new());
    let quiet = "// use crate::s;\nuse std::s::S;\n#[cfg(test)]\nmod tests { use crate::s; }";
    assert_eq!(circles(&[("r.rs", quiet), ("s.rs", "use crate::r::R;")]), Vec::<String>::new());
}
