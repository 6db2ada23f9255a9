//! The two commands of the README, word for word, as far as they are cheap. `tests/bare` runs them whole, on a machine that has nothing.

use std::{ffi::OsString, path::Path, process::Command};

use tempfile::TempDir;

use crate::support::command::binary;

/// The two commands: the first block of the quick start, without what is said about them.
fn commands() -> Vec<String> {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let block = readme.split("\n```sh\n").nth(1).expect("a block of commands");
    let lines = block.split("\n```").next().unwrap().lines();
    lines.map(|line| line.split(" #").next().unwrap().trim().to_owned()).collect()
}

/// What `cargo run` hands on from `build.rs`: what the script that ran for this build has said.
fn from_build_script() -> Vec<(String, String)> {
    let output = Path::new(env!("OUT_DIR")).with_file_name("output");
    let output = std::fs::read_to_string(&output).unwrap_or_else(|error| panic!("{}: {error}", output.display()));
    let said = output.lines().filter_map(|line| line.strip_prefix("cargo::rustc-env=")?.split_once('='));
    said.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// `callboard` as `cargo run` starts it: cargo has given this process what it gives that one. Settings of this machine stay out.
fn as_cargo_runs(home: &TempDir, arguments: &[&str]) -> Command {
    let is_setting = |name: &OsString| {
        name.to_str().is_some_and(|name| {
            let name = name.strip_suffix("_FILE").unwrap_or(name);
            callboard::config::table::find(name).is_some() || name.starts_with("DATABASE_")
        })
    };
    let mut command = Command::new(binary());
    command.args(arguments).env_clear().envs(std::env::vars_os().filter(|(name, _)| !is_setting(name)));
    command.envs(from_build_script()).env("HOME", home.path()).current_dir(home.path());
    for directory in ["XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
        command.env_remove(directory);
    }
    command
}

#[test]
fn its_first_command_runs_under_cargo() {
    let commands = commands();
    assert_eq!(commands.len(), 2, "{commands:?}");
    let arguments = commands[0].strip_prefix("cargo run -- ").expect("the first command runs callboard");
    let arguments: Vec<&str> = arguments.split(' ').collect();
    assert!(std::env::var_os("CARGO_PKG_VERSION").is_some(), "run the tests by cargo");
    let names: Vec<String> = from_build_script().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["CALLBOARD_BUILD_COMMIT", "CALLBOARD_BUILD_TARGET"]);

    let home = tempfile::tempdir().unwrap();
    let output = as_cargo_runs(&home, &arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("→ completed, 4 of 4 tasks"), "{said}");
}

#[test]
fn it_also_runs_where_the_tests_have_put_their_variables() {
    let home = tempfile::tempdir().unwrap();
    let given = [("CALLBOARD_TEST_CACHE", "/nowhere"), ("CALLBOARD_TEST_JDK_17", "/nowhere")];
    let output = as_cargo_runs(&home, &["config", "show"]).envs(given).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    // What only looks like them is still a typo.
    for typo in ["CALLBOARD_BUILD", "CALLBOARD_TESTS", "CALLBOARD_TEST"] {
        let output = as_cargo_runs(&home, &["config", "show"]).env(typo, "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(&format!("unknown variable: `{typo}`")), "{said}");
    }
}

#[test]
fn its_second_command_is_what_ci_calls() {
    let commands = commands();
    let ci = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/run")).unwrap();
    assert_eq!(ci.lines().last(), Some(commands[1].as_str()));
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(&commands[1]).is_file());
}

/// What the second command says on a machine whose programs are these: links to some of this one's, and scripts. It must stop there.
fn second_command_where(scripts: &[(&str, &str)]) -> String {
    let machine = tempfile::tempdir().unwrap();
    for name in ["bash", "cat", "dirname", "head", "id", "ls", "mkdir", "sed", "sh", "uname"] {
        let found =
            ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(name)).into_iter().find(|path| path.exists());
        std::os::unix::fs::symlink(found.unwrap(), machine.path().join(name)).unwrap();
    }
    for (name, script) in scripts {
        let path = machine.path().join(name);
        std::fs::remove_file(&path).ok();
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(&commands()[1]);
    let mut command = Command::new(script);
    command.arg("--environment").env_clear().env("PATH", machine.path()).env("HOME", machine.path());
    let output = command.env("CALLBOARD_TEST_CACHE", machine.path().join("cache")).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stdout).unwrap()), (Some(1), String::new()), "{said}");
    said
}

#[test]
fn its_second_command_says_what_it_needs_where_it_cannot_run() {
    assert_eq!(
        second_command_where(&[("uname", "echo Darwin")]),
        "tests/run: the tests start servers that are built for Linux, and this is Darwin; \
         run them in a container or virtual machine with Debian 12 or newer\n"
    );
    assert_eq!(
        second_command_where(&[]),
        "tests/run: there is no cargo; install Rust by https://rustup.rs and open a new shell\n"
    );
    // Which of the servers are there is this machine's matter.
    let missing = "gcc libc6-dev curl unzip xz-utils maven postgresql-client";
    let said = second_command_where(&[("cargo", "exit 0")]);
    let elsewhere = format!(
        "tests/run: these packages are missing (by Debian's names), and only apt-get is used to install any: {missing}"
    );
    assert!(said.starts_with(&elsewhere), "{said}");
    let user = [("cargo", "exit 0"), ("apt-get", "exit 0"), ("id", "echo 1000"), ("sudo", "exit 1")];
    let without_root = format!(
        "tests/run: these packages are missing, and installing them needs root, or sudo without a password: \
         sudo apt-get install {missing}"
    );
    let said = second_command_where(&user);
    assert!(said.starts_with(&without_root), "{said}");
    let broken =
        [("cargo", "exit 0"), ("id", "echo 0"), ("env", "exit 1"), ("apt-get", "echo no such archive; exit 100")];
    let said = second_command_where(&broken);
    assert!(said.contains("no such archive\n") && said.ends_with("its words are above\n"), "{said}");
}
