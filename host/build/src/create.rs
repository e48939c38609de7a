//! New projects: a small flow that shows what there is, and whatever it needs to be built.

use std::path::{Path, PathBuf};

use crate::error::{During, Error, Kind, Result};
use crate::project::{Language, Project};
use crate::steps::quoted;
use crate::{c, go, javascript, python, sdk};

/// Longest name of a project: it becomes the name of a file and of a flow.
const NAME_BYTES: usize = 64;

/// What a crate cannot be called, or what would be mistaken for something else.
const TAKEN: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc_macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "target",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// Makes a project called like the last part of `path`, in that directory, and returns it.
///
/// # Errors
///
/// The name is not one that a project can have, or the directory is there and not empty.
pub fn create(path: &Path, language: Language) -> Result<Project> {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    check_name(&name, path, language)?;
    if is_full(path) {
        let again = quoted(&path.with_file_name(format!("{name}-2")).to_string_lossy());
        let message = format!("`{}` is there already, and not empty", path.display());
        return Err(Error::new(Kind::Usage, message, format!("choose another name: `retake new {again}`")));
    }
    let files = match language {
        Language::Rust => in_rust(&name)?,
        Language::Python => from(PYTHON, &name, python::SDK),
        Language::JavaScript => from(JAVASCRIPT, &name, javascript::SDK),
        Language::Go => from(GO, &name, go::SDK),
        Language::C => from(C, &name, c::SDK),
    };
    for (file, text) in files {
        let file = path.join(file);
        let dir = file.parent().unwrap_or(path);
        std::fs::create_dir_all(dir).during(|| format!("`{}` cannot be made", dir.display()))?;
        std::fs::write(&file, text).during(|| format!("`{}` cannot be written", file.display()))?;
    }
    Project::find(path)
}

fn is_full(path: &Path) -> bool {
    match std::fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        // What is no directory is in the way, too.
        Err(_) => path.symlink_metadata().is_ok(),
    }
}

fn check_name(name: &str, path: &Path, language: Language) -> Result<()> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    let problem =
        if name.is_empty() || !name.chars().all(allowed) || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
            "a name has the letters a to z, digits, `-` and `_`, and begins with a letter"
        } else if name.len() > NAME_BYTES {
            "a name has at most 64 characters"
        } else if language == Language::Rust
            && (TAKEN.contains(&name.replace('-', "_").as_str()) || sdk::crates().iter().any(|it| it == name))
        {
            "Rust has this name for something else"
        } else {
            return Ok(());
        };
    let message = format!("a project cannot be called `{name}`: {problem}");
    let better = path.with_file_name(better(name));
    Err(Error::new(Kind::Usage, message, format!("`retake new {}`", quoted(&better.to_string_lossy()))))
}

/// Returns a name like this one that a project may have.
fn better(name: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c.to_ascii_lowercase() } else { '-' };
    let text: String = name.chars().map(fits).take(NAME_BYTES - "my-flow-".len()).collect();
    match text.trim_matches('-') {
        "" => "my-flow".to_owned(),
        text if text == name || !text.starts_with(|c: char| c.is_ascii_lowercase()) => format!("my-{text}"),
        text => text.to_owned(),
    }
}

/// Returns the files of a project in Rust.
fn in_rust(name: &str) -> Result<Vec<(PathBuf, String)>> {
    let own = [
        ("Cargo.toml", include_str!("../template/rust/manifest.toml")),
        ("src/lib.rs", include_str!("../template/rust/lib.rs")),
        ("README.md", include_str!("../template/rust/README.md")),
        (".gitignore", "/target\n"),
    ];
    let mut files: Vec<_> = own.iter().map(|(path, text)| (path.into(), text.replace("@name@", name))).collect();
    files.push(("Cargo.lock".into(), sdk::lock(name)));
    files.extend(sdk::files()?.into_iter().map(|(path, text)| (Path::new("retake-sdk").join(path), text)));
    Ok(files)
}

/// Returns the files of a project: those of a template, with the project's name in them, and the SDK's beside them.
fn from(template: &[(&str, &str)], name: &str, sdk: &[(&str, &str)]) -> Vec<(PathBuf, String)> {
    let own = template.iter().map(|(path, text)| ((*path).into(), text.replace("@name@", name)));
    own.chain(sdk.iter().map(|(path, text)| (Path::new("retake-sdk").join(path), (*text).to_owned()))).collect()
}

const PYTHON: &[(&str, &str)] = &[
    ("pyproject.toml", include_str!("../template/python/pyproject.toml")),
    ("flows.py", include_str!("../template/python/flows.py")),
    ("test_flows.py", include_str!("../template/python/test_flows.py")),
    ("README.md", include_str!("../template/python/README.md")),
    (".gitignore", "/target\n__pycache__\n"),
];

const JAVASCRIPT: &[(&str, &str)] = &[
    ("package.json", include_str!("../template/javascript/package.json")),
    ("flows.js", include_str!("../template/javascript/flows.js")),
    ("flows.test.js", include_str!("../template/javascript/flows.test.js")),
    ("README.md", include_str!("../template/javascript/README.md")),
    (".gitignore", "/target\n/node_modules\n"),
];

const GO: &[(&str, &str)] = &[
    ("go.mod", include_str!("../template/go/module.txt")),
    ("main.go", include_str!("../template/go/main.go")),
    ("main_test.go", include_str!("../template/go/main_test.go")),
    ("README.md", include_str!("../template/go/README.md")),
    (".gitignore", "/target\n"),
];

const C: &[(&str, &str)] = &[
    ("flows.c", include_str!("../template/c/flows.c")),
    ("README.md", include_str!("../template/c/README.md")),
    (".gitignore", "/target\n"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_cannot_be_is_refused_with_one_that_can() {
        for (name, hint) in [
            ("My Flow", "`retake new my-flow`"),
            ("9lives", "`retake new my-9lives`"),
            ("größe", "`retake new gr--e`"),
            ("…", "`retake new my-flow`"),
            ("async", "`retake new my-async`"),
            ("serde", "`retake new my-serde`"),
            ("retake", "`retake new my-retake`"),
        ] {
            let error = check_name(name, Path::new(name), Language::Rust).unwrap_err();
            assert!(error.message.starts_with(&format!("a project cannot be called `{name}`: ")), "{error:?}");
            assert_eq!(error.hint, hint);
            let better = better(name);
            assert!(check_name(&better, Path::new(&better), Language::Rust).is_ok(), "`{better}` cannot be, either");
        }
        assert!(check_name("serde", Path::new(""), Language::Python).is_ok());
        assert!(check_name("nightly-orders_2", Path::new(""), Language::Rust).is_ok());
    }

    #[test]
    fn what_is_there_is_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hello");
        std::fs::create_dir(&path).unwrap();
        create(&path, Language::Rust).unwrap();
        assert!(path.join("retake-sdk/macros/Cargo.toml").is_file());
        std::fs::write(path.join("src/lib.rs"), "mine").unwrap();
        let again = create(&path, Language::Rust).unwrap_err();
        assert!(again.message.contains("not empty") && again.hint.contains("hello-2"), "{again:?}");
        assert_eq!(std::fs::read_to_string(path.join("src/lib.rs")).unwrap(), "mine");
    }
}
