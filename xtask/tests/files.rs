//! What is asked of every file: not too long, and nothing of one person's machine in it.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

use std::path::{Path, PathBuf};

/// Past this many lines a file is two things.
const LINES: usize = 800;

/// Files that may be longer, and why.
const LONGER: &[(&str, &str)] = &[
    ("guest-sdk/rust/src/bindings.rs", "it is generated"),
    ("docs/api/openapi.json", "it is generated"),
    ("guest-sdk/go/internal/bindings/wit_exports/wit_exports.go", "it is generated"),
    ("guest-sdk/c/bindings/flow.c", "it is generated"),
];

/// Not written by us, or not to be read.
const LEFT_OUT: &[&str] = &[".git", "target", "Cargo.lock", "LICENSE"];

/// What only makes sense on the machine where it was written, in two parts, so that it is not found here.
const PRIVATE: &[(&str, &str)] = &[("/wo", "rk/"), ("/ro", "ot/"), ("/ho", "me/"), ("/Us", "ers/")];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Returns each file of text with its path from the root.
fn texts() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = vec![root().to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let relative = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            if LEFT_OUT.contains(&relative.as_str()) || path.ends_with("node_modules") || path.ends_with("target") {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                found.push((relative, text));
            }
        }
    }
    assert!(found.iter().any(|(path, _)| path == "Cargo.toml"), "this is not the root");
    found
}

fn too_long(path: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    let may_be = LONGER.iter().any(|(it, _)| *it == path);
    (lines > LINES && !may_be).then(|| format!("{path} has {lines} lines: which two things is it?"))
}

fn private(path: &str, text: &str) -> Vec<String> {
    let words = PRIVATE.iter().map(|(a, b)| format!("{a}{b}"));
    let lines = text.lines().enumerate();
    let all = words.flat_map(|word| lines.clone().map(move |(at, line)| (at, line, word.clone())));
    let found = all.filter(|(_, line, word)| starts_a_path(line, word));
    found.map(|(at, _, word)| format!("{path}:{}: `{word}` is a place on one machine", at + 1)).collect()
}

/// Whether a path in the line begins with the word: `a/home/b` does not.
fn starts_a_path(line: &str, word: &str) -> bool {
    let before = |at: usize| line[..at].chars().next_back();
    line.match_indices(word).any(|(at, _)| before(at).is_none_or(|it| !it.is_alphanumeric() && !"-_.~}".contains(it)))
}

#[test]
fn no_file_is_two_things() {
    let wrong: Vec<_> = texts().iter().filter_map(|(path, text)| too_long(path, text)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_exception_is_needed() {
    let texts = texts();
    for (path, _) in LONGER {
        let (_, text) = texts.iter().find(|(it, _)| it == path).unwrap_or_else(|| panic!("{path} is gone"));
        assert!(text.lines().count() > LINES, "{path} is no longer too long");
    }
}

#[test]
fn nothing_tells_of_one_machine() {
    let wrong: Vec<_> = texts().iter().flat_map(|(path, text)| private(path, text)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_wrong_is_noticed() {
    let long = "a line\n".repeat(LINES + 1);
    assert!(too_long("host/a.rs", &long).is_some());
    assert!(too_long("host/a.rs", &long[7..]).is_none());
    assert!(too_long(LONGER[0].0, &long).is_none());
    let (home, root) = (["/ho", "me/"].concat(), ["/ro", "ot/"].concat());
    assert_eq!(private("a.md", &format!("fine\nsee `{home}ann/x` or {root}y")).len(), 2);
    assert_eq!(private("a.md", &format!("see tests{root}y")), Vec::<String>::new());
}
