//! What the embedded stores do on disks that are full, and to files that are damaged; and whose their files are. Disks are mounted in a
//! namespace of their own, which ends with its commands.

use std::{os::unix::fs::PermissionsExt, path::Path, process::Command};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    binary::{Binary, Streams},
    command::{Shell, binary},
    harness::Harness,
};

const MAKE: &str = r#"
"$CALLBOARD" call create_table '{"table":"t","columns":[{"name":"a","type":"integer"}]}' > "$HOME/made"
"$CALLBOARD" call insert_data '{"table":"t","row":{"a":1},"idempotency_key":"k"}' > "$HOME/inserted"
"$CALLBOARD" call index_documents '{"index":"i","documents":[{"a":"word"}]}' > "$HOME/indexed"
"$CALLBOARD" call search_documents '{"index":"i","text":"word"}' > "$HOME/found"
"#;

/// Runs a script with the binary as `$CALLBOARD` and its data in `$CALLBOARD_DATA_DIR`.
fn run(shell: &Shell, mut command: Command, script: &str) {
    std::fs::create_dir_all(shell.path("disk")).unwrap();
    command.args(["sh", "-c", &format!("set -e\n{script}")]).env_clear();
    command.env("HOME", shell.home.path()).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.env("CALLBOARD", binary()).env("CALLBOARD_DATA_DIR", shell.path("disk"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// The beginning of a command that may mount: root needs a namespace for mounts only, others one for users too.
fn mounting() -> Command {
    let mut command = Command::new("unshare");
    command.arg(if rustix::process::geteuid().is_root() { "-m" } else { "-rm" });
    command
}

fn read(shell: &Shell, name: &str) -> Value {
    serde_json::from_str(&shell.read(name)).unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_named_and_nothing_on_it_is_up() {
    let shell = Shell::new();
    let script = format!(
        r#"mount -t tmpfs -o size=8m none "$CALLBOARD_DATA_DIR"
{MAKE}
dd if=/dev/zero of="$CALLBOARD_DATA_DIR/filler" bs=4k 2> "$HOME/dd" || true
"$CALLBOARD" call insert_data '{{"table":"t","row":{{"a":2}}}}' > "$HOME/sql" || true
"$CALLBOARD" call index_documents '{{"index":"i","documents":[{{"a":"more"}}]}}' > "$HOME/search" || true
"$CALLBOARD" call register_agent '{{"agent_id":"a","role":"writer"}}' > "$HOME/store" || true
"$CALLBOARD" doctor --json > "$HOME/doctor" || echo $? > "$HOME/code""#
    );
    run(&shell, mounting(), &script);
    for (name, file) in [("sql", "data.db"), ("search", "search.db"), ("store", "callboard.db")] {
        let failure = read(&shell, name);
        let message = failure["message"].as_str().unwrap();
        let path = shell.path("disk").join(file).display().to_string();
        assert!(
            message.starts_with(&format!("`{path}` cannot be ")) && message.ends_with(": No space left on device"),
            "{failure}"
        );
        assert_eq!(
            (&failure["code"], &failure["retryable"], &failure["hint"]),
            (
                &json!("unavailable"),
                &json!(true),
                &json!("free some space, or set CALLBOARD_DATA_DIR to a directory on another disk")
            )
        );
    }
    assert_eq!(shell.read("code").trim(), "2");
    let report = read(&shell, "doctor");
    for backend in report["backends"].as_array().unwrap() {
        assert_eq!(backend["state"], "down", "{report}");
    }
}

/// Calls that only read: a name, the tool, its arguments.
const READS: [(&str, &str, &str); 12] = [
    ("query", "execute_query", r#"{"query":"SELECT a FROM t ORDER BY a"}"#),
    ("attached", "execute_query", r#"{"query":"SELECT count(*) FROM public.t"}"#),
    ("tables", "list_tables", "{}"),
    ("schema", "get_schema", r#"{"table":"t"}"#),
    ("rows", "count_rows", r#"{"table":"t"}"#),
    ("indices", "list_indices", "{}"),
    // The words of one index are on the disk, those of the other were never asked for.
    ("searched", "search_documents", r#"{"index":"searched","text":"word"}"#),
    ("unsearched", "search_documents", r#"{"index":"unsearched","text":"word"}"#),
    ("count", "count_documents", r#"{"index":"unsearched","query":{"match":{"a":"word"}}}"#),
    ("export", "bulk_export", r#"{"index":"searched,unsearched"}"#),
    ("agents", "list_agents", "{}"),
    ("workflows", "list_workflows", "{}"),
];
/// One write for each store: its file, the tool, its arguments.
const WRITES: [(&str, &str, &str); 3] = [
    ("data.db", "insert_data", r#"{"table":"t","row":{"a":3}}"#),
    ("search.db", "index_documents", r#"{"index":"searched","documents":[{"a":"more"}]}"#),
    ("callboard.db", "create_workflow", r#"{"name":"w","tasks":[{"key":"k","title":"t"}]}"#),
];
const FULL: &str = r#"dd if=/dev/zero of="$CALLBOARD_DATA_DIR/filler" bs=4k 2> "$HOME/dd" || true"#;
/// Whether the server before was killed, how the disk comes to take no writes, and the cause in the system's words. The last way holds for
/// root too.
const UNWRITABLE: [(bool, &str, &str); 4] = [
    (false, r#"mount -o remount,ro "$CALLBOARD_DATA_DIR""#, "Read-only file system"),
    (false, FULL, "No space left on device"),
    (true, FULL, "No space left on device"),
    (
        false,
        r#"chmod 500 "$CALLBOARD_DATA_DIR"; AS="setpriv --bounding-set=-dac_override,-dac_read_search --""#,
        "Permission denied",
    ),
];
/// Copies the stores to a small disk, which is in `$CALLBOARD_DATA_DIR` then.
const COPY: &str = r#"
mkdir "$HOME/small"
mount -t tmpfs -o size=8m none "$HOME/small"
cp -a "$CALLBOARD_DATA_DIR/." "$HOME/small"
export CALLBOARD_DATA_DIR="$HOME/small"
"#;

/// Fills the stores by a server that ends well, or is killed and leaves its logs.
fn filled(killed: bool) -> Shell {
    let shell = Shell::new();
    let mut server = Binary::with(Streams::Pipes, |command| {
        command.env("CALLBOARD_DATA_DIR", shell.path("disk"));
    });
    server.initialize("2025-06-18");
    server.answer("create_table", r#"{"table":"t","columns":[{"name":"a","type":"integer"}]}"#);
    server.answer("bulk_insert", r#"{"table":"t","rows":[{"a":1},{"a":2}]}"#);
    for index in ["searched", "unsearched"] {
        let document = json!({"index": index, "documents": [{"id": "1", "a": "word"}], "id_field": "id"});
        server.answer("index_documents", &document.to_string());
    }
    server.answer("search_documents", r#"{"index":"searched","text":"word"}"#);
    server.answer("register_agent", r#"{"agent_id":"a","role":"writer"}"#);
    server.answer("create_workflow", r#"{"name":"first","tasks":[{"key":"k","title":"t"}]}"#);
    if killed {
        server.signal(Signal::KILL);
    } else {
        server.end_input();
    }
    server.wait();
    shell
}

/// A call whose answer lies in a file of that name afterwards.
fn call(name: &str, tool: &str, arguments: &str) -> String {
    format!("$AS \"$CALLBOARD\" call {tool} '{arguments}' > \"$HOME/{name}\" || true\n")
}

/// An answer without what differs from call to call.
fn settled(shell: &Shell, name: &str) -> Value {
    let mut answer = read(shell, name);
    for volatile in ["took_ms", "elapsed_ms"] {
        answer.as_object_mut().unwrap().remove(volatile);
    }
    answer
}

#[test]
#[cfg(target_os = "linux")]
fn what_cannot_be_written_can_be_read() {
    for (killed, how, cause) in UNWRITABLE {
        let shell = filled(killed);
        let after = READS.map(|(name, tool, arguments)| call(&format!("after-{name}"), tool, arguments)).concat();
        let writes = WRITES.map(|(file, tool, arguments)| call(file, tool, arguments)).concat();
        // Reading where that is possible comes last: it brings all words to the disk.
        let before = READS.map(|(name, tool, arguments)| call(&format!("before-{name}"), tool, arguments)).concat();
        let first = r#"FIRST="$CALLBOARD_DATA_DIR""#;
        let last = r#"export CALLBOARD_DATA_DIR="$FIRST"; AS="#;
        run(&shell, mounting(), &format!("{first}\n{COPY}\n{how}\n{after}\n{writes}\n{last}\n{before}"));
        for (name, ..) in READS {
            let (before, after) =
                (settled(&shell, &format!("before-{name}")), settled(&shell, &format!("after-{name}")));
            assert!(before.get("code").is_none(), "{name}: {before}");
            assert_eq!(after, before, "{cause}, killed: {killed}, {name}");
        }
        // A log that was left has room for a few writes more.
        for (file, ..) in WRITES.into_iter().filter(|_| !killed) {
            let failure = read(&shell, file);
            let path = shell.path("small").join(file).display().to_string();
            let message = failure["message"].as_str().unwrap();
            assert!(
                message.starts_with(&format!("`{path}` cannot be ")) && message.ends_with(&format!(": {cause}")),
                "{failure}"
            );
            assert_eq!(failure["code"], "unavailable");
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_fills_while_words_are_written_is_searched_all_the_same() {
    let shell = Shell::new();
    // Many words, and so few documents at a time that nobody makes them findable at once.
    let document =
        |n: usize| json!({"a": (0..60).map(|word| format!("w{}", n * 60 + word)).collect::<Vec<_>>().join(" ")});
    for part in 0..4 {
        let documents: Vec<Value> = (part * 300..(part + 1) * 300).map(document).collect();
        std::fs::write(shell.path(&format!("part{part}")), json!({"index": "i", "documents": documents}).to_string())
            .unwrap();
    }
    let searched = call("found", "search_documents", r#"{"index":"i","text":"w71999"}"#);
    let script = format!(
        r#"{COPY}
for part in 0 1 2 3; do "$CALLBOARD" call index_documents - < "$HOME/part$part" > "$HOME/indexed"; done
free=$(df -k --output=avail "$CALLBOARD_DATA_DIR" | tail -n 1)
dd if=/dev/zero of="$CALLBOARD_DATA_DIR/filler" bs=1k count=$((free - 96)) 2> "$HOME/dd"
{searched}
find "$CALLBOARD_DATA_DIR/search-words" -name '*.idx' > "$HOME/left""#
    );
    run(&shell, mounting(), &script);
    let found = read(&shell, "found");
    assert_eq!((&found["total"], &found["hits"][0]["document"]), (&json!(1), &document(1199)), "{found}");
    assert_eq!(shell.read("left"), "");
}

#[test]
#[cfg(target_os = "linux")]
fn a_log_that_cannot_be_read_is_not_passed_over() {
    let shell = filled(true);
    let counted = call("counted", "count_rows", r#"{"table":"t"}"#);
    let script = format!("{COPY}\nrm \"$HOME/small/data.db-shm\"\nmount -o remount,ro \"$HOME/small\"\n{counted}");
    run(&shell, mounting(), &script);
    let failure = read(&shell, "counted");
    let path = shell.path("small").join("data.db").display().to_string();
    assert_eq!(
        (&failure["code"], &failure["message"]),
        (&json!("unavailable"), &json!(format!("`{path}` cannot be opened: Read-only file system")))
    );
}

#[test]
#[cfg(target_os = "linux")]
fn no_table_is_made_on_a_disk_that_only_reads() {
    let shell = filled(true);
    let made = call("made", "create_table", r#"{"table":"u","columns":[{"name":"a","type":"integer"}]}"#);
    run(&shell, mounting(), &format!("{COPY}\nmount -o remount,ro \"$HOME/small\"\n{made}"));
    let failure = read(&shell, "made");
    let path = shell.path("small").join("data.db").display().to_string();
    assert_eq!(
        [&failure["code"], &failure["message"], &failure["hint"]],
        [
            "unavailable",
            &format!("`{path}` cannot be written: Read-only file system"),
            "mount the disk for writing, or set CALLBOARD_DATA_DIR to another directory"
        ]
    );
}

#[test]
fn files_that_others_could_read_are_narrowed() {
    let shell = filled(true);
    let script = r#"
find "$CALLBOARD_DATA_DIR" -type f -exec chmod 755 {} +
"$CALLBOARD" call list_tables > "$HOME/tables"
"$CALLBOARD" call search_documents '{"index":"searched","text":"word"}' > "$HOME/found"
"$CALLBOARD" call list_agents > "$HOME/agents"
find "$CALLBOARD_DATA_DIR" -type f ! -perm 600 > "$HOME/wide""#;
    run(&shell, Command::new("env"), script);
    assert_eq!(shell.read("wide"), "");
}

#[test]
fn files_are_their_users_alone_whatever_the_umask() {
    for umask in ["000", "022", "077"] {
        let shell = Shell::new();
        run(
            &shell,
            Command::new("env"),
            &format!(
                "umask {umask}\nrmdir \"$CALLBOARD_DATA_DIR\"\n{MAKE}
            \"$CALLBOARD\" call bulk_export '{{\"index\":\"i\"}}' > \"$HOME/exported\""
            ),
        );
        let mut seen = 0;
        look(&shell.path("disk"), &mut seen);
        assert!(seen >= 8, "{seen}");
    }
}

/// Files 0600, directories 0700, all the way down.
fn look(path: &Path, seen: &mut u32) {
    *seen += 1;
    let mode = path.metadata().unwrap().permissions().mode() & 0o777;
    if path.is_dir() {
        assert_eq!(mode, 0o700, "{}", path.display());
        for entry in std::fs::read_dir(path).unwrap() {
            look(&entry.unwrap().path(), seen);
        }
    } else {
        assert_eq!(mode, 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn a_file_of_another_kind_is_named_and_not_worth_a_retry() {
    let board = Harness::embedded();
    let garbage = b"this is a text file, and it is long enough to be looked at".repeat(100);
    let calls =
        [("data.db", "list_tables", "{}"), ("search.db", "list_indices", "{}"), ("callboard.db", "list_agents", "{}")];
    for (file, tool, arguments) in calls {
        let path = board.home.path().join(file);
        std::fs::write(&path, &garbage).unwrap();
        let failure = board.refused(tool, arguments).await;
        let message = format!(
            "`{}` cannot be used: it is damaged, or another program's (file is not a database)",
            path.display()
        );
        assert_eq!(
            (&failure["code"], &failure["message"], &failure["retryable"]),
            (&json!("internal"), &json!(message), &json!(false))
        );
        assert_eq!(std::fs::read(&path).unwrap(), garbage);
    }
}

#[tokio::test]
async fn a_database_of_another_program_is_left_alone() {
    let board = Harness::embedded();
    for (file, tool, arguments) in [("search.db", "list_indices", "{}"), ("callboard.db", "list_agents", "{}")] {
        let path = board.home.path().join(file);
        let theirs = rusqlite::Connection::open(&path).unwrap();
        theirs.execute_batch("CREATE TABLE theirs (a)").unwrap();
        let failure = board.refused(tool, arguments).await;
        let message = format!("`{}` cannot be used: it holds the tables of another program", path.display());
        assert_eq!((&failure["code"], &failure["message"]), (&json!("internal"), &json!(message)));
        assert_eq!(theirs.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0)), Ok(1));
    }
}
