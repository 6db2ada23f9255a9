//! Tells the program what it was built from, for `--version`. Works without git and without a network.

#![expect(clippy::disallowed_methods, reason = "a build script is told things by its environment")]

use std::{env, fs, path::Path, process::Command};

fn main() {
    println!("cargo::rustc-env=CALLBOARD_BUILD_COMMIT={}", commit().unwrap_or_default());
    println!("cargo::rustc-env=CALLBOARD_BUILD_TARGET={}", env::var("TARGET").unwrap_or_default());
    println!("cargo::rerun-if-env-changed=CALLBOARD_BUILD_COMMIT");
}

/// The commit, from the packager's word, else from git where the package is a checkout of its own.
fn commit() -> Option<String> {
    if let Some(given) = env::var("CALLBOARD_BUILD_COMMIT").ok().filter(|given| !given.is_empty()) {
        return Some(given);
    }
    let root = env::var("CARGO_MANIFEST_DIR").ok()?;
    if !Path::new(&root).join(".git").exists() {
        return None;
    }
    // A worktree's `.git` is a file that names the folder.
    let head = git(&root, &["rev-parse", "--git-path", "logs/HEAD"])?;
    let head = Path::new(&root).join(head);
    if fs::exists(&head).unwrap_or(false) {
        println!("cargo::rerun-if-changed={}", head.display());
    }
    git(&root, &["rev-parse", "--short=12", "HEAD"])
}

fn git(root: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
