//! A directory of sources.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use crate::error::{Error, Kind, Result};
use crate::steps::{Tell, quoted};
use crate::watch::Sources;
use crate::{c, go, javascript, python, rust};

/// What a project is written in. Another language is another variant; the compiler then names each place that has to
/// know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Rust, built by cargo.
    Rust,
    /// Python, built by componentize-py.
    Python,
    /// JavaScript or TypeScript, built by componentize-js.
    JavaScript,
    /// Go, built by the stock compiler.
    Go,
    /// C, built by zig's clang.
    C,
}

impl Language {
    /// Each of them, in the order in which they are looked for.
    pub const ALL: [Self; 5] = [Self::Rust, Self::Python, Self::JavaScript, Self::Go, Self::C];

    /// Returns its name as it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::JavaScript => "javascript",
            Self::Go => "go",
            Self::C => "c",
        }
    }

    /// Returns what a source file is written in, by the end of its name.
    pub fn of_file(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "rs" => Some(Self::Rust),
            "py" => Some(Self::Python),
            "js" | "mjs" | "ts" => Some(Self::JavaScript),
            "go" => Some(Self::Go),
            "c" => Some(Self::C),
            _ => None,
        }
    }

    /// Returns the file by which a project of the language is known.
    pub fn mark(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::Python => "pyproject.toml",
            Self::JavaScript => "package.json",
            Self::Go => "go.mod",
            Self::C => "flows.c",
        }
    }
}

/// How a project is built.
#[derive(Clone, Copy)]
pub struct How<'a> {
    /// Whether the compiler says only what is wrong.
    pub quiet: bool,
    /// Ends the build early once it is true.
    pub stop: &'a AtomicBool,
    /// Whoever is told what is installed on the way.
    pub tell: Tell<'a>,
}

/// What was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The component. The next build writes the same file again.
    pub file: PathBuf,
}

/// A directory of sources from which a component is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// The directory, absolute.
    pub dir: PathBuf,
    /// What it is written in.
    pub language: Language,
}

impl Project {
    /// Finds out which language a directory is written in.
    ///
    /// # Errors
    ///
    /// There is no such directory, or none of the files by which projects are known is in it.
    pub fn find(dir: &Path) -> Result<Self> {
        let shown = dir.display();
        if !dir.is_dir() {
            let what = if dir.exists() { "is not a directory" } else { "is not there" };
            let hint = format!("`retake new {}` makes a project", quoted(&dir.to_string_lossy()));
            return Err(Error::new(Kind::Usage, format!("`{shown}` {what}"), hint));
        }
        let Some(language) = of(dir) else {
            if let Some((language, file)) = sources_in(dir) {
                let (mark, name) = (language.mark(), language.name());
                let message = format!("`{shown}` holds no project: there is `{file}`, and no `{mark}` beside it");
                let hint = format!("`retake new NAME --lang {name}` makes a project with one: move `{file}` there");
                return Err(Error::new(Kind::Usage, message, hint));
            }
            let marks = Language::ALL.map(|it| format!("`{}` ({})", it.mark(), it.name())).join(", ");
            let message = format!("`{shown}` holds no project: there is no {marks} in it");
            return Err(Error::new(Kind::Usage, message, "name the directory of one, or make one: `retake new NAME`"));
        };
        let dir = std::path::absolute(dir).map_err(|it| Error::machine(format!("`{shown}`")).cause(it))?;
        Ok(Self { dir, language })
    }

    /// Whether a directory is one of a project.
    pub fn is_in(dir: &Path) -> bool {
        of(dir).is_some()
    }

    /// Checks that its language's compiler is there, and installs what can be installed without asking.
    ///
    /// # Errors
    ///
    /// A tool is missing.
    pub fn prepare(&self, tell: Tell<'_>) -> Result<()> {
        match self.language {
            Language::Rust => crate::wasi::Toolchain::ensure(&self.dir, tell).map(drop),
            Language::Python => python::ensure(&self.dir, tell).map(drop),
            Language::JavaScript => javascript::ensure(&self.dir, tell).map(drop),
            Language::Go => go::ensure(&self.dir, tell).map(drop),
            Language::C => c::ensure(&self.dir, tell).map(drop),
        }
    }

    /// Builds the component, optimised.
    ///
    /// # Errors
    ///
    /// The compiler is missing or refuses the sources, or what it builds is not one component.
    pub fn build(&self, how: How<'_>) -> Result<Built> {
        match self.language {
            Language::Rust => rust::build(&self.dir, how),
            Language::Python => python::build(&self.dir, how),
            Language::JavaScript => javascript::build(&self.dir, how),
            Language::Go => go::build(&self.dir, how),
            Language::C => c::build(&self.dir, how),
        }
    }

    /// Returns the files whose change makes another build worth while.
    ///
    /// # Errors
    ///
    /// The compiler is missing, or cannot read its own project file.
    pub fn sources(&self) -> Result<Sources> {
        match self.language {
            Language::Rust => rust::sources(&self.dir),
            Language::Python => Ok(python::sources(&self.dir)),
            Language::JavaScript => Ok(javascript::sources(&self.dir)),
            Language::Go => Ok(go::sources(&self.dir)),
            Language::C => Ok(c::sources(&self.dir)),
        }
    }
}

fn of(dir: &Path) -> Option<Language> {
    Language::ALL.into_iter().find(|it| dir.join(it.mark()).is_file())
}

/// Returns a source file in a directory that holds no project, and what it is written in.
fn sources_in(dir: &Path) -> Option<(Language, String)> {
    let mut names: Vec<String> =
        std::fs::read_dir(dir).ok()?.flatten().filter_map(|it| it.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names.into_iter().find_map(|it| Some((Language::of_file(Path::new(&it))?, it)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_known_by_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let none = Project::find(dir.path()).unwrap_err();
        assert!(none.message.contains("`Cargo.toml` (rust), `pyproject.toml` (python)"), "{none:?}");
        assert!(!Project::is_in(dir.path()));
        std::fs::write(dir.path().join("Cargo.toml"), "").unwrap();
        assert_eq!(Project::find(dir.path()).unwrap().language, Language::Rust);
        let missing = Project::find(&dir.path().join("a b")).unwrap_err();
        assert!(missing.hint.starts_with("`retake new '"), "{missing:?}");
    }
}
