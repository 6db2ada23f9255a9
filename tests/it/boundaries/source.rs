//! Source files with comments, texts and unit tests blanked out, line by line as they were.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// A source file.
pub struct File {
    /// Below src/.
    pub path: String,
    /// Of the file as it is.
    pub lines: usize,
    code: String,
}

/// Every file of src/.
pub fn files() -> Vec<File> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &root, &mut files);
    assert!(files.len() > 50, "the sources were not found");
    files
}

fn collect(root: &Path, dir: &Path, files: &mut Vec<File>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let below = path.strip_prefix(root).unwrap().display().to_string();
            files.push(File::new(&below, &std::fs::read_to_string(&path).unwrap()));
        }
    }
}

impl File {
    pub fn new(path: &str, text: &str) -> Self {
        let mut code = blanked(text);
        if let Some(tests) = code.find("#[cfg(test)]\nmod tests {") {
            code.truncate(tests);
        }
        Self { path: path.to_owned(), lines: text.lines().count(), code }
    }

    /// As it is left when comments, texts and unit tests are blanked out.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The room: the first part of the path.
    pub fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Lines on which `word` stands as a whole word.
    pub fn places_of<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        self.code.lines().enumerate().filter_map(move |(at, line)| {
            let whole = line.match_indices(word).any(|(start, _)| {
                let before = line[..start].chars().next_back();
                let after = line[start + word.len()..].chars().next();
                !part(before) && !part(after)
            });
            whole.then_some(at + 1)
        })
    }

    /// Rooms named as `crate::room` or inside `crate::{…}`.
    pub fn rooms_named(&self) -> BTreeSet<String> {
        let mut rooms = BTreeSet::new();
        for (at, _) in self.code.match_indices("crate::") {
            let rest = &self.code[at + "crate::".len()..];
            match rest.strip_prefix('{') {
                Some(group) => rooms.extend(first_level(group)),
                None => rooms.extend(word(rest)),
            }
        }
        rooms
    }

    /// Functions with the line they begin on and how many lines they take.
    pub fn functions(&self) -> Vec<(String, usize, usize)> {
        let mut functions = Vec::new();
        for (at, _) in self.code.match_indices("fn ") {
            let before = self.code[..at].chars().next_back();
            let Some(name) = word(&self.code[at + 3..]) else { continue };
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let rest = &self.code[at..];
            let (Some(open), end) = (rest.find('{'), rest.find(';').unwrap_or(usize::MAX)) else { continue };
            if end < open {
                continue;
            }
            let mut depth = 0;
            let close = rest[open..].char_indices().find_map(|(place, c)| {
                depth += i32::from(c == '{') - i32::from(c == '}');
                (depth == 0).then_some(open + place)
            });
            let lines = rest[..close.unwrap_or(rest.len())].matches('\n').count() + 1;
            functions.push((name, self.code[..at].matches('\n').count() + 1, lines));
        }
        functions
    }
}

fn word(text: &str) -> Option<String> {
    let word: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!word.is_empty()).then_some(word)
}

/// The first words of the members of `{a::b, c::{d, e}}`, from after the brace.
fn first_level(group: &str) -> Vec<String> {
    let (mut depth, mut words, mut fresh) = (0, Vec::new(), true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            c if fresh && !c.is_whitespace() => {
                words.extend(word(&group[at..]));
                fresh = false;
            }
            _ => {}
        }
    }
    words
}

/// The text with comments, strings and characters as blanks.
fn blanked(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let end = match (characters[at], characters.get(at + 1)) {
            ('/', Some('/')) => (at..characters.len()).find(|&end| characters[end] == '\n').unwrap_or(characters.len()),
            ('/', Some('*')) => comment_end(&characters, at),
            ('"', _) => string_end(&characters, at),
            ('r', Some('"' | '#')) if !out.ends_with(|c: char| c.is_alphanumeric() || c == '_') => {
                raw_end(&characters, at)
            }
            ('\'', _) => character_end(&characters, at),
            _ => at,
        };
        if end == at {
            out.push(characters[at]);
            at += 1;
            continue;
        }
        out.extend(characters[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    out
}

fn comment_end(characters: &[char], start: usize) -> usize {
    let (mut depth, mut at) = (0, start);
    while at + 1 < characters.len() {
        match (characters[at], characters[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    characters.len()
}

fn string_end(characters: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while at < characters.len() {
        match characters[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    characters.len()
}

fn raw_end(characters: &[char], start: usize) -> usize {
    let hashes = characters[start + 1..].iter().take_while(|c| **c == '#').count();
    if characters.get(start + 1 + hashes) != Some(&'"') {
        return start;
    }
    let body = start + 2 + hashes;
    let ends = |at: usize| {
        characters[at] == '"' && characters[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    (body..characters.len()).find(|&at| ends(at)).map_or(characters.len(), |at| at + 1 + hashes)
}

/// `'x'` and `'\n'` are characters, `'a` is a lifetime.
fn character_end(characters: &[char], start: usize) -> usize {
    match (characters.get(start + 1), characters.get(start + 2)) {
        (Some('\\'), _) => (start + 3..characters.len()).find(|&at| characters[at] == '\'').map_or(start, |at| at + 1),
        (Some(_), Some('\'')) => start + 3,
        _ => start,
    }
}
