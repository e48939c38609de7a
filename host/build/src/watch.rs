//! Noticing that sources have changed, by looking: it works on every file system, and a project is small.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Most files that are looked at. What is beyond is not noticed, instead of making each look a long one.
const FILES: usize = 20_000;

/// The files of a project.
#[derive(Debug, Clone)]
pub struct Sources {
    roots: Vec<PathBuf>,
    left_out: Vec<PathBuf>,
}

/// What the files were like at one time. Two are equal when nothing has changed in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look(BTreeMap<PathBuf, (SystemTime, u64)>);

impl Sources {
    pub(crate) fn new(roots: Vec<PathBuf>, left_out: Vec<PathBuf>) -> Self {
        Self { roots, left_out }
    }

    /// Leaves what is below a directory out.
    #[must_use]
    pub fn without(mut self, dir: PathBuf) -> Self {
        self.left_out.push(dir);
        self
    }

    /// Returns what the files are like now. Hidden ones, and what builds and editors write, are no sources.
    pub fn look(&self) -> Look {
        let mut look = BTreeMap::new();
        let mut open = self.roots.clone();
        while let Some(dir) = open.pop() {
            // Whatever cannot be read is noticed by the compiler.
            for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
                let path = entry.path();
                let name = entry.file_name();
                if is_written_by_tools(name.as_encoded_bytes()) || self.is_left_out(&path) {
                    continue;
                }
                // A link to a directory is not followed: it could lead round in a circle.
                if entry.file_type().is_ok_and(|it| it.is_dir()) {
                    open.push(path);
                } else if look.len() < FILES
                    && let Ok(of) = std::fs::metadata(&path)
                    && of.is_file()
                {
                    look.insert(path, (of.modified().unwrap_or(SystemTime::UNIX_EPOCH), of.len()));
                }
            }
        }
        Look(look)
    }

    fn is_left_out(&self, path: &Path) -> bool {
        self.left_out.iter().any(|it| it == path)
    }
}

/// Whether a file or directory is hidden, or is what a build or an editor writes: one save is to be one build.
fn is_written_by_tools(name: &[u8]) -> bool {
    const TOOLS: [&[u8]; 8] = [
        b"target",
        b"__pycache__",
        b"node_modules",
        b"Cargo.lock",
        b"package-lock.json",
        b"go.sum",
        b"uv.lock",
        b"4913",
    ];
    let ends = [b"~".as_slice(), b".pyc", b".swp", b".tmp", b".bak"];
    name.starts_with(b".")
        || name.starts_with(b"#")
        || TOOLS.contains(&name)
        || ends.iter().any(|it| name.ends_with(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_a_source_is_noticed_and_one_of_what_is_built_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("src/lib.rs", "one");
        let sources = Sources::new(vec![dir.path().into()], vec![]).without(dir.path().join("data"));
        let before = sources.look();
        for path in [
            "target/x",
            "src/.lib.rs.swp",
            "src/lib.rs~",
            "src/4913",
            "__pycache__/flows.cpython-314.pyc",
            "Cargo.lock",
            ".git/index",
            "data/retake.db",
        ] {
            write(path, "changes");
        }
        assert_eq!(sources.look(), before);
        write("src/lib.rs", "three");
        assert_ne!(sources.look(), before);
        write("src/lib.rs", "one");
        write("src/new.rs", "");
        assert_ne!(sources.look(), before);
    }
}
