//! Which file takes something from which, by its `use` items and the paths in its code, and which files do so in a circle.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use regex::Regex;

use super::source::File;

static USES: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\buse\s+([^;]+);").unwrap());
static PATHS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b[A-Za-z_]\w*(?:::\w+)+").unwrap());

/// A module, or a name in one, from the crate's root.
type Path = Vec<String>;

pub struct Imports {
    /// For each file the files that it takes something from, with the names. Not those whose part it is: `cli/call.rs` is part of `cli.rs`, and
    /// may use what `cli.rs` holds for its parts.
    edges: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

impl Imports {
    pub fn new(files: &[File]) -> Self {
        let modules: BTreeMap<Path, &File> =
            files.iter().filter(|file| file.path != "main.rs").map(|file| (module(&file.path), file)).collect();
        let used: BTreeMap<&Path, Vec<(Path, String)>> =
            modules.iter().map(|(module, file)| (module, uses(file.code(), module, &modules))).collect();
        let mut edges: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        for (module, file) in &modules {
            let named = used[module].iter().map(|(path, _)| path.clone()).chain(paths(file.code(), module, &modules));
            let from = edges.entry(file.path.clone()).or_default();
            for path in named {
                let name = path.last().cloned().unwrap_or_default();
                for target in targets(path, &modules, &used) {
                    if !module.starts_with(&target) {
                        from.entry(modules[&target].path.clone()).or_default().insert(name.clone());
                    }
                }
            }
        }
        Self { edges }
    }

    /// Files that reach each other, largest sets only.
    pub fn circles(&self) -> BTreeSet<BTreeSet<String>> {
        let reached: BTreeMap<&String, BTreeSet<&String>> =
            self.edges.keys().map(|file| (file, self.reached(file))).collect();
        let circle = |file: &String| -> BTreeSet<String> {
            reached[file].iter().filter(|other| reached[*other].contains(file)).map(|other| (*other).clone()).collect()
        };
        self.edges.keys().map(circle).filter(|circle| !circle.is_empty()).collect()
    }

    /// What ties a circle.
    pub fn ties(&self, circle: &BTreeSet<String>) -> String {
        let mut ties = String::new();
        for file in circle {
            for (other, names) in self.edges[file].iter().filter(|(other, _)| circle.contains(*other)) {
                ties.push_str(&format!("src/{file} takes {names:?} from src/{other}\n"));
            }
        }
        ties
    }

    fn reached<'a>(&'a self, file: &'a String) -> BTreeSet<&'a String> {
        let (mut reached, mut next) = (BTreeSet::new(), vec![file]);
        while let Some(file) = next.pop() {
            next.extend(self.edges[file].keys().filter(|other| reached.insert(*other)));
        }
        reached
    }
}

/// The module that a file is: `a/b.rs` is `a::b`.
fn module(path: &str) -> Path {
    let path = path.strip_suffix(".rs").unwrap();
    if path == "lib" { Path::new() } else { path.split('/').map(str::to_owned).collect() }
}

/// What the `use` items of a module bring, with the names they give it.
fn uses(code: &str, module: &Path, modules: &BTreeMap<Path, &File>) -> Vec<(Path, String)> {
    let mut trees = Vec::new();
    for item in USES.captures_iter(code) {
        expand(&item[1], &[], &mut trees);
    }
    trees.into_iter().filter_map(|(path, name)| Some((absolute(path, module, modules)?, name))).collect()
}

/// `a::{b, c::d as e}` as `a::b` and `a::c::d`.
fn expand(tree: &str, before: &[String], found: &mut Vec<(Path, String)>) {
    let (head, group) = match tree.split_once('{') {
        Some((head, group)) => (head, group.trim_end().strip_suffix('}')),
        None => (tree, None),
    };
    let (head, name) = match head.split_once(" as ") {
        Some((head, name)) => (head, Some(name.trim().to_owned())),
        None => (head, None),
    };
    let more: Path = head.split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect();
    let mut path = [before, &more].concat();
    if let Some(group) = group {
        members(group).into_iter().for_each(|member| expand(member, &path, found));
        return;
    }
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    if let Some(last) = path.last().cloned() {
        found.push((path, name.unwrap_or(last)));
    }
}

/// Split at the commas that are in no braces.
fn members(group: &str) -> Vec<&str> {
    let mut depth = 0;
    group
        .split(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            c == ',' && depth == 0
        })
        .filter(|member| !member.trim().is_empty())
        .collect()
}

/// Paths in the code, from the crate's root; of those without `crate`, `self` or `super`, the ones into a module's parts.
fn paths(code: &str, module: &Path, modules: &BTreeMap<Path, &File>) -> Vec<Path> {
    let code = USES.replace_all(code, "");
    let found = PATHS.find_iter(&code).map(|path| path.as_str().split("::").map(str::to_owned).collect());
    found.filter_map(|path| absolute(path, module, modules)).collect()
}

fn absolute(mut path: Path, module: &Path, modules: &BTreeMap<Path, &File>) -> Option<Path> {
    let mut base = module.clone();
    match path.first()?.as_str() {
        "crate" => base.clear(),
        "self" => {}
        "super" => {
            while path.get(1).is_some_and(|next| next == "super") {
                path.remove(0);
                base.pop();
            }
            base.pop();
        }
        part => {
            base.push(part.to_owned());
            if !modules.contains_key(&base) {
                return None;
            }
        }
    }
    base.extend(path.into_iter().skip(1));
    Some(base)
}

/// The modules that a path leads to: the one it names, and on by what that one re-exports.
fn targets(mut path: Path, modules: &BTreeMap<Path, &File>, used: &BTreeMap<&Path, Vec<(Path, String)>>) -> Vec<Path> {
    let mut targets = Vec::new();
    while let Some(length) = (0..=path.len()).rev().find(|length| modules.contains_key(&path[..*length])) {
        let rest = path.split_off(length);
        if targets.contains(&path) {
            break;
        }
        let next = rest.first().and_then(|first| used[&path].iter().find(|(_, name)| name == first));
        let next = next.map(|(origin, _)| [origin, &rest[1..]].concat());
        targets.push(path);
        let Some(next) = next else { break };
        path = next;
    }
    targets
}
